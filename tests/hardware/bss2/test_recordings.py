import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import bss2
from neurojax.hardware.bss2 import (
    Samples,
    Spikes,
    Trace,
    grid,
    madc_trace,
    measured,
    samples_to_dense,
    spikes_to_dense,
)
from tests.conformance._bss2_recordings import run

GOLDEN = Path(__file__).parents[2] / "golden" / "bss2"


def test_equal_to_the_recordings():
    results = list(run(GOLDEN))
    assert len(results) >= 7
    assert [r for r in results if not r.equal] == []


def walk(samples, steps, batch, neurons, dt, mode):
    """Sample by sample, grid point by grid point."""
    dense = np.zeros((steps, batch, neurons))
    for b in range(batch):
        for n in range(neurons):
            mine = sorted((t / 125e6, v) for v, t, bb, nn in samples if (bb, nn) == (b, n))
            before, k = (-1.0, 0.0), 0
            for t, v in mine:
                while k < min(steps, math.ceil(t / dt - 1e-9)):
                    now = k * dt
                    if mode == "linear":
                        part = (now - before[0]) / (t - before[0])
                        dense[k, b, n] = before[1] + (v - before[1]) * part
                    else:
                        closer = round((now - before[0]) * 125e6) < round((t - now) * 125e6)
                        dense[k, b, n] = before[1] if closer else v
                    k += 1
                before = (t, v)
            dense[k:, b, n] = before[1]
    return dense


@given(data=st.data(), mode=st.sampled_from(["linear", "nearest"]))
@settings(deadline=None, max_examples=40)
def test_samples_one_by_one(data, mode):
    steps, dt = data.draw(st.integers(1, 12)), data.draw(st.sampled_from([1e-6, 2e-6, 4e-7]))
    # Times of one neuron differ, as those of a converter do.
    times = data.draw(st.lists(st.integers(0, 2000), max_size=12, unique=True))
    samples = [
        (data.draw(st.integers(-128, 127)), t, data.draw(st.integers(0, 1)), 0) for t in times
    ]
    got = samples_to_dense(samples, steps=steps, batch=2, neurons=1, dt=dt, interpolation=mode)
    expected = walk(samples, steps, 2, 1, dt, mode)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-3 if mode == "linear" else 0)


@given(cycles=st.integers(0, 3000), dt=st.sampled_from([1e-6, 2e-6, 8e-9, 5e-7]))
@settings(deadline=None, max_examples=60)
def test_spikes_go_to_the_nearest_step(cycles, dt):
    per_step = {1e-6: 125, 2e-6: 250, 8e-9: 1, 5e-7: 62.5}[dt]
    step = math.floor(cycles / per_step + 0.5)
    dense = spikes_to_dense([[cycles, 0, 0]], steps=24, batch=1, neurons=1, dt=dt)
    assert dense.sum() == (step < 24)
    assert step >= 24 or dense[step, 0, 0] == 1


def test_spikes_merge():
    spikes = Spikes(np.array([125, 130, 500]), np.array([0, 0, 1]), np.array([1, 1, 0]))
    dense = spikes_to_dense(spikes, steps=5, batch=2, neurons=2)
    assert dense.sum() == 2 and dense[1, 0, 1] == dense[4, 1, 0] == 1
    assert spikes_to_dense([], steps=3, batch=1, neurons=1).sum() == 0


def test_grid():
    assert grid(30e-6) == 31 and grid(30.2e-6) == 32 and grid(0.0) == 1
    assert [grid(k * 1e-6) for k in range(1, 400)] == [k + 1 for k in range(1, 400)]


def test_traces_per_neuron():
    raw = np.arange(6.0).reshape(3, 1, 2)
    trace = Trace(scale=np.array([1.0, 0.5]), offset=np.array([0.0, 1.0]))
    assert trace.apply(raw).ravel().tolist() == [0, 0, 2, 1, 4, 2]
    assert Trace(time_shift=-1).apply(raw)[:, 0, 0].tolist() == [0, 0, 2]
    assert Trace(time_shift=9).apply(raw)[:, 0, 0].tolist() == [4, 4, 4]


def test_what_was_measured_replaces_what_was_computed():
    key = jax.random.key(0)
    net = nj.Sequential((3,), w=nj.Linear(3, 4, key=key), hidden=bss2.LIF())
    inputs = jnp.ones((10, 2, 3))
    spikes = [[125 * 4, 0, 1], [125 * 7, 1, 3]]
    every = np.indices((12, 2, 4)).reshape(3, -1)
    samples = Samples(5 * every[0] - 20, 125 * every[0], every[1], every[2])
    found = measured(
        {"hidden": 4},
        spikes={"hidden": spikes},
        samples={"hidden": samples},
        traces={"hidden": Trace(scale=0.1, offset=-20)},
        steps=10,
        batch=2,
    )
    assert {name: x.shape for name, x in found.items()} == {
        "hidden": (10, 2, 4), "hidden.v": (10, 2, 4)}  # fmt: skip
    run = nj.simulate(net, inputs, probes=["hidden.v"], measured=found)
    assert run.outputs.sum() == 2 and run.outputs[4, 0, 1] == run.outputs[7, 1, 3] == 1
    np.testing.assert_allclose(run["hidden.v"][:, 0, 0], 0.5 * np.arange(10), rtol=1e-6)


def test_madc():
    time, value = madc_trace([[250, 3], [125, 7]])
    assert time.tolist() == [1e-6, 2e-6] and value.tolist() == [7, 3]
    with pytest.raises(ValueError, match="rows must be"):
        madc_trace([1, 2, 3])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: spikes_to_dense([[0, 2, 0]], steps=1, batch=2, neurons=1), "batch 2 does not"),
        (lambda: spikes_to_dense([[0, 0, -1]], steps=1, batch=1, neurons=1), "neuron -1"),
        (lambda: spikes_to_dense([[-1, 0, 0]], steps=1, batch=1, neurons=1), "time -1"),
        (lambda: spikes_to_dense([[0, 0]], steps=1, batch=1, neurons=1), "columns must be time"),
        (lambda: Trace(interpolation="cubic"), "interpolation is 'cubic'"),
        (lambda: Trace(time_shift=0.5), "time_shift is 0.5"),
        (
            lambda: samples_to_dense([], steps=1, batch=1, neurons=1, interpolation="no"),
            "interpolation is 'no'",
        ),
        (lambda: measured({"a": 1}, spikes={"b": []}, steps=1, batch=1), "'b': no such"),
    ],
)
def test_wrong_recordings(make, text):
    with pytest.raises(ValueError, match=text):
        make()
