"""Cost tables of a network: the work of each of its layers, priced and summed (`compat=None`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, cast

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Shape
from neurojax._network import Network
from neurojax.metrics._activity import Activity
from neurojax.metrics.lemaire._layers import FREE, HANDS_ON, has_membrane, is_synapse
from neurojax.metrics.lemaire._prices import Prices
from neurojax.metrics.lemaire._rows import EnergyMetrics, Flag, OperationMetrics
from neurojax.metrics.lemaire._tables import EnergyTable, OperationTable
from neurojax.metrics.lemaire._work import Flow, NotKnown, Traffic, Work, all_values, work_of

GRADED = ("every_step", "once")
UNKNOWN = ("error", "nan")


def operation_table(network: Network, activity: Activity | None, **options: Any) -> OperationTable:
    """Operations and accesses of each layer; the options are those of `operations`."""

    def costs(works: list[Work]) -> dict[str, float]:
        memories = [memory for work in works for memory in work.memories]
        return {
            "syn_acc": sum(work.syn_acc for work in works),
            "syn_mac": sum(work.syn_mac for work in works),
            "addr_acc": sum(work.addr_acc for work in works),
            "addr_mac": sum(work.addr_mac for work in works),
            "mem_write": sum(memory.writes for memory in memories),
            "mem_read": sum(memory.reads for memory in memories),
        }

    return _table(OperationTable, OperationMetrics, network, activity, costs, **options)


def energy_table(
    network: Network, activity: Activity | None, prices: Prices, fifo_size: int, **options: Any
) -> EnergyTable:
    """Energies of each layer in pJ; the options are those of `operations`."""

    def costs(works: list[Work]) -> dict[str, float]:
        energy = lambda memory: memory.energy(prices, fifo_size)  # noqa: E731
        return {
            "mem_pot": sum(energy(work.pot) for work in works),
            "mem_weights": sum(energy(work.weights) for work in works),
            "mem_bias": sum(energy(work.bias) for work in works),
            "mem_io": sum(energy(work.inputs) + energy(work.outputs) for work in works),
            "ops": sum(w.syn_mac * prices.mac + w.syn_acc * prices.add for w in works),
            "addr": sum(w.addr_mac * prices.mac + w.addr_acc * prices.add for w in works),
        }

    return _table(EnergyTable, EnergyMetrics, network, activity, costs, **options)


def _table(
    table: Any,
    row: Any,
    network: Network,
    activity: Activity | None,
    costs: Callable[[list[Work]], Mapping[str, float]],
    *,
    formal: Collection[str],
    graded: str,
    unknown: str,
    exclude_nonbinary: bool,
) -> Any:
    """Rows of all layers, and their sum."""
    for name, value, legal in (("graded", graded, GRADED), ("unknown", unknown, UNKNOWN)):
        if value not in legal:
            raise ValueError(f"{name} is {value!r}; it must be one of {legal}")
    columns = list(costs([]))
    rows, problems = [], []
    accumulating = _accumulating(network, formal if activity is not None else network.names)
    for name in network.names:
        traffic = _traffic(network, name, activity, formal, accumulating, graded == "once")
        try:
            works = work_of(traffic) or []
        except NotKnown as reason:
            problems.append(f"layer '{name}': {reason}")
            cost: Mapping[str, float] = dict.fromkeys(columns, math.nan)
        else:
            if traffic.formal and len(network.incoming(name)) > 1:
                edges = 1 if network[name].many_inputs else len(network.incoming(name))
                works.append(Work(syn_acc=(edges - 1) * traffic.in_size))
            cost = {k: float(v / traffic.samples) for k, v in costs(works).items()}
        rows.append(row(name, **cost, **_flags(network, name, activity, traffic)))
    if problems and unknown == "error":
        raise ValueError("\n".join([*problems, "unknown='nan' shows the costs of the others"]))
    sums = {column: sum(getattr(r, column) for r in rows) for column in columns}
    total = row("Total", **sums, **_total_flags(network, activity, rows, exclude_nonbinary))
    return table(tuple(rows), total, tuple(problems))


def _traffic(
    network: Network,
    name: str,
    activity: Activity | None,
    formal: Collection[str],
    accumulating: Collection[str],
    once: bool,
) -> Traffic:
    """A layer and what passes it."""
    layer, shape = network[name], network.in_shape(name)
    shapes = cast(tuple[Shape, ...], tuple(shape) if layer.many_inputs else (shape,))
    out_shape = network.out_shape(name)
    if activity is None or name in formal:
        flows = tuple(all_values(shape) for shape in shapes)
        return Traffic(
            layer, shapes, out_shape, flows, all_values(out_shape), (False,) * len(flows),
            accumulates=False, steps=1, samples=1, formal=True,
        )  # fmt: skip
    edges = network.incoming(name)
    flows = tuple(_flow(network, activity, edge) for edge in edges)
    return Traffic(
        layer,
        shapes,
        out_shape,
        flows,
        _flow(network, activity, Edge(name, "")),
        tuple(
            not edge.recurrent and _origins(network, edge.source) <= set(accumulating)
            for edge in edges
        ),
        accumulates=name in accumulating,
        steps=activity.steps,
        samples=activity.samples,
        once=once and all(_stays(activity, edge) for edge in edges),
    )


def _flow(network: Network, activity: Activity, edge: Edge) -> Flow:
    """What an edge brings within the run."""
    source = activity[edge.source]
    if source.binary or not _numbers_of_spikes(network, activity, edge.source):
        flow = Flow(source.neurons, source.last, source.binary)
    else:
        flow = Flow(source.sums.astype(np.int64), source.last_sums.astype(np.int64), True)
    return flow.delayed() if edge.recurrent else flow


def _stays(activity: Activity, edge: Edge) -> bool:
    """Whether an edge can have brought the same values in all steps."""
    source = activity[edge.source]
    same = lambda each: bool((each == each[:, :1]).all())  # noqa: E731
    return not edge.recurrent and same(source.nonzero) and same(source.total)


def _numbers_of_spikes(
    network: Network, activity: Activity, name: str, behind: tuple[str, ...] = ()
) -> bool:
    """Whether a value of n, of a layer or input, stands for n spikes."""
    if activity[name].binary or name in behind:  # around a loop, it is for the others to say
        return True
    if name in activity.counting:
        return True
    return isinstance(network.layers.get(name), HANDS_ON) and all(
        _numbers_of_spikes(network, activity, edge.source, (*behind, name))
        for edge in network.incoming(name)
    )


def _accumulating(network: Network, formal: Collection[str]) -> set[str]:
    """Synapses whose events are added right into the membranes of the neurons behind them."""
    found = {}
    for name in network.names:
        if name in formal or not is_synapse(network[name]):
            continue
        targets = _targets(network, name)
        target = targets.pop() if len(targets) == 1 else None
        if target is not None and target not in formal and has_membrane(network[target]):
            found[name] = target

    def mixed(name: str) -> bool:
        """Whether it comes to the neurons together with what is no such synapse's."""
        edges = network.incoming(found[name])
        sides = [_origins(network, edge.source) for edge in edges if not edge.recurrent]
        return any(name in origins and not origins <= found.keys() for origins in sides)

    return {name for name in found if not mixed(name)}


def _targets(network: Network, name: str) -> set[str | None]:
    """Layers that get a layer's output, behind such as cost nothing; None for one step later."""
    found: set[str | None] = set()
    for edge in network.outgoing(name):
        if edge.recurrent:
            found.add(None)
        elif isinstance(network[edge.target], FREE):
            found |= _targets(network, edge.target)
        else:
            found.add(edge.target)
    return found


def _origins(network: Network, name: str) -> set[str | None]:
    """Layers and inputs that an output comes from, before such as cost nothing; None for what
    comes one step later."""
    if name in network.inputs or not isinstance(network[name], FREE):
        return {name}
    found: set[str | None] = set()
    for edge in network.incoming(name):
        found |= {None} if edge.recurrent else _origins(network, edge.source)
    return found


def _flags(
    network: Network, name: str, activity: Activity | None, traffic: Traffic
) -> dict[str, Any]:
    """The columns about activity of one layer: what comes in and out, also of a formal one."""
    if activity is None:
        return _no_rates()
    edges = network.incoming(name)
    inputs = [_flow(network, activity, edge) for edge in edges]
    output = _flow(network, activity, Edge(name, ""))
    spikes = all(flow.spikes for flow in inputs)
    flag: Flag = not traffic.formal
    if flag and is_synapse(traffic.layer) and not spikes:
        flag = "Hybrid"
    return {
        **_rates("input", activity, inputs),
        **_rates("output", activity, [output]),
        "input_is_binary": spikes,
        "output_is_binary": output.spikes,
        "is_sj": flag,
    }


def _rates(side: str, activity: Activity, flows: list[Flow]) -> dict[str, float]:
    """Events a neuron and step, and events an inference."""
    events, size = sum(flow.events for flow in flows), sum(flow.neurons.size for flow in flows)
    values = size * activity.steps * activity.samples
    return {
        f"{side}_spikerate": events / values if values else 0.0,
        f"{side}_count": events / activity.samples,
    }


def _no_rates() -> dict[str, Any]:
    rates = ("input_spikerate", "output_spikerate", "input_count", "output_count")
    flags = ("input_is_binary", "output_is_binary", "is_sj")
    return dict.fromkeys(rates) | dict.fromkeys(flags, False)


def _total_flags(
    network: Network, activity: Activity | None, rows: list[Any], exclude_nonbinary: bool
) -> dict[str, Any]:
    """The columns about activity of all: what comes in, and the spikes of all layers that spike."""
    if activity is None:
        return _no_rates()
    flows = lambda names: [_flow(network, activity, Edge(n, "")) for n in names]  # noqa: E731
    spiking = [f for f in flows(activity.spiking) if f.spikes or not exclude_nonbinary]
    flags = {row.is_sj for row in rows}
    return {
        **_rates("input", activity, flows(network.inputs)),
        **_rates("output", activity, spiking),
        "input_is_binary": all(flow.spikes for flow in flows(network.inputs)),
        "output_is_binary": all(flow.spikes for flow in flows(network.outputs)),
        "is_sj": "Hybrid" if len(flags) > 1 else flags.pop(),
    }
