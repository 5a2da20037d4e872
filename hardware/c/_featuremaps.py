"""Reading the feature maps that a program has written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np


def read_featuremaps(folder: str | Path) -> dict[str, np.ndarray]:
    """What each layer computed, from the files that a program with `dump_featuremaps` writes.

    Args:
        folder: Folder of `<sample>/<time step>/<layer>.json`.

    Returns:
        Values `[time, batch, ...]` of each layer, channels last, integers (int64) or floats.

    Raises:
        OSError: There is no such folder.
        ValueError: It holds no feature maps, or samples differ in their time steps.
    """
    folder = Path(folder)
    samples = _numbered(folder)
    if not samples:
        raise ValueError(f"{folder} holds no feature maps")
    steps = [_numbered(sample) for sample in samples]
    if len({len(each) for each in steps}) != 1:
        raise ValueError(f"{folder}: samples differ in their time steps; are they of several runs?")
    maps: dict[str, list[list[np.ndarray]]] = {}
    for t in range(len(steps[0])):
        for each in steps:
            for path in sorted(each[t].glob("*.json")):
                found = json.loads(path.read_text(encoding="utf-8"))
                kind = np.float32 if found["dtype"].startswith("float") else np.int64
                rows = maps.setdefault(found["name"], [])
                if len(rows) <= t:
                    rows.append([])
                rows[t].append(np.array(found["data"], kind))
    return {name: np.array(rows) for name, rows in maps.items()}


def _numbered(folder: Path) -> list[Path]:
    """Its folders that are called by a number, in order."""
    found = [path for path in folder.iterdir() if path.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))
