"""What networks cost on several chips, side by side."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurojax.plot._style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    NORMAL,
    ORANGE,
    PURPLE,
    SMALL,
    VERMILION,
    Axes,
    new_axes,
    rows,
    style,
)

_UNKNOWN = "unknown"


def costs(comparison: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """Accuracy, synaptic operations, energy, time and size of networks on their chips.

    Energy and time have logarithmic axes, as they differ by orders of magnitude. A line over a bar
    is the range of an estimate, a question mark says that it is not known, a pale bar that only a
    bound is, and "unknown" that nothing is.

    Args:
        comparison: What `metrics.compare` returned.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes; the panels, one a quantity, are its `child_axes`.

    Raises:
        ValueError: A comparison without rows.
    """
    found = list(comparison.rows)
    if not found:
        raise ValueError("the comparison has no rows to draw")
    labels = [row.title.replace(" (", "\n(") for row in found]
    energies = [(e.value, e.low, e.high) for e in (row.joules for row in found)]
    times = [(t.value, t.low, t.high) for t in (row.seconds for row in found)]
    panels: list[tuple[str, str, str, list[Any]]] = []
    if any(row.accuracy is not None for row in found):
        panels.append(("accuracy / %", "linear", BLUE, [_percent(r.accuracy) for r in found]))
    panels.append(("operations", "linear", GREEN, [_exact(row.operations) for row in found]))
    if any(any(x is not None for x in e) for e in energies):
        panels.append(("energy / J", "log", VERMILION, energies))
    if any(any(x is not None for x in t) for t in times):
        panels.append(("time / s", "log", ORANGE, times))
    panels.append(("weights / bytes", "linear", PURPLE, [_exact(r.size.bytes) for r in found]))
    ax = new_axes(1.6 + 2.1 * len(panels), 1.2 + 0.42 * len(found), ax)
    for index, (panel, (label, scale, colour, values)) in enumerate(
        zip(rows(ax, [1.0] * len(panels), gap=0.035, across=True), panels, strict=True)
    ):
        _bars(panel, values, scale, colour)
        panel.set_yticks(np.arange(len(found)), labels if index == 0 else [""] * len(found))
        panel.set_ylim(len(found) - 0.4, -0.6)
        style(panel, grid="x")
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel(label, fontsize=NORMAL)
        if index == 0 and title:
            panel.set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)
    return ax


def _bars(panel: Axes, values: list[Any], scale: str, colour: str) -> None:
    """Bars with their ranges. On a logarithmic axis they begin below the smallest of all."""
    shown = [next((x for x in one if x), None) for one in values]
    everything = [x for one in values for x in one if x]
    start = 0.0
    if scale == "log" and everything:
        panel.set_xscale("log")
        start = 10.0 ** (math.floor(math.log10(min(everything))) - 1)
        # Room for the numbers behind the bars.
        panel.set_xlim(start, 10.0 ** (math.ceil(math.log10(max(everything))) + 2.5))
    for y, (one, length) in enumerate(zip(values, shown, strict=True)):
        value, low, high = one
        if length is None:
            known = value == 0 and value is not None
            panel.annotate(
                "0" if known else _UNKNOWN, (start if scale == "log" else 0.0, y), xytext=(4, 0),
                textcoords="offset points", va="center", fontsize=SMALL, color=GREY,
            )  # fmt: skip
            continue
        above = value is None or (high is None and low == value)  # it is at least this
        below = low is None and high == value
        bounded = above or below
        faint = 0.45 if bounded else 1.0
        panel.barh(y, length - start, 0.6, left=start, color=colour, alpha=faint)
        far = length
        if not bounded and low is not None and high is not None and low < high:
            panel.plot([max(low, start), high], [y, y], color=BLACK, linewidth=1.3)
            panel.plot([max(low, start), high], [y, y], "|", color=BLACK, markersize=6)
            far = high
        sign = "≥ " if above else "≤ " if below else ""
        unknown = " ?" if value is not None and low is None and high is None else ""
        panel.annotate(
            f"{sign}{_short(length)}{unknown}", (far, y), xytext=(4, 0),
            textcoords="offset points", va="center", fontsize=SMALL, color=BLACK,
        )  # fmt: skip
    if scale == "linear" and everything:
        from matplotlib.ticker import MaxNLocator

        panel.set_xlim(0, 1.45 * max(everything))
        panel.xaxis.set_major_locator(MaxNLocator(3))


def _percent(value: float | None) -> tuple[float | None, ...]:
    return (None,) * 3 if value is None else _exact(100 * value)


def _exact(value: float) -> tuple[float, float, float]:
    return (value,) * 3


def _short(value: float) -> str:
    """`1.2 k`, `35 n`: three digits and a prefix."""
    for factor, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "µ"),
                           (1e-9, "n"), (1e-12, "p")):  # fmt: skip
        if value >= factor * 0.9995:
            return f"{value / factor:.3g}{' ' if prefix else ''}{prefix}"
    return f"{value:.2g}"
