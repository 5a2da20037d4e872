"""Modules of torch and layers of neurojax as synapses and blocks of slayer.

With the names and arguments of SpikingJelly's `lava_exchange`, whose public module is
`neurojax.converters.lava_exchange`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar

import equinox as eqx

from neurojax._layer import Layer, constants_to_floats
from neurojax._network import Network
from neurojax.converters import _torch_layers as torch_layers
from neurojax.converters._registry import kind_of
from neurojax.converters.slayer._blocks import conv, dense
from neurojax.converters.slayer._exchange_neurons import NEURONS, is_neuron, to_lava_neuron
from neurojax.converters.slayer._synapses import Block
from neurojax.layers import AvgPool2d, Conv2d, Flatten, Linear, SumPool2d

L = TypeVar("L", bound=Layer)

AVERAGES = ("next_weights", "threshold")

# Synapses


def linear_to_lava_synapse_dense(fc: Any) -> Linear:
    """A `torch.nn.Linear` without bias (or a `nj.Linear`) as a synapse, with full precision."""
    return _synapse(fc, Linear, "Linear")


def conv2d_to_lava_synapse_conv(conv2d_nn: Any) -> Conv2d:
    """A `torch.nn.Conv2d` without bias (or a `nj.Conv2d`) as a synapse, with full precision."""
    return _synapse(conv2d_nn, Conv2d, "Conv2d")


def avgpool2d_to_lava_synapse_pool(pool2d_nn: Any) -> SumPool2d:
    """The *sum* over the windows of an average pool: multiply by 1 / (height * width) elsewhere.

    `to_lava_blocks` does it in the weights behind. Where windows don't fill the input, the rest is
    left out, as by `torch.nn.AvgPool2d`; slayer appends zeros.
    """
    pool = _synapse(pool2d_nn, AvgPool2d, "AvgPool2d")
    return SumPool2d(pool.kernel_size, stride=pool.stride, padding=pool.padding)


# Blocks


def to_lava_block_dense(fc: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Dense` of a Linear and a neuron, without its delay of one step.

    Args:
        fc: See `linear_to_lava_synapse_dense`.
        sj_ms_neuron: See `to_lava_neuron_param_dict`.
        quantize_to_8bit: False keeps the weights as they are.

    Returns:
        `synapse` and `neuron`.
    """
    synapse = linear_to_lava_synapse_dense(fc)
    neuron = to_lava_neuron(sj_ms_neuron)
    return dense(synapse.weight, neuron, quantise=quantize_to_8bit, delay_shift=False)


def to_lava_block_conv(conv2d_nn: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Conv` of a Conv2d and a neuron: see `to_lava_block_dense`."""
    synapse = conv2d_to_lava_synapse_conv(conv2d_nn)
    if any(before != after for before, after in synapse.padding):
        raise ValueError(
            f"{synapse.describe()}: slayer's convolutions have the same padding on both sides"
        )
    return conv(
        synapse.weight,
        to_lava_neuron(sj_ms_neuron),
        stride=synapse.stride,
        padding=[before for before, _ in synapse.padding],
        dilation=synapse.dilation,
        groups=synapse.groups,
        quantise=quantize_to_8bit,
        delay_shift=False,
    )


def to_lava_block_pool(pool2d_nn: Any, sj_ms_neuron: Any, quantize_to_8bit: bool = True) -> Block:
    """`slayer.block.cuba.Pool` of an AvgPool2d and a neuron: *sums*, see `to_lava_blocks`.

    The weights are 1, which 8 bits hold: `quantize_to_8bit` makes no difference.
    """
    del quantize_to_8bit
    synapse = avgpool2d_to_lava_synapse_pool(pool2d_nn)
    return {"synapse": synapse, "neuron": to_lava_neuron(sj_ms_neuron)}


def to_lava_block_flatten(flatten_nn: Any) -> Block:
    """`slayer.block.cuba.Flatten` of a Flatten of everything behind the batch."""
    if not isinstance(flatten_nn, Flatten):
        _check_torch(flatten_nn, "Flatten")
        if flatten_nn.start_dim != 1 or flatten_nn.end_dim != -1:
            raise ValueError(
                f"Flatten: start_dim={flatten_nn.start_dim}, end_dim={flatten_nn.end_dim}; slayer "
                "flattens everything behind the batch, so they must be 1 and -1"
            )
    return {"flatten": Flatten()}


def to_lava_blocks(net: Iterable[Any] | Network, *, average: str = "next_weights") -> list[Block]:
    """Blocks of a list of layers and neurons, in pairs, and of Flatten.

    Pools of the chip sum, so that the 1 / (height * width) of an average has to go elsewhere.
    `"next_weights"`, which SpikingJelly means to do, puts it into a copy of the next weights: exact
    for a pool without neurons of its own; behind neurons it keeps the *rates*, as long as they
    don't saturate. `"threshold"` puts it into the neurons of the pool: the same spikes as with the
    average, if the neurons don't leak. Weights behind several pools take all their factors.

    SpikingJelly fails for any network with a pool, would change the caller's weights, and refuses
    `CubaLIFNode`.

    Args:
        net: Linear, Conv2d and AvgPool2d, each with a neuron behind it (an AvgPool2d may be
            without), and Flatten: of torch, SpikingJelly or neurojax. A list, a
            `torch.nn.Sequential`, or a `nj.Sequential`.
        average: See above.

    Returns:
        The blocks, for `slayer.from_blocks`.

    Raises:
        ValueError: Something else is in the list, a neuron is missing, or there are no weights
            behind a pool; it names the place.
    """
    if average not in AVERAGES:
        raise ValueError(f"to_lava_blocks: average is {average!r}; use one of {AVERAGES}")
    parts = [net[name] for name in net.names] if isinstance(net, Network) else list(net)
    blocks: list[Block] = []
    factor, at = 1.0, 0
    while at < len(parts):
        part = parts[at]
        neuron = parts[at + 1] if at + 1 < len(parts) and is_neuron(parts[at + 1]) else None
        try:
            made = _one_block(part, neuron, factor, average)
        except ValueError as error:
            raise ValueError(f"to_lava_blocks: [{at}]: {error}") from None
        blocks.append(made.block)
        factor = made.factor
        at += 1 if neuron is None else 2
    if factor != 1:
        raise ValueError(
            "to_lava_blocks: there are no weights behind the last pool to take up its average; "
            "use average='threshold', or add a Linear"
        )
    return blocks


class _Made(NamedTuple):
    block: Block
    factor: float  # of the next weights


def _one_block(part: Any, neuron: Any, factor: float, average: str) -> _Made:
    if is_kind(part, Flatten, "Flatten"):
        if neuron is not None:
            raise ValueError("Flatten is followed by a neuron; put a Linear or Conv2d between them")
        return _Made(to_lava_block_flatten(part), factor)
    if is_kind(part, AvgPool2d, "AvgPool2d"):
        pool = avgpool2d_to_lava_synapse_pool(part)
        area = math.prod(pool.kernel_size)
        if neuron is None:
            return _Made({"synapse": pool}, factor / area)
        block: dict[str, Any] = to_lava_block_pool(part, neuron)
        if average == "next_weights":
            return _Made(block, factor / area)
        threshold = constants_to_floats(block["neuron"]).threshold
        higher = dataclasses.replace(block["neuron"], threshold=threshold * area)
        return _Made(block | {"neuron": higher}, factor)
    if not (is_kind(part, Linear, "Linear") or is_kind(part, Conv2d, "Conv2d")):
        raise ValueError(
            f"{type(part).__name__} is no part of a block; take Linear, Conv2d, AvgPool2d and "
            "Flatten, and one neuron behind each of the first two"
        )
    if neuron is None:
        raise ValueError(f"{type(part).__name__} needs a neuron behind it: {NEURONS}")
    flat = is_kind(part, Linear, "Linear")
    synapse: Any = linear_to_lava_synapse_dense(part) if flat else conv2d_to_lava_synapse_conv(part)
    scaled = eqx.tree_at(lambda layer: layer.weight, synapse, synapse.weight * factor)
    make = to_lava_block_dense if flat else to_lava_block_conv
    return _Made(make(scaled, neuron), 1.0)


# What is what


def check_no_bias(m: Any) -> None:
    """Raise ValueError if a layer has a bias, which Loihi's synapses have not."""
    if getattr(m, "bias", None) is not None:
        raise ValueError(
            f"{type(m).__name__} has a bias, which Loihi's synapses have not; make it with "
            "bias=False"
        )


def is_kind(part: Any, ours: type[Layer], name: str) -> bool:
    return isinstance(part, ours) or _is_torch(part, name)


def _is_torch(part: Any, name: str) -> bool:
    return any(kind_of(cls) == f"torch.{name}" for cls in type(part).__mro__)


def _check_torch(part: Any, name: str) -> None:
    if not _is_torch(part, name):
        raise ValueError(f"expected a {name} of torch or neurojax, got {part!r}")


def _synapse(module: Any, ours: type[L], name: str) -> L:
    """A layer without bias, from one of torch or neurojax."""
    layer: Any = module
    if not isinstance(module, ours):
        _check_torch(module, name)
        if getattr(module, "ceil_mode", False) or getattr(module, "divisor_override", None):
            raise ValueError("AvgPool2d: ceil_mode and divisor_override are not supported")
        read = {
            "Linear": (torch_layers.linear, (1,)),
            "Conv2d": (torch_layers.convolution, (1, 1, 1)),
            "AvgPool2d": (torch_layers.average_pool, (1, 1, 1)),
        }
        function, shape = read[name]
        layer = function(module, shape)
    check_no_bias(layer)
    if isinstance(layer, AvgPool2d) and not layer.count_padding and any(map(any, layer.padding)):
        raise ValueError("AvgPool2d: means that don't count the padding are no multiple of sums")
    return layer
