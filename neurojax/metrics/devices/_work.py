"""What a network does for one inference, layer by layer: what costs energy and time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax

from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips import cri, dynapcnn
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics._events import synaptic_events

ONE_BY_ONE = (dynapcnn.ChipSpec, cri.CRISpec)
"""Chips that deliver every spike by itself: what pools add up to n in a simulation are n events."""


class LayerWork(NamedTuple):
    """What a layer does for one inference: means over the samples."""

    events: float  # synaptic events that reach the layer
    connections: float  # of the layer; each inference computes them once in a formal network
    neurons: int  # that have a membrane
    updates: float  # of membranes: neurons x steps
    spikes: float  # that leave the layer, or come in by this input


class Work(NamedTuple):
    """What a network does for one inference."""

    layers: Mapping[str, LayerWork]
    steps: int

    @property
    def events(self) -> float:
        """Synaptic events of all layers."""
        return sum(layer.events for layer in self.layers.values())

    @property
    def connections(self) -> float:
        """Connections of all layers."""
        return sum(layer.connections for layer in self.layers.values())

    @property
    def neurons(self) -> int:
        """Neurons of all layers."""
        return sum(layer.neurons for layer in self.layers.values())

    @property
    def updates(self) -> float:
        """Updates of membranes of all layers."""
        return sum(layer.updates for layer in self.layers.values())


def work(network: Network | MappedNetwork, activity: Activity) -> Work:
    """What a network does for one inference.

    Args:
        network: The network, or what a chip's `map` returned.
        activity: What `count_spikes` counted in it.

    Raises:
        ValueError: A layer with weights of a type whose connections are not known.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.ones((3, 4))), out=nj.IAF())
        >>> done = metrics.work(net, metrics.count_spikes(net, jnp.ones((5, 2, 4))))
        >>> done.layers["fc"].events, done.layers["out"].updates, done.layers["input"].spikes
        (60.0, 15.0, 20.0)
    """
    net = network.network if isinstance(network, MappedNetwork) else network
    one_by_one = isinstance(network, MappedNetwork) and isinstance(network.chip, ONE_BY_ONE)
    events, connections = (dict.fromkeys((*net.inputs, *net.names), 0.0) for _ in range(2))
    for key, found in synaptic_events(net, activity).items():
        name = key if key in net else key.rpartition(".")[0]  # synapses within a layer
        events[name] += (found.by_value if one_by_one else found.events) / activity.samples
        connections[name] += found.synapses
    layers = {}
    for name in events:
        neurons = membranes(net[name], net.in_shape(name)) if name in net else 0
        spikes = 0.0
        if name in net.inputs:
            spikes = activity.count(name)
        elif net[name].spiking:
            spikes = activity.spikes(name) / activity.samples
        layers[name] = LayerWork(
            events[name], connections[name], neurons, float(neurons * activity.steps), spikes
        )
    return Work(layers, activity.steps)


def membranes(layer: Layer, in_shape: Shape) -> int:
    """Neurons of a layer: how many membranes it has; 0 for one that is no population."""
    state = jax.eval_shape(lambda: layer.init(in_shape))
    count = sum(math.prod(v.shape) for v in _potentials(state))
    if not count and layer.spiking:
        count = math.prod(layer.out_shape(in_shape))
    return count


def _potentials(state: Any) -> list[Any]:
    """The fields `v` of a state and of the states in it."""
    own = getattr(state, "v", None)
    if own is not None:
        return [own]
    inner = state if isinstance(state, tuple | list) else ()
    if isinstance(state, dict):
        inner = tuple(state.values())
    return [v for part in inner for v in _potentials(part)]
