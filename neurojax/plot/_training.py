"""Curves of a training run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from neurojax.plot._style import (
    BLACK,
    BLUE,
    NORMAL,
    SMALL,
    VERMILION,
    Axes,
    new_axes,
    rows,
    style,
)


def training_curves(
    history: Mapping[str, Sequence[float]],
    *,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Loss, accuracy and other columns of a history over the epochs, with the validation's.

    Args:
        history: Columns of numbers, as in `Fit.history`: `"loss"`, `"val_loss"`, ...
            `"seconds"` is left out.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes; the panels, one a quantity, are its `child_axes`. The dot marks the best
        validation.

    Raises:
        ValueError: A history without epochs.
    """
    names = [n for n in history if n != "seconds" and not n.startswith("val_")]
    if not names or not len(history[names[0]]):
        raise ValueError("the history has no epochs to draw")
    ax = new_axes(4.2 * len(names), 3.0, ax)
    from matplotlib.ticker import MaxNLocator

    panels = rows(
        ax, [1.0] * len(names), gap=0.2 / len(names) if len(names) > 1 else 0, across=True
    )
    for panel, name in zip(panels, names, strict=True):
        percent = name.endswith("accuracy")
        scale = 100.0 if percent else 1.0
        _curve(panel, np.asarray(history[name], float) * scale, BLUE, "training")
        if f"val_{name}" in history:
            values = np.asarray(history[f"val_{name}"], float) * scale
            _curve(panel, values, VERMILION, "validation")
            if np.isfinite(values).any():
                best = int(np.nanargmax(values) if percent else np.nanargmin(values))
                panel.plot(best + 1, values[best], "o", color=VERMILION, markersize=5)
                panel.annotate(
                    f"{values[best]:.1f} %" if percent else f"{values[best]:.3g}",
                    (best + 1, values[best]), xytext=(0, -14 if percent else 9),
                    textcoords="offset points", fontsize=SMALL, color=VERMILION,
                    ha="right" if best > 0.8 * len(values) else "center",
                )  # fmt: skip
        style(panel)
        panel.set_xlabel("epoch", fontsize=NORMAL)
        panel.set_ylabel(f"{name} / %" if percent else name, fontsize=NORMAL)
        epochs = len(history[name])
        panel.set_xlim((1, epochs + 0.02 * (epochs - 1)) if epochs > 1 else (0.5, 1.5))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
        if not percent:
            panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))
    if f"val_{names[0]}" in history:
        panels[0].legend(frameon=False, fontsize=SMALL, loc="best")
    if title:
        panels[0].set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)
    return ax


def _curve(panel: Axes, values: np.ndarray, colour: str, label: str) -> None:
    epochs = np.arange(1, len(values) + 1)
    marker = "." if len(values) < 3 else None
    panel.plot(epochs, values, color=colour, linewidth=1.6, marker=marker, label=label)
