"""Random networks of branches: residual, concatenated, nested, pooled; torch's spikes and ours."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from neurojax.converters import from_torch
from tests.converters._live import fill_on_grid, outputs_of, peer, spikes_in

neuron = peer("spikingjelly.activation_based.neuron")

NEURONS = (
    lambda: neuron.IFNode(v_threshold=0.5),
    lambda: neuron.IFNode(v_reset=None),
    lambda: neuron.LIFNode(tau=2.0),
    nn.ReLU,
    nn.Identity,
)


class Block(nn.Module):
    """A convolution with neurons, or blocks side by side, one after the other, or a pool."""

    def __init__(self, rng: np.random.Generator, channels: int, depth: int = 0):
        super().__init__()
        kinds = ("conv", "sum", "cat", "chain", "mean", "max") if depth < 2 else ("conv",)
        self.kind = str(rng.choice(kinds))
        if self.kind == "conv":
            size, groups = int(rng.choice([1, 3])), int(rng.choice([1, channels]))
            bias = bool(rng.random() < 0.5)
            self.conv = nn.Conv2d(
                channels, channels, size, padding=size // 2, groups=groups, bias=bias
            )
            self.act = NEURONS[rng.integers(len(NEURONS))]()
        if self.kind in ("sum", "cat", "chain"):
            self.one, self.two = (Block(rng, channels, depth + 1) for _ in range(2))
        if self.kind == "cat":
            self.merge = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, x):
        if self.kind == "conv":
            return self.act(self.conv(x))
        if self.kind == "sum":
            return self.one(x) + self.two(x)
        if self.kind == "cat":
            return self.merge(torch.cat([self.one(x), self.two(x)], 1))
        if self.kind == "chain":
            return self.two(self.one(x))
        if self.kind == "max":
            return F.max_pool2d(x, 3, 1, 1)
        # Windows of four, whose mean is exact, and the size as it was.
        return F.avg_pool2d(F.pad(x, (0, 1, 0, 1)), 2, 1)


class Net(nn.Module):
    def __init__(self, rng: np.random.Generator):
        super().__init__()
        self.blocks = nn.ModuleList(Block(rng, 2) for _ in range(rng.integers(1, 4)))
        self.head, self.spikes = nn.Linear(32, 3), neuron.IFNode(v_reset=None)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.spikes(self.head(x.flatten(1)))


@hypothesis.settings(max_examples=8)
@hypothesis.given(seed=st.integers(0, 2**32 - 1))
def test_random_branches(seed):
    rng = np.random.default_rng(seed)
    module = Net(rng).eval()
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(2, 4, 4), check=False)
    x = spikes_in(rng, 6, 2, (2, 4, 4))
    with torch.no_grad():
        expected = torch.stack([module(torch.as_tensor(now)) for now in x]).numpy()
    np.testing.assert_array_equal(outputs_of(network, x), expected, err_msg=str(network))
