"""What the host sends to the machine and gets back: packets of 64 bytes.

A packet is a number of 512 bits, sent from its least significant byte on. Its top byte says what
it is, and bits 503 to 499 which core it is for.

References:
    hs_bridge (`fpga_compiler`, `fpga_controller`) and notes of its authors on the width of the core
    field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt32

from neurojax.hardware.cri.words import GROUPS, ROWS, NeuronType

SIZE = 64
AXONS_PER_PACKET = 256
CORES = 32

AXON_BLOCK, ANNOUNCE, MEMORY, MEMBRANE, SIZES, EXECUTE, NEURON_TYPE = 0, 1, 2, 3, 4, 6, 8
"""What a packet is, by its top byte."""


def rows(
    first: int, data: UInt32[np.ndarray, "n 8"], *, core: int = 0
) -> UInt8[np.ndarray, "n 64"]:
    """Packets that write rows of memory from `first` on.

    Example:
        >>> import numpy as np
        >>> packet = rows(0x8000, np.arange(8, dtype=np.uint32)[None])[0]
        >>> packet[:8].tolist(), packet[32:36].tolist(), packet[62:].tolist()
        ([0, 0, 0, 0, 1, 0, 0, 0], [0, 128, 128, 0], [0, 2])
    """
    if first < 0 or first + len(data) > ROWS:
        raise ValueError(f"rows {first:,} to {first + len(data):,} of a memory of {ROWS:,} rows")
    out = _blank(len(data), MEMORY, core)
    out[:, :32] = np.ascontiguousarray(data, "<u4").view(np.uint8)
    address = (np.arange(first, first + len(data)) | ROWS).astype("<u4")  # bit 23: write
    out[:, 32:35] = address.view(np.uint8).reshape(-1, 4)[:, :3]
    return out


def neuron_type(kind: NeuronType, *, core: int = 0) -> UInt8[np.ndarray, "1 64"]:
    """The packet that writes a neuron model; models are written in order."""
    out = _blank(1, NEURON_TYPE, core)
    out[0, :11] = np.frombuffer(kind.word.to_bytes(11, "little"), np.uint8)
    return out


def sizes(inputs: int, outputs: int, *, core: int = 0) -> UInt8[np.ndarray, "1 64"]:
    """The packet that says how many axons and reported neurons there are."""
    out = _blank(1, SIZES, core)
    word = inputs | outputs << 17
    out[0, :8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)
    return out


def axons(active: Iterable[int], count: int, *, core: int = 0) -> UInt8[np.ndarray, "n 64"]:
    """Packets of one step's input: an announcement, then one bit for each of `count` axons.

    Raises:
        ValueError: An axon that is not there.
    """
    chosen = np.fromiter(active, np.int64)
    if chosen.size and not 0 <= chosen.min() <= chosen.max() < count:
        raise ValueError(f"axon {int(chosen.max())}; there are axons 0 to {count - 1}")
    blocks = max(-(-count // AXONS_PER_PACKET), 1)
    bits = np.zeros(blocks * AXONS_PER_PACKET, np.uint8)
    bits[chosen] = 1
    data = _blank(blocks, AXON_BLOCK, core)
    data[:, :32] = np.packbits(bits, bitorder="little").reshape(blocks, 32)
    return np.concatenate([_blank(1, ANNOUNCE, core), data])


def execute(*, core: int = 0) -> UInt8[np.ndarray, "1 64"]:
    """The packet that starts one time step."""
    return _blank(1, EXECUTE, core)


def clear(neurons: int, *, core: int = 0) -> UInt8[np.ndarray, "n 64"]:
    """Packets that set the membranes of neurons 0 to `neurons - 1` to 0, whole rows at a time."""
    return _membranes(neurons, core, write=True)


def read_membranes(neurons: int, *, core: int = 0) -> UInt8[np.ndarray, "n 64"]:
    """Packets that ask for the membranes, whole rows at a time."""
    return _membranes(neurons, core, write=False)


def _membranes(neurons: int, core: int, *, write: bool) -> np.ndarray:
    every = np.arange(-(-neurons // GROUPS) * GROUPS)
    words = (every // GROUPS) << 36 | (every % GROUPS) << 49 | write << 53
    out = _blank(len(every), MEMBRANE, core)
    out[:, :8] = words.astype("<u8").view(np.uint8).reshape(-1, 8)
    return out


def _blank(count: int, kind: int, core: int) -> np.ndarray:
    if core not in range(CORES):
        raise ValueError(f"core {core}; the machine's packets name cores 0 to {CORES - 1}")
    out = np.zeros((count, SIZE), np.uint8)
    out[:, 62], out[:, 63] = core << 3, kind
    return out


class Reply(NamedTuple):
    """What a packet from the machine says."""

    kind: str  # "spikes", "last", "row", "membrane" or "empty"
    step: int = 0  # of spikes: the machine's counter of steps
    neurons: tuple[int, ...] = ()  # of spikes: places on the core, as they were sent
    place: int = 0  # of a membrane
    membrane: int = 0


_TAGS = {0xEEEE: "spikes", 0xABCD: "last", 0xBBBB: "row", 0xCCCC: "membrane", 0xFFFF: "empty"}


def replies(data: UInt8[np.ndarray, "*bytes"]) -> Iterator[Reply]:
    """Take the machine's packets apart.

    Raises:
        ValueError: No whole packets, or one with an unknown tag.
    """
    flat = np.ascontiguousarray(data, np.uint8).reshape(-1)
    if flat.size % SIZE:
        raise ValueError(f"{flat.size} bytes are no whole number of packets of {SIZE}")
    for number, packet in enumerate(flat.reshape(-1, SIZE)):
        tag = int(packet[62]) | int(packet[63]) << 8
        if tag not in _TAGS:
            raise ValueError(f"packet {number} has the unknown tag 0x{tag:04x}")
        yield _reply(_TAGS[tag], packet)


def _reply(kind: str, packet: UInt8[np.ndarray, " 64"]) -> Reply:
    if kind in ("spikes", "last"):
        items: Int[np.ndarray, " 15"] = packet[:60].view("<u4").astype(np.int64)
        events = items[:0:-1]  # the first spike is in the most significant one
        valid = events[(events >> 23) & 1 == 1]
        return Reply(kind, int(items[0]), tuple((valid & 0x1FFFF).tolist()))
    if kind == "membrane":
        word = int.from_bytes(packet[:8].tobytes(), "little")
        value = word & ((1 << 35) - 1)
        value -= (value >> 34) << 35  # sent unsigned
        place = ((word >> 36) & 0x1FFF) * GROUPS + ((word >> 49) & 0xF)
        return Reply(kind, place=place, membrane=value)
    return Reply(kind)
