"""NIR files: HDF5 with one group a node. Nothing but h5py is needed."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurojax._files import written_whole
from neurojax._hdf5 import opened
from neurojax.converters.nir._graph import VERSION, Graph, checked
from neurojax.converters.nir._reader import Reader


def read(path: str | os.PathLike[str]) -> Graph:
    """Read a NIR file.

    Args:
        path: A file that `write`, or the package `nir` in any version, wrote.

    Returns:
        Its graph, with nested graphs as they are (see `flat`) and fields completed as `checked`
        says. Nodes of unknown kinds are kept.

    Raises:
        OSError: The file can't be opened, is no HDF5 file, or is damaged.
        ValueError: It is no NIR file; the message says which field of which node is wrong.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import numpy as np
        >>> from neurojax.converters.nir import Graph, Node, read, write
        >>> shape = {"shape": np.array([4])}
        >>> graph = Graph({"x": Node("Input", shape), "y": Node("Output", shape)}, (("x", "y"),))
        >>> path = Path(mkdtemp()) / "net.nir"
        >>> write(path, graph)
        >>> read(path) == graph
        True
    """
    with opened(path, "NIR file") as file:
        graph = Reader(file).graph()
    try:
        return checked(graph)
    except ValueError as error:
        raise ValueError(f"{Path(path)} is no valid NIR file:\n{error}") from None


def write(path: str | os.PathLike[str], graph: Graph) -> None:
    """Write a NIR file, which appears whole or not at all.

    Args:
        path: Where to; a file that is there is replaced.
        graph: What to write; it is checked first.

    Raises:
        ValueError: See `checked`; also names that HDF5 can't store, and values that are neither
            numbers nor texts.
        OSError: The file can't be written.
    """
    graph = checked(graph)
    problems = _unwritable(graph, "")
    if problems:
        raise ValueError("\n".join(problems))
    with written_whole(path) as part, h5py.File(part, "w") as file:
        _put(file, "version", VERSION)
        _put_graph(file.create_group("node"), graph)


def _unwritable(graph: Graph, prefix: str) -> list[str]:
    problems = []
    for name, node in graph.nodes.items():
        what = f"node '{prefix}{name}'"
        if not legal_name(name):
            problems.append(f"{what}: NIR files can't hold this name; rename it without '/'")
        if isinstance(node, Graph):
            problems += _unwritable(node, f"{prefix}{name}.")
        else:
            problems += [f"{what}: {p}" for p in _wrong_values(node.fields, nested=False)]
        problems += [f"{what}: metadata: {p}" for p in _wrong_values(node.metadata, nested=True)]
    if not prefix:
        problems += [f"metadata: {p}" for p in _wrong_values(graph.metadata, nested=True)]
    return problems


def _wrong_values(values: Mapping[str, Any], *, nested: bool) -> list[str]:
    problems = []
    for name, value in values.items():
        if not legal_name(name):
            problems.append(f"{name!r} can't be the name of a field")
        if nested and isinstance(value, Mapping):
            problems += _wrong_values(value, nested=True)
        elif not _is_text(value) and np.asarray(value).dtype.kind not in "fiub":
            problems.append(f"'{name}' is {type(value).__name__}; it must be numbers or texts")
    return problems


def legal_name(name: str) -> bool:
    """Whether HDF5 can store something under a name."""
    return bool(name) and name != "." and not any(c in name for c in "/\0")


def _is_text(value: Any) -> bool:
    if isinstance(value, str):
        return "\0" not in value
    return isinstance(value, tuple | list) and bool(value) and all(map(_is_text, value))


def _put_graph(group: h5py.Group, graph: Graph) -> None:
    _put(group, "type", "NIRGraph")
    pairs = np.array(graph.edges, dtype=object).reshape(-1, 2)
    group.create_dataset("edges", data=pairs, dtype=h5py.string_dtype())
    nodes = group.create_group("nodes")
    for name, node in graph.nodes.items():
        child = nodes.create_group(name)
        if isinstance(node, Graph):
            _put_graph(child, node)
            continue
        _put(child, "type", node.kind)
        for field, value in node.fields.items():
            _put(child, field, value)
        _put_metadata(child, node.metadata)
    _put_metadata(group, graph.metadata)


def _put_metadata(group: h5py.Group, metadata: Mapping[str, Any], name: str = "metadata") -> None:
    if not metadata:
        return
    child = group.create_group(name)
    for key, value in metadata.items():
        if isinstance(value, Mapping):
            _put_metadata(child, value, key)
        else:
            _put(child, key, value)


def _put(group: h5py.Group, name: str, value: Any) -> None:
    if _is_text(value):
        group.create_dataset(name, data=value, dtype=h5py.string_dtype())
        return
    array = np.asarray(value)
    packed = {"compression": "gzip"} if array.ndim and array.size else {}
    group.create_dataset(name, data=array, **packed)
