"""The report of a mapping: how each layer came about, and what became of it in numbers.

`Origin` and `explain` are what a mapped network is made of besides its layers and its `Spec`;
`neurojax.hardware.c` makes one of a file with them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Shape
from neurojax._table import shape_text
from neurojax.chips._mapped import MappedNetwork, Report
from neurojax.chips.mcu._code_layer import CodeLayer
from neurojax.chips.mcu.affine import Affine
from neurojax.chips.mcu.neurons import Neuron

WHERE = {
    "layer": ("layer", ""),
    "what": ("what", ""),
    "made of": ("made_of", ""),
    "output": ("output", ""),
    "parameters": ("parameters", ","),
    "bytes": ("parameter_bytes", ","),
    "state bytes": ("state_bytes", ","),
    "output bytes": ("output_bytes", ","),
    "products a step": ("products", ","),
}
SCALES = {
    "layer": ("layer", ""),
    "weights q": ("weights_q", ""),
    "bias q": ("bias_q", ""),
    "output q": ("output_q", ""),
    "weights": ("weights", ""),
    "biases": ("biases", ""),
    "threshold": ("threshold", ""),
    "v_reset": ("v_reset", ""),
    "1/tau": ("rtau", ""),
    "rounding": ("rounding", ""),
}


COARSE = 0.1
"""The report names parameters of neurons that are off by more than this share of their value."""


class Origin(NamedTuple):
    """How a layer of the code came about."""

    name: str
    made_of: tuple[str, ...]
    notes: tuple[str, ...] = ()


def _row(origin: Origin, mapped: MappedNetwork) -> tuple[dict[str, Any], list[str]]:
    layer, name = mapped.network[origin.name], origin.name
    out = mapped.network.out_shape(name)
    row: dict[str, Any] = dict.fromkeys(
        ("weights_q", "bias_q", "output_q", "weights", "biases", "threshold", "v_reset", "rtau")
    )
    row |= {
        "layer": name,
        "what": layer.describe().removesuffix(f", {mapped.chip.number.name}"),
        "made_of": " + ".join(origin.made_of),
        "output": shape_text(out),
        "parameters": None,
        "parameter_bytes": 0,
        "state_bytes": 0,
        "output_bytes": 0,
        "products": None,
        "rounding": "",
        "saturated": 0,
        "vanished": 0,
    }
    if not isinstance(layer, CodeLayer):
        return row, []
    form, width = layer.format, layer.number.bytes
    row["output_bytes"] = math.prod(out) * width
    if not form.number.real:
        row |= {"output_q": form.output_q, "rounding": form.output_round}
        if layer.parametric:
            row["weights_q"] = form.weights_q
    notes = []
    if isinstance(layer, Affine):
        notes = _affine(layer, row, out, name)
    elif isinstance(layer, Neuron):
        held = layer.integers()
        row |= held._asdict()
        row["parameters"] = sum(value is not None for value in held)
        row["state_bytes"] = math.prod(out) * width
        notes = _coarse(layer, name)
    row["parameter_bytes"] = (row["parameters"] or 0) * width
    return row, notes


def _coarse(layer: Neuron, name: str) -> list[str]:
    """Parameters of a neuron that its scale can't hold well."""
    if layer.number.real:
        return []
    held, notes = layer.integers()._asdict(), []
    for key, value in layer.parameters().items():
        if value is None:
            continue
        real = float(np.ravel(value)[0])
        ours = math.ldexp(held[key], -layer.format.weights_q)
        if abs(ours - real) > COARSE * abs(real):
            what = "1/tau" if key == "rtau" else key
            lost = ", so that it does not leak" if key == "rtau" and ours == 0 else ""
            notes.append(
                f"'{name}': {what} {real:.3g} is held as {ours:.3g}{lost}; more bits, rounding="
                "'nearest' or smaller membranes hold it better"
            )
    return notes


def _affine(layer: Affine, row: dict[str, Any], out: Shape, name: str) -> list[str]:
    held, form = layer.integers(), layer.format
    real = np.asarray(layer.weight, np.float64)
    row["parameters"] = held.weight.size + (0 if held.bias is None else held.bias.size)
    per_output = math.prod(held.weight.shape[1:]) if held.weight.ndim > 1 else 1
    row["products"] = math.prod(out) * per_output
    if form.number.real:
        return []
    row["bias_q"] = None if held.bias is None else form.bias_scale
    row["weights"] = f"{held.weight.min()}..{held.weight.max()}"
    row["biases"] = None if held.bias is None else f"{held.bias.min()}..{held.bias.max()}"
    row["saturated"] = saturated = _saturated(real, form.weights_q, form.number.limits)
    row["vanished"] = vanished = int(np.sum((held.weight == 0) & (real != 0)))
    notes = []
    if saturated:
        notes.append(
            f"'{name}': {saturated} of {real.size} weights are out of range and held at its end; "
            "map again for other scales"
        )
    if vanished:
        notes.append(f"'{name}': {vanished} of {real.size} weights are too small and became 0")
    return notes


def _saturated(real: np.ndarray, q: int, limits: tuple[int, int]) -> int:
    steps = np.ldexp(real, q)
    return int(np.sum((steps < limits[0] - 0.5) | (steps >= limits[1] + 1)))


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network on a microcontroller, from its parameters as they are now."""
    rows, notes = [], []
    for origin in mapped.origins:
        row, found = _row(origin, mapped)
        rows.append(row)
        notes += [*origin.notes, *found]
    number, compat = mapped.chip.number, mapped.chip.compat
    total = {key: sum(row[key] for row in rows) for key in ("parameter_bytes", "state_bytes")}
    if not number.real:
        notes.append("a real value is an integer divided by 2^q")
    if compat:
        notes.append("neurons start and leak as in Qualia's code, see its documentation")
    title = (
        f"{len(rows)} layers on {mapped.chip.name}, sums of {number.long_bits} bits: "
        f"{total['parameter_bytes']:,} bytes of parameters, {total['state_bytes']:,} of membranes"
    )
    tables = (WHERE,) if number.real else (WHERE, SCALES)
    return Report(title, tuple(rows), tables, tuple(notes))
