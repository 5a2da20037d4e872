"""What convolutions and transposed convolutions share: a kernel that goes over an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, check_shape
from neurojax.layers._weights import Pairs, per_axis, positive, short, text_of

IMPLEMENTATIONS = ("auto", "im2col", "native")


class KernelLayer(Layer):
    """A kernel over one or more spatial axes, and a bias of each output channel."""

    weight: Float[Array, "one_side other_side_per_group *kernel"]
    bias: Float[Array, " out"] | None
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Pairs = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    implementation: str = eqx.field(static=True)

    ndim: ClassVar[int]
    layout: ClassVar[str]

    @property
    def in_channels(self) -> int:
        """Number of input channels."""
        raise NotImplementedError

    @property
    def out_channels(self) -> int:
        """Number of output channels."""
        raise NotImplementedError

    @property
    def kernel_size(self) -> tuple[int, ...]:
        """Size of the kernel, one number a spatial axis."""
        return self.weight.shape[-self.ndim :]

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        # The backend is the default one while tracing; for another one say the implementation.
        on_cpu = jax.default_backend() == "cpu"
        matrices = self.implementation == "im2col" or (self.implementation == "auto" and on_cpu)
        y = self._im2col(x) if matrices else self._native(x)
        if self.bias is not None:
            y = y + jnp.expand_dims(self.bias, tuple(range(1, self.ndim + 1)))
        return state, y

    def _im2col(self, x: Array) -> Array:
        """As one product of matrices."""
        raise NotImplementedError

    def _native(self, x: Array) -> Array:
        """As XLA's convolution."""
        raise NotImplementedError

    def _check_input(self, in_shape: Shape) -> None:
        name = type(self).__name__
        check_shape(name, in_shape, self.ndim + 1, self.layout)
        if in_shape[0] != self.in_channels:
            raise ValueError(
                f"{name} takes {self.in_channels} input channels, got shape {in_shape}"
            )

    def describe(self) -> str:
        text = (
            f"{type(self).__name__} {self.in_channels}->{self.out_channels}, "
            f"{text_of(self.kernel_size)}"
        )
        if set(self.stride) != {1}:
            text += f", stride {short(self.stride)}"
        text += padding_text(self.padding) + self._more()
        if set(self.dilation) != {1}:
            text += f", dilation {short(self.dilation)}"
        if self.groups != 1:
            text += f", {self.groups} groups"
        return text + ("" if self.bias is None else ", bias")

    def _more(self) -> str:
        """Further options, for `describe`."""
        return ""


def common_options(
    cls: type[KernelLayer],
    stride: int | Sequence[int],
    dilation: int | Sequence[int],
    groups: int,
    implementation: str,
    whole: tuple[str, int],
) -> dict[str, Any]:
    """The static fields that all have, checked; `whole` is what groups must divide."""
    name = cls.__name__
    groups = positive(f"{name}: groups", groups)
    if whole[1] % groups:
        raise ValueError(f"{name}: {whole[0]}={whole[1]} must be a multiple of groups={groups}")
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(f"{name}: implementation={implementation!r}; known: {IMPLEMENTATIONS}")
    return {
        "stride": per_axis(f"{name}: stride", stride, cls.ndim),
        "dilation": per_axis(f"{name}: dilation", dilation, cls.ndim),
        "groups": groups,
        "implementation": implementation,
    }


def padding_text(padding: Pairs) -> str:
    """`, padding 1` for the description of a layer; empty without padding."""
    if all(pads == (0, 0) for pads in padding):
        return ""
    if all(before == after for before, after in padding):
        return f", padding {short([before for before, _ in padding])}"
    return ", padding " + text_of([f"{before}:{after}" for before, after in padding])
