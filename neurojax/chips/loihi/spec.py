"""What Loihi's neurons and synapses can hold, as far as the neuron models here need it.

References:
    M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro
    38, 2018; lava-dl slayer and Lava, whose neuron models use these widths.
"""

DECAY_BITS = 12
"""A decay is a multiple of 2^-12: 0 keeps everything, 4096 / 4096 keeps nothing."""

STATE_SHIFT = 6
"""States and thresholds have this many more bits behind the point than weights."""

WEIGHT_BITS = 8
"""Width of a weight of either sign; its lowest bit is 0, so weights are even."""

LARGEST_AXONAL_DELAY = 62
"""Time steps."""
