"""Events of a camera (time in microseconds, x, y, polarity) to rasters and back (NumPy).

Time bins are integers throughout: bin k begins at the first whole microsecond that isn't before
`k * dt`, with `dt` taken as a fraction. So `dt = 1/3000` s has no event in a wrong bin, and
raster -> events -> raster gives back the same raster.
"""

import math
from fractions import Fraction

import equinox as eqx
import numpy as np
from jaxtyping import ArrayLike, Float, Int, Num

from ._rate import check_steps
from ._spike_list import check_raster
from ._time_grid import LARGEST_RASTER, counted, microseconds, step_edges


class Events(eqx.Module):
    """A recording of an event camera. `len(events)` is their number, `events[mask]` selects."""

    t: Int[np.ndarray, " events"]  # microseconds, int64
    x: Int[np.ndarray, " events"]  # column, 0 at the left
    y: Int[np.ndarray, " events"]  # row, 0 at the top
    polarity: Int[np.ndarray, " events"]  # 1: brighter (ON), 0: darker (OFF)
    size: tuple[int, int] | None = eqx.field(static=True, default=None)  # sensor (height, width)

    def __len__(self) -> int:
        return len(self.t)

    def __getitem__(self, chosen: slice | np.ndarray) -> "Events":
        t, x, y, polarity = (part[chosen] for part in (self.t, self.x, self.y, self.polarity))
        return Events(t, x, y, polarity, size=self.size)


def events_to_raster(
    events: Events,
    *,
    steps: int | None = None,
    dt: float | None = None,
    shape: tuple[int, int, int] | None = None,
    start: int = 0,
) -> Float[np.ndarray, "time channels height width"]:
    """Count events in time bins. NumPy, not for `jit`.

    Args:
        events: the recording, in any order.
        steps: number of time steps. Given with `dt`: the raster has just these, empty ones
            included, and events behind the last (or before `start`) are left out. Without `dt`:
            the time from `start` to the last event is cut into this many equal steps.
        dt: length of a step in seconds, at least a microsecond. Without `steps`: as many steps as
            the last event needs.
        shape: (channels, height, width): two channels keep the polarity (0: OFF, 1: ON), one adds
            both. By default two, and the sensor's size.
        start: time of the first step in microseconds. Nothing is subtracted silently: a recording
            that starts late begins with empty steps unless you say `start=int(events.t.min())`.

    Returns:
        Counts in float32.

    Raises:
        ValueError: if neither `steps` nor `dt` is given, or an event lies outside `shape`.

    Example:
        >>> events = Events(*np.array([[100, 900, 2500], [0, 1, 1], [0, 0, 0], [1, 0, 1]]))
        >>> events_to_raster(events, dt=1e-3, shape=(2, 1, 2)).sum(axis=(1, 2, 3)).tolist()
        [2.0, 0.0, 1.0]
    """
    if steps is None and dt is None:
        raise ValueError("events_to_raster: give `steps`, `dt`, or both.")
    if steps is not None:
        check_steps(steps)
    if shape is None:
        if events.size is None:
            raise ValueError(
                "events_to_raster: the events don't know their sensor's size; give `shape`."
            )
        shape = (2, *events.size)
    channels = shape[0]
    if channels not in (1, 2):
        raise ValueError(
            f"events_to_raster: {channels} channels; 2 keeps the polarity, 1 adds both."
        )

    time = events.t.astype(np.int64) - start
    last = int(time.max(initial=-1))
    if dt is not None:
        tick = microseconds(dt)
        steps = int(last // tick) + 1 if steps is None else steps
    else:
        assert steps is not None
        tick = Fraction(max(last + 1, steps), steps)
    if steps * math.prod(shape) > LARGEST_RASTER:
        first = f"The first event is at {int(events.t.min())} us: give" if len(events) else "Give"
        raise ValueError(
            f"events_to_raster: {steps} steps of shape {shape}; too large for memory. "
            f"{first} `start` or `steps`."
        )
    edges = step_edges(tick, steps)
    step = np.searchsorted(edges, time, side="right") - 1

    channel = events.polarity if channels == 2 else np.zeros_like(events.polarity)
    return counted(step, {"polarity": channel, "y": events.y, "x": events.x}, steps, shape)


def raster_to_events(
    raster: Num[ArrayLike, "time channels height width"], *, dt: float, start: int = 0
) -> Events:
    """List a raster's spikes as camera events, in time order. NumPy, not for `jit`.

    Args:
        raster: counts `[time, channels, height, width]`; an entry of n gives n events. One channel
            gives ON events only, two are OFF and ON.
        dt: length of a step in seconds, at least a microsecond.
        start: time of the first step in microseconds.

    Returns:
        Events at the beginning of their step, as `events_to_raster` with the same `dt`, `start`,
        and `steps=len(raster)` takes back exactly.

    Raises:
        ValueError: if the raster isn't four dimensional, has more than two channels, or an entry
            is not a whole number from 0.
    """
    counts = check_raster("raster_to_events", raster)
    if counts.ndim != 4 or counts.shape[1] not in (1, 2):
        raise ValueError(
            f"raster_to_events: the raster has shape {counts.shape}; "
            "it must be [time, channels, height, width] with one or two channels."
        )
    steps, channels, height, width = counts.shape
    places = np.nonzero(counts)
    step, channel, y, x = (np.repeat(place, counts[places]) for place in places)
    t = step_edges(microseconds(dt), steps)[step] + start
    polarity = channel if channels == 2 else np.ones_like(channel)
    return Events(t, x, y, polarity, size=(height, width))
