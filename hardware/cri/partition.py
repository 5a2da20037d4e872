"""Which core each neuron lives on."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
from jaxtyping import Int

from neurojax.chips.cri.spec import CRISpec
from neurojax.hardware.cri._cores import Tables
from neurojax.hardware.cri.capacity import MOST_ROWS
from neurojax.hardware.cri.packets import CORES

Cores = int | str | Mapping[Hashable, int]


def assign(network: Tables, cores: Cores, chip: CRISpec) -> Int[np.ndarray, " neurons"]:
    """The core of each neuron.

    Args:
        network: The network.
        cores: `"auto"`: as few as its neurons and models need. A number: so many blocks of
            neurons, in the order of the network and nearly equal in size. A mapping: by hand, for
            every neuron.
        chip: The machine.

    Raises:
        ValueError: All that is wrong with a mapping, or another kind of `cores`.
    """
    count = len(network.neuron_keys)
    if isinstance(cores, Mapping):
        return _by_hand(network, cores)
    if cores == "auto":
        tried = range(1, min(CORES, count) + 1)
        cores = next((number for number in tried if _fits(network, number, chip)), tried[-1])
    if isinstance(cores, bool) or not isinstance(cores, int) or not 1 <= cores <= max(count, 1):
        raise ValueError(
            f"cores={cores!r} must be 'auto', a number from 1 to {max(count, 1)} (of neurons), or "
            "a mapping {neuron: core}"
        )
    return _blocks(count, cores)


def _blocks(count: int, cores: int) -> Int[np.ndarray, " count"]:
    return np.arange(count) * cores // max(count, 1)


def _fits(network: Tables, cores: int, chip: CRISpec) -> bool:
    """Whether each block's neurons, padded by model, have places on a core."""
    kinds = len(network.models)
    key = _blocks(len(network.neuron_keys), cores) * kinds + network.model
    counts = np.bincount(key, minlength=cores * kinds).reshape(cores, kinds)
    padded = counts + -counts % chip.model_padding
    room = min(chip.rows, MOST_ROWS) * chip.groups
    enough = (padded.sum(axis=1) <= room) & (np.count_nonzero(counts, axis=1) <= chip.models)
    return bool(enough.all())


def _by_hand(network: Tables, cores: Mapping[Hashable, int]) -> Int[np.ndarray, " neurons"]:
    problems = []
    if missing := [key for key in network.neuron_keys if key not in cores]:
        problems.append(f"no core for {len(missing)} neurons, such as {missing[0]!r}")
    if strange := cores.keys() - set(network.neuron_keys):
        problems.append(f"{len(strange)} keys of no neuron, such as {min(strange, key=repr)!r}")
    wrong = {
        key: core
        for key, core in cores.items()
        if isinstance(core, bool) or not isinstance(core, int | np.integer) or core < 0
    }
    if wrong:
        key, core = next(iter(wrong.items()))
        problems.append(f"core {core!r} of {key!r} is no number from 0 on")
    elif used := set(cores.values()):
        empty = set(range(max(used) + 1 if max(used) < 1000 else 0)) - used
        if empty or max(used) >= 1000:
            problems.append(f"cores must be numbered from 0 on without gaps, not {sorted(used)}")
    if problems:
        raise ValueError(f"cores: {'; '.join(problems)}")
    return np.array([cores[key] for key in network.neuron_keys], np.int64)
