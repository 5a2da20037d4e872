"""Reading a network as populations, and what is between them, in the order of the chip's steps.

A signal is *open* if it is spikes (or counts of spikes, behind pools), and *closed* once synapses
have weighed it. Neurons close a population and open the next signal. Everything linear between two
populations becomes synapses; factors of averages and `Scale` layers move into the weights. A spike
takes one step from population to population, so signals that meet must have come through as many
populations as each other: the earlier one waits in relays, memoryless neurons that pass it on.

Whatever the crossbar has no place for is a `Problem`; reading goes on after one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.cri._wanted import NEURONS, Wanted, wanted
from neurojax.layers import (
    Add,
    AvgPool1d,
    AvgPool2d,
    BatchDropout,
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Reshape,
    Scale,
    SumPool1d,
    SumPool2d,
)

WEIGHTS = (Linear, Conv1d, Conv2d)
AVERAGES = (AvgPool1d, AvgPool2d)
POOLS = (*AVERAGES, SumPool1d, SumPool2d)
MAXIMA = (MaxPool1d, MaxPool2d)
SHAPES = (Flatten, Reshape)
DROPPED = (Dropout, BatchDropout, Identity)
SUPPORTED = (
    "Linear, Conv1d, Conv2d, BatchNorm, Scale, IAF, LIF, average, sum and maximum pools, Add, "
    "Flatten, Reshape, Dropout and Identity"
)


class Part(NamedTuple):
    """Synapses that feed a population."""

    factor: float  # what their weights are multiplied with
    outer: float  # what their bias is multiplied with: factors behind them only
    before: int  # most spikes that one of their inputs counts
    after: int  # most of their outputs that are added up to one behind them
    overlap: int  # most of their inputs that count one and the same spike
    spread: int  # most values behind them that one of their inputs gets to
    sources: frozenset[str]  # where the spikes come from

    @property
    def ways(self) -> int:
        """Most weights that add up to one synapse."""
        return self.overlap * min(self.after, self.spread)


class Signal(NamedTuple):
    """What a layer gives."""

    at: str  # its name in the mapped network
    depth: int  # populations that it has passed
    factor: float = 1.0  # open: still to be multiplied with
    most: int = 1  # open: most spikes that one value counts
    overlap: int = 1  # open: most values that count one and the same spike
    sources: frozenset[str] = frozenset()  # open: where the spikes come from
    parts: dict[str, Part] | None = None  # closed: the synapses it comes from

    @property
    def open(self) -> bool:
        """It is spikes, not yet weighed."""
        return self.parts is None

    def weighed(self, spread: int) -> Part:
        """Synapses that take an open signal, each input to so many outputs of a channel."""
        return Part(self.factor, 1.0, self.most, 1, self.overlap, spread, self.sources)


def spikes_of(at: str, depth: int) -> Signal:
    """Of a population or an input."""
    return Signal(at, depth, sources=frozenset([at]))


class Link(NamedTuple):
    """Synapses from each neuron to the one of the same index."""


class Bias(NamedTuple):
    """The bias axons behind synapses."""

    of: str
    start: int


class Gate(NamedTuple):
    """Memoryless neurons that spike if any of their inputs did: OR, and a relay of one input."""


@dataclass
class Population:
    """Neurons of the network and the synapses in front of them."""

    name: str
    neuron: Any
    wanted: Wanted
    parts: dict[str, Part]
    shape: Shape


@dataclass
class Plan:
    """The mapped network without numbers."""

    layers: dict[str, Any] = field(default_factory=dict)  # Layer, Link, Bias, Gate or Population
    edges: list[Edge] = field(default_factory=list)
    populations: list[Population] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    relays: int = 0  # populations of them
    outputs: list[str] = field(default_factory=list)
    latency: int = 0
    signals: dict[str, Signal | None] = field(default_factory=dict)  # by the network's names


def read(network: Network, problems: list[Problem]) -> Plan:
    """The plan of a network. It is complete if there are no new problems."""
    return _Reader(network, problems).read()


class _Reader:
    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.network, self.problems, self.plan = network, problems, Plan()
        self.points = set(network.inputs)  # where single spikes can be had

    def read(self) -> Plan:
        plan, network = self.plan, self.network
        for name in network.inputs:
            plan.signals[name] = spikes_of(name, 0)
        for name in network.names:
            plan.signals[name] = self._layer(name, network[name])
        depths = set()
        for name in network.outputs:
            signal = plan.signals[name]
            if signal is None:
                continue
            if not signal.open or signal.most != 1 or signal.factor != 1 or not signal.depth:
                self._refuse(
                    name,
                    "an output that is no spikes of neurons",
                    "the chip reports spikes",
                    "end the network with neurons, and compute the rest from what it returns",
                )
            depths.add(signal.depth)
            plan.outputs.append(signal.at)
        if len(depths) > 1:
            self._refuse(
                "network",
                f"its outputs come {sorted(depths)} populations behind the input",
                "outputs come in the same step",
                "read one of them, or add populations",
            )
        plan.latency = max(depths, default=0)
        return plan

    def _refuse(self, name: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(name, found, legal, remedy))

    def _new(self, name: str, layer: Any, *sources: str) -> str:
        """Adds a layer that the network does not have; the name may get longer."""
        while name in self.plan.layers or name in self.network.inputs or name in self.network:
            name += "_"
        return self._add(name, layer, *sources)

    def _add(self, name: str, layer: Any, *sources: str) -> str:
        self.plan.layers[name] = layer
        self.plan.edges += [Edge(source, name) for source in sources]
        return name

    def _layer(self, name: str, layer: Layer) -> Signal | None:
        neuron = self._wanted(name, layer) if isinstance(layer, NEURONS) else None
        if not isinstance(
            layer, (*WEIGHTS, *POOLS, *MAXIMA, *SHAPES, *DROPPED, *NEURONS, Add, Scale)
        ):
            self._refuse(
                name,
                f"a {layer.describe()}",
                f"mapped are {SUPPORTED}",
                "replace it, or build this part as a CRINetwork",
            )
            return None
        for edge in self.network.incoming(name):
            if edge.recurrent:
                self._refuse(
                    name,
                    f"the recurrent edge {edge}",
                    "mapped are networks without feedback",
                    "build it as a CRINetwork, whose neurons may feed each other",
                )
        signals = [
            self.plan.signals[edge.source]
            for edge in self.network.incoming(name)
            if not edge.recurrent
        ]
        if not signals or any(signal is None for signal in signals):
            return None
        sources = [signal for signal in signals if signal is not None]
        merged = self._merge(name, sources)
        if merged is None:
            return None
        signal, ats = merged
        if isinstance(layer, NEURONS):
            return None if neuron is None else self._population(name, layer, neuron, signal, ats)
        if isinstance(layer, WEIGHTS):
            return self._weights(name, layer, signal, ats)
        if isinstance(layer, POOLS):
            return self._pool(name, layer, signal, ats)
        if isinstance(layer, MAXIMA):
            return self._maximum(name, layer, signal, ats)
        if isinstance(layer, Scale):
            signal = self._scaled(name, layer, signal)
        if isinstance(layer, SHAPES) or len(ats) > 1:
            kept = layer if isinstance(layer, SHAPES) else Add()
            return signal._replace(at=self._add(name, kept, *ats))
        self.plan.dropped.append(name)
        return signal._replace(at=ats[0])

    def _wanted(self, name: str, neuron: Layer) -> Wanted | None:
        return wanted(name, neuron, lambda *words: self._refuse(name, *words))

    # Signals that meet

    def _merge(self, name: str, signals: list[Signal]) -> tuple[Signal, list[str]] | None:
        """One signal for several that are added up, and where they come from."""
        depth = max(signal.depth for signal in signals)
        aligned = []
        for signal in signals:
            late = signal if signal.depth == depth else self._wait(name, signal, depth)
            if late is None:
                return None
            aligned.append(late)
        if len({signal.at for signal in aligned}) < len(aligned):
            self._refuse(
                name,
                f"'{aligned[0].at}' added to itself",
                "there is one synapse between two neurons",
                "use a Scale by 2",
            )
            return None
        same = len({signal.factor for signal in aligned}) == 1
        if same and all(signal.open for signal in aligned):
            added = aligned[0]._replace(
                most=sum(signal.most for signal in aligned),
                overlap=sum(signal.overlap for signal in aligned),
                sources=frozenset().union(*(signal.sources for signal in aligned)),
            )
            return added, [signal.at for signal in aligned]
        parts: dict[str, Part] = {}
        ats = []
        for signal in aligned:
            closed = self._closed(f"{signal.at}_to_{name}", signal) if signal.open else signal
            for key, part in (closed.parts or {}).items():
                if key not in parts:
                    parts[key] = part
                elif parts[key][:2] == part[:2]:
                    both = parts[key]
                    parts[key] = part._replace(
                        after=both.after + part.after, spread=both.spread + part.spread
                    )
                else:
                    self.problems.append(two_factors(key))
            ats.append(closed.at)
        return Signal(ats[0], depth, parts=parts), ats

    def _closed(self, name: str, signal: Signal) -> Signal:
        link = self._new(name, Link(), signal.at)
        return Signal(link, signal.depth, parts={link: signal.weighed(1)})

    def _wait(self, name: str, signal: Signal, depth: int) -> Signal | None:
        """The signal, delayed by relays where it is single spikes."""
        path = self._path(signal)
        if path is None:
            self._refuse(
                name,
                f"'{signal.at}' has passed {signal.depth} populations, what it meets {depth}",
                "spikes take one step from population to population",
                "put as many populations in both branches",
            )
            return None
        point, *behind = path
        last = point
        for _ in range(depth - signal.depth):
            link = self._new(f"{point}_wait", Link(), last)
            last = self._new(f"{point}_relay", Gate(), link)
            self.points.add(last)
            self.plan.relays += 1
        point_late = last
        if signal.open:
            # Pools and the like are done again, because others may take what is not late.
            for at in behind:
                last = self._new(f"{at}_late", self.plan.layers[at], last)
            return signal._replace(at=last, depth=depth, sources=frozenset([point_late]))
        self.plan.edges[self.plan.edges.index(Edge(point, behind[0]))] = Edge(last, behind[0])
        for at in behind:
            layer = self.plan.layers[at]
            if isinstance(layer, Bias):
                self.plan.layers[at] = Bias(layer.of, layer.start + depth - signal.depth)
        for known, other in self.plan.signals.items():
            if other is not None and other.at in behind:
                self.plan.signals[known] = other._replace(depth=depth)
        parts = {
            key: part._replace(sources=frozenset([point_late]))
            for key, part in (signal.parts or {}).items()
        }
        return signal._replace(depth=depth, parts=parts)

    def _path(self, signal: Signal) -> list[str] | None:
        """The way of a signal from where it is single spikes; None if it can't be delayed.

        Synapses are delayed by what is in front of them, so nothing else may take what they give.
        """
        path = [signal.at]
        while path[0] not in self.points:
            into = [edge.source for edge in self.plan.edges if edge.target == path[0]]
            takers = sum(edge.source == path[0] for edge in self.plan.edges)
            if len(into) != 1 or (not signal.open and takers > (len(path) > 1)):
                return None
            path.insert(0, into[0])
        return path

    # Layers

    def _population(
        self, name: str, neuron: Layer, want: Wanted, signal: Signal, ats: list[str]
    ) -> Signal:
        if signal.open:
            if len(ats) > 1:
                ats = [self._new(f"{name}_sum", Add(), *ats)]
            signal = self._closed(f"{name}_in", signal._replace(at=ats[0]))
            ats = [signal.at]
        assert signal.parts is not None
        shape = self.network.out_shape(name)
        population = Population(name, neuron, want, signal.parts, shape)
        self.plan.populations.append(population)
        at = self._add(name, population, *ats)
        self.points.add(at)
        return spikes_of(at, signal.depth + 1)

    def _weights(self, name: str, layer: Any, signal: Signal, ats: list[str]) -> Signal | None:
        links = [key for key in signal.parts or () if isinstance(self.plan.layers[key], Link)]
        if links:
            self._refuse(
                name,
                f"a sum of spikes with several factors in front of it ({', '.join(links)})",
                "spikes that are added in front of weights have one factor",
                "average or scale all of them, or none",
            )
            return None
        if not signal.open:
            self._refuse(
                name,
                "weights behind weights, without neurons in between",
                "a spike passes one synapse",
                "multiply the two matrices, or put neurons in between",
            )
            return None
        at = self._add(name, layer, *ats)
        parts = {at: signal.weighed(math.prod(getattr(layer, "kernel_size", ())))}
        if layer.bias is not None:
            at = self._new(f"{name}_bias", Bias(at, signal.depth), at)
        return Signal(at, signal.depth, parts=parts)

    def _pool(self, name: str, pool: Any, signal: Signal, ats: list[str]) -> Signal | None:
        taps = math.prod(pool.kernel_size)
        factor = 1.0
        if isinstance(pool, AVERAGES):
            counts = np.unique(
                taps if pool.count_padding else pool._counts(self.network.in_shape(name)[1:])
            )
            if counts.size > 1:
                self._refuse(
                    name,
                    "averages whose number of values differs at the border",
                    "a pool has one factor, which goes into the weights",
                    "use count_padding=True, or no padding",
                )
                return None
            factor = 1 / float(counts[0])
        kind = SumPool1d if len(pool.kernel_size) == 1 else SumPool2d
        summed = kind(pool.kernel_size, stride=pool.stride, padding=pool.padding)
        at = self._add(name, summed, *ats)
        windows = math.prod(
            -(-size // step) for size, step in zip(pool.kernel_size, pool.stride, strict=True)
        )
        if signal.open:
            return signal._replace(
                at=at,
                factor=signal.factor * factor,
                most=signal.most * taps,
                overlap=signal.overlap * windows,
            )
        assert signal.parts is not None
        parts = {
            key: part._replace(after=part.after * taps, spread=part.spread * windows)
            for key, part in _times(signal.parts, factor).items()
        }
        return signal._replace(at=at, parts=parts)

    def _maximum(self, name: str, pool: Any, signal: Signal, ats: list[str]) -> Signal | None:
        if not signal.open or signal.most != 1 or signal.factor != 1:
            self._refuse(
                name,
                "a maximum of what is no single spikes",
                "OR neurons compute the maximum of spikes",
                "put it behind the neurons, or use an average",
            )
            return None
        kind = SumPool1d if len(pool.kernel_size) == 1 else SumPool2d
        summed = kind(pool.kernel_size, stride=pool.stride, padding=pool.padding)
        link = self._new(f"{name}_in", Link(), *ats)
        at = self._add(name, Gate(), self._new(f"{name}_any", summed, link))
        self.points.add(at)
        return spikes_of(at, signal.depth + 1)

    def _scaled(self, name: str, scale: Scale, signal: Signal) -> Signal:
        factors = np.unique(np.asarray(scale.factor, np.float64))
        if factors.size > 1:
            self._refuse(
                name,
                "a Scale by several factors",
                "one factor goes into the weights",
                "multiply the weights with them",
            )
        factor = float(factors[0])
        if signal.open:
            return signal._replace(factor=signal.factor * factor)
        assert signal.parts is not None
        return signal._replace(parts=_times(signal.parts, factor))


def two_factors(name: str) -> Problem:
    """Synapses whose outputs come to neurons with different factors."""
    return Problem(
        name,
        "its outputs are used with several factors (averages, Scale layers)",
        "factors go into its weights",
        "use the layer twice",
    )


def _times(parts: dict[str, Part], factor: float) -> dict[str, Part]:
    return {
        key: part._replace(factor=part.factor * factor, outer=part.outer * factor)
        for key, part in parts.items()
    }
