"""Synapses of slayer's blocks: weights of 8 bits, sums over windows, complex pairs, delays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.axonal_delay import AxonalDelay
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.quantise import LARGEST, SCALE, quantise_8bit, quantised
from neurojax.chips.loihi.spec import LARGEST_AXONAL_DELAY
from neurojax.converters.slayer._neurons import array
from neurojax.layers.chain import Chain
from neurojax.layers.convolution import Conv2d
from neurojax.layers.delay import Delay
from neurojax.layers.linear import Linear
from neurojax.layers.pooling import SumPool2d
from neurojax.layers.shape import Pad, Reshape, Scale, Upsample
from neurojax.layers.transposed import ConvTranspose2d

Ints = int | Sequence[int]

Block = dict[str, Layer]
"""The layers of a block by name."""

Weighted = Linear | Conv2d | ConvTranspose2d

SPIKINGJELLY_LARGEST = 255
"""SpikingJelly limits 8-bit weights to 255 steps, one more than the chip has."""


def parts(make: Callable[[Any, Any], Layer], weight: Any, gain: Any = None) -> Layer:
    """What `make(weight, gain)` makes, or the pair of a complex weight `(real, imag)`."""
    if not isinstance(weight, tuple):
        return make(weight, gain)
    gains = (None, None) if gain is None else gain
    real, imag = (make(w, g) for w, g in zip(weight, gains, strict=True))
    return ComplexSynapse(real, imag)


def steps_per_unit(neuron: Layer) -> int:
    """Weight steps per unit of a neuron."""
    return int(getattr(neuron, "scale", None) or SCALE)


def weighted(
    synapse: Weighted,
    neuron: Layer,
    *,
    quantise: bool,
    gain: Any = None,
    mask: Any = None,
    largest: int = LARGEST,
) -> Layer:
    """A synapse with the weights that are used: of 8 bits, unless `quantise` is False."""
    if mask is not None:
        behind = (1,) * (synapse.weight.ndim - 2)
        mask = jnp.broadcast_to(
            kernel_of(mask).reshape(*mask.shape[:2], *behind), synapse.weight.shape
        )
    if quantise:
        scale = steps_per_unit(neuron)
        return quantised(synapse, scale=scale, largest=largest, gain=gain, mask=mask)
    if gain is not None or mask is not None:
        given = "gain" if mask is None else "mask"
        raise ValueError(f"{given} needs quantise=True; multiply it into the weight")
    return synapse


def dense_synapse(kernel: Array, in_shape: Shape | None) -> Weighted:
    """A matrix, or a window over all of an image."""
    if kernel.shape[2:] in ((), (1, 1)) and (in_shape is None or len(in_shape) == 1):
        return Linear.from_weights(kernel.reshape(kernel.shape[:2]))
    return Conv2d.from_weights(kernel if kernel.ndim == 4 else kernel[..., None, None])


def window_values(weight: Any, neuron: Layer, quantise: bool) -> np.ndarray:
    """The weights of a window `(1, 1, height, width)`, as they are used. They are not trained."""
    kernel = kernel_of(weight)
    if kernel.shape[:2] != (1, 1) or kernel.ndim != 4:
        raise ValueError(
            f"the weight of a window has shape {kernel.shape}; it must be (1, 1, height, width)"
        )
    scale = steps_per_unit(neuron)
    return np.asarray(quantise_8bit(kernel, scale=scale) if quantise else kernel)


def sums(
    values: np.ndarray,
    stride: Ints | None,
    padding: Sequence[tuple[int, int]],
    dilation: Ints,
) -> Layer:
    """Weighted sums over windows of each channel."""
    window = values.shape[2:]
    steps = window if stride is None else pair(stride)
    if pair(dilation) == (1, 1) and len(np.unique(values)) == 1:
        total, factor = SumPool2d(window, stride=steps, padding=padding), float(values.flat[0])
        return total if factor == 1 else Chain(sum=total, weight=Scale(factor))
    return PerChannel(
        Conv2d.from_weights(values, stride=steps, padding=padding, dilation=pair(dilation))
    )


def stacked_sums(
    values: np.ndarray, in_shape: Shape, stride: Ints | None, padding: Ints, dilation: Ints
) -> Layer:
    """Sums over windows as slayer forms them, with all channels on top of each other."""
    channels, *sizes = in_shape
    extra = [n % k for n, k in zip(sizes, values.shape[2:], strict=True)]
    height, width = (n + more for n, more in zip(sizes, extra, strict=True))
    tall = (1, channels * height, width)
    pads = [(p, p) for p in pair(padding)]
    total = sums(values, stride, pads, dilation)
    _, rows, columns = total.out_shape(tall)
    if rows % channels:
        raise ValueError(
            f"stacked_channels: the {rows} rows of all windows can't be split into {channels} "
            "channels, which fails in slayer, too; use stacked_channels=False"
        )
    return Chain(
        pad=Pad([(0, more) for more in extra]),
        stack=Reshape(tall),
        sum=total,
        split=Reshape((channels, rows // channels, columns)),
    )


def spread(values: np.ndarray, stride: Ints | None, padding: Ints, dilation: Ints) -> Layer:
    """The transpose of `sums`: each value is repeated over a window, times its weights."""
    window = values.shape[2:]
    steps = window if stride is None else pair(stride)
    plain = steps == window and pair(dilation) == (1, 1) and pair(padding) == (0, 0)
    if plain and len(np.unique(values)) == 1:
        repeat, factor = Upsample(window), float(values.flat[0])
        return repeat if factor == 1 else Chain(repeat=repeat, weight=Scale(factor))
    return PerChannel(
        ConvTranspose2d.from_weights(
            values, stride=steps, padding=pair(padding), dilation=pair(dilation)
        )
    )


def kernel_of(weight: Any) -> Array:
    """A weight without the axis of time."""
    kernel = jnp.asarray(weight if isinstance(weight, Array) else array(weight))
    if kernel.ndim == 5 and kernel.shape[-1] == 1:
        return kernel[..., 0]
    if kernel.ndim not in (2, 4):
        raise ValueError(
            f"a weight has shape {kernel.shape}; it must be (out, in) or (out, in, height, width), "
            "with or without a last axis of length 1"
        )
    return kernel


def spatial(value: Ints) -> Ints:
    """An option of two spatial axes, from one of three axes of which time is the last."""
    return value if isinstance(value, int) else tuple(value)[:2]


def pair(value: Ints) -> tuple[int, int]:
    """An option as one number for each of two axes."""
    first = spatial(value)
    return (first, first) if isinstance(first, int) else (first[0], first[1])


def window_of(module: Any) -> dict[str, Any]:
    """The options of a torch or slayer module with two spatial axes."""
    return {name: tuple(getattr(module, name))[:2] for name in ("stride", "padding", "dilation")}


def block_of(synapse: Layer, neuron: Layer, delay_shift: bool, delay: Any) -> Block:
    """A synapse, neurons, and a delay if there is one."""
    return {"synapse": synapse, "neuron": neuron, **delays(delay_shift, delay)}


def delays(delay_shift: bool, delay: Any) -> dict[str, Layer]:
    """One layer for the step that a block takes and the axonal delays behind it."""
    if isinstance(delay, Array):
        return {"delay": AxonalDelay(delay.reshape(-1), shift=int(delay_shift))}
    steps = np.zeros(1) if delay is None else np.floor(array(delay)).reshape(-1)
    steps = np.clip(steps, 0, LARGEST_AXONAL_DELAY).astype(int) + int(delay_shift)
    if not steps.any():
        return {}
    return {"delay": Delay(int(steps[0]) if steps.size == 1 else steps)}
