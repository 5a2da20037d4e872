"""Synapses of which some do not exist."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PRNGKeyArray

from neurojax._layer import State
from neurojax.layers import Linear
from neurojax.layers._weights import as_weight, assemble


class SparseLinear(Linear):
    """Dense synapses of which some do not exist, y = (W where connected) x.

    A synapse that is not there has no gradient, so what its weight holds never matters. (hxtorch
    writes zeros into the parameter in every step and has gradients there, see `linear_sparse`.)

    Args:
        connected: True where there is a synapse, `(out, in)`.
        key: Source of the weights, uniform in +-1/sqrt(in), as hxtorch draws them.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.modules.SparseSynapse`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from neurojax.chips import bss2
        >>> synapse = bss2.SparseLinear(jnp.eye(3, dtype=bool), key=jax.random.key(0))
        >>> synapse.describe()
        'SparseLinear 3->3, 3 synapses'
    """

    connected: Bool[Array, "out in"]

    buffers: ClassVar[tuple[str, ...]] = ("connected",)

    def __init__(self, connected: Any, *, key: PRNGKeyArray) -> None:
        self.connected = jnp.asarray(connected).astype(bool)
        if self.connected.ndim != 2:
            raise ValueError(
                f"SparseLinear: connected must be (out, in), got shape {self.connected.shape}"
            )
        n_out, n_in = self.connected.shape
        super().__init__(n_in, n_out, key=key)

    @classmethod
    def from_weights(cls, weight: Any, connected: Any = None) -> SparseLinear:
        """A layer with given weights `(out, in)`; by default those that are not 0 exist."""
        weight = as_weight(weight)
        there = weight != 0 if connected is None else jnp.asarray(connected).astype(bool)
        if there.shape != weight.shape or weight.ndim != 2:
            raise ValueError(
                f"SparseLinear: weight has shape {weight.shape} and connected {there.shape}; both "
                "must be (out, in)"
            )
        return assemble(cls, weight=weight, bias=None, connected=there)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        weight = jnp.where(self.connected, self.weight, 0.0)
        return state, jnp.matmul(x, weight.T, precision=jax.lax.Precision.HIGHEST)

    def describe(self) -> str:
        known = not isinstance(self.connected, jax.core.Tracer)
        count = f", {int(self.connected.sum())} synapses" if known else ""
        return f"SparseLinear {self.in_features}->{self.out_features}{count}"
