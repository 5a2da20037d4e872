"""Which synapse rows a network takes: a constructive assignment, and what does not fit.

A neuron's spikes go out on the bus of its column; the host's go in on any. A bus reaches the 32
drivers of either hemisphere, and a driver two synapse rows, each excitatory or inhibitory. An event
says who it is from in two parts: five bits that drivers compare, so that a group of sources has
drivers of its own, and six that every synapse compares, so that up to 64 sources share a group. In
a column, each source of a group needs a row, and one more for the other sign.

The steps are those of the vendor's router, so that what fits here should fit there: synapses of a
neuron with several circuits take them in turn; each group takes as many drivers as its neuron with
the most synapses needs; what comes from the host is put on the buses one after the other. The
vendor's software routes again: an assignment of ours proves that there is room.

References:
    grenade, `vx/network/routing/greedy` and `build_connection_routing`; halco for the coordinates.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Int
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from neurojax.chips._mapped import Problem
from neurojax.chips.bss2.demand import Demand
from neurojax.chips.bss2.placement import Placement
from neurojax.chips.bss2.spec import ChipSpec, chip as default_chip


class Synapses(NamedTuple):
    """All synapses of a network on the chip, as columns of a table."""

    projection: Int[np.ndarray, " n"]  # by position in the demand
    source: Int[np.ndarray, " n"]  # among all sources, those of the first population first
    target: Int[np.ndarray, " n"]  # neuron within its population
    sign: Int[np.ndarray, " n"]  # 1 excitatory, -1 inhibitory
    hemisphere: Int[np.ndarray, " n"]
    column: Int[np.ndarray, " n"]
    row: Int[np.ndarray, " n"]  # of the hemisphere's 256; -1 if there was no room


class Driver(NamedTuple):
    """A driver that lets the events of a group in."""

    number: int  # on its bus
    mask: int  # bits of the row address that it compares with its number


class Group(NamedTuple):
    """Sources on a bus that have drivers of their own."""

    hemisphere: int
    bus: int
    host: bool  # their spikes come from the host
    sources: tuple[int, ...]  # among all sources; the position is the label
    address: int  # the five bits that drivers compare
    drivers: tuple[Driver, ...]
    excitatory_rows: tuple[int, ...]  # of the hemisphere's 256
    inhibitory_rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Routing:
    """Rows for synapses.

    Attributes:
        groups: Sources that share drivers, with these.
        synapses: Every synapse with its place.
        first_source: Number of the first source of each population.
        problems: What does not fit; empty if everything has got its place.
    """

    groups: tuple[Group, ...]
    synapses: Synapses
    first_source: Mapping[str, int]
    problems: tuple[Problem, ...]

    def rows(self, chip: ChipSpec = default_chip) -> Int[np.ndarray, "hemispheres 256"]:
        """What each synapse row is: 1 excitatory, -1 inhibitory, 0 off."""
        modes = np.zeros((chip.hemispheres, chip.rows), int)
        for group in self.groups:
            modes[group.hemisphere, list(group.excitatory_rows)] = 1
            modes[group.hemisphere, list(group.inhibitory_rows)] = -1
        return modes

    def drivers(self, chip: ChipSpec = default_chip) -> Int[np.ndarray, "hemispheres buses"]:
        """Drivers in use on each bus."""
        counts = np.zeros((chip.hemispheres, chip.buses), int)
        for group in self.groups:
            counts[group.hemisphere, group.bus] += len(group.drivers)
        return counts


def physical_row(bus: int, driver: int, which: int, chip: ChipSpec = default_chip) -> int:
    """Number of a synapse row in its hemisphere: the drivers of the buses alternate."""
    return chip.rows_per_driver * (driver * chip.buses + bus) + which


def bus_of(column: int | np.ndarray, chip: ChipSpec = default_chip) -> int | np.ndarray:
    """The bus on which the neurons of a column send, in either hemisphere."""
    return column // chip.columns_per_output % chip.buses


def route(demand: Demand, placement: Placement, chip: ChipSpec = default_chip) -> Routing:
    """Find a row for every synapse.

    Args:
        demand: Populations and projections.
        placement: The circuits of the neurons.
        chip: The chip.
    """
    sizes = [p.size for p in demand.populations]
    starts = np.cumsum([0, *sizes]).tolist()
    first = dict(zip([p.name for p in demand.populations], starts, strict=False))
    synapses = _wire(demand, placement, first)
    problems = _too_many_rows(demand, synapses, chip)
    if problems:
        return Routing((), synapses, first, tuple(problems))
    wanted = list(_internal(demand, placement, first, synapses, chip))
    taken = _load(wanted, chip)
    problems = _overfull_buses(demand, first, wanted, taken, chip)
    hosts, missing = _from_host(demand, synapses, taken, chip)
    wanted += hosts
    if missing:
        problems.append(missing)
    groups: list[Group] = []
    for bus in range(chip.buses):
        found = _allocate([w for w in wanted if w.bus == bus], chip) if not problems else None
        if found is None and not problems:
            problems.append(_no_addresses(bus, chip))
        groups += found or []
    if problems:
        return Routing((), synapses, first, tuple(problems))
    return Routing(tuple(groups), _rows(synapses, groups), first, ())


# Synapses ----------------------------------------------------------------------------------------


def _wire(demand: Demand, placement: Placement, first: Mapping[str, int]) -> Synapses:
    """The circuit of every synapse; those of a neuron take its circuits in turn."""
    parts = []
    for number, p in enumerate(demand.projections):
        for sign, mask in ((1, p.excitatory), (-1, p.inhibitory)):
            post, pre = np.nonzero(mask)
            known = np.full((3, len(post)), [[number], [sign], [first[p.target]]])
            parts.append(np.stack([known[0], first[p.source] + pre, post, known[1], known[2]]))
    empty = np.zeros((5, 0), int)
    projection, source, target, sign, offset = np.concatenate([empty, *parts], axis=1)
    turn = _counted(target + offset)
    place = np.zeros((len(turn), 2), int)
    for name, circuits in placement.circuits.items():
        mine = offset == first[name]
        place[mine] = circuits[target[mine], turn[mine] % circuits.shape[1]]
    hemisphere, column = place.T
    return Synapses(projection, source, target, sign, hemisphere, column, np.full(len(turn), -1))


def _counted(keys: np.ndarray) -> np.ndarray:
    """For each entry how many equal ones come before it."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    new = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]][: len(keys)])
    lengths = np.diff(np.r_[new, len(keys)])
    counts = np.empty(len(keys), int)
    counts[order] = np.arange(len(keys)) - np.repeat(new, lengths)
    return counts


# Groups ------------------------------------------------------------------------------------------


class _Wanted(NamedTuple):
    """A group before it has drivers."""

    hemisphere: int
    bus: int
    host: bool
    sources: tuple[int, ...]
    addresses: tuple[int, ...]  # that it may have
    excitatory: int  # rows
    inhibitory: int

    @property
    def drivers(self) -> int:
        return -(-(self.excitatory + self.inhibitory) // default_chip.rows_per_driver)


def _internal(
    demand: Demand,
    placement: Placement,
    first: Mapping[str, int],
    synapses: Synapses,
    chip: ChipSpec,
) -> Iterator[_Wanted]:
    """Neurons on the chip: a group for each half of the chip and bus."""
    columns = np.full(sum(p.size for p in demand.populations), -1)
    for name in placement.circuits:
        anchors = placement.anchors(name)
        columns[first[name] : first[name] + len(anchors)] = anchors[:, 1]
    for output in range(chip.columns // chip.columns_per_output):
        members = columns // chip.columns_per_output == output
        members &= np.isin(np.arange(len(columns)), synapses.source)
        bus, half = output % chip.buses, output // chip.buses
        # The three upper bits of a neuron's event follow from where it is.
        base = bus << 2 | half << 4
        for h in range(chip.hemispheres):
            here = (synapses.hemisphere == h) & members[synapses.source]
            rows = [_most(synapses.column[here & (synapses.sign == s)], chip) for s in (1, -1)]
            if here.any():
                sources = tuple(np.flatnonzero(members).tolist())
                yield _Wanted(h, bus, False, sources, tuple(base + i for i in range(4)), *rows)


def _most(columns: np.ndarray, chip: ChipSpec) -> int:
    return int(np.bincount(columns, minlength=chip.columns).max())


def _load(wanted: Sequence[_Wanted], chip: ChipSpec) -> np.ndarray:
    """Drivers that are wanted on each bus."""
    load = np.zeros((chip.hemispheres, chip.buses), int)
    for group in wanted:
        load[group.hemisphere, group.bus] += group.drivers
    return load


def _from_host(
    demand: Demand, synapses: Synapses, taken: np.ndarray, chip: ChipSpec
) -> tuple[list[_Wanted], Problem | None]:
    """What the host sends, on the buses one after the other, as long as drivers are left."""
    external = {p.name for p in demand.populations if p.external}
    hosts = np.array([p.source in external for p in demand.projections], bool)
    groups: list[_Wanted] = []
    addresses = tuple(range(chip.row_addresses))
    for h in range(chip.hemispheres):
        mine = (synapses.hemisphere == h) & hosts[synapses.projection]
        sources, index = np.unique(synapses.source[mine], return_inverse=True)
        # For each source its synapses by column, of either sign.
        degree = np.zeros((len(sources), 2, chip.columns), np.int16)
        np.add.at(degree, (index, (synapses.sign[mine] < 0).astype(int), synapses.column[mine]), 1)
        start = 0
        for bus in range(chip.buses):
            left = int(chip.drivers - taken[h, bus])
            while start < len(sources):
                end, rows = _first_group(degree[start:], left, chip)
                if end == 0:
                    break
                members = tuple(sources[start : start + end].tolist())
                groups.append(_Wanted(h, bus, True, members, addresses, *rows))
                left -= groups[-1].drivers
                start += end
        if start < len(sources):
            return groups, _no_room_for_host(demand, len(sources), start, taken[h], h, chip)
    return groups, None


def _first_group(degree: np.ndarray, left: int, chip: ChipSpec) -> tuple[int, list[int]]:
    """How many sources, the first ones, have room on a bus, and the rows of either sign."""
    rows = np.cumsum(degree[: chip.labels], axis=0).max(axis=2)
    fits = -(-rows.sum(axis=1) // chip.rows_per_driver) <= left
    count = int(np.argmin(fits)) if not fits.all() else len(fits)
    return count, rows[count - 1].tolist() if count else [0, 0]


# Addresses and drivers ---------------------------------------------------------------------------

TRIES = 200
"""Sets of addresses that are tried for the groups of a bus."""


def _allocate(wanted: Sequence[_Wanted], chip: ChipSpec) -> list[Group] | None:
    """Addresses and drivers for the groups of a bus, or None."""
    # What a neuron's events say is the same in both hemispheres.
    fixed = sorted({w.addresses for w in wanted if not w.host})
    for choice in itertools.product(*fixed):
        address = dict(zip(fixed, choice, strict=True))
        groups: list[Group] = []
        for h in range(chip.hemispheres):
            here = [w for w in wanted if w.hemisphere == h]
            found = _isolate(here, [None if w.host else address[w.addresses] for w in here], chip)
            if found is None:
                break
            groups += found
        else:
            return groups
    return None


def _isolate(
    wanted: Sequence[_Wanted], addresses: Sequence[int | None], chip: ChipSpec
) -> list[Group] | None:
    """Drivers that let in one group each, or None; free addresses are None."""
    needs = [w.drivers for w in wanted]
    for tried in _addresses(needs, addresses, chip):
        drivers = _drivers_of(needs, tried, chip)
        if drivers is not None:
            return [
                _group(w, address, own, chip)
                for w, address, own in zip(wanted, tried, drivers, strict=True)
            ]
    return None


def _addresses(
    needs: Sequence[int], given: Sequence[int | None], chip: ChipSpec
) -> Iterator[list[int]]:
    """Sets of addresses to try, each once for a group."""
    free = [a for a in range(chip.row_addresses) if a not in given]
    open_places = [i for i, address in enumerate(given) if address is None]
    if len(free) < len(open_places):
        return
    # Aligned blocks always work where they fit; else what is tried is a matter of luck.
    start, blocks = 0, []
    for i in sorted(open_places, key=lambda i: -needs[i]):
        blocks.append((i, start))
        start += 1 << max(0, needs[i] - 1).bit_length()
    if start <= chip.row_addresses and len(open_places) == len(given):
        chosen = dict(blocks)
        yield [chosen[i] for i in range(len(given))]
    random = np.random.default_rng(0)
    for _ in range(TRIES if open_places else 1):
        drawn = iter(random.permutation(free).tolist())
        yield [next(drawn) if address is None else address for address in given]


def _drivers_of(
    needs: Sequence[int], addresses: Sequence[int], chip: ChipSpec
) -> list[list[Driver]] | None:
    """A matching of drivers and groups, in which a driver lets in the events of its group only."""
    number, own = np.arange(chip.drivers), np.array(addresses, int)[:, None]
    # The most that a driver can compare are the bits in which its number is the group's address.
    masks = ~(own ^ number) & (chip.drivers - 1)
    differ = (own ^ own.T)[:, :, None] & masks[:, None, :]
    apart = (differ != 0) | np.eye(len(own), dtype=bool)[:, :, None]
    usable = apart.all(axis=1)
    owner = np.repeat(np.arange(len(own)), needs)
    if len(owner) > chip.drivers:
        return None
    match = maximum_bipartite_matching(csr_array(usable[owner]), perm_type="column")
    if (match < 0).any():
        return None
    return [
        [Driver(int(d), int(masks[i, d])) for d in np.sort(match[owner == i])]
        for i in range(len(own))
    ]


def _group(wanted: _Wanted, address: int, drivers: list[Driver], chip: ChipSpec) -> Group:
    """A group with its rows: pairs of either sign first, as long as both are needed."""
    pairs = min(wanted.excitatory, wanted.inhibitory)
    place = [
        [physical_row(wanted.bus, d.number, i, chip) for i in range(chip.rows_per_driver)]
        for d in drivers
    ]
    inhibitory, excitatory = [p[0] for p in place[:pairs]], [p[1] for p in place[:pairs]]
    rest = [row for p in place[pairs:] for row in p]
    more = wanted.excitatory - pairs
    excitatory += rest[:more]
    inhibitory += rest[more : more + wanted.inhibitory - pairs]
    return Group(
        wanted.hemisphere,
        wanted.bus,
        wanted.host,
        wanted.sources,
        address,
        tuple(drivers),
        tuple(excitatory),
        tuple(inhibitory),
    )


def _rows(synapses: Synapses, groups: Sequence[Group]) -> Synapses:
    """The synapses with their rows: in a column one after the other."""
    rows = synapses.row.copy()
    for group in groups:
        here = (synapses.hemisphere == group.hemisphere) & np.isin(synapses.source, group.sources)
        for sign, own in ((1, group.excitatory_rows), (-1, group.inhibitory_rows)):
            mine = np.flatnonzero(here & (synapses.sign == sign))
            if len(mine):
                rows[mine] = np.array(own)[_counted(synapses.column[mine])]
    return synapses._replace(row=rows)


# What does not fit -------------------------------------------------------------------------------


def _too_many_rows(demand: Demand, synapses: Synapses, chip: ChipSpec) -> list[Problem]:
    """Circuits with more synapses than a column has."""
    problems = []
    targets = np.array([p.target for p in demand.projections])[synapses.projection]
    for population in demand.populations:
        mine = targets == population.name
        place = synapses.hemisphere[mine] * chip.columns + synapses.column[mine]
        most = int(np.bincount(place).max(initial=0)) if mine.any() else 0
        if most > chip.rows and population.shape is not None:
            wanted = -(-most * population.shape.size // chip.rows)
            problems.append(
                Problem(
                    population.name,
                    f"a circuit has {most} synapses ({_of_sources(demand, population.name)})",
                    f"a circuit has {chip.rows} synapse rows, {chip.signed_fan_in} of either sign",
                    f"use at least {wanted} circuits a neuron, fewer inputs, or sparse synapses",
                )
            )
    return problems


def _of_sources(demand: Demand, target: str) -> str:
    sources = [p.source for p in demand.projections if p.target == target]
    return "of " + " and ".join(f"{demand.population(name).size} in '{name}'" for name in sources)


def _overfull_buses(
    demand: Demand,
    first: Mapping[str, int],
    wanted: Sequence[_Wanted],
    taken: np.ndarray,
    chip: ChipSpec,
) -> list[Problem]:
    """Buses on which neurons alone want more drivers than there are."""
    problems = []
    for h, bus in np.argwhere(taken > chip.drivers).tolist():
        counts = dict.fromkeys((p.name for p in demand.populations), 0)
        for group in wanted:
            if (group.hemisphere, group.bus) == (h, bus):
                for name in counts:
                    own = range(first[name], first[name] + demand.population(name).size)
                    counts[name] += sum(source in own for source in group.sources)
        sources = " and ".join(f"{n} in '{name}'" for name, n in counts.items() if n)
        problems.append(
            Problem(
                "network",
                f"bus {bus} of hemisphere {h} needs {taken[h, bus]} drivers ({sources})",
                f"a bus has {chip.drivers} drivers, which is {chip.rows_per_bus} synapse rows",
                "spread the neurons over columns of other buses (column // "
                f"{chip.columns_per_output} mod {chip.buses}), give their targets more circuits, "
                "or connect them sparsely",
            )
        )
    return problems


def _no_room_for_host(
    demand: Demand,
    sources: int,
    placed: int,
    taken: np.ndarray,
    hemisphere: int,
    chip: ChipSpec,
) -> Problem:
    names = " and ".join(f"'{p.name}'" for p in demand.populations if p.external)
    free = int(np.maximum(chip.drivers - taken, 0).sum())
    return Problem(
        "network",
        f"hemisphere {hemisphere} has room for {placed} of {sources} sources of {names}, as "
        f"neurons leave {free} of {chip.drivers * chip.buses} drivers free",
        f"a source takes two synapse rows, one driver, on one of {chip.buses} buses",
        "place their targets in the other hemisphere, give them more circuits, or use fewer inputs",
    )


def _no_addresses(bus: int, chip: ChipSpec) -> Problem:
    return Problem(
        "network",
        f"no {chip.row_addresses} addresses were found that keep the sources on bus {bus} apart",
        f"a bus has {chip.drivers} drivers, each of which compares up to five bits of an event",
        "give neurons fewer inputs, or more circuits, so that drivers are left over",
    )
