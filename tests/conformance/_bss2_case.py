"""What the comparisons with recordings of hxtorch share: cases, tolerances, results."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

import neurojax as nj
from tests.conformance._result import Result, compare

EXACT, TRACE, GRADIENT = 0.0, 1e-5, 1e-4
"""Relative tolerances."""


class Case(NamedTuple):
    """One recorded case."""

    group: str  # name of its file
    name: str
    about: dict[str, Any]  # its description
    arrays: dict[str, np.ndarray]

    def has(self, *names: str) -> bool:
        """Whether there are arrays of all these names."""
        return all(name in self.arrays for name in names)


def cases(directory: Path, area: str) -> Iterator[Case]:
    """The cases of all files whose description says that they are of this area."""
    for path in sorted(directory.glob("*.json")):
        description = json.loads(path.read_text())
        if not str(description.get("area", "")).startswith(area):
            continue
        with np.load(path.with_suffix(".npz")) as stored:
            arrays = dict(stored)
        for name, about in description["cases"].items():
            mine = {
                key.removeprefix(f"{name}/"): value
                for key, value in arrays.items()
                if key.startswith(f"{name}/")
            }
            yield Case(path.stem, name, about, mine)


def result_of(
    case: Case, pairs: dict[str, tuple[Any, Any, float]], expectation: str = ""
) -> Result:
    """A result from (ours, recorded, relative tolerance) by what it is."""
    found = [
        compare(what, recorded, ours, rtol=rtol) for what, (ours, recorded, rtol) in pairs.items()
    ]
    difference = next((text for _, text in found if text), "")
    error = max((error for error, _ in found), default=0.0)
    return Result(case.group, case.name, not difference, error, difference, expectation)


def loss_terms(case: Case) -> list[tuple[str, str]]:
    """Pairs (what, cotangent) whose products the recorded loss adds up."""
    text = case.about.get("loss")
    if text is not None:
        return re.findall(r"sum\((\w+)\*(\w+)\)", text)
    usual = [("spikes", "cot_z"), ("membrane", "cot_v"), ("current", "cot_i")]
    return [(what, cotangent) for what, cotangent in usual if cotangent in case.arrays]


class Masked(nj.layers.BatchDropout):
    """Dropout with a given mask in place of a drawn one."""

    given: jax.Array

    def __init__(self, rate: float, given: jax.Array) -> None:
        super().__init__(rate)
        self.given = given

    def mask(self, shape: tuple[int, ...]) -> jax.Array:
        return self.given
