"""Values that a host puts into the chip."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, parameter
from neurojax.chips.loihi.quantise import SCALE, quantise_8bit


class Input(Layer):
    """Values in weight steps, as neurons take them: y = q(x) weight / 64 + bias.

    q rounds to the even integers of -256..254 (see `quantise_8bit`). A weight of 64 leaves them as
    they are. What slayer feeds as x is here 64 x.

    Args:
        weight: In weight steps: 64 is 1. A number is fixed, an array of one learned.
        bias: The same.

    References:
        lava-dl, `slayer.block.cuba.Input`; in netx this is the `transform` of an input layer.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import Input
        >>> print(Input(weight=32, bias=6).step(None, jnp.array([19.0, -40.0]))[1])
        [ 16. -14.]
    """

    weight: Any = eqx.field(converter=parameter, default=SCALE, kw_only=True)
    bias: Any = eqx.field(converter=parameter, default=0, kw_only=True)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        # 64 is a power of two, and the products have 16 bits: nothing is lost.
        return state, quantise_8bit(x, scale=1) * (self.weight / SCALE) + self.bias

    def prepare(self, key: PRNGKeyArray | None) -> Input:
        del key
        return Input(
            weight=quantise_8bit(self.weight, scale=1), bias=quantise_8bit(self.bias, scale=1)
        )

    def integers(self) -> dict[str, int]:
        """`weight` and `bias` as the chip has them. Only outside of jit."""
        values = {"weight": self.weight, "bias": self.bias}
        return {k: int(jnp.asarray(quantise_8bit(v, scale=1)).item()) for k, v in values.items()}

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return "Input, 8 bit"
