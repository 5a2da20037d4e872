"""What comparing with a recording gives, and how two arrays are compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

QUICK = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,  # these alone take two thirds of the time to compile
}
"""Options of `jax.jit` for what is compiled to run once."""


class Result(NamedTuple):
    """Outcome of one recorded case.

    `expectation` names a documented defect of the recorded software that the case shows; `equal`
    then says that the recording shows just this defect. A case that can't be compared yet is not
    `covered`, and `expectation` says why; it is listed, and does not count as a difference.
    """

    group: str
    case: str
    equal: bool
    error: float
    difference: str = ""
    expectation: str = ""
    covered: bool = True


class NotCovered(Exception):
    """The recording shows something that can't be compared."""


def not_covered(group: str, case: str, why: str) -> Result:
    """A case that says why it can't be compared."""
    return Result(group, case, False, 0.0, expectation=why, covered=False)


def attempt(group: str, case: str, results: Callable[[], Iterable[Result]]) -> Iterator[Result]:
    """The results; if they can't be computed, one more that says why. The other cases go on."""
    try:
        yield from results()
    except Exception as error:  # whatever a recording may hold
        yield Result(group, case, False, np.inf, f"can't be compared: {in_words(error)}")


def in_words(error: Exception) -> str:
    """An exception in a line."""
    if isinstance(error, KeyError):
        return f"there is no {error}"
    return f"{type(error).__name__}: {error}"


def compare(
    name: str, recorded: Any, got: Any, *, atol: float = 0.0, rtol: float = 0.0
) -> tuple[float, str]:
    """Largest absolute error, and the first difference in words ("" if there is none).

    Args:
        name: What is compared ("spikes", "v").
        recorded, got: The arrays; `[time, batch, *neurons]` if they have three axes or more.
        atol: Absolute tolerance; 0 (and rtol 0) compares with ==.
        rtol: Tolerance relative to the largest recorded magnitude.
    """
    recorded, got = np.asarray(recorded), np.asarray(got)
    if recorded.shape != got.shape:
        return np.inf, f"{name}: recorded shape {recorded.shape}, got shape {got.shape}"
    if recorded.size == 0:
        return 0.0, ""
    a, b = recorded.astype(np.float64), got.astype(np.float64)
    with np.errstate(invalid="ignore"):
        error = np.abs(a - b)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    error = np.where(same, 0.0, np.where(np.isnan(error), np.inf, error))
    finite = np.abs(a[np.isfinite(a)])
    tolerance = atol + rtol * (finite.max() if finite.size else 0.0)
    largest = float(error.max())
    wrong = np.argwhere(error > tolerance)
    if not len(wrong):
        return largest, ""
    at = tuple(wrong[0])
    # As in "spikes differ", "v differs".
    verb = "differ" if name.endswith("s") else "differs"
    place = _place(at, recorded.ndim)
    values = f"recorded {_text(recorded[at])}, got {_text(got[at])}"
    many = f" ({len(wrong)} of {recorded.size} entries differ)" if recorded.size > 1 else ""
    return largest, f"{name} {verb}{place}: {values}{many}"


def _place(at: tuple[int, ...], ndim: int) -> str:
    if ndim == 0:
        return ""
    if ndim < 3:
        return f" first at index {', '.join(str(i) for i in at)}"
    neuron = ", ".join(str(i) for i in at[2:])
    return f" first at t={at[0]}, batch {at[1]}, neuron {neuron}"


def _text(value: Any) -> str:
    return f"{float(value):.7g}"
