"""Boxes in columns, read like a text, and lines between them that never cross a box.

A box stands in the column of its depth: one more than the deepest box that sends to it. When a row
of columns is full, the next one begins below it. Lines run in the gaps: from the right side of a
box along the gap between two columns, where they must along a gap between rows, and into the left
side of a box. Lines that run along the same gap do so side by side.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

SLOT = 0.075  # between lines that run side by side
PORT = 0.13  # between lines that leave or enter the same side of a box
ROWS = 0.2  # between boxes of one column

Point = tuple[float, float]


class Link(NamedTuple):
    """A line to draw. `source` and `target` are names of boxes."""

    source: Hashable
    target: Hashable
    label: str = ""


class Sizes(NamedTuple):
    """Sizes of what is drawn, in the units of the drawing."""

    width: float  # of a box
    height: float
    start: float  # width of a box at the very beginning, which is smaller
    label: float  # room for words on lines, right of a box


class Layout(NamedTuple):
    """Where everything is; y points down."""

    corners: dict[Hashable, Point]  # upper left, of every box
    lines: list[tuple[Link, list[Point]]]
    ends: dict[Hashable, Point]  # where a line leaves that goes to no box
    width: float
    height: float


class _Place(NamedTuple):
    band: int
    column: int  # -1: the very beginning
    row: float  # centred: whole or half


def depths(names: Sequence[Hashable], links: Sequence[Link]) -> dict[Hashable, int]:
    """One more than the deepest source; boxes that nobody sends to have depth 0."""
    depth = dict.fromkeys(names, 0)
    for _ in names:  # a longest path has no more steps than this, also if there is a cycle
        for link in links:
            if link.source != link.target:
                depth[link.target] = min(
                    max(depth[link.target], depth[link.source] + 1), len(names)
                )
    return depth


def lay_out(
    starts: Sequence[Hashable],
    names: Sequence[Hashable],
    links: Sequence[Link],
    ends: Mapping[Hashable, int],
    *,
    columns: int,
    sizes: Sizes,
) -> Layout:
    """Place boxes and lines.

    Args:
        starts: Small boxes at the very beginning.
        names: All other boxes.
        links: Lines between them.
        ends: For each box the lines that leave for good, if there are any.
        columns: At most so many columns.
        sizes: Sizes.
    """
    depth = depths(names, [link for link in links if link.source not in starts])
    levels = max(depth.values(), default=0) + 1  # an input may be all there is
    bands = -(-levels // columns)
    columns = -(-levels // bands)  # rows of about equal length
    places: dict[Hashable, _Place] = {}
    counts = [1] * bands
    for level in range(levels):
        here = [name for name in names if depth[name] == level]
        band, column = divmod(level, columns)
        counts[band] = max(counts[band], len(here))
        for i, name in enumerate(here):
            places[name] = _Place(band, column, i - (len(here) - 1) / 2)
    for i, name in enumerate(starts):
        places[name] = _Place(0, -1, i - (len(starts) - 1) / 2)
    return _Lines(places, counts, links, ends, columns, sizes).layout()


class _Lines:
    """The gaps, and who runs in them."""

    def __init__(
        self,
        places: Mapping[Hashable, _Place],
        counts: Sequence[int],
        links: Sequence[Link],
        ends: Mapping[Hashable, int],
        columns: int,
        sizes: Sizes,
    ) -> None:
        self.places, self.counts, self.links, self.sizes = places, counts, links, sizes
        self.columns, self.ends = columns, ends
        self.slots: dict[int, list[Link]] = {c: [] for c in range(columns + 1)}
        self.lanes: dict[int, list[Link]] = {b: [] for b in range(len(counts) + 1)}
        for link in links:
            a, b = places[link.source], places[link.target]
            if not self._next(link):
                self.lanes[b.band].append(link)
                self.slots[a.column + 1].append(link)
                self.slots[b.column].append(link)
            elif not self._straight(link):
                self.slots[b.column].append(link)
        most = max(map(len, self.slots.values()))
        self.channel = sizes.label + most * SLOT + 0.2
        self.left = sizes.start + self.channel
        self.tops = []
        y = 0.0
        for band, count in enumerate(counts):
            y += 0.2 + (len(self.lanes[band]) + 0.5) * 0.11
            self.tops.append(y)
            y += count * sizes.height + (count - 1) * ROWS
        self.bottom = y + 0.05

    def _next(self, link: Link) -> bool:
        """The target is in the column to the right, in the same row of columns."""
        a, b = self.places[link.source], self.places[link.target]
        return a.band == b.band and b.column == a.column + 1

    def _straight(self, link: Link) -> bool:
        a, b = self.places[link.source], self.places[link.target]
        alone = len(self._out(link.source)) + self.ends.get(link.source, 0) == 1
        return self._next(link) and a.row == b.row and alone and len(self._into(link.target)) == 1

    def _out(self, name: Hashable) -> list[Link]:
        """Lines that leave a box, from top to bottom: over the boxes, beside, and down."""
        mine = [link for link in self.links if link.source == name]
        band = self.places[name].band

        def key(link: Link) -> tuple[float, float]:
            place = self.places[link.target]
            over = 0 if place.band == band else 1
            return (-1 if not self._next(link) and not over else over, place.row)

        return sorted(mine, key=key)

    def _into(self, name: Hashable) -> list[Link]:
        mine = [link for link in self.links if link.target == name]
        return sorted(mine, key=lambda link: (self._next(link), self.places[link.source].row))

    def _corner(self, name: Hashable) -> Point:
        place, size = self.places[name], self.sizes
        count = self.counts[place.band]
        middle = self.tops[place.band] + (count * size.height + (count - 1) * ROWS) / 2
        y = middle + place.row * (size.height + ROWS) - size.height / 2
        x = 0.0 if place.column < 0 else self._x(place.column)
        return x, y

    def _x(self, column: int) -> float:
        return self.left + column * (self.sizes.width + self.channel)

    def _right(self, name: Hashable) -> float:
        start = self.places[name].column < 0
        return self._corner(name)[0] + (self.sizes.start if start else self.sizes.width)

    def _port(self, name: Hashable, index: int, count: int) -> float:
        _, y = self._corner(name)
        apart = min(PORT, self.sizes.height / (count + 1))  # many lines still begin at the box
        return y + self.sizes.height / 2 + (index - (count - 1) / 2) * apart

    def _leaves(self, link: Link) -> Point:
        lines = self._out(link.source)
        count = len(lines) + self.ends.get(link.source, 0)
        return self._right(link.source), self._port(link.source, lines.index(link), count)

    def _arrives(self, link: Link) -> Point:
        lines = self._into(link.target)
        x, _ = self._corner(link.target)
        return x, self._port(link.target, lines.index(link), len(lines))

    def _slot(self, column: int, link: Link) -> float:
        return self._x(column) - 0.2 - SLOT * self.slots[column].index(link)

    def _line(self, link: Link) -> list[Point]:
        start, end = self._leaves(link), self._arrives(link)
        if self._straight(link):
            return [start, end]
        a, b = self.places[link.source], self.places[link.target]
        into = self._slot(b.column, link)
        if self._next(link):
            return [start, (into, start[1]), (into, end[1]), end]
        out = self._slot(a.column + 1, link)
        lane = self.tops[b.band] - 0.26 - 0.11 * self.lanes[b.band].index(link)
        return [
            start, (out, start[1]), (out, lane), (into, lane), (into, end[1]), end,
        ]  # fmt: skip

    def layout(self) -> Layout:
        """All of it."""
        ends = {}
        for name, count in self.ends.items():
            lines = len(self._out(name))
            ends[name] = self._right(name), self._port(name, lines, lines + count)
        return Layout(
            {name: self._corner(name) for name in self.places},
            [(link, self._line(link)) for link in self.links],
            ends,
            self._x(self.columns - 1) + self.sizes.width + self.channel,
            self.bottom,
        )
