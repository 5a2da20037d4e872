"""Gradients against back-propagation through time by hand, and against finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import neurons
from neurojax.surrogate import ATan
from tests.neurons import _oracle as oracle


def _atan(u, alpha=2.0):
    return alpha / 2 / (1 + (np.pi * alpha * u / 2) ** 2)


@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("reset, value", [("subtract", 0.0), ("zero", 0.0), ("value", -0.25)])
def test_lif_equals_the_recursion_by_hand(reset, value, detach):
    random = np.random.default_rng(3)
    x, ws, wv = random.normal(0.3, 0.8, (3, 20, 4))
    options = {"reset_value": value} if reset == "value" else {}

    def loss(decay, threshold, x):
        neuron = neurons.LIF(
            decay=decay,
            threshold=threshold,
            reset=reset,
            detach_reset=detach,
            surrogate=ATan(2.0),
            v_init=0.0,
            **options,
        )
        run = nj.simulate(nj.Sequential((4,), n=neuron), x[:, None], probes=["n.v"])
        return (ws * run.outputs[:, 0]).sum() + (wv * run["n.v"][:, 0]).sum()

    arguments = jnp.float32(0.8), jnp.float32(0.9), jnp.asarray(x, jnp.float32)
    by_decay, by_threshold, by_x = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(*arguments)
    gx, to_decay, to_threshold = oracle.lif_gradient(
        x, ws, wv, decay=0.8, threshold=0.9, reset=reset, reset_value=value, detach=detach, g=_atan
    )
    np.testing.assert_allclose(by_x, gx, atol=2e-5)
    np.testing.assert_allclose(by_decay, to_decay, rtol=1e-4)
    np.testing.assert_allclose(by_threshold, to_threshold, rtol=1e-4)


def _cuba_li(x, w, order, tau, tau_syn, v_rest, gain):
    """sum(w v) of a leaky integrator with synaptic current, in float64."""
    decay, s = np.exp(-1 / tau), np.exp(-1 / tau_syn)
    v, i, total = v_rest, 0.0, 0.0
    for now, weight in zip(x, w, strict=True):
        old = i
        i = s * (i + now) if order in ("jump_then_decay", "decay_input") else s * i + now
        drive = {"old": old, "jump_then_decay": old + now}.get(order, i)
        v = v_rest + decay * (v - v_rest) + gain * (1 - decay) * drive
        total += weight * v
    return total


@pytest.mark.parametrize("order", ["new", "old", "jump_then_decay", "decay_input"])
def test_time_constants_equal_finite_differences(order):
    x, w = np.random.default_rng(1).normal(size=(2, 15))
    point = {"tau": 7.0, "tau_syn": 3.0, "v_rest": 0.4, "gain": 1.5}

    def loss(numbers):
        neuron = neurons.CubaLI(order=order, normalize_input=True, **numbers)
        run = nj.simulate(nj.Sequential((1,), n=neuron), jnp.asarray(x, jnp.float32)[:, None, None])
        return (w * run.outputs[:, 0, 0]).sum()

    gradient = jax.jit(jax.grad(loss))({k: jnp.float32(v) for k, v in point.items()})
    for name, value in point.items():
        up = _cuba_li(x, w, order, **(point | {name: value + 1e-5}))
        down = _cuba_li(x, w, order, **(point | {name: value - 1e-5}))
        np.testing.assert_allclose(gradient[name], (up - down) / 2e-5, rtol=2e-4, err_msg=name)


def test_an_array_is_learned_and_a_number_is_not():
    net = nj.Sequential((3,), n=neurons.LIF(tau=jnp.full(3, 10.0), threshold=1.0))
    loss = lambda net: nj.simulate(net, jnp.full((6, 2, 3), 0.4)).outputs.sum()  # noqa: E731
    leaves = jax.tree.leaves(jax.jit(jax.grad(loss))(net))
    assert [leaf.shape for leaf in leaves] == [(3,)]
    assert (leaves[0] != 0).all()


def test_detached_threshold_learns_through_the_reset_only():
    def loss(threshold, reset):
        neuron = neurons.IAF(threshold=threshold, detach_threshold=True, reset=reset)
        run = nj.simulate(nj.Sequential((1,), n=neuron), jnp.full((1, 1, 1), 2.0), probes=["n.v"])
        return run["n.v"].sum()

    gradient = jax.jit(jax.grad(loss), static_argnums=1)
    assert gradient(1.0, "subtract") == -1
    assert gradient(1.0, "zero") == 0


def test_no_gradient_below_the_lower_bound():
    def last(x):
        net = nj.Sequential((1,), n=neurons.IAF(v_min=-1.0, reset="none"))
        return nj.simulate(net, x.reshape(3, 1, 1), probes=["n.v"])["n.v"][-1].sum()

    gradient = jax.jit(jax.grad(last))(jnp.array([0.5, -1.5, 0.25]))
    np.testing.assert_array_equal(gradient, [0, 0, 1])


def test_forward_and_reverse_mode_agree():
    net = nj.Sequential((2,), n=neurons.CubaLIF(tau=5.0, tau_syn=3.0))
    x = np.random.default_rng(0).normal(size=(6, 1, 2)).astype(np.float32)
    run = lambda x: nj.simulate(net, x, probes=["n.v"])["n.v"]  # noqa: E731
    forward, reverse = jax.jit(lambda x: (jax.jacfwd(run)(x), jax.jacrev(run)(x)))(x)
    np.testing.assert_allclose(forward, reverse, atol=1e-6)
