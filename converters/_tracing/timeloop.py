"""Folding what a torch model did into a network: one node for what was called in every step.

A model that was called once for all steps, one that loops over time in its `forward`, and one that
was called once a step leave the same kind of record. Calls are taken in order; a call continues the
node whose earlier calls had the same inputs, one step before, or starts a new one. An input that
was zero at the first step and is another node's output of the step before from then on is feedback.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.converters._tracing.recording import Record, Recording, Value
from neurojax.converters._tracing.values import (
    DECODERS,
    DROPPED,
    STEP,
    UNKNOWN,
    Arg,
    Call,
    Data,
    Filling,
    Lead,
    Node,
    Reduced,
    State,
    Tag,
    Trace,
    Unknown,
    flat,
    layout_text,
)

Make = Callable[[Any], dict[str, Layer]]


class Fold:
    """The nodes of a recording, found by going through it once.

    Args:
        recording: What happened.
        handle: Says what the outputs of a record stand for.
        lead: First axes of the inputs, `("b",)` if they are the same in every step.
        steps: Number of steps, where the inputs tell it.
        batch: Number of samples.

    Attributes:
        nodes: All nodes, inputs first.
        problems: What can't be imported: (path of a module, what was found).
        sequences: Whether anything showed that the inputs hold all steps.
    """

    def __init__(
        self,
        recording: Recording,
        handle: Callable[[Fold, Record], None],
        *,
        lead: Lead,
        steps: int | None,
        batch: int,
    ) -> None:
        self.recording = recording
        self.steps = steps
        self.batch = batch
        self.problems = list(recording.problems)
        self.sequences = False
        self.tags: dict[Value, Tag] = {}
        self.nodes: list[Node] = []
        self.unsure: set[str] = set()  # paths where calls were left out: they got unknown values
        self.slots: dict[Any, list[Node]] = {}
        self.stacked: list[tuple[str, int]] = []
        self.modules = dict(recording.model.named_modules())
        for name, value in recording.inputs.items():
            node = Node(name, "", {}, [], (), value.shape[len(lead) :], times=[None])
            self.nodes.append(node)
            self.tags[value] = Data(node, lead)
        for record in recording.records:
            handle(self, record)
        self._check_times()

    # What handlers of operations use.

    def tag(self, x: Any) -> Tag | None:
        """What a value stands for; None for a constant."""
        return self.tags.get(x) if isinstance(x, Value) else None

    def set(self, outputs: Any, tag: Tag) -> None:
        """Says what the outputs of a record stand for."""
        for value in flat(outputs):
            if isinstance(value, Value):
                self.tags[value] = tag

    def problem(self, record: Record, text: str) -> None:
        """Something that can't be imported; what depends on it is not looked at."""
        if (record.scope, text) not in self.problems:
            self.problems.append((record.scope, text))
        self.set(record.outputs, UNKNOWN)

    def pass_on(self, record: Record, source: str, x: Any) -> bool:
        """Whether what `is_idle` is given something that no layer could be given; it goes on."""
        tag = self.tag(x)
        if not isinstance(tag, Reduced | State | Trace | Filling):
            return False
        notes = [] if isinstance(tag, Filling) else tag.node.notes
        if source != "torch.Identity" and DROPPED not in notes:
            notes.append(DROPPED)
        self.set(record.outputs, tag)
        return True

    def continues(self, key: Any, inputs: Sequence[Data | None], make: Callable[[], Node]) -> Node:
        """The node whose next call this is: one that had these inputs one step ago, or a new one.

        Args:
            key: What was called.
            inputs: Its inputs; None for zeros.
            make: Makes a node.
        """
        slots = self.slots.setdefault(key, [])
        steps = [x.t for x in inputs if x is not None and not x.sequence]
        if any(x is not None and x.sequence for x in inputs):
            node = make()
            node.args = [Arg(None) if x is None else Arg(x.node) for x in inputs]
            node.times = [None]
        else:
            stateful = bool(slots) and slots[0].stateful
            for node in slots:
                args = _same_inputs(node, inputs)
                if args is not None:
                    node.args = args
                    if node.times != [None]:
                        node.times.append(node.start + len(node.times))
                    return node
            node = make()
            start = max((t for t in steps if t is not None), default=0)
            node.args = [_arg(x, start) for x in inputs]
            constant = bool(steps) and all(t is None for t in steps) and len(steps) == len(inputs)
            node.times = [None] if constant and not (stateful or node.stateful) else [start]
        slots.append(node)
        self.nodes.append(node)
        return node

    def result(self, node: Node, record: Record, values: Sequence[Any], lead: Lead) -> Data:
        """Writes down a call of a node; what its output stands for."""
        leads = tuple(getattr(self.tag(x), "lead", None) for x in values)
        inputs = tuple(x.data if isinstance(x, Value) else x for x in values)
        output = next(x for x in flat(record.outputs) if isinstance(x, Value))
        node.calls.append(Call(inputs, leads, output.data, lead))
        return Data(node, lead, None if node.times[-1] is None else node.times[-1])

    def operation(
        self, record: Record, op: str, values: Sequence[Any], make: Make, key: Any = ()
    ) -> None:
        """An operation that becomes a layer.

        Args:
            record: Its call.
            op: Its name.
            values: Its inputs: values of nodes, or constants that are zero.
            make: Makes the layers, given the shape of the input (a tuple of them for several).
            key: Its options: calls with other options are another operation.
        """
        inputs = self.inputs(record, op, values)
        if inputs is None:
            return
        if op == "add":  # which comes first must not depend on what was still zero
            pairs = sorted(zip(inputs, values, strict=True), key=lambda pair: self._age(pair[0]))
            inputs, values = [x for x, _ in pairs], [value for _, value in pairs]
        moving = {x.lead for x in inputs if x is not None and not x.static}
        if len(moving) > 1:
            axes = " with ".join(sorted(layout_text(lead) for lead in moving))
            self.problem(record, f"{op} combines {axes}; use one order of axes for both")
            return
        lead = next(iter(moving), STEP)
        shapes = [
            sample_shape(value, lead if x is None else x.lead)
            for value, x in zip(values, inputs, strict=True)
        ]
        shape: Any = shapes[0] if len(values) == 1 else tuple(shapes)
        output = next(x for x in flat(record.outputs) if isinstance(x, Value))

        def node() -> Node:
            name = self.name_of(record.scope, op)
            out_shape = output.shape[len(lead) :]
            return Node(name, f"torch.{op}", make(shape), [], shape, out_shape)

        try:
            found = self.continues((record.scope, op, key), inputs, node)
        except (ValueError, TypeError, LookupError) as error:
            self.problem(record, f"{op}: {error}")
            return
        found.original = record.scope
        self.set(record.outputs, self.result(found, record, values, lead))

    def _age(self, x: Data | None) -> tuple[float, int]:
        if x is None:
            return -1, 0
        return float("inf") if x.t is None else x.t, self.nodes.index(x.node)

    def inputs(self, record: Record, op: str, values: Sequence[Any]) -> list[Data | None] | None:
        """The inputs of an operation, None for zeros; reports what can't be one."""
        found: list[Data | None] = []
        for value in values:
            tag = self.tag(value)
            if tag is None or isinstance(tag, Data):
                found.append(tag)
                continue
            if isinstance(tag, Unknown):
                self.unsure.add(record.scope)
                self.set(record.outputs, UNKNOWN)
            else:
                self.problem(record, misuse(tag, op))
            return None
        return found

    def name_of(self, scope: str, op: str) -> str:
        """A name for an operation: that of its module, if it has no others."""
        taken = {node.name for node in self.nodes}
        module = self.modules[scope]
        alone = scope and not any(True for _ in module.children()) and scope not in taken
        name = scope if alone else f"{scope}.{op}" if scope else op
        return free_name(name, taken)

    def _check_times(self) -> None:
        """Every node must have been called in every step."""
        most = max((len(n.times) for n in self.nodes if n.times != [None]), default=1)
        self.steps = self.steps or most
        for scope, count in self.stacked:
            if count != self.steps:
                text = f"stacks {count} of {self.steps} steps; stack all of them"
                self.problems.append((scope, text))
        reported = set()
        for node in self.nodes:
            if node.times == [None] or node.start == self.steps - 1 > 0:
                continue  # what comes after the loop is seen where outputs are read
            if node.original in self.unsure:
                continue
            called = len(node.times)
            # What is only used one step later need not be computed in the last one.
            often = called in (self.steps, self.steps - (not node.stateful))
            if (node.start or not often) and (node.original, node.source) not in reported:
                reported.add((node.original, node.source))
                what = f"{node.source} is called in {called} of {self.steps} steps"
                what += f", first in step {node.start}" if node.start else ""
                text = f"{what}; call it once in every step, with the same inputs"
                self.problems.append((node.original, text))


def _same_inputs(node: Node, inputs: Sequence[Data | None]) -> list[Arg] | None:
    """The inputs of a node, if a further call with these continues it."""
    if node.times == [None]:
        same = [Arg(None) if x is None else Arg(x.node) for x in inputs] == node.args
        return node.args if same and all(x is not None and x.static for x in inputs) else None
    now = node.start + len(node.times)
    args = []
    for arg, x in zip(node.args, inputs, strict=True):
        new = _arg(x, now)
        starts_feedback = arg.node is None and len(node.times) == 1 and new.delay == 1
        if not (starts_feedback or (new == arg and new.delay in (0, 1))):
            return None
        args.append(new)
    return args


def _arg(x: Data | None, now: int) -> Arg:
    return Arg(None) if x is None else Arg(x.node, 0 if x.t is None else now - x.t)


def sample_shape(value: Any, lead: Lead) -> Shape:
    return value.shape[len(lead) :] if isinstance(value, Value) else ()


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number behind it if it is taken."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def is_zero(x: Any) -> bool:
    """Whether a constant is zero (or None)."""
    if isinstance(x, Value):
        return not bool(x.data.any())
    return x is None or (isinstance(x, int | float) and x == 0)


_ENDS = {
    "softmax": "jax.nn.softmax",
    "logsoftmax": "jax.nn.log_softmax",
    "argmax": "jax.numpy.argmax",
}


def ends_with(op: str) -> str:
    """For an operation or module that ends models: what a user applies to the outputs instead."""
    return _ENDS.get(op.removeprefix("torch.").replace("_", "").lower(), "")


def unsupported_end(op: str, tag: Tag | None) -> str:
    """Why such an operation is no layer."""
    if isinstance(tag, Reduced):
        return misuse(tag, op)
    return (
        f"{op} is not supported; where the model ends with it, end the model before it and apply "
        f"{ends_with(op)} to the outputs of the run, or to their mean or sum over time "
        "(neurojax.decode)"
    )


def misuse(tag: Tag, op: str) -> str:
    """Why something that is no output of a node can't be an input."""
    if isinstance(tag, State | Trace):
        return (
            f"{op} takes the state '{tag.node.name}.{tag.path}'; a state may only be handed on or "
            "recorded, because layers see each other's outputs"
        )
    if isinstance(tag, Reduced):
        decoder = DECODERS.get(tag.how)
        outputs = f"neurojax.decode.{decoder}(run.outputs)" if decoder else "the outputs of the run"
        verb = f"apply {ends_with(op)} to" if ends_with(op) else "do it with"
        return (
            f"{op} comes after the {tag.how} over time; end the model before that, and {verb} "
            f"{outputs}"
        )
    return f"{op} takes a tensor that is filled step by step; use a list and torch.stack"
