"""Single synapses of mapped networks: against torch's convolutions, and run one by one."""

import time

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import neurojax as nj
from neurojax.chips._mapped import MappingError
from neurojax.chips.cri._matrices import matrix_of, visits
from neurojax.chips.cri.mapping import map as map_network, run
from neurojax.chips.cri.synapse import Synapse
from neurojax.chips.cri.unroll import describe_network, unroll


@st.composite
def convolutions(draw):
    small = st.integers(1, 3)
    groups = draw(st.sampled_from([1, 1, 2]))
    kernel, stride, dilation = (tuple(draw(small) for _ in "ab") for _ in "abc")
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in "ab")
    spans = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    sizes = tuple(
        max(draw(st.integers(1, 6)), span - sum(pads))
        for span, pads in zip(spans, padding, strict=True)
    )
    channels, features = groups * draw(small), groups * draw(small)
    seed = draw(st.integers(0, 99))
    weight = np.random.default_rng(seed).integers(
        -32768, 32768, (features, channels // groups, *kernel)
    )
    conv = nj.Conv2d.from_weights(
        weight.astype(np.float32), stride=stride, padding=padding, dilation=dilation, groups=groups
    )
    return conv, weight, (channels, *sizes)


@hypothesis.given(convolutions())
def test_synapses_of_a_convolution(case):
    conv, weight, shape = case
    out = conv.out_shape(shape)
    matrix = matrix_of(Synapse(conv), shape, out)
    size = int(np.prod(shape))
    (top, bottom), (left, right) = conv.padding
    ones = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    wanted = F.conv2d(
        F.pad(ones, (left, right, top, bottom)),
        torch.tensor(weight, dtype=torch.float64),
        stride=conv.stride,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    np.testing.assert_array_equal(matrix.toarray(), wanted.reshape(size, -1).numpy())
    # What is visited is what has synapses.
    visited = visits(Synapse(conv), shape, out)
    assert len(set(visited.tolist())) == len(visited)
    reached = F.conv2d(
        F.pad(ones, (left, right, top, bottom)),
        torch.ones(weight.shape, dtype=torch.float64),
        stride=conv.stride,
        dilation=conv.dilation,
        groups=conv.groups,
    )
    assert set(visited.tolist()) == set(np.flatnonzero(reached.reshape(size, -1).sum(1)).tolist())


def network(rng):
    whole = lambda *shape: rng.integers(-5, 6, shape).astype(np.float32)  # noqa: E731
    return nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d.from_weights(whole(4, 2, 3, 3), whole(4), padding=1),
        halved=nj.AvgPool2d(2),
        first=nj.IAF(threshold=2.0, reset="zero"),
        any=nj.MaxPool2d(2, stride=1),
        flat=nj.Flatten(),
        fc=nj.Linear.from_weights(whole(5, 16), whole(5)),
        out=nj.LIF(decay=0.75, threshold=6.0, reset="zero"),
    )


def oracle(unrolled, thetas, leaks, x):
    """The chip's step over the tables, in int64: x [time, axons] of one sample."""
    blocks = {block.name: block for block in unrolled.populations}
    v = {name: np.zeros(block.size, np.int64) for name, block in blocks.items()}
    inputs = sum(block.size for block in unrolled.inputs)
    out = []
    for t in range(len(x) + unrolled.latency):
        active = np.zeros(inputs, np.int64)
        if t < len(x):
            active = x[t].astype(np.int64)
        given = {
            block.name: active[block.first : block.first + block.size] for block in unrolled.inputs
        }
        given |= {b.name: np.full(b.size, t >= b.start, np.int64) for b in unrolled.biases}
        fired = {name: (v[name] > thetas[name]).astype(np.int64) for name in blocks}
        for name in blocks:
            leak = {"IF": 0, "ANN": v[name]}.get(leaks[name])
            keep = v[name] - ((v[name] >> leaks[name]) if leak is None else leak)
            v[name] = np.where(fired[name] > 0, 0, keep)
        for table in unrolled.tables:
            source = given.get(table.source, fired.get(table.source))
            v[table.target] += source @ table.weights.toarray()
        out.append(np.concatenate([fired[name] for name in unrolled.outputs]))
    return np.array(out[unrolled.latency :])


def test_layers_and_synapses_compute_the_same():
    """Mapped layers, the tables in NumPy, and the description in the event engine."""
    rng = np.random.default_rng(0)
    mapped = map_network(network(rng), scale={"out": 1.0})
    x = (rng.random((8, 2, 2, 6, 6)) < 0.4).astype(np.float32)
    layers = np.asarray(run(mapped, x))
    unrolled = unroll(mapped)
    assert unrolled.latency == 3
    thetas = {"first": 7, "any": 0, "out": 5}
    # One average of four: everything counts quarters.
    assert mapped.network["first"].theta == thetas["first"]
    leaks = {"first": "IF", "any": "ANN", "out": 2}
    for sample in range(2):
        found = oracle(unrolled, thetas, leaks, x[:, sample].reshape(8, -1))
        np.testing.assert_array_equal(found, layers[:, sample])
    assert 0.05 < layers.mean() < 0.95

    description = describe_network(mapped)
    biases = {block.start: [f"a{i}" for i in block.numbers] for block in unrolled.biases}
    steps = []
    for t in range(8 + unrolled.latency):
        axons = [f"a{i}" for i in np.flatnonzero(x[t, 0])] if t < 8 else []
        steps.append(axons + [key for start, keys in biases.items() if t >= start for key in keys])
    spikes = description.run(steps)[unrolled.latency :]
    wanted = [[description.outputs[i] for i in np.flatnonzero(row)] for row in layers[:, 0]]
    assert spikes == wanted


def test_names_and_order():
    rng = np.random.default_rng(1)
    mapped = map_network(network(rng), scale={"out": 1.0})
    description = describe_network(mapped)
    assert list(description.axons) == [f"a{i}" for i in range(72 + 4 + 5)]
    assert list(description.connections) == [str(i) for i in range(36 + 16 + 5)]
    assert description.outputs == [str(i) for i in range(52, 57)]
    # Targets by window, then by feature: 9 windows, 4 features.
    targets = [int(key) for key, _ in description.axons["a14"]]
    assert targets == sorted(targets, key=lambda i: (i % 9, i // 9))
    assert all(weight for synapses in description.axons.values() for _, weight in synapses)
    models = {model for _, model in description.connections.values()}
    assert {(m.code, m.threshold, m.shift) for m in models} == {
        (3, 7, -17),
        (0, 0, -17),
        (2, 5, -17),
    }
    assert unroll(mapped).biases[1].start == 2
    with pytest.raises(ValueError, match="compat"):
        describe_network(mapped, compat="dev")


def test_sums_over_windows_have_16_bits():
    net = nj.Sequential(
        (1, 4, 4),
        conv=nj.Conv2d.from_weights(jnp.full((1, 1, 2, 2), 20000.0)),
        pooled=nj.SumPool2d(2, stride=1),
        n=nj.IAF(threshold=1.0, reset="zero"),
    )
    with pytest.raises(MappingError, match="sum over a window"):
        describe_network(map_network(net, scale=1.0))
    assert abs(unroll(map_network(net)).tables[0].weights).max() <= 32767


def test_thresholds_one_a_neuron():
    fc = nj.Linear.from_weights(jnp.ones((3, 2)))
    neuron = nj.IAF(threshold=jnp.array([1.0, 2.0, 2.0]), reset="zero")
    description = describe_network(map_network(nj.Sequential((2,), fc=fc, n=neuron)))
    models = description.models()
    assert [model.threshold for model in models] == [0, 1, 1]


def test_a_million_synapses_in_seconds():
    rng = np.random.default_rng(2)
    weight = rng.integers(-99, 100, (1000, 1000)).astype(np.float32)
    net = nj.Sequential(
        (1000,), fc=nj.Linear.from_weights(weight), n=nj.IAF(threshold=50.0, reset="zero")
    )
    mapped = map_network(net)
    begin = time.perf_counter()
    description = describe_network(mapped)
    assert time.perf_counter() - begin < 20  # about 3 s on one slow core
    assert sum(len(synapses) for synapses in description.axons.values()) == np.sum(weight != 0)


def random_graph(rng):
    """Branches, skips and pools whose windows overlap, with integer weights."""
    whole = lambda *shape: rng.integers(-4, 6, shape).astype(np.float32)  # noqa: E731
    layers, edges, channels, points = {}, [], {"input": 2}, ["input"]

    def add(name, layer, *sources, out=None):
        layers[name] = layer
        edges.extend((source, name) for source in sources)
        channels[name] = channels[sources[0]] if out is None else out
        return name

    def pool(name, source):
        kind = nj.AvgPool2d if rng.random() < 0.5 else nj.SumPool2d
        return add(name, kind(3, stride=1, padding=1), source)

    def branch(name, source):
        source = pool(f"before{name}", source) if rng.random() < 0.3 else source
        bias = whole(2) if rng.random() < 0.5 else None
        conv = nj.Conv2d.from_weights(whole(2, channels[source], 3, 3), bias, padding=1)
        source = add(f"conv{name}", conv, source, out=2)
        return pool(f"after{name}", source) if rng.random() < 0.2 else source

    for k in range(3):
        parts = [branch(f"{k}a", points[-1])]
        if rng.random() < 0.5:
            parts.append(branch(f"{k}b", points[rng.integers(len(points))]))
        if rng.random() < 0.4:
            parts.append(points[rng.integers(len(points))])
        source = parts[0] if len(parts) == 1 else add(f"add{k}", nj.Add(), *parts)
        # A little below whole thresholds: sums of ninths meet those only within rounding.
        threshold = float(rng.integers(3, 15)) - 1e-3
        source = add(f"n{k}", nj.IAF(threshold=threshold, reset="zero"), source)
        if rng.random() < 0.3:
            source = add(f"any{k}", nj.MaxPool2d(3, stride=1, padding=1), source)
        points.append(source)
    return nj.Network(layers, edges, inputs=(2, 5, 5), outputs=[points[-1]])


@pytest.mark.parametrize("seed", [2, 5, 11])
def test_random_graphs(seed):
    """The network before mapping, its mapped layers, and its synapses one by one."""
    rng = np.random.default_rng(seed)
    net = random_graph(rng)
    x = (rng.random((5, 2, 2, 5, 5)) < 0.4).astype(np.float32)
    wanted = np.asarray(nj.simulate(net, x).outputs)
    mapped = map_network(net)
    np.testing.assert_array_equal(run(mapped, x), wanted)
    unrolled = unroll(mapped)
    late = unrolled.latency
    steps = []
    for t in range(5 + late):
        axons = np.flatnonzero(x[t, 0]).tolist() if t < 5 else []
        axons += [i for block in unrolled.biases if t >= block.start for i in block.numbers]
        steps.append([f"a{i}" for i in axons])
    description = describe_network(mapped)
    expected = [[description.outputs[i] for i in np.flatnonzero(row)] for row in wanted[:, 0]]
    assert description.run(steps)[late:] == expected
