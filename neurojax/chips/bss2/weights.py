"""Weights on their way to the chip: scaled and limited to what six bits and a sign can hold.

The names are hxtorch's, so that a model's transforms are found again.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from neurojax.fixed_point import clamp, round_half_away, round_half_even, truncate

LARGEST = 63
"""Largest weight of a synapse: six bits; the sign is that of its row."""


def linear_saturating(
    weight: Float[Array, "*shape"],
    scale: float | Float[Array, ""] = 1.0,
    *,
    low: float = -LARGEST,
    high: float = LARGEST,
) -> Float[Array, "*shape"]:
    """clip(scale weight, low, high): a model's weights in steps of the chip, not yet rounded.

    Args:
        weight: Weights of the model.
        scale: Steps of the chip per unit of weight.
        low: Smallest value.
        high: Largest value.

    Returns:
        The scaled weights; the derivative is `scale` within the limits and 0 outside.

    Raises:
        ValueError: `low` is not below `high`.

    References:
        hxtorch, `hxtorch.spiking.transforms.weight_transforms.linear_saturating`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import linear_saturating
        >>> print(linear_saturating(jnp.array([0.5, -2.0, 1.0]), 45.0))
        [ 22.5 -63.   45. ]
    """
    if not low < high:
        raise ValueError(f"linear_saturating: low is {low} and high {high}; low must be below")
    return clamp(scale * weight, low, high)


def linear_exponential_clamp(
    weight: Float[Array, "*shape"],
    *,
    cap: float = 1.5,
    start: float = 61.0,
    quantise: bool = False,
) -> Float[Array, "*shape"]:
    """Weights that approach a limit smoothly instead of being cut off.

    With a = start / 63 and s = 1 / (1 - a): beyond |w| = a cap, w becomes
    sign(w) cap (1 - exp(-s (|w| / cap - a)) / s), which meets w there with slope 1 and ends at cap.

    Args:
        weight: Weights of the model.
        cap: The limit, which the chip's largest weight stands for.
        start: Where the curve leaves the straight line, in steps of the chip.
        quantise: Whether to round to the chip's steps of cap / 63 (ties to even, identity as the
            derivative).

    Returns:
        The limited weights, in units of the model.

    Raises:
        ValueError: `start` is not within 0..63, or `cap` not greater than 0.

    References:
        hxtorch, `hxtorch.spiking.functional.linear.linear_exponential_clamp`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import linear_exponential_clamp
        >>> print(linear_exponential_clamp(jnp.array([0.5, 5.0]), quantise=True))
        [0.5 1.5]
    """
    if not 0 <= start < LARGEST or not cap > 0:
        raise ValueError(
            f"linear_exponential_clamp: start is {start} and cap {cap}; start must be >= 0 and "
            f"< {LARGEST}, cap > 0"
        )
    steepness = 1 / (1 - start / LARGEST)
    size = jnp.abs(weight)
    beyond = size > start / LARGEST * cap
    # Where the curve does not apply, its exponent must not overflow into the derivative.
    excess = jnp.where(beyond, size / cap - (1 - 1 / steepness), 0.0)
    curve = cap * (1 - jnp.exp(-steepness * excess) / steepness)
    limited = jnp.where(beyond, jnp.sign(weight) * curve, weight)
    if not quantise:
        return limited
    step = cap / LARGEST
    return round_half_even(limited / step) * step


def linear_sparse(
    weight: Float[Array, "*shape"], connected: Bool[Array, "*shape"]
) -> Float[Array, "*shape"]:
    """Zero where there is no synapse. The derivative is not masked, as in hxtorch.

    Args:
        weight: Weights of the model.
        connected: True where there is a synapse.

    Returns:
        The weights of the synapses that exist.

    References:
        hxtorch, `hxtorch.spiking.functional.linear.linear_sparse`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import linear_sparse
        >>> print(linear_sparse(jnp.array([1.0, 2.0]), jnp.array([True, False])))
        [1. 0.]
    """
    return _masked(weight, connected)


def split_signs(
    weight: Float[Array, "*shape"], *, rounding: str = "nearest"
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """The two rows of synapses that a signed weight takes: excitatory and inhibitory.

    Args:
        weight: Weights in steps of the chip, see `linear_saturating`.
        rounding: `"nearest"`, halves away from zero; `"truncate"`, towards zero, as hxtorch did
            before 2025.

    Returns:
        Whole numbers >= 0, of which one is 0; their derivatives are 1 and -1 on their side.

    Raises:
        ValueError: An unknown `rounding`.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.modules.synapse`; (23943cf), `weight_to_connection`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import split_signs
        >>> for row in split_signs(jnp.array([2.5, -1.4])):
        ...     print(row)
        [3. 0.]
        [0. 1.]
    """
    rules = {"nearest": round_half_away, "truncate": truncate}
    if rounding not in rules:
        raise ValueError(
            f"split_signs: rounding is {rounding!r}; it must be 'nearest' or 'truncate'"
        )
    whole = rules[rounding](weight)
    return jnp.where(weight > 0, whole, 0.0), jnp.where(weight < 0, -whole, 0.0)


@jax.custom_jvp
def _masked(weight: Array, connected: Array) -> Array:
    return jnp.where(connected, weight, 0.0)


@_masked.defjvp
def _masked_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    return _masked(*primals), tangents[0]
