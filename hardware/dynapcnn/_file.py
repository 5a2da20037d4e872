"""Reading the JSON file of a configuration, which is believed only when checked.

{"format": "neurojax.dynapcnn", "version": 1, "device": ...,
 "network": {"input": ..., "flatten": ..., "layers": [...]},     what only we know
 "vendor": {"cnn_layers": [...], "dvs_layer": {...}}}            what the device is given
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurojax._network import Network
from neurojax.chips.dynapcnn import ChipSpec, Core, Origin, spec
from neurojax.hardware.dynapcnn._check import (
    FILE,
    check,
    check_tensor,
    core_rules,
    destination_rules,
    layer_rules,
)
from neurojax.hardware.dynapcnn.configuration import SCHEMA, VERSION, Configuration, LayerInfo


def load(path: str | Path) -> Configuration:
    """Read a configuration and check every field of it.

    Raises:
        OSError: The file can't be read.
        ValueError: It is cut off, is no such file, is of a newer version, or fields are missing,
            of a wrong type or out of range: all of them, each with its place and layer.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: no complete JSON (line {error.lineno}, column {error.colno}: {error.msg}); "
            "was the file cut off? Write it again with Configuration.save"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file, so no configuration") from None
    try:
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_json(data: Any) -> Configuration:
    """The reverse of `Configuration.as_json`, with every field checked."""
    if not isinstance(data, dict) or data.get("format") != SCHEMA:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"format is {found!r}, not '{SCHEMA}': no configuration of this kind")
    if data.get("version") != VERSION:
        raise ValueError(
            f"version is {data.get('version')!r}, but this library reads version {VERSION}; "
            "update the library, or write the file again"
        )
    problems: list[str] = []
    check(data, FILE, "", problems)
    _stop(problems)
    chip = spec(data["device"])
    network, vendor = data["network"], data["vendor"]
    for i, fields in enumerate(network["layers"]):
        check(fields, layer_rules(chip), f"network.layers[{i}]", problems)
    _stop(problems)
    layers = tuple(_layer(fields) for fields in network["layers"])
    _check_cores(layers, vendor["cnn_layers"], chip, problems)
    _stop(problems)
    configuration = Configuration(
        device=chip.name,
        input_name=network["input"]["name"],
        input_shape=tuple(network["input"]["shape"]),
        layers=layers,
        flatten=network["flatten"],
        vendor=vendor,
    )
    try:
        mapped = configuration.mapped
    except ValueError as error:
        raise ValueError(f"the layers don't fit one another: {error}") from None
    for info in layers:
        _check_maps(info.origin, vendor["cnn_layers"], mapped.network, problems)
    _stop(problems)
    return configuration


def _stop(problems: list[str]) -> None:
    if problems:
        raise ValueError("\n- ".join(["the configuration is not valid:", *problems]))


def _layer(fields: dict[str, Any]) -> LayerInfo:
    """One checked entry of `network.layers`."""
    as_tuples: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()
    }
    origin = Origin(**{name: as_tuples.pop(name) for name in Origin._fields})
    return LayerInfo(origin=origin, **as_tuples)


def _check_cores(
    layers: Sequence[LayerInfo], cores: list[Any], chip: ChipSpec, problems: list[str]
) -> None:
    """The vendor's part: each core in use, and none besides."""
    if len(cores) != len(chip.cores):
        problems.append(f"vendor.cnn_layers has {len(cores)} entries; it must be {len(chip.cores)}")
        return
    places = [info.origin.core for info in layers]
    for number, fields in enumerate(cores):
        where = f"vendor.cnn_layers[{number}]"
        if places.count(number) > 1:
            problems.append(f"{where} holds {places.count(number)} layers; a core holds one")
        elif number not in places and fields:
            problems.append(f"{where} is in use, but no layer of the network is on that core")
        elif number in places:
            i = places.index(number)
            target = places[i + 1] if i + 1 < len(places) else None
            _check_core(
                layers[i],
                fields,
                f"{where} (layer '{layers[i].origin.name}')",
                target,
                chip,
                problems,
            )


def _check_core(
    info: LayerInfo,
    fields: Any,
    where: str,
    target: int | None,
    chip: ChipSpec,
    problems: list[str],
) -> None:
    count = len(problems)
    destinations = fields.get("destinations")
    check(
        {k: v for k, v in fields.items() if k != "destinations"}, core_rules(chip), where, problems
    )
    if target is None:
        if destinations is not None:
            problems.append(f"{where}.destinations is given, but the last layer has none")
    elif not isinstance(destinations, list) or len(destinations) != 2 or destinations[1]:
        problems.append(f"{where}.destinations must be a list of one destination and {{}}")
    else:
        check(destinations[0], destination_rules(chip), f"{where}.destinations[0]", problems)
        expected = {"layer": target, "enable": True, "pooling": info.origin.pool}
        if len(problems) == count and destinations[0] != expected:
            problems.append(
                f"{where}.destinations[0] is {destinations[0]}, but the network's "
                f"layers ask for {expected}"
            )
    if len(problems) > count:
        return
    sizes = fields["dimensions"]
    channels = sizes["input_shape"]["feature_count"]
    features, height, width = _map(sizes["output_shape"])
    kernel = sizes["kernel_size"]
    tensors = {
        "weights": ((features, channels, kernel, kernel), chip.weight_bits),
        "biases": ((features,), info.bias_bits),
        "neurons_initial_value": ((features, width, height), chip.state_bits),
    }
    for name, (shape, bits) in tensors.items():
        check_tensor(fields[name], shape, bits, f"{where}.{name}", problems)
    if len(problems) > count:
        return
    if np.any(fields["neurons_initial_value"]):
        problems.append(f"{where}.neurons_initial_value must be zeros; other states are not read")
    if not info.has_bias and np.any(fields["biases"]):
        problems.append(f"{where}.biases must be zeros, because has_bias is false")
    if fields["leak_enable"] != bool(np.any(fields["biases"])):
        problems.append(f"{where}.leak_enable must be true exactly if a bias is not 0")


def _check_maps(origin: Origin, cores: list[Any], network: Network, problems: list[str]) -> None:
    """The sizes that a core states against those that follow from the input."""
    where = f"vendor.cnn_layers[{origin.core}] (layer '{origin.name}').dimensions"
    core = network[origin.name]
    assert isinstance(core, Core)
    in_shape = network.in_shape(origin.name)
    follows = {"input_shape": in_shape, "output_shape": core.neuron_shape(in_shape)}
    for name, shape in follows.items():
        stated = _map(cores[origin.core]["dimensions"][name])
        shape = (*shape, 1, 1) if len(shape) == 1 else shape
        if stated != shape:
            problems.append(f"{where}.{name} is {stated}, but {shape} follows from the input")


def _map(shape: dict[str, Any]) -> tuple[int, int, int]:
    return shape["feature_count"], shape["size"]["y"], shape["size"]["x"]
