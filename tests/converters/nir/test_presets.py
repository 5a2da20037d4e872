"""Files that the libraries write today, imported with their presets, against the libraries.

Weights, inputs and decays lie on a grid on which float32 is exact, so spikes are compared with ==,
ties at the threshold included.
"""

import contextlib
import io
import itertools
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.converters.nir import Graph, Node, Preset, from_nir, presets
from tests.converters._live import fill_on_grid, on_grid, outputs_of, peer, spikes_in

nir = peer("nir")
snn = peer("snntorch")
sj = peer("spikingjelly.activation_based.neuron")
sj_layer = peer("spikingjelly.activation_based.layer")
norse = peer("norse.torch")
sl = peer("sinabs.layers")

STEPS, BATCH = 7, 3
seeds = st.integers(0, 2**31)
widths = st.lists(st.integers(1, 6), min_size=2, max_size=4)


def quietly(function, *arguments, **options):
    """Exporters print and warn."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def run_torch(step, x):
    """Outputs of `step(x_t)` over time."""
    with torch.no_grad():
        return np.stack([step(torch.tensor(x_t)).numpy() for x_t in x])


@st.composite
def snntorch_nets(draw):
    mechanism = draw(st.sampled_from(("subtract", "zero", "none")))
    late = draw(st.booleans())
    sizes = draw(widths)
    modules = []
    for n, m in itertools.pairwise(sizes):
        modules.append(torch.nn.Linear(n, m, bias=draw(st.booleans())))
        kinds = ["Leaky", "RLeaky", "RLeaky one to one", "Synaptic"] + ["RSynaptic"] * late
        kind, _, one = draw(st.sampled_from(kinds)).partition(" ")
        decay = st.sampled_from((0.0, 0.5, 0.75, 1.0))
        values = {"beta": draw(decay), "threshold": draw(st.sampled_from((0.5, 1.0, 1.25)))}
        if kind.endswith("Synaptic"):
            values["alpha"] = draw(decay)
        options = {name: torch.full((m,), value) for name, value in values.items()}
        if one:
            weights = on_grid(np.random.default_rng(draw(seeds)), (m,))
            options |= {"all_to_all": False, "V": torch.tensor(weights)}
        elif kind.startswith("R"):
            options["linear_features"] = m
        modules.append(
            getattr(snn, kind)(
                **options, init_hidden=True, reset_mechanism=mechanism, reset_delay=late
            )
        )
    return torch.nn.Sequential(*modules), sizes[0], mechanism, late


@settings(max_examples=12)
@given(snntorch_nets(), seeds)
def test_snntorch(drawn, seed):
    net, features, mechanism, late = drawn
    rng = np.random.default_rng(seed)
    fill_on_grid(net, rng, 2.0)
    x = spikes_in(rng, STEPS, BATCH, (features,))
    export = peer("snntorch.export_nir").export_to_nir
    graph = quietly(export, net, torch.zeros(1, features), ignore_dims=[0])
    quietly(peer("snntorch.utils").reset, net)
    preset = presets.snntorch(reset_mechanism=mechanism, reset_delay=late)
    np.testing.assert_array_equal(outputs_of(from_nir(graph, preset=preset), x), run_torch(net, x))


def test_snntorch_default_is_that_of_its_neurons():
    assert presets.preset_of("snntorch") == presets.snntorch(
        reset_mechanism="subtract", reset_delay=True
    )


@st.composite
def spikingjelly_nets(draw):
    """Convolutions or not, then dense layers."""
    modules, shape = [], (draw(st.integers(1, 4)),)
    if draw(st.booleans()):
        channels, shape = draw(st.integers(1, 3)), (2, 4, 5)
        modules = [
            sj_layer.Conv2d(2, channels, 3, padding=1, bias=draw(st.booleans())),
            draw(sj_neurons()),
            sj_layer.AvgPool2d(2, stride=(2, 1)),
            sj_layer.Flatten(),
        ]
        features = channels * 2 * 4
    else:
        features = shape[0]
    for m in draw(st.lists(st.integers(1, 5), min_size=1, max_size=2)):
        modules += [sj_layer.Linear(features, m, bias=draw(st.booleans())), draw(sj_neurons())]
        features = m
    return torch.nn.Sequential(*modules), shape


@st.composite
def sj_neurons(draw):
    common = {
        "v_threshold": draw(st.sampled_from((0.5, 1.0, 1.25))),
        "v_reset": draw(st.sampled_from((0.0, 0.25, -0.5))),
    }
    kind = draw(st.sampled_from(("IFNode", "LIFNode", "ParametricLIFNode", "CUBALIFNode")))
    if kind == "LIFNode":
        common |= {"tau": draw(st.sampled_from((2.0, 4.0))), "decay_input": draw(st.booleans())}
    if kind == "ParametricLIFNode":
        common |= {"init_tau": 2.0, "decay_input": draw(st.booleans())}
    if kind == "CUBALIFNode":
        common |= {"c_decay": 0.5, "v_decay": 0.75, "v_reset": 0.0}
    return getattr(sj, kind)(**common)


@settings(max_examples=6)
@given(spikingjelly_nets(), st.sampled_from((1e-4, 1e-3)), seeds)
def test_spikingjelly(drawn, dt, seed):
    net, shape = drawn
    rng = np.random.default_rng(seed)
    fill_on_grid(net, rng, 2.0)
    x = spikes_in(rng, STEPS, BATCH, shape)
    export = peer("spikingjelly.activation_based.nir_exchange").export_to_nir
    graph = quietly(export, net, torch.zeros(1, *shape), dt=dt)
    peer("spikingjelly.activation_based.functional").reset_net(net)
    network = from_nir(graph, preset="spikingjelly", dt=None if dt == 1e-4 else dt)
    np.testing.assert_array_equal(outputs_of(network, x), run_torch(net, x))


def norse_cell(kind, draw, v_reset):
    """A Norse cell whose decays are dyadic at dt = 2**-10 s."""
    rate = st.sampled_from((256.0, 512.0))
    values = {"v_leak": draw(st.sampled_from((0.0, 0.25)))}
    if kind != "IAFCell":
        values["tau_mem_inv"] = draw(rate)
    if kind == "LIFCell":
        values["tau_syn_inv"] = draw(rate)
    if kind == "IAFCell":
        del values["v_leak"]
    if kind != "LIBoxCell":
        values |= {"v_th": draw(st.sampled_from((0.25, 0.5))), "v_reset": v_reset}
    parameters = getattr(norse, kind.removesuffix("Cell") + "Parameters")
    p = parameters(**{name: torch.tensor(value) for name, value in values.items()})
    return getattr(norse, kind)(p, **({} if kind == "IAFCell" else {"dt": 2.0**-10}))


@st.composite
def norse_nets(draw):
    sizes, v_reset = draw(widths), draw(st.sampled_from((0.0, -0.125)))
    modules = []
    for n, m in itertools.pairwise(sizes):
        modules.append(torch.nn.Linear(n, m, bias=draw(st.booleans())))
        kinds = ("LIFCell", "LIFBoxCell", "IAFCell")
        modules.append(norse_cell(draw(st.sampled_from(kinds)), draw, v_reset))
    if draw(st.booleans()):
        modules += [torch.nn.Linear(sizes[-1], 2), norse_cell("LIBoxCell", draw, v_reset)]
    return norse.SequentialState(*modules), sizes[0], v_reset


@settings(max_examples=10)
@given(norse_nets(), seeds)
def test_norse(drawn, seed):
    net, features, v_reset = drawn
    rng = np.random.default_rng(seed)
    fill_on_grid(net, rng, 2.0)
    x = spikes_in(rng, STEPS, BATCH, (features,))
    export = peer("norse.torch.utils.export_nir").to_nir
    graph = quietly(export, net, torch.zeros(1, features), dt=2.0**-10)
    state = None

    def step(x_t):
        nonlocal state
        y, state = net(x_t, state)
        return y

    network = from_nir(graph, preset=presets.norse(v_reset=v_reset), dt=2.0**-10)
    np.testing.assert_array_equal(outputs_of(network, x), run_torch(step, x))


def run_sinabs(modules, features, x):
    """Our import and sinabs' own outputs."""
    net = torch.nn.Sequential(*modules)
    graph = quietly(peer("sinabs.nir").to_nir, net, torch.zeros(BATCH, features))
    peer("sinabs").reset_states(net)
    y = run_torch(net, x)
    return lambda preset: outputs_of(from_nir(graph, preset=preset), x), y


@settings(max_examples=5)
@given(widths, st.sampled_from((0.5, 1.0)), seeds)
def test_sinabs_integrate_and_fire(sizes, threshold, seed):
    rng = np.random.default_rng(seed)
    modules = []
    for n, m in itertools.pairwise(sizes):
        modules += [
            torch.nn.Linear(n, m),
            sl.IAFSqueeze(batch_size=BATCH, spike_threshold=torch.tensor(threshold)),
        ]
    fill_on_grid(torch.nn.Sequential(*modules), rng, 3.0)
    x = spikes_in(rng, STEPS, BATCH, (sizes[0],))
    ours, y = run_sinabs(modules, sizes[0], x)
    np.testing.assert_array_equal(ours("sinabs"), y)


@pytest.mark.parametrize("norm_input", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_sinabs_leaky(norm_input, seed):
    """Exponential decays are not on a grid: the potential of the last layer is compared."""
    rng = np.random.default_rng(seed)
    leak = {"tau_mem": 5.0, "norm_input": norm_input, "batch_size": BATCH}
    modules = [
        torch.nn.Linear(4, 5),
        sl.LIFSqueeze(**leak, spike_threshold=torch.tensor(0.25)),
        torch.nn.Linear(5, 2),
        sl.ExpLeakSqueeze(**leak),
    ]
    fill_on_grid(torch.nn.Sequential(*modules), rng, 3.0)
    x = spikes_in(rng, 20, BATCH, (4,))
    ours, y = run_sinabs(modules, 4, x)
    np.testing.assert_allclose(ours(presets.sinabs(norm_input=norm_input)), y, atol=2e-5)
    assert np.abs(ours(presets.sinabs(norm_input=not norm_input)) - y).max() > 0.1


def test_sinabs_lower_bound():
    rng = np.random.default_rng(0)
    modules = [torch.nn.Linear(3, 16), sl.IAFSqueeze(batch_size=BATCH, min_v_mem=-1.0)]
    fill_on_grid(modules[0], rng, 3.0)
    x = on_grid(rng, (STEPS, BATCH, 3))
    ours, y = run_sinabs(modules, 3, x)
    np.testing.assert_array_equal(ours(presets.sinabs(min_v_mem=-1.0)), y)
    assert (ours("sinabs") != y).any()


@pytest.mark.parametrize(
    "spike_fn, reset_fn, options",
    [
        ("SingleSpike", "MembraneSubtract", {"max_spikes": 1}),
        ("MaxSpike", "MembraneReset", {"max_spikes": 2, "reset": "zero"}),
    ],
)
def test_sinabs_spike_and_reset_functions(spike_fn, reset_fn, options):
    activation = peer("sinabs.activation")
    function = getattr(activation, spike_fn)
    rng = np.random.default_rng(0)
    layer = sl.IAFSqueeze(
        batch_size=BATCH,
        spike_fn=function(2) if spike_fn == "MaxSpike" else function,
        reset_fn=getattr(activation, reset_fn)(),
    )
    modules = [torch.nn.Linear(3, 16), layer]
    fill_on_grid(modules[0], rng, 3.0)
    ours, y = run_sinabs(modules, 3, on_grid(rng, (STEPS, BATCH, 3), 2.0))
    np.testing.assert_array_equal(ours(presets.sinabs(**options)), y)
    assert (ours("sinabs") != y).any()


def test_sinabs_resets_are_checked():
    with pytest.raises(ValueError, match="must be 'subtract' or 'zero'"):
        presets.sinabs(reset="soft")


# spyx, Rockpool and jaxsnn are not installed: their equations, as read in their sources.


def single(kind, fields, shape=(3,)):
    """A graph of one node with parameters in full shape."""
    size = {"shape": np.array(shape)}
    values = {name: np.broadcast_to(np.float64(v), shape) for name, v in fields.items()}
    nodes = {"x": Node("Input", size), "n": Node(kind, values), "y": Node("Output", size)}
    return Graph(nodes, (("x", "n"), ("n", "y")))


def test_spyx_spikes_come_late_and_reset_by_subtraction():
    beta, threshold = 0.5, 1.0
    fields = {"tau": 1 / (1 - beta), "r": beta, "v_leak": 0, "v_threshold": threshold, "v_reset": 0}
    x = on_grid(np.random.default_rng(0), (10, 2, 3), 2.0)
    v, wanted = np.zeros((2, 3), np.float32), []
    for x_t in x:
        spikes = (v - threshold > 0).astype(np.float32)
        v = beta * v + x_t - spikes * threshold
        wanted.append(spikes)
    assert np.sum(wanted) > 5
    np.testing.assert_array_equal(
        outputs_of(from_nir(single("LIF", fields), preset="spyx"), x), wanted
    )


def test_spyx_feedback_is_not_late_twice():
    beta, size = 0.5, np.array([3])
    lif = {"tau": 2.0, "r": beta, "v_leak": 0, "v_threshold": 1, "v_reset": 0}
    rng = np.random.default_rng(1)
    w, x = on_grid(rng, (3, 3)), on_grid(rng, (10, 2, 3), 2.0)
    nodes = {
        "input": Node("Input", {"shape": size}),
        "lif": Node("LIF", {name: np.full(3, value) for name, value in lif.items()}),
        "w": Node("Linear", {"weight": w}),
        "output": Node("Output", {"shape": size}),
    }
    edges = (("input", "lif"), ("lif", "w"), ("w", "lif"), ("lif", "output"))
    v, wanted = np.zeros((2, 3), np.float32), []
    for x_t in x:
        spikes = (v - 1 > 0).astype(np.float32)
        v = beta * v + x_t + spikes @ w.T - spikes
        wanted.append(spikes)
    assert np.sum(wanted) > 5
    np.testing.assert_array_equal(
        outputs_of(from_nir(Graph(nodes, edges), preset="spyx"), x), wanted
    )


def test_spyx_refuses_what_resets_twice():
    fields = dict.fromkeys(("tau_mem", "tau_syn", "r", "v_threshold", "w_in"), 2.0)
    graph = single("CubaLIF", fields | {"v_leak": 0, "v_reset": 0})
    with pytest.raises(
        ValueError, match=r"node 'n' \(CubaLIF\): spyx' CuBaLIF subtracts its reset"
    ):
        from_nir(graph, preset="spyx")


def test_rockpool_counts_spikes_of_a_current_that_decays_with_its_input():
    dt, tau_mem, tau_syn = 1e-3, 0.02, 0.01
    fields = {
        "tau_mem": tau_mem,
        "tau_syn": tau_syn,
        "r": tau_mem * np.exp(-dt / tau_mem) / dt,
        "v_leak": 0,
        "v_threshold": 1,
        "v_reset": 0,
        "w_in": 1,
    }
    x = np.random.default_rng(0).random((30, 2, 3), np.float32)
    i = v = np.zeros((2, 3))
    wanted = []
    for x_t in x:
        i = (i + x_t) * np.exp(-dt / tau_syn)
        v = v * np.exp(-dt / tau_mem) + i
        spikes = np.floor(np.maximum(v, 0))
        v = v - spikes
        wanted.append(spikes)
    assert np.max(wanted) > 1
    network = from_nir(single("CubaLIF", fields), preset="rockpool", dt=dt)
    np.testing.assert_array_equal(outputs_of(network, x), wanted)


def test_jaxsnn_has_milliseconds_and_drives_with_the_old_current():
    dt = 1e-3
    fields = {"tau_mem": 8.0, "tau_syn": 4.0, "r": 1, "v_leak": 0, "v_threshold": 0.5}
    x = spikes_in(np.random.default_rng(0), 8, 2, (3,)) * 2
    i = v = np.zeros((2, 3))
    wanted = []
    for x_t in x:
        v = v + (i - v) / 8
        i = i - i / 4 + x_t
        spikes = (v > 0.5).astype(float)
        v = np.where(spikes > 0, 0, v)
        wanted.append(spikes)
    assert np.sum(wanted) > 2
    graph = single("CubaLIF", fields | {"v_reset": 0, "w_in": 1})
    np.testing.assert_array_equal(outputs_of(from_nir(graph, preset="jaxsnn", dt=dt), x), wanted)


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        ({"preset": "snntroch"}, ValueError, "no preset 'snntroch'; did you mean 'snntorch'?"),
        ({"preset": "brian"}, ValueError, "no preset 'brian'; known: nir, spikingjelly"),
        ({"preset": 3}, TypeError, "preset is 3; give a name or a Preset"),
        ({"method": "rk4"}, ValueError, "method is 'rk4'; it must be 'euler' or 'exact'"),
        (
            {"time_unit": "min"},
            ValueError,
            "time_unit is 'min'; it must be one of s, ms, us, steps",
        ),
        ({"dt": 0.0}, ValueError, "dt is 0.0; it must be a number of seconds > 0"),
        ({}, ValueError, "a NIR file does not say the time step; give dt in seconds"),
        ({"dt": 1e-3, "input_shape": {"z": (3,)}}, ValueError, "no Input 'z'"),
    ],
)
def test_wrong_arguments(arguments, error, words):
    with pytest.raises(error) as caught:
        from_nir(single("IF", {"r": 1.0, "v_threshold": 1.0, "v_reset": 0.0}), **arguments)
    assert words in str(caught.value)


def test_wrong_options_of_a_preset():
    with pytest.raises(
        ValueError, match="reset_mechanism is 'half'; it must be 'subtract', 'zero'"
    ):
        presets.snntorch(reset_mechanism="half")


def test_a_preset_of_ones_own():
    own = Preset(name="mine", dt=0.5, spiking={"strict": False, "reset": "none"})
    graph = single("IF", {"r": 1.0, "v_threshold": 1.0, "v_reset": 0.0})
    x = np.ones((4, 1, 3))
    assert outputs_of(from_nir(graph, preset=own), x)[:, 0, 0].tolist() == [0, 1, 1, 1]
    assert outputs_of(from_nir(graph, dt=0.5), x)[:, 0, 0].tolist() == [0, 0, 1, 0]


def test_surrogates_follow_the_library_or_the_argument():
    graph = single("IF", {"r": 1.0, "v_threshold": 1.0, "v_reset": 0.0})
    surrogate = nj.surrogate.Sigmoid(3.0)
    assert from_nir(graph, preset="snntorch")["n"].surrogate == nj.surrogate.ATan(2.0)
    assert from_nir(graph, preset="spikingjelly")["n"].surrogate == nj.surrogate.Sigmoid(4.0)
    assert from_nir(graph, preset="norse", surrogate=surrogate)["n"].surrogate == surrogate
