"""The blocks of lava-dl's slayer and of SpikingJelly's lava_exchange, from plain numbers.

A block is a synapse with 8-bit weights, a neuron, and a delay. Each function gives the layers of
one block by name, for `nj.Sequential(in_shape, **block)` or `Converted(block)`. Weights may have
slayer's shapes, with a time axis of length 1 behind the others.

slayer's arrays are `[batch, channels, ..., time]`, ours `[time, batch, channels, ...]`:
`jnp.moveaxis(x, -1, 0)` there, `jnp.moveaxis(y, 0, -1)` back.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.quantise import LARGEST, Quantised, QuantisedInput, quantise_8bit
from neurojax.chips.loihi.spec import LARGEST_AXONAL_DELAY
from neurojax.converters.slayer._neurons import Number, array
from neurojax.layers.chain import Chain
from neurojax.layers.convolution import Conv2d
from neurojax.layers.delay import Delay
from neurojax.layers.linear import Linear
from neurojax.layers.pooling import AvgPool1d, SumPool2d
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Flatten, Reshape, Scale

Block = dict[str, Layer]

SPIKINGJELLY_LARGEST = 255
"""SpikingJelly limits 8-bit weights to 255 steps, one more than the chip has."""


def dense(
    weight: Any,
    neuron: CUBA,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Dense`.

    Args:
        weight: `(out, in)`, or `(out, in, height, width)` over images; the unquantised one.
        neuron: See `cuba_neuron`.
        gain: The `weight_g` of a block with `weight_norm=True` (`weight` is then its `weight_v`).
        mask: 0 where there is no synapse.
        quantise: Whether weights are used with 8 bits (`pre_hook_fx` is not None).
        delay_shift: Whether the output comes one time step late.
        delay: Axonal delays, one number or one a channel: whole steps of what is given count, 0 to
            62. They are not trained here.
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
    kernel = _kernel(weight)
    flat = kernel.shape[2:] in ((), (1, 1)) and (in_shape is None or len(in_shape) == 1)
    if flat:
        synapse: Linear | Conv2d = Linear.from_weights(kernel.reshape(kernel.shape[:2]))
    else:
        synapse = Conv2d.from_weights(kernel if kernel.ndim == 4 else kernel[..., None, None])
    quantised = _synapse(synapse, neuron, quantise, gain=gain, mask=mask)
    return {"synapse": quantised, "neuron": neuron, **_delays(delay_shift, delay)}


def conv(
    weight: Any,
    neuron: CUBA,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Conv`: see `dense`, and `neurojax.Conv2d` for the window."""
    synapse = Conv2d.from_weights(
        _kernel(weight),
        stride=_spatial(stride),
        padding=_spatial(padding),
        dilation=_spatial(dilation),
        groups=groups,
    )
    quantised = _synapse(synapse, neuron, quantise, gain=gain)
    return {"synapse": quantised, "neuron": neuron, **_delays(delay_shift, delay)}


def pool(
    weight: Any,
    neuron: CUBA,
    *,
    in_shape: Shape,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Pool`: the sum over windows of each channel, times a weight.

    Sizes that are no multiple of the window get zeros at the end. slayer pools the channels stacked
    on each other, so that with a stride other than the window, or with padding, its windows reach
    into the next channel; and it appends the wrong number of zeros to windows larger than 2. Both
    are not copied.

    Args:
        weight: `(1, 1, height, width)`: the window, with the weight in each place.
        neuron: See `cuba_neuron`.
        in_shape: `(channels, height, width)`.
        stride: Default: the window.
        padding, dilation: As in `conv`.
        quantise, delay_shift, delay: As in `dense`.
    """
    kernel = _kernel(weight)
    pads = [
        (p, p + -size % length)
        for p, size, length in zip(_pair(padding), in_shape[1:], kernel.shape[2:], strict=True)
    ]
    values = quantise_8bit(kernel, scale=neuron.w_scale) if quantise else kernel
    synapse = _sums(values, in_shape, stride, pads, dilation)
    return {"synapse": synapse, "neuron": neuron, **_delays(delay_shift, delay)}


def affine(
    weight: Any,
    neuron: CUBA,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    dynamics: bool = True,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Affine`: a read-out without spikes; its output is the membrane.

    Args:
        weight, neuron, gain, mask, quantise, in_shape: As in `dense`.
        dynamics: False: the output is what the synapse gives.
    """
    block = dense(
        weight,
        dataclasses.replace(neuron, threshold=None),
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
    neuron: CUBA,
    *,
    gain: Any = None,
    recurrent_gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Recurrent`: s[t] = neuron(W x[t] + R s[t - 1]).

    slayer runs its neuron once a step there, which makes integers of the states anew and keeps the
    normalised current (`CUBA(requantise=True, norm_feedback=True)`), and back-propagates through
    the spikes only; here gradients go through the states, too.

    Args:
        weight: W, `(out, in)`.
        recurrent_weight: R, `(out, out)`.
        gain, recurrent_gain: Their `weight_g`, if they are normalised.
        neuron, quantise, delay_shift, delay: As in `dense`.
    """
    neuron = dataclasses.replace(neuron, requantise=True, norm_feedback=True)
    into = dense(weight, neuron, gain=gain, quantise=quantise)["synapse"]
    back = dense(recurrent_weight, neuron, gain=recurrent_gain, quantise=quantise)["synapse"]
    return {"synapse": into, "neuron": Recurrent(neuron, back), **_delays(delay_shift, delay)}


def input(
    neuron: CUBA | None = None,
    *,
    weight: Number | None = None,
    bias: Number | None = None,
    delay_shift: bool = True,
) -> Block:
    """`slayer.block.cuba.Input`: values become currents with 8 bits, then spikes.

    Args:
        neuron: See `cuba_neuron`; None: the input is handed on.
        weight, bias: One number each, an array is learned.
        delay_shift: As in `dense`.
    """
    block: Block = {}
    if neuron is not None:
        block["transform"] = QuantisedInput(weight=weight, bias=bias, scale=neuron.w_scale)
        block["neuron"] = neuron
    return block | _delays(delay_shift, None)


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
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
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
    kernel = _kernel(weight)
    synapse: Linear | Conv2d = (
        Linear.from_weights(kernel)
        if kernel.ndim == 2
        else Conv2d.from_weights(
            kernel, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
    )
    return {
        "synapse": _synapse(synapse, neuron, True, largest=SPIKINGJELLY_LARGEST),
        "neuron": neuron,
    }


def sum_pool(
    kernel_size: Sequence[int],
    *,
    in_shape: Shape,
    stride: int | Sequence[int] | None = None,
    padding: int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
) -> Layer:
    """SpikingJelly's `lava_exchange.SumPool2d`, exactly.

    SpikingJelly multiplies the mean by the size of the window, which for sizes that are no power
    of two can be off by a rounding error.

    Args:
        kernel_size: Height and width of the window.
        in_shape: `(channels, height, width)`.
        stride, padding, dilation: As in `conv`; default stride: the window.
    """
    window = _pair(kernel_size)
    pads = [(p, p) for p in _pair(padding)]
    return _sums(np.ones((1, 1, *window), np.float32), in_shape, stride, pads, dilation)


def _sums(
    kernel: Any,
    in_shape: Shape,
    stride: int | Sequence[int] | None,
    padding: Sequence[tuple[int, int]],
    dilation: int | Sequence[int],
) -> Layer:
    """Weighted sums over windows `(1, 1, height, width)` of each channel."""
    values = np.asarray(kernel)
    window = values.shape[2:]
    steps = window if stride is None else _pair(stride)
    if _pair(dilation) == (1, 1) and len(np.unique(values)) == 1:
        sums, factor = SumPool2d(window, stride=steps, padding=padding), float(values.flat[0])
        return sums if factor == 1 else Chain(sum=sums, weight=Scale(factor))
    return Conv2d.from_weights(
        np.tile(values, (in_shape[0], 1, 1, 1)),
        stride=steps,
        padding=padding,
        dilation=_pair(dilation),
        groups=in_shape[0],
    )


def _kernel(weight: Any) -> Array:
    """A weight without the axis of time; 8-bit weights are even, so nothing else is lost."""
    kernel = jnp.asarray(weight if isinstance(weight, Array) else array(weight))
    if kernel.ndim == 5 and kernel.shape[-1] == 1:
        return kernel[..., 0]
    if kernel.ndim not in (2, 4):
        raise ValueError(
            f"a weight has shape {kernel.shape}; it must be (out, in) or (out, in, height, width), "
            "with or without a last axis of length 1"
        )
    return kernel


def _spatial(value: int | Sequence[int]) -> int | Sequence[int]:
    """An option of two spatial axes, from one of three axes of which time is the last."""
    return value if isinstance(value, int) else tuple(value)[:2]


def _pair(value: int | Sequence[int]) -> tuple[int, int]:
    first = _spatial(value)
    return (first, first) if isinstance(first, int) else (first[0], first[1])


def _synapse(
    synapse: Linear | Conv2d,
    neuron: CUBA,
    quantise: bool,
    *,
    gain: Any = None,
    mask: Any = None,
    largest: int = LARGEST,
) -> Layer:
    if mask is not None:
        behind = (1,) * (synapse.weight.ndim - 2)
        mask = jnp.broadcast_to(
            _kernel(mask).reshape(*mask.shape[:2], *behind), synapse.weight.shape
        )
    if quantise:
        return Quantised(synapse, scale=neuron.w_scale, largest=largest, gain=gain, mask=mask)
    if gain is not None or mask is not None:
        given = "gain" if mask is None else "mask"
        raise ValueError(f"{given} needs quantise=True; multiply it into the weight")
    return synapse


def _delays(delay_shift: bool, delay: Any) -> Block:
    """One layer for the step that a block takes and the axonal delays behind it."""
    steps = np.zeros(1) if delay is None else np.floor(array(delay)).reshape(-1)
    steps = np.clip(steps, 0, LARGEST_AXONAL_DELAY).astype(int) + int(delay_shift)
    if not steps.any():
        return {}
    return {"delay": Delay(int(steps[0]) if steps.size == 1 else steps)}
