"""Noise of the membranes: odd integers of 17 bits, shifted.

A draw r is a whole number in -2^16..2^16 - 1, all equally likely. What it adds to a membrane of the
perturbation shift nu is

    hardware:  ±(m << nu) or ±(m >> -nu), m the lowest 16 bits of 2 r + 1, the sign that of bit 15
               of r. So nu <= -16 is no noise.
    main:      (r | 1) << nu, or (r | 1) >> -nu, which rounds down: for nu < 0 the mean is about
               -1/2. nu <= -16 gives 0 or -1.

Both are odd integers of magnitudes up to 65535 before the shift, uniform. A positive shift that
leaves the membrane's range is limited to it.

References:
    RTL `internal_events_processor` of CRI (the hardware's form: sign and magnitude, only for LIF
    neurons that did not fire); hs_api `_simple_sim.simple_sim.step_run` (main's form).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from neurojax.chips.cri._wide import BITS, Wide, shift_left, wide

DRAW_BITS = 17
"""Of a draw, sign included."""

OFF = {"hardware": -16, "main": -16}
"""The highest shift that is no noise; for main only if all neurons have it."""


def draw(key: PRNGKeyArray, shape: tuple[int, ...]) -> Int[Array, "*shape"]:
    """Uniform integers in -2^16..2^16 - 1."""
    bits = jax.random.bits(key, shape, jnp.uint32) >> (32 - DRAW_BITS)
    return bits.astype(jnp.int32) - (1 << (DRAW_BITS - 1))


def hardware_noise(draws: Int[Array, "*shape"], shift: Any, *, bits: int | None = 35) -> Wide:
    """The noise of the chip.

    Args:
        draws: Uniform in -2^16..2^16 - 1.
        shift: -64..31, a Python integer or int32.
        bits: Limit of the result; None: none, for registers that wrap.
    """
    magnitude = (2 * draws + 1) & 0xFFFF
    negative = (draws & 0x8000) != 0
    right, left = _both_ways(shift)
    shifted = magnitude >> right
    return shift_left(wide(jnp.where(negative, -shifted, shifted)), left, bits or BITS[1])


def main_noise(draws: Int[Array, "*shape"], shift: Any, *, bits: int = 35) -> Wide:
    """The noise of hs_api's simulator on its branch main.

    Args:
        draws: Uniform in -2^16..2^16 - 1.
        shift: -64..63. From 48 on signs are wrong, as those of 64-bit integers in the original.
        bits: Limit of the result.
    """
    odd = draws | 1
    right, left = _both_ways(shift)
    # What is left of it in an integer of 64 bits decides about the sign.
    unused = jnp.clip(left - 32, 0, 31)
    return shift_left(wide((odd >> right << unused) >> unused), left, bits)


def _both_ways(shift: Any) -> tuple[Any, Any]:
    """Places to the right and to the left; one of the two is 0."""
    shift = jnp.asarray(shift, jnp.int32)
    return jnp.clip(-shift, 0, 31), jnp.maximum(shift, 0)
