"""Losses and encoders: recordings, softmax by scipy, silent neurons."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import log_softmax

from neurojax.chips.bss2 import events


def recorded(golden, case):
    with np.load(golden / "bss2/jaxsnn.npz") as stored:
        return {k.split("/")[1]: stored[k] for k in stored.files if k.startswith(f"{case}/")}


def test_losses_of_jaxsnn(golden):
    a = recorded(golden, "losses")
    first, tau = jnp.asarray(a["first"]), 5e-3
    for name in ("target_time", "mse"):
        value = getattr(events, f"{name}_loss")(first, a["target"], tau=tau)
        np.testing.assert_allclose(value, a[name], rtol=1e-6)
    # jaxsnn minimises the probability of the right neuron.
    value = events.ttfs_loss(first, a["target"].argmin(), tau=tau)
    np.testing.assert_allclose(value, -a["ttfs"], rtol=1e-6)


def test_ttfs_is_a_cross_entropy_that_lets_the_right_neuron_win():
    first = jnp.array([[1.0, 1.2, 0.9], [0.3, 0.2, 5.0]])
    label = np.array([2, 0])
    loss = lambda first: events.ttfs_loss(first, label, tau=0.6)  # noqa: E731
    expected = -log_softmax(-np.minimum(first, 1.2) / 0.6, axis=1)[[0, 1], label]
    np.testing.assert_allclose(loss(first), expected, rtol=1e-5)
    slopes = jax.grad(lambda first: loss(first).sum())(first)
    assert slopes[0, 2] > 0 and slopes[1, 0] > 0  # earlier is better
    assert slopes[0, 0] < 0 and slopes[1, 1] < 0
    np.testing.assert_allclose(
        events.nll_loss(-first, label), -log_softmax(np.maximum(-first, 0), axis=1)[[0, 1], label]
    )


def test_silent_neurons_have_finite_losses_and_no_gradient():
    first = jnp.array([0.1, jnp.inf])
    for loss in (
        lambda t: events.ttfs_loss(t, 1, tau=1.0),
        lambda t: events.mse_loss(t, jnp.array([0.2, 0.3]), tau=1.0),
        lambda t: events.target_time_loss(t, jnp.array([0.2, 0.3]), tau=1.0),
    ):
        value, slope = jax.value_and_grad(loss)(first)
        assert np.isfinite(value)
        assert np.isfinite(slope).all() and slope[0] != 0 and slope[1] == 0


@pytest.mark.parametrize(("copies", "neurons"), [(None, False), (3, False), (3, True)])
def test_encoder_of_jaxsnn(golden, copies, neurons):
    a = recorded(golden, f"event_encode_{copies}_{int(neurons)}")
    train = events.encode(a["x"], t_late=2e-5, copies=copies or 1, copy_neurons=neurons)
    np.testing.assert_array_equal(train.time, a["time"])
    np.testing.assert_array_equal(train.index, a["idx"])


def test_encoded_batches_have_a_bias_and_gradients():
    x = jnp.array([[0.5, 0.25], [0.0, 1.0]])
    train = events.encode(x, t_early=1.0, t_late=3.0, t_bias=0.5)
    np.testing.assert_array_equal(train.time, [[0.5, 1.5, 2.0], [0.5, 1.0, 3.0]])
    np.testing.assert_array_equal(train.index, [[2, 1, 0], [2, 0, 1]])
    slope = jax.grad(lambda x: events.encode(x, t_late=3.0).time[0, 0])(x)
    np.testing.assert_array_equal(slope, [[0, 3], [0, 0]])
    with pytest.raises(ValueError, match="copies"):
        events.encode(x, t_late=1.0, copies=0)


def test_targets_of_jaxsnn(golden):
    y = recorded(golden, "target_encode")["y"]
    found = events.target_times(y.argmin(1), 3, correct=0.9, wrong=1.1)
    np.testing.assert_allclose(found, y, rtol=1e-6)
    with pytest.raises(ValueError, match="finite"):
        events.target_times([0], 3, correct=1.0, wrong=np.inf)
