"""How the numbers of a network are written in C: types, products, and the header with both."""

from __future__ import annotations

import re

from neurojax.chips.mcu import Number
from neurojax.hardware.c._text import fill, template

ROUND_MODES = {"floor": "ROUND_MODE_FLOOR", "nearest": "ROUND_MODE_NEAREST"}


def types(number: Number) -> dict[str, object]:
    """The places in templates that say how wide the numbers are."""
    if number.real:
        return {"number_t": "float", "long_t": "float", "sum_t": "float", "bits": 0, "long": 0}
    return {
        "number_t": f"int{number.bits}_t",
        "long_t": f"int{number.long_bits}_t",
        "sum_t": "uint32_t",  # wraps, and never is an int, whose overflow is undefined
        "bits": number.bits,
        "long": number.long_bits,
    }


def with_products(text: str, number: Number) -> str:
    """A template with its products, `@a * b@`, in the numbers' arithmetic."""
    product = r"\1 * \2" if number.real else r"(uint32_t)((int32_t)\1 * (int32_t)\2)"
    return re.sub(r"@([^@\n]+) \* ([^@\n]+)@", product, text)


def number_header(number: Number) -> str:
    """The header `number.h`: sums that wrap, shifts, saturation."""
    text = template("number.h")
    if number.real:
        return text
    low, high = number.limits
    values = types(number) | {
        "mask": f"0x{(1 << number.long_bits) - 1:X}",
        "max": f"0x{number.long_limits[1]:X}",
        "low": low,
        "high": high,
        "clamped": "x < @low@ ? @low@ : x > @high@ ? @high@ : x",
    }
    if number.bits == number.long_bits:
        values["clamped"] = "x"
    return fill(text + "\n" + template("long.h") + "\n" + template("store.h"), values)
