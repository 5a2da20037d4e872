"""What the values of a traced torch model stand for, and which of their axes are time and batch.

A tensor that torch computes holds the values of one *node* (an input, a module, an operation): of
all steps at once, of one step, or of a state. Its first axes are called by letters: `("t", "b")` is
[time, batch, ...], `("bt",)` is batch and time in one axis, sample by sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from neurojax._layer import Layer, Shape

Lead = tuple[str, ...]

STEP: Lead = ("b",)
BY_TIME: Lead = ("t", "b")
BY_BATCH: Lead = ("b", "t")
# Within a family the values lie in one order in memory, so that reshapes lead from one to another.
FAMILIES: tuple[tuple[Lead, ...], ...] = (
    (BY_TIME, ("tb",), ("1", "t", "b")),
    (BY_BATCH, ("bt",)),
    (STEP, ("1", "b")),
)
LAYOUTS = {"t": "time", "b": "batch", "tb": "time*batch", "bt": "batch*time", "1": "1"}

# What does with the outputs of a run what a reduction over time does.
DECODERS = {
    "sum": "sum_over_time",
    "mean": "mean_over_time",
    "max": "max_over_time",
    "last": "last",
}
DROPPED = "torch applies a dropout, in training, to what it returns of all steps; it is left out"


def is_idle(source: str) -> bool:
    """Whether a module or operation changes nothing in `eval()`."""
    package, _, name = source.partition(".")
    return package == "torch" and (name == "Identity" or "dropout" in name.lower())


def layout_text(lead: Lead) -> str:
    """`[time, batch, ...]` for `("t", "b")`."""
    return "[" + ", ".join([*(LAYOUTS[letter] for letter in lead), "..."]) + "]"


@dataclasses.dataclass(eq=False)
class Node:
    """An input, a module or an operation, each of which becomes a layer or several.

    Attributes:
        name: Name of the layer that it becomes.
        source: What it was, for the provenance.
        layers: What it becomes, as in `Converted`; empty for an input.
        args: Where its inputs come from.
        in_shape: Shape of its input (a tuple of shapes, if the layer takes a tuple).
        out_shape: Shape of its output, without time and batch.
        notes: What the import decided.
        times: Steps at which it was called; None stands for all steps or for none in particular.
        calls: What was computed in each call: the inputs, their first axes, the output, its axes.
    """

    name: str
    source: str
    layers: dict[str, Layer]
    args: list[Arg]
    in_shape: Any
    out_shape: Shape
    notes: list[str] = dataclasses.field(default_factory=list)
    times: list[int | None] = dataclasses.field(default_factory=list)
    calls: list[Call] = dataclasses.field(default_factory=list)
    original: str = ""  # name of the module in the model
    stateful: bool = False
    sums: bool = False  # adds its inputs up

    @property
    def is_input(self) -> bool:
        return not self.layers

    @property
    def start(self) -> int:
        return self.times[0] or 0


class Arg(NamedTuple):
    """Where an input of a node comes from: a node, `delay` steps ago; no node stands for zeros."""

    node: Node | None
    delay: int = 0


class Call(NamedTuple):
    """What a node computed in one call."""

    inputs: tuple[Any, ...]
    leads: tuple[Lead | None, ...]
    output: Any
    lead: Lead


class Data(NamedTuple):
    """Values of a node: of one step (`t`), of all steps (`t` is None and the axes have a time), or
    the same in every step."""

    node: Node
    lead: Lead
    t: int | None = None

    @property
    def sequence(self) -> bool:
        return any("t" in letter for letter in self.lead)

    @property
    def static(self) -> bool:
        return self.t is None and not self.sequence


class State(NamedTuple):
    """State of a node after a step; `t` is None if it was called with all steps at once."""

    node: Node
    path: str
    t: int | None


class Trace(NamedTuple):
    """All steps of a state."""

    node: Node
    path: str


class Reduced(NamedTuple):
    """A reduction of a node's output over time."""

    node: Node
    how: str  # "sum", "mean", "max", "last", "extreme" (the one of larger magnitude)
    upto: int | None = None  # a sum that is not complete yet
    scaled: bool = False


class Filling(NamedTuple):
    """A tensor `[time, ...]` that is filled step by step."""

    items: tuple[Data | State, ...]
    axis: int


class Unknown(NamedTuple):
    """A value that depends on something unsupported, which has been reported."""


UNKNOWN = Unknown()
Tag = Data | State | Trace | Reduced | Filling | Unknown


def sizes_of(lead: Lead, steps: int, batch: int) -> tuple[int, ...]:
    """Lengths of the first axes."""
    sizes = {"t": steps, "b": batch, "1": 1}
    return tuple(math.prod(sizes[letter] for letter in axis) for axis in lead)


def after_reshape(
    lead: Lead, shape: Sequence[int], steps: int, batch: int
) -> tuple[Lead, Shape] | None:
    """The first axes and the shape of a sample after a reshape to `shape`.

    None if the reshape mixes samples or steps.
    """
    family = next(family for family in FAMILIES if lead in family)
    for candidate in (lead, *(other for other in family if other != lead)):
        sizes = sizes_of(candidate, steps, batch)
        if tuple(shape[: len(sizes)]) == sizes:
            return candidate, tuple(shape[len(sizes) :])
    return None


def after_permute(lead: Lead, order: Sequence[int]) -> tuple[Lead, tuple[int, ...]] | None:
    """The first axes, and the order of the sample's, after a permutation; None if it mixes both."""
    count = len(lead)
    if sorted(order[:count]) != list(range(count)):
        return None
    moved = tuple(lead[axis] for axis in order[:count])
    known = any(moved in family for family in FAMILIES)
    return (moved, tuple(axis - count for axis in order[count:])) if known else None


def to_time_first(array: Any, lead: Lead | None, steps: int, batch: int) -> Any:
    """An array of a call as [time, batch, ...]; of a single step it gets one step."""
    if lead in (BY_TIME, None):
        return array
    if lead == BY_BATCH:
        return array.swapaxes(0, 1)
    if lead == ("tb",):
        return array.reshape(steps, batch, *array.shape[1:])
    if lead == ("bt",):
        return array.reshape(batch, steps, *array.shape[1:]).swapaxes(0, 1)
    if lead == ("1", "t", "b"):
        return array[0]
    return array if lead == ("1", "b") else array[None]


def flat(tree: Any) -> Iterable[Any]:
    """The leaves of nested tuples, lists and dicts, in order."""
    if isinstance(tree, dict):
        for item in tree.values():
            yield from flat(item)
    elif isinstance(tree, tuple | list):
        for item in tree:
            yield from flat(item)
    else:
        yield tree


def mapped(function: Any, tree: Any) -> Any:
    """The same nesting with every leaf replaced by what the function makes of it."""
    if isinstance(tree, dict):
        return {name: mapped(function, item) for name, item in tree.items()}
    if isinstance(tree, tuple) and hasattr(tree, "_fields"):
        return type(tree)(*(mapped(function, item) for item in tree))
    if isinstance(tree, tuple | list):
        return type(tree)(mapped(function, item) for item in tree)
    return function(tree)


def axis_from(axis: int, ndim: int) -> int:
    """An axis counted from the front."""
    return axis + ndim if axis < 0 else axis
