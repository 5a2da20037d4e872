"""Losses against torch, scipy and closed forms: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import torch

from neurojax.train import losses

TIME, BATCH, CLASSES = 12, 5, 4
RANDOM = np.random.default_rng(0)
OUTPUTS = RANDOM.normal(size=(TIME, BATCH, CLASSES)).astype(np.float32)
SPIKES = (RANDOM.random((TIME, BATCH, CLASSES)) < 0.3).astype(np.float32)
LABELS = RANDOM.integers(0, CLASSES, BATCH)


def one_hot(labels):
    return torch.nn.functional.one_hot(torch.tensor(labels), CLASSES).float()


def squared(values, wanted):
    return ((values - wanted) ** 2).sum(-1)


def torch_cross_entropy(scores, **options):
    target = torch.tensor(LABELS)
    return torch.nn.functional.cross_entropy(scores, target, reduction="none", **options)


CASES = {
    "sum": (losses.cross_entropy, lambda y: torch_cross_entropy(y.sum(0))),
    "mean": (
        partial(losses.cross_entropy, decode="mean"),
        lambda y: torch_cross_entropy(y.mean(0)),
    ),
    "max": (partial(losses.cross_entropy, decode="max"), lambda y: torch_cross_entropy(y.amax(0))),
    "last": (partial(losses.cross_entropy, decode="last"), lambda y: torch_cross_entropy(y[-1])),
    "smoothed": (
        partial(losses.cross_entropy, smoothing=0.2),
        lambda y: torch_cross_entropy(y.sum(0), label_smoothing=0.2),
    ),
    "per step": (
        losses.cross_entropy_per_step,
        lambda y: torch.stack([torch_cross_entropy(step) for step in y]).mean(0),
    ),
    "mean squared error": (
        losses.mean_squared_error,
        lambda y: torch.nn.functional.mse_loss(y.mean(0), one_hot(LABELS), reduction="none").mean(
            -1
        ),
    ),
    "spike rate": (
        partial(losses.spike_rate, true_rate=0.8, false_rate=0.1),
        lambda y: squared(y.mean(0), 0.8 * one_hot(LABELS) + 0.1 * (1 - one_hot(LABELS))),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch(name):
    loss, reference = CASES[name]
    labels = jnp.asarray(LABELS)
    value = loss(jnp.asarray(OUTPUTS), labels)
    slope = jax.jit(jax.grad(lambda y: loss(y, labels).sum()))(jnp.asarray(OUTPUTS))
    outputs = torch.tensor(OUTPUTS, requires_grad=True)
    expected = reference(outputs)
    expected.sum().backward()
    assert value.shape == (BATCH,)
    np.testing.assert_allclose(value, expected.detach(), rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(slope, outputs.grad, rtol=2e-5, atol=1e-5)


def test_probabilities_as_targets():
    probabilities = torch.softmax(torch.tensor(RANDOM.normal(size=(BATCH, CLASSES))), -1).float()
    expected = torch.nn.functional.cross_entropy(
        torch.tensor(OUTPUTS).sum(0), probabilities, reduction="none"
    )
    value = losses.cross_entropy(jnp.asarray(OUTPUTS), jnp.asarray(probabilities.numpy()))
    np.testing.assert_allclose(value, expected, rtol=2e-5)


def test_trailing_axes_of_one_are_classes():
    flat = losses.cross_entropy(jnp.asarray(OUTPUTS), jnp.asarray(LABELS))
    mapped = losses.cross_entropy(jnp.asarray(OUTPUTS)[..., None, None], jnp.asarray(LABELS))
    np.testing.assert_array_equal(flat, mapped)


def test_first_spike_is_a_softmin_of_latencies():
    times = np.where(SPIKES.any(0), SPIKES.argmax(0), TIME).astype(np.float64)
    own = times[np.arange(BATCH), LABELS]
    expected = np.log(np.exp(-(times - own[:, None]) / 3.0).sum(-1))
    value = losses.first_spike(jnp.asarray(SPIKES), jnp.asarray(LABELS), scale=3.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_van_rossum_equals_a_filter_of_scipy():
    wanted = (RANDOM.random(SPIKES.shape) < 0.3).astype(np.float32)
    filtered = scipy.signal.lfilter([1.0], [1.0, -np.exp(-1 / 7.0)], SPIKES - wanted, axis=0)
    expected = (filtered**2).sum((0, 2)) / 7.0
    value = losses.van_rossum(jnp.asarray(SPIKES), jnp.asarray(wanted.swapaxes(0, 1)), tau=7.0)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_van_rossum_of_one_spike_too_many_is_about_a_half():
    spikes = jnp.zeros((1000, 1, 1)).at[3].set(1)
    value = losses.van_rossum(spikes, jnp.zeros((1, 1000, 1)), tau=50.0)
    # The integral of e^{-2t/tau} / tau, as a geometric sum.
    assert float(value[0]) == pytest.approx(1 / 50 / (1 - np.exp(-2 / 50)), rel=1e-5)


def test_regression_targets():
    wanted = RANDOM.normal(size=(BATCH, CLASSES)).astype(np.float32)
    value = losses.mean_squared_error(jnp.asarray(OUTPUTS), jnp.asarray(wanted), decode="last")
    np.testing.assert_allclose(value, ((OUTPUTS[-1] - wanted) ** 2).mean(-1), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.resolve("cross", "sum"), "loss='cross' is unknown; choose 'cross_entropy'"),
        (lambda: losses.decoder("total"), "decode='total' is unknown; choose 'sum'"),
        (lambda: losses.spike_rate(OUTPUTS, LABELS, true_rate=-1), "true_rate=-1 must be a rate"),
        (lambda: losses.van_rossum(OUTPUTS, OUTPUTS, tau=0), "tau=0 must be a number of steps"),
        (lambda: losses.van_rossum(OUTPUTS, OUTPUTS), "must be \\[batch, time, ...\\]"),
        (lambda: losses.first_spike(OUTPUTS, LABELS, scale=0), "scale=0 must be"),
        (
            lambda: losses.cross_entropy(jnp.asarray(OUTPUTS), jnp.zeros((BATCH, 7))),
            "class indices \\[batch\\] of an integer type, or probabilities",
        ),
        (
            lambda: losses.mean_squared_error(jnp.asarray(OUTPUTS), jnp.zeros((BATCH, 7))),
            "targets have 7 values a sample, the decoded outputs 4",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
