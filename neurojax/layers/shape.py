"""Layers that only move or merge values: other axes, padding, sum and concatenation of edges."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, parameter
from neurojax.layers._weights import Pairs, pads_per_axis, per_axis, text_of


class Flatten(Layer):
    """All axes into one, the last axis fastest: `(C, H, W)` to `(C * H * W,)`, as in PyTorch."""

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, x.reshape(-1)

    def out_shape(self, in_shape: Shape) -> Shape:
        return (math.prod(in_shape),)


class Reshape(Layer):
    """The same values in other axes, the last axis fastest, as in PyTorch.

    Args:
        shape: Axes of the output, without time and batch. One of them may be -1: what is left.

    Example:
        >>> import neurojax as nj
        >>> nj.layers.Reshape((2, -1, 4)).out_shape((32,))
        (2, 4, 4)
    """

    shape: Shape = eqx.field(static=True, converter=tuple)

    def __check_init__(self) -> None:
        if sum(n == -1 for n in self.shape) > 1 or any(n < -1 or n == 0 for n in self.shape):
            raise ValueError(
                f"Reshape: shape is {self.shape}; axes must be >= 1, at most one is -1"
            )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, x.reshape(self.shape)

    def out_shape(self, in_shape: Shape) -> Shape:
        size = math.prod(in_shape)
        rest, left = divmod(size, math.prod(n for n in self.shape if n != -1))
        if left or (rest != 1 and -1 not in self.shape):
            raise ValueError(f"Reshape: {size} values of shape {in_shape} don't fit {self.shape}")
        return tuple(rest if n == -1 else n for n in self.shape)

    def describe(self) -> str:
        return f"Reshape {text_of(self.shape)}"


class Pad(Layer):
    """A value around the spatial axes, or around all axes of a vector.

    Args:
        padding: `(before, after)` for each of the last axes.
        value: What is put there.

    Example:
        >>> import neurojax as nj
        >>> nj.layers.Pad([(0, 1), (2, 2)]).out_shape((3, 8, 8))
        (3, 9, 12)
    """

    padding: Pairs = eqx.field(static=True)
    value: float = eqx.field(static=True)

    def __init__(self, padding: Sequence[tuple[int, int]], *, value: float = 0.0) -> None:
        self.padding = pads_per_axis("Pad: padding", padding, len(padding))
        self.value = float(value)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        pads = ((0, 0),) * (x.ndim - len(self.padding)) + self.padding
        return state, jnp.pad(x, pads, constant_values=self.value)

    def out_shape(self, in_shape: Shape) -> Shape:
        kept = len(in_shape) - len(self.padding)
        if kept < 0:
            raise ValueError(f"Pad: {len(self.padding)} axes to pad, got shape {in_shape}")
        pads = [0] * kept + [sum(pair) for pair in self.padding]
        return tuple(n + more for n, more in zip(in_shape, pads, strict=True))

    def describe(self) -> str:
        return f"Pad {text_of([f'{a}:{b}' for a, b in self.padding])} with {self.value:g}"


class Upsample(Layer):
    """Repeats every value along the last axes: nearest-neighbour interpolation.

    Args:
        factor: How often, for each of the last axes.

    Raises:
        TypeError: `factor` is a number, which says nothing about the axes.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> nj.layers.Upsample((2,)).step(None, jnp.array([[1.0, 2.0]]))[1].tolist()
        [[1.0, 1.0, 2.0, 2.0]]
    """

    factor: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, factor: Sequence[int]) -> None:
        if not isinstance(factor, Sequence):
            raise TypeError(
                f"Upsample: factor is {factor!r}; give one factor for each of the last axes: (2, 2)"
            )
        self.factor = per_axis("Upsample: factor", factor, len(factor))

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        for axis, factor in enumerate(self.factor, x.ndim - len(self.factor)):
            x = jnp.repeat(x, factor, axis)
        return state, x

    def out_shape(self, in_shape: Shape) -> Shape:
        kept = len(in_shape) - len(self.factor)
        if kept < 0:
            raise ValueError(f"Upsample: {len(self.factor)} factors, got shape {in_shape}")
        factors = (1,) * kept + self.factor
        return tuple(n * factor for n, factor in zip(in_shape, factors, strict=True))

    def describe(self) -> str:
        return f"Upsample {text_of(self.factor)}"


class Identity(Layer):
    """Hands its input on. Several edges into it are added up."""

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, x

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


class Add(Layer):
    """Sum of its incoming edges, which must have one shape."""

    many_inputs: ClassVar[bool] = True

    def step(self, state: State, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[State, Array]:
        del key
        total, *others = x
        for other in others:
            total = total + other
        return state, total

    def out_shape(self, in_shape: Any) -> Shape:
        first, *others = in_shape
        if any(shape != first for shape in others):
            raise ValueError(f"Add takes inputs of one shape, got {', '.join(map(str, in_shape))}")
        return tuple(first)


class Concat(Layer):
    """Its incoming edges side by side, in the order of the edges.

    Args:
        axis: Axis without time and batch; 0 are the channels or features.
    """

    axis: int = eqx.field(static=True, default=0)
    many_inputs: ClassVar[bool] = True

    def step(self, state: State, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[State, Array]:
        del key
        return state, jnp.concatenate(x, self.axis)

    def out_shape(self, in_shape: Any) -> Shape:
        first = in_shape[0]
        if not -len(first) <= self.axis < len(first):
            raise ValueError(f"Concat(axis={self.axis}) got shape {first} without such an axis")
        axis = self.axis % len(first)
        rest = [shape[:axis] + shape[axis + 1 :] for shape in in_shape]
        if any(len(shape) != len(first) for shape in in_shape) or len(set(rest)) > 1:
            raise ValueError(
                f"Concat(axis={self.axis}) takes inputs that differ only along that axis, got "
                f"{', '.join(map(str, in_shape))}"
            )
        return (*first[:axis], sum(shape[axis] for shape in in_shape), *first[axis + 1 :])

    def describe(self) -> str:
        return f"Concat, axis {self.axis}"


class Scale(Layer):
    """y = factor x.

    Args:
        factor: A number (a constant), or an array (a parameter) that broadcasts against the input.
    """

    factor: Any = eqx.field(converter=parameter)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, self.factor * x

    def out_shape(self, in_shape: Shape) -> Shape:
        shape = np.shape(self.factor)
        try:
            fits = np.broadcast_shapes(shape, in_shape) == tuple(in_shape)
        except ValueError:
            fits = False
        if not fits:
            raise ValueError(f"Scale: a factor of shape {shape} doesn't fit shape {in_shape}")
        return tuple(in_shape)

    def describe(self) -> str:
        if eqx.is_array(self.factor):
            return "Scale, learned"
        return f"Scale {self.factor:g}"
