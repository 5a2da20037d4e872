"""CRI (HiAER-Spike): an event-driven crossbar of integers, with membranes of 35 bits.

A network of real numbers is mapped (`map`), or a network of single synapses is described as
dictionaries, as hs_api takes them (`CRINetwork`). Both compute the same integers, on a dense engine
that has gradients or on one whose cost follows the spikes.
"""

from neurojax.chips.cri._tables import Rows as Rows
from neurojax.chips.cri._validate import Finding as Finding, NetworkError as NetworkError
from neurojax.chips.cri.attention import (
    Gates as Gates,
    attention as attention,
    joined as joined,
    matrix_product as matrix_product,
)
from neurojax.chips.cri.crossbar import Crossbar as Crossbar
from neurojax.chips.cri.description import CRINetwork as CRINetwork
from neurojax.chips.cri.events import (
    AxonEvents as AxonEvents,
    EventEngine as EventEngine,
    EventRun as EventRun,
    EventState as EventState,
    axon_events as axon_events,
    simulate_events as simulate_events,
)
from neurojax.chips.cri.mapping import latency as latency, map as map, run as run
from neurojax.chips.cri.models import (
    ANN_neuron as ANN_neuron,
    IF_neuron as IF_neuron,
    LIF_neuron as LIF_neuron,
    NeuronModel as NeuronModel,
)
from neurojax.chips.cri.neuron import (
    CRIState as CRIState,
    Neuron as Neuron,
    membrane as membrane,
    with_membrane as with_membrane,
)
from neurojax.chips.cri.spec import CRISpec as CRISpec, spec as spec
from neurojax.chips.cri.synapse import Synapse as Synapse
from neurojax.chips.cri.unroll import (
    Unrolled as Unrolled,
    describe_network as describe_network,
    unroll as unroll,
)
