"""A plan in the making: its layers get names, signals that meet come in the same step.

A spike takes one step from population to population, so signals that meet must have come through as
many populations as each other: the earlier one waits in relays, memoryless neurons that pass it on.
"""

from __future__ import annotations

from typing import Any

from neurojax._graph import Edge
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.cri._plan import Bias, Gate, Link, Part, Plan, Signal, two_factors


class Draft:
    """The plan of a network so far, and the problems."""

    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.network, self.problems, self.plan = network, problems, Plan()
        self.points = set(network.inputs)  # where single spikes can be had
        self.waiting: dict[tuple[str, int], str] = {}  # what was delayed, and by how many steps

    def refuse(self, name: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(name, found, legal, remedy))

    def new(self, name: str, layer: Any, *sources: str) -> str:
        """Adds a layer that the network does not have; the name may get longer."""
        while name in self.plan.layers or name in self.network.inputs or name in self.network:
            name += "_"
        return self.add(name, layer, *sources)

    def add(self, name: str, layer: Any, *sources: str) -> str:
        self.plan.layers[name] = layer
        self.plan.edges += [Edge(source, name) for source in sources]
        return name

    def merge(self, name: str, signals: list[Signal]) -> tuple[Signal, list[str]] | None:
        """One signal for several that are added up, and where they come from."""
        aligned = self.aligned(name, signals)
        if aligned is None:
            return None
        depth = aligned[0].depth
        if len({signal.at for signal in aligned}) < len(aligned):
            self.refuse(
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
            closed = self.closed(f"{signal.at}_to_{name}", signal) if signal.open else signal
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

    def aligned(self, name: str, signals: list[Signal]) -> list[Signal] | None:
        """The signals, those that come earlier delayed; None if that is impossible."""
        depth = max(signal.depth for signal in signals)
        found = []
        for signal in signals:
            late = signal if signal.depth == depth else self._wait(name, signal, depth)
            if late is None:
                return None
            found.append(late)
        return found

    def closed(self, name: str, signal: Signal) -> Signal:
        """Spikes, behind synapses from each to the neuron of the same index."""
        link = self.new(name, Link(), signal.at)
        return Signal(link, signal.depth, parts={link: signal.weighed(1)})

    def _wait(self, name: str, signal: Signal, depth: int) -> Signal | None:
        """The signal, delayed by relays where it is single spikes."""
        steps = depth - signal.depth
        if signal.terms is not None:
            terms = signal.terms._replace(
                sources=tuple(self._late(at, steps) for at in signal.terms.sources)
            )
            return signal._replace(depth=depth, terms=terms)
        if signal.open:
            late = self._late(signal.at, steps)
            sources = frozenset(self._late(at, steps) for at in signal.sources)
            return signal._replace(at=late, depth=depth, sources=sources)
        path = self._path(signal)
        if path is None:
            self.refuse(
                name,
                f"'{signal.at}' has passed {signal.depth} populations, what it meets {depth}",
                "spikes take one step from population to population",
                "put as many populations in both branches",
            )
            return None
        point, *behind = path
        last = self._late(point, steps)
        self.plan.edges[self.plan.edges.index(Edge(point, behind[0]))] = Edge(last, behind[0])
        for at in behind:
            layer = self.plan.layers[at]
            if isinstance(layer, Bias):
                self.plan.layers[at] = Bias(layer.of, layer.start + steps)
        for known, other in self.plan.signals.items():
            if other is not None and other.at in behind:
                self.plan.signals[known] = other._replace(depth=depth)
        parts = {
            key: part._replace(sources=frozenset([last]))
            for key, part in (signal.parts or {}).items()
        }
        return signal._replace(depth=depth, parts=parts)

    def _late(self, at: str, steps: int) -> str:
        """What gives the spikes, or sums of spikes, of a layer so many steps later.

        Single spikes wait in relays. Pools and the like are done again, because others may take
        what is not late.
        """
        if (at, steps) in self.waiting:
            return self.waiting[at, steps]
        if steps == 0:
            return at
        if at in self.points:
            before = self._late(at, steps - 1)
            link = self.new(f"{at}_wait", Link(), before)
            late = self.new(f"{at}_relay", Gate(), link)
            self.points.add(late)
            self.plan.relays += 1
        else:
            into = [edge.source for edge in self.plan.edges if edge.target == at]
            sources = [self._late(source, steps) for source in into]
            late = self.new(f"{at}_late", self.plan.layers[at], *sources)
        self.waiting[at, steps] = late
        return late

    def _path(self, signal: Signal) -> list[str] | None:
        """The way of weighed spikes from where they are single; None if it can't be delayed.

        Synapses are delayed by what is in front of them, so nothing else may take what they give.
        """
        path = [signal.at]
        while path[0] not in self.points:
            into = [edge.source for edge in self.plan.edges if edge.target == path[0]]
            takers = sum(edge.source == path[0] for edge in self.plan.edges)
            if len(into) != 1 or takers > (len(path) > 1):
                return None
            path.insert(0, into[0])
        return path
