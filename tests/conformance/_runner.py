"""The command: finds the areas, runs them, prints a table, sets the exit code."""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.conformance._result import Result, attempt

KNOWN_AREAS = ("torch_neurons", "nir", "dynapcnn", "lava", "cri", "bss2", "qualia")

ALL_EQUAL, SOME_DIFFER, USAGE = 0, 1, 2


def covered_areas() -> list[str]:
    """Areas that have a runner: a module of their name in this package."""
    here = Path(__file__).parent
    return [area for area in KNOWN_AREAS if (here / f"{area}.py").exists()]


def run_area(area: str, directory: Path) -> list[Result]:
    """The results of all cases of an area. An area that breaks off is a case that differs."""
    module = importlib.import_module(f"tests.conformance.{area}")
    results = list(attempt(area, "all", lambda: module.run(directory)))
    return results or [Result(area, "all", False, np.inf, f"no cases found in {directory}")]


def main(arguments: Sequence[str] | None = None, console: Console | None = None) -> int:
    """Entry point of the command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--recordings", type=Path, required=True, help="folder with one per area")
    parser.add_argument("--area", help="only this area")
    options = parser.parse_args(arguments)
    console = console or Console(soft_wrap=True)

    present = [area for area in KNOWN_AREAS if (options.recordings / area).is_dir()]
    problem = _problem(options.recordings, options.area, present)
    if problem:
        console.print(f"error: {problem}", style="red", markup=False)
        return USAGE
    wanted = [options.area] if options.area else present
    covered = covered_areas()

    differ = False
    for area in wanted:
        if area not in covered:
            console.print(f"{area}: no runner yet", markup=False)
            continue
        start = time.perf_counter()
        results = run_area(area, options.recordings / area)
        differ |= not all(result.equal for result in results if result.covered)
        report(console, area, results, time.perf_counter() - start)
    return SOME_DIFFER if differ else ALL_EQUAL


def _problem(recordings: Path, area: str | None, present: Sequence[str]) -> str:
    """What is wrong with the arguments, in words, or ""."""
    known = ", ".join(KNOWN_AREAS)
    if not recordings.is_dir():
        return f"--recordings {recordings} is not a directory"
    if area is not None and area not in KNOWN_AREAS:
        return f"--area {area} is unknown; the areas are {known}"
    if area is not None and area not in present:
        return f"--area {area}: {recordings} has no folder {area}"
    if area is not None and area not in covered_areas():
        return f"--area {area}: no runner yet; there is one for {', '.join(covered_areas())}"
    if not present:
        return f"{recordings} holds no recordings; expected one of the folders {known}"
    return ""


def report(console: Console, area: str, results: Sequence[Result], seconds: float) -> None:
    """Prints a table of the groups, the first difference of each, what was expected or left out."""
    compared = [result for result in results if result.covered]
    equal = sum(result.equal for result in compared)
    console.print(f"{area}: {equal} of {len(compared)} equal, {seconds:.0f} s", style="bold")
    table = Table()
    table.add_column("group")
    for title in ("cases", "equal", "largest error"):
        table.add_column(title, justify="right")
    groups: dict[str, list[Result]] = {}
    for result in compared:
        groups.setdefault(result.group, []).append(result)
    differences = []
    for group, members in groups.items():
        first = next((result for result in members if not result.equal), None)
        if first is not None:
            differences.append(f"{group}/{first.case}: {first.difference or 'differs'}")
        table.add_row(
            escape(group),
            str(len(members)),
            str(sum(result.equal for result in members)),
            f"{max(result.error for result in members):.1e}",
            style=None if first is None else "red",
        )
    console.print(table)
    # Below the table, where a narrow terminal does not break the sentences into columns.
    for difference in differences:
        console.print(f"first difference in {difference}", markup=False, highlight=False)
    expected = [(r.expectation, r.case) for r in compared if r.expectation and r.equal]
    left_out = [(r.expectation, f"{r.group} {r.case}") for r in results if not r.covered]
    for title, pairs in (("expected of the peer", expected), ("not compared yet", left_out)):
        for reason in dict.fromkeys(reason for reason, _ in pairs):
            cases = ", ".join(case for other, case in pairs if other == reason)
            console.print(f"{title}: {reason} ({cases})", markup=False, highlight=False)
