"""Where a value of the simulation lies in C, where images are not channels first but last."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from neurojax._layer import Shape


class Layout(NamedTuple):
    """Order of an array in C.

    Images and sequences lie channels last. Features lie in their own order, except those that were
    flattened from an image: they stay where they were, so flattening costs nothing.
    """

    shape: Shape  # in the simulation: channels first
    order: np.ndarray  # for each value in C, its index in the flat array of the simulation

    @classmethod
    def channels_last(cls, shape: Shape) -> Layout:
        """The layout of a new array."""
        index = np.arange(math.prod(shape)).reshape(shape)
        return cls(tuple(shape), (np.moveaxis(index, 0, -1) if shape else index).ravel())

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def places(self) -> np.ndarray:
        """The inverse of `order`: for each value of the simulation, its index in C."""
        return np.argsort(self.order)

    @property
    def is_channels_last(self) -> bool:
        """Whether the axes mean something in C: not the order of a flattened image."""
        return self.same_order(Layout.channels_last(self.shape))

    @property
    def c_shape(self) -> Shape:
        """Shape in C, channels last."""
        return self.shape[1:] + self.shape[:1]

    def same_order(self, other: Layout) -> bool:
        """Whether values of the same place in C are values of the same place in the simulation."""
        return bool(np.array_equal(self.order, other.order))

    def to_c(self, values: np.ndarray) -> np.ndarray:
        """`[..., *shape]` to `[..., size]`."""
        values = np.asarray(values)
        axes = len(self.shape)
        if values.shape[values.ndim - axes :] != self.shape:
            raise ValueError(f"the last axes must be {self.shape}, got shape {values.shape}")
        return values.reshape(values.shape[: values.ndim - axes] + (self.size,))[..., self.order]

    def from_c(self, values: np.ndarray) -> np.ndarray:
        """`[..., size]` to `[..., *shape]`."""
        values = np.asarray(values)
        if not values.ndim or values.shape[-1] != self.size:
            raise ValueError(f"the last axis must be {self.size}, got shape {values.shape}")
        return values[..., self.places].reshape(values.shape[:-1] + self.shape)
