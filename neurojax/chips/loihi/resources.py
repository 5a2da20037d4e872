"""How many cores a mapped network takes: an estimate from the published limits.

A core has places for neurons, for axons that come in and go out, and memory for synapses. Of a
population, a core takes a tile: some channels (or neurons), and of maps some rows and columns. An
axon comes in for each source whose spikes any neuron of the tile needs; one goes out for each
neuron and core that needs its spikes. The synapses of an axon are stored as a list (nengo-loihi's
formula); where the chip has shared kernels, a convolution stores its kernel once.

An estimate: compilers place better (shared lists, axons for whole populations) or worse (delays,
learning, probes take room, too), and several small populations may share a core, which this does
not count on.

References:
    nengo-loihi, `block.py` (`Synapse.bits_per_axon`) and `hardware/validate.py`, for the first
    chip; see `spec` for the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork, Problem
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.spec import LoihiSpec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.layers import (
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Recurrent,
)

SYNAPSES = (Synapse, ComplexSynapse)

BLOCK = 64
"""Most synapses in a block of a list, and the bits of the memory's word."""

BLOCK_HEAD = 4 + 6
"""Bits that a block begins with: its format and its number of synapses."""


class Use(NamedTuple):
    """What a population takes."""

    cores: int
    neurons: int  # in all
    neurons_per_core: int
    in_axons: int  # of the fullest core
    out_axons: int
    synapse_bits: int
    tile: Shape  # of the neurons, on one core
    bottleneck: str  # the limit that asks for most cores


class Fan(NamedTuple):
    """A group of synapses, as far as cores are concerned."""

    channels: int  # of the input in a group; features of dense synapses
    groups: int
    kernel: Shape  # empty: dense
    stride: Shape
    dilation: Shape
    in_size: Shape
    bits: int
    transposed: bool = False


def synapse_bits(
    synapses: Any, weight_bits: int, *, index_bits: Any = 0, delay_bits: int = 0
) -> Any:
    """Memory of one axon's list of synapses, in bits; numbers or arrays.

    Blocks of at most 64 synapses, n (weight + delay + index bits) + 10 bits each, rounded up to
    words of 64 bits.

    Args:
        synapses: How many.
        weight_bits: Width of a weight.
        index_bits: Of a target's number; 0 if the list has all targets in order.
        delay_bits: Of a delay.

    Example:
        >>> from neurojax.chips.loihi.resources import synapse_bits
        >>> int(synapse_bits(100, 8))  # 64 * 8 + 10 -> 576, 36 * 8 + 10 -> 320
        896
    """
    n = np.asarray(synapses)
    each = weight_bits + delay_bits + np.asarray(index_bits)
    words = lambda bits: -(-bits // BLOCK) * BLOCK  # noqa: E731
    rest = n % BLOCK
    last = np.where(rest > 0, words(rest * each + BLOCK_HEAD), 0)
    return n // BLOCK * words(BLOCK * each + BLOCK_HEAD) + last


def cores(mapped: MappedNetwork) -> dict[str, Use]:
    """What each population takes, by name; cores are 0 where one neuron alone does not fit.

    Args:
        mapped: What `map` returned, or what a file held.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips.loihi import cores, map as map_network
        >>> net = nj.Sequential((100,), fc=nj.Linear(100, 3000, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(tau=5.0, reset="zero"))
        >>> use = cores(map_network(net, device="loihi1"))["spikes"]
        >>> use.cores, use.bottleneck
        (3, 'neurons')
    """
    network, chip = mapped.network, mapped.chip
    result: dict[str, Use] = {}
    populations = [
        name
        for name in network.names
        if not (isinstance(network[name], SYNAPSES) or _moves(network[name]))
    ]
    fans = {name: list(_fans(network, name)) for name in populations}
    for name in reversed(populations):
        targets = 0.0
        for other, use in result.items():
            shape = network.out_shape(other)
            reached = [_reached(fan, shape, use) for s, fan in fans[other] if name in s]
            targets += max(reached, default=0.0)
        own = [fan for _, fan in fans[name]]
        result[name] = place(network.out_shape(name), own, chip, targets=targets)
    return {name: result[name] for name in populations}


def place(shape: Shape, fans: list[Fan], chip: LoihiSpec, *, targets: float = 0) -> Use:
    """The tiles of a population that take the fewest cores.

    Args:
        shape: Of the neurons.
        fans: Their synapses.
        chip: Whose cores.
        targets: Cores that a neuron sends its spikes to, on average.
    """
    sizes = [_tile_sizes(n) for n in shape]
    grid = [axis.ravel() for axis in np.meshgrid(*sizes, indexing="ij")]
    neurons = np.prod(grid, axis=0)
    count = np.prod([-(-n // t) for n, t in zip(shape, grid, strict=True)], axis=0)
    axons, bits = np.zeros_like(neurons), np.zeros_like(neurons)
    for fan in fans:
        more_axons, more_bits = _needs(fan, shape, grid, chip)
        axons, bits = axons + more_axons, bits + more_bits
    out = np.ceil(neurons * targets).astype(int)
    needs = {
        "neurons": (neurons, chip.neurons_per_core),
        "axons in": (axons, chip.in_axons_per_core),
        "axons out": (out, chip.out_axons_per_core),
        "synapse memory": (bits, chip.synapse_bits_per_core),
    }
    alone = {}
    fits = np.ones(len(neurons), bool)
    for what, (need, limit) in needs.items():
        ok = np.ones(len(neurons), bool) if limit is None else need <= limit
        fits &= ok
        alone[what] = int(count[ok].min()) if ok.any() else math.inf
    bottleneck = max(alone, key=lambda what: alone[what])
    if fits.any():
        i = min(np.flatnonzero(fits).tolist(), key=lambda k: (count[k], axons[k] + bits[k] / 256))
        total = int(count[i])
    else:
        i, total = 0, 0  # the smallest tile: one neuron
    return Use(
        cores=total,
        neurons=math.prod(shape),
        neurons_per_core=int(neurons[i]),
        in_axons=int(axons[i]),
        out_axons=int(out[i]),
        synapse_bits=int(bits[i]),
        tile=tuple(int(axis[i]) for axis in grid),
        bottleneck=bottleneck if total != 1 else "",
    )


def check_cores(mapped: MappedNetwork, *, strict: bool) -> Iterator[Problem]:
    """Populations of which one neuron alone does not fit; with `strict` also too many cores."""
    chip = mapped.chip
    total = 0
    for name, use in cores(mapped).items():
        total += use.cores
        if not use.cores:
            if use.bottleneck == "axons in":
                found = f"one neuron alone receives {use.in_axons:,} axons"
                legal = f"a core of {chip.name} takes {chip.in_axons_per_core:,}"
            elif use.bottleneck == "axons out":
                found = f"one neuron alone sends to {use.out_axons:,} cores"
                legal = f"a core of {chip.name} has {chip.out_axons_per_core:,} axons out"
            else:
                found = f"the synapses of one neuron alone take {use.synapse_bits:,} bits"
                legal = f"a core of {chip.name} has {chip.synapse_bits_per_core:,}"
            remedy = "use fewer input channels, a smaller kernel, groups, or neurons in between"
            yield Problem(name, found, legal, remedy)
    if strict and total > chip.cores:
        yield Problem(
            "network",
            f"it takes about {total} cores",
            f"one {chip.name} has {chip.cores}",
            "make the largest layers smaller, or use several chips (strict=False)",
        )


def _tile_sizes(n: int) -> np.ndarray:
    """The smallest tiles for each number of tiles: all others waste room."""
    parts = np.arange(1, n + 1)
    return np.unique(-(-n // parts))


def _needs(
    fan: Fan, shape: Shape, grid: list[np.ndarray], chip: LoihiSpec
) -> tuple[np.ndarray, np.ndarray]:
    """Axons in and bits of synapses of each tile."""
    neurons = np.prod(grid, axis=0)
    if not fan.kernel:
        return np.full_like(neurons, fan.channels), fan.channels * synapse_bits(neurons, fan.bits)
    per_group = max(1, shape[0] // fan.groups)
    tile = grid[0]
    even = (per_group % tile == 0) | (tile % per_group == 0)
    groups = np.minimum(fan.groups, -(-tile // per_group) + ~even)
    axons = groups * fan.channels
    fan_in = fan.channels
    for length, kernel, stride, dilation, size in zip(
        grid[1:], fan.kernel, fan.stride, fan.dilation, fan.in_size, strict=True
    ):
        reach = (kernel - 1) * dilation + 1
        seen = (
            -(-(length + reach - 1) // stride) if fan.transposed else (length - 1) * stride + reach
        )
        axons = axons * np.minimum(seen, size)
        fan_in *= -(-kernel // stride) if fan.transposed else kernel
    if chip.shared_kernels:
        weights = tile * fan.channels * math.prod(fan.kernel)
        return axons, weights * fan.bits
    each = -(-neurons * fan_in // axons)
    index = np.maximum(6, np.ceil(np.log2(np.maximum(neurons, 2))).astype(int))
    return axons, axons * synapse_bits(each, fan.bits, index_bits=index)


def _reached(fan: Fan, shape: Shape, use: Use) -> float:
    """To how many cores of a population a source sends its spikes, on average."""
    if not fan.kernel:
        return use.cores
    tiles = [-(-n // max(t, 1)) for n, t in zip(shape, use.tile, strict=True)]
    per_group = max(1, shape[0] // fan.groups)
    result = float(min(tiles[0], -(-per_group // use.tile[0])))
    for count, length, kernel, stride, dilation in zip(
        tiles[1:], use.tile[1:], fan.kernel, fan.stride, fan.dilation, strict=True
    ):
        reach = (kernel - 1) * dilation + 1
        seen = reach if fan.transposed else -(-reach // stride)  # outputs that a source is part of
        result *= min(count, 1 + (seen - 1) / length)
    return result if use.cores else 0.0


def _synapses(network: Network, population: str) -> Iterator[str]:
    """Names of the synapses that lead to a population."""
    names = [edge.source for edge in network.incoming(population)]
    while names:
        name = names.pop()
        if name in network.inputs:
            continue
        if isinstance(network[name], SYNAPSES):
            yield name
        else:
            names += [edge.source for edge in network.incoming(name)]


def _sources(network: Network, synapse: str) -> set[str]:
    """Populations and inputs whose spikes reach a synapse."""
    found = set()
    names = [edge.source for edge in network.incoming(synapse)]
    while names:
        name = names.pop()
        found.add(name)
        if name not in network.inputs and _moves(network[name]):
            names += [edge.source for edge in network.incoming(name)]
    return found


def _moves(layer: Layer) -> bool:
    if isinstance(layer, Input):  # the host's
        return True
    return type(layer).__module__.startswith("neurojax.layers") and not isinstance(layer, Recurrent)


def _fans(network: Network, population: str) -> Iterator[tuple[set[str], Fan]]:
    """The synapses of a population, each with whose spikes they take."""
    shape = network.out_shape(population)
    for name in _synapses(network, population):
        synapse = network[name]
        halves: list[Layer] = [synapse]
        if isinstance(synapse, ComplexSynapse):  # two groups of synapses on every source
            halves = [synapse.real, synapse.imag]
        for half in halves:
            assert isinstance(half, Synapse)
            into = network.in_shape(name)
            yield _sources(network, name), _fan(half, into, half.out_shape(into), shape)
    layer = network[population]
    if isinstance(layer, Recurrent) and isinstance(layer.synapse, Synapse):
        yield {population}, _fan(layer.synapse, shape, shape, shape)


def _fan(synapse: Synapse, in_shape: Shape, out_shape: Shape, shape: Shape) -> Fan:
    layer: Any = synapse.synapse
    bits = synapse.bits or 8
    channelwise = isinstance(layer, PerChannel)
    if channelwise:
        layer = layer.synapse
    kinds = (Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d)
    if not isinstance(layer, kinds) or out_shape != shape:
        return Fan(math.prod(in_shape), 1, (), (), (), (), bits)
    groups = in_shape[0] if channelwise else layer.groups
    return Fan(
        in_shape[0] // groups,
        groups,
        tuple(layer.weight.shape[2:]),
        tuple(layer.stride),
        tuple(layer.dilation),
        tuple(in_shape[1:]),
        bits,
        isinstance(layer, ConvTranspose1d | ConvTranspose2d),
    )
