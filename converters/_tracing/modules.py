"""What the calls of modules stand for: which node they continue, what they take and return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from neurojax.converters._registry import (
    OUTPUT,
    Converted,
    convert,
    converter_of,
    is_refused,
    kind_of,
    nearest_kind,
)
from neurojax.converters._tracing.recording import Record, Value
from neurojax.converters._tracing.timeloop import (
    Fold,
    ends_with,
    free_name,
    is_zero,
    sample_shape,
    unsupported_end,
)
from neurojax.converters._tracing.values import (
    BY_BATCH,
    BY_TIME,
    STEP,
    UNKNOWN,
    Call,
    Data,
    Lead,
    Node,
    Reduced,
    State,
    Unknown,
    flat,
    is_idle,
    layout_text,
)

NO_CONVERTER = "has no converter"


def fold_module(fold: Fold, record: Record) -> None:
    """Says what the outputs of a module stand for."""
    module, kind = record.module, kind_of(type(record.module))
    first, *others = [*record.args, *record.kwargs.values()] or [None]
    values = [x for x in flat(first) if isinstance(x, Value)]
    extra = list(flat(others))
    values += [x for x in extra if _is_other_input(fold, x, module)]
    tags = [fold.tag(x) for x in values]
    if is_idle(kind) and len(values) == 1 and fold.pass_on(record, kind, values[0]):
        return
    if converter_of(module) is None and ends_with(kind):
        fold.problem(record, unsupported_end(kind, tags[0] if tags else None))
        return
    if converter_of(module) is None:
        near = nearest_kind(module)
        hint = f"; the nearest that has one is {near}" if near else ""
        fold.problem(record, f"{kind} {NO_CONVERTER}{hint}; write one and @register it")
        return
    if is_refused(module):
        fold.problem(record, _refusal(module, kind))
        return
    if not values:
        fold.problem(record, f"{kind} is called without a tensor")
        return
    inputs = fold.inputs(record, kind, values)
    if inputs is None:
        return
    if any(tag is None and not is_zero(x) for tag, x in zip(tags, values, strict=True)):
        fold.problem(record, f"{kind} gets a constant; only the model's inputs can go in")
        return
    leads = [STEP if x is None else x.lead for x in inputs]
    shapes = [sample_shape(v, lead) for v, lead in zip(values, leads, strict=True)]
    in_shape: Any = shapes[0] if len(shapes) == 1 else tuple(shapes)
    try:
        converted = fold.recording.converted(module, in_shape)
        stateful = remembers(converted.layers, in_shape)
    except Exception as error:
        # A converter is code of others, and says in its own words what it can't take.
        fold.problem(record, _in_words(error, kind))
        return
    if len(values) > 1 and not next(iter(converted.layers.values())).many_inputs:
        fold.problem(record, f"{kind} gets {len(values)} tensors, but its converter takes one")
        return
    lead = next((x.lead for x in inputs if x is not None and not x.static), STEP)
    if wrong := _wrong_axes(fold, module, converted, lead):
        fold.problem(record, f"{kind} {wrong}")
        return

    def node() -> Node:
        name = free_name(
            record.scope or type(module).__name__.lower(), {n.name for n in fold.nodes}
        )
        new = Node(name, kind, dict(converted.layers), [], in_shape, (), list(converted.notes))
        new.stateful, new.original = stateful, record.scope
        return new

    before = list(fold.slots.get(id(module), []))
    found = fold.continues(id(module), inputs, node)
    if before and found not in before:
        if stateful:
            fold.problem(
                record,
                f"{kind} has a state and is called with several inputs within one step, or "
                "with others in some steps; make one module for each of them",
            )
            return
        found.notes.append(f"torch shares the weights with '{before[0].name}'; here it is a copy")
    if not _takes_state(fold, record, found, kind, converted, extra):
        return
    _returns(fold, record, found, kind, converted, values, lead)


def _refusal(module: Any, kind: str) -> str:
    try:
        convert(module, ())
    except ValueError as error:
        return _in_words(error, kind)
    return f"{kind} is not supported"


def _in_words(error: Exception, kind: str) -> str:
    text = str(error)
    if not isinstance(error, ValueError):
        text = f"its converter can't read it ({type(error).__name__}: {error})"
    return text if text.startswith(kind) else f"{kind}: {text}"


def _is_other_input(fold: Fold, x: Any, module: Any) -> bool:
    """Whether an argument behind the first is an input, not a state that is handed on."""
    tag = fold.tag(x)
    return isinstance(tag, Data) and tag.node not in fold.slots.get(id(module), [])


def _wrong_axes(fold: Fold, module: Any, converted: Converted, lead: Lead) -> str:
    sequence = any("t" in letter for letter in lead)
    if converted.sequence is True:
        wanted = sequence_layout(module)
        fold.sequences = fold.sequences or sequence
        if not sequence:
            return (
                f"takes all steps at once, {layout_text(wanted)}, but is given one step; give "
                "the model whole sequences (time_axis=0 or 1), or use the library's module "
                "for single steps"
            )
        if lead != wanted:
            return f"takes {layout_text(wanted)}, but is given {layout_text(lead)}"
    if converted.sequence is False and sequence:
        return (
            f"takes one step a call, but is given {layout_text(lead)}; loop over the steps, or "
            "give the model one step at a time (time_axis=None)"
        )
    return ""


def _takes_state(
    fold: Fold, record: Record, node: Node, kind: str, converted: Converted, extra: list[Any]
) -> bool:
    """Whether the states that a call was given are those of the step before."""
    now = node.times[-1]
    given = False
    for x in extra:
        tag = fold.tag(x)
        if isinstance(tag, Unknown):
            fold.set(record.outputs, UNKNOWN)
            return False
        if isinstance(tag, State) or (isinstance(tag, Data) and tag.node is node):
            given = True
            if tag.node is node and now and tag.t == now - 1:
                continue
            whose = f"'{tag.node.name}' after step {tag.t}"
            fold.problem(record, f"{kind} gets the state of {whose} at step {now}")
            return False
        if isinstance(x, Value) and tag is None:
            given = True
            if now:
                fold.problem(record, f"{kind} {_starts_anew(fold, kind)}")
                return False
            if not is_zero(x):
                text = "starts from a state that is not zero; start it from None or zeros"
                fold.problem(record, f"{kind} {text}")
                return False
    if now and not given and "state" in (converted.returns or ()):
        fold.problem(record, f"{kind} {_starts_anew(fold, kind)}")
        return False
    return True


def _starts_anew(fold: Fold, kind: str) -> str:
    if not fold.recording.by_step:
        return (
            "starts anew in every step, because its state is made within the loop; make it (zeros, "
            "None, init_leaky()) before the loop, and hand on the state that the call returns"
        )
    own = " or make the neuron with init_hidden=True," * kind.startswith("snntorch.")
    return (
        "starts anew in every step, because one call of the model is one step here; let forward "
        f"take the state and return it,{own} or loop over the steps in forward"
    )


def _returns(
    fold: Fold,
    record: Record,
    node: Node,
    kind: str,
    converted: Converted,
    values: Sequence[Any],
    lead: Lead,
) -> None:
    """Says what the outputs of a module stand for."""
    outputs, returns = record.outputs, converted.returns
    if kind.startswith("spikingjelly.NonSpiking") and _returns_steps(fold, record, node, values):
        return
    if returns is None and isinstance(outputs, Value):
        outputs, returns = (outputs,), (OUTPUT,)
    if returns is None or not isinstance(outputs, tuple) or len(outputs) != len(returns):
        count = len(outputs) if isinstance(outputs, tuple | list) else 1
        fold.problem(
            record,
            f"{kind} returns {count} values, its converter says {returns}; "
            "say in Converted(returns=...) what each of them is",
        )
        return
    data = fold.result(node, record, values, lead)
    pairs = list(zip(outputs, returns, strict=True))
    for output in (x for x, what in pairs if what == OUTPUT):
        fold.set(output, data)
        value = next(x for x in flat(output) if isinstance(x, Value))
        node.out_shape = value.shape[len(lead) :]
        node.calls[-1] = node.calls[-1]._replace(output=value.data)
    for output, what in pairs:
        for path, value in _fields(output, "" if what == "state" else what):
            # Norse's recurrent cells return their spikes as part of the state, too.
            if value not in fold.tags:
                fold.tags[value] = State(node, path, data.t)


# What SpikingJelly's non-spiking neurons do with the membranes of all steps.
_DECODE = {"max-mem": "max", "mean-mem": "mean", "last_mem": "last", "max-abs-mem": "extreme"}


def _returns_steps(fold: Fold, record: Record, node: Node, values: Sequence[Any]) -> bool:
    """Neurons that are given all steps, and return a list of them or what it is reduced to."""
    module, outputs = record.module, record.outputs
    how = _DECODE.get(module.decode)
    if module.decode is not None and how is None:
        return False
    with torch.no_grad():
        decode, module.decode = module.decode, None
        steps = torch.stack(module(values[0].data))  # what is compared with the layer's outputs
        module.decode = decode
    node.calls.append(Call((values[0].data,), (BY_TIME,), steps, BY_TIME))
    node.out_shape = tuple(steps.shape[2:])
    if how is not None:
        fold.set(outputs, Reduced(node, how))
    else:
        for t, output in enumerate(outputs):
            fold.set(output, Data(node, STEP, t))
    return True


def _fields(tree: Any, path: str) -> list[tuple[str, Value]]:
    """The tensors of a state with their paths."""
    if isinstance(tree, Value):
        return [(path, tree)]
    if isinstance(tree, dict):
        items = list(tree.items())
    elif hasattr(tree, "_fields"):
        items = list(zip(tree._fields, tree, strict=True))
    elif isinstance(tree, tuple | list):
        items = [(str(i), item) for i, item in enumerate(tree)]
    else:
        return []
    return [found for name, item in items for found in _fields(item, f"{path}.{name}".lstrip("."))]


def remembers(layers: Any, in_shape: Any) -> bool:
    """Whether a chain of layers has a state; raises ValueError if it can't take the shape."""
    found = False
    for layer in layers.values():
        found = found or layer.init(in_shape) is not None
        in_shape = layer.out_shape(in_shape)
    return found


def sequence_layout(module: Any) -> Lead:
    """The axes that a module of whole sequences takes: sinabs has batches first."""
    kind = kind_of(type(module))
    if kind.startswith("sinabs."):
        return ("bt",) if kind.endswith("Squeeze") else BY_BATCH
    return BY_TIME
