"""Functions of torch that do what a module does: `F.relu`, `F.conv2d`, `F.pad`, pools, dropout.

Each becomes what its module becomes, with the weights that it was given.
"""

from __future__ import annotations

from typing import Any

import torch

from neurojax._layer import Layer
from neurojax.converters._registry import convert
from neurojax.converters._tracing.operations import argument, handles, same_numbers
from neurojax.converters._tracing.recording import Record, Value
from neurojax.converters._tracing.timeloop import Fold
from neurojax.layers import Pad


def _twin(fold: Fold, record: Record, module: Any) -> None:
    name = record.name.strip("_")
    key = (repr(module), *(same_numbers(tensor) for tensor in module.parameters()))

    def make(shape: tuple[int, ...]) -> dict[str, Layer]:
        return dict(convert(module, shape).layers)

    fold.operation(record, name, [record.args[0]], make, key)


@handles("relu")
def _relu(fold: Fold, record: Record) -> None:
    _twin(fold, record, torch.nn.ReLU())


@handles("relu6")
def _relu6(fold: Fold, record: Record) -> None:
    _twin(fold, record, torch.nn.ReLU6())


@handles("clamp", "clamp_min", "clip")
def _clamp(fold: Fold, record: Record) -> None:
    if argument(record, 1, "min") != 0 or argument(record, 2, "max") is not None:
        raise ValueError("only clamp(min=0), which is a ReLU")
    _twin(fold, record, torch.nn.ReLU())


@handles("dropout", "feature_dropout", "dropout1d", "dropout2d")
def _dropout(fold: Fold, record: Record) -> None:
    p = argument(record, 1, "p", 0.5)
    kind = {"dropout1d": torch.nn.Dropout1d, "dropout": torch.nn.Dropout}
    if argument(record, 2, "training", True):
        fold.problem(
            record, "dropout that is on in eval(); pass training=self.training, or use nn.Dropout"
        )
        return
    if fold.pass_on(record, record.name, record.args[0]):
        return
    _twin(fold, record, kind.get(record.name, torch.nn.Dropout2d)(p))


_POOLS: dict[str, tuple[str, tuple[str, ...]]] = {
    f"{kind}_pool{n}d": (f"{name}Pool{n}d", names)
    for n in (1, 2)
    for kind, name, names in (
        ("avg", "Avg", ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")
         + (("divisor_override",) if n == 2 else ())),
        ("max", "Max", ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
        ("adaptive_avg", "AdaptiveAvg", ("output_size",)),
        ("adaptive_max", "AdaptiveMax", ("output_size",)),
    )
}  # fmt: skip


@handles(*_POOLS)
def _pool_function(fold: Fold, record: Record) -> None:
    name, names = _POOLS[record.name]
    kwargs = {n: argument(record, i + 1, n) for i, n in enumerate(names)}
    given = {n: v for n, v in kwargs.items() if v is not None and v != ()}
    _twin(fold, record, getattr(torch.nn, name)(**given))


@handles("pad")
def _pad(fold: Fold, record: Record) -> None:
    if argument(record, 2, "mode", "constant") != "constant":
        raise ValueError("only mode='constant'")
    sides = tuple(int(n) for n in argument(record, 1, "pad"))
    if min(sides) < 0:
        raise ValueError(f"pad={sides} crops the input; crop it before the network")
    # torch names the last axis first; axes in front that get nothing may be time and batch.
    pairs = list(zip(sides[0::2], sides[1::2], strict=True))[::-1]
    while pairs and pairs[0] == (0, 0):
        del pairs[0]
    value = float(argument(record, 3, "value") or 0.0)

    def make(shape: tuple[int, ...]) -> dict[str, Layer]:
        if len(pairs) > len(shape):
            raise ValueError(f"pad={sides} reaches the axes of time or batch")
        return {"": Pad(pairs, value=value)}

    fold.operation(record, "pad", [record.args[0]], make, (sides, value))


@handles("linear")
def _linear(fold: Fold, record: Record) -> None:
    weight, bias = argument(record, 1, "weight"), argument(record, 2, "bias")
    _check_constants(fold, weight, bias)
    module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    _twin(fold, record, _filled(module, weight, bias))


_PLAIN = ("stride", "padding", "dilation", "groups")
_TRANSPOSED = ("stride", "padding", "output_padding", "groups", "dilation")  # as torch orders them
_CONVOLUTIONS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "conv1d": (torch.nn.Conv1d, _PLAIN),
    "conv2d": (torch.nn.Conv2d, _PLAIN),
    "conv_transpose1d": (torch.nn.ConvTranspose1d, _TRANSPOSED),
    "conv_transpose2d": (torch.nn.ConvTranspose2d, _TRANSPOSED),
}


@handles(*_CONVOLUTIONS)
def _convolution(fold: Fold, record: Record) -> None:
    weight, bias = argument(record, 1, "weight"), argument(record, 2, "bias")
    _check_constants(fold, weight, bias)
    kind, names = _CONVOLUTIONS[record.name]
    options = {
        n: argument(record, i + 3, n, 0 if "padding" in n else 1) for i, n in enumerate(names)
    }
    channels = [weight.shape[1] * options["groups"], weight.shape[0]]
    if "output_padding" in names:  # the weight of a transposed one has its inputs first
        channels.reverse()
    module = kind(*channels, tuple(weight.shape[2:]), bias=bias is not None, **options)
    _twin(fold, record, _filled(module, weight, bias))


def _check_constants(fold: Fold, *values: Any) -> None:
    if any(fold.tag(value) is not None for value in values):
        raise ValueError("weights that depend on the input")


def _filled(module: Any, weight: Value, bias: Any) -> Any:
    module.weight = torch.nn.Parameter(weight.tensor.detach().clone())
    if bias is not None:
        module.bias = torch.nn.Parameter(bias.tensor.detach().clone())
    return module
