"""What a spike of Loihi's neurons is worth and what it does to the membrane, with gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from neurojax._measured import OUTPUT, inject
from neurojax.fixed_point import derivative_of
from neurojax.surrogate import Surrogate, spike

RESET_GRADIENTS = ("full", "detached", "bypassed")
RESET_DELAYS = (False, "before")
DECAY_GRADIENTS = ("true", "slayer")


def check_reset_options(neuron: Any) -> None:
    """Raise ValueError unless a neuron's options of its reset are known and go together."""
    name = type(neuron).__name__
    for field, legal in (
        ("reset_gradient", RESET_GRADIENTS),
        ("reset_delay", RESET_DELAYS),
        ("decay_gradient", DECAY_GRADIENTS),
    ):
        if getattr(neuron, field) not in legal:
            raise ValueError(
                f"{name}: {field} is {getattr(neuron, field)!r}; it must be in {legal}"
            )
    if neuron.decay_gradient == "slayer" and (
        neuron.reset_gradient != "bypassed" or neuron.reset_delay != "before"
    ):
        raise ValueError(
            f"{name}: decay_gradient='slayer' is made of states before their reset; use it with "
            "reset_gradient='bypassed' and reset_delay='before'"
        )


def fires(
    above: Float[Array, "*shape"], threshold: Any, surrogate: Surrogate, *, strict: bool = True
) -> Float[Array, "*shape"]:
    """1 where the membrane is above the threshold by `above` > 0, or >= 0 unless strict."""
    threshold = jnp.asarray(threshold, above.dtype)
    return spike(above, surrogate, threshold=threshold, strict=strict)


def graded(
    v: Float[Array, "*shape"],
    above: Float[Array, "*shape"],
    threshold: Any,
    surrogate: Surrogate,
    *,
    strict: bool = True,
) -> Float[Array, "*shape"]:
    """The membrane where it is above the threshold, else 0. No gradient reaches the threshold."""
    threshold = lax.stop_gradient(jnp.asarray(threshold, v.dtype))
    above = lax.stop_gradient(above)
    # Below the threshold the derivative falls off with the surrogate, above it stays at the peak.
    slope = surrogate.derivative(jnp.minimum(above, 0), threshold)
    return derivative_of(slope * v, jnp.where(above > 0 if strict else above >= 0, v, 0))


def late_reset(name: str, field: str) -> str:
    """What is wrong where a late reset was given measured spikes, but no membrane."""
    return (
        f"{name}: a late reset (reset_delay='before') goes by the membrane of the step before; "
        f"with measured spikes give the measured membrane ('{field}'), too"
    )


def measured_events(
    spikes: Float[Array, "*shape"], measured: Mapping[str, Array]
) -> Float[Array, "*shape"]:
    """1 where there is a spike, a measured one if they were measured: of either sign, or graded."""
    return inject(spikes, measured[OUTPUT] != 0) if OUTPUT in measured else spikes


def reset(
    v: Float[Array, "*shape"], spikes: Float[Array, "*shape"], gradient: str
) -> Float[Array, "*shape"]:
    """0 where there is a spike, else `v`.

    Args:
        v: Membrane before the reset.
        spikes: 1 or 0.
        gradient: `"full"`; `"detached"`: none to the spike; `"bypassed"`: as if there were no
            reset.
    """
    if gradient == "full":
        return (1 - spikes) * v
    after = jnp.where(lax.stop_gradient(spikes) > 0, 0, v)
    return after if gradient == "detached" else derivative_of(v, after)
