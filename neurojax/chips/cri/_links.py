"""What a mapped network has between populations besides weights and pools.

Bias axons are axons that the host activates in every step. A network of L layers takes L steps to
pass an input on, so those of layer l start in step l: when the first input arrives there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
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


class Index(NamedTuple):
    """Integers that are part of a layer's definition, equal if all of them are."""

    shape: Shape
    data: bytes

    @classmethod
    def of(cls, values: Any) -> Index:
        whole = np.ascontiguousarray(values, np.int32)
        return cls(whole.shape, whole.tobytes())

    @property
    def values(self) -> np.ndarray:
        return np.frombuffer(self.data, np.int32).reshape(self.shape)


class Pick(Layer):
    """Synapses of weight 1, one a neuron: each takes one of the spikes.

    Args:
        index: For each neuron which of the inputs, flattened.
    """

    index: Index = eqx.field(static=True)

    def step(self, state: Any, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Any, Array]:
        del key
        return state, jnp.take(x.ravel(), self.index.values, axis=0)

    def out_shape(self, in_shape: Shape) -> Shape:
        size = int(np.prod(in_shape))
        if self.index.values.max() >= size:
            raise ValueError(f"Pick takes input {self.index.values.max()}, got shape {in_shape}")
        return self.index.shape

    def describe(self) -> str:
        return f"Pick {self.index.values.size:,}"


class SumTerms(Layer):
    """The sum over the last axis: of the terms of a product."""

    def step(self, state: Any, x: Array, *, key: PRNGKeyArray | None = None) -> tuple[Any, Array]:
        del key
        return state, x.sum(axis=-1)

    def out_shape(self, in_shape: Shape) -> Shape:
        return in_shape[:-1]

    def describe(self) -> str:
        return "SumTerms"
