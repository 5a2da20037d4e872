"""The threshold without membrane, against NumPy and the table of its surrogate."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.neurons import Threshold

X = np.array([-1.0, 0.25, 0.5, 0.75], np.float32)


@pytest.mark.parametrize("strict, compare", [(False, np.greater_equal), (True, np.greater)])
@pytest.mark.parametrize("threshold", [0.5, [0.25, 0.25, 0.75, 0.75]])
def test_spikes(threshold, strict, compare):
    value = threshold if isinstance(threshold, float) else jnp.array(threshold)
    net = nj.Sequential((4,), spikes=Threshold(value, strict=strict))
    found = nj.simulate(net, X[None, None]).outputs[0, 0]
    np.testing.assert_array_equal(found, compare(X, np.float32(threshold)))


def test_derivatives_are_the_surrogates():
    """For u = x - threshold: +g(u) by x, -g(u) by the threshold."""
    surrogate = nj.surrogate.Sigmoid(3.0)
    net = nj.Sequential((4,), spikes=Threshold(jnp.full(4, 0.5), surrogate=surrogate))

    def total(net, x):
        return nj.simulate(net, x).outputs.sum()

    by_net, by_x = jax.grad(total, argnums=(0, 1))(net, jnp.asarray(X[None, None]))
    u = np.float64(X) - 0.5
    s = 1 / (1 + np.exp(-3 * u))
    np.testing.assert_allclose(by_x[0, 0], 3 * s * (1 - s), rtol=1e-5)
    np.testing.assert_allclose(by_net["spikes"].threshold, -3 * s * (1 - s), rtol=1e-5)


@pytest.mark.parametrize(
    "options, error, words",
    [
        ({"threshold": "high"}, TypeError, "threshold is 'high'; give a number"),
        ({"strict": 1}, ValueError, "strict is 1; it must be one of False, True"),
        ({"surrogate": "atan"}, TypeError, "surrogate is 'atan'; use an object"),
    ],
)
def test_wrong_options(options, error, words):
    with pytest.raises(error, match=words):
        Threshold(**options)


def test_thresholds_of_another_shape():
    with pytest.raises(ValueError, match=r"threshold has shape \(3,\), but there are \(4,\)"):
        nj.Sequential((4,), Threshold(jnp.ones(3)))
