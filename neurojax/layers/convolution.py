"""Convolutional synapses over one or two spatial axes, channels first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape
from neurojax.layers._im2col import Window, convolve
from neurojax.layers._kernel import KernelLayer, common_options
from neurojax.layers._weights import (
    Pairs,
    as_weight,
    assemble,
    pads_per_axis,
    per_axis,
    positive,
    text_of,
    uniform,
)


class _Conv(KernelLayer):
    """What Conv1d and Conv2d share; the weight is `(out, in / groups, *kernel)`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = False,
        implementation: str = "auto",
        dtype: Any = jnp.float32,
        key: PRNGKeyArray,
    ) -> None:
        name = type(self).__name__
        n = positive(f"{name}: in_channels", in_channels)
        m = positive(f"{name}: out_channels", out_channels)
        groups = positive(f"{name}: groups", groups)
        kernel = per_axis(f"{name}: kernel_size", kernel_size, self.ndim)
        if n % groups:
            raise ValueError(f"{name}: in_channels={n} must be a multiple of groups={groups}")
        shape = (m, n // groups, *kernel)
        options = _options(type(self), shape, stride, padding, dilation, groups, implementation)
        fan_in = math.prod(shape[1:])
        weight_key, bias_key = jax.random.split(key)
        self.weight = uniform(weight_key, shape, fan_in, dtype)
        self.bias = uniform(bias_key, (m,), fan_in, dtype) if bias else None
        self.stride = options["stride"]
        self.padding = options["padding"]
        self.dilation = options["dilation"]
        self.groups = options["groups"]
        self.implementation = options["implementation"]

    @classmethod
    def from_weights(
        cls,
        weight: Any,
        bias: Any = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        implementation: str = "auto",
    ) -> Self:
        """A layer with given parameters: weight `(out, in / groups, *kernel)`, bias `(out,)`."""
        name = cls.__name__
        weight = as_weight(weight)
        bias = None if bias is None else as_weight(bias)
        if weight.ndim != cls.ndim + 2:
            raise ValueError(
                f"{name}: weight must be (out, in / groups, *kernel) with {cls.ndim + 2} axes, "
                f"got shape {weight.shape}"
            )
        if bias is not None and bias.shape != weight.shape[:1]:
            raise ValueError(
                f"{name}: bias has shape {bias.shape}, but the weight {weight.shape} has "
                f"{weight.shape[0]} outputs"
            )
        options = _options(cls, weight.shape, stride, padding, dilation, groups, implementation)
        return assemble(cls, weight=weight, bias=bias, **options)

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return self.weight.shape[-1 - self.ndim] * self.groups

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.weight.shape[-2 - self.ndim]

    def _im2col(self, x: Array) -> Array:
        window = Window(self.stride, self.padding, self.dilation, self.groups)
        return convolve(x, self.weight, window)

    def _native(self, x: Array) -> Array:
        (y,) = jax.lax.conv_general_dilated(
            x[None],
            self.weight,
            self.stride,
            self.padding,
            rhs_dilation=self.dilation,
            feature_group_count=self.groups,
            precision=jax.lax.Precision.HIGHEST,
        )
        return y

    def out_shape(self, in_shape: Shape) -> Shape:
        self._check_input(in_shape)
        sizes = window_counts(
            type(self).__name__,
            in_shape[1:],
            self.kernel_size,
            self.stride,
            self.padding,
            self.dilation,
        )
        return (self.out_channels, *sizes)


class Conv1d(_Conv):
    """Convolution over one spatial axis: `(C, L)` to `(C', L')`. See `Conv2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _Conv.__init__  # for type checkers, which would make up one from the fields


class Conv2d(_Conv):
    """Convolution over two spatial axes: `(C, H, W)` to `(C', H', W')`.

    Args:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel_size: Size of the kernel: an integer or one an axis.
        stride: Step of the kernel.
        padding: Zeros around the input: one number, one an axis, or `(before, after)` for each
            axis; `"valid"` (none) or `"same"` (output as large as the input; stride 1 only; an odd
            surplus zero goes to the end, as in PyTorch). The field of the same name holds the
            pairs.
        dilation: Distance between the points of the kernel.
        groups: Number of blocks of channels that don't see each other.
        bias: Whether to add a bias (off by default, see `Linear`).
        implementation: `"im2col"` (patches times weights as one matrix product), `"native"`
            (XLA's convolution) or `"auto"`: the first on CPU, the second elsewhere.
        dtype: Floating-point type of the parameters.
        key: Source of the weights, uniform in ±1/sqrt(fan in) (PyTorch's choice).

    Example:
        >>> import jax, neurojax as nj
        >>> conv = nj.Conv2d(2, 8, 3, stride=2, padding=1, key=jax.random.key(0))
        >>> conv.describe(), conv.out_shape((2, 16, 16))
        ('Conv2d 2->8, 3x3, stride 2, padding 1', (8, 8, 8))
    """

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _Conv.__init__  # as above


def _options(
    cls: type[_Conv],
    shape: tuple[int, ...],
    stride: int | Sequence[int],
    padding: int | Sequence[int | tuple[int, int]] | str,
    dilation: int | Sequence[int],
    groups: int,
    implementation: str,
) -> dict[str, Any]:
    """The static fields of a convolution, checked."""
    name = cls.__name__
    options = common_options(
        cls, stride, dilation, groups, implementation, ("out_channels", shape[0])
    )
    if padding == "same":
        if set(options["stride"]) != {1}:
            raise ValueError(
                f"{name}: padding='same' needs stride 1, got stride {options['stride']}"
            )
        totals = [d * (k - 1) for d, k in zip(options["dilation"], shape[2:], strict=True)]
        pads: Pairs = tuple((total // 2, total - total // 2) for total in totals)
    elif padding == "valid":
        pads = ((0, 0),) * cls.ndim
    elif isinstance(padding, str):
        raise ValueError(f"{name}: padding={padding!r}; it must be 'same', 'valid' or integers")
    else:
        pads = pads_per_axis(f"{name}: padding", padding, cls.ndim)
    return options | {"padding": pads}


def window_counts(
    name: str,
    sizes: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Pairs,
    dilation: Sequence[int] | None = None,
) -> tuple[int, ...]:
    """How many windows fit along each spatial axis; ValueError if none does."""
    dilation = dilation or (1,) * len(kernel)
    spans = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    padded = [n + sum(pads) for n, pads in zip(sizes, padding, strict=True)]
    if any(n < span for n, span in zip(padded, spans, strict=True)):
        raise ValueError(
            f"{name}: the window spans {text_of(spans)}, but the padded input is only "
            f"{text_of(padded)}; use a smaller kernel or more padding"
        )
    return tuple((n - span) // s + 1 for n, span, s in zip(padded, spans, stride, strict=True))
