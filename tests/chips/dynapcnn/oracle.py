"""A core in NumPy int64, written from the equations and not from the code."""

import numpy as np


def convolve(x, weight, stride, padding):
    """Cross-correlation of `(c, h, w)` with `(f, c, kh, kw)`."""
    x = np.pad(x, ((0, 0), (padding[0],) * 2, (padding[1],) * 2))
    kernel = weight.shape[2:]
    windows = np.lib.stride_tricks.sliding_window_view(x, kernel, (1, 2))
    windows = windows[:, :: stride[0], :: stride[1]]
    return np.einsum("chwij,fcij->fhw", windows, weight)


def trace_core(
    x,
    weight,
    bias,
    threshold,
    v_min,
    stride=(1, 1),
    padding=(0, 0),
    reset="subtract",
    max_spikes=None,
    overflow=None,
    leak_every=None,
):
    """Spikes, membranes and sums above 32767 of a core for counts `(time, c, h, w)`, all int64."""
    v, spikes, membranes, above = 0, [], [], 0
    drive = 0 if bias is None else bias[:, None, None]
    for step, counts in enumerate(x):
        current = convolve(counts, weight, stride, padding)
        if leak_every is None:
            v = v + (current + drive)
        else:
            if bias is not None and step > 0 and step % leak_every == 0:
                v, over = upper_end(v + drive, overflow)
                v, above = np.maximum(v, v_min), above + over
            v = v + current
        v, over = upper_end(v, overflow)
        above = above + over
        s = np.where(v > 0, v // threshold, 0)
        if max_spikes is not None:
            s = np.minimum(s, max_spikes)
        v = np.where(s > 0, 0, v) if reset == "zero" else v - s * threshold
        v = np.maximum(v, v_min)
        spikes.append(s)
        membranes.append(v)
    return np.stack(spikes), np.stack(membranes), above


def run_core(*args, **options):
    """Spikes and membranes of a core for counts `(time, c, h, w)`, all int64."""
    return trace_core(*args, **options)[:2]


def upper_end(v, overflow):
    """A sum in a register whose largest number is 32767, and where it was too large."""
    over = v > 32767
    if overflow == "saturate":
        v = np.minimum(v, 32767)
    elif overflow == "wrap":
        v = np.where(over, (v + 32768) % 65536 - 32768, v)
    return v, over


def pool(x, size):
    """Sums over windows of `(time, f, h, w)`; what is left over is dropped."""
    steps, features, height, width = x.shape
    h, w = height // size, width // size
    x = x[:, :, : h * size, : w * size]
    return x.reshape(steps, features, h, size, w, size).sum((3, 5))
