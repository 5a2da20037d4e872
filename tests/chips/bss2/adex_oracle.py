"""One time step of hxtorch's neuron once more: plain NumPy, float64, one neuron after the other."""

import math

import numpy as np


def step(before, x, p, *, pauses=False):
    """State and spike after a step, for dicts of a neuron's state and parameters.

    Args:
        before: `v`, `i`, `w` and, with a refractory period, `refractory`.
        x: Input of the step.
        p: Parameters; a missing one switches its term off.
        pauses: Whether there is a refractory period.
    """
    v, i, w = before["v"], before["i"], before.get("w", 0.0)
    g_l = p["c_mem"] / p["tau_mem"]
    current = i - w
    if p["leaky"]:
        current += g_l * (p["leak"] - v)
    if "slope" in p:
        current += g_l * p["slope"] * math.exp((v - p["v_t"]) / p["slope"])
    v = v + p["dt"] / p["c_mem"] * current
    i = i * (1 - p["dt"] / p["tau_syn"]) + x
    z = float(v > p["threshold"])
    margin = abs(v - p["threshold"])
    silent = pauses and before["refractory"] > 0
    w = w * (1 - p["dt"] / p["tau_adap"])
    if "a" in p:
        w += p["dt"] / p["tau_adap"] * p["a"] * (v - p["leak"])
    if "b" in p and not silent:
        w += p["b"] * z
    if z:
        v = p["reset"]
    after = {"v": v, "i": i, "w": w}
    if pauses:
        if silent:
            v, z = p["reset"], 0.0
        left = max(before["refractory"] - 1, 0)
        steps = math.ceil(p["refractory_time"] / p["dt"] - 1e-5)
        after |= {"v": v, "refractory": steps if z else left}
    return after, z, margin


def check(traces, x, p, first, *, pauses=False):
    """Largest error of recorded traces, every step begun where the recorded one before ended.

    Args:
        traces: `z`, `v`, `i`, ... as `[time, neurons]`.
        x: Inputs, `[time, neurons]`.
        p: Parameters; arrays have one value a neuron.
        first: Membrane potential before the first step.
        pauses: Whether there is a refractory period.
    """
    fields = [name for name in traces if name != "z"]
    error = 0.0
    for n in range(x.shape[1]):
        mine = {k: float(q[n]) if np.ndim(q) else q for k, q in p.items()}
        before = {name: 0.0 for name in fields} | {
            "v": float(np.broadcast_to(first, x.shape[1])[n])
        }
        for t in range(len(x)):
            after, z, margin = step(before, float(x[t, n]), mine, pauses=pauses)
            before = {name: float(traces[name][t, n]) for name in fields}
            if margin < 1e-5:  # float32 may decide otherwise
                continue
            assert z == traces["z"][t, n], (t, n)
            for name in fields:
                scale = max(1.0, abs(after[name]))
                error = max(error, abs(after[name] - before[name]) / scale)
    return error
