"""A network as groups of neurons with weights between them: what is simulated event by event.

Layers without memory are linear, so all of them between two populations together are one matrix,
which is what comes out if ones are put in. Populations that reach each other form a group and
evolve together; the others follow each other.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Constant, Layer, constants_to_floats
from neurojax._network import Network, layer_keys
from neurojax.chips.bss2._integrator import AbstractCircuit, AbstractFiring
from neurojax.chips.bss2.adex import AELIF
from neurojax.chips.bss2.eventprop import EventPropLIF
from neurojax.chips.bss2.events._circuit import Circuit
from neurojax.chips.bss2.events._population import Population
from neurojax.chips.bss2.synapse import Synapse
from neurojax.layers import (
    AvgPool1d,
    AvgPool2d,
    Conv1d,
    Conv2d,
    Flatten,
    Linear,
    Recurrent,
    SumPool1d,
    SumPool2d,
)

LINEAR = (Linear, Conv1d, Conv2d, AvgPool1d, AvgPool2d, SumPool1d, SumPool2d, Flatten)


class Group(NamedTuple):
    """Populations that evolve together."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    sources: tuple[str, ...]  # whose spikes come in: inputs and populations, in this order
    starts: tuple[int, ...]  # number of the first neuron of each source among all inputs
    population: Population
    double: bool  # whether tau_mem = 2 tau_syn for all of them


def populations(network: Network) -> list[dict[str, int]]:
    """The populations of each group with their sizes, in the order in which they are simulated.

    Raises:
        ValueError: Layers that can't be simulated event by event, all of them at once.
    """
    check(network)
    found = [[n for n in stage if _neuron(network[n]) is not None] for stage in network.stages]
    return [
        {name: math.prod(network.out_shape(name)) for name in names} for names in found if names
    ]


def groups(network: Network, key: PRNGKeyArray | None) -> list[Group]:
    """The groups of a network that `populations` has accepted."""
    weights = _Weights(network, key)
    return [_group(network, list(names), weights) for names in populations(network)]


def check(network: Network) -> None:
    """Raise ValueError naming all layers that can't be simulated event by event."""
    problems = []
    for name in network.names:
        layer = network[name]
        neuron = _neuron(layer)
        if neuron is not None:
            problems += [f"layer '{name}': {why}" for why in _unfit(neuron)]
            if not isinstance(layer, Recurrent):
                continue
            layer = layer.synapse
        if not is_linear(layer):
            problems.append(
                f"layer '{name}': {type(layer).__name__} is neither a bss2.LIF, bss2.IAF or "
                "bss2.EventPropLIF nor linear synapses without memory; map the network with "
                "bss2.map first, or leave the layer out"
            )
        elif _remembers(layer):
            problems.append(
                f"layer '{name}': what it gives depends on earlier steps (late or lost events); "
                "leave that out, or use nj.simulate"
            )
        elif getattr(layer, "bias", None) is not None:
            problems.append(
                f"layer '{name}': it has a bias, a current that flows all the time; use an input "
                "that spikes at a fixed time instead"
            )
    problems += [
        f"output '{name}': {type(network[name]).__name__} gives no spikes; add neurons behind it"
        for name in network.outputs
        if _neuron(network[name]) is None
    ]
    if problems:
        raise ValueError("\n".join(problems))


def is_linear(layer: Layer) -> bool:
    """Whether a layer is a matrix: synapses of the package, or of the chip."""
    return is_linear(layer.synapse) if isinstance(layer, Synapse) else isinstance(layer, LINEAR)


def _remembers(layer: Layer) -> bool:
    """Whether synapses of the chip deliver some events late or never."""
    return isinstance(layer, Synapse) and layer.transport is not None


def _neuron(layer: Layer) -> AbstractCircuit | None:
    """The neurons of a layer, if it has any."""
    inner = layer.neuron if isinstance(layer, Recurrent) else layer
    return inner if isinstance(inner, AbstractCircuit) else None


def _unfit(neuron: AbstractCircuit) -> list[str]:
    """Why neurons can't be simulated event by event."""
    kind = type(neuron).__name__
    if isinstance(neuron, AELIF) or not isinstance(neuron, AbstractFiring | EventPropLIF):
        return [f"bss2.{kind} has no closed form between events; use bss2.LIF, or nj.simulate"]
    why = []
    if getattr(neuron, "pauses", False):
        why.append("refractory_time is given; it must be 0 (reset far below gives one spike)")
    if neuron.v_min is not None:
        why.append("v_min is given, which the closed form does not know; leave it out")
    known = [neuron.reset, neuron.threshold]
    if all(isinstance(x, Constant) for x in known) and not known[0] < known[1]:
        why.append(
            f"reset is {known[0]:g} and threshold {known[1]:g}; the reset must be below, or the "
            "neuron spikes without end"
        )
    return why


class _Weights:
    """What every population receives from every other, as matrices."""

    def __init__(self, network: Network, key: PRNGKeyArray | None) -> None:
        self.network, self.key = network, key
        self.known: dict[str, dict[str, Array]] = {}

    def onto(self, name: str) -> dict[str, Array]:
        """What comes into a layer from each source: `(neurons of the source, *shape)`."""
        total: dict[str, Array] = {}
        for edge in self.network.incoming(name):
            for source, matrix in self.out_of(edge.source).items():
                total[source] = matrix + total[source] if source in total else matrix
        return total

    def out_of(self, name: str) -> dict[str, Array]:
        """What a layer gives out for one spike of each neuron of each source."""
        if name in self.network.inputs or _neuron(self.network[name]) is not None:
            return {name: ones(self.network.out_shape(name))}
        if name not in self.known:
            self.known[name] = {}  # a circle of synapses alone carries nothing
            layer = prepared(self.network[name], name, self.key)
            self.known[name] = {
                source: apply(layer, matrix) for source, matrix in self.onto(name).items()
            }
        return self.known[name]


def ones(shape: tuple[int, ...]) -> Array:
    """One spike of each neuron of a population."""
    return jnp.eye(math.prod(shape)).reshape(-1, *shape)


def apply(layer: Layer, x: Array) -> Array:
    """What a layer without memory gives for many inputs."""
    return jax.vmap(lambda one: layer.step(layer.init(one.shape), one)[1])(x)


def prepared(layer: Layer, name: str, key: PRNGKeyArray | None) -> Layer:
    """The layer as a run uses it."""
    own = None if key is None else layer_keys(key, name)[0]
    return constants_to_floats(layer.prepare(own))


def _group(network: Network, names: list[str], weights: _Weights) -> Group:
    neurons = [constants_to_floats(_neuron(network[name])) for name in names]
    shapes = [network.out_shape(name) for name in names]
    sizes = [math.prod(shape) for shape in shapes]
    columns = {}
    for name, neuron, size in zip(names, neurons, sizes, strict=True):
        incoming: dict[str, Any] = weights.onto(name)
        layer = network[name]
        if isinstance(layer, Recurrent):
            ready: Any = prepared(layer, name, weights.key)
            own = apply(ready.synapse, ones(network.out_shape(name)))
            incoming = {**incoming, name: incoming.get(name, 0) + own}
        if isinstance(neuron, EventPropLIF):
            incoming = {source: matrix[:, 0] for source, matrix in incoming.items()}
        columns[name] = {k: m.reshape(len(m), size) for k, m in incoming.items()}

    def block(source: str) -> Array:
        rows = math.prod(network.out_shape(source))
        parts = [
            columns[name].get(source, jnp.zeros((rows, size)))
            for name, size in zip(names, sizes, strict=True)
        ]
        return jnp.concatenate(parts, axis=1)

    reached = {source for name in names for source in columns[name]}
    sources = [s for s in (*network.inputs, *network.names) if s in reached and s not in names]
    rows = [math.prod(network.out_shape(source)) for source in sources]
    outer = [block(source) for source in sources] or [jnp.zeros((1, sum(sizes)))]
    inner = [block(name) for name in names] if reached & set(names) else []
    circuits = [circuit_of(neuron, shape) for neuron, shape in zip(neurons, shapes, strict=True)]
    join = lambda *parts: jnp.concatenate(parts)  # noqa: E731
    starts = [
        jnp.broadcast_to(_first_v(n), shape).ravel()
        for n, shape in zip(neurons, shapes, strict=True)
    ]
    population = Population(
        jax.tree.map(join, *circuits),
        join(*starts),
        jnp.concatenate(outer),
        jnp.concatenate(inner) if inner else None,
    )
    first = tuple(int(n) for n in np.cumsum([0, *rows[:-1]]))
    double = all(_double(neuron) for neuron in neurons)
    return Group(tuple(names), tuple(sizes), tuple(sources), first, population, double)


def circuit_of(neuron: Any, shape: tuple[int, ...]) -> Circuit:
    """The parameters of the neurons of a layer, one value a neuron."""
    leaks = hasattr(neuron, "leak")
    c_mem = neuron.tau_mem if neuron.c_mem is None else neuron.c_mem
    numbers = {
        "leak_rate": 1 / neuron.tau_mem if leaks else 0.0,
        "decay_rate": 1 / neuron.tau_syn,
        "strength": neuron.gain / c_mem,
        "leak": neuron.leak if leaks else 0.0,
        "threshold": neuron.threshold,
        "reset": neuron.reset,
    }
    return Circuit(
        **{k: jnp.broadcast_to(jnp.asarray(x, float), shape).ravel() for k, x in numbers.items()}
    )


def _first_v(neuron: Any) -> Any:
    return neuron.resting if neuron.v_init is None else neuron.v_init


def _double(neuron: Any) -> bool:
    """Whether tau_mem = 2 tau_syn is known."""
    mem, syn = neuron.tau_mem, neuron.tau_syn
    known = not (eqx.is_array(mem) or eqx.is_array(syn)) and hasattr(neuron, "leak")
    return known and math.isclose(mem, 2 * syn, rel_tol=1e-6)
