"""Operations and energies against a machine that runs networks event by event."""

import math

import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given

import neurojax as nj
from neurojax import metrics
from tests.metrics.lemaire._machine import QUEUE, Machine, targets

COLUMNS = ("syn_acc", "syn_mac", "addr_acc", "addr_mac", "mem_read", "mem_write")
WIDTH, FIFO = 12, 50


def same_counts(machine, **options):
    """All counts of all layers, and their energies, are those of the machine."""
    activity = machine.activity()
    table = metrics.operations(machine.network, activity, **options)
    prices = {"mem_width": WIDTH, "fifo_size": FIFO, "op_estimation_type": "linear"}
    energies = metrics.energy(machine.network, activity, **prices, **options)
    ram = lambda size: 1.09e-5 * (FIFO if size is QUEUE else size) * WIDTH + 13.2  # noqa: E731
    add, mul = 0.03 + 0.07 / 24 * 4, 0.2 + 2.9 / 24 * 4
    assert [row.name for row in table] == list(machine.network.names)
    for name, counts in machine.counts.items():
        row, energy = table[name], energies[name]
        for column, number in counts.operations().items():
            assert getattr(row, column) * machine.samples == pytest.approx(number, 1e-12), (
                name,
                column,
            )
        for column, number in counts.energy(add, mul, ram).items():
            assert getattr(energy, column) * machine.samples == pytest.approx(number, 1e-9), (
                name,
                column,
            )
    for column in COLUMNS:
        assert getattr(table.total, column) == sum(getattr(row, column) for row in table)
    return table


def integers(rng, shape, low=-3, high=4):
    return jnp.asarray(rng.integers(low, high, shape), jnp.float32)


def conv(rng, channels, out, kernel, *, bias, **options):
    groups = options.get("groups", 1)
    weight = integers(rng, (out, channels // groups, *kernel))
    kind = nj.Conv1d if len(kernel) == 1 else nj.Conv2d
    return kind.from_weights(weight, integers(rng, (out,)) if bias else None, **options)


def linear(rng, features, out, *, bias=False):
    weight = integers(rng, (out, features))
    return nj.Linear.from_weights(weight, integers(rng, (out,)) if bias else None)


@st.composite
def neurons(draw):
    options = {
        "threshold": draw(st.sampled_from([1.0, 2.0])),
        "max_spikes": draw(st.sampled_from([1, None])),
    }
    leaky = draw(st.booleans())
    return nj.LIF(decay=0.5, **options) if leaky else nj.IAF(**options)


@st.composite
def runs(draw):
    """A small random network of images, or of lines, and inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    ndim = draw(st.sampled_from([1, 2]))
    channels = draw(st.sampled_from([1, 2]))
    in_shape = (channels, *(draw(st.integers(3, 5)) for _ in range(ndim)))
    shape, layers = in_shape, {}

    def put(layer):
        nonlocal shape
        shape = layer.out_shape(shape)
        layers[f"layer{len(layers)}"] = layer

    if draw(st.booleans()):
        put(draw(neurons()))
    for _ in range(draw(st.integers(1, 2))):
        groups = draw(st.sampled_from([1, 2])) if shape[0] % 2 == 0 else 1
        put(
            conv(
                rng,
                shape[0],
                2,
                tuple(min(draw(st.integers(1, 3)), n) for n in shape[1:]),
                bias=draw(st.booleans()),
                stride=draw(st.integers(1, 2)),
                padding=draw(st.integers(0, 2)),
                dilation=1 if min(shape[1:]) < 5 else draw(st.integers(1, 2)),
                groups=groups,
            )
        )
        if draw(st.booleans()):
            norm = np.array([2.0, 4.0]), np.array([1.0, 0.0]), np.zeros(2), np.full(2, 4.0)
            put(nj.BatchNorm.from_weights(*norm, eps=0.0, inference=True))
        if draw(st.integers(0, 3)):
            put(draw(neurons()))
        pools = {
            1: [nj.SumPool1d, nj.MaxPool1d, nj.AvgPool1d],
            2: [nj.SumPool2d, nj.MaxPool2d, nj.AvgPool2d],
        }
        if min(shape[1:]) >= 2 and draw(st.booleans()):
            put(draw(st.sampled_from(pools[ndim]))(2, stride=draw(st.integers(1, 2))))
    put(nj.Flatten())
    put(linear(rng, *shape, 3, bias=draw(st.booleans())))
    if draw(st.booleans()):
        put(nj.Recurrent(draw(neurons()), linear(rng, 3, 3)))
    graded = draw(st.booleans())
    inputs = rng.integers(-1 if graded else 0, 3 if graded else 2, (3, 2, *in_shape))
    return nj.Sequential(in_shape, **layers), {"input": inputs * (rng.random(inputs.shape) < 0.6)}


@given(run=runs())
def test_random_networks(run):
    same_counts(Machine(*run))


def test_the_machine_computes_what_networks_compute():
    """What it puts out is what a run of the network does, by step, sample and neuron."""
    network, inputs = residual()
    ours = Machine(network, inputs).activity()
    theirs = metrics.count_spikes(network, inputs["input"])
    for name, layer in theirs.outputs.items():
        for field, value in vars(layer).items():
            assert np.array_equal(value, getattr(ours[name], field)), (name, field)
    assert (ours.spiking, ours.counting) == (theirs.spiking, theirs.counting)


def residual():
    """A sum of two layers' spikes, of currents, a delay, feedback, pools and a bias."""
    rng = np.random.default_rng(5)
    same = {"padding": 1, "bias": True}
    network = nj.Network(
        {
            "a": conv(rng, 2, 4, (3, 3), **same),
            "a.spikes": nj.IAF(threshold=4.0),
            "b": conv(rng, 4, 4, (3, 3), groups=2, **same),
            "b.spikes": nj.LIF(decay=0.5, threshold=3.0, max_spikes=None),
            "add": nj.Add(),
            "late": nj.Delay(2),
            "pool": nj.SumPool2d(2),
            "c": conv(rng, 4, 2, (2, 2), bias=False, stride=1, padding=1),
            "d": conv(rng, 4, 2, (2, 2), bias=False, stride=1, padding=1),
            "currents": nj.Add(),
            "c.spikes": nj.IAF(threshold=2.0),
            "flat": nj.Flatten(),
            "dense": linear(rng, 18, 3),
            "out": nj.IAF(threshold=3.0),
            "back": linear(rng, 3, 3),
        },
        [
            *[("input", "a"), ("a", "a.spikes"), ("a.spikes", "b"), ("b", "b.spikes")],
            *[("a.spikes", "add"), ("b.spikes", "add"), ("add", "late"), ("late", "pool")],
            *[("pool", "c"), ("pool", "d"), ("c", "currents"), ("d", "currents")],
            *[("currents", "c.spikes"), ("c.spikes", "flat"), ("flat", "dense")],
            *[("dense", "out"), ("back", "out"), nj.Edge("out", "back", recurrent=True)],
        ],
        inputs=(2, 4, 4),
        outputs=["out"],
    )
    return network, {"input": rng.integers(0, 2, (5, 2, 2, 4, 4))}


def test_residual_with_feedback():
    table = same_counts(Machine(*residual()))
    # Two spikes that are added go on as two spikes, and need no multiplication.
    assert table["c"].is_sj is True and table["c"].syn_mac == 0
    assert table["currents"].syn_acc > 0 and table["add"].syn_acc == 0


def test_graded_inputs_that_stay_the_same():
    rng = np.random.default_rng(2)
    layers = {
        "conv": conv(rng, 2, 3, (3, 3), bias=True, padding=1),
        "spikes": nj.IAF(threshold=2.0),
        "flat": nj.Flatten(),
        "dense": linear(rng, 48, 3, bias=True),
    }
    network = nj.Sequential((2, 4, 4), **layers)
    image = rng.integers(-2, 3, (1, 2, 2, 4, 4))
    inputs = {"input": np.repeat(image, 4, 0)}
    every = same_counts(Machine(network, inputs))
    once = same_counts(Machine(network, inputs, once=True), graded="once")
    assert once["conv"].syn_mac * 4 == every["conv"].syn_mac
    assert once["dense"] == every["dense"] and once["conv"].is_sj == "Hybrid"


def test_graded_values_that_change_are_computed_in_every_step():
    """Means of spikes are graded, too, but not those of an image that stays."""
    rng = np.random.default_rng(2)
    layers = {
        "conv": conv(rng, 1, 2, (3, 3), bias=False, padding=1),
        "spikes": nj.IAF(threshold=5.0),
        "mean": nj.AvgPool2d(2),
        "flat": nj.Flatten(),
        "dense": linear(rng, 8, 3),
    }
    network = nj.Sequential((1, 4, 4), **layers)
    image = rng.integers(-2, 3, (1, 2, 1, 4, 4))
    activity = metrics.count_spikes(network, np.repeat(image, 4, 0) * 1.0)
    every = metrics.operations(network, activity)
    once = metrics.operations(network, activity, graded="once")
    assert once["conv"].syn_mac * 4 == every["conv"].syn_mac
    assert once["dense"] == every["dense"] and every["dense"].syn_mac > 0


def formal_counts(layer, in_shapes, out_shape):
    """A formal layer, computed output by output from the values that it needs."""
    counts = dict.fromkeys(COLUMNS, 0)
    size, in_size = math.prod(out_shape), sum(map(math.prod, in_shapes))
    if isinstance(layer, nj.Linear | nj.Conv1d | nj.Conv2d | nj.AvgPool2d | nj.MaxPool2d):
        taps = sum(len(targets(layer, at, out_shape)) for at in np.ndindex(in_shapes[0]))
        weights = hasattr(layer, "weight")
        if weights:
            counts["syn_mac"] += taps
            counts["mem_read"] += taps  # weights
            counts["mem_read"] += in_size if isinstance(layer, nj.Linear) else taps
            if layer.bias is not None:
                counts["syn_acc"] += size
                counts["mem_read"] += size
        else:
            counts["mem_read"] += taps
            counts["syn_acc"] += taps - size
            counts["syn_mac"] += size if isinstance(layer, nj.AvgPool2d) else 0
        kernel = 0
        if weights and not isinstance(layer, nj.Linear):
            kernel = layer.out_channels * math.prod(layer.kernel_size)
        counts["addr_acc"] += taps if isinstance(layer, nj.Linear) else in_size + size + kernel
    elif isinstance(layer, nj.Add):
        counts["mem_read"] += in_size
        counts["syn_acc"] += in_size - size
        counts["addr_acc"] += size
    elif isinstance(layer, nj.BatchNorm):
        counts["mem_read"] += 3 * size
        counts["syn_mac"] += size
        counts["addr_acc"] += size
    else:
        counts["syn_acc"] += 0 if isinstance(layer, nj.Flatten) else size
        return counts
    counts["mem_write"] += size
    return counts


def test_formal_networks():
    rng = np.random.default_rng(0)
    norm = [np.ones(4)] * 4
    network = nj.Network(
        {
            "a": conv(rng, 2, 4, (3, 2), groups=2, padding=1, stride=2, bias=False),
            "norm": nj.BatchNorm.from_weights(*norm, inference=True),
            "relu": nj.ReLU(),
            "b": conv(rng, 4, 4, (3, 3), padding=1, bias=True),
            "add": nj.Add(),
            "mean": nj.AvgPool2d(2),
            "max": nj.MaxPool2d(2, stride=1),
            "flat": nj.Flatten(),
            "dense": linear(rng, 8, 3, bias=True),
            "neurons": nj.LIF(tau=2.0),
        },
        [
            *[("input", "a"), ("a", "norm"), ("norm", "relu"), ("relu", "b"), ("relu", "add")],
            *[("b", "add"), ("add", "mean"), ("mean", "max"), ("max", "flat")],
            *[("flat", "dense"), ("dense", "neurons")],
        ],
        inputs=(2, 8, 11),
    )
    table = metrics.operations(network)
    for name in network.names:
        shapes = network.in_shape(name)
        shapes = shapes if network[name].many_inputs else (shapes,)
        wanted = formal_counts(network[name], shapes, network.out_shape(name))
        assert {column: getattr(table[name], column) for column in COLUMNS} == wanted, name
    assert table["a"].is_sj is False and table["a"].input_spikerate is None


def test_a_formal_stem_of_a_spiking_network():
    rng = np.random.default_rng(1)
    layers = {"stem": conv(rng, 1, 2, (3, 3), bias=True), "spikes": nj.IAF(threshold=2.0)}
    network = nj.Sequential((1, 5, 5), **layers)
    machine = Machine(network, {"input": np.repeat(rng.integers(-2, 3, (1, 3, 1, 5, 5)), 4, 0)})
    activity = machine.activity()
    table = metrics.operations(network, activity, formal=["stem"])
    alone = metrics.operations(nj.Sequential((1, 5, 5), stem=layers["stem"]))
    for column in COLUMNS:
        assert getattr(table["stem"], column) == getattr(alone["stem"], column)
    assert table["stem"].is_sj is False and table.total.is_sj == "Hybrid"
    # The neurons take its values from a queue in every step.
    assert table["spikes"].addr_acc == activity.count("stem")


@given(seed=st.integers(0, 1000), rates=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_energies_grow_with_the_rate(seed, rates):
    """More spikes cost more; nothing costs less than nothing; a total is the sum of its rows."""
    rng = np.random.default_rng(seed)
    layers = {
        "conv": conv(rng, 2, 3, (3, 3), bias=True, padding=1),
        "spikes": nj.LIF(decay=0.5, threshold=2.0),
        "flat": nj.Flatten(),
        "dense": linear(rng, 27, 3),
    }
    network = nj.Sequential((2, 3, 3), **layers)
    draws = rng.random((2, 4, 1, 2, 3, 3))
    tables = []
    for rate in sorted(rates):
        machine = Machine(network, {"input": (draws[0] < rate).astype(int)})
        activity = machine.activity()
        tables.append(
            metrics.energy(network, activity, mem_width=16, fifo_size=8, sram_estimation_type="new")
        )
    few, many = (table["conv"] for table in tables)
    for column in ("mem_pot", "mem_weights", "mem_io", "ops", "addr"):
        assert 0 <= getattr(few, column) <= getattr(many, column)
    for table in tables:
        assert all(row.total >= 0 for row in table)
        assert table.total.total == pytest.approx(sum(row.total for row in table))
