"""Bringing inputs and weights into the range of the chip.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.nn`: clamp_weight_, scale_input, scale_weight.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from neurojax._layer import BATCH_AXIS
from neurojax.chips.bss2.perceptron.mock import INPUT, WEIGHT
from neurojax.fixed_point import clamp


def scale_input(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Scale so that the largest value is 31, if it is positive. The factor is a constant for the
    derivative.

    In a layer this sees one sample, so that what comes out of it does not depend on the others;
    `scale_batch` scales a batch by one factor, as hxtorch does.

    Args:
        x: Any floats.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.scale_input`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.scale_input(jnp.array([0.0, 0.5, 2.0])).tolist()
        [0.0, 7.75, 31.0]
    """
    return _scaled(x, jnp.max(x), INPUT[1])


def scale_batch(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`scale_input` with one factor for the whole batch: in layers, inside `simulate`.

    Args:
        x: One sample of a batch that is mapped over, by the axis name `"batch"`.
    """
    largest = jax.lax.pmax(jax.lax.stop_gradient(jnp.max(x)), BATCH_AXIS)
    return _scaled(x, largest, INPUT[1])


def scale_weight(weight: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Scale so that the largest magnitude is 63. The factor is a constant for the derivative.

    Args:
        weight: Any floats.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.scale_weight`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.scale_weight(jnp.array([1.0, -2.0])).tolist()
        [31.5, -63.0]
    """
    return _scaled(weight, jnp.max(jnp.abs(weight)), WEIGHT[1])


def clamp_weight(weight: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Limit weights to -63..63. The derivative is 1 everywhere.

    hxtorch's `clamp_weight_` changes the parameter itself. Nothing is changed in place here; an
    optimiser that ends in `clamped_weights` keeps parameters within the limits likewise.

    Args:
        weight: Any floats.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.clamp_weight_`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.clamp_weight(jnp.array([-80.0, 12.5])).tolist()
        [-63.0, 12.5]
    """
    return clamp(weight, *WEIGHT, gradient="straight_through")


def clamped_weights() -> optax.GradientTransformation:
    """The end of an optimiser: weights that a step would bring beyond -63..63 stop there.

    It limits the arrays in fields called `weight`.

    Returns:
        For `optax.chain`, as the last of it.

    Example:
        >>> import jax.numpy as jnp, optax
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> optimiser = optax.chain(optax.sgd(1.0), hagen.clamped_weights())
        >>> params = {"weight": jnp.array([60.0]), "bias": jnp.array([60.0])}
        >>> gradients = {"weight": jnp.array([-9.0]), "bias": jnp.array([-9.0])}
        >>> updates, _ = optimiser.update(gradients, optimiser.init(params), params)
        >>> new = optax.apply_updates(params, updates)
        >>> new["weight"].item(), new["bias"].item()
        (63.0, 69.0)
    """

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        if params is None:
            raise ValueError("clamped_weights needs the parameters: update(updates, state, params)")

        def limited(path: Any, change: Array, value: Array) -> Array:
            name = getattr(path[-1], "name", getattr(path[-1], "key", None)) if path else None
            if name != "weight":
                return change
            return jnp.clip(value + change, *WEIGHT) - value

        return jax.tree_util.tree_map_with_path(limited, updates, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _scaled(x: Array, largest: Array, to: int) -> Array:
    factor = jnp.where(largest > 0, to / jnp.where(largest > 0, largest, 1), 1)
    return x * jax.lax.stop_gradient(factor).astype(x.dtype)
