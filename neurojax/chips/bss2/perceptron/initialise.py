"""First weights and biases, and how often inputs are sent, so that outputs fill their range.

    g     = 2^relu_shift sqrt(2) / gain        what a product has to make up for
    sends = ceil(g / sqrt(fan_in) / 21)        so that weights of that spread fit three times
    w     ~ N(mean, g / sqrt(fan_in) / sends)  truncated at -63 and 63
    b     ~ U(-l, l), l = g / sqrt(fan_in) / (31 / sqrt(3))

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.nn.MACLayer.reset_parameters`; K. He et al., "Delving
    deep into rectifiers", 2015.
"""

from __future__ import annotations

import math

import jax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax.chips.bss2.perceptron.mock import INPUT, WEIGHT


def spread(fan_in: int, gain: float, relu_shift: int) -> float:
    """Standard deviation of the weights if each input is sent once."""
    return 2**relu_shift * math.sqrt(2) / gain / math.sqrt(fan_in)


def default_num_sends(fan_in: int, *, gain: float = 0.002, relu_shift: int = 1) -> int:
    """How often a layer sends its inputs, unless it is told.

    Args:
        fan_in: Inputs of an output.
        gain: Gain of the chip.
        relu_shift: Bits that the activation behind the layer drops.

    Example:
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> [hagen.default_num_sends(n) for n in (4, 128, 500, 1000)]
        [34, 6, 4, 3]
    """
    return math.ceil(spread(fan_in, gain, relu_shift) / (WEIGHT[1] / 3))


def first_weight(
    key: PRNGKeyArray, shape: tuple[int, ...], std: float, mean: float
) -> Float[Array, " ..."]:
    """Normal weights, truncated to what a synapse can have."""
    low, high = ((limit - mean) / std for limit in WEIGHT)
    return mean + std * jax.random.truncated_normal(key, low, high, shape)


def first_bias(key: PRNGKeyArray, outputs: int, std: float) -> Float[Array, " out"]:
    """Uniform biases; `std` is `spread`, whatever the number of sends."""
    limit = std / (INPUT[1] / math.sqrt(3))
    return jax.random.uniform(key, (outputs,), minval=-limit, maxval=limit)
