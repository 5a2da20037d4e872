"""The leak of Loihi's neurons, in the one place where it is written.

    n' = trunc(n (4096 - D) / 4096) + drive

A state n of 24 bits and sign times a factor of 13 bits has up to 37 bits, which neither float32 nor
int32 holds. Split n = 4096 h + l, both of n's sign: with k = 4096 - D,

    trunc(n k / 4096) = h k + trunc(l k / 4096)

because h k is an integer of the sign of l k. As |l| < 2^12 and k <= 2^12, l k is exact in float32,
and h k fits into int32 for every |n| < 2^30.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from neurojax.chips.loihi.spec import FULL
from neurojax.fixed_point import clamp, derivative_of, round_half_even


def leak(
    n: Float[Array, "*shape"], decay: Any, drive: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """One step of a leaky integer: what the decay leaves of `n`, cut towards zero, plus `drive`.

    The derivatives are those of n (1 - decay) + drive: 1 - decay, -n and 1.

    Args:
        n: Integers that a float32 carries, so all of them for |n| <= 2^24; |n| < 2^30.
        decay: Part that is lost: a multiple of 1 / 4096 within 0..1, a Python float or an array
            that broadcasts against `n`. See `on_grid`.
        drive: Integers. The exact sum, |sum| < 2^31, is rounded once to float32.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi._leak import leak
        >>> print(leak(jnp.array([8388607.0, -1.0]), 128 / 4096, jnp.array([0.0, 5.0])).tolist())
        [8126463.0, 5.0]
    """
    if n.dtype.itemsize < 4:
        raise TypeError(
            f"Loihi's neurons compute with integers of 24 bits in float32, but got {n.dtype}, "
            "which holds fewer of them; pass float32 inputs"
        )
    keep = 1 - decay
    smooth = n * keep + drive
    n, keep, drive = lax.stop_gradient((n, keep, drive))
    # What a conversion to int32 cuts off is what is to be cut off.
    high = (n * (1 / FULL)).astype(jnp.int32)
    low = n - (high * FULL).astype(n.dtype)
    exact = high * _steps(keep) + (low * keep).astype(jnp.int32) + drive.astype(jnp.int32)
    return derivative_of(smooth, exact.astype(n.dtype))


def _steps(keep: Any) -> Any:
    return (
        round(FULL * keep) if isinstance(keep, float) else jnp.rint(FULL * keep).astype(jnp.int32)
    )


def on_grid(decay: Any) -> Any:
    """The nearest multiple of 1 / 4096 in 0..1, of a Python float or an array; derivative 1."""
    if isinstance(decay, float):
        # To float32 first, as in the originals, so that ties are the same ones.
        return float(np.rint(np.float32(FULL * decay))) / FULL
    return clamp(round_half_even(decay * FULL), 0, FULL, gradient="straight_through") / FULL
