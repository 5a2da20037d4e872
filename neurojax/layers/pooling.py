"""Pooling over windows of the spatial axes, channels first."""

from __future__ import annotations

import functools as ft
import math
from collections.abc import Sequence
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, check_shape
from neurojax.layers._kernel import padding_text
from neurojax.layers._weights import Pairs, pads_per_axis, per_axis, short, text_of
from neurojax.layers.convolution import window_counts


class _Pool(Layer):
    """Sum over windows, the mother of all pools. Padding is held in pairs, whatever was given."""

    kernel_size: tuple[int, ...] = eqx.field(static=True)
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Pairs = eqx.field(static=True)

    ndim: ClassVar[int]
    layout: ClassVar[str]

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int | tuple[int, int]] = 0,
    ) -> None:
        name = type(self).__name__
        self.kernel_size = per_axis(f"{name}: kernel_size", kernel_size, self.ndim)
        step = self.kernel_size if stride is None else stride
        self.stride = per_axis(f"{name}: stride", step, self.ndim)
        self.padding = pads_per_axis(f"{name}: padding", padding, self.ndim)
        if any(max(pads) >= k for pads, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"{name}: padding {self.padding} is not smaller than the window {self.kernel_size}"
            )

    fill: ClassVar[float] = 0.0  # what the padding holds

    def _combine(self, a: Array, b: Array) -> Array:
        return a + b

    def _axes(self) -> Sequence[int]:
        return range(1, self.ndim + 1)

    def _pool(self, x: Array) -> Array:
        # Axis by axis, as strided slices: several times faster than lax.reduce_window on CPU,
        # and so are its derivatives. Rows first, because they lie side by side in memory.
        pads = ((0, 0), *self.padding)
        x = jnp.pad(x, pads, constant_values=self.fill)
        for axis in self._axes():
            size, stride = self.kernel_size[axis - 1], self.stride[axis - 1]
            count = (x.shape[axis] - size) // stride + 1
            taps = [
                jax.lax.slice_in_dim(x, at, at + (count - 1) * stride + 1, stride, axis)
                for at in range(size)
            ]
            x = ft.reduce(self._combine, taps)
        return x

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, self._pool(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        name = type(self).__name__
        check_shape(name, in_shape, self.ndim + 1, self.layout)
        sizes = window_counts(name, in_shape[1:], self.kernel_size, self.stride, self.padding)
        return (in_shape[0], *sizes)

    def describe(self) -> str:
        text = f"{type(self).__name__} {text_of(self.kernel_size)}"
        if self.stride != self.kernel_size:
            text += f", stride {short(self.stride)}"
        return text + padding_text(self.padding)


class _AvgPool(_Pool):
    count_padding: bool = eqx.field(static=True)

    def __init__(
        self,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] | None = None,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        count_padding: bool = True,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding)
        self.count_padding = bool(count_padding)

    def _pool(self, x: Array) -> Array:
        y = super()._pool(x)
        if self.count_padding:
            return y / math.prod(self.kernel_size)
        return y / jnp.asarray(self._counts(x.shape[1:]), y.dtype)

    def _counts(self, sizes: Sequence[int]) -> np.ndarray:
        """How many values of the input each window sees."""
        counts = np.ones(())
        for n, kernel, stride, (before, after) in zip(
            sizes, self.kernel_size, self.stride, self.padding, strict=True
        ):
            starts = np.arange(0, n + before + after - kernel + 1, stride) - before
            seen = np.minimum(starts + kernel, n) - np.maximum(starts, 0)
            counts = np.multiply.outer(counts, seen)
        return counts

    def describe(self) -> str:
        return super().describe() + ("" if self.count_padding else ", padding not counted")


class _MaxPool(_Pool):
    fill: ClassVar[float] = -math.inf

    def _combine(self, a: Array, b: Array) -> Array:
        return jnp.where(b > a, b, a)  # the gradient goes to the first of equals, as in PyTorch

    def _axes(self) -> Sequence[int]:
        return range(self.ndim, 0, -1)  # the first of equals is the one in the first row


# The constructors are named again for type checkers, which make up one from the fields for every
# class without its own.


class SumPool1d(_Pool):
    """Sum over windows of one spatial axis. See `SumPool2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _Pool.__init__


class SumPool2d(_Pool):
    """Sum over windows: what chips do, since a spike stays a spike. Exact for integers.

    Args:
        kernel_size: Size of the window: an integer or one an axis.
        stride: Step of the window; default: its size.
        padding: Zeros around the input: one number for both sides of all axes, one an axis, or
            `(before, after)` for each axis. Every window must see something of the input.
    """

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _Pool.__init__


class AvgPool1d(_AvgPool):
    """Mean over windows of one spatial axis. See `AvgPool2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _AvgPool.__init__


class AvgPool2d(_AvgPool):
    """Mean over windows.

    Args:
        kernel_size: Size of the window: an integer or one an axis.
        stride: Step of the window; default: its size.
        padding: Zeros around the input, see `SumPool2d`.
        count_padding: Whether zeros of the padding count in the mean, as is PyTorch's default.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> pool = nj.AvgPool2d(2, padding=((0, 1), (0, 0)), count_padding=False)
        >>> pool.step(None, jnp.ones((1, 3, 2)))[1].tolist()
        [[[1.0], [1.0]]]
    """

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _AvgPool.__init__


class MaxPool1d(_MaxPool):
    """Maximum over windows of one spatial axis. See `MaxPool2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _Pool.__init__


class MaxPool2d(_MaxPool):
    """Maximum over windows. The padding never wins; arguments as of `SumPool2d`."""

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _Pool.__init__
