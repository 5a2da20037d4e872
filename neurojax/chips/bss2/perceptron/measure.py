"""Gain and noise of a device, for a mock that behaves like it.

A matrix of equal weights is multiplied with vectors in which random rows are switched on. How many
rows are on is chosen such that outputs are about half of what the converter reads. Then

    gain      = median over masks and columns of y / (x W)
    noise_std = median over columns of the standard deviation of y - gain x W over the masks

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.measure_mock_parameter`. It sends inputs of 15.5, which
    the chip rounds to 16, and divides by products of 15.5: a gain that is 3 % too large. Here
    inputs are whole; `activation=15.5` does as it does.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax.chips.bss2.perceptron.mock import COLUMNS, INPUT, OUTPUT, ROWS, WEIGHT, MockParameter

DENSITIES = 20
"""How many shares of active rows are tried, each 0.85 times the one before."""
FALL = 0.85
MASKS = 50
"""Random masks at the share that is chosen."""


def measure_mock_parameter(
    device: Callable[[Array, Array], Array],
    *,
    key: PRNGKeyArray,
    activation: float = 16.0,
    weight: float = 21.0,
    rounds_down: bool = False,
) -> MockParameter:
    """Measure the gain and the noise of a device in perceptron mode.

    Args:
        device: Multiplies inputs `(batch, 128)` with weights `(128, 256)` and returns outputs
            `(batch, 256)`: a chip, or `mac`. Each input is sent once.
        key: Source of the masks.
        activation: Input of an active row, 0..31.
        weight: The weight of all synapses, -63..63.
        rounds_down: True for a device that rounds outputs down, as `mac` does, and not to the
            nearest: then half a step is added to them.

    Returns:
        Gain and noise. The noise is that before rounding: the 1/12 that rounding adds to the
        variance is taken off.

    Raises:
        ValueError: A device that returns other shapes, or hardly anything but zeros.

    Example:
        >>> import functools, jax
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> chip = hagen.MockParameter(noise_std=1.5, gain=0.0025)
        >>> device = functools.partial(hagen.mac, mock=chip, key=jax.random.key(0))
        >>> mock = hagen.measure_mock_parameter(device, key=jax.random.key(1), rounds_down=True)
        >>> round(mock.gain, 4), round(mock.noise_std, 1)
        (0.0025, 1.5)
    """
    for name, value, (low, high) in (("activation", activation, INPUT), ("weight", weight, WEIGHT)):
        if not low <= value <= high or value == 0:
            raise ValueError(
                f"measure_mock_parameter: {name} is {value}; it must be within {low}..{high}, not 0"
            )
    weights = np.full((ROWS, COLUMNS), weight, np.float32)
    first, second = jax.random.split(key)

    def measured(shares: np.ndarray, key: PRNGKeyArray) -> tuple[np.ndarray, np.ndarray]:
        """Products (batch, 1) and what the device makes of them."""
        active = jax.random.uniform(key, (len(shares), ROWS)) < shares[:, None]
        x = np.asarray(active, np.float32) * activation
        y = np.asarray(device(jax.numpy.asarray(x), jax.numpy.asarray(weights)), np.float64)
        if y.shape != (len(shares), COLUMNS):
            raise ValueError(
                f"measure_mock_parameter: the device returned shape {y.shape} for inputs "
                f"{x.shape} and weights {weights.shape}; it must be {(len(shares), COLUMNS)}"
            )
        return x.sum(1, keepdims=True) * weight, y + 0.5 * rounds_down

    shares = FALL ** np.arange(DENSITIES)
    _, y = measured(shares, first)
    half = np.sign(weight) * OUTPUT[1] / 2
    best = shares[np.argmin(np.abs(np.median(y, axis=1) - half))]
    product, y = measured(np.full(MASKS, best), second)
    on = product[:, 0] != 0
    gain = float(np.median(y[on] / product[on])) if on.any() else 0.0
    if not 0 < gain <= 1:
        raise ValueError(
            f"measure_mock_parameter: the device's gain is {gain:g}; it must be > 0 and <= 1. Are "
            "its outputs those of these weights, and does it multiply at all?"
        )
    variance = np.median(np.std(y - gain * product, axis=0, ddof=1)) ** 2
    return MockParameter(noise_std=float(np.sqrt(max(variance - 1 / 12, 0.0))), gain=gain)
