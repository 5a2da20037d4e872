"""Chain against the same layers named in a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.layers import Dropout, Linear
from neurojax.layers.chain import Chain
from neurojax.layers.recurrent import Recurrent


def _layers():
    weights = jax.random.randint(jax.random.key(3), (5, 4), -4, 5) / 4  # their sums are exact
    return {"input": Linear.from_weights(weights), "synapse": nj.LI(decay=0.5), "neuron": nj.IAF()}


def test_computes_what_its_layers_do_in_a_network():
    x = jax.random.randint(jax.random.key(0), (12, 3, 4), -4, 5) / 4
    names = {f"{k}_": v for k, v in _layers().items()}
    apart = nj.simulate(nj.Sequential((4,), **names), x, probes=["synapse_.v", "neuron_.v"])
    together = nj.Sequential((4,), hidden=Chain(**_layers()))
    run = nj.simulate(together, x, probes=["hidden.synapse.v", "hidden.neuron.v"])
    assert apart.outputs.sum() > 10
    np.testing.assert_array_equal(run.outputs, apart.outputs)
    np.testing.assert_array_equal(run["hidden.synapse.v"], apart["synapse_.v"])
    np.testing.assert_array_equal(run["hidden.neuron.v"], apart["neuron_.v"])
    half = nj.simulate(together, x[:5])
    rest = nj.simulate(together, x[5:], state=half.state)
    np.testing.assert_array_equal(jnp.concatenate([half.outputs, rest.outputs]), run.outputs)


def test_is_a_synapse_of_a_recurrent_population():
    weight = jnp.array([[0.0, 1.0], [1.0, 0.0]])
    plain = Recurrent(nj.IAF(), Linear.from_weights(weight))
    chained = Recurrent(nj.IAF(), Chain(swap=Linear.from_weights(weight), same=nj.Identity()))
    x = jnp.ones((6, 1, 2)) * jnp.array([0.5, 0.0])
    runs = [nj.simulate(nj.Sequential((2,), net), x).outputs for net in (plain, chained)]
    assert runs[0].sum() > 0
    np.testing.assert_array_equal(*runs)


def test_draws_random_numbers_only_if_a_layer_does():
    net = nj.Sequential((50,), Chain(same=nj.Identity(), drop=Dropout(0.5)))
    outputs = nj.simulate(net, jnp.ones((2, 1, 50)), key=jax.random.key(0)).outputs
    assert 0 < (outputs == 0).sum() < outputs.size
    with pytest.raises(ValueError, match="key"):
        nj.simulate(net, jnp.ones((2, 1, 50)))
    assert not Chain(same=nj.Identity()).needs_key


def test_refuses_what_it_cant_name():
    with pytest.raises(ValueError, match="at least one"):
        Chain()
    with pytest.raises(ValueError, match="'_a'"):
        Chain(_a=nj.Identity())
    with pytest.raises(KeyError, match="no layer 'b'"):
        Chain(a=nj.Identity())["b"]
