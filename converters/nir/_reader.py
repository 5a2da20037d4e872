"""One defensive pass over a NIR file.

A file from elsewhere may be damaged, or made to do harm. So only what a NIR file consists of is
read: groups and datasets that are in the file itself, once each, of numbers and texts; no links to
other places or files, no data stored elsewhere, no references, and no dataset that claims to be
larger than its compressed bytes can hold.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from neurojax.converters.nir._graph import Graph, Node

MOST_DEFLATED = 1100
"""gzip packs at most 1032 bytes into one."""

FILTERS = {1, 2, 3, 4, 5, 6, 32000}
"""Filters that come with h5py: gzip, shuffle, fletcher32, szip, nbit, scaleoffset, lzf."""

SMALL = 2**20
"""Bytes that a dataset may claim without storing them (compressed constants, empty chunks)."""

DEEPEST = 32


class Unreadable(Exception):
    """A sentence about what is wrong; `read` makes a ValueError of it."""


class Reader:
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
                raise Unreadable("holds recorded data (NIRGraphData), not a graph")
            raise Unreadable("has no group 'node', so it is no NIR file")
        if "version" in children:
            version = self._text(children["version"], "version")
        node = self._node(children["node"], "", 0)
        if not isinstance(node, Graph):
            raise Unreadable(f"its root is a {node.kind}; it must be a NIRGraph")
        return Graph(node.nodes, node.edges, node.metadata, version)

    def _node(self, group: Any, name: str, depth: int) -> Node | Graph:
        where = f"node '{name}'" if name else "the root graph"
        if not isinstance(group, h5py.Group):
            raise Unreadable(f"{where} is a dataset; it must be a group")
        if depth > DEEPEST:
            raise Unreadable(f"{where}: graphs are nested more than {DEEPEST} deep")
        children = self._children(group, where)
        if "type" not in children:
            raise Unreadable(f"{where} has no field 'type'")
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
            raise Unreadable(f"{where} has no field '{missing[0]}'")
        if not isinstance(children["nodes"], h5py.Group):
            raise Unreadable(f"{where}: 'nodes' is a dataset; it must be a group")
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
            raise Unreadable(f"{where}: 'edges' must be a table of names with two columns")
        if item.shape[1] != 2:
            raise Unreadable(f"{where}: 'edges' has {item.shape[1]} columns; it must have 2")
        return tuple(zip(edges[::2], edges[1::2], strict=True))

    def _tree(self, item: Any, where: str, depth: int) -> dict[str, Any]:
        if not isinstance(item, h5py.Group):
            raise Unreadable(f"{where}: 'metadata' is a dataset; it must be a group")
        if depth > DEEPEST:
            raise Unreadable(f"{where}: its metadata are nested more than {DEEPEST} deep")
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
                    raise Unreadable(f"{where}: '{name}' is a link to another place; copy it here")
                children[name] = child = group[name]
                info = h5py.h5o.get_info(child.id)
                if (info.fileno, info.addr) in self.seen:
                    raise Unreadable(f"{where}: '{name}' is also in another place of the file")
                self.seen.add((info.fileno, info.addr))
            return children

        return self._quietly(listed, where)

    def _text(self, item: Any, what: str) -> str:
        value = self._value(item, "", what)
        if not isinstance(value, str):
            raise Unreadable(f"{what} must be a text")
        return value

    def _value(self, item: Any, where: str, field: str) -> Any:
        """A number or array as an array, a text as a str, an array of texts as a flat tuple."""
        what = f"{where}, field '{field}'" if where else field
        if not isinstance(item, h5py.Dataset):
            raise Unreadable(f"{what} is a group; it must be a dataset")
        value = self._quietly(lambda: self._loaded(item, what), what)
        if isinstance(value, np.ndarray):
            return value
        try:
            if isinstance(value, bytes):
                return value.decode("utf8")
            return tuple(text.decode("utf8") for text in value)
        except UnicodeDecodeError:
            raise Unreadable(f"{what}: the text is not in UTF-8") from None

    def _loaded(self, item: h5py.Dataset, what: str) -> np.ndarray | bytes | list[bytes]:
        if item.shape is None:
            raise Unreadable(f"{what} is empty")
        dtype = item.dtype
        text = h5py.check_string_dtype(dtype) is not None
        if not text and not (dtype.kind in "fiub" and dtype.itemsize <= 8):
            raise Unreadable(f"{what} holds {dtype}; it must hold numbers or texts")
        self._refuse_foreign(item, what)
        claimed = item.size * dtype.itemsize
        stored = min(item.id.get_storage_size(), self.size)
        self.claimed += claimed
        # Texts lie elsewhere in the file, many entries may be one text: so those are not packed.
        if claimed > SMALL // (64 if text else 1) + (1 if text else MOST_DEFLATED) * stored:
            raise Unreadable(f"{what} claims {claimed:,} bytes, but only {stored:,} are stored")
        if self.claimed > 64 * SMALL + MOST_DEFLATED * self.size:
            raise Unreadable(f"{what}: the file claims more data than its {self.size:,} bytes hold")
        value = item[()]
        if not text:
            return np.asarray(value, dtype.newbyteorder("="))
        if isinstance(value, np.ndarray):
            return [bytes(entry) for entry in value.flat]
        return bytes(value)

    def _refuse_foreign(self, item: h5py.Dataset, what: str) -> None:
        if item.is_virtual or item.external:
            raise Unreadable(f"{what}: its data are stored in another file")
        plist = item.id.get_create_plist()
        used = {plist.get_filter(i)[0] for i in range(plist.get_nfilters())}
        if used - FILTERS:
            raise Unreadable(
                f"{what} is compressed with filter {min(used - FILTERS)}; use gzip or lzf"
            )

    def _quietly(self, function: Any, what: str) -> Any:
        """The result of a function that calls h5py, whose errors are as manifold as the damage."""
        try:
            return function()
        except Unreadable:
            raise
        except Exception as error:
            text = str(error).strip("'\"") or type(error).__name__
            raise OSError(f"{what} can't be read; the file is damaged ({text})") from None
