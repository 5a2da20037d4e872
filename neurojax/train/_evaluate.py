"""Running a network over a data set without changing it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._network import Network
from neurojax._probe import Probe
from neurojax.datasets import Dataset
from neurojax.train._task import (
    Data,
    Encode,
    Loss,
    Metrics,
    Task,
    as_dataset,
    check_data,
    make_task,
)
from neurojax.train.losses import Decode


def evaluate(
    network: Network,
    data: Data,
    *,
    loss: Loss = "cross_entropy",
    metrics: Metrics = ("accuracy",),
    steps: int | None = None,
    encode: Encode | None = None,
    decode: Decode = "sum",
    batch_size: int = 256,
    key: PRNGKeyArray | None = None,
    spikes: bool | Iterable[str] = True,
    schedule: str = "auto",
) -> dict[str, Any]:
    """Loss, metrics and spike counts of a network on a data set, in inference mode.

    Args:
        network: What to evaluate.
        data: A `Dataset`, or `(inputs, labels)`.
        loss: As in `fit`.
        metrics: As in `fit`.
        steps: As in `fit`.
        encode: As in `fit`.
        decode: As in `fit`.
        batch_size: Samples at a time. Every sample counts exactly once, whatever this is.
        key: For encoders and layers that draw random numbers; default `jax.random.key(0)`.
        spikes: Whether to count spikes: True for all layers that spike, names for some.
        schedule: As in `simulate`.

    Returns:
        `"loss"`, the metrics, and `"spikes"`: for each layer the mean number of spikes a sample
        (the sum of the layer's outputs over neurons and time).

    Raises:
        ValueError: Whatever `fit` refuses.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax import datasets, train
        >>> net = nj.Sequential((4,), out=nj.Linear(4, 3, key=jax.random.key(0)))
        >>> result = train.evaluate(net, datasets.yin_yang(100), steps=2)
        >>> sorted(result)
        ['accuracy', 'loss', 'spikes']
    """
    if spikes is True:
        names = tuple(name for name in network.names if network[name].spiking)
    else:
        names = () if spikes is False else tuple(spikes)
    task = make_task(
        network,
        loss=loss,
        decode=decode,
        metrics=metrics,
        steps=steps,
        encode=encode,
        probes=[Probe(name, "sum") for name in names],
        schedule=schedule,
    )
    data = as_dataset("data", data)
    network = eqx.nn.inference_mode(network)
    check_data("data", network, task, data)
    judged = Evaluator(task, batch_size).totals(network, data, default_key(key))
    counts = {name: float(judged.pop(f"spikes of {name}")) for name in names}
    return judged | ({"spikes": counts} if spikes is not False else {})


def predict(
    network: Network,
    inputs: Any,
    *,
    steps: int | None = None,
    encode: Encode | None = None,
    decode: Decode = "sum",
    batch_size: int = 256,
    key: PRNGKeyArray | None = None,
    scores: bool = False,
    schedule: str = "auto",
) -> np.ndarray:
    """The class of every sample, in inference mode.

    Args:
        network: What to run.
        inputs: Samples `[samples, ...]`, or a `Dataset` whose labels are ignored.
        steps: As in `fit`.
        encode: As in `fit`.
        decode: As in `fit`.
        batch_size: Samples at a time.
        key: For encoders and layers that draw random numbers; default `jax.random.key(0)`.
        scores: Return the decoded outputs `[samples, classes]` instead.
        schedule: As in `simulate`.

    Returns:
        Class indices `[samples]`; the lowest index wins ties.
    """
    values = inputs.inputs if isinstance(inputs, Dataset) else inputs
    values = values if hasattr(values, "dtype") else np.asarray(values)
    data = as_dataset("inputs", (values, np.zeros(len(values), np.int32)))
    task = make_task(
        network,
        loss=lambda outputs, labels: labels,
        decode=decode,
        metrics=(),
        steps=steps,
        encode=encode,
        probes=(),
        schedule=schedule,
    )
    network = eqx.nn.inference_mode(network)
    check_data("inputs", network, task, data)
    evaluator = Evaluator(task, batch_size, scores=True)
    parts = evaluator.batches(network, data, default_key(key))
    rows = np.concatenate([np.asarray(batch.scores)[: batch.size] for batch in parts])
    return rows if scores else np.argmax(rows, axis=-1)


class Evaluated(NamedTuple):
    """What a batch gave. Rows from `size` on are padding."""

    size: int
    scores: Array | None
    judged: dict[str, Array]


class Evaluator:
    """Evaluates networks of one structure on batches of one size; compiles once.

    The last batch is filled up with copies of a sample. Batches don't mix in inference mode, so
    cutting the copies' rows off leaves exactly what the sample alone would give.
    """

    def __init__(self, task: Task, batch_size: int, *, scores: bool = False) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size} must be at least 1")
        self._batch_size = batch_size

        def run(network: Network, inputs: Any, labels: Any, key: PRNGKeyArray, index: Any) -> Any:
            run = task.run(network, inputs, jax.random.fold_in(key, index))
            judged = task.judge(run.outputs, labels)
            for name, trace in run.traces.items():
                layer = name.rpartition(":")[0]
                judged[f"spikes of {layer}"] = trace.reshape(trace.shape[0], -1).sum(axis=1)
            return (task.decode(run.outputs) if scores else None), judged

        self.run: Callable[..., Any] = eqx.filter_jit(run)

    def batches(self, network: Network, data: Dataset, key: PRNGKeyArray) -> Iterator[Evaluated]:
        """Evaluate batch after batch."""
        size = min(self._batch_size, len(data))
        for index, first in enumerate(range(0, len(data), size)):
            chosen = np.arange(first, first + size)
            valid = min(size, len(data) - first)
            chosen = np.minimum(chosen, len(data) - 1)
            inputs, labels = data.inputs[chosen], data.labels[chosen]
            yield Evaluated(valid, *self.run(network, inputs, labels, key, np.int32(index)))

    def totals(self, network: Network, data: Dataset, key: PRNGKeyArray) -> dict[str, Any]:
        """Mean over all samples of everything that is judged."""
        sums: dict[str, float] = {}
        for batch in list(self.batches(network, data, key)):
            for name, values in batch.judged.items():
                total = np.sum(np.asarray(values, np.float64)[: batch.size])
                sums[name] = sums.get(name, 0.0) + float(total)
        means = {name: total / len(data) for name, total in sums.items()}
        return {"loss": means.pop("loss"), **means}  # jit sorts the names


def default_key(key: PRNGKeyArray | None) -> PRNGKeyArray:
    """The caller's key, or a fixed one: an evaluation says the same when it is repeated."""
    return jax.random.key(0) if key is None else key
