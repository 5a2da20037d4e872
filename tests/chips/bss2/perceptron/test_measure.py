"""Measuring a device finds what it was made with."""

import functools as ft

import jax
import numpy as np
import pytest

from neurojax.chips.bss2 import perceptron as hagen

KEY = jax.random.key(3)


@pytest.mark.parametrize(("noise_std", "gain"), [(2.0, 0.002), (0.7, 0.0035)])
def test_a_mock_is_found_again(noise_std, gain):
    device = ft.partial(hagen.mac, mock=hagen.MockParameter(noise_std, gain), key=jax.random.key(0))
    mock = hagen.measure_mock_parameter(device, key=KEY, rounds_down=True)
    # 12800 outputs of about 63; a column's spread is known to 10 %, their median to 1 %.
    assert mock.gain == pytest.approx(gain, rel=2e-3)
    assert mock.noise_std == pytest.approx(noise_std, rel=0.05)


def chip(x, w, gain=0.002):
    """Rounds as the chip does: inputs and outputs to the nearest, halves away from zero."""
    x = np.floor(np.asarray(x) + 0.5)
    y = np.clip(np.round(x @ np.asarray(w) * gain), -128, 127)
    return y + np.random.default_rng(0).integers(-1, 2, y.shape)


def test_halves_make_the_gain_three_percent_too_large():
    right = hagen.measure_mock_parameter(chip, key=KEY)
    assert right.gain == pytest.approx(0.002, rel=5e-3)
    wrong = hagen.measure_mock_parameter(chip, key=KEY, activation=15.5)
    assert wrong.gain / right.gain == pytest.approx(16 / 15.5, rel=5e-3)
    # -1, 0 and 1 have the variance 2/3
    assert right.noise_std == pytest.approx(np.sqrt(2 / 3), rel=0.15)


def test_devices_that_do_not_multiply():
    with pytest.raises(ValueError, match="returned shape"):
        hagen.measure_mock_parameter(lambda x, w: x, key=KEY)
    with pytest.raises(ValueError, match="gain is 0"):
        hagen.measure_mock_parameter(lambda x, w: 0 * x @ w, key=KEY)
    with pytest.raises(ValueError, match="activation is 32"):
        hagen.measure_mock_parameter(chip, key=KEY, activation=32)
