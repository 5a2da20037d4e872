"""The numbers of a microcontroller: widths of stored values and of accumulators, and their scales.

A value is an integer divided by 2^q. What is stored has `bits`, what is summed up has `long_bits`;
q is chosen for each layer's weights, bias and output. The widths are those that the C code of
Qualia computes with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from neurojax.fixed_point import integer_range

ROUNDINGS = ("floor", "nearest")
COMPATS = (None, "qualia")
WIDTHS = (8, 16, 32)
"""Widths of C's integer types that the simulation computes with."""


class Number(NamedTuple):
    """The type of stored values, and the longer one of sums."""

    name: str  # "float32", "int16" or "int8"
    bits: int
    long_bits: int

    @property
    def real(self) -> bool:
        """Whether it is a floating-point number, so that nothing is rounded."""
        return self.name == "float32"

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest stored integer."""
        return integer_range(self.bits)

    @property
    def long_limits(self) -> tuple[int, int]:
        """Smallest and largest sum."""
        return integer_range(self.long_bits)

    @property
    def bytes(self) -> int:
        """Memory of a stored value."""
        return self.bits // 8


NUMBERS = {
    "float32": Number("float32", 32, 32),
    "int16": Number("int16", 16, 32),
    "int8": Number("int8", 8, 16),
}


class Format(NamedTuple):
    """How a layer's values are written as integers."""

    number: Number
    weights_q: int = 0  # of weights; of a neuron: membrane, threshold, reset value and 1/tau
    bias_q: int | None = None  # None: as the weights
    output_q: int = 0
    weights_round: str = "floor"
    output_round: str = "floor"

    @property
    def bias_scale(self) -> int:
        """q of the bias."""
        return self.weights_q if self.bias_q is None else self.bias_q

    @property
    def sum_q(self) -> int:
        """The q that weights and bias have in common, that of a sum less the input's."""
        return max(self.weights_q, self.bias_scale)


@dataclass(frozen=True)
class Spec:
    """A microcontroller that runs the generated code: its numbers, and whose rules they follow."""

    number: Number
    compat: str | None = None

    @property
    def name(self) -> str:
        """For reports and messages."""
        return f"a microcontroller ({self.number.name})"


def number_of(quantize: str, long_width: int | None = None) -> Number:
    """The numbers that a name stands for.

    Args:
        quantize: `"float32"`, `"int16"` (sums of 32 bits) or `"int8"` (sums of 16 bits).
        long_width: Other width of the sums, 8, 16 or 32 bits. The simulation has no integers of 64.

    Raises:
        ValueError: An unknown name, or a width that C does not have or that is too narrow.

    Example:
        >>> from neurojax.chips.mcu import number_of
        >>> number_of("int8", long_width=32)
        Number(name='int8', bits=8, long_bits=32)
    """
    if not isinstance(quantize, str) or quantize not in NUMBERS:
        raise ValueError(f"mcu: quantize is {quantize!r}; use one of {', '.join(NUMBERS)}")
    number = NUMBERS[quantize]
    if long_width is None:
        return number
    legal = [width for width in WIDTHS if width >= number.bits]
    if long_width not in legal:
        text = " or ".join(map(str, legal))
        why = " (wider ones are not simulated)" if long_width == 64 else ""
        raise ValueError(
            f"mcu: long_width is {long_width!r}; sums of {quantize} have {text} bits{why}, "
            f"by default {number.long_bits}"
        )
    return number._replace(long_bits=int(long_width))
