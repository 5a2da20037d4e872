"""BrainScaleS-2: the configuration of a chip as a file, a script that loads it, and recordings."""

from neurojax.hardware.bss2._file import from_json as from_json, load as load
from neurojax.hardware.bss2._format import schema as schema
from neurojax.hardware.bss2.configuration import (
    Configuration as Configuration,
    configure as configure,
)
from neurojax.hardware.bss2.recordings import (
    Samples as Samples,
    Spikes as Spikes,
    Trace as Trace,
    grid as grid,
    madc_trace as madc_trace,
    measured as measured,
    samples_to_dense as samples_to_dense,
    spikes_to_dense as spikes_to_dense,
)
