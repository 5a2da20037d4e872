"""SpikingJelly's neurons and layers, against SpikingJelly in the same process.

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
from neurojax.converters._registry import convert
from neurojax.converters.spikingjelly import lif_node
from neurojax.converters.torch import from_torch
from tests.converters._compare import Result, assert_close, assert_equal, losses, run_ours
from tests.converters._live import fill_on_grid, on_grid, peer, spikes_in

neuron = peer("spikingjelly.activation_based.neuron")
layer = peer("spikingjelly.activation_based.layer")
surrogate = peer("spikingjelly.activation_based.surrogate")
functional = peer("spikingjelly.activation_based.functional")

STEPS, BATCH = 6, 2
STATES = {"CUBALIFNode": {"v": "v", "c": "i"}}
SURROGATES = (
    lambda: surrogate.Sigmoid(),
    lambda: surrogate.Sigmoid(alpha=2.0),
    lambda: surrogate.ATan(alpha=3.0),
    lambda: surrogate.PiecewiseQuadratic(),
    lambda: surrogate.PiecewiseExp(alpha=2.0),
    lambda: surrogate.SoftSign(),
    lambda: surrogate.SuperSpike(alpha=2.0),
    lambda: surrogate.Erf(),
    lambda: surrogate.NonzeroSignLogAbs(),
    lambda: surrogate.Rect(alpha=0.5),
    lambda: surrogate.PiecewiseLeakyReLU(w=0.5, c=0.1),
    lambda: surrogate.QPseudoSpike(),
    lambda: surrogate.LeakyKReLU(leak=0.1, k=2.0),
    lambda: surrogate.LogTailedReLU(alpha=0.5),
    lambda: surrogate.S2NN(alpha=3.0, beta=0.5),
    lambda: surrogate.SquarewaveFourierSeries(n=3),
    lambda: surrogate.DeterministicPass(),
    lambda: surrogate.FakeNumericalGradient(),
)


def run_torch(model, x, mode, states=("v",), *, seed=0):
    """A run of a model of SpikingJelly, with the states of its last module after each step."""
    functional.reset_net(model)
    last = model[-1] if isinstance(model, torch.nn.Sequential) else model
    inputs = torch.tensor(x, requires_grad=True)
    if mode == "m":
        last.store_v_seq = True
        outputs = model(inputs)
        every = [outputs, *([last.v_seq] if states else [])]
    else:
        rows = []
        for step in inputs:
            y = model(step)
            rows.append([y, *(getattr(last, name) for name in states)])
        every = [torch.stack(column) for column in zip(*rows, strict=True)]
    weights = losses(tuple(every[0].shape), len(every) - 1, seed)
    loss = sum((torch.tensor(w) * value).sum() for w, value in zip(weights, every, strict=True))
    loss.backward()
    values = [value.detach().numpy() for value in every]
    return Result(values[0], values[1:], inputs.grad.numpy())


@st.composite
def nodes(draw, mode):
    """A node on the grid: its membrane halves, or keeps three quarters."""
    kinds = ["IFNode", "LIFNode", "ParametricLIFNode", "SimpleIFNode", "SimpleLIFNode"]
    kind = draw(st.sampled_from([*kinds, "HalfThresholdIFNode", "CUBALIFNode"]))
    if mode == "m":  # the others store no trace of v
        kind = draw(st.sampled_from(kinds[:3]))
    options = {
        "v_threshold": draw(st.sampled_from((0.5, 1.0, 1.25))),
        "surrogate_function": draw(st.sampled_from(SURROGATES))(),
    }
    if kind != "HalfThresholdIFNode":
        options["v_reset"] = draw(st.sampled_from((0.0, None, 0.25, -0.5)))
    if kind == "SimpleLIFNode" and options["v_reset"] is None:
        options["v_reset"] = 0.0  # it can't subtract
    if kind in ("LIFNode", "ParametricLIFNode", "SimpleLIFNode"):
        options["decay_input"] = draw(st.booleans())
    if kind in ("LIFNode", "SimpleLIFNode"):
        options["tau"] = draw(st.sampled_from((2.0, 4.0)))
    if kind != "CUBALIFNode":
        options |= {"detach_reset": draw(st.booleans()), "step_mode": mode}
    return getattr(neuron, kind)(**options)


@st.composite
def models(draw, mode):
    """A stack of layers and nodes for samples of two channels, 6x6."""
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    parts = []
    channels = 2
    size = 6
    for _ in range(draw(st.integers(0, 2))):
        parts.append(layer.Conv2d(channels, 3, 3, padding=1, bias=False, step_mode=mode))
        channels = 3
        if draw(st.booleans()):
            parts.append(batch_norm(rng, layer.BatchNorm2d, mode))
        parts.append(draw(nodes(mode)))
        if size == 6 and draw(st.booleans()):
            pool = draw(st.sampled_from((layer.MaxPool2d, layer.AvgPool2d)))
            parts.append(pool(2, step_mode=mode))
            size = 3
    if draw(st.booleans()):
        parts.append(layer.Dropout2d(0.5, step_mode=mode))
    parts += [
        layer.Flatten(step_mode=mode),
        layer.Linear(channels * size**2, 4, step_mode=mode),
        draw(nodes(mode)),
    ]
    model = torch.nn.Sequential(*parts).eval()
    fill_on_grid(model, rng, 0.25)
    for part in model:
        if isinstance(part, torch.nn.BatchNorm2d):
            part.weight.data.copy_(torch.tensor(rng.choice([0.5, 1.0, -1.0], 3)))
    return model


def batch_norm(rng, kind, mode):
    """A norm whose numbers are powers of two: exact."""
    norm = kind(3, eps=0.0, step_mode=mode)
    norm.running_mean.copy_(torch.tensor(on_grid(rng, (3,), 0.5)))
    norm.running_var.copy_(torch.tensor(rng.choice([0.25, 1.0, 4.0], 3)))
    return norm


@pytest.mark.parametrize("mode", ["s", "m"])
@given(data=st.data(), seed=st.integers(0, 1000))
@settings(max_examples=8)
def test_deep_networks_on_a_grid(mode, data, seed):
    model = data.draw(models(mode))
    x = spikes_in(np.random.default_rng(seed), STEPS, BATCH, (2, 6, 6))
    network = from_torch(model, input_shape=(2, 6, 6), check=False)
    assert network.names == tuple(name for name, _ in model.named_children())
    states = STATES.get(type(model[-1]).__name__, {"v": "v"})
    want = run_torch(model, x, mode, tuple(states), seed=seed)
    got = run_ours(network, x, tuple(states.values()), seed=seed)
    assert_equal(got, want)


def some(kind, **options):
    return lambda: getattr(neuron, kind)(**options)


ANY_NUMBERS = {
    "if": some("IFNode", v_threshold=0.7),
    "soft": some("IFNode", v_threshold=0.7, v_reset=None),
    "lif": some("LIFNode", tau=3.3, v_threshold=0.7, v_reset=-0.1),
    "lif whole input": some("LIFNode", tau=3.3, decay_input=False, v_reset=None),
    "plif": some("ParametricLIFNode", init_tau=5.5, decay_input=False, v_reset=0.1),
    "cuba": some("CUBALIFNode", c_decay=0.3, v_decay=0.8, v_threshold=0.7, v_reset=0.05),
    "simple": some("SimpleLIFNode", tau=2.7, decay_input=True, v_threshold=0.7),
}


@pytest.mark.parametrize("name", ANY_NUMBERS)
def test_any_numbers(name):
    rng = np.random.default_rng(1)
    module = ANY_NUMBERS[name]()
    x = rng.normal(0.4, 0.8, (20, 2, 30)).astype(np.float32)
    states = STATES.get(type(module).__name__, {"v": "v"})
    network = nj.Sequential((30,), hidden=convert(module, (30,)).layers[""])
    want = run_torch(module, x, "s", tuple(states))
    assert want.outputs.any()
    # The state after the reset says where a neuron was only if it is silent: a tie is searched for
    # among neurons that differ, and none differs here.
    assert_close(run_ours(network, x, tuple(states.values())), want, 0, module.v_threshold)


@pytest.mark.parametrize("make", SURROGATES, ids=lambda make: repr(make()).split("(")[0])
def test_surrogates_keep_their_class_and_numbers(make):
    function = make()
    module = neuron.IFNode(v_threshold=1.0, v_reset=None, surrogate_function=function)
    u = torch.linspace(-3, 3, 601, requires_grad=True)
    function(u).sum().backward()
    converted = convert(module, (3,))
    assert not converted.notes
    mine = converted.layers[""].surrogate.derivative(jnp.asarray(u.detach().numpy()))
    np.testing.assert_allclose(mine, u.grad.numpy(), atol=1e-5)


def test_a_surrogate_of_your_own():
    class Mine(torch.nn.Module):
        def __init__(self, at_threshold, top=1.0):
            super().__init__()
            self.at, self.top = at_threshold, top

        def forward(self, x):
            return self.top * torch.where(x == 0, self.at, (x > 0).float())

    def imported(function):
        return convert(neuron.IFNode(surrogate_function=function), (3,))

    assert not imported(Mine(1.0)).layers[""].strict
    assert imported(Mine(0.0)).layers[""].strict
    assert "derivative is that of Sigmoid(alpha=4)" in imported(Mine(0.0)).notes[0]
    with pytest.raises(ValueError, match="not a step from 0 to 1"):
        imported(Mine(1.0, top=2.0))
    with pytest.raises(ValueError, match="not a step from 0 to 1"):
        imported(Mine(0.5))
    with pytest.raises(ValueError, match=r"surrogate_function .* fails"):
        imported(surrogate.PoissonPass())
    with pytest.raises(ValueError, match="not a step from 0 to 1"):
        imported(surrogate.MultiLevelSpikeCount(3))
    with pytest.raises(ValueError, match=r"set_spiking_mode\(True\)"):
        imported(surrogate.ATan(spiking=False))


def test_constants_and_parameters():
    assert not jax.tree.leaves(convert(neuron.LIFNode(tau=3.0), (4,)).layers[""])
    learned = convert(neuron.ParametricLIFNode(init_tau=4.0), (4,))
    np.testing.assert_allclose(learned.layers[""].decay, 0.75, rtol=1e-6)
    assert "not w" in learned.notes[0]
    # 0.0.0.0.14 lets users put a tensor for the threshold.
    module = neuron.IFNode()
    module.v_threshold = torch.tensor([[0.5, 1.0, 2.0]])
    assert convert(module, (3,)).layers[""].threshold.tolist() == [0.5, 1.0, 2.0]
    # So does `set_reset_value` for the first membrane potential.
    module = neuron.IFNode()
    module.set_reset_value("v", 0.5)
    assert convert(module, (3,)).layers[""].v_init == 0.5
    network = nj.Sequential((1,), hidden=convert(module, (1,)).layers[""])
    x = np.full((5, 1, 1), 0.3, np.float32)
    want = run_torch(module, x, "s")
    assert_equal(run_ours(network, x, ("v",)), want)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_your_module_stays_as_it_is(mode):
    model = torch.nn.Sequential(
        layer.Linear(3, 4, step_mode=mode),
        neuron.LIFNode(step_mode=mode, store_v_seq=True),
        layer.Dropout(0.5, step_mode=mode),
        layer.SynapseFilter(tau=4.0, step_mode=mode),
    )
    fill_on_grid(model, np.random.default_rng(0))
    x = torch.ones(*((4, 2, 3) if mode == "m" else (2, 3)))
    model(x)
    before = [repr(vars(module)) for module in model]
    network = from_torch(model, input_shape=(3,))
    assert [repr(vars(module)) for module in model] == before
    # It starts from the reset state all the same.
    model.eval()
    got = run_ours(network, np.ones((4, 2, 3), np.float32), ())
    want = run_torch(model, np.ones((4, 2, 3), np.float32), mode, ())
    assert_equal(got, want)


@pytest.mark.parametrize("kind", ["NonSpikingLIFNode", "NonSpikingIFNode"])
@pytest.mark.parametrize("decode", [None, "max-mem", "mean-mem", "last_mem"])
def test_read_outs(kind, decode):
    module = getattr(neuron, kind)(decode=decode)
    x = on_grid(np.random.default_rng(0), (5, 2, 3))
    converted = convert(module, (3,))
    assert converted.sequence
    network = nj.Sequential((3,), out=converted.layers[""])
    outputs = nj.simulate(network, jnp.asarray(x)).outputs
    want = module(torch.tensor(x))
    if decode is None:
        np.testing.assert_array_equal(outputs, torch.stack(want))
        return
    name = {"max-mem": "max_over_time", "mean-mem": "mean_over_time", "last_mem": "last"}[decode]
    assert f"neurojax.decode.{name}" in converted.notes[0]
    decoded = getattr(nj.decode, name)(outputs)
    np.testing.assert_allclose(decoded, want, rtol=1e-6)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize(
    "make",
    [
        lambda mode: layer.SynapseFilter(tau=4.0, step_mode=mode),
        lambda mode: layer.SynapseFilter(tau=2.0, learnable=True, step_mode=mode),
        lambda mode: layer.Delay(2, step_mode=mode),
        lambda mode: layer.VotingLayer(3, step_mode=mode),
        lambda mode: layer.LinearRecurrentContainer(
            torch.nn.Sequential(neuron.LIFNode(), layer.Linear(6, 5), neuron.IFNode()),
            6, 5, step_mode=mode,
        ),
        lambda mode: layer.LinearRecurrentContainer(
            neuron.IFNode(v_reset=None), 6, 6, bias=False, step_mode=mode
        ),
        lambda mode: layer.ElementWiseRecurrentContainer(
            neuron.IFNode(), lambda y, x: x + y, step_mode=mode
        ),
        lambda mode: layer.ElementWiseRecurrentContainer(
            torch.nn.Sequential(layer.Linear(6, 6), neuron.LIFNode()), torch.add, step_mode=mode
        ),
    ],
)  # fmt: skip
def test_layers_with_a_memory(make, mode):
    module = make(mode)
    fill_on_grid(module, np.random.default_rng(3))
    x = spikes_in(np.random.default_rng(4), STEPS, BATCH, (6,))
    network = from_torch(torch.nn.Sequential(torch.nn.Identity(), module), input_shape=(6,))
    want = run_torch(module, x, mode, ())
    assert want.outputs.any()
    assert_equal(run_ours(network, x, ()), want)


def test_filtered_feedback_of_a_container_needs_one_name():
    module = layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda y, x: x * y)
    with pytest.raises(ValueError, match="feedback must be added"):
        convert(module, (3,))
    module = layer.LinearRecurrentContainer(torch.nn.Sequential(neuron.QIFNode()), 3, 3)
    with pytest.raises(ValueError, match=r"sub_module\.0: SpikingJelly's QIFNode"):
        convert(module, (3,))
    module = layer.LinearRecurrentContainer(torch.nn.Tanh(), 3, 3)
    with pytest.raises(ValueError, match=r"sub_module: torch\.Tanh has no converter"):
        convert(module, (3,))


@pytest.mark.parametrize("mode", ["s", "m"])
def test_layers_with_step_modes(mode):
    rng = np.random.default_rng(0)
    model = torch.nn.Sequential(
        layer.WSConv2d(2, 3, 3, padding=1, step_mode=mode),
        batch_norm(rng, layer.BatchNorm2d, mode),
        layer.AdaptiveAvgPool2d(2, step_mode=mode),
        layer.Upsample(scale_factor=2, step_mode=mode),
        layer.Flatten(step_mode=mode),
        layer.WSLinear(48, 8),
        layer.BatchNorm1d(8, step_mode=mode),
        layer.VotingLayer(4, step_mode=mode),
    ).eval()
    x = spikes_in(rng, 4, 3, (2, 6, 6))
    network = from_torch(model, input_shape=(2, 6, 6))
    with torch.no_grad():
        want = model(torch.tensor(x)) if mode == "m" else [model(step) for step in torch.tensor(x)]
    got = nj.simulate(network, jnp.asarray(x)).outputs
    np.testing.assert_allclose(got, np.stack([row.numpy() for row in want]), atol=1e-5)


def test_training_goes_on_with_one_mask_for_all_steps():
    converted = convert(layer.Dropout(0.25, step_mode="m"), (3,))
    assert converted.layers[""].rate == 0.25 and not converted.layers[""].per_step
    assert converted.layers[""].switch
    assert "whole channels" in convert(layer.Dropout2d(0.25), (3, 2, 2)).notes[0]


def older(name, **attributes):
    """What an older version of SpikingJelly has under a name."""
    module = type(name, (), {"__module__": "spikingjelly.clock_driven.neuron"})()
    vars(module).update(attributes)
    return module


def test_older_versions():
    function = older("Sigmoid", spiking=True, alpha=3.0, _modules={}, training=True)
    common = {"v_threshold": 1.0, "v_reset": 0.0, "detach_reset": False, "backend": "cupy"}
    common["surrogate_function"] = function
    both = convert(older("MultiStepLIFNode", tau=3.0, **common), (3,))
    assert both.sequence and both.layers[""].surrogate == nj.surrogate.Sigmoid(3.0)
    assert both.layers[""] == lif_node(tau=3.0, surrogate=nj.surrogate.Sigmoid(3.0))
    single = convert(older("LIFNode", tau=3.0, **common), (3,))
    assert single.sequence is False and single.layers[""] == both.layers[""]
    for name in ("MultiStepIFNode", "MultiStepParametricLIFNode"):
        module = older(name, w=0.0, decay_input=True, **common)
        assert convert(module, (3,)).sequence


REFUSED = [
    lambda: neuron.QIFNode(),
    lambda: neuron.EIFNode(),
    lambda: neuron.IzhikevichNode(),
    lambda: neuron.KLIFNode(),
    lambda: neuron.LIAFNode(torch.relu, False),
    lambda: neuron.PSN(4),
    lambda: neuron.SlidingPSN(4),
    lambda: neuron.ILIFNode(),
    lambda: neuron.TernaryIFNode(),
    lambda: neuron.ComplementaryLIFNode(),
    lambda: layer.NeuNorm(2, 3, 3),
    lambda: layer.BatchNormThroughTime1d(3, 4),
    lambda: layer.DropConnectLinear(3, 3),
]


@pytest.mark.parametrize("make", REFUSED, ids=lambda make: type(make()).__name__)
def test_what_is_refused_names_what_is_known(make):
    module = make()
    with pytest.raises(ValueError, match=f"SpikingJelly's {type(module).__name__} .*;"):
        convert(module, (4,))


def test_a_voting_layer_that_does_not_divide():
    with pytest.raises(ValueError, match="4 neurons vote for a class"):
        convert(layer.VotingLayer(4), (6,))
