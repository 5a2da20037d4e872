"""Losses: how far the outputs of a run are from what they should be.

Every loss is a pure function `(outputs [time, batch, ...], targets [batch, ...]) -> [batch]`: one
value a sample, so that means over data sets are exact whatever the batch size. `fit` averages.
Options are set by `functools.partial(spike_rate, true_rate=0.2)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Num

from neurojax import decode as _decode

Decode = str | Callable[[Any], Array]

DECODERS: dict[str, Callable[[Array], Array]] = {
    "sum": _decode.sum_over_time,
    "mean": _decode.mean_over_time,
    "max": _decode.max_over_time,
    "last": _decode.last,
    "first_spike": lambda spikes: -_decode.first_spike_time(spikes),
}
"""Read-outs by name. Large means likely: the earliest spike has the largest `"first_spike"`."""


def decoder(decode: Decode) -> Callable[[Any], Float[Array, "batch classes"]]:
    """The read-out of a name or function, flattened to one row of scores a sample.

    Raises:
        ValueError: A name that is not in `DECODERS`.
        TypeError: Neither a name nor a function.
    """
    if isinstance(decode, str):
        if decode not in DECODERS:
            known = ", ".join(map(repr, DECODERS))
            raise ValueError(f"decode={decode!r} is unknown; choose {known}, or pass a function")
        function = DECODERS[decode]
    elif callable(decode):
        function = decode
    else:
        raise TypeError(f"decode={decode!r} must be a name or a function of the outputs")

    def scores(outputs: Any) -> Array:
        if isinstance(decode, str) and isinstance(outputs, dict):
            raise ValueError(
                f"the network has several outputs ({', '.join(outputs)}), decode={decode!r} reads "
                "one; pass decode=lambda outputs: ... that gives [batch, classes]"
            )
        value = function(outputs)
        # Chips end in (classes, 1, 1); bfloat16 has too few digits for sums of exponentials.
        value = value.reshape(value.shape[0], -1)
        return value.astype(jnp.promote_types(value.dtype, jnp.float32))

    return scores


def cross_entropy(
    outputs: Num[Array, "time batch ..."],
    targets: Num[Array, "batch ..."],
    *,
    decode: Decode = "sum",
    smoothing: float = 0.0,
) -> Float[Array, " batch"]:
    r"""Cross entropy of the softmax over decoded outputs.

    $L = -\sum_c p_c \log \mathrm{softmax}(z)_c$ with scores $z$: spike counts (`decode="sum"`), the
    largest membrane potential of all steps (`"max"`, for non-spiking read-outs), minus the time of
    the first spike (`"first_spike"`), and so on.

    Args:
        outputs: Outputs of a run.
        targets: Class indices `[batch]`, or probabilities `[batch, classes]`.
        decode: From outputs to scores: a name in `DECODERS` or a function.
        smoothing: Part of the probability that is spread evenly over all classes.

    Returns:
        One value a sample, in nats.

    References:
        Maximum over time: Cramer et al., The Heidelberg Spiking Data Sets, TNNLS 2022.
        Spike counts: Eshraghian et al., Training Spiking Neural Networks Using Lessons From
        Deep Learning, Proc. IEEE 2023. Smoothing: Szegedy et al., CVPR 2016.

    Example:
        >>> import jax.numpy as jnp
        >>> spikes = jnp.array([[[0.0, 1.0]], [[0.0, 1.0]]])  # 2 steps, 1 sample, 2 classes
        >>> loss = cross_entropy(spikes, jnp.array([1]))
        >>> f"{loss[0]:.4f}"
        '0.1269'
    """
    scores = decoder(decode)(outputs)
    return _cross_entropy(scores, _probabilities(targets, scores.shape[-1], smoothing))


def cross_entropy_per_step(
    outputs: Num[Array, "time batch ..."], targets: Num[Array, "batch ..."]
) -> Float[Array, " batch"]:
    r"""Cross entropy of the softmax in every single step, averaged over time.

    $L = -\frac{1}{T} \sum_t \sum_c p_c \log \mathrm{softmax}(y_t)_c$. It asks for the right
    answer at all times, which shortens latency.

    References:
        Deng et al., Temporal Efficient Training of Spiking Neural Network via Gradient
        Re-weighting, ICLR 2022 (their loss without its regulariser).
    """
    steps, batch = outputs.shape[:2]
    scores = outputs.reshape(steps, batch, -1).astype(jnp.float32)
    probabilities = _probabilities(targets, scores.shape[-1], 0.0)
    return jnp.mean(_cross_entropy(scores, probabilities), axis=0)


def first_spike(
    outputs: Num[Array, "time batch ..."],
    targets: Num[Array, "batch ..."],
    *,
    scale: float = 1.0,
) -> Float[Array, " batch"]:
    r"""Cross entropy of first-spike times: the right neuron should spike before the others.

    $L = \log \sum_n e^{-(t_n - t_\mathrm{label})/\xi}$ with times $t$ in steps and the
    scale $\xi$ in steps. A silent neuron counts as one that spikes after the last step.

    References:
        Göltz et al., Fast and energy-efficient neuromorphic deep learning with first-spike times,
        Nature Machine Intelligence 2021, eq. 2 (without its penalty for late spikes).
    """
    if not scale > 0:
        raise ValueError(f"first_spike: scale={scale} must be a number of steps above 0")
    return cross_entropy(outputs, targets, decode=lambda y: -_decode.first_spike_time(y) / scale)


def mean_squared_error(
    outputs: Num[Array, "time batch ..."],
    targets: Num[Array, "batch ..."],
    *,
    decode: Decode = "mean",
) -> Float[Array, " batch"]:
    r"""Mean squared difference of decoded outputs and targets.

    $L = \frac{1}{C} \sum_c (z_c - \hat z_c)^2$. `decode="mean"` compares rates in spikes per step,
    `"sum"` counts of spikes, `"last"` the final membrane.

    Args:
        outputs: Outputs of a run.
        targets: `[batch, ...]` of the decoded shape. Class indices `[batch]` of an integer
            type stand for 1 at the class and 0 elsewhere.
        decode: From outputs to what is compared.
    """
    values = decoder(decode)(outputs)
    if jnp.issubdtype(targets.dtype, jnp.floating):
        wanted = targets.reshape(targets.shape[0], -1)
    else:
        wanted = _probabilities(targets, values.shape[-1], 0.0)
    if wanted.shape != values.shape:
        raise ValueError(
            f"mean_squared_error: targets have {wanted.shape[-1]} values a sample, the decoded "
            f"outputs {values.shape[-1]}"
        )
    return jnp.mean((values - wanted) ** 2, axis=-1)


def spike_rate(
    outputs: Num[Array, "time batch ..."],
    targets: Num[Array, "batch ..."],
    *,
    true_rate: float = 0.5,
    false_rate: float = 0.05,
) -> Float[Array, " batch"]:
    r"""Squared distance of the firing rates from one rate for the label, another for the rest.

    $L = \sum_c (r_c - \hat r_c)^2$, $r_c = \frac{1}{T} \sum_t s_{tc}$,
    $\hat r_c = r_\mathrm{true}$ if $c$ is the label, else $r_\mathrm{false}$. Rates above zero
    for wrong classes keep their neurons alive, and so trainable.

    Args:
        outputs: Spikes of a run.
        targets: Class indices `[batch]`.
        true_rate: Wanted rate of the label's neuron, in spikes per step.
        false_rate: Wanted rate of the others.

    References:
        Shrestha & Orchard, SLAYER, NeurIPS 2018; `SpikeRate` of lava-dl (whose sum over the batch
        is here a mean, taken by `fit`).
    """
    for name, rate in (("true_rate", true_rate), ("false_rate", false_rate)):
        if not rate >= 0:
            raise ValueError(f"spike_rate: {name}={rate} must be a rate >= 0, in spikes per step")
    rates = decoder("mean")(outputs)
    labels = _probabilities(targets, rates.shape[-1], 0.0)
    wanted = true_rate * labels + false_rate * (1 - labels)
    return jnp.sum((rates - wanted) ** 2, axis=-1)


def van_rossum(
    outputs: Num[Array, "time batch ..."],
    targets: Num[Array, "batch time ..."],
    *,
    tau: float = 10.0,
) -> Float[Array, " batch"]:
    r"""Van Rossum distance between spike trains: squared difference after an exponential filter.

    $L = \frac{1}{\tau} \sum_n \sum_t f_n(t)^2$ with
    $f(t) = e^{-1/\tau} f(t - 1) + s(t) - \hat s(t)$. One spike too many costs about 1/2, a
    shift much shorter than $\tau$ next to nothing.

    Args:
        outputs: Spikes of a run.
        targets: Wanted spikes. The batch comes first, as everywhere in a data set:
            `[batch, time, ...]`.
        tau: Time constant of the filter, in steps. Filtered differences after the end of the run
            don't count.

    References:
        van Rossum, A Novel Spike Distance, Neural Computation 2001. `SpikeTime` of lava-dl is
        $\tau$ times this, with a filter cut off after 100 steps.
    """
    if not tau > 0:
        raise ValueError(f"van_rossum: tau={tau} must be a number of steps above 0")
    wanted = jnp.moveaxis(targets, 1, 0).astype(outputs.dtype) if targets.ndim > 1 else targets
    if wanted.shape != outputs.shape:
        raise ValueError(
            f"van_rossum: targets have shape {targets.shape}, but must be [batch, time, ...] for "
            f"outputs [time, batch, ...] of shape {outputs.shape}"
        )
    decay = math.exp(-1 / tau)

    def step(filtered: Array, difference: Array) -> tuple[Array, Array]:
        filtered = decay * filtered + difference
        axes = tuple(range(1, filtered.ndim))
        return filtered, jnp.sum(filtered**2, axis=axes)

    _, squares = jax.lax.scan(step, jnp.zeros_like(outputs[0]), outputs - wanted)
    return jnp.sum(squares, axis=0) / tau


LOSSES: dict[str, Callable[..., Array]] = {
    "cross_entropy": cross_entropy,
    "cross_entropy_per_step": cross_entropy_per_step,
    "first_spike": first_spike,
    "mean_squared_error": mean_squared_error,
    "spike_rate": spike_rate,
    "van_rossum": van_rossum,
}
"""Losses that `fit(loss="...")` knows by name."""


def resolve(loss: str | Callable[..., Array], decode: Decode) -> Callable[[Any, Array], Array]:
    """The loss of a name or function; the ones that read decoded scores take `decode`."""
    if not isinstance(loss, str):
        if not callable(loss):
            raise TypeError(f"loss={loss!r} must be a name or a function of outputs and targets")
        return loss
    if loss not in LOSSES:
        raise ValueError(
            f"loss={loss!r} is unknown; choose {', '.join(map(repr, LOSSES))}, or pass a function "
            "(outputs [time, batch, ...], targets [batch, ...]) -> [batch]"
        )
    if loss in ("cross_entropy", "mean_squared_error"):
        return partial(LOSSES[loss], decode=decode)
    return LOSSES[loss]


def _probabilities(targets: Array, classes: int, smoothing: float) -> Array:
    """Probabilities `[batch, classes]` of class indices or of probabilities."""
    if targets.ndim == 1 and jnp.issubdtype(targets.dtype, jnp.integer):
        wanted = jax.nn.one_hot(targets, classes)
    elif targets.ndim == 2 and targets.shape[-1] == classes:
        wanted = targets.astype(jnp.float32)
    else:
        raise ValueError(
            f"targets have shape {targets.shape} and type {targets.dtype}, but must be class "
            f"indices [batch] of an integer type, or probabilities [batch, {classes}]"
        )
    return optax.smooth_labels(wanted, smoothing) if smoothing else wanted


def _cross_entropy(scores: Array, probabilities: Array) -> Array:
    return optax.softmax_cross_entropy(scores, jnp.broadcast_to(probabilities, scores.shape))
