"""Pictures hold the marks they should, warn about nothing and leave pyplot alone."""

import io
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from neurojax import plot

RANDOM = np.random.default_rng(0)
SPIKES = (RANDOM.random((40, 3, 2, 3, 3)) < 0.2).astype(np.float32)
VOLTAGES = RANDOM.normal(size=(40, 3, 6)).astype(np.float32)
HISTORY = {
    "loss": [2.0, 1.0, 0.5],
    "accuracy": [0.5, 0.8, 0.9],
    "val_loss": [2.1, 0.9, 1.1],
    "val_accuracy": [0.4, 0.8, 0.7],
    "seconds": [1.0, 1.0, 1.0],
}
CHAIN = [
    plot.CoreUse(4, "fc", 1280, 65536, 10, 16384, 0, 1024),
    plot.CoreUse(0, "conv1", 144, 16384, 2048, 65536, 8, 1024, (1,), 2),
    plot.CoreUse(1, "conv2", 20000, 16384, 512, 65536, 0, 1024, (4,)),
    plot.CoreUse(7),
]


def drawn(ax):
    """The picture's pixels; fails on text outside of it or on a blank."""
    buffer = io.BytesIO()
    ax.figure.savefig(buffer, format="rgba")
    pixels = np.frombuffer(buffer.getvalue(), np.uint8)
    assert len(np.unique(pixels)) > 10
    return pixels


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_raster_draws_every_spike_once():
    ax = plot.raster(SPIKES, sample=1, dt=0.5, unit="ms")
    segments = np.array(ax.collections[0].get_segments())
    when, who = np.nonzero(SPIKES[:, 1].reshape(40, -1))
    assert len(segments) == len(when) == SPIKES[:, 1].sum()
    middle = segments.mean(axis=1)
    assert set(map(tuple, middle.round(6))) == set(zip(when * 0.5, who + 0.5, strict=True))
    assert ax.get_xlabel() == "time / ms"
    drawn(ax)


def test_raster_of_layers():
    layers = {"input": SPIKES, "hidden": SPIKES[:, :, 0], "silent": SPIKES[:, :, 0] * 0}
    ax = plot.raster(layers, title="A sample")
    counts = [len(lines.get_segments()) for lines in ax.collections]
    assert counts == [SPIKES[:, 0].sum(), SPIKES[:, 0, 0].sum(), 0]
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert labels == ["input\n18 neurons", "hidden\n9 neurons", "silent\n9 neurons"]
    drawn(ax)


def test_traces():
    spikes = (VOLTAGES > 1).astype(np.float32)
    ax = plot.traces(VOLTAGES, threshold=1.0, spikes=spikes, neurons=[5, 0], sample=2)
    assert len(ax.child_axes) == 2
    for panel, neuron in zip(ax.child_axes, [5, 0], strict=True):
        trace, threshold = panel.lines
        np.testing.assert_array_equal(trace.get_ydata(), VOLTAGES[:, 2, neuron])
        assert list(threshold.get_ydata()) == [1.0, 1.0]
        marks = panel.collections[0].get_offsets()
        np.testing.assert_array_equal(marks[:, 0], np.flatnonzero(spikes[:, 2, neuron]))
    drawn(ax)


def test_traces_of_the_most_active():
    spikes = np.zeros((40, 6))
    spikes[:5, [5, 1, 2]] = 1
    ax = plot.traces(VOLTAGES[:, 0], spikes=spikes)
    assert [p.get_ylabel() for p in ax.child_axes] == [f"neuron {n}" for n in (0, 1, 2, 5)]
    assert len(plot.traces(VOLTAGES).child_axes) == 4


def test_training_curves():
    ax = plot.training_curves(HISTORY, title="Digits")
    loss, accuracy = ax.child_axes
    np.testing.assert_array_equal(loss.lines[1].get_ydata(), HISTORY["val_loss"])
    np.testing.assert_allclose(accuracy.lines[0].get_ydata(), [50, 80, 90])
    assert texts(loss) == ["0.9"]
    assert texts(accuracy) == ["80.0 %"]
    drawn(ax)
    drawn(plot.training_curves({"loss": [1.0]}))


def test_spike_counts():
    ax = plot.spike_counts({"float": {"a": 3.0, "b": 1200.4}, "chip": {"a": 2.5}})
    assert [len(bars) for bars in ax.containers if len(bars)] == [2, 2]
    assert texts(ax) == ["3", "1,200", "2.5", ""]
    drawn(ax)
    assert texts(plot.spike_counts({"a": 3.0})) == ["3"]


def test_placement():
    ax = plot.placement(CHAIN, title="Placement")
    words = texts(ax)
    cards = [word for word in words if word in ("conv1", "conv2", "fc")]
    assert cards == ["conv1", "conv2", "fc"]  # the order of the spikes, not of the list
    for word in ("144 / 16 Ki", "<1 %", "20,000 / 16 Ki", "122 %", "pool 2×2", "idle: core 7"):
        assert word in words
    assert (words.count("input"), words.count("output")) == (1, 1)
    drawn(ax)


def test_placement_takes_mappings_objects_and_branches():
    class Row:
        core, layer, destinations = 2, "join", ()

    rows = [
        {"core": 0, "layer": "stem", "destinations": [1, 2], "pooling": [1, 4]},
        {"core": 1, "layer": "side", "destinations": [2]},
        Row(),
    ]
    ax = plot.placement(rows)
    assert "pool 4×4" in texts(ax)
    drawn(ax)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([plot.CoreUse(0)], "no core has a layer"),
        ([plot.CoreUse(0, "a"), plot.CoreUse(0, "b")], r"more than one entry for core \[0\]"),
        ([plot.CoreUse(0, "a", destinations=(3,))], r"'a' on core 0 sends to core \[3\]"),
        ([{"layer": "a"}], "has no field 'core'"),
    ],
)
def test_placement_refusals(rows, message):
    with pytest.raises(ValueError, match=message):
        plot.placement(rows)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plot.raster(np.zeros(3)), r"must be \[time, neurons\] or \[time, batch"),
        (lambda: plot.raster(SPIKES, sample=3), "sample=3, but spikes has 3 samples"),
        (lambda: plot.raster({"a": SPIKES, "b": SPIKES[1:]}), "differ in their number of time"),
        (lambda: plot.traces(VOLTAGES, neurons=[6]), "must be some of 0 to 5"),
        (lambda: plot.traces(VOLTAGES, spikes=SPIKES), "differ in shape"),
        (lambda: plot.training_curves({"loss": []}), "no epochs to draw"),
        (lambda: plot.spike_counts({}), "no layers to draw"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_draws_into_given_axes():
    figure = Figure(figsize=(8, 12), layout="constrained")
    axes = figure.subplots(5)
    assert plot.raster(SPIKES, ax=axes[0]) is axes[0]
    assert plot.traces(VOLTAGES, ax=axes[1]) is axes[1]
    assert plot.training_curves(HISTORY, ax=axes[2]) is axes[2]
    assert plot.spike_counts({"a": 1.0}, ax=axes[3]) is axes[3]
    assert plot.placement(CHAIN, ax=axes[4]) is axes[4]
    drawn(axes[0])


def test_leaves_pyplot_alone_and_shows_in_notebooks():
    pyplot = sys.modules.get("matplotlib.pyplot")
    before = pyplot.get_fignums() if pyplot else []
    ax = plot.raster(SPIKES)
    assert ax.figure._repr_png_().startswith(b"\x89PNG")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert (pyplot.get_fignums() if pyplot else []) == before


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "neurojax\[plot\]"'):
        plot.raster(SPIKES)
