"""Cores, axons and memory: against counts made by hand and by looking at every synapse."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips._mapped import MappingError
from neurojax.chips.loihi.mapping import map as map_network
from neurojax.chips.loihi.resources import Fan, cores, place, synapse_bits
from neurojax.chips.loihi.spec import spec
from neurojax.layers import AvgPool2d, Conv2d, Linear, Recurrent
from neurojax.neurons import IAF

FIRST = spec("loihi1")
ROOMY = dataclasses.replace(
    FIRST, name="roomy", neurons_per_core=10**9, in_axons_per_core=None, out_axons_per_core=None,
    synapse_bits_per_core=None,
)  # fmt: skip


def neurons():
    return IAF(reset="zero")


def dense(n_in, n_out):
    return Linear.from_weights(np.resize([1.0, -0.5], (n_out, n_in)))


def test_memory_of_a_list_of_synapses():
    """Blocks of 64 synapses, each 4 + 6 bits and rounded up to 64 bits."""
    assert synapse_bits(1, 8) == 64  # 8 + 10 = 18
    assert synapse_bits(6, 8) == 64 and synapse_bits(7, 8) == 128  # 58, 66
    assert synapse_bits(64, 8) == 576  # 522
    assert synapse_bits(65, 8) == 640
    assert synapse_bits(1024, 8) == 16 * 576
    assert synapse_bits(10, 8, index_bits=6, delay_bits=6) == 256  # 210
    assert synapse_bits(0, 8) == 0


def test_dense_layers_by_hand():
    net = nj.Sequential((784,), fc=dense(784, 2000), a=neurons(), fc2=dense(2000, 10), b=neurons())
    use = cores(map_network(net, device="loihi1"))
    # 784 axons of n synapses each: 576 bits a block of 64, 1 MiBit / 784 = 1337 bits, which is two
    # blocks of 64 (1152) and 12 more (128 bits: 106 used): 140 neurons a core, 15 cores.
    assert use["a"].cores == 15 and use["a"].bottleneck == "synapse memory"
    assert use["a"].neurons_per_core == 134  # 2000 in 15
    assert use["a"].in_axons == 784 and use["a"].out_axons == 134
    # 10 neurons behind 2000 sources: 2000 lists of 10 weights, 90 bits in 128.
    assert use["b"][:6] == (1, 10, 10, 2000, 0, 2000 * 128)


def test_out_axons_count_the_cores_that_listen():
    net = nj.Sequential((1,), fc=dense(1, 1024), a=neurons(), fc2=dense(1024, 5000), b=neurons())
    use = cores(map_network(net, device="loihi1"))
    # 1 MiBit / 1024 axons = 1024 bits: 576 for 64 and 448 for 54 more synapses; 5000 / 118.
    assert use["b"].cores == 43
    # Each neuron sends to 43 cores, 4096 / 43 = 95 neurons a core.
    assert use["a"].cores == 11 and use["a"].bottleneck == "axons out"


def test_neurons_of_a_map_send_only_to_the_tiles_that_see_them():
    """Of a map cut into 4 x 4 tiles, by counting the cores that sources in its middle reach."""
    chip = dataclasses.replace(ROOMY, neurons_per_core=16)
    shape, fan = (1, 16, 16), Fan(1, 1, (3, 3), (1, 1), (1, 1), (16, 16), 8)
    use = place(shape, [fan], chip)
    assert use.cores == 16 and use.tile == (1, 4, 4)
    tiles = [
        {((y + i) // use.tile[1], (x + j) // use.tile[2]) for i in (-1, 0, 1) for j in (-1, 0, 1)}
        for y in range(4, 12) for x in range(4, 12)
    ]  # fmt: skip
    count = np.mean([len(seen) for seen in tiles])
    kernel = np.ones((1, 1, 3, 3))
    layers = {name: Conv2d.from_weights(kernel, padding=1) for name in ("c", "d")}
    net = nj.Sequential((1, 16, 16), c=layers["c"], a=neurons(), d=layers["d"], b=neurons())
    found = cores(map_network(net, device=chip))["a"]
    assert found.out_axons / found.neurons_per_core == count


def axons_by_looking(kernel, stride, dilation, size, tile, padding):
    """Sources that any neuron of a tile in the middle sees, along one axis."""
    first = -(-(padding) // stride)
    return len(
        {(first + n) * stride - padding + k * dilation for n in range(tile) for k in range(kernel)}
        & set(range(size))
    )


@pytest.mark.parametrize("kernel, stride, dilation", [(3, 1, 1), (5, 2, 1), (3, 1, 2), (2, 2, 1)])
def test_tiles_of_maps_see_their_surroundings(kernel, stride, dilation):
    size, chip = 32, dataclasses.replace(ROOMY, neurons_per_core=64)
    count = (size - (kernel - 1) * dilation - 1) // stride + 1
    fan = Fan(2, 1, (kernel,) * 2, (stride,) * 2, (dilation,) * 2, (size,) * 2, 8)
    use = place((1, count, count), [fan], chip)
    assert use.neurons_per_core <= 64 and use.bottleneck == "neurons"
    seen = [axons_by_looking(kernel, stride, dilation, size, t, 0) for t in use.tile[1:]]
    # Windows with gaps between them need fewer; the estimate takes all rows in between.
    assert use.in_axons >= 2 * seen[0] * seen[1]
    if stride <= kernel and dilation == 1:
        assert use.in_axons == 2 * seen[0] * seen[1]


def test_the_fewest_cores_of_all_tiles():
    """Every tile size tried one by one."""
    shape, channels = (12, 9, 7), 40
    fan = Fan(channels, 1, (3, 3), (1, 1), (1, 1), (11, 9), 8)
    chip = dataclasses.replace(ROOMY, in_axons_per_core=1500, neurons_per_core=200)
    best = min(
        -(-12 // c) * -(-9 // h) * -(-7 // w)
        for c in range(1, 13)
        for h in range(1, 10)
        for w in range(1, 8)
        if c * h * w <= 200 and channels * min(h + 2, 11) * min(w + 2, 9) <= 1500
    )
    assert place(shape, [fan], chip).cores == best


def test_groups_need_only_their_channels():
    fan = Fan(1, 8, (1, 1), (1, 1), (1, 1), (4, 4), 8)
    chip = dataclasses.replace(ROOMY, neurons_per_core=32)
    use = place((8, 4, 4), [fan], chip)
    assert use.cores == 4 and use.in_axons == 32
    net = nj.Sequential((8, 8, 8), pool=AvgPool2d(2), a=neurons())
    use = cores(map_network(net, device=chip))["a"]
    assert use.cores == 4 and use.in_axons == 32 * 4


def test_a_kernel_of_512_channels_does_not_fit():
    """4096 axons: 512 x 3 x 3 are 4608."""
    deep = lambda n: nj.Sequential(  # noqa: E731
        (n, 4, 4), conv=Conv2d.from_weights(np.ones((2, n, 3, 3))), a=neurons()
    )
    with pytest.raises(MappingError, match="one neuron alone receives 4,608 axons"):
        map_network(deep(512), device="loihi1")
    use = cores(map_network(deep(455), device="loihi1"))["a"]
    assert use.in_axons == 4095 and use.tile == (2, 1, 1) and use.cores == 4
    assert map_network(deep(512), device="loihi2").report().rows[0]["cores"] == 1
    with pytest.raises(MappingError, match="synapses of one neuron alone"):
        small = dataclasses.replace(spec("loihi2"), name="small", synapse_bits_per_core=1000)
        map_network(deep(512), device=small)


def test_feedback_takes_axons():
    layer = Recurrent(neurons(), dense(20, 20))
    net = nj.Sequential((5,), fc=dense(5, 20), a=layer)
    use = cores(map_network(net, device="loihi1"))["a"]
    # 20 weights and the head are 170 bits, 192 with the rest of the word.
    assert use.in_axons == 25 and use.synapse_bits == 25 * 192


def test_more_cores_than_a_chip_has():
    net = nj.Sequential((4,), fc=dense(4, 200), a=neurons())
    tiny = dataclasses.replace(FIRST, name="tiny", cores=2, neurons_per_core=50)
    mapped = map_network(net, device=tiny)
    assert "about 4 cores, more than the 2 of one tiny" in str(mapped)
    with pytest.raises(MappingError, match="about 4 cores"):
        map_network(net, device=tiny, strict=True)


def test_spec_says_what_is_not_confirmed():
    net = nj.Sequential((2,), fc=Linear.from_weights(jnp.eye(2)), a=neurons())
    assert "secondary sources only for cores" in str(map_network(net))
    assert "secondary" not in str(map_network(net, device="loihi1"))
