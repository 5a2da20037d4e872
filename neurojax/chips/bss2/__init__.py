"""BrainScaleS-2."""

from neurojax.chips.bss2 import events as events, perceptron as perceptron
from neurojax.chips.bss2.adex import AELIF as AELIF
from neurojax.chips.bss2.analog import Analog as Analog
from neurojax.chips.bss2.cadc import CADC as CADC
from neurojax.chips.bss2.capacity import (
    Fit as Fit,
    capacity as capacity,
    check_targets as check_targets,
    fit as fit,
)
from neurojax.chips.bss2.demand import (
    Demand as Demand,
    Population as Population,
    Projection as Projection,
    read_network as read_network,
)
from neurojax.chips.bss2.eventprop import (
    EventPropLIF as EventPropLIF,
    EventPropLinear as EventPropLinear,
    spike_time as spike_time,
    without_eventprop as without_eventprop,
)
from neurojax.chips.bss2.instance import (
    ChipInstance as ChipInstance,
    NeuronInstance as NeuronInstance,
    SynapseInstance as SynapseInstance,
    draw as draw,
)
from neurojax.chips.bss2.lif import IAF as IAF, LI as LI, LIF as LIF
from neurojax.chips.bss2.magnitudes import Magnitudes as Magnitudes
from neurojax.chips.bss2.mapping import map as map
from neurojax.chips.bss2.morphology import (
    Circuit as Circuit,
    CircuitSettings as CircuitSettings,
    SingleCompartmentNeuron as SingleCompartmentNeuron,
)
from neurojax.chips.bss2.placement import (
    NeuronPlacement as NeuronPlacement,
    Placement as Placement,
    place as place,
)
from neurojax.chips.bss2.refractory import counted_period as counted_period
from neurojax.chips.bss2.routing import Group as Group, Routing as Routing, route as route
from neurojax.chips.bss2.saturation import (
    headroom as headroom,
    saturated_current as saturated_current,
)
from neurojax.chips.bss2.sparse import SparseLinear as SparseLinear
from neurojax.chips.bss2.spec import (
    CalibrationTarget as CalibrationTarget,
    ChipSpec as ChipSpec,
    chip as chip,
)
from neurojax.chips.bss2.synapse import Synapse as Synapse
from neurojax.chips.bss2.transport import Transport as Transport
from neurojax.chips.bss2.virtual import (
    cadc as cadc,
    with_instance as with_instance,
    without_instance as without_instance,
)
from neurojax.chips.bss2.weights import (
    linear_exponential_clamp as linear_exponential_clamp,
    linear_saturating as linear_saturating,
    linear_sparse as linear_sparse,
    split_signs as split_signs,
)
