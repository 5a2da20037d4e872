"""Checking what a file holds: field by field, and the fields against one another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips.bss2 import check_targets
from neurojax.hardware._rules import check
from neurojax.hardware.bss2._format import file_rules
from neurojax.hardware.bss2._layers import read_network
from neurojax.hardware.bss2._sections import (
    fit_of,
    needed_cells,
    read_target,
    too_long,
    write_groups,
)


def validate(data: Any) -> None:
    """Check a configuration, as the file holds it.

    Raises:
        ValueError: With everything that is wrong, each with its place.
    """
    problems: list[str] = []
    check(data, file_rules(), "", problems)
    _stop(problems)
    problems += _wrong_names(data)
    problems += _wrong_populations(data)
    _stop(problems)
    try:
        network = read_network(data)
    except (ValueError, TypeError) as error:
        raise ValueError(f"the layers don't fit one another: {error}") from None
    problems += _wrong_network(data, network)
    _stop(problems)


def _stop(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join(["the configuration is not valid:", *problems]))


def _wrong_names(data: Mapping[str, Any]) -> Iterator[str]:
    """Do populations, projections and layers have the same names?"""
    for part in ("populations", "projections"):
        names = [entry["name"] for entry in data[part]]
        yield from (
            f"{part} has two '{n}'" for n in sorted({n for n in names if names.count(n) > 1})
        )
    layers = data["network"]["layers"]
    of_kind = lambda *kinds: {e["name"] for e in layers if e["kind"] in kinds}  # noqa: E731
    neurons = {p["name"] for p in data["populations"] if p["kind"] != "input"}
    wanted = [
        ("populations", neurons, of_kind("population", "recurrent")),
        (
            "projections",
            {p["name"] for p in data["projections"]},
            of_kind("projection") | {f"{name}.synapse" for name in of_kind("recurrent")},
        ),
    ]
    for part, found, expected in wanted:
        yield from (f"{part} has '{n}', but no layer is" for n in sorted(found - expected))
        yield from (f"{part} lacks '{n}', which is a layer" for n in sorted(expected - found))
    inputs = data["network"]["inputs"]
    for entry in data["populations"]:
        name = entry["name"]
        if entry["kind"] != "input":
            continue
        if name not in inputs:
            yield f"populations has '{name}', but no input is"
        elif math.prod(inputs[name]) != entry["size"]:
            yield f"'{name}' has the size {entry['size']}, but the shape {inputs[name]}"


def _wrong_populations(data: Mapping[str, Any]) -> Iterator[str]:
    """What can be seen of each population on its own."""
    madc = []
    targets = {}
    for entry in data["populations"]:
        if entry["kind"] == "input":
            continue
        name, size = entry["name"], entry["size"]
        if len(entry["placement"]) != size:
            yield f"'{name}' has {size} neurons, but {len(entry['placement'])} places"
        neuron = entry["record"]["madc_neuron"]
        if neuron is not None:
            madc.append(name)
            if neuron >= size:
                yield f"'{name}': madc_neuron is {neuron}; it has {size} neurons"
        for part in ("trace", "hardware"):
            for field, value in entry[part].items():
                if isinstance(value, list) and len(value) != size:
                    yield f"'{name}': {part}.{field} has {len(value)} values, not {size}"
        targets[name] = read_target(entry["hardware"])
        cells = entry["hardware"]["capmem"]
        model = entry["model"]
        needed = needed_cells(entry["kind"], {f for f, v in model.items() if v is not None})
        if sorted(cells) != sorted(needed):
            yield f"'{name}': capmem has {sorted(cells)}; it must be {sorted(needed)}"
    if len(madc) > 1:
        yield f"madc_neuron is given for {' and '.join(map(repr, madc))}; a run records one neuron"
    yield from map(str, check_targets(targets))
    yield from map(str, too_long(data["runtime_steps"], data["dt_s"]))


def _wrong_network(data: Mapping[str, Any], network: Network) -> Iterator[str]:
    """What follows from the network: sizes, whole-numbered weights, and where everything is."""
    found = fit_of(data, network)
    sizes = {p.name: p.size for p in found.demand.populations}
    for entry in data["populations"]:
        name = entry["name"]
        size = sizes.get(name)
        if size != entry["size"]:
            yield f"'{name}' has the size {entry['size']}; {size} follows from the network"
    ends = {p.name: (p.source, p.target) for p in found.demand.projections}
    for entry in data["projections"]:
        name = entry["name"]
        if ends.get(name) != (entry["pre"], entry["post"]):
            yield (
                f"projection '{name}' is from '{entry['pre']}' to '{entry['post']}'; "
                f"{ends.get(name)} follows from the network"
            )
            continue
        layer: Any = network[name.removesuffix(".synapse")]
        synapse = layer if name in network else layer.synapse
        expected, given = synapse.integers(), np.array(entry["weight_int"])
        if expected.shape != given.shape:
            yield f"projection '{name}': weight_int has shape {given.shape}, not {expected.shape}"
        elif (wrong := np.argwhere(expected != given)).size:
            i, j = wrong[0].tolist()
            yield (
                f"projection '{name}': weight_int[{i}][{j}] is {given[i, j]}; {expected[i, j]} "
                "follows from weight_float and weight_scale"
            )
    yield from map(str, found.problems)
    if (
        "physical" in data
        and not found.problems
        and data["physical"]["groups"] != write_groups(found)
    ):
        yield "physical is not what follows from the placement; leave it out, or write it again"
