"""Time steps in whole microseconds, which is how cameras and chips stamp events."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from jaxtyping import Int

LARGEST_RASTER = 2**32
"""Entries in a raster; more is a mistake in the times rather than a wish."""


def microseconds(dt: float) -> Fraction:
    """The length of a step of `dt` seconds in microseconds, exactly.

    Raises:
        ValueError: It is below one microsecond.
    """
    # 1/3 ms is 333.333... us in floating point; as a fraction it's 1000/3 again.
    tick = Fraction(dt * 1e6).limit_denominator(1000)
    if tick < 1:
        raise ValueError(f"dt is {dt} s; event times are whole microseconds, so the least is 1e-6.")
    return tick


def step_edges(tick: Fraction, steps: int) -> Int[np.ndarray, " edges"]:
    """First whole microsecond of every step, and of the one behind the last."""
    return -(-np.arange(steps + 1, dtype=np.int64) * tick.numerator // tick.denominator)
