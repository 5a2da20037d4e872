"""From the time constants of a file to time steps, and what to do about units that can't be right.

NIR's documents give milliseconds, most libraries write seconds, some write time steps; a file does
not say which. Wrong units show in time constants of less than one step, or of millions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from neurojax.converters.nir._presets import Preset

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
UNITS = (*SECONDS, "steps")

LONGEST = 1e5
"""Time constants of more steps than this are taken for a mistake in the unit."""

_PLAUSIBLE = 1e4


class Times(NamedTuple):
    """The time constants of a node, as the file has them."""

    node: str
    field: str
    shortest: float
    longest: float


@dataclasses.dataclass(frozen=True)
class Clock:
    """The time step in the unit of the file.

    Attributes:
        dt: Time step in seconds; None where the file counts steps.
        time_unit: Unit of the times in the file.
        times_dt: The file holds time constants multiplied by dt.
    """

    dt: float | None
    time_unit: str
    times_dt: bool = False

    @property
    def step(self) -> float:
        """The time step in the unit of the file."""
        if self.time_unit == "steps" or self.dt is None:
            return 1.0
        return self.dt / SECONDS[self.time_unit]

    def ratio(self, tau: np.ndarray) -> np.ndarray:
        """dt / tau, in double precision."""
        # Who wrote tau in float32 had dt in float32: so its rounding cancels.
        step = float(np.asarray(self.step, _float_type(tau)))
        return settled(step * (step if self.times_dt else 1.0) / tau.astype(np.float64))

    def rate(self, r: np.ndarray) -> np.ndarray:
        """r dt, in double precision."""
        return settled(float(np.asarray(self.step, _float_type(r))) * r.astype(np.float64))

    def steps(self, duration: np.ndarray) -> np.ndarray:
        """How many steps a duration is, in double precision."""
        return duration.astype(np.float64) / self.step

    def describe(self) -> str:
        """The time step in words."""
        if self.time_unit == "steps" or self.dt is None:
            return "times in the file taken as time steps"
        text = f"dt={self.dt:g} s, times in the file taken as {self.time_unit}"
        return text + (" multiplied by dt" if self.times_dt else "")


def clock_of(preset: Preset, dt: float | None, time_unit: str | None) -> Clock:
    """The clock that the arguments of `from_nir` and the preset make.

    Raises:
        ValueError: No time step is known, it is not positive, or the unit is unknown.
    """
    unit = time_unit or preset.time_unit or "s"
    if unit not in UNITS:
        raise ValueError(f"from_nir: time_unit is {unit!r}; it must be one of {', '.join(UNITS)}")
    dt = preset.dt if dt is None else dt
    if dt is None and unit != "steps":
        raise ValueError(
            "from_nir: a NIR file does not say the time step; give dt in seconds, or "
            "time_unit='steps', or name the library that wrote the file, such as "
            "preset='snntorch' (dt=1e-4)"
        )
    if dt is not None and not (isinstance(dt, int | float) and 0 < dt < np.inf):
        raise ValueError(f"from_nir: dt is {dt!r}; it must be a number of seconds > 0")
    return Clock(dt, unit, preset.tau_is_times_dt)


def settled(value: np.ndarray) -> np.ndarray:
    """`value`, with 1 for what is 1 but for the rounding of two float32 numbers.

    Exporters write r = tau / dt to say "a gain of 1"; its product with dt / tau has to give 1 back.
    """
    return np.where(np.abs(value - 1) <= 2.0**-22, 1.0, value)


def too_short(times: Times, clock: Clock, everything: Iterable[Times]) -> str:
    """Why a time constant can't be stepped by forward Euler, and what to do."""
    unit = "" if clock.time_unit == "steps" else f" {clock.time_unit}"
    remedy = "use a smaller dt"
    if clock.time_unit != "steps":
        remedy += " (snnTorch and SpikingJelly write for 1e-4 s, and presets of their names say so)"
    remedy += ", or method='exact'"
    if other := suggestion(clock, everything):
        remedy += f"; {other}"
    return (
        f"{times.field} is {times.shortest:g}{unit} and dt {clock.step:g}{unit}; a forward Euler "
        f"step longer than the time constant oscillates: {remedy}"
    )


def suspicion(clock: Clock, everything: Iterable[Times]) -> str:
    """What is odd about the time constants, in words with a remedy, or ""."""
    everything = list(everything)
    odd = []
    for times in everything:
        low, high = (
            float(1 / clock.ratio(np.asarray(value))) for value in (times.shortest, times.longest)
        )
        if low < 1 or high > LONGEST:
            worst = low if low < 1 else high
            odd.append(f"node '{times.node}': {times.field} is {worst:.3g} time steps")
    if not odd:
        return ""
    remedy = suggestion(clock, everything) or "check dt and time_unit"
    return "\n".join(odd) + f"\nwith {clock.describe()}; {remedy}"


def suggestion(clock: Clock, everything: Iterable[Times]) -> str:
    """Another unit that makes all time constants plausible, or ""."""
    times = [value for entry in everything for value in (entry.shortest, entry.longest)]
    others = [(Clock(clock.dt, unit), f"time_unit='{unit}'") for unit in UNITS]
    others.append((Clock(clock.dt, "s", times_dt=True), "preset='norse' (tau multiplied by dt)"))
    found = []
    for other, text in others:
        if other == clock or (other.dt is None and other.time_unit != "steps") or not times:
            continue
        steps = 1 / other.ratio(np.asarray(times, np.float64))
        if steps.min() >= 1 and steps.max() <= _PLAUSIBLE:
            found.append(f"{text} gives {_span(steps.min(), steps.max())} steps")
    return "if the file means something else, " + ", ".join(found) if found else ""


def _span(low: float, high: float) -> str:
    return f"{low:.3g}" if f"{low:.3g}" == f"{high:.3g}" else f"{low:.3g} to {high:.3g}"


def _float_type(array: np.ndarray) -> np.dtype:
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.float64)
