"""Blocks of slayer and SpikingJelly that sum over windows, or take means over groups and time."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neurojax._layer import Layer, Shape
from neurojax.converters.slayer._synapses import (
    Block,
    Ints,
    block_of,
    pair,
    parts,
    spread,
    stacked_sums,
    sums,
    window_values,
)
from neurojax.layers.pooling import AvgPool1d
from neurojax.layers.shape import Flatten, Reshape


def pool(
    weight: Any,
    neuron: Layer,
    *,
    in_shape: Shape,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    stacked_channels: bool = False,
) -> Block:
    """`slayer.block.cuba.Pool`: the sum over windows of each channel, times a weight.

    Sizes that are no multiple of the window get zeros at the end. slayer pools the channels stacked
    on each other, so that with a stride other than the window, or with padding, its windows reach
    into the next channel; and it appends the wrong number of zeros to windows larger than 2. Both
    are not copied, unless asked for.

    Args:
        weight: `(1, 1, height, width)`: the window, with the weight in each place.
        neuron: See `cuba_neuron`.
        in_shape: `(channels, height, width)`.
        stride: Default: the window.
        padding, dilation: As in `conv`.
        quantise, delay_shift, delay: As in `dense`.
        stacked_channels: Pool as slayer does, which mixes channels.
    """

    def one(weight: Any, gain: Any) -> Layer:
        values = window_values(weight, neuron, quantise)
        if stacked_channels:
            return stacked_sums(values, in_shape, stride, padding, dilation)
        pads = [
            (p, p + -size % length)
            for p, size, length in zip(pair(padding), in_shape[1:], values.shape[2:], strict=True)
        ]
        return sums(values, stride, pads, dilation)

    return block_of(parts(one, weight), neuron, delay_shift, delay)


def unpool(
    weight: Any,
    neuron: Layer,
    *,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Unpool`: every value is repeated over a window, times a weight.

    Channels are apart, as in `pool`. What windows overlap is summed.

    Args:
        weight: `(1, 1, height, width)`: the window, with the weight in each place.
        neuron: See `cuba_neuron`.
        stride: Distance of the windows; default: the window.
        padding: What is cut off around the output.
        dilation, quantise, delay_shift, delay: As in `conv` and `dense`.
    """

    def one(weight: Any, gain: Any) -> Layer:
        values = window_values(weight, neuron, quantise)
        return spread(values, stride, padding, dilation)

    return block_of(parts(one, weight), neuron, delay_shift, delay)


def sum_pool(
    kernel_size: Ints,
    *,
    in_shape: Shape | None = None,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
) -> Layer:
    """SpikingJelly's `lava_exchange.SumPool2d`, exactly.

    SpikingJelly multiplies the mean by the size of the window, which for sizes that are no power
    of two can be off by a rounding error.

    Args:
        kernel_size: Height and width of the window.
        in_shape: `(channels, height, width)`, to be checked.
        stride, padding, dilation: As in `conv`; default stride: the window.

    Raises:
        ValueError: No window fits into the input.
    """
    window = pair(kernel_size)
    pads = [(p, p) for p in pair(padding)]
    layer = sums(np.ones((1, 1, *window), np.float32), stride, pads, dilation)
    if in_shape is not None:
        layer.out_shape(in_shape)
    return layer


def average(num_outputs: int, *, in_shape: Shape) -> Block:
    """`slayer.block.cuba.Average`: means of groups of neighbouring neurons.

    Args:
        num_outputs: Number of groups.
        in_shape: Shape of one sample at one step.
    """
    size, rest = divmod(math.prod(in_shape), num_outputs)
    if rest:
        raise ValueError(
            f"Average: {in_shape} can't be split into {num_outputs} groups of one size"
        )
    return {
        "groups": Reshape((num_outputs, size)),
        "mean": AvgPool1d(size),
        "flatten": Flatten(),
    }


def time_decimation(
    x: Float[Array | np.ndarray, "time ..."], factor: int
) -> Float[Array, "bins ..."]:
    """`slayer.block.cuba.TimeDecimation`: the mean of every `factor` time steps.

    The last steps are filled up with zeros. This works on sequences, not within a network, because
    its output has fewer time steps than its input.

    Args:
        x: Values or spikes, time first.
        factor: Time steps in a bin. slayer only takes powers of two.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.converters import slayer
        >>> print(slayer.time_decimation(jnp.array([0.0, 0, 1, 1, 1, 0]), 4))
        [0.5  0.25]
    """
    if isinstance(factor, bool) or not isinstance(factor, int) or factor < 1:
        raise ValueError(f"time_decimation: factor is {factor!r}; it must be an integer >= 1")
    x = jnp.asarray(x)
    x = jnp.pad(x, ((0, -x.shape[0] % factor), *((0, 0),) * (x.ndim - 1)))
    return x.reshape(-1, factor, *x.shape[1:]).mean(1)
