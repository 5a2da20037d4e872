"""Sigma-delta neurons of a network in Lava's integers.

They exchange changes of a value instead of spikes: integers, 64 `scale` to a unit. All sums stay
exact, so the mapped network computes what slayer's does, in other units.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._population import MESSAGES, SIGMA_DELTA, Population
from neurojax.chips.loihi._wanted import Wanted
from neurojax.chips.loihi.sigma_delta import Delta, Sigma
from neurojax.chips.loihi.spec import STATE_SHIFT
from neurojax.surrogate import Surrogate


def of_sigma_delta(
    population: Population, asked: float | None, problems: list[Problem]
) -> Wanted | None:
    """What such neurons ask for: only a scale, if the caller has none. None with a problem."""
    neuron: Any = population.neuron
    scale = neuron.scale if asked is None else asked
    count = len(problems)

    def refuse(found: str, legal: str, remedy: str) -> None:
        problems.append(Problem(population.name, found, legal, remedy))

    chips = neuron.scale is None if isinstance(neuron, Sigma) else neuron.integers_of_lava
    if chips:
        refuse("integers of Lava", "it is the chip's already", "map the one that it was made from")
        return None
    if any(part.bias is not None for part in population.parts):
        refuse(
            "a bias of the synapses, which a sum would add again in each step",
            "sigma-delta neurons add their own bias to the sum",
            "give it to the neurons: SigmaDelta(bias=...)",
        )
    if population.recurrent:
        refuse("sigma-delta neurons in a Recurrent", "they have no feedback", "use LIF neurons")
    if isinstance(neuron, Delta) and population.parts:
        refuse(
            "a Delta behind synapses",
            "it encodes the values that the host feeds",
            "use SigmaDelta",
        )
    elif not isinstance(neuron, Delta) and (
        population.from_host is not None or any(p.carries != MESSAGES for p in population.parts)
    ):
        refuse(
            "sigma-delta neurons behind spikes, or behind inputs that are not encoded",
            "they add up the messages of other sigma-delta neurons",
            "begin the network with loihi.Delta",
        )
    try:
        in_integers(neuron, scale)
    except ValueError as error:
        found = str(error).partition(": ")[2] or str(error)
        refuse(found, "the chip's neurons have integers only", "change it, and train with it")
    notes = []
    if isinstance(neuron, Delta):
        notes.append(
            f"'{population.name}' takes {scale:g} times the values of the network before, "
            "rounded to even integers of -256..254"
        )
    if isinstance(neuron, Sigma):
        unit = int(scale) ** 2 << STATE_SHIFT
        notes.append(f"'{population.name}': its output counts {unit:,} to a unit")
    return (
        Wanted(
            current_lost=np.ones(()),
            voltage_lost=np.ones(()),
            threshold=None,
            scale=float(neuron.scale),
            notes=tuple(notes),
        )
        if len(problems) == count
        else None
    )


def in_integers(neuron: Any, scale: float, surrogate: Surrogate | None = None) -> Layer:
    """The neuron with weights of so many steps per unit.

    Raises:
        ValueError: Lava does not have its activation, norm or scale.
    """
    if isinstance(neuron, Sigma):
        return dataclasses.replace(neuron, scale=None)
    own = neuron if scale == neuron.scale else dataclasses.replace(neuron, scale=scale)
    chip = own.in_integers()
    return chip if surrogate is None else dataclasses.replace(chip, surrogate=surrogate)


def check_units(scales: dict[str, float], neurons: dict[str, Layer]) -> list[Problem]:
    """Sigma-delta neurons share one scale, because a message counts in that of its sender."""
    found = {name: s for name, s in scales.items() if isinstance(neurons[name], SIGMA_DELTA)}
    if len(set(found.values())) < 2:
        return []
    text = ", ".join(f"'{name}' {scale:g}" for name, scale in found.items())
    return [
        Problem(
            "network",
            f"sigma-delta neurons with different scales: {text}",
            "what one sends counts in its scale",
            "use the same scale for all",
        )
    ]
