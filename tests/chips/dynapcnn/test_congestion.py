"""Synaptic operations a second: the formula against exact counts of single events."""

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.dynapcnn import (
    Core,
    raster_to_events,
    simulate_events,
    synops,
    synops_probes,
)
from neurojax.layers import Add, SumPool2d

STEPS, DT = 10, 2e-3


def network():
    """A branch and a merge; kernels of one pixel or one stride, so that no border matters."""
    core = lambda f, c, k, s: Core(jnp.ones((f, c, k, k)), threshold=1, stride=s)  # noqa: E731
    return nj.Network(
        {
            "a": core(3, 2, 2, 2),
            "left": core(4, 3, 1, 1),
            "right": core(4, 3, 1, 1),
            "sum": Add(),
            "pool": SumPool2d(2),
            "end": core(5, 4, 2, 2),
        },
        [
            ("input", "a"),
            ("a", "left"),
            ("a", "right"),
            ("left", "sum"),
            ("right", "sum"),
            ("sum", "pool"),
            ("pool", "end"),
        ],
        inputs=(2, 8, 8),
    )


def test_one_event_a_step_counts_the_same_in_both_ways():
    net = network()
    raster = np.zeros((STEPS, 2, 8, 8), np.float32)
    places = np.random.default_rng(0).integers(0, 128, STEPS)
    raster.reshape(STEPS, -1)[np.arange(STEPS), places] = 1
    run = nj.simulate(net, raster[:, None], probes=synops_probes(net))
    estimated = synops(net, run, inputs=raster[:, None], dt=DT)
    events = simulate_events(net, raster_to_events(raster, dt=DT), duration=20_000)
    assert estimated == synops(net, events)
    # Each event has 3 spikes, each of them 4 in either branch, which all arrive at the end.
    per_event = {"a": 3, "left": 3 * 4, "right": 3 * 4, "end": 3 * 4 * 2 * 5}
    rates = {name: n * STEPS / (STEPS * DT) for name, n in per_event.items()}
    assert estimated == pytest.approx(rates)


def test_the_busiest_sample_counts():
    net = network()
    x = np.zeros((STEPS, 3, 2, 8, 8), np.float32)
    x[:, 1] = 1
    run = nj.simulate(net, x, probes=synops_probes(net))
    assert synops(net, run, inputs=x, dt=DT)["a"] == pytest.approx(128 * 3 / DT)


def test_a_border_is_counted_exactly_by_events():
    net = nj.Sequential((1, 3, 3), a=Core(jnp.ones((2, 1, 3, 3)), threshold=99, padding=1))
    run = simulate_events(net, raster_to_events(np.ones((1, 1, 3, 3))), duration=1_000_000)
    # Corners reach 4 neurons, edges 6, the middle 9; with 2 features.
    assert synops(net, run) == {"a": 2 * (4 * 4 + 4 * 6 + 9)}


def test_above_the_limit_there_is_a_warning():
    net = network()
    x = np.ones((STEPS, 1, 2, 8, 8), np.float32)
    run = nj.simulate(net, x, probes=synops_probes(net))
    with pytest.warns(UserWarning, match=r"congestion.*'end'"):
        rates = synops(net, run, inputs=x, dt=DT, limit=1e6)
    assert rates["a"] < 1e6 < rates["end"]


def test_what_is_missing_is_said():
    net = network()
    x = np.zeros((STEPS, 1, 2, 8, 8), np.float32)
    run = nj.simulate(net, x)
    with pytest.raises(ValueError, match="`inputs`"):
        synops(net, run, dt=DT)
    with pytest.raises(ValueError, match=r"'a:sum'.*synops_probes"):
        synops(net, run, inputs=x, dt=DT)
    with pytest.raises(ValueError, match="duration"):
        synops(net, simulate_events(net, raster_to_events(x[:, 0])))
