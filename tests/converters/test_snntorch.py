"""snnTorch's neurons, against snnTorch in the same process.

Recordings of it are compared by tests/conformance, which builds neurons with the same functions.
"""

import itertools

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax import surrogate as surrogates
from neurojax.converters import snntorch as ours
from neurojax.converters._registry import OUTPUT, convert
from neurojax.converters.torch import from_torch
from tests.converters._compare import (
    assert_close,
    assert_equal,
    imported,
    losses,
    run_ours,
    run_peer,
    state_paths,
)
from tests.converters._live import fill_on_grid, on_grid, peer, spikes_in

snn = peer("snntorch")
grads = peer("snntorch.surrogate")

STATES = {"Leaky": 1, "Lapicque": 1, "Synaptic": 2, "Alpha": 3, "RLeaky": 1, "RSynaptic": 2}
RECURRENT = ("RLeaky", "RSynaptic")
SURROGATES = (
    lambda: grads.atan(3.0),
    lambda: grads.fast_sigmoid(slope=10),
    lambda: grads.triangular(0.5),
    lambda: grads.straight_through_estimator(),
    lambda: grads.heaviside(),
    lambda: grads.spike_rate_escape(beta=2, slope=3),
    lambda: grads.SFS(slope=5, B=0.25),
    lambda: None,
)


def step(module, x, state):
    """One step of a neuron that hands its states out."""
    if state is None:
        # RSynaptic with reset_delay=False can't make its states itself.
        count = STATES[type(module).__name__] + (type(module).__name__ in RECURRENT)
        state = [torch.zeros_like(x)] * count
    elif type(module).__name__ in RECURRENT:
        state = [module.spk, *state]
    spikes, *state = module(x, *state)
    return spikes, state


@st.composite
def neurons(draw, features, kinds=tuple(STATES)):
    """A neuron on the grid: its decays halve or keep."""
    kind = draw(st.sampled_from(kinds))
    sub, zero, none = "subtract", "zero", "none"
    options = {
        "threshold": draw(st.sampled_from((0.25, 0.5, 1.0, 1.25))),
        "reset_mechanism": draw(st.sampled_from((sub, sub, zero, none))),
        "spike_grad": draw(st.sampled_from(SURROGATES))(),
    }
    decay = st.sampled_from((0.0, 0.5, 1.0, torch.tensor([0.5, 1.0, 0.0][:features])))
    if kind == "Lapicque":
        options |= draw(st.sampled_from(({"R": 1.0, "C": 2.0}, {"R": 4, "C": 1, "time_step": 2})))
    elif kind == "Alpha":
        options |= {"alpha": 0.5, "beta": 0.25}
    else:
        options |= {"beta": draw(decay)}
        options["reset_delay"] = draw(st.booleans())
        if kind.endswith("Synaptic"):
            options["alpha"] = draw(decay)
    if kind == "Leaky":
        options["graded_spikes_factor"] = draw(st.sampled_from((1.0, 0.5, 2.0)))
    if kind in RECURRENT:
        if draw(st.booleans()):
            options["linear_features"] = features
        else:
            options["all_to_all"] = False
            options["V"] = draw(st.sampled_from((-0.5, torch.arange(features) / 4)))
    if options["reset_mechanism"] != none and draw(st.booleans()):
        options["learn_threshold"] = True
    return getattr(snn, kind)(**options)


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_deep_networks_on_a_grid(data, seed):
    rng = np.random.default_rng(seed)
    features = 3
    modules = []
    for _ in range(data.draw(st.integers(1, 2))):
        modules += [torch.nn.Linear(features, features), data.draw(neurons(features))]
    for module in modules:
        fill_on_grid(module, rng)
    x = spikes_in(rng, 7, 2, (features,))
    network, last = imported(modules, (features,))
    want = run_peer(modules, x, step, seed=seed)
    got = run_ours(network, x, state_paths(last), seed=seed)
    assert_equal(got, want)


@pytest.mark.parametrize("kind", STATES)
@pytest.mark.parametrize("mechanism", ["subtract", "zero", "none"])
def test_any_numbers(kind, mechanism):
    rng = np.random.default_rng(1)
    n = 20
    options = {"reset_mechanism": mechanism, "threshold": 0.7, "beta": 0.83}
    if kind in ("Synaptic", "RSynaptic", "Alpha"):
        options["alpha"] = torch.tensor(rng.uniform(0.84, 1.0, n), dtype=torch.float32)
    if kind in RECURRENT:
        options["linear_features"] = n
    module = getattr(snn, kind)(**options)
    x = rng.normal(0.2, 0.6, (25, 2, n)).astype(np.float32)
    network, last = imported([module], (n,))
    want = run_peer([module], x, step)
    got = run_ours(network, x, state_paths(last))
    v = -1
    assert_close(got, want, v, 0.7)
    assert want.outputs.any()


@pytest.mark.parametrize("delay", [True, False])
def test_learnt_numbers_become_parameters_with_the_same_gradients(delay):
    rng = np.random.default_rng(2)
    module = snn.Leaky(
        beta=torch.tensor([0.5, 0.75, 0.25]),
        learn_beta=True,
        learn_threshold=True,
        learn_graded_spikes_factor=True,
        reset_delay=delay,
    )
    x = on_grid(rng, (6, 2, 3), 2.0)
    network, _ = imported([module], (3,))
    layer = network.layers["0"]
    assert [layer.decay.shape, layer.threshold.shape, layer.amplitude.shape] == [(3,), (), ()]
    run_peer([module], x, step)

    @eqx.filter_grad
    def gradients(network):
        run = nj.simulate(network, jnp.asarray(x), probes=["0.v"])
        ws, wv = losses(run.outputs.shape, 1, 0)
        return (ws * run.outputs).sum() + (wv * run["0.v"]).sum()

    got = gradients(network).layers["0"]
    for mine, theirs in (
        (got.decay, module.beta),
        (got.threshold, module.threshold),
        (got.amplitude, module.graded_spikes_factor),
    ):
        np.testing.assert_allclose(mine, theirs.grad.numpy(), atol=1e-4, rtol=1e-5)


def test_constants_and_parameters():
    layer = convert(snn.Leaky(beta=0.9), (4,)).layers[""]
    assert layer.decay == float(np.float32(0.9))
    assert not jax.tree.leaves(layer)
    vector = convert(snn.Leaky(beta=torch.full((4,), 0.9)), (4,)).layers[""]
    assert vector.decay.shape == (4,) and vector.decay.dtype == jnp.float32
    images = convert(snn.Leaky(beta=torch.full((1, 2, 1, 1), 0.9)), (2, 3, 3)).layers[""]
    assert images.decay.shape == (2, 1, 1)
    double = convert(snn.Leaky(beta=torch.tensor(0.9, dtype=torch.float64)), (4,)).layers[""]
    assert double.decay == float(np.float32(0.9))
    frozen = snn.Leaky(beta=0.9, learn_beta=True)
    frozen.beta.requires_grad_(False)
    assert not jax.tree.leaves(convert(frozen, (4,)).layers[""])


@pytest.mark.parametrize("kind", RECURRENT)
def test_convolutional_recurrence(kind):
    rng = np.random.default_rng(3)
    extra = {"alpha": 0.5} if kind == "RSynaptic" else {}
    module = getattr(snn, kind)(
        beta=torch.tensor([0.5, 1.0]).reshape(2, 1, 1),
        conv2d_channels=2,
        kernel_size=(3, 1),
        reset_mechanism="zero",
        **extra,
    )
    fill_on_grid(module, rng, 0.5)
    x = spikes_in(rng, 6, 2, (2, 4, 3))
    network, last = imported([module], (2, 4, 3))
    want = run_peer([module], x, step)
    assert_equal(run_ours(network, x, state_paths(last)), want)
    assert want.outputs.any()


@pytest.mark.parametrize(
    ("kind", "mechanism", "delay"),
    [
        *itertools.product(("Leaky", "Synaptic", "RLeaky"), ("subtract",), (True, False)),
        *itertools.product(("Leaky", "Synaptic", "RLeaky"), ("zero",), (True,)),
        *itertools.product(("Synaptic", "RLeaky"), ("zero",), (False,)),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_inhibition(kind, mechanism, delay):
    rng = np.random.default_rng(4)
    options = {"alpha": 0.5} if kind == "Synaptic" else {}
    options |= {"linear_features": 4} if kind == "RLeaky" else {}
    module = getattr(snn, kind)(
        beta=0.5, inhibition=True, reset_mechanism=mechanism, reset_delay=delay, **options
    )
    fill_on_grid(module, rng)
    x = on_grid(rng, (7, 3, 4), 2.0)
    network, last = imported([module], (4,))
    want = run_peer([module], x, step)
    assert_equal(run_ours(network, x, state_paths(last)), want)
    assert want.outputs.sum(-1).max() == 1


@pytest.mark.parametrize("make", SURROGATES[:-1])
def test_surrogates_are_read_from_their_closures(make):
    spike_grad = make()
    found = ours.surrogate_of(spike_grad)
    u = torch.linspace(-1.5, 1.5, 25, requires_grad=True)
    spike_grad(u).sum().backward()
    np.testing.assert_allclose(
        found.derivative(jnp.asarray(u.detach().numpy()), 1.0), u.grad.numpy(), atol=1e-5
    )


def test_surrogates_that_cannot_be_read():
    assert ours.surrogate_of(grads.SSO()) is None
    assert ours.surrogate_of(lambda x: (x > 0).float()) is None
    assert ours.surrogate_of(torch.nn.ReLU()) is None
    module = snn.Leaky(beta=0.5, spike_grad=grads.custom_surrogate(lambda x, g, s: g))
    converted = convert(module, (3,))
    assert converted.layers[""].surrogate == surrogates.ATan(2.0)
    assert "custom_surrogate has no counterpart" in converted.notes[0]
    bypass = snn.Leaky(beta=0.5, surrogate_disable=True)
    assert convert(bypass, (3,)).layers[""].surrogate == surrogates.NoGradient()


def test_what_forward_returns():
    def returns(kind, **options):
        return convert(getattr(snn, kind)(beta=0.4, **options), (3,)).returns

    assert returns("Leaky") == (OUTPUT, "v")
    assert returns("Leaky", init_hidden=True) is None
    assert returns("Leaky", init_hidden=True, output=True) == (OUTPUT, "v")
    assert returns("Synaptic", alpha=0.5) == (OUTPUT, "i", "v")
    assert returns("RLeaky", linear_features=3) == (OUTPUT, "neuron.v")
    assert returns("RSynaptic", alpha=0.5, linear_features=3) == (OUTPUT, "neuron.i", "neuron.v")
    assert returns("Alpha", alpha=0.5) == (OUTPUT, "excitatory", "inhibitory", "v")
    assert convert(snn.Leaky(beta=0.5), (3,)).sequence is False


def test_notes_say_what_the_reset_does():
    def notes(kind, **options):
        return " ".join(convert(getattr(snn, kind)(beta=0.4, **options), (3,)).notes)

    assert notes("Leaky") == "the reset comes one step late, as in snnTorch with reset_delay=True"
    assert "kept" in notes("Leaky", reset_mechanism="zero")
    assert "discarded" in notes("Synaptic", alpha=0.5, reset_mechanism="zero")
    assert "climb another" in notes("Leaky", reset_delay=False)
    assert notes("Leaky", reset_mechanism="none") == ""
    ignored = notes("RSynaptic", alpha=0.5, linear_features=3, reset_delay=False)
    assert ignored.endswith("snnTorch's RSynaptic ignores reset_delay=False")
    assert "explicit Euler" in notes("Lapicque")
    assert "fixed in snnTorch" in notes("RLeaky", linear_features=3, learn_recurrent=False)


def test_decays_are_clipped_as_snntorch_does():
    module = snn.Leaky(beta=torch.tensor([1.5, -0.5, 0.5]))
    converted = convert(module, (3,))
    assert converted.notes[0] == "beta is clipped to 0..1, as snnTorch does in every step"
    np.testing.assert_array_equal(converted.layers[""].decay, [1.0, 0.0, 0.5])
    x = spikes_in(np.random.default_rng(5), 6, 2, (3,))
    network, last = imported([module], (3,))
    assert_equal(run_ours(network, x, state_paths(last)), run_peer([module], x, step))


def test_a_reset_mechanism_that_was_changed_later():
    module = snn.Leaky(beta=0.5, reset_mechanism="subtract")
    module.reset_mechanism = "zero"  # without effect: the rule was chosen before
    x = on_grid(np.random.default_rng(6), (7, 2, 3), 2.0)
    network, last = imported([module], (3,))
    assert "says 'zero'" in last.notes[0]
    assert_equal(run_ours(network, x, state_paths(last)), run_peer([module], x, step))
    module.reset_delay = False
    with pytest.raises(ValueError, match="mixes two resets"):
        convert(module, (3,))


@pytest.mark.parametrize(
    "options", [{"beta": 0.6}, {"beta": 0.8, "R": 2.0}, {"beta": 0.8, "C": 3.0}, {"R": 2, "C": 3}]
)
def test_lapicque_with_any_two_numbers(options):
    module = snn.Lapicque(time_step=0.5, **options)
    plain = ours.lapicque(time_step=0.5, **options)
    layer = convert(module, (3,)).layers[""]
    assert layer.decay == pytest.approx(float(plain.decay), rel=1e-6)
    assert layer.gain == pytest.approx(float(plain.gain), rel=1e-6)
    x = np.random.default_rng(7).normal(0.5, 2.0, (20, 2, 3)).astype(np.float32)
    network, last = imported([module], (3,))
    want = run_peer([module], x, step)
    assert_close(run_ours(network, x, state_paths(last)), want, 0, 1.0)


def test_graded_spikes_layer():
    module = snn.GradedSpikes(2, constant_factor=None)
    layer = convert(module, (2, 3)).layers[""]
    x = np.ones((2, 3), np.float32)
    _, y = layer.step(None, jnp.asarray(x))
    np.testing.assert_array_equal(y, module(torch.tensor(x)).detach().numpy())


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
def test_refusals():
    def refused(module, shape=(3,)):
        with pytest.raises(ValueError) as error:
            convert(module, shape)
        return str(error.value)

    assert "state_quant" in refused(snn.Leaky(beta=0.5, state_quant=lambda x: x))
    assert "features) only" in refused(snn.Leaky(beta=0.5, inhibition=True), (2, 4, 4))
    assert "Alpha with inhibition" in refused(snn.Alpha(alpha=0.9, beta=0.5, inhibition=True))
    doubling = snn.Leaky(beta=0.5, inhibition=True, reset_mechanism="zero", reset_delay=False)
    assert "doubles" in refused(doubling)
    graded = snn.Leaky(beta=0.5, inhibition=True, reset_delay=False, graded_spikes_factor=2.0)
    assert "use reset_delay=True" in refused(graded)
    assert "spiking LSTM; use Synaptic" in refused(snn.SLSTM(3, 3))
    assert "use Leaky" in refused(snn.LeakyParallel(3, 3))
    assert "DeltaLeaky spikes on differences" in refused(snn.DeltaLeaky(beta=0.5))
    with pytest.raises(ValueError, match="reset_mechanism is 'soft'"):
        ours.leaky(beta=0.5, reset_mechanism="soft")
    with pytest.raises(ValueError, match="give beta, or R and C"):
        ours.lapicque(R=1.0)


class Tutorial(torch.nn.Module):
    """As in snnTorch's tutorials: a loop over time that hands the states on."""

    def __init__(self):
        super().__init__()
        self.fc1 = torch.nn.Linear(4, 6)
        self.lif1 = snn.RLeaky(beta=0.5, linear_features=6, threshold=0.5)
        self.fc2 = torch.nn.Linear(6, 3)
        self.lif2 = snn.Synaptic(alpha=0.5, beta=0.5, threshold=0.5, reset_mechanism="zero")

    def forward(self, x):
        spk1, mem1 = self.lif1.reset_mem()
        syn2, mem2 = self.lif2.reset_mem()
        spikes = []
        for x_t in x:
            spk1, mem1 = self.lif1(self.fc1(x_t), spk1, mem1)
            spk2, syn2, mem2 = self.lif2(self.fc2(spk1), syn2, mem2)
            spikes.append(spk2)
        return torch.stack(spikes)


def test_a_loop_over_time():
    rng = np.random.default_rng(8)
    model = Tutorial()
    fill_on_grid(model, rng)
    x = spikes_in(rng, 7, 2, (4,))
    network = from_torch(model, torch.tensor(x))
    assert network.names == ("fc1", "lif1", "fc2", "lif2")
    want = model(torch.tensor(x)).detach().numpy()
    run = nj.simulate(network, jnp.asarray(x), probes=["lif1.neuron.v", "lif2.i"])
    np.testing.assert_array_equal(run.outputs, want)
    assert want.any()
    assert "the reset comes one step late" in network.provenance["lif1"].notes[0]


def test_hidden_states():
    rng = np.random.default_rng(9)
    hidden = {"init_hidden": True, "threshold": 0.25}
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        snn.Leaky(beta=torch.tensor([0.5, 1.0]).reshape(2, 1, 1), reset_delay=False, **hidden),
        torch.nn.Flatten(),
        torch.nn.Linear(8, 3),
        snn.Leaky(beta=0.5, output=True, **hidden),
    )
    fill_on_grid(model, rng)
    x = spikes_in(rng, 7, 2, (1, 4, 4))
    network = from_torch(model, torch.tensor(x[0]), time_axis=None)
    want = [model(torch.tensor(x_t)) for x_t in x]
    run = nj.simulate(network, jnp.asarray(x), probes=["4.v"])
    np.testing.assert_array_equal(run.outputs, np.stack([s.detach().numpy() for s, _ in want]))
    np.testing.assert_array_equal(run["4.v"], np.stack([v.detach().numpy() for _, v in want]))
    assert np.asarray(run.outputs).any()
