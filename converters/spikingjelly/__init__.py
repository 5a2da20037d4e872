"""SpikingJelly: neurons, and the layers with its two step modes.

Functions such as `lif_node` make a layer from plain numbers. The converters read modules of version
2.0, of 0.0.0.0.14 (`activation_based`), and of `clock_driven` before it.
"""

from neurojax.converters.spikingjelly import _modules as _modules  # for what it registers
from neurojax.converters.spikingjelly._layers import (
    SynapseFilter as SynapseFilter,
    cuba_lif_node as cuba_lif_node,
    if_node as if_node,
    lif_node as lif_node,
    non_spiking_if_node as non_spiking_if_node,
    non_spiking_lif_node as non_spiking_lif_node,
    parametric_lif_node as parametric_lif_node,
    synapse_filter as synapse_filter,
    voting_layer as voting_layer,
)
