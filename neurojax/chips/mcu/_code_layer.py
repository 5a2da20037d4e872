"""What the layers of generated code share: their format, their end, their checks."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from neurojax._layer import Layer
from neurojax.chips.mcu._arithmetic import (
    on_grid,
    scale,
    steps_of,
    store,
    with_derivative,
)
from neurojax.chips.mcu.spec import ROUNDINGS, Format, Number

ACTIVATIONS = (None, "relu", "relu6")


class CodeLayer(Layer):
    """A layer of the generated code.

    Its inputs and outputs are integers on float carriers; its parameters are real numbers, which
    `prepare` moves to their grid and `integers` returns as the code holds them.
    """

    format: Format = eqx.field(static=True, kw_only=True)

    parametric: ClassVar[bool] = False
    """Whether it has parameters, so that `format.weights_q` means something."""

    @property
    def number(self) -> Number:
        """The types that it computes with."""
        return self.format.number

    def __check_init__(self) -> None:
        name, form = type(self).__name__, self.format
        if not isinstance(form, Format):
            raise TypeError(f"{name}: format is {form!r}; it must be a Format")
        for what in ("weights_round", "output_round"):
            if getattr(form, what) not in ROUNDINGS:
                raise ValueError(
                    f"{name}: {what} is {getattr(form, what)!r}; use one of {', '.join(ROUNDINGS)}"
                )
        if not form.number.real:
            for what, places in self.shifts().items():
                check_shift(f"{name}: {what}", places, form.number)

    def shifts(self) -> dict[str, int]:
        """By what it is for, each shift of the code to the right (to the left where negative)."""
        return {}

    def _held(self, value: Any, q: int) -> Any:
        return on_grid(value, q, self.number, self.format.weights_round)

    def _integers(self, value: Any, q: int) -> np.ndarray | None:
        """A parameter as the code holds it: int64, or float32. Only outside of jit."""
        if value is None:
            return None
        if self.number.real:
            return np.asarray(value, np.float32)
        return steps_of(value, q, self.number, self.format.weights_round).astype(np.int64)

    def _scale(self, x: Int[Array, "*shape"], places: int) -> Int[Array, "*shape"]:
        return scale(x, places, self.number, self.format.output_round)


class ActivatedLayer(CodeLayer):
    """A layer whose sums pass an activation before they are stored.

    In C, with `acc` the sum and `q` its scale: relu: `max(acc, 0)`; relu6: the same, and at most
    `relu6_limit()`; then `store(scale(acc, q - output_q))`.
    """

    activation: str | None = eqx.field(static=True, kw_only=True, default=None)

    def __check_init__(self) -> None:
        if self.activation not in ACTIVATIONS:
            raise ValueError(
                f"{type(self).__name__}: activation is {self.activation!r}; use None, 'relu' or "
                "'relu6'"
            )

    def result_q(self) -> int:
        """The q of the sum that is activated and stored."""
        raise NotImplementedError

    def shifts(self) -> dict[str, int]:
        return {"output": self.result_q() - self.format.output_q}

    def relu6_limit(self) -> int:
        """6 in the unit of the sum; as much as a sum holds if that is less."""
        limit = math.floor(math.ldexp(6, self.result_q()))
        return min(limit, self.number.long_limits[1])

    def _activated(self, y: Float[Array, "*shape"], one: float) -> Float[Array, "*shape"]:
        """The real-valued activation, where `one` stands for 1."""
        if self.activation is None:
            return y
        y = jax.nn.relu(y)
        return y if self.activation == "relu" else jnp.minimum(y, 6 * one)

    def _finish(
        self, total: Int[Array, "*shape"], smooth: Float[Array, "*shape"]
    ) -> Float[Array, "*shape"]:
        """What is stored of a sum; `smooth` is the same in real numbers, in the output's unit."""
        if self.activation is not None:
            total = jnp.maximum(total, 0)
        if self.activation == "relu6":
            total = jnp.minimum(total, self.relu6_limit())
        form = self.format
        exact = store(self._scale(total, self.result_q() - form.output_q), self.number)
        return with_derivative(self._activated(smooth, 2.0**form.output_q), exact, self.number)


def check_shift(what: str, places: int, number: Number) -> None:
    """Raise ValueError for shifts that C does not define."""
    if abs(places) >= number.long_bits:
        raise ValueError(
            f"{what}: a shift by {places} bits; sums have {number.long_bits}, so it must be within "
            f"±{number.long_bits - 1}: bring the scales (q) of neighbouring layers nearer to each "
            "other"
        )


def scalar(what: str, value: Any) -> None:
    """Raise ValueError unless a parameter is one number."""
    if np.size(value) != 1:
        raise ValueError(
            f"{what} has shape {np.shape(value)}; the code holds one number a layer, use a scalar"
        )
