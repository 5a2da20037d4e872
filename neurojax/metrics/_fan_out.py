"""How many targets each source has, counted in integers: borders, stride, dilation and groups."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int

from neurojax.layers._weights import Pairs

Hits = Int[np.ndarray, "kernel sources"]
"""Along one axis: how often the source at x reaches some target through the kernel's point k."""


def window_hits(
    size: int,
    *,
    kernel: int,
    stride: int = 1,
    pads: tuple[int, int] = (0, 0),
    dilation: int = 1,
    mode: str = "constant",
) -> Hits:
    """Hits of a convolution along an axis of `size` sources; `mode` as in `numpy.pad`."""
    targets = (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
    at = np.arange(targets) * stride + np.arange(kernel)[:, None] * dilation
    points = np.broadcast_to(np.arange(kernel)[:, None], at.shape)
    if mode == "constant":
        padded = np.pad(np.arange(size), pads, constant_values=-1)
    else:  # the borders are copies of sources
        padded = np.pad(np.arange(size), pads, mode=mode)  # type: ignore[call-overload]
    sources = padded[at]
    hits = np.zeros((kernel, size), np.int64)
    np.add.at(hits, (points[sources >= 0], sources[sources >= 0]), 1)
    return hits


def transposed_hits(
    size: int, targets: int, *, kernel: int, stride: int = 1, before: int = 0, dilation: int = 1
) -> Hits:
    """Hits of a transposed convolution along an axis of `size` sources and so many targets."""
    at = np.arange(size) * stride + np.arange(kernel)[:, None] * dilation - before
    return ((at >= 0) & (at < targets)).astype(np.int64)


def fan_out_of_kernel(
    exists: Int[np.ndarray, " channels *kernel"], hits: Sequence[Hits]
) -> Int[np.ndarray, " channels *sources"]:
    """Targets of each source.

    Args:
        exists: For each input channel and point of the kernel, how many output channels it leads
            to.
        hits: One a spatial axis.
    """
    counted = exists
    for axis, along in enumerate(hits, start=1):
        counted = np.moveaxis(np.tensordot(counted, along, (axis, 0)), -1, axis)
    return counted


def window_fan_out(
    exists: Bool[np.ndarray, "out in_per_group *kernel"],
    sizes: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
    groups: int,
    mode: str = "constant",
) -> Int[np.ndarray, " channels *sources"]:
    """Targets of each source of a convolution whose kernel has the weights that `exists` says."""
    out, per_group, *kernel = exists.shape
    by_group = exists.reshape(groups, out // groups, per_group, *kernel)
    channels = by_group.sum(1, dtype=np.int64).reshape(groups * per_group, *kernel)
    hits = [
        window_hits(n, kernel=k, stride=s, pads=pads, dilation=d, mode=mode)
        for n, k, s, pads, d in zip(sizes, kernel, stride, padding, dilation, strict=True)
    ]
    return fan_out_of_kernel(channels, hits)


def transposed_fan_out(
    exists: Bool[np.ndarray, "in out_per_group *kernel"],
    sizes: Sequence[int],
    targets: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int],
) -> Int[np.ndarray, " channels *sources"]:
    """The same of a transposed convolution with so many targets along each axis."""
    channels = exists.sum(1, dtype=np.int64)
    hits = [
        transposed_hits(n, m, kernel=k, stride=s, before=pads[0], dilation=d)
        for n, m, k, s, pads, d in zip(
            sizes, targets, exists.shape[2:], stride, padding, dilation, strict=True
        )
    ]
    return fan_out_of_kernel(channels, hits)
