"""What each dataset of a .net file may hold, and the one form in which we go on with it.

A rule takes what is in the file (an array of any type of number, or a text) and returns the value
as slayer writes it, or raises `Wrong` with what is legal. Older files have other shapes: those come
out the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax.chips.loihi.lif import SHIFTS
from neurojax.chips.loihi.spec import LARGEST_AXONAL_DELAY, LARGEST_BIAS

Rule = Callable[[Any], Any]

LARGEST_SIZE = 1 << 24
"""Neurons along one axis; more than a chip has, and few enough to count with."""

READ_OUT = (1 << 18) - 1
"""The threshold that slayer's Affine writes: beyond 17 bits, so it never fires."""

NETX_READ_OUT = 1 << 17
"""The threshold that netx assumes where there is no neuron."""


class Wrong(Exception):
    """What a value must be."""


def whole(low: int, high: int, *, also: tuple[int, ...] = ()) -> Rule:
    """One integer, of any type of number, alone or in an array of one."""
    extra = "".join(f", or {value}" for value in also)
    legal = f"an integer within {low}..{high}{extra}"

    def rule(value: Any) -> np.int64:
        numbers = _integers(value, legal)
        if numbers.size != 1:
            raise Wrong(legal)
        number = int(numbers.reshape(()))
        if not low <= number <= high and number not in also:
            raise Wrong(legal)
        return np.int64(number)

    return rule


def per_channel(low: int, high: int) -> Rule:
    """One integer, or a list of one a channel."""
    legal = f"an integer within {low}..{high}, or one for each channel"

    def rule(value: Any) -> np.ndarray | np.int64:
        numbers = _integers(value, legal)
        if numbers.size == 0 or numbers.size != max(numbers.shape, default=1):
            raise Wrong(legal)
        if not ((numbers >= low) & (numbers <= high)).all():
            raise Wrong(legal)
        return np.int64(numbers.reshape(())) if numbers.size == 1 else numbers.reshape(-1)

    return rule


def pair(low: int, high: int) -> Rule:
    """Two integers (height, width), or one for both."""
    legal = f"one or two integers within {low}..{high}"

    def rule(value: Any) -> np.ndarray:
        numbers = _integers(value, legal)
        if numbers.size not in (1, 2) or numbers.ndim > 1:
            raise Wrong(legal)
        if not ((numbers >= low) & (numbers <= high)).all():
            raise Wrong(legal)
        return np.broadcast_to(numbers.reshape(-1), (2,)).copy()

    return rule


def sizes(value: Any) -> np.ndarray:
    """The shape of a layer's output: 1 to 3 lengths."""
    legal = f"1 to 3 integers within 1..{LARGEST_SIZE}, and their product, too"
    numbers = _integers(value, legal).reshape(-1)
    if not 1 <= numbers.size <= 3 or numbers.min() < 1 or numbers.max() > LARGEST_SIZE:
        raise Wrong(legal)
    if math.prod(numbers.tolist()) > LARGEST_SIZE:
        raise Wrong(legal)
    return numbers


def indices(value: Any) -> np.ndarray:
    """Numbers of layers."""
    legal = "a list of numbers of layers"
    numbers = _integers(value, legal)
    if numbers.ndim != 1 or numbers.size == 0 or numbers.min() < 0:
        raise Wrong(legal)
    return numbers


def steps_of_weights(value: Any) -> np.ndarray:
    """Weights in weight steps, any shape: integers that float32 holds exactly."""
    numbers = _integers(value, "integers (weight steps)")
    if numbers.size == 0 or np.abs(numbers).max() > 1 << 24:
        raise Wrong("integers (weight steps), at least one, none beyond 2^24")
    return numbers.astype(np.float32)


def biases(value: Any) -> np.ndarray:
    """Biases in weight steps, which a neuron stores with the exponent 6."""
    legal = f"integers within {-LARGEST_BIAS}..{LARGEST_BIAS} (weight steps)"
    numbers = _integers(value, legal)
    if numbers.size == 0 or np.abs(numbers).max() > LARGEST_BIAS:
        raise Wrong(legal)
    return numbers.astype(np.float32)


def delays(value: Any) -> np.ndarray:
    """Axonal delays; a fraction of a step is cut off."""
    legal = f"numbers within 0..{LARGEST_AXONAL_DELAY} (netx cuts longer ones: write what is meant)"
    numbers = _numbers(value, legal)
    if numbers.size == 0 or numbers.size != max(numbers.shape, default=1):
        raise Wrong(legal)
    numbers = np.floor(numbers.reshape(-1)).astype(np.float32)
    if numbers.min() < 0 or numbers.max() > LARGEST_AXONAL_DELAY:
        raise Wrong(legal)
    return numbers


def flag(value: Any) -> np.bool_:
    """True or false."""
    numbers = _numbers(value, "true or false")
    if numbers.size != 1 or float(numbers.reshape(())) not in (0.0, 1.0):
        raise Wrong("true or false")
    return np.bool_(numbers.reshape(()))


def exponent(value: Any) -> np.ndarray:
    """An exponent of two that a whole layer shares, as slayer writes it."""
    return np.array([whole(*SHIFTS)(value)], np.float32)


def word(value: Any) -> str:
    """A text; also an array of one."""
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    if not isinstance(value, str):
        raise Wrong("a text")
    return value.rstrip("\0")


def _numbers(value: Any, legal: str) -> np.ndarray:
    if isinstance(value, str | tuple | list):
        raise Wrong(legal)
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "fiub" or not np.isfinite(numbers).all():
        raise Wrong(legal)
    return numbers


def _integers(value: Any, legal: str) -> np.ndarray:
    numbers = _numbers(value, legal)
    if numbers.size and float(np.abs(numbers.astype(np.float64)).max()) >= 2.0**53:
        raise Wrong(legal)
    result = numbers.astype(np.int64)
    if not (result == numbers).all():
        raise Wrong(legal)
    return result
