"""Fixed point against oracles in Python's unlimited integers and NumPy's int64."""

import functools
import math
import re
from fractions import Fraction
from pathlib import Path

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurojax import fixed_point as fp

PAGE = Path(__file__).parents[1] / "docs" / "fixed-point.md"
ROUNDINGS = ("half_even", "half_away", "half_up", "floor", "ceil", "truncate")
FUNCTIONS = {
    "half_even": fp.round_half_even,
    "half_away": fp.round_half_away,
    "half_up": fp.round_half_up,
    "floor": fp.floor,
    "ceil": fp.ceil,
    "truncate": fp.truncate,
}


def exact_round(value: Fraction, rounding: str) -> int:
    """The oracle of rounding: rational numbers, Python's own round, floor and trunc."""
    if rounding == "half_away":
        return int(math.copysign(1, value)) * math.floor(abs(value) + Fraction(1, 2))
    if rounding == "half_up":
        return math.floor(value + Fraction(1, 2))
    exact = {"half_even": round, "floor": math.floor, "ceil": math.ceil, "truncate": math.trunc}
    return exact[rounding](value)


def integers(limit: int, size: int = 48):
    """Integers within ±limit: any, the extremes, the powers of two and their neighbours."""
    powers = [
        s * (2**k + d) for k in range(limit.bit_length()) for d in (-1, 0, 1) for s in (1, -1)
    ]
    special = [v for v in (*powers, 0, limit, -limit) if abs(v) <= limit]
    elements = st.one_of(st.integers(-limit, limit), st.sampled_from(special), st.integers(-9, 9))
    return hnp.arrays(np.int64, size, elements=elements)


@functools.lru_cache
def compiled(function, *args, **kwargs):
    """One program for all examples and carriers; `args` follow the arrays of each carrier."""
    return jax.jit(lambda carried: [function(*arrays, *args, **kwargs) for arrays in carried])


def on_both_carriers(function, x, *args, arrays=(), **kwargs):
    """Run on int32 and float32, eagerly and compiled; all must be the same integers."""
    run = compiled(function, *args, **kwargs)
    carried = []
    for dtype in (np.int32, np.float32):
        carried.append([np.asarray(array, dtype) for array in (x, *arrays)])
        assert (carried[-1][0].astype(np.int64) == x).all(), "the test's own values must fit"
    results = [*run(carried), *(function(*values, *args, **kwargs) for values in carried)]
    assert [result.dtype for result in results] == [np.int32, np.float32] * 2
    results = [np.asarray(result).astype(np.int64) for result in results]
    for other in results[1:]:
        np.testing.assert_array_equal(other, results[0])
    return results[0]


# Rounding


@pytest.mark.parametrize("rounding", ROUNDINGS)
@hypothesis.given(
    x=hnp.arrays(
        np.float32,
        64,
        elements=st.one_of(
            # XLA flushes subnormal floats to zero on the CPU.
            st.floats(-(2**24), 2**24, width=32, allow_subnormal=False),
            st.integers(-(2**23), 2**23).map(lambda k: k / 2),
            st.integers(-9, 9).map(lambda k: float(np.nextafter(np.float32(k / 2), np.float32(0)))),
        ),
    )
)
def test_rounding_is_exact(rounding, x):
    expected = [exact_round(Fraction(float(v)), rounding) for v in x]
    for y in (FUNCTIONS[rounding](x), *compiled(FUNCTIONS[rounding])([[x]])):
        np.testing.assert_array_equal(np.asarray(y, np.float64), expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_rounding_of_the_largest_half_integers(rounding):
    x = np.float32([0.49999997, -0.49999997, 8388607.5, -8388607.5, 8388609, -8388609, 2.0**24])
    expected = [exact_round(Fraction(float(v)), rounding) for v in x]
    np.testing.assert_array_equal(FUNCTIONS[rounding](x), expected)


@pytest.mark.parametrize("function", FUNCTIONS.values())
def test_rounding_leaves_integers_alone(function):
    x = jnp.array([-(2**31), -1, 0, 2**31 - 1], jnp.int32)
    assert function(x).dtype == jnp.int32
    np.testing.assert_array_equal(function(x), x)


@pytest.mark.parametrize("function", FUNCTIONS.values())
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_rounding_is_straight_through(function, dtype):
    x = np.array([-2.5, -0.5, -0.0, 0.25, 1.5], dtype)

    @jax.jit
    def derivatives(x, along):
        return *jax.jvp(function, (x,), (along,)), jax.grad(lambda x: function(x).sum())(x)

    y, slope, gradient = derivatives(x, np.full_like(x, 3.0))
    assert y.dtype == slope.dtype == dtype
    np.testing.assert_array_equal(np.asarray(slope), 3.0)
    np.testing.assert_array_equal(np.asarray(gradient), 1.0)


@hypothesis.given(
    x=hnp.arrays(np.float32, 64, elements=st.floats(-1e6, 1e6, width=32, allow_subnormal=False)),
    divisor=st.floats(2.0**-10, 2.0**10, width=32),
)
def test_quotients_are_correctly_rounded(x, divisor):
    """Compiled with the divisor as a constant, where XLA prefers the reciprocal."""
    expected = x / np.float32(divisor)
    expected[np.abs(expected) < np.finfo(np.float32).tiny] = 0  # XLA has no subnormal numbers
    np.testing.assert_array_equal(jax.jit(lambda x: fp.divide(x, divisor))(x), expected)
    np.testing.assert_array_equal(fp.divide(x, jnp.float32(divisor)), expected)


def test_the_derivative_of_a_quotient():
    slopes = jax.grad(lambda x, d: fp.divide(x, d).sum(), (0, 1))(jnp.array([3.0]), 1.5)
    np.testing.assert_allclose(slopes[0], [1 / 1.5], rtol=1e-6)
    np.testing.assert_allclose(slopes[1], -3 / 1.5**2, rtol=1e-6)
    with pytest.raises(TypeError, match="divide: x has type int32"):
        fp.divide(jnp.array([3]), 2.0)


# Limits


@pytest.mark.parametrize(("bits", "signed"), [(1, True), (8, True), (24, True), (25, True)])
@hypothesis.given(x=integers(2**24))
def test_saturate_signed(bits, signed, x):
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    actual = on_both_carriers(fp.saturate, x, bits, signed=signed)
    np.testing.assert_array_equal(actual, np.clip(x, low, high))


@pytest.mark.parametrize("bits", [1, 5, 24])
@hypothesis.given(x=integers(2**24))
def test_saturate_unsigned(bits, x):
    actual = on_both_carriers(fp.saturate, x, bits, signed=False)
    np.testing.assert_array_equal(actual, np.clip(x, 0, 2**bits - 1))


@pytest.mark.parametrize(("bits", "signed"), [(32, True), (31, False), (31, True)])
@hypothesis.given(x=integers(2**31 - 1))
def test_saturate_and_wrap_use_all_of_int32(bits, signed, x):
    low, high = fp.integer_range(bits, signed=signed)
    v = jnp.asarray(x, jnp.int32)
    np.testing.assert_array_equal(fp.saturate(v, bits, signed=signed), np.clip(x, low, high))
    wrapped = (x - low) % 2**bits + low
    np.testing.assert_array_equal(fp.wrap(v, bits, signed=signed), wrapped)


@pytest.mark.parametrize("bits", [1, 8, 24, 25])
@hypothesis.given(x=integers(2**24))
def test_wrap_signed(bits, x):
    half = 2 ** (bits - 1)
    actual = on_both_carriers(fp.wrap, x, bits)
    np.testing.assert_array_equal(actual, (x + half) % 2**bits - half)


@pytest.mark.parametrize("bits", [1, 5, 24])
@hypothesis.given(x=integers(2**24))
def test_wrap_unsigned(bits, x):
    actual = on_both_carriers(fp.wrap, x, bits, signed=False)
    np.testing.assert_array_equal(actual, x % 2**bits)


def test_gradient_of_saturation_inside_on_and_beyond_the_limits():
    x = np.float32([-129.0, -128.0, -127.0, 0.0, 126.0, 127.0, 128.0])
    inside = np.array([0, 1, 1, 1, 1, 1, 0])

    @jax.jit
    def derivatives(x):
        return (
            jax.grad(lambda x: fp.saturate(x, 8).sum())(x),
            jax.jvp(lambda x: fp.saturate(x, 8), (x,), (2 * jnp.ones_like(x),))[1],
            jax.grad(lambda x: fp.saturate(x, 8, gradient="straight_through").sum())(x),
        )

    grad, slope, through = derivatives(x)
    np.testing.assert_array_equal(grad, inside)
    np.testing.assert_array_equal(slope, 2 * inside)
    np.testing.assert_array_equal(through, 1)


def test_gradient_of_wrapping_is_straight_through():
    x = jnp.array([-129.0, -128.0, 0.0, 127.0, 128.0])
    np.testing.assert_array_equal(jax.grad(lambda x: fp.wrap(x, 8).sum())(x), 1)


def test_clamp_takes_limits_for_each_neuron():
    x = jnp.array([[-9.0, 0.0, 9.0], [-1.0, 2.0, 3.0]])
    low, high = jnp.array([-1.0, -2.0, -3.0]), np.array([1, 2, 3])
    expected = np.clip(np.asarray(x), np.asarray(low), high)
    np.testing.assert_array_equal(fp.clamp(x, low, high), expected)
    grads = jax.grad(lambda low: fp.clamp(x, low, high).sum())(low)
    np.testing.assert_array_equal(grads, 0)


# Shifts and products


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("n", [0, 1, 12, 31])
@hypothesis.given(x=integers(2**24))
def test_shift_right(rounding, n, x):
    actual = on_both_carriers(fp.shift_right, x, n, rounding=rounding)
    expected = [exact_round(Fraction(int(v), 2**n), rounding) for v in x]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@hypothesis.given(x=integers(2**31 - 1), n=hnp.arrays(np.int32, 48, elements=st.integers(0, 31)))
def test_shift_right_by_a_different_number_in_each_neuron(rounding, x, n):
    x[0] = -(2**31)
    expected = [
        exact_round(Fraction(int(v), 2 ** int(k)), rounding) for v, k in zip(x, n, strict=True)
    ]
    actual = fp.shift_right(jnp.asarray(x, jnp.int32), n, rounding=rounding)
    np.testing.assert_array_equal(actual, expected)
    small = np.clip(x, -(2**24), 2**24)
    expected = [
        exact_round(Fraction(int(v), 2 ** int(k)), rounding) for v, k in zip(small, n, strict=True)
    ]
    carrier = small.astype(np.float32)
    (actual,) = compiled(fp.shift_right, rounding=rounding)([[carrier, n]])
    np.testing.assert_array_equal(np.asarray(actual, np.int64), expected)


@pytest.mark.parametrize("n", [0, 1, 6, 12])
@hypothesis.given(x=integers(2**12))
def test_shift_left(n, x):
    np.testing.assert_array_equal(on_both_carriers(fp.shift_left, x, n), x << n)
    places = jnp.full(x.shape, n)
    np.testing.assert_array_equal(fp.shift_left(jnp.asarray(x, jnp.float32), places), x << n)


def test_gradients_of_shifts():
    x = jnp.array([-5.0, 0.0, 7.0])
    for rounding in ROUNDINGS:
        grad = jax.grad(lambda x, r=rounding: fp.shift_right(x, 3, rounding=r).sum())(x)
        np.testing.assert_array_equal(grad, 0.125)
    np.testing.assert_array_equal(jax.grad(lambda x: fp.shift_left(x, 3).sum())(x), 8.0)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_shifts_of_16_bit_floats(dtype):
    x = jnp.array([-256, -1, 0, 1, 255], dtype)
    np.testing.assert_array_equal(fp.shift_right(x, 31).astype(jnp.float32), [-1, -1, 0, 0, 0])
    np.testing.assert_array_equal(fp.shift_left(x, 4).astype(jnp.float32)[:4], [-4096, -16, 0, 16])


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("shift", [12, 30])
@hypothesis.given(a=integers(2**24), b=integers(2**12))
def test_multiply_shift_on_both_carriers(rounding, shift, a, b):
    actual = on_both_carriers(fp.multiply_shift, a, shift, rounding=rounding, arrays=[b])
    products = a.astype(object) * b.astype(object)
    expected = [exact_round(Fraction(int(p), 2**shift), rounding) for p in products]
    np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("shift", [0, 6, 12, 30])
@hypothesis.given(a=integers(2**30 - 1), b=integers(2**13))
def test_multiply_shift_over_the_whole_legal_width(rounding, shift, a, b):
    products = a.astype(object) * b.astype(object)
    fits = np.array([abs(int(p)) < 2 ** (31 + shift) - 2**shift for p in products])
    a, b = np.where(fits, a, 1), np.where(fits, b, 1)
    expected = [
        exact_round(Fraction(int(p), 2**shift), rounding)
        for p in a.astype(object) * b.astype(object)
    ]
    actual = fp.multiply_shift(
        jnp.asarray(a, jnp.int32), jnp.asarray(b, jnp.int32), shift, rounding=rounding
    )
    np.testing.assert_array_equal(actual, expected)


@hypothesis.given(v=integers(2**23 - 1), decay=st.integers(0, 4096))
def test_multiply_shift_is_the_decay_of_a_24_bit_state(v, decay):
    # Lava's right shift to zero, in NumPy's int64 as Lava has it.
    product = v * np.int64(4096 - decay)
    expected = np.sign(product) * (np.abs(product) >> 12)
    actual = on_both_carriers(
        fp.multiply_shift, v, 12, rounding="truncate", arrays=[np.full(v.shape, 4096 - decay)]
    )
    np.testing.assert_array_equal(actual, expected)


def test_gradient_of_multiply_shift_is_that_of_the_product():
    a, b = np.float32([8388607.0, -5.0, 3.0]), np.float32([4095.0, 1.0, 0.0])

    def f(a, b):
        return fp.multiply_shift(a, b, 12).sum()

    to_a, to_b = jax.jit(jax.grad(f, (0, 1)))(a, b)
    np.testing.assert_array_equal(to_a, b / 4096)
    np.testing.assert_array_equal(to_b, a / 4096)
    np.testing.assert_array_equal(jax.jit(jax.grad(f))(a, b.astype(np.int32)), b / 4096)
    hessian = jax.jit(jax.jacfwd(jax.grad(f), argnums=1))(a, b)
    np.testing.assert_array_equal(hessian, np.eye(3) / 4096)


@pytest.mark.parametrize("rounding", ROUNDINGS)
@hypothesis.given(
    x=hnp.arrays(np.float32, 32, elements=st.floats(-8, 8, width=32, allow_subnormal=False))
)
def test_quantise(rounding, x):
    product = (x * np.float32(60)).astype(np.float32)
    expected = [min(max(exact_round(Fraction(float(p)), rounding), -128), 127) for p in product]
    for actual in (
        fp.quantise(x, 60.0, 8, rounding=rounding),
        *compiled(fp.quantise, 60.0, 8, rounding=rounding)([[x]]),
    ):
        np.testing.assert_array_equal(actual, expected)


def test_gradient_of_quantise():
    x = jnp.array([-3.0, -2.0, 0.3, 1.984375, 3.0])
    slopes = jax.jit(jax.grad(lambda x, s: fp.quantise(x, s, 8).sum(), (0, 1)))
    to_x, to_scale = slopes(x, 64.0)
    np.testing.assert_array_equal(to_x, [0, 64, 64, 64, 0])
    np.testing.assert_allclose(to_scale, -2.0 + 0.3 + 1.984375, rtol=1e-6)
    straight = lambda x: fp.quantise(x, 64.0, 8, gradient="straight_through").sum()  # noqa: E731
    through = jax.jit(jax.grad(straight))(x)
    np.testing.assert_array_equal(through, 64)


def test_works_under_scan_vmap_and_grad_together():
    def decay(v, x):
        v = fp.saturate(fp.multiply_shift(v, 4096 - 512, 12, rounding="truncate") + x, 24)
        return v, v

    inputs = jnp.asarray(np.random.default_rng(0).integers(-(2**22), 2**22, (20, 3)), jnp.float32)

    def last(v0):
        return jax.lax.scan(decay, v0, inputs[:, 0])[0]

    oracle = np.zeros(3, np.int64)
    for x in np.asarray(inputs, np.int64):
        product = oracle * (4096 - 512)
        oracle = np.clip(np.sign(product) * (np.abs(product) >> 12) + x, -(2**23), 2**23 - 1)
    result = jax.vmap(lambda xs: jax.lax.scan(decay, 0.0, xs)[0], in_axes=1)(inputs)
    np.testing.assert_array_equal(np.asarray(result, np.int64), oracle)
    np.testing.assert_allclose(jax.grad(last)(0.0), (3584 / 4096) ** 20, rtol=1e-6)


# Errors


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fp.saturate(1.0, 26), ValueError, "float32 does not hold exactly"),
        (lambda: fp.saturate(1.0, 25, signed=False), ValueError, "float32 does not hold exactly"),
        (lambda: fp.saturate(jnp.bfloat16(1), 10), ValueError, "bfloat16"),
        (lambda: fp.saturate(1, 33), ValueError, r"-2\^31"),
        (lambda: fp.saturate(1.0, 0), ValueError, "bits is 0; it must be within 1..53"),
        (lambda: fp.saturate(1.0, 8.0), TypeError, "bits is 8.0"),
        (lambda: fp.saturate(1.0, 8, gradient="none"), ValueError, "clipped, straight_through"),
        (lambda: fp.saturate(jnp.uint8(1), 8), TypeError, "type uint8.*int32"),
        (lambda: fp.floor(jnp.array(True)), TypeError, "type bool"),
        (lambda: fp.clamp(1.0, 3, 2), ValueError, "swap"),
        (lambda: fp.clamp(1, 0.5, 2), ValueError, "low limit is 0.5"),
        (lambda: fp.wrap(1.0, 26), ValueError, "float32"),
        (lambda: fp.wrap(1, 33), ValueError, "within 1..32"),
        (lambda: fp.shift_right(1, 32), ValueError, "within 0..31"),
        (lambda: fp.shift_left(1, -1), ValueError, "within 0..31"),
        (lambda: fp.shift_left(jnp.ones(2), np.array([3, 32])), ValueError, "within 0..31"),
        (lambda: fp.shift_right(1, jnp.ones(2)), TypeError, "use integers"),
        (lambda: fp.shift_right(1, 3, rounding="up"), ValueError, "half_even, half_away"),
        (lambda: fp.multiply_shift(1, 8193, 12), ValueError, "b is 8193.*Swap"),
        (lambda: fp.multiply_shift(1, 1, 31), ValueError, "within 0..30"),
        (lambda: fp.quantise(1, 64.0, 8), TypeError, "x has type int32"),
        (lambda: fp.quantise(1.0, 64.0, 8, rounding="even"), ValueError, "half_even"),
    ],
)
def test_errors_name_the_argument_and_the_legal_range(call, error, message):
    with pytest.raises(error, match=message):
        call()


# Documentation


def test_the_tables_on_the_page():
    """Each row is a value and the result of the function that heads the column."""
    checked = 0
    header: list[str] = []
    for line in PAGE.read_text().splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if not line.startswith("|") or set(line) <= set("|-: "):
            header = header if line.startswith("|") else []
        elif not header:
            header = cells
        elif header[0] == "x" and re.fullmatch(r"-?[\d.]+", cells[0]):
            x = float(cells[0])
            for name, cell in zip(header[1:], cells[1:], strict=True):
                expression = f"fp.{name}" if "(" in name else f"fp.{name}(x)"
                assert float(eval(expression, {"fp": fp, "x": x})) == float(cell), (name, x)
                checked += 1
    assert checked > 50
