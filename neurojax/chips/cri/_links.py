"""What a mapped network has between populations besides synapses and pools.

Bias axons are axons that the host activates in every step. A network of L layers takes L steps to
pass an input on, so those of layer l start in step l: when the first input arrives there.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape
from neurojax.chips.cri.synapse import on_grid
from neurojax.layers._weights import as_weight


class BiasAxons(Layer):
    """Adds a bias from step `start` on: one axon a channel, which the host activates.

    Args:
        weight: `(channels,)` or `(features,)`, 16-bit integers in floats.
        start: First step in which the axons are active.
    """

    weight: Float[Array, " channels"] = eqx.field(converter=as_weight)
    start: int = eqx.field(static=True, kw_only=True)

    def init(self, in_shape: Shape) -> Int[Array, ""]:
        del in_shape
        return jnp.zeros((), jnp.int32)  # steps so far

    def prepare(self, key: PRNGKeyArray | None) -> BiasAxons:
        del key
        return eqx.tree_at(lambda axons: axons.weight, self, on_grid(self.weight))

    def step(self, state: Any, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Any, Array]:
        del key
        bias = jnp.expand_dims(self.weight, tuple(range(1, x.ndim)))
        return state + 1, x + jnp.where(state >= self.start, bias, 0)

    def out_shape(self, in_shape: Shape) -> Shape:
        if in_shape[:1] != self.weight.shape:
            raise ValueError(f"BiasAxons has {self.weight.shape[0]} axons, got shape {in_shape}")
        return in_shape

    def describe(self) -> str:
        return f"BiasAxons {self.weight.shape[0]}, from step {self.start}"


class OneToOne(Layer):
    """Synapses of one weight from each spike to the neuron of the same index.

    Args:
        weight: A 16-bit integer.
    """

    weight: Float[Array, ""] = eqx.field(converter=as_weight)

    def prepare(self, key: PRNGKeyArray | None) -> OneToOne:
        del key
        return eqx.tree_at(lambda link: link.weight, self, on_grid(self.weight))

    def step(self, state: Any, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Any, Array]:
        del key
        return state, self.weight * x

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape

    def describe(self) -> str:
        return "OneToOne"
