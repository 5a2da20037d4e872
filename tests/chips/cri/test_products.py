"""Products of spikes: mapped networks against sums of products in NumPy, and what is refused."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import cri
from neurojax.chips._mapped import MappingError
from neurojax.layers import AvgPool1d, Linear, MatMul, Permute, Reshape, Scale, Slice


def fired(currents, threshold):
    """IF neurons that start again at 0."""
    v, spikes = np.zeros(currents.shape[1:]), []
    for current in currents:
        v = v + current
        spikes.append(v >= threshold)
        v = np.where(spikes[-1], 0, v)
    return np.array(spikes, np.float64)


def if_node(threshold):
    return nj.IAF(threshold=float(threshold), reset="zero")


def crossbar(mapped, x):
    """Output spikes of one sample, `[time, outputs]`, on the event engine."""
    network, late = cri.describe_network(mapped), cri.latency(mapped)
    rows = x.reshape(len(x), -1)
    steps = [[f"a{i}" for i in np.flatnonzero(row)] for row in rows] + [[]] * late
    found = [set(keys) for keys in network.run(steps)[late:]]
    return np.array([[key in keys for key in network.outputs] for keys in found], np.float64)


@settings(max_examples=8, deadline=None)
@given(st.data())
def test_products_of_spikes_are_counted(data):
    """(x^T x) x and its kin: any order of two products, heads, scales, with neurons in between."""
    draw = lambda *choices: data.draw(st.sampled_from(choices))  # noqa: E731
    heads, tokens, dim = draw(1, 2), draw(1, 2, 3), draw(1, 2)
    spikes_between, late, scale = draw(False, True), draw(False, True), draw(1.0, 0.5, 2.0)
    threshold = draw(1, 2, 3) * scale
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    x = (rng.random((5, heads, tokens, 2 * dim)) < 0.6).astype(np.float64)
    layers = {
        "q": Slice(0, dim, axis=-1),
        "k": Slice(dim, 2 * dim, axis=-1),
        "transposed": Permute((0, 2, 1)),
        "scores": MatMul(),
        "scaled": Scale(scale),
        "values": MatMul(),
        "out": if_node(threshold),
    }
    edges = [("input", "q"), ("input", "k"), ("k", "transposed")]
    edges += [("q", "scores"), ("transposed", "scores"), ("scores", "scaled")]
    q, k = x[..., :dim], x[..., dim:]
    scores = scale * (q @ k.swapaxes(-1, -2))
    last = "scaled"
    if spikes_between:
        layers["between"], last = if_node(2 * scale), "between"
        edges.append(("scaled", "between"))
        scores = fired(scores, 2 * scale)
        threshold = threshold / scale
        layers["out"] = if_node(threshold)
    values = k
    other = "k"
    if late:  # one factor has passed a population more
        layers["slow"], other = if_node(1), "slow"
        edges.append(("k", "slow"))
        values = fired(k, 1)
    edges += [(last, "values"), (other, "values"), ("values", "out")]
    network = nj.Network(layers, edges, inputs=x.shape[1:])
    mapped = cri.map(network)
    expected = fired(scores @ values, threshold)
    got = cri.run(mapped, jnp.asarray(x[:, None], jnp.float32))[:, 0]
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(crossbar(mapped, x), expected.reshape(len(x), -1))


def test_a_product_in_front_of_weights_and_in_a_sum():
    rng = np.random.default_rng(0)
    x = (rng.random((6, 3, 3)) < 0.5).astype(np.float64)
    weight = rng.integers(-3, 4, (2, 9)).astype(np.float64)
    layers = {
        "square": MatMul(),
        "flat": Reshape((9,)),
        "weights": Linear.from_weights(weight),
        "out": if_node(2.0),
    }
    edges = [("input", "square"), ("input", "square.again"), ("square.again", "square")]
    layers["square.again"] = nj.layers.Identity()
    edges += [("square", "flat"), ("flat", "weights"), ("weights", "out")]
    mapped = cri.map(nj.Network(layers, edges, inputs=(3, 3)))
    expected = fired((x @ x).reshape(6, 9) @ weight.T, 2.0)
    np.testing.assert_array_equal(crossbar(mapped, x), expected)
    assert "27 AND neurons" in str(mapped.report())
    added = {"square": MatMul(), "square.again": nj.layers.Identity(), "out": if_node(2.0)}
    edges = [*edges[:3], ("square", "out"), ("input", "out")]
    mapped = cri.map(nj.Network(added, edges, inputs=(3, 3)))
    expected = fired(x @ x + x, 2.0).reshape(6, 9)
    np.testing.assert_array_equal(crossbar(mapped, x), expected)


def test_gradients_pass_the_and_neurons():
    layers = {"fc": Linear.from_weights(np.full((4, 4), 2.0)), "a": if_node(3.0)}
    layers |= {"as": Reshape((2, 2)), "turned": Permute((1, 0)), "both": MatMul()}
    layers |= {"out": if_node(1.0)}
    edges = [("input", "fc"), ("fc", "a"), ("a", "as"), ("as", "both"), ("as", "turned")]
    edges += [("turned", "both"), ("both", "out")]
    mapped = cri.map(nj.Network(layers, edges, inputs=(4,)))
    x = jnp.ones((5, 1, 4))

    def spikes(network):
        return nj.simulate(network, x).outputs.sum()

    gradient = jax.grad(spikes)(mapped.network)["fc"].synapse.weight
    assert np.isfinite(gradient).all() and (np.asarray(gradient) != 0).all()


def network_of(*before, shape=(2, 4)):
    layers = {f"l{i}": layer for i, layer in enumerate(before)}
    names = ["input", *layers]
    edges = list(itertools.pairwise(names))
    layers |= {"turned": Permute((1, 0)), "product": MatMul(), "out": if_node(1.0)}
    edges += [(names[-1], "turned"), (names[-1], "product"), ("turned", "product")]
    return nj.Network(layers, [*edges, ("product", "out")], inputs=shape)


@pytest.mark.parametrize(
    "network, message",
    [
        (network_of(AvgPool1d(2)), "a product of what is no single spikes"),
        (network_of(shape=(1 << 13, 1 << 2)), "a product with 268,435,456 terms"),
        (network_of(nj.layers.ReLU()), "a ReLU"),
    ],
)
def test_what_is_no_product_of_spikes_is_refused(network, message):
    with pytest.raises(MappingError, match=message):
        cri.map(network)


def test_a_product_is_no_output():
    layers = {"turned": Permute((1, 0)), "product": MatMul()}
    edges = [("input", "turned"), ("input", "product"), ("turned", "product")]
    with pytest.raises(MappingError, match="an output that is no spikes of neurons"):
        cri.map(nj.Network(layers, edges, inputs=(2, 3)))
