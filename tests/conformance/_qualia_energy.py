"""Recorded energies and operations of the Qualia plug-in: prices, counts, rows, whole pipelines.

Graphs and rates are those recorded, but for `pipeline`: there our own network runs on the recorded
weights and inputs, and everything is counted and computed here. All numbers must be equal, except
sums of graded values (added up in another order) and prices of `"quadratic"` (solved for in single
precision).
"""

from __future__ import annotations

import dataclasses
import functools as ft
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import neurojax as nj
from neurojax import metrics
from neurojax.metrics.lemaire import prices
from neurojax.metrics.lemaire._counters import (
    Counters,
    Rates,
    counters_of,
    merge_neurons,
    rates_of,
)
from neurojax.metrics.lemaire._nodes import Node, nodes_of
from neurojax.metrics.lemaire._prices import Prices
from neurojax.metrics.lemaire._qualia import energy_table, operation_table
from neurojax.metrics.lemaire._qualia_counts import formal, spiking
from tests.conformance._result import Result, attempt, compare

QUADRATIC = 1e-6  # relative; the plug-in solves a system in single precision
SUMS = 1e-5  # of graded values, in single precision
THRESHOLD = 0.4  # of neurons whose threshold was not recorded; their spikes were
KINDS = {
    "TInputLayer": "input",
    "TDenseLayer": "dense",
    "TConv1DLayer": "conv",
    "TConv2DLayer": "conv",
    "TAddLayer": "add",
    "TFlattenLayer": "flatten",
    "TIfLayer": "if",
    "TLifLayer": "lif",
}

Found = list[tuple[float, str]]


def run(path: Path) -> Iterator[Result]:
    """The results of one file."""
    one = {
        "energy_primitives": _prices,
        "energy_layer_counts": _layer_counts,
        "energy_snn_given_rates": _given_rates,
        "energy_fnn": _formal,
        "pipeline": _pipeline,
    }[path.stem]
    yield from one(path, json.loads(path.read_text()))


def _prices(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    for row in recorded["op_energy_pj"]:
        name = f"{row['op']}, {row['mem_width']} bits"
        try:
            got: Any = prices(
                row["mem_width"], op_estimation_type=row["op"], single_precision=True
            )[:2]
        except ValueError:
            got = "ValueError"
        if "ValueError" in (got, row["add_mul"]):
            same = got == row["add_mul"]
            text = "" if same else f"recorded {row['add_mul']}, got {got}"
            yield Result(path.stem, name, same, 0.0, text)
            continue
        tolerance = QUADRATIC if row["op"] == "quadratic" else 0.0
        yield _result(path.stem, name, [compare("prices", row["add_mul"], got, rtol=tolerance)])
    for row in recorded["e_ram_pj"]:
        held = prices(row["bits"], sram_estimation_type=row["sram"])
        got = held.ram(row["mem_params"])
        name = f"{row['sram']}, {row['mem_params']} values of {row['bits']} bits"
        yield _result(path.stem, name, [compare("an access", row["pj"], got)])


def _layer_counts(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    """Each counting method, and its energy at 16 bits with queues of 100."""
    each = prices(16)
    for row in recorded["rows"]:
        node, steps = node_of(row["layer"]), row["timesteps"]
        got = _methods(node, row, each)
        unknown = sorted(row["out"].keys() - got.keys())
        if unknown:
            raise ValueError(f"the recording has unknown methods: {', '.join(unknown)}")
        found = [compare(key, value, got[key]) for key, value in row["out"].items()]
        name = f"{row['model']} {node.name}, {steps} steps, leak {row['leak']}"
        yield _result(path.stem, name, found)


def _methods(node: Node, row: Mapping[str, Any], each: Prices) -> dict[str, float]:
    f = formal(node)
    assert f is not None
    fifo, bias = each.ram(100), node.bias
    got: dict[str, float] = {
        "rdin_fnn": f.read_in,
        "rdweights_fnn": f.read_weights,
        "rdbias_fnn": f.read_bias,
        "wrout_fnn": f.write_out,
        "mac_ops_fnn": f.syn_mac,
        "acc_ops_fnn": f.syn_acc,
        "mac_addr_fnn": f.addr_mac,
        "acc_addr_fnn": f.addr_acc,
        "e_rdin_fnn": f.read_in * each.ram(node.inputs),
        "e_rdweights_fnn": f.read_weights * each.ram(node.weights),
        "e_rdbias_fnn": f.read_bias * each.ram(node.biases) if bias else 0,
        "e_wrout_fnn": f.write_out * each.ram(node.outputs),
        "e_ops_fnn": f.syn_mac * each.mac + f.syn_acc * each.add,
        "e_addr_fnn": f.addr_mac * each.mac + f.addr_acc * each.add,
    }
    if node.kind == "add":
        return got
    rates = row["rate_in_per_inference"], row["rate_out_per_inference"]
    s = spiking(node, *rates, row["timesteps"], leak=row["leak"])
    return got | {
        "rdin_snn": s.read_in,
        "rdweights_snn": s.read_weights,
        "rdbias_snn": s.read_bias,
        "wrout_snn": s.write_out,
        "wrpot_snn": s.read_pot,
        "rdpot_snn": s.read_pot,
        "mac_ops_snn": s.syn_mac,
        "acc_ops_snn": s.syn_acc,
        "mac_addr_snn": s.addr_mac,
        "acc_addr_snn": s.addr_acc,
        "e_rdin_snn": s.read_in * fifo,
        "e_rdweights_snn": s.read_weights * each.ram(node.weights),
        "e_rdbias_snn": s.read_bias * each.ram(node.biases) if bias else 0,
        "e_wrout_snn": s.write_out * fifo,
        "e_wrpot_snn": s.read_pot * each.ram(node.outputs),
        "e_rdpot_snn": s.read_pot * each.ram(node.outputs),
        "e_ops_snn": s.syn_mac * each.mac + s.syn_acc * each.add,
        "e_addr_snn": s.addr_mac * each.mac + s.addr_acc * each.add,
    }


def _given_rates(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    for number, case in enumerate(recorded["cases"]):
        nodes = [node_of(layer) for layer in case["graph"]]
        rates = _recorded_rates(case)
        name = f"{number} {case['model']}, {case['timesteps']} steps"
        found = list(_energies(nodes, rates, case["energy"]))
        found += _rows(operation_table(nodes, rates), case["operations"])
        yield _result(path.stem, name, found)


def _formal(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    for number, case in enumerate(recorded["cases"]):
        nodes = [node_of(layer) for layer in case["graph"]]
        found = list(_energies(nodes, None, case["energy"]))
        table = operation_table(nodes, None)
        found += _rows(table, case["operations"])
        found.append(_text("summary", case["operations_summary"], table.summary))
        yield _result(path.stem, f"{number} {case['model']}", found)


def _energies(nodes: Sequence[Node], rates: Rates | None, recorded: Iterable[Any]) -> Iterator[Any]:
    for each in recorded:
        config = dict(each["config"])
        fifo_size = config.pop("fifo_size")
        quadratic = "quadratic" in (config.get("op_estimation_type") or {}).values()
        width = config.pop("mem_width")
        table = energy_table(
            nodes, rates, prices(width, single_precision=True, **config), fifo_size
        )
        yield from _rows(table, each["rows"], QUADRATIC if quadratic else 0.0)
        if "summary" in each:
            yield _text("summary", each["summary"], table.summary)


def _pipeline(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    with np.load(path.with_suffix(".npz")) as stored:
        arrays = dict(stored)
    runs: dict[str, Any] = {}  # what two cases on the same data share
    for case in recorded["cases"]:
        key = case["key"]
        one = ft.partial(_pipeline_case, case, arrays, runs)
        exclude = case["total_spikerate_exclude_nonbinary"]
        yield from attempt(path.stem, f"{key}, {'binary only' if exclude else 'all'}", one)


def _pipeline_case(
    case: dict[str, Any], arrays: dict[str, np.ndarray], runs: dict[str, Any]
) -> Iterator[Result]:
    prefix = f"{case['key']}/"
    if case["key"] not in runs:
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        runs[case["key"]] = _run_here(case, own)
    network, activity, found = runs[case["key"]]
    plain = [part["name"] for part in case["spec"] if part.get("ann")]
    counters = counters_of(network, activity, formal=plain)
    helpers = [name for name in case["raw_counters"]["inputs"] if name not in counters.inputs]
    for name in helpers:  # modules within modules that have no counterpart here
        _add_recorded(counters, case["raw_counters"], name)
    found = found + list(_counters(counters, case["raw_counters"]))
    nodes, counters = merge_neurons(nodes_of(network), counters)
    exclude = case["total_spikerate_exclude_nonbinary"]
    rates = rates_of(counters, case["timesteps"], exclude_nonbinary=exclude)
    found += _compare_rates(rates, case)
    found += _compare_graph(nodes, case["graph_after"])
    options = {"compat": "qualia", "formal": plain, "exclude_nonbinary": exclude}
    config = case["energy_config"]
    if helpers:
        each = prices(config["mem_width"], single_precision=True)
        energies = energy_table(nodes, rates, each, config["fifo_size"])
        operations = operation_table(nodes, rates)
    else:
        energies = metrics.energy(network, activity, **config, **options)
        operations = metrics.operations(network, activity, **options)
    found += _rows(energies, case["energy_rows"])
    found += _rows(operations, case["operation_rows"])
    if "csv" in case:
        found += [
            _text("csv", "\n".join(case["csv"]) + "\n", energies.csv),
            _text("energy summary", case["energy_summary"], energies.summary),
            _text("operations summary", case["operations_summary"], operations.summary),
        ]
    what = "its totals count a spike once for each module that hands it on"
    result = _result("pipeline", f"{case['key']}, {'binary only' if exclude else 'all'}", found)
    yield result._replace(expectation=what)


def _run_here(
    case: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[nj.Network, metrics.Activity, Found]:
    """Our network, what it did, and whether it spiked as recorded, by step and by neuron."""
    network = network_of(case, arrays)
    x = np.moveaxis(arrays["x"], -1, 1)
    x = np.broadcast_to(x, (case["timesteps"], *x.shape))
    activity = metrics.count_spikes(network, x, batch_size=case["batch_size"])
    found = []
    for name in (part["name"] for part in case["spec"] if part["kind"] == "neuron"):
        recorded = arrays[f"spikes/{name}"].astype(np.int64)
        counted = recorded.reshape(*recorded.shape[:2], -1).sum(-1).T
        found.append(compare(f"spikes of {name}", counted, activity[name].nonzero))
        neurons = recorded.sum((0, 1))
        found.append(compare(f"spikes of the neurons of {name}", neurons, activity[name].neurons))
    return network, activity, found


def network_of(case: dict[str, Any], arrays: dict[str, np.ndarray]) -> nj.Network:
    """The recorded network, channels first."""
    layers, edges = {}, []
    before = "input"
    for part in case["spec"]:
        name = part["name"]
        prefix = f"{name}."
        own = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
        layers[name] = _layer(part, own)
        edges += [(source, name) for source in part.get("src", [before])]
        before = name
    *sizes, channels = case["input_shape"]
    return nj.Network(layers, edges, inputs=(channels, *sizes), outputs=[before])


def _layer(part: dict[str, Any], own: dict[str, np.ndarray]) -> nj.Layer:
    kind = part["kind"]
    if kind == "fc":
        return nj.Linear.from_weights(own["weight"], own.get("bias"))
    if kind in ("conv1d", "conv2d"):
        return (nj.Conv1d if kind == "conv1d" else nj.Conv2d).from_weights(
            own["weight"],
            own.get("bias"),
            stride=part.get("s", 1),
            padding=part.get("p", 0),
            groups=part.get("g", 1),
        )
    if kind == "bn2d":
        names = ("weight", "bias", "running_mean", "running_var")
        return nj.BatchNorm.from_weights(*(own[name] for name in names), inference=True)
    if kind == "neuron":
        options: dict[str, Any] = {"threshold": part.get("vth", THRESHOLD)}
        if not part.get("soft", True):
            options["reset"] = "zero"
        if part["n"] == "IF":
            return nj.IAF(**options)
        leak = 1 / part.get("tau", 2.0)
        if "w" in own:  # of PLIF
            leak = float(1 / (1 + np.exp(-own["w"].astype(np.float64))))
        return nj.LIF(decay=1 - leak, normalize_input=part.get("decay_input", True), **options)
    simple: dict[str, Any] = {"flatten": nj.Flatten, "add": nj.Add}
    return simple[kind]() if kind in simple else nj.MaxPool2d(part["k"])


def node_of(layer: Mapping[str, Any]) -> Node:
    """A layer of a recorded graph."""
    return Node(
        name=layer["name"],
        kind=KINDS.get(layer["type"], "other"),
        in_shapes=tuple(tuple(shape[1:]) for shape in layer["input_shape"]),
        out_shape=tuple(layer["output_shape"][0][1:]),
        sources=tuple(layer["innodes"]),
        targets=tuple(layer["outnodes"]),
        kernel=tuple(layer.get("kernel_size", ())),
        stride=tuple(layer.get("strides", ())),
        weights=layer.get("kernel_numel", 0),
        biases=layer.get("bias_numel", 0),
        bias=layer.get("use_bias", False),
    )


RATES = {
    "input_spikerates": "input_rates",
    "output_spikerates": "output_rates",
    "input_counts": "input_counts",
    "output_counts": "output_counts",
    "input_is_binary": "input_binary",
    "output_is_binary": "output_binary",
    "is_module_sj": "spiking",
}


def _recorded_rates(case: Mapping[str, Any]) -> Rates:
    return Rates(**{ours: case[key] for key, ours in RATES.items()}, steps=case["timesteps"])


def _compare_rates(rates: Rates, case: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for key, ours in RATES.items():
        got, recorded = getattr(rates, ours), case[key]
        yield _text(f"names in {key}", sorted(recorded), sorted(got))
        names = sorted(recorded.keys() & got.keys())
        yield compare(key, [recorded[n] for n in names], [got[n] for n in names])


def _add_recorded(counters: Counters, recorded: Mapping[str, Any], name: str) -> None:
    kind = type(next(iter(counters.inputs.values())))
    counters.spiking[name] = recorded["is_module_sj"][name]
    counters.inputs[name] = kind(**recorded["inputs"][name])
    counters.outputs[name] = kind(**recorded["outputs"][name])


def _counters(counters: Counters, recorded: Mapping[str, Any]) -> Iterator[tuple[float, str]]:
    for side in ("inputs", "outputs"):
        ours = getattr(counters, side)
        yield _text(f"names of {side}", sorted(recorded[side]), sorted(ours))
        for name, counter in recorded[side].items():
            for field, value in counter.items():
                tolerance = SUMS if field == "tensor_sum" else 0.0
                what = f"{field} of the {side} of {name}"
                yield compare(what, value, getattr(ours[name], field), rtol=tolerance, atol=SUMS)
    yield _text("spiking modules", recorded["is_module_sj"], counters.spiking)


def _compare_graph(nodes: Sequence[Node], recorded: Sequence[Any]) -> Iterator[tuple[float, str]]:
    """Names, shapes and numbers of parameters of the merged graph."""
    for ours, layer in zip(nodes, recorded, strict=True):
        theirs = node_of(layer)
        if theirs.kind == "other":  # costs nothing there, so nothing is said about it here
            theirs = dataclasses.replace(
                theirs, kernel=(), stride=(), weights=0, biases=0, bias=False
            )
        yield _text(f"node {theirs.name}", theirs, ours)


def _rows(table: Any, recorded: Sequence[Any], tolerance: float = 0.0) -> Iterator[Any]:
    ours = [row.asnamedtuple()._asdict() for row in (*table.rows, table.total)]
    yield _text("rows", [row["name"] for row in recorded], [row["name"] for row in ours])
    yield _text("columns", list(recorded[0]), list(ours[0]))
    for got, row in zip(ours, recorded, strict=True):
        for column, value in row.items():
            what = f"{column} of {row['name']}"
            if isinstance(value, float | int) and not isinstance(value, bool):
                yield compare(what, value, got[column], rtol=tolerance)
            else:
                yield _text(what, value, got[column])


def _text(what: str, recorded: Any, got: Any) -> tuple[float, str]:
    """Things that are no numbers."""
    if recorded == got:
        return 0.0, ""
    a, b = str(recorded), str(got)
    at = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), len(min(a, b)))
    return np.inf, f"{what}: recorded ...{a[at : at + 60]!r}, got ...{b[at : at + 60]!r}"


def _result(group: str, case: str, found: Found) -> Result:
    difference = next((text for _, text in found if text), "")
    return Result(group, case, not difference, max(e for e, _ in found), difference)
