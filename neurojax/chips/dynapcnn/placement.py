"""Which layer goes to which core: a maximum matching, or a choice by hand that is checked.

References:
    J. Edmonds and R. M. Karp, "Theoretical improvements in algorithmic efficiency for network flow
    problems", J. ACM 19(2), 1972. The order in which paths are tried is that of sinabs 3.1.3,
    `sinabs.backend.dynapcnn.mapping`, so that both put every layer on the same core.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from neurojax.chips.dynapcnn.memory import Memory, fits
from neurojax.chips.dynapcnn.spec import ChipSpec


def candidates(memories: Sequence[Memory], chip: ChipSpec) -> list[list[int]]:
    """For each layer the cores whose memories can hold it, ascending."""
    return [[i for i, core in enumerate(chip.cores) if fits(m, core)] for m in memories]


def match(candidates: Sequence[Sequence[int]]) -> list[int | None]:
    """A core for each layer, no core twice, as many layers as possible.

    Augmenting paths are searched breadth first from all layers without a core at once, layers and
    cores in ascending order. In effect the first layer takes its lowest core, the next one the
    lowest that is free, and earlier choices are revised only where a layer would be left out.

    Args:
        candidates: For each layer the cores it may have.

    Returns:
        The core of each layer, None for a layer that is left out.

    Example:
        >>> from neurojax.chips.dynapcnn import match
        >>> match([[0, 1], [0]])
        [1, 0]
    """
    core_of: list[int | None] = [None] * len(candidates)
    layer_on: dict[int, int] = {}
    while True:
        found = _augmenting_path(candidates, core_of, layer_on)
        if found is None:
            return core_of
        layer: int | None
        core, came_from = found
        while True:
            layer = came_from[core]
            before = core_of[layer]
            core_of[layer], layer_on[core] = core, layer
            if before is None:
                break
            core = before


def _augmenting_path(
    candidates: Sequence[Sequence[int]],
    core_of: Sequence[int | None],
    layer_on: Mapping[int, int],
) -> tuple[int, dict[int, int]] | None:
    """A free core that a layer without one can get at, and the layer from which each was seen."""
    layers = deque(i for i, core in enumerate(core_of) if core is None)
    came_from: dict[int, int] = {}
    # One queue of layers is enough: a core hands on to the only layer that occupies it.
    while layers:
        layer = layers.popleft()
        for core in candidates[layer]:
            if core in came_from:
                continue
            came_from[core] = layer
            if core in layer_on:
                layers.append(layer_on[core])
    free = [core for core in came_from if core not in layer_on]
    return (free[0], came_from) if free else None
