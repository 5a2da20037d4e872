"""The product of the chip in plain NumPy, with integers of 64 bits and loops."""

import numpy as np


def product(x, w, scale):
    """`x` (batch, rows) and `w` (rows, columns) whole; `scale` as the float32 that it is."""
    x, w = np.rint(x).astype(np.int64), np.rint(w).astype(np.int64)
    total = np.zeros((len(x), w.shape[1]), np.int64)
    for start in range(0, len(w), 128):
        exact = x[:, start : start + 128] @ w[start : start + 128]
        read = np.floor(exact.astype(np.float32) * np.float32(scale)).astype(np.int64)
        total += np.clip(read, -128, 127)
    return np.clip(total, -128, 127)


def windows(x, kernel, stride):
    """`(batch, channels, *space)` to `(batch, *positions, channels * taps)`."""
    axes = tuple(range(2, x.ndim))
    cut = np.lib.stride_tricks.sliding_window_view(x, kernel, axes)
    cut = cut[(slice(None), slice(None), *(slice(None, None, s) for s in stride))]
    cut = np.moveaxis(cut, 1, 1 + len(axes))
    return cut.reshape(*cut.shape[: 1 + len(axes)], -1)


def convolution(x, w, stride, scale):
    """`(batch, out, *positions)` for one stride an axis."""
    cut = windows(x, w.shape[2:], stride)
    y = product(cut.reshape(-1, cut.shape[-1]), w.reshape(len(w), -1).T, scale)
    return np.moveaxis(y.reshape(*cut.shape[:-1], len(w)), -1, 1)
