"""Chips: what they can hold, how they compute, and how a network is mapped onto them."""

from neurojax.chips import (
    bss2 as bss2,
    cri as cri,
    dynapcnn as dynapcnn,
    loihi as loihi,
    mcu as mcu,
)
from neurojax.chips._mapped import (
    MappedNetwork as MappedNetwork,
    MappingError as MappingError,
    Problem as Problem,
    Report as Report,
)
