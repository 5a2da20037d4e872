"""What the chip recorded, on the time grid of a simulation.

Spikes come with their times in cycles of the FPGA's clock. The membranes of all neurons are sampled
together, every two microseconds or so, as whole numbers. `simulate(measured=...)` takes both once
they are arrays of time steps: what `Trace` and the functions here make of them.

References:
    hxtorch (3bfc7aa), `hxtorch/spiking/detail/to_dense` and
    `hxtorch.spiking.modules.AELIF.post_process`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int, Num, UInt8

from neurojax.chips.bss2 import chip

INTERPOLATIONS = ("linear", "nearest")

TIES = 1e-9
"""Steps by which a time may miss the grid because dt is no whole number of cycles."""


class Spikes(NamedTuple):
    """Spikes of a population, one entry each."""

    time: Int[np.ndarray, " n"]  # in cycles of 8 ns
    batch: Int[np.ndarray, " n"]
    neuron: Int[np.ndarray, " n"]


class Samples(NamedTuple):
    """Samples of the membranes of a population, one entry each."""

    value: Num[np.ndarray, " n"]  # in steps of the converter
    time: Int[np.ndarray, " n"]  # in cycles of 8 ns
    batch: Int[np.ndarray, " n"]
    neuron: Int[np.ndarray, " n"]


def grid(runtime: float, dt: float = 1e-6) -> int:
    """Points of the time grid of a run of so many seconds, its end included."""
    return math.ceil(runtime / dt - TIES) + 1


def spikes_to_dense(
    spikes: Spikes | Any, *, steps: int, batch: int, neurons: int, dt: float = 1e-6
) -> UInt8[np.ndarray, "steps batch neurons"]:
    """Spikes as an array of zeros and ones.

    Args:
        spikes: `Spikes`, or an array with these columns.
        steps: Time steps; what comes later is dropped. `grid(runtime)` is what hxtorch takes.
        batch: Number of runs.
        neurons: Number of neurons.
        dt: Duration of a step in seconds. A spike belongs to the nearest step, a later one if two
            are as near; several in a step are one.

    Raises:
        ValueError: A run or a neuron that does not exist, a negative time.

    Example:
        >>> from neurojax.hardware.bss2 import spikes_to_dense
        >>> spikes_to_dense([[130, 0, 1]], steps=3, batch=1, neurons=2)[:, 0, 1]
        array([0, 1, 0], dtype=uint8)
    """
    time, b, n = _columns("spikes", Spikes, spikes, batch, neurons)
    k = np.floor(time / _cycles(dt) + 0.5 + TIES).astype(np.int64)
    inside = k < steps
    dense = np.zeros((steps, batch, neurons), np.uint8)
    dense[k[inside], b[inside], n[inside]] = 1
    return dense


def samples_to_dense(
    samples: Samples | Any,
    *,
    steps: int,
    batch: int,
    neurons: int,
    dt: float = 1e-6,
    interpolation: str = "linear",
) -> Float[np.ndarray, "steps batch neurons"]:
    """Samples of membranes, interpolated.

    Args:
        samples: `Samples`, or an array with these columns.
        steps, batch, neurons, dt: See `spikes_to_dense`.
        interpolation: `"linear"`, or `"nearest"`, the later one of two that are as near. The first
            and the last sample go on to the ends. A neuron without samples is 0.

    Raises:
        ValueError: See `spikes_to_dense`; an unknown `interpolation`.
    """
    if interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"samples_to_dense: interpolation is {interpolation!r}; use "
            + " or ".join(map(repr, INTERPOLATIONS))
        )
    value, time, b, n = _columns("samples", Samples, samples, batch, neurons)
    order = np.lexsort((time, n, b))
    value, time, series = value[order].astype(np.float64), time[order], (b * neurons + n)[order]
    count = np.bincount(series, minlength=batch * neurons)
    start = np.cumsum(count) - count
    # How many samples of a neuron a point of the grid has behind it.
    t = time / _cycles(dt)
    passed = np.zeros((batch * neurons, steps + 1), np.int64)
    np.add.at(passed, (series, np.clip(np.ceil(t - TIES), 0, steps).astype(int)), 1)
    behind = np.cumsum(passed[:, :steps], axis=1)
    # hxtorch has a sample of 0 one second before the run; so the start is nearly constant.
    value, t = np.append(value, 0.0), np.append(t, -1.0 / dt)
    last = (start + count - 1)[:, None]
    before = np.where(behind > 0, start[:, None] + behind - 1, -1)
    after = np.minimum(start[:, None] + behind, last)
    k = np.arange(steps)
    width = t[after] - t[before]
    share = np.clip((k - t[before]) / np.where(width > 0, width, 1.0), 0.0, 1.0)
    if interpolation == "nearest":
        share = (k - t[before] >= t[after] - k).astype(float)
    dense = np.where(
        width > 0, value[before] + (value[after] - value[before]) * share, value[after]
    )
    dense = np.where(count[:, None] > 0, dense, 0.0)
    return dense.T.reshape(steps, batch, neurons).astype(np.float32)


def madc_trace(raw: Any) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """What the fast converter recorded of one neuron: times in seconds, and values.

    Args:
        raw: Rows of time in cycles, and value.

    Raises:
        ValueError: Another shape.
    """
    raw = np.asarray(raw)
    if raw.ndim != 2 or raw.shape[1] != 2:
        raise ValueError(f"madc_trace: raw has shape {raw.shape}; rows must be (time, value)")
    raw = raw[np.argsort(raw[:, 0], kind="stable")]
    return raw[:, 0] / chip.clock, raw[:, 1].astype(np.float64)


@dataclass(frozen=True)
class Trace:
    """How samples of a membrane become its potential in the model.

    Attributes:
        scale: Potential of the model per step of the converter; one, or one a neuron.
        offset: Steps of the converter at potential 0; one, or one a neuron.
        time_shift: Time steps by which the trace moves to earlier times; its end is repeated.
        to_first: The first value is taken off each trace, instead of `offset`.
        interpolation: See `samples_to_dense`.

    Example:
        >>> import numpy as np
        >>> from neurojax.hardware.bss2 import Trace
        >>> Trace(scale=0.1, to_first=True, time_shift=1).apply(np.array([[4.0], [5], [8]])).ravel()
        array([0. , 0.3, 0.3], dtype=float32)
    """

    scale: Any = 1.0
    offset: Any = 0.0
    time_shift: int = 0
    to_first: bool = False
    interpolation: str = "linear"

    def __post_init__(self) -> None:
        if self.interpolation not in INTERPOLATIONS:
            raise ValueError(
                f"Trace: interpolation is {self.interpolation!r}; use "
                + " or ".join(map(repr, INTERPOLATIONS))
            )
        if type(self.time_shift) is not int:
            raise ValueError(f"Trace: time_shift is {self.time_shift!r}; give whole time steps")

    def apply(self, dense: Any) -> Float[np.ndarray, "*shape"]:
        """The membrane potential.

        Args:
            dense: Samples on the grid, time first, neurons last.
        """
        dense = np.asarray(dense, np.float32)
        index = np.clip(np.arange(len(dense)) + self.time_shift, 0, len(dense) - 1)
        moved = dense[index]
        zero = moved[:1] if self.to_first else np.asarray(self.offset, np.float32)
        return (moved - zero) * np.asarray(self.scale, np.float32)


def measured(
    sizes: Mapping[str, int],
    *,
    spikes: Mapping[str, Any] | None = None,
    samples: Mapping[str, Any] | None = None,
    traces: Mapping[str, Trace] | None = None,
    steps: int,
    batch: int,
    dt: float = 1e-6,
) -> dict[str, np.ndarray]:
    """Recordings under the names of probes, as `simulate(measured=...)` takes them.

    Args:
        sizes: Number of neurons by population.
        spikes: `Spikes` by population; they become `"hidden"`.
        samples: `Samples` by population; they become `"hidden.v"`.
        traces: How samples become potentials, by population; see `Trace`.
        steps: Time steps of the simulation.
        batch: Number of runs.
        dt: Duration of a step in seconds.

    Returns:
        float32 arrays `[time, batch, neurons]`.

    Raises:
        ValueError: A population without a size, or recordings that don't fit.
    """
    spikes, samples, traces = dict(spikes or {}), dict(samples or {}), dict(traces or {})
    unknown = [name for name in [*spikes, *samples, *traces] if name not in sizes]
    if unknown:
        raise ValueError(
            f"recordings of '{unknown[0]}': no such population; known: {', '.join(sizes)}"
        )
    found: dict[str, np.ndarray] = {}
    for name, entries in spikes.items():
        dense = spikes_to_dense(entries, steps=steps, batch=batch, neurons=sizes[name], dt=dt)
        found[name] = dense.astype(np.float32)
    for name, entries in samples.items():
        trace = traces.get(name, Trace())
        dense_v = samples_to_dense(
            entries,
            steps=steps + 1,  # the end of the last step, as hxtorch: a shift may use it
            batch=batch,
            neurons=sizes[name],
            dt=dt,
            interpolation=trace.interpolation,
        )
        found[f"{name}.v"] = trace.apply(dense_v)[:steps]
    return found


def _cycles(dt: float) -> float:
    """Cycles of the clock in a step, whole where they are whole up to rounding."""
    cycles = dt * chip.clock
    return float(round(cycles)) if abs(cycles - round(cycles)) < TIES * cycles else cycles


def _columns(who: str, kind: Any, entries: Any, batch: int, neurons: int) -> list[np.ndarray]:
    if isinstance(entries, kind):
        columns = [np.asarray(column) for column in entries]
    else:
        table = np.asarray(entries)
        table = table.reshape(0, len(kind._fields)) if table.size == 0 else table
        if table.ndim != 2 or table.shape[1] != len(kind._fields):
            raise ValueError(
                f"{who}: shape {table.shape}; columns must be {', '.join(kind._fields)}"
            )
        columns = list(table.T)
    for name, column, end in zip(kind._fields[-2:], columns[-2:], (batch, neurons), strict=True):
        wrong = column[(column < 0) | (column >= end)]
        if wrong.size:
            raise ValueError(f"{who}: {name} {wrong[0]} does not exist; there are {end}")
    if (columns[-3] < 0).any():
        raise ValueError(f"{who}: time {columns[-3].min()} is before the start of the run")
    return columns[:-2] + [column.astype(np.int64) for column in columns[-2:]]
