"""Convolutions against NumPy's windows, and torch's derivatives."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from neurojax.chips.bss2 import perceptron as hagen
from tests.chips.bss2.perceptron import oracle
from tests.conformance._result import QUICK

GAIN = 0.004
QUIET = hagen.MockParameter(0.0, GAIN)
COMMON = {"mock": QUIET, "out_of_range": "saturate"}  # without errors it compiles faster


def compiled(function, **options):
    """A function of arrays, compiled as a whole."""
    return jax.jit(ft.partial(function, **COMMON, **options), compiler_options=QUICK)


def draw(*shape, low, high):
    return np.random.default_rng(len(shape)).integers(low, high + 1, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("function", "x", "w", "stride"),
    [
        (hagen.conv1d, (2, 3, 17), (4, 3, 5), (2,)),
        (hagen.conv1d, (2, 40, 9), (3, 40, 7), (1,)),  # 280 rows are three tiles
        (hagen.conv2d, (2, 2, 9, 8), (3, 2, 3, 2), (2, 1)),
        (hagen.conv2d, (1, 20, 6, 5), (3, 20, 3, 3), (1, 2)),  # 180 rows
    ],
)
def test_convolution_is_the_integer_one(function, x, w, stride):
    x, w = draw(*x, low=0, high=31), draw(*w, low=-63, high=63)
    bias = np.linspace(-1, 1, len(w), dtype=np.float32)
    expected = oracle.convolution(x, w, stride, GAIN)
    plain, biased = compiled(
        lambda x, w, b, **options: (
            function(x, w, stride=stride, **options),
            function(x[0], w, b, stride=stride, **options),  # no batch axis
        )
    )(x, w, bias)
    np.testing.assert_array_equal(plain, expected)
    shape = (-1, *(1,) * len(stride))
    np.testing.assert_allclose(biased, expected[0] + bias.reshape(shape), rtol=1e-6)


def test_derivatives_are_those_of_torch():
    x, w = draw(2, 3, 9, 8, low=0, high=31), draw(4, 3, 3, 2, low=-63, high=63)
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, w)]
    plain = torch.nn.functional.conv2d(*leaves, stride=(2, 1)) * (GAIN * 3)
    ct = np.random.default_rng(1).normal(size=plain.shape).astype(np.float32)
    plain.backward(torch.tensor(ct))
    convolve = ft.partial(hagen.conv2d, stride=(2, 1), num_sends=3, **COMMON)

    @ft.partial(jax.jit, compiler_options=QUICK)
    def differentiate(x, w, ct):
        y, pull = jax.vjp(convolve, x, w)
        return y, pull(ct)

    y, gradients = differentiate(x, w, ct)
    assert np.max(np.abs(y)) > 20
    for got, leaf in zip(gradients, leaves, strict=True):
        np.testing.assert_allclose(got, leaf.grad, rtol=1e-4, atol=1e-4)


# Lengths at which the last product has positions that are not there, kernels that don't fit once.
@pytest.mark.parametrize(
    ("length", "kernel", "stride", "times"),
    [(17, 5, 2, 4), (17, 5, 2, 3), (5, 5, 2, 5), (30, 4, 1, 7), (12, 3, 5, 2), (11, 2, 3, 1)],
)
def test_positions_at_once_are_those_one_by_one(length, kernel, stride, times):
    x, w = draw(2, 2, length, low=0, high=31), draw(3, 2, kernel, low=-63, high=63)
    bias = np.arange(3, dtype=np.float32)
    expected = oracle.convolution(x, w, (stride,), GAIN) + bias[:, None]
    got = compiled(hagen.expanded_conv1d, stride=stride, num_expansions=times)(x, w, bias)
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_more_positions_take_more_tiles():
    # Two rows of -1 become tiles of their own, each of which is rounded down.
    x = np.zeros((1, 1, 140), np.float32)
    x[..., 100], x[..., 135] = 1, 1
    w = np.full((1, 1, 100), -1, np.float32)
    alone = compiled(hagen.conv1d, stride=36)(x, w)
    wide = compiled(hagen.expanded_conv1d, stride=36, num_expansions=2)(x, w)
    assert alone.tolist() == [[[0.0, -1.0]]] and wide.tolist() == [[[0.0, -2.0]]]


def test_expansions_fill_the_array():
    for out, kernel, stride in [(14, 43, 2), (1, 128, 3), (300, 5, 1), (64, 20, 7)]:
        times = hagen.default_expansions(out, kernel, stride)
        assert times == 1 or (times * out <= 256 and kernel + stride * (times - 1) <= 128)
        assert (times + 1) * out > 256 or kernel + stride * times > 128


@pytest.mark.parametrize(
    ("x", "w", "options", "message"),
    [
        ((2, 3, 4), (1, 2, 3), {}, "conv1d takes x"),
        ((3, 4), (1, 3, 5), {}, "the window spans 5"),
        ((3, 4), (1, 3, 2), {"stride": 0}, "stride is 0"),
        ((3, 4), (1, 3, 2), {"bias": jnp.zeros(2)}, "bias has shape"),
    ],
)
def test_refusals(x, w, options, message):
    with pytest.raises(ValueError, match=message):
        hagen.conv1d(jnp.zeros(x), jnp.zeros(w), mock=QUIET, **options)
    with pytest.raises(ValueError, match="num_expansions is 0"):
        hagen.expanded_conv1d(jnp.zeros((1, 5)), jnp.zeros((1, 1, 2)), num_expansions=0)
    with pytest.raises(TypeError, match="Conv1d has no option dilation"):
        hagen.Conv1d.from_weights(jnp.zeros((1, 1, 2)), dilation=2)
