"""Streams of events, as the chip takes and sends them, and rasters in time steps (NumPy).

A stream is a structured array with one entry an event, in order of time:

    x, y      column from the left, row from the top
    t         time in whole microseconds
    feature   channel; 0 and 1 of a camera are OFF and ON
    layer     core that the event goes to or comes from; see `READOUT` and `CAMERA` for the others

Time step k begins at the first whole microsecond that isn't before k dt, with dt as a fraction, as
in `neurojax.encode`: a raster becomes events and the same raster again, whatever dt. sinabs rounds
those times down, counts from the first event on and divides in floating point, so that events of
dt = 1/3 ms come back in another bin and leading empty steps are lost; options do as it does.

References:
    sinabs 3.1.3, `ChipFactory.raster_to_events`, `xytp_to_events` and `events_to_raster`.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import ArrayLike, Float, Num

from neurojax.encode import Events
from neurojax.encode._spike_list import check_raster
from neurojax.encode._time_grid import LARGEST_RASTER, counted, microseconds, step_edges

EVENT = np.dtype(
    [("x", np.int32), ("y", np.int32), ("t", np.int64), ("feature", np.int32), ("layer", np.int32)]
)
"""An event of a stream."""

READOUT = 12
"""Layer of the events that the readout block sends."""

CAMERA = 13
"""Layer of the events of the camera that a monitor repeats."""


def make_events(
    x: ArrayLike, y: ArrayLike, t: ArrayLike, feature: ArrayLike = 0, *, layer: ArrayLike = 0
) -> np.ndarray:
    """A stream from its columns; single numbers are repeated.

    Args:
        x: Columns.
        y: Rows.
        t: Times in microseconds.
        feature: Channels.
        layer: Cores.

    Returns:
        The stream, in the order given.

    Raises:
        ValueError: A number that is negative, not whole, or too large for its column.

    Example:
        >>> make_events(x=[3, 4], y=0, t=[10, 25], feature=1)["x"].tolist()
        [3, 4]
    """
    columns = np.broadcast_arrays(*(np.asarray(part) for part in (x, y, t, feature, layer)))
    stream = np.empty(np.atleast_1d(columns[0]).shape, EVENT)
    for (name, (dtype, *_)), values in zip((EVENT.fields or {}).items(), columns, strict=True):
        stream[name] = values
        wrong = (stream[name] != values) | (np.atleast_1d(values) < 0)
        if wrong.any():
            raise ValueError(
                f"make_events: {name} is {np.atleast_1d(values)[wrong][0]}; it must be whole, "
                f"0 to {np.iinfo(dtype).max}"
            )
    return stream


def raster_to_events(
    raster: Num[ArrayLike, "time features height width"],
    layer: int = 0,
    dt: float = 1e-3,
    truncate: bool = False,
    delay_factor: float = 0.0,
    *,
    round_times: str = "up",
) -> np.ndarray:
    """List a raster's spikes as events.

    An entry of n gives n events at the beginning of its time step. Within a step the order is
    sinabs': the entries with most spikes first, and those with equally many as a block, by
    feature, row and column, that comes n times.

    Args:
        raster: Counts.
        layer: Core that they go to.
        dt: Length of a time step in seconds, at least a microsecond.
        truncate: One event where there are several; by feature, row and column.
        delay_factor: Time of the first step, in seconds.
        round_times: What is done with times between two microseconds. `"up"`: the event stays in
            its step, as `events_to_raster` cuts time. `"down"`: as sinabs does.

    Returns:
        A stream in order of time; an empty one for a raster without spikes.

    Raises:
        ValueError: The raster hasn't four axes, an entry is not a whole number from 0, or a
            negative delay.

    Example:
        >>> raster = np.array([0, 0, 2]).reshape(3, 1, 1, 1)
        >>> stream = raster_to_events(raster, layer=1, dt=1 / 3000)
        >>> stream["t"].tolist(), events_to_raster(stream, 1 / 3000, (1, 1, 1)).ravel().tolist()
        ([667, 667], [0.0, 0.0, 2.0])
    """
    counts = check_raster("raster_to_events", raster)
    if counts.ndim != 4:
        raise ValueError(
            f"raster_to_events: the raster has shape {counts.shape}; it must be "
            "[time, features, height, width], so take one sample of a batch"
        )
    _check_delay("raster_to_events", delay_factor)
    if round_times not in ("up", "down"):
        raise ValueError(f"raster_to_events: round_times={round_times!r} must be 'up' or 'down'")
    steps = len(counts)
    places = np.nonzero(counts)
    if not truncate:
        places = _blocks(places, counts[places])
    step, feature, y, x = places
    if round_times == "up":
        times = step_edges(microseconds(dt), steps)[:-1] + round(delay_factor * 1e6)
    else:  # sinabs' own order of operations, for its roundings
        times = (np.arange(steps) * 1e6 * dt + delay_factor * 1e6).astype(np.int64)
    return make_events(x, y, times[step], feature, layer=layer)


def _blocks(places: tuple[np.ndarray, ...], count: np.ndarray) -> tuple[np.ndarray, ...]:
    """Places repeated as often as there are spikes, in sinabs' order."""
    first = np.cumsum(count) - count
    which = np.repeat(np.arange(len(count)), count)
    repetition = np.arange(len(which)) - first[which]
    order = np.lexsort((which, repetition, -count[which], places[0][which]))
    return tuple(part[which[order]] for part in places)


def xytp_to_events(
    recording: Events | np.ndarray,
    layer: int = 0,
    reset_timestamps: bool = False,
    delay_factor: float = 0.0,
) -> np.ndarray:
    """A camera's events as a stream.

    Args:
        recording: Events of a camera, as `neurojax.datasets.read_nmnist` and `read_aedat` return
            them, or a structured array with x, y, t and p. p, 0 or 1, becomes the feature.
        layer: Core that they go to.
        reset_timestamps: The earliest comes at time 0.
        delay_factor: Time added to all, in seconds.

    Returns:
        A stream in the recording's order.

    Raises:
        ValueError: A negative time or delay, or columns that are missing.

    Example:
        >>> from neurojax.encode import Events
        >>> recording = Events(*np.array([[500, 900], [3, 4], [0, 1], [1, 0]]))  # t, x, y, polarity
        >>> xytp_to_events(recording, reset_timestamps=True)["t"].tolist()
        [0, 400]
    """
    _check_delay("xytp_to_events", delay_factor)
    if isinstance(recording, Events):
        x, y, t, p = recording.x, recording.y, recording.t, recording.polarity
    else:
        missing = {"x", "y", "t", "p"} - set(recording.dtype.names or ())
        if missing:
            raise ValueError(
                f"xytp_to_events: no column {sorted(missing)[0]!r}; give x, y, t and p, or "
                "neurojax.encode.Events"
            )
        x, y, t, p = (recording[name] for name in "xytp")
    t = np.asarray(t).astype(np.int64)
    if t.min(initial=0) < 0:
        raise ValueError(
            f"xytp_to_events: time {t.min()} us; times start at 0, so subtract the first"
        )
    if reset_timestamps and len(t):
        t = t - t.min()
    return make_events(x, y, t + int(delay_factor * 1e6), p, layer=layer)


def events_to_raster(
    stream: np.ndarray,
    dt: float = 1e-3,
    shape: tuple[int, int, int] | None = None,
    *,
    steps: int | None = None,
    start: int | str = 0,
    layer: int | None = None,
    bins: str = "whole",
) -> Float[np.ndarray, "time features height width"]:
    """Count events in time steps.

    Args:
        stream: Events, in any order.
        dt: Length of a time step in seconds, at least a microsecond.
        shape: (features, height, width). Default: as large as the events need.
        steps: Number of time steps, empty ones included; events outside are left out. Default: as
            many as the last event needs.
        start: Time of the first step in microseconds, or `"first"`: that of the earliest event, as
            sinabs does. Events before are left out.
        layer: Count the events of this layer only.
        bins: `"whole"`: a step begins at a whole microsecond, rounded up. `"float"`: the time is
            divided in floating point, as sinabs does.

    Returns:
        Counts in float32.

    Raises:
        ValueError: Events of several layers, an event outside `shape`, no event and no shape, or a
            raster too large for memory, as of times that count from 1970.

    Example:
        >>> stream = make_events(x=[0, 1, 1], y=0, t=[100, 900, 2500])
        >>> events_to_raster(stream, dt=1e-3).sum(axis=(1, 2, 3)).tolist()
        [2.0, 0.0, 1.0]
    """
    if layer is not None:
        stream = stream[stream["layer"] == layer]
    elif len(layers := np.unique(stream["layer"])) > 1:
        raise ValueError(
            f"events_to_raster: events of layers {', '.join(map(str, layers))}; choose one with "
            "`layer`"
        )
    if shape is None:
        if not len(stream):
            raise ValueError("events_to_raster: there is no event, so `shape` must be given")
        features, height, width = (int(stream[name].max()) + 1 for name in ("feature", "y", "x"))
        shape = (features, height, width)
    if isinstance(start, str):
        if start != "first":
            raise ValueError(f"events_to_raster: start={start!r} must be 'first' or microseconds")
        start = int(stream["t"].min()) if len(stream) else 0
    step = _bins(stream["t"] - start, dt, bins)
    if steps is None:
        steps = int(step.max(initial=-1)) + 1
    if len(stream) and steps * math.prod(shape) > LARGEST_RASTER:
        raise ValueError(
            f"events_to_raster: {steps} steps of shape {shape} are too large for memory; the first "
            f"event is at {stream['t'].min()} us: give `start` or `steps`"
        )
    place = {name: stream[name] for name in ("feature", "y", "x")}
    return counted(step, place, steps, shape)


def _bins(t: np.ndarray, dt: float, bins: str) -> np.ndarray:
    """Time steps of times in microseconds from the beginning of the first."""
    if bins == "float":
        return np.floor(t / (1e6 * dt)).astype(np.int64)
    if bins != "whole":
        raise ValueError(f"events_to_raster: bins={bins!r} must be 'whole' or 'float'")
    tick = microseconds(dt)
    # Step k holds the whole t with k tick <= t < (k + 1) tick.
    return t * tick.denominator // tick.numerator


def _check_delay(name: str, delay: float) -> None:
    if delay < 0:
        raise ValueError(f"{name}: delay_factor={delay}; a delay is 0 or more seconds")
