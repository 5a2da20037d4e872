"""One kernel for every channel: pooling with weights, and its transpose."""

from __future__ import annotations

from typing import Any

import jax
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.layers.convolution import Conv2d
from neurojax.layers.transposed import ConvTranspose2d


class PerChannel(Layer):
    """A convolution of one channel into one, applied to each channel on its own.

    With a kernel of equal numbers it sums over windows (`Conv2d`), or spreads values over windows
    (`ConvTranspose2d`). There is one kernel to train, whatever the number of channels.

    Args:
        synapse: A `Conv2d` or `ConvTranspose2d` with weight `(1, 1, height, width)`, no bias.

    Raises:
        ValueError: Another layer, more channels, or a bias.

    References:
        lava-dl, `slayer.synapse.Pool` and `Unpool`. Theirs stack the channels on each other, so
        that windows which overlap or are padded reach into the next channel; these do not.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import PerChannel
        >>> pool = PerChannel(nj.Conv2d.from_weights(2 * jnp.ones((1, 1, 2, 2)), stride=2))
        >>> print(pool.step(None, jnp.ones((3, 4, 4)))[1].shape)
        (3, 2, 2)
    """

    synapse: Layer

    def __check_init__(self) -> None:
        layer: Any = self.synapse
        if not isinstance(layer, Conv2d | ConvTranspose2d) or layer.weight.shape[:2] != (1, 1):
            raise ValueError(
                f"PerChannel takes a Conv2d or ConvTranspose2d of one channel, not "
                f"{layer.describe() if isinstance(layer, Layer) else layer!r}"
            )
        if layer.bias is not None:
            raise ValueError("PerChannel: the synapse has a bias; give it to the neurons")

    @property
    def weight(self) -> Array:
        """The kernel, `(1, 1, height, width)`."""
        return self.synapse.weight  # type: ignore[attr-defined]

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        one = lambda channel: self.synapse.step(None, channel[None])[1][0]  # noqa: E731
        return state, jax.vmap(one)(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) != 3:
            raise ValueError(f"PerChannel takes (channels, height, width), got shape {in_shape}")
        return (in_shape[0], *self.synapse.out_shape((1, *in_shape[1:]))[1:])

    def describe(self) -> str:
        return f"{self.synapse.describe()} for each channel"
