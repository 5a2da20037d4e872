"""Layers of a mapped network as plain data, and back.

Parameters are written as the integers (or floats) that the code holds. Read again they are those
integers divided by 2^q, so that the code, and the simulation, are the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neurojax._layer import Constant, Layer
from neurojax.chips.mcu import (
    IF,
    LIF,
    Add,
    BatchNorm,
    Conv,
    Dense,
    Format,
    Number,
    Pool,
    Quantise,
)
from neurojax.layers import Flatten, Identity, Permute, Reshape, Upsample
from neurojax.surrogate import Surrogate, by_name

_FORMAT = ("weights_q", "bias_q", "output_q", "weights_round", "output_round")
_AFFINE = ("input_q", "activation")
_NEURON = ("input_q", "reset", "compat", "detach_reset")
_FIELDS: dict[type[Layer], tuple[str, ...]] = {
    Quantise: (),
    Dense: _AFFINE,
    Conv: (*_AFFINE, "stride", "padding", "dilation", "groups"),
    BatchNorm: _AFFINE,
    IF: _NEURON,
    LIF: (*_NEURON, "decay_input"),
    Pool: ("input_q", "activation", "kernel", "stride", "padding"),
    Add: ("input_qs", "activation"),
    Flatten: (),
    Identity: (),
    Reshape: ("shape",),
    Permute: ("axes",),
    Upsample: ("factor",),
}
"""Fields of each kind that are plain data."""

_KINDS = {kind.__name__: kind for kind in _FIELDS}


def write_layer(name: str, layer: Layer) -> dict[str, Any]:
    """A layer as plain data.

    Raises:
        ValueError: A kind of layer that has no C.
    """
    kind = type(layer)
    if kind not in _FIELDS:
        raise ValueError(
            f"layer '{name}' is {kind.__name__}; a file holds {', '.join(_KINDS)}: map the network "
            "with neurojax.chips.mcu.map"
        )
    entry: dict[str, Any] = {"name": name, "kind": kind.__name__}
    form = getattr(layer, "format", None)
    if form is not None:
        entry["format"] = {field: getattr(form, field) for field in _FORMAT}
    entry |= {field: _plain(getattr(layer, field)) for field in _FIELDS[kind]}
    if isinstance(layer, Pool):
        entry["pool"] = layer.kind  # "kind" is the kind of layer
    if isinstance(layer, Dense | Conv | BatchNorm):
        weights = layer.integers()
        entry["weight"] = weights.weight.tolist()
        entry["bias"] = None if weights.bias is None else weights.bias.tolist()
    if isinstance(layer, IF | LIF):
        held, real = layer.integers()._asdict(), layer.parameters()
        trained = [field for field, value in real.items() if eqx.is_array(value)]
        for field, value in real.items():
            # A constant keeps the digits that single precision would cut off.
            whole = layer.number.real and isinstance(value, Constant)
            entry[field] = float(value) if whole else held[field]
        entry["trained"] = trained
        entry["surrogate"] = _text_of(layer.surrogate)
    return entry


def read_layer(entry: Mapping[str, Any], number: Number) -> Layer:
    """The reverse of `write_layer`, of an entry that obeys the rules.

    Raises:
        ValueError: Fields that don't fit one another.
    """
    kind: Callable[..., Layer] = _KINDS[entry["kind"]]
    options = {field: _as_tuples(entry[field]) for field in _FIELDS[_KINDS[entry["kind"]]]}
    if "format" not in entry:
        return kind(**options)
    form = Format(number, **entry["format"])
    options["format"] = form
    if kind is Pool:
        return Pool(entry["pool"], **options)
    if "weight" in entry:
        weight = _real(entry["weight"], form.weights_q, number)
        bias = entry["bias"]
        return kind(
            weight, None if bias is None else _real(bias, form.bias_scale, number), **options
        )
    if "threshold" in entry:
        for field in ("threshold", "v_reset", "rtau"):
            value = entry.get(field)
            if value is not None:
                trained = field in entry["trained"]
                exact = value if number.real else math.ldexp(value, -form.weights_q)
                options[field] = jnp.asarray(exact, jnp.float32) if trained else float(exact)
        if entry["surrogate"] is not None:
            options["surrogate"] = by_name(entry["surrogate"])
    return kind(**options)


def _real(value: Any, q: int, number: Number) -> Any:
    """Numbers of the code as the real numbers that they stand for, exactly."""
    array = np.asarray(value, np.float32)
    return jnp.asarray(array if number.real else np.ldexp(array, -q))


def _text_of(surrogate: Surrogate) -> str | None:
    """As `surrogate.by_name` reads it; None for one of the user's own."""
    text = repr(surrogate)
    try:
        return text if by_name(text) == surrogate else None
    except (ValueError, TypeError):
        return None


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


def _as_tuples(value: Any) -> Any:
    return tuple(_as_tuples(entry) for entry in value) if isinstance(value, list) else value
