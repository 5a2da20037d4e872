"""Is a configuration whole, in range, and at one with itself? Everything that is not, at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips.dynapcnn import (
    CLASSES,
    ChipSpec,
    Core,
    Origin,
    assemble,
    place,
    readout_spread,
    routes,
)
from neurojax.hardware._rules import check
from neurojax.hardware.dynapcnn._format import file_rules
from neurojax.hardware.dynapcnn._graph import read_graph
from neurojax.hardware.dynapcnn._vendor import readout_source, write_vendor


def validate(data: Any, chip: ChipSpec) -> None:
    """Check a configuration, as the file holds it.

    Raises:
        ValueError: With everything that is wrong, each with its place and layer.
        MappingError: Layers that are too large for their cores.
    """
    problems: list[str] = []
    labels = _labels(data)
    check(data, file_rules(chip), "", problems, labels)
    _stop(problems)
    graph, vendor = data["network"], data["vendor"]
    problems += _wrong_cores(graph["layers"], vendor["cnn_layers"], labels)
    _stop(problems)
    try:
        network, origins = read_graph(graph, vendor["cnn_layers"])
    except ValueError as error:
        raise ValueError(f"the layers don't fit one another: {error}") from None
    places = {origin.name: origin.core for origin in origins}
    problems += _wrong_readout(network, origins, vendor, chip)
    _stop(problems)
    source = readout_source(vendor)
    names = [origin.name for origin in origins if origin.core in source]
    expected = write_vendor(network, places, chip, readout=names[0] if names else None)
    _compare_cores(expected["cnn_layers"], vendor["cnn_layers"], labels, problems)
    _compare_camera(expected["dvs_layer"], vendor["dvs_layer"], problems)
    _stop(problems)
    place(assemble(chip, network, origins), places)


def _stop(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join(["the configuration is not valid:", *problems]))


def _labels(data: Any) -> dict[str, str]:
    """Places of cores, with the names of their layers as far as those can be read."""
    try:
        layers = [entry for entry in data["network"]["layers"] if entry.get("kind") == "Core"]
        cores = {entry["core"]: entry["name"] for entry in layers}
    except (TypeError, KeyError, AttributeError):
        return {}
    places = {number: f"vendor.cnn_layers[{number}]" for number in cores if type(number) is int}
    return {place: f"{place} (layer '{cores[number]}')" for number, place in places.items()}


def _wrong_cores(layers: list[Any], cores: list[Any], labels: Mapping[str, str]) -> Iterator[str]:
    names = [entry["name"] for entry in layers]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"network.layers holds {names.count(name)} layers '{name}'"
    placed = [entry["core"] for entry in layers if entry["kind"] == "Core"]
    for number, fields in enumerate(cores):
        where = f"vendor.cnn_layers[{number}]"
        count = placed.count(number)
        if count > 1:
            yield f"{where} holds {count} layers; a core holds one"
        elif count == 0 and fields:
            yield f"{where} is in use, but no layer of the network is on that core"
        elif count and not fields:
            yield f"{labels[where]} is empty; write its fields"
        elif count:
            weights = np.shape(fields["weights"])
            if weights[2] != weights[3]:
                sizes = f"{weights[3]}x{weights[2]}"
                yield f"{labels[where]}.weights are {sizes} kernels; kernels are square"
            if len(fields["biases"]) != weights[0]:
                yield (
                    f"{labels[where]}.biases has {len(fields['biases'])} entries; the weights have "
                    f"{weights[0]} features"
                )


def _compare_cores(
    expected: list[Any], cores: list[Any], labels: Mapping[str, str], problems: list[str]
) -> None:
    for number, (ours, theirs) in enumerate(zip(expected, cores, strict=True)):
        where = labels.get(f"vendor.cnn_layers[{number}]", "")
        for name, value in ours.items():
            if name == "neurons_initial_value":
                shape, found = np.shape(value), np.shape(theirs[name])
                if shape != found:
                    problems.append(f"{where}.{name} has shape {found}; it must be {shape}")
            elif name != "monitor_enable":
                _compare(value, theirs.get(name), f"{where}.{name}", problems)
        if "destinations" in theirs and "destinations" not in ours:
            problems.append(f"{where}.destinations is given, but no layer follows this one")


def _compare_camera(expected: dict[str, Any], found: dict[str, Any], problems: list[str]) -> None:
    where = "vendor.dvs_layer"
    for name, value in expected.items():
        # Without a DVS layer the camera may still be on, say to record what it sees.
        if name != "pass_sensor_events" or len(expected) > 1:
            _compare(value, found.get(name), f"{where}.{name}", problems)
    if "destinations" in found and "destinations" not in expected:
        problems.append(f"{where}.destinations is given, but the network has no DVS layer")


def _compare(follows: Any, found: Any, where: str, problems: list[str]) -> None:
    """The first difference between what follows from the network and what was found."""
    if follows == found and type(follows) is type(found):
        return
    if isinstance(follows, dict) and isinstance(found, dict):
        for name in follows | found:
            if name not in follows:
                problems.append(
                    f"{where}.{name} is given, but nothing of that kind follows from the network"
                )
            else:
                _compare(follows[name], found.get(name), f"{where}.{name}", problems)
    elif isinstance(follows, list) and isinstance(found, list) and len(follows) == len(found):
        for i, (a, b) in enumerate(zip(follows, found, strict=True)):
            if a != b:
                _compare(a, b, f"{where}[{i}]", problems)
                return
    else:
        problems.append(
            f"{where} is {_short(found)}, but {_short(follows)} follows from the network"
        )


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong_readout(
    network: Network, origins: tuple[Origin, ...], vendor: Mapping[str, Any], chip: ChipSpec
) -> Iterator[str]:
    """Does the core in front of the read-out block show its classes as the block reads them?"""
    numbers = readout_source(vendor)
    options = vendor.get("readout", {})
    if len(numbers) > 1:
        yield f"vendor.cnn_layers: cores {numbers} feed the read-out block; one core may"
    elif options.get("enable") and not numbers:
        yield "vendor.readout.enable is true, but no core feeds the block"
    if len(numbers) != 1:
        return
    name = next(origin.name for origin in origins if origin.core == numbers[0])
    ends = [r for r in routes(network) if r.source == name and r.target is None]
    if not ends:
        yield f"layer '{name}' feeds the read-out block, but no output of the network"
        return
    core = network[name]
    assert isinstance(core, Core)
    features, *size = core.neuron_shape(network.in_shape(name))
    height, width = (n // ends[0].pool for n in size)
    mode = options.get("readout_configuration_sel", 3)
    if mode != 3:
        w, h, f = {0: (2, 2, 4), 1: (2, 4, 2), 2: (4, 4, 1)}[mode]
        if width > w or height > h or features > f:
            yield (
                f"layer '{name}' sends {features}x{height}x{width} (features, rows, columns) to "
                f"the read-out block, which takes {f}x{h}x{w} (readout_configuration_sel={mode})"
            )
        return
    if (height, width) != (1, 1):
        yield (
            f"layer '{name}' sends maps of {height}x{width} to the read-out block, which takes "
            "1x1; end in a Linear layer, pool, or choose another readout_configuration_sel"
        )
    spread = readout_spread(chip)
    held = core.integers()
    idle = np.arange(features) % spread != 0
    used = np.any(held.weight[idle]) or (held.bias is not None and np.any(held.bias[idle]))
    if used:
        yield (
            f"layer '{name}' has {features} features side by side, but the read-out block of "
            f"{chip.name} takes feature {spread} (n - 1) for class n; put idle ones between with "
            "chips.dynapcnn.extend_readout_layer"
        )
    classes = (features - 1) // spread + 1
    if classes > CLASSES:
        yield (f"layer '{name}' has {classes} classes; the read-out block tells {CLASSES} apart")
