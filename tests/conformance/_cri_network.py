"""CRI: networks that hs_api's converter made, run as its simulator ran them."""

from __future__ import annotations

import functools as ft
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import neurojax as nj
from neurojax.chips.cri import _wide
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import LIF_neuron
from neurojax.chips.cri.neuron import membrane
from tests.conformance._result import QUICK, Result, compare

GROUP = "networks of the converter"

NO_NOISE = -16
EXACT_IF = 64

Facts = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]


def network(name: str, facts: Facts, arrays: Arrays) -> Iterator[Result]:
    """Membranes, spikes and counts for every leak that was recorded."""
    labels = [key.removeprefix("V_") for key in arrays if key.startswith("V_")]
    for label in labels or [f"leak{EXACT_IF}"]:
        leak = int(re.findall(r"leak(\d+)", label)[0])
        v, spikes = simulated(facts, leak)
        of = lambda what, label=label: f"{what}_{label}" if labels else what  # noqa: E731
        found = [compare("counts", arrays[of("spike_counts")], counts(facts, spikes))]
        if labels:
            found += [
                compare("V", arrays[of("V")], v),
                compare("S", arrays[of("S_out")], spikes),
            ]
        wrong = "; ".join(words for _, words in found if words)
        expectation = (
            "leak 63 adds 1 to every positive membrane in every step" if leak == 63 else ""
        )
        error = max(error for error, _ in found)
        yield Result(GROUP, f"{name} {label}", not wrong, error, wrong,
                     expectation)  # fmt: skip


def simulated(facts: Facts, leak: int) -> tuple[np.ndarray, np.ndarray]:
    """Membranes and output spikes, `[batch, time, ...]`, the steps of the flush included."""
    neurons = {
        key: (_pairs(neuron["syn"]), LIF_neuron(neuron["threshold"], NO_NOISE, leak))
        for key in facts["neuron_order"]
        for neuron in [facts["neurons"][key]]
    }
    flush: list[list[str]] = [[]] * facts["snn_layers"]
    samples = [[*sample, *flush] for sample in facts["input_axons"]]
    return _run(facts["axons"], neurons, facts["outputs"], samples)


def older(name: str, facts: Facts) -> Iterator[Result]:
    """Dictionaries of the converter of 2023: no models; those are named with what was recorded."""
    made = facts["converter_2023"]
    x = np.asarray(facts["X"])
    for key, recorded in facts.items():
        said = re.fullmatch(r"out_spikes_theta(\d+)_leak(\d+)", key)
        if said is None:
            continue
        model = LIF_neuron(int(said[1]), NO_NOISE, int(said[2]))
        neurons = {n: (_pairs(made["neurons"][n]["syn"]), model) for n in facts["neuron_order"]}
        flush = np.zeros((len(x), len(recorded[0]) - x.shape[1], x.shape[2]))
        samples = [
            [[f"a{i}" for i in np.flatnonzero(frame)] for frame in sample]
            for sample in np.concatenate([x, flush], axis=1)
        ]
        _, spikes = _run(made["axons"], neurons, made["outputs"], samples)
        got = [[np.flatnonzero(frame).tolist() for frame in sample] for sample in spikes]
        wrong = "" if got == recorded else f"spikes differ: recorded {recorded}, got {got}"
        yield Result(GROUP, f"{name} {key}", not wrong, 0.0, wrong)


def _run(
    axons: Facts, neurons: Facts, outputs: Any, samples: list[list[list[str]]]
) -> tuple[np.ndarray, np.ndarray]:
    """Membranes and output spikes, `[batch, time, ...]`, for lists of active axons."""
    synapses = {key: _pairs(pairs) for key, pairs in axons.items()}
    chip = CRINetwork(synapses, dict(neurons), outputs, order="main").crossbar()
    index = {key: i for i, key in enumerate(axons)}
    x = np.zeros((len(samples[0]), len(samples), len(axons)), np.float32)
    for b, sample in enumerate(samples):
        for t, active in enumerate(sample):
            x[t, b, [index[key] for key in active]] = 1

    @ft.partial(jax.jit, compiler_options=QUICK)
    def run(x: jax.Array) -> nj.Run:
        return nj.simulate(chip, x, probes=["crossbar.high", "crossbar.low"])

    done = run(jnp.asarray(x))
    v = membrane(_wide.Wide(done["crossbar.high"], done["crossbar.low"]))
    return v.swapaxes(0, 1), np.asarray(done.outputs).swapaxes(0, 1)


def counts(facts: Facts, spikes: np.ndarray) -> np.ndarray:
    """Spikes of each output, as hs_api counts them: from step `depth` on."""
    depth = facts["snn_layers"]
    steps = spikes.shape[1] - depth
    # Its flush counts its steps from T - 1.
    counted = [t >= depth if t < steps else t - 1 >= depth for t in range(spikes.shape[1])]
    return spikes[:, counted].sum(axis=1)


def _pairs(synapses: Any) -> list[tuple[str, int]]:
    return [(key, weight) for key, weight in synapses]
