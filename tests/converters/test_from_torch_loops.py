"""Loops over time in Python, the usual way of snnTorch and Norse, fold into one step."""

import functools as ft

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import neurojax as nj
from neurojax.converters.torch import from_torch
from tests.converters import _imports
from tests.converters._imports import at_once, torch_outputs
from tests.converters._live import fill_on_grid, outputs_of, peer, spikes_in

snn = peer("snntorch")
norse = peer("norse.torch")
sinabs = peer("sinabs.layers")
neuron = peer("spikingjelly.activation_based.neuron")


def check_equal(module, shape, *, axis=0, pick=lambda outputs: outputs, **options):
    """Imports, runs, compares the recording that the module returns; returns the network."""
    run = ft.partial(at_once, axis=axis, pick=pick)
    return _imports.check_equal(module, shape, run, **options)


class Snn(nn.Module):
    """Two layers of snnTorch; what varies is how the loop is written."""

    def __init__(self, **options):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 3)
        self.lif1 = snn.Leaky(beta=0.5, **options)
        self.lif2 = snn.Leaky(beta=0.5, **options)

    def step(self, x, mem1, mem2):
        spk, mem1 = self.lif1(self.fc1(x), mem1)
        spk, mem2 = self.lif2(self.fc2(spk), mem2)
        return spk, mem1, mem2


class ByIndex(Snn):
    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec, mem_rec = [], []
        for step in range(x.size(0)):
            spk, mem1, mem2 = self.step(x[step], mem1, mem2)
            spk_rec.append(spk)
            mem_rec.append(mem2)
        return torch.stack(spk_rec, dim=0), torch.stack(mem_rec, dim=0)


class ByIteration(Snn):
    def forward(self, x):
        mem1 = torch.zeros(x.shape[1], 8)
        mem2 = None
        spk_rec = []
        for xt in x:
            spk, mem1, mem2 = self.step(xt, mem1, mem2)
            spk_rec += [spk.unsqueeze(0)]
        return torch.cat(spk_rec)


class Filled(Snn):
    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec = torch.zeros(x.size(0), x.size(1), 3)
        for step in range(x.size(0)):
            spk_rec[step], mem1, mem2 = self.step(x[step, ...], mem1, mem2)
        return spk_rec


class BatchFirst(Snn):
    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec = []
        for step in range(x.size(1)):
            spk, mem1, mem2 = self.step(x[:, step], mem1, mem2)
            spk_rec.append(spk)
        return torch.stack(spk_rec, 1)


class Turned(Snn):
    """Batch first outside, time first inside."""

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk_rec = []
        for xt in x.transpose(0, 1):
            spk, mem1, mem2 = self.step(xt, mem1, mem2)
            spk_rec.append(spk)
        return torch.stack(spk_rec).permute(1, 0, 2)


class Hidden(nn.Module):
    """States that the neurons keep themselves."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(4, 8), snn.Leaky(beta=0.5, init_hidden=True), nn.Linear(8, 3),
            snn.Leaky(beta=0.5, init_hidden=True, output=True),
        )  # fmt: skip

    def forward(self, x):
        return torch.stack([self.net(xt)[0] for xt in x])


@pytest.mark.parametrize("kind", [ByIndex, ByIteration, Filled, BatchFirst, Turned, Hidden])
def test_ways_of_writing_a_loop(kind):
    axis = int(kind in (BatchFirst, Turned))
    pick = (lambda outputs: outputs[0]) if kind is ByIndex else (lambda outputs: outputs)
    network = check_equal(kind(), (4,), axis=axis, pick=pick)
    assert len(network) == 4
    if kind is ByIndex:
        note = "torch returns its state 'v': record it, probes=['lif2.v']"
        assert note in network.provenance["lif2"].notes
    if axis:
        note = "torch returns [batch, time, ...]; a run returns [time, batch, ...]"
        assert note in network.provenance["lif2"].notes


def test_recorded_membranes_are_probes():
    module = ByIndex(threshold=0.75, reset_mechanism="zero")
    network = check_equal(module, (4,), pick=lambda outputs: outputs[0])
    inputs = spikes_in(np.random.default_rng(1), 6, 4, (4,))
    run = nj.simulate(network, inputs, probes=["lif2.v"])
    np.testing.assert_array_equal(run["lif2.v"], torch_outputs(module, inputs)[1])


class Image(Snn):
    """The same image in every step, outside of the loop or in it; counts of spikes."""

    def __init__(self, inside, total):
        super().__init__()
        self.inside, self.total = inside, total

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        counts = self.total(x)
        current = None if self.inside else self.fc1(x)
        for _ in range(9):
            spk, mem1 = self.lif1(self.fc1(x) if self.inside else current, mem1)
            spk, mem2 = self.lif2(self.fc2(spk), mem2)
            counts = counts + spk
        return counts / 9


@pytest.mark.parametrize("inside", [True, False])
@pytest.mark.parametrize(
    "total", [lambda x: 0, lambda x: 0.0, lambda x: torch.zeros(len(x), 3)], ids="ift"
)
def test_an_image_in_every_step(inside, total):
    module, rng = Image(inside, total), np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(4,))
    image = spikes_in(rng, 1, 5, (4,))
    outputs = outputs_of(network, np.repeat(image, 9, 0))
    np.testing.assert_array_equal(outputs.sum(0) / np.float32(9), torch_outputs(module, image[0]))
    note = "torch returns its sum over time, times a number: "
    note += "neurojax.decode.sum_over_time(run.outputs)"
    assert note in network.provenance["lif2"].notes


class FirstStepApart(nn.Module):
    """The first step before the loop, as in older tutorials of SpikingJelly."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 5), neuron.IFNode())

    def forward(self, x):
        out = self.net(x)
        for _ in range(1, 6):
            out += self.net(x)
        return out


def test_the_first_step_before_the_loop():
    module, rng = FirstStepApart(), np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(4,))
    image = spikes_in(rng, 1, 5, (4,))
    counts = outputs_of(network, np.repeat(image, 6, 0)).sum(0)
    np.testing.assert_array_equal(counts, torch_outputs(module, image[0]))


class Feedback(nn.Module):
    """Spikes of the step before come back into an earlier layer."""

    def __init__(self, how):
        super().__init__()
        self.how = how
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 3)
        self.back = nn.Linear(3, 8, bias=True)
        self.both = nn.Linear(4 + 3, 8)
        self.lif1, self.lif2 = snn.Leaky(beta=0.5), snn.Leaky(beta=0.5)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk2 = torch.zeros(x.size(1), 3)
        rec = []
        for xt in x:
            if self.how == "sum":
                current = self.fc1(xt) + self.back(spk2)
            elif self.how == "sum, turned":
                current = self.back(0.5 * spk2) + self.fc1(xt)
            else:
                current = self.both(torch.cat([xt, spk2], 1))
            spk1, mem1 = self.lif1(current, mem1)
            spk2, mem2 = self.lif2(self.fc2(spk1), mem2)
            rec.append(spk2)
        return torch.stack(rec)


@pytest.mark.parametrize("how", ["sum", "sum, turned", "cat"])
def test_feedback_becomes_a_recurrent_edge(how):
    network = check_equal(Feedback(how), (4,))
    recurrent = [edge for edge in network.edges if edge.recurrent]
    assert len(recurrent) == 1
    expected = {
        "sum": ("lif2", "back"),
        "sum, turned": ("mul", "back"),
        "cat": ("lif2", "cat.part1"),
    }
    assert recurrent[0][:2] == expected[how]


class Recurrent(nn.Module):
    """RSynaptic hands on its spikes with its states."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 6)
        self.cell = snn.RSynaptic(alpha=0.5, beta=0.5, linear_features=6)

    def forward(self, x):
        spk, syn, mem = self.cell.init_rsynaptic()
        rec = []
        for xt in x:
            spk, syn, mem = self.cell(self.fc(xt), spk, syn, mem)
            rec.append(spk)
        return torch.stack(rec)


def test_a_recurrent_neuron_of_snntorch():
    check_equal(Recurrent(), (4,))


class NorseCells(nn.Module):
    """States that start as None, in tuples with names."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(4, 8), nn.Linear(8, 3)
        # Powers of two, so that a step is exact.
        cell = norse.LIFParameters(
            tau_mem_inv=torch.tensor(64.0), tau_syn_inv=torch.tensor(128.0), v_th=torch.tensor(0.25)
        )
        self.cell = norse.LIFCell(cell, dt=2.0**-8)
        self.out = norse.LICell(norse.LIParameters(128.0, 64.0), dt=2.0**-8)

    def forward(self, x):
        state, out_state = None, None
        voltages = []
        for ts in range(x.shape[0]):
            z, state = self.cell(4 * self.fc1(x[ts]), state)
            v, out_state = self.out(self.fc2(z), out_state)
            voltages += [v]
        return torch.stack(voltages)


def test_cells_of_norse():
    network = check_equal(NorseCells(), (4,))
    assert network.outputs == ("out",)


def test_norse_sequential_state():
    parameters = norse.LIFParameters(
        torch.tensor(128.0), torch.tensor(64.0), v_th=torch.tensor(0.1)
    )
    module = norse.SequentialState(
        norse.Lift(nn.Conv2d(2, 4, 3)), norse.LIF(parameters, dt=2.0**-8), nn.Flatten(2),
        nn.Linear(64, 5), norse.LIF(parameters, dt=2.0**-8),
    )  # fmt: skip
    network = check_equal(module, (2, 6, 6), pick=lambda outputs: outputs[0])
    assert network.names == ("0.lifted_module", "1", "2", "3", "4")


def test_norse_sequential_state_of_cells():
    """Called once a step: its states come back in, as forward(x, state=None) wants it."""
    parameters = norse.LIFParameters(
        torch.tensor(128.0), torch.tensor(64.0), v_th=torch.tensor(0.1)
    )
    module = norse.SequentialState(nn.Linear(4, 5), norse.LIFCell(parameters, dt=2.0**-8))
    rng = np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(4,))
    inputs, state, expected = spikes_in(rng, 6, 3, (4,)), None, []
    with torch.no_grad():
        for x in inputs:
            z, state = module(torch.as_tensor(x), state)
            expected.append(z.numpy())
    np.testing.assert_array_equal(outputs_of(network, inputs), np.stack(expected))
    assert np.ptp(expected) > 0


@pytest.mark.parametrize("squeezed", [False, True])
@pytest.mark.parametrize("auto", [False, True])
def test_sinabs_has_the_batch_first(squeezed, auto):
    if squeezed:
        module = nn.Sequential(
            nn.Conv2d(2, 3, 3), sinabs.IAFSqueeze(batch_size=3), nn.Flatten(), nn.Linear(48, 4),
            sinabs.IAFSqueeze(batch_size=3),
        )  # fmt: skip
        shape = (2, 6, 6)
    else:
        module = nn.Sequential(nn.Linear(4, 8), sinabs.IAF(), nn.Linear(8, 3), sinabs.IAF())
        shape = (4,)
    rng = np.random.default_rng(0)
    fill_on_grid(module, rng)
    axis = "auto" if auto else "squeezed" if squeezed else 1
    network = from_torch(module, input_shape=shape, time_axis=axis)
    inputs = spikes_in(rng, 6, 3, shape)
    theirs = inputs.swapaxes(0, 1)
    theirs = theirs.reshape(-1, *shape) if squeezed else theirs
    expected = torch_outputs(module, theirs).numpy()
    expected = expected.reshape(3, 6, *expected.shape[1:]) if squeezed else expected
    np.testing.assert_array_equal(outputs_of(network, inputs), expected.swapaxes(0, 1))
    assert np.ptp(expected) > 0


class RandomLoop(nn.Module):
    """A random graph of neurons, stepped in a loop."""

    def __init__(self, plan, seed):
        super().__init__()
        self.plan = plan
        rng = np.random.default_rng(seed)
        self.neurons = nn.ModuleList([snn.Leaky(beta=0.5, threshold=t) for *_, t, _ in plan])
        self.linears = nn.ModuleList([nn.Linear(4, 4) for _ in plan])
        fill_on_grid(self, rng)

    def forward(self, x):
        memories = [None] * len(self.plan)
        before = [torch.zeros(x.shape[1], 4) for _ in self.plan]
        rec = []
        for xt in x:
            values = [xt]
            for i, (a, b, back, _, op) in enumerate(self.plan):
                value = values[a % len(values)]
                other = before[back % len(self.plan)] if back else values[b % len(values)]
                current = self.linears[i](value)
                if op == "add":
                    current = current + other
                elif op == "sub":
                    current = other - current * 0.5
                elif op == "cat":
                    current = torch.cat([current, other], 1).view(-1, 2, 4).sum(-1)
                    current = torch.cat([current, current], 1)
                spk, memories[i] = self.neurons[i](current, memories[i])
                values.append(spk)
            before = values[1:]
            rec.append(values[-1])
        return torch.stack(rec)


plans = st.lists(
    st.tuples(
        st.integers(0, 3), st.integers(0, 3), st.integers(0, 2),
        st.sampled_from((0.25, 0.5, 1.0)), st.sampled_from(("", "add", "sub", "cat")),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


@settings(max_examples=12)
@given(plan=plans, seed=st.integers(0, 2**16))
def test_random_graphs_in_loops(plan, seed):
    module = RandomLoop(plan, seed)
    network = from_torch(module, input_shape=(4,), check=False)
    inputs = spikes_in(np.random.default_rng(seed), 5, 3, (4,))
    np.testing.assert_array_equal(outputs_of(network, inputs), torch_outputs(module, inputs))
