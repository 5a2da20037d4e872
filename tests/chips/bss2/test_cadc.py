"""The converter, against NumPy and hxtorch's rule for dense traces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import CADC, Analog

V = np.asarray(jax.random.normal(jax.random.key(0), (31, 2, 5)))


def test_codes():
    offset = np.linspace(-3, 3, 5, dtype=np.float32)
    gain = np.linspace(-0.05, 0.05, 5, dtype=np.float32)
    cadc = CADC(scale=0.02, zero=0.1, offset=jnp.asarray(offset), gain=jnp.asarray(gain))
    exact = 80 + (V.astype(np.float64) - 0.1) / 0.02 * (1 + gain) + offset
    found = np.asarray(cadc.codes(jnp.asarray(V)))
    away = np.abs(exact - np.floor(exact) - 0.5) > 1e-3  # from where rounding turns
    np.testing.assert_array_equal(found[away], np.clip(np.round(exact), 0, 255)[away])
    assert found.min() == 0 and away.mean() > 0.99
    np.testing.assert_allclose(cadc.read(jnp.asarray(V)), 0.1 + (found - 80) * 0.02, rtol=1e-5)


def test_without_bits_and_errors_it_reads_the_membrane():
    np.testing.assert_allclose(CADC(bits=None).read(jnp.asarray(V)), V, rtol=1e-5, atol=1e-6)


def test_noise():
    cadc = CADC(scale=0.02, noise=1.2, bits=None)
    codes = cadc.codes(jnp.zeros(20_000), key=jax.random.key(1)) - 80
    assert abs(codes.mean()) < 4 * 1.2 / np.sqrt(20_000)
    assert abs(codes.std() - 1.2) < 4 * 1.2 / np.sqrt(40_000)
    # Rounding adds a variance of 1/12, if the noise covers steps.
    whole = CADC(scale=0.02, noise=1.2).codes(jnp.zeros(20_000), key=jax.random.key(1))
    assert abs(whole.std() - np.sqrt(1.44 + 1 / 12)) < 4 * 1.2 / np.sqrt(40_000)
    with pytest.raises(ValueError, match="pass key="):
        cadc.codes(jnp.zeros(3))


@pytest.mark.parametrize("period", [2e-6, 1.7e-6, 5e-6, 0.4e-6])
def test_lines_between_samples(period):
    cadc = CADC(scale=0.01, bits=None, period=period, interpolation="linear")
    times = np.arange(0, 30e-6 + 1e-9, period)
    at = np.unique(np.ceil(times / 1e-6 - 1e-3).astype(int))
    found = np.asarray(cadc.record(jnp.asarray(V)))
    for b, n in ((0, 0), (1, 4)):
        expected = np.interp(np.arange(31), at, V[at, b, n])
        np.testing.assert_allclose(found[:, b, n], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("period", [2e-6, 1.7e-6, 5e-6, 0.4e-6])
def test_holding_in_a_run_is_holding_afterwards(period):
    cadc = CADC(scale=0.01, period=period)
    neuron = bss2.LI(tau_mem=4e-6, tau_syn=4e-6)
    net = nj.Sequential((5,), readout=Analog(neuron, readout=cadc))
    run = nj.simulate(net, jnp.asarray(V), probes=["readout.v"])
    recorded = cadc.record(run["readout.v"])
    np.testing.assert_allclose(run.outputs, recorded, rtol=1e-5, atol=1e-6)
    # In pieces, too.
    first = nj.simulate(net, jnp.asarray(V[:13]))
    rest = nj.simulate(net, jnp.asarray(V[13:]), state=first.state)
    both = jnp.concatenate([first.outputs, rest.outputs])
    np.testing.assert_allclose(both, recorded, rtol=1e-5, atol=1e-6)


def test_gradient_is_that_of_the_line():
    slope = jax.vmap(jax.grad(CADC(scale=0.02, gain=0.5).read))(jnp.array([0.0, 0.1, 5.0, -5.0]))
    np.testing.assert_allclose(slope, [1.5, 1.5, 0, 0])


def test_refusals():
    for option, legal in (
        ({"period": -1.0}, "seconds > 0"),
        ({"bits": 0}, "1..16"),
        ({"scale": 0.0}, "> 0"),
        ({"interpolation": "spline"}, "'hold', 'linear'"),
    ):
        with pytest.raises(ValueError, match=legal):
            CADC(**option)
