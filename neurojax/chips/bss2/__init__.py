"""BrainScaleS-2."""

from neurojax.chips.bss2.weights import (
    linear_exponential_clamp as linear_exponential_clamp,
    linear_saturating as linear_saturating,
    linear_sparse as linear_sparse,
)
