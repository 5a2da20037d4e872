"""What back-propagation keeps of a step, and that computing the rest again changes nothing."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj

NEURONS = 64


def kept(neuron: nj.Layer) -> int:
    """Arrays, one number a neuron, that the derivative of a step needs."""
    neuron = neuron.prepare(None)

    def step(v, x):
        state, y = neuron.step(neuron.init((NEURONS,))._replace(v=v), x)
        return state.v, y

    derivative = jax.vjp(step, jnp.zeros(NEURONS), jnp.ones(NEURONS))[1]
    leaves = jax.tree.leaves(derivative)
    return sum(leaf.shape == (NEURONS,) and leaf.dtype == jnp.float32 for leaf in leaves)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reset": "zero"},
        {"reset": "value", "reset_value": -0.5, "max_spikes": None},
        {"max_spikes": 3},
    ],
)
def test_one_number_a_neuron_is_kept(options):
    assert kept(nj.LIF(decay=0.5, **options)) == 1


@pytest.mark.parametrize("delay", [True, "before", "compensated"])
def test_a_late_reset_needs_two_steps_potentials(delay):
    assert kept(nj.LIF(decay=0.5, reset="zero", reset_delay=delay)) == 2


NETWORKS = {
    "zero": lambda: nj.LIF(tau=4.0, reset="zero", v_min=-0.5),
    "before": lambda: nj.LIF(decay=0.75, reset="zero", reset_delay="before"),
    "late, counted": lambda: nj.LIF(
        decay=0.75, threshold=jnp.full(3, 0.5), max_spikes=None, reset_delay=True
    ),
    "refractory": lambda: nj.CubaLIF(
        tau=4.0, tau_syn=2.0, reset="zero", threshold=jnp.float32(0.5), refractory=2
    ),
    "adaptive": lambda: nj.AdaptiveLIF(tau=4.0, tau_adapt=jnp.float32(8.0)),
}


@pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS)
def test_gradients_are_those_of_forward_mode(make):
    """Forward mode keeps nothing. Under both schedules, nested checkpoints and vmap."""
    network = nj.Sequential((4,), a=nj.Linear(4, 3, key=jax.random.key(0)), n=make())
    rng = np.random.default_rng(1)
    x = rng.uniform(-0.2, 1.0, (12, 2, 4)).astype(np.float32)
    network = jax.tree.map(lambda w: w + 0.3 if w.ndim == 2 else w, network)
    importance = rng.uniform(size=(12, 2, 3)).astype(np.float32)

    def loss(network, **options):
        return jnp.sum(nj.simulate(network, x, **options).outputs * importance)

    total, forward = jax.jit(lambda network: (loss(network), jax.jacfwd(loss)(network)))(network)
    assert total > 0
    leaves, tree = jax.tree.flatten(forward)
    gradient = jax.jit(jax.grad(loss), static_argnames=("schedule", "checkpoint"))
    for schedule in ("step", "layer"):
        for checkpoint in (None, (6, 2)):
            found = gradient(network, schedule=schedule, checkpoint=checkpoint)
            for a, b in zip(tree.flatten_up_to(found), leaves, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    two = jax.tree.map(lambda w: jnp.stack([w, w]), network)
    for a, b in zip(
        tree.flatten_up_to(jax.jit(jax.vmap(jax.grad(loss)))(two)), leaves, strict=True
    ):
        np.testing.assert_allclose(a[1], b, rtol=1e-4, atol=1e-5)
