"""Time steps in whole microseconds, which is how cameras and chips stamp events."""

from __future__ import annotations

import math
from collections.abc import Mapping
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


def counted(
    step: np.ndarray, place: Mapping[str, np.ndarray], steps: int, shape: tuple[int, ...]
) -> np.ndarray:
    """How many events there are in each time step and place; those of other steps are left out.

    Args:
        step: Time step of each event.
        place: Its place along the axes of `shape`, with their names.
        steps: Number of time steps.
        shape: Of a step.

    Raises:
        ValueError: An event lies outside `shape`.
    """
    inside = (step >= 0) & (step < steps)
    index = [step[inside]]
    for (name, values), limit in zip(place.items(), shape, strict=True):
        value = values[inside]
        if value.size and (value.min() < 0 or value.max() >= limit):
            raise ValueError(
                f"events_to_raster: {name} runs from {value.min()} to {value.max()}; shape {shape} "
                f"has room for 0 to {limit - 1}"
            )
        index.append(value)
    whole = (steps, *shape)
    flat = np.ravel_multi_index(tuple(part.astype(np.int64) for part in index), whole)
    return np.bincount(flat, minlength=math.prod(whole)).reshape(whole).astype(np.float32)
