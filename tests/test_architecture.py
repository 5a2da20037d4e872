"""Arrows of import point one way: the library knows neither importers nor exporters."""

import ast
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

ROOT = Path(__file__).parent.parent

# What the modules of a folder must not import. Applications (the demo, the exchange of files, the
# class of sinabs that imports, maps and configures) stand on top of everything.
FORBIDDEN = {
    "neurojax": ("neurojax.converters", "neurojax.hardware"),
    "neurojax/layers": ("neurojax.neurons", "neurojax.chips", "neurojax.train", "neurojax.metrics"),
    "neurojax/neurons": ("neurojax.layers", "neurojax.chips", "neurojax.train", "neurojax.metrics"),
    "neurojax/chips": ("neurojax.train", "neurojax.datasets", "neurojax.plot", "neurojax.metrics"),
    "neurojax/train": ("neurojax.metrics", "neurojax.plot"),
    "neurojax/metrics": ("neurojax.plot",),
    "converters": ("neurojax.hardware",),
    "hardware": ("neurojax.converters",),
}
APPLICATIONS = ("neurojax/demo", "neurojax/exchange.py", "converters/dynapcnn.py")


def name_of(path: Path) -> str:
    """The name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts if parts[0] == "neurojax" else ("neurojax", *parts))


def imports(path: Path, name: str) -> set[str]:
    """Absolute names of all that the file of a module imports."""
    found = set()
    package = name.split(".")[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*parents, *([node.module] if node.module else [])])
            found |= {f"{module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder):
    files = list((ROOT / folder).rglob("*.py"))
    assert files
    wrong = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in files
        if not str(path.relative_to(ROOT)).startswith(APPLICATIONS)
        for name in sorted(imports(path, name_of(path)))
        if name.startswith(FORBIDDEN[folder])
    ]
    assert wrong == []


def circles(files: dict[str, Path]) -> list[list[str]]:
    """Modules that import each other, late imports included.

    A name that a package re-exports counts as imported from the module that defines it: importing
    any submodule runs its package's `__init__`, so that alone is no dependence.
    """
    sources = {name.removesuffix(".__init__"): path for name, path in files.items()}
    imported = {name.removesuffix(".__init__"): imports(path, name) for name, path in files.items()}
    reexports = {
        f"{package}.{alias.asname or alias.name}": f"{node.module}.{alias.name}"
        for package, path in sources.items()
        if path.name == "__init__.py"
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    def module(name: str) -> str | None:
        """The module that an imported name stands for or is defined in."""
        while name not in sources:
            if name in reexports:
                name = reexports[name]
            elif "." in name:
                name = name.rpartition(".")[0]
            else:
                return None
        return name

    index = {name: number for number, name in enumerate(sources)}
    graph = np.zeros((len(index), len(index)), bool)
    for name, found in imported.items():
        for other in found:
            if (target := module(other)) is not None and target != name:
                graph[index[name], index[target]] = True
    count, labels = connected_components(graph, connection="strong")
    groups = [[n for n in index if labels[index[n]] == label] for label in range(count)]
    return [group for group in groups if len(group) > 1]


def test_no_module_imports_itself_by_way_of_others():
    files = {
        name_of(path): path
        for folder in ("neurojax", "converters", "hardware")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert len(files) > 100
    assert circles(files) == []


def test_circles_are_found(tmp_path):
    """Also late ones, and ones that go through a package's re-exports."""
    texts = {
        "p.__init__": "from p.a import f as f",
        "p.a": "def f():\n    from p.b import g",
        "p.b": "import p.c\nimport numpy",
        "p.c": "from p import f",
        "p.d": "from p import f\nfrom p.b import g",
    }
    files = {}
    for name, text in texts.items():
        files[name] = tmp_path / f"{name.rpartition('.')[2]}.py"
        files[name].write_text(text)
    assert circles(files) == [["p.a", "p.b", "p.c"]]


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
