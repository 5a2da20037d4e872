"""Integer arithmetic of digital chips, exact to the bit and with gradients.

An integer lives either in a float array (a *carrier*, which can pass a gradient on) or in an int32
array (which cannot). A float32 carrier is exact while |x| <= 2^24, a bfloat16 one while |x| <= 2^8.
Every function takes both and returns what it got. Where a product is wider than that, it is
computed inside in two int32 limbs; there are no 64-bit integers anywhere.

The derivative is that of the real-valued operation which the integer one approximates
("straight-through": 1 for rounding and wrapping, 2^-n for a shift by n to the right), except that
saturation can also be "clipped": 0 where the value was out of range. The primal is always the exact
integer. Widths are contracts: an operand outside the legal width named by a function gives an
undefined value, not an error, because it is not known before the program runs. Static facts (types,
bits, shifts, names) are checked at once.

References:
    Y. Bengio, N. Leonard and A. Courville, "Estimating or propagating gradients through stochastic
    neurons for conditional computation", 2013, https://arxiv.org/abs/1308.3432 (straight-through).
"""

import math
import operator
from collections.abc import Callable
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, Int, Num

Rounding = Literal["half_even", "half_away", "half_up", "floor", "ceil", "truncate"]
Gradient = Literal["clipped", "straight_through"]

_ROUND: dict[str, Callable[[Array], Array]] = {
    "half_even": lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN),
    "half_away": lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
    # Not floor(x + 1/2): the sum of the largest float below 1/2 and 1/2 rounds to 1.
    "half_up": lambda x: jnp.floor(x) + (x - jnp.floor(x) >= 0.5).astype(x.dtype),
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "truncate": jnp.trunc,
}


# Rounding


def round_half_even(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round to the nearest integer, ties to the even one. Derivative 1. Any float, or int32."""
    return _round("round_half_even", x, "half_even")


def round_half_away(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round to the nearest integer, ties away from zero. Derivative 1. Any float, or int32."""
    return _round("round_half_away", x, "half_away")


def round_half_up(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round to the nearest integer, ties towards +infinity. Derivative 1. Any float, or int32."""
    return _round("round_half_up", x, "half_up")


def ceil(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round towards plus infinity. Derivative 1. Any float, or int32."""
    return _round("ceil", x, "ceil")


def floor(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round towards minus infinity. Derivative 1. Any float, or int32.

    XLA reads subnormal floats (|x| < 2^-126) as zero on some devices, so their floor is 0 there.
    """
    return _round("floor", x, "floor")


def truncate(x: Num[ArrayLike, "*shape"]) -> Num[Array, "*shape"]:
    """Round towards zero. Derivative 1. Any float, or int32."""
    return _round("truncate", x, "truncate")


def _round(function: str, x: Any, rounding: str) -> Array:
    x = _carrier(function, "x", x)
    return x if _is_int(x) else derivative_of(x, _ROUND[rounding](x))


# Limits


def integer_range(bits: int, *, signed: bool = True) -> tuple[int, int]:
    """Return the smallest and the largest integer of `bits` bits, two's complement if signed.

    Example:
        >>> from neurojax.fixed_point import integer_range
        >>> integer_range(8), integer_range(5, signed=False)
        ((-128, 127), (0, 31))
    """
    bits = _static_int("integer_range", "bits", bits, 1, 53)
    return (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)


def clamp(
    x: Num[ArrayLike, "*shape"],
    low: ArrayLike,
    high: ArrayLike,
    *,
    gradient: Gradient = "clipped",
) -> Num[Array, "*shape"]:
    """Limit `x` to low..high, both included.

    Args:
        x: Values, any float or int32; need not be integers.
        low: Lower limit; broadcasts against `x`. No gradient flows to the limits.
        high: Upper limit.
        gradient: "clipped": 1 where low <= x <= high, 0 outside. A value exactly on a limit counts
            as inside, so that a weight which sits there can move back. "straight_through": 1
            everywhere.

    Raises:
        TypeError: If `x` is neither float nor int32.
        ValueError: If the limits are numbers and low > high or the type of `x` cannot hold them
            exactly, or `gradient` is unknown.
    """
    x = _carrier("clamp", "x", x)
    _choice("clamp", "gradient", gradient, get_args(Gradient))
    low, high = _limits("clamp", low, high, x.dtype)
    exact = jnp.minimum(jnp.maximum(x, low), high)
    if _is_int(x):
        return exact
    if gradient == "straight_through":
        return derivative_of(jnp.broadcast_to(x, exact.shape), exact)
    inside = (x >= low) & (x <= high)
    return derivative_of(jnp.where(inside, x, lax.stop_gradient(exact)), exact)


def saturate(
    x: Num[ArrayLike, "*shape"],
    bits: int,
    *,
    signed: bool = True,
    gradient: Gradient = "clipped",
) -> Num[Array, "*shape"]:
    """Limit `x` to the integers of `bits` bits: `clamp` to `integer_range(bits)`.

    Args:
        x: Values, any float or int32. Not rounded.
        bits: Width. On float32 at most 25 signed or 24 unsigned, on int32 at most 32 or 31; wider
            limits are not in the type, which is an error.
        signed: Two's complement, or 0..2^bits - 1.
        gradient: As in `clamp`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from neurojax.fixed_point import saturate
        >>> x = jnp.array([-200.0, -128.0, 127.0, 128.0])
        >>> print(saturate(x, 8))
        [-128. -128.  127.  127.]
        >>> print(jax.grad(lambda x: saturate(x, 8).sum())(x))
        [0. 1. 1. 0.]
    """
    low, high = integer_range(bits, signed=signed)
    return clamp(x, low, high, gradient=gradient)


def wrap(x: Num[ArrayLike, "*shape"], bits: int, *, signed: bool = True) -> Num[Array, "*shape"]:
    """Keep the lowest `bits` bits of an integer, as a register that overflows does. Derivative 1.

    Args:
        x: Integers, |x| < 2^31.
        bits: Width, 1 to 32 (signed) or 31 (unsigned); on float32 the result is exact up to 25 or
        24.
        signed: Read the kept bits as two's complement, or as an unsigned number.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.fixed_point import wrap
        >>> print(wrap(jnp.array([127.0, 128.0, -129.0, 300.0]), 8))
        [ 127. -128.  127.   44.]
    """
    x = _carrier("wrap", "x", x)
    bits = _static_int("wrap", "bits", bits, 1, 32 if signed else 31)
    _limits("wrap", *integer_range(bits, signed=signed), x.dtype)
    kept = x.astype(jnp.int32)
    kept = (kept << (32 - bits)) >> (32 - bits) if signed else kept & ((1 << bits) - 1)
    return kept if _is_int(x) else derivative_of(x, kept.astype(x.dtype))


def quantise(
    x: Float[ArrayLike, "*shape"],
    scale: Float[ArrayLike, "..."],
    bits: int,
    *,
    signed: bool = True,
    rounding: Rounding = "half_even",
    gradient: Gradient = "clipped",
) -> Float[Array, "*shape"]:
    """Return the integers saturate(round(x scale)) on a float carrier.

    Args:
        x: Real values, for instance weights.
        scale: Integer steps per unit of `x`; broadcasts. x scale is rounded once to the float type
            before it is rounded to an integer.
        bits: Width of the result, as in `saturate`.
        signed: Two's complement, or 0..2^bits - 1.
        rounding: "half_even", "half_away", "half_up", "floor", "ceil" or "truncate".
        gradient: As in `clamp`; the derivative inside is that of x scale, to both of them.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.fixed_point import quantise
        >>> print(quantise(jnp.array([0.5, 0.51, -3.0]), 64, 8))
        [  32.   33. -128.]
    """
    x = _carrier("quantise", "x", x)
    if _is_int(x):
        raise TypeError("quantise: x has type int32; quantise a float array, shift an integer one.")
    _choice("quantise", "rounding", rounding, get_args(Rounding))
    product = x * jnp.asarray(scale, x.dtype)
    return saturate(_round("quantise", product, rounding), bits, signed=signed, gradient=gradient)


# Quotients, shifts and products


def divide(
    x: Float[ArrayLike, "*shape"], divisor: Float[ArrayLike, "..."]
) -> Float[Array, "*shape"]:
    """Return x / divisor, correctly rounded, whatever the compiler knows of the divisor.

    XLA turns a division by one number into a product with its reciprocal: one unit in the last
    place off, unless the number is a power of two. `floor` or `truncate` of it then loses an
    integer.

    Args:
        x: Floats.
        divisor: A number, or an array that broadcasts against `x`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.fixed_point import divide
        >>> print(divide(7 * jnp.float32(1.3), 1.3))  # times the reciprocal: 6.9999995
        7.0
    """
    x = _carrier("divide", "x", x)
    if _is_int(x):
        raise TypeError("divide: x has type int32; divide a float array, shift an integer one.")
    if isinstance(divisor, int | float) and math.frexp(divisor)[0] == 0.5:
        return x * (1 / divisor)
    # A divisor that depends on x keeps the division; x == x survives because it is false for NaN.
    return x / jnp.where(x == x, divisor, jnp.nan)


def shift_left(x: Num[ArrayLike, "*shape"], n: int | Int[ArrayLike, "..."]) -> Num[Array, "*shape"]:
    """Return x 2^n, with that derivative.

    Args:
        x: Values; exact on every float, and on int32 where |x 2^n| < 2^31 (the upper bits are lost
            beyond).
        n: 0 to 31; an array broadcasts, a value out of range in it is undefined.
    """
    x = _carrier("shift_left", "x", x)
    n = _shift("shift_left", n)
    return x << n if _is_int(x) else _scaled(x, n).astype(x.dtype)


def shift_right(
    x: Num[ArrayLike, "*shape"],
    n: int | Int[ArrayLike, "..."],
    *,
    rounding: Rounding = "floor",
) -> Num[Array, "*shape"]:
    """Return x / 2^n rounded to an integer; derivative 2^-n.

    Args:
        x: Integers: any int32, floats as far as they carry integers.
        n: 0 to 31; an array broadcasts, a value out of range in it is undefined.
        rounding: "floor" is the arithmetic shift (-1 >> 1 is -1), "truncate" the shift of the
            magnitude (-1 gives 0); "ceil" rounds up; "half_even", "half_away" and "half_up"
            round to the nearest.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.fixed_point import shift_right
        >>> x = jnp.array([-3, -2, -1, 1, 2, 3])
        >>> print(shift_right(x, 1), shift_right(x, 1, rounding="truncate"))
        [-2 -1 -1  0  1  1] [-1 -1  0  0  1  1]
    """
    x = _carrier("shift_right", "x", x)
    _choice("shift_right", "rounding", rounding, get_args(Rounding))
    places = _shift("shift_right", n)
    if _is_int(x):
        return _round_quotient(x >> places, x & _ones(places), _half(places), rounding)
    scaled = _scaled(x, -places)
    return derivative_of(scaled, _ROUND[rounding](scaled)).astype(x.dtype)


def multiply_shift(
    a: Num[ArrayLike, "*shape"],
    b: Num[ArrayLike, "..."],
    shift: int,
    *,
    rounding: Rounding = "floor",
) -> Num[Array, "*shape"]:
    """Return a b / 2^shift rounded once from the exact product; derivative of a b / 2^shift.

    A 24-bit state times a 12-bit decay needs 37 bits. The product is kept as H 2^12 + L with
    0 <= L < 2^12, both in int32.

    Args:
        a: Integers, |a| < 2^30 in int32; what a float carries, |a| <= 2^24 in float32.
        b: Integers, |b| <= 2^13; broadcasts against `a`.
        shift: 0 to 30. The result must fit: |result| < 2^31 in int32, |result| <= 2^24 in float32
            (as it always does if |a| <= 2^24 and |b| <= 2^shift).
        rounding: As in `shift_right`. Loihi's decays truncate, an arithmetic shift floors.

    Returns:
        The float type of `a` and `b` if one of them is float, else int32 without derivative.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.fixed_point import multiply_shift
        >>> v, decay = jnp.array([8388607, -8388607, -1]), 128
        >>> print(multiply_shift(v, 4096 - decay, 12, rounding="truncate"))
        [ 8126463 -8126463        0]
    """
    if isinstance(b, int | float | np.integer) and not abs(float(b)) <= 1 << 13:
        raise ValueError(
            f"fixed_point.multiply_shift: b is {b}; it must be within -8192..8192. "
            "Swap the operands if the other one is the narrow one."
        )
    a, b = _carrier("multiply_shift", "a", a), _carrier("multiply_shift", "b", b)
    _choice("multiply_shift", "rounding", rounding, get_args(Rounding))
    shift = _static_int("multiply_shift", "shift", shift, 0, 30)

    a_int, b_int = a.astype(jnp.int32), b.astype(jnp.int32)
    low = (a_int & 0xFFF) * b_int  # |low| < 2^25
    high = (a_int >> 12) * b_int + (low >> 12)  # floor(a b / 2^12), within int32 for legal a, b
    low = low & 0xFFF
    if shift >= 12:
        quotient = high >> (shift - 12)
        remainder = ((high & _ones(shift - 12)) << 12) | low
    else:
        quotient = (high << (12 - shift)) + (low >> shift)
        remainder = low & _ones(shift)
    exact = _round_quotient(quotient, remainder, _half(shift), rounding)

    if _is_int(a) and _is_int(b):
        return exact
    dtype = b.dtype if _is_int(a) else a.dtype if _is_int(b) else jnp.result_type(a, b)
    real = a.astype(dtype) * b.astype(dtype) * 2.0**-shift
    return derivative_of(real, exact.astype(dtype))


def _round_quotient(quotient: Array, remainder: Array, half: Any, rounding: str) -> Array:
    """Round quotient + remainder / (2 half), where 0 <= remainder < 2 half."""
    if rounding == "floor":
        return quotient
    if rounding in ("ceil", "truncate"):
        up = remainder != 0
        if rounding == "truncate":
            up &= quotient < 0
    else:
        ties = {"half_even": (quotient & 1) == 1, "half_away": quotient >= 0, "half_up": True}
        up = (remainder > half) | ((remainder == half) & ties[rounding])
    return quotient + up.astype(jnp.int32)


def _ones(n: Any) -> Any:
    """2^n - 1 in int32, n up to 31."""
    return (1 << n) - 1 if isinstance(n, int) else (jnp.int32(1) << n) - jnp.int32(1)


def _half(n: Any) -> Any:
    """2^(n - 1) in int32, n up to 31; 1 for n = 0, so that the remainder 0 is no tie."""
    return 1 << max(n - 1, 0) if isinstance(n, int) else jnp.int32(1) << jnp.maximum(n - 1, 0)


def _scaled(x: Array, n: Any) -> Array:
    """x 2^n, at least in float32: float16 does not reach 2^31."""
    # jnp.exp2 is not exact everywhere; an exponent written into the bits of a float32 is.
    power = lax.bitcast_convert_type((jnp.asarray(n, jnp.int32) + 127) << 23, jnp.float32)
    wide = x.dtype if x.dtype.itemsize >= 4 else jnp.float32
    return x.astype(wide) * power.astype(wide)


# Derivatives


@jax.custom_jvp
def derivative_of(smooth: Array, exact: Array) -> Array:
    """An exact value with the derivative of another, in forward and in reverse mode.

    Args:
        smooth: What is differentiated; where that is not asked for, XLA removes it.
        exact: What is returned, of the same shape and type.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from neurojax.fixed_point import derivative_of
        >>> doubled = lambda x: derivative_of(2 * x, jnp.floor(2 * x))
        >>> doubled(1.7).item(), jax.grad(doubled)(1.7).item()
        (3.0, 2.0)
    """
    return exact


@derivative_of.defjvp
def _derivative_of_jvp(primals: Any, tangents: Any) -> Any:
    return primals[1], tangents[0]


# Checks


def _is_int(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jnp.integer)


def _carrier(function: str, argument: str, value: Any) -> Array:
    integer = isinstance(value, int | np.integer) and not isinstance(value, bool)
    array = jnp.asarray(value, jnp.int32) if integer else jnp.asarray(value)
    if array.dtype != jnp.int32 and not jnp.issubdtype(array.dtype, jnp.floating):
        raise TypeError(
            f"fixed_point.{function}: {argument} has type {array.dtype}; use a float type or "
            f"int32, for instance {argument}.astype(jnp.int32)."
        )
    return array


def _limits(function: str, low: Any, high: Any, dtype: Any) -> tuple[Array, Array]:
    """Check limits as far as they are known now: integers must be exact in the type."""
    known = {n: np.asarray(v, np.float64) for n, v in (("low", low), ("high", high)) if _known(v)}
    for name, value in known.items():
        if dtype == jnp.int32:
            legal = np.rint(value) == value
            legal &= (value >= -(2**31)) & (value < 2**31)
            span = "-2^31..2^31 - 1"
        else:
            legal = (value.astype(dtype).astype(np.float64) == value) | (np.rint(value) != value)
            span = f"-2^{jnp.finfo(dtype).nmant + 1}..2^{jnp.finfo(dtype).nmant + 1}"
        if not np.all(legal):
            raise ValueError(
                f"fixed_point.{function}: the {name} limit is {value}, which "
                f"{jnp.dtype(dtype).name} does not hold exactly; its integers are {span}. "
                "Use fewer bits or a wider type."
            )
    if len(known) == 2 and np.any(known["low"] > known["high"]):
        raise ValueError(f"fixed_point.{function}: low is {low} and high is {high}; swap them.")
    return jnp.asarray(low, dtype), jnp.asarray(high, dtype)


def _known(value: Any) -> bool:
    return not isinstance(value, jax.Array)


def _shift(function: str, n: Any) -> Any:
    """Return a Python int, or an int32 array for shifts that differ or are known later."""
    if isinstance(n, int | np.integer):
        return _static_int(function, "n", n, 0, 31)
    if _known(n) and np.size(n) and not (np.min(n) >= 0 and np.max(n) <= 31):
        raise ValueError(f"fixed_point.{function}: n is {n}; it must be within 0..31.")
    array = jnp.asarray(n)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        raise TypeError(f"fixed_point.{function}: n has type {array.dtype}; use integers.")
    return array.astype(jnp.int32)


def _static_int(function: str, argument: str, value: Any, low: int, high: int) -> int:
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(
            f"fixed_point.{function}: {argument} is {value!r}; it must be a Python int, known "
            "before the program runs."
        ) from None
    if not low <= value <= high:
        raise ValueError(
            f"fixed_point.{function}: {argument} is {value}; it must be within {low}..{high}."
        )
    return value


def _choice(function: str, argument: str, value: Any, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ValueError(
            f"fixed_point.{function}: {argument} is {value!r}; use one of {', '.join(legal)}."
        )
