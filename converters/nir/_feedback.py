"""Which edges of a graph with cycles deliver what their source gave one step before.

NIR's edges take no time, so a cycle has to be cut somewhere to be stepped. All libraries feed the
spikes of the step before back into the recurrent weights: the cut is behind a neuron, not behind
the weights, whose bias then acts from the first step on.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from neurojax._graph import Edge, stages

Pair = tuple[str, str]


def cycle_members(names: Sequence[str], edges: Iterable[Pair]) -> set[str]:
    """The nodes that are part of a cycle."""
    known = set(names)
    inner = [Edge(source, target) for source, target in edges if target in known]
    found = {name for stage in stages(names, inner) if len(stage) > 1 for name in stage}
    return found | {edge.source for edge in inner if edge.source == edge.target}


def feedback(
    roots: Sequence[str], names: Sequence[str], edges: Sequence[Pair], stateless: Container[str]
) -> set[Pair]:
    """The edges that close cycles; without them the graph has none.

    Args:
        roots: Where signals come in: the search for cycles starts there, in this order.
        names: All nodes.
        edges: All edges.
        stateless: Nodes without memory. The cut moves from behind these to behind what drives
            them, if that is one node and they drive one node.
    """
    after: dict[str, list[str]] = {name: [] for name in (*roots, *names)}
    before: dict[str, list[str]] = {name: [] for name in (*roots, *names)}
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    closing: list[Pair] = []
    done: set[str] = set()
    for root in (*roots, *names):
        if root in done:
            continue
        # Depth first, with a list instead of recursion: networks may be deep.
        path, open_edges = [root], [iter(after[root])]
        on_path = {root}
        while path:
            following = next(open_edges[-1], None)
            if following is None:
                open_edges.pop()
                on_path.discard(path[-1])
                done.add(path.pop())
            elif following in on_path:
                closing.append((path[-1], following))
            elif following not in done:
                path.append(following)
                on_path.add(following)
                open_edges.append(iter(after[following]))
    return {_behind_a_neuron(edge, after, before, stateless) for edge in closing}


def _behind_a_neuron(
    edge: Pair,
    after: dict[str, list[str]],
    before: dict[str, list[str]],
    stateless: Container[str],
) -> Pair:
    source, target = edge
    passed = {target}
    while source in stateless and len(after[source]) == 1 and len(before[source]) == 1:
        if source in passed:
            return edge  # a cycle without any memory
        passed.add(source)
        source, target = before[source][0], source
    return source, target
