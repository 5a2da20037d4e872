"""One defensive pass over a NIR file."""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from neurojax._hdf5 import SafeFile, Unreadable
from neurojax.converters.nir._graph import Graph, Node

DEEPEST = 32


class Reader:
    """One pass over a file."""

    def __init__(self, file: SafeFile) -> None:
        self.file = file

    def graph(self) -> Graph:
        version = ""
        children = self.file.children(self.file.root, "")
        if "node" not in children:
            kind = self.file.attribute("__type__")
            if kind == "NIRGraphData":
                raise Unreadable("holds recorded data (NIRGraphData), not a graph")
            raise Unreadable("has no group 'node', so it is no NIR file")
        if "version" in children:
            version = self.file.text(children["version"], "version")
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
        children = self.file.children(group, where)
        if "type" not in children:
            raise Unreadable(f"{where} has no field 'type'")
        kind = self.file.text(children.pop("type"), f"{where}, field 'type'")
        metadata = (
            self._tree(children.pop("metadata"), where, depth) if "metadata" in children else {}
        )
        if kind == "NIRGraph":
            return self._subgraph(children, metadata, name, where, depth)
        fields = {field: self.file.value(item, where, field) for field, item in children.items()}
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
            for child, item in self.file.children(children["nodes"], where).items()
        }
        return Graph(nodes, self._edges(children["edges"], where), metadata)

    def _edges(self, item: Any, where: str) -> tuple[tuple[str, str], ...]:
        edges = self.file.value(item, where, "edges")
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
            else self.file.value(child, where, f"metadata/{name}")
            for name, child in self.file.children(item, where).items()
        }
