"""The picture of costs: bars as long as the numbers, ranges, bounds and what is not known."""

import io
from types import SimpleNamespace

import numpy as np
import pytest

from neurojax import plot
from neurojax.metrics.devices import Estimate


def row(name, joules, seconds=Estimate(None), accuracy=None, operations=100.0, size=64):
    return SimpleNamespace(
        title=name,
        accuracy=accuracy,
        operations=operations,
        joules=joules,
        seconds=seconds,
        size=SimpleNamespace(bytes=size),
    )


ROWS = [
    row("exact", Estimate.exact(2e-6), Estimate.exact(1e-3), 0.95, 1234.0, 4096),
    row("a range", Estimate(3e-6, 1e-6, 9e-6), Estimate(2e-3), 0.9),
    row("at least", Estimate(None, 5e-7), accuracy=0.8),
    row("at most", Estimate(8e-6, None, 8e-6), accuracy=0.7),
    row("nobody knows", Estimate(None), accuracy=0.6),
]


def texts(panel):
    return [text.get_text() for text in panel.texts]


def test_costs():
    ax = plot.costs(SimpleNamespace(rows=ROWS), title="A network")
    panels = {panel.get_xlabel(): panel for panel in ax.child_axes}
    assert list(panels) == [
        "accuracy / %", "operations", "energy / J", "time / s", "weights / bytes",
    ]  # fmt: skip
    energy = panels["energy / J"]
    assert energy.get_xscale() == "log"
    ends = [bar.get_x() + bar.get_width() for bar in energy.patches]
    np.testing.assert_allclose(ends, [2e-6, 3e-6, 5e-7, 8e-6])
    np.testing.assert_allclose(energy.lines[0].get_xdata(), [1e-6, 9e-6])
    assert texts(energy) == ["2 µ", "3 µ", "≥ 500 n", "≤ 8 µ", "unknown"]
    assert texts(panels["time / s"]) == ["1 m", "2 m ?", "unknown", "unknown", "unknown"]
    assert texts(panels["operations"])[0] == "1.23 k"
    labels = [label.get_text() for label in ax.child_axes[0].get_yticklabels()]
    assert labels == [row.title for row in ROWS]
    ax.figure.savefig(io.BytesIO(), format="rgba")


def test_quantities_that_nobody_knows_have_no_panel():
    ax = plot.costs(SimpleNamespace(rows=ROWS[-1:]))
    assert [panel.get_xlabel() for panel in ax.child_axes][1:] == [
        "operations",
        "weights / bytes",
    ]


def test_nothing_to_draw():
    with pytest.raises(ValueError, match="no rows to draw"):
        plot.costs(SimpleNamespace(rows=[]))
