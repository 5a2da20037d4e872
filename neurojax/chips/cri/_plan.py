"""A network as populations, and what is between them, in the order of the chip's steps.

A signal is *open* if it is spikes (or counts of spikes, behind pools), and *closed* once synapses
have weighed it. Neurons close a population and open the next signal.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from neurojax._graph import Edge
from neurojax._layer import Shape
from neurojax.chips._mapped import Problem
from neurojax.chips.cri._terms import Terms
from neurojax.chips.cri._wanted import Wanted


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
    terms: Terms | None = None  # open: a product of spikes that has no neurons yet

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
    """Memoryless neurons that spike if so many of their inputs did.

    One: OR, and a relay of one input. All of them: AND.
    """

    needed: int = 1


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
    gates: int = 0  # AND neurons
    outputs: list[str] = field(default_factory=list)
    latency: int = 0
    signals: dict[str, Signal | None] = field(default_factory=dict)  # by the network's names


def two_factors(name: str) -> Problem:
    """Synapses whose outputs come to neurons with different factors."""
    return Problem(
        name,
        "its outputs are used with several factors (averages, Scale layers)",
        "factors go into its weights",
        "use the layer twice",
    )
