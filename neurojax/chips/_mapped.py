"""What every chip's `map` returns, reports and refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import equinox as eqx

from neurojax._network import Network
from neurojax._table import text_table


class Problem(NamedTuple):
    """One reason why a network can't be mapped."""

    layer: str  # name of the layer; "network" for what concerns all of it
    found: str  # what was found
    legal: str  # what the chip can do
    remedy: str  # what to change

    def __str__(self) -> str:
        who = self.layer if self.layer == "network" else f"layer '{self.layer}'"
        return f"{who}: {self.found}; {self.legal}; {self.remedy}"


class MappingError(ValueError):
    """A network can't be mapped onto a chip; `problems` holds every reason at once."""

    def __init__(self, chip: str, problems: Iterable[Problem]) -> None:
        self.chip = chip
        self.problems = tuple(problems)
        count = len(self.problems)
        head = f"the network can't be mapped onto {chip} for {count} reason{'s' * (count > 1)}:"
        super().__init__("\n- ".join([head, *map(str, self.problems)]))


@dataclass(frozen=True)
class Report:
    """A mapping explained: structured rows, and a text table when printed.

    Attributes:
        title: What was mapped onto what.
        rows: One mapping of column to value for each layer, complete.
        tables: Columns of each printed table, as `{header: (row's column, format)}`.
        notes: What was folded, dropped or changed, and what to know about it.
    """

    title: str
    rows: tuple[Mapping[str, Any], ...]
    tables: tuple[Mapping[str, tuple[str, str]], ...]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        parts = [self.title]
        for columns in self.tables:
            numbers = [
                header
                for header, (column, _) in columns.items()
                if all(isinstance(row[column], int | float | None) for row in self.rows)
            ]
            cells = [[_cell(row[c], form) for c, form in columns.values()] for row in self.rows]
            # A row that is about something else has nothing in the first column.
            cells = [row for row in cells if row[0]]
            parts.append(text_table(list(columns), cells, right=numbers))
        if self.notes:
            parts.append("\n".join(f"- {note}" for note in self.notes))
        return "\n\n".join(parts)

    __repr__ = __str__


def _cell(value: Any, form: str) -> str:
    return "" if value is None else format(value, form)


class MappedNetwork(eqx.Module):
    """A network on a chip: layers that compute like it, and how they came about.

    A pytree: the layers of `network` hold the chip's integers in floating-point arrays, and
    gradients reach them. What a run simulates is always what the chip can hold, because every
    layer rounds and limits its parameters before the first step.

    Attributes:
        network: Simulate, train or sweep this one.
        chip: The frozen description of the device.
        origins: For each layer how it came about, in a form of the chip's own.
        timing: Which of the chip's own delays are layers of the network, where there is a choice.
    """

    network: Network
    chip: Any = eqx.field(static=True)
    origins: tuple[Any, ...] = eqx.field(static=True)
    _explain: Callable[[MappedNetwork], Report] = eqx.field(static=True)
    timing: str | None = eqx.field(static=True, default=None)

    def report(self) -> Report:
        """Per layer: scales, bits used, memory, place, and what was folded or dropped.

        Numbers are those of the parameters as they are now, so after training call it again.
        """
        return self._explain(self)

    def with_network(self, network: Network) -> MappedNetwork:
        """The same mapping with other parameters: after training `mapped.network`.

        Raises:
            ValueError: The network has other layers.
        """
        if network.names != self.network.names:
            raise ValueError(
                f"the network has layers {_names(network.names)}, but was mapped with "
                f"{_names(self.network.names)}; map the other network"
            )
        return replace(self, network=network)

    def __str__(self) -> str:
        return str(self.report())

    def __repr__(self) -> str:
        # No report: its numbers don't exist while jax traces, where errors print what they hold.
        return f"MappedNetwork({', '.join(self.network.names)} on {self.chip.name})"


def _names(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
