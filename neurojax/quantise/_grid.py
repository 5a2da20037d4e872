"""The integers that stand for real numbers, and how one becomes the other."""

from __future__ import annotations

import math
from typing import Any, get_args

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Constant, parameter
from neurojax.fixed_point import (
    Gradient,
    Rounding,
    ceil,
    clamp,
    divide,
    floor,
    integer_range,
    round_half_away,
    round_half_even,
    round_half_up,
    truncate,
)
from neurojax.quantise._observers import Range

ROUND = {
    "half_even": round_half_even,
    "half_away": round_half_away,
    "half_up": round_half_up,
    "floor": floor,
    "ceil": ceil,
    "truncate": truncate,
}


class AbstractGrid(eqx.Module):
    """What grids share: bits, sign, rounding. Sub-classes know their scale."""

    bits: int = eqx.field(static=True, kw_only=True, default=8)
    signed: bool = eqx.field(static=True, kw_only=True, default=True)
    narrow: bool = eqx.field(static=True, kw_only=True, default=False)
    rounding: Rounding | str = eqx.field(static=True, kw_only=True, default="half_even")
    gradient: Gradient = eqx.field(static=True, kw_only=True, default="clipped")

    def __check_init__(self) -> None:
        legal = (*ROUND, "stochastic")
        if self.rounding not in legal:
            raise ValueError(
                f"{type(self).__name__}: rounding is {self.rounding!r}; "
                f"use one of {', '.join(legal)}"
            )
        if self.gradient not in get_args(Gradient):
            raise ValueError(
                f"{type(self).__name__}: gradient is {self.gradient!r}; use one of "
                f"{', '.join(get_args(Gradient))}"
            )
        if self.narrow and not self.signed:
            raise ValueError(
                f"{type(self).__name__}: narrow=True drops the lowest negative integer, but the "
                "grid is unsigned; leave it out"
            )
        limits(self.bits, self.signed, self.narrow)

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return limits(self.bits, self.signed, self.narrow)

    def _whole(self, x: Array, key: PRNGKeyArray | None) -> Array:
        """x rounded to integers, not limited yet."""
        if self.rounding != "stochastic":
            return ROUND[self.rounding](x)
        if key is None:
            raise ValueError(
                "rounding='stochastic' draws random numbers; give a key, such as jax.random.key(0)"
            )
        return floor(x + jax.random.uniform(key, x.shape, x.dtype))


def limits(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Smallest and largest integer of a grid; `narrow` makes a signed one symmetric."""
    low, high = integer_range(bits, signed=signed)
    return (low + narrow, high)


class Grid(AbstractGrid):
    """Integers of some bits and a scale: integer = limit(round(scale x) + zero).

    Args:
        scale: Integers per unit of x: a number, or an array that broadcasts against x (one scale a
            channel). Gradients do not reach it.
        zero: The integer that stands for 0 (asymmetric grids).
        bits: Width of the integers.
        signed: Two's complement, or 0..2^bits - 1.
        narrow: Leave out the lowest integer of a signed grid, so that it is symmetric.
        rounding: `"half_even"`, `"half_away"`, `"half_up"`, `"floor"`, `"ceil"`, `"truncate"`, or
            `"stochastic"`, which needs a key: up with the probability of the fraction.
        gradient: Of values outside the limits: `"clipped"` (none) or `"straight_through"`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.quantise import Grid
        >>> grid = Grid(scale=4.0, bits=3)
        >>> x = jnp.array([-2.0, -0.3, 0.3, 0.6])
        >>> print(grid.integers(x), grid(x))
        [-4. -1.  1.  2.] [-1.   -0.25  0.25  0.5 ]
    """

    scale: Any = eqx.field(converter=parameter)
    zero: Any = eqx.field(converter=parameter, default=0)

    def __check_init__(self) -> None:
        if isinstance(self.scale, Constant) and not (
            math.isfinite(self.scale) and float(self.scale) > 0
        ):
            raise ValueError(f"Grid: scale is {self.scale}; it must be a finite number > 0")

    @classmethod
    def from_range(
        cls,
        span: Range,
        *,
        bits: int = 8,
        symmetric: bool = True,
        power_of_two: bool = False,
        signed: bool = True,
        narrow: bool = False,
        **options: Any,
    ) -> Grid:
        """The finest grid that holds a range.

        Args:
            span: Smallest and largest value, from an observer; scalars, or arrays that broadcast.
            bits, signed, narrow: Of the grid.
            symmetric: 0 stands for 0, and the larger of |low| and |high| becomes the largest
                integer. Otherwise low and high (and 0, which must be exact) fill the grid.
            power_of_two: Round the scale down to 2^n, as chips and generated code with shifts
                need: n = bits - 1 - (floor(log2(largest)) + 1), one bit less for the sign.
            **options: `rounding` and `gradient`.

        Returns:
            A grid; where the range is empty (all values 0), its scale is 1.

        Raises:
            ValueError: `power_of_two` on an asymmetric grid.
        """
        low, high = (jnp.asarray(end) for end in span)
        smallest, largest = limits(bits, signed, narrow)
        options |= {"bits": bits, "signed": signed, "narrow": narrow}
        magnitude = jnp.maximum(jnp.abs(low), jnp.abs(high))
        if power_of_two:
            if not symmetric:
                raise ValueError("Grid: power_of_two=True needs symmetric=True")
            _, exponent = jnp.frexp(magnitude)  # magnitude = f 2^exponent, 1/2 <= f < 1
            scale = jnp.ldexp(jnp.ones_like(magnitude), bits - signed - exponent)
            return cls(jnp.where(magnitude > 0, scale, 1.0), **options)
        if symmetric:
            scale = largest / jnp.where(magnitude > 0, magnitude, largest)
            return cls(scale, **options)
        low, high = jnp.minimum(low, 0), jnp.maximum(high, 0)
        width = jnp.where(high > low, high - low, largest - smallest)
        scale = (largest - smallest) / width
        zero = jnp.clip(smallest - jnp.round(low * scale), smallest, largest)
        return cls(scale, zero, **options)

    def integers(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """The integers that stand for x, in x's float type. Straight-through derivative."""
        scale, zero = self._numbers(x)
        y = self._whole(x * scale, key)
        y = y if _is_zero(self.zero) else y + zero
        return clamp(y, *self.limits, gradient=self.gradient)

    def real(self, integers: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The real numbers that integers stand for."""
        scale, zero = self._numbers(integers)
        # Exact, so that a quantised run equals one with the same weights baked.
        return divide(integers - zero, scale)

    def __call__(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """Fake quantisation: x moved to the nearest number of the grid, derivative as chosen."""
        return self.real(self.integers(x, key=key))

    def _numbers(self, like: Array) -> tuple[Any, Any]:
        scale, zero = (
            float(n) if isinstance(n, Constant) else jax.lax.stop_gradient(n).astype(like.dtype)
            for n in (self.scale, self.zero)
        )
        return scale, zero


class LearntGrid(AbstractGrid):
    """A symmetric grid whose step is trained with the weights (LSQ).

    y = step round(clip(x / step)). The derivative to the step is round(v) - v inside the limits,
    with v = x / step, and the limit itself outside; it is multiplied with 1 / sqrt(n largest),
    n the number of values a step serves, so that step and weights learn at one pace.

    Args:
        step: Size of one integer (1 / scale), an array: a parameter.
        bits, signed, narrow, rounding, gradient: See `Grid`.

    References:
        S. K. Esser et al., "Learned step size quantization", ICLR 2020,
        https://arxiv.org/abs/1902.08153, equations 1 to 3 and section 2.2.
    """

    step: Float[Array, " ..."] = eqx.field(converter=jnp.asarray)

    @classmethod
    def from_values(cls, x: Float[Array, " ..."], *, bits: int = 8, **options: Any) -> LearntGrid:
        """The grid to begin with: step = 2 mean|x| / sqrt(largest integer) (section 2.1)."""
        largest = limits(bits, options.get("signed", True), options.get("narrow", False))[1]
        step = 2 * jnp.abs(x).mean() / math.sqrt(largest)
        return cls(jnp.where(step > 0, step, 1.0), bits=bits, **options)

    def integers(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """The integers that stand for x."""
        return self._integers(x, self._paced(x), key)

    def real(self, integers: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
        """The real numbers that integers stand for."""
        return integers * self.step

    def __call__(
        self, x: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """Fake quantisation, with derivatives to x and to the step."""
        step = self._paced(x)
        return self._integers(x, step, key) * step

    def _integers(self, x: Array, step: Array, key: PRNGKeyArray | None) -> Array:
        limited = clamp(x / step, *self.limits, gradient=self.gradient)
        return clamp(self._whole(limited, key), *self.limits, gradient="straight_through")

    def _paced(self, x: Array) -> Array:
        """The step, its derivative multiplied with the factor of section 2.2."""
        factor = 1 / math.sqrt(x.size / max(self.step.size, 1) * self.limits[1])
        return _scale_gradient(self.step, factor)


@jax.custom_jvp
def _scale_gradient(x: Array, factor: float) -> Array:
    return x


@_scale_gradient.defjvp
def _scale_gradient_jvp(primals: Any, tangents: Any) -> Any:
    return primals[0], primals[1] * tangents[0]


def _is_zero(zero: Any) -> bool:
    return isinstance(zero, Constant) and float(zero) == 0
