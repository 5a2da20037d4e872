"""The task of the demonstration, seen by an event camera: digits that move, as in N-MNIST.

The sensor looks at a digit and turns away and back in three straight movements. Each pixel sends an
event when its brightness has changed by a threshold. What a digit looks like at rest is never sent.

References:
    Orchard et al., Converting static image datasets to spiking neuromorphic datasets using
    saccades, Frontiers in Neuroscience 2015.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

import neurojax as nj
from neurojax.chips.dynapcnn import raster_to_events
from neurojax.demo import _digits

SIZE = 16
INPUT = (2, SIZE, SIZE)
STEPS = 24  # three movements of eight steps
STEP = 12_500  # microseconds: a movement takes a tenth of a second
DT = STEP * 1e-6
THRESHOLD = 0.2  # change of brightness, from 0 to 1, that is an event
PIXELS = 12 / 8  # of the sensor, for one of the digit
CORNERS = np.array([(-2.0, -1.5), (0.0, 2.0), (2.0, -1.5), (-2.0, -1.5)])  # (x, y) of the movements

NEURONS, BATCH, optimiser = _digits.NEURONS, _digits.BATCH, _digits.optimiser


def network(key: Key[Array, ""]) -> nj.Network:
    """The network of the other task, for the camera's two polarities."""
    return _digits.build(key, INPUT)


def encode(
    images: Float[Array, "batch 1 8 8"], key: Key[Array, ""], late: int = 0
) -> Float[Array, "time batch 2 16 16"]:
    """Events of the moving digits: OFF and ON, from a random place not far from the middle.

    Then `late` steps without events, for chips whose outputs come so many steps later.
    """
    legs = np.linspace(0, len(CORNERS) - 1, STEPS + 1)
    path = np.stack([np.interp(legs, np.arange(len(CORNERS)), c) for c in CORNERS.T], axis=-1)
    start = jax.random.uniform(key, (len(images), 2), minval=-0.5, maxval=0.5)
    centre = jnp.asarray(path, jnp.float32)[:, None] + start  # [time, batch, (x, y)]
    columns, rows = (_views(centre[..., axis]) for axis in (0, 1))
    seen = jnp.einsum("tbyi,bij,tbxj->tbyx", rows, images[:, 0], columns)
    sent = nj.encode.send_on_delta(seen[1:], threshold=THRESHOLD, initial=seen[0], axis=2)
    events = sent.spikes[:, :, ::-1]  # ON, OFF to the camera's OFF, ON
    return jnp.pad(events, ((0, late), *((0, 0),) * images.ndim))


def streams(spikes: Float[Array, "time batch 2 16 16"], *, seed: int = 0) -> list[np.ndarray]:
    """The events of each digit as they come from a camera: at any time within their step."""
    random = np.random.default_rng(seed)
    found = []
    for sample in np.asarray(spikes).swapaxes(0, 1):
        stream = raster_to_events(sample, dt=DT)
        stream["t"] += random.integers(0, STEP, len(stream))
        found.append(stream[np.argsort(stream["t"], kind="stable")])
    return found


def _views(shift: Float[Array, "time batch"]) -> Float[Array, "time batch sensor digit"]:
    """How much each line of the digit is in each line of the sensor, by linear interpolation."""
    pixel = jnp.arange(SIZE) + 0.5 - SIZE / 2
    line = (pixel - shift[..., None]) / PIXELS + 4 - 0.5
    return jnp.maximum(1 - jnp.abs(line[..., None] - jnp.arange(8)), 0)
