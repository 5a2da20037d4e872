"""Synapses of six bits, against hxtorch's rounding and exact arithmetic."""

import fractions
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import Synapse

W = jax.random.normal(jax.random.key(0), (4, 6))


def plain(weight):
    return nj.Linear.from_weights(jnp.asarray(weight, jnp.float32))


def ones(synapse, key=None):
    """Response to a spike of every source, one after the other: the weights as they act."""
    n = synapse.synapse.weight.shape[1]
    net = nj.Sequential((n,), fc=synapse)
    return nj.simulate(net, jnp.eye(n)[:, None], key=key).outputs[:, 0].T


def test_rounding_is_that_of_the_recordings(golden):
    with np.load(golden / "bss2" / "spiking_head.npz") as file:
        case = {name: file[f"hw_weight_split/{name}"] for name in ("w", "exc", "inh_abs")}
    made = Synapse(plain(case["w"][None]))
    expected = np.clip(case["exc"] - case["inh_abs"], -63, 63)
    np.testing.assert_array_equal(made.integers()[0], expected)


@settings(deadline=None, max_examples=20)
@given(
    st.lists(st.floats(-3, 3, width=32), min_size=6, max_size=6),
    st.sampled_from([1.0, 21.0, 64.0, 0.3]),
    st.sampled_from([6, 4, 1]),
)
def test_integers_by_fractions(weights, scale, bits):
    made = Synapse(plain([weights]), scale=scale, bits=bits)
    largest = 2**bits - 1
    for w, found in zip(weights, made.integers()[0].tolist(), strict=True):
        # A float32 product is rounded before it is rounded to an integer.
        exact = fractions.Fraction(float(np.float32(scale) * np.float32(w)))
        nearest = math.floor(abs(exact) + fractions.Fraction(1, 2))
        assert found == min(nearest, largest) * (1 if exact > 0 else -1)


def test_a_run_uses_what_the_chip_holds():
    made = Synapse(plain(W), scale=20.0)
    np.testing.assert_allclose(ones(made), made.integers() / 20.0, rtol=2e-7)
    np.testing.assert_array_equal(ones(Synapse(plain(W), bits=None, scale=20.0)), W)
    _, y = made.step(None, jnp.eye(6)[2])  # also without being prepared
    np.testing.assert_array_equal(y, made.weight[:, 2])


def test_gradients_pass_rounding_and_limits():
    x = jax.random.normal(jax.random.key(1), (7, 6))
    g = jax.random.normal(jax.random.key(2), (7, 4))

    def loss(synapse):
        net = nj.Sequential((6,), fc=synapse)
        return jnp.sum(g * nj.simulate(net, x[:, None]).outputs[:, 0])

    made = Synapse(plain(W), scale=40.0)
    assert np.abs(made.integers()).max() == 63 and np.abs(40 * W).max() > 70
    found = eqx.filter_grad(loss)(made).synapse.weight
    np.testing.assert_allclose(found, g.T @ x, rtol=1e-5, atol=1e-5)
    strengths = (jnp.full((4, 6), 0.5), jnp.full((4, 6), 2.0))
    found = eqx.filter_grad(loss)(Synapse(plain(W), scale=40.0, strength=strengths))
    expected = (g.T @ x) * jnp.where(W >= 0, 0.5, 2.0)
    np.testing.assert_allclose(found.synapse.weight, expected, rtol=1e-5, atol=1e-5)


def test_a_learned_scale_has_the_derivative_of_its_rounding_error():
    made = Synapse(plain(W), scale=jnp.array(7.0))
    found = jax.grad(lambda s: eqx.tree_at(lambda m: m.scale, made, s).weight.sum())(jnp.array(7.0))
    # d/ds round(s w) / s, if the derivative of rounding is that of its argument
    expected = np.sum((7.0 * W - made.integers()) / 49.0)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_strength_of_either_sign_and_sparse_synapses():
    up, down = jax.random.uniform(jax.random.key(3), (2, 4, 6), minval=0.5, maxval=1.5)
    made = Synapse(plain(W), scale=20.0, strength=(up, down))
    whole = made.integers()
    expected = np.where(whole > 0, whole * np.asarray(up), whole * np.asarray(down)) / 20.0
    np.testing.assert_allclose(ones(made), expected, rtol=1e-6)
    connected = np.asarray(W) > 0
    sparse = bss2.SparseLinear.from_weights(W, connected)
    made = Synapse(sparse, scale=20.0, strength=(up, down))
    np.testing.assert_allclose(ones(made), np.where(connected, expected, 0), rtol=1e-6)


def test_drift_is_one_factor_a_run():
    made = Synapse(plain(W), scale=20.0, drift=0.1)
    keys = jax.random.split(jax.random.key(4), 1000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: ones(made, key)))(keys))
    ratio = found / made.weight
    used = made.integers() != 0
    assert np.ptp(ratio[:, used], axis=1).max() < 1e-5
    # mean and standard deviation of 1000 draws, within four standard errors
    assert abs(ratio[:, used][:, 0].mean() - 1) < 4 * 0.1 / math.sqrt(1000)
    assert abs(ratio[:, used][:, 0].std() - 0.1) < 4 * 0.1 / math.sqrt(2000)
    with pytest.raises(ValueError, match="draw random numbers"):
        ones(made)


def test_refusals():
    with pytest.raises(TypeError, match="LIF has no weight"):
        Synapse(bss2.LIF())
    with pytest.raises(ValueError, match="an input that always spikes"):
        Synapse(nj.Linear(2, 3, bias=True, key=jax.random.key(0)))
    for option, legal in (({"bits": 7}, "1..6"), ({"scale": 0.0}, "> 0"), ({"drift": -1}, ">= 0")):
        with pytest.raises(ValueError, match=legal):
            Synapse(plain(W), **option)
