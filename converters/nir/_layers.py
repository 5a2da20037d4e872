"""What each node of NIR becomes: a layer with the numbers of a time step.

The equations of the nodes are those of NIR; `Preset` and `Clock` say how they are stepped. Decays
and gains are computed in double precision and rounded once, so that a library's own factors come
back from the time constants that it made of them.

References:
    J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set for
    interoperable brain-inspired computing", Nature Communications 15, 2024.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.converters.nir._clock import LONGEST, Clock, Times, settled, too_short
from neurojax.converters.nir._graph import Node
from neurojax.converters.nir._presets import Preset
from neurojax.layers import (
    AvgPool2d,
    Conv1d,
    Conv2d,
    Delay,
    Flatten,
    Identity,
    Linear,
    Reshape,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF, LI, LIF, CubaLI, CubaLIF, Threshold


@dataclasses.dataclass
class Reading:
    """One node while it is turned into a layer."""

    name: str
    node: Node
    in_shape: Shape | None  # None: a layer before it could not be made
    recurrent: bool
    preset: Preset
    clock: Clock
    problems: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    times: list[Times] = dataclasses.field(default_factory=list)

    def array(self, field: str, default: float | None = None) -> np.ndarray:
        """A parameter that has one value, or one a neuron."""
        value = self.node.fields.get(field)
        if value is None and default is not None:
            return np.asarray(default, np.float64)
        array = np.asarray(value)
        if array.size == 1:
            return array.reshape(())
        shape = self.in_shape
        if shape is None:
            return array
        while array.ndim > len(shape) and array.shape[0] == 1:
            array = array[0]  # a batch of one, which some exporters leave in
        try:
            fits = array.ndim == len(shape) and np.broadcast_shapes(array.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            self.problems.append(
                f"{field} has shape {np.asarray(value).shape}, but the neurons have shape {shape}; "
                "give one value, or one a neuron"
            )
            return array.reshape(-1)[0]
        return array

    def integers(self, field: str, default: int) -> Any:
        """An integer or several of a window, or a text."""
        value = self.node.fields.get(field, default)
        if isinstance(value, str):
            return value
        entries = [int(entry) for entry in np.asarray(value).reshape(-1)]
        return entries[0] if len(entries) == 1 else entries

    def ratio(self, field: str) -> np.ndarray:
        """dt / tau; a problem if it can't be used."""
        tau = self.array(field)
        if not np.all(tau > 0):
            self.problems.append(f"{field} is {_worst(tau, tau <= 0)}; it must be > 0")
            return np.ones(())
        finite = tau[np.isfinite(tau)]
        if finite.size:
            self.times.append(Times(self.name, field, float(finite.min()), float(finite.max())))
        ratio = self.clock.ratio(tau)
        with np.errstate(divide="ignore"):
            per_tau = _range(1 / ratio)
        self.notes.append(f"{field} is {per_tau} time steps ({self.preset.method})")
        return ratio

    def leak(self, field: str) -> tuple[np.ndarray, np.ndarray]:
        """What is left of a deviation after a step, and the part of the input that is added."""
        ratio = self.ratio(field)
        if self.preset.method == "exact":
            decay = np.exp(-ratio)
            return decay, 1 - decay
        if np.any(ratio > 1):  # `stepping_problem` says it, when all time constants are known
            return np.zeros(()), np.ones(())
        return 1 - ratio, ratio


def single(value: Any) -> np.ndarray:
    """Numbers in float32."""
    array = np.asarray(value, np.float64)
    if np.any(np.abs(array) > np.finfo(np.float32).max):
        raise ValueError(
            f"numbers up to {np.abs(array).max():g} are too large for float32; check dt, time_unit "
            "and r"
        )
    return array.astype(np.float32)


def number(value: np.ndarray) -> Any:
    """A constant if all values are equal, else an array in float32."""
    array = single(value)
    first = value.reshape(-1)[0]
    return float(first) if np.all(value == first) else array


def _gain(weight: np.ndarray, part: np.ndarray) -> np.ndarray:
    """What a step takes of its input: weight part.

    Exporters write r = tau / dt to say "a gain of 1", and so an infinite r without leak.
    """
    with np.errstate(invalid="ignore"):
        gain = np.asarray(weight * part)
    return settled(np.where(np.isinf(weight) & (part == 0), 1.0, gain))


def _worst(value: np.ndarray, wrong: np.ndarray) -> str:
    return f"{value[wrong].reshape(-1)[0]:g}" if value.ndim else f"{float(value):g}"


def _range(value: np.ndarray) -> str:
    low, high = f"{value.min():.6g}", f"{value.max():.6g}"
    return low if low == high else f"{low} to {high}"


def _weight(reading: Reading, ndim: int) -> np.ndarray:
    weight = single(reading.node.fields["weight"])
    if weight.ndim != ndim:
        raise ValueError(f"weight has shape {weight.shape}; it must have {ndim} axes")
    return weight


def _bias(reading: Reading) -> np.ndarray | None:
    bias = reading.node.fields.get("bias")
    return None if bias is None else single(bias)


def _dense(reading: Reading) -> Layer:
    weight = _weight(reading, 2)
    bias = _bias(reading)
    if bias is not None and bias.size == 1:
        bias = np.broadcast_to(bias.reshape(()), weight.shape[:1])
    return Linear.from_weights(weight, bias)


def _convolution(reading: Reading) -> Layer:
    kind = Conv1d if reading.node.kind == "Conv1d" else Conv2d
    ndim = kind.ndim
    weight = _weight(reading, ndim + 2)
    bias = _bias(reading)
    if bias is not None and not bias.any():
        bias = None
        reading.notes.append("its bias is 0 everywhere: no bias (NIR has no other way to say that)")
    declared = reading.node.fields.get("input_shape")
    if declared is not None and reading.in_shape is not None and np.size(declared):
        given = tuple(int(n) for n in np.asarray(declared).reshape(-1))
        given = given * ndim if len(given) == 1 else given
        if given != reading.in_shape[-ndim:]:
            reading.problems.append(
                f"input_shape is {given}, but what comes in has shape {reading.in_shape}; leave "
                "the field out, or correct it or the layers before"
            )
    return kind.from_weights(
        weight,
        bias,
        stride=reading.integers("stride", 1),
        padding=reading.integers("padding", 0),
        dilation=reading.integers("dilation", 1),
        groups=reading.integers("groups", 1),
    )


def _pool(reading: Reading) -> Layer:
    kind = SumPool2d if reading.node.kind == "SumPool2d" else AvgPool2d
    size = reading.integers("kernel_size", 1)
    return kind(
        size,
        stride=reading.integers("stride", size),
        padding=reading.integers("padding", 0),
    )


def _flatten(reading: Reading) -> Layer:
    shape = reading.in_shape
    if shape is None:
        return Flatten()
    first, last = reading.integers("start_dim", 0), reading.integers("end_dim", -1)
    declared = reading.node.fields.get("input_type")
    if declared is not None and np.size(declared):
        given = tuple(int(n) for n in np.asarray(declared).reshape(-1))
        if given == (1, *shape):  # with a batch, which NIR does not have
            first, last = max(first - 1, 0), last - 1 if last > 0 else last
        elif given != shape:
            reading.problems.append(
                f"input_type is {given}, but what comes in has shape {shape}; leave the field "
                "out, or correct it or the layers before"
            )
    n = len(shape)
    first, last = first % n if -n <= first < n else n, last % n if -n <= last < n else n - 1
    if first >= last:
        return Identity() if n > 1 else Flatten()
    if (first, last) == (0, n - 1):
        return Flatten()
    return Reshape((*shape[:first], int(np.prod(shape[first : last + 1])), *shape[last + 1 :]))


def _scale(reading: Reading) -> Layer:
    scale = reading.array("scale")
    return Scale(single(scale) if scale.ndim else number(scale))


def _delay(reading: Reading) -> Layer:
    steps = reading.clock.steps(reading.array("delay"))
    whole = np.round(steps)
    if np.any(np.abs(steps - whole) > 1e-3):
        reading.notes.append(f"delays of {_range(steps)} time steps are rounded to whole steps")
    if np.any(whole < 0):
        raise ValueError(f"delay is {steps.min():g} time steps; it must not be negative")
    if np.any(whole > LONGEST):
        raise ValueError(
            f"delay is {steps.max():g} time steps, which would all have to be stored; check dt and "
            "time_unit"
        )
    reading.notes.append(f"delay is {_range(whole)} time steps")
    if np.all(whole == whole.reshape(-1)[0]):
        return Delay(int(whole.reshape(-1)[0]))
    by_channel = whole.reshape(whole.shape[0], -1)
    if np.any(by_channel != by_channel[:, :1]):
        raise ValueError(
            "delay differs within a channel; a Delay has one value for each entry of the first axis"
        )
    return Delay(by_channel[:, 0].astype(int))


def _membrane(reading: Reading, tau: str, drive: np.ndarray | float = 1.0) -> dict[str, Any]:
    """The leaky membrane tau v' = (v_leak - v) + r x."""
    decay, part = reading.leak(tau)
    gain = drive * (_gain(reading.array("r"), part) if reading.preset.uses_r else 1.0)
    return {
        "decay": number(decay),
        "gain": number(np.asarray(gain)),
        "v_rest": number(reading.array("v_leak", 0.0)),
        "v_min": reading.preset.v_min,
    }


def _integrator(reading: Reading) -> dict[str, Any]:
    """The membrane without leak, v' = r x."""
    r = reading.array("r", 1.0)
    gain = reading.clock.rate(r) if reading.preset.input_is_rate else r.astype(np.float64)
    return {"gain": number(gain), "v_min": reading.preset.v_min}


def _cuba(reading: Reading) -> dict[str, Any]:
    """The membrane and the current in front of it, tau_syn I' = -I + w_in x.

    Our current has no weight of its own input: what w_in and the discretisation make of it is a
    factor of the membrane's gain.
    """
    decay, part = reading.leak("tau_syn")
    w_in = reading.array("w_in", 1.0).astype(np.float64)
    entry = {"filter": _gain(w_in, part), "jump": w_in, "one": np.ones(())}
    drive = entry[reading.preset.synapse]
    if np.any(drive != 1):
        reading.notes.append(
            f"the current i is the one of NIR divided by {_range(drive)}; the gain has the factor"
        )
    membrane = _membrane(reading, "tau_mem", drive)
    return {**membrane, "decay_syn": number(decay), "order": reading.preset.order}


def _spiking(reading: Reading) -> dict[str, Any]:
    """Threshold and reset."""
    options = reading.preset.options(reading.node.kind, reading.recurrent)
    v_reset = reading.array("v_reset", 0.0)
    reset = options.pop("reset")
    if reset is None:
        to_zero = not np.any(v_reset)
        options |= {"reset": "zero"} if to_zero else {"reset": "value", "reset_value": v_reset}
    else:
        options["reset"] = reset
        if np.any(v_reset):
            reading.notes.append(
                f"v_reset {_range(v_reset)} is not used: {reading.preset.name} resets by {reset!r}"
            )
    if "reset_value" in options:
        options["reset_value"] = number(np.asarray(options["reset_value"], np.float64))
    return {"threshold": number(reading.array("v_threshold")), **options}


def _threshold(reading: Reading) -> Layer:
    options = reading.preset.options("Threshold")
    return Threshold(
        number(reading.array("threshold")), strict=options["strict"], surrogate=options["surrogate"]
    )


KINDS: dict[str, Callable[[Reading], Layer]] = {
    "Affine": _dense,
    "Linear": _dense,
    "Conv1d": _convolution,
    "Conv2d": _convolution,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
    "Identity": lambda reading: Identity(),
    "Scale": _scale,
    "Delay": _delay,
    "Threshold": _threshold,
    "I": lambda reading: LI(decay=1.0, **_integrator(reading)),
    "LI": lambda reading: LI(**_membrane(reading, "tau")),
    "CubaLI": lambda reading: CubaLI(**_cuba(reading)),
    "IF": lambda reading: IAF(**_integrator(reading), **_spiking(reading)),
    "LIF": lambda reading: LIF(**_membrane(reading, "tau"), **_spiking(reading)),
    "CubaLIF": lambda reading: CubaLIF(**_cuba(reading), **_spiking(reading)),
}

SPIKING = frozenset({"IF", "LIF", "CubaLIF"})
STATELESS = frozenset(KINDS) - SPIKING - {"Delay", "I", "LI", "CubaLI"}


def layer_of(reading: Reading) -> Layer | None:
    """The layer of a node; None, and something in `reading.problems`, if there is none."""
    kind = reading.node.kind
    make = KINDS.get(kind)
    if make is None:
        close = difflib.get_close_matches(kind, KINDS, n=1)
        hint = f"the nearest known one is {close[0]}" if close else "known: " + ", ".join(KINDS)
        reading.problems.append(f"no layer for this kind of node; {hint}")
        return None
    refused = reading.preset.refuses.get(kind)
    if refused and not (reading.recurrent and f"recurrent {kind}" in reading.preset.special):
        reading.problems.append(refused)
        return None
    try:
        layer = make(reading)
    except (ValueError, TypeError) as error:
        reading.problems.append(str(error))
        return None
    return layer


def stepping_problem(reading: Reading, everything: list[Times]) -> str:
    """Why the time constants of a node can't be stepped, or ""."""
    if reading.preset.method != "euler":
        return ""
    for times in reading.times:
        if reading.clock.ratio(np.asarray(times.shortest)) > 1 + 2.0**-22:
            return too_short(times, reading.clock, everything)
    return ""
