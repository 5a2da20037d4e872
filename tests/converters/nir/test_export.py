"""Export to NIR: against NIR's equations stepped in NumPy, and the importers of other libraries."""

import contextlib
import io
import itertools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.converters.nir import read, to_nir, to_nir_object
from tests.converters._live import on_grid, outputs_of, peer, spikes_in

DT = 2.0**-10
"""Together with decays of 1/2 and 3/4 it makes time constants that float32 holds exactly."""

KEY = jax.random.key(0)


def linear(rng, n, m, bias=False):
    weight, bias = on_grid(rng, (m, n)), on_grid(rng, (m,)) if bias else None
    return nj.Linear.from_weights(weight, bias)


# NIR's equations, dv = dt v', one step after the other, in float64.


class Stepped:
    """A NIR graph, run by the text of its documentation; feedback comes one step late."""

    def __init__(self, graph, method="euler"):
        self.graph, self.method = graph, method
        self.memory = {name: {} for name in graph.nodes}
        self.last = {}

    def decay(self, tau):
        return 1 - DT / tau if self.method == "euler" else np.exp(-DT / tau)

    def step(self, x):
        now, waiting = {}, list(self.graph.nodes)
        while waiting:
            name = waiting.pop(0)
            sources = [a for a, b in self.graph.edges if b == name]
            late = name.endswith(".w_rec")
            if not late and any(a in waiting for a in sources):
                waiting.append(name)
                continue
            node = self.graph.nodes[name]
            if node.kind == "Input":
                now[name] = x
                continue
            values = [self.last.get(a, 0.0) if late else now[a] for a in sources]
            if late and not self.last:
                values = [np.zeros(node.fields["weight"].shape[-1])]
            now[name] = self.node(node, self.memory[name], sum(values))
        self.last = now
        return {name: now[name] for name, n in self.graph.nodes.items() if n.kind == "Output"}

    def leak(self, f, memory, key, tau, r, rest, x):
        decay = self.decay(tau.astype(float))
        start = np.array(np.broadcast_to(rest, x.shape), float)
        v = memory.get(key, start)
        memory[key] = rest + decay * (v - rest) + (1 - decay) * r * x
        return memory[key]

    def node(self, node, memory, x):
        f = {n: np.asarray(v, float) for n, v in node.fields.items() if not isinstance(v, str)}
        kind = node.kind
        if kind in ("Affine", "Linear"):
            return f["weight"] @ x + f.get("bias", 0.0)
        if kind == "Scale":
            return f["scale"] * x
        if kind == "Threshold":
            return (x > f["threshold"]) * 1.0
        if kind == "Delay":
            past = memory.setdefault("past", [])
            past.append(x)
            steps = np.round(f["delay"] / DT).astype(int)
            each = [past[-1 - n][i] if n < len(past) else 0.0 for i, n in enumerate(steps)]
            return np.array(each)
        if kind == "Output":
            return x
        if kind.startswith("Cuba"):
            x = self.leak(f, memory, "i", f["tau_syn"], f["w_in"], 0.0 * x, x)
        if kind in ("IF", "I"):
            v = memory["v"] = memory.get("v", f.get("v_reset", 0.0)) + DT * f["r"] * x
        else:
            tau = f["tau_mem"] if kind.startswith("Cuba") else f["tau"]
            v = self.leak(f, memory, "v", tau, f["r"], f["v_leak"], x)
        if "v_threshold" not in f:
            return v
        spikes = v > f["v_threshold"]
        memory["v"] = np.where(spikes, f["v_reset"], v)
        return spikes * 1.0

    def run(self, inputs):
        outputs = []
        for b in range(inputs.shape[1]):
            self.memory = {name: {} for name in self.graph.nodes}
            self.last = {}
            outputs.append([self.step(x) for x in inputs[:, b]])
        names = outputs[0][0].keys()
        return {
            name: np.stack([[step[name] for step in one] for one in outputs], 1) for name in names
        }


@st.composite
def neurons(draw, n):
    threshold = draw(st.sampled_from([1.0, 0.5, jnp.linspace(0.5, 1.5, n)]))
    reset = draw(
        st.sampled_from([{"reset": "zero"}, {"reset": "value", "reset_value": -0.25}])
        | st.just({"reset": "none"})
    )
    spiking = reset | {"threshold": threshold, "strict": draw(st.booleans())}
    decay = draw(st.sampled_from([0.5, 0.75, jnp.where(jnp.arange(n) % 2, 0.5, 0.75)]))
    rest = {"v_rest": draw(st.sampled_from([0.0, 0.125]))}
    gain = {"gain": draw(st.sampled_from([1.0, 0.5, jnp.full((n,), 2.0)]))}
    kind = draw(st.integers(0, 6))
    if kind == 0:
        return nj.IAF(**spiking, **gain)
    if kind == 1:
        normalized = {"normalize_input": draw(st.booleans())}
        return nj.LIF(decay=decay, **spiking, **rest, **gain, **normalized)
    if kind == 2:
        return nj.CubaLIF(decay=0.5, decay_syn=0.5, **spiking, **rest, **gain)
    if kind == 3:
        return nj.CubaIAF(decay_syn=0.5, **spiking, **gain)
    if kind == 4:
        return nj.LI(decay=decay, **rest, **gain)
    if kind == 5:
        return nj.CubaLI(decay=0.5, decay_syn=0.5, **rest, **gain)
    return nj.neurons.Threshold(threshold, strict=spiking["strict"])


@settings(deadline=None, max_examples=15)
@given(neurons(4), neurons(3), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_nir_equations_give_our_spikes(first, second, seed, bias, feedback):
    rng = np.random.default_rng(seed)
    spiking = isinstance(first, nj.IAF | nj.LIF | nj.CubaLIF)
    if feedback and spiking:
        first = nj.Recurrent(first, linear(rng, 4, 4, bias))
    network = nj.Sequential(
        (5,),
        w1=linear(rng, 5, 4, bias),
        first=first,
        late=nj.Delay((0, 1, 2, 1)),
        half=nj.Scale(0.5),
        spikes=nj.neurons.Threshold(0.25),  # keeps the sums exact
        w2=linear(rng, 4, 3),
        second=second,
    )
    inputs = spikes_in(rng, 6, 2, (5,))
    graph = to_nir(network, dt=DT)
    found = Stepped(graph).run(inputs)["output"]
    np.testing.assert_array_equal(outputs_of(network, inputs), found)


def test_both_ways_to_step_time_constants():
    neuron = nj.LIF(tau=jnp.array([3.0, 10.0]), dt=0.5, reset="zero")
    network = nj.Sequential((2,), neuron)
    inputs = np.random.default_rng(0).random((30, 3, 2), np.float32)
    probes = nj.simulate(network, jnp.asarray(inputs), probes=["lif1.v"])
    assert float(probes.outputs.sum()) > 10
    for method in ("euler", "exact"):
        graph = to_nir(network, dt=DT, method=method)
        found = Stepped(graph, method).run(inputs)["output"]
        np.testing.assert_array_equal(probes.outputs, found)
    # The exact one is the time constant itself.
    np.testing.assert_allclose(graph.nodes["lif1"].fields["tau"], [6 * DT, 20 * DT], rtol=1e-6)


def test_reaching_a_threshold_is_exceeding_the_next_smaller_number():
    for threshold in (1.0, 0.3, 1e-30, 0.0, -0.5, 3e4):
        for strict in (False, True):
            layer = nj.neurons.Threshold(threshold, strict=strict)
            network = nj.Sequential((1,), layer)
            written = to_nir(network, dt=DT).nodes["threshold1"].fields["threshold"][0]
            assert written.dtype == np.float32
            t = np.float32(threshold)
            around = [np.nextafter(t, np.float32(s * np.inf)) for s in (-1, 1)]
            x = np.array([around[0], t, around[1], 0, -t], np.float32).reshape(-1, 1, 1)
            x = np.where(np.abs(x) < np.finfo(np.float32).tiny, 0, x)
            np.testing.assert_array_equal(outputs_of(network, x), x > written)


def test_units():
    network = nj.Sequential((1,), n=nj.LIF(decay=0.5, reset="zero"), d=nj.Delay(3))
    for unit, tau in (("s", 2e-3), ("ms", 2.0), ("us", 2000.0), ("steps", 2.0)):
        graph = to_nir(network, dt=1e-3, time_unit=unit)
        np.testing.assert_allclose(graph.nodes["n"].fields["tau"], tau, rtol=1e-6)
        np.testing.assert_allclose(graph.nodes["d"].fields["delay"], 1.5 * tau, rtol=1e-6)
    with pytest.raises(ValueError, match="time_unit is 'h'"):
        to_nir(network, dt=1.0, time_unit="h")
    for dt in (None, 0.0, -1.0, float("nan"), float("inf"), "1"):
        with pytest.raises(ValueError, match="dt is"):
            to_nir(network, dt=dt)
    with pytest.raises(ValueError, match="method is 'rk4'"):
        to_nir(network, dt=1.0, method="rk4")


def image_network():
    keys = iter(jax.random.split(KEY, 9))
    layers = {
        "conv": nj.Conv2d(2, 4, (2, 5), padding="same", key=next(keys)),
        "if": nj.IF(reset="zero"),
        "drop": nj.Dropout(0.5),
        "grouped": nj.Conv2d(4, 4, 2, stride=2, groups=2, bias=True, key=next(keys)),
        "skip": nj.Conv2d(2, 4, 2, stride=2, key=next(keys)),
        "add": nj.Add(),
        "lif": nj.LIF(tau=3.0, reset="zero", threshold=jnp.full((4, 1, 1), 0.5)),
        "sum": nj.SumPool2d(2, stride=1),
        "avg": nj.AvgPool2d((1, 2), padding=(0, 1)),
        "flat": nj.Flatten(),
        "out": nj.Linear(36, 3, key=next(keys)),
        "li": nj.LI(decay=0.5),
    }
    chain = ["input", "conv", "if", "drop", "grouped", "add", "lif", "sum", "avg", "flat", "out"]
    edges = [
        *itertools.pairwise(chain),
        ("out", "li"),
        ("input", "skip"),
        ("skip", "add"),
    ]
    return nj.Network(layers, edges, inputs=(2, 8, 10))


def test_nodes_and_edges_are_nirs_own(tmp_path):
    network = image_network()
    graph = to_nir(network, tmp_path / "net.nir", dt=1e-3)
    assert read(tmp_path / "net.nir") == graph
    assert "drop" not in graph.nodes and "add" not in graph.nodes
    assert {("if", "grouped"), ("grouped", "lif"), ("skip", "lif")} <= set(graph.edges)
    fields = graph.nodes["conv"].fields
    assert fields["padding"] == "same" and fields["input_shape"].tolist() == [8, 10]
    assert not fields["bias"].any()
    assert graph.nodes["lif"].fields["v_reset"].shape == (4, 4, 5)
    for node in graph.nodes.values():
        for value in node.fields.values():
            assert isinstance(value, str) or value.dtype in (np.float32, np.int64)
    nir = peer("nir")
    loaded = nir.read(tmp_path / "net.nir", type_check=False)
    assert {n: type(x).__name__ for n, x in loaded.nodes.items()} == {
        n: x.kind for n, x in graph.nodes.items()
    }


def test_what_the_package_nir_checks(tmp_path):
    """Its inference of shapes agrees where it has no known defect (square kernels, no groups)."""
    keys = jax.random.split(KEY, 3)
    network = nj.Sequential(
        (2, 8, 10),
        nj.Conv2d(2, 3, 3, stride=2, padding=1, bias=True, key=keys[0]),
        nj.IF(reset="zero"),
        nj.SumPool2d((2, 1)),
        nj.AvgPool2d(2),
        nj.Flatten(),
        nj.Linear(6, 4, key=keys[1]),
        hidden=nj.Recurrent(nj.LIF(tau=5.0, reset="zero"), nj.Linear(4, 4, key=keys[2])),
        signal=nj.CubaLI(tau=5.0, tau_syn=3.0),
    )
    to_nir(network, tmp_path / "net.nir", dt=1e-3)
    graph = peer("nir").read(tmp_path / "net.nir", type_check=True)
    assert graph.nodes["hidden.lif"].tau.shape == (4,)


def test_paths_that_add_up_stay_apart():
    """Without the Add there would be one edge where there are two."""
    layers = {"a": nj.Scale(2.0), "same": nj.Identity(), "add": nj.Add(), "b": nj.Scale(1.0)}
    edges = [("input", "a"), ("a", "same"), ("a", "add"), ("same", "add"), ("add", "b")]
    network = nj.Network(layers, edges, inputs=(3,))
    graph = to_nir(network, dt=DT)
    assert len(set(graph.edges)) == len(graph.edges)
    x = np.ones((2, 1, 3), np.float32)
    np.testing.assert_array_equal(Stepped(graph).run(x)["output"], outputs_of(network, x))
    network = nj.Sequential((3,), nj.Identity())  # not even one node would be left
    assert [n.kind for n in to_nir(network, dt=DT).nodes.values()] == ["Input", "Scale", "Output"]


def test_edges_that_are_late_without_a_cycle_become_delays():
    layers = {"a": nj.Scale(2.0), "b": nj.Scale(1.0)}
    edges = [("input", "a"), ("input", "b"), nj.Edge("a", "b", recurrent=True)]
    network = nj.Network(layers, edges, inputs=(2,), outputs=["b"])
    graph = to_nir(network, dt=DT)
    x = np.arange(8, dtype=np.float32).reshape(4, 1, 2)
    np.testing.assert_array_equal(Stepped(graph).run(x)["output"], outputs_of(network, x))


def problems_of(network, **options):
    with pytest.raises(ValueError) as error:
        to_nir(network, dt=1e-3, **options)
    return str(error.value)


LOSSY = {
    "subtract": (nj.LIF(tau=5.0), "reset='subtract'"),
    "late": (nj.LIF(tau=5.0, reset="zero", reset_delay=True), "reset_delay=True"),
    "many": (nj.IAF(max_spikes=3, reset="zero"), "max_spikes=3"),
    "any": (nj.IAF(max_spikes=None, reset="zero"), "max_spikes=None"),
    "pause": (nj.LIF(tau=5.0, reset="zero", refractory=2.0), "refractory=2"),
    "floor": (nj.LIF(tau=5.0, reset="zero", v_min=-1.0), "v_min=-1"),
    "start": (nj.LIF(tau=5.0, reset="zero", v_init=0.5), "v_init=0.5"),
    "loud": (nj.LIF(tau=5.0, reset="zero", amplitude=2.0), "amplitude=2"),
    "one": (nj.LIF(tau=5.0, reset="zero", winner_take_all=True), "winner_take_all"),
    "order": (nj.CubaLIF(tau=5.0, tau_syn=2.0, reset="zero", order="old"), "order='old'"),
    "li": (nj.LI(tau=5.0, v_min=0.0), "v_min=0"),
}


def test_what_nir_cannot_say_is_refused_all_at_once(tmp_path):
    names = list(LOSSY)
    network = nj.Sequential((3,), **{name: neuron for name, (neuron, _) in LOSSY.items()})
    with pytest.raises(ValueError) as error:
        to_nir(network, tmp_path / "net.nir", dt=1e-3)
    lines = str(error.value).splitlines()
    for name, (_, says) in LOSSY.items():
        assert any(line.startswith(f"layer '{name}': {says}") for line in lines), name
    assert "allow_lossy=True" in lines[-1] and len(lines) == len(names) + 2
    assert not list(tmp_path.iterdir())


def test_a_lossy_export_says_what_is_lost(tmp_path):
    network = nj.Sequential((3,), **{name: neuron for name, (neuron, _) in LOSSY.items()})
    with pytest.warns(UserWarning, match="layer 'many': max_spikes=3"):
        to_nir(network, tmp_path / "net.nir", dt=1e-3, allow_lossy=True)
    lost = read(tmp_path / "net.nir").metadata["neurojax"]["lost"]
    assert len(lost) == len(LOSSY) and "layer 'subtract': reset='subtract'" in lost[0]
    lossless = nj.Sequential((3,), nj.LIF(tau=5.0, reset="zero", reset_delay="before"))
    graph = to_nir(lossless, dt=1e-3, allow_lossy=True)
    assert "lost" not in graph.metadata["neurojax"]


def test_layers_without_a_node_are_refused_even_so():
    class Mine(nj.Layer):
        def step(self, state, x, *, key=None):
            return state, x

        def out_shape(self, in_shape):
            return in_shape

    layers = {
        "pool": nj.MaxPool2d(2),
        "norm": nj.BatchNorm(2),
        "own": nj.Recurrent(Mine(), nj.Scale(1.0)),
        "pads": nj.Conv2d.from_weights(np.ones((2, 2, 2, 2)), padding=((0, 1), (1, 0))),
        "mean": nj.AvgPool2d(2, stride=1, padding=1, count_padding=False),
        "flat": nj.Flatten(),
        "norms": nj.chips.loihi.ShiftNorm(2),
        "adapts": nj.AdaptiveLIF(tau=5.0, tau_adapt=5.0),
        "never": nj.LIF(decay=jnp.where(jnp.arange(50) > 3, 1.0, 0.5), reset="zero"),
        "fast": nj.LIF(decay=-0.5, reset="zero"),
        "a/b": nj.Scale(2.0),
        "input_": nj.Concat(),
    }
    network = nj.Sequential((2, 8, 8), **layers)
    text = problems_of(network, allow_lossy=True)
    for says in (
        "layer 'pool': NIR has no MaxPool2d; use SumPool2d",
        "layer 'norm': NIR has no BatchNorm; fold it",
        "fold_batch_norm",
        "layer 'own': NIR has no node for Mine",
        "layer 'pads': its padding ((0, 1), (1, 0)) differs",
        "layer 'mean': count_padding=False",
        "layer 'norms': NIR has no ShiftNorm, a layer of a chip; export a network of real",
        "layer 'adapts': NIR has no AdaptiveLIF",
        "layer 'never': decay is 1: an infinite time constant for some",
        "layer 'fast': decay is -0.5: a time constant shorter than a time step",
        "layer 'a/b': NIR files can't hold this name",
        "layer 'input_': NIR has no Concat",
    ):
        assert says in text, says
    assert "allow_lossy" not in text


def test_names_that_would_be_given_twice():
    recurrent = nj.Recurrent(nj.LIF(tau=5.0, reset="zero"), nj.Scale(1.0))
    network = nj.Sequential((2,), **{"a": recurrent, "a.lif": nj.Scale(1.0)})
    assert "layer 'a.lif': another node is called 'a.lif' too" in problems_of(network)


def test_a_folded_batch_norm_is_exported():
    network = nj.Sequential((4,), nj.Linear(4, 3, key=KEY), nj.BatchNorm(3), nj.IF(reset="zero"))
    assert "fold_batch_norm" in problems_of(network)
    folded = to_nir(nj.fold_batch_norm(network), dt=1e-3)
    assert [node.kind for node in folded.nodes.values()] == ["Input", "Affine", "IF", "Output"]


# What the importers of other libraries make of it.


def quietly(function, *arguments, **options):
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        return function(*arguments, **options)


def run_torch(module, inputs):
    torch = peer("torch")
    state, outputs = None, []
    with torch.no_grad():
        for x in inputs:
            y, state = quietly(module, torch.as_tensor(x), state)
            outputs.append(y.numpy())
    return np.stack(outputs)


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_spikingjelly_reads_it(seed, strict):
    rng = np.random.default_rng(seed)
    # SpikingJelly fires at equality, so with `strict` no membrane may meet its threshold.
    threshold = 1 + 2**-16 if strict else 1.0
    spiking = {"reset": "value", "reset_value": 0.0, "strict": strict, "threshold": threshold}
    network = nj.Sequential(
        (2, 6, 6),
        nj.Conv2d.from_weights(on_grid(rng, (3, 2, 3, 3)), on_grid(rng, (3,)), padding=1),
        nj.IF(**spiking),
        nj.AvgPool2d(2),
        nj.Flatten(),
        w1=linear(rng, 27, 8, bias=True),
        lif=nj.LIF(decay=0.75, normalize_input=True, **spiking),
        w2=linear(rng, 8, 6),
        whole=nj.LIF(decay=0.5, **spiking),
        w3=linear(rng, 6, 5),
        cuba=nj.CubaLIF(decay=0.5, decay_syn=0.5, **spiking),
    )
    inputs = spikes_in(rng, 6, 2, (2, 6, 6))
    read_by = peer("spikingjelly.activation_based.nir_exchange").import_from_nir
    graph = to_nir_object(to_nir(network, dt=DT), type_check=True)
    outputs = run_torch(quietly(read_by, graph, dt=DT), inputs)
    np.testing.assert_array_equal(outputs, outputs_of(network, inputs))


def test_spikingjelly_reads_convolutions_of_one_axis():
    rng = np.random.default_rng(1)
    network = nj.Sequential(
        (2, 9),
        nj.Conv1d.from_weights(on_grid(rng, (3, 2, 4)), stride=2, padding=1, dilation=2),
        nj.Flatten(),
        nj.LIF(decay=0.5, reset="zero"),
    )
    inputs = spikes_in(rng, 6, 2, (2, 9))
    read_by = peer("spikingjelly.activation_based.nir_exchange").import_from_nir
    graph = to_nir_object(to_nir(network, dt=DT), type_check=True)
    outputs = run_torch(quietly(read_by, graph, dt=DT), inputs)
    assert outputs.any()
    np.testing.assert_array_equal(outputs, outputs_of(network, inputs))


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_snntorch_reads_it(seed):
    """With its fixed time step; not recurrent populations, which its importer wires wrongly."""
    rng = np.random.default_rng(seed)
    spiking = {"reset": "zero", "strict": True}
    network = nj.Sequential(
        (6,),
        w1=linear(rng, 6, 8, bias=True),
        hidden=nj.LIF(decay=0.5, **spiking),
        w2=linear(rng, 8, 5),
        cuba=nj.CubaLIF(decay=0.5, decay_syn=0.5, **spiking),
    )
    inputs = spikes_in(rng, 6, 2, (6,))
    graph = to_nir_object(to_nir(network, dt=1e-4), type_check=True)
    module = quietly(peer("snntorch.import_nir").import_from_nir, graph)
    np.testing.assert_array_equal(run_torch(module, inputs), outputs_of(network, inputs))


def test_norse_reads_it():
    """It ignores r, so the gain is what r=1 gives."""
    rng = np.random.default_rng(5)
    network = nj.Sequential(
        (6,),
        w1=linear(rng, 6, 8, bias=True),
        lif=nj.LIF(decay=0.75, normalize_input=True, threshold=0.25, reset="zero", strict=True),
        w2=linear(rng, 8, 5, bias=True),
    )
    inputs = spikes_in(rng, 6, 2, (6,))
    graph = to_nir_object(to_nir(network, dt=DT))
    module = quietly(peer("norse.torch").from_nir, graph, dt=DT)
    outputs = run_torch(module, inputs)
    assert np.abs(outputs).sum() > 0
    np.testing.assert_allclose(outputs, outputs_of(network, inputs), atol=1e-5)


def test_bfloat16_weights_are_written_as_float32():
    network = nj.Sequential((4,), w=nj.Linear(4, 3, key=KEY)).astype(jnp.bfloat16)
    graph = to_nir(network, dt=DT)
    weight = graph.nodes["w"].fields["weight"]
    assert weight.dtype == np.float32
    assert eqx.tree_equal(jnp.asarray(weight).astype(jnp.bfloat16), network["w"].weight)
