"""Parts of a file that stand for objects: places, calibration targets, traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2 import AELIF, CalibrationTarget, Fit, chip, fit
from neurojax.chips.bss2.spec import TARGET_RANGES
from neurojax.hardware.bss2.recordings import Trace


def write_groups(found: Fit) -> list[dict[str, Any]]:
    """The part of the routing that says which rows are whose."""
    assert found.routing is not None
    owners = [
        [number, i]
        for number, population in enumerate(found.demand.populations)
        for i in range(population.size)
    ]
    return [
        {
            "hemisphere": group.hemisphere,
            "bus": group.bus,
            "host": group.host,
            "sources": [owners[source] for source in group.sources],
            "address": group.address,
            "drivers": [list(driver) for driver in group.drivers],
            "excitatory_rows": list(group.excitatory_rows),
            "inhibitory_rows": list(group.inhibitory_rows),
        }
        for group in found.routing.groups
    ]


def fit_of(data: Mapping[str, Any], network: Network) -> Fit:
    """Where a file says that everything is."""
    neurons = [p for p in data["populations"] if p["kind"] != "input"]
    return fit(
        network,
        placement={p["name"]: p["placement"] for p in neurons},
        circuits={p["name"]: p["circuits_per_neuron"] for p in neurons},
        expand_horizontally={p["name"]: p["expand_horizontally"] for p in neurons},
    )


def read_trace(fields: Mapping[str, Any]) -> Trace:
    """The post-processing that a file says."""
    values: dict[str, Any] = {n: _read(v) for n, v in fields.items()}
    return Trace(**values)


def read_target(fields: Mapping[str, Any]) -> CalibrationTarget:
    """The calibration target that a file says."""
    names = [field.name for field in dataclasses.fields(CalibrationTarget)]
    values: dict[str, Any] = {n: _read(fields.get(n, fields.get(f"{n}_s"))) for n in names}
    return CalibrationTarget(**values)


def _read(value: Any) -> Any:
    return np.array(value) if isinstance(value, list) else value


def write_target(target: CalibrationTarget) -> dict[str, Any]:
    times = ("tau_mem", "tau_syn", "refractory_time", "holdoff_time")
    return {
        f"{name}_s" if name in times else name: np.asarray(getattr(target, name)).tolist()
        for name in TARGET_RANGES
    }


def write_trace(trace: Trace) -> dict[str, Any]:
    fields = dataclasses.asdict(trace)
    return {
        n: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for n, v in fields.items()
    }


def too_long(steps: int, dt: float) -> list[Problem]:
    """A run that the timer does not reach."""
    if steps * dt <= chip.longest:
        return []
    return [
        Problem(
            "network",
            f"a run of {steps} steps of {dt:g} s takes {steps * dt:g} s",
            f"a run lasts at most {chip.longest:.3g} s",
            "use fewer steps",
        )
    ]


def needed_cells(kind: str, terms: Collection[str]) -> list[str]:
    """The cells that a neuron needs values for.

    Args:
        kind: Class of the neuron.
        terms: Its fields that are not None.
    """
    if kind != AELIF.__name__:
        return []
    needed = []
    if "exponential_slope" in terms:
        needed += ["exponential_slope", "exponential_threshold"]
    needed += ["subthreshold_adaptation_strength"] * ("a" in terms)
    needed += ["spike_triggered_adaptation_increment"] * ("b" in terms)
    return needed + ["tau_adap"] * ("a" in terms or "b" in terms)
