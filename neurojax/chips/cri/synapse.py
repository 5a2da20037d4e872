"""Weights of 16 bits, and their sums: exact integers on every device.

A sum of spikes times weights of 16 bits leaves the integers that float32 holds (±2^24) from 512
inputs on. So a weight is cut into bytes, w = 256 high + low with high in -128..127 and low in
0..255; either half has a product of its own, exact for 2^16 inputs whatever the order in which a
device adds (and, bytes being exact in bfloat16, whatever the precision of its products), and the
two are joined in int32.

References:
    hs_api, `_simple_sim.simple_sim.gen_weights`: weights saturate and lose their fractions.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.chips.cri.spec import WEIGHT_BITS
from neurojax.fixed_point import derivative_of, integer_range, round_half_even, saturate

BYTE = 256
SINGLE_FAN_IN = 1 << (24 - WEIGHT_BITS + 1)
"""Up to so many inputs one product is exact: 512 times 2^15 is 2^24."""

LARGEST_FAN_IN = 1 << 16
"""Up to so many inputs the products of the bytes are, and the sum fits into int32."""


def on_grid(weight: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The nearest weights of 16 bits, ties to even, limited, in float32. Derivative 1."""
    weight = weight.astype(jnp.float32)
    return saturate(round_half_even(weight), WEIGHT_BITS, gradient="straight_through")


def stored(weights: Any) -> Int[np.ndarray, "*shape"]:
    """What hs_api makes of weights: limited to 16 bits, fractions cut off.

    Example:
        >>> from neurojax.chips.cri.synapse import stored
        >>> stored([2.7, -2.7, 40000, -1e6]).tolist()
        [2, -2, 32767, -32768]
    """
    low, high = integer_range(WEIGHT_BITS)
    # To float32 first, as there.
    values = np.asarray(weights, np.float32).astype(np.float64)
    return np.trunc(np.clip(values, low, high)).astype(np.int16)


def halves(weight: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """High and low byte of weights on the grid, without gradient."""
    weight = lax.stop_gradient(weight)
    high = jnp.floor(weight * (1 / BYTE))
    return high, weight - BYTE * high


def joined(high: Float[Array, "*shape"], low: Float[Array, "*shape"]) -> Int[Array, "*shape"]:
    """The sum of products with the two halves, as int32."""
    return BYTE * high.astype(jnp.int32) + low.astype(jnp.int32)


class Synapse(Layer):
    """A layer whose weights have 16 bits and whose sums are exact integers.

    The weight may hold any real numbers, so that it can be trained. A run rounds it to the nearest
    integers (ties to even) and limits them, and gradients pass this as if it were not there.

    The output is a float32: the exact sum up to ±2^24, the nearest float beyond.

    Args:
        synapse: A layer with a `weight` and no bias, such as Linear or Conv2d. Its inputs are
            spikes, 0 or 1.

    Raises:
        TypeError: The layer has no weight.
        ValueError: It has a bias; or so many inputs to a neuron (more than 2^16) that the sum is
            not exact.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.cri import Synapse
        >>> fc = Synapse(nj.Linear.from_weights(jnp.array([[100.3, 40000.0]])))
        >>> net = nj.Sequential((2,), fc=fc)
        >>> print(nj.simulate(net, jnp.array([[[1.0, 0.0]], [[1.0, 1.0]]])).outputs.ravel())
        [  100. 32867.]
    """

    synapse: Layer
    parts: tuple[Layer, Layer] | None

    def __init__(self, synapse: Layer) -> None:
        if getattr(synapse, "weight", None) is None:
            raise TypeError(
                f"Synapse: {type(synapse).__name__} has no weight; use Linear, Conv1d or Conv2d"
            )
        if getattr(synapse, "bias", None) is not None:
            raise ValueError(
                "Synapse: the layer has a bias, which CRI's synapses have not; set it to None, and "
                "give it to weights from an axon that is always active"
            )
        self.synapse = synapse
        self.parts = None

    @property
    def weight(self) -> Float[Array, " ..."]:
        """The weights as they are used."""
        return on_grid(self.synapse.weight)  # type: ignore[attr-defined]

    @property
    def fan_in(self) -> int:
        """How many synapses one neuron has."""
        weight = self.synapse.weight  # type: ignore[attr-defined]
        for name in ("out_features", "out_channels"):
            if hasattr(self.synapse, name):
                return weight.size // getattr(self.synapse, name)
        return weight.size

    def integers(self) -> Int[np.ndarray, " ..."]:
        """The weights as int64. Not under jit."""
        return np.asarray(self.weight).astype(np.int64)

    def init(self, in_shape: Shape) -> State:
        return self.synapse.init(in_shape)

    def prepare(self, key: PRNGKeyArray | None) -> Synapse:
        put = lambda weight: eqx.tree_at(lambda s: s.weight, self.synapse, weight)  # noqa: E731
        weight = self.weight
        ready = eqx.tree_at(lambda s: s.synapse, self, put(weight).prepare(key))
        if self.fan_in <= SINGLE_FAN_IN:
            return ready
        high, low = (put(half).prepare(key) for half in halves(weight))
        return eqx.tree_at(lambda s: s.parts, ready, (high, low), is_leaf=lambda x: x is None)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        after, smooth = self.synapse.step(state, x, key=key)
        if self.parts is None:
            return after, smooth
        spikes = lax.stop_gradient(x)
        high, low = (part.step(state, spikes, key=key)[1] for part in self.parts)
        return after, derivative_of(smooth, joined(high, low).astype(smooth.dtype))

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.fan_in > LARGEST_FAN_IN:
            raise ValueError(
                f"Synapse: {self.fan_in:,} synapses a neuron, of which the sum is not exact; CRI "
                "has at most 8,191. Split the layer into parts that are added"
            )
        return self.synapse.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        return self.synapse.needs_key

    def describe(self) -> str:
        return f"{self.synapse.describe()}, {WEIGHT_BITS} bit"


def product(
    spikes: Float[Array, " sources"],
    weight: Float[Array, "sources targets"],
    parts: Float[Array, "sources both"] | None,
) -> tuple[Float[Array, " targets"], Int[Array, " targets"]]:
    """What spikes send through a matrix: in floats, for the gradient, and the exact integers.

    Args:
        spikes: 0 or 1.
        weight: On the grid.
        parts: High and low bytes side by side, from `split`; None if one product is exact.
    """
    times = lambda matrix: jnp.matmul(spikes, matrix, precision=jax.lax.Precision.HIGHEST)  # noqa: E731
    smooth = times(weight)
    if parts is None:
        return smooth, lax.stop_gradient(smooth).astype(jnp.int32)
    both = jnp.matmul(lax.stop_gradient(spikes), parts, precision=jax.lax.Precision.HIGHEST)
    return smooth, joined(*jnp.split(both, 2))


def split(weight: Float[Array, "sources targets"]) -> Float[Array, "sources both"] | None:
    """The bytes of a matrix on the grid, side by side; None if one product is exact."""
    if weight.shape[0] <= SINGLE_FAN_IN:
        return None
    return jnp.concatenate(halves(weight), axis=1)
