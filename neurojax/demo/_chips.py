"""The chips of the demonstration: how a network gets onto each, and into the file of its device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from neurojax._network import Network
from neurojax.chips import MappedNetwork, dynapcnn, loihi
from neurojax.demo import _digits
from neurojax.hardware import dynapcnn as dynapcnn_files, loihi as loihi_files


class Chip(NamedTuple):
    """One chip.

    Attributes:
        title: Its name for people.
        map: From a network in real numbers to one in the chip's integers.
        write: Saves the device's configuration, given a path without suffix, and returns the file.
        load: The mapped network that a file holds.
        rate: Learning rate of the fine-tuning, in steps of the chip's weights.
    """

    title: str
    map: Callable[[Network], MappedNetwork]
    write: Callable[[MappedNetwork, Path], Path]
    load: Callable[[Path], MappedNetwork]
    rate: float


def _write_dynapcnn(mapped: MappedNetwork, path: Path) -> Path:
    file = path.with_suffix(".json")
    dynapcnn_files.configure(mapped).save(file)
    return file


def _write_loihi(mapped: MappedNetwork, path: Path) -> Path:
    file = path.with_suffix(".net")
    loihi_files.configure(mapped).save(file)
    return file


CHIPS = {
    "speck2fmodule": Chip(
        title="Speck 2f",
        map=lambda network: dynapcnn.map(network, device="speck2fmodule"),
        write=_write_dynapcnn,
        load=dynapcnn_files.load,
        rate=0.3,
    ),
    "loihi2": Chip(
        title="Loihi 2",
        map=lambda network: loihi.map(network, device="loihi2"),
        write=_write_loihi,
        load=lambda file: loihi_files.load(file, input_shape=_digits.INPUT),
        rate=0.6,
    ),
}
