"""Graph checks of a network: order, strongly connected stages, shapes. Static, plain Python."""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from neurojax._layer import Layer, Shape


class Edge(NamedTuple):
    """A directed connection. `recurrent` edges deliver the source's output of the step before."""

    source: str
    target: str
    recurrent: bool = False

    def __str__(self) -> str:
        return f"{self.source} {'~>' if self.recurrent else '->'} {self.target}"


def nearest(name: str, names: Iterable[str]) -> str:
    """A hint for an unknown name: the closest known one, or all of them."""
    names = list(names)
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean '{close[0]}'?"
    return "known names: " + (", ".join(f"'{n}'" for n in names) or "none")


def check_names(
    layers: Mapping[str, Layer],
    inputs: Mapping[str, Shape],
    edges: Sequence[Edge],
    outputs: Sequence[str],
) -> list[str]:
    """Everything wrong with the names of a network, one sentence each."""
    problems = []
    known = [*inputs, *layers]
    for name in inputs:
        if name in layers:
            problems.append(f"'{name}' is both an input and a layer; rename one of them")
    for name, layer in layers.items():
        if not isinstance(layer, Layer):
            problems.append(
                f"layer '{name}' is a {type(layer).__name__}, not a neurojax.Layer; "
                "import it with neurojax.converters, or wrap it in a Layer"
            )
    for edge in edges:
        for end, role in ((edge.source, "source"), (edge.target, "target")):
            if end not in known:
                problems.append(
                    f"edge {edge}: {role} '{end}' does not exist; {nearest(end, known)}"
                )
        if edge.target in inputs:
            problems.append(f"edge {edge}: '{edge.target}' is an input and can't be a target")
        if edge.recurrent and edge.source in inputs:
            problems.append(f"edge {edge}: an input can't be the source of a recurrent edge")
    for edge in {e for e in edges if list(edges).count(e) > 1}:
        problems.append(f"edge {edge} is given more than once")
    reached = {edge.target for edge in edges}
    for name in layers:
        if name not in reached:
            problems.append(f"layer '{name}' has no incoming edge; connect it or remove it")
    for name in outputs:
        if name not in layers:
            problems.append(f"output '{name}' is not a layer; {nearest(name, layers)}")
    return problems


def topological_order(names: Sequence[str], edges: Iterable[Edge]) -> tuple[str, ...]:
    """Layers in an order in which every layer follows its sources; recurrent edges don't count.

    Raises:
        ValueError: There is a cycle without a recurrent edge.
    """
    sources: dict[str, list[str]] = {name: [] for name in names}
    for edge in edges:
        if not edge.recurrent and edge.source in sources:
            sources[edge.target].append(edge.source)
    try:
        return tuple(graphlib.TopologicalSorter(sources).static_order())
    except graphlib.CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise ValueError(
            f"the edges form a cycle within one time step: {cycle}; "
            "mark one of them recurrent: Edge(source, target, recurrent=True)"
        ) from None


def stages(order: Sequence[str], edges: Iterable[Edge]) -> tuple[tuple[str, ...], ...]:
    """Layers grouped into strongly connected components, in an order they can be run in.

    A stage of one layer can be run over all time before the next stage starts; the layers of a
    larger stage feed back into each other and have to be stepped together.
    """
    index = {name: i for i, name in enumerate(order)}
    pairs = [(index[e.source], index[e.target]) for e in edges if e.source in index]
    rows, columns = zip(*pairs, strict=True) if pairs else ((), ())
    graph = csr_array((np.ones(len(pairs)), (rows, columns)), shape=(len(order), len(order)))
    _, labels = connected_components(graph, directed=True, connection="strong")
    members: dict[int, list[str]] = {}
    for name, label in zip(order, labels, strict=True):
        members.setdefault(int(label), []).append(name)
    follows: dict[int, set[int]] = {label: set() for label in members}
    for source, target in pairs:
        if labels[source] != labels[target]:
            follows[int(labels[target])].add(int(labels[source]))
    return tuple(tuple(members[i]) for i in graphlib.TopologicalSorter(follows).static_order())


def infer_shapes(
    layers: Mapping[str, Layer],
    inputs: Mapping[str, Shape],
    edges: Sequence[Edge],
    order: Sequence[str],
) -> tuple[dict[str, Shape | tuple[Shape, ...]], dict[str, Shape]]:
    """Input and output shape of every layer.

    A layer's input shape is known as soon as one of its sources is (all of them, if it takes a
    tuple), so that feedback needs no declaration; afterwards every edge is checked.

    Raises:
        ValueError: All mismatches, one sentence each, with the layers' names.
    """
    incoming = {name: [e for e in edges if e.target == name] for name in order}
    out: dict[str, Shape] = dict(inputs)
    into: dict[str, Shape | tuple[Shape, ...]] = {}
    problems: list[str] = []
    pending = list(order)
    while pending:
        progress = False
        for name in list(pending):
            layer = layers[name]
            known = [out[e.source] for e in incoming[name] if e.source in out]
            if not known or (layer.many_inputs and len(known) < len(incoming[name])):
                continue
            pending.remove(name)
            progress = True
            into[name] = tuple(known) if layer.many_inputs else known[0]
            try:
                out[name] = layer.out_shape(cast(Any, into[name]))
            except ValueError as error:
                problems.append(f"layer '{name}': {error}")
        if not progress:
            break
    if problems:
        raise ValueError("\n".join(problems))
    if pending:
        raise ValueError(
            "the shapes of these layers can't be inferred, because they only feed each other: "
            + ", ".join(f"'{name}'" for name in pending)
        )
    for name in order:
        if layers[name].many_inputs:
            continue
        for edge in incoming[name]:
            if out[edge.source] != into[name]:
                problems.append(
                    f"edge {edge}: '{edge.source}' gives {out[edge.source]}, but '{name}' "
                    f"takes {into[name]}; inputs of one layer are added up and must agree"
                )
    if problems:
        raise ValueError("\n".join(problems))
    return into, out
