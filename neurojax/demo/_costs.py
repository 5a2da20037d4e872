"""What the network of the demonstration costs on each chip."""

from __future__ import annotations

from typing import NamedTuple

import jax

import neurojax as nj
from neurojax import metrics
from neurojax.chips import MappedNetwork
from neurojax.demo._quick import compiled_quickly

SAMPLES = 128
"""Digits of the test set that are counted; the mean of more is the same to three digits."""

BORROWED = {"Loihi 2": "loihi"}
"""Chips of which no constants are published, and the devices whose constants stand in for them;
the report says so."""


class Costly(NamedTuple):
    """A network of the comparison and what it was counted on."""

    network: nj.Network | MappedNetwork
    accuracy: float
    activity: metrics.Activity
    dt: float | None = None  # seconds of a step, where the chip works in real time


def counted(
    network: nj.Network | MappedNetwork,
    accuracy: float,
    spikes: jax.Array,
    *,
    dt: float | None = None,
    key: jax.Array | None = None,
) -> Costly:
    """Counts what a network does with the first digits of the test set."""
    with compiled_quickly():
        activity = metrics.count_spikes(network, spikes[:, :SAMPLES], key=key, progress=False)
    return Costly(network, accuracy, activity, dt)


def compare(found: dict[str, Costly]) -> metrics.Comparison:
    """Accuracy, operations, energy, time and size of all networks."""
    with compiled_quickly():
        return metrics.compare(
            {name: one.network for name, one in found.items()},
            activities={name: one.activity for name, one in found.items()},
            accuracy={name: one.accuracy for name, one in found.items()},
            dt={name: one.dt for name, one in found.items() if one.dt is not None},
            devices={name: device for name, device in BORROWED.items() if name in found},
        )
