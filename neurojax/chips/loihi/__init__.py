"""Loihi: neurons in 24-bit fixed point, weights of 8 bits. So far the neuron models."""

from neurojax.chips.loihi.cuba import CUBA as CUBA, CUBAState as CUBAState
from neurojax.chips.loihi.norm import ShiftNorm as ShiftNorm
from neurojax.chips.loihi.quantise import (
    Quantised as Quantised,
    QuantisedInput as QuantisedInput,
    quantise_8bit as quantise_8bit,
)
