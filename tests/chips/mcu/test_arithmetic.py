"""Shifts, products and saturation, against Python's integers."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips import mcu
from neurojax.chips.mcu import _arithmetic as ours
from tests.chips.mcu import draw, oracle

LARGE = st.lists(
    st.one_of(st.integers(-(2**31), 2**31 - 1), st.sampled_from([-(2**31), -1, 0, 1, 2**31 - 1])),
    min_size=64,
    max_size=64,
)
EIGHT = st.lists(st.integers(-(2**15), 2**15 - 1), min_size=64, max_size=64)


def sums(values, number):
    return [oracle.wrap(value, number.long_bits) for value in values]


@given(LARGE, draw.numbers, draw.rounds, st.integers(-31, 31))
def test_shifts_wrap_and_round(values, number, mode, places):
    places = max(min(places, number.long_bits - 1), 1 - number.long_bits)
    values = sums(values, number)
    got = ours.scale(jnp.array(values, jnp.int32), places, number, mode)
    assert got.tolist() == [oracle.scale(x, places, number, mode) for x in values]


@given(LARGE, EIGHT, draw.numbers, draw.rounds, st.integers(0, 31))
def test_products_are_exact_before_they_are_shifted(a, b, number, mode, places):
    a = sums(a, number)
    got = ours.scaled_product(
        jnp.array(a, jnp.int32), jnp.array(b, jnp.int32), places, number, mode
    )
    half = 2 ** (places - 1) if mode == "nearest" and places else 0
    exact = [(x * y + half) // 2**places for x, y in zip(a, b, strict=True)]
    assert got.tolist() == sums(exact, number)


@given(LARGE, draw.numbers)
def test_storing_saturates(values, number):
    values = sums(values, number)
    got = ours.store(jnp.array(values, jnp.int32), number)
    assert got.tolist() == [oracle.store(x, number) for x in values]


@given(draw.seeds, draw.numbers, draw.rounds, st.integers(-4, 20))
def test_parameters_on_their_grid(seed, number, mode, q):
    rng = np.random.default_rng(seed)
    steps = rng.choice([rng.normal(0, 1, 64) * 2.0**number.bits, rng.integers(-99, 99, 64) / 2])
    values = np.ldexp(steps, -q).astype(np.float32)
    values[:3] = 1e-38, -1e-38, -1e-40  # subnormal, some before and some after the product
    held = ours.on_grid(jnp.asarray(values), q, number, mode)
    expected = oracle.weights(values, q, number, mode)
    assert ours.integers_of(held, q).tolist()[3:] == expected.tolist()[3:]
    without_jax = ours.steps_of(values, q, number, mode)
    assert without_jax.tolist() == ours.integers_of(held, q).tolist()
    one = ours.on_grid(float(values[0]), q, number, mode)  # a constant is held as an array is
    assert one == float(held[0])


def test_widths_that_c_does_not_have_are_refused():
    with pytest.raises(ValueError, match="quantize is 'int4'; use one of float32, int16, int8"):
        mcu.number_of("int4")
    with pytest.raises(ValueError, match=r"sums of int16 have 16 or 32 bits \(wider ones are not"):
        mcu.number_of("int16", long_width=64)
