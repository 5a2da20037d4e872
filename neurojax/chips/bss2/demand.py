"""What a network asks of the chip: populations of neurons, and the synapses between them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from neurojax._graph import Edge, nearest
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2.morphology import SingleCompartmentNeuron
from neurojax.chips.bss2.spec import chip
from neurojax.layers import Linear, Recurrent
from neurojax.neurons._neuron import AbstractNeuron


class Population(NamedTuple):
    """Neurons of one kind, or sources of spikes outside the chip.

    Attributes:
        name: Its name.
        size: Number of neurons, or of sources.
        shape: The circuits of a neuron; None for sources outside.
        spiking: Whether its neurons fire.
    """

    name: str
    size: int
    shape: SingleCompartmentNeuron | None = SingleCompartmentNeuron()
    spiking: bool = True

    @property
    def external(self) -> bool:
        """Whether the spikes come from the host."""
        return self.shape is None


class Projection(NamedTuple):
    """Synapses from one population to another.

    Attributes:
        name: The layer of synapses; one that several populations feed is several projections.
        source: Population that sends.
        target: Population that receives.
        excitatory: True where there is an excitatory synapse.
        inhibitory: The same; a synapse whose sign may change needs one of each.
    """

    name: str
    source: str
    target: str
    excitatory: Bool[np.ndarray, "post pre"]
    inhibitory: Bool[np.ndarray, "post pre"]

    @classmethod
    def signed(cls, name: str, source: str, target: str, connected: Any) -> Projection:
        """Synapses whose sign may change: each takes a row of either sign."""
        connected = np.asarray(connected, bool)
        return cls(name, source, target, connected, connected)

    @property
    def synapses(self) -> int:
        """Number of synapses on the chip."""
        return int(self.excitatory.sum() + self.inhibitory.sum())


class Demand(NamedTuple):
    """All of a network that needs room on the chip."""

    populations: tuple[Population, ...]
    projections: tuple[Projection, ...]

    def population(self, name: str) -> Population:
        """The population of a name."""
        return next(p for p in self.populations if p.name == name)

    def fan_in(self, name: str) -> int:
        """Synapses of the neuron of a population that has the most."""
        counts = [
            p.excitatory.sum(axis=1) + p.inhibitory.sum(axis=1)
            for p in self.projections
            if p.target == name
        ]
        return int(np.max(np.sum(counts, axis=0), initial=0)) if counts else 0

    def reshaped(self, shapes: Mapping[str, SingleCompartmentNeuron]) -> Demand:
        """The same network with other shapes of its neurons."""
        return self._replace(
            populations=tuple(
                p._replace(shape=shapes.get(p.name, p.shape)) for p in self.populations
            )
        )


def read_network(
    network: Network,
    *,
    circuits: int | Mapping[str, int] | None = None,
    expand_horizontally: bool | Mapping[str, bool] = False,
    fixed_signs: bool = False,
) -> tuple[Demand, list[Problem]]:
    """The populations and projections of a network.

    Every weight is a synapse, also one that is zero, unless the layer says which synapses exist; a
    synapse needs a row for each sign, as its sign may change.

    Args:
        network: Neurons with dense or sparse synapses between them.
        circuits: Circuits of a neuron, for all populations or by name; by default as many as the
            synapses of a neuron need.
        expand_horizontally: The circuits of a neuron lie in one row, for all populations or by
            name.
        fixed_signs: Weights keep the sign that they have, and those that are zero stay so: a
            network that is not trained any further takes half the rows.

    Returns:
        What it needs, and what can't be read as populations and projections.

    Raises:
        ValueError: `circuits` names a population that does not exist.
    """
    problems: list[Problem] = []
    neurons = [name for name in network.names if _neuron(network[name]) is not None]
    given = dict.fromkeys(neurons, circuits) if isinstance(circuits, int) else dict(circuits or {})
    for name in given:
        if name not in neurons:
            raise ValueError(f"circuits of '{name}': no such neurons; {nearest(name, neurons)}")
    projections: list[Projection] = []
    for name in neurons:
        projections += _into(network, name, fixed_signs, problems)
    problems += _loose_ends(network)
    inputs = [Population(name, math.prod(s), None) for name, s in network.inputs.items()]
    used = {p.source for p in projections}
    demand = Demand(tuple(p for p in inputs if p.name in used), tuple(projections))
    populations = list(demand.populations)
    for name in neurons:
        layer = _neuron(network[name])
        assert layer is not None
        size = math.prod(network.out_shape(name))
        count = given.get(name) or max(1, -(-demand.fan_in(name) // chip.rows))
        flat = expand_horizontally
        flat = flat if isinstance(flat, bool) else flat.get(name, False)
        try:
            shape = SingleCompartmentNeuron(count, flat)
        except ValueError:
            problems.append(
                Problem(
                    name,
                    f"a neuron has {demand.fan_in(name)} synapses and needs {count} circuits",
                    f"a neuron has at most {chip.circuits // 2} circuits of {chip.rows} rows",
                    "reduce its inputs, or connect it sparsely",
                )
            )
            shape = SingleCompartmentNeuron()
        populations.append(Population(name, size, shape, layer.spiking))
    return demand._replace(populations=tuple(populations)), problems


def _weight_of(layer: Layer) -> Any:
    """The weights of a layer of synapses, or None if it is something else."""
    linear = _linear(layer)
    return None if linear is None else linear.weight


def _linear(layer: Any) -> Any:
    """The dense synapses within a layer."""
    if isinstance(layer, Linear):
        return layer
    inner = getattr(layer, "synapse", None)
    return _linear(inner) if isinstance(inner, Layer) and _neuron(layer) is None else None


def _neuron(layer: Layer) -> Layer | None:
    """The neurons of a layer."""
    if isinstance(layer, Recurrent):
        return _neuron(layer.neuron)
    return layer if isinstance(layer, AbstractNeuron) else None


def _into(
    network: Network, name: str, fixed_signs: bool, problems: list[Problem]
) -> Iterator[Projection]:
    """The projections to the neurons of a layer."""
    layer = network[name]
    for edge in network.incoming(name):
        synapse = _back(network, edge)
        if synapse in network.inputs or _weight_of(network[synapse]) is None:
            problems.append(
                Problem(
                    name,
                    f"'{edge.source}' feeds the neurons without a synapse",
                    "spikes reach neurons through synapses",
                    f"put a Linear layer between '{edge.source}' and '{name}'",
                )
            )
            continue
        for before in network.incoming(synapse):
            source = _back(network, before)
            if source not in network.inputs and _neuron(network[source]) is None:
                problems.append(
                    Problem(
                        synapse,
                        f"its input comes from '{source}', which has no neurons",
                        "synapses get spikes of neurons, or of an input",
                        "put a layer of neurons between them, or join the two layers",
                    )
                )
                continue
            masks = _masks(network[synapse], fixed_signs)
            yield Projection(synapse, source, name, *masks)
    if isinstance(layer, Recurrent):
        if _weight_of(layer.synapse) is None:
            problems.append(
                Problem(
                    name,
                    f"its feedback is a {type(layer.synapse).__name__}",
                    "neurons are connected by dense or sparse synapses",
                    "use a Linear layer",
                )
            )
        else:
            yield Projection(f"{name}.synapse", name, name, *_masks(layer.synapse, fixed_signs))


def _loose_ends(network: Network) -> Iterator[Problem]:
    """Synapses that nothing of the chip comes behind; what is in between has its own finding."""
    for name in network.names:
        if _weight_of(network[name]) is not None and not _leads_on(network, name):
            yield Problem(
                name,
                "its synapses lead to no neurons",
                "what synapses do is seen in neurons only",
                "put a layer of neurons behind it, such as bss2.LI to read it out",
            )


def _leads_on(network: Network, name: str) -> bool:
    """Whether there are neurons or synapses behind a layer."""
    seen: set[str] = set()
    waiting = [edge.target for edge in network.outgoing(name)]
    while waiting:
        layer = waiting.pop()
        if _neuron(network[layer]) is not None or _weight_of(network[layer]) is not None:
            return True
        if layer not in seen:
            seen.add(layer)
            waiting += [edge.target for edge in network.outgoing(layer)]
    return False


def _back(network: Network, edge: Edge) -> str:
    """The layer or input that an edge comes from, past layers that only pass spikes on."""
    name = edge.source
    while name not in network.inputs:
        layer = network[name]
        before = network.incoming(name)
        passes = _neuron(layer) is None and _weight_of(layer) is None and len(before) == 1
        sizes = {math.prod(network.out_shape(n)) for n in (name, before[0].source)}
        if not passes or len(sizes) > 1:
            break
        name = before[0].source
    return name


def _masks(layer: Layer, fixed_signs: bool) -> tuple[np.ndarray, np.ndarray]:
    linear = _linear(layer)
    connected = getattr(linear, "connected", None)
    exists = np.ones(linear.weight.shape, bool) if connected is None else np.asarray(connected)
    if not fixed_signs:
        return exists, exists
    weight = np.asarray(linear.weight)
    return exists & (weight > 0), exists & (weight < 0)
