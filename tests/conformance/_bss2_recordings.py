"""Recordings of the chip on the time grid, and what becomes of sampled membranes."""

import functools as ft
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.hardware.bss2 import Trace, grid, samples_to_dense, spikes_to_dense
from tests.conformance._result import Result, attempt, compare

RTOL = 1e-5


def run(directory: Path) -> Iterator[Result]:
    """Files of spikes and samples, and cases that say how a trace is post-processed."""
    for path in sorted(directory.glob("*.json")):
        description, arrays = json.loads(path.read_text()), path.with_suffix(".npz")
        if "cadc_events" in description:
            yield from attempt(path.stem, "all", ft.partial(_dense, path.stem, np.load(arrays)))
        for name, case in description.get("cases", {}).items():
            if "cadc_time_shift" in case:
                one = ft.partial(_trace, path.stem, name, case, np.load(arrays))
                yield from attempt(path.stem, name, one)


def _dense(group: str, recorded: Any) -> Iterator[Result]:
    dt = float(recorded["dt"].astype(str))  # recorded as float32; 1e-6 is meant
    _, batch, neurons = recorded["spikes"].shape
    sizes = {"batch": batch, "neurons": neurons, "dt": dt}
    steps = grid(float(recorded["runtime"].astype(str)), dt)
    for name, mode in (("linear", "linear"), ("nn", "nearest")):
        got = samples_to_dense(recorded["cadc_events"], steps=steps, interpolation=mode, **sizes)
        error, text = compare("samples", recorded[name], got, rtol=RTOL if name == "linear" else 0)
        yield Result(group, name, not text, error, text)
    got = spikes_to_dense(recorded["spike_events"], steps=steps, **sizes)
    error, text = compare("spikes", recorded["spikes"], got)
    yield Result(group, "spikes", not text, error, text)


def _trace(group: str, name: str, case: dict[str, Any], arrays: Any) -> Iterator[Result]:
    trace = Trace(
        scale=case["trace_scale"],
        offset=case["trace_offset"],
        time_shift=case["cadc_time_shift"],
        to_first=case["shift_cadc_to_first"],
    )
    got = trace.apply(arrays[f"{name}/raw"])
    error, text = compare("trace", arrays[f"{name}/out"], got, rtol=RTOL)
    yield Result(group, name, not text, error, text)
