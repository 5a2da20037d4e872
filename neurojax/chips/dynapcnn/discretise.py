"""One scale for a layer, and everything rounded with it: sinabs' discretisation to the bit.

A core's weights are 8-bit, its thresholds and membrane 16-bit integers, and all of them are the
real values times one number, the layer's scale: the largest for which each quantity fits. The
arithmetic is float32 in the order in which PyTorch performs it, in NumPy rather than JAX, because
XLA is free to reassociate it and to flush subnormal numbers. Nothing here judges the result: a
threshold that rounds to zero is returned as it is, and refused by `map`.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn.discretize`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

from neurojax.chips.dynapcnn.spec import STATE_BITS, WEIGHT_BITS
from neurojax.fixed_point import integer_range


class Scales(NamedTuple):
    """Largest scale that each quantity allows; infinite for one that is absent or all zero."""

    weight: np.float32
    bias: np.float32
    threshold: np.float32
    state: np.float32


class Discretised(NamedTuple):
    """A layer in the chip's integers (held as float32, threshold and bound as int)."""

    weight: np.ndarray
    bias: np.ndarray | None
    threshold: int
    v_min: int
    v: np.ndarray | None
    scale: float  # integers per unit of the real values: real = integer / scale
    scales: Scales


def scale_of(values: Float[ArrayLike, "*shape"], bits: int) -> np.float32:
    """The scale at which the largest of the values becomes the largest integer of `bits` bits.

    |x| hi / max or |x| lo / min, whichever of the two ends is the nearer one. The division is a
    product with the rounded reciprocal, as PyTorch divides a number by a tensor; the quotient can
    differ from the correctly rounded one in its last bit.

    Returns:
        A float32; infinite if all values are zero or there is none.
    """
    low, high = integer_range(bits)
    array = np.asarray(values, np.float32)
    smallest, largest = array.min(), array.max()
    ratio = np.float32(abs(low / high))
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if abs(smallest) <= abs(largest) * ratio:
            return abs(_divide(high, largest))
        return abs(_divide(low, smallest))


def _divide(number: int, value: np.float32) -> np.float32:
    return (np.float32(1) / value) * np.float32(number)


def quantise(values: Float[ArrayLike, "*shape"], scale: float | np.float32) -> np.ndarray:
    """round(values scale), ties to even, in float32. Not clipped: the scale sees to the range."""
    return np.rint(np.asarray(values, np.float32) * np.float32(scale)) + np.float32(0)


def quantise_scalar(value: float, scale: float) -> int:
    """The same for a number, in double precision: what sinabs does with plain numbers."""
    return round(value * float(scale))


def discretise(
    weight: Float[ArrayLike, "f c kh kw"],
    threshold: float,
    v_min: float | None = None,
    *,
    bias: Float[ArrayLike, " f"] | None = None,
    v: Float[ArrayLike, "*shape"] | None = None,
    bias_bits: int = WEIGHT_BITS,
    peer_lower_bound: bool = False,
) -> Discretised:
    """Integers of a layer for the chip.

    Args:
        weight: Real weights, after all rescaling.
        threshold: Firing threshold.
        v_min: Lower bound of the membrane; None: as low as the chip goes, -32768, which leaves
            the scale alone.
        bias: Real biases.
        v: Membrane potentials to take over, if any.
        bias_bits: 8, as sinabs; up to 16, as the chip's memory, for biases that are large and
            would drag the resolution of the weights down.
        peer_lower_bound: Treat `v_min=None` as sinabs does: -32768 in *real* units takes part in
            the scale, which makes the scale at most 1 and ordinary weights vanish.

    Returns:
        The integers and the scale.

    Raises:
        ValueError: No finite scale exists, because all values are zero or too small for float32.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.dynapcnn import discretise
        >>> layer = discretise(np.float32([[[[0.5, -0.25]]]]), threshold=1.0, v_min=-1.0)
        >>> layer.weight.ravel(), layer.threshold, layer.v_min, float(layer.scale)
        (array([127., -64.], dtype=float32), 254, -254, 254.0)
    """
    lowest = integer_range(STATE_BITS)[0]
    bound = lowest if v_min is None and peer_lower_bound else v_min
    pair = [threshold] if bound is None else [bound, threshold]
    scales = Scales(
        scale_of(weight, WEIGHT_BITS),
        np.float32(np.inf) if bias is None else scale_of(bias, bias_bits),
        scale_of(np.asarray(pair, np.float32), STATE_BITS),
        np.float32(np.inf) if v is None else scale_of(v, STATE_BITS),
    )
    scale = np.min(scales)  # unlike min(), it passes NaN on
    if not np.isfinite(scale) or scale == 0:
        raise ValueError(
            f"no finite scale: the weights allow {scales.weight:g}, the biases {scales.bias:g}, "
            f"threshold {threshold:g} and lower bound {v_min} allow {scales.threshold:g}; use "
            "finite values that are not all below 1e-34"
        )
    return Discretised(
        weight=quantise(weight, scale),
        bias=None if bias is None else quantise(bias, scale),
        threshold=int(quantise(threshold, scale)),
        v_min=lowest if bound is None else int(quantise(bound, scale)),
        v=None if v is None else quantise(v, scale),
        scale=float(scale),
        scales=scales,
    )
