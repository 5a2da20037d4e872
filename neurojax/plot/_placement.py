"""Which layer sits on which core of a chip, how full the core is, and where its spikes go."""

from __future__ import annotations

import graphlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurojax.plot._style import (
    BLACK,
    BLUE,
    FAINT,
    GREY,
    LIGHT,
    NORMAL,
    ORANGE,
    SMALL,
    VERMILION,
    Axes,
    new_axes,
)

MEMORIES = ("kernel", "neuron", "bias")
WIDTH, HEIGHT = 1.0, 0.92  # of a card, in units of the drawing
ACROSS, DOWN = 0.46, 0.5  # between cards: room for arrows and their labels
LANE = 0.16  # between arrows that run above the cards
INCHES = 1.38  # size of a card: four and what is around them fill a page


class CoreUse(NamedTuple):
    """A core of a chip and what a layer needs of it.

    Attributes:
        core: Number of the core.
        layer: Name of the layer on it; None if the core is idle.
        kernel_used: Words of kernel memory that the layer takes.
        kernel_available: Words of kernel memory of the core.
        neuron_used: The same for the memory of neuron states.
        neuron_available: See above.
        bias_used: The same for the memory of biases.
        bias_available: See above.
        destinations: Numbers of the cores that get its spikes; none: the read-out does.
        pooling: Sum pooling on the way to each destination (or one number for all).
    """

    core: int
    layer: str | None = None
    kernel_used: int = 0
    kernel_available: int = 0
    neuron_used: int = 0
    neuron_available: int = 0
    bias_used: int = 0
    bias_available: int = 0
    destinations: tuple[int, ...] = ()
    pooling: int | tuple[int, ...] = ()


def placement(
    cores: Iterable[CoreUse | Mapping[str, Any] | Any],
    *,
    columns: int = 4,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The cores of a chip as cards in the order of the layers, with memory use and connections.

    Args:
        cores: One entry a core: `CoreUse`, or mappings or objects with its fields.
        columns: Cards a row.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes. Bars turn orange from 80 % on, and red where a memory is too small.

    Raises:
        ValueError: No layers, two entries for a core, a destination without a layer.
    """
    rows = [_as_core(core) for core in cores]
    used = [row for row in rows if row.layer is not None]
    idle = [row for row in rows if row.layer is None]
    _check(rows, used)
    used = _in_order(used)
    lines = -(-len(used) // max(1, columns))
    columns = -(-len(used) // lines)  # rows of about equal length
    places = {}
    for index, row in enumerate(used):
        line, column = divmod(index, columns)
        # Every other row runs backwards, so that the chain never jumps across the picture.
        places[row.core] = (columns - 1 - column if line % 2 else column, line)
    skips = _skips(used, places)
    above = sum(places[target][1] == 0 for _, target in skips)

    left, right = 0.45, 0.56  # room for the words input and output
    width = left + columns * WIDTH + (columns - 1) * ACROSS + right
    top = LANE * (1 + above) if above else 0.03
    bottom = lines * HEIGHT + (lines - 1) * DOWN + (0.4 if idle else 0.03)
    ax = new_axes(INCHES * width, INCHES * (top + bottom) + (0.45 if title else 0.2), ax)
    ax.set_xlim(-left, width - left)
    ax.set_ylim(bottom, -top)
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)

    for row in used:
        _card(ax, row, *_corner(places[row.core]))
    targets = {core for row in used for core in row.destinations}
    for row in used:
        x, y = _corner(places[row.core])
        for number, core in enumerate(row.destinations):
            label = _pooling(row, number)
            if (row.core, core) in skips:
                same = [pair for pair in skips if places[pair[1]][1] == places[core][1]]
                lane = LANE * (1 + same.index((row.core, core)))
                _around(ax, (x, y), _corner(places[core]), lane, label)
            else:
                _connect(ax, (x, y), _corner(places[core]), label)
        if row.core not in targets:
            _arrow(ax, (x - 0.38, y + HEIGHT / 2), (x, y + HEIGHT / 2))
            _word(ax, x - 0.22, y + HEIGHT / 2 - 0.05, "input")
        if not row.destinations:
            _to_output(ax, x, y, _pooling(row, 0), forwards=places[row.core][1] % 2 == 0)
    if idle:
        numbers = ", ".join(str(row.core) for row in sorted(idle, key=lambda row: row.core))
        plural = "cores" if len(idle) > 1 else "core"
        ax.text(0, bottom - 0.1, f"idle: {plural} {numbers}", fontsize=SMALL, color=GREY)
    return ax


def _card(ax: Axes, row: CoreUse, x: float, y: float) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    ax.add_patch(
        FancyBboxPatch(
            (x, y), WIDTH, HEIGHT, boxstyle="round,pad=0,rounding_size=0.05", facecolor=FAINT,
            edgecolor=GREY, linewidth=0.9,
        )
    )  # fmt: skip
    margin = 0.06
    ax.text(
        x + margin, y + 0.12, _fit(str(row.layer), 15), fontsize=NORMAL, fontweight="bold",
        color=BLACK, va="center",
    )  # fmt: skip
    ax.text(
        x + WIDTH - margin, y + 0.12, f"core {row.core}", fontsize=SMALL, color=GREY, va="center",
        ha="right",
    )  # fmt: skip
    for index, memory in enumerate(MEMORIES):
        taken, room = getattr(row, f"{memory}_used"), getattr(row, f"{memory}_available")
        share = taken / room if room else float(taken > 0)
        colour = VERMILION if share > 1 else ORANGE if share >= 0.8 else BLUE
        top = y + 0.26 + 0.22 * index
        ax.text(x + margin, top + 0.04, memory, fontsize=SMALL - 1.5, color=GREY, va="center")
        ax.text(
            x + WIDTH - margin, top + 0.04, f"{_words(taken)} / {_words(room)}",
            fontsize=SMALL - 1.5, color=VERMILION if share > 1 else GREY, va="center", ha="right",
        )  # fmt: skip
        length = WIDTH - 2 * margin - 0.28
        bar = (x + margin, top + 0.1)
        ax.add_patch(Rectangle(bar, length, 0.055, facecolor=LIGHT, linewidth=0))
        ax.add_patch(Rectangle(bar, length * min(1.0, share), 0.055, facecolor=colour, linewidth=0))
        ax.text(
            x + WIDTH - margin, top + 0.13, _percent(share), fontsize=SMALL - 1.5, va="center",
            ha="right", color=BLACK,
        )  # fmt: skip


def _corner(place: tuple[int, int]) -> tuple[float, float]:
    """Upper left corner of the card in a column and line."""
    return place[0] * (WIDTH + ACROSS), place[1] * (HEIGHT + DOWN)


def _skips(used: Sequence[CoreUse], places: Mapping[int, tuple[int, int]]) -> list[tuple[int, int]]:
    """Connections between cards that are no neighbours, side by side or one below the other."""
    pairs = [(row.core, core) for row in used for core in row.destinations]
    across = {(a, b): abs(places[b][0] - places[a][0]) for a, b in pairs}
    down = {(a, b): places[b][1] - places[a][1] for a, b in pairs}
    return [pair for pair in pairs if (across[pair], down[pair]) not in ((1, 0), (0, 1))]


def _connect(
    ax: Axes, source: tuple[float, float], target: tuple[float, float], label: str
) -> None:
    """An arrow to the card beside or below."""
    (x0, y0), (x1, y1) = source, target
    if y0 == y1:
        start = (x0 + WIDTH if x1 > x0 else x0, y0 + HEIGHT / 2)
        end = (x1 if x1 > x0 else x1 + WIDTH, y1 + HEIGHT / 2)
        _arrow(ax, start, end)
        _word(ax, (start[0] + end[0]) / 2, start[1] - 0.05, label)
    else:
        x = x0 + WIDTH / 2
        _arrow(ax, (x, y0 + HEIGHT), (x, y1))
        _word(ax, x + 0.06, (y0 + HEIGHT + y1) / 2 + 0.05, label, ha="left")


def _around(
    ax: Axes, source: tuple[float, float], target: tuple[float, float], lane: float, label: str
) -> None:
    """An arrow that runs above the row of its target, and enters it from there."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    (x0, y0), (x1, y1) = source, target
    start = (x0 + 0.7 * WIDTH, y0 if y0 >= y1 else y0 + HEIGHT)
    end = (x1 + 0.3 * WIDTH, y1)
    corners = [(start[0], y1 - lane), (end[0], y1 - lane)]
    if y1 - y0 > HEIGHT + 2 * DOWN:  # rows in between are passed beside the target's column
        beside, below = x1 + WIDTH + ACROSS / 2, y0 + HEIGHT + LANE
        corners = [(start[0], below), (beside, below), (beside, y1 - lane), corners[1]]
    path = Path([start, *corners, end])
    ax.add_patch(
        FancyArrowPatch(
            path=path, arrowstyle="-|>", mutation_scale=11, color=BLACK, linewidth=1.2,
            joinstyle="round", zorder=3,
        )
    )  # fmt: skip
    ahead = corners[-2][0] < end[0]
    _word(
        ax,
        (end[0] if ahead else corners[-2][0]) - 0.04,
        y1 - lane - 0.02,
        label,
        ha="right",
    )


def _to_output(ax: Axes, x: float, y: float, label: str, *, forwards: bool) -> None:
    start = x + WIDTH if forwards else x
    end = start + (0.48 if forwards else -0.48)
    _arrow(ax, (start, y + HEIGHT / 2), (end, y + HEIGHT / 2))
    middle = (start + end) / 2
    _word(ax, middle, y + HEIGHT / 2 - 0.05, "output")
    if label:
        _word(ax, middle, y + HEIGHT / 2 + 0.14, label)


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    ax.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=11, color=BLACK, linewidth=1.2,
            shrinkA=2, shrinkB=1, zorder=3,
        )
    )  # fmt: skip


def _word(ax: Axes, x: float, y: float, text: str, *, ha: str = "center") -> None:
    if text:
        ax.text(x, y, text, fontsize=SMALL - 1, color=BLACK, ha=ha, va="bottom")


def _pooling(row: CoreUse, number: int) -> str:
    sizes: Sequence[int] = (
        (row.pooling,) * (number + 1) if isinstance(row.pooling, int) else row.pooling
    )
    size = sizes[number] if number < len(sizes) else 1
    return f"pool {size}×{size}" if size > 1 else ""


def _words(count: int) -> str:
    """Words of memory; whole Ki as people write them."""
    return f"{count // 1024} Ki" if count and count % 1024 == 0 else f"{count:,}"


def _percent(share: float) -> str:
    return "<1 %" if 0 < share < 0.01 else f"{share:.0%}".replace("%", " %")


def _fit(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"


def _as_core(core: Any) -> CoreUse:
    if isinstance(core, CoreUse):
        return core
    read = core.get if isinstance(core, Mapping) else lambda name, other: getattr(core, name, other)
    missing = [n for n in ("core", "layer") if read(n, core) is core]
    if missing:
        raise ValueError(f"placement: {core!r} has no field {' and no '.join(map(repr, missing))}")
    values = {name: read(name, CoreUse._field_defaults.get(name)) for name in CoreUse._fields}
    values["destinations"] = tuple(values["destinations"])
    if not isinstance(values["pooling"], int):
        values["pooling"] = tuple(values["pooling"])
    return CoreUse(**values)


def _check(rows: Sequence[CoreUse], used: Sequence[CoreUse]) -> None:
    if not used:
        raise ValueError("placement: no core has a layer")
    numbers = [row.core for row in rows]
    twice = sorted({n for n in numbers if numbers.count(n) > 1})
    if twice:
        raise ValueError(f"placement: more than one entry for core {twice}")
    known = {row.core for row in used}
    for row in used:
        unknown = [core for core in row.destinations if core not in known]
        if unknown:
            raise ValueError(
                f"placement: layer '{row.layer}' on core {row.core} sends to core {unknown}, "
                "which has no layer"
            )


def _in_order(used: Sequence[CoreUse]) -> list[CoreUse]:
    """Sources before their destinations; otherwise as given."""
    sources: dict[int, list[int]] = {row.core: [] for row in used}
    for row in used:
        for core in row.destinations:
            sources[core].append(row.core)
    by_core = {row.core: row for row in used}
    try:
        order = list(graphlib.TopologicalSorter(sources).static_order())
    except graphlib.CycleError:
        return list(used)
    return [by_core[core] for core in order]
