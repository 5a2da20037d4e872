"""A microcontroller as a chip: networks in the fixed-point arithmetic of generated C code.

`map` quantises a network; simulating the result gives the integers that the C code which
`neurojax.hardware.c` writes computes, bit for bit.
"""

from neurojax.chips.mcu.affine import (
    BatchNorm as BatchNorm,
    Conv as Conv,
    Dense as Dense,
    Weights as Weights,
)
from neurojax.chips.mcu.mapping import map as map, values as values
from neurojax.chips.mcu.merge import Add as Add, Quantise as Quantise
from neurojax.chips.mcu.neurons import (
    IF as IF,
    LIF as LIF,
    MembraneState as MembraneState,
    Parameters as Parameters,
)
from neurojax.chips.mcu.pool import Pool as Pool
from neurojax.chips.mcu.ranges import (
    LayerRange as LayerRange,
    ranges_of as ranges_of,
    read_ranges as read_ranges,
    write_ranges as write_ranges,
)
from neurojax.chips.mcu.report import Origin as Origin, explain as explain
from neurojax.chips.mcu.spec import (
    Format as Format,
    Number as Number,
    Spec as Spec,
    number_of as number_of,
)
