"""The rule by which an array gets its grid."""

from __future__ import annotations

from typing import Literal, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax.fixed_point import Gradient, Rounding
from neurojax.quantise._grid import Grid
from neurojax.quantise._observers import Histogram, MinMax, Range

RangeRule = Literal["max", "percentile", "least_error"]


class Quantiser(eqx.Module):
    """Makes the grid of an array from its values, and moves the array onto it.

    The scale follows the array: in quantisation-aware training it is found anew in every run.

    Args:
        bits: Width of the integers.
        range: `"max"`: the largest magnitude fits. `"percentile"`: `percent` of the values do.
            `"least_error"`: the range with the smallest mean squared error of this array.
        percent: For `"percentile"`.
        per_channel: A scale for each output channel (the first axis), not one for all.
        power_of_two: Scales are powers of two, so that a chip can shift instead of multiply.
        narrow: Leave out the lowest integer, so that -w is on the grid whenever w is.
        rounding, gradient: See `Grid`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.quantise import Quantiser
        >>> print(Quantiser(bits=3)(jnp.array([-1.0, 0.2, 0.5, 1.5])))
        [-1.   0.   0.5  1.5]
    """

    bits: int = eqx.field(static=True, default=8)
    range: RangeRule = eqx.field(static=True, default="max", kw_only=True)
    percent: float = eqx.field(static=True, default=99.9, kw_only=True)
    per_channel: bool = eqx.field(static=True, default=False, kw_only=True)
    power_of_two: bool = eqx.field(static=True, default=False, kw_only=True)
    narrow: bool = eqx.field(static=True, default=False, kw_only=True)
    rounding: Rounding | str = eqx.field(static=True, default="half_even", kw_only=True)
    gradient: Gradient = eqx.field(static=True, default="clipped", kw_only=True)

    def __check_init__(self) -> None:
        if self.range not in get_args(RangeRule):
            raise ValueError(
                f"Quantiser: range is {self.range!r}; use one of {', '.join(get_args(RangeRule))}"
            )
        if not 0 < self.percent <= 100:
            raise ValueError(f"Quantiser: percent is {self.percent}; it must be > 0 and <= 100")
        self._grid(Range(jnp.zeros(()), jnp.ones(())))  # bits, rounding, gradient

    def grid(self, x: Float[Array, " ..."]) -> Grid:
        """The grid for an array; no gradient passes through its scale."""
        x = jax.lax.stop_gradient(x)
        span = self._span(x)
        if self.per_channel:
            column = (-1, *(1,) * (x.ndim - 1))
            span = Range(span.low.reshape(column), span.high.reshape(column))
        return self._grid(span)

    def __call__(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """The array on its grid; the derivative is straight through."""
        return self.grid(x)(x, key=key)

    def _grid(self, span: Range) -> Grid:
        return Grid.from_range(
            span,
            bits=self.bits,
            power_of_two=self.power_of_two,
            narrow=self.narrow,
            rounding=self.rounding,
            gradient=self.gradient,
        )

    def _span(self, x: Array) -> Range:
        axis = 0 if self.per_channel else None
        if self.range == "max":
            return MinMax(axis=axis)(x)
        if self.range == "least_error":
            return Histogram(bits=self.bits, axis=axis)(x)
        values = jnp.abs(x).reshape(x.shape[0] if self.per_channel else 1, -1)
        high = jnp.percentile(values, self.percent, axis=1, method="higher")
        high = high if self.per_channel else high[0]
        return Range(-high, high)
