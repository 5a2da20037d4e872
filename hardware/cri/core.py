"""One core of a configuration: its memory, what its places mean, and both as arrays of a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Int

from neurojax.chips.cri.models import MODELS, NeuronModel
from neurojax.hardware.cri._cores import PAD
from neurojax.hardware.cri.capacity import check_model
from neurojax.hardware.cri.image import Contents, Image, read
from neurojax.hardware.cri.words import NeuronType


@dataclass(frozen=True, eq=False)
class CoreConfiguration:
    """One core.

    Attributes:
        image: Its memory.
        axons: The network's axons on it, by index. Their number here is their place.
        relays: Neurons of other cores, by index, whose spikes arrive on the axons after those.
        neurons: The neuron at each place, by index; -1 at places that fill up a model's rows.
    """

    image: Image
    axons: Int[np.ndarray, " axons"]
    relays: Int[np.ndarray, " relays"]
    neurons: Int[np.ndarray, " padded"]

    @cached_property
    def contents(self) -> Contents:
        """What the image holds, read from its words."""
        return read(self.image, len(self.axons) + len(self.relays))


def model_of(kind: NeuronType) -> NeuronModel:
    """The model of a neuron-type word."""
    return MODELS[kind.model](
        kind.threshold,
        kind.shift,
        kind.leak,
        refractory_max=kind.refractory,
        dual_synapse_en=bool(kind.dual_synapse),
        delay_value=kind.delay,
        soft_reset_en=bool(kind.soft_reset),
        legacy_noise_en=bool(kind.legacy_noise),
    )


ARRAYS = {
    "axon_pointers": ("<u4", 2),
    "neuron_pointers": ("<u4", 2),
    "synapses": ("<u4", 2),
    "types": ("<u4", 2),
    "silent": ("<i8", 1),
    "axons": ("<i8", 1),
    "relays": ("<i8", 1),
    "neurons": ("<i8", 1),
}


def to_arrays(core: CoreConfiguration) -> dict[str, np.ndarray]:
    """What a file holds of a core."""
    image = core.image
    types = [np.frombuffer(kind.word.to_bytes(12, "little"), "<u4") for kind in image.types]
    parts: dict[str, np.ndarray] = {
        **image._asdict(),
        "types": np.stack(types),
        "axons": core.axons,
        "relays": core.relays,
        "neurons": core.neurons,
    }
    return {name: parts[name].astype(dtype) for name, (dtype, _) in ARRAYS.items()}


def from_arrays(parts: Mapping[str, np.ndarray], axons: int, neurons: int) -> CoreConfiguration:
    """A core of a network of so many axons and neurons.

    Raises:
        ValueError: What makes no sense.
    """
    for name in ("axon_pointers", "neuron_pointers", "synapses"):
        if parts[name].shape[1] != 8:
            raise ValueError(f"{name} has rows of {parts[name].shape[1]} words; they have 8")
    if parts["types"].shape[1] != 3:
        raise ValueError("types has no rows of three words")
    types = []
    for row in parts["types"]:
        kind = NeuronType.read(int.from_bytes(row.tobytes(), "little"))
        whole = kind.word.to_bytes(12, "little") == row.tobytes()  # no bit beyond the fields
        if kind.model not in MODELS or kind.shadow or not whole:
            raise ValueError(f"neuron type {kind} is none that this version knows")
        if faults := list(check_model(model_of(kind))):
            raise ValueError(str(faults[0]))
        types.append(kind)
    image = Image(
        parts["axon_pointers"],
        parts["neuron_pointers"],
        parts["synapses"],
        tuple(types),
        parts["silent"],
    )
    core = CoreConfiguration(image, parts["axons"], parts["relays"], parts["neurons"])
    for name, count in (("axons", axons), ("relays", neurons), ("neurons", neurons)):
        indices = parts[name]
        if name == "neurons":
            indices = indices[indices != PAD]
        if indices.size and not 0 <= indices.min() <= indices.max() < count:
            raise ValueError(f"{name} has indices beyond 0 to {count - 1}")
        if len(np.unique(indices)) < len(indices):
            raise ValueError(f"{name} names one twice")
    if len(core.neurons) != image.neuron_pointers.size:
        raise ValueError(f"{len(core.neurons)} places, {image.neuron_pointers.size} pointers")
    if np.isin(core.relays, core.neurons).any():
        raise ValueError("a relay of a neuron on the same core")
    contents = core.contents
    ends = np.concatenate([part.target for part in contents[:2]])
    ends = np.concatenate([ends, contents.neuron_synapses.source, *contents[2:]])
    if np.any(core.neurons[ends] == PAD):
        raise ValueError("a synapse or a spike entry belongs to a place without neuron")
    return core


def check_together(cores: Sequence[CoreConfiguration], axons: int, neurons: int) -> None:
    """Whether cores make up one network.

    Raises:
        ValueError: They don't.
    """
    places = np.concatenate([core.neurons[core.neurons != PAD] for core in cores])
    if not np.array_equal(np.sort(places), np.arange(neurons)):
        raise ValueError("not every neuron is on exactly one core")
    if len(np.unique(np.concatenate([core.axons for core in cores]))) != axons:
        raise ValueError("an axon is on no core")
    relays = np.unique(np.concatenate([core.relays for core in cores]))
    sent = np.concatenate([core.neurons[core.contents.relayed] for core in cores])
    if not np.array_equal(relays, np.sort(sent)):
        raise ValueError("the neurons that send spikes to other cores are not those relayed there")
