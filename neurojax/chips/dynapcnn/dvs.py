"""The front end of the chip: what happens to the events of the camera before the cores see them.

In this order, each only if it is asked for: the two polarities become one feature, pixels are
summed over windows, a rectangle is cut out (in coordinates after pooling), rows and columns are
reversed, and the axes are swapped.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn.dvs_layer.DVSLayer` (the order of the steps).
"""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, check_shape
from neurojax.layers import SumPool2d

Crop = tuple[tuple[int, int], tuple[int, int]]
"""`((top, bottom), (left, right))`, the ends excluded."""


class DVS(Layer):
    """The event camera's block: `(polarities, height, width)` to what its destinations receive.

    Args:
        pool: Height and width of the windows over which events are summed, or one number for both.
        crop: `((top, bottom), (left, right))` of the part that is kept, the ends excluded, in
            pixels after pooling. None keeps all.
        merge_polarities: Count events of both polarities in one feature.
        flip_x: Reverse every row, so that left becomes right.
        flip_y: Reverse every column, so that top becomes bottom.
        swap_xy: Swap the axes, after all else.
        pixel_array: The camera's own pixels send events. Without, events come from the host only,
            and pass the block all the same. It changes no number of a simulation.

    Example:
        >>> import neurojax as nj
        >>> from neurojax.chips.dynapcnn import DVS
        >>> DVS(pool=2, crop=((0, 20), (2, 32)), swap_xy=True).out_shape((2, 128, 128))
        (2, 30, 20)
    """

    pool: tuple[int, int] = eqx.field(static=True)
    crop: Crop | None = eqx.field(static=True)
    merge_polarities: bool = eqx.field(static=True)
    flip_x: bool = eqx.field(static=True)
    flip_y: bool = eqx.field(static=True)
    swap_xy: bool = eqx.field(static=True)
    pixel_array: bool = eqx.field(static=True)

    def __init__(
        self,
        *,
        pool: int | Sequence[int] = 1,
        crop: Sequence[Sequence[int]] | None = None,
        merge_polarities: bool = False,
        flip_x: bool = False,
        flip_y: bool = False,
        swap_xy: bool = False,
        pixel_array: bool = False,
    ) -> None:
        sizes = (pool, pool) if isinstance(pool, int) else tuple(int(n) for n in pool)
        if len(sizes) != 2 or min(sizes) < 1:
            raise ValueError(f"DVS: pool={pool} must be (height, width), each 1 or more")
        self.pool = (sizes[0], sizes[1])
        self.crop = None if crop is None else _as_crop(crop)
        self.merge_polarities, self.pixel_array = bool(merge_polarities), bool(pixel_array)
        self.flip_x, self.flip_y, self.swap_xy = bool(flip_x), bool(flip_y), bool(swap_xy)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        if self.merge_polarities:
            x = x.sum(0, keepdims=True)
        if self.pool != (1, 1):
            _, x = SumPool2d(self.pool).step(None, x)
        if self.crop is not None:
            (top, bottom), (left, right) = self.crop
            x = x[:, top:bottom, left:right]
        if self.flip_y:
            x = jnp.flip(x, 1)
        if self.flip_x:
            x = jnp.flip(x, 2)
        return state, x.swapaxes(1, 2) if self.swap_xy else x

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("DVS", in_shape, 3, "(polarities, height, width)")
        features, height, width = SumPool2d(self.pool).out_shape(in_shape)
        if self.crop is not None:
            (top, bottom), (left, right) = self.crop
            if bottom > height or right > width:
                raise ValueError(
                    f"DVS: crop={self.crop} reaches beyond the map of {height}x{width} that "
                    "pooling leaves; use rows and columns within it"
                )
            height, width = bottom - top, right - left
        features = 1 if self.merge_polarities else features
        return (features, width, height) if self.swap_xy else (features, height, width)

    def describe(self) -> str:
        said = [
            "one polarity" if self.merge_polarities else "",
            f"pool {self.pool[0]}x{self.pool[1]}" if self.pool != (1, 1) else "",
            "" if self.crop is None else "crop {}:{}, {}:{}".format(*self.crop[0], *self.crop[1]),
            "flip y" if self.flip_y else "",
            "flip x" if self.flip_x else "",
            "swap x and y" if self.swap_xy else "",
            "pixels on" if self.pixel_array else "",
        ]
        return ", ".join(["DVS", *filter(None, said)])


def _as_crop(crop: Sequence[Sequence[int]]) -> Crop:
    pairs = tuple(tuple(int(n) for n in pair) for pair in crop)
    if len(pairs) != 2 or any(len(p) != 2 or not 0 <= p[0] < p[1] for p in pairs):
        raise ValueError(
            f"DVS: crop={crop} must be ((top, bottom), (left, right)) with 0 <= top < bottom and "
            "0 <= left < right"
        )
    (top, bottom), (left, right) = pairs
    return (top, bottom), (left, right)
