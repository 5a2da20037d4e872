"""Pooling against PyTorch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.layers import AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d, SumPool1d, SumPool2d

F = torch.nn.functional


def torch_pool(kind, ndim, x, kernel, stride, padding):
    """The same pool in PyTorch; a sum is an average with another divisor, in 64 bits."""
    if kind == "max":
        return getattr(F, f"max_pool{ndim}d")(x, kernel, stride, padding)
    y = getattr(F, f"avg_pool{ndim}d")(x, kernel, stride, padding)
    return y * float(np.prod(kernel)) if kind == "sum" else y


POOLS = {
    ("sum", 1): SumPool1d, ("sum", 2): SumPool2d, ("avg", 1): AvgPool1d,
    ("avg", 2): AvgPool2d, ("max", 1): MaxPool1d, ("max", 2): MaxPool2d,
}  # fmt: skip


@jax.jit
def run_one(layer, x):
    return layer.step(None, x)[1]


@jax.jit  # as one program: alone, every operation would be compiled
def values_and_gradient(layer, x, cotangent):
    y, pull = jax.vjp(jax.vmap(lambda x: run_one(layer, x)), x)
    return y, *pull(cotangent)


@pytest.mark.parametrize("kind, ndim", POOLS)
@given(data=st.data())
@settings(max_examples=4)
def test_equals_torch(kind, ndim, data):
    """Values and gradients; few different values, so that the maximum has many ties."""
    kernel = tuple(data.draw(st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim)))
    stride = data.draw(
        st.none() | st.lists(st.integers(1, 4), min_size=ndim, max_size=ndim).map(tuple)
    )
    padding = tuple(data.draw(st.integers(0, k // 2)) for k in kernel)
    space = tuple(k + data.draw(st.integers(0, 5)) for k in kernel)
    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    x = rng.integers(-2, 3, (2, 3, *space)).astype(np.float32)
    tx = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    ty = torch_pool(kind, ndim, tx, kernel, stride, padding)
    cotangent = rng.integers(-4, 5, tuple(ty.shape)).astype(np.float32)
    ty.backward(torch.tensor(cotangent, dtype=torch.float64))

    layer = POOLS[kind, ndim](kernel, stride=stride, padding=padding)
    y, gradient = values_and_gradient(layer, x, cotangent)
    assert layer.out_shape(x.shape[1:]) == y.shape[1:]
    if kind == "avg":
        np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-6)
        np.testing.assert_allclose(gradient, tx.grad.numpy(), rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(y, np.round(ty.detach().numpy()))
        np.testing.assert_array_equal(gradient, np.round(tx.grad.numpy()))


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_sums_are_exact_in_simulate(schedule):
    """Sums near 2^24, where an average times nine would be off."""
    x = np.random.default_rng(0).integers(0, 2**20, (2, 2, 3, 9, 9)).astype(np.float32)
    want = x.astype(np.int64).reshape(2, 2, 3, 3, 3, 3, 3).sum((4, 6))
    outputs = nj.simulate(nj.Sequential((3, 9, 9), SumPool2d(3)), x, schedule=schedule).outputs
    np.testing.assert_array_equal(outputs, want)


def test_padding_of_the_maximum_never_wins():
    y = run_one(MaxPool2d(3, stride=2, padding=1), -np.ones((1, 5, 5), np.float32))
    np.testing.assert_array_equal(y, -np.ones((1, 3, 3)))
    low = run_one(MaxPool2d(2), -jnp.ones((1, 4, 4), jnp.bfloat16))
    assert low.dtype == jnp.bfloat16


@pytest.mark.parametrize("ceil", [True, False])
def test_averages_that_do_not_count_padding(ceil):
    """Values and gradients of torch, whose `ceil_mode` is more padding behind."""
    x = np.random.default_rng(0).integers(-2, 3, (2, 3, 6, 8)).astype(np.float32)
    tx = torch.tensor(x, requires_grad=True)
    ty = F.avg_pool2d(tx, (3, 2), (2, 3), (1, 0), ceil_mode=ceil, count_include_pad=False)
    ty.sum().backward()
    pads = ((1, 2), (0, 0)) if ceil else (1, 0)
    layer = AvgPool2d((3, 2), stride=(2, 3), padding=pads, count_padding=False)
    y, gradient = values_and_gradient(layer, x, np.ones_like(ty.detach().numpy()))
    np.testing.assert_allclose(y, ty.detach().numpy(), rtol=1e-6)
    np.testing.assert_allclose(gradient, tx.grad.numpy(), rtol=1e-6)


@pytest.mark.parametrize("pool", [SumPool2d, AvgPool2d, MaxPool2d])
def test_padding_that_differs_before_and_after(pool):
    x = np.random.default_rng(0).integers(-2, 3, (3, 4, 5)).astype(np.float32)
    fill = -np.inf if pool is MaxPool2d else 0
    padded = np.pad(x, ((0, 0), (0, 1), (2, 0)), constant_values=fill)
    want = run_one(pool(4, stride=1), padded)
    layer = pool(4, stride=1, padding=((0, 1), (2, 0)))
    np.testing.assert_array_equal(run_one(layer, x), want)
    assert layer.out_shape(x.shape) == want.shape


def test_describe():
    assert SumPool2d(2).describe() == "SumPool2d 2x2"
    assert AvgPool2d(3, stride=2, padding=1).describe() == "AvgPool2d 3x3, stride 2, padding 1"
    pool = AvgPool2d(2, padding=((0, 1), (0, 0)), count_padding=False)
    assert pool.describe() == "AvgPool2d 2x2, padding 0:1x0:0, padding not counted"


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: SumPool2d(0), "kernel_size is 0"),
        (lambda: SumPool2d(2, stride=(1, 0)), "stride is"),
        (lambda: AvgPool2d(2, padding=2), "not smaller than the window"),
        (lambda: SumPool2d(2, padding=((0, 1), (0, 2))), "not smaller than the window"),
        (lambda: SumPool2d(2, padding=((0, 1, 0), 0)), "a pair .before, after. for each axis"),
        (lambda: SumPool2d(2, padding=(1, -1)), "padding is"),
        (lambda: nj.Sequential((2, 3, 3), p=MaxPool2d(4)), "layer 'p': .*spans 4x4"),
        (lambda: nj.Sequential((9,), p=MaxPool2d(4)), r"layer 'p': MaxPool2d takes \(channels"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_maximum_of_equals_in_two_rows():
    """The first of equals counts by rows: (0, 1) comes before (1, 0)."""
    x = np.array([[[0, 2, 0], [2, 0, 2]]], np.float32)
    layer = nj.MaxPool2d((2, 3))
    gradient = jax.jit(jax.grad(lambda x: run_one(layer, x).sum()))(x)
    tx = torch.tensor(x, requires_grad=True)
    torch.nn.functional.max_pool2d(tx, (2, 3)).sum().backward()
    np.testing.assert_array_equal(gradient, tx.grad.numpy())
    assert gradient[0, 0, 1] == 1
