"""What stands for the chip in perceptron mode: the limits of its numbers, its gain and its noise.

In perceptron mode ("hagen") a synapse array multiplies matrices. Inputs are pulses of 5 bits,
weights have 6 bits and a sign, which takes two rows, and the 8-bit converters of the columns read
what has come onto the membranes.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from neurojax._layer import Constant, parameter
from neurojax.chips.bss2.spec import chip
from neurojax.fixed_point import integer_range

INPUT = integer_range(5, signed=False)
"""Smallest and largest input."""
WEIGHT = (-chip.largest_weight, chip.largest_weight)
"""Smallest and largest weight."""
OUTPUT = integer_range(chip.cadc_bits)
"""Smallest and largest output: what the converter reads, less what it reads without input."""
ROWS = chip.signed_fan_in
"""Signed inputs that one product of the chip takes; more are several products, added up."""
COLUMNS = chip.columns
"""Outputs of one product."""


def known(value: Any) -> bool:
    """Whether a value can be looked at now, and not only when a compiled program runs."""
    return not isinstance(value, jax.core.Tracer)


class MockParameter(eqx.Module):
    """Gain and noise of a chip in perceptron mode.

    A number is a constant; an array is a leaf of the pytree, so that `jax.vmap` goes over chips.
    An array of one value an output is a chip whose columns differ.

    Args:
        noise_std: Standard deviation of what is added to a product before it is read, in steps of
            the converter. 0 is no noise, and needs no key.
        gain: Steps of the converter for an input of 1 at a weight of 1.

    Raises:
        ValueError: A gain outside 0 < gain <= 1, or a negative `noise_std`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.MockParameter`, its defaults and legal range.

    Example:
        >>> from neurojax.chips.bss2 import perceptron
        >>> perceptron.MockParameter()
        MockParameter(noise_std=2.0, gain=0.002)
    """

    noise_std: float | Array = eqx.field(converter=parameter, default=2.0)
    gain: float | Array = eqx.field(converter=parameter, default=0.002)

    def __check_init__(self) -> None:
        gain, noise = self.gain, self.noise_std
        if known(gain) and not (np.all(np.asarray(gain) > 0) and np.all(np.asarray(gain) <= 1)):
            raise ValueError(f"MockParameter: gain is {gain}; it must be > 0 and <= 1")
        if known(noise) and not np.all(np.asarray(noise) >= 0):
            raise ValueError(f"MockParameter: noise_std is {noise}; it must be >= 0")

    @property
    def noisy(self) -> bool:
        """Whether noise is drawn at all."""
        return not isinstance(self.noise_std, float | int) or self.noise_std > 0

    def scale(self, num_sends: int) -> Any:
        """The gain of inputs that are sent several times."""
        return num_sends * _plain(self.gain)

    @property
    def spread(self) -> Any:
        """`noise_std` as it is multiplied with; None: no noise. Nothing learns it."""
        return jax.lax.stop_gradient(_plain(self.noise_std)) if self.noisy else None


def _plain(value: float | Array) -> float | Array:
    """A Constant as a float: it would not take the type of the array that it meets."""
    return float(value) if isinstance(value, Constant) else value


MOCK = MockParameter()
"""The default."""
