"""lava-dl slayer blocks and the quantised CUBA neuron of SpikingJelly's lava_exchange."""

from neurojax.converters._cuba_blocks import (
    affine as affine,
    average as average,
    conv as conv,
    cuba_lif_node as cuba_lif_node,
    cuba_neuron as cuba_neuron,
    decay as decay,
    dense as dense,
    from_state_dict as from_state_dict,
    input as input,
    pool as pool,
    recurrent as recurrent,
)
