"""Reading a network as a plan, layer by layer.

Everything linear between two populations becomes synapses; factors of averages and `Scale` layers
move into the weights. Whatever the crossbar has no place for is a `Problem`; reading goes on after
one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.cri._draft import Draft
from neurojax.chips.cri._links import Index, Pick, SumTerms
from neurojax.chips.cri._plan import Bias, Gate, Link, Part, Plan, Population, Signal, spikes_of
from neurojax.chips.cri._terms import MOST_TERMS, moved, product, single, terms_of_product
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
    MatMul,
    MaxPool1d,
    MaxPool2d,
    Permute,
    Reshape,
    Scale,
    Slice,
    SumPool1d,
    SumPool2d,
)

WEIGHTS = (Linear, Conv1d, Conv2d)
AVERAGES = (AvgPool1d, AvgPool2d)
POOLS = (*AVERAGES, SumPool1d, SumPool2d)
MAXIMA = (MaxPool1d, MaxPool2d)
SHAPES = (Flatten, Reshape, Permute, Slice)
DROPPED = (Dropout, BatchDropout, Identity)
SUPPORTED = (
    "Linear, Conv1d, Conv2d, BatchNorm, Scale, IAF, LIF, average, sum and maximum pools, Add, "
    "MatMul, Flatten, Reshape, Permute, Slice, Dropout and Identity"
)


def read(network: Network, problems: list[Problem]) -> Plan:
    """The plan of a network. It is complete if there are no new problems."""
    return _Reader(network, problems).read()


class _Reader:
    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.draft = Draft(network, problems)
        self.network, self.plan = network, self.draft.plan

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
            if (
                not signal.open
                or signal.terms is not None
                or signal.most != 1
                or signal.factor != 1
                or not signal.depth
            ):
                self.draft.refuse(
                    name,
                    "an output that is no spikes of neurons",
                    "the chip reports spikes",
                    "end the network with neurons, and compute the rest from what it returns",
                )
            depths.add(signal.depth)
            plan.outputs.append(signal.at)
        if len(depths) > 1:
            self.draft.refuse(
                "network",
                f"its outputs come {sorted(depths)} populations behind the input",
                "outputs come in the same step",
                "read one of them, or add populations",
            )
        plan.latency = max(depths, default=0)
        return plan

    def _layer(self, name: str, layer: Layer) -> Signal | None:
        neuron = self._wanted(name, layer) if isinstance(layer, NEURONS) else None
        if not isinstance(
            layer, (*WEIGHTS, *POOLS, *MAXIMA, *SHAPES, *DROPPED, *NEURONS, Add, MatMul, Scale)
        ):
            self.draft.refuse(
                name,
                f"a {layer.describe()}",
                f"mapped are {SUPPORTED}",
                "replace it, or build this part as a CRINetwork",
            )
            return None
        for edge in self.network.incoming(name):
            if edge.recurrent:
                self.draft.refuse(
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
        if isinstance(layer, MatMul):
            return self._product(name, sources)
        if len(sources) == 1 and sources[0].terms is not None:
            signal, terms = sources[0], sources[0].terms
            if isinstance(layer, SHAPES):
                return signal._replace(terms=moved(terms, layer))
            if isinstance(layer, Scale):
                self.plan.dropped.append(name)
                return self._scaled(name, layer, signal)
            if isinstance(layer, DROPPED):
                self.plan.dropped.append(name)
                return signal
        sources = [self._with_gates(signal) for signal in sources]
        merged = self.draft.merge(name, sources)
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
            return signal._replace(at=self.draft.add(name, kept, *ats))
        self.plan.dropped.append(name)
        return signal._replace(at=ats[0])

    def _wanted(self, name: str, neuron: Layer) -> Wanted | None:
        return wanted(name, neuron, lambda *words: self.draft.refuse(name, *words))

    # Layers

    def _population(
        self, name: str, neuron: Layer, want: Wanted, signal: Signal, ats: list[str]
    ) -> Signal:
        if signal.open:
            if len(ats) > 1:
                ats = [self.draft.new(f"{name}_sum", Add(), *ats)]
            signal = self.draft.closed(f"{name}_in", signal._replace(at=ats[0]))
            ats = [signal.at]
        assert signal.parts is not None
        shape = self.network.out_shape(name)
        population = Population(name, neuron, want, signal.parts, shape)
        self.plan.populations.append(population)
        at = self.draft.add(name, population, *ats)
        self.draft.points.add(at)
        return spikes_of(at, signal.depth + 1)

    def _weights(self, name: str, layer: Any, signal: Signal, ats: list[str]) -> Signal | None:
        links = [key for key in signal.parts or () if isinstance(self.plan.layers[key], Link)]
        if links:
            self.draft.refuse(
                name,
                f"a sum of spikes with several factors in front of it ({', '.join(links)})",
                "spikes that are added in front of weights have one factor",
                "average or scale all of them, or none",
            )
            return None
        if not signal.open:
            self.draft.refuse(
                name,
                "weights behind weights, without neurons in between",
                "a spike passes one synapse",
                "multiply the two matrices, or put neurons in between",
            )
            return None
        at = self.draft.add(name, layer, *ats)
        parts = {at: signal.weighed(math.prod(getattr(layer, "kernel_size", ())))}
        if layer.bias is not None:
            at = self.draft.new(f"{name}_bias", Bias(at, signal.depth), at)
        return Signal(at, signal.depth, parts=parts)

    def _pool(self, name: str, pool: Any, signal: Signal, ats: list[str]) -> Signal | None:
        taps = math.prod(pool.kernel_size)
        factor = 1.0
        if isinstance(pool, AVERAGES):
            counts = np.unique(
                taps if pool.count_padding else pool._counts(self.network.in_shape(name)[1:])
            )
            if counts.size > 1:
                self.draft.refuse(
                    name,
                    "averages whose number of values differs at the border",
                    "a pool has one factor, which goes into the weights",
                    "use count_padding=True, or no padding",
                )
                return None
            factor = 1 / float(counts[0])
        kind = SumPool1d if len(pool.kernel_size) == 1 else SumPool2d
        summed = kind(pool.kernel_size, stride=pool.stride, padding=pool.padding)
        at = self.draft.add(name, summed, *ats)
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
            self.draft.refuse(
                name,
                "a maximum of what is no single spikes",
                "OR neurons compute the maximum of spikes",
                "put it behind the neurons, or use an average",
            )
            return None
        kind = SumPool1d if len(pool.kernel_size) == 1 else SumPool2d
        summed = kind(pool.kernel_size, stride=pool.stride, padding=pool.padding)
        link = self.draft.new(f"{name}_in", Link(), *ats)
        at = self.draft.add(name, Gate(), self.draft.new(f"{name}_any", summed, link))
        self.draft.points.add(at)
        return spikes_of(at, signal.depth + 1)

    def _product(self, name: str, signals: list[Signal]) -> Signal | None:
        """A matrix product, without its neurons: a further product may follow."""
        shapes: Any = self.network.in_shape(name)  # of both
        if any(not signal.open or signal.most != 1 for signal in signals):
            self.draft.refuse(
                name,
                "a product of what is no single spikes",
                "AND neurons multiply single spikes",
                "put it behind neurons, without pools or sums in between",
            )
            return None
        aligned = self.draft.aligned(name, signals)
        if aligned is None:
            return None
        a, b = (
            signal.terms or single(signal.at, shape)
            for signal, shape in zip(aligned, shapes, strict=True)
        )
        count = terms_of_product(a, b)
        if count > MOST_TERMS:
            self.draft.refuse(
                name,
                f"a product with {count:,} terms",
                f"each takes a neuron; {MOST_TERMS:,} can be described",
                "use fewer tokens or heads, or put neurons between two products",
            )
            return None
        return Signal(
            name,
            aligned[0].depth,
            math.prod(signal.factor for signal in aligned),
            sources=frozenset().union(*(signal.sources for signal in aligned)),
            terms=product(name, a, b),
        )

    def _with_gates(self, signal: Signal) -> Signal:
        """A product as sums of the spikes of its AND neurons."""
        if signal.terms is None:
            return signal
        terms = signal.terms
        picks = [
            self.draft.new(f"{terms.name}_factor{i}", Pick(Index.of(taken)), source)
            for i, (source, taken) in enumerate(zip(terms.sources, terms.taken, strict=True))
        ]
        gate = self.draft.new(f"{terms.name}_and", Gate(needed=len(picks)), *picks)
        self.draft.points.add(gate)
        self.plan.gates += math.prod(terms.taken[0].shape)
        total = self.draft.new(f"{terms.name}_sum", SumTerms(), gate)
        return Signal(
            total,
            signal.depth + 1,
            signal.factor,
            most=terms.number,
            sources=frozenset([gate]),
        )

    def _scaled(self, name: str, scale: Scale, signal: Signal) -> Signal:
        factors = np.unique(np.asarray(scale.factor, np.float64))
        if factors.size > 1:
            self.draft.refuse(
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


def _times(parts: dict[str, Part], factor: float) -> dict[str, Part]:
    return {
        key: part._replace(factor=part.factor * factor, outer=part.outer * factor)
        for key, part in parts.items()
    }
