"""Schedules, checkpoints, unrolling, jit and vmap change the speed and the memory, not the numbers.

Weights and inputs are small integers, and a membrane is halved no more often than a run has steps:
every sum is exact in whatever order it is formed, so spikes and states are compared with ==. The
reference is a NumPy loop over the graph, in float64.
"""

from typing import NamedTuple

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import neurojax as nj
from neurojax import _schedule, surrogate
from neurojax._probe import REDUCTIONS

STEPS, BATCH, WIDTH = 12, 2, 3
DECAY, THRESHOLD = 0.5, 2.0


class Dense(nj.Layer):
    weight: jax.Array

    def step(self, state, x, *, key=None):
        return None, self.weight @ x

    def out_shape(self, in_shape):
        return (self.weight.shape[0],)


class NeuronState(NamedTuple):
    v: jax.Array


class Neuron(nj.Layer):
    def init(self, in_shape):
        return NeuronState(jnp.zeros(in_shape))

    def step(self, state, x, *, key=None):
        v = DECAY * state.v + x
        spikes = surrogate.spike(v - THRESHOLD, surrogate.ATan())
        return NeuronState(v - spikes * THRESHOLD), spikes

    def out_shape(self, in_shape):
        return in_shape


class LateState(NamedTuple):
    line: jax.Array


class Late(nj.Layer):
    """Two steps of delay."""

    def init(self, in_shape):
        return LateState(jnp.zeros((2, *in_shape)))

    def step(self, state, x, *, key=None):
        return LateState(jnp.concatenate([state.line[1:], x[None]])), state.line[0]

    def out_shape(self, in_shape):
        return in_shape


class Noisy(nj.Layer):
    """Drops about half of what comes in."""

    @property
    def needs_key(self):
        return True

    def step(self, state, x, *, key=None):
        return None, jnp.where(jax.random.bernoulli(key, 0.5, x.shape), x, 0)

    def out_shape(self, in_shape):
        return in_shape


KINDS = ("dense", "neuron", "late", "noisy")


class Graph(NamedTuple):
    """A random network before it is built."""

    kinds: tuple[str, ...]
    edges: tuple[nj.Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    seed: int


@st.composite
def graphs(draw, kinds=KINDS):
    """Up to five layers: chains, branches, merges, several inputs and outputs, feedback."""
    inputs = ("left", "right")[: draw(st.integers(1, 2))]
    chosen = draw(st.lists(st.sampled_from(kinds), min_size=2, max_size=5))
    names = [f"layer{i}" for i in range(len(chosen))]
    edges = []
    for i, name in enumerate(names):
        before = [*inputs, *names[:i]]
        # The layer before or the input more often than not: deep graphs, too.
        sources = draw(st.sets(st.sampled_from(before), max_size=2)) | {
            before[-1] if draw(st.booleans()) else before[0]
        }
        edges += [nj.Edge(source, name) for source in sorted(sources)]
        if draw(st.booleans()):
            edges.append(nj.Edge(draw(st.sampled_from(names[i:])), name, recurrent=True))
    outputs = {names[-1], draw(st.sampled_from(names))}
    return Graph(
        tuple(chosen), tuple(edges), inputs, tuple(sorted(outputs)), draw(st.integers(0, 999))
    )


def build(graph):
    """The network of a graph, and inputs for it."""
    random = np.random.default_rng(graph.seed)

    def layer(kind):
        if kind == "dense":
            return Dense(jnp.asarray(random.integers(-2, 4, (WIDTH, WIDTH)), jnp.float32))
        return {"neuron": Neuron, "late": Late, "noisy": Noisy}[kind]()

    layers = {f"layer{i}": layer(kind) for i, kind in enumerate(graph.kinds)}
    inputs = {name: (WIDTH,) for name in graph.inputs}
    net = nj.Network(layers, graph.edges, inputs=inputs, outputs=graph.outputs)
    values = {
        name: jnp.asarray(random.integers(0, 2, (STEPS, BATCH, WIDTH)), jnp.float32)
        for name in graph.inputs
    }
    return net, values


def simulate(net, x, **options):
    return nj.simulate(net, x, key=jax.random.key(5), probes=list(net.names), **options)


def by_hand(graph, net, x):
    """Every layer's output by a NumPy loop over time, for graphs without noise."""
    names = net.names
    now = {name: np.zeros((BATCH, WIDTH)) for name in names}
    v = {name: np.zeros((BATCH, WIDTH)) for name in names}
    line = {name: [np.zeros((BATCH, WIDTH))] * 2 for name in names}
    trace = {name: [] for name in names}
    kinds = {f"layer{i}": kind for i, kind in enumerate(graph.kinds)}
    for t in range(STEPS):
        before = dict(now)
        now |= {name: np.asarray(value[t], np.float64) for name, value in x.items()}
        for name in names:
            total = sum(
                (before if edge.recurrent else now)[edge.source]
                for edge in graph.edges
                if edge.target == name
            )
            if kinds[name] == "dense":
                now[name] = total @ np.asarray(net[name].weight, np.float64).T
            elif kinds[name] == "late":
                now[name], line[name] = line[name][0], [line[name][1], total]
            else:
                v[name] = DECAY * v[name] + total
                now[name] = (v[name] >= THRESHOLD).astype(np.float64)
                v[name] = v[name] - now[name] * THRESHOLD
            trace[name].append(now[name])
    return {name: np.stack(values) for name, values in trace.items()}


def assert_same(a, b):
    for (path, x), y in zip(
        jax.tree_util.tree_leaves_with_path(a), jax.tree.leaves(b), strict=True
    ):
        np.testing.assert_array_equal(x, y, err_msg=jax.tree_util.keystr(path))


def bounded(run):
    """Whether all numbers were exact: feedback past the thresholds may grow without limit."""
    return all(bool((jnp.abs(x) < 2.0**10).all()) for x in jax.tree.leaves(run.traces))


OPTIONS = st.fixed_dictionaries(
    {
        "schedule": st.sampled_from(["auto", "step", "layer"]),
        "checkpoint": st.sampled_from([None, 1, 5, 12, "sqrt", (6, 2), (7, 3, 2)]),
        "unroll": st.sampled_from([1, 3]),
    }
)


@settings(max_examples=6)
@given(graphs(KINDS[:3]), OPTIONS)
def test_outputs_are_those_of_a_loop_in_numpy(graph, options):
    net, x = build(graph)
    run = simulate(net, x, **options)
    if bounded(run):
        assert_same(run.traces, by_hand(graph, net, x))


@settings(max_examples=6)
@given(graphs(), OPTIONS, st.sampled_from(["plain", "jit", "vmap"]))
def test_no_option_changes_the_numbers(graph, options, how):
    net, x = build(graph)
    reference = simulate(net, x, schedule="step")
    if not bounded(reference):
        return
    if how == "plain":
        run = simulate(net, x, **options)
    elif how == "jit":
        run = jax.jit(lambda net, x: simulate(net, x, **options))(net, x)
    else:
        stacked = jax.tree.map(lambda x: jnp.stack([-x, x]), (net, x))
        run = jax.vmap(lambda net, x: simulate(net, x, **options))(*stacked)
        run = jax.tree.map(lambda x: x[1], run)
    assert_same(run, reference)


@settings(max_examples=4)
@given(graphs(), OPTIONS, st.integers(1, STEPS - 1))
def test_a_run_in_two_pieces_equals_one_long_run(graph, options, cut):
    net, x = build(graph)
    whole = simulate(net, x, schedule="step")
    if not bounded(whole):
        return
    first = simulate(net, jax.tree.map(lambda x: x[:cut], x), **options)
    second = simulate(net, jax.tree.map(lambda x: x[cut:], x), state=first.state, **options)
    assert_same(second.state, whole.state)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), first.traces, second.traces)
    assert_same(both, whole.traces)


@settings(max_examples=4)
@given(graphs(), OPTIONS, st.integers(1, 5))
def test_reductions_are_those_of_the_full_trace(graph, options, every):
    net, x = build(graph)
    full = simulate(net, x, schedule="step")
    if not bounded(full):
        return
    name = net.names[-1]
    probes = [nj.Probe(name, reduce, every) for reduce in REDUCTIONS]
    run = nj.simulate(net, x, key=jax.random.key(5), probes=probes, **options)
    kept = np.asarray(full[name])[::every]
    expected = {
        "last": kept[-1],
        "sum": kept.sum(0),
        "count": (kept != 0).sum(0),
        "max": kept.max(0),
        "min": kept.min(0),
    }
    for reduce, value in expected.items():
        np.testing.assert_array_equal(run[f"{name}:{reduce}"], value)
    np.testing.assert_allclose(run[f"{name}:mean"], kept.mean(0), rtol=1e-6)


@settings(max_examples=4)
@given(graphs(), OPTIONS)
def test_no_option_changes_the_gradients(graph, options):
    net, x = build(graph)
    if not bounded(simulate(net, x, schedule="step")):
        return

    def gradient(**options):
        def loss(weights):
            run = simulate(eqx.combine(weights, rest), x, **options)
            return sum(jnp.mean(y**2) for y in run.traces.values())

        weights, rest = eqx.partition(net, eqx.is_inexact_array)
        return jax.jit(jax.grad(loss))(weights)

    mine, reference = gradient(**options), gradient(schedule="step")
    for a, b in zip(jax.tree.leaves(mine), jax.tree.leaves(reference), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5 * float(1 + jnp.abs(b).max()))


def chain(width=WIDTH):
    """Few inputs, `width` hidden neurons, one output."""
    random = np.random.default_rng(0)
    into = jnp.asarray(random.normal(size=(width, WIDTH)), jnp.float32)
    out = jnp.asarray(random.normal(size=(1, width)), jnp.float32)
    return nj.Sequential((WIDTH,), a=Dense(into), b=Neuron(), c=Dense(out), d=Neuron())


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_checkpoints_bound_the_memory_of_the_backward_pass(schedule):
    net, x = chain(64), jnp.ones((1024, 4, WIDTH))

    def temporary_bytes(checkpoint):
        def loss(net, x):
            probes = [nj.Probe("d", "sum")]
            run = nj.simulate(net, x, probes=probes, schedule=schedule, checkpoint=checkpoint)
            return jnp.sum(run["d:sum"])

        compiled = jax.jit(jax.grad(loss)).lower(net, x).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    everything = temporary_bytes(None)
    assert temporary_bytes("sqrt") < everything / 4
    assert temporary_bytes((128, 8)) < everything / 4


@pytest.mark.parametrize(
    ("size", "best"),
    [
        ((500, 16, 64, 128), "layer"),
        ((25, 64, 784, 512), "layer"),
        ((2000, 32, 64, 256), "layer"),
        ((200, 64, 256, 512), "layer"),
        ((100, 256, 128, 128), "step"),
        ((1000, 8, 32, 32), "layer"),
        ((50, 256, 784, 1024), "step"),
        ((400, 128, 64, 64), "step"),
        ((100, 256, 128, 512), "step"),
    ],
)
def test_auto_picks_what_was_measured_to_be_faster(size, best):
    steps, batch, n_in, n_hidden = size
    net = nj.Sequential(
        (n_in,),
        hidden=Dense(jnp.zeros((n_hidden, n_in))),
        inner=Neuron(),
        out=Dense(jnp.zeros((10, n_hidden))),
        outer=Neuron(),
    )
    assert _schedule.choose(net, net.init(batch), steps, batch, "cpu") == best


def test_auto_keeps_no_sequences_that_do_not_fit_and_none_without_products():
    net = chain()
    state = net.init(1)
    assert _schedule.choose(net, state, 100, 1, "cpu") == "layer"
    assert _schedule.choose(net, state, 10**8, 1, "cpu") == "step"
    assert _schedule.choose(net, state, 10**8, 1, "gpu") == "step"
    alone = nj.Sequential((3,), Neuron(), Neuron())
    assert _schedule.choose(alone, alone.init(1), 10, 1, "cpu") == "step"
    assert _schedule.choose(alone, alone.init(1), 10, 1, "gpu") == "step"


class Loudest(nj.Layer):
    """1 for the samples that are the largest of their batch."""

    def step(self, state, x, *, key=None):
        return None, (x == jax.lax.pmax(x, nj.BATCH_AXIS)).astype(x.dtype)

    def out_shape(self, in_shape):
        return in_shape


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_a_layer_that_looks_at_the_batch_sees_one_time_step_of_it(schedule):
    # Schedule "layer" puts time and batch into one axis, but not where a layer looks.
    x = jax.random.permutation(jax.random.key(0), 5 * 4 * 3).reshape(2, 5, 2, 3)
    net = nj.Sequential((3,), dense=Dense(jnp.eye(3)), loudest=Loudest())

    def run(x):
        return nj.simulate(net, x, schedule=schedule).outputs

    expected = x == x.max(2, keepdims=True)
    assert (jax.vmap(run)(x) == expected).all()
    # The axis that the layer means is that of the run, whatever the caller calls his own.
    assert (jax.vmap(run, axis_name=nj.BATCH_AXIS)(x) == expected).all()


def test_a_narrow_product_over_all_steps_has_one_axis_for_time_and_batch():
    def loss(weight, x):
        net = nj.Sequential((3,), dense=Dense(weight), neuron=Neuron())
        return nj.simulate(net, x, schedule="layer").outputs.sum()

    program = jax.jit(jax.grad(loss)).lower(jnp.ones((4, 3)), jnp.ones((7, 5, 3))).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert len(products) == 2  # forward, and the gradient of the weights
    assert all("tensor<35x" in line for line in products)
