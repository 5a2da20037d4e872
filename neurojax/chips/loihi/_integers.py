"""A population and its synapses in integers: scale, mantissas, decays, threshold and bias."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer
from neurojax.chips._mapped import Problem
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi._messages import MESSAGE_BITS, in_integers, of_sigma_delta
from neurojax.chips.loihi._neuron import AbstractNeuron
from neurojax.chips.loihi._phase import PhaseExponential
from neurojax.chips.loihi._reading import (
    MESSAGES,
    SIGMA_DELTA,
    Part,
    Population,
    per_output,
    times_output,
)
from neurojax.chips.loihi._report import Origin, SynapseOrigin
from neurojax.chips.loihi._resonator import AbstractResonator
from neurojax.chips.loihi._wanted import Options, Wanted, wanted
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.scales import (
    FULL,
    Demand,
    Scaling,
    choose_scale,
    round_bias,
    round_decay,
    round_threshold,
)
from neurojax.chips.loihi.spec import STATE_BITS, STATE_SHIFT, LoihiSpec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.chips.loihi.weights import MantissaRange, mantissa_range
from neurojax.layers import Recurrent
from neurojax.surrogate import Surrogate


class Choices(NamedTuple):
    """Of the caller."""

    scale: float | Mapping[str, float] | None
    weight_bits: int
    exponent: int | None
    surrogate: Surrogate | None


class Made(NamedTuple):
    """A population in integers."""

    layers: dict[str, Layer]
    late: int
    origin: Origin


def map_population(
    population: Population,
    options: Options,
    choices: Choices,
    chip: LoihiSpec,
    problems: list[Problem],
) -> Made | None:
    """A population and its synapses in integers, or None with at least one problem."""
    count, name = len(problems), population.name
    asked = choices.scale.get(name) if isinstance(choices.scale, Mapping) else choices.scale
    for part in population.parts:
        _check_finite(part, problems)
    if isinstance(population.neuron, SIGMA_DELTA):
        need: Wanted | None = of_sigma_delta(population, asked, problems)
    elif any(part.carries == MESSAGES for part in population.parts):
        kind = type(population.neuron).__name__
        problems.append(
            Problem(
                name,
                f"{kind} neurons behind sigma-delta neurons",
                "changes of a value are no spikes",
                "use loihi.SigmaDelta, or loihi.Sigma at the output",
            )
        )
        return None
    elif isinstance(population.neuron, AbstractNeuron):
        need = _of_zoo(population, problems)
    else:
        has_bias = any(part.bias is not None for part in population.parts)
        feedback = population.recurrent
        need = wanted(name, population.neuron, options, has_bias, feedback, chip, problems)
    if need is None or len(problems) > count:
        return None
    total_bias = _take_biases(population, need)
    _take_gain(population, need, problems)
    if len(problems) > count:
        return None
    demand = _demand(population, need, total_bias, chip)
    fixed = need.scale if asked is None else float(asked)
    fixed_exponent = choices.exponent
    if fixed_exponent is None and need.scale is not None and asked is None:
        fixed_exponent = 0  # the grid of its training
    if population.from_host is not None:
        if fixed not in (None, population.from_host):
            problems.append(
                Problem(
                    name,
                    f"a scale of {fixed:g} of neurons that the host feeds",
                    f"its values count 1 / {population.from_host:g}",
                    f"use scale={population.from_host:g} for them",
                )
            )
            return None
        fixed = population.from_host
    try:
        scaling = choose_scale(
            demand, chip, bits=choices.weight_bits, scale=fixed, exponent=fixed_exponent
        )
    except ValueError as error:
        problems.append(
            Problem(
                name, str(error), f"thresholds are at most {chip.largest_threshold}", "lower it"
            )
        )
        return None
    return _build(population, need, total_bias, demand, scaling, choices, chip, problems)


def _of_zoo(population: Population, problems: list[Problem]) -> Wanted | None:
    """Neurons that stay what they are, in weight steps instead of units."""
    neuron: Any = population.neuron
    for bad, found, legal, remedy in (
        (
            any(part.bias is not None for part in population.parts),
            "a bias",
            f"{type(neuron).__name__} has none",
            "feed it from an input that always spikes",
        ),
        (
            any(getattr(neuron, f"{part}norm", None) for part in ("", "real_", "imag_")),
            "a norm",
            "the chip's neurons have none",
            "use norm=None",
        ),
        (neuron.graded, "graded spikes", "spikes are 0 or 1 so far", "use graded=False"),
    ):
        if bad:
            problems.append(Problem(population.name, found, legal, remedy))
            return None
    # What limits the headroom: the current, or the length of a complex state.
    lost = neuron.decay if isinstance(neuron, AbstractResonator) else neuron.current_decay
    return Wanted(
        current_lost=np.asarray(lost, np.float64),
        voltage_lost=np.full((), 0.5),
        threshold=None if neuron.threshold is None else np.asarray(neuron.threshold, np.float64),
        surrogate=neuron.surrogate,
        scale=float(neuron.scale),
    )


def _check_finite(part: Part, problems: list[Problem]) -> None:
    for what, values in (("weights", part.weight), ("bias", part.bias)):
        bad = 0 if values is None else int(np.sum(~np.isfinite(values)))
        if values is not None and bad:
            problems.append(
                Problem(
                    part.name,
                    f"{bad} of {values.size} values of the {what} are NaN or infinite",
                    "parameters are finite numbers",
                    "reload them, or lower the learning rate that made them",
                )
            )


def _take_biases(population: Population, need: Wanted) -> np.ndarray | None:
    """What reaches the membranes in each step, in units; the parts have no bias afterwards."""
    total: Any = None
    for part in population.parts:
        if part.bias is None:
            continue
        bias = part.bias.reshape(-1, *(1,) * (len(part.out_shape) - 1))
        if part.out_shape != population.shape:
            bias = np.broadcast_to(bias, part.out_shape).reshape(population.shape)
        total, part.bias = bias + (0 if total is None else total), None
    if total is not None:
        total = total * need.bias_gain
    if need.offset is not None:
        total = need.offset + (0 if total is None else total)
    return total


def _take_gain(population: Population, need: Wanted, problems: list[Problem]) -> None:
    """The neurons' input gain goes into the weights."""
    if np.all(need.gain == 1):
        return
    gain = per_output(need.gain, population.shape)
    for part in population.parts:
        whole = need.gain.size == 1
        if gain is None or not (
            whole or (part.out_shape == population.shape and part.out_axis == 0)
        ):
            problems.append(
                Problem(
                    population.name,
                    "an input gain that differs within a channel",
                    "it goes into the weights, which a channel shares",
                    "use one gain for each channel",
                )
            )
            return
        times_output(part, need.gain if whole else gain)


def _demand(
    population: Population, need: Wanted, bias: np.ndarray | None, chip: LoihiSpec
) -> Demand:
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    adds_up = isinstance(population.neuron, SIGMA_DELTA)  # over all steps, so there is no bound
    return Demand(
        [part.weight for part in population.parts],
        _thresholds(need),
        on_grid=bias is None and _keeps_grid(need, chip),
        largest_bias=0.0 if bias is None else float(np.max(np.abs(bias))),
        largest_sum=0.0 if adds_up else sum(_largest_sum(part) for part in population.parts),
        memory=float(np.max(FULL / np.maximum(du + 1, 1e-9))),
    )


def _thresholds(need: Wanted) -> np.ndarray | None:
    """All that the scale has to care for."""
    if need.threshold is None or need.threshold_low is None:
        return need.threshold
    return np.concatenate([need.threshold.ravel(), np.abs(need.threshold_low).ravel()])


def _keeps_grid(need: Wanted, chip: LoihiSpec) -> bool:
    """Without biases, the membrane is always a whole number of weight steps."""
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    dv = round_decay(1 - need.voltage_lost, chip.voltage_decay)
    return bool(np.all(du == FULL - 1) and np.all((dv == 0) | (dv == FULL)))


def _largest_sum(part: Part) -> float:
    """Of absolute weights that meet at one neuron; for transposed convolutions an upper bound."""
    if part.out_axis is None:
        return float(np.sum(np.abs(part.weight)))
    axes = tuple(i for i in range(part.weight.ndim) if i != part.out_axis)
    return float(np.max(np.sum(np.abs(part.weight), axis=axes), initial=0))


def _build(
    population: Population,
    need: Wanted,
    bias: np.ndarray | None,
    demand: Demand,
    scaling: Scaling,
    choices: Choices,
    chip: LoihiSpec,
    problems: list[Problem],
) -> Made | None:
    name, s = population.name, scaling.scale
    facts: dict[str, Any] = {}
    neuron: Layer
    if isinstance(population.neuron, SIGMA_DELTA):
        neuron = in_integers(population.neuron, s, choices.surrogate)
    elif isinstance(population.neuron, AbstractNeuron):
        neuron = _zoo(population.neuron, s, need, choices)
    else:
        neuron, facts = _neuron(need, bias, s, choices, chip)
    if facts.get("vth_low", 0) < 0 or facts.get("threshold_steps", 1.0) < 0.5:
        problems.append(
            Problem(
                name,
                f"a threshold of {facts['threshold_steps']:.3g} weight steps at the scale {s:.4g} "
                "that its largest weight allows",
                "a threshold is at least one step",
                "raise the threshold, or shrink the largest weights",
            )
        )
        return None
    layers: dict[str, Layer] = {}
    for part, e, sign, mantissas in zip(
        population.parts, scaling.exponents, scaling.signs, scaling.mantissas, strict=True
    ):
        held = part.build(jnp.asarray(mantissas, jnp.float32))
        width = MESSAGE_BITS if part.carries == MESSAGES else None
        layers[part.name] = Synapse(
            held, exponent=e, bits=choices.weight_bits, sign=sign, message_bits=width
        )
    for owner in {part.owner for part in population.parts if part.owner}:
        real, imag = (layers.pop(f"{owner}.{half}") for half in ("real", "imag"))
        layers[owner] = ComplexSynapse(real, imag)
    if population.recurrent:
        feedback = next(part for part in population.parts if part.feedback)
        neuron = Recurrent(neuron, layers.pop(feedback.name))
    layers[name] = neuron
    origin = Origin(
        name=name,
        scale=s,
        error=scaling.error,
        synapses=tuple(
            _synapse_origin(part, s, e, mantissas, mantissa_range(choices.weight_bits, sign))
            for part, e, sign, mantissas in zip(
                population.parts,
                scaling.exponents,
                scaling.signs,
                scaling.mantissas,
                strict=True,
            )
        ),
        threshold_error=facts.get("threshold_error", 0.0),
        current_error=facts.get("current_error", 0.0),
        voltage_error=facts.get("voltage_error", 0.0),
        bias_error=facts.get("bias_error", 0.0),
        worst=demand.largest_sum * s * (1 << STATE_SHIFT),
        memory=demand.memory,
        fires_later=facts.get("fires_later", False),
        notes=need.notes,
    )
    return Made(layers, need.late, origin)


def _zoo(neuron: Any, s: float, need: Wanted, choices: Choices) -> Layer:
    """A neuron of the zoo that counts in weight steps, s per unit."""
    assert need.surrogate is not None
    steps = {
        field: getattr(neuron, field) * s
        for field in neuron.thresholds
        if getattr(neuron, field) is not None
    }
    surrogate: Surrogate = InSteps(need.surrogate, s)
    if isinstance(need.surrogate, PhaseExponential):  # it has two derivatives, and says how
        surrogate = dataclasses.replace(need.surrogate, scale=need.surrogate.scale * s)
    if isinstance(neuron, AbstractResonator):
        steps["bits"] = STATE_BITS
    return dataclasses.replace(neuron, scale=1, surrogate=choices.surrogate or surrogate, **steps)


def _neuron(
    need: Wanted, bias: np.ndarray | None, s: float, choices: Choices, chip: LoihiSpec
) -> tuple[LIF, dict[str, Any]]:
    """The neuron in integers, and what rounding has cost."""
    steps = s * (1 << STATE_SHIFT)  # state steps per unit
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    dv = round_decay(1 - need.voltage_lost, chip.voltage_decay)
    facts: dict[str, Any] = {
        "current_error": _tau_error(need.current_lost, (du + 1) / FULL),
        "voltage_error": _tau_error(need.voltage_lost, dv / FULL),
    }
    fields: dict[str, Any] = {"du": du, "dv": dv}
    on_grid = _keeps_grid(need, chip)
    if bias is not None:
        mantissas, exponent = round_bias(bias * steps, chip)
        on_grid = on_grid and not np.any(mantissas * 2.0**exponent % (1 << STATE_SHIFT))
        fields["bias_mant"], fields["bias_exp"] = mantissas, exponent
        largest = float(np.max(np.abs(bias))) or 1.0
        facts["bias_error"] = float(
            np.max(np.abs(mantissas * 2.0**exponent / steps - bias)) / largest
        )
    vth = None
    if need.threshold is not None:
        vth = round_threshold(need.threshold * s, strict=need.strict, on_grid=on_grid)
        facts["threshold_steps"] = float(np.min(need.threshold * s))
        facts["vth_low"] = float(np.min(vth))
        relative = np.abs(vth / s - need.threshold) / need.threshold
        facts["threshold_error"] = 0.0 if on_grid else float(np.max(relative))
        fields["vth"] = np.maximum(vth, 0)  # one below 0 is refused by the caller
        facts["fires_later"] = not need.strict and not on_grid
    if need.threshold_low is not None:
        fields["vth_lo"] = -round_threshold(-need.threshold_low * s, strict=True, on_grid=on_grid)
    values = {
        field: _parameter(value, field in need.arrays)
        for field, value in fields.items()
        if field != "bias_exp"
    }
    surrogate = choices.surrogate
    if surrogate is None and need.surrogate is not None:
        surrogate = InSteps(need.surrogate, steps)
    if surrogate is not None:
        values["surrogate"] = surrogate
    values.setdefault("vth", None)
    neuron = LIF(
        **values,
        bias_exp=fields.get("bias_exp", 0),
        refractory=need.refractory,
        graded=need.graded,
        reset_gradient=need.reset_gradient,
    )
    return neuron, facts


def _parameter(values: np.ndarray, array: bool) -> Any:
    """A parameter where the network had one, a constant where it had a constant."""
    values = np.asarray(values)
    return jnp.asarray(values, jnp.float32) if array or values.ndim else int(values)


def _tau_error(wanted: np.ndarray, lost: np.ndarray) -> float:
    """Largest relative error of a time constant -1 / ln(1 - lost)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        before, after = (-1 / np.log1p(-np.minimum(x, 1)) for x in (wanted, lost))
        relative = np.abs(after / before - 1)
    same = np.isclose(wanted, lost, rtol=0, atol=1e-12)
    return float(np.max(np.where(same, 0.0, np.where(np.isnan(relative), np.inf, relative))))


def _synapse_origin(
    part: Part, s: float, exponent: int, mantissas: np.ndarray, legal: MantissaRange
) -> SynapseOrigin:
    held = mantissas * 2.0**exponent / s
    norm = float(np.sqrt(np.sum(part.weight**2))) or 1.0
    wanted_steps = part.weight * (s / 2.0**exponent)
    off = np.abs(held - part.weight)
    low, high, step = legal
    return SynapseOrigin(
        name=part.name,
        kind=part.kind,
        made_of=tuple(part.made_of),
        rms_error=float(np.sqrt(np.sum(off**2))) / norm,
        largest_error=float(np.max(off, initial=0)),
        vanished=int(np.sum((part.weight != 0) & (mantissas == 0))),
        clipped=int(np.sum((wanted_steps > high + step / 2) | (wanted_steps < low - step / 2))),
        size=part.weight.size,
    )
