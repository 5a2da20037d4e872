"""What a population asks of its scale, once bias and gain are taken from its synapses."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._population import (
    SIGMA_DELTA,
    Part,
    Population,
    per_output,
    times_output,
)
from neurojax.chips.loihi._wanted import Wanted
from neurojax.chips.loihi.scales import Demand, round_decay
from neurojax.chips.loihi.spec import FULL, LoihiSpec


def take_biases(population: Population, need: Wanted) -> np.ndarray | None:
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


def take_gain(population: Population, need: Wanted, problems: list[Problem]) -> None:
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


def demand_of(
    population: Population, need: Wanted, bias: np.ndarray | None, chip: LoihiSpec
) -> Demand:
    """What the scale has to make room for."""
    du = round_decay(1 - need.current_lost, chip.current_decay, offset=1)
    adds_up = isinstance(population.neuron, SIGMA_DELTA)  # over all steps, so there is no bound
    return Demand(
        [part.weight for part in population.parts],
        _thresholds(need),
        on_grid=bias is None and keeps_grid(need, chip),
        largest_bias=0.0 if bias is None else float(np.max(np.abs(bias))),
        largest_sum=0.0 if adds_up else sum(_largest_sum(part) for part in population.parts),
        memory=float(np.max(FULL / np.maximum(du + 1, 1e-9))),
    )


def _thresholds(need: Wanted) -> np.ndarray | None:
    """All that the scale has to care for."""
    if need.threshold is None or need.threshold_low is None:
        return need.threshold
    return np.concatenate([need.threshold.ravel(), np.abs(need.threshold_low).ravel()])


def keeps_grid(need: Wanted, chip: LoihiSpec) -> bool:
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
