"""Other orders and parts of axes, and products of values, against PyTorch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.converters import from_torch, to_torch
from neurojax.layers import BatchNorm, Conv1d, MatMul, Permute, Slice, fold_batch_norm


def integers(seed, *shape):
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


def run_layer(layer, *inputs, schedule="step"):
    """Outputs of one layer that takes all the inputs."""
    names = [f"x{i}" for i in range(len(inputs))]
    shapes = {name: x.shape[2:] for name, x in zip(names, inputs, strict=True)}
    network = nj.Network({"it": layer}, [(name, "it") for name in names], inputs=shapes)
    values = {name: jnp.asarray(x) for name, x in zip(names, inputs, strict=True)}
    return network, nj.simulate(network, values, schedule=schedule).outputs


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_permute_and_slice_equal_torch(schedule):
    x = integers(0, 4, 2, 3, 5, 6)
    _, y = run_layer(Permute((2, 0, 1)), x, schedule=schedule)
    np.testing.assert_array_equal(y, torch.tensor(x).permute(0, 1, 4, 2, 3).numpy())
    for axis in (1, -2):
        _, y = run_layer(Slice(1, 4, axis=axis), x, schedule=schedule)
        np.testing.assert_array_equal(y, torch.tensor(x).narrow(3, 1, 3).numpy())


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 1))])
@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_a_matrix_product_and_its_gradient_equal_torch(shapes, schedule):
    a, b = (integers(i, 3, 2, *shape) for i, shape in enumerate(shapes))
    ta, tb = (torch.tensor(x, requires_grad=True) for x in (a, b))
    wide = tb[:, :, None] if tb.ndim < ta.ndim else tb
    ty = ta @ wide
    (ty**2).sum().backward()

    def loss(a, b):
        y = run_layer(MatMul(), a, b, schedule=schedule)[1]
        return jnp.sum(y**2), y

    (ga, gb), y = jax.grad(loss, argnums=(0, 1), has_aux=True)(jnp.asarray(a), jnp.asarray(b))
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(ga, ta.grad.numpy())
    np.testing.assert_array_equal(gb, tb.grad.numpy())


@pytest.mark.parametrize("shapes", [((3, 4), (4, 5)), ((2, 3, 4), (4, 5))])
def test_they_are_the_same_in_torch(shapes):
    a, b = (integers(i, 3, 2, *shape) for i, shape in enumerate(shapes))
    network, y = run_layer(MatMul(), a, b)
    module = to_torch(network)
    given = {"x0": torch.tensor(a), "x1": torch.tensor(b)}
    np.testing.assert_array_equal(module(given).numpy(), y)
    assert module.network() == network
    chain = nj.Sequential((3, 4), Permute((1, 0)), Slice(1, 3, axis=-1))
    back = to_torch(chain)(torch.tensor(integers(0, 3, 2, 3, 4)))
    np.testing.assert_array_equal(back, integers(0, 3, 2, 3, 4).swapaxes(2, 3)[..., 1:3])
    again = from_torch(to_torch(chain), input_shape=(3, 4), time_axis=0)
    assert [type(again[name]) for name in again.names] == [Permute, Slice]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Permute((0, 2)), "each of 0..1 once"),
        (lambda: Permute((1, 0)).out_shape((2, 3, 4)), r"2 axes, got shape \(2, 3, 4\)"),
        (lambda: Slice(2, 2), "start < stop"),
        (lambda: Slice(0, 4).out_shape((3,)), "too small"),
        (lambda: Slice(0, 1, axis=1).out_shape((3,)), "too small"),
        (lambda: MatMul().out_shape(((2, 3), (4, 2))), "inner"),
        (lambda: MatMul().out_shape(((3,), (3,))), "inner"),
        (lambda: MatMul().out_shape(((2, 2),)), "two inputs"),
        (lambda: MatMul().out_shape(((2, 4, 3), (3, 3, 2))), "don't fit each other"),
    ],
)
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def norm(channels):
    values = [integers(i, channels) for i in range(3)]
    return BatchNorm.from_weights(*values, np.abs(integers(3, channels)) + 1)


def test_batch_norm_is_folded_through_moved_axes():
    layers = {
        "conv": Conv1d.from_weights(integers(5, 4, 3, 1)),
        "there": Permute((1, 0)),
        "back": Permute((1, 0)),
        "norm": norm(4),
    }
    network = nj.Sequential((3, 6), **layers)
    folded = fold_batch_norm(network)
    assert folded.names == ("conv", "there", "back")
    x = jnp.asarray(integers(6, 2, 2, 3, 6))
    expected = nj.simulate(eqx.nn.inference_mode(network), x).outputs
    np.testing.assert_allclose(nj.simulate(folded, x).outputs, expected, rtol=1e-5, atol=1e-4)


def test_batch_norm_of_another_axis_is_not_folded():
    conv = Conv1d.from_weights(integers(5, 4, 3, 1))
    with pytest.raises(ValueError, match="another axis than the channels of 'conv'"):
        fold_batch_norm(nj.Sequential((3, 4), conv=conv, there=Permute((1, 0)), norm=norm(4)))
    layers = {"there": Permute((1, 0)), "pool": nj.layers.AvgPool1d(2), "back": Permute((1, 0))}
    with pytest.raises(ValueError, match="it pools over the channels"):
        fold_batch_norm(nj.Sequential((3, 4), conv=conv, **layers, norm=norm(2)))
