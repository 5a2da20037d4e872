"""What a network needs of the machine, against what the machine has."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from neurojax.chips.cri import Finding
from neurojax.chips.cri.models import NeuronModel
from neurojax.chips.cri.spec import CRISpec
from neurojax.hardware.cri import words
from neurojax.hardware.cri._cores import Core, Tables
from neurojax.hardware.cri.image import layout
from neurojax.hardware.cri.packets import CORES
from neurojax.hardware.cri.words import GROUPS, NeuronType

MOST_ROWS = words.NEURON_TYPE["boundary"].range[1]
"""Rows of neurons whose number fits into a neuron-type word: one less than a core has."""


def neuron_type(model: NeuronModel, end: int) -> NeuronType:
    """What the chip is told of a model whose neurons end before place `end`."""
    return NeuronType(
        leak=model.leak,
        shift=model.shift,
        model=model.code,
        threshold=int(model.threshold),
        boundary=-(-end // GROUPS),
        delay=model.delay_value,
        refractory=model.refractory_max,
        dual_synapse=int(model.dual_synapse_en),
        soft_reset=int(model.soft_reset_en),
        legacy_noise=int(model.legacy_noise_en),
    )


def check(network: Tables, cores: Sequence[Core], chip: CRISpec) -> tuple[Finding, ...]:
    """Everything that does not fit, on all cores."""
    findings = []
    if len(cores) > CORES:
        findings.append(
            Finding("network", f"{len(cores)} cores", f"packets name {CORES}", "use fewer")
        )
    neurons, synapses = len(network.neuron_keys), len(network.axons[0]) + len(network.neurons[0])
    for count, legal, what in (
        (neurons, chip.neurons_in_all, "neurons"),
        (synapses, chip.synapses_in_all, "synapses"),
    ):
        if count > legal:
            findings.append(
                Finding("network", f"{count:,} {what}", f"at most {legal:,}", "make it smaller")
            )
    if network.delayed:
        findings.append(
            Finding(
                "network",
                f"{network.delayed:,} delayed synapses",
                "how they lie in memory is not known",
                "put neurons in between that pass the spikes on, one for each step of delay",
            )
        )
    for model in network.models:
        findings.extend(check_model(model))
    for number, core in enumerate(cores):
        where = f"core {number}" if len(cores) > 1 else "network"
        findings.extend(_core(where, network, core, chip))
    return tuple(findings)


def check_model(model: NeuronModel) -> Iterator[Finding]:
    """What the chip can't be told of a model, or can't do."""
    where = f"neuron model {model}"
    for wrong in neuron_type(model, 0).findings():
        found, legal = wrong.split("; ")
        yield Finding(where, found, legal, "change it")
    if model.legacy_noise_en and model.refractory_max:
        yield Finding(
            where,
            "a refractory period and membranes of 35 bits",
            "the counter of the period takes three of these bits",
            "choose one: refractory_max=0 or legacy_noise_en=False",
        )
    if model.dual_synapse_en:
        yield Finding(
            where,
            "synapses that can be delayed one by one",
            "how they lie in memory is not known",
            "use dual_synapse_en=False",
        )


def _core(where: str, network: Tables, core: Core, chip: CRISpec) -> Iterator[Finding]:
    axons, neurons = len(core.axons) + len(core.relays), len(core.neurons)
    rows = min(chip.rows, MOST_ROWS)
    for count, legal, what in (
        (axons, chip.axons, "axons"),
        (len(core.models), chip.models, "different neuron models"),
        (neurons, rows * chip.groups, f"neurons (models fill blocks of {chip.model_padding})"),
    ):
        if count > legal:
            remedy = "spread the network over more cores: configure(..., cores=...)"
            if "models" in what and "neurons" not in what:
                remedy = "use fewer different models"
            yield Finding(where, f"{count:,} {what}", f"at most {legal:,}", remedy)
    axon_keys: list[Hashable] = [network.axon_keys[i] for i in core.axons]
    relay_keys: list[Hashable] = [network.neuron_keys[i] for i in core.relays]
    axon_names = [f"axon {key!r}" for key in axon_keys]
    axon_names += [f"relay of neuron {key!r}" for key in relay_keys]
    targets = _Names(network, core)
    plan = layout(core)
    for synapses, names, pairs, what, fan_out, fan_in in (
        (
            core.axon_synapses,
            axon_names,
            plan.pairs[:axons],
            "axons",
            chip.axon_fan_out,
            chip.axon_fan_in,
        ),
        (
            core.neuron_synapses,
            targets,
            plan.pairs[plan.axons :],
            "neurons",
            chip.neuron_fan_out,
            chip.neuron_fan_in,
        ),
    ):
        out = np.bincount(synapses.source, minlength=len(pairs))
        into = np.bincount(synapses.target, minlength=neurons)
        yield from _over(where, names, out, fan_out, "synapses", "let several share them")
        yield from _over(
            where, targets, into, fan_in, f"synapses from {what}", "merge inputs in between"
        )
        yield from _over(
            where,
            names,
            np.where(out > fan_out, 0, pairs),  # of those it has been said already
            chip.slots // GROUPS,
            "pairs of rows (each has room for one target of a group, its index modulo 16)",
            "spread the targets over the groups by another order of the neurons",
        )
    used = 2 * int(plan.pairs.sum())
    if used > words.ROWS - words.SYNAPSES:
        yield Finding(
            where,
            f"{used:,} rows of synapses",
            f"memory has {words.ROWS - words.SYNAPSES:,}",
            "spread the network over more cores: configure(..., cores=...)",
        )


class _Names:
    """Names of neurons by their place on a core."""

    def __init__(self, network: Tables, core: Core) -> None:
        self.network, self.core = network, core

    def __getitem__(self, place: int) -> str:
        return f"neuron {self.network.neuron_keys[self.core.neurons[place]]!r}"


def _over(
    where: str, names: Any, counts: Int[np.ndarray, " n"], legal: int, what: str, remedy: str
) -> Iterator[Finding]:
    prefix = "" if where == "network" else f"{where}, "
    for index in np.flatnonzero(counts > legal):
        found = f"{counts[index]:,} {what}"
        yield Finding(f"{prefix}{names[index]}", found, f"at most {legal:,}", remedy)
