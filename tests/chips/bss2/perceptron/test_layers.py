"""Layers: what they add to the operations."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.stats
import torch

import neurojax as nj
from neurojax import train
from neurojax.chips.bss2 import perceptron as hagen
from neurojax.train import trainable_mask
from tests.chips.bss2.perceptron import oracle

QUIET = hagen.MockParameter(noise_std=0.0)
KEY = jax.random.key(0)


def outputs(layer, x, **options):
    """What a layer makes of a batch."""
    network = nj.Sequential(x.shape[1:], layer=layer)
    return nj.simulate(network, x[None], **options).outputs[0]


def draw(*shape, low, high):
    return np.random.default_rng(7).integers(low, high + 1, shape).astype(np.float32)


def test_dense_layer_of_integers():
    x, w = draw(6, 200, low=0, high=31), draw(3, 200, low=-63, high=63)
    bias = np.array([0.5, -20.25, 100.0], np.float32)
    layer = hagen.Linear.from_weights(w, bias, num_sends=2, mock=QUIET)
    y = oracle.product(x, w.T, np.float32(0.004)) + np.floor(bias).astype(int)
    np.testing.assert_array_equal(outputs(layer, x), np.clip(y, -128, 127))


def test_columns_that_compute_the_same_have_less_noise():
    x = jnp.full((4000, 20), 16.0)
    w = jnp.full((1, 20), 50.0)
    # 32.0 with a noise of 2, rounded down: less 1/2, and a variance of 4 + 1/12
    y = outputs(hagen.Linear.from_weights(w, avg=4, out_of_range="saturate"), x, key=KEY)
    spread = np.sqrt((4 + 1 / 12) / 4)
    assert np.std(y) == pytest.approx(spread, rel=5 / np.sqrt(8000))
    assert np.mean(y) == pytest.approx(31.5, abs=5 * spread / np.sqrt(4000))


def test_noise_needs_a_key_and_follows_it():
    x = jnp.full((3, 20), 16.0)
    layer = hagen.Linear(20, 5, key=KEY)
    with pytest.raises(ValueError, match=r"'layer' \(Linear\)"):
        outputs(layer, x)
    one, same, other = (outputs(layer, x, key=jax.random.key(k)) for k in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one[0], one[1])  # each sample has its own


def test_weights_are_limited_and_learn_all_the_same():
    x, w = jnp.ones((1, 2)), jnp.array([[80.0, -90.0]])

    def loss(w, **options):
        layer = hagen.Linear.from_weights(w, mock=hagen.MockParameter(0.0, 0.5), **options)
        return outputs(layer, x).sum()

    y, gradient = jax.value_and_grad(loss)(w)
    assert y == 0.0 and gradient.tolist() == [[0.5, 0.5]]
    assert loss(w, weight_transform=hagen.scale_weight) == np.floor((56.0 - 63.0) / 2)
    with pytest.raises(RuntimeError, match=r"Linear: the range of weights is -63..63"):
        loss(w, weight_transform=None)
    assert loss(w, weight_transform=None, out_of_range="saturate") == 0.0


def test_optimiser_keeps_weights_within_the_limits():
    network = nj.Sequential((2,), out=hagen.Linear(2, 2, bias=True, mock=QUIET, key=KEY))
    data = (np.full((4, 1, 2), 31.0, np.float32), np.array([0, 1, 0, 1]))
    optimiser = optax.chain(optax.sgd(1e5), hagen.clamped_weights())
    fitted = train.fit(network, data, key=KEY, epochs=1, batch_size=2, optimiser=optimiser)
    limits = np.abs(fitted.network["out"].weight)
    assert limits.max() == 63.0
    with pytest.raises(ValueError, match="needs the parameters"):
        hagen.clamped_weights().update({}, optax.EmptyState())


def test_inputs_are_scaled_by_sample_or_batch():
    x, w = jnp.array([[0.5, 1.0], [2.0, 0.25]]), 2 * jnp.eye(2)
    mock = hagen.MockParameter(0.0, 0.5)
    scaled = {
        function: outputs(
            hagen.Linear.from_weights(w, mock=mock, input_transform=function), x
        ).tolist()
        for function in (hagen.scale_input, hagen.scale_batch)
    }
    assert scaled[hagen.scale_input] == [[16.0, 31.0], [31.0, 4.0]]
    assert scaled[hagen.scale_batch] == [[8.0, 16.0], [31.0, 4.0]]


def test_saturation_is_probed():
    w = jnp.full((2, 256), 63.0)
    network = nj.Sequential((256,), a=hagen.Linear.from_weights(w, mock=QUIET, count=True))
    x = jnp.stack([jnp.full((1, 256), 31.0), jnp.zeros((1, 256))])
    run = nj.simulate(network, x, probes=["a.tiles", "a.outputs"])
    assert run["a.tiles"].tolist() == [[4], [4]] and run["a.outputs"].tolist() == [[2], [2]]


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding_is_that_of_torch(mode):
    x, w = draw(2, 2, 6, 5, low=0, high=31), draw(3, 2, 3, 2, low=-63, high=63)
    layer = hagen.Conv2d.from_weights(w, stride=2, padding=(2, 1), padding_mode=mode, mock=QUIET)
    name = "constant" if mode == "zeros" else mode
    padded = torch.nn.functional.pad(torch.tensor(x), (1, 1, 2, 2), mode=name).numpy()
    np.testing.assert_array_equal(
        outputs(layer, x), oracle.convolution(padded, w, (2, 2), np.float32(0.002))
    )


def test_convolutions_of_one_axis_agree():
    x, w = draw(3, 1, 100, low=0, high=31), draw(5, 1, 20, low=-63, high=63)
    options = {"stride": 3, "padding": 2, "num_sends": 2, "mock": QUIET, "out_of_range": "saturate"}
    plain = outputs(hagen.Conv1d.from_weights(w, **options), x)
    padded = np.pad(x, ((0, 0), (0, 0), (2, 2)))
    np.testing.assert_array_equal(plain, oracle.convolution(padded, w, (3,), np.float32(0.004)))
    np.testing.assert_array_equal(
        outputs(hagen.ExpandedConv1d.from_weights(w, **options), x), plain
    )


def test_first_weights_are_truncated_normal():
    layer = hagen.Linear(400, 100, bias=True, key=KEY)
    assert layer.num_sends == 4  # ceil(2 sqrt(2) / 0.002 / sqrt(400) / 21)
    std = 2 * np.sqrt(2) / 0.002 / 20
    spread = scipy.stats.truncnorm(-63 / (std / 4), 63 / (std / 4), scale=std / 4)
    assert scipy.stats.kstest(np.asarray(layer.weight).ravel(), spread.cdf).pvalue > 1e-3
    limit = std / (31 / np.sqrt(3))
    uniform = scipy.stats.uniform(-limit, 2 * limit)
    assert scipy.stats.kstest(np.asarray(layer.bias), uniform.cdf).pvalue > 1e-3
    shifted = hagen.Linear(400, 100, num_sends=8, weight_mean=5.0, relu_shift=0, key=KEY)
    assert shifted.num_sends == 8
    assert np.mean(shifted.weight) == pytest.approx(5, abs=0.2)
    assert np.std(shifted.weight) == pytest.approx(std / 16, rel=0.02)


def test_chips_are_neither_trained_nor_shared():
    mock = hagen.MockParameter(noise_std=0.0, gain=jnp.array(0.002))
    network = nj.Sequential((4,), a=hagen.Linear(4, 3, mock=mock, num_sends=3, key=KEY))
    mask = trainable_mask(network)["a"]
    assert mask.weight is True and mask.mock.gain is False
    other = hagen.with_mock(network, gain=0.5)
    assert other["a"].mock.gain == 0.5 and other["a"].mock.noise_std == 0.0
    x = jnp.full((1, 1, 4), 20.0)

    def run(gain):
        return nj.simulate(hagen.with_mock(network, gain=gain), x).outputs

    gains = jnp.array([0.001, 0.004])
    many = jax.vmap(run)(gains)
    for y, gain in zip(many, gains, strict=True):
        np.testing.assert_array_equal(y, run(gain))


def test_gradients_cross_a_network():
    network = nj.Sequential(
        (1, 8, 8),
        conv=hagen.Conv2d(1, 3, 3, stride=2, mock=QUIET, out_of_range="saturate", key=KEY),
        relu=hagen.ConvertingReLU(shift=1),
        flat=nj.Flatten(),
        hidden=hagen.Linear(27, 4, mock=QUIET, out_of_range="saturate", key=KEY),
        plain=hagen.ReLU(),
    )
    x = draw(1, 2, 1, 8, 8, low=0, high=31)

    def loss(network):
        return nj.simulate(network, x).outputs.sum()

    gradients = jax.jit(jax.grad(loss))(network)
    for name in ("conv", "hidden"):
        weight = np.asarray(gradients[name].weight)
        assert np.isfinite(weight).all() and np.abs(weight).max() > 0


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: hagen.Linear(0, 3, key=KEY), ValueError, "in_features is 0"),
        (lambda: hagen.Linear(2, 3, avg=0, key=KEY), ValueError, "avg is 0"),
        (lambda: hagen.Linear(2, 3, num_sends=0, key=KEY), ValueError, "num_sends is 0"),
        (lambda: hagen.Linear(2, 3, mock=0.1, key=KEY), TypeError, "mock is 0.1"),
        (
            lambda: hagen.Linear(2, 3, input_transform="scale", key=KEY),
            TypeError,
            "input_transform is 'scale'",
        ),
        (lambda: hagen.Linear.from_weights(np.ones(3)), ValueError, "2 axes"),
        (lambda: hagen.Linear.from_weights(np.ones((3, 2)), np.ones(2)), ValueError, "3 outputs"),
        (
            lambda: hagen.Conv2d(1, 2, 3, padding_mode="same", key=KEY),
            ValueError,
            "padding_mode is 'same'",
        ),
        (lambda: hagen.ConvertingReLU(shift=-1), ValueError, "shift is -1"),
        (
            lambda: nj.Sequential((3,), a=hagen.Linear(2, 3, key=KEY)),
            ValueError,
            "takes 2 features",
        ),
        (
            lambda: nj.Sequential((2, 8), a=hagen.Conv1d(1, 3, 2, key=KEY)),
            ValueError,
            "takes 1 input channels",
        ),
        (lambda: nj.Sequential((2, 2), a=hagen.ArgMax()), ValueError, "takes a vector"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
