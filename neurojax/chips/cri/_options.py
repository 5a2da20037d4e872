"""What CRI's neurons can be told: the converters of their options, and their checks.

Integers are constants, or arrays of int32 of one a neuron, which are no parameters; thresholds have
more bits than that, or are real-valued parameters.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neurojax._layer import Constant, Shape
from neurojax.chips.cri import _wide
from neurojax.chips.cri._wide import Wide, wide
from neurojax.chips.cri.noise import OFF
from neurojax.chips.cri.spec import (
    LARGEST_REFRACTORY,
    LEAKS,
    MEMBRANE_BITS,
    MODELS,
    SHIFTS,
    THRESHOLD_BITS,
)
from neurojax.surrogate import Surrogate

ORDERS = ("hardware", "main", "dev")
RESETS = ("zero", "subtract")
RESET_CODES = {name: code for code, name in enumerate(RESETS)}
OVERFLOWS = ("saturate", "wrap")
NO_LEAK = LEAKS[1]
OLD_NO_LEAK = 64
"""What old programs for hs_api write for no leak; the simulators compute it as that."""

SIMULATOR_SHIFTS = (-64, 63)
SIMULATOR_THRESHOLD_BITS = 50
"""The simulators compare with any number; these are all the bits that we can."""

BITS = (_wide.BITS[0], MEMBRANE_BITS)


@jax.tree_util.register_static
class Choice(str):
    """An option by name where an array, one entry a neuron, is possible too."""

    __slots__ = ()


# Converters


def _concrete(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def _collapsed(values: Any) -> Any:
    """An array whose entries are all the same as a constant: fewer operations in each step."""
    if _concrete(values) and values.size and (values == values.ravel()[0]).all():
        return Constant(values.ravel()[0])
    return None


def integers(value: Any) -> Any:
    """A constant, or an int32 array, of integers that are no parameters."""
    if value is None or isinstance(value, Constant):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Constant(value)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.ndim == 0 and _concrete(array) and array.dtype.kind in "iuf":
        return Constant(array)
    if array.dtype.kind not in "iu":
        return value
    one = _collapsed(array)
    return jnp.asarray(array, jnp.int32) if one is None else one


def threshold(value: Any) -> Any:
    """A constant, exact integers of more than 32 bits, or a float array that is a parameter."""
    if value is None or isinstance(value, Constant | Wide):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Constant(value)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype.kind not in "iu":
        return jnp.asarray(array, jnp.float32) if array.dtype.kind == "f" else value
    one = _collapsed(array)
    if one is not None:
        return one
    return _wide.from_integers(array) if _concrete(array) else wide(jnp.asarray(array, jnp.int32))


def named(names: dict[str, int]) -> Any:
    """Converter: a name, or integer codes, one a neuron."""
    by_code = {float(code): name for name, code in names.items()}

    def convert(value: Any) -> Any:
        if isinstance(value, str):
            return Choice(value)
        codes = integers(value)
        if isinstance(codes, Constant) and float(codes) in by_code:
            return Choice(by_code[float(codes)])
        return codes

    return convert


# Checks


def check(neuron: Any) -> None:
    """Raises if an option of a neuron is none that there is."""
    for name, value, legal in (
        ("order", neuron.order, ORDERS),
        ("overflow", neuron.overflow, OVERFLOWS),
        ("noise", neuron.noise, (None, *OFF)),
        ("strict", neuron.strict, (None, True, False)),
        ("model", neuron.model, tuple(MODELS)),
        ("reset", neuron.reset, RESETS),
    ):
        if name in ("model", "reset") and eqx.is_array(value):
            continue
        if value not in legal:
            raise ValueError(f"Neuron: {name} is {value!r}; it must be in {legal}")
    simulator = neuron.order != "hardware"
    for name, ends in (
        ("leak", (LEAKS[0], OLD_NO_LEAK)),
        ("shift", SIMULATOR_SHIFTS if simulator else SHIFTS),
        ("refractory", (0, LARGEST_REFRACTORY)),
    ):
        check_range(name, getattr(neuron, name), ends)
    for name, codes in (("model", MODELS), ("reset", RESET_CODES)):
        value = getattr(neuron, name)
        if eqx.is_array(value) and _concrete(value):
            strange = np.setdiff1d(np.asarray(value), list(codes.values()))
            if strange.size:
                raise ValueError(f"Neuron: {name} has {strange[0]}; the codes are {codes}")
    if isinstance(neuron.bits, bool) or not BITS[0] <= neuron.bits <= BITS[1]:
        raise ValueError(f"Neuron: bits is {neuron.bits!r}; it must be within {BITS}")
    _check_threshold(neuron.theta, SIMULATOR_THRESHOLD_BITS if simulator else THRESHOLD_BITS)
    if neuron.draws is not None and neuron.draws.dtype.kind not in "iu":
        raise TypeError(f"Neuron: draws have type {neuron.draws.dtype}; they must be integers")
    if not isinstance(neuron.surrogate, Surrogate):
        raise TypeError(
            f"Neuron: surrogate is {neuron.surrogate!r}; use an object such as surrogate.ATan()"
        )
    if simulator:
        _check_simulator(neuron)


def _check_simulator(neuron: Any) -> None:
    """The simulators have one reset, one width, one kind of overflow, no refractory period."""
    changed = [
        name
        for name, plain in (
            ("reset", "zero"),
            ("overflow", "saturate"),
            ("bits", MEMBRANE_BITS),
            ("refractory", 0),
            ("leak_bias", False),
        )
        if eqx.is_array(value := getattr(neuron, name)) or value != plain
    ]
    if changed:
        raise ValueError(
            f"Neuron: order {neuron.order!r} is that of a simulator without {', '.join(changed)}"
            '; leave that out, or use order="hardware"'
        )


def check_shapes(arrays: dict[str, Any], shape: Shape) -> None:
    """Raises if an option, by name, does not fit neurons of a shape."""
    for name, value in arrays.items():
        value = value.high if isinstance(value, Wide) else value
        if not eqx.is_array(value):
            continue
        one = value.shape[1:] if name == "draws" else value.shape
        if not _fits(one, shape):
            raise ValueError(
                f"Neuron: {name} has shape {value.shape}, but there are {shape} neurons; give "
                "one number, one a neuron, or (channels, 1, 1) for one a channel"
            )


def _fits(shape: Shape, to: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def check_range(name: str, value: Any, legal: tuple[int, int], *, whose: str = "Neuron") -> None:
    """Raises if there is an integer outside of `legal`, ends included."""
    low, high = legal
    if value is None and name == "leak":
        return
    if isinstance(value, Constant):
        good = value.is_integer() and low <= value <= high
        found: Any = f"{value:g}"
    elif eqx.is_array(value):
        if not _concrete(value):
            return
        found, good = f"{value.min()}..{value.max()}", value.min() >= low and value.max() <= high
    else:
        raise TypeError(
            f"{whose}: {name} is {value!r}; give an integer, or an array of integers, one a neuron"
        )
    if not good:
        raise ValueError(f"{whose}: {name} is {found}; it must be an integer within {low}..{high}")


def _check_threshold(theta: Any, bits: int) -> None:
    largest = 1 << (bits - 1)
    if isinstance(theta, Wide):
        if not _concrete(theta.high):
            return
        values = _wide.to_integers(theta)
        good, found = -largest <= values.min() and values.max() < largest, values
        text = f"{found.min()}..{found.max()}"
    elif isinstance(theta, Constant):
        good, text = -largest <= theta < largest, f"{theta:g}"
    elif eqx.is_array(theta):
        return
    else:
        raise TypeError(
            f"Neuron: theta is {theta!r}; give a number, an array of integers, or an array of "
            "floats to be trained"
        )
    if not good:
        raise ValueError(
            f"Neuron: theta is {text}; it must be within -2^{bits - 1}..2^{bits - 1} - 1"
        )


# What they come to


def of_model(neuron: Any, model: str) -> Any:
    """Whether neurons are of a model: a bool, or one a neuron."""
    return neuron.model == (MODELS[model] if eqx.is_array(neuron.model) else model)
