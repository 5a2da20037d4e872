"""Layers that multiply with weights and add a bias: dense, convolution, batch norm.

In C, with wsf, bsf, isf, osf the q of weights, bias, input and output, and tsf = max(wsf, bsf); bsf
is wsf where the format has no `bias_q`. A format may have one where the layer has no bias:

    acc = (L) sum of x * w                              wraps, in any order
    acc = scale(acc, wsf - tsf)
    acc = (L)(acc + scale(bias, bsf - tsf - isf))       if there is a bias
    acc = activation, see `ActivatedLayer`
    out = store(scale(acc, isf + tsf - osf))

All with the layer's `output_round`.

References:
    Qualia-CodeGen 2.6.0, templates fc.cc, conv.cc, conv2d.cc, batchnorm.cc. Of a kernel that is not
    square, its conv2d reads rows for columns; here it is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, State, check_shape
from neurojax.chips.mcu._arithmetic import integers_of, wrap
from neurojax.chips.mcu._code_layer import ActivatedLayer
from neurojax.fixed_point import round_half_even
from neurojax.layers import Conv1d, Conv2d
from neurojax.layers._im2col import Window, forward
from neurojax.layers._weights import Pairs, as_weight


class Weights(NamedTuple):
    """Weights and bias as the code holds them: int64, or float32."""

    weight: np.ndarray
    bias: np.ndarray | None


class Affine(ActivatedLayer):
    """y = W x + b, whatever W x is."""

    parametric: ClassVar[bool] = True

    weight: Array = eqx.field(converter=as_weight)
    bias: Array | None = eqx.field(
        converter=lambda bias: None if bias is None else as_weight(bias), default=None
    )
    input_q: int = eqx.field(static=True, kw_only=True, default=0)

    def __check_init__(self) -> None:
        if self.bias is not None and self.bias.shape != self.weight.shape[:1]:
            raise ValueError(
                f"{type(self).__name__}: the bias has shape {self.bias.shape}, but the weights "
                f"{self.weight.shape} have {self.weight.shape[0]} outputs"
            )

    @property
    def sum_q(self) -> int:
        """The q that weights and bias have in common."""
        return self.format.sum_q

    def result_q(self) -> int:
        return self.input_q + self.sum_q

    def shifts(self) -> dict[str, int]:
        both = {"weights": self.format.weights_q - self.sum_q}
        if self.bias is not None:
            both["bias"] = self.format.bias_scale - self.sum_q - self.input_q
        return both | super().shifts()

    def _sums_fit_floats(self) -> bool:
        """Whether every sum of products of stored integers is exact in float32: then one product
        of floats, which are faster, gives the integers and their derivative."""
        if self.number.real:
            return False
        terms = math.prod(self.weight.shape[1:])
        return terms << (2 * self.number.bits - 2) <= 1 << 24

    def _product(self, x: Array, weight: Array) -> Array:
        """W x, of floats or of int32."""
        raise NotImplementedError

    def _along(self, bias: Array) -> Array:
        """The bias with the axes of the output."""
        return bias

    def prepare(self, key: PRNGKeyArray | None) -> Affine:
        del key
        held = (
            self._held(self.weight, self.format.weights_q),
            self._held(self.bias, self.format.bias_scale),
        )
        return eqx.tree_at(lambda s: (s.weight, s.bias), self, held, is_leaf=lambda n: n is None)

    def integers(self) -> Weights:
        """What the code holds, as NumPy integers (or floats). Only outside of jit."""
        weight = self._integers(self.weight, self.format.weights_q)
        assert weight is not None
        return Weights(weight, self._integers(self.bias, self.format.bias_scale))

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        form = self.format
        if self._sums_fit_floats():
            steps = self._product(x, self.weight * 2.0**form.weights_q)
            smooth = steps * 2.0**-form.weights_q
            # Some convolution algorithms of GPUs are off by less than half a step.
            total = round_half_even(steps).astype(jnp.int32)
        else:
            smooth = self._product(x, self.weight)
            total = None
        if self.bias is not None:
            smooth = smooth + self._along(self.bias) * 2.0**self.input_q
        if form.number.real:
            return state, self._activated(smooth, 1.0)
        smooth = smooth * 2.0 ** (form.output_q - self.input_q)
        if total is None:
            total = self._product(x.astype(jnp.int32), integers_of(self.weight, form.weights_q))
        total = self._scale(wrap(total, form.number.long_bits), form.weights_q - self.sum_q)
        if self.bias is not None:
            bias = integers_of(self.bias, form.bias_scale)
            bias = self._scale(bias, form.bias_scale - self.sum_q - self.input_q)
            total = wrap(total + self._along(bias), form.number.long_bits)
        return state, self._finish(total, smooth)


class Dense(Affine):
    """Dense synapses.

    Args:
        weight: `(out, in)`, real numbers.
        bias: `(out,)` or None.
        format: Numbers and scales.
        input_q: `output_q` of the layer before.
        activation: `"relu"` or `"relu6"` on the sum, or None.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.mcu import Dense, Format, number_of
        >>> form = Format(number_of("int8"), weights_q=6, output_q=4)
        >>> layer = Dense(jnp.array([[0.5, -0.25]]), format=form, input_q=3)
        >>> layer.integers().weight.tolist(), layer.step(None, jnp.array([8.0, 24.0]))[1].tolist()
        ([[32, -16]], [-4.0])
    """

    def __check_init__(self) -> None:
        if self.weight.ndim != 2:
            raise ValueError(f"Dense: weight must be (out, in), got shape {self.weight.shape}")

    def _product(self, x: Array, weight: Array) -> Array:
        return jnp.matmul(x, weight.T, precision=jax.lax.Precision.HIGHEST)

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("Dense", in_shape, 1, "(features,)")
        if in_shape[0] != self.weight.shape[1]:
            raise ValueError(f"Dense takes {self.weight.shape[1]} features, got shape {in_shape}")
        return (self.weight.shape[0],)

    def describe(self) -> str:
        out, inputs = self.weight.shape
        return f"Dense {inputs}->{out}, {describe_end(self)}"


class Conv(Affine):
    """Convolution over one or two spatial axes, channels first.

    Args:
        weight: `(out, in / groups, *kernel)`, real numbers.
        bias: `(out,)` or None.
        stride: Of the kernel, one number or one an axis.
        padding: Zeros around the input, one number, one an axis or `(before, after)` for each.
        dilation: Distance between the points of the kernel.
        groups: Number of blocks of channels that don't see each other.
        format, input_q, activation: See `Dense`.
    """

    stride: tuple[int, ...] = eqx.field(static=True, kw_only=True, default=1)  # type: ignore[assignment]
    padding: Pairs = eqx.field(static=True, kw_only=True, default=0)  # type: ignore[assignment]
    dilation: tuple[int, ...] = eqx.field(static=True, kw_only=True, default=1)  # type: ignore[assignment]
    groups: int = eqx.field(static=True, kw_only=True, default=1)

    def __init__(
        self,
        weight: Any,
        bias: Any = None,
        *,
        format: Any,
        input_q: int = 0,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int | tuple[int, int]] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        activation: str | None = None,
    ) -> None:
        weight = as_weight(weight)
        if weight.ndim not in (3, 4):
            raise ValueError(
                "Conv: weight must be (out, in / groups, length) or (out, in / groups, height, "
                f"width), got shape {weight.shape}"
            )
        conv = (Conv1d if weight.ndim == 3 else Conv2d).from_weights(
            weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.stride, self.padding, self.dilation = conv.stride, conv.padding, conv.dilation
        self.groups = conv.groups
        self.format, self.input_q, self.activation = format, input_q, activation

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Size of the kernel, one number a spatial axis."""
        return self.weight.shape[2:]

    def _conv(self, weight: Array) -> Conv1d | Conv2d:
        return (Conv1d if weight.ndim == 3 else Conv2d).from_weights(
            weight,
            stride=self.stride,
            padding=self.padding,
            dilation=self.dilation,
            groups=self.groups,
        )

    def _product(self, x: Array, weight: Array) -> Array:
        if x.dtype != jnp.int32:
            return self._conv(weight).step(None, x)[1]
        window = Window(self.stride, self.padding, self.dilation, self.groups)
        return forward(x, weight, window=window)

    def _along(self, bias: Array) -> Array:
        return jnp.expand_dims(bias, tuple(range(1, self.weight.ndim - 1)))

    def out_shape(self, in_shape: Shape) -> Shape:
        return self._conv(self.weight).out_shape(in_shape)

    def describe(self) -> str:
        return f"{self._conv(self.weight).describe()}, {describe_end(self)}"


class BatchNorm(Affine):
    """Batch norm that is not folded: scale x + offset, by channel.

    Args:
        scale: `(channels,)`: gamma / sqrt(var + eps). The field is called `weight`.
        offset: `(channels,)`: beta - mean gamma / sqrt(var + eps). The field is called `bias`.
        format, input_q, activation: See `Dense`.
    """

    def __init__(
        self,
        scale: Any,
        offset: Any,
        *,
        format: Any,
        input_q: int = 0,
        activation: str | None = None,
    ) -> None:
        self.weight, self.bias = as_weight(scale), as_weight(offset)
        self.format, self.input_q, self.activation = format, input_q, activation

    def __check_init__(self) -> None:
        if self.weight.ndim != 1:
            raise ValueError(f"BatchNorm: scale must be (channels,), got {self.weight.shape}")

    def _product(self, x: Array, weight: Array) -> Array:
        return x * weight  # channels last, see `step`

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        # Channels last, along which scale and offset are.
        state, y = super().step(state, jnp.moveaxis(x, 0, -1), key=key)
        return state, jnp.moveaxis(y, -1, 0)

    def out_shape(self, in_shape: Shape) -> Shape:
        if not in_shape or in_shape[0] != self.weight.shape[0]:
            raise ValueError(
                f"BatchNorm takes {self.weight.shape[0]} channels, got shape {in_shape}"
            )
        return tuple(in_shape)

    def describe(self) -> str:
        return f"BatchNorm {self.weight.shape[0]}, {describe_end(self)}"


def describe_end(layer: Affine) -> str:
    """What all layers say of themselves: bias, activation, numbers."""
    parts = ["bias"] if layer.bias is not None else []
    parts += [layer.activation] if layer.activation else []
    return ", ".join([*parts, layer.number.name])
