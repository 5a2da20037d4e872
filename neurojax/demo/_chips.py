"""The chips of the demonstration: how a network gets onto each, and into the file of its device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

import neurojax as nj
from neurojax.chips import MappedNetwork, cri, dynapcnn, loihi, mcu
from neurojax.hardware import (
    c as c_files,
    cri as cri_files,
    dynapcnn as dynapcnn_files,
    loihi as loihi_files,
)

Spikes = Float[Array, "time batch ..."]


class Chip(NamedTuple):
    """One chip.

    Attributes:
        title: Its name for people.
        map: From a network in real numbers, and inputs that are typical, to one in the chip's
            integers.
        write: Saves the device's configuration, given a path without suffix and the time steps of
            an input, and returns the file, or the folder.
        replay: The output spikes that the file's network computes for an input.
        bits: Width of a weight.
        rate: Learning rate of the fine-tuning, in steps of the chip's weights; None: none.
        late: Steps from an input to its output.
        real_time: It works while its inputs come, and has no time steps of its own.
        run_events: Runs the chip on a stream of events without time steps, where it has none.
        spike: What a spike of a layer is in its output.
        compare: Runs the device's own program on the inputs, and says how its outputs compare with
            those of the simulation.
    """

    title: str
    map: Callable[[nj.Network, Spikes], MappedNetwork]
    write: Callable[[MappedNetwork, Path, int], Path]
    replay: Callable[[Path, Spikes], Spikes]
    bits: int
    rate: float | None = None
    late: Callable[[MappedNetwork], int] = lambda mapped: 0
    real_time: bool = False
    run_events: Callable[[MappedNetwork, np.ndarray], dynapcnn.EventRun] | None = None
    spike: Callable[[nj.Layer], float] = lambda layer: 1.0
    compare: Callable[[Path, Spikes, np.ndarray], str] | None = None


def _write_dynapcnn(mapped: MappedNetwork, path: Path, steps: int) -> Path:
    file = path.with_suffix(".json")
    dynapcnn_files.configure(mapped).save(file)
    return file


def _replay_dynapcnn(file: Path, spikes: Spikes) -> Spikes:
    return nj.simulate(dynapcnn_files.load(file).network, spikes).outputs


def _write_loihi(mapped: MappedNetwork, path: Path, steps: int) -> Path:
    file = path.with_suffix(".net")
    loihi_files.configure(mapped).save(file)
    return file


def _replay_loihi(file: Path, spikes: Spikes) -> Spikes:
    mapped = loihi_files.load(file, input_shape=spikes.shape[2:])
    return nj.simulate(mapped.network, spikes).outputs


def _write_cri(mapped: MappedNetwork, path: Path, steps: int) -> Path:
    file = path.with_suffix(".hbm")
    cri_files.configure(cri.describe_network(mapped)).save(file)
    return file


def _replay_cri(file: Path, spikes: Spikes) -> Spikes:
    """One crossbar of all neurons, whose axons are the pixels."""
    crossbar = cri_files.load(file).network.crossbar()
    return nj.simulate(crossbar, spikes.reshape(*spikes.shape[:2], -1)).outputs


def _map_mcu(network: nj.Network, sample: Spikes) -> MappedNetwork:
    """Eight bits, sums in the 32 bits that a processor's registers have."""
    return mcu.map(network, quantize="int8", long_width=32, rounding="nearest", calibration=sample)


def _write_mcu(mapped: MappedNetwork, path: Path, steps: int) -> Path:
    program = c_files.configure(
        mapped, model_name="digits", timesteps=steps, timestep_mode="iterate"
    )
    program.save(path)
    return path


def _replay_mcu(file: Path, spikes: Spikes) -> Spikes:
    return nj.simulate(c_files.load(file).network, spikes).outputs


def _compare_mcu(file: Path, spikes: Spikes, simulated: np.ndarray) -> str:
    """Compiles the C code for this computer, where it has a compiler."""
    program = c_files.load_program(file)
    size = program.size
    takes = f"it takes {size.flash:,} bytes of flash for weights, and {size.ram:,} of RAM"
    try:
        built = program.build(file)
    except FileNotFoundError:
        return f"{takes}; there is no C compiler here to run it with"
    outputs = built.run(np.asarray(spikes))
    if not np.array_equal(outputs, simulated):
        raise AssertionError(f"the C code in {file} differs from the simulation")
    return f"the C code, compiled and run here, gives the same, too; {takes}"


CHIPS = {
    "speck2fmodule": Chip(
        title="Speck 2f",
        map=lambda network, sample: dynapcnn.map(network, device="speck2fmodule"),
        write=_write_dynapcnn,
        replay=_replay_dynapcnn,
        bits=8,
        rate=0.3,
        real_time=True,
        run_events=dynapcnn.simulate_events,
    ),
    "loihi2": Chip(
        title="Loihi 2",
        map=lambda network, sample: loihi.map(network, device="loihi2", exponent=0),
        write=_write_loihi,
        replay=_replay_loihi,
        bits=8,
        rate=0.6,
    ),
    "cri": Chip(
        title="CRI",
        map=lambda network, sample: cri.map(network),
        write=_write_cri,
        replay=_replay_cri,
        bits=16,
        rate=50.0,
        late=cri.latency,
    ),
    "mcu": Chip(
        title="Microcontroller",
        map=_map_mcu,
        write=_write_mcu,
        replay=_replay_mcu,
        bits=8,
        spike=lambda layer: layer.one if isinstance(layer, mcu.IF) else 1.0,
        compare=_compare_mcu,
    ),
}
