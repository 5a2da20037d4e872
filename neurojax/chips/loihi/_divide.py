"""Division that is rounded as IEEE 754 says, whatever the compiler knows of the divisor."""

from __future__ import annotations

import math

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float


def divide(x: Float[Array, "*shape"], divisor: float) -> Float[Array, "*shape"]:
    """x / divisor for finite x, correctly rounded in float32; no derivative.

    XLA turns a division by one number into a product with its reciprocal, which is another number
    unless the divisor is a power of two.
    """
    divisor32 = float(np.float32(divisor))
    if math.frexp(divisor32)[0] == 0.5:
        return lax.stop_gradient(x) * jnp.float32(1 / divisor32)
    x = lax.stop_gradient(x)
    # The product with 0 is no constant for a compiler, since x could be infinite.
    return x / (x * 0 + jnp.float32(divisor32))
