"""Networks on the chip in int64: Lava's equations on any graph, with NumPy alone.

Only integers are taken from the layers: mantissas, exponents, registers, windows.
"""

import numpy as np

from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.chips.loihi.synapse import Synapse
from neurojax.layers import (
    Add,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Delay,
    Flatten,
    Linear,
    Recurrent,
    Reshape,
)


def towards_zero(values, bits):
    return np.sign(values) * (np.abs(values) >> bits)


class Neurons:
    """Lava's PyLifModelBitAcc, with slayer's refractory period."""

    def __init__(self, layer, shape):
        self.layer, self.held = layer, {k: np.asarray(n) for k, n in layer.integers().items()}
        self.u = self.v = np.zeros(shape, np.int64)
        self.quiet = np.zeros(shape, np.int64)

    def step(self, a):
        held = self.held
        u = towards_zero(self.u * (4096 - (held["du"] + 1)), 12) + (a << 6)
        self.u = (u + 2**23 - 1) % 2**24 - 2**23 + 1
        mantissa, exponent = held["bias_mant"], held["bias_exp"]
        bias = (mantissa << np.maximum(exponent, 0)) >> np.maximum(-exponent, 0)
        v = towards_zero(self.v * (4096 - held["dv"]), 12) + self.u + bias
        v = np.clip(v, -(2**23) + 1, 2**23 - 1)
        v = np.where(self.quiet > 0, 0, v)
        self.quiet = np.maximum(self.quiet - 1, 0)
        if "vth" not in held:
            self.v = v
            return v
        s = (v > (held["vth"] << 6)).astype(np.int64)
        if "vth_lo" in held:
            s = s - (v < (held["vth_lo"] << 6))
        self.v = np.where(s != 0, 0, v)
        self.quiet = np.where(s != 0, self.layer.refractory - 1, self.quiet)
        return s


class Messages:
    """Lava's PyDeltaModelFixed, PySigmaDeltaModelFixed and PySigmaModelFixed."""

    def __init__(self, layer, shape):
        self.layer = layer
        self.sum = self.last = self.residue = np.zeros(shape, np.int64)

    def step(self, a):
        layer = self.layer
        if isinstance(layer, Sigma):
            self.sum = self.sum + a
            return self.sum
        shift = layer.spike_exp + layer.state_exp
        whole = lambda value: np.rint(np.asarray(value, np.float64)).astype(np.int64)  # noqa: E731
        if isinstance(layer, Delta):
            new = a << shift
        else:
            self.sum = self.sum + a
            new = self.sum + (whole(layer.bias) << shift)
            new = np.maximum(new, 0) if layer.activation_name == "relu" else new
        d = new - self.last + self.residue
        sent = np.where(np.abs(d) >= whole(layer.threshold) << shift, d, 0)
        self.residue, self.last = d - sent, new
        return sent >> layer.state_exp


def windows(x, weight, layer):
    """A convolution of any number of axes, tap by tap."""
    ndim = weight.ndim - 2
    x = np.pad(x, [(0, 0), (0, 0), *layer.padding])
    out = layer.out_channels
    per, into = out // layer.groups, weight.shape[1]
    sizes = [
        (n - d * (k - 1) - 1) // s + 1
        for n, k, s, d in zip(
            x.shape[2:], weight.shape[2:], layer.stride, layer.dilation, strict=True
        )
    ]
    total = np.zeros((len(x), out, *sizes), np.int64)
    for tap in np.ndindex(*weight.shape[2:]):
        where = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, layer.dilation, layer.stride, sizes, strict=True)
        ]
        seen = x[(slice(None), slice(None), *where)]
        for g in range(layer.groups):
            outs, ins = slice(g * per, (g + 1) * per), slice(g * into, (g + 1) * into)
            total[:, outs] += np.einsum(
                "oi,bi...->bo...", weight[(outs, slice(None), *tap)], seen[:, ins]
            )
    assert total.ndim == ndim + 2
    return total


def spread(x, weight, layer, out_shape):
    """A transposed convolution, tap by tap; out_shape without the batch."""
    ndim, groups = weight.ndim - 2, layer.groups
    into, per = weight.shape[0] // groups, weight.shape[1]
    reach = [(n - 1) * s + (k - 1) * d + 1 for n, s, k, d in zip(
        x.shape[2:], layer.stride, weight.shape[2:], layer.dilation, strict=True)]  # fmt: skip
    size = [max(r, p[0] + o) for r, p, o in zip(reach, layer.padding, out_shape[1:], strict=True)]
    total = np.zeros((len(x), per * groups, *size), np.int64)
    for tap in np.ndindex(*weight.shape[2:]):
        where = [
            slice(t * d, t * d + (n - 1) * s + 1, s)
            for t, d, s, n in zip(tap, layer.dilation, layer.stride, x.shape[2:], strict=True)
        ]
        for g in range(groups):
            outs, ins = slice(g * per, (g + 1) * per), slice(g * into, (g + 1) * into)
            total[(slice(None), outs, *where)] += np.einsum(
                "io,bi...->bo...", weight[(ins, slice(None), *tap)], x[:, ins]
            )
    crop = [slice(p[0], p[0] + n) for p, n in zip(layer.padding, out_shape[1:], strict=True)]
    assert total.ndim == ndim + 2
    return total[(slice(None), slice(None), *crop)]


def synapse(x, held):
    """Sums of mantissas of `(batch, ...)` messages, in int64."""
    layer, weight = held.synapse, held.integers()
    if isinstance(layer, PerChannel):
        shape = x.shape
        flat = x.reshape(-1, 1, *shape[2:])
        out = layer.synapse.out_shape((1, *shape[2:]))
        inner = layer.synapse
        one = windows(flat, weight, inner) if isinstance(inner, Conv2d) else spread(
            flat, weight, inner, out)  # fmt: skip
        total = one.reshape(*shape[:2], *one.shape[2:])
    elif isinstance(layer, Linear):
        total = x @ weight.T
    elif isinstance(layer, Conv1d | Conv2d):
        total = windows(x, weight, layer)
    else:
        assert isinstance(layer, ConvTranspose1d | ConvTranspose2d)
        total = spread(x, weight, layer, layer.out_shape(x.shape[1:]))
    e = held.exponent
    return total << e if e >= 0 else total >> -e


def oracle(network, x, outputs=None):
    """Outputs of a network of the chip's layers, int64 `(time, batch, ...)`."""
    x = np.asarray(x).astype(np.int64)
    batch = x.shape[1]
    zeros = lambda name: np.zeros((batch, *network.out_shape(name)), np.int64)  # noqa: E731
    values = {name: zeros(name) for name in network.names}  # of the step before
    cells, waiting, result = {}, {}, []
    for name in network.names:
        layer = network[name]
        inner = layer.neuron if isinstance(layer, Recurrent) else layer
        if isinstance(inner, LIF):
            cells[name] = Neurons(inner, (batch, *network.out_shape(name)))
        elif isinstance(inner, Delta | Sigma | SigmaDelta):
            cells[name] = Messages(inner, (batch, *network.out_shape(name)))
        elif isinstance(layer, Delay):
            waiting[name] = []
    (source,) = network.inputs
    for now in x:
        before = dict(values)
        for name in network.names:
            layer = network[name]
            into = [
                now if e.source == source else (before if e.recurrent else values)[e.source]
                for e in network.incoming(name)
            ]
            if isinstance(layer, Concat):
                axis = layer.axis % len(network.out_shape(name)) + 1
                values[name] = np.concatenate(into, axis)
                continue
            a = sum(into)
            if name in cells:
                if isinstance(layer, Recurrent):
                    a = a + synapse(before[name], layer.synapse)
                values[name] = cells[name].step(a)
            elif isinstance(layer, Synapse):
                values[name] = synapse(a, layer)
            elif isinstance(layer, Delay):
                seen = waiting[name]
                seen.append(a)
                steps = np.broadcast_to(np.asarray(layer.steps), a.shape[1:])
                late = [np.zeros_like(a) if s >= len(seen) else seen[-1 - s]
                        for s in range(int(steps.max()) + 1)]  # fmt: skip
                values[name] = np.choose(np.broadcast_to(steps, a.shape), late)
            elif isinstance(layer, Input):
                held = layer.integers()
                q = np.clip(np.rint(a / 2) * 2, -256, 254).astype(np.int64)
                assert not (q * held["weight"] % 64).any()
                values[name] = q * held["weight"] // 64 + held["bias"]
            elif isinstance(layer, Flatten | Reshape):
                values[name] = a.reshape(batch, *network.out_shape(name))
            else:
                assert isinstance(layer, Add), layer
                values[name] = a
        result.append([values[name] for name in (outputs or network.outputs)])
    columns = [np.stack(column) for column in zip(*result, strict=True)]
    return columns[0] if len(columns) == 1 and outputs is None else columns
