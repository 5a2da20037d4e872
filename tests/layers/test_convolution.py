"""Convolutions against PyTorch, in every implementation."""

import math

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings

import neurojax as nj
from neurojax.layers import Conv1d, Conv2d

IMPLEMENTATIONS = ("im2col", "native")
KEY = jax.random.key(0)


def integers(rng, shape, low=-4, high=5):
    return rng.integers(low, high, shape).astype(np.float32)


def run_one(layer, x):
    """A batch through a layer."""
    return jax.vmap(lambda x: layer.step(None, x)[1])(x)


@jax.jit  # as one program: alone, every operation would be compiled
def values_and_gradients(layer, x, cotangent):
    y, pull = jax.vjp(run_one, layer, x)
    return y, *pull(cotangent)


@st.composite
def cases(draw, ndim):
    """Random options with an input that is large enough."""
    axis = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(ndim))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    kernel, dilation = axis(1, 4), axis(1, 3)
    padding = axis(0, 3)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    space = tuple(
        max(1, span - 2 * p) + draw(st.integers(0, 5))
        for span, p in zip(spans, padding, strict=True)
    )
    return {
        "groups": groups,
        "in": groups * draw(st.integers(1, 3)),
        "out": groups * draw(st.integers(1, 3)),
        "kernel": kernel,
        "stride": axis(1, 3),
        "padding": padding,
        "dilation": dilation,
        "space": space,
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }


def check_against_torch(ndim, case, implementation):
    """Values and all gradients, as integers."""
    cls, conv = {
        1: (Conv1d, torch.nn.functional.conv1d),
        2: (Conv2d, torch.nn.functional.conv2d),
    }[ndim]
    rng = np.random.default_rng(case["seed"])
    weight = integers(rng, (case["out"], case["in"] // case["groups"], *case["kernel"]))
    bias = integers(rng, (case["out"],)) if case["bias"] else None
    x = integers(rng, (2, case["in"], *case["space"]))
    options = {name: case[name] for name in ("stride", "padding", "dilation", "groups")}

    tx, tw = (torch.tensor(a, requires_grad=True) for a in (x, weight))
    ty = conv(tx, tw, None if bias is None else torch.tensor(bias), **options)
    cotangent = integers(rng, tuple(ty.shape))
    ty.backward(torch.tensor(cotangent))

    layer = cls.from_weights(weight, bias, implementation=implementation, **options)
    y, layer_gradient, x_gradient = values_and_gradients(layer, x, cotangent)
    assert layer.out_shape(x.shape[1:]) == y.shape[1:]
    np.testing.assert_array_equal(y, ty.detach().numpy())
    np.testing.assert_array_equal(x_gradient, tx.grad.numpy())
    np.testing.assert_array_equal(layer_gradient.weight, tw.grad.numpy())


@given(case=cases(2))
@settings(max_examples=10)
def test_conv2d_equals_torch(case):
    check_against_torch(2, case, "im2col")


@given(case=cases(1))
@settings(max_examples=5)
def test_conv1d_equals_torch(case):
    check_against_torch(1, case, "im2col")


@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
@settings(max_examples=2)
def test_native_convolution_equals_torch(ndim, data):
    check_against_torch(ndim, data.draw(cases(ndim)), "native")


@pytest.mark.parametrize("kernel, channels", [((7, 6), (3, 2)), ((2, 2), (20, 40))])
def test_large_kernels_and_large_weights(kernel, channels):
    """Kernels that are cut out axis by axis; more output channels than points."""
    case = dict(groups=1, kernel=kernel, stride=(2, 1), padding=(1, 2), dilation=(1, 1), seed=3)
    case |= {"in": channels[0], "out": channels[1], "space": (8, 7), "bias": True}
    if channels[1] > 30:
        case["space"] = (2, 2)
    check_against_torch(2, case, "im2col")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("cls", [Conv1d, Conv2d])
@pytest.mark.parametrize("kernel", [2, 3])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_named_padding_equals_torch(cls, kernel, padding):
    rng = np.random.default_rng(kernel)
    weight = integers(rng, (2, 3, *(kernel,) * cls.ndim))
    x = integers(rng, (2, 3, *(7, 6)[: cls.ndim]))
    conv = getattr(torch.nn.functional, f"conv{cls.ndim}d")
    with torch.no_grad():
        want = conv(torch.tensor(x), torch.tensor(weight), padding=padding, dilation=1).numpy()
    for implementation in IMPLEMENTATIONS:
        layer = cls.from_weights(weight, padding=padding, implementation=implementation)
        np.testing.assert_array_equal(jax.jit(run_one)(layer, x), want)


def test_forward_mode_agrees_with_reverse_mode():
    rng = np.random.default_rng(0)
    weight, x, dw, dx, ct = (
        jnp.asarray(integers(rng, shape))
        for shape in [(4, 3, 3, 3), (3, 6, 6), (4, 3, 3, 3), (3, 6, 6), (4, 6, 6)]
    )

    def conv(weight, x):
        return Conv2d.from_weights(weight, padding=1, implementation="im2col").step(None, x)[1]

    @jax.jit
    def derivatives(weight, x, dw, dx, ct):
        _, tangent = jax.jvp(conv, (weight, x), (dw, dx))
        gw, gx = jax.vjp(conv, weight, x)[1](ct)
        _, second = jax.jvp(
            lambda w: jax.jvp(lambda x: conv(w, x), (x,), (dx,))[1], (weight,), (dw,)
        )
        hessian = jax.grad(lambda w: jnp.sum(jax.grad(lambda x: jnp.sum(conv(w, x) ** 2))(x) * dx))
        by_weight = jax.grad(lambda w, x: jnp.sum(conv(w, x) ** 2))
        _, direct = jax.jvp(by_weight, (weight, x), (0 * dw, dx))
        return tangent, gw, gx, second, conv(dw, dx), hessian(weight), direct

    tangent, gw, gx, second, mixed, hessian, direct = derivatives(weight, x, dw, dx, ct)
    assert jnp.sum(tangent * ct) == jnp.sum(gw * dw) + jnp.sum(gx * dx)
    # Second order: bilinear, so the mixed derivative is the convolution of the tangents.
    np.testing.assert_array_equal(second, mixed)
    np.testing.assert_array_equal(hessian, direct)


@pytest.mark.parametrize("over", ["weights", "inputs", "both", "nested"])
def test_vmap_over_chips(over):
    """One weight set a chip, with inputs of its own or the same for all: values and gradients."""
    rng = np.random.default_rng(1)
    weights = jnp.asarray(integers(rng, (3, 4, 2, 3, 3)))
    x = jnp.asarray(integers(rng, (3, 5, 2, 6, 6)))
    shared_w, shared_x = over == "inputs", over == "weights"
    axes = (None if shared_w else 0, None if shared_x else 0)
    args = (weights[0] if shared_w else weights, x[0] if shared_x else x)

    def loss(implementation, weights, x):
        def chip(w, x):
            return run_one(Conv2d.from_weights(w, implementation=implementation), x)

        y = jax.vmap(chip, in_axes=axes)(weights, x)
        if over == "nested":
            y = y + jax.vmap(jax.vmap(chip, in_axes=(0, None)), in_axes=(None, 0))(weights, x)[0]
        return jnp.sum(y**2), y

    both = jax.jit(jax.grad(loss, argnums=(1, 2), has_aux=True), static_argnums=0)
    ours, theirs = (both(name, *args) for name in IMPLEMENTATIONS)
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_products_are_not_transposed():
    """Under vmap there is one product, in the order of its operands, and no transposed patches."""
    layer = Conv2d(4, 8, 3, padding=1, implementation="im2col", key=KEY)
    x = jnp.zeros((5, 4, 16, 16))
    text = jax.jit(run_one).lower(layer, x).compile().as_text()
    products = [line for line in text.splitlines() if " dot(" in line]
    assert len(products) == 1 and "f32[5,8,256]" in products[0]
    moved = [line for line in text.splitlines() if " transpose(" in line and "[5," in line]
    assert not moved


@pytest.mark.parametrize("schedule", ["step", "layer"])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_in_simulate(schedule, dtype):
    rng = np.random.default_rng(2)
    weight = integers(rng, (3, 2, 3, 3), -1, 2)
    x = integers(rng, (4, 2, 2, 8, 8), 0, 2)
    with torch.no_grad():
        flat = torch.tensor(x).flatten(0, 1)
        want = torch.nn.functional.conv2d(flat, torch.tensor(weight), stride=2).numpy()
    for implementation in IMPLEMENTATIONS:
        layer = Conv2d.from_weights(weight, stride=2, implementation=implementation)
        network = nj.Sequential((2, 8, 8), layer).astype(dtype)
        outputs = nj.simulate(network, jnp.asarray(x, dtype), schedule=schedule).outputs
        assert outputs.dtype == dtype
        np.testing.assert_array_equal(outputs.reshape(want.shape).astype(jnp.float32), want)


def test_weights_are_drawn_like_torchs():
    layer = Conv2d(8, 32, 3, bias=True, key=KEY)
    bound = 1 / math.sqrt(8 * 9)
    assert float(jnp.abs(layer.weight).max()) <= bound
    np.testing.assert_allclose(jnp.std(layer.weight), bound / math.sqrt(3), rtol=0.05)
    assert layer.bias.shape == (32,) and Conv2d(8, 32, 3, key=KEY).bias is None


def test_describe():
    assert Conv2d(2, 8, 3, stride=2, padding=1, key=KEY).describe() == (
        "Conv2d 2->8, 3x3, stride 2, padding 1"
    )
    text = Conv2d(4, 8, (3, 2), padding="same", dilation=(1, 2), groups=2, bias=True, key=KEY)
    assert text.describe() == "Conv2d 4->8, 3x2, padding 1, dilation 1x2, 2 groups, bias"
    assert "padding 0:1" in Conv1d(1, 1, 2, padding="same", key=KEY).describe()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Conv2d(0, 8, 3, key=KEY), "in_channels is 0; it must be an integer >= 1"),
        (lambda: Conv2d(2, 8, (3,), key=KEY), "kernel_size is .* 2 integers >= 1"),
        (lambda: Conv2d(2, 8, 3, padding=-1, key=KEY), "padding is -1"),
        (lambda: Conv2d(2, 8, 3, padding="full", key=KEY), "'same', 'valid' or integers"),
        (lambda: Conv2d(2, 8, 3, padding="same", stride=2, key=KEY), "needs stride 1"),
        (lambda: Conv2d(3, 8, 3, groups=2, key=KEY), "in_channels=3 must be a multiple"),
        (lambda: Conv2d(2, 7, 3, groups=2, key=KEY), "out_channels=7 must be a multiple"),
        (lambda: Conv2d(2, 8, 3, implementation="fft", key=KEY), "implementation='fft'"),
        (lambda: Conv2d.from_weights(np.ones((2, 2, 3))), "with 4 axes"),
        (lambda: Conv2d.from_weights(np.ones((2, 2, 3, 3)), np.ones(3)), "bias has shape"),
        (
            lambda: nj.Sequential((3, 16, 16), c=Conv2d(2, 8, 3, key=KEY)),
            r"layer 'c': Conv2d takes 2 input channels, got shape \(3, 16, 16\)",
        ),
        (lambda: nj.Sequential((2, 16), c=Conv2d(2, 8, 3, key=KEY)), "layer 'c': .*height"),
        (lambda: nj.Sequential((2, 2, 9), c=Conv2d(2, 8, 3, key=KEY)), "padded input is only 2x9"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_padding_that_differs_before_and_after(implementation):
    rng = np.random.default_rng(0)
    x, weight = integers(rng, (2, 3, 5, 4)), integers(rng, (4, 3, 2, 3))
    want = torch.nn.functional.conv2d(
        torch.nn.functional.pad(torch.tensor(x), (2, 0, 0, 1)), torch.tensor(weight)
    )
    layer = Conv2d.from_weights(weight, padding=((0, 1), (2, 0)), implementation=implementation)
    np.testing.assert_array_equal(jax.jit(run_one)(layer, x), want.numpy())
    assert layer.out_shape((3, 5, 4)) == tuple(want.shape[1:])
