"""BrainScaleS-2: recordings of hxtorch and jaxsnn.

Every module `_bss2_*` that has a `run(directory)` compares the recordings that it knows by what
their descriptions say. Its results name the file (without ending) as their group, and the case.
What no module has compared is listed here.
"""

import functools as ft
import importlib
import json
from collections.abc import Iterator
from pathlib import Path

from tests.conformance._result import Result, attempt, not_covered


def run(directory: Path) -> Iterator[Result]:
    """Every case of a directory of recordings."""
    compared = set()
    for path in sorted(Path(__file__).parent.glob("_bss2_*.py")):
        part = importlib.import_module(f"tests.conformance.{path.stem}")
        if not hasattr(part, "run"):
            continue
        for result in attempt(path.stem, "all", ft.partial(part.run, directory)):
            compared.add((result.group, result.case))
            yield result
    for path in sorted(directory.glob("*.json")):
        description = json.loads(path.read_text())
        cases = description.get("cases")
        if cases is None and not any(group == path.stem for group, _ in compared):
            yield not_covered(path.stem, "all", "no comparison knows this file")
        for case in cases or {}:
            if (path.stem, case) not in compared:
                yield not_covered(path.stem, case, "no comparison knows a case of this form")
