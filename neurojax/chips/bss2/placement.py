"""Which circuits of the chip hold which neurons.

References:
    hxtorch (3bfc7aa), `hxtorch.spiking.neuron_placement.NeuronPlacement`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

from neurojax._graph import nearest
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2.demand import Demand, Population
from neurojax.chips.bss2.morphology import Circuit, SingleCompartmentNeuron
from neurojax.chips.bss2.spec import ChipSpec, chip as default_chip

ONE = SingleCompartmentNeuron()
LISTED = 5
"""Wrong places that an error names at most."""


class NeuronPlacement:
    """Circuits given out to neurons, one after the other.

    Example:
        >>> from neurojax.chips.bss2 import NeuronPlacement, SingleCompartmentNeuron
        >>> placement = NeuronPlacement()
        >>> placement.register([0, 1], SingleCompartmentNeuron(2))
        >>> placement.register(2, at=(1, 7))
        >>> placement[1], placement[2]
        ((Circuit(row=0, column=1), Circuit(row=1, column=1)), (Circuit(row=1, column=7),))
    """

    def __init__(self, chip: ChipSpec = default_chip) -> None:
        self.chip = chip
        self._places: dict[Hashable, tuple[Circuit, ...]] = {}
        self._used: set[Circuit] = set()

    def __getitem__(self, neuron: Hashable) -> tuple[Circuit, ...]:
        return self._places[neuron]

    def register(
        self,
        neurons: int | Iterable[Hashable],
        shape: SingleCompartmentNeuron = ONE,
        *,
        at: Any = None,
        order: Sequence[Circuit] | None = None,
    ) -> None:
        """Give circuits to neurons.

        Args:
            neurons: A number, or another key, of the caller's choice for each neuron.
            shape: Their circuits.
            at: Place of the first circuit of each neuron, as (row, column).
            order: Places to try without `at`; by default the upper row from left to right, then
                the lower one. The first one where all circuits are free is taken.

        Raises:
            ValueError: No room is left; `at` names circuits that are taken or don't exist, all of
                which are listed, or has another number of places than there are neurons. Neurons
                that are not named have got their circuits.
        """
        numbers: list[Hashable] = [neurons] if isinstance(neurons, int) else list(neurons)
        if at is None:
            # What has no room for one of them has none for the next.
            candidates = iter(in_rows(self.chip) if order is None else order)
            for number in numbers:
                self._take(number, self._first_fit(number, shape, candidates))
            return
        places = np.asarray(at, int).reshape(-1, 2).tolist()
        if len(places) != len(numbers):
            raise ValueError(f"{len(numbers)} neurons, but {len(places)} places for them")
        wrong = []
        for number, place in zip(numbers, places, strict=True):
            anchor = Circuit(*place)
            if not shape.fits(anchor, self.chip):
                wrong.append(
                    f"neuron {number} at row {anchor.row}, column {anchor.column}: its "
                    f"{shape.size} circuits don't lie on the chip, in one half of it; rows are "
                    f"0..{self.chip.hemispheres - 1}, columns 0..{self.chip.columns - 1}, the "
                    f"halves meet at {self.chip.half}"
                )
                continue
            circuits = shape.at(anchor)
            taken = [circuit for circuit in circuits if circuit in self._used]
            if taken:
                wrong.append(
                    f"neuron {number}: the circuit at row {taken[0].row}, column "
                    f"{taken[0].column} is taken"
                )
            else:
                self._take(number, circuits)
        if wrong:
            more = f"; and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
            raise ValueError("; ".join(wrong[:LISTED]) + more)

    def _take(self, number: Hashable, circuits: tuple[Circuit, ...]) -> None:
        if number in self._places:
            raise ValueError(f"neuron {number} has circuits already")
        self._used.update(circuits)
        self._places[number] = circuits

    def _first_fit(
        self, number: Hashable, shape: SingleCompartmentNeuron, candidates: Iterator[Circuit]
    ) -> tuple[Circuit, ...]:
        for anchor in candidates:
            if anchor not in self._used and shape.fits(anchor, self.chip):
                circuits = shape.at(anchor)
                if self._used.isdisjoint(circuits):
                    return circuits
        raise ValueError(
            f"no room for neuron {number} with {shape.size} circuits; "
            f"{len(self._used)} of {self.chip.circuits} are taken"
        )


def in_rows(chip: ChipSpec = default_chip, first: int = 0) -> list[Circuit]:
    """All circuits, row by row, left to right."""
    rows = [(first + i) % chip.hemispheres for i in range(chip.hemispheres)]
    return [Circuit(row, column) for row in rows for column in range(chip.columns)]


def across_buses(chip: ChipSpec = default_chip, first: int = 0) -> list[Circuit]:
    """All circuits, so that neighbours in the list send on different buses."""
    width = chip.columns_per_output
    rows = [(first + i) % chip.hemispheres for i in range(chip.hemispheres)]
    groups = range(0, chip.columns, width)
    return [Circuit(row, start + i) for row in rows for i in range(width) for start in groups]


@dataclass(frozen=True, eq=False)
class Placement:
    """The circuits of every neuron.

    Attributes:
        circuits: By population, (row, column) of each circuit of each neuron, the first circuit
            first.
    """

    circuits: Mapping[str, Int[np.ndarray, "neurons circuits 2"]]

    def anchors(self, name: str) -> Int[np.ndarray, "neurons 2"]:
        """(row, column) of the first circuit of each neuron: where it spikes and is read out."""
        return self.circuits[name][:, 0]

    @property
    def used(self) -> int:
        """Circuits that are in use."""
        return sum(places.shape[0] * places.shape[1] for places in self.circuits.values())


def place(
    demand: Demand,
    by_hand: Mapping[str, Any] | None = None,
    *,
    orders: Mapping[str, Sequence[Circuit]] | None = None,
    chip: ChipSpec = default_chip,
) -> tuple[Placement | None, list[Problem]]:
    """Give every neuron its circuits: first those that are placed by hand, then first fit.

    Args:
        demand: What needs room.
        by_hand: By population, (row, column) of the first circuit of each neuron.
        orders: By population, the places to try, see `NeuronPlacement.register`.
        chip: The chip.

    Returns:
        The placement, or None and every reason why there is none.

    Raises:
        ValueError: `by_hand` names a population that does not exist.
    """
    by_hand, orders = dict(by_hand or {}), dict(orders or {})
    neurons = [p for p in demand.populations if not p.external]
    names = [p.name for p in neurons]
    for name in by_hand:
        if name not in names:
            raise ValueError(f"placement of '{name}': no such neurons; {nearest(name, names)}")
    needed = sum(p.size * _shape(p).size for p in neurons)
    if needed > chip.circuits:
        return None, [_too_many(neurons, needed, chip)]
    allotted = NeuronPlacement(chip)
    problems = []
    # What is placed by hand comes first, so that nothing else is in its way.
    for population in sorted(neurons, key=lambda p: p.name not in by_hand):
        name, shape = population.name, _shape(population)
        keys = [(name, i) for i in range(population.size)]
        try:
            allotted.register(keys, shape, at=by_hand.get(name), order=orders.get(name))
        except (ValueError, TypeError) as error:
            problems.append(
                Problem(
                    name,
                    f"can't be placed: {error}",
                    f"the chip has {chip.hemispheres} rows of {chip.columns} circuits",
                    "place it elsewhere" if name in by_hand else "use fewer or smaller neurons",
                )
            )
    if problems:
        return None, problems
    return Placement(
        {p.name: np.array([allotted[p.name, i] for i in range(p.size)], int) for p in neurons}
    ), []


def _shape(population: Population) -> SingleCompartmentNeuron:
    assert population.shape is not None
    return population.shape


def _too_many(neurons: Sequence[Population], needed: int, chip: ChipSpec) -> Problem:
    parts = ", ".join(
        f"'{p.name}' {p.size}" + (f" x {_shape(p).size}" if _shape(p).size > 1 else "")
        for p in neurons
    )
    return Problem(
        "network",
        f"needs {needed} circuits ({parts})",
        f"the chip has {chip.circuits}",
        "use fewer neurons, or fewer inputs a neuron so that it needs fewer circuits",
    )
