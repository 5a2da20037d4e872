"""Layers between populations as sparse matrices of integers, `[from, to]`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array

from neurojax._layer import Layer, Shape
from neurojax.chips.cri._links import BiasAxons, OneToOne, Pick, SumTerms
from neurojax.chips.cri._terms import moved, single
from neurojax.chips.cri.synapse import Synapse
from neurojax.layers import (
    Add,
    Flatten,
    Linear,
    Permute,
    Reshape,
    Slice,
    SumPool1d,
    SumPool2d,
)

Pads = Sequence[tuple[int, int]]


def matrix_of(layer: Layer, in_shape: Shape, out_shape: Shape) -> csr_array | None:
    """What a layer does to a vector of spikes; None: nothing. Zeros of weights are kept."""
    if isinstance(layer, Synapse):
        inner: Any = layer.synapse
        if isinstance(inner, Linear):
            return _dense(layer.integers())
        return _convolution(layer.integers(), inner, in_shape, out_shape)
    if isinstance(layer, SumPool1d | SumPool2d):
        return _pool(layer, in_shape, out_shape)
    if isinstance(layer, OneToOne):
        size = math.prod(in_shape)
        return _taken(np.arange(size), in_shape) * int(layer.weight)
    if isinstance(layer, Pick):
        return _taken(layer.index.values, in_shape)
    if isinstance(layer, Permute | Slice):
        return _taken(moved(single("", in_shape), layer).taken[0], in_shape)
    if isinstance(layer, SumTerms):
        return _taken(np.arange(math.prod(out_shape)).repeat(in_shape[-1]), out_shape).T.tocsr()
    if isinstance(layer, Flatten | Reshape | Add | BiasAxons):
        return None
    raise TypeError(f"no synapses are known of a {type(layer).__name__}")


def bias_matrix(layer: BiasAxons, shape: Shape) -> csr_array:
    """From the axons of a bias, one a channel, to all values of the channel."""
    channels, size = shape[0], math.prod(shape[1:])
    weight = np.rint(np.asarray(layer.weight)).astype(np.int64)
    return _sparse(
        np.repeat(weight, size),
        np.repeat(np.arange(channels), size),
        np.arange(channels * size),
        (channels, channels * size),
    )


def visits(layer: Synapse, in_shape: Shape, out_shape: Shape) -> np.ndarray:
    """Inputs in the order in which a kernel comes to see them first, channel by channel."""
    inner: Any = layer.synapse
    if isinstance(inner, Linear):
        return np.arange(math.prod(in_shape))
    at, seen = taps(inner, in_shape[1:], out_shape[1:])
    once = at[seen]
    _, first = np.unique(once, return_index=True)
    places = once[np.sort(first)]
    channels = np.arange(in_shape[0]) * math.prod(in_shape[1:])
    return (channels[:, None] + places).ravel()


def taps(window: Any, sizes: Sequence[int], counts: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """For each window and each point of the kernel the index of the input, and whether it exists.

    Arrays `[*windows, *kernel]`, flattened into two axes.
    """
    axes = len(sizes)
    dilation = getattr(window, "dilation", (1,) * axes)
    at: np.ndarray = np.zeros((1,) * 2 * axes, np.int64)
    seen: np.ndarray = np.ones((1,) * 2 * axes, bool)
    for axis, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        starts = np.arange(count) * window.stride[axis] - window.padding[axis][0]
        points = np.arange(window.kernel_size[axis]) * dilation[axis]
        index = starts[:, None] + points
        shape = [1] * 2 * axes
        shape[axis], shape[axes + axis] = index.shape
        index = index.reshape(shape)
        at = at * size + index
        seen = seen & (index >= 0) & (index < size)
    flat = (math.prod(counts), -1)
    return at.reshape(flat), seen.reshape(flat)


def _taken(index: np.ndarray, in_shape: Shape) -> csr_array:
    """From each input to the outputs that take it: the index of each output's one."""
    count = index.size
    return _sparse(
        np.ones(count, np.int64), index.ravel(), np.arange(count), (math.prod(in_shape), count)
    )


def _dense(weight: np.ndarray) -> csr_array:
    out, into = weight.shape
    columns = np.tile(np.arange(out, dtype=np.int32), into)
    starts = np.arange(0, out * into + 1, out)
    return csr_array((weight.T.ravel(), columns, starts), shape=(into, out))


def _convolution(weight: np.ndarray, conv: Any, in_shape: Shape, out_shape: Shape) -> csr_array:
    features, channels = weight.shape[:2]
    area, windows = math.prod(in_shape[1:]), math.prod(out_shape[1:])
    at, seen = taps(conv, in_shape[1:], out_shape[1:])
    group = np.arange(features) // (features // conv.groups)
    channel = group[:, None] * channels + np.arange(channels)
    pre = channel[:, :, None, None] * area + at
    post = (np.arange(features)[:, None] * windows + np.arange(windows))[:, None, :, None]
    values = weight.reshape(features, channels, 1, -1)
    shape = np.broadcast_shapes(pre.shape, values.shape)
    mask = np.broadcast_to(seen, shape)
    return _sparse(
        np.broadcast_to(values, shape)[mask],
        np.broadcast_to(pre, shape)[mask],
        np.broadcast_to(post, shape)[mask],
        (math.prod(in_shape), math.prod(out_shape)),
    )


def _pool(pool: Any, in_shape: Shape, out_shape: Shape) -> csr_array:
    at, seen = taps(pool, in_shape[1:], out_shape[1:])
    windows = np.broadcast_to(np.arange(len(at))[:, None], at.shape)[seen]
    channels = np.arange(in_shape[0])[:, None]
    pre = (channels * math.prod(in_shape[1:]) + at[seen]).ravel()
    post = (channels * len(at) + windows).ravel()
    return _sparse(
        np.ones(pre.size, np.int64), pre, post, (math.prod(in_shape), math.prod(out_shape))
    )


def _sparse(
    values: np.ndarray, rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]
) -> csr_array:
    return coo_array((values, (rows, columns)), shape=shape).tocsr()
