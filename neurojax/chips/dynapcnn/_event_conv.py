"""Convolution of counts, event by event where few inputs are active.

A core's input is mostly zeros. Up to some hundred active inputs it is faster to add the kernel of
each to the neurons that it reaches than to multiply all patches with all weights. Which is faster
is decided in every time step, from the number of active inputs of the whole batch, so nothing is
lost where they are many. Integers have the same sums in any order; of other numbers the sums are
rounded differently.

Active inputs are found through the bits of words: one bit an input, and a binary search for the
word and the bit of the n-th. XLA's own way, a cumulative sum over all inputs and a scatter of all
indices, takes longer on a CPU than the convolution.

The derivatives are those of the dense convolution.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, UInt32

from neurojax.chips.dynapcnn._dense_conv import convolve_dense
from neurojax.layers._bilinear import bilinear_primitive
from neurojax.layers._im2col import (
    Window,
    abstract,
    forward,
    input_gradient,
    out_sizes,
    weight_gradient,
)

WORD = 32  # bits
CHUNK = 128  # events that are handled together

# Measured on a CPU: an event costs as much as 130 multiplications for each of the values that it
# adds, and for 24 more. Below the size of the product where the search for events costs more than
# the product, and takes longer to compile than it saves, the convolution stays dense.
PRODUCTS_PER_VALUE = 130
FIXED_VALUES = 24
SMALLEST = 1_000_000


def convolve_counts(
    x: Float[Array, "channels height width"],
    weight: Float[Array, "out channels kernel_height kernel_width"],
    window: Window,
) -> Float[Array, "out out_height out_width"]:
    """Cross-correlation of counts with integer weights, without groups and dilation.

    Made for CPUs; what is fastest on an accelerator has not been measured.
    """
    return _convolve_counts_p.bind(x, weight, window=window)


def _either(x: Array, weight: Array, *, window: Window) -> Array:
    """The faster of both ways. Leading axes of `x` are the batch."""
    lead = x.shape[:-3]
    sizes = out_sizes(x.shape[-2:], weight.shape[-2:], window)
    products = math.prod(lead) * math.prod(sizes) * math.prod(weight.shape[-4:])
    if products < SMALLEST or math.prod(weight.shape[:-4]) != 1:
        return forward(x, weight, window=window)
    values = weight.shape[-4] * math.prod(_reach(weight, window))
    limit = products // (PRODUCTS_PER_VALUE * (values + FIXED_VALUES))
    counts, kernels = x.reshape(-1, *x.shape[-3:]), weight.reshape(weight.shape[-4:])
    words = _bits(counts.ravel())
    ends = jnp.cumsum(lax.population_count(words).astype(jnp.int32))

    y = lax.cond(
        ends[-1] <= limit,
        lambda: _by_events(counts, kernels, window, words, ends),
        lambda: convolve_dense(counts, kernels, window),
    )
    return y.reshape(*lead, *y.shape[1:])


def _reach(weight: Array, window: Window) -> tuple[int, int]:
    """Rows and columns of neurons that one input reaches at most."""
    height, width = weight.shape[-2:]
    return -(-height // window.stride[0]), -(-width // window.stride[1])


def _by_events(
    x: Float[Array, "batch channels height width"],
    weight: Float[Array, "out channels kernel_height kernel_width"],
    window: Window,
    words: UInt32[Array, " words"],
    ends: Int[Array, " words"],
) -> Float[Array, "batch out out_height out_width"]:
    """Adds for each active input its part of the kernel to a map with a margin.

    With q, r = divmod(row + padding, stride) the input meets the rows r, r + stride, ... of the
    kernel in the output rows q, q - 1, ...
    """
    batch, channels, height, width = x.shape
    out, (reach_y, reach_x) = weight.shape[0], _reach(weight, window)
    (stride_y, stride_x), ((top, _), (left, _)) = window.stride, window.padding
    rows, columns = out_sizes((height, width), weight.shape[-2:], window)
    parts = _parts(weight, window)
    flat, count = x.ravel(), ends[-1]
    total = jnp.zeros(
        (
            batch,
            out,
            max((height - 1 + top) // stride_y + reach_y, rows + reach_y - 1),
            max((width - 1 + left) // stride_x + reach_x, columns + reach_x - 1),
        ),
        x.dtype,
    )
    places = lax.ScatterDimensionNumbers(
        update_window_dims=(1, 2, 3),
        inserted_window_dims=(0,),
        scatter_dims_to_operand_dims=(0, 2, 3),
    )

    def add(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        i, total = carry
        number = jnp.arange(CHUNK, dtype=jnp.int32) + i * CHUNK
        at = _place_of(jnp.minimum(number, count - 1), words, ends)
        value = jnp.where(number < count, flat[at], 0)
        column, row = at % width + left, at // width % height + top
        channel, sample = at // (width * height) % channels, at // (width * height * channels)
        part = (channel * stride_y + row % stride_y) * stride_x + column % stride_x
        corner = jnp.stack([sample, row // stride_y, column // stride_x], 1)
        update = parts[part] * value[:, None, None, None]
        total = lax.scatter_add(total, corner, update, places, mode="promise_in_bounds")
        return i + 1, total

    start = (jnp.int32(0), total)
    _, total = lax.while_loop(lambda carry: carry[0] * CHUNK < count, add, start)
    y, x_ = reach_y - 1, reach_x - 1
    return total[:, :, y : y + rows, x_ : x_ + columns]


def _parts(weight: Array, window: Window) -> Float[Array, "part out reach_y reach_x"]:
    """What an input adds, by channel, row and column modulo the stride."""
    out, channels, *kernel = weight.shape
    (reach_y, reach_x), (stride_y, stride_x) = _reach(weight, window), window.stride
    missing = (reach_y * stride_y - kernel[0], reach_x * stride_x - kernel[1])
    parts = jnp.pad(weight, ((0, 0), (0, 0), (0, missing[0]), (0, missing[1])))
    parts = parts.reshape(out, channels, reach_y, stride_y, reach_x, stride_x)
    parts = parts.transpose(1, 3, 5, 0, 2, 4)[..., ::-1, ::-1]
    return parts.reshape(-1, out, reach_y, reach_x)


def _bits(flat: Array) -> UInt32[Array, " words"]:
    """Which values are not zero."""
    active = jnp.pad(flat != 0, (0, -flat.size % WORD)).reshape(-1, WORD)
    values = jnp.uint32(1) << jnp.arange(WORD, dtype=jnp.uint32)
    return jnp.sum(jnp.where(active, values, jnp.uint32(0)), 1, dtype=jnp.uint32)


def _place_of(
    number: Int[Array, " n"], words: UInt32[Array, " words"], ends: Int[Array, " words"]
) -> Int[Array, " n"]:
    """Place of the bit that has so many set ones before it. `ends` counts up to each word's end."""
    word = jnp.searchsorted(ends, number, side="right").astype(jnp.int32)
    word = jnp.minimum(word, words.size - 1)
    bits = words[word]
    before = number - (ends[word] - lax.population_count(bits).astype(jnp.int32))
    at = jnp.zeros_like(number)
    for half in (16, 8, 4, 2, 1):
        lower = (bits >> at.astype(jnp.uint32)) & jnp.uint32((1 << half) - 1)
        below = lax.population_count(lower).astype(jnp.int32)
        upper = before >= below
        at, before = jnp.where(upper, at + half, at), jnp.where(upper, before - below, before)
    return word * WORD + at


_convolve_counts_p: Any = bilinear_primitive(
    "convolve_counts", _either, abstract, input_gradient, weight_gradient
)
