"""The report of a mapping: what became of synapses and neurons, in numbers and words."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Constant, constants_to_floats
from neurojax._table import shape_text
from neurojax.chips._mapped import MappedNetwork, Report
from neurojax.chips.bss2._integrator import AbstractFiring
from neurojax.chips.bss2.capacity import Fit
from neurojax.chips.bss2.instance import parts
from neurojax.chips.bss2.spec import CalibrationTarget


class Origin(NamedTuple):
    """How a population and its synapses came about."""

    name: str  # of the neurons: a layer, or NAME.neuron of a Recurrent one
    synapses: tuple[str, ...]  # layers of synapses that lead to it
    weight_scale: float  # weight steps per unit
    trace_scale: float  # units of the membrane per step of the CADC
    limited_by: str  # what decided on the weight scale
    dt: float  # seconds
    notes: tuple[str, ...] = ()
    fit: Fit | None = None  # of the whole network, with the first population


SYNAPSES = {
    "synapses": ("layer", ""),
    "to": ("population", ""),
    "shape": ("shape", ""),
    "scale": ("scale", ".6g"),
    "limited by": ("limited_by", ""),
    "weights": ("weights", ""),
    "error": ("rms_error", ".2%"),
    "vanished": ("vanished", ","),
    "clipped": ("clipped", ","),
}
NEURONS = {
    "neurons": ("neuron", ""),
    "size": ("size", ""),
    "model": ("model", ""),
    "fan-in": ("fan_in", ","),
    "circuits": ("circuits", ","),
    "threshold": ("threshold", ""),
    "reset": ("reset", ""),
    "tau_mem": ("tau_mem", ""),
    "tau_syn": ("tau_syn", ""),
}


def origin_of(mapped: MappedNetwork, name: str | None = None) -> Origin:
    """How some neurons came about; without a name, any."""
    return next(o for o in mapped.origins if name is None or o.name == name)


def target(neuron: Any, origin: Origin) -> CalibrationTarget:
    """What the calibration on site shall reach for these neurons."""
    plain = constants_to_floats(neuron)
    default = CalibrationTarget()
    fields: dict[str, Any] = {"tau_mem": plain.tau_mem, "tau_syn": plain.tau_syn}
    rest = getattr(plain, "leak", None)
    rest = plain.reset if rest is None else rest
    for name in ("reset", "threshold"):
        if hasattr(plain, name):
            fields[name] = default.leak + (getattr(plain, name) - rest) / origin.trace_scale
    shortest = 5 / 125e6
    pause = getattr(plain, "refractory_time", 0.0)
    # A neuron of the chip always pauses; in the model, what is shorter than a step is none.
    fields["refractory_time"] = np.maximum(np.asarray(pause, float), shortest)
    return CalibrationTarget(**fields)


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network on the chip, from its parameters as they are now."""
    layers = dict(parts(mapped.network))
    fit = mapped.origins[0].fit
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for origin in mapped.origins:
        columns = [column for column, _ in NEURONS.values()]
        for i, name in enumerate(origin.synapses):
            row = _synapse_row(name, layers[name], origin) | dict.fromkeys(columns)
            if i == 0:
                row |= _neuron_row(mapped, layers[origin.name], origin, fit)
            rows.append(row)
            notes += _notes(row)
        notes += origin.notes
    used = sum(row["circuits"] or 0 for row in rows)
    if fit is not None and fit.routing is not None:
        notes.append(
            f"{used} of {mapped.chip.circuits} circuits, {len(fit.routing.groups)} groups "
            "of sources on the buses"
        )
    title = f"{sum(row['neuron_count'] or 0 for row in rows):,} neurons on {mapped.chip.name}"
    return Report(title, tuple(rows), (SYNAPSES, NEURONS), tuple(notes))


def _synapse_row(name: str, layer: Any, origin: Origin) -> dict[str, Any]:
    raw = np.asarray(layer.synapse.weight, np.float64)
    steps = np.asarray(layer.steps, np.float64)
    scaled = float(layer.scale) * raw
    size = math.sqrt(float(np.mean(scaled**2)))
    error = math.sqrt(float(np.mean((steps - scaled) ** 2)))
    largest = math.inf if layer.bits is None else (1 << layer.bits) - 1
    real = ".3g" if layer.bits is None else ".0f"
    return {
        "layer": name,
        "population": origin.name,
        "shape": shape_text(raw.shape),
        "scale": float(layer.scale),
        "limited_by": origin.limited_by,
        "weights": f"{steps.min():{real}}..{steps.max():{real}}",
        "rms_error": error / size if size else 0.0,
        "vanished": int(np.sum((steps == 0) & (raw != 0))),
        # A weight that rounds to the largest one is not clipped.
        "clipped": int(np.sum(np.abs(scaled) >= largest + 0.5)),
        "weights_size": raw.size,
        "neuron_count": None,
    }


def _neuron_row(
    mapped: MappedNetwork, neuron: Any, origin: Origin, fit: Fit | None
) -> dict[str, Any]:
    population = origin.name if origin.name in mapped.network else origin.name.rpartition(".")[0]
    shape = mapped.network.out_shape(population)
    aim = target(neuron, origin)
    fires = isinstance(neuron, AbstractFiring)
    known = fit is not None and fit.placement is not None
    return {
        "neuron": origin.name,
        "neuron_count": math.prod(shape),
        "size": shape_text(shape),
        "model": type(neuron).__name__,
        "fan_in": fit.demand.fan_in(population) if known and fit else None,
        "circuits": math.prod(fit.placement.circuits[population].shape[:2])
        if known and fit and fit.placement
        else None,
        "threshold": _span(aim.threshold, " LSB") if fires else "",
        "reset": _span(aim.reset, " LSB") if fires else "",
        "tau_mem": _span(np.asarray(neuron.tau_mem, float) * 1e6, " us"),
        "tau_syn": _span(np.asarray(neuron.tau_syn, float) * 1e6, " us"),
    }


def _span(values: Any, unit: str) -> str:
    if isinstance(values, Constant):
        values = float(values)
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.4g}{unit}" if low == high else f"{low:.4g}..{high:.4g}{unit}"


def _notes(row: dict[str, Any]) -> list[str]:
    name, size = row["layer"], row["weights_size"]
    notes = []
    if row["vanished"]:
        notes.append(
            f"'{name}': {row['vanished']:,} of {size:,} weights are too small for the scale and "
            "are 0"
        )
    if row["clipped"]:
        notes.append(
            f"CLIPPED: {row['clipped']:,} of {size:,} weights of '{name}' are beyond six bits; "
            "use a smaller weight_scale"
        )
    return notes
