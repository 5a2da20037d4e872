"""N-MNIST and N-Caltech101 recordings (.bin)."""

import os
from pathlib import Path

import numpy as np

from ..encode import Events
from ._files import DataFileError

_OVERFLOW_ROW = 240  # an entry with this y is no event; later times are longer by 2^13 us
_OVERFLOW = 2**13


def read_nmnist(path: str | os.PathLike, *, size: tuple[int, int] | None = (34, 34)) -> Events:
    """Read one recording of N-MNIST, or of N-Caltech101 with its own `size`.

    Five bytes an event: x, y, then one bit of polarity (1: ON) and 23 bits of time in microseconds,
    most significant byte first.

    Args:
        path: the .bin file.
        size: (height, width) of the sensor; None if it varies.

    Returns:
        The events in the order of the file.

    Raises:
        DataFileError: if the file's length or an address is not possible.

    References:
        Orchard et al., Converting static image datasets to spiking neuromorphic datasets using
        saccades, Frontiers in Neuroscience 2015; its authors' reader, `eventvision.py`.
    """
    data = Path(path).read_bytes()
    if len(data) % 5:
        raise DataFileError(
            f"{path}: {len(data)} bytes; N-MNIST has 5 an event, so the file is cut off "
            "or another format."
        )
    byte = np.frombuffer(data, np.uint8).reshape(-1, 5).astype(np.int64)
    overflow = byte[:, 1] == _OVERFLOW_ROW
    t = ((byte[:, 2] & 0x7F) << 16) | (byte[:, 3] << 8) | byte[:, 4]
    t += _OVERFLOW * np.cumsum(overflow)
    events = Events(t, byte[:, 0], byte[:, 1], byte[:, 2] >> 7, size=size)[~overflow]
    check_addresses(path, events)
    return events


def check_addresses(path: str | os.PathLike, events: Events) -> None:
    """Refuse events outside the sensor: the file is damaged, or from another camera."""
    if events.size is None or not len(events):
        return
    height, width = events.size
    wrong = (events.x < 0) | (events.x >= width) | (events.y < 0) | (events.y >= height)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise DataFileError(
            f"{path}: event {first} is at x={events.x[first]}, y={events.y[first]}, outside the "
            f"sensor of {width} x {height} (width x height); is it a recording of another camera?"
        )
