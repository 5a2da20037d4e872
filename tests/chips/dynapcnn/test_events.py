"""Streams of events against recordings of sinabs, and against themselves there and back."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.chips import dynapcnn
from neurojax.chips.dynapcnn import (
    EVENT,
    events_to_raster,
    events_to_xytp,
    from_records,
    load_events,
    make_events,
    raster_to_events,
    save_events,
    to_records,
    xytp_to_events,
)
from neurojax.datasets import read_nmnist

GOLDEN = Path(__file__).parents[2] / "golden" / "dynapcnn"
AS_SINABS = {"start": "first", "bins": "float"}


def rows(stream):
    """A stream as the recordings list it."""
    return [[e[name] for name in ("layer", "feature", "x", "y", "t")] for e in stream]


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_recorded_events(version):
    recorded = json.loads((GOLDEN / f"events_{version}.json").read_text())
    for case in recorded["raster"]:
        raster = np.array(case["raster"])
        options = [case[name] for name in ("layer", "dt", "truncate", "delay_factor")]
        stream = raster_to_events(raster, *options, round_times="down")
        assert rows(stream) == case["events_layer_feature_x_y_t"]
        shape = raster.shape[1:]
        back = events_to_raster(stream, case["dt"], shape, **AS_SINABS)
        assert back.tolist() == case["back_with_shape"]
        assert (
            list(events_to_raster(stream, case["dt"], **AS_SINABS).shape)
            == (case["back_shape_inferred"])
        )
        # By default nothing is lost, at 1/3 ms neither.
        start = round(case["delay_factor"] * 1e6)
        back = events_to_raster(
            raster_to_events(raster, *options), case["dt"], shape, steps=len(raster), start=start
        )
        assert back.tolist() == (raster > 0 if case["truncate"] else raster).tolist()
    assert any(len(case["back_with_shape"]) != len(case["raster"]) for case in recorded["raster"])

    fields = [("x", "u2"), ("y", "u2"), ("t", "i8"), ("p", "i1")]
    recording = np.array([tuple(row) for row in recorded["xytp_in"]], fields)
    for case in recorded["xytp"]:
        layer = case["events_layer_feature_x_y_t"][0][0]
        stream = xytp_to_events(recording, layer, case["reset"], case["delay"])
        assert rows(stream) == case["events_layer_feature_x_y_t"]


@settings(deadline=None)
@given(st.data())
def test_there_and_back(data):
    shape = data.draw(st.tuples(*(st.integers(1, 3),) * 4))
    size = int(np.prod(shape))
    counts = data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size))
    raster = np.array(counts).reshape(shape)
    dt = data.draw(st.sampled_from([1e-3, 1 / 3000, 7e-6, 1e-6, 2.5e-6]))
    stream = raster_to_events(raster, dt=dt)
    assert len(stream) == raster.sum()
    assert (np.diff(stream["t"]) >= 0).all()
    assert (events_to_raster(stream, dt, shape[1:], steps=len(raster)) == raster).all()
    assert (rows(from_records(to_records(stream, SimpleNamespace)))) == rows(stream)


def test_times_and_empty_rasters():
    empty = np.zeros((4, 2, 3, 3))
    assert raster_to_events(empty).dtype == EVENT
    assert len(raster_to_events(empty)) == len(raster_to_events(empty, truncate=True)) == 0
    stream = raster_to_events(empty)
    assert events_to_raster(stream, shape=(2, 3, 3), steps=4).shape == (4, 2, 3, 3)
    late = make_events(x=[0, 0], y=0, t=[5000, 6999])
    assert events_to_raster(late).ravel().tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert events_to_raster(late, start=6000).ravel().tolist() == [1]
    assert events_to_raster(late, start="first").ravel().tolist() == [1, 1]


def test_one_of_several_layers():
    stream = make_events(x=[0, 1, 2], y=1, t=[1, 2, 3], feature=[0, 1, 0], layer=[4, 2, 4])
    assert events_to_xytp(stream, 4).tolist() == [(0, 1, 1, 0), (2, 1, 3, 0)]
    assert events_to_raster(stream, layer=2).sum() == 1
    with pytest.raises(ValueError, match="layers 2, 4; choose one"):
        events_to_raster(stream)


def test_a_file_of_events(tmp_path):
    stream = make_events(x=[0, 1], y=[1, 0], t=[1, 2], feature=[0, 7], layer=4)
    save_events(tmp_path / "stream.npy", stream)
    assert (load_events(tmp_path / "stream.npy") == stream).all()
    np.save(tmp_path / "other.npy", np.zeros(3))
    with pytest.raises(ValueError, match=r"other\.npy: not a list of events"):
        load_events(tmp_path / "other.npy")


def test_a_recording_of_a_camera(golden):
    path = golden / "data/nmnist_sample.bin"
    stream = xytp_to_events(read_nmnist(path))
    # One event at a time, from the file's description: x, y, polarity and time in 40 bits.
    data = path.read_bytes()
    words = [int.from_bytes(data[at : at + 5], "big") for at in range(0, len(data), 5)]
    expected = [[0, (w >> 23) & 1, w >> 32, (w >> 24) & 255, w & (2**23 - 1)] for w in words]
    assert rows(stream) == expected
    raster = events_to_raster(stream, 10e-3, (2, 34, 34), steps=32)
    assert raster.shape == (32, 2, 34, 34)
    assert raster.sum() == len(stream) == len(expected)
    assert (raster == events_to_raster(stream, 10e-3, (2, 34, 34))).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: raster_to_events(np.zeros((2, 3, 3))), r"\(2, 3, 3\); it must be \[time"),
        (lambda: raster_to_events(np.full((1, 1, 1, 1), 0.5)), "whole numbers"),
        (lambda: raster_to_events(np.zeros((1, 1, 1, 1)), delay_factor=-1), "delay_factor=-1"),
        (lambda: raster_to_events(np.zeros((1, 1, 1, 1)), round_times="off"), "'up' or 'down'"),
        (lambda: make_events(x=-1, y=0, t=0), "x is -1; it must be whole, 0 to 2147483647"),
        (lambda: make_events(x=0, y=0, t=0.5), "t is 0.5"),
        (lambda: make_events(x=2**40, y=0, t=0), "x is 1099511627776"),
        (lambda: events_to_raster(make_events([], [], [])), "`shape` must be given"),
        (lambda: events_to_raster(make_events(4, 0, 0), shape=(1, 1, 4)), "x runs from 4 to 4"),
        (lambda: events_to_raster(make_events(4, 0, 10**15)), "first event is at 1000000000000000"),
        (lambda: events_to_raster(make_events(4, 0, 0), bins="off"), "'whole' or 'float'"),
        (lambda: events_to_raster(make_events(4, 0, 0), start="last"), "'first' or micro"),
        (lambda: xytp_to_events(np.zeros(1, [("x", int), ("y", int)])), "no column 'p'"),
        (
            lambda: xytp_to_events(np.array([(0, 0, -5, 0)], [(n, int) for n in "xytp"])),
            "time -5 us",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_names_are_public():
    assert dynapcnn.READOUT == 12 and dynapcnn.CAMERA == 13
