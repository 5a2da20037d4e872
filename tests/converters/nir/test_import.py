"""NIR graphs as networks, against NIR's equations, torch and closed forms."""

import dataclasses
import graphlib
import itertools
import warnings

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.converters.nir import Graph, Node, from_nir, read, write
from neurojax.converters.nir._feedback import feedback
from tests.converters._live import on_grid, outputs_of, peer, spikes_in

DT = 2.0**-10
SHAPE = (3,)


def node(kind, **fields):
    return Node(kind, {name: _value(value) for name, value in fields.items()})


def _value(value):
    return value if isinstance(value, str) else np.asarray(value)


def ends(in_shape, out_shape=SHAPE):
    return {"x": node("Input", shape=in_shape), "y": node("Output", shape=out_shape)}


def chain(*nodes, in_shape=SHAPE, out_shape=SHAPE):
    """A graph of nodes n0, n1, ... one after the other."""
    named = {f"n{i}": each for i, each in enumerate(nodes)}
    names = ["x", *named, "y"]
    edges = tuple(itertools.pairwise(names))
    return Graph(ends(in_shape, out_shape) | named, edges)


# NIR's equations, one explicit Euler step after the other.


def stepped(kind, p, x):
    """Outputs over time for inputs x [time, batch, neurons]; p as in the node."""
    v = np.broadcast_to(np.float64(p.get("v_leak", p.get("v_reset", 0.0))), x.shape[1:]).copy()
    i = np.zeros(x.shape[1:])
    out = []
    for x_t in x.astype(np.float64):
        if kind.startswith("Cuba"):
            i = i + DT / p["tau_syn"] * (p["w_in"] * x_t - i)
            v = v + DT / p["tau_mem"] * (p["v_leak"] - v + p["r"] * i)
        elif kind in ("LIF", "LI"):
            v = v + DT / p["tau"] * (p["v_leak"] - v + p["r"] * x_t)
        else:
            v = v + DT * p["r"] * x_t
        if not kind.endswith("IF") and kind != "IF":
            out.append(v)
            continue
        spikes = v > p["v_threshold"]
        v = np.where(spikes, p["v_reset"], v)
        out.append(spikes.astype(np.float64))
    return np.stack(out)


NEURONS = {
    "I": ("r",),
    "IF": ("r", "v_threshold", "v_reset"),
    "LI": ("tau", "r", "v_leak"),
    "LIF": ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}


@st.composite
def parameters(draw, kind):
    """One value, one value in an array of one, or one a neuron; exact in float32."""
    steps = {"r": (0.5, 1.0, 2.0), "w_in": (0.5, 1.0, 2.0), "v_threshold": (0.5, 0.75)}
    steps |= {"v_leak": (0.0, 0.25), "v_reset": (0.0, -0.25)}
    result = {}
    for name in NEURONS[kind]:
        values = (DT, 2 * DT) if name.startswith("tau") else steps[name]
        value = st.sampled_from(values)
        shape = draw(st.sampled_from([(), (1,), SHAPE]))
        drawn = np.array([draw(value) for _ in range(int(np.prod(shape)))]).reshape(shape)
        if name == "r" and kind in ("I", "IF"):
            drawn = drawn / DT
        result[name] = drawn.astype(draw(st.sampled_from([np.float32, np.float64])))
    return result


@settings(max_examples=24)
@given(st.sampled_from(sorted(NEURONS)).flatmap(lambda k: st.tuples(st.just(k), parameters(k))))
def test_neurons_follow_nirs_equations(drawn):
    kind, fields = drawn
    x = on_grid(np.random.default_rng(0), (10, 2, *SHAPE), 2.0)
    network = from_nir(chain(node(kind, **fields)), dt=DT)
    np.testing.assert_array_equal(outputs_of(network, x), stepped(kind, fields, x))


def test_files_from_before_v_reset():
    old = node("LIF", tau=2 * DT, r=1.0, v_leak=0.0, v_threshold=0.5)
    network = from_nir(chain(old), dt=DT)
    assert network["n0"].reset == "zero"


@pytest.mark.parametrize("steps", [1, 10])
def test_exact_steps_are_the_solution_of_the_equation(steps):
    """For a constant input, v(t) = v_leak + r x (1 - exp(-t / tau)) at every step."""
    tau, r, v_leak, x = 0.02, 1.5, 0.3, 2.0
    dt = tau / steps
    li = node("LI", tau=np.full(3, tau), r=np.full(3, r), v_leak=np.full(3, v_leak))
    network = from_nir(chain(li), dt=dt, method="exact")
    t = dt * np.arange(1, 31)
    wanted = v_leak + r * x * (1 - np.exp(-t / tau))
    found = outputs_of(network, np.full((30, 1, 3), x))[:, 0, 0]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)


def test_exact_and_euler_meet_for_short_steps():
    lif = node("CubaLI", tau_mem=0.02, tau_syn=0.01, r=1.0, v_leak=0.0, w_in=1.0)
    x = np.full((2000, 1, 3), 1.0)
    a, b = (outputs_of(from_nir(chain(lif), dt=1e-5, method=m), x) for m in ("euler", "exact"))
    np.testing.assert_allclose(a, b, atol=1e-3)
    t = 1e-5 * np.arange(1, 2001)
    wanted = 1 - 2 * np.exp(-t / 0.02) + np.exp(-t / 0.01)  # two filters in a row
    np.testing.assert_allclose(a[:, 0, 0], wanted, atol=1e-3)


# Other nodes.


def torch_of(function, x, *arrays, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of slow padding
        return function(torch.tensor(x), *(torch.tensor(a) for a in arrays), **options).numpy()


@pytest.mark.parametrize(
    "kernel, stride, padding, dilation, groups",
    [
        ((3, 5), 1, 0, 1, 1),
        ((2, 3), (2, 1), (1, 2), (1, 2), 2),
        ((3, 2), 1, "same", 1, 1),
        ((1, 4), (1, 2), "valid", (2, 1), 2),
    ],
)
def test_convolutions_equal_torch(kernel, stride, padding, dilation, groups):
    rng = np.random.default_rng(0)
    w, b = on_grid(rng, (4, 2 // groups, *kernel)), on_grid(rng, (4,))
    x = spikes_in(rng, 2, 3, (2, 8, 9))
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    conv = node("Conv2d", input_shape=(8, 9), weight=w, bias=b, **options)
    wanted = np.stack([torch_of(torch.nn.functional.conv2d, x_t, w, b, **options) for x_t in x])
    network = from_nir(chain(conv, in_shape=(2, 8, 9), out_shape=wanted.shape[2:]), dt=DT)
    np.testing.assert_array_equal(outputs_of(network, x), wanted)


@pytest.mark.parametrize("padding", [0, 1, (2,), "same"])
def test_convolutions_over_time_equal_torch(padding):
    rng = np.random.default_rng(0)
    w, b = on_grid(rng, (4, 2, 3)), on_grid(rng, (4,))
    x = spikes_in(rng, 2, 3, (2, 9))
    conv = node(
        "Conv1d",
        input_shape=9,
        weight=w,
        bias=b,
        stride=1,
        padding=padding,
        dilation=(1,),
        groups=1,
    )
    wanted = np.stack(
        [torch_of(torch.nn.functional.conv1d, x_t, w, b, padding=padding) for x_t in x]
    )
    network = from_nir(chain(conv, in_shape=(2, 9), out_shape=wanted.shape[2:]), dt=DT)
    np.testing.assert_array_equal(outputs_of(network, x), wanted)


@pytest.mark.parametrize("kind, divisor", [("AvgPool2d", None), ("SumPool2d", 1)])
def test_pools_equal_torch(kind, divisor):
    x = spikes_in(np.random.default_rng(0), 2, 3, (2, 8, 9))
    options = {"kernel_size": (2, 4), "stride": (2, 3), "padding": (1, 2)}
    pool = torch.nn.functional.avg_pool2d
    wanted = np.stack([torch_of(pool, x_t, **options, divisor_override=divisor) for x_t in x])
    graph = chain(node(kind, **options), in_shape=(2, 8, 9), out_shape=wanted.shape[2:])
    np.testing.assert_array_equal(outputs_of(from_nir(graph, dt=DT), x), wanted)


@pytest.mark.parametrize(
    "first, last, input_type",
    [
        (0, -1, None),
        (0, 2, (2, 3, 4)),
        (1, 2, None),
        (0, 1, None),
        (1, -1, (1, 2, 3, 4)),
        (2, 2, None),
    ],
)
def test_flatten_equals_torch(first, last, input_type):
    x = spikes_in(np.random.default_rng(0), 2, 3, (2, 3, 4))
    options = {} if input_type is None else {"input_type": input_type}
    batch = 1 if input_type is not None and len(input_type) == 4 else 2  # leading axes in torch
    start = first + (1 if batch == 1 else 2)
    stop = last if last < 0 else last + (1 if batch == 1 else 2)
    wanted = torch.tensor(x).flatten(start, stop).numpy()
    graph = chain(
        node("Flatten", start_dim=first, end_dim=last, **options),
        in_shape=(2, 3, 4),
        out_shape=wanted.shape[2:],
    )
    np.testing.assert_array_equal(outputs_of(from_nir(graph, dt=DT), x), wanted)


def test_scale_threshold_and_delay():
    x = on_grid(np.random.default_rng(0), (6, 2, 3), 2.0)
    scale, threshold = np.array([0.5, 1.0, -2.0]), np.array([0.25, 0.5, 0.5])
    delay = np.array([0.0, 1.0, 3.0]) * DT
    graph = chain(
        node("Scale", scale=scale),
        node("Delay", delay=delay),
        node("Threshold", threshold=threshold),
    )
    y = x * scale
    late = np.stack(
        [np.concatenate([np.zeros((k, 2)), y[: 6 - k, :, j]]) for j, k in enumerate((0, 1, 3))], -1
    )
    np.testing.assert_array_equal(outputs_of(from_nir(graph, dt=DT), x), late > threshold)


def test_fan_in_adds_and_fan_out_shares():
    rng = np.random.default_rng(0)
    a, b = on_grid(rng, (3, 4)), on_grid(rng, (3, 4))
    nodes = {
        "p": node("Input", shape=(4,)),
        "q": node("Input", shape=(3,)),
        "a": node("Linear", weight=a),
        "b": node("Affine", weight=b, bias=np.ones(3)),
        "i": node("I", r=1 / DT),
        "o": node("Output", shape=(3,)),
        "sum": node("Output", shape=(3,)),
    }
    edges = (
        ("p", "a"),
        ("p", "b"),
        ("a", "i"),
        ("b", "i"),
        ("q", "i"),
        ("i", "o"),
        ("a", "sum"),
        ("q", "sum"),
    )
    network = from_nir(Graph(nodes, edges), dt=DT)
    x = {"p": spikes_in(rng, 5, 2, (4,)), "q": spikes_in(rng, 5, 2, (3,))}
    outputs = nj.simulate(network, x).outputs
    total = x["p"] @ a.T + x["p"] @ b.T + 1 + x["q"]
    np.testing.assert_array_equal(outputs["i"], np.cumsum(total, 0))
    np.testing.assert_array_equal(outputs["sum"], x["p"] @ a.T + x["q"])


# Feedback.


def test_feedback_is_one_step_late_behind_the_neurons():
    """Two populations in a loop; weights with a bias, which acts from the first step."""
    rng = np.random.default_rng(0)
    size = (3,)
    forward, back, bias = on_grid(rng, (3, 3)), on_grid(rng, (3, 3)), on_grid(rng, (3,))
    fields = {"r": 1 / DT, "v_threshold": 1.0, "v_reset": 0.0}
    nodes = {
        **ends(size),
        "w": node("Affine", weight=back, bias=bias),
        "a": node("IF", **fields),
        "u": node("Linear", weight=forward),
        "b": node("IF", **fields),
    }
    edges = (("x", "a"), ("w", "a"), ("a", "u"), ("u", "b"), ("b", "w"), ("b", "y"))
    network = from_nir(Graph(nodes, edges), dt=DT)
    assert [str(e) for e in network.edges if e.recurrent] == ["b ~> w"]
    x = on_grid(rng, (20, 4, 3), 2.0)
    va = vb = sb = np.zeros((4, 3))
    wanted = []
    for x_t in x:
        va = va + x_t + sb @ back.T + bias
        sa = (va > 1).astype(float)
        va = np.where(sa > 0, 0, va)
        vb = vb + sa @ forward.T
        sb = (vb > 1).astype(float)
        vb = np.where(sb > 0, 0, vb)
        wanted.append(sb)
    assert np.sum(wanted) > 5
    np.testing.assert_array_equal(outputs_of(network, x), wanted)


def test_lateral_feedback_without_weights():
    lif = node("LIF", tau=DT, r=1.0, v_leak=0.0, v_threshold=0.5, v_reset=0.0)
    graph = Graph({**ends(SHAPE), "n": lif}, (("x", "n"), ("n", "n"), ("n", "y")))
    x = np.zeros((5, 1, 3), np.float32)
    x[1] = 1
    assert outputs_of(from_nir(graph, dt=DT), x)[:, 0, 0].tolist() == [0, 1, 1, 1, 1]


@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=24),
    st.sets(st.integers(0, 7)),
)
def test_what_closes_cycles(pairs, stateless):
    names = [str(i) for i in range(8)]
    edges = [(str(a), str(b)) for a, b in sorted(pairs)]
    cut = feedback(["in"], names, [("in", "0"), *edges], {str(i) for i in stateless})
    assert cut <= set(edges)
    rest = graphlib.TopologicalSorter({name: [] for name in names})
    for a, b in set(edges) - cut:
        rest.add(b, a)
    rest.prepare()  # raises if there is a cycle
    for a, b in cut:  # and nothing is cut that is in no cycle
        reached, todo = set(), [b]
        while todo:
            here = todo.pop()
            reached.add(here)
            todo += [t for s, t in edges if s == here and t not in reached]
        assert a in reached


def test_deep_chains_do_not_recurse():
    # Python's limit is 1,000 calls; nothing here is compiled.
    scales = [node("Scale", scale=1.0) for _ in range(1500)]
    named = {f"n{i}": each for i, each in enumerate(scales)}
    names = [*named]
    assert feedback(["x"], names, [("x", "n0"), *itertools.pairwise(names)], set()) == set()


# Recorded files, and other sources.


def test_every_parameter_of_every_node_arrives(golden):
    network = from_nir(golden / "nir/all_nodes.nir", dt=1e-3)
    recorded = np.load(golden / "nir/all_nodes.npz")
    for layer, field, name in [
        ("conv", "weight", "conv.weight"),
        ("conv", "bias", "conv.bias"),
        ("aff", "weight", "aff.weight"),
        ("aff", "bias", "aff.bias"),
        ("lin", "weight", "lin.weight"),
        ("scale", "factor", "scale.scale"),
    ]:
        np.testing.assert_array_equal(getattr(network[layer], field), recorded[name])
    for layer, field, name in [
        ("if_", "threshold", "if_.v_threshold"),
        ("lif", "v_rest", "lif.v_leak"),
        ("lif", "threshold", "lif.v_threshold"),
        ("lif", "reset_value", "lif.v_reset"),
        ("cuba", "threshold", "cuba.v_threshold"),
        ("thr", "threshold", "thr.threshold"),
    ]:
        assert np.all(recorded[name] == float(getattr(network[layer], field)))
    for layer, field, wanted in [
        ("if_", "gain", recorded["if_.r"] * 1e-3),
        ("lif", "decay", 1 - 1e-3 / recorded["lif.tau"]),
        ("lif", "gain", recorded["lif.r"] * 1e-3 / recorded["lif.tau"]),
        ("cuba", "decay", 1 - 1e-3 / recorded["cuba.tau_mem"]),
        ("cuba", "decay_syn", 1 - 1e-3 / recorded["cuba.tau_syn"]),
        ("li", "decay", 1 - 1e-3 / recorded["li.tau"]),
        ("integ", "gain", recorded["integ.r"] * 1e-3),
    ]:
        np.testing.assert_allclose(float(getattr(network[layer], field)), wanted, rtol=1e-12)
    assert network["delay"].steps == 3
    assert network["lif"].reset == "value"
    assert network["conv"].padding == ((1, 1), (1, 1))
    assert network.provenance["cuba"].source == "nir.CubaLIF"
    assert "tau_mem is 20 time steps (euler)" in network.provenance["cuba"].notes


def test_nested_graphs_become_named_layers(golden):
    network = from_nir(golden / "nir/recurrent_subgraph.nir", dt=1e-3)
    assert set(network.names) == {"fc", "rnn.lif", "rnn.w_rec", "out"}
    x = np.load(golden / "nir/recurrent_subgraph.npz")["x"]
    run = nj.simulate(network, x, probes=["rnn.lif.v"])
    assert run.outputs.shape == (20, 1, 3)
    assert run["rnn.lif.v"].shape == (20, 1, 6)


def test_a_path_a_graph_and_an_object_of_nir_are_the_same(golden, tmp_path):
    path = golden / "nir/spikingjelly_lif_if_di1.nir"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        obj = peer("nir").read(path)
    sources = (str(path), path, read(path), obj)
    networks = [from_nir(source, preset="spikingjelly") for source in sources]
    assert all(bool(nj_equal(networks[0], other)) for other in networks[1:])


def nj_equal(a, b):
    x, y = jax.tree.flatten(a), jax.tree.flatten(b)
    return x[1] == y[1] and all((p == q).all() for p, q in zip(x[0], y[0], strict=True))


def test_what_is_equal_is_a_constant_and_what_differs_a_parameter():
    tau = np.array([2.0, 4.0, 4.0]) * DT
    fields = {"r": 1.0, "v_leak": np.zeros(3), "v_threshold": np.ones(3), "v_reset": np.zeros(3)}
    lif = from_nir(chain(node("LIF", tau=tau, **fields)), dt=DT)["n0"]
    assert isinstance(lif.decay, jax.Array)
    assert lif.threshold == 1.0 and not isinstance(lif.threshold, jax.Array)

    def loss(network, x):
        return nj.simulate(network, x).outputs.sum()

    gradient = jax.jit(jax.grad(loss))(
        from_nir(chain(node("LIF", tau=tau, **fields)), dt=DT), jnp.ones((5, 1, 3))
    )
    assert np.all(np.asarray(gradient["n0"].decay) != 0)


# Units.


def lif_of(tau):
    return node("LIF", tau=tau, r=1.0, v_leak=0.0, v_threshold=1.0, v_reset=0.0)


@pytest.mark.parametrize(
    "unit, tau", [("s", 0.02), ("ms", 20.0), ("us", 20_000.0), ("steps", 20.0)]
)
def test_units(unit, tau):
    network = from_nir(chain(lif_of(tau)), dt=None if unit == "steps" else 1e-3, time_unit=unit)
    assert float(network["n0"].decay) == pytest.approx(0.95, rel=1e-12)
    delay = chain(node("Delay", delay=tau / 10))
    network = from_nir(delay, dt=1e-3, time_unit=unit)
    assert network["n0"].steps == 2


def test_delays_are_rounded_and_say_so():
    network = from_nir(chain(node("Delay", delay=2.4e-3)), dt=1e-3)
    assert network["n0"].steps == 2
    assert "delays of 2.4 time steps are rounded to whole steps" in network.provenance["n0"].notes


def test_a_time_step_longer_than_a_time_constant_is_refused():
    with pytest.raises(ValueError) as caught:
        from_nir(chain(lif_of(20.0), lif_of(0.01)), dt=1.0, time_unit="s")
    text = str(caught.value)
    assert "node 'n1' (LIF): tau is 0.01 s and dt 1 s; a forward Euler step longer than" in text
    assert "n0" not in text


def test_the_norse_factor_is_recognised(golden):
    with pytest.raises(ValueError, match=r"preset='norse' \(tau multiplied by dt\) gives 12\.5"):
        from_nir(golden / "nir/norse_lifbox.nir", dt=1e-3)


def test_milliseconds_taken_for_seconds_are_warned_of():
    with pytest.warns(UserWarning) as caught:
        from_nir(chain(lif_of(20.0), lif_of(400.0)), dt=1e-4)
    text = str(caught[0].message)
    assert "node 'n0': tau is 2e+05 time steps" in text
    assert "time_unit='ms' gives 200 to 4e+03 steps" in text


def test_exact_steps_longer_than_a_time_constant_are_warned_of():
    with pytest.warns(UserWarning, match="node 'n0': tau is 0.5 time steps"):
        from_nir(chain(lif_of(0.5e-3)), dt=1e-3, method="exact")


# Refusals.


def test_all_findings_at_once():
    graph = chain(
        node("Linear", weight=np.zeros((3, 4))),
        node("Izhikevich", a=1.0),
        lif_of(-1.0),
        lif_of(np.ones(5)),
        node("Delay", delay=-1.0),
        node("Scale", scale=np.ones(7)),
        node("LIFF", tau=1.0),
    )
    with pytest.raises(ValueError) as caught:
        from_nir(graph, dt=1e-3)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("node 'n0' (Linear): Linear takes 4 features, got shape (3,)")
    assert lines[1].startswith(
        "node 'n1' (Izhikevich): no layer for this kind of node; known: Affine"
    )
    assert lines[2] == "node 'n2' (LIF): tau is -1; it must be > 0"
    assert lines[3] == "node 'n4' (Delay): delay is -1000 time steps; it must not be negative"
    assert lines[4].startswith(
        "node 'n6' (LIFF): no layer for this kind of node; the nearest known one is"
    )


def test_parameters_of_another_shape():
    with pytest.raises(ValueError, match=r"'n0' \(LIF\): tau has shape \(5,\), but the neurons"):
        from_nir(chain(lif_of(np.ones(5))), dt=1e-3)


def test_shapes_that_contradict_the_graph():
    conv = node(
        "Conv2d",
        input_shape=(8, 8),
        weight=np.ones((1, 2, 3, 3)),
        bias=np.zeros(1),
        stride=1,
        padding=0,
        dilation=1,
        groups=1,
    )
    flatten = node("Flatten", start_dim=0, end_dim=-1, input_type=(1, 5, 5))
    graph = chain(conv, flatten, in_shape=(2, 8, 9))
    with pytest.raises(ValueError) as caught:
        from_nir(graph, dt=1e-3)
    assert "'n0' (Conv2d): input_shape is (8, 8), but what comes in has shape (2, 8, 9)" in str(
        caught.value
    )
    network = from_nir(chain(conv, in_shape=(2, 8, 9)), dt=1e-3, input_shape=(2, 8, 8))
    assert network.out_shape("n0") == (1, 6, 6)


def test_sums_of_different_shapes():
    nodes = {
        **ends((4,)),
        "a": node("Linear", weight=np.ones((3, 4))),
        "b": node("Linear", weight=np.ones((2, 4))),
        "c": node("I", r=1.0),
    }
    edges = (("x", "a"), ("x", "b"), ("a", "c"), ("b", "c"), ("c", "y"))
    with pytest.raises(ValueError, match=r"edge b -> c: 'b' gives \(2,\), but 'c' takes \(3,\)"):
        from_nir(Graph(nodes, edges), dt=1e-3)


def test_a_batch_in_the_shape_of_the_input_is_dropped():
    linear = node("Linear", weight=np.ones((3, 4)))
    assert from_nir(chain(linear, in_shape=(1, 4)), dt=1e-3).inputs == {"x": (4,)}
    with pytest.raises(ValueError, match="Linear takes"):
        from_nir(chain(linear, in_shape=(2, 4)), dt=1e-3)


@pytest.mark.parametrize(
    "source, error, words",
    [
        (3, TypeError, "from_nir takes a path, a Graph or a nir.NIRGraph, got a int"),
        ("nothing.nir", OSError, "nothing.nir"),
        (Graph({"y": Node("Output", {"shape": np.array([3])})}, ()), ValueError, "no Input"),
    ],
)
def test_what_is_no_graph(source, error, words):
    with pytest.raises(error) as caught:
        from_nir(source, dt=1e-3)
    assert words in str(caught.value)


KINDS = {
    **NEURONS,
    "Affine": ("weight", "bias"),
    "Linear": ("weight",),
    "Scale": ("scale",),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "Flatten": ("start_dim", "end_dim", "input_type"),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Conv1d": ("weight", "bias", "stride", "padding", "dilation", "groups", "input_shape"),
    "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups", "input_shape"),
}


@st.composite
def anything(draw):
    """A node of a known kind with fields of any shape and value."""
    kind = draw(st.sampled_from(sorted(KINDS)))
    fields = {}
    for name in KINDS[kind]:
        if draw(st.integers(0, 19)) == 0:
            continue
        integral = name not in ("weight", "bias") and kind not in (*NEURONS, "Scale", "Delay")
        values = st.integers(-2, 4) if integral else st.sampled_from((-1.0, 0.0, 1e-3, 1.0, 1e30))
        shape = draw(st.lists(st.integers(1, 3), max_size=4 if name == "weight" else 2))
        size = int(np.prod(shape))
        fields[name] = np.array([draw(values) for _ in range(size)]).reshape(shape)
    return Node(kind, fields)


@settings(max_examples=150)
@given(
    st.lists(anything(), min_size=1, max_size=3),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from(("nir", "snntorch", "norse", "sinabs", "spyx", "rockpool", "jaxsnn")),
)
def test_whatever_is_in_a_node_the_errors_are_ours(nodes, shape, preset):
    graph = chain(*nodes, in_shape=shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            network = from_nir(graph, preset=preset, dt=1e-3)
        except ValueError as error:
            assert str(error)
        else:
            jax.eval_shape(
                lambda x: nj.simulate(network, x).outputs, jnp.zeros((2, 1, *network.inputs["x"]))
            )


# Files of neurojax.


def ours():
    return nj.Sequential(
        (3,),
        hidden=nj.Linear(3, 4, key=jax.random.key(0)),
        spikes=nj.LIF(decay=0.75, threshold=0.5, max_spikes=None, v_min=-1.0),
    )


def test_our_own_files_give_the_network_back(tmp_path):
    network = ours()
    with pytest.warns(UserWarning, match="won't know"):
        nj_to_nir(network, tmp_path / "net.nir")
    assert nj_equal(from_nir(tmp_path / "net.nir"), network)
    assert nj_equal(from_nir(tmp_path / "net.nir", dt=1e-3), network)


def nj_to_nir(network, path):
    from neurojax.converters.nir import to_nir

    return to_nir(network, path, dt=1e-3, allow_lossy=True)


def test_standard_fields_of_our_own_files_on_request(tmp_path):
    with pytest.warns(UserWarning, match="won't know"):
        graph = nj_to_nir(ours(), None)
    with pytest.warns(UserWarning, match="v_min=-1: NIR has no lower bound"):
        network = from_nir(graph, preset="nir")
    assert network["spikes"].reset == "zero"
    assert float(network["spikes"].decay) == pytest.approx(0.75, abs=1e-6)


def test_another_time_step_for_our_own_files():
    with pytest.warns(UserWarning, match="won't know"):
        graph = nj_to_nir(ours(), None)
    with pytest.warns(UserWarning, match="was written with dt=0.001"):
        network = from_nir(graph, dt=5e-4)
    assert float(network["spikes"].decay) == pytest.approx(0.875, abs=1e-6)


def test_a_changed_file_of_ours_goes_by_its_fields():
    with pytest.warns(UserWarning, match="won't know"):
        graph = nj_to_nir(ours(), None)
    spikes = graph.nodes["spikes"]
    doubled = Node("LIF", {**spikes.fields, "tau": 2 * spikes.fields["tau"]}, spikes.metadata)
    changed = dataclasses.replace(graph, nodes={**graph.nodes, "spikes": doubled})
    with pytest.warns(UserWarning, match="it was changed since neurojax wrote it"):
        network = from_nir(changed)
    assert float(network["spikes"].decay) == pytest.approx(0.875, abs=1e-6)


def test_written_and_read_again(tmp_path, golden):
    graph = read(golden / "nir/snntorch_rleaky.nir")
    write(tmp_path / "again.nir", graph)
    a = from_nir(golden / "nir/snntorch_rleaky.nir", preset="snntorch")
    assert nj_equal(a, from_nir(tmp_path / "again.nir", preset="snntorch"))
