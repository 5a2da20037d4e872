"""sinabs' part for the chips, imported without the vendor's library.

What it simulates on the host needs nothing of samna but that the import succeeds.
"""

import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from unittest.mock import MagicMock

from tests.converters._live import peer

_PACKAGES = ("samna", "samnagui")


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module of the vendor's, and makes a mock of it."""

    def find_spec(self, fullname, path, target=None):
        if fullname.partition(".")[0] in _PACKAGES:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        module = MagicMock(name=spec.name)
        module.__path__ = []
        return module

    def exec_module(self, module):
        pass


def dynapcnn_peer() -> ModuleType:
    """`sinabs.backend.dynapcnn`; nothing of the mocks stays importable for other tests."""
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        return peer("sinabs.backend.dynapcnn")
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] in _PACKAGES]:
            del sys.modules[name]
