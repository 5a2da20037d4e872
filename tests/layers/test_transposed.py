"""Transposed convolutions against PyTorch, in every implementation."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings

import neurojax as nj
from neurojax.layers import ConvTranspose1d, ConvTranspose2d

IMPLEMENTATIONS = ("im2col", "native")


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
    """Random options that leave something of the output."""
    axis = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(ndim))  # noqa: E731
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    case = {
        "groups": groups,
        "in": groups * draw(st.integers(1, 3)),
        "out": groups * draw(st.integers(1, 3)),
        "kernel": axis(1, 4),
        "stride": axis(1, 3),
        "padding": axis(0, 3),
        "dilation": axis(1, 3),
        "space": axis(1, 5),
        "bias": draw(st.booleans()),
        "seed": draw(st.integers(0, 2**31)),
    }
    case["output_padding"] = tuple(
        draw(st.integers(0, max(s, d) - 1))
        for s, d in zip(case["stride"], case["dilation"], strict=True)
    )
    columns = ("space", "stride", "padding", "dilation", "kernel")
    assume(
        all(
            (n - 1) * s - 2 * p + d * (k - 1) + 1 > 0
            for n, s, p, d, k in zip(*(case[name] for name in columns), strict=True)
        )
    )
    return case


def check_against_torch(ndim, case, implementation):
    """Values and all gradients, as integers."""
    cls, conv = {
        1: (ConvTranspose1d, torch.nn.functional.conv_transpose1d),
        2: (ConvTranspose2d, torch.nn.functional.conv_transpose2d),
    }[ndim]
    rng = np.random.default_rng(case["seed"])
    weight = integers(rng, (case["in"], case["out"] // case["groups"], *case["kernel"]))
    bias = integers(rng, (case["out"],)) if case["bias"] else None
    x = integers(rng, (2, case["in"], *case["space"]))
    names = ("stride", "padding", "output_padding", "dilation", "groups")
    options = {name: case[name] for name in names}

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
def test_conv_transpose2d_equals_torch(case):
    check_against_torch(2, case, "im2col")


@given(case=cases(1))
@settings(max_examples=5)
def test_conv_transpose1d_equals_torch(case):
    check_against_torch(1, case, "im2col")


@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
@settings(max_examples=2)
def test_native_equals_torch(ndim, data):
    check_against_torch(ndim, data.draw(cases(ndim)), "native")


def test_large_kernels():
    """Kernels whose columns are summed axis by axis; padding larger than the output padding."""
    case = dict(groups=1, kernel=(7, 6), stride=(3, 1), padding=(4, 2), dilation=(1, 2), seed=3)
    case |= {"in": 3, "out": 2, "space": (5, 4), "bias": True, "output_padding": (2, 1)}
    check_against_torch(2, case, "im2col")


def test_forward_mode_agrees_with_reverse_mode():
    rng = np.random.default_rng(0)
    weight, x, dw, dx, ct = (
        jnp.asarray(integers(rng, shape))
        for shape in [(3, 2, 3, 3), (3, 4, 4), (3, 2, 3, 3), (3, 4, 4), (2, 9, 9)]
    )

    def conv(weight, x):
        return ConvTranspose2d.from_weights(weight, stride=2).step(None, x)[1]

    @jax.jit
    def derivatives(weight, x, dw, dx, ct):
        _, tangent = jax.jvp(conv, (weight, x), (dw, dx))
        gw, gx = jax.vjp(conv, weight, x)[1](ct)
        _, second = jax.jvp(
            lambda w: jax.jvp(lambda x: conv(w, x), (x,), (dx,))[1], (weight,), (dw,)
        )
        return tangent, gw, gx, second, conv(dw, dx)

    tangent, gw, gx, second, mixed = derivatives(weight, x, dw, dx, ct)
    assert jnp.sum(tangent * ct) == jnp.sum(gw * dw) + jnp.sum(gx * dx)
    # Second order: bilinear, so the mixed derivative is the convolution of the tangents.
    np.testing.assert_array_equal(second, mixed)


@pytest.mark.parametrize("over", ["weights", "inputs", "both"])
def test_vmap_over_chips(over):
    """One weight set a chip, with inputs of its own or the same for all: values and gradients."""
    rng = np.random.default_rng(1)
    weights = jnp.asarray(integers(rng, (3, 2, 4, 3, 3)))
    x = jnp.asarray(integers(rng, (3, 5, 2, 4, 4)))
    shared_w, shared_x = over == "inputs", over == "weights"
    axes = (None if shared_w else 0, None if shared_x else 0)
    args = (weights[0] if shared_w else weights, x[0] if shared_x else x)

    def loss(weights, x, implementation):
        def chip(w, x):
            return run_one(
                ConvTranspose2d.from_weights(w, stride=2, implementation=implementation), x
            )

        return jnp.sum(jax.vmap(chip, in_axes=axes)(weights, x) ** 2)

    ours, theirs = (
        jax.jit(jax.value_and_grad(loss, argnums=(0, 1)), static_argnums=2)(*args, name)
        for name in IMPLEMENTATIONS
    )
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), ours, theirs))


@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_in_simulate(schedule):
    rng = np.random.default_rng(2)
    weight = integers(rng, (2, 3, 3, 3), -1, 2)
    x = integers(rng, (4, 2, 2, 5, 5), 0, 2)
    with torch.no_grad():
        flat = torch.tensor(x).flatten(0, 1)
        want = torch.nn.functional.conv_transpose2d(flat, torch.tensor(weight), stride=2).numpy()
    for implementation in IMPLEMENTATIONS:
        layer = ConvTranspose2d.from_weights(weight, stride=2, implementation=implementation)
        outputs = nj.simulate(nj.Sequential((2, 5, 5), layer), x, schedule=schedule).outputs
        np.testing.assert_array_equal(outputs.reshape(want.shape), want)


def test_weights_are_drawn_like_torchs():
    layer = nj.ConvTranspose2d(6, 40, (3, 5), groups=2, bias=True, key=jax.random.key(0))
    theirs = torch.nn.ConvTranspose2d(6, 40, (3, 5), groups=2)
    assert layer.weight.shape == tuple(theirs.weight.shape)
    assert layer.bias.shape == tuple(theirs.bias.shape)
    for ours, want in ((layer.weight, theirs.weight), (layer.bias, theirs.bias)):
        largest = float(jnp.abs(ours).max())
        assert abs(largest / float(want.detach().abs().max()) - 1) < 0.1


def test_description():
    layer = nj.ConvTranspose2d(
        4, 6, 3, stride=(2, 1), padding=1, output_padding=(1, 0), groups=2, bias=True,
        key=jax.random.key(0),
    )  # fmt: skip
    assert layer.describe() == (
        "ConvTranspose2d 4->6, 3x3, stride 2x1, padding 1, output padding 1x0, 2 groups, bias"
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"output_padding": 1}, r"output_padding is \(1, 1\); it must be less than the stride"),
        ({"groups": 2}, "in_channels=3 must be a multiple of groups=2"),
        ({"padding": "same"}, "padding='same'; it must be integers"),
        ({"implementation": "fft"}, "implementation='fft'"),
        ({"bias": np.zeros(3)}, r"bias has shape \(3,\), but the weight"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(ValueError, match=words):
        ConvTranspose2d.from_weights(np.zeros((3, 2, 3, 3)), **options)


def test_shapes_are_checked():
    layer = ConvTranspose2d.from_weights(np.zeros((3, 2, 3, 3)), padding=2)
    with pytest.raises(ValueError, match="takes 3 input channels"):
        layer.out_shape((2, 4, 4))
    with pytest.raises(ValueError, match="cuts off all of the output"):
        layer.out_shape((3, 2, 4))
    with pytest.raises(ValueError, match="with 4 axes"):
        ConvTranspose2d.from_weights(np.zeros((3, 2, 3)))
    with pytest.raises(ValueError, match="out_channels=3 must be a multiple of groups=2"):
        nj.ConvTranspose2d(4, 3, 3, groups=2, key=jax.random.key(0))
