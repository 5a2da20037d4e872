"""Pictures: spikes, membranes, training and the placement of layers on a chip.

Every function draws into the `ax` it is given, or into a new figure, and returns the `Axes`;
`ax.figure.savefig("picture.png")` writes it. Figures are made without pyplot: nothing is registered
globally, nothing needs a display, nothing has to be closed. They need matplotlib, which comes with
`pip install "neurojax[plot]"`.
"""

from neurojax.plot._bars import spike_counts as spike_counts
from neurojax.plot._bss2 import bss2 as bss2
from neurojax.plot._costs import costs as costs
from neurojax.plot._placement import CoreUse as CoreUse, placement as placement
from neurojax.plot._spikes import raster as raster
from neurojax.plot._traces import traces as traces
from neurojax.plot._training import training_curves as training_curves
