"""Codes for signals that change: a spike per change, ON for up and OFF for down.

`delta` compares neighbouring samples. `send_on_delta` compares with the level a receiver has
rebuilt from the spikes so far, so that slow drifts are sent too and errors don't add up: what
a pixel of an event camera does.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ._rate import as_float


class SentOnDelta(NamedTuple):
    """Spikes of `send_on_delta`, and the signal a receiver can rebuild from them."""

    spikes: Float[Array, "..."]  # the signal's shape and a polarity axis of two: ON, OFF
    level: Float[Array, "time *shape"]  # rebuilt signal after each step


def delta(
    signal: Num[ArrayLike, "time *shape"], *, threshold: float, axis: int = 1
) -> Float[Array, "..."]:
    """Spike where the signal changed by at least the threshold since the step before.

    Args:
        signal: samples, time first.
        threshold: smallest change that spikes, above zero.
        axis: where the polarity axis (0: ON, up; 1: OFF, down) goes in the result. The default
            suits `[time, *features]`; take 2 for `[time, batch, *features]`.

    Returns:
        Spikes 0/1 in float32. The first step has none: nothing to compare with.

    References:
        snnTorch's `spikegen.delta`, there with one channel.

    Example:
        >>> delta(jnp.array([0.0, 1.0, 1.2, -1.0]), threshold=0.5).tolist()
        [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
    """
    signal = _check("delta", signal, threshold)
    change = jnp.diff(signal, axis=0, prepend=signal[:1])
    return _polarities(change >= threshold, change <= -threshold, axis)


def send_on_delta(
    signal: Num[ArrayLike, "time *shape"],
    *,
    threshold: float,
    initial: Num[ArrayLike, "*shape"] | None = None,
    max_spikes: int | None = 1,
    axis: int = 1,
) -> SentOnDelta:
    """Spike whenever the signal has moved a threshold away from the level rebuilt so far.

    Each ON spike raises the level by `threshold`, each OFF spike lowers it. The level is
    `initial + threshold * (ON spikes - OFF spikes so far)`, so no error adds up over time.

    Args:
        signal: samples, time first.
        threshold: the step of the level, above zero.
        initial: the level before the first step; by default the first sample.
        max_spikes: most spikes per step and neuron. With None as many as it takes, so that
            the level stays within a threshold of the signal at all times.
        axis: where the polarity axis (0: ON, 1: OFF) goes in the result. The default suits
            `[time, *features]`; take 2 for `[time, batch, *features]`.

    Returns:
        The spikes (0/1, or counts) and the level after each step.

    References:
        Miskowicz, Send-on-delta concept: an event-based data reporting strategy, Sensors 2006.

    Example:
        >>> sent = send_on_delta(jnp.array([0.0, 1.0, 1.0, 1.0]), threshold=0.5)
        >>> sent.level.tolist()
        [0.0, 0.5, 1.0, 1.0]
    """
    signal = _check("send_on_delta", signal, threshold)
    if max_spikes is not None and max_spikes < 1:
        raise ValueError(f"send_on_delta: max_spikes is {max_spikes}; give at least 1, or None.")
    start = signal[0] if initial is None else jnp.broadcast_to(as_float(initial), signal.shape[1:])

    def step(height: Array, sample: Array) -> tuple[Array, tuple[Array, Array]]:
        # The state is the level in thresholds, a whole number.
        missing = (sample - (start + threshold * height)) / threshold
        spikes = jnp.trunc(missing)
        if max_spikes is not None:
            spikes = jnp.clip(spikes, -max_spikes, max_spikes)
        height = height + spikes
        return height, (spikes, start + threshold * height)

    _, (spikes, level) = jax.lax.scan(step, jnp.zeros_like(start), signal)
    return SentOnDelta(_polarities(jnp.maximum(spikes, 0), jnp.maximum(-spikes, 0), axis), level)


def _polarities(on: Array, off: Array, axis: int) -> Float[Array, "..."]:
    return jnp.stack([on, off], axis=axis).astype(jnp.float32)


def _check(name: str, signal: Num[ArrayLike, "..."], threshold: float) -> Float[Array, "..."]:
    signal = as_float(signal)
    if not threshold > 0:
        raise ValueError(f"{name}: threshold is {threshold}; it must be above zero.")
    if signal.ndim == 0 or signal.shape[0] == 0:
        raise ValueError(
            f"{name}: the signal has shape {signal.shape}; its first axis must be time."
        )
    return signal
