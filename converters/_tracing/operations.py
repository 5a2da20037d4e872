"""The operations of torch that are understood between modules, and what each becomes.

A handler is a function `(fold, record) -> None` that says what the outputs of a record stand for.
It is given every record whose operation has its name, with or without the underscores of torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from neurojax.converters._tracing.modules import fold_module
from neurojax.converters._tracing.recording import Record
from neurojax.converters._tracing.timeloop import Fold, ends_with, misuse, unsupported_end
from neurojax.converters._tracing.values import (
    UNKNOWN,
    Reduced,
    Unknown,
    flat,
)

Handler = Callable[[Fold, Record], None]
_handlers: dict[str, Handler] = {}

SUPPORTED = (
    "between modules, these are supported: +, -, * and / by constants, matmul, cat, stack, chunk, "
    "flatten, view, reshape, squeeze, unsqueeze, permute, transpose, indexing and unbind over "
    "time, mean and sum over time or space, F.relu, F.relu6, linear, conv, pad, pools and dropout"
)


def handles(*names: str) -> Callable[[Handler], Handler]:
    """Decorator that makes a function the handler of operations."""

    def decorate(handler: Handler) -> Handler:
        _handlers.update(dict.fromkeys(names, handler))
        return handler

    return decorate


def fold(state: Fold, record: Record) -> None:
    """Says what the outputs of a record stand for."""
    if record.module is not None:
        fold_module(state, record)
        return
    tags = [state.tag(x) for x in flat((record.args, record.kwargs))]
    if any(isinstance(tag, Unknown) for tag in tags):
        state.unsure.add(record.scope)
        state.set(record.outputs, UNKNOWN)
        return
    handler = _handlers.get(record.name) or _handlers.get(record.name.strip("_"))
    reduced = next((tag for tag in tags if isinstance(tag, Reduced)), None)
    if handler is None and reduced is not None:
        state.problem(record, misuse(reduced, record.name))
        return
    if handler is None and ends_with(record.name):
        state.problem(record, unsupported_end(record.name, tags[0]))
        return
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


def ints(record: Record, position: int, name: str) -> list[int]:
    """Numbers that are given one by one, or as one tuple."""
    rest: Any = record.args[position:]
    if not rest:
        rest = record.kwargs.get(name, ())
    elif len(rest) == 1 and isinstance(rest[0], tuple | list):
        rest = rest[0]
    return [rest] if isinstance(rest, int) else [int(i) for i in rest]


def same_numbers(tensor: Any) -> Any:
    """A key that two tensors share if they hold the same numbers."""
    array = tensor.detach().cpu().float().numpy()
    return array.shape, hash(array.tobytes())


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
