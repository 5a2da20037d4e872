"""Membrane potentials over time, with threshold and spikes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurojax.plot._style import (
    BLUE,
    GREY,
    NORMAL,
    SMALL,
    VERMILION,
    Axes,
    new_axes,
    one_sample,
    rows,
    style,
    time_label,
)


def traces(
    v: Any,
    *,
    threshold: Any = None,
    spikes: Any = None,
    neurons: Sequence[int] | None = None,
    sample: int = 0,
    dt: float = 1.0,
    unit: str = "steps",
    label: str = "membrane",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Membrane potentials over time, one panel a neuron.

    Args:
        v: `[time, neurons]`, or `[time, batch, ...]`.
        threshold: Drawn as a dashed line: a number, or one a neuron.
        spikes: As `v`; each non-zero value is marked above the trace.
        neurons: Which neurons; default: the four that spike most, or the first four.
        sample: Which sample of a batch.
        dt: Length of a time step in `unit`.
        unit: Unit of the time axis, `"ms"` for instance.
        label: Name of the quantity, with its unit if it has one.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes; the panels are its `child_axes`.

    Example:
        >>> import numpy as np
        >>> ax = traces(np.random.rand(50, 3), threshold=0.9, neurons=[0, 2])
        >>> len(ax.child_axes)
        2
    """
    values = one_sample("v", v, sample)
    count = values.shape[1]
    marks = None if spikes is None else one_sample("spikes", spikes, sample)
    if marks is not None and marks.shape != values.shape:
        raise ValueError(f"spikes {marks.shape} and v {values.shape} differ in shape")
    if neurons is not None:
        chosen = [int(n) for n in neurons]
    else:
        activity = np.zeros(count) if marks is None else np.count_nonzero(marks, axis=0)
        chosen = sorted(np.argsort(-activity, kind="stable")[:4].tolist())
    unknown = [n for n in chosen if not 0 <= n < count]
    if unknown or not chosen:
        raise ValueError(f"neurons={chosen} must be some of 0 to {count - 1}")
    thresholds = None
    if threshold is not None:
        thresholds = np.broadcast_to(np.ravel(np.asarray(threshold, float)), (count,))

    ax = new_axes(8.4, 1.0 + 1.15 * len(chosen), ax)
    time = np.arange(len(values)) * dt
    panels = rows(ax, [1.0] * len(chosen), gap=0.16 / len(chosen))
    for row, (panel, neuron) in enumerate(zip(panels, chosen, strict=True)):
        trace = values[:, neuron]
        panel.plot(time, trace, color=BLUE, linewidth=1.3)
        low, high = float(np.nanmin(trace)), float(np.nanmax(trace))
        if thresholds is not None:
            level = float(thresholds[neuron])
            panel.axhline(level, color=GREY, linewidth=1.0, linestyle=(0, (5, 3)))
            low, high = min(low, level), max(high, level)
        room = (high - low) or 1.0
        top = high + 0.12 * room
        if marks is not None:
            when = time[np.flatnonzero(marks[:, neuron])]
            panel.scatter(
                when, np.full(len(when), high + 0.24 * room), marker="v", s=26, color=VERMILION,
                linewidths=0, clip_on=False, zorder=3,
            )  # fmt: skip
            top = high + 0.42 * room
        panel.set_ylim(low - 0.1 * room, top)
        panel.set_xlim(time[0] - 0.5 * dt, time[-1] + 0.5 * dt)
        style(panel, grid=None)
        panel.locator_params(axis="y", nbins=4)
        panel.set_ylabel(f"neuron {neuron}", fontsize=SMALL)
        if row < len(panels) - 1:
            panel.tick_params(labelbottom=False)
    panels[-1].set_xlabel(time_label(unit), fontsize=NORMAL)
    _legend(panels[0], label, thresholds is not None, marks is not None)
    if title:
        panels[0].set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold")
    return ax


def _legend(panel: Axes, label: str, threshold: bool, spikes: bool) -> None:
    from matplotlib.lines import Line2D

    entries = [Line2D([], [], color=BLUE, linewidth=1.3, label=label)]
    if threshold:
        entries.append(
            Line2D([], [], color=GREY, linewidth=1.0, linestyle=(0, (5, 3)), label="threshold")
        )
    if spikes:
        entries.append(
            Line2D([], [], color=VERMILION, marker="v", linestyle="", markersize=5, label="spike")
        )
    panel.legend(
        handles=entries, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(entries),
        frameon=False, fontsize=SMALL, borderaxespad=0.2, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip
