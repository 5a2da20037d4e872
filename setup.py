"""Package discovery; every other setting is in pyproject.toml.

Three top-level folders install as one import name. Setuptools cannot discover packages under such
a mapping by configuration alone, so it is done here: a new sub-package needs only its __init__.py.
"""

from setuptools import find_packages, setup

FOLDERS = {
    "neurojax": "neurojax",
    "neurojax.converters": "converters",
    "neurojax.hardware": "hardware",
}

setup(
    package_dir=FOLDERS,
    packages=[
        name
        for package, folder in FOLDERS.items()
        for name in (package, *(f"{package}.{sub}" for sub in find_packages(folder)))
    ],
)
