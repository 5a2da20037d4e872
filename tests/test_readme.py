"""What the documentation shows works: the examples of every page run, and links lead somewhere."""

import doctest
import re
import subprocess
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_IGNORED = {".venv", "build", "dist", "runs", "node_modules", ".git"}
PAGES = [
    path
    for path in sorted(ROOT.rglob("*.md"))
    if not (_IGNORED & set(path.relative_to(ROOT).parts) or ".egg-info" in str(path))
]


def _without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)


def _anchors(text: str) -> set[str]:
    """The anchors GitHub makes of a page's headings."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _examples(page: Path) -> list[str]:
    """Blocks of python, without sessions of the interpreter, which are run as doctests."""
    return re.findall(
        r"^```python\n(?!>>>)(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE
    )


@pytest.mark.parametrize(
    "page", [p for p in PAGES if _examples(p)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_examples_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All python blocks of a page in order, in one namespace, as a reader would type them."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {"__name__": "__main__"}
    # Norse's own, at its import.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
    for number, block in enumerate(_examples(page), 1):
        exec(compile(block, f"{page.name}, example {number}", "exec"), namespace)


@pytest.mark.parametrize(
    "page",
    [p for p in PAGES if ">>> " in p.read_text()],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_sessions_say_the_truth(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """What the interpreter's sessions on a page print is what they show; fences end them."""
    monkeypatch.chdir(tmp_path)
    text = re.sub(r"^```.*$", "", page.read_text(), flags=re.MULTILINE)
    session = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert doctest.DocTestRunner().run(session).failed == 0


def test_readme_has_an_example():
    assert _examples(ROOT / "README.md")


def test_commands_shown_are_targets():
    """Every `make ...` in the code of the two pages is a target."""
    text = "\n".join((ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md"))
    shown = re.findall(r"(?:^    |`)make ((?:[a-z]+\b ?)+)", text, flags=re.MULTILINE)
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert {target for line in shown for target in line.split()} <= targets
    assert len(shown) >= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_resolve(page: Path):
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", _without_code(text))
    links += re.findall(r"<(?:img|a)[^>]+(?:src|href)=\"([^\"]+)\"", text)
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path) if path else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in _anchors(target.read_text())
        ):
            broken.append(link)
    assert not broken, f"{page.name} links to what does not exist: {broken}"


def test_help_lists_every_target():
    listed = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony is not None
    assert set(phony[1].split()) == {line.split()[0] for line in listed.splitlines()}
