"""Layers that take values in another order, or only some of them: `Permute`, `Slice`."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State


class Permute(Layer):
    """The same values with their axes in another order, as `torch.permute` without time and batch.

    Args:
        axes: For each axis of the output, which one of the input it is.

    Example:
        >>> import neurojax as nj
        >>> nj.layers.Permute((1, 0)).out_shape((196, 64))  # tokens of 64 channels each
        (64, 196)
    """

    axes: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, axes: Sequence[int]) -> None:
        self.axes = tuple(int(axis) for axis in axes)
        if sorted(self.axes) != list(range(len(self.axes))):
            raise ValueError(
                f"Permute: axes are {self.axes}; they must be each of 0..{len(self.axes) - 1} once"
            )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, jnp.transpose(x, self.axes)

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != len(self.axes):
            raise ValueError(f"Permute: {len(self.axes)} axes, got shape {in_shape}")
        return tuple(in_shape[axis] for axis in self.axes)

    def describe(self) -> str:
        return f"Permute {self.axes}"


class Slice(Layer):
    """Part of an axis: one of the pieces of `torch.chunk`.

    Args:
        start, stop: Of the indices that are kept: start..stop - 1.
        axis: Axis without time and batch; 0 are the channels or features.

    Example:
        >>> import neurojax as nj
        >>> nj.layers.Slice(8, 16).out_shape((24, 196))
        (8, 196)
    """

    start: int = eqx.field(static=True)
    stop: int = eqx.field(static=True)
    axis: int = eqx.field(static=True, default=0)

    def __check_init__(self) -> None:
        if not 0 <= self.start < self.stop:
            raise ValueError(
                f"Slice: start is {self.start}, stop {self.stop}; they must be 0 <= start < stop"
            )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        whole = (slice(None),) * (self.axis % x.ndim)
        return state, x[(*whole, slice(self.start, self.stop))]

    def out_shape(self, in_shape: Shape) -> Shape:
        if not -len(in_shape) <= self.axis < len(in_shape) or in_shape[self.axis] < self.stop:
            raise ValueError(
                f"Slice({self.start}, {self.stop}, axis={self.axis}) got shape {in_shape}, which "
                "is too small"
            )
        axis = self.axis % len(in_shape)
        return (*in_shape[:axis], self.stop - self.start, *in_shape[axis + 1 :])

    def describe(self) -> str:
        return f"Slice {self.start}:{self.stop}, axis {self.axis}"
