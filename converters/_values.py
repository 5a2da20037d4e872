"""The numbers of a torch module as our fields take them: constants or parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from neurojax._layer import Shape


def weight(tensor: Any) -> Float[Array, " ..."]:
    """A tensor as a float32 array of the same shape."""
    return jnp.asarray(tensor.detach().cpu().float().numpy())


def per_neuron(number: Any, in_shape: Shape) -> float | Float[Array, " ..."]:
    """What a module holds for its neurons, as a constant or a parameter.

    A `torch.nn.Parameter` that requires a gradient becomes an array, and so do several numbers. One
    number becomes a Python float: the float32 value, exactly. Axes of length 1 that stand for the
    batch, in front of those of `in_shape`, go away.
    """
    if not hasattr(number, "detach"):
        return float(number)
    array = weight(number)
    # Not every tensor that requires a gradient: Norse's IAF turns that on for its v_reset.
    learned = number.requires_grad and type(number).__name__ == "Parameter"
    if array.size == 1 and not learned:
        return float(array.reshape(()))
    while array.ndim > len(in_shape) and array.shape[0] == 1:
        array = array[0]
    return array


def is_number(value: Any, wanted: float) -> bool:
    """Whether a value is a constant, and this one."""
    return isinstance(value, int | float) and value == wanted
