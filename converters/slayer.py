"""lava-dl slayer blocks and the quantised CUBA neuron of SpikingJelly's lava_exchange."""
