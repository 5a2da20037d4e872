"""Batch normalisation and its folding, against PyTorch."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.layers import (
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    Scale,
    SumPool2d,
    fold_batch_norm,
)
from neurojax.layers.fold import Normalisation, fold_parameters

KEY = jax.random.key(0)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(0.5, 2.0, shape).astype(np.float32)


def pair(channels, torch_class, seed=0, **options):
    """A BatchNorm with random parameters, and PyTorch's."""
    weight, bias, mean, var = normal(seed, 4, channels)
    var = np.abs(var) + 0.1
    theirs = torch_class(channels, **options)
    with torch.no_grad():
        theirs.weight.copy_(torch.tensor(weight))
        theirs.bias.copy_(torch.tensor(bias))
        theirs.running_mean.copy_(torch.tensor(mean))
        theirs.running_var.copy_(torch.tensor(var))
    return BatchNorm.from_weights(weight, bias, mean, var, **options), theirs


@pytest.mark.parametrize("space", [(), (5,), (4, 3)])
@pytest.mark.parametrize("schedule", ["step", "layer"])
def test_training_equals_torch_step_by_step(space, schedule):
    torch_class = torch.nn.BatchNorm2d if len(space) == 2 else torch.nn.BatchNorm1d
    ours, theirs = pair(3, torch_class, eps=1e-3, momentum=0.2)
    x, cotangent = normal(1, 4, 6, 3, *space), normal(2, 4, 6, 3, *space)
    tx = torch.tensor(x, requires_grad=True)
    ty = torch.stack([theirs(step) for step in tx])
    ty.backward(torch.tensor(cotangent))

    def loss(network, x):
        run = nj.simulate(network, x, schedule=schedule)
        return jnp.sum(run.outputs * cotangent), run

    network = nj.Sequential((3, *space), norm=ours)
    compiled = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    (gradient, gx), run = compiled(network, x)
    near = dict(rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(run.outputs, ty.detach().numpy(), **near)
    np.testing.assert_allclose(gx, tx.grad.numpy(), **near)
    np.testing.assert_allclose(gradient["norm"].weight, theirs.weight.grad.numpy(), **near)
    np.testing.assert_allclose(gradient["norm"].bias, theirs.bias.grad.numpy(), **near)
    assert not gradient["norm"].running_mean.any() and not gradient["norm"].running_var.any()
    after = network.absorb(run.state)["norm"]
    np.testing.assert_allclose(after.running_mean, theirs.running_mean.numpy(), rtol=1e-5)
    np.testing.assert_allclose(after.running_var, theirs.running_var.numpy(), rtol=1e-5)


def test_statistics_are_exact_and_go_on_from_a_state():
    """Small integers: both schedules and a run in pieces agree to the last bit."""
    x = np.random.default_rng(0).integers(-4, 5, (6, 4, 2, 8)).astype(np.float32)
    network = nj.Sequential((2, 8), norm=BatchNorm(2, momentum=0.25))
    whole = nj.simulate(network, x, schedule="step")
    first = nj.simulate(network, x[:2])
    rest = nj.simulate(network, x[2:], state=first.state, schedule="layer")
    for name in ("mean", "var"):
        a, b = (getattr(run.state.layers["norm"], name) for run in (whole, rest))
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_array_equal(a, np.broadcast_to(a[:1], a.shape))


def test_inference_equals_torch_and_has_no_state():
    ours, theirs = pair(3, torch.nn.BatchNorm2d)
    x = normal(1, 2, 5, 3, 4, 4)
    with torch.no_grad():
        want = theirs.eval()(torch.tensor(x).flatten(0, 1)).numpy().reshape(x.shape)
    network = eqx.nn.inference_mode(nj.Sequential((3, 4, 4), norm=ours))
    run = nj.simulate(network, x)
    np.testing.assert_allclose(run.outputs, want, rtol=1e-5, atol=1e-5)
    assert run.state.layers["norm"] is None
    gradient = jax.jit(jax.grad(lambda net: nj.simulate(net, x).outputs.sum()))(network)["norm"]
    assert not gradient.running_var.any() and gradient.bias.any()
    assert network.absorb(run.state)["norm"].running_mean is network["norm"].running_mean


def test_sixteen_bits():
    x = jnp.asarray(normal(1, 3, 8, 2, 9), jnp.bfloat16)
    run = nj.simulate(nj.Sequential((2, 9), BatchNorm(2)).astype(jnp.bfloat16), x)
    assert run.outputs.dtype == jnp.bfloat16
    np.testing.assert_allclose(run.outputs.astype(jnp.float32).mean((1, 3)), 0, atol=0.02)


CASES = {
    "linear": (torch.nn.Linear(6, 3, bias=False), torch.nn.BatchNorm1d, (6,)),
    "linear with bias": (torch.nn.Linear(6, 3), torch.nn.BatchNorm1d, (6,)),
    "conv1d": (torch.nn.Conv1d(4, 3, 3, padding=1), torch.nn.BatchNorm1d, (4, 7)),
    "conv2d": (torch.nn.Conv2d(2, 3, 3, stride=2, bias=False), torch.nn.BatchNorm2d, (2, 7, 7)),
}


def ours_of(module):
    cls = {torch.nn.Linear: Linear, torch.nn.Conv1d: Conv1d, torch.nn.Conv2d: Conv2d}[type(module)]
    options = {} if cls is Linear else {"stride": module.stride, "padding": module.padding}
    bias = None if module.bias is None else module.bias.detach().numpy()
    return cls.from_weights(module.weight.detach().numpy(), bias, **options)


@pytest.mark.parametrize("case", CASES)
def test_folding_equals_torch_in_inference(case):
    module, norm_class, shape = CASES[case]
    ours, theirs = pair(3, norm_class, eps=1e-2)
    x = normal(3, 2, 5, *shape)
    with torch.no_grad():
        want = theirs.eval()(module(torch.tensor(x).flatten(0, 1))).numpy()
    network = nj.Sequential(shape, weights=ours_of(module), norm=ours)
    folded = fold_batch_norm(network)
    assert folded.names == ("weights",) and folded.outputs == ("weights",)
    got = nj.simulate(folded, x).outputs.reshape(want.shape)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)


def test_folding_keeps_the_graph():
    norm = BatchNorm.from_weights(None, None, [1.0] * 4, [4.0] * 4, eps=0.0)
    network = nj.Network(
        {
            "in": Linear(3, 4, key=KEY),
            "norm": norm,
            "spikes": nj.IAF(),
            "back": Linear(4, 4, key=KEY),
            "back norm": norm,
            "out": Scale(2.0),
        },
        [
            ("input", "in"), ("in", "norm"), ("norm", "spikes"), ("back norm", "spikes"),
            ("spikes", "back", True), ("back", "back norm"), ("spikes", "out"),
        ],
        inputs=(3,),
        outputs=["out", "norm"],
    )  # fmt: skip
    folded = fold_batch_norm(network)
    assert set(folded.names) == {"in", "spikes", "back", "out"}
    assert folded.outputs == ("out", "in")
    x = normal(4, 7, 2, 3)
    want = nj.simulate(eqx.nn.inference_mode(network), x).outputs
    got = nj.simulate(folded, x).outputs
    np.testing.assert_allclose(got["out"], want["out"], rtol=1e-5)
    np.testing.assert_allclose(got["in"], want["norm"], rtol=1e-5)
    plain = nj.Sequential((3,), Linear(3, 4, key=KEY))
    assert fold_batch_norm(plain) is plain


POOLS = {
    "average": AvgPool2d(2),
    "overlapping average": AvgPool2d(3, stride=2),
    "average of what there is": AvgPool2d(3, stride=2, padding=1, count_padding=False),
    "sum": SumPool2d((2, 1)),
    "maximum": MaxPool2d(3, stride=2, padding=1),
}


@pytest.mark.parametrize("pool", POOLS)
def test_folding_through_pooling(pool):
    """The network with the BatchNorm is the oracle; torch computed the BatchNorm above."""
    conv = Conv2d(2, 3, 3, bias=pool == "sum", key=KEY)
    norm, _ = pair(3, torch.nn.BatchNorm2d)
    norm = eqx.tree_at(lambda n: n.weight, norm, jnp.abs(norm.weight))
    layers = dict(conv=conv, keep=Identity(), pool=POOLS[pool], norm=norm, out=Scale(2.0))
    network = nj.Sequential((2, 9, 9), **layers)
    folded = fold_batch_norm(network)
    assert folded.names == ("conv", "keep", "pool", "out")
    x = normal(3, 2, 5, 2, 9, 9)
    want = nj.simulate(eqx.nn.inference_mode(network), x).outputs
    np.testing.assert_allclose(nj.simulate(folded, x).outputs, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "pool, message",
    [
        (MaxPool2d(2), r"through 'pool' \(MaxPool2d 2x2\): a negative gamma"),
        (AvgPool2d(3, padding=1), "zeros of its padding would not be normalised"),
        (SumPool2d(3, padding=1), "zeros of its padding would not be normalised"),
    ],
)
def test_pooling_that_does_not_commute(pool, message):
    norm, _ = pair(3, torch.nn.BatchNorm2d)
    norm = eqx.tree_at(lambda n: n.weight, norm, -jnp.abs(norm.weight))
    layers = dict(conv=Conv2d(2, 3, 3, key=KEY), pool=pool, norm=norm)
    with pytest.raises(ValueError, match=message):
        fold_batch_norm(nj.Sequential((2, 9, 9), **layers))
    branched = nj.Network(
        layers | {"other": Scale(2.0)},
        [("input", "conv"), ("conv", "pool"), ("conv", "other"), ("pool", "norm")],
        inputs=(2, 9, 9),
    )
    with pytest.raises(ValueError, match="because 'other' takes the values of 'conv' before"):
        fold_batch_norm(branched)


def test_rounding_of_folded_parameters():
    """As torch, to the last bit."""
    weight, bias = normal(0, 5, 4, 3), normal(1, 5)
    gamma, beta, mean, var = normal(2, 4, 5)
    var = np.abs(var)
    norm = Normalisation(mean, var, 1e-3, gamma, beta)
    t = [torch.tensor(a) for a in (weight, bias, mean, var, gamma, beta)]
    want = torch.nn.utils.fuse_conv_bn_weights(t[0], t[1], t[2], t[3], 1e-3, t[4], t[5])
    for ours, theirs in zip(fold_parameters(weight, bias, norm), want, strict=True):
        np.testing.assert_array_equal(ours, theirs.detach().numpy())


def test_folding_refuses_with_every_reason():
    linear = Linear(4, 4, key=KEY)
    network = nj.Network(
        {
            "a": linear,
            "flat": Flatten(),
            "behind flatten": BatchNorm(4),
            "first": BatchNorm(4),
            "b": linear,
            "shared": BatchNorm(4),
            "several": BatchNorm(4),
        },
        [
            ("input", "a"), ("a", "flat"), ("flat", "behind flatten"), ("input", "first"),
            ("input", "b"), ("b", "shared"), ("b", "several"), ("a", "several"),
        ],
        inputs=(4,),
    )  # fmt: skip
    with pytest.raises(ValueError) as error:
        fold_batch_norm(network)
    lines = str(error.value).splitlines()
    assert len(lines) == 4
    for text in (
        "'behind flatten': can't fold a BatchNorm behind 'flat' (Flatten)",
        "'first': can't fold a BatchNorm behind 'input' (an input of the network)",
        "'shared': can't fold a BatchNorm behind 'b', because 'several' takes the values",
        "'several': can't fold a BatchNorm fed by several or recurrent edges",
    ):
        assert any(text in line for line in lines), (text, lines)
    with pytest.raises(ValueError, match="the output of the network takes the values of 'w'"):
        fold_batch_norm(
            nj.Network({"w": linear, "n": BatchNorm(4)}, [("input", "w"), ("w", "n")],
                       inputs=(4,), outputs=["w", "n"])
        )  # fmt: skip


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: BatchNorm(0), "channels is 0"),
        (lambda: BatchNorm(2, eps=-1.0), "eps is -1.0"),
        (lambda: BatchNorm(2, momentum=2.0), "momentum is 2.0"),
        (lambda: BatchNorm.from_weights(None, None, [0.0], [1.0, 1.0]), "channels.* each"),
        (lambda: nj.Sequential((3, 4), n=BatchNorm(2)), "layer 'n': BatchNorm takes 2 channels"),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_running_statistics_are_not_trained():
    net = nj.Sequential((3,), norm=nj.BatchNorm(3))
    mask = nj.train.trainable_mask(net)["norm"]
    assert mask.weight and mask.bias
    assert not mask.running_mean and not mask.running_var
