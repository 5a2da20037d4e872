"""One look for all pictures: colours that colour-blind people tell apart, few lines, large text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
else:
    Axes = Any

# Okabe & Ito, Color Universal Design, 2008: told apart with every common colour vision.
BLUE, ORANGE, GREEN, VERMILION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK = "#CC79A7", "#56B4E9", "#222222"
COLOURS = (BLUE, VERMILION, GREEN, ORANGE, PURPLE, SKY)
GREY, LIGHT, FAINT = "#6B6B6B", "#D9D9D9", "#F3F3F3"
SMALL = 9.0
NORMAL = 10.0


def new_axes(width: float, height: float, ax: Axes | None = None) -> Axes:
    """`ax`, or the axes of a new figure of a size in inches (90 pixels an inch on the screen)."""
    if ax is not None:
        return ax
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            'plots need matplotlib, which comes with: pip install "neurojax[plot]"'
        ) from error

    class NotebookFigure(Figure):  # type: ignore[misc]
        """A figure that notebooks show although pyplot does not know it."""

        def _repr_png_(self) -> bytes:
            from io import BytesIO

            buffer = BytesIO()
            self.savefig(buffer, format="png")
            return buffer.getvalue()

    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08)
    figure = NotebookFigure(figsize=(width, height), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    return figure.add_subplot()


def style(
    ax: Axes, *, title: str | None = None, grid: Literal["both", "x", "y"] | None = "y"
) -> None:
    """Take away what carries no information."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=GREY, labelcolor=BLACK, labelsize=SMALL, length=3)
    ax.xaxis.label.set_fontsize(NORMAL)
    ax.yaxis.label.set_fontsize(NORMAL)
    if grid:
        ax.grid(axis=grid, color=LIGHT, linewidth=0.6)
        ax.set_axisbelow(True)
    if title:
        ax.set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)


def rows(ax: Axes, heights: list[float], *, gap: float = 0.06, across: bool = False) -> list[Axes]:
    """Axes within `ax`, one above the other (or side by side), with relative sizes."""
    ax.set_axis_off()
    space = 1 - gap * (len(heights) - 1)
    sizes = [space * height / sum(heights) for height in heights]
    parts, start = [], 0.0
    for size in sizes:
        bounds = (start, 0.0, size, 1.0) if across else (0.0, 1 - start - size, 1.0, size)
        parts.append(ax.inset_axes(bounds))
        start += size + gap
    return parts


def one_sample(what: str, values: Any, sample: int) -> np.ndarray:
    """`[time, neurons]` of `[time, neurons]` or of a sample of `[time, batch, ...]`."""
    values = np.asarray(values)
    if values.ndim < 2 or values.shape[0] == 0:
        raise ValueError(
            f"{what} has shape {values.shape}, but must be [time, neurons] or [time, batch, ...]"
        )
    if values.ndim == 2:
        return values
    if not -values.shape[1] <= sample < values.shape[1]:
        raise ValueError(f"sample={sample}, but {what} has {values.shape[1]} samples")
    return values[:, sample].reshape(len(values), -1)


def time_label(unit: str) -> str:
    """The label of a time axis."""
    return "time step" if unit == "steps" else f"time / {unit}"
