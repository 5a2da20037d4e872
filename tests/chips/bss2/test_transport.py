"""Late and lost events, against the distribution of a uniform plus a normal deviate."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

import neurojax as nj
from neurojax.chips.bss2 import Transport

DT = 1e-6
N = 40_000


@eqx.filter_jit
def carried(transport, x, key):
    net = nj.Sequential(x.shape[2:], late=transport)
    return nj.simulate(net, x, key=key)


def lateness(transport, steps=5):
    """Share of events that come 0, 1, ... steps late."""
    x = jnp.zeros((steps, 1, N)).at[0].set(1.0)
    return np.asarray(carried(transport, x, jax.random.key(0)).outputs).mean(axis=(1, 2))


def expected(jitter, latency, steps=5):
    """The same by integration: clipped at 0, the last step takes what is later."""

    def below(t):  # P(u + latency + N < t) in steps, u uniform in 0..1
        width = jitter / DT
        cdf = lambda u: stats.norm.cdf(t - u - latency / DT, scale=width)  # noqa: E731
        return integrate.quad(cdf, 0, 1)[0]

    shares = np.diff([0.0, *(below(k + 1) for k in range(steps - 1)), 1.0])
    return shares


@pytest.mark.parametrize(
    ("jitter", "latency"), [(0.1e-6, 0.0), (0.5e-6, 0.0), (0.3e-6, 1e-6), (0.2e-6, 0.4e-6)]
)
def test_how_many_are_late(jitter, latency):
    found = lateness(Transport(jitter=jitter, latency=latency))
    share = expected(jitter, latency)
    bound = 4 * np.sqrt(share * (1 - share) / N) + 1e-6  # standard errors of a count
    assert (np.abs(found - share) < bound).all(), (found, share)
    assert found.sum() == pytest.approx(1)


def test_rule_of_thumb_of_the_docstring():
    found = lateness(Transport(jitter=0.1e-6))
    np.testing.assert_allclose(found[1], 0.1 / np.sqrt(2 * np.pi), atol=0.004)


def test_a_latency_of_whole_steps_is_exact_and_other_ones_are_not_forgotten():
    np.testing.assert_array_equal(lateness(Transport(latency=3e-6)), np.eye(5)[3])
    late = lateness(Transport(latency=1.25e-6))
    np.testing.assert_allclose(late, [0, 0.75, 0.25, 0, 0], atol=0.01)


def test_no_event_is_lost_or_made():
    x = jax.random.poisson(jax.random.key(1), 0.4, (30, 3, 8)).astype(jnp.float32)
    run = carried(Transport(jitter=0.8e-6, latency=0.5e-6), x, jax.random.key(2))
    under_way = run.state.layers["late"].pending.sum(axis=1)
    np.testing.assert_array_equal(run.outputs.sum(axis=0) + under_way, x.sum(axis=0))
    # Never before it was sent.
    sent, come = np.cumsum(x, axis=0), np.cumsum(run.outputs, axis=0)
    assert (come <= sent).all() and (come < sent).any()


def test_loss_is_binomial():
    x = jnp.ones((4, 1, N // 4))
    found = carried(Transport(loss=0.02), x, jax.random.key(3)).outputs
    assert abs(found.mean() - 0.98) < 4 * np.sqrt(0.02 * 0.98 / N)
    np.testing.assert_array_equal(carried(Transport(), x, None).outputs, x)


def test_gradients_follow_the_events():
    x = jnp.ones((6, 2, 3))
    g = jax.random.normal(jax.random.key(4), (6, 2, 3))
    transport = Transport(jitter=0.9e-6, loss=0.2)
    key = jax.random.key(5)
    slope = jax.grad(lambda x: jnp.sum(g * carried(transport, x, key).outputs))(x)
    # Linear in x with the same draws, so the response to one event is its row of the Jacobian.
    for t, n in itertools.product((0, 2), (0, 1)):
        one = jnp.zeros_like(x).at[t, 0, n].set(1.0)
        response = carried(transport, one, key).outputs
        np.testing.assert_allclose(slope[t, 0, n], jnp.sum(g * response), rtol=1e-5)


def test_an_array_needs_a_longest_delay():
    with pytest.raises(ValueError, match="say it in steps with longest="):
        Transport(jitter=jnp.array(1e-7))
    found = lateness(Transport(jitter=jnp.array(0.5e-6), longest=1))
    assert (found[2:] == 0).all() and found[1] > 0.1
    with pytest.raises(ValueError, match=r"loss is 1\.5"):
        Transport(loss=1.5)
