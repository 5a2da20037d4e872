"""Weights of 8 bits, and weights that are stored with full precision and used with 8 bits."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, parameter
from neurojax.chips.loihi.spec import WEIGHT_BITS
from neurojax.chips.loihi.synapse import Synapse, check_synapse
from neurojax.fixed_point import clamp, derivative_of, divide
from neurojax.quantise import Quantised

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
    limited = _even(x, scale, -(1 << WEIGHT_BITS), largest)
    return limited * jnp.float32(scale) if descale else limited


def quantise_hook(
    x: Float[Array | np.ndarray, "*shape"], *, scale: float = SCALE, num_bits: int = 8
) -> Float[Array, "*shape"]:
    """slayer's hook for weights of some bits: even multiples of 1 / scale, 2^(num_bits + 1) many.

    The limits are -2 2^num_bits / scale and 2 (2^num_bits - 1) / scale, so that 7 bits give what
    the chip calls 8 (`quantise_8bit`), and 8 bits twice of that. Derivative as there.

    References:
        lava-dl, `slayer.utils.quantize.quantize_hook_fx`.
    """
    if isinstance(num_bits, bool) or not isinstance(num_bits, int) or not 1 <= num_bits <= 16:
        raise ValueError(f"quantise_hook: num_bits is {num_bits!r}; it must be an integer 1..16")
    return _even(x, scale, -2 << num_bits, (2 << num_bits) - 2)


def step_quantise(
    x: Float[Array | np.ndarray, "*shape"], *, step: float = 1.0, floor: bool = False
) -> Float[Array, "*shape"]:
    """The nearest multiple of a step, ties to the even one, or the one below. Derivative 1.

    References:
        SpikingJelly, `lava_exchange.step_quantize`; lava-dl, `slayer.utils.quantize`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import step_quantise
        >>> print(step_quantise(jnp.array([0.3, 0.8]), step=0.5))
        [0.5 1. ]
    """
    x = jnp.asarray(x, jnp.float32)
    steps = divide(x, step)
    return derivative_of(x, (jnp.floor(steps) if floor else jnp.rint(steps)) * np.float32(step))


def _even(x: Any, scale: float, low: int, high: int) -> Array:
    """Even multiples of 1 / scale from low / scale to high / scale."""
    # Divided and multiplied by one and the same float32, as the originals do: with a scale that is
    # no power of two, any other order gives other last bits.
    rounded = step_quantise(x, step=2 / scale)
    return clamp(rounded, np.float32(low / scale), np.float32(high / scale))


class EightBit(Layer):
    """The rule by which weights of full precision become those of the chip.

    For `neurojax.quantise.Quantised`; `quantised` puts it there. As a layer it quantises what
    passes.

    Args:
        gain: Weight normalisation: the weight in use is gain * weight / |weight|, with the norm of
            what arrives at one output. One number an output, trainable; None: no normalisation.
        mask: 0 where there is no synapse, of the weight's shape; no parameter. None: all exist.
        scale: Weight steps per unit.
        largest: Largest weight in steps, see `quantise_8bit`.

    References:
        T. Salimans and D. P. Kingma, "Weight normalization", NeurIPS 2016,
        https://arxiv.org/abs/1602.07868.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import EightBit
        >>> print(EightBit(gain=[2.5])(jnp.array([[3.0, 4.0]])))
        [[1.5 2. ]]
    """

    gain: Float[Array, " out"] | None
    mask: Float[Array, "out ..."] | None
    scale: float = eqx.field(static=True)
    largest: int = eqx.field(static=True)

    buffers: ClassVar[tuple[str, ...]] = ("mask",)
    bits: ClassVar[int] = WEIGHT_BITS
    rounding: ClassVar[str] = "half_even"

    def __init__(
        self,
        *,
        gain: Any = None,
        mask: Any = None,
        scale: float = SCALE,
        largest: int = LARGEST,
    ) -> None:
        self.gain = None if gain is None else jnp.asarray(gain, jnp.float32).reshape(-1)
        self.mask = None if mask is None else jnp.asarray(mask, jnp.float32)
        self.scale, self.largest = positive("EightBit: scale", scale), int(largest)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest weight in steps."""
        return -(1 << WEIGHT_BITS), self.largest

    def __call__(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """The weight as it is used, in the user's unit."""
        del key
        return quantise_8bit(self.effective(x), scale=self.scale, largest=self.largest)

    def integers(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """The weight as the chip has it, in steps."""
        return jnp.rint(self(x, key=key) * jnp.float32(self.scale))

    def real(self, integers: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """Weights in the user's unit, from steps."""
        return divide(integers, self.scale)

    def effective(self, x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The weight behind mask and normalisation, with full precision."""
        if self.mask is not None:
            x = x * self.mask
        if self.gain is None:
            return x
        axes = tuple(range(1, x.ndim))
        norm = jnp.sqrt(jnp.sum(x**2, axis=axes, keepdims=True))
        return x * (self.gain.reshape(-1, *(1 for _ in axes)) / norm)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        return state, self(x, key=key)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return "EightBit" if self.gain is None else "EightBit, normalised"


def quantised(
    synapse: Layer,
    *,
    gain: Any = None,
    mask: Any = None,
    scale: float = SCALE,
    largest: int = LARGEST,
) -> Quantised:
    """A synapse whose weight has full precision in training and 8 bits in use.

    Args:
        synapse: A layer with a `weight` and no bias, such as Linear or Conv2d.
        gain, mask, scale, largest: See `EightBit`.

    Raises:
        TypeError: The layer has no weight.
        ValueError: It has a bias; gain or mask have other shapes than the weight.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import quantised
        >>> fc = quantised(nj.Linear.from_weights(jnp.array([[0.3, -0.01]])))
        >>> print(nj.simulate(nj.Sequential((2,), fc), jnp.ones((1, 1, 2))).outputs)
        [[[0.3125]]]
    """
    weight = check_synapse("quantised", synapse)
    rule = EightBit(gain=gain, mask=mask, scale=scale, largest=largest)
    if rule.gain is not None and rule.gain.shape != weight.shape[:1]:
        raise ValueError(
            f"quantised: gain has {rule.gain.size} values, but the weight {weight.shape} has "
            f"{weight.shape[0]} outputs"
        )
    if rule.mask is not None and rule.mask.shape != weight.shape:
        raise ValueError(
            f"quantised: mask has shape {rule.mask.shape}, the weight {weight.shape}; give one "
            "number for each weight"
        )
    return Quantised(synapse, {"weight": rule})


def integers_of(synapse: Layer, *, scale: float = SCALE) -> Int[np.ndarray, " ..."]:
    """The weights of a synapse in weight steps, as the chip computes with them. Outside of jit.

    Args:
        synapse: A `Synapse` (mantissas times 2^exponent), what `quantised` returned, or any layer
            whose weights are multiples of 1 / scale.
        scale: Weight steps per unit, for the last kind.

    Returns:
        int64, of the weight's shape.

    Raises:
        ValueError: They are no integers: name and remedy.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import integers_of, quantised
        >>> print(integers_of(quantised(nj.Linear.from_weights(jnp.array([[0.3, -0.01]])))))
        [[20  0]]
    """
    if isinstance(synapse, Synapse):
        steps = synapse.integers() * 2.0**synapse.exponent
    elif isinstance(synapse, Quantised) and isinstance(
        rule := synapse.rules.get("weight"), EightBit
    ):
        weight = check_synapse("integers_of", synapse.layer)
        steps = np.asarray(rule.integers(weight), np.float64)
    else:
        steps = np.asarray(check_synapse("integers_of", synapse), np.float64) * scale
        # A multiple of 1 / scale in float32 is one up to half a unit in the last place.
        near = np.rint(steps)
        steps = np.where(np.abs(steps - near) <= np.abs(near) * 2.0**-23, near, steps)
    if not np.array_equal(steps, np.rint(steps)):
        wrong = steps[steps != np.rint(steps)].flat[0]
        raise ValueError(
            f"integers_of: {synapse.describe()} has a weight of {wrong:g} steps, which is no "
            "integer; quantise it first (loihi.quantised), or give the scale that it was made with"
        )
    return steps.astype(np.int64)


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
        positive("QuantisedInput: scale", self.scale)

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


def positive(what: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        raise ValueError(f"{what} is {value!r}; it must be a number >= 1 (64 is usual)")
    return value
