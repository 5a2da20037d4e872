"""Synapses as the chip has them: six bits and a sign, each with a strength of its own."""

from __future__ import annotations

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Constant, Layer, Shape, State
from neurojax.chips.bss2._off import is_off
from neurojax.chips.bss2.transport import Transport
from neurojax.chips.bss2.weights import LARGEST
from neurojax.fixed_point import clamp, round_half_away
from neurojax.neurons._neuron import Parameter, number, option

BITS = LARGEST.bit_length()


class SynapseState(NamedTuple):
    """State of synapses whose events may be late."""

    synapse: State
    transport: State


class Synapse(Layer):
    """Dense or sparse synapses whose weights are what the chip can hold.

    The layer inside keeps real weights, in the model's units, so that it can be trained. A run
    rounds `scale` times them to whole numbers, halves away from zero, limits these to +-63, and
    divides them by `scale` again. Gradients pass rounding and limits as if they were not there.

    A weight of either sign is two synapses on the chip, one in an excitatory row and one in an
    inhibitory one, so the strengths that mismatch gives it differ for its two signs.

    Args:
        synapse: A layer with a `weight` and no bias, such as `Linear` or `SparseLinear`.
        scale: Steps of the chip per unit of weight.
        bits: Of a weight without its sign; None neither rounds nor limits.
        strength: What positive and what negative weights are multiplied with on this chip, two
            arrays that broadcast to the weight's shape; None: nothing.
        drift: Standard deviation of a factor that all weights share and that is new in each run.
        transport: What happens to events on their way here, see `Transport`.

    Raises:
        TypeError: The layer has no weight.
        ValueError: It has a bias, or an option is out of its range.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.modules.synapse`, for the rounding.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> fc = bss2.Synapse(nj.Linear.from_weights(jnp.array([[0.26, -9.0]])), scale=10.0)
        >>> fc.integers()
        array([[  3, -63]])
        >>> print(fc.weight)
        [[ 0.3 -6.3]]
    """

    synapse: Layer
    scale: Parameter = number(1.0)
    bits: int | None = option(BITS)
    strength: tuple[Array, Array] | None = eqx.field(default=None, kw_only=True)
    drift: Parameter = number(0.0)
    transport: Transport | None = eqx.field(default=None, kw_only=True)

    buffers: ClassVar[tuple[str, ...]] = ("strength", "drift", "transport")

    def __check_init__(self) -> None:
        weight = getattr(self.synapse, "weight", None)
        if not isinstance(self.synapse, Layer) or weight is None:
            raise TypeError(
                f"Synapse: {type(self.synapse).__name__} has no weight; give a layer such as Linear"
            )
        if getattr(self.synapse, "bias", None) is not None:
            raise ValueError(
                "Synapse: the layer has a bias, which the chip has not; use an input that always "
                "spikes instead"
            )
        if self.bits is not None and (type(self.bits) is not int or not 1 <= self.bits <= BITS):
            raise ValueError(
                f"Synapse: bits is {self.bits!r}; weights have 1..{BITS}, or None for real ones"
            )
        if isinstance(self.scale, Constant) and not 0 < self.scale < math.inf:
            raise ValueError(f"Synapse: scale is {self.scale:g}; it must be a number > 0")
        if isinstance(self.drift, Constant) and not 0 <= self.drift < math.inf:
            raise ValueError(f"Synapse: drift is {self.drift:g}; it must be a number >= 0")

    @property
    def steps(self) -> Float[Array, "out in"]:
        """The weights in steps of the chip: whole numbers, unless `bits` is None."""
        scaled = self.scale * self.synapse.weight  # type: ignore[attr-defined]
        if self.bits is None:
            return scaled
        largest = (1 << self.bits) - 1
        return clamp(round_half_away(scaled), -largest, largest, gradient="straight_through")

    @property
    def weight(self) -> Float[Array, "out in"]:
        """The weights as they act, in the model's units."""
        raw = self.synapse.weight  # type: ignore[attr-defined]
        weight = raw if self.bits is None else self.steps / self.scale
        if self.strength is None:
            return weight
        positive, negative = self.strength
        # Not by the rounded weight: at 0 the derivative is that of the side that it comes from.
        return weight * jnp.where(raw >= 0, positive, negative)

    def integers(self) -> Int[np.ndarray, "out in"]:
        """The weights in steps of the chip as int64. Only outside of jit."""
        return np.asarray(self.steps).astype(np.int64)

    def init(self, in_shape: Shape) -> State:
        inner = self.synapse.init(in_shape)
        if self.transport is None:
            return inner
        return SynapseState(inner, self.transport.init(in_shape))

    def prepare(self, key: PRNGKeyArray | None) -> Layer:
        weight = self.weight
        if not is_off(self.drift):
            if key is None:
                raise ValueError("Synapse: its drift is drawn from a key; call prepare(key)")
            key, own = jax.random.split(key)
            weight = weight * (1 + self.drift * jax.random.normal(own, (), weight.dtype))
        # From here on it is a plain layer, so that it takes no longer than one.
        plain = eqx.tree_at(lambda s: s.weight, self.synapse, weight).prepare(key)
        if self.transport is None:
            return plain
        return Synapse(plain, bits=None, transport=self.transport)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        plain = eqx.tree_at(lambda s: s.weight, self.synapse, self.weight)
        if self.transport is None:
            return plain.step(state, x)
        moved, x = self.transport.step(state.transport, x, key=key)
        inner, y = plain.step(state.synapse, x)
        return SynapseState(inner, moved), y

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.synapse.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        random = self.transport is not None and self.transport.needs_key
        return random or not is_off(self.drift)

    def describe(self) -> str:
        text = [self.synapse.describe()]
        text.append("real weights" if self.bits is None else f"{self.bits} bit and sign")
        if isinstance(self.scale, Constant):
            text.append(f"scale {self.scale:g}")
        if self.strength is not None:
            text.append("mismatch")
        return ", ".join(text)
