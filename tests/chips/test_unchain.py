"""Chains on chips: the same network as with its layers named."""

import jax
import jax.numpy as jnp
import pytest

import neurojax as nj
from neurojax.chips import cri, dynapcnn, loihi
from neurojax.chips._unchain import unchained


def networks():
    pool, half = nj.SumPool2d(2), nj.layers.Scale(0.5)
    conv = nj.Conv2d.from_weights(jax.random.normal(jax.random.key(0), (3, 1, 3, 3)))
    start = {"conv": conv, "neurons": nj.IAF(reset="zero")}
    end = {"out": nj.Conv2d.from_weights(jnp.ones((2, 3, 1, 1))), "last": nj.IAF(reset="zero")}
    middles = (
        {"between": nj.layers.Chain(pool=pool, half=half)},
        {"between.pool": pool, "between": half},
    )
    return [nj.Sequential((1, 8, 8), **start, **middle, **end) for middle in middles]


@pytest.mark.parametrize("chip", [loihi, cri, dynapcnn])
def test_a_chain_is_mapped_like_its_layers(chip):
    chained, plain = (chip.map(network).network for network in networks())
    inputs = jax.random.bernoulli(jax.random.key(1), 0.4, (12, 2, 1, 8, 8)).astype(float)
    assert chained.names == plain.names
    outputs = nj.simulate(chained, inputs).outputs
    assert outputs.any()
    assert (outputs == nj.simulate(plain, inputs).outputs).all()


def test_what_others_listen_to_keeps_its_name():
    chained, plain = networks()
    opened = unchained(chained)
    assert opened.names == plain.names
    assert set(opened.edges) == set(plain.edges)
    assert unchained(plain) is plain
