"""How a core came about, which its numbers alone don't say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from neurojax._network import Provenance


class Origin(NamedTuple):
    """How a core came about."""

    name: str  # of the core in the mapped network
    made_of: tuple[str, ...]  # names of the layers in the network before
    scale: float  # steps of the chip per real unit
    rescale: float = 1.0  # factor of average pools that is in the weights
    core: int = -1  # number of the core on the chip
    pool: int = 1  # size of the sum pooling of its spikes
    pool_name: str | None = None  # name of that pooling in the mapped network
    vanished: int = 0  # weights that were not zero before rounding
    notes: tuple[str, ...] = ()


def provenance_of(
    known: Mapping[str, Provenance],
    cores: Iterable[tuple[Origin, int]],
    chip: str,
    flatten: str | None,
) -> dict[str, Provenance]:
    """Where the layers of a mapped network came from, if that was known before.

    Args:
        known: Provenance of the layers before the mapping.
        cores: How each core came about, and how many pools it was made of (they come last).
        chip: Name of the chip.
        flatten: Name of a Flatten at the end.
    """
    found: dict[str, Provenance] = {}

    def add(name: str | None, parts: Sequence[str], *notes: str) -> None:
        cards = {part: known[part] for part in parts if part in known}
        if name is None or not cards:
            return
        before = [
            f"before mapping, '{part}': {note}" for part in cards for note in cards[part].notes
        ]
        source = " + ".join(card.source for card in cards.values())
        there = " + ".join(card.name or part for part, card in cards.items())
        found[name] = Provenance(source, there, (*notes, *before))

    for origin, pooled in cores:
        count = len(origin.made_of) - pooled
        weights, pools = origin.made_of[:count], origin.made_of[count:]
        add(origin.name, weights, f"mapped onto core {origin.core} of {chip}", *origin.notes)
        add(origin.pool_name, pools)
    add(flatten, [flatten] if flatten is not None else [])
    return found
