"""Synapses as compressed rows: one row a source, in the order of its list."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Rows(NamedTuple):
    """Sparse weights by source. NumPy arrays; row i is `starts[i]:starts[i + 1]`."""

    starts: np.ndarray  # int64[sources + 1]
    targets: np.ndarray  # int32[synapses], indices of neurons
    weights: np.ndarray  # int16[synapses]
    late: np.ndarray | None = None  # bool[synapses], those that are delayed

    @classmethod
    def of_lengths(cls, lengths: np.ndarray) -> Rows:
        """Rows of so many synapses each, all to neuron 0 with weight 0."""
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
        return cls(starts, np.zeros(starts[-1], np.int32), np.zeros(starts[-1], np.int16))

    @property
    def lengths(self) -> np.ndarray:
        """Synapses of each source, int64[sources]."""
        return np.diff(self.starts)

    def sources(self) -> np.ndarray:
        """The source of each synapse, int32[synapses]."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int32), self.lengths)

    def part(self, late: bool) -> Rows:
        """Only the synapses that are delayed, or only those that are not."""
        if self.late is None:
            return self.of_lengths(np.zeros_like(self.lengths)) if late else self
        chosen = self.late == late
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(chosen)])
        return Rows(before[self.starts], self.targets[chosen], self.weights[chosen])

    def dense(self, neurons: int) -> np.ndarray:
        """The matrix `[sources, neurons]`, int64; synapses between the same two add up."""
        matrix = np.zeros((len(self.starts) - 1, neurons), np.int64)
        np.add.at(matrix, (self.sources(), self.targets), self.weights)
        return matrix
