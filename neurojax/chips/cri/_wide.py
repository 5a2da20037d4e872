"""Integers of up to 51 bits in two int32: the membranes of the chip have 35.

    value = high 2^20 + low,    low in 0..2^20 - 1

The sign is that of `high`, so low is what floor division by 2^20 leaves: sums carry and right
shifts round down (as `>>>` in hardware) without looking at signs. |value| < 2^50 throughout.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

LOW_BITS = 20
LOW_MASK = (1 << LOW_BITS) - 1
BITS = (LOW_BITS + 2, LOW_BITS + 31)
"""Fewest and most bits, sign included, to which a value can be limited."""


class Wide(NamedTuple):
    """An integer array. Both parts have its shape."""

    high: Array  # int32
    low: Array  # int32, 0..2^20 - 1


# To and from other types


def wide(n: Int[Array, "*shape"]) -> Wide:
    """From int32."""
    return Wide(n >> LOW_BITS, n & LOW_MASK)


def from_integer(value: int) -> Wide:
    """From a Python integer: a constant, also under jit."""
    return Wide(np.int32(value >> LOW_BITS), np.int32(value & LOW_MASK))  # type: ignore[arg-type]


def from_integers(values: Any) -> Wide:
    """From a NumPy array of integers, -2^50 <= value < 2^50. Not under jit."""
    values = np.asarray(values, np.int64)
    half = 1 << (BITS[1] - 1)
    if values.size and not (values.min() >= -half and values.max() < half):
        raise ValueError(
            f"integers {values.min()}..{values.max()} are out of range; they must be within "
            f"-2^{BITS[1] - 1}..2^{BITS[1] - 1} - 1"
        )
    return Wide(
        jnp.asarray(values >> LOW_BITS, jnp.int32), jnp.asarray(values & LOW_MASK, jnp.int32)
    )


def to_integers(n: Any) -> np.ndarray:
    """As int64: of a `Wide`, or of whatever has `high` and `low`. Not under jit."""
    return (np.asarray(n.high).astype(np.int64) << LOW_BITS) + np.asarray(n.low)


def from_float(x: Float[Array, "*shape"]) -> Wide:
    """The integers that a float32 carries, |x| < 2^50; fractions are cut off."""
    x = jnp.trunc(x)
    # All three operations are exact: the remainder is a multiple of x's last bit, and below 2^20.
    high = jnp.floor(x * 2.0**-LOW_BITS)
    return Wide(high.astype(jnp.int32), (x - high * 2.0**LOW_BITS).astype(jnp.int32))


def to_float(n: Wide) -> Float[Array, "*shape"]:
    """The nearest float32 for |n| < 2^44, exact for |n| <= 2^24."""
    # high 2^20 is exact so far, and the sum is rounded once.
    return n.high.astype(jnp.float32) * 2.0**LOW_BITS + n.low.astype(jnp.float32)


# Arithmetic


def add(a: Wide, b: Wide) -> Wide:
    """a + b, |a + b| < 2^50."""
    low = a.low + b.low
    return Wide(a.high + b.high + (low >> LOW_BITS), low & LOW_MASK)


def subtract(a: Wide, b: Wide) -> Wide:
    """a - b, |a - b| < 2^50."""
    low = a.low - b.low
    return Wide(a.high - b.high + (low >> LOW_BITS), low & LOW_MASK)


def shift_right(n: Wide, places: Any) -> Wide:
    """floor(n / 2^places); `places` is a Python integer or int32, 0 or more."""
    if isinstance(places, int):
        return _shift_far(n, places) if places >= LOW_BITS else _shift_near(n, places)
    places = jnp.asarray(places, jnp.int32)
    far = places >= LOW_BITS
    return select(far, _shift_far(n, places), _shift_near(n, jnp.where(far, 0, places)))


def _shift_near(n: Wide, places: Any) -> Wide:
    moved = (n.high & ((1 << places) - 1)) << (LOW_BITS - places)
    return Wide(n.high >> places, moved | (n.low >> places))


def _shift_far(n: Wide, places: Any) -> Wide:
    # A shift by 31 leaves the sign, and so does every longer one.
    if isinstance(places, int):
        return wide(n.high >> min(places - LOW_BITS, 31))
    return wide(n.high >> jnp.clip(places - LOW_BITS, 0, 31))


def shift_left(n: Wide, places: Any, bits: int) -> Wide:
    """n 2^places, limited to `bits` bits; `places` is a Python integer or int32, 0 or more."""
    low, high = limits(bits)
    # After bits - 1 places every n but 0 is at a limit, or beyond.
    places = jnp.minimum(jnp.asarray(places, jnp.int32), bits - 1)
    over = greater(n, shift_right(high, places))
    under = greater(shift_right(low, places), n)
    first = jnp.minimum(places, LOW_BITS)
    moved = _push(
        _push(_push(n, first), jnp.clip(places - LOW_BITS, 0, LOW_BITS)),
        jnp.maximum(places - 2 * LOW_BITS, 0),
    )
    return select(over, high, select(under, low, moved))


def _push(n: Wide, places: Any) -> Wide:
    """n 2^places for up to 20 places and a result in range."""
    kept = n.low & ((1 << (LOW_BITS - places)) - 1)
    return Wide((n.high << places) | (n.low >> (LOW_BITS - places)), kept << places)


# Ranges


def limits(bits: int) -> tuple[Wide, Wide]:
    """Smallest and largest integer of so many bits, two's complement."""
    half = 1 << (bits - 1 - LOW_BITS)
    number = jnp.int32
    return Wide(number(-half), number(0)), Wide(number(half - 1), number(LOW_MASK))


def outside(n: Wide, bits: int) -> Bool[Array, "*shape"]:
    """Where so many bits don't hold n."""
    half = 1 << (bits - 1 - LOW_BITS)
    return (n.high < -half) | (n.high >= half)


def saturate(n: Wide, bits: int) -> Wide:
    """n limited to so many bits."""
    low, high = limits(bits)
    return select(n.high < low.high, low, select(n.high > high.high, high, n))


def wrap(n: Wide, bits: int) -> Wide:
    """The lowest `bits` bits of n, as two's complement."""
    unused = 32 + LOW_BITS - bits
    return Wide((n.high << unused) >> unused, n.low)


# Choices


def greater(a: Wide, b: Wide) -> Bool[Array, "*shape"]:
    """a > b."""
    return (a.high > b.high) | ((a.high == b.high) & (a.low > b.low))


def select(condition: Any, a: Wide, b: Wide) -> Wide:
    """a where the condition is true, else b. A Python bool chooses before anything is compiled."""
    if isinstance(condition, bool):
        return a if condition else b
    return Wide(jnp.where(condition, a.high, b.high), jnp.where(condition, a.low, b.low))
