"""Layers as text and arrays, and back: what NIR's fields can't say of a layer, kept beside them.

The text is JSON. Arrays are stored under numbers; one that a field of the layer's node holds too
is taken from there: it is stored once, and whoever changes the field changes the layer.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neurojax import layers, neurons, surrogate
from neurojax._layer import Constant, Layer
from neurojax.converters.nir._graph import Node
from neurojax.converters.sinabs import _layers as sinabs

CLASSES: dict[str, type[Layer]] = {
    cls.__name__: cls
    for cls in (
        layers.Add,
        layers.AvgPool2d,
        layers.BatchDropout,
        layers.Chain,
        layers.Conv1d,
        layers.Conv2d,
        layers.Delay,
        layers.Dropout,
        layers.Flatten,
        layers.Identity,
        layers.Linear,
        layers.Recurrent,
        layers.Reshape,
        layers.Scale,
        layers.SumPool2d,
        sinabs.Feedback,
        neurons.CubaIAF,
        neurons.CubaLI,
        neurons.CubaLIF,
        neurons.IAF,
        neurons.LI,
        neurons.LIF,
        neurons.Threshold,
    )
}
"""What can be written, by name."""

SHARED = {
    "weight": "weight",
    "bias": "bias",
    "factor": "scale",
    "threshold": "v_threshold",
    "v_rest": "v_leak",
    "reset_value": "v_reset",
}
"""Parameters of layers that a field of their node may hold as they are."""


class Options(NamedTuple):
    """A layer without its name."""

    text: str
    arrays: dict[str, np.ndarray]

    def metadata(self) -> dict[str, Any]:
        """As metadata of a node."""
        return {"options": self.text} | ({"arrays": self.arrays} if self.arrays else {})


def options_of(layer: Layer, nodes: Mapping[str, Node]) -> Options:
    """Everything that makes a layer, of a class in CLASSES.

    Args:
        layer: The layer.
        nodes: The nodes that it becomes, by the name that refers to them.

    Raises:
        ValueError: A part of the layer can't be written, such as a surrogate without a name.
    """
    arrays: dict[str, np.ndarray] = {}
    encoded = _encoded_layer(layer, nodes, arrays)
    return Options(json.dumps(encoded), arrays)


def layer_of(text: Any, arrays: Any, nodes: Mapping[str, Any]) -> Layer:
    """The layer that `options_of` wrote.

    Raises:
        ValueError, TypeError: It did not write that.
    """
    try:
        encoded = json.loads(text)
    except (TypeError, ValueError, RecursionError):
        raise ValueError("the options are no JSON") from None
    return _decoded_layer(encoded, arrays if isinstance(arrays, Mapping) else {}, nodes)


def _encoded_layer(
    layer: Layer, nodes: Mapping[str, Node], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    name = type(layer).__name__
    if CLASSES.get(name) is not type(layer):
        raise ValueError(f"{name} is not among the layers that NIR files are written of")
    values: dict[str, Any] = {"layer": name}
    if isinstance(layer, layers.Chain):
        parts = zip(layer.names, layer.layers, strict=True)
        return values | {"layers": {n: _encoded_layer(part, nodes, arrays) for n, part in parts}}
    for field in dataclasses.fields(layer):
        if field.name == "switch":
            values["inference"] = bool(layer.inference)  # type: ignore[attr-defined]
        elif field.name != "run_key":
            value = getattr(layer, field.name)
            values[field.name] = _encoded(field.name, value, nodes, arrays)
    return values


def _encoded(
    name: str, value: Any, nodes: Mapping[str, Node], arrays: dict[str, np.ndarray]
) -> Any:
    if isinstance(value, Constant):
        return float(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, tuple | list):
        return [_encoded(name, entry, nodes, arrays) for entry in value]
    if isinstance(value, surrogate.Surrogate):
        text = repr(value)
        try:
            known = surrogate.by_name(text) == value
        except (ValueError, TypeError):
            known = False
        if not known:
            raise ValueError(f"{name} is {text}, which neurojax.surrogate.by_name does not know")
        return {"surrogate": text}
    if isinstance(value, Layer):
        return _encoded_layer(value, nodes, arrays)
    if eqx.is_array(value):
        return _encoded_array(name, value, nodes, arrays)
    raise ValueError(f"{name} is a {type(value).__name__}, which can't be written")


def _encoded_array(
    name: str, value: Any, nodes: Mapping[str, Node], arrays: dict[str, np.ndarray]
) -> dict[str, Any]:
    dtype = str(value.dtype)
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":  # bfloat16, of which NumPy and HDF5 know nothing
        array = array.astype(np.float32)
    for node_name, node in nodes.items():
        held = node.fields.get(SHARED.get(name, ""))
        if isinstance(held, np.ndarray) and held.shape == array.shape and (held == array).all():
            return {"node": node_name, "field": SHARED[name], "dtype": dtype}
    key = str(len(arrays))
    arrays[key] = array
    return {"array": key, "dtype": dtype}


def _decoded_layer(encoded: Any, arrays: Mapping[str, Any], nodes: Mapping[str, Any]) -> Layer:
    if not isinstance(encoded, dict) or encoded.get("layer") not in CLASSES:
        raise ValueError("the options don't name a known layer")
    cls = CLASSES[encoded["layer"]]
    if cls is layers.Chain:
        parts = encoded.get("layers")
        if not isinstance(parts, dict):
            raise ValueError("the options of Chain hold no layers")
        return layers.Chain(**{n: _decoded_layer(p, arrays, nodes) for n, p in parts.items()})
    values = {
        name: _decoded(value, arrays, nodes) for name, value in encoded.items() if name != "layer"
    }
    if cls in (layers.Linear, layers.Conv1d, layers.Conv2d):
        return cls.from_weights(values.pop("weight", None), **values)  # type: ignore[attr-defined]
    return cls(**values)


def _decoded(value: Any, arrays: Mapping[str, Any], nodes: Mapping[str, Any]) -> Any:
    if isinstance(value, list):
        return tuple(_decoded(entry, arrays, nodes) for entry in value)
    if not isinstance(value, dict):
        return value
    if "layer" in value:
        return _decoded_layer(value, arrays, nodes)
    if "surrogate" in value:
        return surrogate.by_name(str(value["surrogate"]))
    if "array" in value:
        held = arrays.get(str(value["array"]))
    else:
        node = nodes.get(str(value.get("node")))
        held = node.fields.get(str(value.get("field"))) if isinstance(node, Node) else None
    if not isinstance(held, np.ndarray):
        raise ValueError("the options refer to an array that is not there")
    return jnp.asarray(held).astype(jnp.dtype(str(value.get("dtype", "float32"))))
