"""Convolution of counts as a matrix product, a row of the kernel at a time.

The shortest way to a matrix product, all taps of the kernel beside each other, copies every input
nine times for a 3x3 kernel, and the copying takes as long as the product. Here only the columns of
the kernel are laid out, three copies; the product has one block of outputs for each row of the
kernel, and the blocks are added where they belong. All images of a batch are in one product, with
the channels in front, which is the shape for which XLA's products are fastest on a CPU.

Integers have the same sums in any order; of other numbers the sums are rounded differently.
"""

from __future__ import annotations

import functools
import operator

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from neurojax.layers._im2col import HIGHEST, Window, forward, out_sizes


def convolve_dense(
    x: Float[Array, "batch channels height width"],
    weight: Float[Array, "out channels kernel_height kernel_width"],
    window: Window,
) -> Float[Array, "batch out out_height out_width"]:
    """Cross-correlation without groups and dilation, by rows where that is faster."""
    if window.stride[0] != 1:  # most of the rows of outputs would be thrown away
        return forward(x, weight[None], window=window)
    out, channels, kernel_height, kernel_width = weight.shape
    rows, columns = out_sizes(x.shape[2:], weight.shape[2:], window)
    height, (top, _) = x.shape[2], window.padding[0]
    inputs = _columns(x, kernel_width, columns, window)
    matrix = weight.transpose(2, 0, 3, 1).reshape(-1, kernel_width * channels)
    y = jnp.matmul(matrix, inputs.reshape(matrix.shape[1], -1), precision=HIGHEST)
    y = y.reshape(kernel_height, out, len(x), height, columns)
    # Row i of the kernel meets input row r in output row r + top - i.
    zero, none = jnp.zeros((), y.dtype), (0, 0, 0)
    moved = [
        lax.pad(y[i], zero, (none, none, (top - i, rows - height - top + i, 0), none))
        for i in range(kernel_height)
    ]
    return functools.reduce(operator.add, moved).transpose(1, 0, 2, 3)


def _columns(
    x: Float[Array, "batch channels height width"], width: int, columns: int, window: Window
) -> Float[Array, "taps_channels batch height columns"]:
    """What each column of the kernel meets."""
    stride = window.stride[1]
    x = jnp.pad(x.transpose(1, 0, 2, 3), ((0, 0), (0, 0), (0, 0), window.padding[1]))
    last = (columns - 1) * stride + 1
    return jnp.concatenate([x[..., tap : tap + last : stride] for tap in range(width)])
