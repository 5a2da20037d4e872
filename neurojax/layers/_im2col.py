"""Convolution as one matrix product an image: patches of the input times the weights.

XLA's own convolution is slow on CPU, its derivatives inside a loop are several times slower than
PyTorch's. Matrix products are fast, if they are given in the right shape. So this is a primitive
of its own, bilinear in input and weights, for the sake of three things that the derivatives of the
plain operations would not give:

* Under `vmap` the products stay one an image, with the weights repeated, so that neither patches
  nor results are ever transposed.
* What is kept for the backward pass is the input, not its patches, which are nine times larger.
* The gradient of the weights is `patches @ cotangent`, in this order: the other one is up to four
  times slower on CPU.

Being bilinear it works in forward and reverse mode, to any order.

References:
    K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for
    document processing", 2006 (im2col); "JAX primitives" in the JAX documentation.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax.layers._bilinear import bilinear_primitive
from neurojax.layers._weights import Pairs

HIGHEST = jax.lax.Precision.HIGHEST

SMALL_KERNEL = 25
"""Kernels with more taps are cut out axis by axis: 16 + 16 slices compile faster than 256."""


class Window(NamedTuple):
    """How a kernel moves over its input."""

    stride: tuple[int, ...]
    padding: Pairs
    dilation: tuple[int, ...]
    groups: int

    @property
    def ndim(self) -> int:
        """Number of spatial axes."""
        return len(self.stride)


def convolve(
    x: Float[Array, "*batch channels *space"],
    weight: Float[Array, "*batch out in_per_group *kernel"],
    window: Window,
) -> Float[Array, "*batch out *space"]:
    """Cross-correlation of `x` with `weight`, without bias.

    Args:
        x: Input, with any number of leading axes.
        weight: Kernels, with as many leading axes, each of the same length or of length 1.
        window: Stride, padding, dilation and groups.

    Returns:
        What `jax.lax.conv_general_dilated` returns.
    """
    dtype = jnp.result_type(x, weight)
    return _convolve_p.bind(x.astype(dtype), weight.astype(dtype), window=window)


def forward(x: Array, weight: Array, *, window: Window) -> Array:
    kernel = weight.shape[-window.ndim :]
    sizes = out_sizes(x.shape[-window.ndim :], kernel, window)
    columns = _patches(x, kernel, window)
    y = _product(_matrix(weight, window), columns)
    return y.reshape(*y.shape[:-3], weight.shape[-window.ndim - 2], *sizes)


def weight_gradient(ct: Array, x: Array, weight: Any, *, window: Window) -> Array:
    shape = weight.aval.shape
    kernel = shape[-window.ndim :]
    columns = _patches(x, kernel, window)
    ct = _by_group(ct, window)
    ct = ct.reshape(*ct.shape[: -window.ndim], -1)
    lead = len(shape) - window.ndim - 2
    shared = tuple(i for i in range(lead) if shape[i] == 1)
    if lead == len(shared) and not _repeats(ct.shape[-2], columns.shape[-2], columns.shape[-1]):
        images = (*range(lead), lead + 2)
        gradient = jax.lax.dot_general(
            columns, ct, ((images, images), ((lead,), (lead,))), precision=HIGHEST
        ).reshape(*(1,) * lead, window.groups, columns.shape[-2], ct.shape[-2])
    else:
        gradient = _one_batch_axis(columns, ct, contract=1).sum(shared, keepdims=True)
    return _from_matrix(jnp.swapaxes(gradient, -1, -2), shape, window)


def input_gradient(ct: Array, x: Any, weight: Array, *, window: Window) -> Array:
    shape, kernel = x.aval.shape, weight.shape[-window.ndim :]
    sizes = ct.shape[-window.ndim :]
    ct = _by_group(ct, window)
    ct = ct.reshape(*ct.shape[: -window.ndim], -1)
    columns = _product(jnp.swapaxes(_matrix(weight, window), -1, -2), ct)
    columns = columns.reshape(*columns.shape[:-1], *sizes)
    gradient = _sum_patches(columns, kernel, shape[-window.ndim :], window)
    gradient = gradient.reshape(*gradient.shape[: -window.ndim - 2], *shape[-window.ndim - 1 :])
    lead = len(shape) - window.ndim - 1
    shared = [i for i in range(lead) if shape[i] == 1 and gradient.shape[i] != 1]
    return gradient.sum(tuple(shared), keepdims=True) if shared else gradient


def _product(matrix: Array, columns: Array) -> Array:
    """`matrix @ columns` with broadcasting."""
    rows, inner = matrix.shape[-2:]
    if not _repeats(rows, inner, columns.shape[-1]):
        return jnp.matmul(matrix, columns, precision=HIGHEST)
    return _one_batch_axis(matrix, columns, contract=0)


def _repeats(rows: int, inner: int, points: int) -> bool:
    """Whether to repeat the weights for each image: they must be small beside its patches."""
    return rows * inner <= (rows + inner) * points


def _one_batch_axis(a: Array, b: Array, *, contract: int) -> Array:
    """Product over the last axis of `a` and one of the last two of `b`, with all leading axes as
    one: the shape for which XLA has a fast product."""
    lead = jnp.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a, b = (jnp.broadcast_to(m, (*lead, *m.shape[-2:])).reshape(-1, *m.shape[-2:]) for m in (a, b))
    y = jax.lax.dot_general(a, b, (((2,), (1 + contract,)), ((0,), (0,))), precision=HIGHEST)
    return y.reshape(*lead, *y.shape[-2:])


def _patches(x: Array, kernel: Sequence[int], window: Window) -> Array:
    """`(*batch, groups, taps * channels of a group, points)`: what each point's kernel sees."""
    ndim = window.ndim
    x = _by_group(x, window)
    lead = x.shape[: -ndim - 1]
    x = x.reshape(-1, *x.shape[-ndim - 1 :])  # XLA's loops over one leading axis are the fast ones
    x = jnp.pad(x, ((0, 0),) * (x.ndim - ndim) + window.padding)
    sizes = out_sizes(x.shape[-ndim:], kernel, window._replace(padding=((0, 0),) * ndim))
    for axis, taps in _passes(kernel):
        x = jnp.concatenate(
            [_tap(x, offsets, axis, sizes, window) for offsets in taps], axis=x.ndim - ndim - 1
        )
    return x.reshape(*lead, x.shape[1], -1)


def _tap(
    x: Array,
    offsets: tuple[int, ...],
    axes: tuple[int, ...],
    sizes: Sequence[int],
    window: Window,
) -> Array:
    """The values that one tap of the kernel sees along some spatial axes."""
    start, stop, step = [0] * x.ndim, list(x.shape), [1] * x.ndim
    for axis, offset in zip(axes, offsets, strict=True):
        at = x.ndim - window.ndim + axis
        stride, first = window.stride[axis], offset * window.dilation[axis]
        start[at], step[at] = first, stride
        stop[at] = first + (sizes[axis] - 1) * stride + 1
    return jax.lax.slice(x, start, stop, step)


def _sum_patches(
    columns: Array, kernel: Sequence[int], sizes: Sequence[int], window: Window
) -> Array:
    """Transpose of `_patches`: every value goes back to where it came from."""
    ndim = window.ndim
    padded = [n + sum(pads) for n, pads in zip(sizes, window.padding, strict=True)]
    lead = columns.shape[: -ndim - 1]
    columns = columns.reshape(-1, *columns.shape[-ndim - 1 :])
    at = 1
    for axes, taps in reversed(_passes(kernel)):
        parts = jnp.split(columns, len(taps), axis=at)
        total: Any = None
        for offsets, part in zip(taps, parts, strict=True):
            spread = [(0, 0, 0)] * part.ndim
            for axis, offset in zip(axes, offsets, strict=True):
                stride, first = window.stride[axis], offset * window.dilation[axis]
                count = part.shape[at + 1 + axis]
                last = padded[axis] - first - (count - 1) * stride - 1
                spread[at + 1 + axis] = (first, last, stride - 1)
            part = jax.lax.pad(part, jnp.zeros((), part.dtype), spread)
            total = part if total is None else total + part
        columns = total
    starts = [before for before, _ in window.padding]
    inner = tuple(slice(s, s + n) for s, n in zip(starts, sizes, strict=True))
    return columns[(..., *inner)].reshape(*lead, -1, *sizes)


def _passes(
    kernel: Sequence[int],
) -> list[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Passes over the spatial axes, each with the offsets of its taps.

    The last axis comes first, so that the taps end up in the order of the kernel's axes."""
    axes = tuple(range(len(kernel)))
    if math.prod(kernel) <= SMALL_KERNEL:
        return [(axes, list(itertools.product(*map(range, kernel))))]
    return [((axis,), [(k,) for k in range(kernel[axis])]) for axis in reversed(axes)]


def _by_group(x: Array, window: Window) -> Array:
    """`(..., channels, *space)` to `(..., groups, channels of a group, *space)`."""
    at = x.ndim - window.ndim - 1
    return x.reshape(*x.shape[:at], window.groups, -1, *x.shape[at + 1 :])


def _matrix(weight: Array, window: Window) -> Array:
    """`(..., out, in, *kernel)` to `(..., groups, out of a group, taps * in)`."""
    ndim = window.ndim
    weight = jnp.moveaxis(weight, -ndim - 1, -1)
    lead, out = weight.shape[: -ndim - 2], weight.shape[-ndim - 2]
    return weight.reshape(*lead, window.groups, out // window.groups, -1)


def _from_matrix(matrix: Array, shape: tuple[int, ...], window: Window) -> Array:
    """Transpose of `_matrix`."""
    ndim = window.ndim
    lead, out, channels, kernel = shape[: -ndim - 2], *shape[-ndim - 2 : -ndim], shape[-ndim:]
    weight = matrix.reshape(*lead, out, *kernel, channels)
    return jnp.moveaxis(weight, -1, -ndim - 1)


def out_sizes(sizes: Sequence[int], kernel: Sequence[int], window: Window) -> tuple[int, ...]:
    return tuple(
        (n + before + after - d * (k - 1) - 1) // s + 1
        for n, k, s, (before, after), d in zip(
            sizes, kernel, window.stride, window.padding, window.dilation, strict=True
        )
    )


def abstract(x: Any, weight: Any, *, window: Window) -> Any:
    ndim = window.ndim
    lead = jnp.broadcast_shapes(x.shape[: -ndim - 1], weight.shape[: -ndim - 2])
    sizes = out_sizes(x.shape[-ndim:], weight.shape[-ndim:], window)
    return jax.core.ShapedArray((*lead, weight.shape[-ndim - 2], *sizes), x.dtype)


_convolve_p = bilinear_primitive(
    "convolve_im2col", forward, abstract, input_gradient, weight_gradient
)
