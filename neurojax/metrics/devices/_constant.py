"""A number about a device, and where it comes from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

from neurojax.metrics.devices._estimate import PREFIXES, Estimate

Kind = Literal["measured", "simulated", "estimated", "unknown"]
UNITS = {f"{prefix}{unit}": factor for unit in "JWs" for factor, prefix in PREFIXES}
UNITS |= {f"u{unit}": 1e-6 for unit in "JWs"}


@dataclass(frozen=True)
class Constant:
    """A number about a device, and where it comes from.

    Attributes:
        value: The number; None if nobody has published one.
        unit: `"J"`, `"W"` or `"s"`, with a prefix from f to m, as in `"pJ"`.
        source: Who says so.
        node: The technology, as in `"14 nm"`; empty if unknown.
        kind: `"measured"` on silicon, `"simulated"` before there was any, `"estimated"` by a rule
            or a fit, or `"unknown"`.
        uncertainty: What it may be off by: a share of the value (0.1: a tenth up or down), or the
            lowest and the highest value, either of which may be None; None if unknown.

    Raises:
        ValueError: A negative value, an unknown unit or kind, no source, or a range that does not
            hold the value.

    Example:
        >>> from neurojax.metrics import Constant
        >>> odin = Constant(12.7, "pJ", "arXiv:1804.07858", node="28 nm", kind="measured")
        >>> odin.text
        '12.7 pJ (range unknown)'
        >>> Constant(10.0, "nJ", "my measurement", kind="measured", uncertainty=0.2).estimate.low
        8e-09
    """

    value: float | None
    unit: str
    source: str
    node: str = ""
    kind: Kind = "unknown"
    uncertainty: float | tuple[float | None, float | None] | None = None

    def __post_init__(self) -> None:
        if self.value is not None and not 0 <= self.value < math.inf:
            raise ValueError(f"Constant: value is {self.value}; give a finite number >= 0, or None")
        if self.unit not in UNITS:
            raise ValueError(f"Constant: unit is {self.unit!r}; use J, W or s with a prefix: pJ")
        if self.kind not in get_args(Kind):
            raise ValueError(f"Constant: kind is {self.kind!r}; use one of {get_args(Kind)}")
        if not self.source:
            raise ValueError("Constant: no source; say where the number comes from")
        low, high = self._range()
        value = self.value
        fits = (low is None or value is None or 0 <= low <= value) and (
            high is None or value is None or value <= high < math.inf
        )
        if not fits:
            raise ValueError(
                f"Constant: uncertainty is {self.uncertainty}, a range that does not hold the "
                f"value {value}; give a share from 0 to 1, or (lowest, highest)"
            )

    def _range(self) -> tuple[float | None, float | None]:
        if self.uncertainty is None:
            # No energy and no time is negative: so much is known of any.
            return (0.0, None) if self.value is None else (None, None)
        if isinstance(self.uncertainty, tuple):
            return self.uncertainty
        value = self.value or 0.0
        return value * (1 - self.uncertainty), value * (1 + self.uncertainty)

    @property
    def si(self) -> float | None:
        """The value in joules, watts or seconds."""
        return None if self.value is None else self.value * UNITS[self.unit]

    @property
    def estimate(self) -> Estimate:
        """The value and its range, in joules, watts or seconds."""
        numbers = (self.value, *self._range())
        return Estimate(*(None if x is None else x * UNITS[self.unit] for x in numbers))

    @property
    def text(self) -> str:
        """The number with its range."""
        return self.estimate.text(self.unit[-1])
