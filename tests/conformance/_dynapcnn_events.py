"""Events from rasters and cameras, rasters from events, and addresses of neurons."""

import functools as ft
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.chips.dynapcnn import (
    events_to_raster,
    neuron_address,
    neuron_place,
    raster_to_events,
    xytp_to_events,
)
from tests.conformance._dynapcnn_case import result_of
from tests.conformance._result import Result, attempt

FIRST = "events_to_raster of sinabs starts with the first event, so that empty steps are lost"
FLOATS = "sinabs divides times in floating point, so that some events fall into the step before"
OVERLAP = "the row and column of sinabs' addresses overlap where a map is wider than high"
EMPTY = "sinabs fails on a raster without spikes"


def run_events(path: Path) -> Iterator[Result]:
    """`events_<version>.json`."""
    recorded = json.loads(path.read_text())
    for i, case in enumerate(recorded["raster"]):
        one = ft.partial(_raster, path.stem, f"raster {i}", case)
        yield from attempt(path.stem, f"raster {i}", one)
    columns = recorded["xytp_cols"].split()
    stream = np.array([tuple(row) for row in recorded["xytp_in"]], [(c, "i8") for c in columns])
    for i, case in enumerate(recorded["xytp"]):
        one = ft.partial(_camera, path.stem, f"camera {i}", case, stream)
        yield from attempt(path.stem, f"camera {i}", one)


def _raster(group: str, name: str, case: dict[str, Any]) -> Iterator[Result]:
    raster, dt = np.array(case["raster"]), case["dt"]
    options = [case[option] for option in ("layer", "dt", "truncate", "delay_factor")]
    stream = raster_to_events(raster, *options, round_times="down")
    if "events_layer_feature_x_y_t" not in case:
        # sinabs stacks the events, of which there are none.
        difference = "" if not len(stream) else f"sinabs fails: {case.get('error')}"
        yield Result(group, name, not difference, 0.0, difference, EMPTY)
        return
    pairs = {"events": (_rows(stream), case["events_layer_feature_x_y_t"])}
    yield result_of(group, name, pairs)
    as_sinabs = ft.partial(events_to_raster, stream, dt, start="first", bins="float")
    pairs = {
        "raster": (as_sinabs(raster.shape[1:]), case["back_with_shape"]),
        "shape": (as_sinabs().shape, case["back_shape_inferred"]),
    }
    wanted = (raster > 0) if case["truncate"] else raster
    back = np.array(case["back_with_shape"])
    short = len(back) < len(wanted)
    same = not short and np.array_equal(back, wanted)
    told = "" if same else FIRST if short and np.array_equal(back, wanted[: len(back)]) else FLOATS
    yield result_of(group, f"{name}: back", pairs, told)
    # Ours, without the options that reproduce sinabs, comes back whole.
    again = events_to_raster(
        raster_to_events(raster, *options),
        dt,
        raster.shape[1:],
        steps=len(raster),
        start=round(case["delay_factor"] * 1e6),
    )
    yield result_of(group, f"{name}: nothing lost", {"raster": (again, wanted)})


def _camera(group: str, name: str, case: dict[str, Any], recording: np.ndarray) -> Iterator[Result]:
    rows = case["events_layer_feature_x_y_t"]
    stream = xytp_to_events(recording, rows[0][0] if rows else 0, case["reset"], case["delay"])
    yield result_of(group, name, {"events": (_rows(stream), rows)})


def _rows(stream: np.ndarray) -> list[list[int]]:
    """A stream as the recordings list it."""
    return [[int(e[name]) for name in ("layer", "feature", "x", "y", "t")] for e in stream]


def run_addresses(path: Path) -> Iterator[Result]:
    """`addresses_<version>.json`."""
    for i, case in enumerate(json.loads(path.read_text())["cases"]):
        yield from attempt(path.stem, str(i), ft.partial(_address, path.stem, str(i), case))


def _address(group: str, name: str, case: dict[str, Any]) -> Iterator[Result]:
    shape = tuple(case["shape_chw"])
    place = [case["c"], case["x"], case["y"]]
    if "address" not in case:
        yield _refused_address(group, name, case)
        return
    address = neuron_address(case["x"], case["y"], case["c"], shape, packing="overlapping")
    pairs = {"address": (address, case["address"])}
    if "back_cxy" in case:
        back = list(neuron_place(address, shape, packing="overlapping"))
        pairs["neuron"] = (back, case["back_cxy"])
    ours = neuron_address(case["x"], case["y"], case["c"], shape)
    pairs["neuron of our address"] = (list(neuron_place(ours, shape)), place)
    yield result_of(group, name, pairs, "" if ours == case["address"] else OVERLAP)


def _refused_address(group: str, name: str, case: dict[str, Any]) -> Result:
    try:
        ours = neuron_address(case["x"], case["y"], case["c"], tuple(case["shape_chw"]))
    except ValueError:
        return Result(group, name, True, 0.0)
    return Result(group, name, False, 0.0, f"address {ours}, sinabs refuses: {case.get('error')}")
