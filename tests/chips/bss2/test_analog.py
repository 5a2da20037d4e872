"""Noise and saturation of circuits, against what is known of such processes."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import Analog

KEY = jax.random.key(0)


@eqx.filter_jit
def simulate(neuron, x, key=None, probes=("n.v", "n.i"), measured=None):
    net = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(net, x, key=key, probes=probes, measured=measured)


@pytest.mark.parametrize("tau", [5e-6, 20e-6])
def test_membrane_noise_is_an_ornstein_uhlenbeck_process(tau):
    neuron = Analog(bss2.LIF(tau_mem=tau, threshold=10.0, leak=0.5), noise=0.03)
    v = np.asarray(simulate(neuron, jnp.zeros((200, 50, 40)), KEY)["n.v"])[100:] - 0.5
    n = 50 * 40  # independent processes; a step of each at one time is an independent draw
    at = v[-1].ravel()
    assert abs(at.mean()) < 4 * 0.03 / math.sqrt(n)
    assert abs(at.std() - 0.03) < 4 * 0.03 / math.sqrt(2 * n)
    for lag in (1, 4):
        correlation = np.corrcoef(v[-1 - lag].ravel(), at)[0, 1]
        expected = (1 - 1e-6 / tau) ** lag
        assert abs(correlation - expected) < 4 * (1 - expected**2) / math.sqrt(n) + 1e-3


def test_noise_without_a_leak_is_a_random_walk():
    neuron = Analog(bss2.IAF(tau_mem=10e-6, threshold=10.0), noise=0.03)
    v = np.asarray(simulate(neuron, jnp.zeros((41, 50, 40)), KEY)["n.v"])
    steps = np.diff(v, axis=0)
    expected = 0.03 * math.sqrt(2 * 0.1)
    assert abs(steps.std() - expected) < 4 * expected / math.sqrt(2 * steps.size)
    # Of a walk the variance grows with time.
    ratio = v[40].var() / v[10].var()
    assert abs(ratio - 41 / 11) < 4 * (41 / 11) * math.sqrt(4 / 2000)


def test_noise_does_not_know_the_strength_of_the_input():
    plain = Analog(bss2.LI(tau_mem=10e-6), noise=0.03)
    weak = Analog(bss2.LI(tau_mem=10e-6, c_mem=50e-6, gain=3.0), noise=0.03)
    a, b = (simulate(n, jnp.zeros((30, 4, 5)), KEY)["n.v"] for n in (plain, weak))
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_threshold_noise():
    # A membrane that rests s below the threshold: a spike has the probability of a deviate > 1.
    neuron = Analog(bss2.LIF(leak=0.9, threshold=1.0, reset=0.9), threshold_noise=0.1)
    spikes = simulate(neuron, jnp.zeros((20, 50, 40)), KEY).outputs
    expected = 0.15865525  # of a normal deviate to be beyond one standard deviation
    bound = 4 * math.sqrt(expected * (1 - expected) / spikes.size)
    assert abs(spikes.mean() - expected) < bound


def test_current_saturates_and_decays_as_ever():
    neuron = bss2.LI(tau_mem=5e-6, tau_syn=5e-6, leak=0.2)
    x = jnp.array([0.3, 0, 8, 0, 0, -20, 0, 0, 0]).reshape(9, 1, 1)
    run = simulate(Analog(neuron, largest_current=2.0), x)
    v, i = 0.2, 0.0
    for t, (found_v, found_i) in enumerate(
        zip(run["n.v"].ravel(), run["n.i"].ravel(), strict=True)
    ):
        v += 0.2 * (0.2 - v + 2 * math.tanh(i / 2))
        i = 0.8 * i + float(x[t, 0, 0])
        assert found_v == pytest.approx(v, rel=1e-5) and found_i == pytest.approx(i, rel=1e-5)


def test_membrane_keeps_within_its_limit_whatever_the_step():
    ends = []
    for dt in (1e-6, 0.25e-6):
        neuron = bss2.LI(tau_mem=10e-6, tau_syn=10e-6, leak=0.5, dt=dt)
        limited = Analog(neuron, linear=1.0, limit=1.6)
        steps = round(20e-6 / dt)
        up = simulate(limited, jnp.full((steps, 1, 1), 3.0 * dt / 1e-6))["n.v"].ravel()
        down = simulate(limited, jnp.full((steps, 1, 1), -3.0 * dt / 1e-6))["n.v"].ravel()
        np.testing.assert_allclose(up - 0.5, -(down - 0.5), rtol=1e-5)
        assert (up <= 2.1).all() and up[-1] > 1.8
        ends.append(up[-1])
        # A current so large that a step leaps over the range is stopped, too.
        assert simulate(limited, jnp.full((9, 1, 1), 1e4))["n.v"].max() <= 2.1 + 1e-6
    np.testing.assert_allclose(ends[0], ends[1], rtol=0.02)
    free = simulate(bss2.LI(leak=0.5), jnp.full((20, 1, 1), 0.02))["n.v"]
    inside = Analog(bss2.LI(leak=0.5), linear=1.0, limit=1.6)
    np.testing.assert_allclose(simulate(inside, jnp.full((20, 1, 1), 0.02))["n.v"], free, rtol=1e-6)


NEURONS = [
    bss2.LIF(tau_mem=6e-6, refractory_time=2e-6, gain=1.5),
    bss2.LI(tau_mem=6e-6),
    bss2.IAF(),
    bss2.AELIF(threshold=1.5),
]


@pytest.mark.parametrize("neuron", NEURONS, ids=lambda n: type(n).__name__)
def test_as_the_plain_neuron_where_effects_are_too_small_to_see(neuron):
    x = jax.random.normal(jax.random.key(3), (40, 3, 5)) + 0.4
    huge = {"largest_current": 1e9, "linear": 1e8, "limit": 1e9}
    probes = ("n.v", "n.i")
    plain = simulate(neuron, x, probes=probes)
    wrapped = simulate(Analog(neuron, **huge), x, KEY, probes)
    np.testing.assert_allclose(wrapped.outputs, plain.outputs, rtol=1e-4, atol=1e-5)
    for probe in probes:
        np.testing.assert_allclose(wrapped[probe], plain[probe], rtol=1e-4, atol=1e-5)
    assert jax.tree.structure(wrapped.state) == jax.tree.structure(plain.state)


def test_gradients_reach_everything():
    x = jax.random.normal(jax.random.key(4), (30, 3, 5)) + 0.4
    neuron = bss2.LIF(tau_mem=jnp.full(5, 6e-6), threshold=jnp.ones(5))
    sizes = {
        "noise": 0.02,
        "threshold_noise": 0.02,
        "largest_current": 3.0,
        "linear": 0.8,
        "limit": 2.0,
    }
    analog = Analog(
        neuron,
        factors={"tau_mem": jnp.full(5, 1.1)},
        offsets={"threshold": jnp.full(5, 0.1)},
        **{name: jnp.array(size) for name, size in sizes.items()},
    )

    def loss(analog, x):
        run = simulate(analog, x, KEY)
        return jnp.sum(run.outputs * jnp.arange(5)) + jnp.sum(run["n.v"] ** 2)

    slopes = [*jax.tree.leaves(eqx.filter_grad(loss)(analog, x)), jax.grad(loss, 1)(analog, x)]
    assert len(slopes) == 10
    for slope in slopes:
        assert jnp.isfinite(slope).all() and (slope != 0).any()


def test_measured_values_take_the_place_of_computed_ones():
    x = jax.random.normal(jax.random.key(5), (20, 2, 5)) + 0.4
    analog = Analog(bss2.LIF(), noise=0.05, largest_current=2.0, linear=1.0, limit=2.0)
    device = simulate(analog, x, jax.random.key(6))
    told = {"n": device.outputs, "n.v": device["n.v"]}
    run = simulate(analog, x, jax.random.key(7), measured=told)
    np.testing.assert_array_equal(run.outputs, device.outputs)
    np.testing.assert_array_equal(run["n.v"], device["n.v"])
    reads = Analog(bss2.LI(), readout=bss2.CADC(noise=1.0, period=2e-6))
    seen = simulate(reads, x, jax.random.key(6)).outputs
    run = simulate(reads, x, jax.random.key(7), measured={"n": seen})
    np.testing.assert_array_equal(run.outputs, seen)


def test_refusals():
    for options, error, legal in (
        ({"readout": bss2.CADC()}, ValueError, "probe its membrane"),
        ({"limit": 1.0}, ValueError, "both of linear and limit"),
    ):
        with pytest.raises(error, match=legal):
            Analog(bss2.LIF(), **options)
    with pytest.raises(ValueError, match="no threshold"):
        Analog(bss2.LI(), threshold_noise=0.1)
    with pytest.raises(ValueError, match=r"Magnitudes\.mismatch"):
        Analog(bss2.EventPropLIF(), noise=0.1)
    with pytest.raises(TypeError, match="none of LIF"):
        Analog(nj.LIF(tau=5.0))
