"""Dense synapses and the layers that move or merge values, against PyTorch and NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.layers import Add, Concat, Delay, Flatten, Identity, Linear, Scale

KEY = jax.random.key(0)


def integers(rng, shape, low=-8, high=9):
    return rng.integers(low, high, shape).astype(np.float32)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_linear_equals_torch(bias, schedule):
    rng = np.random.default_rng(0)
    weight, x = integers(rng, (5, 7)), integers(rng, (4, 3, 7))
    b = integers(rng, (5,)) if bias else None
    tw, tx = (torch.tensor(a, requires_grad=True) for a in (weight, x))
    ty = torch.nn.functional.linear(tx, tw, None if b is None else torch.tensor(b))
    (ty**2).sum().backward()
    network = nj.Sequential((7,), linear=Linear.from_weights(weight, b))

    def loss(network, x):
        y = nj.simulate(network, x, schedule=schedule).outputs
        return jnp.sum(y**2), y

    (gradient, gx), y = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))(network, x)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(gradient["linear"].weight, tw.grad.numpy())
    np.testing.assert_array_equal(gx, tx.grad.numpy())


def test_linear_is_exact_up_to_24_bits():
    """Products of integers whose sum needs all 24 bits of a float32."""
    rng = np.random.default_rng(1)
    weight, x = rng.integers(-128, 128, (6, 500)), rng.integers(0, 200, (500,))
    _, y = Linear.from_weights(weight).step(None, jnp.asarray(x, jnp.float32))
    np.testing.assert_array_equal(y, weight @ x)


def test_linear_draws_its_weights_like_torch():
    layer = Linear(100, 200, bias=True, key=KEY)
    for values in (layer.weight, layer.bias):
        assert float(jnp.abs(values).max()) <= 0.1
    np.testing.assert_allclose(jnp.std(layer.weight), 0.1 / np.sqrt(3), rtol=0.02)
    assert Linear(3, 2, key=KEY).bias is None
    assert layer.describe() == "Linear 100->200, bias"


def test_flatten_keeps_torchs_order():
    x = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    _, y = Flatten().step(None, jnp.asarray(x))
    np.testing.assert_array_equal(y, torch.tensor(x)[None].flatten(1)[0].numpy())


def branches(merge, a=(2, 3), b=(2, 3)):
    """Two inputs into one merging layer."""
    return nj.Network({"merge": merge}, [("a", "merge"), ("b", "merge")], inputs={"a": a, "b": b})


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_add_and_concat(schedule):
    rng = np.random.default_rng(2)
    a, b = integers(rng, (3, 2, 2, 3)), integers(rng, (3, 2, 2, 3))
    run = lambda merge: nj.simulate(branches(merge), {"a": a, "b": b}, schedule=schedule).outputs  # noqa: E731
    np.testing.assert_array_equal(run(Add()), a + b)
    np.testing.assert_array_equal(run(Identity()), a + b)
    np.testing.assert_array_equal(run(Concat()), np.concatenate([a, b], 2))
    np.testing.assert_array_equal(run(Concat(axis=-1)), np.concatenate([a, b], 3))


@pytest.mark.parametrize("factor", [0.5, np.array([[2.0], [3.0]], np.float32)])
def test_scale(factor):
    x = jnp.arange(6.0).reshape(2, 3)
    np.testing.assert_array_equal(
        nj.simulate(nj.Sequential((2, 3), Scale(factor)), x[None, None]).outputs[0, 0], factor * x
    )


@pytest.mark.parametrize("steps", [0, 1, 4, 9, [0, 2, 5]])
@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_delay_equals_a_shift(steps, schedule):
    rng = np.random.default_rng(3)
    x = integers(rng, (7, 2, 3, 2))
    want = np.zeros_like(x)
    for feature, d in enumerate(np.broadcast_to(steps, 3)):
        want[d:, :, feature] = x[: max(0, 7 - d), :, feature]
    network = nj.Sequential((3, 2), Delay(steps))
    np.testing.assert_array_equal(nj.simulate(network, x, schedule=schedule).outputs, want)
    first = nj.simulate(network, x[:3], schedule=schedule)
    rest = nj.simulate(network, x[3:], state=first.state, schedule=schedule)
    np.testing.assert_array_equal(np.concatenate([first.outputs, rest.outputs]), want)
    weights = integers(rng, x.shape)
    loss = lambda x: jnp.sum(nj.simulate(network, x).outputs * weights)  # noqa: E731
    assert np.sum(np.asarray(jax.jit(jax.grad(loss))(x)) * x) == np.sum(want * weights)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: nj.Sequential((3,), a=Linear(4, 2, key=KEY)), "takes 4 features, got shape"),
        (lambda: nj.Sequential((3, 2), a=Linear(4, 2, key=KEY)), "layer 'a': Linear takes"),
        (lambda: Linear(4, 2.5, key=KEY), "out_features is 2.5"),
        (lambda: Linear.from_weights(np.ones(3)), r"weight must be \(out, in\)"),
        (lambda: Linear.from_weights(np.ones((3, 2)), np.ones(2)), "bias has shape"),
        (lambda: branches(Add(), b=(3,)), "Add takes inputs of one shape"),
        (lambda: branches(Concat(), b=(2, 4)), "differ only along that axis"),
        (lambda: branches(Concat(axis=2)), "without such an axis"),
        (lambda: nj.Sequential((3,), Scale(np.ones((2, 3)))), "doesn't fit shape"),
        (lambda: Delay(-1), "integer >= 0"),
        (lambda: Delay(1.5), "integer >= 0"),
        (lambda: nj.Sequential((3,), Delay([1, 2])), "2 delays along the first axis"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
