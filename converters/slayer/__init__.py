"""lava-dl's slayer blocks, and the quantised CUBA neuron of SpikingJelly's `lava_exchange`.

The functions make the layers of a block from plain numbers; `from_state_dict` makes them from what
a block has saved, without lava-dl; `from_blocks` makes a network from the modules themselves.

slayer's arrays are `[batch, channels, ..., time]`, ours `[time, batch, channels, ...]`:
`jnp.moveaxis(x, -1, 0)` on the way in, `jnp.moveaxis(y, 0, -1)` on the way back. SpikingJelly's
have time first, as ours.
"""

from neurojax.converters.slayer import _modules as _modules  # for what it registers
from neurojax.converters.slayer._blocks import (
    affine as affine,
    conv as conv,
    conv_transpose as conv_transpose,
    dense as dense,
    input as input,
    recurrent as recurrent,
)
from neurojax.converters.slayer._containers import (
    container as container,
)
from neurojax.converters.slayer._network import (
    from_blocks as from_blocks,
)
from neurojax.converters.slayer._neurons import (
    cuba_lif_node as cuba_lif_node,
    cuba_neuron as cuba_neuron,
    decay as decay,
)
from neurojax.converters.slayer._pools import (
    average as average,
    pool as pool,
    sum_pool as sum_pool,
    time_decimation as time_decimation,
    unpool as unpool,
)
from neurojax.converters.slayer._sigma_delta import (
    delta as delta,
    sigma_delta_conv as sigma_delta_conv,
    sigma_delta_dense as sigma_delta_dense,
    sigma_delta_input as sigma_delta_input,
    sigma_delta_neuron as sigma_delta_neuron,
    sigma_delta_output as sigma_delta_output,
    sigma_delta_pool as sigma_delta_pool,
)
from neurojax.converters.slayer._state import (
    from_state_dict as from_state_dict,
)
from neurojax.converters.slayer._zoo import (
    adrf_iz_neuron as adrf_iz_neuron,
    adrf_neuron as adrf_neuron,
    alif_neuron as alif_neuron,
    rf_iz_neuron as rf_iz_neuron,
    rf_neuron as rf_neuron,
)
