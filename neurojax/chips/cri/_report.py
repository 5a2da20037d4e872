"""The report of a mapping: what became of each population, in numbers and words."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Constant
from neurojax._table import shape_text
from neurojax.chips._mapped import MappedNetwork, Report
from neurojax.chips.cri._links import OneToOne
from neurojax.chips.cri._wide import Wide, to_integers
from neurojax.chips.cri.neuron import Neuron
from neurojax.chips.cri.synapse import Synapse


class PartOrigin(NamedTuple):
    """What rounding did to the synapses of one layer. Errors are in units of the network."""

    name: str
    rms_error: float  # relative to the root mean square of the weights
    largest_error: float
    bias_error: float
    vanished: int  # weights that were not 0 and are
    clipped: int


class Origin(NamedTuple):
    """How a population and its synapses came about."""

    name: str
    scale: float  # weight steps per unit
    limited_by: str
    parts: tuple[PartOrigin, ...]
    threshold_error: float  # relative
    decay_error: float  # relative error of what a step loses
    worst: float  # largest sum of weights in one step
    notes: tuple[str, ...] = ()
    network_notes: tuple[str, ...] = ()


SYNAPSES = {
    "synapses": ("layer", ""),
    "to": ("population", ""),
    "scale": ("scale", ".6g"),
    "limited by": ("limited_by", ""),
    "weights": ("weights", ""),
    "error": ("rms_error", ".2%"),
    "largest error": ("largest_error", ".2g"),
    "bias error": ("bias_error", ".2g"),
    "vanished": ("vanished", ","),
    "clipped": ("clipped", ","),
}
NEURONS = {
    "neurons": ("neuron", ""),
    "shape": ("shape", ""),
    "model": ("model", ""),
    "theta": ("theta", ""),
    "error": ("threshold_error", ".2%"),
    "leak": ("leak", ""),
    "leak error": ("decay_error", ".2%"),
    "reset": ("reset", ""),
}


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network on CRI, from its parameters as they are now."""
    network = mapped.network
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for origin in mapped.origins:
        neuron = network[origin.name]
        assert isinstance(neuron, Neuron)
        for i, part in enumerate(origin.parts):
            row = _synapse_row(origin, part, network[part.name])
            row |= dict.fromkeys(column for column, _ in NEURONS.values())
            if i == 0:
                row |= _neuron_row(origin, neuron, network.out_shape(origin.name))
            rows.append(row)
            notes += _part_notes(part, row)
        notes += origin.notes
    notes += [note for origin in mapped.origins for note in origin.network_notes]
    neurons = sum(
        int(np.prod(network.out_shape(name)))
        for name in network.names
        if isinstance(network[name], Neuron)
    )
    cores = -(-neurons // mapped.chip.neurons_per_core)
    if cores > 1:
        notes.append(f"its neurons fill {cores} cores of {mapped.chip.neurons_per_core:,}")
    title = f"{neurons:,} neurons on {mapped.chip.name}"
    return Report(title, tuple(rows), (SYNAPSES, NEURONS), tuple(notes))


def _synapse_row(origin: Origin, part: PartOrigin, layer: Any) -> dict[str, Any]:
    assert isinstance(layer, Synapse | OneToOne)
    weight = np.asarray(layer.weight)
    return {
        "layer": part.name,
        "population": origin.name,
        "scale": origin.scale,
        "limited_by": origin.limited_by,
        "weights": f"{weight.min():.0f}..{weight.max():.0f}",
        "rms_error": part.rms_error,
        "largest_error": part.largest_error,
        "bias_error": part.bias_error,
        "vanished": part.vanished,
        "clipped": part.clipped,
        "zeros": float(np.mean(weight == 0)),
        "size": weight.size,
        "worst_sum": origin.worst,
    }


def _neuron_row(origin: Origin, neuron: Neuron, shape: tuple[int, ...]) -> dict[str, Any]:
    return {
        "neuron": origin.name,
        "shape": shape_text(shape),
        "model": neuron.model,
        "theta": _span(neuron.theta),
        "threshold_error": origin.threshold_error,
        "leak": _span(neuron.leak) if neuron.model == "LIF" else "",
        "decay_error": origin.decay_error,
        "reset": neuron.reset,
    }


def _span(values: Any) -> str:
    if isinstance(values, Wide):
        values = to_integers(values)
    if isinstance(values, Constant | int | float):
        return f"{values:.0f}"
    low, high = float(np.min(values)), float(np.max(values))
    return f"{low:.0f}" if low == high else f"{low:.0f}..{high:.0f}"


def _part_notes(part: PartOrigin, row: dict[str, Any]) -> list[str]:
    notes = []
    if row["zeros"] == 1:
        notes.append(f"ALL WEIGHTS OF '{part.name}' ARE 0: nothing passes this layer")
    elif part.vanished:
        notes.append(
            f"'{part.name}': {part.vanished:,} of {row['size']:,} weights are too small for the "
            "scale and became 0"
        )
    if part.clipped:
        notes.append(
            f"CLIPPED: {part.clipped:,} of {row['size']:,} weights of '{part.name}' are beyond 16 "
            f"bits; the largest error is {part.largest_error:.3g}"
        )
    return notes
