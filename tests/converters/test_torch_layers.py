"""Plain torch layers, against torch in the same process."""

import copy
import warnings

import hypothesis.strategies as st
import jax
import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from hypothesis import given, settings

import neurojax as nj
from neurojax.converters._registry import convert
from neurojax.converters._torch_layers import flatten
from tests.converters._live import fill_on_grid, outputs_of

nn = torch.nn


def compare(module, shape, *, rtol=0.0, seed=0):
    """Our layers for a module equal the module, and the module stays as it was."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-4, 5, (2, 2, *shape)).astype(np.float32)
    before, training = copy.deepcopy(module.state_dict()), module.training
    converted = convert(module, shape)
    assert module.training == training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    got = outputs_of(nj.Sequential(shape, *converted.layers.values()), x)
    with torch.no_grad():
        want = module.eval()(torch.tensor(x).flatten(0, 1)).numpy()
    want = want.reshape(2, 2, *want.shape[1:])
    assert got.shape == want.shape
    if rtol:
        np.testing.assert_allclose(got, want, rtol=rtol, atol=rtol * np.abs(want).max())
    else:
        np.testing.assert_array_equal(got, want)
    return converted


def per_axis(draw, ndim, low, high):
    """An option as torch takes it: one number, or one an axis."""
    if draw(st.booleans()):
        return draw(st.integers(low, high))
    return tuple(draw(st.integers(low, high)) for _ in range(ndim))


def each(value, ndim):
    return value if isinstance(value, tuple) else (value,) * ndim


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # torch copies there; so what
@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
@settings(max_examples=8)
def test_convolutions(ndim, data):
    draw = data.draw
    groups, kernel, dilation = (
        draw(st.integers(1, 3)),
        *(per_axis(draw, ndim, 1, 3) for _ in range(2)),
    )
    padding = draw(st.sampled_from(["same", "valid", None]))
    stride = 1 if padding == "same" else per_axis(draw, ndim, 1, 3)
    padding = per_axis(draw, ndim, 0, 2) if padding is None else padding
    cls = nn.Conv1d if ndim == 1 else nn.Conv2d
    module = cls(
        groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), kernel,
        stride=stride, padding=padding, dilation=dilation, groups=groups, bias=draw(st.booleans()),
    )  # fmt: skip
    seed = draw(st.integers(0, 2**31))
    fill_on_grid(module, np.random.default_rng(seed))
    space = tuple(
        d * (k - 1) + 1 + draw(st.integers(0, 3))
        for k, d in zip(each(kernel, ndim), each(dilation, ndim), strict=True)
    )
    converted = compare(module, (module.in_channels, *space), seed=seed)
    assert converted.layers[""].groups == groups


@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
@settings(max_examples=5)
def test_transposed_convolutions(ndim, data):
    draw = data.draw
    groups, kernel, dilation, stride = (
        draw(st.integers(1, 2)),
        *(per_axis(draw, ndim, 1, 3) for _ in range(3)),
    )
    pairs = zip(each(stride, ndim), each(dilation, ndim), strict=True)
    extra = tuple(draw(st.integers(0, max(pair) - 1)) for pair in pairs)
    cls = nn.ConvTranspose1d if ndim == 1 else nn.ConvTranspose2d
    module = cls(
        groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), kernel,
        stride=stride, padding=draw(st.integers(0, 1)), output_padding=extra, dilation=dilation,
        groups=groups, bias=draw(st.booleans()),
    )  # fmt: skip
    seed = draw(st.integers(0, 2**31))
    fill_on_grid(module, np.random.default_rng(seed))
    space = tuple(draw(st.integers(3, 5)) for _ in range(ndim))
    compare(module, (module.in_channels, *space), seed=seed)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    module = nn.Linear(7, 5, bias=bias)
    fill_on_grid(module, np.random.default_rng(0))
    compare(module, (7,))
    module = module.double()  # comes in as float32
    layer = convert(module, (7,)).layers[""]
    assert layer.weight.dtype == np.float32
    np.testing.assert_array_equal(layer.weight, module.weight.detach().float())


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("ndim", [1, 2])
@given(data=st.data())
@settings(max_examples=8)
def test_pools(kind, ndim, data):
    draw = data.draw
    kernel = per_axis(draw, ndim, 1, 4)
    options = {
        "stride": (draw(st.none()) and None) or per_axis(draw, ndim, 1, 4),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in each(kernel, ndim)),
        "ceil_mode": draw(st.booleans()),
    }
    if kind == "avg":
        options["count_include_pad"] = draw(st.booleans())
        if ndim == 2 and draw(st.booleans()):
            options["divisor_override"] = draw(st.integers(1, 5))
    name = f"{kind.capitalize()}Pool{ndim}d"
    module = getattr(nn, name)(kernel, **options)
    space = tuple(k + draw(st.integers(0, 5)) for k in each(kernel, ndim))
    # A mean of more than a power of two of integers is rounded; XLA multiplies by the reciprocal.
    rtol = 1e-6 if kind == "avg" else 0.0
    try:
        compare(module, (2, *space), rtol=rtol)
    except ValueError as error:
        assert "torch counts only a part" in str(error)
        assert options["ceil_mode"] and options["count_include_pad"] and any(options["padding"])


@pytest.mark.parametrize("kind", ["Avg", "Max"])
@given(data=st.data())
@settings(max_examples=4)
def test_adaptive_pools(kind, data):
    draw = data.draw
    windows = [draw(st.sampled_from([1, 2, 4])) for _ in range(2)]
    counts = [draw(st.integers(1, 3)) for _ in range(2)]
    space = tuple(w * n for w, n in zip(windows, counts, strict=True))
    compare(getattr(nn, f"Adaptive{kind}Pool2d")(tuple(counts)), (2, *space))
    compare(getattr(nn, f"Adaptive{kind}Pool1d")(counts[0]), (2, space[0]))
    compare(getattr(nn, f"Adaptive{kind}Pool2d")((None, 1)), (2, space[0], 4))


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.Flatten(), (2, 3, 4)),
        (nn.Flatten(2), (2, 3, 4)),
        (nn.Flatten(1, 2), (2, 3, 4)),
        (nn.Flatten(-2), (2, 3, 4)),
        (nn.Flatten(3), (2, 3, 4)),
        (nn.Unflatten(1, (2, -1)), (6,)),
        (nn.Unflatten(-1, (2, 2)), (3, 4)),
        (nn.Identity(), (3,)),
        (nn.ReLU(inplace=False), (3, 2)),
        (nn.ReLU6(), (3, 2)),
        (nn.Dropout(0.3), (4,)),
        (nn.Dropout2d(0.3), (4, 2, 2)),
        (nn.ZeroPad2d((1, 2, 3, 0)), (2, 3, 4)),
        (nn.ConstantPad1d((0, 2), 1.5), (2, 3)),
        (nn.Upsample(scale_factor=(1, 3)), (2, 3, 4)),
        (nn.UpsamplingNearest2d(size=(6, 4)), (2, 3, 4)),
    ],
)
def test_layers_that_move_values(module, shape):
    compare(module, shape)


def test_flatten_behind_time_and_batch():
    layer = flatten(nn.Flatten(2), (2, 3), leading=2)
    assert layer.out_shape((2, 3)) == (6,)
    with pytest.raises(ValueError, match="must not touch the first 2"):
        flatten(nn.Flatten(1), (2, 3), leading=2)


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("space", [(), (5,), (4, 3)])
def test_batch_norm(space, affine):
    cls = nn.BatchNorm2d if len(space) == 2 else nn.BatchNorm1d
    module = cls(3, eps=1e-2, momentum=0.3, affine=affine)
    with torch.no_grad():
        for tensor in (*module.parameters(), module.running_mean, module.running_var):
            tensor.uniform_(0.1, 2.0)
    layer = compare(module, (3, *space), rtol=1e-6).layers[""]
    assert (layer.eps, layer.momentum, bool(layer.inference)) == (1e-2, 0.3, True)
    assert convert(nn.BatchNorm1d(3, momentum=None), (3,)).notes[0].startswith("momentum=None")


def test_what_comes_in_is_a_parameter():
    layer = convert(nn.Conv2d(2, 3, 3), (2, 5, 5)).layers[""]
    assert [x.shape for x in jax.tree.leaves(layer)] == [(3, 2, 3, 3), (3,)]


@pytest.mark.parametrize("normed", ["weight_norm", "spectral_norm", "orthogonal"])
def test_parametrized_weights(normed):
    module = getattr(nn.utils.parametrizations, normed)(nn.Linear(4, 3))
    assert "parametrization" in compare(module, (4,), rtol=1e-6).notes[0]
    compare(getattr(nn.utils.parametrizations, normed)(nn.Conv1d(4, 3, 2)), (4, 6), rtol=1e-6)


@pytest.mark.parametrize("normed", ["weight_norm", "spectral_norm", "prune"])
def test_weights_that_hooks_compute(normed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        if normed == "prune":
            module = nn.utils.prune.random_unstructured(nn.Linear(4, 3), "weight", amount=0.5)
        else:
            module = getattr(nn.utils, normed)(nn.Linear(4, 3))
    with torch.no_grad():  # what `module.weight` holds is out of date now
        name = "weight_g" if normed == "weight_norm" else "weight_orig"
        getattr(module, name).mul_(3.0)
    compare(module, (4,), rtol=1e-6)


def test_subclasses():
    class Mine(nn.AvgPool2d):
        def __init__(self):
            super().__init__(2)

    compare(Mine(), (1, 4, 4))

    class Other(nn.AvgPool2d):
        def forward(self, x):
            return -super().forward(x)

    with pytest.raises(LookupError, match="has no converter"):
        convert(Other(2), (1, 4, 4))


def integers(module):
    weight = module.weight.detach().to(torch.int8)
    module.weight = nn.Parameter(weight, requires_grad=False)
    return module


@pytest.mark.parametrize(
    "module, shape, message",
    [
        (nn.Linear(4, 3), (2, 2, 2, 4), "last of 4 axes.*reshape"),
        (nn.Conv2d(1, 1, 3, padding_mode="reflect", padding=1), (1, 5, 5), "'reflect'"),
        (nn.Conv2d(1, 1, 3), (1, 5), "3 axes"),
        (integers(nn.Linear(4, 3)), (4,), "weight is torch.int8"),
        (nn.Linear(4, 3, device="meta"), (4,), "meta"),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True), (1, 6, 6), "torch counts only a part"),
        (nn.MaxPool2d(2, dilation=2), (1, 6, 6), "dilation=2"),
        (nn.MaxPool2d(2, return_indices=True), (1, 6, 6), "return_indices"),
        (nn.AdaptiveAvgPool2d(4), (1, 6, 8), "6x8 is not a multiple of the output 4x4"),
        (nn.AdaptiveMaxPool1d(4, return_indices=True), (1, 8), "return_indices"),
        (nn.Flatten(0), (2, 3), "start_dim=0.*use start_dim=1"),
        (nn.Unflatten("C", (2, 2)), (4,), "is a name"),
        (nn.Unflatten(0, (2, 2)), (4,), "must not touch"),
        (nn.BatchNorm1d(3, track_running_stats=False), (3,), "track_running_stats=False"),
        (nn.ZeroPad2d(-1), (1, 4, 4), "crops"),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (1, 4, 4), "'bilinear'"),
        (nn.Upsample(scale_factor=1.5), (1, 4, 4), "4x4 to 6.0x6.0 is not by whole factors"),
        (nn.Dropout(1.0), (4,), "rate is 1.0"),
    ],
)
def test_refusals(module, shape, message):
    with pytest.raises(ValueError, match=message):
        convert(module, shape)


def test_alpha_dropout_is_unknown():
    with pytest.raises(LookupError, match=r"torch\.AlphaDropout"):
        convert(nn.AlphaDropout(), (3,))
