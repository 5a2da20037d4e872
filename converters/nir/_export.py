"""Networks as NIR graphs."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.converters.nir._clock import SECONDS, UNITS
from neurojax.converters.nir._file import legal_name, write
from neurojax.converters.nir._flat import contracted
from neurojax.converters.nir._graph import VERSION, Graph, Node
from neurojax.converters.nir._neurons import Refused, Steps
from neurojax.converters.nir._options import options_of
from neurojax.converters.nir._pieces import pieces_of

KEY = "neurojax"
"""Name of our metadata in a graph and in its nodes."""

FORMAT = 1
"""Version of our metadata."""


def to_nir(
    network: Network,
    path: str | os.PathLike[str] | None = None,
    *,
    dt: float | None = None,
    time_unit: str = "s",
    method: str = "euler",
    allow_lossy: bool = False,
) -> Graph:
    """Export a network as a NIR graph, and write it to a file.

    Whoever reads the graph by NIR's own text, with the same `dt` and `method`, gets the same
    spikes: `tau = dt / (1 - decay)`, `r = gain / (1 - decay)`, and for neurons that spike at
    v >= threshold the next smaller float32, because NIR's spike at v > threshold. `from_nir` gets
    the very network back, from metadata beside the standard fields.

    Args:
        network: What to export. Dropout vanishes, as in inference.
        path: A file to write; it appears whole or not at all.
        dt: Duration of a time step in seconds. Not needed with `time_unit="steps"`.
        time_unit: Unit of the times in the file: `"s"` (what most readers take), `"ms"`, `"us"` or
            `"steps"`.
        method: How readers make steps of time constants: `"euler"`, decay = 1 - dt/tau (all that
            we know of), or `"exact"`, decay = exp(-dt/tau).
        allow_lossy: Write what NIR can say of a network that it can't say everything of. A warning
            and the metadata (`graph.metadata["neurojax"]["lost"]`) list what other readers
            won't know; `from_nir` still gets the very network back.

    Returns:
        The graph, as it was written.

    Raises:
        ValueError: Everything that NIR can't say, one line each; layers that it has no node for
            even with `allow_lossy`; a wrong option.
        OSError: The file can't be written.

    References:
        J. E. Pedersen et al., "Neuromorphic intermediate representation", Nature Communications
        15, 2024; https://neuroir.org/docs/primitives.html.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.converters.nir import to_nir
        >>> net = nj.Sequential((4,), hidden=nj.Linear(4, 8, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(decay=0.5, reset="zero"))
        >>> graph = to_nir(net, dt=1e-3)
        >>> graph.edges
        (('input', 'hidden'), ('hidden', 'spikes'), ('spikes', 'output'))
        >>> print(graph.nodes["spikes"].fields["tau"][0])
        0.002
    """
    check_network("to_nir", network)
    steps = Steps(_step(dt, time_unit), method)
    if method not in ("euler", "exact"):
        raise ValueError(f"to_nir: method is {method!r}; it must be 'euler' or 'exact'")
    export = _Export(network, steps)
    export.build()
    remedy = "allow_lossy=True writes the rest and keeps these for neurojax alone"
    problems = export.impossible + ([] if allow_lossy else export.lost)
    if problems:
        hint = f"\n{remedy}" if export.lost and not allow_lossy else ""
        raise ValueError("NIR can't say this:\n" + "\n".join(problems) + hint)
    header: dict[str, Any] = {"network": json.dumps(_header(network, dt, time_unit, method))}
    if export.absent:
        header["layers"] = export.absent
    if export.lost:
        header["lost"] = tuple(export.lost)
        warnings.warn(
            "readers of the NIR graph won't know:\n" + "\n".join(export.lost), stacklevel=2
        )
    graph = Graph(export.nodes, tuple(export.edges), {KEY: header}, VERSION)
    if path is not None:
        write(path, graph)
    return graph


def _step(dt: float | None, time_unit: str) -> float:
    """A time step in the unit of the file, as its readers have it (in float32)."""
    if time_unit not in UNITS:
        raise ValueError(
            f"to_nir: time_unit is {time_unit!r}; it must be one of {', '.join(UNITS)}"
        )
    if time_unit == "steps":
        return 1.0
    if not (isinstance(dt, int | float) and 0 < dt < float("inf")):
        raise ValueError(
            f"to_nir: dt is {dt!r}; it must be the seconds of a time step, or give "
            "time_unit='steps'"
        )
    return float(np.float32(dt / SECONDS[time_unit]))


def _header(network: Network, dt: float | None, time_unit: str, method: str) -> dict[str, Any]:
    """What makes a network besides its layers."""
    return {
        "format": FORMAT,
        "dt": dt,
        "time_unit": time_unit,
        "method": method,
        "inputs": list(network.inputs.items()),
        "names": network.names,
        "edges": network.edges,
        "outputs": network.outputs,
        "provenance": network.provenance,
    }


class _Export:
    """One export: the nodes and edges so far, and what stands against them."""

    def __init__(self, network: Network, steps: Steps) -> None:
        self.network = network
        self.steps = steps
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.entry: dict[str, str] = {}
        self.exit: dict[str, str] = {}
        self.absent: dict[str, Any] = {}  # layers without a node of their own
        self.impossible: list[str] = []
        self.lost: list[str] = []

    def build(self) -> None:
        """Make all nodes and edges, or find out why not."""
        network = self.network
        for name, shape in network.inputs.items():
            self._add(name, Node("Input", {"shape": np.array(shape, np.int64)}), f"input '{name}'")
            self.exit[name] = name
        for name in network.names:
            self._add_layer(name, network[name], cast(Any, network.in_shape(name)))
        if self.impossible:
            return
        self._connect()
        for name in network.outputs:
            end = "output" if len(network.outputs) == 1 else f"output_{name}"
            while end in self.nodes:
                end += "_"
            self.nodes[end] = Node("Output", {"shape": np.array(network.out_shape(name), np.int64)})
            self.edges.append((self.exit[name], end))
        self._drop_identities()

    def _add(self, name: str, node: Node, what: str) -> None:
        if not legal_name(name):
            self.impossible.append(f"{what}: NIR files can't hold this name; rename it without '/'")
        if name in self.nodes:
            self.impossible.append(f"{what}: another node is called '{name}' too; rename it")
        self.nodes[name] = node

    def _add_layer(self, name: str, layer: Layer, shape: Shape) -> None:
        try:
            pieces = pieces_of(layer, shape, self.steps).under(name)
            nodes = {n: node for n, node in pieces.nodes.items() if node.kind != "Identity"}
            options = options_of(layer, nodes)
        except (Refused, ValueError) as refused:
            self.impossible.append(f"layer '{name}': {refused}")
            return
        self.lost += [f"layer '{name}': {text}" for text in pieces.lost]
        self.entry[name], self.exit[name] = pieces.entry, pieces.exit
        self.edges += pieces.edges
        for node_name, node in pieces.nodes.items():
            metadata: dict[str, Any] = {}
            if node_name == pieces.exit and node_name in nodes:
                metadata = {KEY: {"layer": name} | options.metadata()}
            self._add(node_name, Node(node.kind, node.fields, metadata), f"layer '{name}'")
        if pieces.exit not in nodes:
            self.absent[name] = options.metadata()

    def _connect(self) -> None:
        """Edges of the network; those that are late without closing a cycle get a Delay node."""
        direct = [edge for edge in self.network.edges if not edge.recurrent]
        for edge in self.network.edges:
            source, target = self.exit[edge.source], self.entry[edge.target]
            if not edge.recurrent or _reaches(edge.target, edge.source, direct):
                self.edges.append((source, target))
                continue
            direct.append(edge)
            name = f"{edge.source}.late.{edge.target}"
            delay = np.full(self.network.out_shape(edge.source), self.steps.dt, np.float32)
            self._add(name, Node("Delay", {"delay": delay}), f"edge {edge}")
            self.edges += [(source, name), (name, target)]

    def _drop_identities(self) -> None:
        shapes = {
            name: node.fields["shape"]
            for name, node in self.nodes.items()
            if node.kind == "Identity"
        }
        self.edges = contracted(self.nodes, self.edges)
        for name, shape in shapes.items():
            if name in self.nodes:  # two paths that add up, which one edge could not say
                self.nodes[name] = Node("Scale", {"scale": np.ones(shape, np.float32)})


def _reaches(start: str, end: str, edges: Iterable[Edge]) -> bool:
    """Whether a path leads from one layer to another."""
    follows: dict[str, list[str]] = {}
    for edge in edges:
        follows.setdefault(edge.source, []).append(edge.target)
    reached, waiting = {start}, [start]
    while waiting:
        for name in follows.get(waiting.pop(), ()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return end in reached
