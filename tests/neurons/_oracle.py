"""The neurons once more, in plain NumPy and float64, one neuron after the other.

Written from the equations in docs/neurons.md, with `if` and `for` where the library has arrays.
"""

import math

import numpy as np


def simulate(kind, x, o):
    """Spikes, v, i and b, each `[time, neurons]`, for inputs `[time, neurons]` and options `o`."""
    traces = [_one(kind, x[:, j], {k: _of(v, j) for k, v in o.items()}) for j in range(x.shape[1])]
    return {k: np.array([t[k] for t in traces]).T for k in ("s", "v", "i", "b")}


def _of(value, j):
    return value[j] if isinstance(value, np.ndarray) else value


def _count(v, threshold, o):
    if o["max_spikes"] == 1:
        return float(v > threshold if o["strict"] else v >= threshold)
    n = math.floor(v / threshold) if v > 0 else 0
    return float(n if o["max_spikes"] is None else min(n, o["max_spikes"]))


def _reset(v, n, threshold, o):
    if n == 0 or o["reset"] == "none":
        return v
    if o["reset"] == "subtract":
        return v - n * threshold
    return 0.0 if o["reset"] == "zero" else o["reset_value"]


def _one(kind, x, o):
    leaky = kind in ("LIF", "CubaLIF", "AdaptiveLIF")
    v = o["v_rest"] if leaky else (o["reset_value"] if o["reset"] == "value" else 0.0)
    i = b = 0.0
    silent = 0  # steps
    trace = {"s": [], "v": [], "i": [], "b": []}
    for now in x:
        threshold = o["threshold"] + (o["adaptation"] * b if kind == "AdaptiveLIF" else 0.0)
        before = v
        if o["reset_delay"] == "before":
            v = _reset(v, _count(v, threshold, o), threshold, o)

        drive = now
        if kind in ("CubaLIF", "CubaIAF"):
            old, i = i, o["decay_syn"] * i + now
            drive = {"new": i, "old": old, "jump_then_decay": old + now}.get(o["order"])
            if o["order"] in ("jump_then_decay", "decay_input"):
                i = o["decay_syn"] * (old + now)
            if o["order"] == "decay_input":
                drive = i
        if leaky:
            v = o["v_rest"] + o["decay"] * (v - o["v_rest"])
        v = v + o["gain"] * drive

        if o["reset_delay"] is True:
            v = _reset(v, _count(before, threshold, o), threshold, o)
        n = _count(v, threshold, o)
        if o["reset_delay"] is False:
            v = _reset(v, n, threshold, o)
        if silent > 0:
            n, v, silent = 0.0, o["reset_value"], silent - 1
        elif n > 0 and o["refractory"] is not None:
            silent = math.ceil(o["refractory"])
        if o["v_min"] is not None:
            v = max(v, o["v_min"])
        b = o.get("decay_adapt", 0) * b + (1 - o.get("decay_adapt", 0)) * n
        for name, value in (("s", n), ("v", v), ("i", i), ("b", b)):
            trace[name].append(value)
    return trace


def lif_gradient(x, ws, wv, *, decay, threshold, reset, reset_value, detach, g):
    """dL/dx, dL/d decay and dL/d threshold of L = sum(ws s) + sum(wv v), by hand.

    The recursion of back-propagation through time for v_t = reset(h_t), h_t = decay v_{t-1} + x_t,
    s_t = [h_t >= threshold] with derivative g(h_t - threshold).
    """
    hs, ss, vs = [], [], [np.zeros_like(x[0])]
    for now in x:
        h = decay * vs[-1] + now
        s = (h >= threshold).astype(float)
        hs.append(h)
        ss.append(s)
        vs.append(h - s * threshold if reset == "subtract" else (1 - s) * h + s * reset_value)
    gx, to_decay, to_threshold = np.zeros_like(x), 0.0, 0.0
    to_v = np.zeros_like(x[0])
    for t in reversed(range(len(x))):
        to_v = to_v + wv[t]
        jump = -threshold if reset == "subtract" else reset_value - hs[t]
        to_s = ws[t] + (0 if detach else to_v * jump)
        slope = g(hs[t] - threshold)
        passed = 1.0 if reset == "subtract" else 1 - ss[t]
        to_h = to_v * passed + to_s * slope
        to_threshold += -(to_s * slope).sum()
        if reset == "subtract":
            to_threshold += -(to_v * ss[t]).sum()
        to_decay += (to_h * vs[t]).sum()
        gx[t] = to_h
        to_v = decay * to_h
    return gx, to_decay, to_threshold
