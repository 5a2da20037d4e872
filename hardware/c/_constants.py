"""Constants of a layer: arrays and numbers in flash, scales inside of its functions."""

from __future__ import annotations

import numpy as np

from neurojax.chips.mcu import Number
from neurojax.hardware.c._text import integer_array, real, real_array


class Constants:
    """Constants of a layer, as they are added.

    Attributes:
        parts: Text of each.
        bytes: Of all of them.
    """

    def __init__(self, name: str, number: Number) -> None:
        self.name, self.number = name, number
        self.bytes = 0
        self.parts: list[str] = []

    def array(self, suffix: str, values: np.ndarray, row: int) -> None:
        """Add parameters, of which `row` belong together."""
        name = f"{self.name}_{suffix}"
        if self.number.real:
            self.parts.append(real_array("float", name, values, row))
        else:
            self.parts.append(integer_array(f"int{self.number.bits}_t", name, values, row))
        self.bytes += values.size * self.number.bytes

    def index(self, values: np.ndarray) -> None:
        """Add a table of places in an array."""
        bits = 16 if values.max(initial=0) < 1 << 16 else 32
        self.parts.append(integer_array(f"uint{bits}_t", f"{self.name}_index", values, 16))
        self.bytes += values.size * bits // 8

    def scalar(self, suffix: str, value: int | float) -> None:
        """Add one parameter."""
        kind = "float" if self.number.real else f"int{self.number.bits}_t"
        self.parts.append(f"static const {kind} {self.name}_{suffix} = {self.literal(value)};")
        self.bytes += self.number.bytes

    def literal(self, value: int | float) -> str:
        """A number in the text of a function."""
        return real(value) if self.number.real else str(int(value))


def enum(scales: dict[str, int], rounding: bool = False) -> str:
    """Constants of a function, and perhaps how it rounds."""
    parts = [f"{name} = {q}" for name, q in scales.items()]
    return "enum { " + ", ".join(parts + ["ROUND = @rounding@"] * rounding) + " };"
