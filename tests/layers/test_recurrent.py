"""Recurrent against the same network with a recurrent edge, and a step-by-step loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.layers import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.neurons import IAF, LIF


def _feedback():
    weight = jax.random.normal(jax.random.key(1), (4, 4)) / 2
    return Linear.from_weights(weight, jnp.array([0.1, 0.0, -0.1, 0.2]))


def _both():
    layers = {"neurons": LIF(tau=8.0), "back": _feedback()}
    edges = [
        ("input", "in"),
        ("in", "neurons"),
        ("back", "neurons"),
        nj.Edge("neurons", "back", recurrent=True),
    ]
    graph = nj.Network({"in": nj.Identity(), **layers}, edges, inputs=(4,), outputs=["neurons"])
    return graph, nj.Sequential((4,), hidden=Recurrent(layers["neurons"], layers["back"]))


def test_equals_the_graph_with_a_recurrent_edge():
    graph, wrapped = _both()
    x = jax.random.normal(jax.random.key(0), (25, 3, 4))
    expected = nj.simulate(graph, x, probes=["neurons.v"])
    run = nj.simulate(wrapped, x, probes=["hidden.neuron.v"])
    assert expected.outputs.sum() > 20
    np.testing.assert_array_equal(run.outputs, expected.outputs)
    np.testing.assert_array_equal(run["hidden.neuron.v"], expected["neurons.v"])

    loss = lambda net: (nj.simulate(net, x).outputs * x).sum()  # noqa: E731
    gradient = jax.jit(jax.grad(loss))
    mine, theirs = gradient(wrapped)["hidden"].synapse.weight, gradient(graph)["back"].weight
    np.testing.assert_allclose(mine, theirs, atol=1e-4)


def test_equals_a_loop_in_numpy():
    synapse = _feedback()
    x = np.random.default_rng(0).normal(size=(12, 4))
    run = nj.simulate(nj.Sequential((4,), Recurrent(IAF(), synapse)), jnp.float32(x)[:, None])
    w, b = np.float64(synapse.weight), np.float64(synapse.bias)
    v, s = np.zeros(4), np.zeros(4)
    for t in range(12):
        v = v + x[t] + w @ s + b
        s = (v >= 1).astype(float)
        v = v - s
        np.testing.assert_array_equal(run.outputs[t, 0], s)


def test_continues_and_checkpoints():
    _, net = _both()
    x = jax.random.normal(jax.random.key(2), (20, 2, 4))
    first = nj.simulate(net, x[:7])
    second = nj.simulate(net, x[7:], state=first.state, checkpoint=4, schedule="layer")
    pieces = jnp.concatenate([first.outputs, second.outputs])
    np.testing.assert_array_equal(pieces, nj.simulate(net, x).outputs)


class NoisyLIF(LIF):
    """Draws in every step."""

    needs_key = True

    def step(self, state, x, *, key=None):
        return super().step(state, x + jax.random.normal(key, x.shape))


def test_parts_with_keys_get_them():
    net = nj.Sequential((4,), Recurrent(NoisyLIF(tau=5.0), _feedback()))
    x = jnp.zeros((10, 2, 4))
    run = lambda seed: nj.simulate(net, x, key=jax.random.key(seed)).outputs  # noqa: E731
    np.testing.assert_array_equal(run(0), run(0))
    assert (run(0) != run(1)).any()
    with pytest.raises(ValueError, match="key"):
        nj.simulate(net, x)


def test_feedback_must_fit():
    back = Linear(4, 3, key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"turns the neurons' \(4,\) into \(3,\)"):
        nj.Sequential((4,), Recurrent(IAF(), back))
