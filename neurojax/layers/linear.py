"""Dense synapses: y = W x + b."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, check_shape
from neurojax.layers._weights import as_weight, assemble, positive, uniform


class Linear(Layer):
    """Dense synapses, y = W x + b.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether to add a bias. Off by default (unlike in PyTorch): in a spiking network a
            bias is a current that flows in every time step, so neurons fire without any input,
            event-driven hardware loses its sparsity, and some chips have no bias at all.
        dtype: Floating-point type of the parameters.
        key: Source of the weights, uniform in ±1/sqrt(in_features) (PyTorch's choice).

    Example:
        >>> import jax, neurojax as nj
        >>> nj.Linear(4, 8, key=jax.random.key(0)).weight.shape
        (8, 4)
    """

    weight: Float[Array, "out in"]
    bias: Float[Array, " out"] | None

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = False,
        dtype: Any = jnp.float32,
        key: PRNGKeyArray,
    ) -> None:
        n = positive("Linear: in_features", in_features)
        m = positive("Linear: out_features", out_features)
        weight_key, bias_key = jax.random.split(key)
        self.weight = uniform(weight_key, (m, n), n, dtype)
        self.bias = uniform(bias_key, (m,), n, dtype) if bias else None

    @classmethod
    def from_weights(cls, weight: Any, bias: Any = None) -> Linear:
        """A layer with given parameters: weight `(out, in)`, bias `(out,)` or None."""
        weight = as_weight(weight)
        bias = None if bias is None else as_weight(bias)
        if weight.ndim != 2:
            raise ValueError(f"Linear: weight must be (out, in), got shape {weight.shape}")
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(
                f"Linear: bias has shape {bias.shape}, but the weight {weight.shape} has "
                f"{weight.shape[0]} outputs"
            )
        return assemble(cls, weight=weight, bias=bias)

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[-1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[-2]

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        # x first: with the weights first, XLA copies transposes around the product of a batch.
        y = jnp.matmul(x, self.weight.T, precision=jax.lax.Precision.HIGHEST)
        return state, y if self.bias is None else y + self.bias

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("Linear", in_shape, 1, "(features,)")
        if in_shape[0] != self.in_features:
            raise ValueError(f"Linear takes {self.in_features} features, got shape {in_shape}")
        return (self.out_features,)

    def describe(self) -> str:
        bias = "" if self.bias is None else ", bias"
        return f"Linear {self.in_features}->{self.out_features}{bias}"
