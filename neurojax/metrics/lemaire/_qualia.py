"""Cost tables as the Qualia plug-in computes them, number for number (`compat="qualia"`)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from neurojax.metrics.lemaire._counters import TOTAL, Rates
from neurojax.metrics.lemaire._nodes import COSTED, NEURONS, Node
from neurojax.metrics.lemaire._prices import Prices
from neurojax.metrics.lemaire._qualia_counts import SpikingCounts, dense_macs, formal, spiking
from neurojax.metrics.lemaire._rows import EnergyMetrics, Flag, OperationMetrics
from neurojax.metrics.lemaire._tables import EnergyTable, OperationTable

ENERGIES = ("mem_pot", "mem_weights", "mem_bias", "mem_io", "ops", "addr")
OPERATIONS = ("syn_acc", "syn_mac", "addr_acc", "addr_mac", "mem_write", "mem_read")
RATES = ("input_spikerate", "output_spikerate", "input_count", "output_count")
FLAGS = ("input_is_binary", "output_is_binary", "is_sj")

Costs = dict[str, float]


def energy_table(
    nodes: Sequence[Node], rates: Rates | None, prices: Prices, fifo_size: int = 0
) -> EnergyTable:
    """Energies of a spiking network, or of a formal one if there are no rates."""

    def costs(node: Node) -> Costs | None:
        if rates is None or not rates.spiking[node.name]:
            return _formal_energy(node, prices)
        if node.kind in COSTED:
            return _spiking_energy(node, _counts(nodes, node, rates), prices, fifo_size)
        return None

    rows, total, notes = _table(EnergyMetrics, ENERGIES, nodes, rates, costs)
    return EnergyTable(rows, total, notes)


def operation_table(nodes: Sequence[Node], rates: Rates | None) -> OperationTable:
    """Operations of a spiking network, or of a formal one if there are no rates."""

    def costs(node: Node) -> Costs | None:
        if rates is None or not rates.spiking[node.name]:
            return _formal_operations(node, in_spiking=rates is not None)
        if node.kind in COSTED:
            return _spiking_operations(node, _counts(nodes, node, rates))
        return None

    rows, total, notes = _table(OperationMetrics, OPERATIONS, nodes, rates, costs)
    return OperationTable(rows, total, notes)


def _table(
    row: Any,
    columns: Sequence[str],
    nodes: Sequence[Node],
    rates: Rates | None,
    costs: Callable[[Node], Costs | None],
) -> tuple[tuple[Any, ...], Any, tuple[str, ...]]:
    """The rows that the plug-in makes, its total, and what it leaves out."""
    kinds = {node.name: node.kind for node in nodes}
    rows, silent = [], []
    for node in nodes:
        merged = node.kind in NEURONS and kinds[node.sources[0]] in COSTED
        if node.kind == "input" or (merged and rates is not None):
            continue
        cost = costs(node)
        free = node.kind == "flatten" or (node.kind == "add" and rates is not None)
        if cost is None and not free:
            silent.append(node.name)
        if cost is None and not free and rates is None:
            continue  # a spiking network has rows of zeros instead
        rows.append(row(node.name, **(cost or dict.fromkeys(columns, 0)), **_flags(rates, node)))
    sums = {column: sum(getattr(r, column) for r in rows) for column in columns}
    notes = [f"no cost was counted for {', '.join(silent)}, as in the plug-in"] if silent else []
    return tuple(rows), row("Total", **sums, **_total_flags(rates, nodes)), tuple(notes)


def _flags(rates: Rates | None, node: Node) -> dict[str, Any]:
    """The columns about activity of one layer."""
    if rates is None:
        return dict.fromkeys(RATES) | dict.fromkeys(FLAGS, False)
    flag: Flag = rates.spiking[node.name]
    graded = not rates.input_binary[node.name]
    return {
        **_rates(rates, node.name),
        "input_is_binary": not graded,
        "output_is_binary": rates.output_binary[node.name],
        "is_sj": "Hybrid" if flag and graded and node.kind in COSTED else flag,
    }


def _total_flags(rates: Rates | None, nodes: Sequence[Node]) -> dict[str, Any]:
    """The same of all: what goes into the first layer and comes out of the last."""
    if rates is None:
        return dict.fromkeys(RATES) | dict.fromkeys(FLAGS, False)
    flags = set(rates.spiking.values())
    return {
        **_rates(rates, TOTAL),
        "input_is_binary": rates.input_binary[nodes[1].name],
        "output_is_binary": rates.output_binary[nodes[-1].name],
        "is_sj": "Hybrid" if len(flags) > 1 else flags.pop(),
    }


def _rates(rates: Rates, name: str) -> dict[str, float]:
    sides = (rates.input_rates, rates.output_rates, rates.input_counts, rates.output_counts)
    return {column: side[name] for column, side in zip(RATES, sides, strict=True)}


class _Counts(NamedTuple):
    """What the plug-in counts of a layer with weights, and how it takes the layer."""

    whole: SpikingCounts  # of an inference
    now: SpikingCounts  # the same, or with graded inputs that of one step
    rate: float  # of the inputs in a step
    leak: bool
    graded: bool


def _counts(nodes: Sequence[Node], node: Node, rates: Rates) -> _Counts:
    first = next((n.kind for n in nodes if n.name in node.targets[:1]), None)
    leak, graded = first == "lif", not rates.input_binary[node.name]
    rate, steps = rates.input_rates[node.name], rates.steps
    # Without neurons right behind it, it seems to put out nothing.
    rate_out = steps * rates.output_rates[node.name] if first in NEURONS else 0
    whole = spiking(node, steps * rate, rate_out, steps, leak=leak)
    one_step = spiking(node, rate, 0, 1, leak=leak)
    return _Counts(whole, one_step if graded else whole, rate, leak, graded)


def _formal_energy(node: Node, prices: Prices) -> Costs | None:
    counts = formal(node)
    if counts is None:
        return None
    return {
        "mem_pot": 0,
        "mem_weights": counts.read_weights * prices.ram(node.weights) if node.weights else 0,
        "mem_bias": counts.read_bias * prices.ram(node.biases) if node.bias else 0,
        "mem_io": counts.read_in * prices.ram(node.inputs)
        + counts.write_out * prices.ram(node.outputs),
        "ops": counts.syn_mac * prices.mac + counts.syn_acc * prices.add,
        "addr": counts.addr_mac * prices.mac + counts.addr_acc * prices.add,
    }


def _formal_operations(node: Node, *, in_spiking: bool) -> Costs | None:
    counts = formal(node)
    if counts is None:
        return None
    # In a formal network biases are read whether there are any or not.
    bias = counts.read_bias if node.bias or not in_spiking else 0
    return {
        "syn_acc": counts.syn_acc,
        "syn_mac": counts.syn_mac,
        "addr_acc": counts.addr_acc,
        "addr_mac": counts.addr_mac,
        "mem_write": counts.write_out,
        "mem_read": counts.read_in + counts.read_weights + bias,
    }


def _spiking_energy(node: Node, counts: _Counts, prices: Prices, fifo_size: int) -> Costs:
    whole, now = counts.whole, counts.now
    fifo = prices.ram(fifo_size)
    ops = whole.syn_mac * prices.mac + whole.syn_acc * prices.add
    if counts.graded:
        leaks = node.outputs if counts.leak else 0
        ops = dense_macs(node) * counts.rate * prices.mac + node.outputs * prices.add
        ops = ops + leaks * prices.mul + whole.write_out * prices.add
    return {
        "mem_pot": whole.read_pot * prices.ram(node.outputs) * 2,
        "mem_weights": now.read_weights * prices.ram(node.weights),
        "mem_bias": whole.read_bias * prices.ram(node.biases) if node.bias else 0,
        "mem_io": now.read_in * fifo + whole.write_out * fifo,
        "ops": ops,
        "addr": now.addr_mac * prices.mac + now.addr_acc * prices.add,
    }


def _spiking_operations(node: Node, counts: _Counts) -> Costs:
    whole, now = counts.whole, counts.now
    syn_acc, syn_mac = whole.syn_acc, whole.syn_mac
    bias = whole.read_bias if node.bias else 0
    if counts.graded:
        syn_acc = node.outputs + whole.write_out
        syn_mac = dense_macs(node) * counts.rate + (node.outputs if counts.leak else 0)
    return {
        "syn_acc": syn_acc,
        "syn_mac": syn_mac,
        "addr_acc": now.addr_acc,
        "addr_mac": now.addr_mac,
        "mem_write": whole.write_out + whole.read_pot,
        # Weights are those of the inference also where inputs are those of a step.
        "mem_read": now.read_in + whole.read_weights + bias + whole.read_pot,
    }
