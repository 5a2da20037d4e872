"""The blocks of SpikingJelly's `lava_exchange`, from plain numbers and from its modules."""

from __future__ import annotations

from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.converters._registry import Converted, kind_of, register
from neurojax.converters._values import weight
from neurojax.converters.slayer._pools import sum_pool
from neurojax.converters.slayer._reading import FIXED_NORM, read_node, read_norm
from neurojax.converters.slayer._synapses import (
    SPIKINGJELLY_LARGEST,
    Block,
    Ints,
    kernel_of,
    weighted,
    window_of,
)
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear
from neurojax.layers.shape import Flatten


def container(
    weight: Any,
    neuron: CUBA,
    *,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Block:
    """SpikingJelly's `lava_exchange.BlockContainer` of a Linear or Conv2d and a `CubaLIFNode`.

    Args:
        weight: `(out, in)` for a Linear, `(out, in / groups, height, width)` for a Conv2d.
        neuron: See `cuba_lif_node`.
        stride, padding, dilation, groups: Of a Conv2d.

    Returns:
        `synapse` and `neuron`.
    """
    kernel = kernel_of(weight)
    synapse: Linear | Conv2d = (
        Linear.from_weights(kernel)
        if kernel.ndim == 2
        else Conv2d.from_weights(
            kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
    )
    return {
        "synapse": weighted(synapse, neuron, quantise=True, largest=SPIKINGJELLY_LARGEST),
        "neuron": neuron,
    }


@register("spikingjelly.CubaLIFNode")
def _cuba_lif_node(module: Any, in_shape: Shape) -> Converted:
    neuron, notes = read_node(module)
    return Converted({"": neuron}, notes, sequence=module.step_mode == "m")


@register("spikingjelly.BlockContainer")
def _container(module: Any, in_shape: Shape) -> Converted:
    synapse, sequence = module.synapse, module.step_mode == "m"
    kind = kind_of(type(synapse))
    if kind == "torch.Flatten":
        return Converted({"": Flatten()}, sequence=sequence)
    neuron, notes = read_node(module.neuron)
    if kind == "spikingjelly.SumPool2d":
        block: Block = {"synapse": _read_sum_pool(synapse, in_shape), "neuron": neuron}
    elif kind == "torch.Linear":
        block = container(weight(synapse.weight), neuron)
    elif kind == "torch.Conv2d":
        if isinstance(synapse.padding, str) or synapse.padding_mode != "zeros":
            raise ValueError(
                f"its convolution has padding {synapse.padding!r}, {synapse.padding_mode}; only "
                "numbers of zeros are supported"
            )
        window = window_of(synapse)
        block = container(weight(synapse.weight), neuron, groups=synapse.groups, **window)
    else:
        raise ValueError(
            f"its synapse is {kind}, which BlockContainer can't run; use Linear, Conv2d, "
            "lava_exchange.SumPool2d or Flatten"
        )
    return Converted(block, notes, sequence=sequence)


@register("spikingjelly.SumPool2d")
def _sum_pool(module: Any, in_shape: Shape) -> Converted:
    return Converted({"": _read_sum_pool(module, in_shape)}, sequence=False)


# Not SpikingJelly's layer of that name.
@register("spikingjelly.activation_based.lava_exchange.BatchNorm2d")
def _shift_norm(module: Any, in_shape: Shape) -> Converted:
    layer = read_norm(module, 64, SPIKINGJELLY_LARGEST)
    assert layer is not None
    return Converted({"": layer}, (FIXED_NORM,), sequence=False)


def _read_sum_pool(module: Any, in_shape: Shape) -> Layer:
    return sum_pool(tuple(module.kernel_size), in_shape=in_shape, **window_of(module))
