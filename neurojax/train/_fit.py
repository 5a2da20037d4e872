"""`fit`: training a network with an optax optimiser, the same to the last bit for the same key."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import equinox as eqx
import optax
from jaxtyping import Array, PRNGKeyArray

from neurojax._arguments import check_network
from neurojax._network import Network
from neurojax._probe import Probe
from neurojax._simulate import Checkpoint, Run
from neurojax.datasets import Dataset
from neurojax.train._evaluate import Evaluator
from neurojax.train._loop import Best, Fit, FitState, History, Loop, check_resumable
from neurojax.train._progress import TrainingBar
from neurojax.train._step import make_step, restart, start
from neurojax.train._stopping import EarlyStopping, sign
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
from neurojax.train._trainable import Trainable, trainable_mask
from neurojax.train.losses import Decode


def fit(
    network: Network,
    data: Data,
    *,
    key: PRNGKeyArray,
    epochs: int = 10,
    batch_size: int = 64,
    loss: Loss = "cross_entropy",
    optimiser: optax.GradientTransformation | None = None,
    steps: int | None = None,
    encode: Encode | None = None,
    decode: Decode = "sum",
    metrics: Metrics = ("accuracy",),
    validation: Data | None = None,
    trainable: Trainable = None,
    regularise: Callable[[Run], Array] | None = None,
    probes: Iterable[Probe | str] = (),
    schedule: str = "auto",
    checkpoint: Checkpoint = None,
    unroll: int = 1,
    early_stopping: EarlyStopping | None = None,
    keep_best: bool | str = True,
    progress: bool | None = None,
    callbacks: Iterable[Callable[[Fit], object]] = (),
    resume: Fit | None = None,
) -> Fit:
    """Train a network by back-propagation through time.

    The same key, data and options give the same parameters, bit for bit, on the same machine.
    Interrupting it from the keyboard returns what has been learnt so far.

    Args:
        network: Where to start.
        data: A `Dataset`, or `(inputs [samples, ...], labels [samples, ...])`.
        key: Source of shuffling, encoding, dropout and noise.
        epochs: Times to go through the data, those before `resume` included.
        batch_size: Samples a step, at most all of them. What does not fill a last batch is left
            out of the epoch; the shuffling leaves out others in every epoch.
        loss: A name in `losses.LOSSES`, or `(outputs [time, batch, ...], labels) -> [batch]`.
        optimiser: Default `optax.adam(1e-3)`.
        steps: Show each sample for so many steps as a constant current.
        encode: Turns a batch into what `simulate` takes: `(inputs [batch, ...], key) ->
            [time, batch, ...]`, compiled. Without `steps` and `encode` the samples must be
            `[time, ...]` themselves.
        decode: From outputs to scores of the classes: `"sum"`, `"mean"`, `"max"`, `"last"`,
            `"first_spike"` or a function `[time, batch, ...] -> [batch, classes]`.
        metrics: `"accuracy"`, or functions `(outputs, labels) -> [batch]`.
        validation: Data to validate on after every epoch: all of it, in inference mode, with the
            same random draws each time.
        trainable: What to change; see `trainable_mask`. Default: all floating-point arrays but the
            layers' `buffers`.
        regularise: A penalty added to the loss, made of the probed traces:
            `lambda run: 1e-3 * run["hidden:sum"].mean()`. Counts have no gradient, sums do.
        probes: What to record for `regularise`.
        schedule: As in `simulate`.
        checkpoint: As in `simulate`; bounds the memory of back-propagation.
        unroll: As in `simulate`.
        early_stopping: When to stop before the last epoch.
        keep_best: Return the network of the best epoch: by the metric of `early_stopping`, else
            `"val_loss"`; a string names another column of the history. Without validation, and
            with False, the network of the last step is returned.
        progress: Show a progress bar on standard error; None: on terminals and in notebooks.
        callbacks: Called with a `Fit` after each epoch (its network is that of the last
            step); returning True ends the training.
        resume: What an earlier call returned, to go on from there: epochs 1 to 5 and then
            6 to 10 give the same as 1 to 10. Parameters, key and history are taken from it; all
            other arguments should be as before, but need not be.

    Returns:
        The trained network, the history and the state to go on from.

    Raises:
        ValueError: Options that are out of range or don't fit together, unknown names, shapes that
            don't fit. Raised before anything is compiled.
        NotFiniteError: The loss or a parameter became NaN or infinite; the error holds the last
            good `fit`.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax import datasets, train
        >>> net = nj.Sequential((4,), out=nj.Linear(4, 3, key=jax.random.key(0)))
        >>> data = datasets.yin_yang(200)
        >>> fitted = train.fit(net, data, steps=5, epochs=3, key=jax.random.key(1))
        >>> list(fitted.history), len(fitted.history["loss"])
        (['loss', 'accuracy', 'seconds'], 3)
    """
    data = as_dataset("data", data)
    if epochs < 1:
        raise ValueError(f"epochs={epochs} must be at least 1")
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be at least 1")
    batch_size = min(batch_size, len(data))
    task = make_task(
        network,
        loss=loss,
        decode=decode,
        metrics=metrics,
        steps=steps,
        encode=encode,
        probes=probes,
        schedule=schedule,
        checkpoint=checkpoint,
        unroll=unroll,
    )
    check_network("fit", network)
    network = eqx.nn.inference_mode(network, value=False)
    check_data("data", network, task, data)
    columns = [*task.judges, *(["penalty"] if regularise is not None else [])]
    validate = None
    if validation is not None:
        validation = as_dataset("validation", validation)
        check_data("validation", network, task, validation)
        columns += [f"val_{name}" for name in task.judges]
        validate = _validator(task, validation, batch_size)
    columns.append("seconds")
    best = _best(keep_best, early_stopping, columns)

    optimiser = optax.adam(1e-3) if optimiser is None else optimiser
    mask = trainable_mask(network, trainable)
    carry, static = start(network, mask, optimiser)
    state = FitState(network, carry.optimiser, key, (), 0.0, None)
    history: History = {name: [] for name in columns}
    if resume is not None:
        check_resumable(resume.state, state, columns, resume.history)
        history, state = resume.history, resume.state
        carry = restart(state.network, state.optimiser)
    loop = Loop(
        make_step(static, mask, optimiser, task, regularise),
        data,
        batch_size,
        carry=carry,
        static=static,
        state=state,
        history=history,
        validate=validate,
        best=best,
    )
    per_epoch = len(data) // batch_size
    done = loop.epoch * per_epoch + len(state.records)
    try:
        with TrainingBar(progress, epochs=epochs, steps=per_epoch, done=done) as bar:
            while loop.epoch < epochs:
                loop.run_epoch(bar)
                seen = loop.result("callback", keep_best=False)
                if any([callback(seen) is True for callback in callbacks]):
                    return loop.result("callback")
                if early_stopping is not None and early_stopping.done(
                    loop.history[early_stopping.metric]
                ):
                    return loop.result("early stopping")
    except KeyboardInterrupt:
        return loop.interrupted("interrupted")
    return loop.result("epochs")


def _validator(
    task: Task, data: Dataset, batch_size: int
) -> Callable[[Network, PRNGKeyArray], dict[str, float]]:
    evaluator = Evaluator(task._replace(probes=()), batch_size)
    return lambda network, key: evaluator.totals(network, data, key)


def _best(
    keep_best: bool | str, early_stopping: EarlyStopping | None, columns: list[str]
) -> Best | None:
    """The column and direction by which the best network is chosen."""
    if early_stopping is not None:
        _check_column("early_stopping", early_stopping.metric, columns)
    if isinstance(keep_best, str):
        _check_column("keep_best", keep_best, columns)
        sign(keep_best)
        return Best(keep_best, "auto")
    if not keep_best or "val_loss" not in columns:
        return None
    if early_stopping is not None:
        return Best(early_stopping.metric, early_stopping.mode)
    return Best("val_loss", "auto")


def _check_column(what: str, name: str, columns: list[str]) -> None:
    if name not in columns:
        hint = "; pass validation=" if name.startswith("val_") else ""
        raise ValueError(f"{what}: the history has no '{name}', only {', '.join(columns)}{hint}")
