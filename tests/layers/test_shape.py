"""Layers that give other axes, against NumPy and torch."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.layers import Pad, ReLU, ReLU6, Reshape, Upsample

F = torch.nn.functional


def through(layer, x):
    """Values and the gradient of their weighted sum."""
    y = layer.step(None, jnp.asarray(x))[1]
    assert layer.out_shape(x.shape) == y.shape
    cotangent = np.arange(1, y.size + 1, dtype=np.float32).reshape(y.shape)
    gradient = jax.jit(jax.grad(lambda x: (layer.step(None, x)[1] * cotangent).sum()))(
        jnp.asarray(x)
    )
    return y, gradient, torch.tensor(cotangent)


def compare(layer, x, function):
    y, gradient, cotangent = through(layer, x)
    tx = torch.tensor(x, requires_grad=True)
    ty = function(tx)
    ty.backward(cotangent)
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(gradient, tx.grad.numpy())


def integers(*shape):
    return np.random.default_rng(0).integers(-3, 4, shape).astype(np.float32)


@given(st.lists(st.integers(0, 3), min_size=4, max_size=4), st.integers(0, 1))
@settings(max_examples=5)
def test_pad(pads, value):
    layer = Pad([tuple(pads[2:]), tuple(pads[:2])], value=value)
    compare(layer, integers(2, 3, 4), lambda x: F.pad(x, pads, value=value))


@pytest.mark.parametrize("factor", [(1, 3), (2, 2)])
def test_upsample(factor):
    compare(
        Upsample(factor),
        integers(2, 3, 4),
        lambda x: F.interpolate(x[None], scale_factor=factor)[0],
    )


def test_reshape():
    compare(Reshape((3, -1, 2)), integers(2, 6), lambda x: x.reshape(3, -1, 2))
    run = nj.simulate(nj.Sequential((12,), Reshape((3, 4))), jnp.ones((2, 5, 12)))
    assert run.outputs.shape == (2, 5, 3, 4)


def test_relu():
    x = integers(4, 5)
    assert (x == 0).any()  # where the gradient is a convention
    compare(ReLU(), x, torch.relu)
    compare(ReLU6(), 2 * x, torch.nn.functional.relu6)
    assert ReLU().step(None, jnp.ones(2, jnp.bfloat16))[1].dtype == jnp.bfloat16


def test_describe():
    assert Reshape((3, -1)).describe() == "Reshape 3x-1"
    assert Pad([(0, 1), (2, 2)]).describe() == "Pad 0:1x2:2 with 0"
    assert Upsample((2, 3)).describe() == "Upsample 2x3"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Reshape((-1, -1)), "at most one is -1"),
        (lambda: Reshape((0, 2)), "axes must be >= 1"),
        (lambda: nj.Sequential((6,), r=Reshape((4, -1))), "layer 'r': Reshape: 6 values"),
        (lambda: nj.Sequential((6,), r=Reshape((3,))), "don't fit"),
        (lambda: Pad([(-1, 0)]), "padding is"),
        (lambda: nj.Sequential((6,), p=Pad([(1, 1), (1, 1)])), "layer 'p': Pad: 2 axes to pad"),
        (lambda: Upsample((0,)), "factor is"),
        (lambda: nj.Sequential((6,), u=Upsample((2, 2))), "layer 'u': Upsample: 2 factors"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_factor_is_one_number_an_axis():
    with pytest.raises(TypeError, match=r"factor is 2; give one factor .* \(2, 2\)"):
        Upsample(2)  # type: ignore[arg-type]
