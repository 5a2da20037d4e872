"""Every example in a docstring runs, and says the truth.

pytest's own --doctest-modules would import converters/ and hardware/ under their folder names; here
they are imported as users see them.
"""

import doctest
import importlib
from pathlib import Path

import pytest

PACKAGES = ("neurojax", "neurojax.converters", "neurojax.hardware")


def _examples_by_module() -> dict[str, int]:
    """Name of each module -> how many prompts its source shows."""
    found = {}
    for package in PACKAGES:
        folder = Path(importlib.import_module(package).__file__).parent
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            name = ".".join((package, *parts)).removesuffix(".__init__")
            lines = path.read_text(encoding="utf-8").splitlines()
            found[name] = sum(line.lstrip().startswith(">>> ") for line in lines)
    return {name: prompts for name, prompts in found.items() if prompts}


EXAMPLES = _examples_by_module()


@pytest.mark.parametrize("name", EXAMPLES)
def test_doctests(name: str):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(
        optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.FAIL_FAST
    )
    report: list[str] = []
    for test in finder.find(module):
        runner.run(test, out=report.append)
    assert runner.failures == 0, "".join(report)
    # An object that doctest cannot see through (a wrapper that hides its docstring) is an example
    # nobody runs.
    assert runner.tries == EXAMPLES[name]
