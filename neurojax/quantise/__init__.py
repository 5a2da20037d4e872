"""From real numbers to the integers of a chip: ranges, scales, fake quantisation, trainable steps.

Three ideas, each usable alone: an observer finds the range of a quantity, a `Grid` is a set of
integers with a scale, a `Quantiser` makes the grid for an array. `quantise_weights` puts quantisers
into a network, where they act once a run and let gradients through.
"""

from neurojax.quantise._grid import Grid as Grid, LearntGrid as LearntGrid
from neurojax.quantise._layer import FakeQuantise as FakeQuantise, Quantised as Quantised
from neurojax.quantise._network import (
    bake as bake,
    observe as observe,
    quantisation_report as quantisation_report,
    quantise_weights as quantise_weights,
)
from neurojax.quantise._observers import (
    Histogram as Histogram,
    MinMax as MinMax,
    MovingAverage as MovingAverage,
    Range as Range,
)
from neurojax.quantise._quantiser import Quantiser as Quantiser
