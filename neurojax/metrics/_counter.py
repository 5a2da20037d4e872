"""Counting spikes in the scan: no traces are kept, only what the counters hold."""

from __future__ import annotations

import functools as ft
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, PRNGKeyArray

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._layer import Layer
from neurojax._network import Network, check_finite
from neurojax._probe import Probe, over_neurons
from neurojax._progress import PatientBar
from neurojax._simulate import simulate
from neurojax.chips._mapped import MappedNetwork
from neurojax.datasets import Dataset
from neurojax.metrics._activity import Activity, LayerActivity

Batch = dict[str, Any]


def count_spikes(
    network: Network | MappedNetwork,
    inputs: Any,
    *,
    key: PRNGKeyArray | None = None,
    batch_size: int | None = None,
    layers: Iterable[str] | None = None,
    progress: bool | None = None,
) -> Activity:
    """Run a network in inference mode and count what its layers put out.

    Everything is counted while the network runs: per layer, time step, sample and neuron. Memory
    does not grow with the product of neurons and time steps.

    Args:
        network: The network, or what a chip's `map` returned.
        inputs: `[time, batch, *shape]`, or a dict of such arrays for several inputs; or an
            iterable of batches of this kind, each alone or as `(inputs, labels)`.
        key: For layers that draw random numbers. The first batch runs with this key, as
            `simulate` would, the others with keys made from it.
        batch_size: Samples at a time: the batches are cut into pieces of this size. Default: the
            batches as they come. A short last batch is filled up, so that nothing is compiled
            again, and what fills it is not counted.
        layers: Names of the layers and inputs to count; default: all.
        progress: None shows a bar on terminals and in notebooks if it takes longer than two
            seconds; True and False decide.

    Returns:
        The `Activity`.

    Raises:
        ValueError: No batches, batches of different numbers of time steps, unknown names, and
            whatever `simulate` refuses.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((2,), spikes=nj.IAF(threshold=2.0))
        >>> print(metrics.count_spikes(net, jnp.ones((6, 1, 2))))
        layer   neurons  events a sample  rate  most in a step  values
        ------  -------  ---------------  ----  --------------  ------
        input         2               12     1               2  spikes
        spikes        2                6   0.5               2  spikes
        samples: 1; steps: 6; spikes: 6 a sample
    """
    net = network.network if isinstance(network, MappedNetwork) else network
    check_network("count_spikes", net)
    check_finite(net)
    net = eqx.nn.inference_mode(net)
    names = _chosen(net, layers)
    total: Activity | None = None
    number = _number_of_batches(inputs, batch_size)
    with PatientBar("counting", progress) as bar:
        for index, (batch, valid) in enumerate(batches_of(net, inputs, batch_size)):
            bar.step(index, number)
            own = key if key is None or index == 0 else jax.random.fold_in(key, index)
            counted = _count(net, batch, own, names, valid)
            part = _as_activity(net, counted, int(valid.sum()))
            total = part if total is None else total + part
    if total is None:
        raise ValueError("there are no batches to count spikes in; give at least one")
    return total


class _Counted(NamedTuple):
    """What one layer put out over a batch; NumPy arrays once they are on the host."""

    nonzero: Any  # int32 [time, batch]
    total: Any  # [time, batch]
    graded: Any  # int32 scalar: values that are neither 0 nor 1
    neurons: Any  # int32 [*shape]
    sums: Any  # [*shape]
    last: Any  # int32 [*shape]
    last_sums: Any  # [*shape]


@eqx.filter_jit
def _count(
    network: Network,
    inputs: Batch,
    key: PRNGKeyArray | None,
    names: tuple[str, ...],
    valid: Bool[Array | np.ndarray, " batch"],
) -> dict[str, _Counted]:
    """Counters of the named layers and inputs; samples that are not valid don't count."""
    layers = [name for name in names if name in network]
    probes = {
        name: [
            Probe(name, neurons="count"),
            Probe(name, neurons="sum"),
            Probe(name, neurons="graded"),
            Probe(name, "count"),
            Probe(name, "sum"),
            Probe(name, "last"),
        ]
        for name in layers
    }
    run = simulate(network, inputs, key=key, probes=itertools.chain(*probes.values()))

    def of_valid(x: Array) -> Array:
        chosen = valid.reshape(-1, *(1,) * (x.ndim - 1))
        return jnp.sum(x, 0, where=chosen, dtype=x.dtype)

    result = {}
    for name in names:
        traces = [run[probe.name] for probe in probes[name]] if name in probes else None
        nonzero, total, graded, neurons, sums, last = traces or _of_input(inputs[name])
        result[name] = _Counted(
            nonzero,
            total,
            jnp.sum(jnp.where(valid, graded, 0)),
            of_valid(neurons),
            of_valid(sums),
            of_valid((last != 0).astype(jnp.int32)),
            of_valid(last.astype(sums.dtype)),
        )
    return result


def _of_input(x: Array) -> list[Array]:
    """What the probes of a layer would have recorded of an input."""
    x = x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)
    each = [jax.vmap(ft.partial(over_neurons, kind))(x) for kind in ("count", "sum", "graded")]
    sums = jnp.sum(x, 0, jnp.promote_types(x.dtype, jnp.float32))
    return [*each, jnp.sum(x != 0, 0, jnp.int32), sums, x[-1]]


def _as_activity(network: Network, counted: Mapping[str, _Counted], samples: int) -> Activity:
    """What was counted over a batch, as wide NumPy arrays."""
    outputs = {}
    for name, layer in counted.items():
        layer = _Counted(*(np.asarray(x) for x in layer))
        outputs[name] = LayerActivity(
            nonzero=layer.nonzero.T[:samples].astype(np.int64),
            total=layer.total.T[:samples].astype(np.float64),
            neurons=layer.neurons.astype(np.int64),
            size=int(layer.neurons.size),
            binary=int(layer.graded) == 0,
            sums=layer.sums.astype(np.float64),
            last=layer.last.astype(np.int64),
            last_sums=layer.last_sums.astype(np.float64),
        )
    steps = next(iter(outputs.values())).steps
    spiking = tuple(name for name in network.names if name in outputs and network[name].spiking)
    counting = tuple(name for name in spiking if _puts_out_numbers(network[name]))
    # A dict that has been through jit is sorted by name.
    ordered = {name: outputs[name] for name in _all_names(network) if name in outputs}
    return Activity(ordered, steps, samples, spiking, counting)


def _puts_out_numbers(layer: Layer) -> bool:
    """Whether a value n of a spiking layer stands for n spikes."""
    inner = getattr(layer, "neuron", None)
    if isinstance(inner, Layer):
        return _puts_out_numbers(inner)
    single = getattr(layer, "max_spikes", 1) == 1
    return not single and getattr(layer, "amplitude", None) is None


def _all_names(network: Network) -> list[str]:
    return [*network.inputs, *network.names]


def _chosen(network: Network, layers: Iterable[str] | None) -> tuple[str, ...]:
    known = _all_names(network)
    if layers is None:
        return tuple(known)
    layers = (layers,) if isinstance(layers, str) else tuple(layers)
    problems = [
        f"layers: no layer or input '{name}'; {nearest(name, known)}"
        for name in layers
        if name not in known
    ]
    if problems or not layers:
        raise ValueError("\n".join(problems) or "layers is empty; name at least one, or give None")
    return layers


def _is_one_batch(inputs: Any) -> bool:
    if isinstance(inputs, Dataset):
        raise TypeError(
            "a Dataset has no time axis; give batches as the network takes them, such as "
            "((encode(x), y) for x, y in datasets.batches(data, 256, shuffle=False))"
        )
    return isinstance(inputs, Mapping) or hasattr(inputs, "shape")


def _number_of_batches(inputs: Any, batch_size: int | None) -> int | None:
    """How many batches will come, if that can be known."""
    if _is_one_batch(inputs):
        first = next(iter(inputs.values())) if isinstance(inputs, Mapping) else inputs
        samples = np.shape(first)[1] if np.ndim(first) > 1 else 1
        return 1 if batch_size is None else -(-samples // max(batch_size, 1))
    return len(inputs) if isinstance(inputs, Sized) and batch_size is None else None


def batches_of(
    network: Network, inputs: Any, batch_size: int | None
) -> Iterator[tuple[Batch, np.ndarray]]:
    """Batches of one size, and which samples of each are no filling."""
    if batch_size is not None and batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    size = batch_size
    for batch in (inputs,) if _is_one_batch(inputs) else inputs:
        if isinstance(batch, tuple | list):  # with labels
            batch = batch[0]
        arrays = _by_input(network, batch)
        samples = next(iter(arrays.values())).shape[1]
        size = size or samples
        # A batch that is larger than the first one is not cut: it runs as it comes.
        step = batch_size or max(samples, 1)
        for first in range(0, samples, step):
            piece = {name: x[:, first : first + step] for name, x in arrays.items()}
            yield _filled(piece, size)


def _by_input(network: Network, batch: Any) -> Batch:
    """A batch as arrays by input's name. What is wrong with their shapes, `simulate` says."""
    batch = batch if isinstance(batch, Mapping) else {next(iter(network.inputs)): batch}
    if set(batch) != set(network.inputs):
        raise ValueError(
            f"the network has the inputs {', '.join(network.inputs)}, but a batch has "
            f"{', '.join(batch)}; give a dict with an array for each"
        )
    arrays = {n: x if isinstance(x, jax.Array) else np.asarray(x) for n, x in batch.items()}
    for name, x in arrays.items():
        if x.ndim < 2:
            raise ValueError(
                f"input '{name}' has shape {x.shape}; batches are [time, batch, *shape]"
            )
    return arrays


def _filled(batch: Batch, size: int) -> tuple[Batch, np.ndarray]:
    """A batch with copies of its last sample up to `size`."""
    samples = next(iter(batch.values())).shape[1]
    missing = max(size - samples, 0)
    if missing:
        chosen = np.minimum(np.arange(size), samples - 1)
        batch = {name: x[:, chosen] for name, x in batch.items()}
    return batch, np.arange(samples + missing) < samples
