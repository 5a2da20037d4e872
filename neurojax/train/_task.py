"""What a batch goes through: encoded, simulated, decoded and judged, in training and evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._network import Network
from neurojax._probe import Probe
from neurojax._simulate import Run, simulate
from neurojax.datasets import Dataset
from neurojax.encode import direct
from neurojax.train.losses import Decode, decoder, resolve

Encode = Callable[[Array, PRNGKeyArray], Any]
Judge = Callable[[Any, Array], Array]  # (outputs, labels) -> [batch]
Loss = str | Judge
Metrics = Iterable[str | Judge] | Mapping[str, Judge]
Data = Dataset | tuple[Any, Any]
PerSample = dict[str, Array]


class Task(NamedTuple):
    """How a batch is simulated and judged."""

    encode: Encode
    decode: Callable[[Any], Array]
    judges: dict[str, Judge]  # "loss" first, then the metrics
    probes: tuple[Probe | str, ...]
    options: dict[str, Any]  # of simulate

    def run(self, network: Network, inputs: Array, key: PRNGKeyArray) -> Run:
        """Encode a batch and simulate it."""
        encode_key, run_key = jax.random.split(key)
        values = self.encode(inputs, encode_key)
        return simulate(network, values, key=run_key, probes=self.probes, **self.options)

    def judge(self, outputs: Any, labels: Array) -> PerSample:
        """Loss and metrics of every sample of a batch."""
        judged = {}
        for name, judge in self.judges.items():
            value = jnp.asarray(judge(outputs, labels))
            if value.shape != labels.shape[:1]:
                raise ValueError(
                    f"'{name}' gives shape {value.shape}, but must give one value a sample, "
                    f"[batch] = {labels.shape[:1]}; don't average over the batch"
                )
            judged[name] = value.astype(jnp.float32)
        return judged


def make_task(
    network: Network,
    *,
    loss: Loss,
    decode: Decode,
    metrics: Metrics,
    steps: int | None,
    encode: Encode | None,
    probes: Iterable[Probe | str],
    **options: Any,
) -> Task:
    """Look up names and check that the options go together."""
    read = decoder(decode)
    judges: dict[str, Judge] = {"loss": resolve(loss, decode)}
    if isinstance(metrics, str):
        metrics = (metrics,)
    named = metrics.items() if isinstance(metrics, Mapping) else ((_name(m), m) for m in metrics)
    for name, metric in named:
        if name == "accuracy" and isinstance(metric, str):
            judges[name] = lambda outputs, labels: _correct(read(outputs), labels)
        elif callable(metric) and name not in (*judges, "penalty", "seconds", "spikes"):
            judges[name] = metric
        else:
            raise ValueError(
                f"metric {name!r} is unknown, or its name is taken; choose 'accuracy', or pass "
                "functions (outputs, labels) -> [batch] with names of their own"
            )
    if isinstance(probes, str | Probe):
        probes = (probes,)
    return Task(_encoder(network, steps, encode), read, judges, tuple(probes), options)


def as_dataset(what: str, data: Data) -> Dataset:
    """A `Dataset` of whatever holds inputs and labels; refuses one without samples."""
    if not isinstance(data, Dataset):
        if not isinstance(data, tuple | list) or len(data) != 2:
            raise TypeError(
                f"{what} must be a Dataset or (inputs [samples, ...], labels [samples]), "
                f"got {type(data).__name__}"
            )
        inputs, labels = (x if hasattr(x, "dtype") else np.asarray(x) for x in data)
        data = Dataset(inputs, labels)
    if len(data) == 0:
        raise ValueError(f"{what} has no samples")
    return data


def check_data(what: str, network: Network, task: Task, data: Dataset) -> None:
    """Run shapes, but no numbers, through a batch of one; raises what would go wrong."""

    def judged(network: Network, inputs: Array, labels: Array, key: PRNGKeyArray) -> Any:
        outputs = task.run(network, inputs, key).outputs
        scores = task.decode(outputs) if "accuracy" in task.judges else None
        return scores, task.judge(outputs, labels)

    scores, _ = eqx.filter_eval_shape(
        judged, network, data.inputs[:1], data.labels[:1], jax.random.key(0)
    )
    labels = data.labels
    if scores is not None and np.issubdtype(labels.dtype, np.integer) and labels.ndim == 1:
        low, high, classes = int(labels.min()), int(labels.max()), scores.shape[-1]
        if low < 0 or high >= classes:
            raise ValueError(
                f"{what}: the labels go from {low} to {high}, but the network has {classes} "
                f"outputs, so that labels must lie in 0 to {classes - 1}"
            )


def _encoder(network: Network, steps: int | None, encode: Encode | None) -> Encode:
    if encode is not None:
        if steps is not None:
            raise ValueError(
                "give `steps` (the input as a constant current) or `encode` (a function "
                "(inputs, key) -> [time, batch, ...]), not both"
            )
        return encode
    if steps is not None:
        return lambda inputs, key: direct(inputs, steps=steps)
    shapes = network.inputs

    def time_first(inputs: Array, key: PRNGKeyArray) -> Array:
        del key
        shape = next(iter(shapes.values()))
        if len(shapes) > 1:
            raise ValueError(
                f"the network has inputs {sorted(shapes)}; pass encode=lambda inputs, key: "
                "{name: [time, batch, ...], ...}"
            )
        if inputs.shape[1:] == shape:
            raise ValueError(
                f"the samples {shape} have no time axis; pass steps=... to show them as a constant "
                "current, or encode=... to make spikes of them"
            )
        return jnp.moveaxis(inputs, 1, 0)

    return time_first


def _name(metric: Any) -> str:
    if isinstance(metric, str):
        return metric
    name = getattr(metric, "__name__", None)
    if name is None:
        raise ValueError(f"metric {metric!r} has no __name__; pass metrics={{'name': function}}")
    return name


def _correct(scores: Array, labels: Array) -> Array:
    if labels.ndim == 2 and labels.shape == scores.shape:
        labels = jnp.argmax(labels, axis=-1)
    if labels.ndim != 1 or not jnp.issubdtype(labels.dtype, jnp.integer):
        raise ValueError(
            f"'accuracy' needs labels [samples] of an integer type, got {labels.dtype} "
            f"with shape {labels.shape}; for other targets pass metrics=()"
        )
    return jnp.argmax(scores, axis=-1) == labels
