"""Spikformer's self-attention and block, as its authors publish them, and their integers."""

import numpy as np
from torch import nn


class Attention(nn.Module):
    """(q k^T) v, scaled, into neurons, and a projection; inputs `[time, batch, tokens, dim]`."""

    def __init__(self, dim, heads, node, attention_node, *, scale=0.125, bias=False, norm=True):
        super().__init__()
        self.heads, self.scale = heads, scale
        for name in ("q", "k", "v", "proj"):
            setattr(self, f"{name}_linear", nn.Linear(dim, dim, bias=bias))
            setattr(self, f"{name}_bn", nn.BatchNorm1d(dim) if norm else nn.Identity())
            setattr(self, f"{name}_lif", node())
        self.attn_lif = attention_node()

    def part(self, name, x):
        T, B, N, C = x.shape
        y = getattr(self, f"{name}_linear")(x.flatten(0, 1))
        y = getattr(self, f"{name}_bn")(y.transpose(-1, -2)).transpose(-1, -2)
        return getattr(self, f"{name}_lif")(y.reshape(T, B, N, C).contiguous())

    def head(self, name, x):
        T, B, N, C = x.shape
        return (
            self.part(name, x).reshape(T, B, N, self.heads, C // self.heads).permute(0, 1, 3, 2, 4)
        )

    def forward(self, x):
        T, B, N, C = x.shape
        q, k, v = (self.head(name, x) for name in "qkv")
        attention = (q @ k.transpose(-2, -1)) * self.scale
        y = (attention @ v).transpose(2, 3).reshape(T, B, N, C).contiguous()
        return self.part("proj", self.attn_lif(y))


class Block(nn.Module):
    """Attention, then two layers on each token, each added to what it was given."""

    def __init__(self, attention, dim, hidden, node):
        super().__init__()
        self.attn = attention
        self.fc1, self.fc1_lif = nn.Linear(dim, hidden), node()
        self.fc2, self.fc2_lif = nn.Linear(hidden, dim), node()
        self.out, self.out_lif = nn.Linear(dim, dim), node()

    def forward(self, x):
        x = x + self.attn(x)
        x = x + self.fc2_lif(self.fc2(self.fc1_lif(self.fc1(x))))
        return self.out_lif(self.out(x))


def neurons(v, current, threshold):
    """One step of IF neurons that fire at the threshold and start again at 0."""
    v = v + current
    spikes = v >= threshold
    return np.where(spikes, 0, v), spikes.astype(np.int64)


def direct(x, weights, thresholds, heads):
    """Self-attention in integers, term by term: what the chip must compute.

    Args:
        x: Spikes `[time, tokens, dim]`.
        weights: `(weight, bias)` of q, k, v and proj.
        thresholds: Of q, k, v, attn (in counts of terms) and proj.
        heads: Number of them.
    """
    _, tokens, dim = x.shape
    v = {name: np.zeros((tokens, dim), np.int64) for name in thresholds}
    depth, outputs = dim // heads, []
    for spikes in x.astype(np.int64):
        s = {}
        for name in "qkv":
            weight, bias = weights[name]
            v[name], s[name] = neurons(v[name], spikes @ weight.T + bias, thresholds[name])
        counts = np.zeros((tokens, dim), np.int64)
        for h in range(heads):
            for r in range(tokens):
                for i in range(depth):
                    for j in range(tokens):
                        for c in range(h * depth, (h + 1) * depth):
                            both = s["q"][r, c] & s["k"][j, c]
                            counts[r, h * depth + i] += both & s["v"][j, h * depth + i]
        v["attn"], s["attn"] = neurons(v["attn"], counts, thresholds["attn"])
        weight, bias = weights["proj"]
        v["proj"], s["proj"] = neurons(v["proj"], s["attn"] @ weight.T + bias, thresholds["proj"])
        outputs.append(s["proj"])
    return np.array(outputs)
