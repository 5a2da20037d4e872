"""A core in NumPy int64, written from the equations and not from the code."""

import numpy as np


def convolve(x, weight, stride, padding):
    """Cross-correlation of `(c, h, w)` with `(f, c, kh, kw)`."""
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    kernel = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))
    windows = windows[:, :: stride[0], :: stride[1]]
    return np.einsum("chwij,fcij->fhw", windows, weight)


def run_core(x, weight, bias, threshold, v_min, stride, padding, reset, max_spikes):
    """Spikes and membranes of a core for counts `(time, c, h, w)`, all int64."""
    v, spikes, membranes = None, [], []
    for counts in x:
        current = convolve(counts, weight, stride, padding)
        if bias is not None:
            current = current + bias[:, None, None]
        v = current if v is None else v + current
        s = np.where(v > 0, v // threshold, 0)
        if max_spikes is not None:
            s = np.minimum(s, max_spikes)
        v = np.where(s > 0, 0, v) if reset == "zero" else v - s * threshold
        v = np.maximum(v, v_min)
        spikes.append(s)
        membranes.append(v)
    return np.stack(spikes), np.stack(membranes)


def pool(x, size):
    """Sums over windows of `(time, f, h, w)`; what is left over is dropped."""
    steps, features, height, width = x.shape
    h, w = height // size, width // size
    x = x[:, :, : h * size, : w * size]
    return x.reshape(steps, features, h, size, w, size).sum((3, 5))
