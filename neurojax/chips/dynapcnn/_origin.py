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
    rescale: float = 1.0  # factor of average pools that is in the weights; a mean, if several
    core: int = -1  # number of the core on the chip
    vanished: int = 0  # weights that were not zero before rounding
    notes: tuple[str, ...] = ()


def provenance_of(
    known: Mapping[str, Provenance],
    origins: Iterable[Origin],
    others: Mapping[str, Sequence[str]],
    chip: str,
) -> dict[str, Provenance]:
    """Where the layers of a mapped network came from, if that was known before.

    Args:
        known: Provenance of the layers before the mapping.
        origins: How each core came about.
        others: Names of the layers that every other layer was made of.
        chip: Name of the chip.
    """
    found: dict[str, Provenance] = {}

    def add(name: str, parts: Sequence[str], *notes: str) -> None:
        cards = {part: known[part] for part in parts if part in known}
        if not cards:
            return
        before = [
            f"before mapping, '{part}': {note}" for part in cards for note in cards[part].notes
        ]
        source = " + ".join(card.source for card in cards.values())
        there = " + ".join(card.name or part for part, card in cards.items())
        found[name] = Provenance(source, there, (*notes, *before))

    for origin in origins:
        mapped = f"mapped onto core {origin.core} of {chip}"
        add(origin.name, origin.made_of, mapped, *origin.notes)
    for name, parts in others.items():
        add(name, parts)
    return found
