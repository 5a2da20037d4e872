"""Arrows of import point one way: the library knows neither importers nor exporters."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What the modules of a folder must not import. Applications (the demo) stand on top of everything.
FORBIDDEN = {
    "neurojax": ("neurojax.converters", "neurojax.hardware"),
    "neurojax/layers": ("neurojax.neurons", "neurojax.chips", "neurojax.train"),
    "neurojax/neurons": ("neurojax.layers", "neurojax.chips", "neurojax.train"),
    "neurojax/chips": ("neurojax.train", "neurojax.datasets", "neurojax.plot"),
    "converters": ("neurojax.hardware",),
    "hardware": ("neurojax.converters",),
}
APPLICATIONS = ("neurojax/demo",)


def imports(path: Path) -> set[str]:
    """Absolute names of all that a file imports."""
    found = set()
    package = ["neurojax", *path.relative_to(ROOT).parts[:-1]]
    package = package[1:] if package[1] == "neurojax" else package
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {module} | {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        if not str(path.relative_to(ROOT)).startswith(APPLICATIONS)
        for name in sorted(imports(path))
        if name.startswith(FORBIDDEN[folder])
    ]
    assert wrong == []


def test_optional_packages_are_imported_late():
    """`import neurojax` works with the core dependencies alone."""
    optional = {"matplotlib", "sklearn", "torch", "tonic", "flax", "nir", "samna", "orbax"}
    for path in (ROOT / "neurojax").rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for node in body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            late = {name.split(".")[0] for name in names} & optional
            assert not late, f"{path.relative_to(ROOT)} imports {late} at module level"
