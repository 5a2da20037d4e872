"""Networks of BrainScaleS-2 from event to event, with exact spike times and their gradients."""

from neurojax.chips.bss2.events._encode import encode as encode, target_times as target_times
from neurojax.chips.bss2.events._losses import (
    mse_loss as mse_loss,
    nll_loss as nll_loss,
    target_time_loss as target_time_loss,
    ttfs_loss as ttfs_loss,
)
from neurojax.chips.bss2.events._simulate import (
    GRADIENTS as GRADIENTS,
    EventRun as EventRun,
    simulate as simulate,
)
from neurojax.chips.bss2.events._spikes import (
    Spikes as Spikes,
    first_spike as first_spike,
    spikes as spikes,
)
