"""A NIR graph as plain data: what a file holds, before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from neurojax._graph import nearest
from neurojax.converters.nir._nodes import completed, problems_of

VERSION = "1.0.8"
"""Version of NIR whose files are written."""


@dataclass(frozen=True, eq=False)
class Node:
    """A node of a NIR graph.

    Args:
        kind: Its type in NIR, such as `"LIF"`.
        fields: Its parameters by name: NumPy arrays (a single number is an array of shape `()`),
            or a text. An `Input` or `Output` has `shape`, a `Flatten` may have `input_type`.
        metadata: Texts, numbers, arrays, lists of texts and dicts of those.
    """

    kind: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Node):
            return NotImplemented
        return (
            self.kind == other.kind
            and same(self.fields, other.fields)
            and same(self.metadata, other.metadata)
        )

    def __repr__(self) -> str:
        parts = [f"{name}={_short(value)}" for name, value in self.fields.items()]
        return f"{self.kind}({', '.join(parts)})"


@dataclass(frozen=True, eq=False)
class Graph:
    """A NIR graph: nodes by name and directed edges; several edges into one node add up.

    Graphs are equal if they have equal nodes (arrays of the same type and values), equal edges in
    any order, and equal metadata.

    Args:
        nodes: Nodes by name. A node may be a graph; `flat` puts its nodes into the outer one.
        edges: Pairs of names: source, target.
        metadata: See `Node`.
        version: Version of NIR that the file was written with; empty if it is not known.
        notes: What was decided while reading or flattening, one sentence each. Not written.

    Example:
        >>> import numpy as np
        >>> from neurojax.converters.nir import Graph, Node
        >>> shape = {"shape": np.array([4])}
        >>> graph = Graph({"x": Node("Input", shape), "y": Node("Output", shape)}, (("x", "y"),))
        >>> graph.nodes["x"]
        Input(shape=int64 (1,))
    """

    nodes: Mapping[str, Node | Graph]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)
    version: str = ""
    notes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`"NIRGraph"`: its type where it is a node of another graph."""
        return "NIRGraph"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Graph):
            return NotImplemented
        return (
            dict(self.nodes) == dict(other.nodes)
            and sorted(self.edges) == sorted(other.edges)
            and same(self.metadata, other.metadata)
        )


def same(a: Any, b: Any) -> bool:
    """Whether two values of fields or metadata are equal, types of arrays included."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, str) or isinstance(b, str):
        return bool(a == b) if isinstance(a, str) and isinstance(b, str) else False
    x, y = np.asarray(a), np.asarray(b)
    return x.dtype == y.dtype and x.shape == y.shape and bool(np.all(x == y))


def checked(graph: Graph) -> Graph:
    """The graph with missing optional fields filled in.

    `v_reset` becomes 0 and `w_in` 1 where files of NIR before 1.0.6 leave them out.

    Raises:
        ValueError: Missing or wrong fields, edges to unknown nodes; all of them, one a line.
    """
    problems = list(_problems(graph, ""))
    if problems:
        raise ValueError("\n".join(problems))
    return _completed(graph)


def _problems(graph: Graph, prefix: str) -> Iterator[str]:
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            yield from _problems(node, f"{prefix}{name}.")
        else:
            for problem in problems_of(node.kind, node.fields):
                yield f"node '{prefix}{name}': {problem}"
    where = f" of node '{prefix[:-1]}'" if prefix else ""
    for source, target in graph.edges:
        for end in (source, target):
            if end not in graph.nodes:
                yield (
                    f"edge {prefix}{source} -> {prefix}{target}: there is no node '{end}'"
                    f"{where}; {nearest(end, graph.nodes)}"
                )


def _completed(graph: Graph) -> Graph:
    nodes: dict[str, Node | Graph] = {}
    for name, node in graph.nodes.items():
        if isinstance(node, Graph):
            nodes[name] = _completed(node)
        else:
            nodes[name] = replace(node, fields=completed(node.kind, node.fields))
    return replace(graph, nodes=nodes)


def from_nir_object(graph: Any) -> Graph:
    """A graph of the package `nir` (a `nir.NIRGraph`) as ours.

    Raises:
        TypeError: It is no such graph.
        ValueError: See `checked`.
    """
    if not (hasattr(graph, "nodes") and hasattr(graph, "edges")):
        raise TypeError(
            f"from_nir_object takes a nir.NIRGraph, got a {type(graph).__name__}; for a file use "
            "read(path)"
        )
    return checked(_from_object(graph))


def _from_object(graph: Any) -> Graph:
    nodes: dict[str, Node | Graph] = {}
    for name, node in graph.nodes.items():
        if hasattr(node, "nodes") and hasattr(node, "edges"):
            nodes[str(name)] = _from_object(node)
            continue
        if not hasattr(node, "to_dict"):
            raise TypeError(
                f"node '{name}' is a {type(node).__name__}, which is no node of the package nir"
            )
        values = node.to_dict()
        kind = str(values.pop("type", type(node).__name__))
        metadata = values.pop("metadata", {})
        # Identity has its shape under another name; it needs none.
        fields = {n: _plain(v) for n, v in values.items() if v is not None and kind != "Identity"}
        nodes[str(name)] = Node(kind, fields, _plain_metadata(metadata))
    edges = tuple((str(source), str(target)) for source, target in graph.edges)
    return Graph(nodes, edges, _plain_metadata(getattr(graph, "metadata", {})))


def to_nir_object(graph: Graph, *, type_check: bool = False) -> Any:
    """A graph as a `nir.NIRGraph`, for libraries that take those.

    Args:
        graph: Any graph.
        type_check: Whether `nir` infers and checks the shapes of all nodes. It refuses correct
            graphs with kernels that are not square, and convolutions in groups.

    Raises:
        ImportError: The package `nir` is missing.
    """
    try:
        import nir
    except ImportError:
        raise ImportError(
            'to_nir_object needs the package nir: pip install "neurojax[nir]"'
        ) from None
    nodes = {
        name: to_nir_object(node, type_check=type_check)
        if isinstance(node, Graph)
        else nir.dict2NIRNode(_as_dict(node))
        for name, node in graph.nodes.items()
    }
    metadata = _written_metadata(graph.metadata)
    return nir.NIRGraph(nodes, list(graph.edges), metadata=metadata, type_check=type_check)


def _as_dict(node: Node) -> dict[str, Any]:
    # `nir` computes with single numbers, which arrays without axes would not pass for.
    values = {
        name: value[()] if isinstance(value, np.ndarray) else value
        for name, value in node.fields.items()
    }
    if node.kind in ("Conv1d", "Conv2d"):
        values.setdefault("input_shape", None)
    return values | {"type": node.kind, "metadata": _written_metadata(node.metadata)}


def _written_metadata(metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: _written_metadata(value) if isinstance(value, Mapping) else value
        for name, value in metadata.items()
    }


def _plain(value: Any) -> Any:
    """A value of a field: a text, or an array."""
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if isinstance(value, str):
        return value
    if hasattr(value, "detach"):  # a torch tensor: some exporters leave them in
        value = value.detach().cpu().numpy()
    return np.asarray(value)


def _plain_metadata(metadata: Any) -> dict[str, Any]:
    if not isinstance(metadata, Mapping):
        return {}
    plain: dict[str, Any] = {}
    for name, value in metadata.items():
        if isinstance(value, Mapping):
            plain[str(name)] = _plain_metadata(value)
        elif value is not None:
            plain[str(name)] = texts_or_array(_plain(value))
    return plain


def texts_or_array(value: Any) -> Any:
    """An array of texts as a tuple, other values as they are."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        texts = [t.decode("utf8", "replace") if isinstance(t, bytes) else t for t in value.flat]
        return tuple(str(text) for text in texts)
    return value


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.shape}" if value.ndim else str(value[()])
    return repr(value)
