"""A number with the range in which it lies, as far as that is known."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

PREFIXES = ((1.0, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"))


@dataclass(frozen=True)
class Estimate:
    """A quantity that is not negative, in SI units.

    Attributes:
        value: The best guess; None if there is none, as where a constant is not known.
        low: It is not less than this; None if unknown.
        high: It is not more than this; None if unknown.

    Example:
        >>> from neurojax.metrics import Estimate
        >>> print((Estimate(2e-9, 1e-9, 3e-9) + Estimate.exact(1e-9)).text("J"))
        3 nJ (2 to 4)
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @classmethod
    def exact(cls, value: float) -> Estimate:
        """A number that is known, such as a count."""
        return cls(float(value), float(value), float(value))

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            *(
                None if mine is None or others is None else mine + others
                for mine, others in zip(self._numbers, other._numbers, strict=True)
            )
        )

    def __mul__(self, other: Estimate | float) -> Estimate:
        factor = other if isinstance(other, Estimate) else Estimate.exact(other)
        return Estimate(
            *(_product(a, b) for a, b in zip(self._numbers, factor._numbers, strict=True))
        )

    @property
    def _numbers(self) -> tuple[float | None, float | None, float | None]:
        return self.value, self.low, self.high

    def text(self, unit: str) -> str:
        """`"3 nJ (2 to 4)"`; without a range, or with one bound only, it says so."""
        shown = next((x for x in (self.value, self.low, self.high) if x), 0.0)
        factor, prefix = next(
            (p for p in PREFIXES if abs(shown) >= p[0] * 0.9995), PREFIXES[-1] if shown else (1, "")
        )

        def number(x: float) -> str:
            return f"{x / factor:,.0f}" if x / factor >= 1000 else f"{x / factor:.3g}"

        unit = f"{prefix}{unit}"
        if self.value is None:
            if self.low is None:
                return "unknown" if self.high is None else f"at most {number(self.high)} {unit}"
            upper = "" if self.high is None else f" and at most {number(self.high)} {unit}"
            return f"at least {number(self.low)} {unit}{upper}"
        text = f"{number(self.value)} {unit}"
        if self.low is None and self.high is None:
            return f"{text} (range unknown)" if self.value else text
        if self.low == self.high:
            return text
        if self.high is None:
            below = self.low == self.value
            return f"at least {text}" if below else f"{text} (from {number(self.low or 0.0)})"
        if self.low is None:
            above = self.high == self.value
            return f"at most {text}" if above else f"{text} (to {number(self.high)})"
        return f"{text} ({number(self.low)} to {number(self.high)})"


def total(estimates: Iterable[Estimate]) -> Estimate:
    """Their sum: known where all of them are."""
    return sum(estimates, Estimate.exact(0.0))


def _product(a: float | None, b: float | None) -> float | None:
    """Nothing times anything is nothing, also where one of the two is not known."""
    if a == 0 or b == 0:
        return 0.0
    return None if a is None or b is None else a * b
