"""Spike counts of layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax.plot._style import BLACK, COLOURS, NORMAL, SMALL, Axes, new_axes, style


def spike_counts(
    counts: Mapping[str, float] | Mapping[str, Mapping[str, float]],
    *,
    label: str = "spikes per sample",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Spikes of every layer as bars.

    Args:
        counts: `{layer: spikes}` as in `evaluate(...)["spikes"]`, or several of them to
            compare: `{"float": {layer: spikes}, "on chip": {...}}`.
        label: What is counted.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes; one container of bars a series.
    """
    if not counts:
        raise ValueError("there are no layers to draw")
    series: Any = counts if isinstance(next(iter(counts.values())), Mapping) else {"": counts}
    layers = list(dict.fromkeys(layer for values in series.values() for layer in values))
    ax = new_axes(8.4, 1.0 + 0.24 * len(layers) * (len(series) + 0.6), ax)
    thickness = 0.8 / len(series)
    for index, (name, values) in enumerate(series.items()):
        y = np.arange(len(layers)) + (index - (len(series) - 1) / 2) * thickness
        lengths = [float(values.get(layer, np.nan)) for layer in layers]
        bars = ax.barh(y, lengths, thickness * 0.9, color=COLOURS[index % len(COLOURS)], label=name)
        texts = ["" if np.isnan(length) else _short(length) for length in lengths]
        ax.bar_label(bars, texts, padding=4, fontsize=SMALL, color=BLACK)
    ax.set_yticks(np.arange(len(layers)), layers)
    ax.invert_yaxis()
    ax.margins(x=0.1)
    style(ax, title=title, grid="x")
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel(label, fontsize=NORMAL)
    if len(series) > 1:
        ax.legend(
            frameon=False, fontsize=SMALL, loc="lower right", bbox_to_anchor=(1.0, 1.0),
            ncols=len(series), borderaxespad=0.2,
        )  # fmt: skip
    return ax


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
