"""Does a network fit on the chip, and how? Placement and routing in one, all findings at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2.demand import Demand, read_network
from neurojax.chips.bss2.morphology import Circuit, SingleCompartmentNeuron
from neurojax.chips.bss2.placement import Placement, across_buses, in_rows, place
from neurojax.chips.bss2.routing import Routing, route
from neurojax.chips.bss2.spec import (
    POTENTIALS,
    SHARED,
    TARGET_RANGES,
    TIMES,
    CalibrationTarget,
    ChipSpec,
    chip as default_chip,
)

PLACEMENTS = ("auto", "first_fit")
LARGEST_SEARCH = 64
"""Placements that `"auto"` tries at most."""


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
    expand_horizontally: bool | Mapping[str, bool] = False,
    fixed_signs: bool = False,
    chip: ChipSpec = default_chip,
) -> Fit:
    """Place neurons and route their synapses.

    Args:
        demand: The network, or its populations and projections.
        placement: `"first_fit"` gives neurons the first free circuits, as hxtorch does. `"auto"`
            does so if the synapses then have room. Else it tries other hemispheres, to spread
            neurons over the buses, and other shapes of neurons where `circuits` does not say them.
            `{name: (row, column) of each neuron}` by hand, or of some populations only.
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
        >>> found.problems, found.placement.used, len(found.routing.groups)
        ((), 123, 5)
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
        others = itertools.islice(_alternatives(demand, circuits, chip), LARGEST_SEARCH)
        for other, orders in others:
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
    """Other placements to try: a hemisphere for each population, side by side or spread, and other
    shapes of the neurons."""
    places = list(itertools.islice(_orders(demand, chip), LARGEST_SEARCH // 2))
    yield from ((demand, orders) for orders in places)
    shapes = list(_shapes(demand, circuits))
    yield from ((reshaped, orders) for orders in places for reshaped in shapes)


def _orders(demand: Demand, chip: ChipSpec) -> Iterator[dict[str, list[Circuit]]]:
    """Where to look for free circuits, by population."""
    neurons = [p.name for p in demand.populations if not p.external]
    # The hemispheres are alike, so the first population can stay in the upper one.
    for others in itertools.product((0, 1), repeat=max(0, len(neurons) - 1)):
        for spread in (in_rows, across_buses):
            yield {name: spread(chip, row) for name, row in zip(neurons, (0, *others), strict=True)}


def _shapes(demand: Demand, circuits: Any) -> Iterator[Demand]:
    """The network with other shapes of its neurons, as far as they were not asked for."""
    given = [p.name for p in demand.populations] if isinstance(circuits, int) else circuits or {}
    shapes = {p.name: p.shape for p in demand.populations if p.shape and p.name not in given}
    sizes = {name: shape.size for name, shape in shapes.items()}
    tried = [sizes]
    for factor in (1, 2, 4):
        # Whole powers of two leave no gaps; more circuits take fewer rows each.
        grown = {n: 1 << (s - 1).bit_length() if s > 1 else factor for n, s in sizes.items()}
        kept = {n: s if s > 1 else factor for n, s in sizes.items()}
        for option in (grown, kept):
            needed = sum(demand.population(n).size * s for n, s in option.items())
            if option not in tried and needed <= default_chip.circuits:
                tried.append(option)
    for i, option in enumerate(tried):
        for horizontal in (False, True):
            if (i or horizontal) and max(option.values(), default=1) > 1:
                yield demand.reshaped(
                    {n: SingleCompartmentNeuron(s, horizontal) for n, s in option.items()}
                )


def check_targets(targets: Mapping[str, CalibrationTarget]) -> list[Problem]:
    """What is wrong with the calibration targets of populations, each alone and together.

    Args:
        targets: Targets by population.

    Example:
        >>> from neurojax.chips.bss2 import CalibrationTarget, check_targets
        >>> targets = {"a": CalibrationTarget(tau_mem=1e-3), "b": CalibrationTarget(i_synin_gm=400)}
        >>> for problem in check_targets(targets):
        ...     print(problem)
        layer 'a': calibration target tau_mem is 1000 us; 0.5..60 us can be calibrated; change tau_mem
        network: i_synin_gm is 500 for 'a' and 400 for 'b'; the chip has one value; give all populations the same
    """  # noqa: E501
    problems = []
    for name, target in targets.items():
        for field, legal in TARGET_RANGES.items():
            value = np.asarray(getattr(target, field), float)
            wrong = value[~((value >= legal.low) & (value <= legal.high))]
            if wrong.size:
                factor, unit = (1e6, " us") if field in TIMES else (1, "")
                wanted = f"{float(wrong.ravel()[0]) * factor:g}{unit}"
                known = f"{legal.low * factor:g}..{legal.high * factor:g}{unit}"
                # In steps of the CADC, whose size is a matter of the mapping.
                remedy = ", or map with another trace_scale" if field in POTENTIALS else ""
                problems.append(
                    Problem(
                        name,
                        f"calibration target {field} is {wanted}",
                        f"{known} can be calibrated",
                        f"change {field}{remedy}",
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
