"""Synaptic events: how many spikes arrive at how many synapses, exactly."""

from __future__ import annotations

import dataclasses

import numpy as np
from jaxtyping import Int

from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics._connectivity import Connections, connections
from neurojax.metrics._rules import RULES as RULES  # registers what is known


@dataclasses.dataclass(frozen=True, eq=False)
class SynapticEvents:
    """Events at the synapses of one layer, over all samples and steps."""

    events: int  # a value that is not zero arrives at a synapse
    effective: int  # the same, of synapses whose weight is not zero
    dense: int  # every synapse in every step: what would be computed without sparsity
    by_value: float  # `events` if a value of n arrives as n spikes
    fan_out: Int[np.ndarray, "*sources"]  # synapses of each source
    samples: int
    steps: int

    @property
    def count(self) -> float:
        """Events of a sample, i.e. of an inference."""
        return self.events / self.samples

    @property
    def synapses(self) -> int:
        """Number of synapses; a weight of a convolution is one at each place."""
        return int(self.fan_out.sum())


def synaptic_events(
    network: Network | MappedNetwork, activity: Activity
) -> dict[str, SynapticEvents]:
    """Count the events at all synapses of a network from its activity.

    For each layer with weights the sum, over its sources, of the number of values that are not
    zero times the number of targets, in integers: borders, stride, dilation and groups are taken
    into account. Where several edges lead into a layer, what each of them brings counts. What a
    recurrent edge would deliver after the last step does not.

    A spike counts when the synapse gets it, also where the synapse delays it. Products of values
    with values (`MatMul`) have no synapses.

    Args:
        network: The network that was counted, or what a chip's `map` returned.
        activity: What `count_spikes` returned for it.

    Returns:
        Events by layer's name; the synapses within a layer have their names behind a dot
        (`"hidden.synapse"` of `Recurrent`). Layers without synapses are missing.

    Raises:
        TypeError: Layers with weights whose type is unknown, all of them at once; see
            `register_connectivity`.
        ValueError: Layers with synapses between layers that are not named; an activity of layers
            of other shapes.
        KeyError: The activity of a source was not counted.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> conv = nj.Conv2d.from_weights(jnp.ones((8, 1, 3, 3)), padding=1)
        >>> net = nj.Sequential((1, 4, 4), conv=conv, spikes=nj.IAF())
        >>> x = jnp.zeros((1, 1, 1, 4, 4)).at[0, 0, 0, 0, :2].set(1.0)  # at the border
        >>> events = metrics.synaptic_events(net, metrics.count_spikes(net, x))["conv"]
        >>> events.events, events.dense  # (2x2 + 2x3) places x 8 channels; all of them
        (80, 800)
    """
    network = network.network if isinstance(network, MappedNetwork) else network
    activity.check_shapes(network)
    found = all_connections(network)
    return {key: _events(network, activity, name, part) for key, (name, part) in found.items()}


def all_connections(network: Network) -> dict[str, tuple[str, Connections]]:
    """The layer and the connections of all synapses, under the names of `synaptic_events`."""
    found: dict[str, tuple[str, Connections]] = {}
    problems: list[tuple[type[Exception], str]] = []
    for name in network.names:
        try:
            for inner, part in connections(network[name], network.in_shape(name)).items():
                found[f"{name}.{inner}" if inner else name] = name, part
        except (TypeError, ValueError) as error:
            problems.append((type(error), f"layer '{name}': {error}"))
    if problems:
        kinds = {kind for kind, _ in problems}
        raise (TypeError if TypeError in kinds else ValueError)(
            "\n".join(text for _, text in problems)
        )
    return found


def _events(network: Network, activity: Activity, name: str, part: Connections) -> SynapticEvents:
    """Events at the synapses of one kind."""
    shape = part.fan_out.shape
    counts, sums = np.zeros(shape, np.int64), np.zeros(shape)
    if part.source == "always":
        counts += activity.samples * max(activity.steps - part.since, 0)
        sums += counts
    else:
        if part.source == "input":
            sources = [(edge.source, edge.recurrent) for edge in network.incoming(name)]
        else:
            sources = [(name, part.source == "output before")]
        for source, late in sources:
            layer = activity[source]
            if layer.neurons.shape != shape:
                raise ValueError(
                    f"layer '{name}': its connectivity has a fan_out of shape {shape}, but its "
                    f"source '{source}' has shape {layer.neurons.shape}; they must be the same"
                )
            counts += layer.neurons - layer.last if late else layer.neurons
            sums += layer.sums - layer.last_sums if late else layer.sums
    return SynapticEvents(
        events=int((counts * part.fan_out).sum()),
        effective=int((counts * part.effective).sum()),
        dense=int(part.fan_out.sum()) * activity.steps * activity.samples,
        by_value=float((sums * part.fan_out).sum()),
        fan_out=part.fan_out,
        samples=activity.samples,
        steps=activity.steps,
    )
