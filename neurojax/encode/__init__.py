"""Turning numbers into spikes: rate, latency and delta codes, event lists.

Every encoder puts time first and leaves the other axes as they are, so `[batch, *features]`
becomes `[time, batch, *features]`, which is what `neurojax.simulate` takes. All of them are pure
functions of arrays and work under `jit` and `vmap`, except the NumPy-side event functions
(`raster_to_spikes`, `spikes_to_raster`, `raster_to_events`, `events_to_raster`): the number of
events depends on the values, which a compiled function can't know. `raster_to_padded_spikes` and
`padded_spikes_to_raster` are their compiled counterpart, with a fixed capacity.
"""

from ._audio import log_band_power as log_band_power
from ._delta import SentOnDelta as SentOnDelta, delta as delta, send_on_delta as send_on_delta
from ._events import (
    Events as Events,
    events_to_raster as events_to_raster,
    raster_to_events as raster_to_events,
)
from ._latency import (
    coordinates_to_spikes as coordinates_to_spikes,
    pixels_to_spike_times as pixels_to_spike_times,
    spike_times_to_raster as spike_times_to_raster,
)
from ._rate import direct as direct, poisson as poisson
from ._spike_list import (
    PaddedSpikes as PaddedSpikes,
    SpikeList as SpikeList,
    padded_spikes_to_raster as padded_spikes_to_raster,
    raster_to_padded_spikes as raster_to_padded_spikes,
    raster_to_spikes as raster_to_spikes,
    spikes_to_raster as spikes_to_raster,
)
