"""DYNAP-CNN and Speck: convolution cores with 8-bit weights and integrate-and-fire neurons."""

from neurojax.chips._surrogate import InSteps as InSteps
from neurojax.chips.dynapcnn._assemble import assemble as assemble
from neurojax.chips.dynapcnn._origin import Origin as Origin
from neurojax.chips.dynapcnn.addresses import (
    Place as Place,
    neuron_address as neuron_address,
    neuron_place as neuron_place,
)
from neurojax.chips.dynapcnn.congestion import (
    synops as synops,
    synops_probes as synops_probes,
)
from neurojax.chips.dynapcnn.discretise import (
    Discretised as Discretised,
    Scales as Scales,
    discretise as discretise,
    quantise as quantise,
    quantise_scalar as quantise_scalar,
    scale_of as scale_of,
)
from neurojax.chips.dynapcnn.dvs import DVS as DVS
from neurojax.chips.dynapcnn.dynamics import Core as Core, CoreState as CoreState
from neurojax.chips.dynapcnn.event_driven import (
    DECIMATIONS as DECIMATIONS,
    EventRun as EventRun,
    EventState as EventState,
    simulate_events as simulate_events,
)
from neurojax.chips.dynapcnn.event_records import (
    events_to_xytp as events_to_xytp,
    from_records as from_records,
    load_events as load_events,
    save_events as save_events,
    to_records as to_records,
)
from neurojax.chips.dynapcnn.events import (
    CAMERA as CAMERA,
    EVENT as EVENT,
    READOUT as READOUT,
    events_to_raster as events_to_raster,
    make_events as make_events,
    raster_to_events as raster_to_events,
    xytp_to_events as xytp_to_events,
)
from neurojax.chips.dynapcnn.mapping import map as map
from neurojax.chips.dynapcnn.memory import Memory as Memory, fits as fits, memory_of as memory_of
from neurojax.chips.dynapcnn.placement import (
    candidates as candidates,
    match as match,
    place as place,
)
from neurojax.chips.dynapcnn.readout import (
    CLASSES as CLASSES,
    classes_of_features as classes_of_features,
    classes_of_readout as classes_of_readout,
    extend_readout_layer as extend_readout_layer,
    readout_spread as readout_spread,
)
from neurojax.chips.dynapcnn.routes import (
    Route as Route,
    cores_of as cores_of,
    dvs_of as dvs_of,
    routes as routes,
)
from neurojax.chips.dynapcnn.spec import (
    ChipSpec as ChipSpec,
    CoreSpec as CoreSpec,
    devices as devices,
    parse_device as parse_device,
    spec as spec,
)
from neurojax.chips.dynapcnn.usage import core_use as core_use
