"""Which layer sits on which core of a chip, how full the core is, and where its spikes go."""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from neurojax.chips import MappedNetwork
from neurojax.plot._routing import Link, Point, Sizes, lay_out
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
WIDTH, START = 1.0, 0.72  # of a card, and of the box of an input, in units of the drawing
HEADER, LINE, BAR = 0.1, 0.14, 0.22  # heights within a card: around its name, its lines, memories
LETTERS = 15  # of a name in one line
LABEL = 0.46  # room for the words on a line
INCHES = 1.38  # size of a unit: four cards and what is around them fill a page


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
        inputs: Names of the inputs that feed it; default: "input", if no core does.
        outputs: Pooling on the way to each output; default: one output if there is no destination.
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
    inputs: tuple[str, ...] | None = None
    outputs: tuple[int, ...] | None = None


def placement(
    cores: MappedNetwork | Iterable[CoreUse | Mapping[str, Any] | Any],
    *,
    columns: int = 4,
    title: str | None = None,
    ax: Axes | None = None,
) -> Axes:
    """The cores of a chip as cards in the order of the layers, with memory use and connections.

    Args:
        cores: A network that is mapped onto a DYNAP-CNN or Speck; or one entry a core: `CoreUse`,
            or mappings or objects with its fields.
        columns: Cards a row, at most.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes. Bars turn orange from 80 % on, and red where a memory is too small.

    Raises:
        ValueError: No layers, two entries for a core, a destination without a layer.
    """
    starts: dict[str, str] = {}
    outputs: dict[Hashable, tuple[int, ...]] = {}
    if isinstance(cores, MappedNetwork):
        from neurojax.chips.dynapcnn import core_use

        starts, outputs, cores = _starts(cores), _camera_outputs(cores), core_use(cores)
    rows = [_as_core(core) for core in cores]
    used = [row for row in rows if row.layer is not None]
    idle = [row for row in rows if row.layer is None]
    if not used and not outputs:
        raise ValueError("placement: no core has a layer")
    _check(rows, used)
    fed = {core for row in used for core in row.destinations}
    inputs = {row.core: _inputs(row, fed) for row in used}
    for name in (name for names in inputs.values() for name in names):
        starts.setdefault(name, "")
    links = [Link(name, row.core) for row in used for name in inputs[row.core]]
    links += [
        Link(row.core, core, _pooling(row, i))
        for row in used
        for i, core in enumerate(row.destinations)
    ]
    outputs |= {row.core: _outputs(row) for row in used if _outputs(row)}
    names = {row.core: textwrap.wrap(_breakable(row.layer), LETTERS)[:2] for row in used}
    header = HEADER + LINE * max(map(len, names.values()), default=1)
    sizes = Sizes(WIDTH, header + BAR * len(MEMORIES), START, LABEL)
    ends: dict[Hashable, int] = {core: len(pools) for core, pools in outputs.items()}
    layout = lay_out(
        list(starts), [row.core for row in used], links, ends, columns=columns, sizes=sizes
    )
    bottom = layout.height + (0.25 if idle else 0.0)
    ax = new_axes(INCHES * layout.width, INCHES * bottom + (0.45 if title else 0.2), ax)
    ax.set_xlim(-0.03, layout.width)
    ax.set_ylim(bottom, 0)
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)
    for name, text in starts.items():
        _start(ax, name, text, layout.corners[name], sizes.height)
    for row in sorted(used, key=lambda row: layout.corners[row.core][::-1]):
        _card(ax, row, names[row.core], header, sizes.height, layout.corners[row.core])
    for link, points in layout.lines:
        _arrow(ax, points)
        _word(ax, points[0][0] + 0.05, points[0][1] - 0.02, link.label, ha="left")
    for core, (x, y) in layout.ends.items():
        for i, pool in enumerate(outputs[core]):
            _arrow(ax, [(x, y + i * 0.13), (x + LABEL, y + i * 0.13)])
            _word(ax, x + 0.05, y + i * 0.13 - 0.02, "output", ha="left")
            _word(ax, x + 0.05, y + i * 0.13 + 0.13, _pool_text(pool), ha="left")
    if idle:
        numbers = ", ".join(str(row.core) for row in sorted(idle, key=lambda row: row.core))
        plural = "cores" if len(idle) > 1 else "core"
        ax.text(0, bottom - 0.02, f"idle: {plural} {numbers}", fontsize=SMALL, color=GREY)
    return ax


def _starts(mapped: MappedNetwork) -> dict[str, str]:
    """What feeds the cores: the camera's block or the input, each with a description."""
    from neurojax.chips.dynapcnn import dvs_of

    network, camera = mapped.network, dvs_of(mapped.network)
    if camera is None:
        return {name: "×".join(map(str, shape)) for name, shape in network.inputs.items()}
    shapes = ["×".join(map(str, shape(camera))) for shape in (network.in_shape, network.out_shape)]
    said = [shapes[0], *network[camera].describe().split(", ")[1:]]
    said += [] if shapes[0] == shapes[1] else [f"to {shapes[1]}"]
    return {camera: "\n".join(said)}


def _camera_outputs(mapped: MappedNetwork) -> dict[Hashable, tuple[int, ...]]:
    """The camera's block, if it feeds outputs, with the pooling on the way to each."""
    from neurojax.chips.dynapcnn import dvs_of, routes

    camera = dvs_of(mapped.network)
    ways = [way for way in routes(mapped.network) if way.source == camera and way.target is None]
    return {camera: tuple(way.pool for way in ways)} if ways else {}


def _inputs(row: CoreUse, fed: set[int]) -> tuple[str, ...]:
    if row.inputs is not None:
        return tuple(row.inputs)
    return () if row.core in fed else ("input",)


def _outputs(row: CoreUse) -> tuple[int, ...]:
    if row.outputs is not None:
        return tuple(row.outputs)
    if row.destinations:
        return ()
    return (row.pooling,) if isinstance(row.pooling, int) else row.pooling[:1] or (1,)


def _breakable(name: str | None) -> str:
    """A name that can be wrapped behind its underscores and dots, if it is too long."""
    text = str(name)
    if len(text) <= LETTERS:
        return text
    cut = max(text.rfind(mark, 0, LETTERS) for mark in "_.-") + 1
    cut = cut if len(text) - cut <= LETTERS and cut else LETTERS
    return f"{text[:cut]} {_fit(text[cut:], LETTERS)}"


def _start(ax: Axes, name: str, text: str, corner: Point, height: float) -> None:
    """The box of an input."""
    from matplotlib.patches import FancyBboxPatch

    lines = text.count("\n") + 1 if text else 0
    tall = HEADER + LINE + 0.125 * lines + 0.02
    x, y = corner[0], corner[1] + (height - tall) / 2
    ax.add_patch(
        FancyBboxPatch(
            (x, y), START, tall, boxstyle="round,pad=0,rounding_size=0.05", facecolor="white",
            edgecolor=GREY, linewidth=0.9,
        )
    )  # fmt: skip
    ax.text(
        x + START / 2, y + 0.12, _fit(name, 11), fontsize=SMALL, fontweight="bold", color=BLACK,
        va="center", ha="center",
    )  # fmt: skip
    if text:
        ax.text(
            x + START / 2, y + 0.2, text, fontsize=SMALL - 1.5, color=GREY, va="top", ha="center",
            linespacing=1.15,
        )  # fmt: skip


def _card(
    ax: Axes, row: CoreUse, lines: Sequence[str], header: float, height: float, corner: Point
) -> None:
    from matplotlib.patches import FancyBboxPatch, Rectangle

    x, y = corner
    ax.add_patch(
        FancyBboxPatch(
            (x, y), WIDTH, height, boxstyle="round,pad=0,rounding_size=0.05", facecolor=FAINT,
            edgecolor=GREY, linewidth=0.9,
        )
    )  # fmt: skip
    margin = 0.06
    ax.text(
        x + margin, y + (header + 0.02) / 2, "\n".join(lines), fontsize=SMALL, fontweight="bold",
        color=BLACK, va="center", linespacing=1.05,
    )  # fmt: skip
    ax.text(x + 0.02, y - 0.025, f"core {row.core}", fontsize=SMALL - 1.5, color=GREY, va="bottom")
    for index, memory in enumerate(MEMORIES):
        taken, room = getattr(row, f"{memory}_used"), getattr(row, f"{memory}_available")
        share = taken / room if room else float(taken > 0)
        colour = VERMILION if share > 1 else ORANGE if share >= 0.8 else BLUE
        top = y + header + BAR * index
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


def _arrow(ax: Axes, points: Sequence[Point]) -> None:
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    ax.add_patch(
        FancyArrowPatch(
            path=Path(points), arrowstyle="-|>", mutation_scale=10, color=BLACK, linewidth=1.1,
            joinstyle="round", zorder=3,
        )
    )  # fmt: skip


def _word(ax: Axes, x: float, y: float, text: str, *, ha: str = "center") -> None:
    if text:
        ax.text(x, y, text, fontsize=SMALL - 1.5, color=BLACK, ha=ha, va="bottom")


def _pooling(row: CoreUse, number: int) -> str:
    if isinstance(row.pooling, int):
        return _pool_text(row.pooling)
    return _pool_text(row.pooling[number] if number < len(row.pooling) else 1)


def _pool_text(size: int) -> str:
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
