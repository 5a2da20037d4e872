"""Observers: the range of values that a quantity takes, over one array or many batches.

An observer is options only; what it has seen is a state that `update` returns anew. All of it works
in `jax.jit` and `jax.lax.scan`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class Range(NamedTuple):
    """Smallest and largest value that a grid should hold; scalars, or one a channel."""

    low: Float[Array, "*channels"]
    high: Float[Array, "*channels"]


class AbstractObserver(eqx.Module):
    """Finds a range. `axis`: the channels, each with a range of its own; None: one for all."""

    axis: int | None = eqx.field(static=True, default=None, kw_only=True)

    def init(self, x: Float[Array, " ..."]) -> Any:
        """The state before anything was seen, for arrays like `x` (only its shape counts)."""
        raise NotImplementedError

    def update(self, state: Any, x: Float[Array, " ..."]) -> Any:
        """The state after `x`, too, was seen."""
        raise NotImplementedError

    def range(self, state: Any) -> Range:
        """The range that the values seen so far ask for."""
        raise NotImplementedError

    def __call__(self, x: Float[Array, " ..."]) -> Range:
        """The range of one array."""
        return self.range(self.update(self.init(x), x))

    def _channels(self, x: Array) -> Array:
        """`x` as (channels, values); one channel if there is no axis."""
        if self.axis is None:
            return x.reshape(1, -1)
        return jnp.moveaxis(x, self.axis, 0).reshape(x.shape[self.axis], -1)

    def _shaped(self, values: Array) -> Array:
        return values[0] if self.axis is None else values


class Seen(NamedTuple):
    """What `MinMax` and `MovingAverage` remember."""

    low: Float[Array, " channels"]
    high: Float[Array, " channels"]
    batches: Int[Array, ""]


class MinMax(AbstractObserver):
    """The smallest and the largest value ever seen.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.quantise import MinMax
        >>> low, high = MinMax()(jnp.array([-0.5, 0.25, 1.5]))
        >>> print(low, high)
        -0.5 1.5
    """

    def init(self, x: Float[Array, " ..."]) -> Seen:
        zeros = jnp.zeros(1 if self.axis is None else x.shape[self.axis], x.dtype)
        return Seen(zeros, zeros, jnp.zeros((), jnp.int32))

    def update(self, state: Seen, x: Float[Array, " ..."]) -> Seen:
        values = self._channels(x)
        low, high = values.min(1), values.max(1)
        first = state.batches == 0
        return Seen(
            jnp.where(first, low, self._joined(state.low, low, jnp.minimum)),
            jnp.where(first, high, self._joined(state.high, high, jnp.maximum)),
            state.batches + 1,
        )

    def range(self, state: Seen) -> Range:
        return Range(self._shaped(state.low), self._shaped(state.high))

    def _joined(self, old: Array, new: Array, extreme: Any) -> Array:
        return extreme(old, new)


class MovingAverage(MinMax):
    """Moving averages of the smallest and of the largest value of each batch.

    Args:
        momentum: Weight of a new batch, 0 to 1; the first batch counts fully.
    """

    momentum: float = eqx.field(static=True, default=0.01)

    def __check_init__(self) -> None:
        if not 0 < self.momentum <= 1:
            raise ValueError(
                f"MovingAverage: momentum is {self.momentum}; it must be > 0 and <= 1 "
                "(the weight of a new batch)"
            )

    def _joined(self, old: Array, new: Array, extreme: Any) -> Array:
        del extreme
        return old + self.momentum * (new - old)


class Counts(NamedTuple):
    """What `Histogram` remembers: how many values fell into each bin of ±top."""

    counts: Int[Array, "channels bins"]
    top: Float[Array, " channels"]


class Histogram(AbstractObserver):
    """A range that leaves out rare extremes, or that makes the squared error of a grid smallest.

    Values are counted in bins of equal width over ±top; where a larger value comes, top doubles and
    pairs of bins become one, so nothing has to be known in advance and every batch is seen once.

    Args:
        percent: Share of the values, by magnitude, that the range must hold.
        bits: If given, `percent` is not used: the range is the one of 128 candidates whose signed
            grid of that many bits has the smallest mean squared error on the histogram.
        bins: Number of bins, a power of two; the range is a multiple of 2 top / bins.

    References:
        R. Krishnamoorthi, "Quantizing deep convolutional networks for efficient inference", 2018,
        https://arxiv.org/abs/1806.08342, section 3.1.2 (ranges); percentiles: H. Wu et al.,
        "Integer quantization for deep learning inference", 2020, https://arxiv.org/abs/2004.09602.
    """

    percent: float = eqx.field(static=True, default=99.9)
    bits: int | None = eqx.field(static=True, default=None)
    bins: int = eqx.field(static=True, default=4096)

    def __check_init__(self) -> None:
        if not 0 < self.percent <= 100:
            raise ValueError(f"Histogram: percent is {self.percent}; it must be > 0 and <= 100")
        if self.bins < 4 or self.bins & (self.bins - 1):
            raise ValueError(f"Histogram: bins is {self.bins}; it must be a power of two >= 4")
        if self.bits is not None and not 2 <= self.bits <= 24:
            raise ValueError(f"Histogram: bits is {self.bits}; it must be 2 to 24")

    def init(self, x: Float[Array, " ..."]) -> Counts:
        channels = 1 if self.axis is None else x.shape[self.axis]
        return Counts(jnp.zeros((channels, self.bins), jnp.int32), jnp.zeros(channels, x.dtype))

    def update(self, state: Counts, x: Float[Array, " ..."]) -> Counts:
        return Counts(*jax.vmap(self._counted)(*state, self._channels(x)))

    def range(self, state: Counts) -> Range:
        find = self._percentile if self.bits is None else self._least_error
        high = self._shaped(jax.vmap(find)(*state))
        return Range(-high, high)

    def _counted(self, counts: Array, top: Array, values: Array) -> tuple[Array, Array]:
        """One channel: bin b holds values from (b - bins / 2) width on, width = 2 top / bins."""
        half = self.bins // 2
        largest = jnp.abs(values).max()
        # Powers of two, so that a doubling of the range merges bins exactly in pairs.
        _, exponent = jnp.frexp(largest)
        needed = jnp.where(largest > 0, jnp.ldexp(jnp.ones_like(top), exponent), 0)
        new_top = jnp.maximum(top, needed)
        _, before = jnp.frexp(top)
        _, after = jnp.frexp(new_top)
        doublings = jnp.where(top > 0, jnp.minimum(after - before, 31), 0)
        place = ((jnp.arange(self.bins) - half) >> doublings) + half
        merged = jnp.zeros_like(counts).at[place].add(counts)
        width = jnp.where(new_top > 0, new_top / half, 1)
        index = jnp.clip(jnp.floor(values / width).astype(jnp.int32) + half, 0, self.bins - 1)
        return merged.at[index].add(1), new_top

    def _magnitudes(self, counts: Array) -> Array:
        """Counts of |x| in bins of width top / (bins / 2), smallest first."""
        half = self.bins // 2
        return counts[half:] + counts[:half][::-1]

    def _percentile(self, counts: Array, top: Array) -> Array:
        cumulated = jnp.cumsum(self._magnitudes(counts))
        wanted = jnp.ceil(cumulated[-1] * (self.percent / 100))
        bin_ = jnp.argmax(cumulated >= wanted)
        return (bin_ + 1) * top / (self.bins // 2)

    def _least_error(self, counts: Array, top: Array) -> Array:
        magnitudes = self._magnitudes(counts)
        centres = (jnp.arange(self.bins // 2) + 0.5) * top / (self.bins // 2)
        candidates = jnp.arange(1, 129) * top / 128
        largest = 2 ** (self.bits - 1) - 1  # type: ignore[operator]

        def error(high: Array) -> Array:
            step = jnp.where(high > 0, high / largest, 1)
            nearest = jnp.minimum(jnp.round(centres / step), largest) * step
            return (magnitudes * (centres - nearest) ** 2).sum()

        return candidates[jnp.argmin(jax.vmap(error)(candidates))]
