"""A surrogate derivative made for real units, used on a membrane in the chip's steps."""

from __future__ import annotations

import dataclasses

from jaxtyping import Array

from neurojax.surrogate import Surrogate


@dataclasses.dataclass(frozen=True)
class InSteps(Surrogate):
    """g(u / scale) / scale: the derivative that `inner` has where one unit is `scale` steps.

    A mapped layer multiplies membrane and threshold by its scale. This keeps the width of the
    derivative in proportion, so that gradients are those of the network before mapping.
    """

    inner: Surrogate
    scale: float  # steps of the chip per unit

    def __post_init__(self) -> None:
        """`inner` is no number and has been checked when it was made."""

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.inner.shape(u / self.scale, threshold / self.scale) / self.scale
