"""The page on training runs as it stands."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/training.md"


def test_page_runs():
    pytest.importorskip("sklearn")
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) > 5
    namespace = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/training.md, example {number}", "exec"), namespace)
