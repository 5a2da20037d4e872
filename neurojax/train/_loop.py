"""The loop over epochs and steps, and what it leaves behind."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from neurojax._network import Network
from neurojax.datasets import Dataset, batches
from neurojax.train._progress import TrainingBar
from neurojax.train._step import Carry, Step
from neurojax.train._stopping import best_epoch

History = dict[str, list[float]]


class FitState(NamedTuple):
    """Everything `fit(resume=...)` needs to go on as if it had never stopped."""

    network: Network  # after the last step, in training mode
    optimiser: Any  # optax's state
    key: PRNGKeyArray
    records: tuple[dict[str, float], ...]  # of the steps of the epoch that was not finished
    seconds: float  # spent in that epoch
    best: Network | None  # of the best epoch so far, if one is kept


class Fit(NamedTuple):
    """What `fit` returns.

    Attributes:
        network: The trained network, in inference mode: of the best epoch if there is a validation
            and `keep_best`, else of the last step.
        history: Columns `"loss"`, metrics, `"penalty"`, `"val_loss"`, ..., `"seconds"`, one value
            an epoch; plain numbers that `json.dump` takes.
        state: For `fit(resume=...)`; `state.network` is the network of the last step.
        stopped: Why it ended: `"epochs"`, `"early stopping"`, `"callback"`, `"interrupted"` or
            `"not finite"`.
    """

    network: Network
    history: History
    state: FitState
    stopped: str

    def __repr__(self) -> str:
        """The last numbers and the network; the tuple itself would print it several times."""
        epochs = len(self.history["loss"])
        last = ", ".join(
            f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values
        )
        return f"Fit of {epochs} epochs, stopped by: {self.stopped}\n{last}\n\n{self.network}"


class NotFiniteError(FloatingPointError):
    """The loss or a parameter became NaN or infinite. `fit` holds what was learnt before."""

    def __init__(self, message: str, fit: Fit) -> None:
        super().__init__(message)
        self.fit = fit


class Best(NamedTuple):
    """Which epoch's network is kept."""

    column: str
    mode: str


class Loop:
    """A training run under way: the one place that changes while `fit` runs.

    `carry` and `count` stand together in one attribute, so that a KeyboardInterrupt finds either
    both of them before a step or both after it.
    """

    def __init__(
        self,
        step: Step,
        data: Dataset,
        batch_size: int,
        *,
        carry: Carry,
        static: Network,
        state: FitState,
        history: History,
        validate: Callable[[Network, PRNGKeyArray], dict[str, float]] | None,
        best: Best | None,
    ) -> None:
        self._step, self._data, self._batch_size = step, data, batch_size
        self._static, self._validate, self._best = static, validate, best
        self.history, self.state = history, state
        self._records: list[Mapping[str, Any]] = list(state.records)
        self._position = (carry, len(self._records))
        self._began = time.perf_counter()
        self._train_key, self._val_key = jax.random.split(state.key)

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history["loss"])

    def run_epoch(self, bar: TrainingBar) -> None:
        """Finish the epoch that has begun, and validate."""
        self._began = time.perf_counter()
        epoch_key = jax.random.fold_in(self._train_key, self.epoch)
        order_key, step_key = jax.random.split(epoch_key)
        order = batches(self._data, self._batch_size, key=order_key, drop_last=True)
        records = self._records
        for inputs, labels in islice(order, len(records), None):
            carry, index = self._position
            carry, record = self._step(carry, inputs, labels, step_key, np.int32(index))
            records.append(record)
            self._position = (carry, index + 1)
            if index > 0:
                # The step before: it has ended by now, so looking at it doesn't stall the device.
                self._check(index - 1)
                bar.step(self.epoch, index, _plain(records[index - 1]))
        self._check(len(records) - 1)
        self._finish_epoch(bar)

    def result(self, stopped: str, *, keep_best: bool = True) -> Fit:
        """What the run has come to, after whole epochs."""
        return _as_fit(self.state, self.history, stopped, keep_best)

    def interrupted(self, stopped: str, steps: int | None = None) -> Fit:
        """What the run has come to in the middle of an epoch, after so many steps of it."""
        carry, count = self._position
        state = self.state._replace(
            network=eqx.combine(carry.arrays, self._static),
            optimiser=carry.optimiser,
            records=tuple(_plain(r) for r in self._records[: count if steps is None else steps]),
            seconds=self.state.seconds + time.perf_counter() - self._began,
        )
        return _as_fit(state, self.history, stopped, True)

    def _finish_epoch(self, bar: TrainingBar) -> None:
        carry, _ = self._position
        network = eqx.combine(carry.arrays, self._static)
        records = [_plain(record) for record in self._records]
        row = {name: math.fsum(r[name] for r in records) / len(records) for name in records[0]}
        if self._validate is not None:
            judged = self._validate(eqx.nn.inference_mode(network), self._val_key)
            row |= {f"val_{name}": value for name, value in judged.items()}
        row["seconds"] = self.state.seconds + time.perf_counter() - self._began
        history = {name: [*self.history[name], row[name]] for name in self.history}
        best = self.state.best
        if self._best is not None:
            column, mode = self._best
            if best_epoch(history[column], column, mode) == self.epoch:
                best = network
        state = FitState(network, carry.optimiser, self.state.key, (), 0.0, best)
        bar.epoch(self.epoch, row)
        began = time.perf_counter()
        # No call in between: an interrupt sees this epoch as finished or as not finished.
        self.history, self.state, self._records, self._position, self._began = (
            history, state, [], (carry, 0), began,
        )  # fmt: skip

    def _check(self, index: int) -> None:
        record = self._records[index]
        if record.get("healthy", True):
            return
        loss = float(record["loss"])
        what = (
            f"the loss is {loss}"
            if not math.isfinite(loss)
            else f"the loss is {loss:.4g}, but its gradient leads to parameters that are not finite"
        )
        bad = _not_finite(self._data.inputs)
        remedy = (
            f"{bad} values of the inputs are NaN or infinite: repair the data"
            if bad
            else "lower the learning rate, or clip the gradients: "
            "optax.chain(optax.clip_by_global_norm(1.0), optimiser)"
        )
        raise NotFiniteError(
            f"epoch {self.epoch + 1}, step {index + 1}: {what}; {remedy}. "
            "The network of the step before is error.fit.state.network",
            # Unhealthy steps change nothing, so the carry still is the one of before this step.
            self.interrupted("not finite", steps=index),
        )


def _as_fit(state: FitState, history: History, stopped: str, keep_best: bool) -> Fit:
    kept = state.best if keep_best and state.best is not None else state.network
    return Fit(eqx.nn.inference_mode(kept), history, state, stopped)


def _plain(record: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a step as Python floats, without the flag of its health."""
    named = {name: float(value) for name, value in record.items() if name != "healthy"}
    return {"loss": named.pop("loss"), **named}  # jit sorts the names


def _not_finite(values: Any) -> int:
    values = np.asarray(values)
    if not np.issubdtype(values.dtype, np.floating):
        return 0
    return int(np.sum(~np.isfinite(values)))


def check_resumable(state: FitState, fresh: FitState, columns: Sequence[str], old: History) -> None:
    """Refuse to go on from a run that had another structure, all differences at once."""
    problems = []
    structure: Any = jax.tree.structure(state.network)
    if structure != jax.tree.structure(fresh.network):
        problems.append("its network has another structure")
    elif _shapes(state.network) != _shapes(fresh.network):
        problems.append("the arrays of its network have other shapes or types")
    if _shapes(state.optimiser) != _shapes(fresh.optimiser):
        problems.append("its optimiser, or what is trainable, was another")
    if not np.array_equal(jax.random.key_data(state.key), jax.random.key_data(fresh.key)):
        problems.append("it was started with another key")
    if set(old) != set(columns):
        problems.append(f"its history has the columns {list(old)}, not {list(columns)}")
    if problems:
        raise ValueError(
            "resume: can't go on from this run, because " + "; ".join(problems) + ". "
            "Pass the arguments of the first call, or start anew from its network"
        )


def _shapes(tree: Any) -> list[Any]:
    leaves, structure = jax.tree.flatten(eqx.filter(tree, eqx.is_array))
    return [structure, *((x.shape, x.dtype) for x in leaves)]
