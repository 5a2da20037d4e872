"""Transposed convolutions over one or two spatial axes: from small images to large ones."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape
from neurojax.layers._col2im import convolve_transposed, full_sizes
from neurojax.layers._im2col import Window
from neurojax.layers._kernel import KernelLayer, common_options
from neurojax.layers._weights import (
    as_weight,
    assemble,
    pads_per_axis,
    per_axis,
    positive,
    short,
    uniform,
)


class _ConvTranspose(KernelLayer):
    """What ConvTranspose1d and 2d share; the weight is `(in, out / groups, *kernel)`."""

    output_padding: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        output_padding: int | Sequence[int] = 0,
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
        if m % groups:
            raise ValueError(f"{name}: out_channels={m} must be a multiple of groups={groups}")
        shape = (n, m // groups, *kernel)
        options = _options(
            type(self), shape, stride, padding, output_padding, dilation, groups, implementation
        )
        fan_in = math.prod(shape[1:])  # as PyTorch counts it
        weight_key, bias_key = jax.random.split(key)
        self.weight = uniform(weight_key, shape, fan_in, dtype)
        self.bias = uniform(bias_key, (m,), fan_in, dtype) if bias else None
        self.stride = options["stride"]
        self.padding = options["padding"]
        self.output_padding = options["output_padding"]
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
        padding: int | Sequence[int | tuple[int, int]] = 0,
        output_padding: int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        implementation: str = "auto",
    ) -> Self:
        """A layer with given parameters: weight `(in, out / groups, *kernel)`, bias `(out,)`."""
        name = cls.__name__
        weight = as_weight(weight)
        bias = None if bias is None else as_weight(bias)
        if weight.ndim != cls.ndim + 2:
            raise ValueError(
                f"{name}: weight must be (in, out / groups, *kernel) with {cls.ndim + 2} axes, "
                f"got shape {weight.shape}"
            )
        options = _options(
            cls, weight.shape, stride, padding, output_padding, dilation, groups, implementation
        )
        if bias is not None and bias.shape != (weight.shape[1] * options["groups"],):
            raise ValueError(
                f"{name}: bias has shape {bias.shape}, but the weight {weight.shape} has "
                f"{weight.shape[1] * options['groups']} outputs"
            )
        return assemble(cls, weight=weight, bias=bias, **options)

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return self.weight.shape[-2 - self.ndim]

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.weight.shape[-1 - self.ndim] * self.groups

    def _im2col(self, x: Array) -> Array:
        window, rest = self._window()
        y = convolve_transposed(x, self.weight, window)
        return jnp.pad(y, ((0, 0), *((0, more) for more in rest))) if any(rest) else y

    def _native(self, x: Array) -> Array:
        padding = [
            (d * (k - 1) - before, d * (k - 1) - after + extra)
            for d, k, (before, after), extra in zip(
                self.dilation, self.kernel_size, self.padding, self.output_padding, strict=True
            )
        ]
        per_group = self.weight.shape[0] // self.groups
        kernel = self.weight.reshape(self.groups, per_group, *self.weight.shape[1:])
        kernel = jnp.swapaxes(kernel, 1, 2).reshape(self.out_channels, -1, *self.kernel_size)
        (y,) = jax.lax.conv_general_dilated(
            x[None],
            jnp.flip(kernel, tuple(range(2, self.ndim + 2))),
            (1,) * self.ndim,
            padding,
            lhs_dilation=self.stride,
            rhs_dilation=self.dilation,
            feature_group_count=self.groups,
            precision=jax.lax.Precision.HIGHEST,
        )
        return y

    def _window(self) -> tuple[Window, list[int]]:
        """The window, and what `output_padding` adds beyond the padding, where no input reaches."""
        pairs = list(zip(self.padding, self.output_padding, strict=True))
        # What output_padding adds is cut from the padding.
        cut = tuple((before, max(after - extra, 0)) for (before, after), extra in pairs)
        window = Window(self.stride, cut, self.dilation, self.groups)
        return window, [max(extra - after, 0) for (_, after), extra in pairs]

    def out_shape(self, in_shape: Shape) -> Shape:
        self._check_input(in_shape)
        window, rest = self._window()
        inner = full_sizes(in_shape[1:], self.kernel_size, window)
        if min(inner) < 1:
            raise ValueError(
                f"{type(self).__name__}: padding {self.padding} cuts off all of the output of "
                f"shape {in_shape}; use less padding"
            )
        return (self.out_channels, *(n + more for n, more in zip(inner, rest, strict=True)))

    def _more(self) -> str:
        extra = self.output_padding
        return f", output padding {short(extra)}" if any(extra) else ""


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution over one spatial axis: `(C, L)` to `(C', L')`. See
    `ConvTranspose2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _ConvTranspose.__init__  # for type checkers, which would make one of the fields


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution over two spatial axes: `(C, H, W)` to `(C', H', W')`.

    Every input value adds the kernel, times itself, to the output; inputs are `stride` apart there.
    The output has (n - 1) stride + dilation (kernel - 1) + 1 points an axis, from which `padding`
    is cut off, and to whose end `output_padding` is added. Exact for integers.

    Args:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel_size: Size of the kernel: an integer or one an axis.
        stride: Distance of inputs in the output.
        padding: What is cut off around the output: one number, one an axis, or `(before, after)`
            for each axis.
        output_padding: Points added at the end, less than the stride or the dilation: it chooses
            among the sizes that a convolution with this stride would have made this input of.
        dilation: Distance between the points of the kernel.
        groups: Number of blocks of channels that don't see each other.
        bias: Whether to add a bias (off by default, see `Linear`).
        implementation: As of `Conv2d`: `"im2col"` is one matrix product an image, whose columns
            are then summed where they overlap.
        dtype: Floating-point type of the parameters.
        key: Source of the weights, uniform in ±1/sqrt(out / groups * kernel) (PyTorch's choice).

    References:
        M. D. Zeiler et al., "Deconvolutional networks", CVPR 2010; `torch.nn.ConvTranspose2d`,
        whose weight has the same shape: `(in, out / groups, height, width)`.

    Example:
        >>> import jax, neurojax as nj
        >>> up = nj.ConvTranspose2d(8, 2, 3, stride=2, padding=1, output_padding=1,
        ...                         key=jax.random.key(0))
        >>> up.out_shape((8, 8, 8))
        (2, 16, 16)
    """

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _ConvTranspose.__init__  # as above


def _options(
    cls: type[_ConvTranspose],
    shape: tuple[int, ...],
    stride: int | Sequence[int],
    padding: int | Sequence[int | tuple[int, int]],
    output_padding: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
    implementation: str,
) -> dict[str, Any]:
    """The static fields, checked."""
    name = cls.__name__
    options = common_options(
        cls, stride, dilation, groups, implementation, ("in_channels", shape[0])
    )
    strides, dilations = options["stride"], options["dilation"]
    extra = per_axis(f"{name}: output_padding", output_padding, cls.ndim, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ValueError(
            f"{name}: output_padding is {extra}; it must be less than the stride {strides} or the "
            f"dilation {dilations}"
        )
    if isinstance(padding, str):
        raise ValueError(f"{name}: padding={padding!r}; it must be integers")
    pads = pads_per_axis(f"{name}: padding", padding, cls.ndim)
    return options | {"padding": pads, "output_padding": extra}
