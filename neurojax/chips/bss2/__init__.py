"""BrainScaleS-2."""

from neurojax.chips.bss2.adex import AELIF as AELIF
from neurojax.chips.bss2.eventprop import (
    EventPropLIF as EventPropLIF,
    EventPropLinear as EventPropLinear,
    spike_time as spike_time,
)
from neurojax.chips.bss2.lif import IAF as IAF, LI as LI, LIF as LIF
from neurojax.chips.bss2.sparse import SparseLinear as SparseLinear
from neurojax.chips.bss2.weights import (
    linear_exponential_clamp as linear_exponential_clamp,
    linear_saturating as linear_saturating,
    linear_sparse as linear_sparse,
    split_signs as split_signs,
)
