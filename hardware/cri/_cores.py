"""Networks as arrays, and their share on each core.

A spike that crosses to another core arrives there on a relay axon: one for each pair of a neuron
and a core it has targets on. The synapses of the relay carry the weights of the network, so the
cores together compute what one core would. The host delivers an axon's event to every core on
which it has synapses.

References:
    connectome_utils, `apply_partition`, whose idea the relays are. There a relay has weight 1, and
    the network's weights are lost.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

from neurojax.chips.cri import CRINetwork, Rows
from neurojax.chips.cri.models import NeuronModel
from neurojax.hardware.cri.words import MODEL_PADDING

PAD = -1  # neurons that fill up a model's last rows


class Synapses(NamedTuple):
    """Edges by source, those of one source in the order of the network's list."""

    source: Int[np.ndarray, " n"]
    target: Int[np.ndarray, " n"]
    weight: Int[np.ndarray, " n"]

    def take(self, chosen: np.ndarray) -> Synapses:
        """The chosen ones."""
        return Synapses(self.source[chosen], self.target[chosen], self.weight[chosen])


class Tables(NamedTuple):
    """A network with indices in place of keys."""

    axon_keys: tuple[Hashable, ...]
    neuron_keys: tuple[Hashable, ...]
    axons: Synapses
    neurons: Synapses
    models: tuple[NeuronModel, ...]  # different ones
    model: Int[np.ndarray, " neurons"]  # of each neuron
    outputs: Int[np.ndarray, " outputs"]  # ascending
    delayed: int = 0  # synapses that are in no table because they are delayed


class Core(NamedTuple):
    """What one core holds, in the indices of the network."""

    axons: Int[np.ndarray, " axons"]
    relays: Int[np.ndarray, " relays"]  # neurons of other cores; their axons follow the others
    neurons: Int[np.ndarray, " padded"]  # at each place, or PAD
    models: Int[np.ndarray, " models"]
    ends: Int[np.ndarray, " models"]  # places before which each model's neurons end
    axon_synapses: Synapses  # between places on the core
    neuron_synapses: Synapses
    reported: Int[np.ndarray, " n"]  # places of neurons whose spikes the host gets
    relayed: Int[np.ndarray, " n"]  # ... and of those with targets on other cores


def tables(network: CRINetwork) -> Tables:
    """The arrays of a network."""
    neurons = tuple(network.connections)
    index = {key: number for number, key in enumerate(neurons)}
    models: dict[NeuronModel, int] = {}
    model = np.fromiter(
        (models.setdefault(model, len(models)) for _, model in network.connections.values()),
        np.int32,
        len(neurons),
    )
    axon_rows, neuron_rows = network.rows
    delayed = 0 if neuron_rows.late is None else int(neuron_rows.late.sum())
    return Tables(
        axon_keys=tuple(network.axons),
        neuron_keys=neurons,
        axons=_synapses(axon_rows.part(late=False)),
        neurons=_synapses(neuron_rows.part(late=False)),
        models=tuple(models),
        model=model,
        outputs=np.array(sorted({index[key] for key in network.outputs}), np.int64),
        delayed=delayed,
    )


def _synapses(rows: Rows) -> Synapses:
    columns = (rows.sources(), rows.targets, rows.weights)
    return Synapses(*(column.astype(np.int64) for column in columns))


def on_cores(network: Tables, core: Int[np.ndarray, " neurons"]) -> list[Core]:
    """The share of each core; `core` says where each neuron lives."""
    count = int(core.max(initial=0)) + 1
    axon_core, target_core = core[network.axons.target], core[network.neurons.target]
    crosses = core[network.neurons.source] != target_core
    away = np.zeros(len(core), bool)
    away[network.neurons.source[crosses]] = True
    silent = np.setdiff1d(np.arange(len(network.axon_keys)), network.axons.source)
    place = np.zeros(len(core), np.int64)  # of each neuron on its core
    cores = []
    for number in range(count):
        neurons, models, ends = _places(network, np.flatnonzero(core == number))
        real = np.flatnonzero(neurons != PAD)
        place[neurons[real]] = real
        from_axons = network.axons.take(axon_core == number)
        relayed_in = network.neurons.take(crosses & (target_core == number))
        local = network.neurons.take(~crosses & (target_core == number))
        axons = np.unique(from_axons.source)
        if number == 0:  # axons that reach nothing must be somewhere
            axons = np.union1d(axons, silent)
        relays = np.unique(relayed_in.source)
        cores.append(
            Core(
                axons=axons,
                relays=relays,
                neurons=neurons,
                models=models,
                ends=ends,
                axon_synapses=Synapses(
                    np.concatenate(
                        [
                            np.searchsorted(axons, from_axons.source),
                            len(axons) + np.searchsorted(relays, relayed_in.source),
                        ]
                    ),
                    place[np.concatenate([from_axons.target, relayed_in.target])],
                    np.concatenate([from_axons.weight, relayed_in.weight]),
                ),
                neuron_synapses=Synapses(place[local.source], place[local.target], local.weight),
                reported=place[network.outputs[core[network.outputs] == number]],
                relayed=place[np.flatnonzero(away & (core == number))],
            )
        )
    return cores


def _places(
    network: Tables, neurons: Int[np.ndarray, " n"]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Neurons by model, in order of the models' first neurons, padded; the models; their ends."""
    models, first, counts = np.unique(network.model[neurons], return_index=True, return_counts=True)
    order = np.argsort(first)
    models, counts = models[order], counts[order]
    padded = counts + -counts % MODEL_PADDING
    ends = np.cumsum(padded)
    places = np.full(padded.sum(), PAD, np.int64)
    for model, start, count in zip(models, ends - padded, counts, strict=True):
        places[start : start + count] = neurons[network.model[neurons] == model]
    return places, models, ends
