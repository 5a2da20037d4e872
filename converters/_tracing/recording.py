"""Running a torch model once and writing down what it does.

The model runs on an example, as a copy in `eval()` without gradients, and every call of a module
with a converter and every operation of torch between them is recorded with the values that went in
and came out. Because real values flow, control flow that depends on shapes, loops over time, states
in tuples, dictionaries and lists are no difficulty; control flow that depends on the values is
noticed and refused.
"""

from __future__ import annotations

import copy
import dataclasses
import functools as ft
import os
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from neurojax.converters._registry import Converted, convert, converter_of, kind_of
from neurojax.converters._tracing.values import flat, mapped

CONTAINERS = (
    torch.nn.Sequential, torch.nn.ModuleList, torch.nn.ModuleDict, torch.nn.ParameterList,
    torch.nn.ParameterDict,
)  # fmt: skip
# Their meaning depends on where time and batch are: they are read as the operation they call.
TRANSPARENT = {"torch.Flatten", "torch.Unflatten", "sinabs.FlattenTime", "sinabs.UnflattenTime"}

READS_VALUES = {
    "__bool__", "__int__", "__float__", "__index__", "__complex__", "item", "tolist", "numpy",
    "__contains__", "equal", "allclose", "is_nonzero", "__array__", "nonzero", "argwhere",
}  # fmt: skip
ONLY_SHAPE = {
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full",
    "new_empty", "new_tensor",
}  # fmt: skip
RANDOM = {
    "rand", "randn", "randint", "rand_like", "randn_like", "randint_like", "bernoulli", "normal",
    "poisson", "multinomial", "bernoulli_", "uniform_", "normal_", "random_", "exponential_",
    "randperm",
}  # fmt: skip


@dataclasses.dataclass(eq=False)
class Value:
    """A tensor that was seen during the trace."""

    tensor: torch.Tensor
    data: torch.Tensor  # its values when it was made: the tensor itself may be written to
    from_input: str | None = None
    produced: bool = False  # it came out of a record (or is an input); otherwise it is a constant

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.tensor.shape)


@dataclasses.dataclass(eq=False)
class Record:
    """A call of a module or of an operation; tensors in its arguments are `Value`s."""

    scope: str  # path of the module in whose forward it happened (for a module: its own)
    name: str  # of the operation; "" for a module
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any


@dataclasses.dataclass
class Recording:
    """What happened when the model ran.

    Attributes:
        model: The copy that ran.
        records: Calls, first to last.
        inputs: The model's inputs by name.
        outputs: What `forward` returned, tensors as `Value`s.
        problems: What can't be imported, by the path of the module where it was found.
        values: All tensors by id.
        by_step: Whether the model was called once a step.
    """

    model: Any
    records: list[Record]
    inputs: dict[str, Value]
    outputs: Any
    problems: list[tuple[str, str]]
    values: dict[int, Value]
    by_step: bool = False

    def value(self, tensor: torch.Tensor) -> Value:
        found = self.values.get(id(tensor))
        if found is None or found.tensor is not tensor:
            found = self.values[id(tensor)] = Value(tensor, tensor)
        return found

    def wrap(self, tree: Any) -> Any:
        return mapped(lambda x: self.value(x) if isinstance(x, torch.Tensor) else x, tree)

    def produce(self, tree: Any) -> Any:
        """Wraps what a record returned: new values, even of a tensor that was seen before."""

        made: dict[int, Value] = {}

        def new(x: Any) -> Any:
            if not isinstance(x, torch.Tensor):
                return x
            if id(x) not in made:
                made[id(x)] = self.values[id(x)] = Value(x, x, produced=True)
                self.kept.append(made[id(x)])
            return made[id(x)]

        return mapped(new, tree)

    def converted(self, module: Any, in_shape: Any) -> Converted:
        """What a module becomes. A loop over time asks in every step."""
        key = id(module), in_shape
        if key not in self._converted:
            self._converted[key] = convert(module, in_shape)
        return self._converted[key]

    def __post_init__(self) -> None:
        self.kept: list[Value] = []  # keeps tensors alive, so that their ids stay theirs
        self._converted: dict[Any, Converted] = {}


class _Mode(TorchFunctionMode):
    """Sees every function of torch that the model calls outside of modules that are recorded."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.stack: list[str] = [""]
        self.inside = 0  # a recorded module is running

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.inside:
            return func(*args, **kwargs)
        name = getattr(func, "__name__", str(func))
        if name in ("__get__", "__set__"):
            name = f"{name}.{getattr(getattr(func, '__self__', None), '__name__', '')}"
        rec = self.recording
        tensors = [x for x in flat((args, kwargs)) if isinstance(x, torch.Tensor)]
        depends = any(rec.value(x).produced for x in tensors)
        if name in RANDOM:
            rec.problems.append(
                (
                    self.stack[-1],
                    f"draws random numbers ({name}); give the model encoded spikes "
                    "(neurojax.encode makes them), or register the module that draws",
                )
            )
        if not depends or name in ONLY_SHAPE:
            return func(*args, **kwargs)
        if name in READS_VALUES:
            rec.problems.append(
                (
                    self.stack[-1],
                    f"its forward reads the values of a tensor ({name}), so what it does depends "
                    "on the data; restructure it, or register the module",
                )
            )
            return func(*args, **kwargs)
        in_place = (name.endswith("_") and not name.endswith("__")) or name == "__setitem__"
        in_place = (
            in_place or kwargs.get("inplace", False) or (name[:3] == "__i" and name != "__iter__")
        )
        wrapped_args, wrapped_kwargs = rec.wrap(args), rec.wrap(kwargs)
        if in_place:
            target = rec.value(args[0])
            target.data = target.tensor.clone()
        result = func(*args, **kwargs)
        if in_place:
            outputs = rec.produce(args[0])
        elif any(isinstance(x, torch.Tensor) for x in flat(result)):
            result = _fresh(result, tensors)
            outputs = rec.produce(result)
        else:
            return result
        rec.records.append(
            Record(self.stack[-1], name, None, wrapped_args, wrapped_kwargs, outputs)
        )
        return result


def _fresh(result: Any, tensors: list[torch.Tensor]) -> Any:
    """The result with tensors that are arguments replaced by others that share their memory: what
    comes out of a dropout in `eval()` is not what went in."""
    seen = {id(x) for x in tensors}
    return mapped(lambda x: x.view_as(x) if id(x) in seen else x, result)


def copy_of(module: Any) -> Any:
    """A deep copy for a trace: in `eval()`, without the states of earlier runs.

    Raises:
        ValueError: The module can't be copied.
    """
    memo: dict[int, Any] = {}
    own_copies = []
    for child in module.modules():
        cls: Any = type(child)
        if hasattr(cls, "__deepcopy__") and not cls.__module__.startswith("torch."):
            own_copies.append(child)
        # torch refuses to copy results of a computation, such as a membrane after training.
        for tensor in _tensors_in(vars(child), 4):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    try:
        # sinabs' way of copying fails on some of its modules and forgets what subclasses add.
        for child in reversed(own_copies):
            cls = type(child)
            memo[id(child)] = new = cls.__new__(cls)
            vars(new).update(copy.deepcopy(vars(child), memo))
        result = copy.deepcopy(module, memo)
    except Exception as error:
        raise ValueError(
            f"{type(module).__name__} can't be copied ({type(error).__name__}: {error}); "
            "the import runs a copy, to leave your module as it is"
        ) from error
    result.eval()
    for child in result.modules():
        if converter_of(child) is not None:
            for name in ("reset_states", "reset_mem", "reset"):
                if callable(getattr(type(child), name, None)):
                    getattr(child, name)()
                    break
    return result


def _tensors_in(tree: Any, depth: int) -> Iterator[torch.Tensor]:
    if isinstance(tree, torch.Tensor):
        yield tree
    elif depth and isinstance(tree, dict):
        for item in tree.values():
            yield from _tensors_in(item, depth - 1)
    elif depth and isinstance(tree, list | tuple):
        for item in tree:
            yield from _tensors_in(item, depth - 1)


def is_leaf(module: Any) -> bool:
    """Whether a module is recorded as one thing."""
    if kind_of(type(module)) in TRANSPARENT:
        return False
    if converter_of(module) is not None:
        return True
    if isinstance(module, CONTAINERS):
        return False
    return type(module).__module__.startswith("torch.nn.modules")


def record(model: Any, call: Callable[[Any, Recording], Any], inputs: dict[str, Any]) -> Recording:
    """Runs a copy made by `copy_of`.

    Args:
        model: The copy.
        call: Calls the model and returns what the forward returned.
        inputs: Tensors by name.
    """
    recording = Recording(model, [], {}, None, [], {})
    for name, tensor in inputs.items():
        value = recording.produce(tensor)
        value.from_input = name
        recording.inputs[name] = value
    mode = _Mode(recording)
    with torch.no_grad(), _watched(model, mode), mode:
        outputs = call(model, recording)
    recording.outputs = recording.wrap(outputs)
    return recording


@contextmanager
def _watched(model: Any, mode: _Mode) -> Iterator[None]:
    """Every module of the model reports its calls."""
    changed = []
    hooks = []
    for path, module in model.named_modules():
        for table in (module._forward_pre_hooks, module._forward_hooks):
            hooks.append((table, dict(table)))
            table.update({key: _watch_hook(path, hook, mode) for key, hook in table.items()})
        watch = _watch_leaf if is_leaf(module) else _watch_scope
        changed.append((module, vars(module).get("forward")))
        vars(module)["forward"] = watch(path, module, module.forward, mode)
    try:
        yield
    finally:
        for table, functions in hooks:
            table.update(functions)
        for module, before in changed:
            del vars(module)["forward"]
            if before is not None:
                vars(module)["forward"] = before


def _watch_scope(path: str, module: Any, forward: Any, mode: _Mode) -> Any:
    @ft.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        mode.stack.append(path)
        try:
            return forward(*args, **kwargs)
        finally:
            mode.stack.pop()

    return watched


def _watch_hook(path: str, hook: Any, mode: _Mode) -> Any:
    """Hooks may look at everything (sinabs counts operations), but not change it."""

    @ft.wraps(hook, updated=())
    def watched(*args: Any, **kwargs: Any) -> Any:
        mode.inside += 1
        try:
            result = hook(*args, **kwargs)
        finally:
            mode.inside -= 1
        if result is not None and not mode.inside:
            text = "has a hook that changes what goes in or comes out; remove it"
            mode.recording.problems.append((path, text))
        return result

    return watched


def _watch_leaf(path: str, module: Any, forward: Any, mode: _Mode) -> Any:
    @ft.wraps(forward)
    def watched(*args: Any, **kwargs: Any) -> Any:
        if mode.inside:
            return forward(*args, **kwargs)
        rec = mode.recording
        wrapped_args, wrapped_kwargs = rec.wrap(args), rec.wrap(kwargs)
        tensors = [x for x in flat((args, kwargs)) if isinstance(x, torch.Tensor)]
        in_place = getattr(module, "inplace", False)
        if in_place:
            for tensor in tensors:
                rec.value(tensor).data = tensor.clone()
        mode.inside += 1
        try:
            result = forward(*args, **kwargs)
        finally:
            mode.inside -= 1
        if not in_place:
            mode.inside += 1
            result = _fresh(result, tensors)
            mode.inside -= 1
        outputs = rec.produce(result)
        rec.records.append(Record(path, "", module, wrapped_args, wrapped_kwargs, outputs))
        return result

    return watched


def where_raised(error: BaseException) -> str:
    """The line of the user's code in which an exception was raised, for messages."""
    trace: types.TracebackType | None = error.__traceback__
    found = ""
    own = (os.path.dirname(torch.__file__), os.path.dirname(__file__))
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(own):
            found = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
