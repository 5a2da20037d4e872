"""What a run records, separate from what it computes.

A probe names a layer's output or a field of its state, and how to keep it: every value, or a
reduction that is formed inside the scan so that no trace is stored.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

REDUCTIONS = ("last", "sum", "mean", "count", "max", "min")
NEURON_REDUCTIONS = ("count", "sum", "mean", "max", "min", "graded")


@dataclasses.dataclass(frozen=True)
class Probe:
    """Records one quantity of one layer.

    Attributes:
        path: `"layer"` for a layer's output, `"layer.field"` for a field of its state after the
            step (dots go deeper: `"hidden.neuron.v"`).
        reduce: None keeps the full trace `[time, batch, ...]`. `"last"`, `"sum"`, `"mean"`,
            `"count"` (of non-zero values, int32), `"max"` and `"min"` keep one value
            `[batch, ...]`, formed in the scan.
        every: Record steps 0, k, 2k, ... of the run only.
        neurons: None keeps every neuron. `"count"` (of non-zero values, int32), `"sum"`, `"mean"`,
            `"max"`, `"min"` and `"graded"` (how many values are neither 0 nor 1, int32) make one
            number of the layer's values in each step, `[time, batch]`; with `reduce` on top of it
            one a sample, `[batch]`. The name is then `"hidden[count]"` or `"hidden[count]:sum"`.

    Raises:
        ValueError: Unknown reduction, or `every` below 1.

    Example:
        >>> Probe("hidden.v", every=10)
        Probe(path='hidden.v', reduce=None, every=10, neurons=None)
        >>> Probe("hidden", neurons="count").name
        'hidden[count]'
    """

    path: str
    reduce: str | None = None
    every: int = 1
    neurons: str | None = None

    def __post_init__(self) -> None:
        if self.reduce is not None and self.reduce not in REDUCTIONS:
            raise ValueError(
                f"probe '{self.path}': unknown reduction {self.reduce!r}; "
                f"choose None (full trace) or one of {', '.join(REDUCTIONS)}"
            )
        if self.neurons is not None and self.neurons not in NEURON_REDUCTIONS:
            raise ValueError(
                f"probe '{self.path}': unknown reduction neurons={self.neurons!r}; "
                f"choose None (every neuron) or one of {', '.join(NEURON_REDUCTIONS)}"
            )
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"probe '{self.path}': every={self.every!r} must be an integer >= 1")

    @property
    def name(self) -> str:
        """Key of the trace in `Run.traces`: the path, with the reductions if there are any."""
        path = self.path if self.neurons is None else f"{self.path}[{self.neurons}]"
        return path if self.reduce is None else f"{path}:{self.reduce}"


class Target(NamedTuple):
    """A probe resolved against a network: which layer, and which field of its state."""

    probe: Probe
    layer: str
    field: tuple[str, ...]

    def read(self, state: Any, output: Array) -> Array:
        """The probed value of a batch after a step."""
        value = output
        if self.field:
            value = state
            for name in self.field:
                value = getattr(value, name)
        return over_neurons(self.probe.neurons, value)

    @property
    def in_carry(self) -> bool:
        """True if the value is reduced or thinned in the scan, not stacked by it."""
        return self.probe.reduce is not None or self.probe.every > 1


def over_neurons(reduction: str | None, value: Array) -> Array:
    """Values `[batch, ...]` of a step as one number a sample."""
    if reduction is None:
        return value
    axes = tuple(range(1, value.ndim))
    if reduction == "count":
        return jnp.sum(value != 0, axes, jnp.int32)
    if reduction == "graded":
        return jnp.sum((value != 0) & (value != 1), axes, jnp.int32)
    if reduction in ("sum", "mean"):
        wide = value.astype(_sum_type(value.dtype, reduction))
        return jnp.sum(wide, axes) if reduction == "sum" else jnp.mean(wide, axes)
    return jnp.max(value, axes) if reduction == "max" else jnp.min(value, axes)


def _sum_type(dtype: Any, reduction: str) -> Any:
    """What values are added up in: bfloat16 sums would stop growing at 256 spikes, and those of
    integers would be off above 2^24 in float32."""
    if reduction == "sum" and jnp.issubdtype(dtype, jnp.integer):
        return jnp.promote_types(dtype, jnp.int32)
    return jnp.promote_types(dtype, jnp.float32)


class Recorder(NamedTuple):
    """Init and update of a recording that lives in the carry of the scan."""

    init: Callable[[jax.ShapeDtypeStruct, int], Array]
    update: Callable[[Array, Array, Int[Array, ""]], Array]


def recorder(probe: Probe) -> Recorder:
    """The recorder of a probe whose `Target.in_carry` is true.

    `init(value, steps)` makes the empty recording for values like `value` in a run of `steps`
    steps; `update(recording, value, t)` takes in the value of step `t`.
    """
    every = probe.every

    def rows(value: jax.ShapeDtypeStruct, steps: int) -> Array:
        return jnp.zeros((-(-steps // every), *value.shape), value.dtype)

    def write(recording: Array, value: Array, t: Array) -> Array:
        # Rewriting the row where nothing is recorded costs one row; a select between the old and
        # the new recording would copy all of it in every step.
        row = jax.lax.dynamic_index_in_dim(recording, t // every, keepdims=False)
        row = jnp.where(t % every == 0, value, row)
        return jax.lax.dynamic_update_index_in_dim(recording, row, t // every, axis=0)

    if probe.reduce is None:
        return Recorder(rows, write)

    def empty(value: jax.ShapeDtypeStruct, steps: int) -> Array:
        del steps
        if probe.reduce == "count":
            return jnp.zeros(value.shape, jnp.int32)
        if probe.reduce in ("max", "min"):
            limit = jnp.inf if jnp.issubdtype(value.dtype, jnp.floating) else None
            if limit is None:
                info = jnp.iinfo(value.dtype)
                return jnp.full(
                    value.shape, info.min if probe.reduce == "max" else info.max, value.dtype
                )
            return jnp.full(value.shape, -limit if probe.reduce == "max" else limit, value.dtype)
        if probe.reduce in ("sum", "mean"):
            return jnp.zeros(value.shape, _sum_type(value.dtype, probe.reduce))
        return jnp.zeros(value.shape, value.dtype)

    def combine(recording: Array, value: Array) -> Array:
        if probe.reduce == "count":
            return recording + (value != 0).astype(jnp.int32)
        if probe.reduce in ("sum", "mean"):
            return recording + value.astype(recording.dtype)
        if probe.reduce == "max":
            return jnp.maximum(recording, value)
        if probe.reduce == "min":
            return jnp.minimum(recording, value)
        return value

    def update(recording: Array, value: Array, t: Array) -> Array:
        if every == 1:
            return combine(recording, value)
        return jnp.where(t % every == 0, combine(recording, value), recording)

    return Recorder(empty, update)


def finish(probe: Probe, recording: Array, steps: int) -> Array:
    """The recording as the user gets it: means are sums until the end."""
    if probe.reduce == "mean":
        return recording / (-(-steps // probe.every))
    return recording
