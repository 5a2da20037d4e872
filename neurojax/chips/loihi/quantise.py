"""Weights of 8 bits, and weights that are stored with full precision and used with 8 bits."""

from __future__ import annotations

from typing import Any, ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, parameter
from neurojax.chips.loihi.spec import WEIGHT_BITS
from neurojax.fixed_point import _derivative_of, clamp, divide

SCALE = 64
"""Steps of a weight, and of a threshold, in one unit of the user's numbers."""

LARGEST = (1 << WEIGHT_BITS) - 2
"""Largest weight in steps; the smallest is -256. Weights are even."""


def quantise_8bit(
    x: Float[Array | np.ndarray, "*shape"],
    *,
    scale: float = SCALE,
    largest: int = LARGEST,
    descale: bool = False,
) -> Float[Array, "*shape"]:
    """Round to the even multiples of 1 / scale that a weight of Loihi can have.

    The derivative is 1 where the rounded value is within -256 / scale..largest / scale, else 0.

    Args:
        x: Weights in the user's unit.
        scale: Weight steps per unit.
        largest: Upper limit in weight steps. SpikingJelly's `quantize_8b` has 255, which is no
            even number and so no weight of the chip.
        descale: Return the weight in steps, as the chip has it, instead of in the user's unit.

    References:
        lava-dl, `slayer.neuron.base.Neuron.quantize_8bit`; SpikingJelly, `lava_exchange.
        quantize_8b`. Ties go to the even multiple.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import quantise_8bit
        >>> print(quantise_8bit(jnp.array([0.04, -0.3, 9.0]), descale=True))
        [  2. -20. 254.]
    """
    # Divided and multiplied by one and the same float32, as the originals do: with a scale that is
    # no power of two, any other order gives other last bits.
    x = jnp.asarray(x, jnp.float32)
    step = np.float32(2 / scale)
    rounded = _derivative_of(x, jnp.rint(divide(x, 2 / scale)) * step)
    low, high = np.float32(-(1 << WEIGHT_BITS) / scale), np.float32(largest / scale)
    limited = clamp(rounded, low, high)
    return limited * jnp.float32(scale) if descale else limited


class Quantised(Layer):
    """A synapse whose weight has full precision in training and 8 bits in use.

    Args:
        synapse: A layer with a `weight`, such as Linear or Conv2d.
        gain: Weight normalisation: the weight in use is gain * weight / |weight|, with the norm of
            what arrives at one output. One number an output, or None: no normalisation.
        mask: 0 where there is no synapse, of the weight's shape; no parameter. None: all exist.
        scale: Weight steps per unit.
        largest: Largest weight in steps, see `quantise_8bit`.

    References:
        T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016,
        https://arxiv.org/abs/1602.07868.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import Quantised
        >>> fc = Quantised(nj.Linear.from_weights(jnp.array([[0.3, -0.01]])))
        >>> print(nj.simulate(nj.Sequential((2,), fc), jnp.ones((1, 1, 2))).outputs)
        [[[0.3125]]]
    """

    synapse: Layer
    gain: Float[Array, " out"] | None
    mask: Array | None
    scale: float = eqx.field(static=True)
    largest: int = eqx.field(static=True)

    buffers: ClassVar[tuple[str, ...]] = ("mask",)

    def __init__(
        self,
        synapse: Layer,
        *,
        gain: Any = None,
        mask: Any = None,
        scale: float = SCALE,
        largest: int = LARGEST,
    ) -> None:
        weight = getattr(synapse, "weight", None)
        if weight is None:
            raise TypeError(
                f"Quantised: {type(synapse).__name__} has no weight; use Linear, Conv1d or Conv2d"
            )
        if getattr(synapse, "bias", None) is not None:
            raise ValueError(
                "Quantised: the synapse has a bias, which Loihi's synapses have not; set it to "
                "None, or give the neurons an input from a source that always spikes"
            )
        self.synapse = synapse
        self.gain = None if gain is None else jnp.asarray(gain, jnp.float32).reshape(-1)
        self.mask = None if mask is None else jnp.asarray(mask, jnp.float32).reshape(weight.shape)
        if self.gain is not None and self.gain.shape != weight.shape[:1]:
            raise ValueError(
                f"Quantised: gain has {self.gain.size} values, but the weight {weight.shape} has "
                f"{weight.shape[0]} outputs"
            )
        self.scale, self.largest = _positive("Quantised: scale", scale), int(largest)

    @property
    def weight(self) -> Float[Array, "out ..."]:
        """The weight as it is used, in the user's unit."""
        weight = self.synapse.weight  # type: ignore[attr-defined]
        if self.mask is not None:
            weight = weight * self.mask
        if self.gain is not None:
            axes = tuple(range(1, weight.ndim))
            norm = jnp.sqrt(jnp.sum(weight**2, axis=axes, keepdims=True))
            weight = weight * (self.gain.reshape(-1, *(1 for _ in axes)) / norm)
        return quantise_8bit(weight, scale=self.scale, largest=self.largest)

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        synapse = eqx.tree_at(lambda s: s.weight, self.synapse.prepare(key), self.weight)
        return eqx.tree_at(
            lambda q: (q.synapse, q.gain, q.mask),
            self,
            (synapse, None, None),
            is_leaf=lambda node: node is None,
        )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        return self.synapse.step(state, x, key=key)

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.synapse.out_shape(in_shape)

    def describe(self) -> str:
        norm = "" if self.gain is None else ", normalised"
        return f"{self.synapse.describe()}, 8 bit{norm}"


class QuantisedInput(Layer):
    """Input as a chip can take it: y = q(x) q(weight) + q(bias), with q = `quantise_8bit`.

    Args:
        weight: One number, a constant or a parameter (an array of one value); None: 1.
        bias: The same; None: 0.
        scale: Weight steps per unit.
        largest: Largest value in steps, see `quantise_8bit`.

    References:
        lava-dl, `slayer.block.cuba.Input`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import QuantisedInput
        >>> print(QuantisedInput(weight=2.0).step(None, jnp.array([0.3]))[1])
        [0.625]
    """

    weight: Any = eqx.field(converter=parameter, default=None, kw_only=True)
    bias: Any = eqx.field(converter=parameter, default=None, kw_only=True)
    scale: float = eqx.field(static=True, default=SCALE, kw_only=True)
    largest: int = eqx.field(static=True, default=LARGEST, kw_only=True)

    def __check_init__(self) -> None:
        _positive("QuantisedInput: scale", self.scale)

    def _quantised(self, x: Any) -> Array:
        return quantise_8bit(x, scale=self.scale, largest=self.largest)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        y = self._quantised(x)
        if self.weight is not None:
            y = y * self._quantised(self.weight)
        return state, y if self.bias is None else y + self._quantised(self.bias)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return "QuantisedInput, 8 bit"


def _positive(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        raise ValueError(f"{what} is {value!r}; it must be a number >= 1 (64 is usual)")
    return value
