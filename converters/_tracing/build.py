"""From the nodes of a trace to a `Network`: outputs, edges, and the check of every layer."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax._progress import PatientBar
from neurojax.converters._agreement import agreement
from neurojax.converters._tracing.recording import Value
from neurojax.converters._tracing.timeloop import Fold, free_name, misuse
from neurojax.converters._tracing.values import (
    BY_TIME,
    DECODERS,
    DROPPED,
    Arg,
    Data,
    Node,
    Reduced,
    State,
    Tag,
    Trace,
    Unknown,
    flat,
    is_idle,
    layout_text,
    to_time_first,
)
from neurojax.layers import Concat, Identity, Pad


@dataclasses.dataclass
class Outputs:
    """What a model returns: nodes, and nodes of which it returns a state.

    Attributes:
        nodes: What a run of the network returns.
        states: Nodes of which a state is returned.
        instead: If there are only states: how to get them from a run.
        problems: What can't be imported.
    """

    nodes: list[Node] = dataclasses.field(default_factory=list)
    states: list[Node] = dataclasses.field(default_factory=list)
    instead: list[str] = dataclasses.field(default_factory=list)
    problems: list[tuple[str, str]] = dataclasses.field(default_factory=list)


def read_outputs(fold: Fold, by_step: bool) -> Outputs:
    """The outputs of a model, with notes where they are not what a run returns.

    Args:
        fold: The nodes.
        by_step: Whether the model was called once a step, and returned a list of what it returned.
    """
    found = Outputs()
    tree = _without_spikes(fold, fold.recording.outputs)
    if by_step:
        # The same value of each step, side by side.
        groups = zip(*(list(flat(step)) for step in tree), strict=False)
        tree = [list(group) for group in groups]
    for item in _groups(fold, tree):
        _read_output(fold, item, found)
    known = any(isinstance(fold.tag(x), Unknown) for x in flat(fold.recording.outputs))
    if found.nodes:
        found.instead = []
    else:
        found.nodes = list(dict.fromkeys(found.states))
    if not (found.nodes or found.problems or fold.problems or known):
        found.problems.append(("", "its outputs don't depend on its inputs"))
    return found


def _without_spikes(fold: Fold, tree: Any) -> Any:
    """What was returned, without the outputs that Norse's recurrent cells keep in their states."""
    if isinstance(tree, dict):
        return {name: _without_spikes(fold, item) for name, item in tree.items()}
    if not isinstance(tree, tuple | list):
        return tree
    is_state = hasattr(tree, "_fields") and any(isinstance(fold.tag(x), State) for x in tree)
    return [
        None if is_state and isinstance(fold.tag(x), Data) else _without_spikes(fold, x)
        for x in tree
    ]


def _groups(fold: Fold, tree: Any) -> Iterator[Tag | list[Tag]]:
    """Tags of what was returned; a list of what one node gave in all steps stays together."""
    if isinstance(tree, dict):
        for item in tree.values():
            yield from _groups(fold, item)
        return
    if isinstance(tree, Value):
        if (tag := fold.tag(tree)) is not None:
            yield tag
        return
    if not isinstance(tree, tuple | list):
        return
    tags = [fold.tag(x) for x in tree]
    steps = [tag.t for tag in tags if isinstance(tag, Data | State)]
    nodes = {tag.node for tag in tags if isinstance(tag, Data | State)}
    if len(nodes) == 1 and len(steps) == len(tags) and steps == list(range(fold.steps or 0)):
        yield [tag for tag in tags if tag is not None]
        return
    for item in tree:
        yield from _groups(fold, item)


def _read_output(fold: Fold, item: Tag | list[Tag], found: Outputs) -> None:
    last = (fold.steps or 1) - 1
    tag: Any = item[0] if isinstance(item, list) else item
    if isinstance(tag, Unknown):
        return
    if isinstance(tag, State | Trace):
        node = tag.node
        note = f"torch returns its state '{tag.path}'"
        if (path := _state_path(node, tag.path)) is not None:
            note += f": record it, probes=['{path}']"
        # The last state of all is what `run.state` holds.
        recorded = isinstance(tag, Trace) or isinstance(item, list)
        if recorded and note not in node.notes:
            node.notes.append(note)
        found.states.append(node)
        if path is not None:
            found.instead.append(f"'{path}'" + ("" if recorded else " (its last step)"))
        else:
            found.instead.append(f"the state '{tag.path}' of '{node.name}', which has no probe")
        return
    note = ""
    if isinstance(tag, Data) and not isinstance(item, list) and tag.t is not None:
        tag = _last_step(fold, tag, last)
    if isinstance(tag, Reduced):
        if tag.upto not in (None, last):
            found.problems.append(("", f"returns a sum over {tag.upto + 1} of {last + 1} steps"))
            return
        what = {"last": "last step", "max": "maximum"}.get(tag.how, tag.how)
        what += "" if tag.how == "last" else " over time"
        note = f"torch returns its {what}{', times a number' if tag.scaled else ''}"
        if tag.how in DECODERS:
            note += f": neurojax.decode.{DECODERS[tag.how]}(run.outputs)"
    elif not isinstance(tag, Data):
        found.problems.append(("", misuse(tag, "return")))
        return
    elif tag.t is not None and not isinstance(item, list):
        text = f"returns step {tag.t} only; return all steps, or the last one"
        if tag.t == last:
            text = (
                f"calls '{tag.node.original or tag.node.name}' after the loop over time; end the "
                "model before that, and do it with the outputs of the run"
            )
        found.problems.append(("", text))
        return
    elif tag.sequence and tag.lead != BY_TIME:
        note = f"torch returns {layout_text(tag.lead)}; a run returns [time, batch, ...]"
    node = _source(tag.node)
    if note and note not in node.notes:
        node.notes.append(note)
    if node not in found.nodes:
        found.nodes.append(node)


def _state_path(node: Node, path: str) -> str | None:
    """What a probe calls a state, if the layers have one of that name."""
    shape, parts = node.in_shape, path.split(".")
    for name, layer in node.layers.items():
        state = layer.init(shape)
        shape = layer.out_shape(shape)
        prefix = f"{node.name}.{name}" if name else node.name
        for inner in ([], ["neuron"], ["neuron", "neuron"]):
            found = state
            for part in (*inner, *parts):
                found = getattr(found, part, None)
            if found is not None:
                return ".".join([prefix, *inner, *parts])
    return None


def _last_step(fold: Fold, tag: Data, last: int) -> Data | Reduced:
    """What the value of a single step is in terms of the whole run."""
    if tag.t != last or last == 0:
        return tag
    node, scaled, drops = tag.node, False, False
    while node.start == last and node.args[0].node and not node.args[0].delay:
        multiple = node.source.startswith(("torch.mul", "torch.div", "torch.true_div"))
        if not multiple and not is_idle(node.source):
            break
        scaled = scaled or multiple
        drops = drops or not (multiple or node.source == "torch.Identity")
        node = node.args[0].node
    if node.start == last:
        return tag
    how = "last"
    others = [arg for arg in node.args if arg != Arg(node, 1)]
    if node.sums and len(others) < len(node.args) and len(others) == 1 and others[0].node:
        node, how = others[0].node, "sum"
    if drops and DROPPED not in node.notes:
        node.notes.append(DROPPED)
    return Reduced(node, how, scaled=scaled)


def _source(node: Node) -> Node:
    """The node itself, or what it adds to nothing."""
    given = [arg for arg in node.args if arg.node is not None]
    if node.sums and len(given) == 1 and given[0].delay == 0 and given[0].node is not None:
        return _source(given[0].node)
    return node


def build(
    fold: Fold, outputs: Outputs, check: bool, bar: PatientBar
) -> tuple[Network | None, list[Any]]:
    """The network, or None and what stands against it."""
    problems: list[tuple[str, str]] = []
    needed = _ancestors(outputs.nodes)
    nodes = [node for node in fold.nodes if node in needed and not node.is_input]
    inputs = {node.name: node.out_shape for node in fold.nodes if node.is_input}
    used = {node.name for node in fold.nodes if node.is_input and node in needed}
    problems += [
        ("", f"input '{name}' has no effect on the outputs; leave it out")
        for name in inputs
        if name not in used
    ]
    chains: dict[str, dict[str, Layer]] = {}
    edges: list[Edge] = []
    ends = {name: name for name in inputs}
    entries: dict[str, list[str]] = {}
    provenance: dict[str, Provenance] = {}
    for number, node in enumerate(nodes):
        parts = _parts(node, loops=node in _ancestors(_sources(node)))
        # Parts of a module must not take the names of other modules.
        taken = {*provenance, *inputs, *(other.name for other in nodes)}
        chain = {
            free_name(f"{node.name}.{n}", taken) if n else node.name: layer
            for n, layer in parts.items()
        }
        chains[node.name] = chain
        names = list(chain)
        side_by_side = parts is not node.layers and len(names) > 1  # one for each input, and a sum
        pairs = [(a, names[-1]) for a in names[:-1]] if side_by_side else itertools.pairwise(names)
        edges += [Edge(a, b) for a, b in pairs]
        entries[node.name] = names[:-1] if side_by_side else [names[0]] * len(node.args)
        ends[node.name] = names[-1]
        notes = list(node.notes)
        if check:
            bar.step(number, len(nodes), node.name)
            ok, text = _check(fold, node)
            if not ok:
                problems.append((node.original, f"as a layer it computes other values: {text}"))
            elif not node.source.startswith("torch.") or node.source[6:7].isupper():
                notes.append(text)
        for name in names:
            given = notes if name == names[-1] else []
            provenance[name] = Provenance(node.source, node.original, tuple(given))
    for node in nodes:
        for arg, entry in zip(node.args, entries[node.name], strict=True):
            if arg.node is None:
                if not node.sums:
                    problems.append((node.original, f"{node.source} gets zeros in every step"))
                continue
            source = _source(arg.node)
            if arg.delay and source.is_input:
                problems.append(
                    (node.original, "takes an input of the step before; delay it in the data")
                )
                continue
            edge = Edge(ends[source.name], entry, bool(arg.delay))
            if edge in edges:  # the same value twice, side by side
                again = f"{entry}.again" + str(sum(other.target == entry for other in edges))
                chains[node.name][again] = Identity()
                provenance[again] = Provenance(node.source, node.original)
                edges += [edge._replace(target=again), Edge(again, entry)]
            else:
                edges.append(edge)
    if problems:
        return None, problems
    names = []
    layers = {name: layer for chain in chains.values() for name, layer in chain.items()}
    for node in outputs.nodes:
        end = ends[node.name]
        if node.is_input:
            end = "output" if len(outputs.nodes) == 1 else f"output.{node.name}"
            layers[end] = Identity()
            edges.append(Edge(node.name, end))
        names.append(end)
    for node in fold.nodes:
        targets = [edge.target for edge in edges if edge.source == node.name]
        if node.is_input and node.notes and targets:
            first = targets[0]
            old = provenance.get(first, Provenance("the input"))
            provenance[first] = old._replace(notes=(*dict.fromkeys(node.notes), *old.notes))
    network = Network(layers, edges, inputs=_single(inputs), outputs=names, provenance=provenance)
    return network, []


def _parts(node: Node, loops: bool) -> dict[str, Layer]:
    """The layers of a node. In a cycle, the shape must follow from one of several inputs: sums are
    those of edges, and a concatenation is a sum of what is padded with zeros."""
    layer = node.layers.get("")
    if loops and node.sums:
        return {"": Identity()}
    if loops and isinstance(layer, Concat):
        axis, sizes = layer.axis, [shape[layer.axis] for shape in node.in_shape]
        rest = [(0, 0)] * (len(node.out_shape) - axis - 1)
        pads = [(sum(sizes[:i]), sum(sizes[i + 1 :])) for i in range(len(sizes))]
        return {f"part{i}": Pad([pad, *rest]) for i, pad in enumerate(pads)} | {"": Identity()}
    return node.layers


def _sources(node: Node) -> list[Node]:
    return [arg.node for arg in node.args if arg.node is not None]


def _single(inputs: dict[str, Any]) -> Any:
    return inputs["input"] if list(inputs) == ["input"] else inputs


def _ancestors(nodes: Sequence[Node]) -> set[Node]:
    """The nodes that have an effect on some of these, and these."""
    found: set[Node] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += [_source(source) for source in _sources(node)]
    return found


def _check(fold: Fold, node: Node) -> tuple[bool, str]:
    """Whether a node's layers compute what was recorded."""
    inputs = tuple(_over_time(fold, node, i) for i in range(len(node.args)))
    for values, arg in zip(inputs, node.args, strict=True):
        if arg.node is not None and not _arrives(fold, values, arg):
            return False, (
                f"the values of '{arg.node.name}' are changed in place before they arrive; "
                "use operations that make new tensors"
            )
    outputs = _over_time(fold, node, None)
    many = isinstance(node.in_shape, tuple) and isinstance((*node.in_shape, 0)[0], tuple)
    try:
        found = agreement(
            node.layers, inputs if many else inputs[0], outputs, in_shape=node.in_shape
        )
    except ValueError as error:
        return False, str(error)
    silent = "; all are 0: an example_input that makes it answer would show more"
    return found.ok, found.note + silent * bool(found.ok and not outputs.any())


def _arrives(fold: Fold, values: np.ndarray, arg: Arg) -> bool:
    """Whether what a node gave is what came in."""
    assert arg.node is not None
    if arg.node.is_input:
        value = fold.recording.inputs[arg.node.name]
        tag = fold.tags[value]
        assert isinstance(tag, Data)
        given = to_time_first(_array(value.data), tag.lead, fold.steps or 1, fold.batch)
    else:
        given = _over_time(fold, arg.node, None)
    shift = arg.delay
    given, got = given[: len(given) - shift] if shift else given, values[shift:]
    if len(given) == 1 or len(got) == 1:
        return bool((given[:1] == got).all()) if given[:1].shape[1:] == got.shape[1:] else False
    count = min(len(given), len(got))
    return bool(np.array_equal(given[:count], got[:count], equal_nan=True))


def _over_time(fold: Fold, node: Node, which: int | None) -> np.ndarray:
    """An input of a node, or its output, of all its calls: [time, batch, ...]."""
    steps, batch = fold.steps or 1, fold.batch
    shape = node.out_shape
    if which is not None:
        many = isinstance(node.in_shape, tuple) and isinstance((*node.in_shape, 0)[0], tuple)
        shape = node.in_shape[which] if many else node.in_shape
        if many and not shape:
            shape = node.out_shape
    arrays = []
    for call in node.calls:
        value = call.output if which is None else call.inputs[which]
        lead = call.lead if which is None else call.leads[which]
        array = _array(value)
        if array.ndim == 0:
            array = np.broadcast_to(array, (batch, *shape))
            lead = ("b",)
        lead = lead or ("b",)
        array = to_time_first(array, lead, steps, batch)
        if node.times == [None] and call.lead not in (("b",), ("1", "b")) and len(array) == 1:
            array = np.broadcast_to(array, (steps, *array.shape[1:]))
        arrays.append(array)
        if node.times == [None]:
            break
    return np.concatenate(arrays).astype(np.float32)


def _array(value: Any) -> np.ndarray:
    if hasattr(value, "detach"):
        return np.asarray(value.detach().cpu().float())
    return np.zeros(()) if value is None else np.asarray(value, np.float32)
