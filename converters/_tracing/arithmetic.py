"""Sums, multiples and reductions between modules: `a + b`, `2 * x`, `x.mean(0)`."""

from __future__ import annotations

from typing import Any

import numpy as np

from neurojax import layers
from neurojax._layer import Layer
from neurojax.converters._tracing.operations import argument, handles, ints, same_numbers
from neurojax.converters._tracing.recording import Record, Value
from neurojax.converters._tracing.timeloop import Fold, is_zero, misuse
from neurojax.converters._tracing.values import (
    STEP,
    UNKNOWN,
    Data,
    Reduced,
    Trace,
    axis_from,
    layout_text,
)
from neurojax.converters._values import per_neuron


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
        text += "" if divides else ", and matrix products (matmul, @)"
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


@handles("matmul", "bmm", "rmatmul")
def _matmul(fold: Fold, record: Record) -> None:
    a, b = record.args[0], argument(record, 1, "other", record.kwargs.get("mat2"))
    if record.name.strip("_") == "rmatmul":
        a, b = b, a
    tags = fold.tag(a), fold.tag(b)
    if any(tag is None for tag in tags):
        fold.problem(record, "matmul with a constant; use a Linear (torch.nn.functional.linear)")
        return
    for value, tag in zip((a, b), tags, strict=True):
        if isinstance(tag, Data) and len(value.shape) - len(tag.lead) < 2:
            fold.problem(
                record,
                "matmul over the axes of time or batch; samples of both must have two axes at "
                f"least, which those of shape {value.shape[len(tag.lead) :]} have not",
            )
            return
    fold.operation(record, "matmul", [a, b], lambda shapes: {"": layers.MatMul()})


def _is_float(x: Any) -> bool:
    return isinstance(x, int | float)


# Reductions.


@handles("mean", "sum", "max", "amax")
def _reduce(fold: Fold, record: Record) -> None:
    x = record.args[0]
    how = {"amax": "max"}.get(record.name, record.name)
    tag, ndim = fold.tag(x), len(x.shape)
    dims = [axis_from(d, ndim) for d in ints(record, 1, "dim") or ints(record, 9, "axis")]
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
    if any(d < len(tag.lead) for d in dims):
        fold.problem(
            record,
            f"{how} over axes {dims} of {layout_text(tag.lead)} mixes samples; if one of them is "
            "time, give time_axis, or set the step mode of the neurons",
        )
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
