"""Which layer goes to which core: a maximum matching, or a choice by hand that is checked.

References:
    J. Edmonds and R. M. Karp, "Theoretical improvements in algorithmic efficiency for network flow
    problems", J. ACM 19(2), 1972. Paths are tried in the order of sinabs 3.1.3,
    `sinabs.backend.dynapcnn.mapping`, so that both put every layer on the same core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_flow

from neurojax._graph import nearest
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips.dynapcnn.memory import Memory, core_memory, fits
from neurojax.chips.dynapcnn.spec import ChipSpec


def candidates(memories: Sequence[Memory], chip: ChipSpec) -> list[list[int]]:
    """For each layer the cores whose memories can hold it, ascending."""
    return [[i for i, core in enumerate(chip.cores) if fits(m, core)] for m in memories]


def match(candidates: Sequence[Sequence[int]]) -> list[int | None]:
    """A core for each layer, no core twice, as many layers as possible.

    A maximum flow from a source through layers and cores to a sink. In effect the first layer takes
    its lowest core, the next one the lowest that is free, and earlier choices are revised only
    where a layer would be left out.

    Args:
        candidates: For each layer the cores it may have.

    Returns:
        The core of each layer, None for a layer that is left out.

    Example:
        >>> from neurojax.chips.dynapcnn import match
        >>> match([[0, 1], [0]])
        [1, 0]
    """
    cores = sorted({core for row in candidates for core in row})
    if not cores:
        return [None] * len(candidates)
    # The order of the nodes is the order in which paths are searched.
    first = 1 + len(candidates)
    node = {core: first + i for i, core in enumerate(cores)}
    sink = first + len(cores)
    edges = [(0, layer) for layer in range(1, first)]
    edges += [(1 + i, node[core]) for i, row in enumerate(candidates) for core in row]
    edges += [(node[core], sink) for core in cores]
    rows, columns = zip(*edges, strict=True)
    capacity = np.ones(len(edges), np.int32)
    graph = csr_array((capacity, (rows, columns)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(graph, 0, sink, method="edmonds_karp").flow.toarray()[1:first, first:sink]
    return [cores[int(row.argmax())] if row.any() else None for row in flow > 0]


def place(mapped: MappedNetwork, cores: str | Mapping[str, int] = "auto") -> MappedNetwork:
    """The same network on other cores.

    Args:
        mapped: What `chips.dynapcnn.map` returned, trained or not.
        cores: `"auto"`, or the number of the core of each layer by hand.

    Raises:
        MappingError: A layer that does not fit its core, a core with two layers, a layer without
            a core, a name or number that does not exist: all of them at once.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import dynapcnn
        >>> net = nj.Sequential((2, 8, 8), conv=nj.Conv2d.from_weights(jnp.ones((4, 2, 3, 3))),
        ...                     spikes=nj.IAF(v_min=-1.0))
        >>> dynapcnn.place(dynapcnn.map(net), {"spikes": 3}).origins[0].core
        3
    """
    names = [origin.name for origin in mapped.origins]
    memories = [core_memory(mapped.network, name) for name in names]
    problems: list[Problem] = []
    numbers = assign(names, memories, mapped.chip, cores, problems)
    if problems:
        raise MappingError(mapped.chip.name, problems)
    pairs = zip(mapped.origins, numbers, strict=True)
    origins = tuple(origin._replace(core=number) for origin, number in pairs)
    return MappedNetwork(mapped.network, mapped.chip, origins, mapped._explain)


def assign(
    names: Sequence[str],
    memories: Sequence[Memory],
    chip: ChipSpec,
    cores: str | Mapping[str, int],
    problems: list[Problem],
) -> list[int | None]:
    """A core for each layer; with problems, where there is none."""
    if not isinstance(cores, str):
        if not isinstance(cores, Mapping):
            raise ValueError(f"cores={cores!r} must be 'auto' or {{name of a layer: its core}}")
        return _by_hand(names, memories, chip, cores, problems)
    if cores != "auto":
        raise ValueError(f"cores={cores!r} must be 'auto' or {{name of a layer: its core}}")
    return _automatic(names, memories, chip, problems)


def _automatic(
    names: Sequence[str], memories: Sequence[Memory], chip: ChipSpec, problems: list[Problem]
) -> list[int | None]:
    possible = candidates(memories, chip)
    for name, memory, numbers in zip(names, memories, possible, strict=True):
        if not numbers:
            problems.append(_too_large(name, memory, chip))
    if len(names) > len(chip.cores):
        problems.append(
            Problem(
                "network",
                f"{len(names)} layers with weights",
                f"{chip.name} has {len(chip.cores)} cores, one for each",
                "use fewer layers",
            )
        )
        return [None] * len(names)
    placed = match(possible)
    if None in placed and all(possible):
        crowd = _crowd(possible, placed)
        wishes = "; ".join(f"'{names[i]}' fits {_list(possible[i])}" for i in crowd)
        problems.append(
            Problem(
                "network",
                f"{len(crowd)} layers compete for cores: {wishes}",
                f"{chip.name} holds one layer on a core",
                "make one of them smaller",
            )
        )
    return placed


def _crowd(possible: Sequence[Sequence[int]], placed: Sequence[int | None]) -> list[int]:
    """Layers that have fewer cores among them than they are: those that a layer without a core
    could drive away, and those that these could in turn."""
    holder = {core: i for i, core in enumerate(placed) if core is not None}
    crowd = [placed.index(None)]
    for i in crowd:  # grows while it is gone through
        crowd += dict.fromkeys(holder[core] for core in possible[i] if holder[core] not in crowd)
    return sorted(crowd)


def _by_hand(
    names: Sequence[str],
    memories: Sequence[Memory],
    chip: ChipSpec,
    cores: Mapping[str, int],
    problems: list[Problem],
) -> list[int | None]:
    for name in cores:
        if name not in names:
            problems.append(Problem(name, "no such layer", nearest(name, names), "correct it"))
    legal = f"{chip.name} has cores 0 to {len(chip.cores) - 1}"
    owner: dict[int, str] = {}
    for name, memory in zip(names, memories, strict=True):
        number = cores.get(name)
        if number is None:
            problems.append(Problem(name, "it has no core", legal, "add it to `cores`"))
        elif number not in range(len(chip.cores)):
            problems.append(Problem(name, f"core {number}", legal, "use one of those"))
        elif number in owner:
            problems.append(
                Problem(
                    name,
                    f"core {number}, which holds layer '{owner[number]}'",
                    "a core holds one layer",
                    "choose another core",
                )
            )
        else:
            owner[int(number)] = name
            problems += _misfits(name, int(number), memory, chip)
    place_of = {name: number for number, name in owner.items()}
    return [place_of.get(name) for name in names]


def _misfits(name: str, number: int, memory: Memory, chip: ChipSpec) -> list[Problem]:
    core = chip.cores[number]
    if fits(memory, core):
        return []
    have = f"{core.kernel_words:,}/{core.neuron_words:,}/{core.bias_words:,}"
    larger = [i for i, other in enumerate(chip.cores) if fits(memory, other)]
    return [
        Problem(
            name,
            f"it takes {memory.kernel:,}/{memory.neuron:,}/{memory.bias:,} words "
            "(kernel/neuron/bias)",
            f"core {number} has {have}",
            f"use core {_list(larger)}, or cores='auto'" if larger else "make the layer smaller",
        )
    ]


def _too_large(name: str, memory: Memory, chip: ChipSpec) -> Problem:
    cores = {(c.kernel_words, c.neuron_words, c.bias_words) for c in chip.cores}
    sizes = ", ".join("/".join(f"{n:,}" for n in core) for core in sorted(cores))
    return Problem(
        name,
        f"it takes {memory.kernel:,} words of kernel, {memory.neuron:,} of neuron and "
        f"{memory.bias:,} of bias memory",
        f"the cores of {chip.name} have {sizes} (kernel/neuron/bias)",
        "use fewer features, a smaller kernel, or a larger stride",
    )


def _list(values: Sequence[int]) -> str:
    *most, last = map(str, values)
    return f"{', '.join(most)} or {last}" if most else last
