"""Activations of networks that compute with rates instead of spikes."""

from __future__ import annotations

import jax
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State


class ReLU(Layer):
    """Rate unit: y = max(x, 0), the mean rate of an integrate-and-fire neuron that x drives.

    What an artificial network has where a spiking one has neurons; converting one to the other
    replaces it. The derivative at 0 is 0, as in PyTorch.

    References:
        B. Rueckauer et al., "Conversion of continuous-valued deep networks to efficient
        event-driven networks for image classification", Frontiers in Neuroscience 11, 2017.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> nj.layers.ReLU().step(None, jnp.array([-1.0, 2.0]))[1].tolist()
        [0.0, 2.0]
    """

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, jax.nn.relu(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


class ReLU6(Layer):
    """Rate unit with a largest rate: y = min(max(x, 0), 6).

    What networks for phones and microcontrollers have, as its range is known. The derivative at 0
    and at 6 is 0, as in PyTorch.

    References:
        A. G. Howard et al., "MobileNets: efficient convolutional neural networks for mobile vision
        applications", arXiv:1704.04861, 2017.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> nj.layers.ReLU6().step(None, jnp.array([-1.0, 2.0, 7.0]))[1].tolist()
        [0.0, 2.0, 6.0]
    """

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, jax.nn.relu6(x)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)
