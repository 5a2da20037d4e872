"""Streams of events as files, as objects of the vendor's library, and as sinabs has them.

References:
    sinabs 3.1.3, `backend.dynapcnn.io.events_to_xytp`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from neurojax._files import written_whole
from neurojax.chips.dynapcnn.events import EVENT

XYTP = np.dtype([("x", np.uint16), ("y", np.uint16), ("t", np.uint64), ("channel", np.uint16)])
"""An event as `events_to_xytp` returns it: without the layer, unsigned."""


def events_to_xytp(stream: np.ndarray, layer: int) -> np.ndarray:
    """The events of one layer, with columns x, y, t and channel (`XYTP`).

    Args:
        stream: Events.
        layer: The layer.
    """
    chosen = stream[stream["layer"] == layer]
    found = np.empty(len(chosen), XYTP)
    for name in ("x", "y", "t"):
        found[name] = chosen[name]
    found["channel"] = chosen["feature"]
    return found


def to_records(stream: np.ndarray, make: Callable[[], Any]) -> list[Any]:
    """The events as objects of the vendor's library.

    Args:
        stream: Events.
        make: Makes an object whose attributes layer, feature, x, y and timestamp are set, as
            `samna.speck2f.event.Spike` does.
    """
    records = []
    names = ("x", "y", "timestamp", "feature", "layer")
    for event in stream.tolist():
        record = make()
        for name, value in zip(names, event, strict=True):
            setattr(record, name, value)
        records.append(record)
    return records


def from_records(records: Iterable[Any]) -> np.ndarray:
    """The stream that objects of the vendor's library say, in their order.

    Args:
        records: Objects with attributes layer, feature, x, y and timestamp (microseconds).
    """
    names = ("x", "y", "timestamp", "feature", "layer")
    rows = [tuple(int(getattr(record, name)) for name in names) for record in records]
    return np.array(rows, EVENT)


def save_events(path: str | os.PathLike[str], stream: np.ndarray) -> None:
    """Write a stream as NumPy's .npy; an older file is replaced only when all is written.

    Args:
        path: The file.
        stream: Events.
    """
    with written_whole(path) as part, part.open("wb") as file:
        np.save(file, np.asarray(stream, EVENT), allow_pickle=False)


def load_events(path: str | os.PathLike[str]) -> np.ndarray:
    """Read what `save_events` wrote.

    Raises:
        ValueError: The file holds something else.
    """
    stream = np.load(Path(path), allow_pickle=False)
    if not isinstance(stream, np.ndarray) or stream.dtype != EVENT or stream.ndim != 1:
        raise ValueError(
            f"{path}: not a list of events with columns {', '.join(EVENT.names or ())}; write it "
            "with save_events"
        )
    return stream
