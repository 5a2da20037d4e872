"""Which integers a synapse of the chip can hold, and how given integers become such.

A synapse has a mantissa of up to 8 bits, shared with all others of its group an exponent and a sign
mode. With excitatory or inhibitory synapses, mantissas are 0..255 or -255..0. With mixed ones a bit
goes to the sign, and mantissas are the even numbers of -256..254. Fewer bits cut from below: the
mantissas are multiples of 2^n, with n = 8 - bits, one more for mixed ones.

Plain NumPy on integers, for what is done once; `Synapse` does the same to weights in training.

References:
    Lava, `lava.utils.weightutils` and the bit-accurate `Dense`; lava-dl, `netx.utils.
    optimize_weight_bits`; M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip
    learning", IEEE Micro 38, 2018.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int

from neurojax.chips.loihi.spec import WEIGHT_BITS

MODES = ("mixed", "excitatory", "inhibitory")
"""Sign modes of a group of synapses."""

LARGEST_MAGNITUDE = 1 << WEIGHT_BITS
"""No mantissa is larger, whatever its sign mode."""


class MantissaRange(NamedTuple):
    """Legal mantissas: low, low + step, ..., high."""

    low: int
    high: int
    step: int


def mantissa_range(bits: int | None = WEIGHT_BITS, sign: str = "mixed") -> MantissaRange:
    """The mantissas of synapses with some bits and a sign mode.

    Args:
        bits: 1 to 8; None: every integer that the sign mode has before low bits are cut, which is
            what Lava's `Conv` computes with.
        sign: `"mixed"`, `"excitatory"` or `"inhibitory"`.

    Raises:
        ValueError: Other bits or sign modes.

    Example:
        >>> from neurojax.chips.loihi.weights import mantissa_range
        >>> mantissa_range(8, "mixed"), mantissa_range(6, "inhibitory")[:]
        (MantissaRange(low=-256, high=254, step=2), (-252, 0, 4))
    """
    check_sign(sign)
    cut = _cut(bits, sign)
    high = LARGEST_MAGNITUDE - 1 >> cut << cut
    low = {"mixed": -LARGEST_MAGNITUDE, "excitatory": 0, "inhibitory": -high}[sign]
    return MantissaRange(low, 0 if sign == "inhibitory" else high, 1 << cut)


def legal_weights(bits: int | None = WEIGHT_BITS, sign: str = "mixed") -> Int[np.ndarray, " n"]:
    """All mantissas of synapses with some bits and a sign mode, ascending.

    Example:
        >>> from neurojax.chips.loihi import legal_weights
        >>> print(legal_weights(2, "mixed"), legal_weights(2, "excitatory"))
        [-256 -128    0  128] [  0  64 128 192]
    """
    low, high, step = mantissa_range(bits, sign)
    return np.arange(low, high + 1, step)


def sign_mode(weight: Int[np.ndarray, "*shape"]) -> str:
    """The sign mode that Lava gives integers: excitatory if none is negative, ...

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import sign_mode
        >>> sign_mode(np.array([0, 3])), sign_mode(np.array([0, -3]))
        ('excitatory', 'inhibitory')
    """
    w = integers("weight", weight)
    if w.size == 0 or w.min() >= 0:
        return "excitatory"
    return "inhibitory" if w.max() <= 0 else "mixed"


def clip_weights(
    weight: Int[np.ndarray, "*shape"], *, sign: str | None = None
) -> Int[np.ndarray, "*shape"]:
    """Limit integers to -256..255 (mixed), 0..255 (excitatory) or -255..0 (inhibitory).

    Args:
        weight: Integers.
        sign: Sign mode; None: that of the integers.
    """
    w = integers("weight", weight)
    low, high, _ = mantissa_range(None, sign_mode(w) if sign is None else sign)
    return np.clip(w, low, high)


def truncate_weights(
    weight: Int[np.ndarray, "*shape"], bits: int = WEIGHT_BITS, *, sign: str | None = None
) -> Int[np.ndarray, "*shape"]:
    """Cut the bits that a synapse hasn't: mixed weights downwards, others towards zero.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import truncate_weights
        >>> print(truncate_weights(np.array([-3, 3, 100]), 6))
        [-8  0 96]
    """
    w = integers("weight", weight)
    sign = check_sign(sign_mode(w) if sign is None else sign)
    cut = _cut(bits, sign)
    return -(-w >> cut << cut) if sign == "inhibitory" else w >> cut << cut


def smallest_bits(weight: Int[np.ndarray, "*shape"], *, sign: str | None = None) -> int | None:
    """The fewest bits with which a synapse holds the integers exactly; None if 8 are too few.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import smallest_bits
        >>> smallest_bits(np.array([-64, 128])), smallest_bits(np.array([-64, 127]))
        (3, None)
    """
    w = integers("weight", weight)
    sign = sign_mode(w) if sign is None else sign
    for bits in range(1, WEIGHT_BITS + 1):
        low, high, step = mantissa_range(bits, sign)
        if np.all((w >= low) & (w <= high) & (w % step == 0)):
            return bits
    return None


class OptimisedWeights(NamedTuple):
    """Integers as a group of synapses holds them: weight 2^exponent is what they were."""

    weight: Int[np.ndarray, "*shape"]  # mantissas
    bits: int
    exponent: int
    sign: str


def optimise_weight_bits(
    weight: Int[np.ndarray, "*shape"],
    *,
    sign: str | None = None,
    inhibitory_limit: int = -255,
    loihi2: bool = False,
) -> OptimisedWeights:
    """Mantissas, bits and exponent that hold integers with as few bits as possible.

    The integers are shifted left as far as the mantissa goes, and the exponent takes it back: lost
    low bits then cost nothing, and as many as are zero in all the mantissas are cut.

    Args:
        weight: Integers; what is beyond the range of the sign mode counts as its limit.
        sign: Sign mode; None: that of the integers.
        inhibitory_limit: Smallest inhibitory weight: lava-dl's netx has -256, which no synapse
            holds.
        loihi2: Shift right instead, until a mantissa is odd: signed integers of the fewest bits,
            as Loihi 2 stores them, with an exponent >= 0.

    Returns:
        What a synapse holds. Mixed weights of 8 bits are even; where a large weight is odd, its
        lowest bit is cut, as the chip cuts it (Lava speaks of 9 bits then).

    References:
        Lava, `lava.utils.weightutils.optimize_weight_bits`; lava-dl, `lava.lib.dl.netx.utils.
        optimize_weight_bits`, which divides by zero if all weights are zero.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.loihi import optimise_weight_bits
        >>> optimise_weight_bits(np.array([-62, 30]))
        OptimisedWeights(weight=array([-248,  120]), bits=6, exponent=-2, sign='mixed')
    """
    w = integers("weight", weight)
    sign = check_sign(sign_mode(w) if sign is None else sign)
    mixed = sign == "mixed"
    low, high, _ = mantissa_range(WEIGHT_BITS, sign)
    w = np.clip(w, inhibitory_limit if sign == "inhibitory" else low, high)
    if not w.any():
        return OptimisedWeights(w, 1, 0, sign)
    zeros = next(n for n in range(WEIGHT_BITS, -1, -1) if not np.any(w % (1 << n)))
    if loihi2:
        w = w >> zeros
        magnitude = max(int(w.max()), -int(w.min()) - (1 if mixed else 0))
        return OptimisedWeights(w, magnitude.bit_length() + mixed, zeros, sign)
    # The largest left shift of either end that stays in range; mixed: 2 w within -256..255.
    up, down = max(int(w.max()), 0), max(-int(w.min()), 0)
    shift = min(
        int(np.floor(np.log2(limit / end)))
        for end, limit in (
            (up, 127 if mixed else high),
            (down, 128 if mixed else -inhibitory_limit),
        )
        if end
    )
    shift += mixed
    bits = WEIGHT_BITS - shift - (zeros - mixed)
    shifted = w << shift
    if bits > WEIGHT_BITS:
        bits, shifted = WEIGHT_BITS, truncate_weights(shifted, WEIGHT_BITS, sign=sign)
    return OptimisedWeights(shifted, bits, -shift, sign)


def integers(what: str, values: Any) -> Int[np.ndarray, "*shape"]:
    """`values` as int64; ValueError if they are no integers."""
    array = np.asarray(values)
    if array.dtype.kind not in "iuf" or not np.all(np.isfinite(array) & (array == np.rint(array))):
        raise ValueError(
            f"{what} must hold integers, got {array.dtype} with other values; scale and round it "
            "first, for instance by loihi.quantised"
        )
    return array.astype(np.int64)


def check_sign(sign: Any) -> str:
    """`sign`, if it is a sign mode."""
    if sign not in MODES:
        raise ValueError(f"sign is {sign!r}; use one of {', '.join(map(repr, MODES))}")
    return sign


def _cut(bits: int | None, sign: str) -> int:
    """How many of the lowest bits are always zero."""
    if bits is None:
        return 0
    try:
        bits = operator.index(bits)
    except TypeError:
        raise TypeError(f"bits is {bits!r}; it must be an integer 1..8, or None") from None
    if not 1 <= bits <= WEIGHT_BITS:
        raise ValueError(f"bits is {bits}; a synapse has 1..8 bits (None: nothing is cut)")
    return WEIGHT_BITS - bits + (sign == "mixed")
