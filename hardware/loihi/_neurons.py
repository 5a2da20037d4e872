"""Neurons of a file as layers of the chip, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi.adaptive_resonator import AdRF, AdRFIzhikevich
from neurojax.chips.loihi.alif import ALIF
from neurojax.chips.loihi.lif import LIF, STEPS_PER_UNIT
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.chips.loihi.spec import FULL, LARGEST_BIAS, STATE_BITS, STATE_SHIFT
from neurojax.hardware.loihi._rules import NETX_READ_OUT, READ_OUT
from neurojax.hardware.loihi.records import COMPLEX
from neurojax.surrogate import Surrogate

BIAS_EXPONENT = STATE_SHIFT  # biases of a file are weight steps
EXPONENTS: dict[str, Any] = {"spike_exp": STATE_SHIFT, "state_exp": STATE_SHIFT}  # netx' own

ACTIVATIONS = ("relu", "unit")
"""Those that are exact in integers, which are Lava's."""

ZOO: Mapping[str, type[Any]] = {
    "ALIF": ALIF,
    "RF_PHASE": RF,
    "RF_IZHIKEVICH": RFIzhikevich,
    "ADRF_PHASE": AdRF,
    "ADRF_IZHIKEVICH": AdRFIzhikevich,
}
"""Neurons whose classes say themselves what their decays and thresholds are called in a file."""


IN_UNITS = 1 / SCALE
"""Behind graded spikes of the zoo, which are weight steps there."""

PHASES = ("RF_PHASE", "ADRF_PHASE")


def is_shifted(fields: Mapping[str, Any] | None) -> bool:
    """Whether slayer hands the output of neurons on one step later: if they spike."""
    if fields is None or fields["type"] == "SDNN":
        return False
    return fields["type"] != "CUBA" or fields["vThMant"] not in (READ_OUT, NETX_READ_OUT)


def neuron_of(
    fields: Mapping[str, Any],
    bias: np.ndarray | None,
    shape: Shape,
    *,
    is_input: bool,
    surrogate: Surrogate,
) -> Layer:
    """A neuron of a file as a layer.

    Args:
        fields: As in `LayerRecord.neuron`.
        bias: One for each channel, in weight steps, or None.
        shape: Of the neurons.
        is_input: Whether they are fed by the host instead of by synapses.
        surrogate: Derivative of spikes, made for the user's unit.

    Raises:
        ValueError: What the layers refuse, and a bias where there is none.
    """
    kind = fields["type"]
    along = (lambda v: v.reshape(-1, *(1 for _ in shape[1:]))) if len(shape) > 1 else _same
    if kind == "CUBA":
        vth = int(fields["vThMant"])
        return LIF(
            du=_values(fields["iDecay"] - 1, along),
            dv=_values(fields["vDecay"], along),
            vth=None if vth in (READ_OUT, NETX_READ_OUT) else vth,
            bias_mant=0 if bias is None else _values(bias, along),
            bias_exp=0 if bias is None else BIAS_EXPONENT,
            shift=int(fields["weight_exp"][0]) if "weight_exp" in fields else 0,
            refractory=int(fields["refDelay"]),
            graded=bool(fields["gradedSpike"]),
            surrogate=InSteps(surrogate, STEPS_PER_UNIT),
        )
    if kind == "SDNN":
        return _sigma_delta(fields, bias, along, is_input)
    cls = ZOO[kind]
    if bias is not None:
        raise ValueError(f"{kind} neurons have no bias; take the field away, or use CUBA")
    if int(fields.get("refDelay", 1)) != 1:
        raise ValueError(f"{kind} neurons have refDelay 1, no refractory period")
    values = {n: _values(fields[key], along, FULL) for n, key in cls.decays.items()}
    values |= {n: _values(fields[key], along) for n, key in cls.thresholds.items()}
    options: dict[str, Any] = {"graded": bool(fields["gradedSpike"]), "scale": 1}
    if kind in COMPLEX:
        options["bits"] = STATE_BITS
    if kind not in PHASES:  # whose surrogate has two factors, and a width in thresholds
        options["surrogate"] = InSteps(surrogate, SCALE)
    return cls(**values, **options)


def _sigma_delta(fields: Mapping[str, Any], bias: Any, along: Any, is_input: bool) -> Layer:
    threshold, activation = int(fields["vThMant"]), fields["activation"]
    if is_input:
        return Delta(threshold=threshold, **EXPONENTS)
    if fields.get("sigma_output", False):
        if bias is not None:
            raise ValueError("an output (sigma_output) has no bias; take the field away")
        return Sigma(scale=None)
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"activation is '{activation}', which has no form in integers; it must be 'relu' or "
            "'unit' (netx takes every one for 'relu')"
        )
    return SigmaDelta(
        threshold=threshold,
        activation=activation,
        bias=0 if bias is None else _values(bias, along),
        **EXPONENTS,
    )


def _same(values: np.ndarray) -> np.ndarray:
    return values


def _values(value: Any, along: Any, divisor: int = 1) -> Any:
    """A number as a constant, a list as an array along the channels."""
    if np.ndim(value) == 0:
        number = int(value)
        return number if divisor == 1 else number / divisor
    return (along(np.asarray(value)) / divisor).astype(np.float32)


def fields_of(
    neuron: Layer, channels: int, *, recurrent: bool = False, round_biases: bool = False
) -> tuple[Any, Any]:
    """A neuron's fields and its bias, as a file has them.

    Args:
        neuron: A prepared layer with concrete parameters.
        channels: Length of the neurons' first axis.
        recurrent: Whether it is inside a `Recurrent`.
        round_biases: Round biases to weight steps instead of refusing others.

    Raises:
        ValueError: What a file can't say, one reason a line.
    """
    problems: list[str] = []
    if isinstance(neuron, LIF):
        fields, bias = _lif(neuron, channels, problems, round_biases=round_biases)
    elif isinstance(neuron, Delta | Sigma | SigmaDelta) and not recurrent:
        fields, bias = _sdnn(neuron, channels, problems)
    else:
        kind = next((k for k, cls in ZOO.items() if type(neuron) is cls), None)
        if kind is None:
            raise ValueError(
                f"{type(neuron).__name__}: no type of neuron of a .net file; map the network with "
                "chips.loihi.map first"
            )
        fields, bias = _of_zoo(kind, neuron, channels, problems), None
    if problems:
        raise ValueError("\n".join(problems))
    return fields, bias


def _lif(
    neuron: LIF, channels: int, problems: list[str], *, round_biases: bool
) -> tuple[dict[str, Any], Any]:
    for name, legal in (("vth_lo", None), ("reset_interval", None)):
        if getattr(neuron, name) is not legal:
            problems.append(
                f"{name} is {getattr(neuron, name)}; a .net file has no field for it, set it to "
                "None and again after loading"
            )
    vth = READ_OUT
    if neuron.vth is not None:
        vth = _number(neuron.vth, "vth", problems)
    fields = {
        "type": "CUBA",
        "iDecay": _list(neuron.du, channels, "du", problems) + 1,
        "vDecay": _list(neuron.dv, channels, "dv", problems),
        "vThMant": np.int64(vth),
        "refDelay": np.int64(neuron.refractory),
        "gradedSpike": np.bool_(neuron.graded),
    }
    if neuron.shift:
        fields["weight_exp"] = np.array([neuron.shift], np.float32)
    bias = np.asarray(neuron.bias(), np.float64)
    if np.ndim(neuron.bias_mant) == 0 and not bias.any():
        return fields, None
    steps = bias / (1 << BIAS_EXPONENT)
    if (steps != np.rint(steps)).any() and not round_biases:
        worst = bias[steps != np.rint(steps)].flat[0]
        problems.append(
            f"bias {worst:g} is no multiple of {1 << BIAS_EXPONENT} steps of the state, all that "
            "a .net file holds; use configure(..., round_biases=True), or a larger scale"
        )
    if np.abs(steps).max() > LARGEST_BIAS:
        problems.append(
            f"a bias of {np.abs(steps).max():g} weight steps; a .net file holds up to "
            f"{LARGEST_BIAS}, map with a smaller scale"
        )
    values = _list(np.rint(steps), channels, "bias", problems)
    return fields, np.broadcast_to(values, (channels,)).astype(np.float32)


def _sdnn(
    neuron: Delta | Sigma | SigmaDelta, channels: int, problems: list[str]
) -> tuple[dict[str, Any], Any]:
    fields: dict[str, Any] = {"type": "SDNN", "activation": "relu"}
    bias = None
    if isinstance(neuron, Sigma):
        fields |= {"vThMant": np.int64(0), "sigma_output": np.bool_(True)}
        return fields, bias
    if (neuron.spike_exp, neuron.state_exp) != (STATE_SHIFT, STATE_SHIFT):
        problems.append(
            f"spike_exp {neuron.spike_exp} and state_exp {neuron.state_exp} must be {STATE_SHIFT}, "
            "as netx has them; map the network with chips.loihi.map"
        )
    if neuron.cum_error:
        problems.append("cum_error=True has no field in a .net file; use False")
    fields["vThMant"] = np.int64(_number(neuron.threshold, "threshold", problems))
    if isinstance(neuron, SigmaDelta):
        if neuron.activation_name not in ACTIVATIONS:
            problems.append(
                f"activation is '{neuron.activation_name}', which has no form in integers; use "
                "'relu' or 'unit'"
            )
        fields["activation"] = neuron.activation_name
        value = np.asarray(neuron.bias)
        if value.ndim or value.any():
            values = _list(value, channels, "bias", problems)
            bias = np.broadcast_to(values, (channels,)).astype(np.float32)
    return fields, bias


def _of_zoo(kind: str, neuron: Any, channels: int, problems: list[str]) -> dict[str, Any]:
    cls = type(neuron)
    if neuron.scale != 1:
        problems.append(
            f"scale is {neuron.scale:g}, so it counts in the user's unit; map the network with "
            "chips.loihi.map, or rebuild it with scale=1"
        )
    if any(getattr(neuron, name, None) is not None for name in ("norm", "real_norm", "imag_norm")):
        problems.append("norm has no field in a .net file; fold it into the weights")
    if neuron.threshold is None:
        problems.append(f"threshold is None, but a .net file has no read-out of {kind} neurons")
        return {}
    held = neuron.integers()
    fields: dict[str, Any] = {"type": kind}
    for name, key in cls.decays.items():
        fields[key] = _list(held[key], channels, name, problems)
    for name, key in cls.thresholds.items():
        fields[key] = np.int64(_number(held[key], name, problems))
    if kind == "ALIF":
        fields["refDelay"] = np.int64(1)
    fields["gradedSpike"] = np.bool_(neuron.graded)
    return fields


def _number(value: Any, name: str, problems: list[str]) -> int:
    values = np.unique(np.asarray(value))
    if values.size > 1:
        problems.append(f"{name} differs between neurons; a .net file has one for all of a layer")
    return int(values[0])


def _list(value: Any, channels: int, name: str, problems: list[str]) -> Any:
    """One number, or one a channel, as integers."""
    values = np.asarray(value)
    if values.size == 1:
        return np.int64(np.rint(values.reshape(())))
    per_channel = values.reshape(values.shape[0], -1) if values.shape[0] == channels else None
    if per_channel is None or (per_channel != per_channel[:, :1]).any():
        problems.append(
            f"{name} of shape {values.shape} differs within channels; a .net file has one number, "
            f"or one for each of {channels} channels"
        )
        return np.int64(0)
    return np.rint(per_channel[:, 0]).astype(np.int64)


def sum_of_all() -> LIF:
    """What stands for a neuron that a file leaves out: the sum of all that has arrived."""
    return LIF(du=FULL - 1, dv=0, vth=None)
