"""Convolutions of the perceptron mode as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Self, Unpack

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, check_shape
from neurojax.chips.bss2.perceptron._multiply import How, Saturation
from neurojax.chips.bss2.perceptron.convolution import (
    convolve,
    convolve_expanded,
    default_expansions,
)
from neurojax.chips.bss2.perceptron.mac_layer import MACLayer, Options, drawn_fields, mac_fields
from neurojax.layers._kernel import padding_text
from neurojax.layers._weights import (
    Pairs,
    assemble,
    pads_per_axis,
    per_axis,
    positive,
    short,
    text_of,
)
from neurojax.layers.convolution import window_counts

PADDING_MODES = {
    "zeros": "constant",
    "reflect": "reflect",
    "replicate": "edge",
    "circular": "wrap",
}
"""Names of PyTorch, and those of `jnp.pad`."""


class _Conv(MACLayer):
    """What the convolutions share."""

    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Pairs = eqx.field(static=True)
    padding_mode: str = eqx.field(static=True)

    ndim: ClassVar[int]
    layout: ClassVar[str]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        padding_mode: str = "zeros",
        bias: bool = False,
        num_sends: int | None = None,
        weight_mean: float = 0.0,
        relu_shift: int = 1,
        key: PRNGKeyArray,
        **options: Unpack[Options],
    ) -> None:
        name = type(self).__name__
        shape = (
            positive(f"{name}: out_channels", out_channels),
            positive(f"{name}: in_channels", in_channels),
            *per_axis(f"{name}: kernel_size", kernel_size, self.ndim),
        )
        fields = drawn_fields(
            name,
            key,
            shape,
            bias=bias,
            num_sends=num_sends,
            weight_mean=weight_mean,
            relu_shift=relu_shift,
            options=options,
        )
        fields |= _window_fields(type(self), stride, padding, padding_mode)
        for field, value in fields.items():
            setattr(self, field, value)

    @classmethod
    def from_weights(
        cls,
        weight: Any,
        bias: Any = None,
        *,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        padding_mode: str = "zeros",
        num_sends: int = 1,
        **options: Unpack[Options],
    ) -> Self:
        """A layer with given parameters: weight `(out, in, *kernel)`, bias `(out,)` or None."""
        fields = mac_fields(cls.__name__, weight, bias, num_sends, cls.ndim, **options)
        return assemble(cls, **fields, **_window_fields(cls, stride, padding, padding_mode))

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        return self.weight.shape[1]

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        return self.weight.shape[0]

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Size of the kernel, one number a spatial axis."""
        return self.weight.shape[2:]

    def padded(self, x: Array) -> Array:
        if not any(map(any, self.padding)):
            return x
        return jnp.pad(x, ((0, 0), *self.padding), mode=PADDING_MODES[self.padding_mode])

    def product(self, x: Array, weight: Array, how: How) -> tuple[Array, Saturation]:
        return convolve(x, weight, self.bias, stride=self.stride, ndim=self.ndim, **how)

    def out_shape(self, in_shape: Shape) -> Shape:
        name = type(self).__name__
        check_shape(name, in_shape, self.ndim + 1, self.layout)
        if in_shape[0] != self.in_channels:
            raise ValueError(
                f"{name} takes {self.in_channels} input channels, got shape {in_shape}"
            )
        counts = window_counts(name, in_shape[1:], self.kernel_size, self.stride, self.padding)
        return (self.out_channels, *counts)

    def _size(self) -> str:
        text = f"{self.in_channels}->{self.out_channels}, {text_of(self.kernel_size)}"
        if set(self.stride) != {1}:
            text += f", stride {short(self.stride)}"
        return text + padding_text(self.padding)


class Conv1d(_Conv):
    """Convolution over one spatial axis: `(C, L)` to `(C', L')`. See `Conv2d`."""

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"
    __init__ = _Conv.__init__  # for type checkers, which would make up one from the fields


class Conv2d(_Conv):
    """Convolution over two spatial axes, as `conv2d` computes it: `(C, H, W)` to `(C', H', W')`.

    There is neither dilation nor are there groups.

    Args:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel_size: Size of the kernel: an integer or one an axis.
        stride: Step of the kernel.
        padding: Around the input, before `input_transform`: one number, one an axis, or
            `(before, after)` for each axis.
        padding_mode: `"zeros"`, `"reflect"`, `"replicate"` or `"circular"`.
        bias: Whether the host adds a bias; outputs may then be fractions, and beyond -128..127.
        num_sends, weight_mean, relu_shift, key, **options: See `Linear`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.Conv2d`.

    Example:
        >>> import jax
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> conv = hagen.Conv2d(1, 20, 10, stride=5, padding=1, key=jax.random.key(0))
        >>> conv.describe(), conv.out_shape((1, 28, 28))
        ('perceptron.Conv2d 1->20, 10x10, stride 5, padding 1, 7 sends', (20, 5, 5))
    """

    ndim: ClassVar[int] = 2
    layout: ClassVar[str] = "(channels, height, width)"
    __init__ = _Conv.__init__  # as above


class ExpandedConv1d(_Conv):
    """`Conv1d` that computes several positions in one product, as `expanded_conv1d` does.

    The weights in several places are the same, so their noise can't be trained for each place.

    Args:
        num_expansions: Positions a product; None: as many as fit, see `default_expansions`.
        in_channels, out_channels, kernel_size, stride, padding, padding_mode, bias: See `Conv2d`.
        num_sends, weight_mean, relu_shift, key, **options: See `Linear`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.ExpandedConv1d`.

    Example:
        >>> import jax
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> conv = hagen.ExpandedConv1d(1, 14, 43, stride=2, key=jax.random.key(0))
        >>> conv.num_expansions, conv.out_shape((1, 200))
        (18, (14, 79))
    """

    num_expansions: int = eqx.field(static=True)

    ndim: ClassVar[int] = 1
    layout: ClassVar[str] = "(channels, length)"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        *,
        num_expansions: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, kernel_size, **options)
        self.num_expansions = _expansions(num_expansions, self.weight.shape, self.stride)

    @classmethod
    def from_weights(
        cls, weight: Any, bias: Any = None, *, num_expansions: int | None = None, **options: Any
    ) -> Self:
        """A layer with given parameters: weight `(out, in, kernel)`, bias `(out,)` or None."""
        layer = super().from_weights(weight, bias, **options)
        times = _expansions(num_expansions, layer.weight.shape, layer.stride)
        return assemble(cls, **vars(layer), num_expansions=times)

    def product(self, x: Array, weight: Array, how: How) -> tuple[Array, Saturation]:
        return convolve_expanded(
            x, weight, self.bias, stride=self.stride, num_expansions=self.num_expansions, **how
        )

    def _size(self) -> str:
        return f"{super()._size()}, {self.num_expansions} at once"


def _expansions(given: int | None, shape: tuple[int, ...], stride: tuple[int, ...]) -> int:
    if given is not None:
        return positive("ExpandedConv1d: num_expansions", given)
    return default_expansions(shape[0], shape[-1], stride[0])


def _window_fields(
    cls: type[_Conv],
    stride: int | Sequence[int],
    padding: int | Sequence[int | tuple[int, int]],
    padding_mode: str,
) -> dict[str, Any]:
    name = cls.__name__
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            f"{name}: padding_mode is {padding_mode!r}; it must be one of {sorted(PADDING_MODES)}"
        )
    return {
        "stride": per_axis(f"{name}: stride", stride, cls.ndim),
        "padding": pads_per_axis(f"{name}: padding", padding, cls.ndim),
        "padding_mode": padding_mode,
    }
