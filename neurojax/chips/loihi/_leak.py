"""The leak of Loihi's neurons, in the one place where it is written.

    n' = trunc(n (4096 - D) / 4096) + drive

A state n of 24 bits and sign times a factor of 13 bits has up to 37 bits, which no float32 holds
and no int32 either. Split n = 4096 h + l, both of n's sign: with k = 4096 - D,

    trunc(n k / 4096) = h k + trunc(l k / 4096)

because h k is an integer of the sign of l k. Here |h| <= 2^12, |l| < 2^12 and k <= 2^12, so every
product is an integer up to 2^24, exact in float32: there is no conversion to integers at all.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.spec import DECAY_BITS
from neurojax.fixed_point import _derivative_of, clamp, round_half_even

FULL = 1 << DECAY_BITS
"""The decay, in steps, that keeps nothing."""


def leak(
    n: Float[Array, "*shape"], decay: Any, drive: Float[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """One step of a leaky integer: what the decay leaves of `n`, cut towards zero, plus `drive`.

    The derivatives are those of n (1 - decay) + drive: 1 - decay, -n and 1.

    Args:
        n: Integers, |n| <= 2^24.
        decay: Part that is lost: a multiple of 1 / 4096 within 0..1, a Python float or an array
            that broadcasts against `n`. See `on_grid`.
        drive: Integers. The sum is rounded once, as any float32, if it leaves +-2^24.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi._leak import leak
        >>> print(leak(jnp.array([8388607.0, -1.0]), 128 / 4096, jnp.array([0.0, 5.0])))
        [8.126463e+06 5.000000e+00]
    """
    smooth = n * (1 - decay) + drive
    n, decay, drive = lax.stop_gradient((n, decay, drive))
    high = _cut(n * (1 / FULL))
    low = n - high * FULL
    exact = high * (FULL * (1 - decay)) + _cut(low * (1 - decay)) + drive
    return _derivative_of(smooth, exact)


def _cut(x: Array) -> Array:
    """Rounded towards zero. The derivative is 0."""
    return jnp.where(x < 0, jnp.ceil(x), jnp.floor(x))


def on_grid(decay: Any) -> Any:
    """The nearest multiple of 1 / 4096 in 0..1, of a Python float or an array; derivative 1."""
    if isinstance(decay, float):
        # To float32 first, as in the originals, so that ties are the same ones.
        return float(np.rint(np.float32(FULL * decay))) / FULL
    return clamp(round_half_even(decay * FULL), 0, FULL, gradient="straight_through") / FULL


def check_parameters(layer: Layer, in_shape: Shape) -> None:
    """Raise ValueError unless every array among the fields of a neuron broadcasts to `in_shape`."""
    for name, value in vars(layer).items():
        if not eqx.is_array(value) or _broadcast(value.shape, in_shape) == in_shape:
            continue
        raise ValueError(
            f"{type(layer).__name__}: {name} has shape {value.shape}, but there are {in_shape} "
            "neurons; give one number, one a neuron, or (channels, 1, 1) for one a channel"
        )


def _broadcast(shape: Shape, to: Shape) -> Shape | None:
    try:
        return np.broadcast_shapes(shape, to)
    except ValueError:
        return None
