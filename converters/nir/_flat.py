"""One level of nodes: nested graphs put into the outer one, and nodes removed that do nothing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from neurojax.converters.nir._graph import Graph, Node, checked

Edges = list[tuple[str, str]]

NEURONS = {"I", "LI", "CubaLI", "IF", "LIF", "CubaLIF", "Threshold"}
SYNAPSES = {"Affine", "Linear"}


def flat(graph: Graph) -> Graph:
    """The same graph without nested graphs, identities and duplicate edges.

    * The nodes of a nested graph get its name and a dot in front; its inputs and outputs vanish.
    * snnTorch and spyx connect the input of a recurrent population to its feedback weights instead
      of to its neurons; such an edge goes to the neurons.
    * An edge that is given twice counts once: NIR's documentation adds duplicates up, but the
      package `nir` refuses them since 1.0.8 and the libraries that meet them drop them.
    * Nodes that no input reaches are dropped, unless others depend on them.

    Args:
        graph: Any graph.

    Returns:
        The flat graph; its `notes` say what was done, one sentence each.

    Raises:
        ValueError: See `checked`; names that become equal; several inputs or outputs of a nested
            graph, of which the edges don't say which one they mean; nodes without input on which
            others depend.
    """
    graph = checked(graph)
    notes = list(graph.notes)
    nodes: dict[str, Node] = {}
    problems: list[str] = []
    edges, _, _ = _inlined(graph, "", nodes, notes, problems)
    if problems:
        raise ValueError("\n".join(problems))
    edges = _once(edges, notes)
    edges = _reachable(nodes, edges, notes)
    edges = contracted(nodes, edges)
    kept = {end for edge in edges for end in edge}
    notes += [f"node '{name}' leads nowhere" for name in _dangling(nodes, edges) if name in kept]
    return replace(graph, nodes=nodes, edges=tuple(edges), notes=tuple(notes))


def _inlined(
    graph: Graph, prefix: str, nodes: dict[str, Node], notes: list[str], problems: list[str]
) -> tuple[Edges, list[str], list[str]]:
    """Put the nodes of a graph into `nodes`; return its edges, inputs and outputs, full names."""
    entries: dict[str, list[str]] = {}
    exits: dict[str, list[str]] = {}
    inner: Edges = []
    inputs: list[str] = []
    outputs: list[str] = []
    # Some exporters repeat the name of the graph in the names of its nodes.
    repeated = bool(prefix) and all(name.startswith(prefix) for name in graph.nodes)
    for name, node in graph.nodes.items():
        full = name if repeated else prefix + name
        if isinstance(node, Graph):
            more, into, out_of = _inlined(node, f"{full}.", nodes, notes, problems)
            inner += more
            entries[name], exits[name] = into, out_of
            for ends, what in ((into, "inputs"), (out_of, "outputs")):
                if len(ends) > 1:
                    problems.append(
                        f"node '{full}': a nested graph with {len(ends)} {what}; its edges don't "
                        "say which one they mean, so put its nodes into the outer graph"
                    )
            continue
        entries[name] = exits[name] = [full]
        if full in nodes:
            problems.append(f"two nodes are called '{full}' once nested graphs are inlined")
        if prefix and node.kind in ("Input", "Output"):
            (inputs if node.kind == "Input" else outputs).append(full)
            node = Node("Identity")
        nodes[full] = node
    if prefix:
        rewired = _rewired(graph)
        if rewired != graph.edges:
            notes.append(
                f"node '{prefix[:-1]}': its input goes to the neurons, not to the feedback weights"
            )
            graph = replace(graph, edges=rewired)
    for source, target in graph.edges:
        inner += [(a, b) for a in exits[source] for b in entries[target]]
    return inner, inputs, outputs


def _rewired(graph: Graph) -> tuple[tuple[str, str], ...]:
    """The edges of a recurrent population, with the input at the neurons."""
    kinds = {name: node.kind for name, node in graph.nodes.items()}

    def only(legal: Iterable[str]) -> str | None:
        found = [name for name, kind in kinds.items() if kind in legal]
        return found[0] if len(found) == 1 else None

    entry, exit_, neuron, synapse = map(only, ({"Input"}, {"Output"}, NEURONS, SYNAPSES))
    if len(kinds) != 4 or entry is None or exit_ is None or neuron is None or synapse is None:
        return graph.edges
    feedback = {(neuron, synapse), (synapse, neuron)} <= set(graph.edges)
    if not feedback or (entry, neuron) in graph.edges or (entry, synapse) not in graph.edges:
        return graph.edges
    return tuple((entry, neuron) if e == (entry, synapse) else e for e in graph.edges)


def _once(edges: Edges, notes: list[str]) -> Edges:
    unique = list(dict.fromkeys(edges))
    if len(unique) < len(edges):
        twice = sorted({edge for edge in edges if edges.count(edge) > 1})
        notes += [f"edge {a} -> {b} is given more than once; it counts once" for a, b in twice]
    return unique


def _reachable(nodes: dict[str, Node], edges: Edges, notes: list[str]) -> Edges:
    """Drop nodes without input; refuse if others need them."""
    targets = {target for _, target in edges}
    starts = [name for name, node in nodes.items() if node.kind == "Input"]
    starts = starts or [name for name in nodes if name not in targets]
    reached = _from(starts, edges)
    lost = [name for name in nodes if name not in reached]
    needed = [f"'{a}' (which '{b}' needs)" for a, b in edges if a not in reached and b in reached]
    # An input or output of a nested graph that nothing is connected to is no loss.
    needed = [text for text in needed if nodes[text.split("'")[1]].kind != "Identity"]
    if needed:
        raise ValueError(
            "no input reaches these nodes: " + ", ".join(needed) + "; connect or remove them"
        )
    for name in lost:
        if nodes.pop(name).kind != "Identity":
            notes.append(f"node '{name}' is left out, because no input reaches it")
    return [edge for edge in edges if edge[0] in nodes and edge[1] in nodes]


def _dangling(nodes: dict[str, Node], edges: Edges) -> list[str]:
    """Nodes that reach no output, if there are outputs."""
    ends = [name for name, node in nodes.items() if node.kind == "Output"]
    reaching = _from(ends, [(b, a) for a, b in edges])
    return [name for name in nodes if name not in reaching] if ends else []


def _from(starts: Iterable[str], edges: Edges) -> set[str]:
    follows: dict[str, list[str]] = {}
    for source, target in edges:
        follows.setdefault(source, []).append(target)
    reached, waiting = set(starts), list(starts)
    while waiting:
        for name in follows.get(waiting.pop(), ()):
            if name not in reached:
                reached.add(name)
                waiting.append(name)
    return reached


def contracted(nodes: dict[str, Node], edges: Edges) -> Edges:
    """Without the identities, except where two paths would become one edge (which add up)."""
    waiting = [name for name, node in nodes.items() if node.kind == "Identity"]
    changed = True
    while changed:  # where one goes, another may become free to go
        changed = False
        for name in list(waiting):
            sources = [a for a, b in edges if b == name]
            targets = [b for a, b in edges if a == name]
            new = [(a, b) for a in sources for b in targets]
            direct = any(nodes[a].kind == "Input" and nodes[b].kind == "Output" for a, b in new)
            if targets and (name in sources or direct or set(new) & set(edges)):
                continue
            del nodes[name]
            waiting.remove(name)
            edges = [edge for edge in edges if name not in edge] + new
            changed = True
    return edges
