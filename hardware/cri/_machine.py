"""The machine in NumPy: what the cores do with the words of their memory, step by step.

Phase 0 tests all neurons; reset, or leak and noise. Phase 1 collects the pointers of active axons
and of neurons that fired. Phase 2 adds the weights of their synapses. It shares no arithmetic with
`neurojax.chips.cri`, and each can test the other.

References:
    RTL `internal_events_processor` of CRI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Int

from neurojax.chips.cri.noise import OFF
from neurojax.chips.cri.spec import LEAKS, MODELS
from neurojax.hardware.cri._cores import Synapses
from neurojax.hardware.cri.core import CoreConfiguration
from neurojax.hardware.cri.words import GROUPS, pointed

_LIF, _ANN = MODELS["LIF"], MODELS["ANN"]


class _Parameters(NamedTuple):
    """Of the neurons of a core, one row each."""

    leak: np.ndarray
    shift: np.ndarray
    model: np.ndarray
    threshold: np.ndarray
    refractory: np.ndarray
    soft_reset: np.ndarray


class Core:
    """A core and the state of its neurons, for several samples at once."""

    def __init__(
        self,
        core: CoreConfiguration,
        options: Mapping[str, Any],
        samples: int,
        noise: np.random.Generator | None,
    ) -> None:
        self.neurons = core.neurons
        self.axons, self.relays = core.axons, core.relays
        contents = core.contents
        self.from_axons = _Lists(contents.axon_synapses, len(core.axons) + len(core.relays))
        self.from_neurons = _Lists(contents.neuron_synapses, len(core.neurons))
        self.axon_rows = _rows(core.image.axon_pointers)[: len(core.axons) + len(core.relays)]
        self.neuron_rows = _rows(core.image.neuron_pointers)
        starts = [0] + [kind.boundary * GROUPS for kind in core.image.types]
        self.parameters = _Parameters(
            *(
                np.repeat([getattr(kind, name) for kind in core.image.types], np.diff(starts))
                for name in _Parameters._fields
            )
        )
        self.parameters = self.parameters._replace(
            soft_reset=self.parameters.soft_reset.astype(bool)
        )
        self.options, self.noise = options, noise
        p = self.parameters
        self.real = self.neurons >= 0
        self.numbers = self.neurons[self.real]
        self.clears = p.model == _ANN
        self.leaks = (p.model == _LIF) & ((p.leak < LEAKS[1]) | options["leak_bias"])
        self.noisy = (p.model == _LIF) & (p.shift > OFF["hardware"])
        self.v = np.zeros((samples, len(core.neurons)), np.int64)
        self.waiting = np.zeros_like(self.v)

    def fire(self) -> Bool[np.ndarray, "samples neurons"]:
        """Phase 0."""
        p = self.parameters
        spikes = (self.v > p.threshold) & (self.waiting == 0) & self.real
        kept = self.v - np.where(self.leaks, self.v >> p.leak, 0) + self._noise()
        kept = np.where(self.clears, 0, kept)
        reset = np.where(p.soft_reset, self.v - p.threshold, 0)
        self.waiting = np.where(spikes, p.refractory, np.maximum(self.waiting - 1, 0))
        self.v = np.where(spikes, reset, kept)
        return spikes

    def _noise(self) -> Any:
        p = self.parameters
        if self.noise is None or not self.noisy.any():
            return 0
        word = self.noise.integers(0, 1 << 16, self.v.shape)
        magnitude = (2 * word + 1) & 0xFFFF
        # A shift by more than the membrane's width is limited to it, as are its sums; or both wrap.
        shifted = np.where(
            p.shift < 0, magnitude >> np.maximum(-p.shift, 0), magnitude << np.maximum(p.shift, 0)
        )
        if self.options["overflow"] == "saturate":
            shifted = np.minimum(shifted, (1 << (self.options["bits"] - 1)) - 1)
        return np.where(self.noisy, np.where(word >> 15 == 1, -shifted, shifted), 0)

    def integrate(
        self, events: Bool[np.ndarray, "samples axons"], spikes: Bool[np.ndarray, "samples neurons"]
    ) -> Int[np.ndarray, " samples"]:
        """Phases 1 and 2; how many rows of synapses were read for each sample."""
        arriving = self.from_axons.sums(events, self.v.shape)
        arriving += self.from_neurons.sums(spikes, self.v.shape)
        lost = self.waiting > 0
        self.v = np.where(lost, 0, self._limited(self.v + arriving))
        return events @ self.axon_rows + spikes @ self.neuron_rows

    def _limited(self, v: np.ndarray) -> np.ndarray:
        half = 1 << (self.options["bits"] - 1)
        if self.options["overflow"] == "saturate":
            return np.clip(v, -half, half - 1)
        return ((v + half) & (2 * half - 1)) - half


class _Lists:
    """Synapses, found by their source."""

    def __init__(self, synapses: Synapses, sources: int) -> None:
        self.start = np.searchsorted(synapses.source, np.arange(sources + 1))
        self.target, self.weight = synapses.target, synapses.weight

    def sums(
        self, active: np.ndarray, shape: tuple[int, ...]
    ) -> Int[np.ndarray, "samples neurons"]:
        """What arrives at each neuron."""
        sample, source = np.nonzero(active)
        first, length = self.start[source], self.start[source + 1] - self.start[source]
        step = np.arange(int(length.sum())) - np.repeat(np.cumsum(length) - length, length)
        at = np.repeat(first, length) + step
        where = np.repeat(sample, length) * shape[1] + self.target[at]
        # float64 sums of 16-bit weights are exact for fewer than 2^37 synapses.
        total = np.bincount(where, self.weight[at], minlength=shape[0] * shape[1])
        return total.astype(np.int64).reshape(shape)


def _rows(pointers: np.ndarray) -> Int[np.ndarray, " sources"]:
    first, last = pointed(pointers.reshape(-1))
    return last - first + 1
