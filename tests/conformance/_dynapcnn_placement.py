"""Placement: random tables of which layer fits which core, and the cores that sinabs chose."""

import functools as ft
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from neurojax.chips.dynapcnn import match
from tests.conformance._result import Result, attempt


def run(path: Path) -> Iterator[Result]:
    """`placement_<version>.json`."""
    for i, case in enumerate(json.loads(path.read_text())["cases"]):
        yield from attempt(path.stem, str(i), ft.partial(_placement, path.stem, str(i), case))


def _placement(group: str, name: str, case: dict[str, Any]) -> Iterator[Result]:
    ours, recorded = match(case["candidates"]), case["mapping"]
    if recorded and isinstance(recorded[0], list):  # pairs (layer, core)
        recorded = [core for _, core in sorted(recorded)]
    ours = None if None in ours else ours
    text = "" if ours == recorded else f"cores {ours}, recorded {recorded}"
    yield Result(group, name, ours == recorded, float(ours != recorded), text)
