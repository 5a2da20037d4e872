"""The same two-layer network in several libraries.

Each module defines `contender(problem) -> Contender`. A library that is not installed raises
ImportError there, and its column is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """Linear - LIF - Linear - LIF, cross entropy of the counted output spikes.

    The membrane follows v <- decay v + x, fires where it reaches the threshold and is then set to
    zero; the derivative does not go through the reset, and the spike's is that of `ATan(alpha=2)`.
    All libraries here can express that. Inputs are 0 or 1 and the weights multiples of 1/64, so
    that their products are exact in whatever order they are added up; a decay of 1/2 is exact
    too. The threshold lies off the grid: whether a tie fires differs between the libraries.
    """

    inputs: np.ndarray  # [time, batch, in], 0 or 1
    labels: np.ndarray  # [batch]
    hidden: np.ndarray  # weights [hidden, in]
    out: np.ndarray  # weights [out, hidden]
    decay: float = 0.5
    threshold: float = 1.001
    alpha: float = 2.0


class Step(NamedTuple):
    """Result of a training step without the update: loss and gradients of the two weights."""

    loss: float
    hidden: np.ndarray
    out: np.ndarray


class Contender(NamedTuple):
    """One way to compute a problem."""

    spikes: Callable[[], tuple[np.ndarray, np.ndarray]]  # of the hidden and the output layer
    train: Callable[[], object]  # what is timed: forward and backward, waits for the result
    result: Callable[[object], Step]  # what `train` returned, as NumPy


def make(size: tuple[int, int, int, int, int], seed: int = 0) -> Problem:
    """A problem of size (time, batch, in, hidden, out), with a tenth of the inputs active."""
    time, batch, n_in, n_hidden, n_out = size
    random = np.random.default_rng(seed)

    def weights(rows: int, columns: int, scale: float) -> np.ndarray:
        values = random.normal(scale=scale / columns**0.5, size=(rows, columns))
        return (np.round(values * 64) / 64).astype(np.float32)

    inputs = (random.random((time, batch, n_in)) < 0.1).astype(np.float32)
    labels = random.integers(0, n_out, batch)
    return Problem(inputs, labels, weights(n_hidden, n_in, 2.5), weights(n_out, n_hidden, 4.0))
