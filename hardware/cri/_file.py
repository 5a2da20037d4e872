"""Binary files of arrays and a header, checked from the first byte to the last.

A file consists of

    8 bytes   magic: a byte that is no text, "NJCRI", and both line ends, so that transfers which
              change text are noticed
    4         version of the schema
    4         length of the header
    4         CRC-32 of the 16 bytes before and of the header
    header    JSON: the description, and name, type, shape and SHA-256 of each array
    arrays    one after another, each from a multiple of 64 bytes on, with zeros in between; all
                  numbers little-endian
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax._files import written_whole

MAGIC = b"\xc7NJCRI\r\n"
VERSION = 1
TYPES = {"<u4", "<i4", "<i8", "|u1"}
LONGEST_HEADER = 1 << 24
_HEAD = struct.Struct("<8sII")
_ALIGN = 64


class Unreadable(ValueError):
    """A file that is not what it should be."""


def write(
    path: str | os.PathLike[str], description: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a file, which appears whole or not at all.

    Raises:
        OSError: The file can't be written. Nothing is left behind.
    """
    data = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    items = [
        {
            "name": name,
            "type": array.dtype.str,
            "shape": list(array.shape),
            "sha256": hashlib.sha256(array.data if array.size else b"").hexdigest(),
        }
        for name, array in data.items()
    ]
    header = json.dumps({"description": description, "arrays": items}, allow_nan=False).encode()
    if len(header) > LONGEST_HEADER:
        raise ValueError(
            f"the header would have {len(header):,} bytes; {LONGEST_HEADER:,} can be read"
        )
    head = _HEAD.pack(MAGIC, VERSION, len(header))
    with written_whole(path) as part, part.open("wb") as file:
        file.write(head + struct.pack("<I", zlib.crc32(head + header)) + header)
        for array in data.values():
            file.write(bytes(-file.tell() % _ALIGN))
            file.write(array.data if array.size else b"")


def read(path: str | os.PathLike[str]) -> tuple[Any, dict[str, np.ndarray]]:
    """Description and arrays of a file.

    Raises:
        OSError: The file can't be opened.
        Unreadable: What is wrong with it.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD.size + 4)
        if len(head) < _HEAD.size + 4 or head[:8] != MAGIC:
            raise Unreadable("is no configuration of neurojax for CRI")
        _, version, length = _HEAD.unpack_from(head)
        if version != VERSION:
            raise Unreadable(f"has version {version}; this neurojax reads version {VERSION}")
        if length > min(LONGEST_HEADER, size):
            raise Unreadable("is damaged: its header is longer than it can be")
        header = file.read(length)
        if zlib.crc32(head[: _HEAD.size] + header) != struct.unpack_from("<I", head, _HEAD.size)[0]:
            raise Unreadable("is damaged: the header's checksum is wrong")
        try:
            content = json.loads(header)
            items = [_item(entry) for entry in content["arrays"]]
            description = content["description"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Unreadable(f"has a header that is not valid: {error}") from None
        end = file.tell()
        for item in items:
            end += -end % _ALIGN + item.size
        if end != size:
            raise Unreadable(f"has {size:,} bytes, but its header describes {end:,}")
        return description, {item.name: _array(file, item) for item in items}


class _Item(NamedTuple):
    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    sha256: str

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _item(entry: Any) -> _Item:
    name, kind, shape = entry["name"], entry["type"], entry["shape"]
    if not isinstance(name, str) or kind not in TYPES or not isinstance(shape, list):
        raise ValueError(f"array {name!r} of type {kind!r} and shape {shape!r}")
    if len(shape) > 2 or any(type(size) is not int or not 0 <= size < 1 << 40 for size in shape):
        raise ValueError(f"array {name!r} of shape {shape!r}")
    return _Item(name, np.dtype(kind), tuple(shape), str(entry["sha256"]))


def _array(file: Any, item: _Item) -> np.ndarray:
    gap = file.read(-file.tell() % _ALIGN)
    data = file.read(item.size)
    if any(gap):
        raise Unreadable(f"is damaged: there is something in front of '{item.name}'")
    if hashlib.sha256(data).hexdigest() != item.sha256:
        raise Unreadable(f"is damaged: the checksum of '{item.name}' is wrong")
    return np.frombuffer(data, item.dtype).reshape(item.shape).copy()
