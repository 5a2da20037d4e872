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
    average as average,
    container as container,
    conv as conv,
    dense as dense,
    input as input,
    pool as pool,
    recurrent as recurrent,
    sum_pool as sum_pool,
)
from neurojax.converters.slayer._network import (
    from_blocks as from_blocks,
)
from neurojax.converters.slayer._neurons import (
    cuba_lif_node as cuba_lif_node,
    cuba_neuron as cuba_neuron,
    decay as decay,
)
from neurojax.converters.slayer._state import (
    from_state_dict as from_state_dict,
)
