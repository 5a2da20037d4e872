"""What moves values between modules: concatenation, recordings over time, indexing, reshapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

from neurojax import layers
from neurojax._layer import Layer, Shape
from neurojax.converters._tracing.operations import argument, handles, ints
from neurojax.converters._tracing.recording import Record, Value
from neurojax.converters._tracing.timeloop import Fold, misuse
from neurojax.converters._tracing.values import (
    BY_BATCH,
    BY_TIME,
    STEP,
    Data,
    Filling,
    State,
    Trace,
    after_permute,
    after_reshape,
    axis_from,
)

# Concatenation and recordings.


@handles("cat", "concat", "concatenate")
def _cat(fold: Fold, record: Record) -> None:
    items = list(argument(record, 0, "tensors"))
    dim = argument(record, 1, "dim", record.kwargs.get("axis", 0))
    tags = [fold.tag(x) for x in items]
    if all(isinstance(tag, Data) and tag.lead == ("1", "b") for tag in tags) and dim == 0:
        _all_steps(fold, record, tags, BY_TIME)
        return
    leads = [tag.lead for tag in tags if isinstance(tag, Data)]
    lead = leads[0] if leads else STEP
    axis = axis_from(dim, len(items[0].shape)) - len(lead)
    if axis < 0:
        fold.problem(record, f"cat along axis {dim}, which is time or batch")
        return
    fold.operation(record, "cat", items, lambda shapes: {"": layers.Concat(axis)}, axis)


@handles("stack")
def _stack(fold: Fold, record: Record) -> None:
    items = list(argument(record, 0, "tensors"))
    dim = axis_from(argument(record, 1, "dim", 0), len(items[0].shape) + 1)
    if dim > 1:
        fold.problem(record, f"stack along axis {dim}; stack time first (dim=0)")
        return
    _all_steps(fold, record, [fold.tag(x) for x in items], (BY_TIME, BY_BATCH)[dim])


def _all_steps(fold: Fold, record: Record, tags: Sequence[Any], lead: tuple[str, ...]) -> None:
    """The same value of every step, in order."""
    first = tags[0]
    if isinstance(first, Data | State) and all(
        type(tag) is type(first) and tag._replace(t=None, **_no_lead(tag)) ==
        first._replace(t=None, **_no_lead(first)) for tag in tags
    ):  # fmt: skip
        if first.t is None and isinstance(first, Data):
            fold.steps = fold.steps or len(tags)
            first.node.notes.append("torch gets the same input in every step")
            fold.set(record.outputs, Data(first.node, lead))
            return
        if [tag.t for tag in tags] == list(range(len(tags))):
            fold.stacked.append((record.scope, len(tags)))
            whole = (
                Trace(first.node, first.path)
                if isinstance(first, State)
                else Data(first.node, lead)
            )
            fold.set(record.outputs, whole)
            return
    fold.problem(
        record,
        "stack of other things than one value in every step; only recordings over time are stacked",
    )


def _no_lead(tag: Any) -> dict[str, Any]:
    return {"lead": STEP} if isinstance(tag, Data) else {}


@handles("setitem")
def _fill(fold: Fold, record: Record) -> None:
    target, index, value = record.args[0], record.args[1], record.args[2]
    index = index if isinstance(index, tuple) else (index,)
    axis = next((i for i, x in enumerate(index) if isinstance(x, int)), 2)
    tag, before = fold.tag(value), fold.tag(target)
    rest = [x for i, x in enumerate(index) if i != axis]
    plain = axis < 2 and all(x is Ellipsis or x == slice(None) for x in rest)
    items = before.items if isinstance(before, Filling) else ()
    if not plain or not isinstance(tag, Data | State) or index[axis] != len(items):
        fold.problem(record, "writes to a part of a tensor; use a list and torch.stack")
        return
    items = (*items, tag)
    if len(items) == target.shape[axis]:
        _all_steps(fold, record, items, (BY_TIME, BY_BATCH)[axis])
    else:
        fold.set(record.outputs, Filling(items, axis))


@handles("getitem", "select")
def _index(fold: Fold, record: Record) -> None:
    x = record.args[0]
    tag = fold.tag(x)
    if record.name == "select":
        dim = axis_from(argument(record, 1, "dim"), len(x.shape))
        index: Any = (*[slice(None)] * dim, argument(record, 2, "index"))
    else:
        index = record.args[1] if isinstance(record.args[1], tuple) else (record.args[1],)
    if Ellipsis in index:
        i, used = index.index(Ellipsis), sum(item is not None for item in index) - 1
        index = (*index[:i], *[slice(None)] * (len(x.shape) - used), *index[i + 1 :])
    if tag is None:
        fold.problem(record, "indexes a constant with a value that depends on the input")
        return
    output = record.outputs
    if isinstance(output, Value) and output.shape == x.shape:
        fold.set(output, tag)
        return
    axis = next((i for i, item in enumerate(index) if isinstance(item, int)), None)
    rest = [item for i, item in enumerate(index) if i != axis]
    whole = all(isinstance(item, slice) and item == slice(None) for item in rest)
    if isinstance(tag, Trace) and axis == 0 and whole:
        fold.set(output, State(tag.node, tag.path, axis_from(index[0], x.shape[0])))
        return
    if not isinstance(tag, Data):
        fold.problem(record, misuse(tag, "indexing"))
        return
    if None in index and axis is None:
        _reshape(fold, record)
        return
    if axis is None or not whole or tag.lead[axis : axis + 1] != ("t",):
        fold.problem(
            record, f"indexing with {_index_text(index)}; only single steps can be taken out"
        )
        return
    fold.sequences = True
    lead = tuple(letter for letter in tag.lead if letter != "t")
    fold.set(output, Data(tag.node, lead, axis_from(index[axis], x.shape[axis])))


def _index_text(index: Sequence[Any]) -> str:
    def text(x: Any) -> str:
        if isinstance(x, slice):
            return ":".join("" if n is None else str(n) for n in (x.start, x.stop))
        return "..." if x is Ellipsis else "a tensor" if isinstance(x, Value) else str(x)

    return f"[{', '.join(text(x) for x in index)}]"


@handles("unbind")
def _unbind(fold: Fold, record: Record) -> None:
    x = record.args[0]
    tag = fold.tag(x)
    dim = axis_from(argument(record, 1, "dim", 0), len(x.shape))
    for t, output in enumerate(record.outputs):
        if isinstance(tag, Data) and tag.lead[dim : dim + 1] == ("t",):
            fold.sequences = True
            lead = tuple(letter for letter in tag.lead if letter != "t")
            fold.set(output, Data(tag.node, lead, t))
        elif isinstance(tag, Trace) and dim == 0:
            fold.set(output, State(tag.node, tag.path, t))
        else:
            fold.problem(record, f"goes through axis {dim}, which is not time")
            return


# Shape.


@handles("flatten", "view", "reshape", "unflatten", "squeeze", "unsqueeze", "view_as", "reshape_as")
def _reshape(fold: Fold, record: Record) -> None:
    x, output = record.args[0], record.outputs
    tag = fold.tag(x)
    if isinstance(tag, Trace | State | Filling):
        fold.set(output, tag)
        return
    if not isinstance(tag, Data):
        fold.problem(record, misuse(tag, record.name) if tag else "a reshape of a constant")
        return
    found = after_reshape(tag.lead, output.shape, fold.steps or 0, fold.batch)
    name = record.name.strip("_")
    if found is None:
        fold.problem(
            record,
            f"{name} from {x.shape} to {output.shape} mixes samples or steps; keep the axes of "
            "time and batch in front, apart or as one",
        )
        return
    lead, shape = found
    if shape == tuple(x.shape[len(tag.lead) :]):
        fold.set(output, tag._replace(lead=lead))
        return
    layer = layers.Flatten() if len(shape) == 1 else layers.Reshape(shape)
    op = "reshape" if name == "getitem" else name
    fold.operation(record, op, [x], lambda _: {"": layer}, shape)
    _rename_axes(fold, output, lead)


@handles("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "__get__.T", "t")
def _permute(fold: Fold, record: Record) -> None:
    x = record.args[0]
    tag, ndim = fold.tag(x), len(x.shape)
    order = list(range(ndim))
    if record.name == "permute":
        order = [axis_from(i, ndim) for i in ints(record, 1, "dims")]
    elif record.name in ("movedim", "moveaxis"):
        a, b = (
            axis_from(argument(record, i, n), ndim) for i, n in ((1, "source"), (2, "destination"))
        )
        order.insert(b, order.pop(a))
    else:
        a, b = (
            (axis_from(argument(record, i, f"dim{i - 1}", i - 1), ndim) for i in (1, 2))
            if ndim > 1
            else (0, 0)
        )
        order[a], order[b] = order[b], order[a]
    if isinstance(tag, Trace):
        fold.set(record.outputs, tag)
        return
    found = after_permute(tag.lead, order) if isinstance(tag, Data) else None
    if found is None or not isinstance(tag, Data):
        fold.problem(
            record,
            f"{record.name} to the order {order}; time and batch stay in front of the other axes",
        )
        return
    lead, axes = found
    if axes == tuple(range(len(axes))):
        fold.set(record.outputs, tag._replace(lead=lead))
        return
    name = "permute" if record.name == "__get__.T" else record.name
    fold.operation(record, name, [x], lambda _: {"": layers.Permute(axes)}, axes)
    _rename_axes(fold, record.outputs, lead)


@handles("chunk", "split", "tensor_split", "narrow")
def _pieces(fold: Fold, record: Record) -> None:
    x = record.args[0]
    tag = fold.tag(x)
    dim = 1 if record.name == "narrow" else 2
    axis = axis_from(argument(record, dim, "dim", 0), len(x.shape))
    if not isinstance(tag, Data) or axis < len(tag.lead):
        text = misuse(tag, record.name) if tag and not isinstance(tag, Data) else ""
        fold.problem(record, text or f"{record.name} along axis {axis}, which is time or batch")
        return
    at = axis - len(tag.lead)
    start = argument(record, 2, "start") if record.name == "narrow" else 0
    for output in (record.outputs,) if isinstance(record.outputs, Value) else record.outputs:
        stop = start + output.shape[axis]
        key = (start, stop, at)
        one = dataclasses.replace(record, outputs=output)
        fold.operation(one, record.name, [x], partial(_slice, key), key)
        start = stop


def _slice(key: tuple[int, int, int], shape: Shape) -> dict[str, Layer]:
    del shape
    return {"": layers.Slice(*key)}


def _rename_axes(fold: Fold, output: Any, lead: tuple[str, ...]) -> None:
    """Says what the first axes of an operation's output are, where they are not its input's."""
    new = fold.tag(output)
    if isinstance(new, Data):
        fold.set(output, new._replace(lead=lead))
        new.node.out_shape = output.shape[len(lead) :]
        new.node.calls[-1] = new.node.calls[-1]._replace(lead=lead)


@handles("repeat", "expand", "tile", "expand_as")
def _repeat(fold: Fold, record: Record) -> None:
    x, output = record.args[0], record.outputs
    tag = fold.tag(x)
    if output.shape == x.shape and isinstance(tag, Data):
        fold.set(output, tag)
        return
    grown = (x.shape[1:] == output.shape[1:]) or (x.shape == output.shape[1:])
    if isinstance(tag, Data) and tag.static and grown and tag.lead in (("1", "b"), STEP):
        if tag.lead == STEP and len(output.shape) == len(x.shape):
            fold.problem(record, f"{record.name} makes more samples of one")
            return
        fold.steps = fold.steps or output.shape[0]
        if output.shape[0] == fold.steps:
            text = "torch repeats the input in every step; give every step the same input"
            if text not in tag.node.notes:
                tag.node.notes.append(text)
            fold.set(output, Data(tag.node, BY_TIME))
            fold.sequences = True
            return
    fold.problem(record, f"{record.name} of anything but an input over time is not supported")
