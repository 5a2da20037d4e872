"""A program as plain data: what `network.json` beside the C code holds, to replay it.

{"format": "neurojax.c", "version": 1, "number": {...}, "compat": null,
 "program": {"model_name": ..., "timesteps": ..., ...},                    options of `configure`
 "network": {"inputs": {...}, "outputs": [...], "edges": [...], "layers": [...]},
 "origins": [...]}                                                how the layers came about
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips import MappedNetwork
from neurojax.chips.mcu import Number, Origin, Spec, explain, number_of
from neurojax.hardware import _json
from neurojax.hardware._rules import check
from neurojax.hardware.c._format import FORMAT, VERSION, file_rules, number_rules
from neurojax.hardware.c._layers import read_layer, write_layer

RECORD = "network.json"
"""Name of the file."""


class Record(NamedTuple):
    """What a file says."""

    mapped: MappedNetwork
    options: dict[str, Any]  # of `configure`


def to_text(mapped: MappedNetwork, options: Mapping[str, Any]) -> str:
    """The text of `network.json`.

    Args:
        mapped: What `neurojax.chips.mcu.map` returned, trained or not.
        options: Those of `configure`.

    Raises:
        ValueError: Layers that have no C, or that differ in their numbers.
    """
    network, chip = mapped.network, mapped.chip
    layers = [write_layer(name, network[name]) for name in network.names]
    problems = [
        f"layer '{name}' computes with {layer.format.number}, the network with {chip.number}"
        for name, layer in ((name, network[name]) for name in network.names)
        if hasattr(layer, "format") and layer.format.number != chip.number
    ]
    if problems:
        raise ValueError("\n".join(problems))
    data = {
        "format": FORMAT,
        "version": VERSION,
        "number": {"name": chip.number.name, "long_bits": chip.number.long_bits},
        "compat": chip.compat,
        "program": {**options, "metrics": list(options["metrics"])},
        "origins": [
            {"name": o.name, "made_of": list(o.made_of), "notes": list(o.notes)}
            for o in mapped.origins
        ],
        "network": {
            "inputs": {name: list(shape) for name, shape in network.inputs.items()},
            "outputs": list(network.outputs),
            "edges": [[edge.source, edge.target] for edge in network.edges],
            "layers": layers,
        },
    }
    return json.dumps(data, separators=(",", ":"), allow_nan=False) + "\n"


def from_data(data: Any) -> Record:
    """The reverse of `to_text`, of what was read, with every field checked.

    Raises:
        ValueError: With everything that is wrong, each with its place and layer.
    """
    _json.check_header(data, FORMAT, VERSION)
    problems: list[str] = []
    number = _number(data.get("number"), problems)
    check(data, file_rules(number), "", problems, _labels(data))
    _stop(problems)
    graph = data["network"]
    layers: dict[str, Layer] = {}
    for entry in graph["layers"]:
        name = entry["name"]
        if name in layers:
            problems.append(f"network.layers holds several layers '{name}'")
        try:
            layers[name] = read_layer(entry, number)
        except (ValueError, TypeError) as error:
            problems.append(f"layer '{name}': {error}")
    _stop(problems)
    try:
        network = Network(
            layers,
            [(source, target) for source, target in graph["edges"]],
            inputs={name: tuple(shape) for name, shape in graph["inputs"].items()},
            outputs=graph["outputs"],
        )
    except ValueError as error:
        raise ValueError(f"the layers don't fit one another: {error}") from None
    origins = tuple(
        Origin(entry["name"], tuple(entry["made_of"]), tuple(entry["notes"]))
        for entry in data["origins"]
    )
    unknown = {origin.name for origin in origins} - set(network.names)
    if unknown:
        raise ValueError(f"origins tells of layers {sorted(unknown)}, which the network lacks")
    mapped = MappedNetwork(network, Spec(number, data["compat"]), origins, explain)
    return Record(mapped, dict(data["program"]))


def _number(data: Any, problems: list[str]) -> Number:
    """The numbers of the network; some number if a file does not say it rightly."""
    if isinstance(data, dict) and isinstance(data.get("name"), str):
        before = len(problems)
        check(data, number_rules(data["name"]), "number", problems)
        if len(problems) == before:
            return number_of(data["name"], data["long_bits"])
        _stop(problems)  # what else is wrong can't be said
    return number_of("int16")


def _labels(data: Any) -> dict[str, str]:
    """Places of layers, with their names as far as those can be read."""
    try:
        layers = list(enumerate(data["network"]["layers"]))
        names = {i: entry["name"] for i, entry in layers if isinstance(entry, dict)}
    except (TypeError, KeyError):
        return {}
    places = {f"network.layers[{i}]": name for i, name in names.items()}
    return {place: f"{place} (layer {name!r})" for place, name in places.items()}


def _stop(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join(["the file is not valid:", *problems]))
