"""The numbers of a torch module as our fields take them: constants or parameters."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float


def weight(tensor: Any) -> Float[Array, " ..."]:
    """A tensor as a float32 array of the same shape."""
    return jnp.asarray(tensor.detach().cpu().float().numpy())


def value(number: Any) -> float | Float[Array, " ..."]:
    """A Python number, a tensor that is trained or a buffer, as a constant or a parameter.

    A `torch.nn.Parameter` that requires a gradient becomes an array, and so do several numbers. One
    number becomes a Python float: the float32 value, exactly.
    """
    if not hasattr(number, "detach"):
        return float(number)
    array = number.detach().cpu().float().numpy()
    # Not every tensor that requires a gradient: Norse's IAF turns that on for its v_reset.
    if array.size == 1 and not (number.requires_grad and type(number).__name__ == "Parameter"):
        return float(array.reshape(()))
    return jnp.asarray(array)


def per_neuron(number: Any, in_shape: tuple[int, ...]) -> float | Float[Array, " ..."]:
    """`value`, without the axes of length 1 that stand for the batch in front of `in_shape`."""
    read = value(number)
    while not isinstance(read, float) and read.ndim > len(in_shape) and read.shape[0] == 1:
        read = read[0]
    return read


def is_number(value: Any, wanted: float) -> bool:
    """Whether a value is a constant, and this one."""
    return isinstance(value, int | float) and value == wanted
