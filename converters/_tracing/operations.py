"""The operations of torch that are understood between modules, and what each becomes.

A handler is a function `(fold, record) -> None` that says what the outputs of a record stand for.
It is given every record whose operation has its name, with or without the underscores of torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurojax import layers
from neurojax._layer import Layer
from neurojax.converters._tracing.recording import Record, Value
from neurojax.converters._tracing.timeloop import Fold, is_zero, misuse
from neurojax.converters._tracing.values import (
    BY_BATCH,
    BY_TIME,
    STEP,
    UNKNOWN,
    Data,
    Filling,
    Reduced,
    State,
    Trace,
    Unknown,
    after_permute,
    after_reshape,
    axis_from,
    flat,
)
from neurojax.converters._values import per_neuron

Handler = Callable[[Fold, Record], None]
_handlers: dict[str, Handler] = {}

SUPPORTED = (
    "between modules, these are supported: +, -, * and / by constants, cat, stack, flatten, view, "
    "reshape, squeeze, unsqueeze, indexing and unbind over time, mean and sum over time or space, "
    "F.relu, linear, conv, pools and dropout"
)


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Decorator that makes a function the handler of operations."""

    def decorate(handler: Handler) -> Handler:
        _handlers.update(dict.fromkeys(names, handler))
        return handler

    return decorate


def fold(state: Fold, record: Record) -> None:
    """Says what the outputs of an operation stand for."""
    tags = [state.tag(x) for x in flat((record.args, record.kwargs))]
    if any(isinstance(tag, Unknown) for tag in tags):
        state.set(record.outputs, UNKNOWN)
        return
    handler = _handlers.get(record.name) or _handlers.get(record.name.strip("_"))
    if handler is None:
        state.problem(record, f"torch's {record.name} is not supported")
        return
    try:
        handler(state, record)
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        state.problem(record, f"torch's {record.name} is not supported like this ({error})")


def argument(record: Record, position: int, name: str, default: Any = None) -> Any:
    """An argument by position or name."""
    if len(record.args) > position:
        return record.args[position]
    return record.kwargs.get(name, default)


def _ints(record: Record, position: int, name: str) -> list[int]:
    """Numbers that are given one by one, or as one tuple."""
    rest: Any = record.args[position:]
    if not rest:
        rest = record.kwargs.get(name, ())
    elif len(rest) == 1 and isinstance(rest[0], tuple | list):
        rest = rest[0]
    return [rest] if isinstance(rest, int) else [int(i) for i in rest]


# Nothing happens.


@handles(
    "contiguous", "clone", "detach", "to", "float", "double", "cpu", "cuda", "requires_grad",
    "__get__.data", "type_as", "alias", "dequantize", "view_as_real", "type",
)  # fmt: skip
def _same(fold: Fold, record: Record) -> None:
    tag = fold.tag(record.args[0])
    if tag is None:  # x.to(other): a constant takes the type of another tensor
        return
    fold.set(record.outputs, tag)


# Sums and multiples.


@handles("add", "radd", "iadd", "sub", "subtract", "rsub", "isub")
def _add(fold: Fold, record: Record) -> None:
    name = record.name.strip("_")
    a, b = record.args[0], argument(record, 1, "other")
    alpha = record.kwargs.get("alpha", 1)
    if name == "rsub":
        a, b = b, a
    sign = -alpha if "sub" in name else alpha
    tags = fold.tag(a), fold.tag(b)
    if sign == 1 and _sums_up(fold, record, *tags):
        return
    for value, tag in zip((a, b), tags, strict=True):
        if isinstance(tag, Reduced):
            fold.problem(record, misuse(tag, name))
            return
        if tag is None and not is_zero(value):
            fold.problem(
                record,
                f"{name} with a constant that is not zero; make it the bias of the layer before",
            )
            return
    if sign != 1 and tags[1] is not None:
        scaled = Value(b.tensor, b.data * sign)
        _scale(
            fold, Record(record.scope, "neg" if sign == -1 else "mul", None, (b, sign), {}, scaled)
        )
        b, tags = scaled, (tags[0], fold.tag(scaled))
    if tags[0] is not None and tags[0] == tags[1]:
        fold.operation(record, name, [a], lambda shape: {"": layers.Scale(2.0)}, "twice")
        return
    shapes = {x.shape for x, tag in zip((a, b), tags, strict=True) if tag is not None}
    if len(shapes) > 1 and not any(isinstance(tag, Data) and tag.static for tag in tags):
        text = " and ".join(str(shape) for shape in sorted(shapes))
        fold.problem(record, f"{name} of shapes {text}; both must have one shape")
        return
    fold.operation(record, name, [a, b], lambda shapes: {"": layers.Add()})
    tag = fold.tag(record.outputs)
    if isinstance(tag, Data):
        tag.node.sums = True


def _sums_up(fold: Fold, record: Record, a: Any, b: Any) -> bool:
    """A sum over the steps, written as a sum of two: `total = total + spikes`."""
    for before, new in ((a, b), (b, a)):
        if not isinstance(new, Data) or new.t is None:
            continue
        first = isinstance(before, Data) and before.node is new.node and before.t == 0
        more = isinstance(before, Reduced) and before.node is new.node and before.how == "sum"
        if (first and new.t == 1) or (more and before.upto == new.t - 1):
            fold.set(record.outputs, Reduced(new.node, "sum", new.t))
            return True
    return False


@handles("mul", "multiply", "rmul", "imul", "div", "divide", "true_divide", "truediv", "idiv",
         "itruediv", "neg", "negative")  # fmt: skip
def _scale(fold: Fold, record: Record) -> None:
    name = record.name.strip("_")
    x = record.args[0]
    other: Any = -1 if "neg" in name else argument(record, 1, "other")
    divides = "div" in name
    if record.kwargs.get("rounding_mode"):
        raise ValueError(f"rounding_mode={record.kwargs['rounding_mode']!r}")
    if fold.tag(x) is None and not divides:
        x, other = other, x
    tag = fold.tag(x)
    if fold.tag(other) is not None or tag is None:
        what = "quotients" if divides else "products"
        text = f"{name}: {what} of two values are not supported, only those with a constant"
        fold.problem(record, text)
        return
    if isinstance(tag, Reduced):
        fold.set(record.outputs, tag._replace(scaled=True))
        return
    tensor = other.tensor if isinstance(other, Value) else other
    factor: Any = per_neuron(tensor, x.shape[len(getattr(tag, "lead", STEP)) :])
    if divides:
        factor = float(np.float32(1) / np.float32(factor)) if _is_float(factor) else 1 / factor
    if not isinstance(tag, Data):
        fold.operation(record, name, [x], lambda shape: {})  # says why a state is no input
        return
    key = factor if _is_float(factor) else same_numbers(tensor)
    fold.operation(record, name, [x], lambda shape: {"": layers.Scale(factor)}, key)


def _is_float(x: Any) -> bool:
    return isinstance(x, int | float)


def same_numbers(tensor: Any) -> Any:
    """A key that two tensors share if they hold the same numbers."""
    array = tensor.detach().cpu().float().numpy()
    return array.shape, hash(array.tobytes())


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
    if tag is None:
        fold.problem(record, "indexes a constant with a value that depends on the input")
        return
    output = record.outputs
    if isinstance(output, Value) and output.shape == x.shape:
        fold.set(output, tag)
        return
    axis = next((i for i, item in enumerate(index) if isinstance(item, int)), None)
    rest = [item for i, item in enumerate(index) if i != axis]
    whole = all(
        item is Ellipsis or (isinstance(item, slice) and item == slice(None)) for item in rest
    )
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
    new = fold.tag(output)
    if isinstance(new, Data):
        fold.set(output, new._replace(lead=lead))
        new.node.out_shape = shape
        new.node.calls[-1] = new.node.calls[-1]._replace(lead=lead)


@handles("permute", "transpose", "swapaxes", "swapdims", "movedim", "moveaxis", "__get__.T", "t")
def _permute(fold: Fold, record: Record) -> None:
    x = record.args[0]
    tag, ndim = fold.tag(x), len(x.shape)
    order = list(range(ndim))
    if record.name == "permute":
        order = [axis_from(i, ndim) for i in _ints(record, 1, "dims")]
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
    lead = after_permute(tag.lead, order) if isinstance(tag, Data) else None
    if lead is None or not isinstance(tag, Data):
        fold.problem(
            record, f"{record.name} to the order {order}; only time and batch can change places"
        )
        return
    fold.set(record.outputs, tag._replace(lead=lead))


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


# Reductions.


@handles("mean", "sum", "max", "amax")
def _reduce(fold: Fold, record: Record) -> None:
    x = record.args[0]
    how = {"amax": "max"}.get(record.name, record.name)
    tag, ndim = fold.tag(x), len(x.shape)
    dims = [axis_from(d, ndim) for d in _ints(record, 1, "dim") or _ints(record, 9, "axis")]
    outputs = record.outputs if isinstance(record.outputs, tuple) else (record.outputs,)
    if isinstance(tag, Trace):
        fold.set(outputs, tag)
        return
    if not isinstance(tag, Data):
        fold.problem(record, misuse(tag, how) if tag else f"{how} of a constant")
        return
    if len(dims) == 1 and tag.lead[dims[0] : dims[0] + 1] == ("t",):
        fold.set(outputs[1:], UNKNOWN)  # which step was largest
        fold.set(outputs[0], Reduced(tag.node, how))
        return
    _pool(fold, record, how, sorted(d - len(tag.lead) for d in dims))


def _pool(fold: Fold, record: Record, how: str, axes: list[int]) -> None:
    """A reduction over all of space: `x.mean((2, 3))`."""
    pools: dict[tuple[str, int], Any] = {
        ("mean", 1): layers.AvgPool1d, ("mean", 2): layers.AvgPool2d,
        ("sum", 1): layers.SumPool1d, ("sum", 2): layers.SumPool2d,
    }  # fmt: skip
    pool = pools.get((how, len(axes)))
    keeps = record.kwargs.get("keepdim", record.args[2] if len(record.args) > 2 else False)

    def make(shape: tuple[int, ...]) -> dict[str, Layer]:
        if pool is None or axes != list(range(1, len(shape))):
            raise ValueError(
                "a reduction over anything but time or all of space (height and width) is not "
                "supported"
            )
        found: dict[str, Layer] = {"" if keeps else "pool": pool(shape[1:])}
        return found if keeps else found | {"": layers.Flatten()}

    fold.operation(record, how, [record.args[0]], make, (tuple(axes), keeps))
