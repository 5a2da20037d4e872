"""Counting spikes in the scan: no traces are kept, only what the counters hold."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from neurojax._arguments import check_network
from neurojax._graph import nearest
from neurojax._layer import Layer
from neurojax._network import Network, check_finite
from neurojax._probe import Probe
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

    Everything is counted while the network runs: per layer, time step, sample and neuron. But for
    the network's own output, memory does not grow with the product of neurons and time steps.

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
        for index, (batch, samples) in enumerate(batches_of(net, inputs, batch_size)):
            bar.step(index, number)
            own = key if key is None or index == 0 else jax.random.fold_in(key, index)
            part = _count(net, batch, own, names, samples)
            total = part if total is None else total + part
    if total is None:
        raise ValueError("there are no batches to count spikes in; give at least one")
    return total


def _count(
    network: Network,
    inputs: Batch,
    key: PRNGKeyArray | None,
    names: tuple[str, ...],
    samples: int,
) -> Activity:
    """The activity of the first samples of a batch; the others fill it up."""
    probes = {
        name: [
            Probe(name, neurons="count"),
            Probe(name, neurons="sum"),
            Probe(name, neurons="graded"),
            Probe(name, "count"),
            Probe(name, "sum"),
            Probe(name, "last"),
        ]
        for name in names
        if name in network
    }
    # Step by step: the other schedule holds what all layers put out in all steps.
    run = simulate(
        network, inputs, key=key, probes=itertools.chain(*probes.values()), schedule="step"
    )
    outputs = {}
    for name in _all_names(network):
        if name in probes:
            recorded = (np.asarray(run[probe.name]) for probe in probes[name])
            outputs[name] = _of_layer(samples, *recorded)
        elif name in names:
            outputs[name] = _of_input(np.asarray(inputs[name])[:, :samples])
    steps = next(iter(inputs.values())).shape[0]
    spiking = tuple(name for name in probes if network[name].spiking)
    counting = tuple(name for name in spiking if _puts_out_numbers(network[name]))
    return Activity(outputs, steps, samples, spiking, counting)


def _of_layer(
    samples: int,
    nonzero: np.ndarray,
    total: np.ndarray,
    graded: np.ndarray,
    neurons: np.ndarray,
    sums: np.ndarray,
    last: np.ndarray,
) -> LayerActivity:
    """The activity of a layer from what the probes recorded of it."""
    last = last[:samples].astype(np.float64)
    return LayerActivity(
        nonzero=nonzero[:, :samples].T.astype(np.int64),
        total=total[:, :samples].T.astype(np.float64),
        neurons=neurons[:samples].sum(0, dtype=np.int64),
        size=int(last[0].size),
        binary=not graded[:, :samples].any(),
        sums=sums[:samples].sum(0, dtype=np.float64),
        last=np.count_nonzero(last, 0),
        last_sums=last.sum(0),
    )


def _of_input(x: np.ndarray) -> LayerActivity:
    """The activity of an input."""
    flat = x.reshape(*x.shape[:2], -1)
    active = flat != 0  # events may come as single bytes: nothing here is wider than they are
    whole = lambda counted: np.asarray(counted).reshape(x.shape[2:])  # noqa: E731
    return LayerActivity(
        nonzero=np.count_nonzero(active, 2).T,
        total=flat.sum(2, dtype=np.float64).T,
        neurons=whole(np.count_nonzero(active, (0, 1))),
        size=int(flat.shape[2]),
        binary=bool((active == flat).all()),
        sums=whole(flat.sum((0, 1), dtype=np.float64)),
        last=whole(np.count_nonzero(active[-1], 0)),
        last_sums=whole(flat[-1].sum(0, dtype=np.float64)),
    )


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
) -> Iterator[tuple[Batch, int]]:
    """Batches of one size, and how many of their samples are no filling."""
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


def _filled(batch: Batch, size: int) -> tuple[Batch, int]:
    """A batch with copies of its last sample up to `size`, and how many samples it had."""
    samples = next(iter(batch.values())).shape[1]
    if samples < size:
        chosen = np.minimum(np.arange(size), samples - 1)
        batch = {name: x[:, chosen] for name, x in batch.items()}
    return batch, samples
