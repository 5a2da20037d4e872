"""The packing of synapses and the machine's steps in plain Python, for comparison."""

from __future__ import annotations

import random
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import equinox as eqx
import numpy as np
from hypothesis import strategies as st

import neurojax as nj
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron

NEURONS, SYNAPSES = 1 << 14, 1 << 15
HALF = 1 << 34

Word = tuple[str, int, int]


def pack(targets: Sequence[tuple[int, int]], entries: Sequence[int], *, neuron: bool) -> list[int]:
    """Words of one source's rows: one pair after another, slot by slot as the format says.

    `entries` are spike words, which go into the first free slots.
    """
    pairs: list[dict[int, int]] = []
    remaining = list(targets)
    while remaining or not pairs:
        pair: dict[int, int] = {}
        later = []
        for target, weight in remaining:
            if target % 16 in pair:
                later.append((target, weight))
            else:
                pair[target % 16] = (target // 16) << 16 | weight % 65536
        pairs.append(pair)
        remaining = later
    if neuron and all(len(pair) == 16 for pair in pairs):
        pairs.append({})
    rest = list(entries)
    while rest:
        free = next((pair for pair in pairs if len(pair) < 16), None)
        if free is None:
            pairs.append(free := {})
        free[next(g for g in [*range(8, 16), *range(8)] if g not in free)] = rest.pop(0)
    rows = []
    for pair in pairs:
        for first in (8, 0):
            # From the most significant word down; returned from the least significant one up.
            rows += [pair.get(group, 0) for group in range(first, first + 8)][::-1]
    return rows


class Machine:
    """One core that runs its memory word by word, with Python's integers."""

    def __init__(self, memory: Any, types: Sequence[int], axons: int, neurons: int) -> None:
        self.memory, self.axons = memory, axons
        self.v = [0] * neurons
        self.waiting = [0] * neurons
        self.parameters: list[Mapping[str, int]] = []
        for word in types:
            bits = f"{word:084b}"
            kind = {
                "leak": int(bits[:6], 2),
                "model": int(bits[12:14], 2),
                "threshold": signed(int(bits[14:50], 2), 36),
                "refractory": int(bits[67:70], 2),
                "soft": int(bits[75]),
            }
            end = int(bits[50:63], 2) * 16
            self.parameters += [kind] * (end - len(self.parameters))

    def step(self, active: Sequence[int]) -> list[int]:
        """Places of the neurons whose spikes the host gets."""
        fired = []
        for i, p in enumerate(self.parameters):
            v = self.v[i]
            if v > p["threshold"] and not self.waiting[i]:
                fired.append(i)
                self.v[i] = v - p["threshold"] if p["soft"] else 0
                self.waiting[i] = p["refractory"]
                continue
            self.waiting[i] = max(self.waiting[i] - 1, 0)
            if p["model"] == 2 and p["leak"] < 63:
                self.v[i] = v - (v >> p["leak"])
            elif p["model"] == 0:
                self.v[i] = 0
        sums = [0] * len(self.v)
        reported: list[int] = []
        for source in active:
            self.deliver(int(self.memory[source // 8][source % 8]), sums, reported)
        for source in fired:
            self.deliver(int(self.memory[NEURONS + source // 8][source % 8]), sums, reported)
        for i, total in enumerate(sums):
            v = min(max(self.v[i] + total, -HALF), HALF - 1)
            self.v[i] = 0 if self.waiting[i] else v
        return sorted(reported)

    def deliver(self, pointer: int, sums: list[int], reported: list[int]) -> None:
        first, further = pointer & (2**23 - 1), pointer >> 23
        for row in range(first, first + further + 1):
            for column in range(8):
                word = int(self.memory[row][column])
                opcode, group = word >> 29, 7 - column + (8 if (row - first) % 2 == 0 else 0)
                if opcode == 4:
                    reported.append(word & 0x1FFFF)
                elif opcode == 0:
                    target = (word >> 16 & 0x1FFF) * 16 + group
                    if word:
                        sums[target] += signed(word & 0xFFFF, 16)


def signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value


MODELS = (
    LIF_neuron(40, -17, 3),
    LIF_neuron(0, -17, 63),
    IF_neuron(25, soft_reset_en=True),
    ANN_neuron(10, -17),
    LIF_neuron(-3, -17, 1, refractory_max=2),
)


@st.composite
def networks(draw: st.DrawFn, most: int = 40, models: int = len(MODELS)) -> CRINetwork:
    """Random networks; keys of several types, self connections, empty lists."""
    rng = random.Random(draw(st.integers(0, 2**32)))
    count = draw(st.integers(1, most))
    chosen = MODELS[: draw(st.integers(1, models))]
    keys: list[Hashable] = [f"n{i}" if i % 3 else i for i in range(count)]
    weights = draw(st.sampled_from([(-3, 3), (-60, 90), (-32768, 32767)]))
    axons: dict[Hashable, Any] = {
        ("in", i): synapses(rng, keys, weights) for i in range(draw(st.integers(1, 20)))
    }
    neurons = {key: (synapses(rng, keys, weights), rng.choice(chosen)) for key in keys}
    outputs = [key for key in keys if rng.random() < 0.4]
    return CRINetwork(axons, neurons, outputs)


def synapses(
    rng: random.Random, keys: Sequence[Hashable], weights: tuple[int, int]
) -> list[tuple[Hashable, int]]:
    """Weights with many zeros: their words are special."""
    chosen = rng.sample(list(keys), rng.randint(0, len(keys)))
    return [(key, rng.choice([0, rng.randint(*weights)])) for key in chosen]


def events(network: CRINetwork, steps: int, seed: int) -> list[list[Hashable]]:
    """Random inputs."""
    rng = random.Random(seed)
    return [[axon for axon in network.axons if rng.random() < 0.4] for _ in range(steps)]


@eqx.filter_jit
def _simulate(crossbar: nj.Network, inputs: Any) -> Any:
    run = nj.simulate(crossbar, inputs, probes=["crossbar.high", "crossbar.low"])
    return run.outputs, run["crossbar.high"], run["crossbar.low"]


def simulate(network: CRINetwork, events: Any) -> tuple[np.ndarray, np.ndarray]:
    """Spikes and membranes of the dense engine: [time, batch, outputs], [time, batch, neurons]."""
    spikes, high, low = _simulate(network.crossbar(), events.astype(np.float32))
    return np.asarray(spikes) != 0, np.asarray(high, np.int64) * 2**20 + np.asarray(low)
