"""HDF5 files from elsewhere, read with care.

A file may be damaged, or made to do harm. So only this is read: groups and datasets that are in
the file itself, once each, of numbers and texts; no links to other places or files, no data stored
elsewhere, no references, and no dataset that claims to be larger than its compressed bytes can
hold.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurojax._hdf5_heap import heap_problem

MOST_DEFLATED = 1100
"""gzip packs at most 1032 bytes into one."""

FILTERS = {1, 2, 3, 4, 5, 6, 32000}
"""Filters that come with h5py: gzip, shuffle, fletcher32, szip, nbit, scaleoffset, lzf."""

SMALL = 2**20
"""Bytes that a dataset may claim without storing them (compressed constants, empty chunks)."""


class Unreadable(Exception):
    """A sentence about what is wrong with a file; who opened it says which file."""


@contextlib.contextmanager
def opened(path: str | os.PathLike[str], kind: str) -> Iterator[SafeFile]:
    """Open a file for one careful pass.

    Args:
        path: The file.
        kind: What it should be, such as "NIR file", for the message if it isn't.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It is no HDF5 file, or is damaged; this also replaces an `OSError` of the block.
        ValueError: The block refused it with `Unreadable`.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    problem = heap_problem(path)
    if problem:
        raise OSError(f"{path}: {problem}")
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # h5py raises what its C library makes of a damaged file
        raise OSError(f"{path}: can't be opened as HDF5, so it is no {kind} ({error})") from None
    with file:
        try:
            yield SafeFile(path, file)
        except Unreadable as refused:
            raise ValueError(f"{path}: {refused}") from None
        except OSError as error:
            raise OSError(f"{path}: {error}") from None


class SafeFile:
    """One pass over a file: each thing of it may be reached once."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.root = file
        self.size = path.stat().st_size
        self._seen: set[Any] = set()
        self._claimed = 0

    def attribute(self, name: str) -> Any:
        """An attribute of the file, or None."""
        return _quietly(lambda: self.root.attrs.get(name), "the file's attributes")

    def children(self, group: h5py.Group, where: str) -> dict[str, Any]:
        """What a group holds by name; as nothing is reached twice, there are no cycles."""
        where = where or "the file"

        def listed() -> dict[str, Any]:
            children = {}
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise Unreadable(f"{where}: '{name}' is a link to another place; copy it here")
                children[name] = child = group[name]
                info = h5py.h5o.get_info(child.id)
                if (info.fileno, info.addr) in self._seen:
                    raise Unreadable(f"{where}: '{name}' is also in another place of the file")
                self._seen.add((info.fileno, info.addr))
            return children

        return _quietly(listed, where)

    def text(self, item: Any, what: str) -> str:
        """A dataset that must hold a text."""
        value = self.value(item, "", what)
        if not isinstance(value, str):
            raise Unreadable(f"{what} must be a text")
        return value

    def value(self, item: Any, where: str, field: str) -> Any:
        """A number or array as an array, a text as a str, an array of texts as a flat tuple."""
        what = f"{where}, field '{field}'" if where else field
        if not isinstance(item, h5py.Dataset):
            raise Unreadable(f"{what} is a group; it must be a dataset")
        value = _quietly(lambda: self._loaded(item, what), what)
        if isinstance(value, np.ndarray):
            return value
        try:
            if isinstance(value, bytes):
                return value.decode("utf8")
            return tuple(text.decode("utf8") for text in value)
        except UnicodeDecodeError:
            raise Unreadable(f"{what}: the text is not in UTF-8") from None

    def _loaded(self, item: h5py.Dataset, what: str) -> np.ndarray | bytes | list[bytes]:
        if item.shape is None:
            raise Unreadable(f"{what} is empty")
        dtype = item.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if not text and not (dtype.kind in "fiub" and dtype.itemsize <= 8):
            raise Unreadable(f"{what} holds {dtype}; it must hold numbers or texts")
        _refuse_foreign(item, what)
        claimed = item.size * dtype.itemsize
        stored = min(item.id.get_storage_size(), self.size)
        self._claimed += claimed
        # Texts lie elsewhere in the file, many entries may be one text: so those are not packed.
        if claimed > SMALL // (64 if text else 1) + (1 if text else MOST_DEFLATED) * stored:
            raise Unreadable(f"{what} claims {claimed:,} bytes, but only {stored:,} are stored")
        if self._claimed > 64 * SMALL + MOST_DEFLATED * self.size:
            raise Unreadable(f"{what}: the file claims more data than its {self.size:,} bytes hold")
        value = item[()]
        if not text:
            return np.asarray(value, dtype.newbyteorder("="))
        if isinstance(value, np.ndarray):
            return [bytes(entry) for entry in value.flat]
        return bytes(value)


def _refuse_foreign(item: h5py.Dataset, what: str) -> None:
    if item.is_virtual or item.external:
        raise Unreadable(f"{what}: its data are stored in another file")
    plist = item.id.get_create_plist()
    used = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
    if used - FILTERS:
        raise Unreadable(f"{what} is compressed with filter {min(used - FILTERS)}; use gzip or lzf")


def _quietly(function: Any, what: str) -> Any:
    """The result of a function that calls h5py, whose errors are as manifold as the damage."""
    try:
        return function()
    except Unreadable:
        raise
    except Exception as error:
        text = str(error).strip("'\"") or type(error).__name__
        raise OSError(f"{what} can't be read; the file is damaged ({text})") from None
