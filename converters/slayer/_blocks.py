"""The blocks of lava-dl's slayer and of SpikingJelly's lava_exchange, from plain numbers.

A block is a synapse with 8-bit weights, a neuron, and a delay. Each function gives the layers of
one block by name, for `nj.Sequential(in_shape, **block)` or `Converted(block)`. Weights may have
slayer's shapes, with a time axis of length 1 behind the others.

The neuron may be any of the chip's: `CUBA`, `ALIF`, a resonator, `SigmaDelta`. Resonators take
complex inputs, and so the weights of their blocks are pairs `(real, imag)`, and so are gains.

slayer's arrays are `[batch, channels, ..., time]`, ours `[time, batch, channels, ...]`:
`jnp.moveaxis(x, -1, 0)` there, `jnp.moveaxis(y, 0, -1)` back.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.quantise import QuantisedInput
from neurojax.chips.loihi.sigma_delta import SigmaDelta
from neurojax.converters.slayer._neurons import Number
from neurojax.converters.slayer._synapses import (
    SPIKINGJELLY_LARGEST,
    Ints,
    delays,
    dense_synapse,
    kernel_of,
    pair,
    parts,
    spatial,
    spread,
    stacked_sums,
    steps_per_unit,
    sums,
    weighted,
    window_values,
)
from neurojax.converters.slayer._truncated import Truncated
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear
from neurojax.layers.pooling import AvgPool1d
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Flatten, Reshape
from neurojax.layers.transposed import ConvTranspose2d

Block = dict[str, Layer]

RECURRENT_GRADIENTS = ("full", "through_feedback_only")


def dense(
    weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Dense`, and those of the other neurons.

    Args:
        weight: `(out, in)`, or `(out, in, height, width)` over images; the unquantised one. A pair
            `(real, imag)` for resonators.
        neuron: See `cuba_neuron` and its neighbours.
        gain: The `weight_g` of a block with `weight_norm=True` (`weight` is then its `weight_v`).
        mask: 0 where there is no synapse.
        quantise: Whether weights are used with 8 bits (`pre_hook_fx` is not None).
        delay_shift: Whether the output comes one time step late. slayer's sigma-delta blocks have
            False.
        delay: Axonal delays, one number or one a channel: whole steps of what is given count, 0 to
            62. A JAX array is learned (`AxonalDelay`), numbers and NumPy's arrays are not.
        in_shape: Shape of one sample at one step; needed if it is `(features, 1, 1)`.

    Returns:
        `synapse`, `neuron` and, if there is one, `delay`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.converters import slayer
        >>> neuron = slayer.cuba_neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.1)
        >>> block = slayer.dense(jnp.ones((3, 2)), neuron)
        >>> print(nj.simulate(nj.Sequential((2,), **block), jnp.ones((3, 1, 2))).outputs[:, 0, 0])
        [0. 1. 1.]
    """

    def one(weight: Any, gain: Any) -> Layer:
        synapse = dense_synapse(kernel_of(weight), in_shape)
        return weighted(synapse, neuron, quantise=quantise, gain=gain, mask=mask)

    synapse = parts(one, weight, gain)
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


def conv(
    weight: Any,
    neuron: Layer,
    *,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Conv`: see `dense`, and `neurojax.Conv2d` for the window."""

    def one(weight: Any, gain: Any) -> Layer:
        synapse = Conv2d.from_weights(
            kernel_of(weight),
            stride=spatial(stride),
            padding=spatial(padding),
            dilation=spatial(dilation),
            groups=groups,
        )
        return weighted(synapse, neuron, quantise=quantise, gain=gain)

    synapse = parts(one, weight, gain)
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


def conv_transpose(
    weight: Any,
    neuron: Layer,
    *,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.ConvT`: see `dense`, and `neurojax.ConvTranspose2d` for the window.

    Args:
        weight: `(in, out / groups, height, width)`, as torch has it for transposed convolutions.
        neuron, quantise, delay_shift, delay: As in `dense`.
        stride, padding, dilation, groups: As in `conv`.
        gain: One number an *input* channel: `weight_norm` normalises over the first axis.
    """

    def one(weight: Any, gain: Any) -> Layer:
        synapse = ConvTranspose2d.from_weights(
            kernel_of(weight),
            stride=spatial(stride),
            padding=spatial(padding),
            dilation=spatial(dilation),
            groups=groups,
        )
        return weighted(synapse, neuron, quantise=quantise, gain=gain)

    synapse = parts(one, weight, gain)
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


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

    synapse = parts(one, weight)
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


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

    synapse = parts(one, weight)
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


def affine(
    weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    dynamics: bool = True,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Affine`: a read-out without spikes; its output is the membrane.

    Args:
        weight, neuron, gain, mask, quantise, in_shape: As in `dense`. The output of resonators is
            the imaginary state.
        dynamics: False: the output is what the synapse gives (of complex ones the imaginary part).

    Raises:
        ValueError: The neuron is a sigma-delta neuron.
    """
    if isinstance(neuron, SigmaDelta):
        raise ValueError("affine: sigma-delta neurons have slayer's Output block instead")
    if not dynamics and isinstance(weight, tuple):
        weight, gain = weight[1], None if gain is None else gain[1]
    read_out: Any = neuron
    read_out = dataclasses.replace(read_out, threshold=None)
    block = dense(
        weight,
        read_out,
        gain=gain,
        mask=mask,
        quantise=quantise,
        delay_shift=False,
        in_shape=in_shape,
    )
    return block if dynamics else {"synapse": block["synapse"]}


def recurrent(
    weight: Any,
    recurrent_weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    recurrent_gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    gradient: str = "full",
) -> Block:
    """`slayer.block.cuba.Recurrent`: s[t] = neuron(W x[t] + R s[t - 1]).

    slayer runs its neuron once a step there, which makes integers of the states anew and keeps the
    normalised current (`CUBA(requantise=True, norm_feedback=True)`).

    Args:
        weight: W, `(out, in)`.
        recurrent_weight: R, `(out, out)`.
        gain, recurrent_gain: Their `weight_g`, if they are normalised.
        neuron, quantise, delay_shift, delay: As in `dense`.
        gradient: `"full"`: through states and spikes. `"through_feedback_only"`, as in slayer:
            neither through the states of neurons nor to their parameters, only back through R.
    """
    if gradient not in RECURRENT_GRADIENTS:
        raise ValueError(f"recurrent: gradient is {gradient!r}; use one of {RECURRENT_GRADIENTS}")
    if isinstance(neuron, CUBA):
        neuron = dataclasses.replace(neuron, requantise=True, norm_feedback=True)
    into = dense(weight, neuron, gain=gain, quantise=quantise)["synapse"]
    back = dense(recurrent_weight, neuron, gain=recurrent_gain, quantise=quantise)["synapse"]
    cells = Truncated(neuron) if gradient == "through_feedback_only" else neuron
    return {"synapse": into, "neuron": Recurrent(cells, back), **delays(delay_shift, delay)}


def input(
    neuron: Layer | None = None,
    *,
    weight: Number | None = None,
    bias: Number | None = None,
    delay_shift: bool = True,
) -> Block:
    """`slayer.block.cuba.Input`: values become currents with 8 bits, then spikes.

    Args:
        neuron: See `cuba_neuron`; None: the input is handed on. Resonators take pairs: the input
            then has shape `(2, ...)`. For sigma-delta neurons it is a `Delta`.
        weight, bias: One number each, an array is learned.
        delay_shift: As in `dense`.
    """
    block: Block = {}
    if neuron is not None:
        scale = steps_per_unit(neuron)
        block["transform"] = QuantisedInput(weight=weight, bias=bias, scale=scale)
        block["neuron"] = neuron
    return block | delays(delay_shift, None)


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


def sum_pool(
    kernel_size: Ints,
    *,
    in_shape: Shape,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
) -> Layer:
    """SpikingJelly's `lava_exchange.SumPool2d`, exactly.

    SpikingJelly multiplies the mean by the size of the window, which for sizes that are no power
    of two can be off by a rounding error.

    Args:
        kernel_size: Height and width of the window.
        in_shape: `(channels, height, width)`.
        stride, padding, dilation: As in `conv`; default stride: the window.

    Raises:
        ValueError: No window fits into the input.
    """
    window = pair(kernel_size)
    pads = [(p, p) for p in pair(padding)]
    layer = sums(np.ones((1, 1, *window), np.float32), stride, pads, dilation)
    layer.out_shape(in_shape)
    return layer
