"""The report of the demonstration: one HTML page beside its pictures."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from neurojax import metrics
from neurojax.demo._figures import Picture

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #222; max-width: 58rem; margin: 2rem auto;
       padding: 0 1rem; }
h1 { font-size: 1.7rem; margin-bottom: .2rem } h2 { font-size: 1.2rem; margin-top: 2.2rem }
table { border-collapse: collapse; margin: 1rem 0 }
th, td { padding: .35rem .9rem; text-align: right }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
thead th { border-bottom: 2px solid #222 } tbody td { border-bottom: 1px solid #ddd }
img { max-width: 100% } figure { margin: 1rem 0 } figcaption, .quiet { color: #666 }
pre { background: #f5f5f5; padding: .8rem; overflow-x: auto; font-size: .8rem; line-height: 1.35 }
"""


TUNED = "fine-tuned"


class Row(NamedTuple):
    """One network in the comparison."""

    name: str
    accuracy: float
    size: str
    bytes: int
    spikes: dict[str, float]


class Costs(NamedTuple):
    """What the report says of costs."""

    picture: Picture
    comparison: metrics.Comparison


class OnChip(NamedTuple):
    """What the report says of one chip."""

    title: str
    configuration: str
    replayed: str
    mapping: str
    pictures: Sequence[Picture]


def comparison(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Header and cells of the table of networks."""
    header = ["network", "test accuracy", "parameters", "bytes", "spikes a digit"]
    cells = [
        [
            row.name,
            f"{row.accuracy:.1%}",
            row.size,
            f"{row.bytes:,}",
            f"{sum(row.spikes.values()):,.0f}",
        ]
        for row in rows
    ]
    return header, cells


def write(
    folder: Path,
    rows: Sequence[Row],
    *,
    network: str,
    pictures: Sequence[Picture],
    costs: Costs,
    chips: Sequence[OnChip],
) -> Path:
    """Writes `index.html` into a folder that already holds the pictures."""
    *first, last = (chip.title for chip in chips)
    names = html.escape(" and ".join(([", ".join(first)] if first else []) + [last]))
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>neurojax: digits on {names}</title>
<style>{STYLE}</style></head><body>
<h1>Handwritten digits on {names}</h1>
<p class="quiet">One spiking network, trained in real numbers, mapped onto each chip, simulated
as the chip computes, and fine-tuned through that simulation; on the microcontroller it runs as it
was mapped. BrainScaleS-2, where it has no place, has a smaller one of its own.</p>
{_table(*comparison(rows))}
{_figures(pictures)}
{_costs(costs)}
{"".join(map(_chip, chips))}
<h1>The network</h1><pre>{html.escape(network)}</pre>
</body></html>
"""
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def _costs(costs: Costs) -> str:
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in costs.comparison.notes())
    return f"""<h1>Costs</h1>
<p>Means of a digit, for the network that was fine-tuned on each chip. Operations are the synaptic
ones that the device computes: where a spike arrives, or, on a processor, all in every step. Speck
and CRI deliver each spike of a pool by itself, the others what a pool adds up. Energies leave out
different things and come from different technologies: compare magnitudes. All numbers:
<a href="costs.csv">costs.csv</a></p>
{_table(*costs.comparison.table())}
{_figures([costs.picture])}
<h2>Where these numbers come from</h2><ul class="quiet">{notes}</ul>
"""


def _table(header: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _chip(chip: OnChip) -> str:
    return f"""<h1>{html.escape(chip.title)}</h1>
<p>{html.escape(chip.replayed)}</p>
<p>Configuration of the device:
<a href="{chip.configuration}">{html.escape(chip.configuration)}</a></p>
{_figures(chip.pictures)}
<h2>The mapping</h2><pre>{html.escape(chip.mapping)}</pre>
"""


def _figures(pictures: Sequence[Picture]) -> str:
    return "".join(
        f"<h2>{html.escape(p.title)}</h2><figure><img src='{p.file}' alt='{html.escape(p.title)}'>"
        f"<figcaption>{html.escape(p.text)}</figcaption></figure>"
        for p in pictures
    )
