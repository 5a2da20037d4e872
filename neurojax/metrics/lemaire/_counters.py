"""Counters of the values that go in and out of each layer, as the Qualia plug-in keeps them.

It counts at every module, and afterwards gives the counters of a neuron to the layer before it,
under the joined name of both. Nothing is taken away, so its totals count the same spikes several
times; `Rates.total` does as it does.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Collection, Iterable, Mapping

from neurojax._network import Network
from neurojax.metrics._activity import Activity, LayerActivity
from neurojax.metrics.lemaire._nodes import NEURONS, Node

ROOT = "_unnamed"  # the model itself is a module
ADDER = "_functional_activation_post_process"  # a module within its Add


@dataclasses.dataclass
class SpikeCounter:
    """Accumulated activity of what goes into a layer, or comes out of it.

    Attributes:
        spike_count: Values that are not zero.
        tensor_sum: Sum of all values.
        size: Number of values.
        binary: Whether all of them are exactly 0 or 1.
        sample_count: Samples times time steps.
    """

    spike_count: float = 0
    tensor_sum: float = 0.0
    size: int = 0
    binary: bool = True
    sample_count: int = 0


@dataclasses.dataclass
class Counters:
    """Counters by name of the layer.

    Attributes:
        inputs: What goes into each layer; the values of several inputs count together.
        outputs: What comes out of it.
        spiking: Whether the plug-in takes the layer for a spiking one.
    """

    inputs: dict[str, SpikeCounter]
    outputs: dict[str, SpikeCounter]
    spiking: dict[str, bool]


@dataclasses.dataclass(frozen=True)
class Rates:
    """What the costs depend on, by name of the layer; `TOTAL` holds that of all layers."""

    input_rates: Mapping[str, float]  # share of values that are not zero, in a step
    output_rates: Mapping[str, float]
    input_counts: Mapping[str, float]  # values that are not zero, in an inference
    output_counts: Mapping[str, float]
    input_binary: Mapping[str, bool]
    output_binary: Mapping[str, bool]
    spiking: Mapping[str, bool]
    steps: int


TOTAL = "__TOTAL__"


def counters_of(network: Network, activity: Activity, *, formal: Collection[str] = ()) -> Counters:
    """The counters of a network, from what it put out.

    Args:
        network: The network.
        activity: What `count_spikes` found, of all layers and inputs.
        formal: Layers that are no modules of SpikingJelly there.
    """
    counters = Counters({}, {}, {})
    for name in network.names:
        sources = [activity[edge.source] for edge in network.incoming(name)]
        if len(sources) > 1:  # what is within is through first: totals add up in this order
            helper = name + ADDER
            counters.spiking[helper] = False
            counters.inputs[helper] = _counter([activity[name]])
            counters.outputs[helper] = _counter([activity[name]])
        counters.spiking[name] = name not in formal
        counters.inputs[name] = _counter(sources)
        counters.outputs[name] = _counter([activity[name]])
    counters.spiking[ROOT] = True
    counters.inputs[ROOT] = _counter([activity[name] for name in network.inputs])
    counters.outputs[ROOT] = _counter([activity[name] for name in network.outputs])
    return counters


def _counter(layers: Iterable[LayerActivity]) -> SpikeCounter:
    """One counter over all values of some layers."""
    layers = list(layers)
    passes = layers[0].samples * layers[0].steps
    return SpikeCounter(
        spike_count=sum(layer.events for layer in layers),
        tensor_sum=float(sum(layer.total.sum() for layer in layers)),
        size=sum(layer.size for layer in layers) * passes,
        binary=all(layer.binary for layer in layers),
        sample_count=passes,
    )


def merge_neurons(nodes: Iterable[Node], counters: Counters) -> tuple[list[Node], Counters]:
    """Nodes and counters in which the layer before a neuron has the neuron's output.

    Such a layer gets the name of both, and so do references to it. Where binary values are added,
    coinciding spikes count one by one in what the Add puts out and in what follows it.
    """
    counters = copy.deepcopy(counters)
    merged = {node.name: node for node in nodes}
    renamed: dict[str, str] = {}
    for node in list(merged.values()):
        if node.kind in NEURONS:
            before = renamed.get(node.sources[0], node.sources[0])
            if before not in counters.inputs:
                raise ValueError(
                    f"compat='qualia': layer '{node.name}' is a neuron that nothing comes before; "
                    "the plug-in fails at it; leave out compat"
                )
            both = before + node.name
            renamed[node.sources[0]] = both
            counters.inputs[both] = counters.inputs[before]
            counters.outputs[both] = counters.outputs[node.name]
            counters.spiking[both] = counters.spiking[before]
        elif node.kind == "add" and counters.inputs[node.name].binary:
            _count_one_by_one(counters.outputs[node.name])
            for target in node.targets:
                sources = merged[target].sources
                if all(counters.outputs[source].binary for source in sources):
                    _count_one_by_one(counters.inputs[target])
    new = lambda names: tuple(renamed.get(name, name) for name in names)  # noqa: E731
    return [
        dataclasses.replace(
            node, name=new([name])[0], sources=new(node.sources), targets=new(node.targets)
        )
        for name, node in merged.items()
    ], counters


def _count_one_by_one(counter: SpikeCounter) -> None:
    counter.spike_count = counter.tensor_sum
    counter.binary = True


def rates_of(counters: Counters, steps: int, *, exclude_nonbinary: bool = True) -> Rates:
    """Rates and counts of all counters, and of all together.

    Args:
        counters: The counters.
        steps: Time steps of an inference.
        exclude_nonbinary: Whether only binary values count in the total.
    """
    rates, counts = [], []
    for side in (counters.inputs, counters.outputs):
        of_each = {name: c.spike_count / c.size for name, c in side.items()}
        in_each = {name: steps * c.spike_count / c.sample_count for name, c in side.items()}
        chosen = [name for name, c in side.items() if c.binary or not exclude_nonbinary]
        size = sum(side[name].size for name in chosen)
        spikes = sum(side[name].spike_count for name in chosen)
        rates.append(of_each | {TOTAL: spikes / size if size else 0.0})
        counts.append(in_each | {TOTAL: sum(in_each[name] for name in chosen)})
    return Rates(
        rates[0],
        rates[1],
        counts[0],
        counts[1],
        {name: counter.binary for name, counter in counters.inputs.items()},
        {name: counter.binary for name, counter in counters.outputs.items()},
        counters.spiking,
        steps,
    )
