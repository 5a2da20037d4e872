"""Layers without parameters: real numbers to integers at the input, and the sum of several layers.

In C, Add: `acc = (L) sum of scale(x_k, isf_k - isf)` with isf the largest of the inputs' q, then
the activation and `store(scale(acc, isf - osf))`. The input is quantised outside of the model:
`store(round(x 2^q))`.
"""

from __future__ import annotations

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, State
from neurojax.chips.mcu._arithmetic import ROUND, wrap
from neurojax.chips.mcu._code_layer import ActivatedLayer, CodeLayer
from neurojax.fixed_point import clamp
from neurojax.layers import Add as CoreAdd


class Quantise(CodeLayer):
    """Real numbers to the integers that the model takes: `format.output_q`, `output_round`.

    The identity where the numbers are floats.
    """

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        if self.number.real:
            return state, x
        if x.dtype.itemsize < 4:
            raise TypeError(
                f"Quantise: integers are carried by float32, but the input is {x.dtype}, which "
                "holds fewer of them; pass float32 inputs"
            )
        whole = ROUND[self.format.output_round](x * 2.0**self.format.output_q)
        return state, clamp(whole, *self.number.limits)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        return f"Quantise to {self.number.name}"


class Add(ActivatedLayer):
    """Sum of its incoming edges.

    Args:
        input_qs: `output_q` of the layers before, in the order of the edges.
        format, activation: See `Dense`.
    """

    input_qs: tuple[int, ...] = eqx.field(static=True, kw_only=True, converter=tuple)
    many_inputs: ClassVar[bool] = True

    def result_q(self) -> int:
        return max(self.input_qs)

    def shifts(self) -> dict[str, int]:
        each = {f"input {k}": q - self.result_q() for k, q in enumerate(self.input_qs)}
        return each | super().shifts()

    def step(self, state: State, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[State, Array]:
        del key
        if self.number.real:
            return state, self._activated(sum(x[1:], x[0]), 1.0)
        q = self.result_q()
        total: Any = 0
        smooth: Any = 0.0
        for value, value_q in zip(x, self.input_qs, strict=True):
            part = self._scale(value.astype(jnp.int32), value_q - q)
            total = wrap(total + part, self.number.long_bits)
            smooth = smooth + value * 2.0 ** (self.format.output_q - value_q)
        return state, self._finish(total, smooth)

    def out_shape(self, in_shape: Any) -> Shape:
        if len(in_shape) != len(self.input_qs):
            raise ValueError(
                f"Add has {len(self.input_qs)} input_qs, but {len(in_shape)} edges come in"
            )
        return CoreAdd().out_shape(in_shape)

    def describe(self) -> str:
        parts = ["Add", *([self.activation] if self.activation else []), self.number.name]
        return ", ".join(parts)
