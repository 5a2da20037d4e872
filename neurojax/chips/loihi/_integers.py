"""A population and its synapses in integers: scale, mantissas, decays, threshold and bias."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer
from neurojax.chips._checks import check_finite
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._demand import demand_of, take_biases, take_gain
from neurojax.chips.loihi._integer_neurons import lif_in_integers, zoo_in_integers
from neurojax.chips.loihi._messages import in_integers, of_sigma_delta
from neurojax.chips.loihi._neuron import AbstractNeuron
from neurojax.chips.loihi._population import MESSAGES, SIGMA_DELTA, Part, Population
from neurojax.chips.loihi._report import Origin, SynapseOrigin
from neurojax.chips.loihi._resonator import AbstractResonator
from neurojax.chips.loihi._wanted import Options, Wanted, wanted
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.scales import Demand, Scaling, choose_scale
from neurojax.chips.loihi.spec import MESSAGE_BITS, STATE_SHIFT, LoihiSpec
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
        problems.extend(check_finite("weights", part.weight, part.name))
        problems.extend(check_finite("bias", part.bias, part.name))
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
    total_bias = take_biases(population, need)
    take_gain(population, need, problems)
    if len(problems) > count:
        return None
    demand = demand_of(population, need, total_bias, chip)
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
        neuron = zoo_in_integers(population.neuron, s, need, choices.surrogate)
    else:
        neuron, facts = lif_in_integers(need, bias, s, choices.surrogate, chip)
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
    for owner in dict.fromkeys(part.owner for part in population.parts if part.owner):
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
