"""Weights of a file, which are plain integers, as mantissas of synapses, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurojax._layer import Layer
from neurojax.chips.loihi import weights
from neurojax.chips.loihi.synapse import Synapse


def fitting(values: np.ndarray) -> tuple[np.ndarray, int, str] | None:
    """Mantissas, exponent and sign mode of 8-bit synapses that give integers exactly, or None.

    Weights on slayer's grid (even, -256..254) stay as they are. Others are shifted as netx shifts
    them, and must come back.
    """
    w = np.asarray(values).astype(np.int64)
    for sign in ("mixed", weights.sign_mode(w)):
        if weights.smallest_bits(w, sign=sign) is not None:
            return w, 0, sign
    best = weights.optimise_weight_bits(w)
    # A negative exponent shifts the sum to the right: nothing is lost if no bit below is set.
    comes_back = best.exponent <= 0 and (best.weight == w << -best.exponent).all()
    if not comes_back or weights.smallest_bits(best.weight, sign=best.sign) is None:
        return None
    return best.weight, best.exponent, best.sign


ILLEGAL = (
    "8-bit synapses hold even integers of -256..254, any of -128..127, any of 0..255 or any of "
    "-255..0"
)


def effective(synapse: Synapse) -> np.ndarray | None:
    """The integers that a synapse multiplies with, or None if it rounds sums.

    Args:
        synapse: A synapse with concrete weights.
    """
    w = synapse.integers()
    if synapse.exponent >= 0:
        return w << synapse.exponent
    return None if (w % (1 << -synapse.exponent)).any() else w >> -synapse.exponent


def synapse_of(layer: Any, values: np.ndarray, **options: Any) -> Synapse | None:
    """A synapse that multiplies with integers, or None if there is none.

    Args:
        layer: Makes the layer of its mantissas.
        values: The integers.
        **options: Of the synapse.
    """
    found = fitting(values)
    if found is None:
        return None
    mantissas, exponent, sign = found
    made: Layer = layer(mantissas.astype(np.float32))
    return Synapse(made, exponent=exponent, sign=sign, **options)
