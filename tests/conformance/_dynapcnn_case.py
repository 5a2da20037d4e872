"""What the comparisons with recordings of sinabs share: texts, results, files."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import CoreSpec, spec
from tests.conformance._result import Result, compare
from tests.conformance._torch_text import Module

KILLS = "min_v_mem=None takes part in the scale as -32768 and kills the weights"
ZERO = "sinabs lets a threshold round to 0, which is refused"
IGNORES = (
    "sinabs accepts groups, dilation and padded pools, which are not in its configuration of the "
    "chip; they are refused"
)
NO_EPS = "sinabs folds batch norm without its eps"
MEANS = "sinabs takes half the mean of the factors of average pools that meet at a merge"


class NotCovered(Exception):
    """The recording shows something that can't be compared."""


def not_covered(group: str, case: str, why: str) -> Result:
    """A case that says why it can't be compared."""
    return Result(group, case, False, 0.0, expectation=why, covered=False)


def result_of(
    group: str, case: str, pairs: dict[str, tuple[Any, Any]], expectation: str = ""
) -> Result:
    """A result from pairs (ours, recorded) of numbers or arrays, compared with ==."""
    found = [compare(what, recorded, ours) for what, (ours, recorded) in pairs.items()]
    difference = next((text for _, text in found if text), "")
    error = max((error for error, _ in found), default=0.0)
    return Result(group, case, not difference, error, difference, expectation)


def refused(group: str, case: str, error: MappingError, expectation: str) -> Result:
    """Equal if there is a reason to expect that we refuse what sinabs accepts."""
    return Result(group, case, bool(expectation), 0.0, f"refused: {error}", expectation)


def first_difference(ours: Any, recorded: Any, where: str = "") -> str:
    """Where two trees of dicts, lists and values differ first, or ""."""
    if isinstance(ours, dict) and isinstance(recorded, dict):
        for key in sorted({*ours, *recorded}):
            if key not in ours or key not in recorded:
                return f"{where}.{key} is only in the {'recording' if key in recorded else 'ours'}"
            found = first_difference(ours[key], recorded[key], f"{where}.{key}")
            if found:
                return found
    elif isinstance(ours, list) and isinstance(recorded, list):
        if len(ours) != len(recorded):
            return f"{where} has {len(ours)} entries, recorded {len(recorded)}"
        for i, (a, b) in enumerate(zip(ours, recorded, strict=True)):
            found = first_difference(a, b, f"{where}[{i}]")
            if found:
                return found
    elif ours != recorded or type(ours) is not type(recorded):
        return f"{where} is {ours!r}, recorded {recorded!r}"
    return ""


def load(path: Path) -> dict[str, np.ndarray]:
    """The arrays that belong to a description."""
    with np.load(path.with_suffix(".npz")) as stored:
        return dict(stored)


def in_order(entries: dict[str, Any]) -> list[str]:
    """Keys of what was recorded of each layer, in the order of the layers."""
    return sorted(entries, key=int)


def leaves(module: Module, prefix: str = "") -> Iterator[tuple[str, Module]]:
    """The layers of a module with their paths, in the order in which they are printed."""
    for child in module.children:
        path = f"{prefix}{child.name}"
        if child.children and child.kind != "DVSLayer":
            yield from leaves(child, f"{path}.")
        else:
            yield path, child


def is_ignored(module: Module) -> bool:
    """Whether a module has an option that sinabs leaves out of what it computes or writes."""
    option, pool = module.options, "Pool" in module.kind
    values = lambda name: set(np.ravel(option.get(name, 0)).tolist())  # noqa: E731
    return (
        option.get("groups", 1) != 1
        or not values("dilation") <= {0, 1}
        or (pool and values("padding") != {0})
    )


_BIG = 1 << 30
UNLIMITED = dataclasses.replace(
    spec("speck2fmodule"),
    name="speck2fmodule without limits",
    cores=(CoreSpec(_BIG, _BIG, _BIG),) * 64,
    max_input_size=_BIG,
    max_neuron_size=_BIG,
    max_features=_BIG,
    max_kernel=_BIG,
    strides=tuple(range(1, 257)),
    max_padding=_BIG,
    poolings=tuple(range(1, 257)),
)
"""The simulation of sinabs knows no limits."""
