"""The counter of the refractory period.

References:
    calix, `calix.spiking.refractory_period`: cycles = trunc(period * clock) + 1; haldls for clocks
    and width.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax.chips.bss2.spec import chip


def counted_period(period: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The refractory period that the counter makes of a wanted one.

    The fastest clock is taken whose 255 cycles are long enough; the counter runs a cycle longer
    than the whole cycles of the period.

    Args:
        period: Seconds.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import counted_period
        >>> print(counted_period(jnp.array([1e-6, 10e-6])) * 1e6)
        [ 1.008 10.048]
    """
    fastest = chip.refractory_clock / 2
    halvings = jnp.ceil(jnp.log2(jnp.maximum(period * fastest + 1, 1) / chip.refractory_counter))
    clock = fastest / 2 ** jnp.maximum(halvings, 0)
    # The smallest float32 below a whole number of cycles is that number.
    return (jnp.floor(period * clock * (1 + 1e-6)) + 1) / clock


def nearest_steps(period: Any, dt: float) -> Array:
    """The period in seconds, as the nearest whole number of time steps, at least one."""
    return jnp.maximum(jnp.round(jnp.asarray(period) / dt), 1) * dt
