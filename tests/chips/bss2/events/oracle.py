"""Spiking neurons from event to event in float64: textbook formulas, a fine grid, brentq."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq


class Neurons(NamedTuple):
    """Parameters; numbers, or one a neuron."""

    tau_mem: np.ndarray | float = 10e-6
    tau_syn: np.ndarray | float = 5e-6
    leak: np.ndarray | float = 0.0
    threshold: np.ndarray | float = 1.0
    reset: np.ndarray | float = 0.0


def membrane(one: Neurons, v: float, i: float, t: np.ndarray) -> np.ndarray:
    """Membrane of a neuron after t seconds."""
    tm, ts, leak = one.tau_mem, one.tau_syn, one.leak
    if abs(tm - ts) < 1e-9 * tm:
        driven = i * t / tm * np.exp(-t / tm)
    else:
        driven = i * ts / (tm - ts) * (np.exp(-t / tm) - np.exp(-t / ts))
    return leak + (v - leak) * np.exp(-t / tm) + driven


def crossing(one: Neurons, v: float, i: float, horizon: float) -> float:
    """Seconds to the first crossing of the threshold, infinity if there is none."""
    if v >= one.threshold:
        return 0.0
    grid = np.linspace(0, horizon, 1001)
    above = membrane(one, v, i, grid) >= one.threshold
    if not above.any():
        return np.inf
    k = int(np.argmax(above))
    height = lambda t: membrane(one, v, i, t) - one.threshold  # noqa: E731
    return brentq(height, grid[k - 1], grid[k], xtol=1e-18, rtol=1e-14)


def simulate(neurons, from_input, times, index, t_max, *, from_own=None, limit=200):
    """Spikes [(time, neuron)] of a population; input goes first if both are due."""
    n = from_input.shape[1]
    own = np.zeros((n, n)) if from_own is None else np.asarray(from_own, float)
    each = [Neurons(*(np.broadcast_to(x, n)[k] for x in tuple(neurons))) for k in range(n)]
    v = np.array([float(one.leak) for one in each])
    i, t, found = np.zeros(n), 0.0, []
    order = np.argsort(times, kind="stable")
    queue = [(float(times[k]), int(index[k])) for k in order if np.isfinite(times[k])]
    while len(found) < limit:
        waits = [crossing(one, v[k], i[k], t_max - t) for k, one in enumerate(each)]
        k = int(np.argmin(waits))
        arrival = queue[0][0] if queue else np.inf
        time = min(t + waits[k], arrival)
        if time > t_max:
            break
        v = np.array([membrane(one, v[m], i[m], time - t) for m, one in enumerate(each)])
        i = i * np.array([np.exp(-(time - t) / one.tau_syn) for one in each])
        if t + waits[k] < arrival:
            found.append((time, k))
            v[k] = each[k].reset
            i = i + own[k]
        else:
            i = i + from_input[queue.pop(0)[1]]
        t = time
    return found
