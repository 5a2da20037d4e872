"""Normalisation that a chip can do: subtract a quantised mean, shift by a whole number of bits."""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.chips.loihi.quantise import LARGEST, quantise_8bit


class ShiftNorm(Layer):
    """y = (x - q(mean)) / 2^k, with recorded statistics: what the norms do in inference.

    k is the logarithm of the standard deviation sqrt(var + eps), rounded up and limited to
    ±`exponent_bits`; q is `quantise_8bit`. Mean and variance are no parameters.

    Args:
        mean: One number a channel (first axis of the input).
        var: One number, the variance of all inputs; None: the mean is subtracted, no shift.
        eps: Added to the variance.
        exponent_bits: Largest shift, to both sides.
        scale: Steps of the mean per unit, see `quantise_8bit`; None: the mean is not quantised.
        largest: See `quantise_8bit`.

    References:
        lava-dl, `slayer.neuron.norm.MeanOnlyBatchNorm` (without `var`) and `WgtScaleBatchNorm`;
        SpikingJelly, `lava_exchange.BatchNorm2d`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import ShiftNorm
        >>> norm = ShiftNorm(jnp.array([0.5]), jnp.array([3.0]))
        >>> print(norm.step(None, jnp.array([4.5]))[1])
        [2.]
    """

    mean: Float[Array, " channels"]
    var: Float[Array, " 1"] | None
    eps: float = eqx.field(static=True)
    exponent_bits: int = eqx.field(static=True)
    scale: float | None = eqx.field(static=True)
    largest: int = eqx.field(static=True)

    buffers: ClassVar[tuple[str, ...]] = ("mean", "var")

    def __init__(
        self,
        mean: Any,
        var: Any = None,
        *,
        eps: float = 1e-5,
        exponent_bits: int = 3,
        scale: float | None = 64,
        largest: int = LARGEST,
    ) -> None:
        self.mean = jnp.asarray(mean, jnp.float32).reshape(-1)
        self.var = None if var is None else jnp.asarray(var, jnp.float32).reshape(1)
        self.eps, self.exponent_bits = float(eps), int(exponent_bits)
        self.scale, self.largest = scale, int(largest)

    @property
    def exponent(self) -> Array:
        """k: by how many bits the input is shifted to the right."""
        if self.var is None:
            return jnp.zeros(1)
        deviation = jnp.sqrt(self.var + jnp.float32(self.eps))
        # frexp instead of log2, which rounds: deviation = mantissa 2^power, mantissa in [0.5, 1).
        mantissa, power = jnp.frexp(deviation)
        up = power - (mantissa == 0.5).astype(power.dtype)
        return jnp.clip(up, -self.exponent_bits, self.exponent_bits).astype(jnp.float32)

    @property
    def offset(self) -> Float[Array, " channels"]:
        """q(mean): what is subtracted."""
        if self.scale is None:
            return self.mean
        return quantise_8bit(self.mean, scale=self.scale, largest=self.largest)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        offset = jax.lax.stop_gradient(self.offset).reshape(-1, *(1,) * (x.ndim - 1))
        # ldexp keeps the power exact; exp2 is not, on every device.
        power = jnp.ldexp(jnp.float32(1), -jax.lax.stop_gradient(self.exponent).astype(jnp.int32))
        return state, (x - offset) * power.reshape((1,) * x.ndim)

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.mean.size not in (1, in_shape[0] if in_shape else 1):
            raise ValueError(
                f"ShiftNorm has the mean of {self.mean.size} channels, got shape {in_shape}"
            )
        return tuple(in_shape)

    def describe(self) -> str:
        return "ShiftNorm" if self.var is not None else "ShiftNorm, mean only"
