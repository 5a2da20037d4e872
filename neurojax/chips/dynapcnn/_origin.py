"""How a core came about, which its numbers alone don't say."""

from __future__ import annotations

from typing import NamedTuple


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
