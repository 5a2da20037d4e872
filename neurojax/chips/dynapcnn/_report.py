"""The report of a mapping: what became of each layer, in numbers and words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax._table import shape_text
from neurojax.chips._mapped import MappedNetwork, Report
from neurojax.chips.dynapcnn._origin import Origin
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.memory import memory_of
from neurojax.chips.dynapcnn.routes import Route, dvs_of, routes
from neurojax.chips.dynapcnn.spec import WEIGHT_BITS
from neurojax.fixed_point import integer_range

WHERE = {
    "layer": ("layer", ""),
    "core": ("core", ""),
    "made of": ("made_of", ""),
    "input": ("input", ""),
    "neurons": ("neurons", ""),
    "kernel": ("kernel", ""),
    "sends to": ("sends_to", ""),
    "kernel words": ("kernel_words", ","),
    "neuron words": ("neuron_words", ","),
    "bias words": ("bias_words", ","),
}
NUMBERS = {
    "layer": ("layer", ""),
    "scale": ("scale", ".6g"),
    "weights": ("weights", ""),
    "bits": ("weight_bits", ""),
    "biases": ("biases", ""),
    "threshold": ("threshold", ""),
    "v_min": ("v_min", ""),
    "spikes a step": ("spikes", ""),
    "reset": ("reset", ""),
    "exact up to": ("exact_counts", ","),
}


def signed_bits(low: int, high: int) -> int:
    """Bits of two's complement that hold low..high."""
    return max(int(high).bit_length(), int(-low - 1).bit_length() if low < 0 else 0) + 1


def _span(values: np.ndarray | None) -> str:
    return "" if values is None else f"{values.min()}..{values.max()}"


def _row(origin: Origin, core: Core, in_shape: Shape, ways: Sequence[Route]) -> dict[str, Any]:
    held = core.integers()
    weight = held.weight
    low, high = integer_range(WEIGHT_BITS)
    neurons = core.neuron_shape(in_shape)
    memory = memory_of(weight.shape, neurons, bias=core.bias is not None)
    raw = np.asarray(core.weight)
    return {
        "layer": origin.name,
        "core": origin.core,
        "made_of": " + ".join(origin.made_of),
        "input": shape_text(in_shape),
        "neurons": shape_text(neurons),
        "kernel": core.describe().split(", ", 1)[1],
        "sends_to": ", ".join(map(_way, ways)),
        "destinations": tuple((way.target, way.pool) for way in ways),
        "kernel_words": memory.kernel,
        "neuron_words": memory.neuron,
        "bias_words": memory.bias,
        "scale": origin.scale,
        "rescale": origin.rescale,
        "weights": _span(weight),
        "weight_min": int(weight.min()),
        "weight_max": int(weight.max()),
        "weight_bits": signed_bits(int(weight.min()), int(weight.max())),
        "zeros": float(np.mean(weight == 0)),
        "vanished": origin.vanished,
        "saturated": int(np.sum((np.rint(raw) < low) | (np.rint(raw) > high))),
        "biases": _span(held.bias),
        "threshold": held.threshold,
        "v_min": held.v_min,
        "spikes": "any" if core.max_spikes is None else str(core.max_spikes),
        "reset": core.reset,
        "exact_counts": core.exact_counts(),
    }


def _way(way: Route) -> str:
    pool = f" /{way.pool}" if way.pool > 1 else ""
    shift = f" +{way.feature_shift}" if way.feature_shift and way.target else ""
    return f"{'output' if way.target is None else way.target}{pool}{shift}"


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network on a DYNAP-CNN chip, from its parameters as they are now."""
    network = mapped.network
    ways = routes(network)
    rows, notes = [], _camera(network, ways)
    for origin in mapped.origins:
        core = network[origin.name]
        assert isinstance(core, Core)
        own = [way for way in ways if way.source == origin.name]
        row = _row(origin, core, network.in_shape(origin.name), own)
        rows.append(row)
        notes += origin.notes
        if row["vanished"]:
            notes.append(
                f"'{origin.name}': {row['vanished']} of {core.weight.size} weights are too small "
                "for the scale and became 0"
            )
        if row["saturated"]:
            notes.append(
                f"'{origin.name}': {row['saturated']} of {core.weight.size} weights are out of "
                f"range and held at {row['weights']}"
            )
        neurons = core.neuron_shape(network.in_shape(origin.name))
        for pool in sorted({way.pool for way in own if any(n % way.pool for n in neurons[1:])}):
            notes.append(
                f"'{origin.name}': pooling {pool} leaves rows or columns of "
                f"{shape_text(neurons[1:])} over; the model drops them, what the device does with "
                "their spikes is not documented"
            )
    if any(way.pool > 1 or way.feature_shift for way in ways):
        notes.append("sends to: /2 is pooling over 2x2 on the way, +8 a shift by 8 features")
    if rows:
        notes.append("a real value is an integer divided by its layer's scale")
        notes.append(
            "exact up to: spikes a time step from each input for which float32 holds every sum"
        )
    title = f"{len(rows)} of {len(mapped.chip.cores)} cores of {mapped.chip.name}"
    return Report(title, tuple(rows), (WHERE, NUMBERS) if rows else (), tuple(notes))


def _camera(network: Network, ways: Sequence[Route]) -> list[str]:
    """What happens to the input before the cores."""
    name = dvs_of(network)
    if name is None:
        return []
    shapes = " to ".join(shape_text(shape(name)) for shape in (network.in_shape, network.out_shape))
    targets = ", ".join(_way(way) for way in ways if way.source == name)
    pixels = "" if network[name].describe().endswith("pixels on") else ", pixels off"
    return [f"'{name}' is the camera's block: {network[name].describe()}{pixels}; {shapes}, "
            f"sent to {targets}"]  # fmt: skip
