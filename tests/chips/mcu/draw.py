"""Numbers, formats and integers, drawn at random and at the ends of their ranges."""

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st

from neurojax.chips import mcu

numbers = st.sampled_from(
    [
        mcu.number_of("int16"),
        mcu.number_of("int8"),
        mcu.number_of("int8", long_width=32),
        mcu.number_of("int8", long_width=8),
        mcu.number_of("int16", long_width=16),
    ]
)
rounds = st.sampled_from(["floor", "nearest"])
activations = st.sampled_from([None, "relu", "relu6"])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def formats(draw, number=None, *, least=0):
    """A format whose scales are not too far from each other for the width of the sums."""
    number = draw(numbers) if number is None else number
    top = number.bits if number.long_bits > number.bits else number.bits // 2 - 1
    q = st.integers(least, top - 1)
    bias_q = draw(st.one_of(st.none(), q))
    return mcu.Format(number, draw(q), bias_q, draw(q), draw(rounds), draw(rounds))


def integers(rng, shape, number):
    """Stored integers: many of all sizes, some at the ends of the range."""
    low, high = number.limits
    size = rng.integers(1, number.bits, endpoint=True)
    values = rng.integers(-(1 << (size - 1)), 1 << (size - 1), shape)
    extremes = rng.choice([low, low + 1, -1, 0, 1, high - 1, high], shape)
    return np.where(rng.random(shape) < 0.2, extremes, values).astype(np.int64)


def real(integers, q):
    """The parameters that are held as these integers."""
    return jnp.asarray(np.ldexp(np.asarray(integers, np.float32), -q))


def carried(integers):
    """Integers as layers pass them on."""
    return jnp.asarray(integers, jnp.float32)
