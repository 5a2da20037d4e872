"""The chips of the demonstration: how a network gets onto each, and into the file of its device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

import neurojax as nj
from neurojax.chips import MappedNetwork, cri, dynapcnn, loihi
from neurojax.hardware import cri as cri_files, dynapcnn as dynapcnn_files, loihi as loihi_files

Spikes = Float[Array, "time batch ..."]


class Chip(NamedTuple):
    """One chip.

    Attributes:
        title: Its name for people.
        map: From a network in real numbers to one in the chip's integers.
        write: Saves the device's configuration, given a path without suffix, and returns the file.
        replay: The output spikes that the file's network computes for an input.
        bits: Width of a weight.
        rate: Learning rate of the fine-tuning, in steps of the chip's weights.
        late: Steps from an input to its output.
        real_time: It works while its inputs come, and has no time steps of its own.
        run_events: Runs the chip on a stream of events without time steps, where it has none.
    """

    title: str
    map: Callable[[nj.Network], MappedNetwork]
    write: Callable[[MappedNetwork, Path], Path]
    replay: Callable[[Path, Spikes], Spikes]
    bits: int
    rate: float
    late: Callable[[MappedNetwork], int] = lambda mapped: 0
    real_time: bool = False
    run_events: Callable[[MappedNetwork, np.ndarray], dynapcnn.EventRun] | None = None


def _write_dynapcnn(mapped: MappedNetwork, path: Path) -> Path:
    file = path.with_suffix(".json")
    dynapcnn_files.configure(mapped).save(file)
    return file


def _replay_dynapcnn(file: Path, spikes: Spikes) -> Spikes:
    return nj.simulate(dynapcnn_files.load(file).network, spikes).outputs


def _write_loihi(mapped: MappedNetwork, path: Path) -> Path:
    file = path.with_suffix(".net")
    loihi_files.configure(mapped).save(file)
    return file


def _replay_loihi(file: Path, spikes: Spikes) -> Spikes:
    mapped = loihi_files.load(file, input_shape=spikes.shape[2:])
    return nj.simulate(mapped.network, spikes).outputs


def _write_cri(mapped: MappedNetwork, path: Path) -> Path:
    file = path.with_suffix(".hbm")
    cri_files.configure(cri.describe_network(mapped)).save(file)
    return file


def _replay_cri(file: Path, spikes: Spikes) -> Spikes:
    """One crossbar of all neurons, whose axons are the pixels."""
    crossbar = cri_files.load(file).network.crossbar()
    return nj.simulate(crossbar, spikes.reshape(*spikes.shape[:2], -1)).outputs


CHIPS = {
    "speck2fmodule": Chip(
        title="Speck 2f",
        map=lambda network: dynapcnn.map(network, device="speck2fmodule"),
        write=_write_dynapcnn,
        replay=_replay_dynapcnn,
        bits=8,
        rate=0.3,
        real_time=True,
        run_events=dynapcnn.simulate_events,
    ),
    "loihi2": Chip(
        title="Loihi 2",
        map=lambda network: loihi.map(network, device="loihi2", exponent=0),
        write=_write_loihi,
        replay=_replay_loihi,
        bits=8,
        rate=0.6,
    ),
    "cri": Chip(
        title="CRI",
        map=cri.map,
        write=_write_cri,
        replay=_replay_cri,
        bits=16,
        rate=50.0,
        late=cri.latency,
    ),
}
