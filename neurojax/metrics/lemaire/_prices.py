"""What one operation and one memory access cost, in pJ, by the width of the data.

Operations: integer additions and multiplications in 45 nm at 8 and 32 bits (Horowitz, ISSCC 2014),
extended to other widths in one of four ways. Memory: a straight line through three caches of the
same paper, or a bus of 64 bits with a fixed price of an access.

References:
    M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014.
    E. Lemaire, L. Cordone, A. Castagnetti, P.-E. Novac, J. Courtois and B. Miramond, "An
    analytical estimation of spiking neural networks energy efficiency", ICONIP 2022,
    https://arxiv.org/abs/2210.13107.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

ENERGY_VALUES: dict[int, dict[str, float]] = {
    8: {"add": 0.03, "mul": 0.2},
    32: {"add": 0.1, "mul": 3.1},
}
"""Energy of an integer operation in pJ by width: Horowitz 2014, 45 nm."""

OPERATIONS = ("ICONIP", "saturation", "linear", "quadratic")
MEMORIES = ("old", "new")
MAX_WIDTH = 64  # width of the bus of the memory model "new", and of every integer in question

CACHE_SLOPE = 1.09 * 10**-5  # pJ a bit held; through (8 kB, 10 pJ), (32 kB, 20), (1 MB, 100)
CACHE_OFFSET = 13.2  # pJ
BUS_WIDTH = 64  # bits
BUS_ACCESS = 10.0  # pJ


class Prices(NamedTuple):
    """Energies of one operation and of one access, in pJ."""

    add: float
    mul: float
    width: int  # of every value in memory, in bits
    bus: bool = False  # the memory model "new"

    @property
    def mac(self) -> float:
        """A multiplication and an addition."""
        return self.mul + self.add

    def ram(self, values: int) -> float:
        """One access of a memory that holds a number of values."""
        if self.bus:
            return BUS_ACCESS / (BUS_WIDTH // self.width)
        return CACHE_SLOPE * values * self.width + CACHE_OFFSET


def prices(
    mem_width: int,
    *,
    op_estimation_type: Mapping[str, str] | str | None = None,
    sram_estimation_type: str | None = None,
    energy_values: Mapping[int, Mapping[str, float]] = ENERGY_VALUES,
    single_precision: bool = False,
) -> Prices:
    """The prices for one width.

    Args:
        mem_width: Width of weights, membranes, inputs and outputs in bits.
        op_estimation_type: How energies of 8 and 32 bits become those of `mem_width`, for both
            operations or as `{"add": ..., "mul": ...}`: `"ICONIP"` takes 32 bits whatever the
            width, `"saturation"` the next of the two widths above, `"linear"` the line through
            both, `"quadratic"` the parabola through both and zero. None: the value of 8 bits at
            width 8, else that of 32.
        sram_estimation_type: `"old"` (or None): an access costs more in a larger memory, see
            `Prices.ram`. `"new"`: 10 pJ an access of a bus of 64 bits, shared by the values that
            fit on it side by side.
        energy_values: pJ of `"add"` and `"mul"` at 8 and at 32 bits.
        single_precision: Compute the parabola in single precision, let an operation cost less
            than nothing (as the line for multiplications does below 7 bits), and take any width
            for the memory "old": what the Qualia plug-in does.

    Raises:
        ValueError: Width or types that the models don't know.
    """
    memory = _choice("sram_estimation_type", sram_estimation_type or "old", MEMORIES)
    width = _width(mem_width, unlimited=single_precision and memory == "old")
    types = _types(op_estimation_type)
    _check_values(energy_values)
    cost = {
        op: _operation(
            op, width, types[op], energy_values[8][op], energy_values[32][op], single_precision
        )
        for op in ("add", "mul")
    }
    for op, energy in cost.items():
        if energy < 0 and not single_precision:
            raise ValueError(
                f"op_estimation_type: at mem_width={width} the line for '{op}' gives {energy:.3g} "
                "pJ, less than nothing; use 'saturation' or 'quadratic', or a width of 7 or more"
            )
    return Prices(cost["add"], cost["mul"], width, bus=memory == "new")


def _width(mem_width: Any, *, unlimited: bool) -> int:
    try:
        width = operator.index(mem_width)
    except TypeError:
        raise TypeError(
            f"mem_width is {mem_width!r}; it must be a number of bits, 1 to {MAX_WIDTH}"
        ) from None
    if not (unlimited and width >= 0) and not 1 <= width <= MAX_WIDTH:
        raise ValueError(
            f"mem_width is {width}; it must be 1 to {MAX_WIDTH} bits, the width of the memory's bus"
        )
    return width


def _types(given: Mapping[str, str] | str | None) -> dict[str, str | None]:
    """The estimation of each operation, checked."""
    if given is None:
        return {"add": None, "mul": None}
    if isinstance(given, str):
        given = {"add": given, "mul": given}
    if set(given) != {"add", "mul"}:
        raise ValueError(
            f"op_estimation_type has the keys {sorted(given)}; it must have 'add' and 'mul', each "
            f"one of {', '.join(OPERATIONS)}"
        )
    return {
        op: _choice(f"op_estimation_type: '{op}'", given[op], OPERATIONS) for op in ("add", "mul")
    }


def _check_values(given: Mapping[int, Mapping[str, float]]) -> None:
    """Raise ValueError unless there is an energy for both operations at both widths."""
    for width in (8, 32):
        for op in ("add", "mul"):
            value = given.get(width, {}).get(op)
            if value is None or not value >= 0:
                raise ValueError(
                    f"energy_values[{width}]['{op}'] is {value}; it must be an energy in pJ, 0 or "
                    "more, as in {8: {'add': 0.03, 'mul': 0.2}, 32: {'add': 0.1, 'mul': 3.1}}"
                )


def _choice(name: str, value: Any, legal: tuple[str, ...]) -> str:
    if value not in legal:
        raise ValueError(f"{name} is {value!r}; it must be one of {', '.join(map(repr, legal))}")
    return value


def _operation(
    op: str, width: int, kind: str | None, y8: float, y32: float, single_precision: bool
) -> float:
    """Energy of one operation of some width from those at 8 and at 32 bits."""
    if kind is None:
        return y8 if width == 8 else y32
    if kind == "ICONIP":
        return y32
    if kind == "saturation":
        if width > 32:
            raise ValueError(
                f"op_estimation_type: '{op}' is 'saturation', which knows up to 32 bits, but "
                f"mem_width is {width}; use 'linear' or 'quadratic'"
            )
        return y8 if width <= 8 else y32
    if kind == "linear":
        slope = (y32 - y8) / 24
        return slope * width + (y8 - 8 * slope)
    if single_precision:
        # The result stays in single precision too, and with it whatever is multiplied by it.
        widths = np.array([0, 8, 32], np.float32)
        square, slope, offset = np.linalg.solve(
            np.stack([widths**2, widths, np.ones(3, np.float32)], 1),
            np.array([0, y8, y32], np.float32),
        )
        return square * width**2 + slope * width + offset
    square = (y32 / 32 - y8 / 8) / 24
    return square * width**2 + (y8 / 8 - 8 * square) * width
