"""Numbers as spike times, and labels as times that a classifier's outputs should spike at."""

from __future__ import annotations

import math

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Num

from neurojax.chips.bss2.events._spikes import Spikes, as_times, spikes


def encode(
    x: Num[ArrayLike, "*batch features"],
    *,
    t_late: float,
    t_early: float = 0.0,
    copies: int = 1,
    copy_neurons: bool = False,
    t_bias: float | None = None,
) -> Spikes:
    """Give every number a spike: 0 spikes at `t_early`, 1 at `t_late`, linear in between.

    Args:
        x: Numbers, the last axis holds the features. Customary range [0, 1].
        t_late: Time of 1, in seconds.
        t_early: Time of 0.
        copies: Spikes a feature, all at the same time: inputs as strong as several synapses.
        copy_neurons: Whether each copy comes from a neuron of its own: feature k from the neurons
            copies * k and following.
        t_bias: If given, one more feature at the end spikes at this time.

    Returns:
        Spikes, earliest first; gradients reach `x`.

    References:
        jaxsnn, `jaxsnn.event.encode.spatio_temporal_encode`.

    Example:
        >>> from neurojax.chips.bss2 import events
        >>> train = events.encode([0.5, 0.25], t_late=8e-6)
        >>> train.index.tolist()
        [1, 0]
    """
    if isinstance(copies, bool) or not isinstance(copies, int) or copies < 1:
        raise ValueError(f"encode: copies is {copies!r}; use an integer above 0")
    x = as_times(x)
    # As jaxsnn for t_early = 0: one rounding.
    time = x * t_late if t_early == 0 else t_early + x * (t_late - t_early)
    if t_bias is not None:
        bias = jnp.full((*x.shape[:-1], 1), t_bias, time.dtype)
        time = jnp.concatenate([time, bias], axis=-1)
    features = time.shape[-1]
    time = jnp.repeat(time, copies, axis=-1)
    if copy_neurons:
        index = jnp.arange(features * copies)
    else:
        index = jnp.repeat(jnp.arange(features), copies)
    return spikes(time, jnp.broadcast_to(index, time.shape))


def target_times(
    labels: Int[ArrayLike, "*batch"], classes: int, *, correct: float, wrong: float
) -> Float[Array, "*batch classes"]:
    """Times at which the outputs should spike: the right one at `correct`, the others at `wrong`.

    References:
        jaxsnn, `jaxsnn.event.encode.target_temporal_encode`.

    Example:
        >>> from neurojax.chips.bss2 import events
        >>> print(events.target_times([1], 3, correct=0.5, wrong=1.5))
        [[1.5 0.5 1.5]]
    """
    if not (math.isfinite(correct) and math.isfinite(wrong)):
        raise ValueError(f"target_times: correct is {correct} and wrong {wrong}; use finite times")
    return jnp.where(jnp.asarray(labels)[..., None] == jnp.arange(classes), correct, wrong)
