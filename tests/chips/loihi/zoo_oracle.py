"""ALIF and the resonators once more: in 64-bit integers of NumPy, and in real numbers of torch."""

import numpy as np
import torch

FULL = 4096


def cut(n, factor):
    """trunc(n factor / 4096)."""
    product = n * factor
    return np.sign(product) * (np.abs(product) >> 12)


class Integers:
    """One neuron model, stepped in integers. Parameters and states are in steps.

    `p` has D_i, D_v or C, S; th0, step, D_th, D_r; limit. What a kind does not have may be missing.
    """

    def __init__(self, kind, p, state):
        self.kind, self.p = kind, p
        self.state = {name: value.astype(np.int64) for name, value in state.items()}

    def step(self, x):
        p, s = self.p, self.state
        if self.kind == "ALIF":
            s["i"] = cut(s["i"], FULL - p["D_i"]) + x
            s["v"] = cut(s["v"], FULL - p["D_v"]) + s["i"]
            level, passed = s["v"], True
        else:
            re, im = s["re"], s["im"]
            s["re"] = cut(re, p["C"]) - cut(im, p["S"]) + x[0]
            s["im"] = cut(re, p["S"]) + cut(im, p["C"]) + x[1]
            if p.get("limit"):
                for name in ("re", "im"):
                    s[name] = np.clip(s[name], -p["limit"], p["limit"])
            izhikevich = self.kind.endswith("Izhikevich")
            level = s["im"] if izhikevich else s["re"]
            passed = True if izhikevich else (s["im"] >= 0) & (im < 0)
        compared = p["th0"]
        if "b" in s:
            s["b"] = cut(s["b"], FULL - p["D_th"])
            s["r"] = cut(s["r"], FULL - p["D_r"])
            compared = p["th0"] + s["b"] + s["r"]
        spikes = (level >= compared) & passed
        shown = {**s, "level": level, "spikes": spikes}
        if "b" in s:
            s["r"] = s["r"] + 2 * (p["th0"] + s["b"]) * spikes
            s["b"] = s["b"] + p["step"] * spikes
        if self.kind == "RFIzhikevich":
            s["re"] = np.where(spikes, 0, s["re"])
            s["im"] = np.where(spikes, p["th0"] - 1, s["im"])
        return {**shown, **s}

    def run(self, x):
        steps = [self.step(x_t) for x_t in x.astype(np.int64)]
        return {name: np.stack([step[name] for step in steps]) for name in steps[0]}


class _Spike(torch.autograd.Function):
    """A step with given slopes."""

    @staticmethod
    def forward(context, fires, *slopes_and_inputs):
        half = len(slopes_and_inputs) // 2
        context.save_for_backward(*slopes_and_inputs[:half])
        return fires

    @staticmethod
    def backward(context, g):
        slopes = context.saved_tensors
        return (None, *(None for _ in slopes), *(g * slope for slope in slopes))


def real_spikes(kind, x, p, slopes, *, reset="full"):
    """Spikes of the real-valued equations in float64, with gradients of torch.

    `p` holds tensors current_decay ... in units of 1; `slopes(above, im)` gives the derivatives to
    `above` and, for spikes at a phase, to `im`.
    """
    zero = torch.zeros_like(x[0] if kind == "ALIF" else x[0][:, 0])
    v = i = re = im = b = r = zero
    outputs = []
    for x_t in x:
        before = im
        if kind == "ALIF":
            i = (1 - p["current_decay"]) * i + x_t
            v = (1 - p["voltage_decay"]) * v + i
            level = v
        else:
            c, s = p["cos_decay"], p["sin_decay"]
            re, im = c * re - s * im + x_t[:, 0], s * re + c * im + x_t[:, 1]
            level = im if kind.endswith("Izhikevich") else re
        threshold = p["threshold"]
        if "threshold_step" in p:
            b, r = (1 - p["threshold_decay"]) * b, (1 - p["refractory_decay"]) * r
            threshold = threshold + b + r
        above = level - threshold
        if kind in ("RF", "AdRF"):
            fires = (above >= 0) & (im >= 0) & (before < 0)
            inputs = (above, im)
        else:
            fires, inputs = above >= 0, (above,)
        given = slopes(*(value.detach() for value in inputs))
        y = _Spike.apply(fires.double(), *given, *inputs)
        if "threshold_step" in p:
            r = r + 2 * (p["threshold"] + b) * y
            b = b + p["threshold_step"] * y
        if kind == "RFIzhikevich":
            s = y if reset == "full" else y.detach()
            re, im = (1 - s) * re, (1 - s) * im + s * p["threshold"]
        outputs.append(y)
    return torch.stack(outputs)
