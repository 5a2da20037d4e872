"""Networks from graphs that neurojax wrote, exactly as they were."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurojax._graph import Edge
from neurojax._network import Network, Provenance
from neurojax.converters.nir._export import FORMAT, KEY, to_nir
from neurojax.converters.nir._graph import Graph, Node, same
from neurojax.converters.nir._options import layer_of


class Restored(NamedTuple):
    """What a graph gives back."""

    network: Network | None  # None: it was not written by neurojax, or has been changed
    note: str = ""  # why there is none, if it was written by neurojax


def restored(graph: Graph, *, dt: float | None = None, time_unit: str | None = None) -> Restored:
    """The network that `to_nir` made a graph of.

    The metadata are believed only if the network that they describe gives this very graph again.
    If somebody has changed a time constant since, or taken a node away, there is none. Changed
    weights are taken over.

    Args:
        graph: Any graph.
        dt: Seconds of a time step. Another one than the graph was written with: no network.
        time_unit: The same of the unit of the file.
    """
    header = graph.metadata.get(KEY)
    if not isinstance(header, Mapping):
        return Restored(None)
    try:
        described = json.loads(header["network"])
        if described["format"] != FORMAT:
            return Restored(None, f"neurojax's metadata have format {described['format']!r}")
        for name, given in (("dt", dt), ("time_unit", time_unit)):
            if given is not None and described[name] not in (None, given):
                return Restored(None, f"it was written with {name}={described[name]!r}")
        network = _network(graph, header, described)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is lost was said when it was written
            again = to_nir(
                network,
                dt=described["dt"],
                time_unit=described["time_unit"],
                method=described["method"],
                allow_lossy=True,
            )
    # Metadata may hold anything, and then anything can go wrong.
    except Exception as error:
        return Restored(None, f"neurojax's metadata can't be read ({_first_line(error)})")
    difference = _difference(graph, again)
    if difference:
        return Restored(None, f"it was changed since neurojax wrote it: {difference}")
    return Restored(network)


def _network(graph: Graph, header: Mapping[str, Any], described: Any) -> Network:
    options = dict(header.get("layers", {}))
    for node in graph.nodes.values():
        own = node.metadata.get(KEY)
        if own is not None:
            options[str(own["layer"])] = own
    layers = {
        name: layer_of(options[name]["options"], options[name].get("arrays"), graph.nodes)
        for name in described["names"]
    }
    return Network(
        layers,
        [Edge(str(a), str(b), bool(late)) for a, b, late in described["edges"]],
        inputs={str(name): tuple(shape) for name, shape in described["inputs"]},
        outputs=[str(name) for name in described["outputs"]],
        provenance={
            str(name): Provenance(str(source), str(there), tuple(map(str, notes)))
            for name, (source, there, notes) in described.get("provenance", {}).items()
        },
    )


def _difference(a: Graph, b: Graph) -> str:
    """Where two graphs differ, metadata aside; empty if they don't."""
    for name in [*a.nodes, *b.nodes]:
        x, y = a.nodes.get(name), b.nodes.get(name)
        if not (isinstance(x, Node) and isinstance(y, Node)) or x.kind != y.kind:
            return f"node '{name}'"
        for field in [*x.fields, *y.fields]:
            if not _close(x.fields.get(field), y.fields.get(field)):
                return f"field '{field}' of node '{name}'"
    missing = sorted(set(a.edges) ^ set(b.edges))
    return f"edge {missing[0][0]} -> {missing[0][1]}" if missing else ""


def _close(x: Any, y: Any) -> bool:
    # Another machine may round an exponential differently.
    floats = all(isinstance(v, np.ndarray) and v.dtype.kind == "f" for v in (x, y))
    if floats and x.shape == y.shape:
        return bool(np.allclose(x, y, rtol=1e-6, atol=0))
    return same(x, y)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
