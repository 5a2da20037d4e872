"""Spike rasters: who spiked when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurojax.plot._style import (
    COLOURS,
    GREY,
    NORMAL,
    SMALL,
    Axes,
    new_axes,
    one_sample,
    style,
    time_label,
)


def raster(
    spikes: Any,
    *,
    sample: int = 0,
    dt: float = 1.0,
    unit: str = "steps",
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Spikes as marks over time, a row a neuron.

    Args:
        spikes: `[time, neurons]`, or `[time, batch, ...]` (the neurons of an image are counted row
            by row); non-zero values are spikes. A dict `{"layer": spikes}` stacks several layers,
            the first on top.
        sample: Which sample of a batch.
        dt: Length of a time step in `unit`.
        unit: Unit of the time axis, `"ms"` for instance.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes. Each layer is one collection of lines, one line a spike.

    Example:
        >>> import numpy as np
        >>> ax = raster(np.eye(5))
        >>> len(ax.collections[0].get_segments())
        5
    """
    layers = spikes if isinstance(spikes, Mapping) else {"": spikes}
    values = {name: one_sample(f"spikes {name}".strip(), s, sample) for name, s in layers.items()}
    sizes = [s.shape[1] for s in values.values()]
    if len({len(s) for s in values.values()}) != 1:
        lengths = {name: len(s) for name, s in values.items()}
        raise ValueError(f"the layers differ in their number of time steps: {lengths}")
    ax = new_axes(8.4, 1.6 + min(3.4, 0.9 * len(sizes) + 0.02 * sum(sizes)), ax)
    steps = len(next(iter(values.values())))

    # Layers of very different sizes get comparable room: heights grow with the square root.
    heights = np.sqrt(sizes) if len(sizes) > 1 else np.array(sizes, float)
    gap = 0.06 * heights.sum() if len(sizes) > 1 else 0.0
    top = 0.0
    ticks, labels = [], []
    for index, ((name, train), height) in enumerate(zip(values.items(), heights, strict=True)):
        when, who = np.nonzero(train)
        scale = height / train.shape[1]
        y = top + (who + 0.5) * scale
        # A mark never gets thinner than what can be seen.
        half = max(0.5 * scale * (0.8 if train.shape[1] < 60 else 1.0), 0.0025 * heights.sum())
        colour = COLOURS[index % len(COLOURS)]
        # Thin marks where there are many steps, wide ones where there are few.
        width = float(np.clip(260 / steps, 0.8, 6.0))
        ax.vlines(when * dt, y - half, y + half, color=colour, linewidth=width, rasterized=True)
        if name:
            ticks.append(top + height / 2)
            labels.append(f"{name}\n{train.shape[1]} neurons")
            ax.axhspan(top, top + height, color=colour, alpha=0.06, linewidth=0)
        top += height + gap
    ax.set_xlim(-0.5 * dt, (steps - 0.5) * dt)
    ax.set_ylim(top - gap, 0)
    style(ax, title=title, grid=None)
    if ticks:
        ax.set_yticks(ticks, labels)
        ax.tick_params(axis="y", length=0, labelsize=SMALL)
        ax.spines["left"].set_visible(False)
        for label, colour in zip(ax.get_yticklabels(), COLOURS * len(ticks), strict=False):
            label.set_color(colour)
            label.set_fontweight("bold")
    else:
        count = sizes[0]
        stride = max(1, -(-count // 8))
        ax.set_yticks(np.arange(0, count, stride) + 0.5, [str(n) for n in range(0, count, stride)])
        ax.set_ylabel("neuron", fontsize=NORMAL)
        total = int(np.count_nonzero(next(iter(values.values()))))
        ax.text(
            1.0, 1.01, f"{total:,} spikes", transform=ax.transAxes, ha="right", va="bottom",
            fontsize=SMALL, color=GREY,
        )  # fmt: skip
    ax.set_xlabel(time_label(unit), fontsize=NORMAL)
    return ax
