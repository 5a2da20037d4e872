"""AEDAT recordings of event cameras: versions 2.0 and 3.1 read here, 4 by the package `aedat`.

References:
    iniVation, AEDAT file formats (docs.inivation.com, "Software advanced usage").
    jAER, which wrote most files of version 2.0, for the directions of the axes and of the DVS128's
    polarity bit: its chip classes mirror x, and read bit 0 of the DVS128 as 1: OFF. The format's
    description has that bit the other way round; the files follow jAER.
"""

import importlib
import os
import re
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..encode import Events
from ._files import DataFileError
from ._nmnist import check_addresses

_SIZES = {  # (height, width) of the cameras, by the beginning of their names without punctuation
    "DVS128": (128, 128),
    "DAVIS128": (128, 128),
    "DAVIS208": (192, 208),
    "DAVIS240": (180, 240),
    "DAVIS346": (260, 346),
    "DAVIS640": (480, 640),
    "DVXPLORERLITE": (240, 320),
    "DVXPLORER": (480, 640),
}
_END_OF_HEADER = b"#!END-HEADER\r\n"
_PACKET_HEADER = struct.Struct("<hhiiiiii")
_POLARITY_EVENT = 1


class _Layout(NamedTuple):
    """Where an AEDAT 2.0 address has its fields: (lowest bit, number of bits)."""

    x: tuple[int, int]
    y: tuple[int, int]
    polarity: int
    on: int  # value of the polarity bit for ON
    other: int  # mask of the bits that mark pictures, inertial samples and external events


_DVS128 = _Layout(x=(1, 7), y=(8, 7), polarity=0, on=0, other=0x8000_8000)
_DAVIS = _Layout(x=(12, 10), y=(22, 9), polarity=11, on=1, other=0x8000_0400)


def read_aedat(path: str | os.PathLike, *, camera: str | None = None) -> Events:
    """Read the polarity events of an AEDAT file, version 2.0, 3.1 or 4.

    Args:
        path: the file (.aedat or .aedat4).
        camera: name such as "DVS128" or "DAVIS346", for files whose header doesn't say.

    Returns:
        Events with x from the left, y from the top, time in microseconds (as in the file: version 4
        counts from 1970, so give `events_to_raster` a `start`). Pictures, inertial samples,
        external and invalid events are left out.

    Raises:
        DataFileError: if the file is damaged, of another version, or its camera isn't known.
        ImportError: for version 4, if the package `aedat` is missing; it's in the extra `events`.
    """
    with open(path, "rb") as file:
        first = file.readline(64)
    version = re.match(rb"#!AER-DAT(\d\.\d)", first)
    if version is None:
        raise DataFileError(
            f"{path}: begins with {first[:16]!r}, not with '#!AER-DAT' and a version."
        )
    match version[1]:
        case b"2.0":
            events = _read_2(path, camera)
        case b"3.1":
            events = _read_3(path, camera)
        case b"4.0":
            events = _read_4(path)
        case other:
            raise DataFileError(
                f"{path}: AEDAT version {other.decode()}; versions 2.0, 3.1 and 4 can be read. "
                "iniVation's DV converts others."
            )
    check_addresses(path, events)
    return events


def _read_2(path: str | os.PathLike, camera: str | None) -> Events:
    data = Path(path).read_bytes()
    # Header lines begin with '#', but so may an address: a line of text has no control characters.
    header = re.match(rb"(?:#[\t\x20-\xff]*\r?\n)*", data)
    assert header is not None
    body = data[header.end() :]
    if camera is None:
        chip = re.search(rb"AEChip:\s*(?:[\w]+\.)*(\w+)", header[0])
        camera = chip[1].decode() if chip else None
    size = _size(path, camera)
    if size is None:
        raise DataFileError(
            f"{path}: the header names no camera; give one, as in `camera='DVS128'`. "
            f"Known: {', '.join(_SIZES)}."
        )
    if len(body) % 8:
        raise DataFileError(f"{path}: {len(body)} bytes of events, 8 each: the file is cut off.")
    address, time = np.frombuffer(body, ">u4").reshape(-1, 2).astype(np.int64).T
    # The clock has 32 bits and wraps around.
    time = time + 2**32 * np.cumsum(np.diff(time, prepend=time[:1]) < -(2**31))

    layout = _DVS128 if size == (128, 128) and _plain(camera) == "DVS128" else _DAVIS
    chosen = (address & layout.other) == 0
    address, time = address[chosen], time[chosen]
    x, y = ((address >> low) & (2**bits - 1) for low, bits in (layout.x, layout.y))
    polarity = ((address >> layout.polarity) & 1) == layout.on
    # Mirrored x as jAER does; y counts from the bottom in these files.
    height, width = size
    return Events(time, width - 1 - x, height - 1 - y, polarity.astype(np.int64), size=size)


def _read_3(path: str | os.PathLike, camera: str | None) -> Events:
    data = Path(path).read_bytes()
    at = data.find(_END_OF_HEADER)
    if at < 0:
        raise DataFileError(f"{path}: the header has no end ('#!END-HEADER').")
    header, at = data[:at].decode("latin-1"), at + len(_END_OF_HEADER)
    form = re.search(r"^#Format:\s*(\S+)", header, re.MULTILINE)
    if form and form[1].upper() != "RAW":
        raise DataFileError(f"{path}: format {form[1]}; only RAW can be read.")
    source = re.search(r"^#Source \d+:\s*(\S+)", header, re.MULTILINE)
    size = _size(path, camera or (source[1] if source else None))

    words, times = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    while at < len(data):
        if at + _PACKET_HEADER.size > len(data):
            raise DataFileError(f"{path}: cut off in a packet's header at byte {at}.")
        kind, _, event_size, time_at, overflow, _, count, _ = _PACKET_HEADER.unpack_from(data, at)
        at += _PACKET_HEADER.size
        if event_size < 0 or count < 0 or at + event_size * count > len(data):
            raise DataFileError(
                f"{path}: the packet before byte {at} claims {count} events of {event_size} bytes; "
                "the file is cut off or damaged."
            )
        if kind == _POLARITY_EVENT and count:
            if event_size != 8 or time_at != 4:
                raise DataFileError(
                    f"{path}: polarity events of {event_size} bytes with the time at {time_at}; "
                    "version 3.1 has 8 bytes and the time at 4."
                )
            word, time = np.frombuffer(data, "<u4", 2 * count, at).reshape(-1, 2).astype(np.int64).T
            words.append(word)
            times.append(time + overflow * 2**31)  # the packet's times have 31 bits
        at += event_size * count
    word, time = np.concatenate(words), np.concatenate(times)
    valid = (word & 1) == 1
    word, time = word[valid], time[valid]
    x, y = (word >> 17) & 0x7FFF, (word >> 2) & 0x7FFF
    return Events(time, x, y, (word >> 1) & 1, size=size)


def _read_4(path: str | os.PathLike) -> Events:
    try:
        aedat = importlib.import_module("aedat")
    except ImportError as error:
        raise ImportError(
            'AEDAT 4 files need the package aedat, which comes with: pip install "neurojax[events]"'
        ) from error
    try:
        decoder = aedat.Decoder(str(path))
        streams = decoder.id_to_stream()
        packets = [packet["events"] for packet in decoder if "events" in packet]
    except Exception as error:  # the package raises its own and bare ones
        raise DataFileError(f"{path}: not a readable AEDAT 4 file ({error}).") from error
    cameras = [stream for stream in streams.values() if stream["type"] == "events"]
    if len(cameras) != 1:
        raise DataFileError(f"{path}: {len(cameras)} event streams; exactly one can be read.")
    size = (cameras[0]["height"], cameras[0]["width"])
    fields = {
        name: np.concatenate([np.zeros(0, np.int64), *(p[name].astype(np.int64) for p in packets)])
        for name in ("t", "x", "y", "on")
    }
    return Events(fields["t"], fields["x"], fields["y"], fields["on"], size=size)


def _size(path: str | os.PathLike, camera: str | None) -> tuple[int, int] | None:
    if camera is None:
        return None
    plain = _plain(camera)
    for name, size in _SIZES.items():
        if plain.startswith(name):
            return size
    raise DataFileError(
        f"{path}: camera '{camera}' isn't known; give one of {', '.join(_SIZES)} as `camera`."
    )


def _plain(camera: str | None) -> str:
    return re.sub(r"[^A-Z0-9]", "", (camera or "").upper())
