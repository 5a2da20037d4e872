"""What a network does with a data set: activations, synaptic operations, membrane updates."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from neurojax._arguments import check_network
from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network, check_finite
from neurojax._probe import Probe
from neurojax._progress import PatientBar
from neurojax._simulate import simulate
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.bss2 import perceptron
from neurojax.layers import ReLU, ReLU6
from neurojax.metrics._activity import Activity
from neurojax.metrics._connectivity import Connections
from neurojax.metrics._counter import batches_of
from neurojax.metrics._events import all_connections
from neurojax.metrics.neurobench._meters import Arrived, InputMeter, NeuronMeter

RECTIFIERS = (ReLU, ReLU6, perceptron.ReLU, perceptron.ConvertingReLU)


class SynapticOperations(NamedTuple):
    """Operations of a sample. `dense` are those that were made if nothing were zero."""

    effective_macs: float
    effective_acs: float
    dense: float


@dataclasses.dataclass(frozen=True)
class Workload:
    """NeuroBench's workload metrics, over a data set.

    Attributes:
        activation_sparsity: Share of zeros in all that the activation layers put out.
        synaptic_operations: Operations of a sample, of all layers with synapses.
        membrane_updates: Changes of membranes in a sample, of all spiking layers.
        operations_by_layer: The same by layer; the sums are those of all layers.
        updates_by_layer: The same.
        samples: How many there were.
    """

    activation_sparsity: float
    synaptic_operations: SynapticOperations
    membrane_updates: float
    operations_by_layer: Mapping[str, SynapticOperations]
    updates_by_layer: Mapping[str, float]
    samples: int

    def asdict(self) -> dict[str, Any]:
        """The metrics under NeuroBench's names."""
        macs, acs, dense = self.synaptic_operations
        return {
            "ActivationSparsity": self.activation_sparsity,
            "SynapticOperations": {"Effective_MACs": macs, "Effective_ACs": acs, "Dense": dense},
            "MembraneUpdates": self.membrane_updates,
        }


def activation_sparsity(
    network: Network | MappedNetwork, activity: Activity, *, layers: Iterable[str] | None = None
) -> float:
    """Share of zeros in all that activation layers put out, over samples, steps and neurons.

    Args:
        network: The network that was counted.
        activity: What `metrics.count_spikes` returned for it.
        layers: The activation layers; default: those that spike, and rectifiers.

    Returns:
        A number of 0..1; 0 where there are no activation layers.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((2,), spikes=nj.IAF(threshold=2.0))
        >>> activity = metrics.count_spikes(net, jnp.ones((6, 1, 2)))
        >>> metrics.neurobench.activation_sparsity(net, activity)
        0.5
    """
    names = _activations(_plain(network)) if layers is None else tuple(layers)
    chosen = [activity[name] for name in names]
    every = sum(layer.nonzero.size * layer.size for layer in chosen)
    return (every - sum(layer.events for layer in chosen)) / every if every else 0.0


def workload(
    network: Network | MappedNetwork,
    inputs: Any,
    *,
    key: PRNGKeyArray | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Workload:
    """Run a network over a data set and measure NeuroBench's workload metrics, in integers.

    An operation is a synapse whose weight and input are not zero. Where all inputs of a layer are
    -1, 0 or 1, in one time step of one batch, its operations are accumulates (ACs), else
    multiply-accumulates (MACs); so what counts as which can depend on the batches. Biases are no
    operations. A membrane is updated in the first step, and in each step that changes it.

    Args:
        network: The network, or what a chip's `map` returned.
        inputs, key, batch_size, progress: As in `metrics.count_spikes`.

    Raises:
        TypeError, ValueError: Whatever `metrics.count_spikes` and `metrics.synaptic_events` refuse.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.metrics import neurobench
        >>> fc = nj.Linear.from_weights(jnp.array([[1.0, 0.0], [1.0, 1.0]]))
        >>> net = nj.Sequential((2,), fc=fc, spikes=nj.IAF(threshold=4.0))
        >>> neurobench.workload(net, jnp.ones((6, 1, 2))).asdict()["SynapticOperations"]
        {'Effective_MACs': 0.0, 'Effective_ACs': 18.0, 'Dense': 24.0}
    """
    plain = _plain(network)
    check_network("workload", plain)
    check_finite(plain)
    plain = eqx.nn.inference_mode(plain)
    found = all_connections(plain)
    metered = _metered(plain, found)
    activations = _activations(plain)
    totals: _Counted | None = None
    samples, steps = 0, None
    with PatientBar("measuring", progress) as bar:
        for index, (batch, valid) in enumerate(batches_of(plain, inputs, batch_size)):
            bar.step(index, None)
            length = next(iter(batch.values())).shape[0]
            if steps not in (None, length):
                raise ValueError(
                    f"a batch has {length} time steps, an earlier one {steps}; measure over the "
                    "same number of time steps"
                )
            own = key if key is None or index == 0 else jax.random.fold_in(key, index)
            counted = _measure(metered, batch, own, activations, valid)
            totals = counted if totals is None else jax.tree.map(np.add, totals, counted)
            samples, steps = samples + valid, length
    if totals is None or steps is None:
        raise ValueError("there are no batches to measure; give at least one")
    return _workload(plain, found, totals, samples, steps)


class _Counted(NamedTuple):
    """What was counted over a batch, by layer."""

    inputs: dict[str, Arrived]
    outputs: dict[str, Arrived]
    updates: dict[str, Any]  # [*neurons]
    nonzero: dict[str, Any]  # values that were not zero


def _measure(
    network: Network,
    inputs: dict[str, Any],
    key: PRNGKeyArray | None,
    activations: tuple[str, ...],
    samples: int,
) -> _Counted:
    """What the meters count over the first samples of a batch; the others fill it up."""
    probes = [Probe(name, "sum", neurons="count") for name in activations]
    run = simulate(network, inputs, key=key, probes=probes, schedule="step")

    def total(x: Any) -> np.ndarray:
        return np.asarray(x)[:samples].sum(0, dtype=np.int64)

    counted = _Counted({}, {}, {}, {probe.path: total(run[probe.name]) for probe in probes})
    for name, state in run.state.layers.items():
        if isinstance(network[name], InputMeter):
            counted.inputs[name] = Arrived(*map(total, state))
        elif isinstance(network[name], NeuronMeter):
            counted.outputs[name] = Arrived(*map(total, state.arrived))
            if state.updates is not None:
                counted.updates[name] = total(state.updates)
    return counted


def _metered(network: Network, found: Mapping[str, tuple[str, Connections]]) -> Network:
    """The network with a meter in front of all that has synapses, and around all neurons."""
    sources = {(name, part.source) for name, part in found.values()}
    layers: dict[str, Layer] = {}
    edges: list[Edge] = []
    for name in network.names:
        layer, incoming = network[name], network.incoming(name)
        late = (name, "output before") in sources
        if layer.spiking or late or (name, "output") in sources:
            layer = NeuronMeter(layer, late)
        if (name, "input") in sources:
            layers[_meter(name)] = InputMeter()
            edges += [Edge(edge.source, _meter(name), edge.recurrent) for edge in incoming]
            incoming = (Edge(_meter(name), name),)
        layers[name] = layer
        edges += incoming
    return Network(layers, edges, inputs=network.inputs, outputs=network.outputs)


def _meter(name: str) -> str:
    return f"what comes into {name}"


def _workload(
    network: Network,
    found: Mapping[str, tuple[str, Connections]],
    counted: _Counted,
    samples: int,
    steps: int,
) -> Workload:
    """The metrics, from what the meters have counted."""
    operations = {}
    for key, (name, part) in found.items():
        if part.source == "input":
            arrived = counted.inputs[_meter(name)]
        elif part.source == "always":
            active = np.full(part.fan_out.shape, max(steps - part.since, 0) * samples)
            arrived = Arrived(active, np.zeros_like(active))
        else:
            arrived = counted.outputs[name]
        operations[key] = SynapticOperations(
            int((arrived.graded * part.effective).sum()) / samples,
            int((arrived.ternary * part.effective).sum()) / samples,
            float(int(part.fan_out.sum()) * steps),
        )
    updates = {name: int(count.sum()) / samples for name, count in counted.updates.items()}
    every = sum(math.prod(network.out_shape(name)) for name in counted.nonzero) * steps * samples
    nonzero = sum(int(count) for count in counted.nonzero.values())
    columns = zip(*operations.values(), strict=True) if operations else ((0.0,),) * 3
    return Workload(
        activation_sparsity=(every - nonzero) / every if every else 0.0,
        synaptic_operations=SynapticOperations(*map(math.fsum, columns)),
        membrane_updates=math.fsum(updates.values()),
        operations_by_layer=operations,
        updates_by_layer=updates,
        samples=samples,
    )


def _activations(network: Network) -> tuple[str, ...]:
    return tuple(
        name
        for name in network.names
        if network[name].spiking or isinstance(network[name], RECTIFIERS)
    )


def _plain(network: Network | MappedNetwork) -> Network:
    return network.network if isinstance(network, MappedNetwork) else network
