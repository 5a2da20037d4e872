"""Convolutions: every window of the input is a vector that is multiplied with the kernels.

A window is laid out channel by channel, as hxtorch does: where it takes more than 128 rows, the
order decides which of them are one product of the chip.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron`: conv1d, conv2d, expanded_conv1d. Windows of an input
    that is itself a view into a larger tensor are read wrongly there; here they are right.
"""

from __future__ import annotations

import functools as ft
import math
from collections.abc import Sequence
from typing import Unpack

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax.chips.bss2.perceptron._multiply import How, Saturation, multiply
from neurojax.chips.bss2.perceptron.mock import COLUMNS, MOCK, ROWS, MockParameter
from neurojax.chips.bss2.perceptron.operations import floats
from neurojax.layers._weights import per_axis, positive
from neurojax.layers.convolution import window_counts


def conv1d(
    x: Float[Array, "*batch channels length"],
    weight: Float[Array, "out channels kernel"],
    bias: Float[Array, " out"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> Float[Array, "*batch out positions"]:
    """Convolution over one axis. See `conv2d`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> mock = hagen.MockParameter(noise_std=0.0, gain=0.01)
        >>> hagen.conv1d(jnp.arange(12.0)[None], jnp.full((1, 1, 2), 50.0), mock=mock).tolist()
        [[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0]]
    """
    y, _ = convolve(
        x,
        weight,
        bias,
        stride=stride,
        ndim=1,
        num_sends=num_sends,
        mock=mock,
        key=key,
        out_of_range=out_of_range,
        what="conv1d",
    )
    return y


def conv2d(
    x: Float[Array, "*batch channels height width"],
    weight: Float[Array, "out channels rows columns"],
    bias: Float[Array, " out"] | None = None,
    *,
    stride: int | Sequence[int] = 1,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> Float[Array, "*batch out y x"]:
    """Convolution over two axes, without padding: windows times kernels, as `mac`.

    Args:
        x: Inputs, with a batch axis or without; 0..31 when rounded.
        weight: Kernels, -63..63 when rounded.
        bias: Added to the outputs as it is, by the host: they may then be fractions, and beyond
            -128..127.
        stride: Step of the window, one number or one an axis.
        num_sends, mock, key, out_of_range: See `mac`.

    Returns:
        One output a kernel and window.

    Raises:
        ValueError: Shapes that don't fit; see `mac`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.conv2d`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> x, w = jnp.full((3, 1, 12, 12), 31.0), jnp.full((4, 1, 5, 5), 20.0)
        >>> hagen.conv2d(x, w, stride=2, mock=hagen.MockParameter(0.0)).shape
        (3, 4, 4, 4)
    """
    y, _ = convolve(
        x,
        weight,
        bias,
        stride=stride,
        ndim=2,
        num_sends=num_sends,
        mock=mock,
        key=key,
        out_of_range=out_of_range,
        what="conv2d",
    )
    return y


def expanded_conv1d(
    x: Float[Array, "*batch channels length"],
    weight: Float[Array, "out channels kernel"],
    bias: Float[Array, " out"] | None = None,
    *,
    num_expansions: int,
    stride: int | Sequence[int] = 1,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> Float[Array, "*batch out positions"]:
    """`conv1d` that computes several positions in one product of the chip.

    The kernels are repeated along the columns of the synapse array, each time shifted by a stride.
    The results are those of `conv1d` but for the tiles: a window of all positions takes more rows.

    Args:
        num_expansions: Positions a product; `default_expansions` fills the array.
        x, weight, bias, stride, num_sends, mock, key, out_of_range: See `conv2d`.

    Returns:
        One output a kernel and window.

    Raises:
        ValueError: See `conv2d`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.expanded_conv1d`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> x, w = jnp.full((3, 1, 100), 31.0), jnp.full((4, 1, 5), 20.0)
        >>> mock = hagen.MockParameter(noise_std=0.0)
        >>> hagen.expanded_conv1d(x, w, num_expansions=8, stride=2, mock=mock).shape
        (3, 4, 48)
    """
    y, _ = convolve_expanded(
        x,
        weight,
        bias,
        stride=stride,
        num_expansions=num_expansions,
        num_sends=num_sends,
        mock=mock,
        key=key,
        out_of_range=out_of_range,
        what="expanded_conv1d",
    )
    return y


def default_expansions(out_channels: int, kernel: int, stride: int) -> int:
    """As many positions as a synapse array computes at once, for one input channel.

    Args:
        out_channels: Number of kernels.
        kernel: Their length.
        stride: Step of the window.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.nn.ExpandedConv1d`.

    Example:
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.default_expansions(14, 43, 2)
        18
    """
    return max(1, min(COLUMNS // out_channels, (ROWS - kernel) // stride + 1))


def convolve(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: int | Sequence[int],
    ndim: int,
    **how: Unpack[How],
) -> tuple[Array, Saturation]:
    """Convolution over the last `ndim` axes, any number of them before the channels."""
    what = how["what"]
    x, weight = _checked(what, x, weight, bias, ndim)
    strides = per_axis(f"{what}: stride", stride, ndim)
    kernel = weight.shape[2:]
    window_counts(what, x.shape[-ndim:], kernel, strides, ((0, 0),) * ndim)
    y, counts = multiply(
        _windows(x, kernel, strides),
        weight.reshape(weight.shape[0], -1).T,
        **how,
    )
    y = jnp.moveaxis(y, -1, -1 - ndim)
    if bias is not None:
        y = y + jnp.expand_dims(bias, tuple(range(1, ndim + 1)))
    return y, counts


def convolve_expanded(
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: int | Sequence[int],
    num_expansions: int,
    **how: Unpack[How],
) -> tuple[Array, Saturation]:
    """Convolution over the last axis, several positions a product."""
    what = how["what"]
    times = positive(f"{what}: num_expansions", num_expansions)
    x, weight = _checked(what, x, weight, bias, 1)
    (step,) = per_axis(f"{what}: stride", stride, 1)
    out, _, kernel = weight.shape
    length = x.shape[-1]
    (wanted,) = window_counts(what, (length,), (kernel,), (step,), ((0, 0),))
    wide = _repeated(weight, step, times)
    missing = wide.shape[-1] - length
    found = 0 if missing > 0 else ((length - wide.shape[-1]) // (step * times) + 1) * times
    if found < wanted:
        x = jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, step * times),))
    y, counts = convolve(
        x,
        wide,
        None if bias is None else jnp.repeat(bias, times),
        stride=step * times,
        ndim=1,
        **how,
    )
    y = y.reshape(*y.shape[:-2], out, times, y.shape[-1])
    y = jnp.swapaxes(y, -1, -2).reshape(*y.shape[:-2], -1)
    return y[..., :wanted], counts


@ft.partial(jax.jit, static_argnames=("step", "times"), inline=True)
def _repeated(weight: Array, step: int, times: int) -> Array:
    """Kernels `(out * times, channels, span)`: `o * times + i` is kernel o, shifted by i steps."""
    out, channels, kernel = weight.shape
    span = kernel + step * (times - 1)
    # Copies one after the other with a period of span + step, read again in rows of span.
    rows = jnp.pad(weight, ((0, 0), (0, 0), (0, span + step - kernel)))
    rows = jnp.tile(rows, times)[..., : times * span].reshape(out, channels, times, span)
    return jnp.swapaxes(rows, 1, 2).reshape(out * times, channels, span)


@ft.partial(jax.jit, static_argnames=("kernel", "stride"), inline=True)
def _windows(x: Array, kernel: tuple[int, ...], stride: tuple[int, ...]) -> Array:
    """`(..., channels, *space)` to `(..., *positions, channels * taps)`."""
    first = x.ndim - len(kernel)
    for axis, (taps, step) in enumerate(zip(kernel, stride, strict=True), first):
        count = (x.shape[axis] - taps) // step + 1
        if count < taps:  # the fewer slices
            starts = [step * p for p in range(count)]
            cuts = [jax.lax.slice_in_dim(x, start, start + taps, 1, axis) for start in starts]
            x = jnp.moveaxis(jnp.stack(cuts, axis), axis + 1, -1)
        else:
            span = (count - 1) * step + 1
            cuts = [jax.lax.slice_in_dim(x, k, k + span, step, axis) for k in range(taps)]
            x = jnp.stack(cuts, -1)
    positions = first - 1 + len(kernel)
    x = jnp.moveaxis(x, first - 1, positions)
    return x.reshape(*x.shape[:positions], math.prod(x.shape[positions:]))


def _checked(
    what: str, x: Array, weight: Array, bias: Array | None, ndim: int
) -> tuple[Array, Array]:
    x, weight = floats(x), floats(weight)
    if weight.ndim != ndim + 2 or x.ndim < ndim + 1 or x.shape[-1 - ndim] != weight.shape[1]:
        space = ("length",) if ndim == 1 else ("height", "width")
        layout = f"(..., channels, {', '.join(space)})"
        raise ValueError(
            f"{what} takes x {layout} and weights (out, channels, {', '.join(space)}), got "
            f"{x.shape} and {weight.shape}"
        )
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"{what}: bias has shape {bias.shape}; it must be {weight.shape[:1]}")
    return x, weight
