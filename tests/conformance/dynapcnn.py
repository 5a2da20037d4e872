"""DYNAP-CNN: recordings of sinabs.

Files `discretize_*`, `networks_*`, `placement_*` and `config_*_<device>`, each with its own
description. Where sinabs has a documented defect, the model is asked to show it too, by an option,
and the case says so.
"""

import dataclasses
import functools as ft
import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

import neurojax as nj
from neurojax.chips import MappedNetwork, MappingError
from neurojax.chips.dynapcnn import (
    ChipSpec,
    Core,
    CoreSpec,
    candidates,
    devices,
    discretise,
    map as map_network,
    match,
    memory_of,
    quantise_scalar,
    spec,
)
from neurojax.hardware.dynapcnn import configure, vendor_fields
from neurojax.layers import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    SumPool2d,
)
from neurojax.neurons import IAF
from tests.conformance._result import QUICK, Result, attempt, compare
from tests.conformance._torch_models import max_spikes
from tests.conformance._torch_text import Module, parse

KILLS = "min_v_mem=None takes part in the scale as -32768 and kills the weights"
ZERO = "sinabs lets a threshold round to 0, which is refused"
IGNORES = (
    "sinabs accepts groups, dilation and padded pools, which are not in its configuration of the "
    "chip; they are refused"
)
NO_EPS = "sinabs folds batch norm without its eps"
SINABS_2 = (
    "2.0.0 writes a disabled destination behind the last layer, leaves out a pooling of 1, and "
    "sets dvs_layer.merge for one input feature"
)


class NotCovered(Exception):
    """The recording shows something that the library does not do yet."""


def run(directory: Path) -> Iterator[Result]:
    """Every case of a directory of recordings."""
    kinds = {
        "discretize_*.json": _discretisation,
        "networks_*.json": _networks,
        "config_*.json.gz": _configurations,
        "placement_*.json": _placements,
    }
    for pattern, compare_file in kinds.items():
        for path in sorted(directory.glob(pattern)):
            group = path.name.removesuffix(".gz").removesuffix(".json")
            yield from attempt(group, "all", ft.partial(compare_file, path))
    for kind in ("refusals", "events", "addresses"):
        for path in sorted(directory.glob(f"{kind}_*.json")):
            yield not_covered(path.stem, "all", f"{kind} are not compared yet")


def not_covered(group: str, case: str, why: str) -> Result:
    """A case that says why it can't be compared."""
    return Result(group, case, False, 0.0, expectation=why, covered=False)


def result_of(
    group: str, case: str, pairs: dict[str, tuple[Any, Any]], expectation: str = ""
) -> Result:
    """A result from pairs (ours, recorded) of numbers or arrays, compared with ==."""
    found = [compare(what, recorded, ours) for what, (ours, recorded) in pairs.items()]
    difference = next((text for _, text in found if text), "")
    error = max((error for error, _ in found), default=0.0)
    return Result(group, case, not difference, error, difference, expectation)


# Discretisation


def _discretisation(path: Path) -> Iterator[Result]:
    index = json.loads(path.read_text())
    arrays = _load(path)
    for case in index["cases"]:
        key = f"c{case['case']:02d}_"
        field = {name.removeprefix(key): arrays[name] for name in arrays if name.startswith(key)}
        name = f"{case['case']} {case['name']}"
        yield from attempt(path.stem, name, ft.partial(_layer_alone, path.stem, name, case, field))
    if "lin_weight" in arrays:
        linear = ft.partial(_linear, path.stem, arrays)
        yield from attempt(path.stem, "linear", linear)
    for name in arrays:
        if name.startswith("scalar_out_scale"):
            scale = float(name.removeprefix("scalar_out_scale"))
            ours = [quantise_scalar(value, scale) for value in arrays["scalar_in"].tolist()]
            yield result_of(path.stem, name, {"value": (ours, arrays[name])})


def _load(path: Path) -> dict[str, np.ndarray]:
    """The arrays that belong to a description."""
    with np.load(path.with_suffix(".npz")) as stored:
        return dict(stored)


def _layer_alone(
    group: str, name: str, case: dict[str, Any], field: dict[str, np.ndarray]
) -> Iterator[Result]:
    unbounded = case["min_v_mem_is_None"]
    arguments = {
        "threshold": float(field["thr"]),
        "v_min": None if unbounded else float(field["low"]),
        "bias": field.get("bias"),
        "v": field.get("v"),
    }
    ours = discretise(field["weight"], **arguments, peer_lower_bound=True)
    state = 3 + ("v" in field)  # without a state its scale is not recorded
    pairs = {
        "weight": (ours.weight, field["q_weight"]),
        "threshold": (ours.threshold, field["q_thr"]),
        "min_v_mem": (ours.v_min, field["q_low"]),
        "scale": (np.float32(ours.scale), field["scale"]),
        "scales": (np.array(ours.scales)[:state], field["scales_w_b_t_n"][:state]),
    }
    for what in ("bias", "v"):
        if what in field:
            pairs[what] = (getattr(ours, what), field[f"q_{what}"])
    yield result_of(group, name, pairs, expectation=KILLS if unbounded else "")


def _linear(group: str, arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    """A Linear layer behind an average pool; thresholds are those of a plain IAFSqueeze layer."""
    recorded = arrays["lin_q_weight"]
    weight = arrays["lin_weight"].reshape(recorded.shape) * np.float32(arrays["lin_rescale"])
    low = float(arrays["lin_low"]) if "lin_low" in arrays else -1.0
    threshold = float(arrays["lin_thr"]) if "lin_thr" in arrays else 1.0
    ours = discretise(weight, threshold, low, bias=arrays["lin_bias"])
    pairs = {
        "weight": (ours.weight, recorded),
        "bias": (ours.bias, arrays["lin_q_bias"]),
        "threshold": (ours.threshold, arrays["lin_q_thr"]),
        "min_v_mem": (ours.v_min, arrays["lin_q_low"]),
    }
    yield result_of(group, "linear", pairs)


# Networks


class Recorded(NamedTuple):
    """A recorded network, rebuilt."""

    network: nj.Network
    expectation: str


def _networks(path: Path) -> Iterator[Result]:
    index = json.loads(path.read_text())
    arrays = _load(path)
    for entry in index["nets"]:
        name = entry["name"]
        yield from attempt(path.stem, name, ft.partial(_mapped, path.stem, entry, arrays))


def _mapped(group: str, entry: dict[str, Any], arrays: dict[str, np.ndarray]) -> Iterator[Result]:
    """A network on a chip without limits, or why it can't be there."""
    name = entry["name"]
    try:
        recorded = rebuild(entry, arrays)
        mapped = map_network(recorded.network, device=UNLIMITED, peer_lower_bound=True)
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
    except MappingError as error:
        if all(problem.found == "pooling of the input" for problem in error.problems):
            yield not_covered(group, name, "pooling of the input is not covered yet")
        else:
            yield refused(group, name, error, _refusal(entry))
    else:
        yield from _network(group, entry, arrays, mapped, recorded.expectation)


def refused(group: str, case: str, error: MappingError, expectation: str) -> Result:
    """Equal if there is a reason to expect that we refuse what sinabs accepts."""
    return Result(group, case, bool(expectation), 0.0, f"refused: {error}", expectation)


def _refusal(entry: dict[str, Any]) -> str:
    """What sinabs accepts of a network although no chip computes it, or ""."""
    if any(info["threshold"] < 1 for info in entry["layers"].values()):
        return ZERO
    return IGNORES if any(map(_is_ignored, _leaves(parse(entry["modules"]), ""))) else ""


def _is_ignored(leaf: tuple[str, Module]) -> bool:
    option, pool = leaf[1].options, "Pool" in leaf[1].kind
    both = lambda name: set(np.ravel(option.get(name, 0)).tolist())  # noqa: E731
    return (
        option.get("groups", 1) != 1
        or not both("dilation") <= {0, 1}
        or (pool and both("padding") != {0})
    )


def _network(
    group: str, entry: dict[str, Any], arrays: Any, mapped: MappedNetwork, expectation: str
) -> Iterator[Result]:
    """Everything that was recorded of one network."""
    name, network = entry["name"], mapped.network
    names = [origin.name for origin in mapped.origins]
    keys = sorted(entry["layers"], key=int)
    has_weights = any(key.startswith(f"{name}/q/") for key in arrays)
    if len(names) != len(keys):
        text = f"{len(names)} cores, recorded {len(keys)}"
        yield Result(group, name, False, np.inf, text, expectation)
        return
    pairs: dict[str, tuple[Any, Any]] = {}
    for key, layer in zip(keys, names, strict=True):
        core, info = network[layer], entry["layers"][key]
        assert isinstance(core, Core)
        pairs[f"neurons {key}"] = (
            core.neuron_shape(network.in_shape(layer)),
            info["neuron_shape"],
        )
        if has_weights:
            held = core.integers()
            pairs[f"threshold {key}"] = (held.threshold, info["threshold"])
            pairs[f"min_v_mem {key}"] = (held.v_min, info["min_v_mem"])
            pairs[f"weight {key}"] = (held.weight, arrays[f"{name}/q/{key}/weight"])
            bias = arrays.get(f"{name}/q/{key}/bias")
            if bias is not None or held.bias is not None:
                none: list[int] = []
                pairs[f"bias {key}"] = (
                    none if held.bias is None else held.bias,
                    none if bias is None else bias,
                )
    yield result_of(group, f"{name}: what the chip holds", pairs, expectation=expectation)
    if has_weights:
        runs = ft.partial(_runs, group, entry, arrays, mapped, expectation)
        yield from attempt(group, f"{name}: calls", runs)
    for kind, rest in (("memory_summary", _memory), ("placement", _recorded_places)):
        if kind in entry:
            yield from attempt(group, f"{name}: {kind}", ft.partial(rest, group, entry, mapped))


def _runs(
    group: str, entry: dict[str, Any], arrays: Any, mapped: MappedNetwork, expectation: str
) -> Iterator[Result]:
    """Two calls, the second one from the state of the first."""
    name, batch = entry["name"], entry["batch"]
    inputs = _split_batch(arrays[f"{name}/x"], batch)
    probes = [o.pool_name or o.name for o in mapped.origins]
    first, second = _call_twice(mapped.network, inputs, probes)
    yield result_of(
        group,
        f"{name}: first call",
        {"output": _like(first.outputs, arrays[f"{name}/out1"])},
        expectation=expectation,
    )
    pairs = {}
    keys = sorted(entry["layers"], key=int)
    for key, probe, origin in zip(keys, probes, mapped.origins, strict=True):
        for recorded in arrays:
            if re.fullmatch(rf"{re.escape(name)}/out2/layer{key}_dest-?\d+", recorded):
                pairs[recorded.rsplit("/", 1)[1]] = _like(second[probe], arrays[recorded])
        end = arrays[f"{name}/q/{key}/v_mem_end"]
        v = second.state.layers[origin.name].v
        pairs[f"v_mem {key}"] = (np.asarray(v).reshape(end.shape), end)
    if f"{name}/out2/final" in arrays:
        pairs["output"] = _like(second.outputs, arrays[f"{name}/out2/final"])
    yield result_of(group, f"{name}: second call", pairs, expectation=expectation)


def _call_twice(
    network: nj.Network, inputs: np.ndarray, probes: list[str]
) -> tuple[nj.Run, nj.Run]:
    parameters, rest = eqx.partition(network, eqx.is_array)

    # Nearly all the time goes into compiling.
    @ft.partial(jax.jit, compiler_options=QUICK)
    def calls(parameters: Any, inputs: jax.Array) -> tuple[nj.Run, nj.Run]:
        network = eqx.combine(parameters, rest)
        first = nj.simulate(network, inputs)
        return first, nj.simulate(network, inputs, state=first.state, probes=probes)

    return calls(parameters, inputs)


def _split_batch(rows: np.ndarray, batch: int) -> np.ndarray:
    """`(batch * time, ...)`, batch first, as `(time, batch, ...)`."""
    return rows.reshape(batch, -1, *rows.shape[1:]).swapaxes(0, 1).astype(np.float32)


def _like(ours: Any, recorded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A trace `(time, batch, ...)` in the layout of a recording, and the recording."""
    rows = np.asarray(ours).swapaxes(0, 1)
    rows = rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])
    return (rows.reshape(recorded.shape) if rows.size == recorded.size else rows), recorded


def _memories(mapped: MappedNetwork) -> list[Any]:
    network = mapped.network
    memories = []
    for origin in mapped.origins:
        core = network[origin.name]
        assert isinstance(core, Core)
        neurons = core.neuron_shape(network.in_shape(origin.name))
        memories.append(memory_of(core.weight.shape, neurons, bias=core.bias is not None))
    return memories


def _memory(group: str, entry: dict[str, Any], mapped: MappedNetwork) -> Iterator[Result]:
    pairs = {}
    for kind, recorded in entry["memory_summary"].items():
        if isinstance(recorded, dict):
            recorded = [recorded[key] for key in sorted(recorded, key=int)]
        pairs[kind] = ([getattr(memory, kind) for memory in _memories(mapped)], recorded)
    yield result_of(group, f"{entry['name']}: memory", pairs)


def _recorded_places(group: str, entry: dict[str, Any], mapped: MappedNetwork) -> Iterator[Result]:
    for device, recorded in entry["placement"].items():
        if device not in devices:
            yield not_covered(group, f"{entry['name']}: placement", f"no device '{device}'")
            continue
        ours = match(candidates(_memories(mapped), spec(device)))
        if isinstance(recorded, dict):
            recorded = [recorded[key] for key in sorted(recorded, key=int)]
        case = f"{entry['name']}: placement on {device}"
        if recorded is None or isinstance(recorded, str):  # the text of an error
            none = None in ours
            text = "" if none else f"placed on {ours}, recorded: {recorded}"
            yield Result(group, case, none, 0.0, text)
        elif None in ours:
            yield Result(group, case, False, np.inf, f"not placed, recorded {recorded}")
        else:
            yield result_of(group, case, {"core": (ours, recorded)})


# Rebuilding a network from its printed form

_BIG = 1 << 30
UNLIMITED = dataclasses.replace(
    spec("speck2fmodule"),
    name="speck2fmodule without limits",
    cores=(CoreSpec(_BIG, _BIG, _BIG),) * 64,
    max_input_size=_BIG,
    max_neuron_size=_BIG,
    max_features=_BIG,
    max_kernel=_BIG,
    strides=tuple(range(1, 257)),
    max_padding=_BIG,
    poolings=tuple(range(1, 257)),
)
"""The simulation of sinabs knows no limits."""


def rebuild(entry: dict[str, Any], arrays: Any) -> Recorded:
    """A recorded network from its printed modules and raw parameters."""
    if "modules" not in entry:
        raise NotCovered(f"sinabs fails on it: {entry.get('error', 'no description')}")
    tree = parse(entry["modules"])
    if tree.kind != "Sequential":
        raise NotCovered(f"not sequential: {tree.kind}")
    infos = [entry["layers"][key] for key in sorted(entry["layers"], key=int)]
    prefix = f"{entry['name']}/raw/"
    raw = {name.removeprefix(prefix): arrays[name] for name in arrays if name.startswith(prefix)}
    layers: dict[str, Any] = {}
    folded = False
    for path, module in _leaves(tree, ""):
        parameters = {
            key.removeprefix(f"{path}."): value
            for key, value in raw.items()
            if key.startswith(f"{path}.")
        }
        neurons = sum(isinstance(layer, IAF) for layer in layers.values())
        info = infos[neurons] if neurons < len(infos) else {}
        layers[f"{module.kind}_{path.replace('.', '_')}"] = _layer(module, parameters, info)
        folded |= module.kind.startswith("BatchNorm")
    network = nj.Sequential(tuple(entry["input_shape"]), **layers)
    expectations = [NO_EPS] * folded
    if any(isinstance(layer, IAF) and layer.v_min is None for layer in layers.values()):
        expectations.append(KILLS)
    return Recorded(network, "; ".join(expectations))


def _leaves(module: Module, prefix: str) -> Iterator[tuple[str, Module]]:
    for child in module.children:
        path = f"{prefix}{child.name}"
        if child.kind == "Sequential":
            yield from _leaves(child, f"{path}.")
        else:
            yield path, child


def _layer(module: Module, raw: dict[str, np.ndarray], info: dict[str, Any]) -> Any:
    """One printed module as a layer. Parameters that were not recorded become ones."""
    option = module.options
    if option.get("padding_mode", "zeros") != "zeros":
        raise NotCovered(f"padding_mode={option['padding_mode']} is not covered")
    match module.kind:
        case "Conv2d":
            out, into = module.args[1], module.args[0]
            shape = (out, into // option.get("groups", 1), *option["kernel_size"])
            bias = np.ones(out, np.float32) if option.get("bias", True) else None
            return Conv2d.from_weights(
                raw.get("weight", np.ones(shape, np.float32)),
                raw.get("bias", bias),
                stride=option.get("stride", 1),
                padding=option.get("padding", 0),
                dilation=option.get("dilation", 1),
                groups=option.get("groups", 1),
            )
        case "Linear":
            shape = (option["out_features"], option["in_features"])
            bias = np.ones(shape[0], np.float32) if option.get("bias", True) else None
            weight = raw.get("weight", np.ones(shape, np.float32))
            return Linear.from_weights(weight, raw.get("bias", bias))
        case "BatchNorm2d" | "BatchNorm1d":
            return _batch_norm(raw)
        case "IAFSqueeze" | "IAF":
            return _neurons(option, raw, info)
        case "AvgPool2d" | "SumPool2d":
            if option.get("ceil_mode", False):
                raise NotCovered("ceil_mode=True is not covered")
            pool = AvgPool2d if module.kind == "AvgPool2d" else SumPool2d
            return pool(
                option["kernel_size"],
                stride=option.get("stride"),
                padding=option.get("padding", 0),
            )
        case "Flatten":
            return Flatten()
        case "Dropout" | "Dropout2d":
            return Dropout(option.get("p", 0.5), inference=True)
        case "Identity":
            return Identity()
    raise NotCovered(f"{module.kind} is not covered yet")


def _neurons(option: dict[str, Any], raw: dict[str, np.ndarray], info: dict[str, Any]) -> IAF:
    mode, reset = info.get("spike_fn", "MultiSpike"), info.get("reset_fn", "MembraneSubtract")
    resets = {"MembraneSubtract": "subtract", "MembraneReset": "zero"}
    if reset not in resets:
        raise NotCovered(f"neurons with {reset} are not covered")
    try:
        limit = max_spikes(mode)
    except ValueError as error:
        raise NotCovered(str(error)) from error
    threshold = raw.get("spike_threshold", option.get("spike_threshold", 1.0))
    v_min = raw.get("min_v_mem", option.get("min_v_mem"))
    return IAF(
        threshold=float(threshold),
        v_min=None if v_min is None else float(v_min),
        max_spikes=limit,
        reset=resets[reset],
    )


def _batch_norm(raw: dict[str, np.ndarray]) -> BatchNorm:
    """Without its eps: sinabs leaves it out when it folds."""
    statistics = raw["running_mean"], raw["running_var"]
    return BatchNorm.from_weights(raw.get("weight"), raw.get("bias"), *statistics, eps=0.0)


# Configurations


def _configurations(path: Path) -> Iterator[Result]:
    """`config_<version>_<device>.json.gz`, for the networks of `networks_<version>`."""
    group = path.name.removesuffix(".json.gz")
    _, version, device = group.split("_", 2)
    with gzip.open(path) as file:
        nets = json.load(file)["nets"]
    described = path.parent / f"networks_{version}.json"
    if device not in devices or not described.exists():
        yield not_covered(group, "all", f"no device '{device}' or no {described.name}")
        return
    chip = spec(device)
    if chip.kill_bits:
        yield not_covered(group, "all", f"kill bits of {device} are not written yet")
        return
    entries = {entry["name"]: entry for entry in json.loads(described.read_text())["nets"]}
    arrays = _load(described)
    for name, recorded in nets.items():
        if name not in entries:
            yield not_covered(group, name, f"{described.name} does not describe it")
        elif not any(key.startswith(f"{name}/raw/") for key in arrays):
            yield not_covered(group, name, "its parameters were not recorded")
        else:
            configuration = ft.partial(_configuration, group, entries[name], arrays, recorded, chip)
            yield from attempt(group, name, configuration)


def _configuration(
    group: str, entry: dict[str, Any], arrays: Any, recorded: Any, chip: ChipSpec
) -> Iterator[Result]:
    name = entry["name"]
    violations = recorded.get("datasheet_rule_violations") or []
    try:
        network, expectation = rebuild(entry, arrays)
        mapped = map_network(network, device=chip, peer_lower_bound=True)
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
        return
    except MappingError as error:
        broken = f"sinabs writes what the chip can't hold: {'; '.join(violations)}"
        yield refused(group, name, error, broken if violations else _refusal(entry))
        return
    ours, theirs = vendor_fields(configure(mapped)), recorded["config"]
    if group.startswith("config_v2_"):
        theirs = _as_version_3(theirs)
        expectation = "; ".join(filter(None, [expectation, SINABS_2]))
    difference = _first_difference(ours, theirs, "")
    yield Result(group, name, not difference, float(bool(difference)), difference, expectation)


def _as_version_3(config: dict[str, Any]) -> dict[str, Any]:
    """A configuration of sinabs 2.0.0 in the form of 3.1.3."""
    config = json.loads(json.dumps(config))
    config["dvs_layer"].pop("merge", None)
    for core in config["cnn_layers"]:
        for destination in core.get("destinations", []):
            if destination.get("enable"):
                destination.setdefault("pooling", 1)
        if core.get("destinations") and not core["destinations"][0].get("enable"):
            del core["destinations"]
    return config


def _first_difference(ours: Any, recorded: Any, where: str) -> str:
    if isinstance(ours, dict) and isinstance(recorded, dict):
        for key in sorted({*ours, *recorded}):
            if key not in ours or key not in recorded:
                return f"{where}.{key} is only in the {'recording' if key in recorded else 'ours'}"
            found = _first_difference(ours[key], recorded[key], f"{where}.{key}")
            if found:
                return found
    elif isinstance(ours, list) and isinstance(recorded, list):
        if len(ours) != len(recorded):
            return f"{where} has {len(ours)} entries, recorded {len(recorded)}"
        for i, (a, b) in enumerate(zip(ours, recorded, strict=True)):
            found = _first_difference(a, b, f"{where}[{i}]")
            if found:
                return found
    elif ours != recorded or type(ours) is not type(recorded):
        return f"{where} is {ours!r}, recorded {recorded!r}"
    return ""


# Placement


def _placements(path: Path) -> Iterator[Result]:
    for i, case in enumerate(json.loads(path.read_text())["cases"]):
        yield from attempt(path.stem, str(i), ft.partial(_placement, path.stem, str(i), case))


def _placement(group: str, name: str, case: dict[str, Any]) -> Iterator[Result]:
    ours, recorded = match(case["candidates"]), case["mapping"]
    if recorded and isinstance(recorded[0], list):  # pairs (layer, core)
        recorded = [core for _, core in sorted(recorded)]
    ours = None if None in ours else ours
    text = "" if ours == recorded else f"cores {ours}, recorded {recorded}"
    yield Result(group, name, ours == recorded, float(ours != recorded), text)
