"""The event-driven engine against plain Python integers, and against the dense engine."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.cri._delivery import SIZES, cut, deliver, spike_indices
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.cri.events import EventEngine, Rows, axon_events, simulate_events
from neurojax.chips.cri.neuron import Neuron, with_membrane
from tests.chips.cri.oracle import HIGHEST, LOWEST, Chip

NEURONS, AXONS = 12, 5


def random_rows(rng: np.random.Generator, lengths: np.ndarray, neurons: int) -> Rows:
    count = int(lengths.sum())
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Rows(starts, rng.integers(0, neurons, count), rng.integers(-32768, 32768, count))


class Drawn(NamedTuple):
    """A network with every kind of neuron, at moderate and at extreme membranes.

    The lengths of its rows are always the same ones in another order, so that all have the same
    shapes, and are compiled once.
    """

    axons: Rows
    now: Rows
    late: Rows
    parameters: dict[str, Any]
    delay: np.ndarray
    start: np.ndarray

    @property
    def synapses(self) -> Rows:
        return merge(self.now, self.late)


def make(seed: int) -> Drawn:
    rng = np.random.default_rng(seed)

    def rows(lengths: list[int]) -> Rows:
        return random_rows(rng, rng.permutation(lengths), NEURONS)

    return Drawn(
        axons=rows([0, 1, 4, 5, 9]),
        now=rows([0, 0, 1, 2, 4, 5, 5, 8, 9, 12, 13, 30]),
        late=rows([0, 0, 0, 0, 0, 1, 1, 2, 3, 4, 5, 9]),
        parameters={
            "theta": rng.choice([-40000, -1, 0, 7, 30000, HIGHEST - 40000, HIGHEST], NEURONS),
            "leak": rng.choice([0, 1, 3, 20, 33, 34, 62, 63], NEURONS),
            "model": rng.choice([0, 2, 3], NEURONS),
            "reset": rng.choice([0, 1], NEURONS),
            "refractory": rng.choice([0, 0, 1, 3], NEURONS),
        },
        delay=np.append(rng.integers(0, 16, NEURONS - 1), 15),
        start=rng.choice([0, 5, -5, HIGHEST - 9, LOWEST + 9], NEURONS),
    )


def merge(now: Rows, late: Rows) -> Rows:
    """One table whose rows have first the one kind of synapses, then the other."""
    source = np.concatenate([now.sources(), late.sources()])
    order = np.argsort(source, kind="stable")
    return Rows(
        now.starts + late.starts,
        np.concatenate([now.targets, late.targets])[order],
        np.concatenate([now.weights, late.weights])[order],
        np.repeat([False, True], [len(now.targets), len(late.targets)])[order],
    )


def matrix(rows: Rows) -> list[list[int]]:
    """Row by row, in Python's integers."""
    dense = [[0] * NEURONS for _ in rows.lengths]
    triples = zip(rows.sources(), rows.targets, rows.weights, strict=True)
    for source, target, weight in triples:
        dense[source][target] += int(weight)
    return dense


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**31))
def test_equals_python_integers(seed: int) -> None:
    net = make(seed)
    rng = np.random.default_rng(seed + 1)
    active = rng.random((20, AXONS)) < 0.4
    active[0] = True  # sets the width of the lists
    values = {name: array.tolist() for name, array in net.parameters.items()}
    soft = values.pop("reset")
    chip = Chip(
        *map(matrix, (net.axons, net.now, net.late)), soft=soft, delay=net.delay.tolist(), **values
    )
    chip.v = net.start.tolist()
    engine = EventEngine(net.axons, net.synapses, neuron=Neuron(**net.parameters), delay=net.delay)
    state = engine.init()
    state = state._replace(neurons=with_membrane(state.neurons, net.start))
    run = engine.run(active, state=state, probe=range(NEURONS))
    for time, axons in enumerate(active):
        spikes = chip.step(axons.tolist())
        assert run.spikes[time].astype(int).tolist() == spikes
        assert run.membranes()[time].tolist() == chip.v
        assert run.active[time] == sum(spikes)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"overflow": "wrap", "bits": 32},
        {"strict": False},
        {"order": "main", "reset": None, "refractory": None, "shift": -16},
        {"order": "dev", "reset": None, "refractory": None},
        {"draws": "drawn"},
    ],
)
def test_equals_the_dense_engine(options: dict[str, Any]) -> None:
    net, rng = make(3), np.random.default_rng(0)
    options = {k: v for k, v in (net.parameters | options).items() if v is not None}
    if "draws" in options:
        draws = rng.integers(-(1 << 16), 1 << 16, (25, NEURONS))
        options |= {"shift": rng.integers(-17, 20, NEURONS), "draws": draws}
    # The dense weights have 16 bits, so repeated synapses are added up before.
    dense = [np.clip(matrix(each), -32768, 32767) for each in (net.axons, net.now, net.late)]
    axons, now, late = map(sparse, dense)
    axon_weights, recurrent, delayed = (each.astype(np.float32) for each in dense)
    shared = {"neuron": Neuron(**options), "delay": net.delay, "outputs": [3, 1, 7]}
    crossbar = Crossbar(axon_weights, recurrent, delayed_weights=delayed, **shared)
    active = (rng.random((25, AXONS)) < 0.4).astype(np.float32)
    network = nj.Sequential((AXONS,), c=crossbar)
    run = nj.simulate(network, jnp.asarray(active)[:, None], probes=["c.high", "c.low"])
    events = simulate_events(
        EventEngine(axons, merge(now, late), **shared), active, probe=range(NEURONS)
    )
    assert np.array_equal(run.outputs[:, 0] != 0, events.spikes)
    assert events.traces is not None
    assert np.array_equal(run["c.high"][:, 0], events.traces.high)
    assert np.array_equal(run["c.low"][:, 0], events.traces.low)


def sparse(dense: np.ndarray) -> Rows:
    where = np.nonzero(dense)
    starts = np.concatenate([[0], np.cumsum(np.count_nonzero(dense, axis=1))])
    return Rows(starts, where[1], dense[where])


@settings(deadline=None, max_examples=7)
@given(st.integers(0, 2**31), st.sampled_from([1, 40, 4096]))
def test_rows_of_any_length(seed: int, lanes: int) -> None:
    """No block, one block, many: equal to the product with the matrix."""
    rng = np.random.default_rng(seed)
    sources, neurons = 64, 50
    lengths = rng.integers(0, rng.choice([2, 9, 70, 900]), sources)
    rows = random_rows(rng, lengths, neurons)
    rows = rows._replace(weights=rows.weights.astype(np.int16))
    spikes = rng.random(sources) < rng.choice([0, 0.05, 0.5, 1])
    blocks = cut(rows, neurons)
    assert blocks.targets.shape[1] in SIZES
    indices, count = spike_indices(jnp.asarray(spikes))
    sums = deliver(jnp.zeros(neurons, jnp.int32), blocks, indices, count, lanes=lanes)
    assert np.array_equal(sums, rows.dense(neurons)[spikes].sum(axis=0))


@pytest.mark.parametrize("neurons", [1, 31, 32, 33, 1000])
@pytest.mark.parametrize("density", [0, 0.03, 0.6, 1])
def test_spike_indices(neurons: int, density: float) -> None:
    spikes = np.random.default_rng(0).random(neurons) < density
    indices, count = jax.jit(spike_indices)(jnp.asarray(spikes))
    assert sorted(indices[: int(count)].tolist()) == np.flatnonzero(spikes).tolist()


def test_a_run_can_be_cut_anywhere() -> None:
    net = make(5)
    neuron = Neuron(**net.parameters | {"shift": -9})
    engine = EventEngine(net.axons, net.synapses, neuron=neuron, delay=net.delay)
    rng = np.random.default_rng(0)
    inputs = [list(rng.integers(0, 5, 3)) for _ in range(24)]
    whole = engine.run(inputs, key=jax.random.key(1))
    first = engine.run(inputs[:7], key=jax.random.key(1))
    second = engine.run(inputs[7:], state=first.state)
    assert np.array_equal(whole.spikes, np.concatenate([first.spikes, second.spikes]))
    assert np.array_equal(engine.membrane(whole.state), engine.membrane(second.state))
    assert not np.array_equal(whole.spikes, engine.run(inputs, key=jax.random.key(2)).spikes)


def test_noise_is_that_of_the_models() -> None:
    """The membrane of an IF neuron stays, that of a LIF neuron without leak moves by odd steps."""
    none = Rows.of_lengths(np.zeros(400, np.int64))
    models = np.repeat([2, 3], 200)
    neuron = Neuron(theta=1 << 20, shift=0, model=models)
    run = EventEngine(none, none, neuron=neuron).run([[]], key=jax.random.key(0), probe=range(400))
    [v] = run.membranes()
    assert np.all(v[:200] % 2 == 1) and np.all(np.abs(v[:200]) < 1 << 16)
    assert np.std(v[:200]) == pytest.approx(65536 / np.sqrt(3), rel=0.15)
    assert not v[200:].any()


def test_an_axon_counts_once() -> None:
    events = axon_events([[1, 1, 0], [], [2]], 3)
    assert events.counts.tolist() == [2, 0, 1]
    assert events.indices[0, :2].tolist() == [0, 1]
    dense = axon_events(np.array([[2, 1, 0], [0, 0, 0], [0, 0, 1]]), 3)
    assert jax.tree.map(np.array_equal, events, dense) == type(events)(True, True)


def test_refusals() -> None:
    none = Rows.of_lengths(np.zeros(3, np.int64))
    neuron = Neuron(theta=1)
    one = Rows(np.array([0, 1]), np.array([0]), np.array([5]))
    engine = EventEngine(one, none, neuron=neuron)
    with pytest.raises(ValueError, match=r"step 1: 0\.\.1; axons are 0\.\.0"):
        engine.run([[0], [0, 1]])
    with pytest.raises(ValueError, match=r"shape \(4, 2\)"):
        engine.run(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="no membranes were recorded"):
        engine.run([[]]).membranes()
    with pytest.raises(ValueError, match="needs a key"):
        EventEngine(one, none, neuron=Neuron(theta=1, shift=0)).run([[0]])
    for wrong, message in (
        (one._replace(targets=np.array([3])), r"targets are 3\.\.3"),
        (one._replace(weights=np.array([40000])), r"40000\.\.40000"),
        (one._replace(weights=np.array([0.5])), "integers"),
        (one._replace(starts=np.array([0, 2])), "starts end with 2"),
        (one._replace(starts=np.array([1, 1])), "begin with 0"),
        (one._replace(late=np.array([True])), "can't be delayed"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            EventEngine(wrong, none, neuron=neuron)
    with pytest.raises(ValueError, match="delay is"):
        EventEngine(one, none, neuron=neuron, delay=16)
    with pytest.raises(ValueError, match="list of indices"):
        EventEngine(one, none, neuron=neuron, outputs=[3])
    wide = Rows(np.array([0, 70000]), np.zeros(70000, int), np.full(70000, -32768))
    with pytest.raises(ValueError, match="70,000 synapses"):
        EventEngine(wide, none, neuron=neuron)


def test_memory_follows_synapses() -> None:
    rng = np.random.default_rng(0)
    rows = random_rows(rng, rng.poisson(100, 5000), 5000)
    engine = EventEngine(rows, rows, neuron=Neuron(theta=1))
    assert engine.nbytes < 2 * len(rows.targets) * 6 * 1.7


def test_long_rows_do_not_widen_the_short_ones() -> None:
    """One hub among sparse neurons: the table stays near the number of synapses."""
    lengths = np.full(2000, 8)
    lengths[0] = 20000
    blocks = cut(random_rows(np.random.default_rng(0), lengths, 2000), 2000)
    assert blocks.targets.size <= 1.5 * lengths.sum()
