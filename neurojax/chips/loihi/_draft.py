"""A network that is being read: what is there so far, and what stands in the way."""

from __future__ import annotations

from typing import NamedTuple

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._checks import folded
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._lowering import Pool
from neurojax.chips.loihi._population import SPIKES, VALUES, Part, Population
from neurojax.layers import MaxPool1d, MaxPool2d
from neurojax.quantise import Quantised

SUPPORTED = (
    "Linear, Conv1d/2d, ConvTranspose1d/2d, average and sum pools, Flatten, Reshape, Dropout, "
    "Identity, Scale, BatchNorm, Delay, Recurrent, Add, Concat, and the neurons LIF, IAF, CubaLIF, "
    "CubaIAF, LI, CubaLI, loihi.CUBA, FloatLIF, ALIF, resonators and sigma-delta ones"
)


class Flow(NamedTuple):
    """What a layer hands on."""

    layer: str  # in the mapped network, or an input
    shape: Shape
    parts: tuple[Part, ...] | None = None  # None: spikes; else the synapses whose sum it is
    map_shape: Shape = ()  # of the layer, where pools have not acted yet
    pools: tuple[tuple[str, Pool], ...] = ()  # still to be put into the next weights
    factor: float = 1.0  # so is this
    via: tuple[str, ...] = ()  # names of the layers that these came from
    flat: bool = False  # flattened after the pools
    recurrent: bool = False
    carries: str = SPIKES
    from_host: float | None = None  # values behind a `loihi.Input`: their scale

    @property
    def pending(self) -> bool:
        """Something is left to be done by the next synapses."""
        return bool(self.pools) or self.factor != 1


class Reading(NamedTuple):
    """A network as populations."""

    populations: list[Population]
    kept: dict[str, Layer]  # layers that only move values
    order: list[str]  # of all layers
    edges: list[Edge]
    outputs: tuple[str, ...]
    dropped: list[str]


class Draft:
    """The network with its batch norms folded, its reading so far, and the problems."""

    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.problems = problems
        self.network = folded(
            network,
            problems,
            legal="it goes into the weights",
            remedy="put it directly behind Linear or Conv",
        )
        self.result = Reading([], {}, [], [], (), [])

    def problem(self, name: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(name, found, legal, remedy))

    def free(self, name: str) -> str:
        """A name for a layer that the network does not have: this one, or a longer one."""
        while name in self.network or name in self.network.inputs or name in self.result.kept:
            name += "_"
        return name

    def keep(self, name: str, layer: Layer, *flows: Flow) -> None:
        """A layer of the mapped network that only moves values."""
        self.result.kept[name] = layer
        self.node(name, *flows)

    def node(self, name: str, *flows: Flow) -> None:
        self.result.order.append(name)
        self.result.edges.extend(Edge(flow.layer, name, flow.recurrent) for flow in flows)

    def check_source(self, name: str, carries: str) -> None:
        if carries == VALUES:
            self.problem(
                name,
                "synapses that take the values of a read-out",
                "spikes travel between neurons, membranes don't",
                "let the neurons before it spike, or end the network there",
            )

    def unsupported(self, name: str, layer: Layer) -> None:
        kind, module = type(layer).__name__, type(layer).__module__
        if isinstance(layer, MaxPool1d | MaxPool2d):
            legal, remedy = "synapses add up, they have no maximum", "use SumPool2d or AvgPool2d"
        elif kind in ("LIF", "Synapse") and module.startswith("neurojax.chips.loihi"):
            legal, remedy = "it is the chip's already", "map the network that it was made from"
        elif module.startswith("neurojax.chips"):
            legal, remedy = "the mapping does not know it", f"it knows {SUPPORTED}"
        elif module.startswith("neurojax.neurons"):
            legal = "neurons of the chip integrate a decaying current, fire, and reset to zero"
            remedy = "use CubaLIF, LIF or loihi.ALIF, and train with it"
        else:
            legal, remedy = f"a network is made of {SUPPORTED}", "remove or replace the layer"
        self.problem(name, f"a {kind} layer", legal, remedy)


def plain(layer: Layer) -> Layer:
    """The layer with its parameters on their grids, if it is a quantised one."""
    return layer.baked() if isinstance(layer, Quantised) else layer
