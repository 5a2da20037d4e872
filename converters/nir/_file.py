"""NIR files: HDF5 with one group a node. Nothing but h5py is needed.

A file from elsewhere may be damaged, or made to do harm. So only what a NIR file consists of is
read: groups and datasets that are in the file itself, once each, of numbers and texts; no links to
other places or files, no data stored elsewhere, no references, and no dataset that claims to be
larger than its compressed bytes can hold.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurojax._files import written_whole
from neurojax.converters.nir._graph import VERSION, Graph, Node, checked
from neurojax.converters.nir._heap import heap_problem

MOST_DEFLATED = 1100
"""gzip packs at most 1032 bytes into one."""

FILTERS = {1, 2, 3, 4, 5, 6, 32000}
"""Filters that come with h5py: gzip, shuffle, fletcher32, szip, nbit, scaleoffset, lzf."""

SMALL = 2**20
"""Bytes that a dataset may claim without storing them (compressed constants, empty chunks)."""

DEEPEST = 32


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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: there is no such file")
    problem = heap_problem(path)
    if problem:
        raise OSError(f"{path}: {problem}")
    try:
        file = h5py.File(path, "r")
    except Exception as error:  # h5py raises what its C library makes of a damaged file
        raise OSError(f"{path}: can't be opened as HDF5, so it is no NIR file ({error})") from None
    with file:
        try:
            return checked(_Reader(path, file).graph())
        except _Refused as refused:
            raise ValueError(f"{path}: {refused}") from None
        except OSError as error:
            raise OSError(f"{path}: {error}") from None
        except ValueError as error:
            raise ValueError(f"{path} is no valid NIR file:\n{error}") from None


class _Refused(Exception):
    """A sentence about what is wrong; `read` makes a ValueError of it."""


class _Reader:
    """One pass over a file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.file = file
        self.size = path.stat().st_size
        self.seen: set[Any] = set()
        self.claimed = 0

    def graph(self) -> Graph:
        version = ""
        children = self._children(self.file, "")
        if "node" not in children:
            kind = self._quietly(lambda: self.file.attrs.get("__type__"), "the file's attributes")
            if kind == "NIRGraphData":
                raise _Refused("holds recorded data (NIRGraphData), not a graph")
            raise _Refused("has no group 'node', so it is no NIR file")
        if "version" in children:
            version = self._text(children["version"], "version")
        node = self._node(children["node"], "", 0)
        if not isinstance(node, Graph):
            raise _Refused(f"its root is a {node.kind}; it must be a NIRGraph")
        return Graph(node.nodes, node.edges, node.metadata, version)

    def _node(self, group: Any, name: str, depth: int) -> Node | Graph:
        where = f"node '{name}'" if name else "the root graph"
        if not isinstance(group, h5py.Group):
            raise _Refused(f"{where} is a dataset; it must be a group")
        if depth > DEEPEST:
            raise _Refused(f"{where}: graphs are nested more than {DEEPEST} deep")
        children = self._children(group, where)
        if "type" not in children:
            raise _Refused(f"{where} has no field 'type'")
        kind = self._text(children.pop("type"), f"{where}, field 'type'")
        metadata = (
            self._tree(children.pop("metadata"), where, depth) if "metadata" in children else {}
        )
        if kind == "NIRGraph":
            return self._subgraph(children, metadata, name, where, depth)
        fields = {field: self._value(item, where, field) for field, item in children.items()}
        return Node(kind, fields, metadata)

    def _subgraph(
        self, children: dict[str, Any], metadata: dict[str, Any], name: str, where: str, depth: int
    ) -> Graph:
        missing = [field for field in ("nodes", "edges") if field not in children]
        if missing:
            raise _Refused(f"{where} has no field '{missing[0]}'")
        if not isinstance(children["nodes"], h5py.Group):
            raise _Refused(f"{where}: 'nodes' is a dataset; it must be a group")
        prefix = f"{name}." if name else ""
        nodes = {
            child: self._node(item, prefix + child, depth + 1)
            for child, item in self._children(children["nodes"], where).items()
        }
        return Graph(nodes, self._edges(children["edges"], where), metadata)

    def _edges(self, item: Any, where: str) -> tuple[tuple[str, str], ...]:
        edges = self._value(item, where, "edges")
        if isinstance(edges, np.ndarray) and edges.size == 0:
            return ()
        if not isinstance(edges, tuple) or not isinstance(item, h5py.Dataset) or item.ndim != 2:
            raise _Refused(f"{where}: 'edges' must be a table of names with two columns")
        if item.shape[1] != 2:
            raise _Refused(f"{where}: 'edges' has {item.shape[1]} columns; it must have 2")
        return tuple(zip(edges[::2], edges[1::2], strict=True))

    def _tree(self, item: Any, where: str, depth: int) -> dict[str, Any]:
        if not isinstance(item, h5py.Group):
            raise _Refused(f"{where}: 'metadata' is a dataset; it must be a group")
        if depth > DEEPEST:
            raise _Refused(f"{where}: its metadata are nested more than {DEEPEST} deep")
        return {
            name: self._tree(child, where, depth + 1)
            if isinstance(child, h5py.Group)
            else self._value(child, where, f"metadata/{name}")
            for name, child in self._children(item, where).items()
        }

    def _children(self, group: h5py.Group, where: str) -> dict[str, Any]:
        """What a group holds; each thing of a file may be reached once, so there are no cycles."""
        where = where or "the file"

        def listed() -> dict[str, Any]:
            children = {}
            for name in group:
                if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                    raise _Refused(f"{where}: '{name}' is a link to another place; copy it here")
                children[name] = child = group[name]
                info = h5py.h5o.get_info(child.id)
                if (info.fileno, info.addr) in self.seen:
                    raise _Refused(f"{where}: '{name}' is also in another place of the file")
                self.seen.add((info.fileno, info.addr))
            return children

        return self._quietly(listed, where)

    def _text(self, item: Any, what: str) -> str:
        value = self._value(item, "", what)
        if not isinstance(value, str):
            raise _Refused(f"{what} must be a text")
        return value

    def _value(self, item: Any, where: str, field: str) -> Any:
        """A number or array as an array, a text as a str, an array of texts as a flat tuple."""
        what = f"{where}, field '{field}'" if where else field
        if not isinstance(item, h5py.Dataset):
            raise _Refused(f"{what} is a group; it must be a dataset")
        value = self._quietly(lambda: self._loaded(item, what), what)
        if isinstance(value, np.ndarray):
            return value
        try:
            if isinstance(value, bytes):
                return value.decode("utf8")
            return tuple(text.decode("utf8") for text in value)
        except UnicodeDecodeError:
            raise _Refused(f"{what}: the text is not in UTF-8") from None

    def _loaded(self, item: h5py.Dataset, what: str) -> np.ndarray | bytes | list[bytes]:
        if item.shape is None:
            raise _Refused(f"{what} is empty")
        dtype = item.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if not text and not (dtype.kind in "fiub" and dtype.itemsize <= 8):
            raise _Refused(f"{what} holds {dtype}; it must hold numbers or texts")
        self._refuse_foreign(item, what)
        claimed = item.size * dtype.itemsize
        stored = min(item.id.get_storage_size(), self.size)
        self.claimed += claimed
        # Texts lie elsewhere in the file, many entries may be one text: so those are not packed.
        if claimed > SMALL // (64 if text else 1) + (1 if text else MOST_DEFLATED) * stored:
            raise _Refused(f"{what} claims {claimed:,} bytes, but only {stored:,} are stored")
        if self.claimed > 64 * SMALL + MOST_DEFLATED * self.size:
            raise _Refused(f"{what}: the file claims more data than its {self.size:,} bytes hold")
        value = item[()]
        if not text:
            return np.asarray(value, dtype.newbyteorder("="))
        if isinstance(value, np.ndarray):
            return [bytes(entry) for entry in value.flat]
        return bytes(value)

    def _refuse_foreign(self, item: h5py.Dataset, what: str) -> None:
        if item.is_virtual or item.external:
            raise _Refused(f"{what}: its data are stored in another file")
        plist = item.id.get_create_plist()
        used = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if used - FILTERS:
            raise _Refused(
                f"{what} is compressed with filter {min(used - FILTERS)}; use gzip or lzf"
            )

    def _quietly(self, function: Any, what: str) -> Any:
        """The result of a function that calls h5py, whose errors are as manifold as the damage."""
        try:
            return function()
        except _Refused:
            raise
        except Exception as error:
            text = str(error).strip("'\"") or type(error).__name__
            raise OSError(f"{what} can't be read; the file is damaged ({text})") from None


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
