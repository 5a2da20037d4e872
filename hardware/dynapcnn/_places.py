"""The core of each layer: as mapped, or chosen by hand and checked."""

from __future__ import annotations

from collections.abc import Mapping

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax.chips import MappedNetwork, MappingError, Problem
from neurojax.chips.dynapcnn import ChipSpec, Core, fits, memory_of


def places_of(mapped: MappedNetwork, cores: str | Mapping[str, int]) -> dict[str, int]:
    """The core of each layer.

    Args:
        mapped: The network.
        cores: `"auto"` for the cores of the mapping, or the core of each layer.

    Raises:
        MappingError: A placement that the device can't hold, with every reason.
        ValueError: A text other than `"auto"`.
    """
    chip, names = mapped.chip, [origin.name for origin in mapped.origins]
    if isinstance(cores, str):
        if cores != "auto":
            raise ValueError(f"cores={cores!r} must be 'auto' or a core for each layer")
        cores = {origin.name: origin.core for origin in mapped.origins}
    problems = [
        Problem(name, "no such layer", nearest(name, names), "correct the name")
        for name in cores
        if name not in names
    ]
    owner: dict[int, str] = {}
    for name in names:
        number = cores.get(name)
        legal = f"{chip.name} has cores 0 to {len(chip.cores) - 1}"
        if number is None:
            problems.append(Problem(name, "it has no core", legal, "add it to `cores`"))
        elif number not in range(len(chip.cores)):
            problems.append(Problem(name, f"core {number}", legal, "use one of those"))
        elif number in owner:
            problems.append(
                Problem(
                    name,
                    f"core {number}, which holds layer '{owner[number]}'",
                    "a core holds one layer",
                    "choose another core",
                )
            )
        else:
            owner[number] = name
            problems += misfits(mapped.network, name, number, chip)
    if problems:
        raise MappingError(chip.name, problems)
    return {name: int(cores[name]) for name in names}


def misfits(network: Network, name: str, number: int, chip: ChipSpec) -> list[Problem]:
    """The reason why a core can't hold a layer, if there is one."""
    layer, core = network[name], chip.cores[number]
    assert isinstance(layer, Core)
    neurons = layer.neuron_shape(network.in_shape(name))
    memory = memory_of(layer.weight.shape, neurons, bias=layer.bias is not None)
    if fits(memory, core):
        return []
    need = f"{memory.kernel:,}/{memory.neuron:,}/{memory.bias:,}"
    have = f"{core.kernel_words:,}/{core.neuron_words:,}/{core.bias_words:,}"
    return [
        Problem(
            name,
            f"it takes {need} words (kernel/neuron/bias)",
            f"core {number} has {have}",
            "choose a larger core, or cores='auto'",
        )
    ]
