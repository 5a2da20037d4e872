"""Networks of BrainScaleS-2 from event to event, with exact spike times and their gradients."""

from neurojax.chips.bss2.events._simulate import EventRun as EventRun, simulate as simulate
from neurojax.chips.bss2.events._spikes import (
    Spikes as Spikes,
    first_spike as first_spike,
    spikes as spikes,
)
