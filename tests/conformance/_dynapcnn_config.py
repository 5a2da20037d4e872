"""Configurations: every field that sinabs writes."""

import functools as ft
import gzip
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import ChipSpec, devices, map as map_network, spec
from neurojax.hardware.dynapcnn import configure, vendor_fields
from tests.conformance._dynapcnn_case import (
    NotCovered,
    first_difference,
    load,
    not_covered,
    refused,
)
from tests.conformance._dynapcnn_model import reason_to_refuse, rebuild
from tests.conformance._result import Result, attempt

SINABS_2 = (
    "2.0.0 writes a disabled destination behind the last layer, leaves out a pooling of 1, and "
    "sets dvs_layer.merge for one input feature"
)
KILL_BITS = (
    "2.0.0 writes the kill bits of weights with rows and columns exchanged, so that they kill the "
    "mirrored weights"
)


ORDER = "which of two destinations comes first is left to chance, and makes no difference"


def run(path: Path) -> Iterator[Result]:
    """`config_<version>_<device>.json.gz`, for the networks of `networks_<version>`."""
    group = path.name.removesuffix(".json.gz")
    _, version, device = group.split("_", 2)
    nets = _nets(path)
    described = path.parent / f"networks_{version}.json"
    if device not in devices or not described.exists():
        yield not_covered(group, "all", f"no device '{device}' or no {described.name}")
        return
    entries = {entry["name"]: entry for entry in json.loads(described.read_text())["nets"]}
    arrays = load(described)
    for name, recorded in nets.items():
        if name not in entries:
            yield not_covered(group, name, f"{described.name} does not describe it")
        elif not any(key.startswith(f"{name}/raw/") for key in arrays):
            yield not_covered(group, name, "its parameters were not recorded")
        else:
            one = ft.partial(_configuration, group, entries[name], arrays, recorded, spec(device))
            yield from attempt(group, name, one)


def cameras(directory: Path, version: str) -> dict[str, dict[str, Any]]:
    """What sinabs wrote of the camera's block, by network, into any configuration of a version."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(directory.glob(f"config_{version}_*.json.gz")):
        for name, recorded in _nets(path).items():
            if recorded.get("config"):
                found.setdefault(name, recorded["config"].get("dvs_layer", {}))
    return found


def _nets(path: Path) -> dict[str, Any]:
    with gzip.open(path) as file:
        return json.load(file)["nets"]


def _configuration(
    group: str, entry: Mapping[str, Any], arrays: Any, recorded: Any, chip: ChipSpec
) -> Iterator[Result]:
    name = entry["name"]
    violations = recorded.get("datasheet_rule_violations") or []
    theirs = recorded.get("config")
    if not theirs:
        yield not_covered(group, name, f"sinabs wrote none: {recorded.get('error', 'no reason')}")
        return
    try:
        network = rebuild(entry, arrays, theirs.get("dvs_layer", {}))
        mapped = map_network(network.network, device=chip, peer_lower_bound=True, **network.options)
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
        return
    except MappingError as error:
        broken = f"sinabs writes what the chip can't hold: {'; '.join(violations)}"
        yield refused(group, name, error, broken if violations else reason_to_refuse(entry))
        return
    ours, told = vendor_fields(configure(mapped)), [network.expectation]
    if group.startswith("config_v2_"):
        theirs = _as_version_3(theirs)
        told.append(SINABS_2)
        told += [KILL_BITS] * chip.kill_bits
    if _sorted_destinations(theirs) != theirs or _sorted_destinations(ours) != ours:
        ours, theirs = _sorted_destinations(ours), _sorted_destinations(theirs)
        told.append(ORDER)
    difference = first_difference(ours, theirs)
    expectation = "; ".join(filter(None, told))
    yield Result(group, name, not difference, float(bool(difference)), difference, expectation)


def _sorted_destinations(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration with the destinations of each core in the order of their numbers."""
    config = json.loads(json.dumps(config))
    for part in [*config["cnn_layers"], config["dvs_layer"]]:
        if "destinations" in part:
            part["destinations"].sort(key=lambda there: there.get("layer", 99))
    return config


def _as_version_3(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of sinabs 2.0.0 in the form of 3.1.3."""
    config = json.loads(json.dumps(config))
    if "destinations" not in config["dvs_layer"]:
        config["dvs_layer"].pop("merge", None)
    for core in config["cnn_layers"]:
        for destination in core.get("destinations", []):
            if destination.get("enable"):
                destination.setdefault("pooling", 1)
        if core.get("destinations") and not core["destinations"][0].get("enable"):
            del core["destinations"]
        if "weights_kill_bit" in core:
            core["weights_kill_bit"] = [
                [[list(row) for row in zip(*kernel, strict=True)] for kernel in feature]
                for feature in core["weights_kill_bit"]
            ]
    return config
