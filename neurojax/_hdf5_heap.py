"""Texts of an HDF5 file, before HDF5's library looks at them.

Texts lie in global heap collections. Where damage has made an object of one that takes no room, the
library (2.0, and older ones) reads it for ever. So collections are walked through first.

References:
    The HDF Group, "HDF5 file format specification", version 3.0, section III.E.
"""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

_SIGNATURE = b"GCOL\x01"
_HEADER = struct.Struct("<8xQ")  # size of the collection, with this header
_OBJECT = struct.Struct("<HHIQ")  # index, references, nothing, size


def heap_problem(path: Path) -> str:
    """What is wrong with the global heaps of a file, or ""."""
    if path.stat().st_size == 0:
        return ""  # which can't be mapped; HDF5 says what is wrong with it
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_SIGNATURE)
        while start >= 0:
            if not _can_be_walked(data, start):
                return f"the texts at byte {start:,} are damaged"
            start = data.find(_SIGNATURE, start + 1)
    return ""


def _can_be_walked(data: mmap.mmap, start: int) -> bool:
    if start + _HEADER.size > len(data):
        return True  # no collection, and HDF5 can't take it for one
    (size,) = _HEADER.unpack_from(data, start)
    end, at = start + size, start + _HEADER.size
    if end > len(data):
        return False
    while at + _OBJECT.size <= end:
        index, _, _, length = _OBJECT.unpack_from(data, at)
        # What is free has index 0, and a size that includes this header.
        taken = length if index == 0 else _OBJECT.size + (length + 7) // 8 * 8
        if taken < _OBJECT.size or at + taken > end:
            return False
        at += taken
    return True
