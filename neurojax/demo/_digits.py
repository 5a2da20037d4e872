"""The task of the demonstration: handwritten digits as spikes, and a network that reads them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

import neurojax as nj
from neurojax.surrogate import Exponential

INPUT = (1, 8, 8)
NEURONS = ("spikes1", "spikes2", "digit")
STEPS = 16
DT = 1e-3  # seconds of a step, for chips that work in real time
BATCH = 32
WEIGHT_GAIN = 2.0  # larger first weights than for rate units: spikes are sparse


def network(key: Key[Array, ""]) -> nj.Network:
    """The network of this task."""
    return build(key, INPUT)


def build(key: Key[Array, ""], shape: tuple[int, int, int]) -> nj.Network:
    """Two convolutions and a dense layer of integrate-and-fire neurons.

    One spike a time step at most, and a reset to zero: what every digital chip can do. So the
    same trained network goes onto all of them.
    """
    keys = jax.random.split(key, 3)

    def neurons() -> nj.IAF:
        return nj.IAF(reset="zero", surrogate=Exponential())

    features, height, width = shape
    net = nj.Sequential(
        shape,
        conv1=nj.Conv2d(features, 8, 3, padding=1, key=keys[0]),
        spikes1=neurons(),
        pool1=nj.AvgPool2d(2),
        conv2=nj.Conv2d(8, 16, 3, padding=1, key=keys[1]),
        spikes2=neurons(),
        pool2=nj.AvgPool2d(2),
        flatten=nj.Flatten(),
        dense=nj.Linear(16 * (height // 4) * (width // 4), 10, key=keys[2]),
        digit=neurons(),
    )
    return jax.tree.map(lambda weight: WEIGHT_GAIN * weight, net)


def encode(
    images: Float[Array, "batch 1 8 8"], key: Key[Array, ""], late: int = 0
) -> Float[Array, "time batch 1 8 8"]:
    """Random spikes: the ink of a pixel, from 0 to 1, is its probability of a spike in a step.

    Then `late` steps without spikes, for chips whose outputs come so many steps later.
    """
    spikes = nj.encode.poisson(images, steps=STEPS, key=key)
    return jnp.pad(spikes, ((0, late), *((0, 0),) * images.ndim))


def optimiser(rate: float, *, epochs: int, samples: int) -> optax.GradientTransformation:
    """Adam with a learning rate that falls to zero along a cosine."""
    return optax.adam(optax.cosine_decay_schedule(rate, epochs * (samples // BATCH)))
