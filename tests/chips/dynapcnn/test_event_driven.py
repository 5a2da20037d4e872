"""Events one by one: against an oracle in plain Python, and against time steps."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import dynapcnn
from neurojax.chips.dynapcnn import (
    DVS,
    Core,
    events_to_raster,
    make_events,
    raster_to_events,
    simulate_events,
)
from neurojax.layers import Add, Concat, Flatten, SumPool2d
from tests.chips.dynapcnn import event_oracle

# Where spikes go, and the layers on the way: {source: [(target, pool, shift)]}.
GRAPHS = {
    "chain": {"input": [("a", 1, 0)], "a": [("b", 2, 0)], "b": [("out", 1, 0)]},
    "diamond": {
        "input": [("a", 1, 0)],
        "a": [("c", 1, 0), ("b", 1, 0)],
        "b": [("d", 2, 0)],
        "c": [("d", 2, 0)],
        "d": [("out", 1, 0)],
    },
    "concat": {
        "input": [("a", 1, 0), ("b", 1, 0)],
        "a": [("d", 2, 0), ("out", 1, 0)],
        "b": [("d", 2, 2)],
        "d": [("second", 2, 0)],
    },
    "short cut": {
        "input": [("a", 1, 0)],
        "a": [("b", 1, 0), ("c", 1, 0)],
        "b": [("c", 1, 0)],
        "c": [("out", 2, 0)],
    },
}


def build(ways, cores, in_shape):
    """A chip of the oracle as a mapped network: poolings, sums and concatenations are layers."""
    layers, edges = {}, []
    for name, core in cores.items():
        options = {k: core[k] for k in ("threshold", "v_min", "stride", "padding", "reset")}
        bias = None if core["bias"] is None else np.float32(core["bias"])
        layers[name] = Core(
            np.float32(core["weight"]), bias, **options, overflow=core["overflow"], bias_bits=16
        )
    ends = [end for way in ways.values() for end in way]
    merged = {target for target, *_ in ends if [t for t, *_ in ends].count(target) > 1}
    for source, way in ways.items():
        for target, pool, _ in way:
            name = source
            if pool > 1 or target not in cores:
                name = f"{source}_{target}" if target in cores else target
                layers[name] = SumPool2d(pool) if pool > 1 else Flatten()
                edges.append((source, name))
            if target in cores:
                edges.append((name, f"into_{target}" if target in merged else target))
    for target in merged:
        shifted = any(shift for end, _, shift in ends if end == target)
        layers[f"into_{target}"] = Concat(0) if shifted else Add()
        edges.append((f"into_{target}", target))
    return nj.Network(layers, edges, inputs=in_shape)


def columns(stream):
    return list(zip(*(stream[name].tolist() for name in ("t", "feature", "y", "x")), strict=True))


def stream_of(events):
    t, feature, y, x = np.array(events, int).reshape(-1, 4).T
    return make_events(x, y, t, feature)


def random_core(rng, in_shape, features=2, kernel=3, stride=1, padding=1, **options):
    largest = int(rng.choice([3, 40, 127]))
    core = {
        "in": in_shape,
        "weight": rng.integers(-largest // 2, largest + 1, (features, in_shape[0], kernel, kernel)),
        "bias": None,
        "threshold": int(rng.choice([1, 5, 30, 120])),
        "v_min": int(rng.choice([-1, -10, -32768])),
        "stride": stride,
        "padding": padding,
        "reset": str(rng.choice(["subtract", "zero"])),
        "overflow": None,
    }
    core = core | options
    return core | {"weight": core["weight"].tolist()}


def random_events(rng, shape, count, span=100_000):
    columns = [np.sort(rng.integers(0, span, count)), *(rng.integers(0, n, count) for n in shape)]
    return [tuple(row) for row in np.stack(columns, 1).tolist()]


def check(run, chip):
    """A run has all that the oracle has."""
    for name, spikes in chip.spikes.items():
        assert columns(run.streams[name]) == spikes
        v = np.zeros(run.membranes[name].shape, int)
        for place, value in chip.v[name].items():
            v[place] = value
        np.testing.assert_array_equal(run.membranes[name], v)
    assert {k: columns(v) for k, v in run.outputs.items() if len(v)} == chip.outputs
    assert run.synops == chip.updates
    assert run.overflowed == chip.overflowed


IN = (2, 6, 6)


def graph_cores(ways, rng, **options):
    """Random cores that fit a graph of `GRAPHS`."""
    cores = {}
    for name in [name for name in ways if name != "input"]:
        into = [(source, *end[1:]) for source, way in ways.items() for end in way if end[0] == name]
        source, pool, _ = into[0]
        size = (IN[1] if source == "input" else event_oracle.neurons(cores[source])[1]) // pool
        features = 2 + max(shift for *_, shift in into)
        cores[name] = random_core(rng, (features, size, size), **options)
    return cores


@settings(max_examples=12)
@given(st.sampled_from(sorted(GRAPHS)), st.booleans(), st.integers(0, 2**32 - 1))
def test_equal_to_the_oracle(graph, leaks, seed):
    rng = np.random.default_rng(seed)
    ways = GRAPHS[graph]
    cores = graph_cores(ways, rng)
    if leaks:
        for core in cores.values():
            core["bias"] = rng.integers(-30, 31, 2).tolist()
    events = random_events(rng, IN, 40)
    decimate = {"a": int(rng.choice([2, 4]))} if rng.random() < 0.5 else None
    chip = event_oracle.Chip(cores, ways, IN, decimate)
    chip.run(events, range(7_000, 120_001, 7_000) if leaks else ())
    network = build(ways, cores, IN)
    run = simulate_events(
        network,
        stream_of(events),
        leak_hz=1e6 / 7_000 if leaks else None,
        decimate=decimate,
        duration=120_000,
    )
    check(run, chip)


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_any_kernel_stride_and_padding(seed):
    rng = np.random.default_rng(seed)
    kernel, stride, padding = int(rng.integers(1, 6)), int(rng.choice([1, 2, 4])), rng.integers(4)
    shape = (2, *rng.integers(max(1, kernel - 2 * padding), 9, 2).tolist())
    core = random_core(rng, shape, 3, kernel, stride, int(padding))
    ways = {"input": [("a", 1, 0)], "a": [("out", 1, 0)]}
    chip = event_oracle.Chip({"a": core}, ways, shape)
    events = random_events(rng, shape, 60)
    chip.run(events)
    check(simulate_events(build(ways, {"a": core}, shape), stream_of(events)), chip)


@pytest.mark.parametrize("overflow", [None, "saturate", "wrap"])
def test_the_upper_end_of_the_membrane(overflow):
    rng = np.random.default_rng(0)
    options = {"threshold": 32700, "v_min": -200, "overflow": overflow, "reset": "subtract"}
    core = random_core(rng, (1, 2, 2), 2, 1, 1, 0, **options, bias=[900, -70])
    core["weight"] = [[[[127]]], [[[-128]]]]
    ways = {"input": [("a", 1, 0)], "a": [("out", 1, 0)]}
    chip = event_oracle.Chip({"a": core}, ways, (1, 2, 2))
    events = random_events(rng, (1, 2, 2), 300)
    chip.run(events, range(1_000, 100_001, 1_000))
    network = build(ways, {"a": core}, (1, 2, 2))
    run = simulate_events(network, stream_of(events), leak_hz=np.float32(1_000), duration=100_000)
    check(run, chip)
    assert run.overflowed["a"] > 0


def test_in_pieces_it_is_the_same_run():
    rng = np.random.default_rng(1)
    ways = GRAPHS["diamond"]
    cores = graph_cores(ways, rng)
    for core in cores.values():
        core["bias"] = [3, -4]
    network, events = build(ways, cores, IN), stream_of(random_events(rng, IN, 80))
    options = {"leak_hz": 300.0, "decimate": {"a": 4, "b": 2}}
    whole = simulate_events(network, events, **options, duration=100_000)
    first = simulate_events(network, events[:33], **options)
    middle = simulate_events(network, events[33:33], **options, state=first.state)
    last = simulate_events(network, events[33:], **options, duration=100_000, state=middle.state)
    for name in cores:
        np.testing.assert_array_equal(last.membranes[name], whole.membranes[name])
        parts = [first.streams[name], last.streams[name]]
        np.testing.assert_array_equal(np.concatenate(parts), whole.streams[name])
    parts = [first.outputs["out"], last.outputs["out"]]
    np.testing.assert_array_equal(np.concatenate(parts), whole.outputs["out"])
    assert first.elapsed + last.elapsed == whole.elapsed == 100_000


def test_streams_longer_than_a_piece_of_the_loop(monkeypatch):
    from neurojax.chips.dynapcnn import _event_core

    rng = np.random.default_rng(2)
    core = random_core(rng, IN, bias=[5, -5])
    ways = {"input": [("a", 1, 0)], "a": [("out", 1, 0)]}
    network, events = build(ways, {"a": core}, IN), stream_of(random_events(rng, IN, 100))
    whole = simulate_events(network, events, leak_hz=100)
    monkeypatch.setattr(_event_core, "CHUNK", 16)
    pieces = simulate_events(network, events, leak_hz=100)
    np.testing.assert_array_equal(whole.outputs["out"], pieces.outputs["out"])
    np.testing.assert_array_equal(whole.membranes["a"], pieces.membranes["a"])


# Against time steps


def in_steps(network, raster, **options):
    """Spikes and membranes in time steps."""
    cores = [name for name in network.names if isinstance(network[name], Core)]
    probes = [probe for name in cores for probe in (name, f"{name}.v")]
    run = nj.simulate(network, jnp.asarray(raster, jnp.float32)[:, None], probes=probes)
    return {
        name: (np.asarray(run[name])[:, 0], np.asarray(run[f"{name}.v"])[-1, 0]) for name in cores
    }


def test_weights_from_0_to_the_threshold_make_the_order_of_events_vanish():
    """The first condition of the module's docstring, with many events in a step, in any order."""
    rng = np.random.default_rng(3)
    ways = GRAPHS["diamond"]
    cores = graph_cores(ways, rng, threshold=60, reset="subtract", v_min=-1)
    for core in cores.values():
        core["weight"] = rng.integers(0, 61, np.shape(core["weight"])).tolist()
    network = build(ways, cores, IN)
    raster = rng.poisson(0.3, (12, *IN))
    steps = in_steps(network, raster)
    for _ in range(3):
        events = raster_to_events(raster)
        order = np.lexsort((rng.random(len(events)), events["t"]))
        run = simulate_events(network, events[order])
        for name, (spikes, v) in steps.items():
            counts = events_to_raster(run.streams[name], shape=spikes.shape[1:], steps=12)
            np.testing.assert_array_equal(counts, spikes)
            np.testing.assert_array_equal(run.membranes[name], v)
    assert steps["d"][0].max() > 1


@pytest.mark.parametrize("max_spikes", [1, None])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
def test_one_event_a_step_and_weights_up_to_the_threshold(reset, max_spikes):
    """The second condition, with inhibition, the lower bound and any reset."""
    rng = np.random.default_rng(4)
    weight = rng.integers(-128, 91, (2, 2, 3, 3)).astype(np.float32)
    options = {"padding": 1, "reset": reset, "max_spikes": max_spikes, "v_min": -70}
    network = nj.Sequential(IN, a=Core(weight, threshold=90, **options))
    raster = np.zeros((200, *IN), int)
    raster.reshape(200, -1)[np.arange(200), rng.integers(0, np.prod(IN), 200)] = 1
    run = simulate_events(network, raster_to_events(raster))
    spikes, v = in_steps(network, raster)["a"]
    np.testing.assert_array_equal(
        events_to_raster(run.streams["a"], shape=spikes.shape[1:], steps=200), spikes
    )
    np.testing.assert_array_equal(run.membranes["a"], v)
    assert spikes.sum() > 20 and (v == -70).any()


@pytest.mark.parametrize(
    ("weights", "channels", "by_events", "by_steps"),
    [
        # Above two thresholds a neuron fires once an event: the rest waits for the next one.
        ([25], [[0], [], [0]], [1, 0, 1], [2, 0, 3]),
        # Excitation first: the neuron has fired when inhibition comes.
        ([10, -10], [[0, 1]], [1], [0]),
        # Inhibition first: the lower bound of -1 forgets it.
        ([10, -10], [[1, 0, 0]], [1], [1]),
        ([5, -5], [[1, 1, 0, 0, 0]], [1], [0]),
    ],
)
def test_where_time_steps_are_not_the_chip(weights, channels, by_events, by_steps):
    weight = np.float32(weights).reshape(1, -1, 1, 1)
    network = nj.Sequential((len(weights),), a=Core(weight, threshold=10, v_min=-1, flat=True))
    rows = [(1000 * t, c) for t, step in enumerate(channels) for c in step]
    t, feature = np.array(rows).T
    events = make_events(0, 0, t, feature)
    shape = {"shape": (len(weights), 1, 1), "steps": len(channels)}
    run = simulate_events(network, events)
    found = events_to_raster(run.streams["a"], shape=(1, 1, 1), steps=len(channels))
    assert found.ravel().tolist() == by_events
    steps = in_steps(network, events_to_raster(events, **shape)[..., 0, 0])
    assert steps["a"][0].ravel().tolist() == by_steps


def test_the_slow_clock_ticks_as_in_time_steps():
    """leak_every=n is a clock of 1 / (n dt), one event a step."""
    rng = np.random.default_rng(5)
    weight = rng.integers(-60, 61, (2, 2, 3, 3)).astype(np.float32)
    core = Core(weight, jnp.array([-7.0, -20.0]), threshold=60, v_min=-70, leak_every=3)
    network = nj.Sequential(IN, a=core)
    raster = np.zeros((100, *IN), int)
    raster.reshape(100, -1)[np.arange(100), rng.integers(0, np.prod(IN), 100)] = 1
    run = simulate_events(network, raster_to_events(raster, delay_factor=1e-4), leak_hz=1e3 / 3)
    spikes, v = in_steps(network, raster)["a"]
    counts = events_to_raster(run.streams["a"], shape=spikes.shape[1:], steps=100)
    np.testing.assert_array_equal(counts, spikes)
    np.testing.assert_array_equal(run.membranes["a"], v)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pool": (2, 1), "crop": ((1, 3), (2, 6)), "flip_x": True},
        {"crop": ((0, 4), (1, 5)), "flip_y": True, "swap_xy": True, "merge_polarities": True},
        {"pool": 4, "flip_x": True, "swap_xy": True},
    ],
)
def test_the_cameras_block_is_that_of_time_steps(options):
    """Events through the block, counted, are the counts that the block makes."""
    layer = DVS(**options)
    shape = layer.out_shape((2, 7, 9))
    core = Core(jnp.ones((1, shape[0], 1, 1)), threshold=1)
    network = nj.Sequential((2, 7, 9), camera=layer, a=core)
    raster = np.random.default_rng(6).poisson(0.5, (4, 2, 7, 9))
    run = simulate_events(network, raster_to_events(raster))
    expected = np.stack([layer.step(None, jnp.asarray(x, jnp.float32))[1] for x in raster])
    found = events_to_raster(run.streams["camera"], shape=shape, steps=4)
    np.testing.assert_array_equal(found, expected)
    assert run.arrived["a"] == expected.sum()


def test_of_a_mapped_network_streams_have_the_numbers_of_cores():
    rng = np.random.default_rng(7)
    conv = lambda *shape: nj.Conv2d.from_weights(np.float32(rng.normal(size=shape)))  # noqa: E731
    network = nj.Sequential(
        (2, 8, 8), a=conv(4, 2, 3, 3), first=nj.IAF(), b=conv(900, 4, 3, 3), second=nj.IAF()
    )
    mapped = dynapcnn.map(network)
    run = simulate_events(mapped, stream_of(random_events(rng, (2, 8, 8), 50)))
    for origin in mapped.origins:
        assert set(run.streams[origin.name]["layer"]) == {origin.core}
    assert mapped.origins[1].core != 1


# Refusals


SMALL = nj.Sequential((1, 4, 4), a=Core(jnp.ones((1, 1, 1, 1)), jnp.ones(1), threshold=5))
EVENT = make_events(x=1, y=[0, 2], t=[10, 20])


@pytest.mark.parametrize(
    ("events", "options", "text"),
    [
        (EVENT[::-1], {"leak_hz": 0}, "not in order of time"),
        (make_events(x=4, y=0, t=0), {"leak_hz": 0}, "x=4.*0 to 3"),
        (EVENT[["x", "y", "t"]], {"leak_hz": 0}, "no column 'feature'"),
        (EVENT, {}, "'a' have a bias"),
        (EVENT, {"leak_hz": -1}, "leak_hz=-1"),
        (EVENT, {"leak_hz": float("nan")}, "leak_hz=nan"),
        (EVENT, {"leak_hz": float("inf")}, "leak_hz=inf"),
        (EVENT, {"leak_hz": 0, "decimate": {"a": 64}}, "1 of 64"),
        (EVENT, {"leak_hz": 0, "decimate": {"b": 2}}, "no core 'b'"),
        (EVENT, {"leak_hz": 0, "duration": 15}, "duration=15"),
    ],
)
def test_refusals(events, options, text):
    with pytest.raises(ValueError, match=text):
        simulate_events(SMALL, events, **options)


def test_a_lower_bound_of_0_is_warned_of():
    core = Core(jnp.ones((1, 1, 1, 1)), threshold=5, v_min=0)
    with pytest.warns(UserWarning, match="'a'.*misbehave"):
        simulate_events(nj.Sequential((1, 4, 4), a=core), EVENT)
