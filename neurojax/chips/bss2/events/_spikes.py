"""Spikes as a list of times and neurons, in the order in which they come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

NONE = -1
"""Index of an entry without a spike; its time is infinity."""


class Spikes(eqx.Module):
    """Spikes of a population: earliest first, at the end entries without one.

    Leading axes are a batch. Shapes are fixed, so the number of entries is that of the most spikes
    there may be.
    """

    time: Float[Array, "*batch spikes"]  # seconds, infinity where there is no spike
    index: Int[Array, "*batch spikes"]  # of the neuron, -1 where there is no spike

    @property
    def count(self) -> Int[Array, "*batch"]:
        """The number of spikes."""
        return jnp.sum(self.there, axis=-1)

    @property
    def there(self) -> Bool[Array, "*batch spikes"]:
        """Which entries are spikes."""
        return (self.index >= 0) & jnp.isfinite(self.time)


def spikes(time: Any, index: Any) -> Spikes:
    """Make `Spikes` from times and neurons in any order.

    Args:
        time: Seconds, 0 or later; infinity or NaN for no spike.
        index: Neuron of each spike, below 0 for no spike.

    Returns:
        The spikes, sorted by time; those of one time in the order given.

    Raises:
        ValueError: The shapes differ, or there is a negative time (looked for outside `jit` only).

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import events
        >>> events.spikes([3e-6, jnp.inf, 1e-6], [0, 1, 2]).index.tolist()
        [2, 0, -1]
    """
    time, index = as_times(time), jnp.asarray(index, jnp.int32)
    if time.shape != index.shape or time.ndim < 1:
        raise ValueError(
            f"spikes: time has shape {time.shape} and index {index.shape}; they must be the same, "
            "(..., spikes)"
        )
    _refuse_early(time, index)
    there = (index >= 0) & jnp.isfinite(time)
    time = jnp.where(there, time, jnp.inf)
    order = jnp.argsort(time, axis=-1, stable=True)
    return Spikes(
        jnp.take_along_axis(time, order, -1),
        jnp.take_along_axis(jnp.where(there, index, NONE), order, -1),
    )


def merge(trains: Sequence[Spikes]) -> Spikes:
    """Several spike trains as one; of spikes at one time, those of the first train come first."""
    if len(trains) == 1:
        return trains[0]
    time = jnp.concatenate([train.time for train in trains], axis=-1)
    return spikes(time, jnp.concatenate([train.index for train in trains], axis=-1))


def as_times(values: Any) -> Array:
    """An array of floats."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.float32)


def concrete(values: Array) -> np.ndarray | None:
    """The numbers, if they are known: not those that `jit` or `grad` trace."""
    return None if isinstance(values, jax.core.Tracer) else np.asarray(values)


def _refuse_early(time: Array, index: Array) -> None:
    """Raise ValueError for spikes before 0, as far as they are known."""
    times, indices = concrete(time), concrete(index)
    if times is None or indices is None:
        return
    early = times[(indices >= 0) & (times < 0)]
    if early.size:
        raise ValueError(
            f"spikes: a spike is at {early.min():g} s; a run begins at 0, shift the times"
        )


def first_spike(
    train: Spikes, neurons: int, *, silent: float = float("inf")
) -> Float[Array, "*batch neurons"]:
    """Time of each neuron's first spike; gradients reach that spike.

    Args:
        train: The spikes.
        neurons: Number of neurons.
        silent: Time of neurons without a spike.

    Example:
        >>> from neurojax.chips.bss2 import events
        >>> print(events.first_spike(events.spikes([1.0, 2.0, 3.0], [1, 0, 1]), 3))
        [ 2.  1. inf]
    """
    mine = train.index[..., None, :] == jnp.arange(neurons)[:, None]
    first = jnp.argmax(mine, axis=-1)  # they are sorted
    time = jnp.take_along_axis(train.time, first, axis=-1)
    return jnp.where(jnp.any(mine, axis=-1), time, silent)
