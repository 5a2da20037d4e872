"""Decoders against hxtorch's recordings, NumPy, and finite differences over single spikes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra.numpy import arrays

from neurojax import decode

SPIKES = arrays(np.float32, (7, 3), elements=st.sampled_from([0.0, 0.0, 1.0]))


def test_reductions_as_hxtorch(golden):
    recorded = np.load(golden / "data/hxtorch.npz", allow_pickle=False)
    x = recorded["decoders/x"]
    assert (np.asarray(decode.max_over_time(x)) == recorded["decoders/max"]).all()
    np.testing.assert_allclose(decode.sum_over_time(x), recorded["decoders/sum"], atol=1e-5)
    np.testing.assert_allclose(decode.mean_over_time(x), recorded["decoders/mean"], atol=1e-6)
    assert (np.asarray(decode.last(x)) == x[-1]).all()


def test_max_shares_its_gradient_as_torch(golden):
    recorded = np.load(golden / "data/hxtorch.npz", allow_pickle=False)
    x, expected = recorded["max_over_time_grad/x"], recorded["max_over_time_grad/gx"]
    gradient = jax.jit(jax.grad(lambda v: decode.max_over_time(v).sum()))(x)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6)


def _first(spikes: np.ndarray, silent: float) -> np.ndarray:
    """Time of the first spike, by looking."""
    columns = spikes.reshape(len(spikes), -1).T
    return np.array([next((t for t, z in enumerate(c) if z), silent) for c in columns])


_compiled = jax.jit(decode.first_spike_time, static_argnames="silent")


@given(SPIKES, st.sampled_from([None, 100.0, -1.0]))
def test_first_spike_time(spikes, silent):
    expected = _first(spikes, len(spikes) if silent is None else silent)
    time = _compiled(spikes, silent=silent)
    assert time.dtype == jnp.float32
    assert (np.asarray(time) == expected).all()
    counts = spikes * np.array([1, 2, 3], np.float32)
    assert (np.asarray(decode.first_spike_time(counts, silent=silent)) == expected).all()
    assert (np.asarray(decode.first_spike_time(spikes > 0, silent=silent)) == expected).all()


@given(SPIKES)
def test_first_spike_derivative_is_the_effect_of_a_spike(spikes):
    # Put in and take out every single spike, and look at the time of the first.
    expected = np.zeros_like(spikes)
    for place in np.ndindex(*spikes.shape):
        with_spike, without = spikes.copy(), spikes.copy()
        with_spike[place], without[place] = 1, 0
        expected[place] = (_first(with_spike, 7) - _first(without, 7))[place[1]]
    for silent in (None, 100.0):
        gradient = jax.jit(
            jax.grad(lambda z, s=silent: decode.first_spike_time(z, silent=s).sum())
        )(spikes)
        assert (np.asarray(gradient) == expected).all()
    tangent = jax.jvp(decode.first_spike_time, (spikes,), (np.ones_like(spikes),))[1]
    assert (np.asarray(tangent) == expected.sum(axis=0)).all()


@given(arrays(np.float32, (6, 2, 4), elements=st.integers(0, 3)))
def test_majority(outputs):
    expected = []
    for sample in range(2):
        votes = [0] * 4
        for step in outputs[:, sample]:
            for label in range(4):
                votes[label] += step[label] == max(step)
        expected.append(votes.index(max(votes)))
    winners = jax.jit(decode.majority)(outputs)
    assert winners.dtype == jnp.int32
    assert winners.tolist() == expected


def test_majority_ties():
    silent = jnp.zeros((5, 3))
    one_spike = silent.at[3, 2].set(1.0)
    assert int(decode.majority(silent)) == 0
    assert int(decode.majority(one_spike)) == 2  # silent steps favour nobody
    assert int(decode.majority(jnp.array([[1.0, 0.0], [0.0, 1.0]]))) == 0


@pytest.mark.parametrize(
    "decoder",
    [
        decode.sum_over_time,
        decode.mean_over_time,
        decode.max_over_time,
        decode.last,
        decode.first_spike_time,
        decode.majority,
    ],
)
def test_empty_time_is_refused(decoder):
    with pytest.raises(ValueError, match=f"{decoder.__name__}: .*time, is empty"):
        decoder(jnp.zeros((0, 3)))


def test_majority_needs_classes():
    with pytest.raises(ValueError, match=r"give \[time"):
        decode.majority(jnp.zeros(3))
