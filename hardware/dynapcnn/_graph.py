"""The network in a file: its layers and edges, as far as the vendor's part does not hold them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips import MappedNetwork
from neurojax.chips.dynapcnn import DVS, Core, InSteps, Origin
from neurojax.layers import Add, Concat, Flatten, SumPool2d
from neurojax.surrogate import Surrogate, by_name

_ROUTING: dict[type[Layer], tuple[str, ...]] = {
    SumPool2d: ("kernel_size",),
    Add: (),
    Concat: ("axis",),
    Flatten: (),
    DVS: (
        "pool",
        "crop",
        "merge_polarities",
        "flip_x",
        "flip_y",
        "swap_xy",
        "pixel_array",
    ),
}
_CORE = (
    "flat",
    "bias_bits",
    "max_spikes",
    "detach_reset",
    "overflow",
    "count_overflow",
    "leak_every",
)
_ORIGIN = ("made_of", "scale", "rescale", "core", "vanished", "notes")


def write_graph(mapped: MappedNetwork) -> dict[str, Any]:
    """A mapped network without what the vendor's part says, as plain data."""
    network = mapped.network
    origins = {origin.name: origin for origin in mapped.origins}
    layers = []
    for name in network.names:
        layer = network[name]
        entry: dict[str, Any] = {"name": name, "kind": type(layer).__name__}
        if isinstance(layer, Core):
            origin = origins[name]
            entry |= {field: _plain(getattr(origin, field)) for field in _ORIGIN}
            entry |= {"has_bias": layer.bias is not None}
            entry |= {field: getattr(layer, field) for field in _CORE}
            entry |= _write_surrogate(layer.surrogate)
        else:
            entry |= {field: _plain(getattr(layer, field)) for field in _ROUTING[type(layer)]}
        layers.append(entry)
    return {
        "inputs": {name: list(shape) for name, shape in network.inputs.items()},
        "outputs": list(network.outputs),
        "edges": [[edge.source, edge.target] for edge in network.edges],
        "layers": layers,
    }


def read_graph(graph: Mapping[str, Any], cores: list[Any]) -> tuple[Network, tuple[Origin, ...]]:
    """The reverse of `write_graph`.

    Args:
        graph: What `write_graph` made.
        cores: The vendor's fields of all cores.

    Raises:
        ValueError: Layers that don't fit one another.
    """
    kinds = {kind.__name__: kind for kind in _ROUTING}
    layers: dict[str, Layer] = {}
    origins = []
    for entry in graph["layers"]:
        if entry["kind"] == "Core":
            layers[entry["name"]] = _read_core(entry, cores[entry["core"]])
            fields = {field: _as_tuples(entry[field]) for field in _ORIGIN}
            origins.append(Origin(name=entry["name"], **fields))
        else:
            kind = kinds[entry["kind"]]
            options = {field: _as_tuples(entry[field]) for field in _ROUTING[kind]}
            layers[entry["name"]] = kind(**options)
    network = Network(
        layers,
        [(source, target) for source, target in graph["edges"]],
        inputs={name: tuple(shape) for name, shape in graph["inputs"].items()},
        outputs=graph["outputs"],
    )
    return network, tuple(origins)


def _read_core(entry: Mapping[str, Any], fields: Mapping[str, Any]) -> Core:
    dimensions = fields["dimensions"]
    surrogate = None if entry["surrogate"] is None else by_name(entry["surrogate"])
    if surrogate is not None and entry["surrogate_scale"] != 1:
        surrogate = InSteps(surrogate, entry["surrogate_scale"])
    return Core(
        np.asarray(fields["weights"], np.float32).swapaxes(2, 3),
        np.asarray(fields["biases"], np.float32) if entry["has_bias"] else None,
        threshold=fields["threshold_high"],
        v_min=fields["threshold_low"],
        stride=(dimensions["stride"]["y"], dimensions["stride"]["x"]),
        padding=(dimensions["padding"]["y"], dimensions["padding"]["x"]),
        reset="zero" if fields["return_to_zero"] else "subtract",
        surrogate=surrogate,
        **{field: entry[field] for field in _CORE},
    )


def _write_surrogate(surrogate: Surrogate) -> dict[str, Any]:
    """As `surrogate.by_name` reads it; None for one of the user's own."""
    inner: Any = surrogate
    scale = 1.0
    if isinstance(surrogate, InSteps):
        inner, scale = surrogate.inner, surrogate.scale
    try:
        text = repr(inner) if by_name(repr(inner)) == inner else None
    except (ValueError, TypeError):
        text = None
    return {"surrogate": text, "surrogate_scale": scale}


def _plain(value: Any) -> Any:
    return [_plain(entry) for entry in value] if isinstance(value, tuple) else value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(entry) for entry in value) if isinstance(value, list) else value
