"""Chips: what they can hold, how they compute, and how a network is mapped onto them."""

from neurojax.chips import dynapcnn as dynapcnn
from neurojax.chips._mapped import (
    MappedNetwork as MappedNetwork,
    MappingError as MappingError,
    Problem as Problem,
    Report as Report,
)
