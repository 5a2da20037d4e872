"""Plain torch layers: `Linear`, convolutions, pools, `Flatten`, `BatchNorm`, `ReLU` and friends.

Every function takes the module, or one that is built like it (the wrappers of other libraries are),
and the shape of one sample at one step. Modules are read, never called or changed; they come in as
they compute in `eval()`.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.converters._registry import Converted, convert, register
from neurojax.layers import (
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Pad,
    Permute,
    ReLU,
    ReLU6,
    Reshape,
    Scale,
    SumPool1d,
    SumPool2d,
    Upsample,
)

Result = Layer | Converted


def tensor_in_use(module: Any, name: str) -> np.ndarray | None:
    """A tensor of a module as float32, as its `forward` would use it; None where it has none.

    Norms and masks that torch computes in a hook before each call (`weight_norm`,
    `spectral_norm`, `prune`) are computed here, because what the module holds may be out of date.
    """
    tensor = getattr(module, name, None)
    for hook in _computing_hooks(module, name):
        if hasattr(hook, "apply_mask"):
            tensor = hook.apply_mask(module)
        else:
            frozen = {"do_power_iteration": False} if hasattr(hook, "n_power_iterations") else {}
            tensor = hook.compute_weight(module, **frozen)
    if tensor is None:
        return None
    what = f"{_kind(module)}: {name}"
    if not tensor.is_floating_point():
        raise ValueError(f"{what} is {tensor.dtype}; only real floating-point numbers come in")
    if tensor.is_meta:
        raise ValueError(
            f"{what} is on torch's 'meta' device and holds no numbers; load them first"
        )
    return np.array(tensor.detach().cpu().float().numpy())


def has_computed_weights(module: Any) -> bool:
    """Whether torch computes a tensor of the module in a hook before each call."""
    return any(_computing_hooks(module, name) for name in ("weight", "bias"))


def _computing_hooks(module: Any, name: str) -> list[Any]:
    hooks = getattr(module, "_forward_pre_hooks", {}).values()
    norms = [h for h in hooks if hasattr(h, "compute_weight") and h.name == name]
    masks = [h for h in hooks if hasattr(h, "apply_mask") and h._tensor_name == name]
    return norms + masks


@register("torch.Linear")
def linear(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.Linear`. On the last of several axes (of tokens) it is a convolution of size 1."""
    weight, bias = tensor_in_use(module, "weight"), tensor_in_use(module, "bias")
    if len(in_shape) == 1:
        return Linear.from_weights(weight, bias)
    if len(in_shape) not in (2, 3) or weight is None:
        raise ValueError(
            f"Linear over the last of {len(in_shape)} axes, {in_shape}, is not supported; it takes "
            "(features,), (tokens, features) or (height, width, features): reshape its input"
        )
    kernel = (1,) * (len(in_shape) - 1)
    kind = Conv1d if len(kernel) == 1 else Conv2d
    first = (len(kernel), *range(len(kernel)))
    last = (*range(1, len(in_shape)), 0)
    layers: dict[str, Layer] = {
        "channels_first": Permute(first),
        "weights": kind.from_weights(weight.reshape(*weight.shape, *kernel), bias),
        "": Permute(last),
    }
    return Converted(layers, notes=("a Linear on each token is a convolution of size 1",))


@register("torch.Conv1d", "torch.Conv2d")
def convolution(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.Conv1d` and `Conv2d` with zeros as padding."""
    name, axes = _kind(module), len(module.kernel_size)
    if module.padding_mode != "zeros":
        raise ValueError(
            f"{name}: padding_mode={module.padding_mode!r} is not supported; use 'zeros', as "
            "neuromorphic chips do"
        )
    _check_axes(name, in_shape, axes)
    return (Conv1d if axes == 1 else Conv2d).from_weights(
        tensor_in_use(module, "weight"),
        tensor_in_use(module, "bias"),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
    )


@register("torch.ConvTranspose1d", "torch.ConvTranspose2d")
def transposed_convolution(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.ConvTranspose1d` and `ConvTranspose2d`."""
    axes = len(module.kernel_size)
    _check_axes(_kind(module), in_shape, axes)
    return (ConvTranspose1d if axes == 1 else ConvTranspose2d).from_weights(
        tensor_in_use(module, "weight"),
        tensor_in_use(module, "bias"),
        stride=module.stride,
        padding=module.padding,
        output_padding=module.output_padding,
        dilation=module.dilation,
        groups=module.groups,
    )


@register("torch.AvgPool1d", "torch.AvgPool2d")
def average_pool(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.AvgPool1d` and `AvgPool2d`."""
    name, axes = _kind(module), _axes_of(module)
    kernel, stride, padding = _window(module, in_shape)
    extra = any(after > before for before, after in padding)
    divisor = getattr(module, "divisor_override", None)
    if divisor:
        total = (SumPool1d if axes == 1 else SumPool2d)(kernel, stride=stride, padding=padding)
        return Converted({"sum": total, "": Scale(1 / divisor)})
    padded = any(before for before, _ in padding)
    if extra and padded and module.count_include_pad:
        raise ValueError(
            f"{name}: with ceil_mode=True the last windows reach over the padding, of which torch "
            "counts only a part; set ceil_mode=False or count_include_pad=False"
        )
    # What ceil_mode adds behind the input is never counted.
    counted = not extra and (module.count_include_pad or not padded)
    pool = AvgPool1d if axes == 1 else AvgPool2d
    return pool(kernel, stride=stride, padding=padding, count_padding=counted)


@register("torch.MaxPool1d", "torch.MaxPool2d")
def maximum_pool(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.MaxPool1d` and `MaxPool2d`."""
    name, axes = _kind(module), _axes_of(module)
    if module.return_indices:
        raise ValueError(f"{name}: return_indices=True is not supported; only the values come in")
    if set(_each(module.dilation, axes)) != {1}:
        raise ValueError(f"{name}: dilation={module.dilation} is not supported; use dilation=1")
    kernel, stride, padding = _window(module, in_shape)
    return (MaxPool1d if axes == 1 else MaxPool2d)(kernel, stride=stride, padding=padding)


@register(
    "torch.AdaptiveAvgPool1d",
    "torch.AdaptiveAvgPool2d",
    "torch.AdaptiveMaxPool1d",
    "torch.AdaptiveMaxPool2d",
)
def adaptive_pool(module: Any, in_shape: Shape) -> Result:
    """Pools to a given size, where the input is a multiple of it, or it of the input."""
    name, axes = _kind(module), _axes_of(module)
    _check_axes(name, in_shape, axes)
    if getattr(module, "return_indices", False):
        raise ValueError(f"{name}: return_indices=True is not supported; only the values come in")
    sizes = in_shape[1:]
    wanted = [
        n if size is None else size
        for n, size in zip(sizes, _each(module.output_size, axes), strict=True)
    ]
    if wanted != [*sizes] and all(b % a == 0 for a, b in zip(sizes, wanted, strict=True)):
        # Every window holds one value: VGGs on small images.
        return Upsample([size // n for n, size in zip(sizes, wanted, strict=True)])
    if any(n % size for n, size in zip(sizes, wanted, strict=True)):
        raise ValueError(
            f"{name}: an input of {_text(sizes)} is not a multiple of the output {_text(wanted)}, "
            "so that windows would differ in size; use a pool with a fixed kernel"
        )
    kernel = [n // size for n, size in zip(sizes, wanted, strict=True)]
    average = "Avg" in name
    pools: dict[tuple[bool, int], Callable[..., Layer]] = {
        (True, 1): AvgPool1d, (True, 2): AvgPool2d, (False, 1): MaxPool1d, (False, 2): MaxPool2d,
    }  # fmt: skip
    return pools[average, axes](kernel)


@register("torch.Flatten")
def flatten(module: Any, in_shape: Shape, *, leading: int = 1) -> Result:
    """`torch.nn.Flatten`, as far as it leaves time and batch alone.

    Args:
        module: Something with `start_dim` and `end_dim`.
        in_shape: Shape of one sample at one step.
        leading: Axes before those of a sample: 1 (batch), or 2 (time and batch).
    """
    axes = len(in_shape) + leading
    first, last = (dim + axes if dim < 0 else dim for dim in (module.start_dim, module.end_dim))
    if not leading <= first <= last < axes:
        raise ValueError(
            f"Flatten: start_dim={module.start_dim}, end_dim={module.end_dim} of {axes} axes must "
            f"not touch the first {leading} (time, batch); use start_dim={leading}"
        )
    a, b = first - leading, last - leading + 1
    if b - a == len(in_shape):
        return Flatten()
    if b - a == 1:
        return Identity()
    return Reshape((*in_shape[:a], math.prod(in_shape[a:b]), *in_shape[b:]))


@register("torch.Unflatten")
def unflatten(module: Any, in_shape: Shape, *, leading: int = 1) -> Result:
    """`torch.nn.Unflatten` of an axis of the sample (`leading`: see `flatten`)."""
    axes = len(in_shape) + leading
    if not isinstance(module.dim, int):
        raise ValueError(f"Unflatten: dim={module.dim!r} is a name; give the number of the axis")
    at = (module.dim + axes if module.dim < 0 else module.dim) - leading
    if not 0 <= at < len(in_shape):
        raise ValueError(
            f"Unflatten: dim={module.dim} of {axes} axes must not touch the first {leading} "
            "(time, batch)"
        )
    inner = Reshape(tuple(module.unflattened_size)).out_shape((in_shape[at],))
    return Reshape((*in_shape[:at], *inner, *in_shape[at + 1 :]))


@register("torch.Dropout")
def dropout(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.Dropout`, switched off: `equinox.nn.inference_mode` switches it."""
    del in_shape
    return Dropout(module.p, per_step=True, inference=True)


@register("torch.Dropout1d", "torch.Dropout2d")
def channel_dropout(module: Any, in_shape: Shape) -> Result:
    """Dropout of whole channels becomes one of single values, which is the same when off."""
    layer = Dropout(module.p, per_step=True, inference=True)
    note = "in training it drops single values, not whole channels; off it is the same"
    return Converted({"": layer}, notes=(note,))


@register("torch.BatchNorm1d", "torch.BatchNorm2d", "torch.SyncBatchNorm")
def batch_norm(module: Any, in_shape: Shape) -> Result:
    """Batch normalisation with running statistics."""
    del in_shape
    name = _kind(module)
    if module.running_mean is None or module.running_var is None:
        raise ValueError(
            f"{name}: track_running_stats=False normalises by the batch in inference too: a "
            "sample's result depends on the others; train it with running statistics"
        )
    notes: tuple[str, ...] = ()
    if module.momentum is None:
        notes = ("momentum=None (average over all batches) came in as 0.1, which training uses",)
    layer = BatchNorm.from_weights(
        *(tensor_in_use(module, n) for n in ("weight", "bias", "running_mean", "running_var")),
        eps=float(module.eps),
        momentum=0.1 if module.momentum is None else float(module.momentum),
        inference=True,
    )
    return Converted({"": layer}, notes=notes)


@register("torch.Identity")
def identity(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.Identity`."""
    del module, in_shape
    return Identity()


@register("torch.ReLU")
def relu(module: Any, in_shape: Shape) -> Result:
    """A rate unit."""
    del module, in_shape
    return ReLU()


@register("torch.ReLU6")
def relu6(module: Any, in_shape: Shape) -> Result:
    """A rate unit with a largest rate."""
    del module, in_shape
    return ReLU6()


@register(
    "torch.ZeroPad1d", "torch.ZeroPad2d", "torch.ConstantPad1d", "torch.ConstantPad2d"
)  # fmt: skip
def constant_pad(module: Any, in_shape: Shape) -> Result:
    """Padding with one value. torch names the last axis first."""
    del in_shape
    if min(module.padding) < 0:
        raise ValueError(
            f"{_kind(module)}: padding={module.padding} crops the input, which is not supported; "
            "crop it before the network"
        )
    before, after = module.padding[0::2], module.padding[1::2]
    pairs = list(zip(before, after, strict=True))[::-1]
    return Pad(pairs, value=float(getattr(module, "value", 0.0)))


@register("torch.Upsample")
def upsample(module: Any, in_shape: Shape) -> Result:
    """`torch.nn.Upsample` and `UpsamplingNearest2d` by whole factors."""
    if module.mode != "nearest":
        raise ValueError(f"Upsample: mode={module.mode!r} is not supported; use 'nearest'")
    sizes = in_shape[1:]
    if module.size is not None:
        wanted = _each(module.size, len(sizes))
    else:
        factors = _each(module.scale_factor, len(sizes))
        wanted = [n * factor for n, factor in zip(sizes, factors, strict=True)]
    factors = [size / n for size, n in zip(wanted, sizes, strict=True)]
    if any(factor < 1 or factor % 1 for factor in factors):
        raise ValueError(
            f"Upsample: from {_text(sizes)} to {_text(wanted)} is not by whole factors, which is "
            "all that is supported"
        )
    return Upsample([int(factor) for factor in factors])


def _parametrized(module: Any, in_shape: Shape) -> Result:
    """A module under `torch.nn.utils.parametrize`, say weight normalisation: what it computes."""
    converted = convert(without_parametrizations(module), in_shape)
    names = ", ".join(module.parametrizations)
    note = f"the parametrization of {names} was computed once and is gone"
    return converted._replace(notes=(*converted.notes, note))


def without_parametrizations(module: Any) -> Any:
    """A module of the class that was parametrized, with the numbers that came of it."""
    frozen = copy.deepcopy(module).eval()  # a spectral norm changes itself in training
    numbers = {name: getattr(frozen, name).detach() for name in frozen.parametrizations}
    # torch's remove_parametrizations would take them off the class, which the original shares.
    plain: Any = object.__new__(type(module).__mro__[1])
    plain.__dict__.update(frozen.__dict__)
    plain._modules = {k: v for k, v in frozen._modules.items() if k != "parametrizations"}
    plain._parameters = dict(frozen._parameters)
    for name, tensor in numbers.items():
        setattr(plain, name, _parameter(tensor))
    return plain


def _parameter(tensor: Any) -> Any:
    import torch

    return torch.nn.Parameter(tensor.clone(), requires_grad=tensor.is_floating_point())


_WITH_WEIGHTS = ("Linear", "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d")
register(*(f"torch.Parametrized{name}" for name in _WITH_WEIGHTS))(_parametrized)


def _kind(module: Any) -> str:
    """Name of the torch class that a module is, or is derived from."""
    classes = type(module).__mro__
    return next(c.__name__ for c in classes if c.__module__.startswith("torch.nn.modules"))


def _axes_of(module: Any) -> int:
    """Number of spatial axes of a pool, by its name."""
    return int(_kind(module)[-2])


def _each(value: Any, axes: int) -> list[Any]:
    """An option that was given once or for each axis."""
    values = list(value) if isinstance(value, Sequence) else [value]
    return values * axes if len(values) == 1 else values


def _check_axes(name: str, in_shape: Shape, axes: int) -> None:
    if len(in_shape) != axes + 1:
        raise ValueError(
            f"{name} takes samples with {axes + 1} axes (channels first), got shape {in_shape}"
        )


def _window(module: Any, in_shape: Shape) -> tuple[list[int], list[int], list[tuple[int, int]]]:
    """Kernel, stride and padding of a pool. What `ceil_mode` adds becomes padding behind."""
    name, axes = _kind(module), _axes_of(module)
    _check_axes(name, in_shape, axes)
    kernel, padding = _each(module.kernel_size, axes), _each(module.padding, axes)
    stride = kernel if module.stride is None else _each(module.stride, axes)
    pairs = [(p, p) for p in padding]
    if module.ceil_mode:
        for axis, (n, k, s, p) in enumerate(
            zip(in_shape[1:], kernel, stride, padding, strict=True)
        ):
            count = -(-(n + 2 * p - k) // s) + 1
            if (count - 1) * s >= n + p:  # a window must begin within the input or before it
                count -= 1
            pairs[axis] = (p, max(0, (count - 1) * s + k - n - p))
    return kernel, stride, pairs


def _text(sizes: Sequence[int]) -> str:
    return "x".join(str(n) for n in sizes)
