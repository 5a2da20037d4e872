"""Cost tables: rows of layers and their sum, printed and written as the Qualia plug-in does."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax.metrics.lemaire._rows import EnergyMetrics, OperationMetrics

R = TypeVar("R", EnergyMetrics, OperationMetrics)

PAD = 11  # characters of a number


@dataclasses.dataclass(frozen=True)
class CostTable(Generic[R]):
    """What each layer costs for one inference, and what all of them cost.

    Printing shows the text summary; `to_csv` writes a file; `table["hidden"]` is one row.

    Attributes:
        rows: One for each layer, in the order of the network.
        total: Their sum.
        notes: What to know about the numbers, one sentence each.
    """

    rows: tuple[R, ...]
    total: R
    notes: tuple[str, ...] = ()

    columns: ClassVar[tuple[tuple[str, str], ...]]
    scale: ClassVar[float]

    def __iter__(self) -> Iterator[R]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> R:
        found = [row for row in self.rows if row.name == name]
        if not found:
            raise KeyError(f"no row '{name}'; {nearest(name, [row.name for row in self.rows])}")
        return found[0]

    @property
    def summary(self) -> str:
        """The table as text, as the Qualia plug-in prints it."""
        return _summary(self._all(), self.columns, self.scale)

    def to_csv(self, path: str | Path) -> Path:
        """Write rows and total to a CSV file, whole or not at all; returns its path."""
        path = Path(path)
        with written_whole(path) as unfinished:
            unfinished.write_text(self.csv, encoding="utf-8", newline="\n")
        return path

    @property
    def csv(self) -> str:
        """Rows and total as CSV: a header and one line for each."""
        rows: list[Any] = [row.asnamedtuple() for row in self._all()]
        text = io.StringIO()
        # Names of layers may hold commas; whatever needs no quotes stands as in the plug-in.
        lines = csv.writer(text, lineterminator="\n")
        lines.writerows(map(str, line) for line in [rows[0]._fields, *rows])
        return text.getvalue()

    def _all(self) -> tuple[Any, ...]:
        return (*self.rows, self.total)

    def __str__(self) -> str:
        return "\n".join([self.summary, *(f" {note}" for note in self.notes)])

    __repr__ = __str__


class EnergyTable(CostTable[EnergyMetrics]):
    """Energy of each layer for one inference. Rows and CSV are in pJ, the printed text in nJ."""

    columns = (
        ("EMemPot", "mem_pot"),
        ("EMemWeights", "mem_weights"),
        ("EMemBias", "mem_bias"),
        ("EMemIO", "mem_io"),
        ("EMemTotal", "mem_total"),
        ("EOps", "ops"),
        ("EAddr", "addr"),
        ("EOpsAddr", "opsaddr"),
        ("ETotal", "total"),
    )
    scale = 1000.0  # pJ in a nJ


class OperationTable(CostTable[OperationMetrics]):
    """Operations and memory accesses of each layer for one inference."""

    columns = (
        ("Syn. Acc", "syn_acc"),
        ("Syn. MAc", "syn_mac"),
        ("Addr. Acc", "addr_acc"),
        ("Addr. MAc", "addr_mac"),
        ("Tot. Acc", "total_acc"),
        ("Tot. MAc", "total_mac"),
        ("Mem. read", "mem_read"),
        ("Mem. write", "mem_write"),
    )
    scale = 1.0


def _summary(rows: Sequence[Any], columns: Sequence[tuple[str, str]], scale: float) -> str:
    """The text, down to the rules that are one character longer than the lines."""
    width = max(len(row.name) for row in rows)
    titles = [title for title, _ in columns] + ["SNN"]
    header = " | ".join(
        ["Layer".ljust(width), *(title.ljust(PAD) for title in titles)]
        + ["Input Spike Rate", "Output Spike Rate"]
    )
    heavy, light = ("\u2014" * (len(header) + 1), "-" * (len(header) + 1))
    lines = [heavy, header, heavy]
    for position, row in enumerate(rows, 1):
        numbers = [f"{getattr(row, field) / scale:<{PAD}.4}" for _, field in columns]
        rates = [
            _rate(row.input_spikerate, row.input_is_binary),
            _rate(row.output_spikerate, row.output_is_binary),
        ]
        cells = [row.name.ljust(width), *numbers, str(row.is_sj).ljust(PAD), *rates]
        # A heavy rule sets the total off, and one ends the table.
        lines += [" | ".join(cells), light if position < len(rows) - 1 else heavy]
    return "\n".join([*lines, " NB = Non binary data"])


def _rate(rate: float | None, binary: bool) -> str:
    pad = PAD + 5 if binary else PAD
    text = "N/A".ljust(pad) if rate is None else f"{rate:<{pad}.4}"
    return text if binary else f"{text} (NB)"
