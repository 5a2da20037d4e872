"""Networks: what the chip holds, spikes and membranes of two calls, memory, placement."""

import functools as ft
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np

import neurojax as nj
from neurojax.chips import MappedNetwork, MappingError
from neurojax.chips.dynapcnn import (
    Core,
    candidates,
    devices,
    dvs_of,
    map as map_network,
    match,
    memory_of,
    routes,
    spec,
)
from neurojax.layers import SumPool2d
from tests.conformance._dynapcnn_case import (
    UNLIMITED,
    NotCovered,
    in_order,
    load,
    not_covered,
    refused,
    result_of,
)
from tests.conformance._dynapcnn_config import cameras
from tests.conformance._dynapcnn_model import Recorded, reason_to_refuse, rebuild
from tests.conformance._result import QUICK, Result, attempt


class Case(NamedTuple):
    """A recorded network beside ours."""

    group: str
    entry: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    mapped: MappedNetwork
    recorded: Recorded

    @property
    def name(self) -> str:
        return self.entry["name"]

    @property
    def keys(self) -> list[str]:
        return in_order(self.entry["layers"])

    def result(self, what: str, pairs: dict[str, tuple[Any, Any]]) -> Result:
        case = f"{self.name}: {what}"
        return result_of(self.group, case, pairs, expectation=self.recorded.expectation)


def run(path: Path) -> Iterator[Result]:
    """`networks_<version>.json`."""
    index, arrays = json.loads(path.read_text()), load(path)
    written = cameras(path.parent, path.stem.removeprefix("networks_"))
    for entry in index["nets"]:
        name = entry["name"]
        one = ft.partial(_network, path.stem, entry, arrays, written.get(name))
        yield from attempt(path.stem, name, one)


def _network(
    group: str, entry: Mapping[str, Any], arrays: Any, written: Mapping[str, Any] | None
) -> Iterator[Result]:
    """A network on a chip without limits, or why it can't be there."""
    name = entry["name"]
    try:
        recorded = rebuild(entry, arrays, written)
        mapped = map_network(
            recorded.network, device=UNLIMITED, peer_lower_bound=True, **recorded.options
        )
    except NotCovered as reason:
        yield not_covered(group, name, str(reason))
        return
    except MappingError as error:
        yield refused(group, name, error, reason_to_refuse(entry))
        return
    case = Case(group, entry, arrays, mapped, recorded)
    ours = {origin.name for origin in mapped.origins}
    if ours != set(recorded.neurons.values()) or len(ours) != len(case.keys):
        text = f"cores {sorted(ours)}, recorded {case.keys}"
        yield Result(group, name, False, np.inf, text, recorded.expectation)
        return
    has_weights = any(key.startswith(f"{name}/q/") for key in arrays)
    yield _held(case, has_weights)
    parts = {"calls": _calls} if has_weights else {}
    parts |= {"memory_summary": _memory} if "memory_summary" in entry else {}
    parts |= {"placement": _places} if "placement" in entry else {}
    for what, part in parts.items():
        yield from attempt(group, f"{name}: {what}", ft.partial(part, case))


def _held(case: Case, has_weights: bool) -> Result:
    """What the chip holds."""
    network, pairs = case.mapped.network, {}  # type: nj.Network, dict[str, tuple[Any, Any]]
    for key in case.keys:
        layer, info = case.recorded.neurons[key], case.entry["layers"][key]
        core = network[layer]
        assert isinstance(core, Core)
        shape = core.neuron_shape(network.in_shape(layer))
        pairs[f"neurons {key}"] = (shape, info["neuron_shape"])
        if not has_weights:
            continue
        held, place = core.integers(), f"{case.name}/q/{key}"
        pairs[f"threshold {key}"] = (held.threshold, info["threshold"])
        pairs[f"min_v_mem {key}"] = (held.v_min, info["min_v_mem"])
        pairs[f"weight {key}"] = (held.weight, case.arrays[f"{place}/weight"])
        bias = case.arrays.get(f"{place}/bias")
        if bias is not None or held.bias is not None:
            none: list[int] = []
            pairs[f"bias {key}"] = (
                none if held.bias is None else held.bias,
                none if bias is None else bias,
            )
    return case.result("what the chip holds", pairs)


def _calls(case: Case) -> Iterator[Result]:
    """Two calls, the second one from the state of the first."""
    name, arrays = case.name, case.arrays
    inputs = _split_batch(arrays[f"{name}/x"], case.entry["batch"])
    inputs = _with_polarities(inputs, case.mapped.network)
    probes = _probes(case)
    first, second = _call_twice(case.mapped.network, inputs, sorted(set(probes.values())))
    yield case.result("first call", _outputs(case, first, "out1", probes))
    pairs = _outputs(case, second, "out2", probes)
    for key in case.keys:
        end = arrays[f"{name}/q/{key}/v_mem_end"]
        v = np.asarray(second.state.layers[case.recorded.neurons[key]].v)
        pairs[f"v_mem {key}"] = (v.reshape(end.shape) if v.size == end.size else v, end)
    yield case.result("second call", pairs)


def _probes(case: Case) -> dict[str, str]:
    """Our layer for each destination that sinabs names, such as "layer0_dest1"."""
    network = case.mapped.network
    key_of = {name: key for key, name in case.recorded.neurons.items()}
    camera = dvs_of(network)
    found, exits = {}, dict.fromkeys(key_of.values(), 0)
    for route in routes(network):
        pools = [name for name in route.via if isinstance(network[name], SumPool2d)]
        if route.source not in key_of:
            if route.source == camera and route.target is not None:
                found[f"layerdvs_dest{key_of[route.target]}"] = camera
            continue
        key = key_of[route.source]
        if route.target is None:
            exits[key] -= 1
            there = str(exits[key])
        else:
            there = key_of[route.target]
        found[f"layer{key}_dest{there}"] = pools[-1] if pools else route.source
    return found


def _outputs(
    case: Case, run: nj.Run, call: str, probes: Mapping[str, str]
) -> dict[str, tuple[Any, Any]]:
    """Every recorded output of a call beside ours."""
    place, pairs = f"{case.name}/{call}", {}
    for key in case.arrays:
        if key == place or key == f"{place}/final":
            pairs["output"] = _like(run.outputs, case.arrays[key])
        elif key.startswith(f"{place}/"):
            what = key.removeprefix(f"{place}/")
            if what.endswith("input") and re.fullmatch(r"(layer)?input", what):
                continue  # what went in
            name = probes.get(what)
            if name is None:
                known = ", ".join(probes)
                raise KeyError(f"destination {what}; there are {known}")
            outputs = run.outputs if isinstance(run.outputs, dict) else {}
            ours = run.traces[name] if name in run.traces else outputs[name]
            pairs[what] = _like(ours, case.arrays[key])
    return pairs


def _call_twice(
    network: nj.Network, inputs: np.ndarray, probes: list[str]
) -> tuple[nj.Run, nj.Run]:
    parameters, rest = eqx.partition(network, eqx.is_array)

    # Nearly all the time goes into compiling.
    @ft.partial(jax.jit, compiler_options=QUICK)
    def calls(parameters: Any, inputs: jax.Array) -> tuple[nj.Run, nj.Run]:
        network = eqx.combine(parameters, rest)
        first = nj.simulate(network, inputs, probes=probes)
        return first, nj.simulate(network, inputs, state=first.state, probes=probes)

    return calls(parameters, inputs)


def _with_polarities(inputs: np.ndarray, network: nj.Network) -> np.ndarray:
    """sinabs takes both polarities where it says that the input has one, and adds them up."""
    (features, *_), *others = network.inputs.values()
    merges = not others and features == 1 and inputs.shape[2] == 2
    return inputs.sum(2, keepdims=True) if merges else inputs


def _split_batch(rows: np.ndarray, batch: int) -> np.ndarray:
    """`(batch * time, ...)`, batch first, as `(time, batch, ...)`."""
    return rows.reshape(batch, -1, *rows.shape[1:]).swapaxes(0, 1).astype(np.float32)


def _like(ours: Any, recorded: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A trace `(time, batch, ...)` in the layout of a recording, and the recording."""
    rows = np.asarray(ours).swapaxes(0, 1)
    rows = rows.reshape(rows.shape[0] * rows.shape[1], *rows.shape[2:])
    return (rows.reshape(recorded.shape) if rows.size == recorded.size else rows), recorded


def _memories(case: Case) -> list[Any]:
    network, memories = case.mapped.network, []
    for key in case.keys:
        name = case.recorded.neurons[key]
        core = network[name]
        assert isinstance(core, Core)
        neurons = core.neuron_shape(network.in_shape(name))
        memories.append(memory_of(core.weight.shape, neurons, bias=core.bias is not None))
    return memories


def _memory(case: Case) -> Iterator[Result]:
    pairs = {}
    for kind, recorded in case.entry["memory_summary"].items():
        if isinstance(recorded, dict):
            recorded = [recorded[key] for key in in_order(recorded)]
        pairs[kind] = ([getattr(memory, kind) for memory in _memories(case)], recorded)
    yield result_of(case.group, f"{case.name}: memory", pairs)


def _places(case: Case) -> Iterator[Result]:
    for device, recorded in case.entry["placement"].items():
        name = f"{case.name}: placement on {device}"
        if device not in devices:
            yield not_covered(case.group, name, f"no device '{device}'")
            continue
        ours = match(candidates(_memories(case), spec(device)))
        if isinstance(recorded, dict):
            recorded = [recorded[key] for key in in_order(recorded)]
        if recorded is None or isinstance(recorded, str):  # the text of an error
            none = None in ours
            text = "" if none else f"placed on {ours}, recorded: {recorded}"
            yield Result(case.group, name, none, 0.0, text)
        elif None in ours:
            yield Result(case.group, name, False, np.inf, f"not placed, recorded {recorded}")
        else:
            yield result_of(case.group, name, {"core": (ours, recorded)})
