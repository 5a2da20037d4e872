"""Losses of first spike times, for a sample or a batch of them; neurons may be silent.

Times of silent neurons may be infinity, which has no gradient: nothing here can make a neuron spike
that does not, so begin with weights that make all of them do.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int


def target_time_loss(
    first: Float[Array, "*batch neurons"],
    target: Float[ArrayLike, "*#batch neurons"],
    *,
    tau: float,
) -> Float[Array, "*batch"]:
    """-sum log(1 + exp(-|t - target| / tau)): pulls towards the target those that are near it.

    Args:
        first: First spike times, see `first_spike`.
        target: Target times, see `target_times`.
        tau: Time constant of the membrane, in the unit of the times.

    References:
        jaxsnn, `jaxsnn.event.loss.target_time_loss`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import events
        >>> print(events.target_time_loss(jnp.array([1.0, 2.0]), jnp.array([1.0, 2.0]), tau=1.0))
        -1.3862944
    """
    distance = jnp.abs(_finite(first) - target) / tau
    near = jnp.log(1 + jnp.exp(-distance))
    return -jnp.sum(jnp.where(jnp.isfinite(first), near, 0.0), axis=-1)


def ttfs_loss(
    first: Float[Array, "*batch neurons"], label: Int[ArrayLike, "*batch"], *, tau: float
) -> Float[Array, "*batch"]:
    """log sum_k exp((t_label - t_k) / tau): the right neuron spikes first, the sooner the better.

    The cross-entropy of softmax(-t / tau). Times are limited to 2 tau, where gradients end.

    Args:
        first: First spike times.
        label: The neuron that should spike first.
        tau: Time constant of the membrane, in the unit of the times.

    References:
        J. Göltz et al., Nature Machine Intelligence 3, 2021, https://arxiv.org/abs/1912.11443;
        jaxsnn, `jaxsnn.event.loss.ttfs_loss`, which has the other sign, so that minimising it makes
        the right neuron the last.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import events
        >>> print(events.ttfs_loss(jnp.array([0.0, 0.0]), 1, tau=1.0))
        0.6931472
    """
    scaled = jnp.minimum(first, 2 * tau) / tau
    right = jnp.take_along_axis(scaled, jnp.asarray(label)[..., None], axis=-1)
    return jax.nn.logsumexp(right - scaled, axis=-1)


def mse_loss(
    first: Float[Array, "*batch neurons"],
    target: Float[ArrayLike, "*#batch neurons"],
    *,
    tau: float,
) -> Float[Array, "*batch"]:
    """sum ((t - target) / tau)^2, with times limited to 2 tau, where gradients end.

    Args:
        first, target, tau: See `target_time_loss`.

    References:
        jaxsnn, `jaxsnn.event.loss.mse_loss`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import events
        >>> print(events.mse_loss(jnp.array([1.0, jnp.inf]), jnp.array([1.0, 1.5]), tau=1.0))
        0.25
    """
    return jnp.sum(((jnp.minimum(first, 2 * tau) - target) / tau) ** 2, axis=-1)


def nll_loss(
    output: Float[Array, "*batch neurons"], label: Int[ArrayLike, "*batch"]
) -> Float[Array, "*batch"]:
    """-log softmax(max(output, 0)) of the right neuron, for membranes and their maxima.

    References:
        jaxsnn, `jaxsnn.event.loss.nll_loss`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import events
        >>> print(events.nll_loss(jnp.array([0.0, -1.0]), 0))
        0.6931472
    """
    log = jax.nn.log_softmax(jnp.maximum(output, 0), axis=-1)
    return -jnp.take_along_axis(log, jnp.asarray(label)[..., None], axis=-1)[..., 0]


def _finite(first: Array) -> Array:
    return jnp.where(jnp.isfinite(first), first, 0.0)
