"""Pooling over windows.

In C: max: the largest of the window; sum: `acc = (L) sum`; average: the same, then `acc / count`,
C's division of integers, which truncates towards zero, where count is all of the window. Then the
activation and `store(scale(acc, isf - osf))`. Points of the padding are left out of a maximum and
are zeros in a sum.

References:
    Qualia-CodeGen 2.6.0, templates maxpool.cc, averagepool.cc, sumpool.cc.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, State
from neurojax.chips.mcu._arithmetic import wrap
from neurojax.chips.mcu._code_layer import ActivatedLayer
from neurojax.fixed_point import divide
from neurojax.layers import MaxPool1d, MaxPool2d, SumPool1d, SumPool2d
from neurojax.layers._weights import Pairs

KINDS = ("max", "average", "sum")


class Pool(ActivatedLayer):
    """Maximum, average or sum over windows of one or two spatial axes.

    Args:
        kind: `"max"`, `"average"` or `"sum"`.
        kernel: Size of the window, one number an axis.
        stride: Step of the window; default: its size.
        padding: `(before, after)` for each axis, or one number.
        format, input_q, activation: See `Dense`.
    """

    kind: str = eqx.field(static=True)
    kernel: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Pairs = eqx.field(static=True)
    input_q: int = eqx.field(static=True)

    def __init__(
        self,
        kind: str,
        kernel: Sequence[int],
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        *,
        format: Any,
        input_q: int = 0,
        activation: str | None = None,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"Pool: kind is {kind!r}; use one of {', '.join(KINDS)}")
        kernel = tuple(kernel)
        if len(kernel) not in (1, 2):
            raise ValueError(f"Pool: kernel is {kernel}; one or two axes can be pooled")
        pool = (SumPool1d if len(kernel) == 1 else SumPool2d)(
            kernel, stride=stride, padding=padding
        )
        self.kind, self.kernel = kind, pool.kernel_size
        self.stride, self.padding = pool.stride, pool.padding
        self.format, self.input_q, self.activation = format, input_q, activation

    def result_q(self) -> int:
        return self.input_q

    def _pool(self) -> SumPool1d | SumPool2d | MaxPool1d | MaxPool2d:
        kinds = (MaxPool1d, MaxPool2d) if self.kind == "max" else (SumPool1d, SumPool2d)
        return kinds[len(self.kernel) - 1](self.kernel, stride=self.stride, padding=self.padding)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        _, smooth = self._pool().step(None, x)
        count = math.prod(self.kernel)
        if self.kind == "average":
            smooth = divide(smooth, float(count))
        if self.number.real:
            return state, self._activated(smooth, 1.0)
        if self.kind == "max":
            total = smooth.astype(jnp.int32)  # stored integers, which floats hold exactly
        else:
            _, total = self._pool().step(None, x.astype(jnp.int32))
            total = wrap(total, self.number.long_bits)
            if self.kind == "average":
                total = jnp.sign(total) * (jnp.abs(total) // count)
        return state, self._finish(total, smooth * 2.0 ** (self.format.output_q - self.input_q))

    def out_shape(self, in_shape: Shape) -> Shape:
        return self._pool().out_shape(in_shape)

    def describe(self) -> str:
        text = self._pool().describe()
        if self.kind == "average":
            text = text.replace("Sum", "Avg", 1)
        parts = [text, *([self.activation] if self.activation else []), self.number.name]
        return ", ".join(parts)
