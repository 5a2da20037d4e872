"""HDF5 files of layers, as lava-dl's slayer writes and its netx reads them.

A file has one group, `layer`, with a group for each layer under its number. Type and shape of every
dataset are slayer's: other readers take them literally. Other groups at the root (older files have
`simulation`) are not read.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np

from neurojax._files import written_whole
from neurojax._hdf5 import SafeFile, Unreadable, opened
from neurojax.hardware.loihi.records import LayerRecord, checked

MOST_LAYERS = 1000


def read(path: str | os.PathLike[str]) -> tuple[tuple[LayerRecord, ...], tuple[str, ...]]:
    """The layers of a file, and notes on what in it has no effect.

    Raises:
        OSError: The file can't be opened, is no HDF5 file, or is damaged.
        ValueError: All that is wrong, with layer and field.
    """
    with opened(path, ".net file") as file:
        raw = _layers(file)
    try:
        return checked(raw)
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def _layers(file: SafeFile) -> list[tuple[dict[str, Any], dict[str, Any] | None]]:
    roots = file.children(file.root, "")
    if not isinstance(roots.get("layer"), h5py.Group):
        raise Unreadable("has no group 'layer', so it is no .net file")
    groups = file.children(roots["layer"], "group 'layer'")
    if len(groups) > MOST_LAYERS:
        raise Unreadable(f"has {len(groups):,} layers; the most that is read is {MOST_LAYERS:,}")
    numbers = [str(number) for number in range(len(groups))]
    if set(groups) != set(numbers):
        found = ", ".join(f"'{name}'" for name in sorted(set(groups) - set(numbers))[:4])
        raise Unreadable(
            f"group 'layer' holds {found}; its {len(groups)} layers must be called 0, 1, 2, ..."
        )
    problems: list[str] = []
    layers = [_layer(file, groups[number], f"layer {number}", problems) for number in numbers]
    if problems:
        raise Unreadable("\n- ".join(["the network is not valid:", *problems]))
    return layers


def _layer(
    file: SafeFile, group: Any, where: str, problems: list[str]
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    if not isinstance(group, h5py.Group):
        problems.append(f"{where} is a dataset; it must be a group")
        return {}, None
    children = _children(file, group, where, problems)
    neuron = None
    if "neuron" in children:
        item = children.pop("neuron")
        if isinstance(item, h5py.Group):
            inside = f"{where}, neuron"
            neuron = _values(file, _children(file, item, inside, problems), inside, problems)
        else:
            problems.append(f"{where}: 'neuron' is a dataset; it must be a group")
    if isinstance(children.get("weight"), h5py.Group):
        parts = _children(file, children.pop("weight"), f"{where}, weight", problems)
        children |= {f"weight/{part}": item for part, item in parts.items()}
    return _values(file, children, where, problems), neuron


def _children(file: SafeFile, group: Any, where: str, problems: list[str]) -> dict[str, Any]:
    try:
        return file.children(group, where)
    except Unreadable as refused:
        problems.append(str(refused))
        return {}


def _values(
    file: SafeFile, items: Mapping[str, Any], where: str, problems: list[str]
) -> dict[str, Any]:
    values = {}
    for name, item in items.items():
        try:
            values[name] = file.value(item, where, name)
        except Unreadable as refused:
            problems.append(str(refused))
    return values


def write(path: str | os.PathLike[str], layers: Sequence[LayerRecord]) -> None:
    """Write layers to a file, which appears whole or not at all.

    Raises:
        OSError: The file can't be written. Nothing is left behind.
    """
    with written_whole(path) as part, h5py.File(part, "w") as file:
        root = file.create_group("layer")
        for number, layer in enumerate(layers):
            group = root.create_group(str(number))
            group["type"] = np.array([layer.type.encode()], "S10")
            for name, value in layer.fields.items():
                group[name] = value
            if layer.neuron is not None:
                cell = group.create_group("neuron")
                for name, value in layer.neuron.items():
                    cell[name] = value
