"""Transposed convolution as one matrix product an image: the adjoint of `_im2col`.

y = convolve^T(x, weight) is bilinear in x and the weight, as the convolution is, and so are its
derivatives: to x it is the convolution, to the weight the convolution's own, with the two images
in exchanged roles. A primitive of its own keeps the products one an image under `vmap`.

References:
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016,
    https://arxiv.org/abs/1603.07285.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax.layers._bilinear import bilinear_primitive
from neurojax.layers._im2col import (
    Window,
    _by_group,
    _matrix,
    _product,
    _sum_patches,
    convolve,
    weight_gradient,
)


def convolve_transposed(
    x: Float[Array, "*batch in *space"],
    weight: Float[Array, "*batch in out_per_group *kernel"],
    window: Window,
) -> Float[Array, "*batch out *space"]:
    """What `_im2col.convolve` with this weight and window is the transpose of, without bias.

    Args:
        x: Input, with any number of leading axes.
        weight: Kernels, with as many leading axes, each of the same length or of length 1.
        window: Of the convolution from the output back to the input. Its padding is cut off.
    """
    dtype = jnp.result_type(x, weight)
    return _transposed_p.bind(x.astype(dtype), weight.astype(dtype), window=window)


def full_sizes(sizes: Sequence[int], kernel: Sequence[int], window: Window) -> tuple[int, ...]:
    """Spatial sizes of the output."""
    return tuple(
        (n - 1) * s + d * (k - 1) + 1 - before - after
        for n, k, s, (before, after), d in zip(
            sizes, kernel, window.stride, window.padding, window.dilation, strict=True
        )
    )


def _forward(x: Array, weight: Array, *, window: Window) -> Array:
    ndim = window.ndim
    sizes, kernel = x.shape[-ndim:], weight.shape[-ndim:]
    x = _by_group(x, window)
    x = x.reshape(*x.shape[:-ndim], -1)
    columns = _product(jnp.swapaxes(_matrix(weight, window), -1, -2), x)
    columns = columns.reshape(*columns.shape[:-1], *sizes)
    y = _sum_patches(columns, kernel, full_sizes(sizes, kernel, window), window)
    return y.reshape(*y.shape[: -ndim - 2], -1, *y.shape[-ndim:])


def _to_input(ct: Array, x: Any, weight: Array, *, window: Window) -> Array:
    return _unrepeated(convolve(ct, weight, window), x.aval.shape)


def _to_weight(ct: Array, x: Array, weight: Any, *, window: Window) -> Array:
    return _unrepeated(weight_gradient(x, ct, weight, window=window), weight.aval.shape)


def _unrepeated(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Summed over the axes along which the argument was repeated."""
    repeated = [i for i, n in enumerate(shape) if n == 1 and gradient.shape[i] != 1]
    return gradient.sum(tuple(repeated), keepdims=True) if repeated else gradient


def _abstract(x: Any, weight: Any, *, window: Window) -> Any:
    ndim = window.ndim
    lead = jnp.broadcast_shapes(x.shape[: -ndim - 1], weight.shape[: -ndim - 2])
    channels = weight.shape[-ndim - 1] * window.groups
    sizes = full_sizes(x.shape[-ndim:], weight.shape[-ndim:], window)
    return jax.core.ShapedArray((*lead, channels, *sizes), x.dtype)


_transposed_p = bilinear_primitive("convolve_col2im", _forward, _abstract, _to_input, _to_weight)
