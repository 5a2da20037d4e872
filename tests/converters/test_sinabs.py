"""sinabs' neurons and layers, against sinabs in the same process.

Recordings of it are compared by tests/conformance, which builds neurons with the same functions.
"""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.converters import sinabs as ours
from neurojax.converters._registry import convert
from neurojax.converters.torch import from_torch
from tests.converters._compare import Result, assert_close, assert_equal, losses, run_ours
from tests.converters._live import fill_on_grid, on_grid, peer, spikes_in

layers = peer("sinabs.layers")
activation = peer("sinabs.activation")
conversion = peer("sinabs.from_torch")

STEPS, BATCH = 6, 2
SURROGATES = (
    lambda: activation.SingleExponential(),
    lambda: activation.SingleExponential(grad_width=0.25, grad_scale=2.0),
    lambda: activation.PeriodicExponential(grad_width=0.75),
    lambda: activation.Heaviside(window=0.5),
    lambda: activation.Gaussian(mu=0.1, sigma=0.4, grad_scale=0.5),
    lambda: activation.MultiGaussian(h=0.2),
)
NAMES = {"v_mem": "v", "i_syn": "i", "b": "b"}


def fresh(model):
    """Without states; sinabs' own reset writes into tensors that a gradient needs."""
    for module in model.modules():
        if isinstance(module, layers.StatefulLayer):
            for name in [n for n, _ in module.named_buffers(recurse=False)]:
                module.register_buffer(name, torch.zeros(0))


def run_torch(model, x, states=(), *, seed=0):
    """A run of a model that takes [batch, time, ...], with the states of its last module.

    The states after t steps are those of a run of t steps: what sinabs records of ALIF and of
    recurrent neurons is wrong, and a second call would not go on where the first one stopped.
    """
    last = model[-1] if isinstance(model, torch.nn.Sequential) else model
    inputs = torch.tensor(x, requires_grad=True)
    rows = []
    for steps in range(1, len(x) + 1) if states else (len(x),):
        fresh(model)
        y = model(inputs[:steps].transpose(0, 1))
        rows.append([getattr(last, name) for name in states])
    every = [y.transpose(0, 1), *(torch.stack(column) for column in zip(*rows, strict=True))]
    weights = losses(tuple(every[0].shape), len(every) - 1, seed)
    loss = sum((torch.tensor(w) * value).sum() for w, value in zip(weights, every, strict=True))
    loss.backward()
    values = [value.detach().numpy() for value in every]
    return Result(values[0], values[1:], inputs.grad.numpy())


def our_states(module, states):
    """Where our layer has the states."""
    inner = "neuron." if hasattr(module, "rec_connect") else ""
    return [inner + NAMES[name] for name in states]


@st.composite
def neurons(draw, features, kinds, squeezed=False):
    """A neuron on the grid: its decays are halves."""
    kind = draw(st.sampled_from(kinds))
    options = {}
    if not kind.startswith("IAF"):
        options = {"tau_mem": 2.0, "norm_input": draw(st.booleans()), "train_alphas": True}
        options["min_v_mem"] = draw(st.sampled_from((None, -0.5)))
    if kind.startswith("ALIF"):
        options["tau_adapt"] = 2.0
        options["adapt_scale"] = draw(st.sampled_from((0.5, 1.0)))
    if not kind.startswith(("IAF", "ExpLeak")):
        options["tau_syn"] = draw(st.sampled_from((None, 2.0)))
    if not kind.startswith("ExpLeak"):
        options |= {
            "spike_threshold": torch.tensor(draw(st.sampled_from((0.5, 1.0, 1.25)))),
            "min_v_mem": draw(st.sampled_from((None, -0.5, -0.125))),
            "surrogate_grad_fn": draw(st.sampled_from(SURROGATES))(),
            "reset_fn": draw(st.sampled_from(RESETS))(),
            "spike_fn": draw(st.sampled_from(SPIKES))(),
        }
    for name in ("tau_mem", "tau_syn", "tau_adapt"):
        if options.get(name) is not None:
            options[name] = torch.tensor(options[name])
    if kind.endswith("Recurrent"):
        options["rec_connect"] = torch.nn.Linear(features, features)
    if squeezed:
        options["batch_size"] = BATCH
    module = getattr(layers, kind)(**options)
    for name in ("alpha_mem", "alpha_syn", "alpha_adapt"):
        if getattr(module, name, None) is not None:
            getattr(module, name).data.fill_(0.5)
    return module


RESETS = (
    lambda: activation.MembraneSubtract(),
    lambda: activation.MembraneSubtract(subtract_value=0.25),
    lambda: activation.MembraneReset(),
    lambda: activation.MembraneReset(reset_value=0.125),
)
SPIKES = (
    lambda: activation.SingleSpike,
    lambda: activation.MultiSpike,
    lambda: activation.MaxSpike(2),
    lambda: activation.MaxSpike(),
)
KINDS = ("IAF", "LIF", "ALIF", "ExpLeak", "IAFRecurrent", "LIFRecurrent", "ALIFRecurrent")


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=15)
def test_deep_networks_on_a_grid(data, seed):
    rng = np.random.default_rng(seed)
    features = 3
    modules = []
    for _ in range(data.draw(st.integers(1, 2))):
        modules += [torch.nn.Linear(features, features), data.draw(neurons(features, KINDS))]
    model = torch.nn.Sequential(*modules)
    fill_on_grid(model, rng)
    x = spikes_in(rng, STEPS, BATCH, (features,))
    ours = [convert(module, (features,)).layers[""] for module in modules]
    network = nj.Sequential((features,), **{f"l{n}": layer for n, layer in enumerate(ours)})
    names = [name for name, _ in model[-1].named_buffers(recurse=False)]
    names = [name for name in names if name in NAMES]
    if "ALIF" in type(model[-1]).__name__:
        names = [name for name in names if name != "i_syn"]  # it does not write that one back
    want = run_torch(model, x, names, seed=seed)
    assert_equal(run_ours(network, x, our_states(model[-1], names), seed=seed), want)


class Squeezed(torch.nn.Module):
    """A model that takes [batch * time, ...], as one that takes [batch, time, ...]."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model(x.flatten(0, 1)).unflatten(0, x.shape[:2])


@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=6)
def test_deep_convolutional_networks(data, seed):
    rng = np.random.default_rng(seed)
    squeezed = ("IAFSqueeze", "LIFSqueeze", "ExpLeakSqueeze")
    norm = torch.nn.BatchNorm2d(3, eps=0.0)
    norm.running_mean.copy_(torch.tensor(on_grid(rng, (3,), 0.5)))
    norm.running_var.copy_(torch.tensor(rng.choice([0.25, 1.0, 4.0], 3)))
    pool = data.draw(st.sampled_from((torch.nn.AvgPool2d, layers.SumPool2d)))
    parts = [
        torch.nn.Conv2d(2, 3, 3, padding=1),
        *([norm] if data.draw(st.booleans()) else []),
        data.draw(neurons(0, squeezed[:2], True)),
        pool(2),
        torch.nn.Flatten(),
        torch.nn.Linear(27, 4, bias=False),
        data.draw(neurons(0, squeezed, True)),
    ]
    model = torch.nn.Sequential(*parts).eval()
    fill_on_grid(model, rng, 0.25)
    if norm in parts:
        norm.weight.data.copy_(torch.tensor(rng.choice([0.5, 1.0, -1.0], 3)))
    x = spikes_in(rng, STEPS, BATCH, (2, 6, 6))
    example = torch.zeros(BATCH * 4, 2, 6, 6)
    network = from_torch(model, example, time_axis="squeezed", check=False)
    assert network.names == tuple(name for name, _ in model.named_children())
    want = run_torch(Squeezed(model), x, seed=seed)
    # SumPool2d of sinabs passes no gradient where a window sums to 0.
    gradients = pool is torch.nn.AvgPool2d
    assert_equal(run_ours(network, x, (), seed=seed), want, gradients=gradients)


ANY_NUMBERS = {
    "iaf": lambda: layers.IAF(spike_threshold=torch.tensor(0.7), tau_syn=3.0, min_v_mem=-0.3),
    "lif": lambda: layers.LIF(tau_mem=7.0, tau_syn=3.0, norm_input=False),
    "lif norm": lambda: layers.LIF(
        tau_mem=torch.linspace(2, 9, 30), spike_threshold=torch.tensor(0.2)
    ),
    "alif": lambda: layers.ALIF(
        torch.tensor(7.0), torch.tensor(9.0), torch.tensor(3.0), norm_input=False
    ),
    "alif compounding": lambda: layers.ALIF(
        torch.tensor(3.0), torch.tensor(9.0), torch.tensor(3.0), spike_threshold=torch.tensor(0.1)
    ),
    "single": lambda: layers.LIF(
        tau_mem=7.0, spike_fn=activation.SingleSpike, reset_fn=activation.MembraneReset(0.1)
    ),
}


@pytest.mark.parametrize("name", ANY_NUMBERS)
def test_any_numbers(name):
    module = ANY_NUMBERS[name]()
    x = np.random.default_rng(1).normal(0.4, 0.8, (20, 2, 30)).astype(np.float32)
    network = nj.Sequential((30,), hidden=convert(module, (30,)).layers[""])
    want = run_torch(module, x, ("v_mem",))
    assert want.outputs.any()
    threshold = getattr(module, "spike_threshold", None)
    assert_close(run_ours(network, x, ("v",)), want, 0, threshold.detach().numpy())


def test_read_outs():
    x = on_grid(np.random.default_rng(0), (8, 2, 3), 2.0)
    for module in (
        layers.ExpLeak(tau_mem=4.0, min_v_mem=-0.5),
        layers.LIF(tau_mem=4.0, tau_syn=2.0, spike_fn=None),
        layers.IAF(spike_fn=None, min_v_mem=-0.5),
        layers.IAF(spike_fn=None, tau_syn=2.0),
    ):
        network = nj.Sequential((3,), out=convert(module, (3,)).layers[""])
        want, got = run_torch(module, x, ("v_mem",)), run_ours(network, x, ("v",))
        np.testing.assert_allclose(got.outputs, want.outputs, atol=1e-5)
        np.testing.assert_allclose(got.states[0], want.states[0], atol=1e-5)
        np.testing.assert_allclose(got.gradient, want.gradient, atol=1e-4)


@pytest.mark.parametrize("make", SURROGATES, ids=lambda make: type(make()).__name__)
@pytest.mark.parametrize("threshold", [1.0, 0.5])
def test_surrogates_keep_their_class_and_numbers(make, threshold):
    function = make()
    converted = convert(layers.IAF(surrogate_grad_fn=function), (3,))
    assert not converted.notes
    v = torch.linspace(-3, 3, 601)
    mine = converted.layers[""].surrogate.derivative(jnp.asarray(v - threshold), threshold)
    np.testing.assert_allclose(mine, function(v, torch.tensor(threshold)).numpy(), atol=1e-5)


def test_functions_of_your_own():
    def mine(v_mem, spike_threshold):
        return torch.ones_like(v_mem)

    class Twice(torch.autograd.Function):
        required_states = ("v_mem",)

    converted = convert(layers.IAF(surrogate_grad_fn=mine), (3,))
    assert converted.layers[""].surrogate == nj.surrogate.Exponential(0.5)
    assert "derivative is that of SingleExponential()" in converted.notes[0]
    with pytest.raises(ValueError, match=r"spike_fn .*Twice.* is not known; use SingleSpike"):
        convert(layers.IAF(spike_fn=Twice), (3,))
    with pytest.raises(ValueError, match=r"reset_fn .* is not known; use MembraneSubtract"):
        convert(layers.IAF(reset_fn=mine), (3,))
    with pytest.raises(ValueError, match="spike_fn None is not known"):
        convert(layers.ALIF(*[torch.tensor(2.0)] * 2, spike_fn=None), (3,))


def test_oddities_come_in_as_they_compute_with_a_note():
    (note,) = convert(layers.LIF(2.0, reset_fn=activation.MembraneReset(0.5)), (3,)).notes
    assert "adds its value to every neuron in every step" in note
    numbers = [torch.tensor(2.0)] * 3
    (note,) = convert(layers.ALIF(*numbers), (3,)).notes
    assert "1 - alpha_mem acts on the synaptic current" in note
    assert not convert(layers.ALIF(*numbers, norm_input=False), (3,)).notes
    recurrent = layers.LIFRecurrent(2.0, torch.nn.Linear(3, 3))
    assert "forgets the last spikes" in convert(recurrent, (3,)).notes[0]


def test_constants_and_parameters():
    lif = convert(layers.LIF(tau_mem=20.0, spike_threshold=torch.tensor(0.3)), (3,)).layers[""]
    assert lif.tau.shape == () and lif.threshold == float(np.float32(0.3))
    assert len(jax.tree.leaves(lif)) == 1
    trained = convert(layers.LIF(tau_mem=20.0, train_alphas=True), (3,)).layers[""]
    assert trained.tau is None
    np.testing.assert_allclose(trained.decay, np.exp(-1 / 20), rtol=1e-6)
    assert not jax.tree.leaves(convert(layers.IAF(), (3,)).layers[""])


def test_feedback_through_images():
    rng = np.random.default_rng(0)
    feedback = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 12))
    module = layers.IAFRecurrent(feedback, spike_fn=activation.SingleSpike)
    fill_on_grid(module, rng, 0.5)
    x = spikes_in(rng, STEPS, BATCH, (3, 2, 2))
    network = nj.Sequential((3, 2, 2), hidden=convert(module, (3, 2, 2)).layers[""])
    want = run_torch(module, x, ("v_mem",))
    assert want.outputs.any()
    assert_equal(run_ours(network, x, ("neuron.v",)), want)
    with pytest.raises(ValueError, match=r"rec_connect: torch\.Tanh has no converter"):
        convert(layers.IAFRecurrent(torch.nn.Tanh()), (3,))


def test_a_run_that_goes_on():
    layer = convert(layers.ALIFRecurrent(*[torch.tensor(2.0)] * 2, torch.nn.Linear(3, 3)), (3,))
    network = nj.Sequential((3,), hidden=layer.layers[""])
    x = jnp.asarray(spikes_in(np.random.default_rng(0), 8, 2, (3,)))
    half = nj.simulate(network, x[:3])
    rest = nj.simulate(network, x[3:], state=half.state)
    whole = nj.simulate(network, x).outputs
    np.testing.assert_array_equal(np.concatenate([half.outputs, rest.outputs]), whole)


def test_your_module_stays_as_it_is():
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 4),
        layers.LIF(tau_mem=4.0, tau_syn=2.0),
        torch.nn.Dropout(0.5),
        layers.IAF(),
    )
    fill_on_grid(model, np.random.default_rng(0))
    x = on_grid(np.random.default_rng(1), (4, 2, 3), 2.0)
    model(torch.tensor(x).transpose(0, 1))
    before = [(repr(vars(module)), module.state_dict()) for module in model]
    network = from_torch(model, input_shape=(3,))
    assert [repr(vars(module)) for module in model] == [text for text, _ in before]
    assert model.training
    # It starts without states all the same.
    model.eval()
    want, got = run_torch(model, x), run_ours(network, x, ())
    np.testing.assert_array_equal(got.outputs, want.outputs)


def test_a_converted_network():
    ann = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 4)
    )
    fill_on_grid(ann, np.random.default_rng(0), 0.5)
    model = conversion.from_model(
        ann, input_shape=(2, 6, 6), batch_size=BATCH, num_timesteps=STEPS, add_spiking_output=True
    )
    network = from_torch(model, torch.zeros(BATCH * STEPS, 2, 6, 6), time_axis="squeezed")
    assert network.names[0] == "spiking_model.0"
    assert network["spiking_model.1"].v_min == -1.0
    x = spikes_in(np.random.default_rng(1), STEPS, BATCH, (2, 6, 6))
    want = run_torch(Squeezed(model), x)
    assert want.outputs.any()
    assert_equal(run_ours(network, x, ()), want)


def test_time_and_batch_are_moved_by_the_model():
    model = torch.nn.Sequential(
        layers.Repeat(torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.AvgPool2d(2))),
        layers.IAF(spike_threshold=torch.tensor(0.5)),
        torch.nn.Flatten(2),
    )
    fill_on_grid(model, np.random.default_rng(0), 0.5)
    network = from_torch(model, input_shape=(2, 6, 6))
    assert network.names[:3] == ("0.module.0", "0.module.1", "1")
    x = spikes_in(np.random.default_rng(1), STEPS, BATCH, (2, 6, 6))
    want = run_torch(model, x)
    assert want.outputs.any()
    assert_equal(run_ours(network, x, ()), want)


class Merged(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
        self.merge, self.neuron = layers.Merge(), layers.IAF()

    def forward(self, x):
        return self.neuron(self.merge(self.a(x), self.b(x)))


def test_merge():
    model = Merged()
    fill_on_grid(model, np.random.default_rng(0))
    x = spikes_in(np.random.default_rng(1), STEPS, BATCH, (3,))
    network = from_torch(model, input_shape=(3,))
    assert isinstance(network["merge"], nj.Add)
    assert_equal(run_ours(network, x, ()), run_torch(model, x))
    with pytest.raises(ValueError, match="different shapes"):
        convert(layers.Merge(), ((3,), (4,)))


@pytest.mark.parametrize(
    "module",
    [
        layers.SumPool2d(2),
        layers.SumPool2d((1, 2), stride=(2, 1)),
        layers.Cropping2dLayer(((1, 2), (0, 1))),
        layers.ChannelShift(2),
        layers.NeuromorphicReLU(),
        layers.NeuromorphicReLU(quantize=False),
        layers.NeuromorphicReLU(stochastic_rounding=True).eval(),
        layers.QuantizeLayer(),
        layers.QuantizeLayer(quantize=False),
    ],
    ids=repr,
)
def test_layers_without_a_memory(module):
    x = on_grid(np.random.default_rng(0), (4, 3, 2, 6, 6), 4.0)
    parts = convert(module, (2, 6, 6)).layers
    network = nj.Sequential((2, 6, 6), **{name or "last": layer for name, layer in parts.items()})
    inputs = torch.tensor(x, requires_grad=True)
    outputs = module(inputs.flatten(0, 1)).unflatten(0, (4, 3))
    (weights,) = losses(tuple(outputs.shape), 0, 0)
    (torch.tensor(weights) * outputs).sum().backward()
    got = run_ours(network, x, ())
    np.testing.assert_array_equal(got.outputs, outputs.detach())
    rounds_to_nearest = getattr(module, "stochastic_rounding", False)
    if not rounds_to_nearest:  # in inference it has no derivative
        np.testing.assert_allclose(got.gradient, inputs.grad, atol=1e-5)


def test_what_is_refused_says_what_to_do():
    for module, text in (
        (layers.SumPool2d(2, ceil_mode=True), "ceil_mode=True"),
        (layers.SpikingMaxPooling2dLayer((2, 2)), "use SumPool2d"),
        (layers.Img2SpikeLayer((2, 6, 6)), "neurojax.encode"),
        (layers.FlattenTime(), r"torch\.nn\.Flatten\(0, 1\)"),
        (layers.Cropping2dLayer(((3, 3), (0, 0))), "leave nothing"),
    ):
        with pytest.raises(ValueError, match=text):
            convert(module, (2, 6, 6))
    with pytest.raises(ValueError, match="reset is 'zero'"):
        ours.iaf(reset="zero")
