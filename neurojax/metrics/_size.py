"""How large a network is on its chip."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from neurojax._network import Network
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu
from neurojax.chips._mapped import MappedNetwork

WEIGHTS = ("weight", "bias")
FLOAT_BITS = 32


class Size(NamedTuple):
    """What a network takes."""

    parameters: int  # weights and biases
    bits: int  # of a weight
    cores: int | None  # of the chip; None where it has none, or nobody knows

    @property
    def bytes(self) -> int:
        """Of all weights and biases."""
        return -(-self.parameters * self.bits // 8)


def size(network: Network | MappedNetwork) -> Size:
    """How many weights a network has, how wide they are on its chip, and how many cores it takes.

    Args:
        network: A network, whose weights have 32 bits, or what a chip's `map` returned.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.ones((3, 4))),
        ...                     out=nj.IAF(v_min=-1.0))
        >>> metrics.size(net).bytes, metrics.size(nj.chips.dynapcnn.map(net)).bytes
        (48, 12)
    """
    net = network.network if isinstance(network, MappedNetwork) else network
    parameters = sum(
        leaf.size
        for path, leaf in jax.tree_util.tree_leaves_with_path(net.layers)
        if eqx.is_array(leaf) and _last(path) in WEIGHTS
    )
    bits, cores = FLOAT_BITS, None
    if isinstance(network, MappedNetwork):
        bits, cores = _on_chip(network, net)
    else:
        widths = {
            jnp.finfo(leaf.dtype).bits
            for leaf in jax.tree.leaves(net.layers)
            if eqx.is_inexact_array(leaf)
        }
        bits = max(widths, default=FLOAT_BITS)
    return Size(parameters, bits, cores)


def _on_chip(mapped: MappedNetwork, network: Network) -> tuple[int, int | None]:
    chip = mapped.chip
    if isinstance(chip, dynapcnn.ChipSpec):
        cores = sum(isinstance(network[name], dynapcnn.Core) for name in network.names)
        return chip.weight_bits, cores
    if isinstance(chip, loihi.LoihiSpec):
        return max(chip.weight_bits), sum(use.cores for use in loihi.cores(mapped).values())
    if isinstance(chip, cri.CRISpec):
        neurons = sum(
            math.prod(network.out_shape(name))
            for name in network.names
            if isinstance(network[name], cri.Neuron)
        )
        return chip.weight_bits, -(-neurons // (chip.groups * chip.rows))
    if isinstance(chip, bss2.ChipSpec):
        # An excitatory and an inhibitory synapse of six bits for a weight; a chip is one core.
        return 2 * chip.largest_weight.bit_length(), 1
    return (chip.number.bits if isinstance(chip, mcu.Spec) else FLOAT_BITS), None


def _last(path: Any) -> str:
    """The name of the field at the end of a path."""
    return str(getattr(path[-1], "name", getattr(path[-1], "key", "")))
