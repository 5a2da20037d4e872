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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

POOLS: dict[str, Any] = {
    "maxpool1d": nj.MaxPool1d,
    "maxpool2d": nj.MaxPool2d,
    "avgpool1d": nj.AvgPool1d,
    "avgpool2d": nj.AvgPool2d,
}
SIMPLE: dict[str, Any] = {
    "flatten": nj.Flatten,
    "add": nj.Add,
    "relu": nj.ReLU,
    "identity": nj.Identity,
    "dropout": nj.Identity,  # after training
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
        options = {"op_estimation_type": row["op"], "single_precision": True}
        held = ft.partial(prices, row["mem_width"], **options)
        got = _or_refused(lambda held=held: list(held()[:2]))
        yield _price(path, name, row["add_mul"], got, _tolerance(options))
    for row in recorded["e_ram_pj"]:
        name = f"{row['sram']}, {row['mem_params']} values of {row['bits']} bits"
        options = {"sram_estimation_type": row["sram"], "single_precision": True}
        got = _or_refused(
            lambda row=row, o=options: prices(row["bits"], **o).ram(row["mem_params"])
        )
        yield _price(path, name, row["pj"], got)


def _or_refused(price: Callable[[], Any]) -> Any:
    """A price, or that we refuse to give one."""
    try:
        return price()
    except ValueError:
        return "ValueError"


def _price(path: Path, name: str, recorded: Any, got: Any, tolerance: float = 0.0) -> Result:
    if isinstance(recorded, str) or isinstance(got, str):  # the name of an error, whichever it is
        same = isinstance(recorded, str) and isinstance(got, str)
        return Result(path.stem, name, same, 0.0, "" if same else f"recorded {recorded}, got {got}")
    return _result(path.stem, name, [compare("a price", recorded, got, rtol=tolerance)])


def _tolerance(config: Mapping[str, Any]) -> float:
    """How far prices may be off: the plug-in's parabola is one of single precision."""
    kinds = config.get("op_estimation_type")
    kinds = kinds.values() if isinstance(kinds, Mapping) else [kinds]
    return QUADRATIC if "quadratic" in kinds else 0.0


def _layer_counts(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    """Each counting method, and its energy at 16 bits with queues of 100."""
    each = prices(16)
    for row in recorded["rows"]:
        name = f"{row['model']} {row['layer']['name']}, {row['timesteps']} steps"
        name = f"{name}, leak {row['leak']}"
        yield from attempt(path.stem, name, ft.partial(_counts_of_layer, path, name, row, each))


def _counts_of_layer(
    path: Path, name: str, row: Mapping[str, Any], each: Prices
) -> Iterator[Result]:
    got = _methods(node_of(row["layer"]), row, each)
    unknown = sorted(row["out"].keys() - got.keys())
    if unknown:
        raise ValueError(f"the recording has unknown methods: {', '.join(unknown)}")
    found = [compare(key, value, got[key]) for key, value in row["out"].items()]
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
        name = f"{number} {case['model']}, {case['timesteps']} steps"
        rates = ft.partial(_recorded_rates, case)
        yield from attempt(path.stem, name, ft.partial(_tables, path, name, case, rates))


def _formal(path: Path, recorded: dict[str, Any]) -> Iterator[Result]:
    for number, case in enumerate(recorded["cases"]):
        name = f"{number} {case['model']}"
        yield from attempt(path.stem, name, ft.partial(_tables, path, name, case, lambda: None))


def _tables(
    path: Path, name: str, case: Mapping[str, Any], rates: Callable[[], Rates | None]
) -> Iterator[Result]:
    """All tables of one graph with its rates, those that were recorded."""
    nodes = [node_of(layer) for layer in case["graph"]]
    found = list(_energies(nodes, rates(), case.get("energy", ())))
    table = operation_table(nodes, rates())
    if "operations" in case:
        found += _rows(table, case["operations"])
    if "operations_summary" in case:
        found.append(_text("summary", case["operations_summary"], table.summary))
    yield _result(path.stem, name, found)


def _energies(nodes: Sequence[Node], rates: Rates | None, recorded: Iterable[Any]) -> Iterator[Any]:
    for each in recorded:
        config = each["config"]
        table = energy_table(nodes, rates, *_prices_of(config))
        yield from _rows(table, each["rows"], _tolerance(config))
        if "summary" in each and not _tolerance(config):
            yield _text("summary", each["summary"], table.summary)


def _prices_of(config: Mapping[str, Any]) -> tuple[Prices, int]:
    """Prices and the size of queues."""
    options = {key: config.get(key) for key in ("op_estimation_type", "sram_estimation_type")}
    held = prices(config["mem_width"], single_precision=True, **options)
    return held, config.get("fifo_size") or 0


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
    order = [name for name in case["raw_counters"]["inputs"] if name not in helpers]
    found = [*found, _text("order of names", order, list(counters.inputs))]
    for name in helpers:  # modules within modules that have no counterpart here
        _add_recorded(counters, case["raw_counters"], name)
    _order(counters, case["raw_counters"])
    found = found + list(_counters(counters, case["raw_counters"]))
    nodes, counters = merge_neurons(nodes_of(network), counters)
    exclude = case["total_spikerate_exclude_nonbinary"]
    rates = rates_of(counters, case["timesteps"], exclude_nonbinary=exclude)
    found += _compare_rates(rates, case)
    found += _compare_graph(nodes, case["graph_after"])
    options = {"compat": "qualia", "formal": plain, "exclude_nonbinary": exclude}
    config = dict(case["energy_config"])
    config.pop("total_spikerate_exclude_nonbinary", None)
    tolerance = _tolerance(config)
    if helpers:
        energies = energy_table(nodes, rates, *_prices_of(config))
        operations = operation_table(nodes, rates)
    else:
        energies = metrics.energy(network, activity, **config, **options)
        operations = metrics.operations(network, activity, **options)
    found += _rows(energies, case["energy_rows"], tolerance)
    found += _rows(operations, case["operation_rows"])
    texts = {"operations_summary": operations.summary}
    if not tolerance:  # else the last digits are different
        texts |= {"csv": energies.csv, "energy_summary": energies.summary}
    for key in texts.keys() & case.keys():
        text = case[key] if isinstance(case[key], str) else "\n".join(case[key]) + "\n"
        found.append(_text(key, text, texts[key]))
    what = "its totals count a spike once for each module that hands it on"
    result = _result("pipeline", f"{case['key']}, {'binary only' if exclude else 'all'}", found)
    yield result._replace(expectation=what)


def _run_here(
    case: dict[str, Any], arrays: dict[str, np.ndarray]
) -> tuple[nj.Network, metrics.Activity, Found]:
    """Our network, what it did, and whether it spiked as recorded, by step and by neuron."""
    network = network_of(case, arrays)
    x = arrays["x"]
    if x.ndim > len(case["input_shape"]) + 1:  # the steps are in the data, behind the samples
        x = np.moveaxis(np.moveaxis(x, 1, 0), -1, 2)
    else:
        x = np.moveaxis(x, -1, 1)
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
    if kind in ("bn1d", "bn2d"):
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
    if kind in POOLS:
        strides = {"stride": part["s"]} if "s" in part else {}
        return POOLS[kind](part["k"], padding=part.get("p", 0), **strides)
    if kind not in SIMPLE:
        raise ValueError(f"layer '{part['name']}' is of the unknown kind '{kind}'")
    return SIMPLE[kind]()


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


def _order(counters: Counters, recorded: Mapping[str, Any]) -> None:
    """Put the names in the order recorded: totals are sums in this order."""
    for field in ("inputs", "outputs"):
        ours = getattr(counters, field)
        names = dict.fromkeys([*recorded[field], *ours])
        setattr(counters, field, {name: ours[name] for name in names if name in ours})


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
