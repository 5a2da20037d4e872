"""Pools that no neurons follow, put into the weights behind them.

A chip has no place for a sum between two synapses. Sums and averages are linear, so they go into
the weights: exactly, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from neurojax.layers import AvgPool1d, AvgPool2d, SumPool1d, SumPool2d

Pool = AvgPool1d | AvgPool2d | SumPool1d | SumPool2d
AVERAGES = (AvgPool1d, AvgPool2d)
Pairs = tuple[tuple[int, int], ...]


def pool_matrix(pool: Pool, axis: int, size: int) -> np.ndarray:
    """What a pool does along one spatial axis: (windows, size), with its factor for averages."""
    kernel, stride = pool.kernel_size[axis], pool.stride[axis]
    before, after = pool.padding[axis]
    starts = np.arange(0, size + before + after - kernel + 1, stride) - before
    at = np.arange(size)
    matrix = ((at >= starts[:, None]) & (at < starts[:, None] + kernel)).astype(np.float64)
    if isinstance(pool, AVERAGES):
        matrix /= kernel if pool.count_padding else matrix.sum(axis=1, keepdims=True)
    return matrix


def into_linear(weight: np.ndarray, pools: Sequence[Pool], in_shape: Sequence[int]) -> np.ndarray:
    """Weights of a dense layer on the map before the pools, from those on the map behind them.

    Args:
        weight: `(out, features)`, features being the flattened map behind the pools.
        pools: In the order in which they act.
        in_shape: `(channels, *spatial)` before the first pool.
    """
    spatial = list(in_shape[1:])
    matrices = [np.eye(n) for n in spatial]
    for pool in pools:
        for axis, done in enumerate(matrices):
            matrices[axis] = pool_matrix(pool, axis, len(done)) @ done
    sizes = [len(matrix) for matrix in matrices]
    full = weight.reshape(len(weight), in_shape[0], *sizes)
    for axis, matrix in enumerate(matrices):
        full = np.moveaxis(np.tensordot(full, matrix, axes=(2 + axis, 0)), -1, 2 + axis)
    return full.reshape(len(weight), -1)


class Kernel:
    """A convolution, N-dimensional: weight `(out, in / groups, *kernel)` and its window."""

    def __init__(
        self, weight: np.ndarray, stride: Sequence[int], padding: Pairs, dilation: Sequence[int]
    ) -> None:
        self.weight, self.stride, self.padding = weight, tuple(stride), padding
        self.dilation = tuple(dilation)


def why_not_into_kernel(kernel: Kernel, pool: Pool, spatial: Sequence[int]) -> str:
    """Why a pool in front of a convolution is no convolution with a larger kernel, or ""."""
    for axis, size in enumerate(spatial):
        padded = any(kernel.padding[axis])
        if any(pool.padding[axis]):
            if isinstance(pool, AVERAGES) and not pool.count_padding:
                return "averages at the border have other factors than those inside"
            if padded:
                return "both of them pad, and the zeros of one are not those of the other"
        if padded and pool.kernel_size[axis] > pool.stride[axis]:
            return "its windows overlap, so they would reach past the padding behind it"
        before, after = pool.padding[axis]
        windows = (size + before + after - pool.kernel_size[axis]) // pool.stride[axis] + 1
        if kernel.padding[axis][1] and size > windows * pool.stride[axis]:
            return "it leaves rows or columns over, where the padding behind it has zeros"
    return ""


def into_kernel(kernel: Kernel, pool: Pool) -> Kernel:
    """A pool and the convolution behind it as one convolution (see `why_not_into_kernel`)."""
    ndim = len(pool.kernel_size)
    reach = [
        (k - 1) * d * s + p
        for k, d, s, p in zip(
            kernel.weight.shape[2:], kernel.dilation, pool.stride, pool.kernel_size, strict=True
        )
    ]
    full = np.zeros((*kernel.weight.shape[:2], *reach))
    for tap in np.ndindex(*pool.kernel_size):
        where = tuple(
            slice(at, at + (k - 1) * d * s + 1, d * s)
            for at, k, d, s in zip(
                tap, kernel.weight.shape[2:], kernel.dilation, pool.stride, strict=True
            )
        )
        full[(slice(None), slice(None), *where)] += kernel.weight
    if isinstance(pool, AVERAGES):
        full /= math.prod(pool.kernel_size)
    padding = tuple(
        (a * s + before, b * s + after)
        for (a, b), s, (before, after) in zip(
            kernel.padding, pool.stride, pool.padding, strict=True
        )
    )
    stride = [a * b for a, b in zip(kernel.stride, pool.stride, strict=True)]
    return Kernel(full, stride, padding, (1,) * ndim)
