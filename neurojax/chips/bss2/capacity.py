"""Does a network fit on the chip, and how? Placement and routing in one, all findings at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2.demand import Demand, read_network, with_circuits
from neurojax.chips.bss2.placement import Placement, across_buses, in_rows, place
from neurojax.chips.bss2.routing import Routing, route
from neurojax.chips.bss2.spec import (
    SHARED,
    TARGET_RANGES,
    CalibrationTarget,
    ChipSpec,
    chip as default_chip,
)

PLACEMENTS = ("auto", "first_fit")
LARGEST_SEARCH = 64
"""Placements that `"auto"` tries."""


@dataclass(frozen=True, eq=False)
class Fit:
    """A network on the chip.

    Attributes:
        demand: Its populations and projections.
        placement: The circuits of its neurons; None if there is no room for them.
        routing: The rows of its synapses; None without a placement.
        problems: Every reason why it does not fit; empty if it does.
    """

    demand: Demand
    placement: Placement | None
    routing: Routing | None
    problems: tuple[Problem, ...]


def fit(
    demand: Demand | Network,
    *,
    placement: str | Mapping[str, Any] = "auto",
    circuits: int | Mapping[str, int] | None = None,
    expand_horizontally: bool = False,
    fixed_signs: bool = False,
    chip: ChipSpec = default_chip,
) -> Fit:
    """Place neurons and route their synapses.

    Args:
        demand: The network, or its populations and projections.
        placement: `"first_fit"` gives neurons the first free circuits, as hxtorch does. `"auto"`
            does so if the synapses then have room, and else tries other hemispheres, and to spread
            neurons over the buses. `{name: (row, column) of each neuron}` by hand, or of some
            populations only.
        circuits, expand_horizontally, fixed_signs: See `read_network`.
        chip: The chip.

    Returns:
        Where everything is, or what is in the way.

    Raises:
        ValueError: Populations that don't exist, or an unknown option.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> keys = jax.random.split(jax.random.key(0))
        >>> net = nj.Sequential((5,), nj.Linear(5, 120, key=keys[0]), hidden=bss2.LIF(),
        ...                     out=nj.Linear(120, 3, key=keys[1]), readout=bss2.LI())
        >>> found = bss2.fit(net)
        >>> found.problems, found.placement.used, found.routing.drivers().sum()
        ((), 123, 125)
    """
    problems: list[Problem] = []
    if isinstance(demand, Network):
        demand, problems = read_network(
            demand,
            circuits=circuits,
            expand_horizontally=expand_horizontally,
            fixed_signs=fixed_signs,
        )
    elif circuits is not None:
        raise ValueError("circuits is for a Network; populations have their shapes already")
    if isinstance(placement, str) and placement not in PLACEMENTS:
        raise ValueError(
            f"placement is {placement!r}; use {' or '.join(map(repr, PLACEMENTS))}, or say where "
            "each neuron is"
        )
    by_hand = {} if isinstance(placement, str) else placement
    first = _attempt(demand, by_hand, {}, chip)
    if first.problems and placement == "auto":
        for other, orders in _alternatives(demand, circuits, chip):
            found = _attempt(other, {}, orders, chip)
            if not found.problems:
                first = found
                break
    return Fit(first.demand, first.placement, first.routing, (*problems, *first.problems))


def capacity(network: Network, **options: Any) -> list[Problem]:
    """Why a network does not fit on the chip: every reason at once; empty if it does.

    Args:
        network: The network.
        **options: See `fit`.
    """
    return list(fit(network, **options).problems)


def _attempt(
    demand: Demand, by_hand: Mapping[str, Any], orders: Mapping[str, Any], chip: ChipSpec
) -> Fit:
    placement, problems = place(demand, by_hand, orders=orders, chip=chip)
    if placement is None:
        return Fit(demand, None, None, tuple(problems))
    routing = route(demand, placement, chip)
    return Fit(demand, placement, routing, routing.problems)


def _alternatives(demand: Demand, circuits: Any, chip: ChipSpec) -> Iterator[tuple[Demand, Any]]:
    """Other placements to try: a hemisphere for each population, side by side or spread."""
    neurons = [p.name for p in demand.populations if not p.external]
    rows = list(itertools.islice(itertools.product((0, 1), repeat=len(neurons)), LARGEST_SEARCH))
    for grown in _sizes(demand, circuits):
        for spread in (in_rows, across_buses):
            for choice in rows:
                yield (
                    grown,
                    {name: spread(chip, row) for name, row in zip(neurons, choice, strict=True)},
                )


def _sizes(demand: Demand, circuits: Any) -> Iterator[Demand]:
    """The network, and with more circuits for neurons whose number was not asked for."""
    yield demand
    if isinstance(circuits, int):
        return
    merged = {p.name: p.shape.size for p in demand.populations if p.shape and p.shape.size > 1}
    merged = {name: size for name, size in merged.items() if name not in (circuits or {})}
    larger = {name: 1 << (size - 1).bit_length() for name, size in merged.items()}
    if larger != merged:
        yield with_circuits(demand, larger)


def check_targets(targets: Mapping[str, CalibrationTarget]) -> list[Problem]:
    """What is wrong with the calibration targets of populations, each alone and together.

    Args:
        targets: Targets by population.

    Example:
        >>> from neurojax.chips.bss2 import CalibrationTarget, check_targets
        >>> targets = {"a": CalibrationTarget(tau_mem=1e-3), "b": CalibrationTarget(i_synin_gm=400)}
        >>> for problem in check_targets(targets):
        ...     print(problem)
        layer 'a': calibration target tau_mem is 0.001; 5e-07..6e-05 can be calibrated; change it
        network: i_synin_gm is 500 for 'a' and 400 for 'b'; the chip has one value; give all populations the same
    """  # noqa: E501
    problems = []
    for name, target in targets.items():
        for field, legal in TARGET_RANGES.items():
            value = np.asarray(getattr(target, field), float)
            wrong = value[~((value >= legal.low) & (value <= legal.high))]
            if wrong.size:
                problems.append(
                    Problem(
                        name,
                        f"calibration target {field} is {float(wrong.ravel()[0]):g}",
                        f"{legal} can be calibrated",
                        "change it",
                    )
                )
    for field in SHARED:
        values = {name: getattr(target, field) for name, target in targets.items()}
        if len(set(values.values())) > 1:
            found = " and ".join(f"{value} for '{name}'" for name, value in values.items())
            problems.append(
                Problem(
                    "network",
                    f"{field} is {found}",
                    "the chip has one value",
                    "give all populations the same",
                )
            )
    return problems
