"""What travels along an edge of the network while it is read, and what merges make of it."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neurojax._layer import Shape
from neurojax.chips.dynapcnn._blocks import Block, Factors
from neurojax.chips.dynapcnn.dvs import DVS


@dataclass(frozen=True)
class Signal:
    """Events of a layer or input of the mapped network, and what happened to them since.

    Poolings, factors and a Flatten are held back until something needs the events: poolings in a
    row become one, and what a vector was before is known to the weights.
    """

    node: str  # layer or input of the mapped network
    shape: Shape  # (c, h, w), behind the poolings
    rescale: Factors
    pools: tuple[str, ...] = ()  # poolings since then
    size: tuple[int, int] = (1, 1)  # of all of them together
    scales: tuple[tuple[str, float], ...] = ()  # factors of Scale layers since then
    flatten: str | None = None  # a Flatten, whose shape the layers of the network see
    camera: DVS | None = None  # front end between the input and here
    parts: tuple[str, ...] = ()  # layers that make up the front end
    block: Block | None = None  # weights whose neurons are still to come

    def scaled(self, factor: float) -> Signal:
        """With a factor on all features."""
        rescale = tuple(frozenset(known * factor for known in some) for some in self.rescale)
        return dataclasses.replace(self, rescale=rescale)

    def without_scales(self) -> Signal:
        """With the factors of Scale layers among those of the poolings, as merges need it."""
        return dataclasses.replace(
            self.scaled(float(np.prod([factor for _, factor in self.scales]))), scales=()
        )


def unscaled(features: int) -> Factors:
    """No factors."""
    return (frozenset([1.0]),) * features


def summed(factors: Sequence[Factors]) -> Factors:
    """Factors of a sum."""
    return tuple(frozenset.union(*some) for some in zip(*factors, strict=True))


def resolve(factors: Factors, method: str | None) -> np.ndarray | None:
    """One factor for each feature, `(c,)`; None where there is none, and no method is given.

    References:
        sinabs 3.1.3, `weight_rescaling_methods`: half the mean of the different factors, rounded
        to two digits.
    """
    if all(len(some) == 1 for some in factors):
        return np.array([value for (value,) in factors])
    if method is None:
        return None
    mean = statistics.fmean if method == "mean" else statistics.harmonic_mean
    halves = {some: float(np.round(mean(sorted(some)) * 0.5, 2)) for some in set(factors)}
    return np.array([halves[some] if len(some) > 1 else next(iter(some)) for some in factors])


def trimmed(layer: DVS, in_shape: Shape) -> DVS:
    """Without a crop that keeps everything; sinabs writes one down always."""
    height, width = in_shape[-2] // layer.pool[0], in_shape[-1] // layer.pool[1]
    whole = layer.crop == ((0, height), (0, width))
    return dataclasses.replace(layer, crop=None) if whole else layer


def composed(first: DVS, second: DVS) -> DVS | None:
    """One front end that does what two do in a row; None where the order of its steps forbids."""
    turned = first.flip_x or first.flip_y or first.swap_xy
    if first.swap_xy and (second.flip_x or second.flip_y):
        return None
    if second.crop is not None and turned:
        return None
    if second.pool != (1, 1) and (turned or first.crop is not None):
        return None
    crop = second.crop or first.crop
    if first.crop is not None and second.crop is not None:
        (top, _), (left, _) = first.crop
        rows, columns = second.crop
        crop = (top + rows[0], top + rows[1]), (left + columns[0], left + columns[1])
    return DVS(
        pool=(first.pool[0] * second.pool[0], first.pool[1] * second.pool[1]),
        crop=crop,
        merge_polarities=first.merge_polarities or second.merge_polarities,
        flip_x=first.flip_x != second.flip_x,
        flip_y=first.flip_y != second.flip_y,
        swap_xy=first.swap_xy != second.swap_xy,
        pixel_array=first.pixel_array or second.pixel_array,
    )
