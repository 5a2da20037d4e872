"""A BrainScaleS-2 chip with the neurons and synapses of a network on it."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurojax.chips import MappedNetwork
from neurojax.plot._style import BLACK, COLOURS, FAINT, GREY, LIGHT, NORMAL, SMALL, Axes, new_axes

BUS, GAP, STRIP = 40.0, 3.0, 9.0  # heights: the rows of a bus, between buses, a row of neurons
BAR, ROOM = 42.0, 26.0  # widths: a full bus, the words beside it


def bss2(chip: Any, *, title: str | None = None, ax: Axes | None = None) -> Axes:
    """The two hemispheres of the chip: whose circuits are whose, and the synapse rows they take.

    In the middle are the two rows of neuron circuits; the first circuit of a neuron, where it
    spikes, is full in colour, others are pale. Above and below are the synapse arrays that feed
    them, with the rows of each bus side by side; a synapse has the colour of where its spikes come
    from. Bars say how many drivers of each bus are in use.

    Args:
        chip: What `neurojax.chips.bss2.map`, `fit`, or `neurojax.hardware.bss2.configure` returned.
        title: A title.
        ax: Where to draw; default: a new figure.

    Returns:
        The axes.

    Raises:
        ValueError: The network does not fit on the chip, or is no network on one.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((8,), nj.Linear(8, 20, key=jax.random.key(0)), hidden=bss2.LIF())
        >>> ax = nj.plot.bss2(bss2.map(net))
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['input (8)', 'hidden (20)']
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch, Rectangle

    found = _fit(chip)
    spec, routing = _spec(), found.routing
    names = [p.name for p in found.demand.populations]
    colours = dict(zip(names, _colours(found.demand.populations), strict=True))
    owner = np.repeat(np.arange(len(names)), [p.size for p in found.demand.populations])
    palette = np.array([to_rgb(colours[name]) for name in names])
    side = spec.buses * (BUS + GAP) - GAP
    height = 2 * (side + GAP + STRIP) + GAP
    ax = new_axes(9.6, 7.4 + (0.2 if title else 0.0), ax)
    ax.set_xlim(-30, spec.columns + BAR + ROOM)
    ax.set_ylim(height + 6, -4)
    ax.set_axis_off()
    if title:
        ax.set_title(title, fontsize=NORMAL + 1, loc="left", fontweight="bold", color=BLACK)
    strips = [side + GAP, side + 2 * GAP + STRIP]
    tops = [0.0, strips[1] + STRIP + GAP]

    # Synapses: an image of each bus, its rows in the order of its drivers.
    s = routing.synapses
    bus = s.row // spec.rows_per_driver % spec.buses
    line = s.row // (spec.rows_per_driver * spec.buses) * spec.rows_per_driver + s.row % 2
    for h in range(spec.hemispheres):
        for b in range(spec.buses):
            y = tops[h] + b * (BUS + GAP)
            image = np.empty((spec.rows_per_bus, spec.columns, 3))
            image[:] = to_rgb(FAINT)
            mine = (s.hemisphere == h) & (bus == b)
            image[line[mine], s.column[mine]] = palette[owner[s.source[mine]]]
            ax.imshow(
                image, extent=(0, spec.columns, y + BUS, y), aspect="auto", interpolation="nearest"
            )
            ax.text(-3, y + BUS / 2, f"bus {b}", fontsize=SMALL, ha="right", va="center")
            _drivers(ax, [g for g in routing.groups if (g.hemisphere, g.bus) == (h, b)],
                     owner, palette, spec, y + BUS / 2)  # fmt: skip

    # Neurons.
    for h, y in enumerate(strips):
        ax.add_patch(Rectangle((0, y), spec.columns, STRIP, facecolor=LIGHT, linewidth=0))
        ax.text(-3, y + STRIP / 2, f"row {h}", fontsize=SMALL, ha="right", va="center")
    for name, circuits in found.placement.circuits.items():
        for neuron in circuits.tolist():
            for i, (row, column) in enumerate(neuron):
                ax.add_patch(
                    Rectangle(
                        (column, strips[row]), 1, STRIP, facecolor=colours[name], linewidth=0,
                        alpha=1.0 if i == 0 else 0.35,
                    )
                )  # fmt: skip
    used = found.placement.used
    ax.text(
        spec.columns + 3, strips[1] - GAP / 2, f"{used} of {spec.circuits}\ncircuits",
        fontsize=SMALL, color=GREY, va="center",
    )  # fmt: skip
    for x in range(0, spec.columns + 1, spec.columns_per_output):
        ax.plot([x, x], [strips[0], strips[1] + STRIP], color="white", linewidth=0.8)
    for x in (0, spec.half, spec.columns):
        text = f"column {x}" if x == spec.half else f"{x}"
        ax.text(x, height + 2, text, fontsize=SMALL, color=GREY, ha="center", va="top")
    ax.text(spec.columns + 3 + BAR / 2, 2, "drivers", fontsize=SMALL, color=GREY, ha="center")
    ax.legend(
        handles=[Patch(color=colours[p.name], label=f"{p.name} ({p.size})")
                 for p in found.demand.populations],
        frameon=False, fontsize=SMALL, loc="upper center", bbox_to_anchor=(0.45, 0.0),
        ncols=min(4, len(names)),
    )  # fmt: skip
    return ax


def _drivers(
    ax: Axes, groups: list[Any], owner: np.ndarray, palette: np.ndarray, spec: Any, y: float
) -> None:
    """A bar of the drivers of a bus, in the colours of those whose spikes they take."""
    from matplotlib.patches import Rectangle

    unit, x, thick = BAR / spec.drivers, spec.columns + 3, 7.0
    ax.add_patch(Rectangle((x, y - thick / 2), BAR, thick, facecolor=LIGHT, linewidth=0))
    for group in groups:
        # Drivers of a group are shared; the bar is cut in the proportion of its sources.
        counts = np.bincount(owner[list(group.sources)], minlength=len(palette))
        for i in np.flatnonzero(counts):
            width = unit * len(group.drivers) * counts[i] / counts.sum()
            ax.add_patch(
                Rectangle((x, y - thick / 2), width, thick, facecolor=palette[i], linewidth=0)
            )
            x += width
    number = sum(len(group.drivers) for group in groups)
    ax.text(
        spec.columns + 3 + BAR + 2, y, f"{number}/{spec.drivers}", fontsize=SMALL, va="center",
        color=BLACK if number else GREY,
    )  # fmt: skip


def _colours(populations: Any) -> list[str]:
    """A colour for each population: greys for what comes from the host."""
    greys = (GREY, "#A0A0A0", "#444444")
    inside, outside = iter(range(10**6)), iter(range(10**6))
    return [
        greys[next(outside) % len(greys)] if p.external else COLOURS[next(inside) % len(COLOURS)]
        for p in populations
    ]


def _spec() -> Any:
    from neurojax.chips.bss2 import chip

    return chip


def _fit(chip: Any) -> Any:
    from neurojax.chips.bss2 import Fit, fit

    if isinstance(chip, MappedNetwork) and chip.chip == _spec():
        chip = chip.origins[0].fit or fit(chip.network)
    elif not isinstance(chip, Fit):
        chip = getattr(chip, "fit", None)
    if not isinstance(chip, Fit):
        raise ValueError("plot.bss2 takes what chips.bss2.map, fit or configure returned")
    if chip.problems:
        raise ValueError(
            "the network does not fit on the chip:\n- " + "\n- ".join(map(str, chip.problems))
        )
    return chip
