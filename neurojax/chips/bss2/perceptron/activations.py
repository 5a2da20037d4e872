"""Activations of the perceptron mode as layers."""

from __future__ import annotations

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.chips.bss2.perceptron import operations


class ReLU(Layer):
    """Outputs below 0 become 0: `relu`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.ReLU`.
    """

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, operations.relu(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return "perceptron.ReLU"


class ConvertingReLU(Layer):
    """Outputs become inputs of the next layer: `converting_relu`.

    Args:
        shift: Bits that are dropped.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.ConvertingReLU`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.ConvertingReLU().step(None, jnp.array([-9.0, 50.0]))[1].tolist()
        [0.0, 12.0]
    """

    shift: int = eqx.field(static=True, default=2, kw_only=True)

    def __check_init__(self) -> None:
        operations.check_shift("ConvertingReLU", self.shift)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, operations.converting_relu(x, shift=self.shift)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return f"perceptron.ConvertingReLU, shift {self.shift}"


class ArgMax(Layer):
    """Index of the largest output, as a float: `argmax` of a vector, of shape (1,).

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.ArgMax().step(None, jnp.array([-9.0, 50.0, 7.0]))[1].tolist()
        [1.0]
    """

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, operations.argmax(x, axis=-1, keepdims=True).astype(x.dtype)

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 1:
            raise ValueError(f"ArgMax takes a vector (outputs,), got shape {in_shape}")
        return (1,)

    def describe(self) -> str:
        return "perceptron.ArgMax"
