"""The built wheel holds every file of the three folders, under one import name."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = {
    "neurojax": "neurojax",
    "converters": "neurojax/converters",
    "hardware": "neurojax/hardware",
}
_generated = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    # In a copy: setuptools leaves build/ behind, and would ship what it finds there next time.
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, ignore=_generated)
    out = tmp_path_factory.mktemp("wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(out), str(source)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (path,) = out.iterdir()
    return zipfile.ZipFile(path)


def test_wheel_holds_every_file_of_the_folders_and_nothing_else(wheel: zipfile.ZipFile):
    files = {
        (target, path.relative_to(ROOT / folder))
        for folder, target in FOLDERS.items()
        for path in (ROOT / folder).rglob("*")
        if path.is_file()
    }
    expected = {
        f"{target}/{path}"
        for target, path in files
        if not any(part == "__pycache__" or part[0] == "." for part in path.parts)
    }
    shipped = {name for name in wheel.namelist() if ".dist-info/" not in name}
    # A missing package lacks its __init__.py; missing data lacks a pattern in package-data.
    assert shipped == expected


def test_type_information_and_licence_are_shipped(wheel: zipfile.ZipFile):
    names = set(wheel.namelist())
    assert {f"{target}/py.typed" for target in FOLDERS.values()} <= names
    assert any(name.endswith("/licenses/LICENSE") for name in names)
    metadata = wheel.read(next(n for n in names if n.endswith("/METADATA"))).decode()
    assert "License-Expression: Apache-2.0" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_only_neurojax_is_installed_at_the_top(wheel: zipfile.ZipFile):
    tops = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" not in name}
    assert tops == {"neurojax"}


def test_wheel_imports_from_another_directory(wheel: zipfile.ZipFile, tmp_path: Path):
    site = tmp_path / "site"
    wheel.extractall(site)
    packages = sorted(
        name.removesuffix("/__init__.py").replace("/", ".")
        for name in wheel.namelist()
        if name.endswith("/__init__.py")
    )
    script = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "import importlib\n"
        f"for name in {packages!r}:\n"
        "    print(importlib.import_module(name).__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    files = done.stdout.split()
    assert len(files) == len(packages)
    assert all(Path(file).is_relative_to(site) for file in files)
