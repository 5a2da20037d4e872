"""The integer arithmetic of the C code, on int32 arrays: shifts, wrap-around, saturation.

Sums have L = `number.long_bits` and wrap; what is stored has N = `number.bits` and saturates. In C,
with `n` one of these shifts and `x` a sum:

    scale(x, n)   n <= 0:  (L)(x << -n)                            wraps
                  n > 0:   nearest: x = (L)(x + (1 << (n - 1)));   wraps
                           x >> n                                  towards minus infinity
    store(x)      min(max(x, -2^(N-1)), 2^(N-1) - 1)

References:
    Qualia-CodeGen 2.6.0, `number.hh`, whose results these functions repeat.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from neurojax.chips.mcu.spec import Number
from neurojax.fixed_point import clamp, derivative_of, floor, integer_range, round_half_up


def wrap(x: Int[Array, "*shape"], bits: int) -> Int[Array, "*shape"]:
    """The lowest bits of an integer, two's complement."""
    return x if bits == 32 else (x << (32 - bits)) >> (32 - bits)


def scale(x: Int[Array, "*shape"], n: int, number: Number, rounding: str) -> Int[Array, "*shape"]:
    """A sum divided by 2^n."""
    if n <= 0:
        return wrap(x << -n, number.long_bits)
    if rounding == "nearest":
        x = wrap(x + (1 << (n - 1)), number.long_bits)
    return x >> n


def scaled_product(
    a: Int[Array, "*shape"], b: Int[Array, ...], n: int, number: Number, rounding: str
) -> Int[Array, "*shape"]:
    """a b / 2^n of the exact product, as a sum. `b` is a stored integer, 0 <= n <= 31.

    The product has up to 47 bits: H 2^16 + L with 0 <= L < 2^16.
    """
    half = (1 << (n - 1)) if n > 0 and rounding == "nearest" else 0
    if number.long_bits + number.bits < 32:
        return wrap((a * b + half) >> n, number.long_bits)
    low = (a & 0xFFFF) * b  # |low| < 2^31
    high = (a >> 16) * b + (low >> 16)
    low = low & 0xFFFF
    if n <= 16:
        quotient = (high << (16 - n)) + ((low + half) >> n)
    else:
        quotient = (high + (half >> 16)) >> (n - 16)
    return wrap(quotient, number.long_bits)


def wrapped_product(
    a: Int[Array, "*shape"], b: Int[Array, ...], n: int, number: Number, rounding: str
) -> Int[Array, "*shape"]:
    """The same where the product is stored as a sum before it is divided, as in Qualia."""
    return scale(wrap(a * b, number.long_bits), n, number, rounding)


def store(x: Int[Array, "*shape"], number: Number) -> Int[Array, "*shape"]:
    """A sum as it is stored."""
    return jnp.clip(x, *number.limits)


def on_grid(value: Any, q: int, number: Number, rounding: str) -> Any:
    """A real parameter as it is stored, still in its own unit: integers / 2^q.

    The derivative is 1 everywhere, so that a weight which is out of range can come back.
    """
    if value is None or number.real:
        return value
    if isinstance(value, float):
        return float(np.ldexp(float(steps_of(value, q, number, rounding)), -q))
    rounded = ROUND[rounding](value * 2.0**q)
    return clamp(rounded, *number.limits, gradient="straight_through") * 2.0**-q


def steps_of(value: Any, q: int, number: Number, rounding: str) -> np.ndarray:
    """The integers of real parameters, float32, without JAX, which would compile for each shape."""
    values = np.asarray(value, np.float32)
    steps = np.ldexp(values, q)
    # XLA takes subnormal numbers for 0, before and after the product.
    subnormal = np.minimum(np.abs(values), np.abs(steps)) < np.finfo(np.float32).tiny
    steps = np.where(subnormal, np.float32(0), steps)
    whole = np.floor(steps)
    if rounding == "nearest":
        whole = whole + (steps - whole >= 0.5)
    return np.clip(whole, *number.limits)


def integers_of(value: Any, q: int) -> Any:
    """The integers of parameters that are on their grid, int32."""
    return jnp.asarray(value * 2.0**q).astype(jnp.int32)


def with_derivative(smooth: Array, exact: Int[Array, "*shape"], number: Number) -> Array:
    """Stored integers on a float carrier, with the derivative of `smooth` where that can be stored.

    Args:
        smooth: The real-valued computation, in the unit of the integers.
        exact: The integers.
        number: Their width.
    """
    smooth = clamp(smooth, *map(float, integer_range(number.bits)))
    return derivative_of(smooth, exact.astype(smooth.dtype))


ROUND = {"nearest": round_half_up, "floor": floor}
