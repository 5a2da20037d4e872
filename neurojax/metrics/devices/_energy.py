"""The energy of a network on a device: what it does, times what each of that takes."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from neurojax._files import written_whole
from neurojax._network import Network
from neurojax._table import text_table
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics.devices._constant import Constant
from neurojax.metrics.devices._device import (
    ACTIVE,
    CONNECTIONS,
    EVENTS,
    HOPS_X,
    HOPS_Y,
    LEARNING,
    POWER,
    SPIKES,
    UPDATES,
    Device,
)
from neurojax.metrics.devices._estimate import Estimate, total
from neurojax.metrics.devices._registry import constant_of, device as find
from neurojax.metrics.devices._work import LayerWork, Work, work

NETWORK = "(all)"
"""The row of what does not belong to one layer: a power times a time."""

_ENERGY_COLUMNS = ("layer", "what", "number", "energy_J", "low_J", "high_J")
_CONSTANT_COLUMNS = ("constant", "unit", "source", "node", "kind")


class EnergyPart(NamedTuple):
    """One summand: something that happens in a layer, and what it takes."""

    layer: str
    what: str  # as in `Device.energies`
    number: Estimate  # of it, in an inference; seconds for a power
    constant: Constant
    energy: Estimate  # joules


@dataclass(frozen=True)
class ChipEnergy:
    """The energy of an inference, with its parts and where the constants come from.

    Attributes:
        device: Whose constants these are.
        parts: The summands.
        notes: What was assumed, and what is not in the sum.
    """

    device: Device
    parts: tuple[EnergyPart, ...]
    notes: tuple[str, ...]

    @property
    def total(self) -> Estimate:
        """Joules of an inference."""
        return total(part.energy for part in self.parts)

    def by_layer(self) -> dict[str, Estimate]:
        """Joules of an inference by layer; what belongs to no layer is under `"(all)"`."""
        return self._by("layer")

    def by_term(self) -> dict[str, Estimate]:
        """Joules of an inference by what happens."""
        return self._by("what")

    def _by(self, field: str) -> dict[str, Estimate]:
        keys = dict.fromkeys(getattr(part, field) for part in self.parts)
        return {
            key: total(part.energy for part in self.parts if getattr(part, field) == key)
            for key in keys
        }

    def __str__(self) -> str:
        """The parts, the total, and where the constants come from."""
        rows = []
        for what, energy in self.by_term().items():
            parts = [part for part in self.parts if part.what == what]
            count = total(part.number for part in parts)
            number = count.text("s") if what == POWER else _count_text(count)
            rows.append([what, number, parts[0].constant.text, energy.text("J")])
        rows.append(["total", "", "", self.total.text("J")])
        header = ["an inference", "count", "each", "energy"]
        sources = [
            f"- {what}: {c.source} ({c.kind}{f', {c.node}' if c.node else ''})"
            for what, c in {part.what: part.constant for part in self.parts}.items()
        ]
        lines = [self.device.title, text_table(header, rows, right=header[1:2]), *sources]
        return "\n".join([*lines, *(f"- {note}" for note in self.notes)])

    __repr__ = __str__

    def to_csv(self, path: str | Path) -> None:
        """Writes the parts, in joules, with range and provenance; whole or not at all."""
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(_ENERGY_COLUMNS + _CONSTANT_COLUMNS)
            for p in self.parts:
                e, c = p.energy, p.constant
                row = [p.layer, p.what, p.number.value, e.value, e.low, e.high, c.value, c.unit]
                writer.writerow(["" if x is None else x for x in (*row, c.source, c.node, c.kind)])


def chip_energy(
    network: Network | MappedNetwork,
    activity: Activity,
    device: str | Device,
    *,
    e_synop: float | Constant | None = None,
    seconds: float | None = None,
    passes: int = 1,
    hops: tuple[float, float] = (0.5, 0.5),
    weight_updates: float = 0.0,
) -> ChipEnergy:
    """The energy that a network takes on a device for one inference, from what it did.

    The sum over all layers of what happens times its constant, the mean of all samples. Synaptic
    events are exact: each spike counts once for every connection that it reaches, borders,
    strides and groups included. A range is given where those of all constants are known.

    Args:
        network: The network, or what a chip's `map` returned.
        activity: What `count_spikes` counted in it.
        device: A name, see `metrics.devices.names()`, or a `Device`.
        e_synop: Energy of a synaptic event, in joules or as a `Constant`, instead of the device's.
            Speck has none of its own.
        seconds: Duration of an inference, for devices that take power all the time.
        passes: How often a device that is not spiking computes all connections and neurons for an
            inference: 1 for a formal network in the place of the spiking one (as keras-spiking
            has it), `activity.steps` for the spiking one itself, step by step.
        hops: Tiles that a spike crosses from east to west and from north to south, on average, all
            of its destinations together. It depends on the placement.
        weight_updates: Of learning on the chip, an inference.

    Returns:
        The parts and the total; printing it shows them with the provenance of the constants.

    Raises:
        ValueError: No numbers are known of the device (the message says why), `seconds` is missing
            where it matters, an option is negative, or weight updates have no constant.

    References:
        Loihi: M. Davies et al., IEEE Micro 38(1), 2018. Per event and per neuron: keras-spiking,
        `ModelEnergy`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.ones((3, 4))), out=nj.IAF())
        >>> activity = metrics.count_spikes(net, jnp.ones((5, 2, 4)))
        >>> metrics.chip_energy(net, activity, "spinnaker").total.text("J")
        '1.19 µJ (range unknown)'
        >>> energy = metrics.chip_energy(net, activity, "speck", seconds=0.1, e_synop=50e-12)
        >>> {what: part.text("J") for what, part in energy.by_term().items()}
        {'seconds': '42 µJ', 'synaptic events': '3 nJ (range unknown)'}
    """
    return energy_of(
        work(network, activity),
        device,
        e_synop=e_synop,
        seconds=seconds,
        passes=passes,
        hops=hops,
        weight_updates=weight_updates,
    )


def energy_of(
    done: Work,
    device: str | Device,
    *,
    e_synop: float | Constant | None = None,
    seconds: float | None = None,
    passes: int = 1,
    hops: tuple[float, float] = (0.5, 0.5),
    weight_updates: float = 0.0,
) -> ChipEnergy:
    """As `chip_energy`, of work that is known already."""
    chosen = find(device)
    notes = chosen.notes
    if e_synop is not None:
        if chosen.refusal:
            notes += ("synaptic events alone, with the energy that was given",)
        own = constant_of(e_synop, EVENTS, "given as e_synop")
        chosen = chosen.with_energies({EVENTS if chosen.spiking else CONNECTIONS: own})
    if not chosen.energies:
        raise ValueError(f"device '{chosen.name}': {chosen.refusal or 'it has no energies'}")
    if POWER in chosen.energies and seconds is None:
        raise ValueError(
            f"device '{chosen.name}' takes {chosen.energies[POWER].text} all the time; say how "
            "long an inference takes: seconds=..."
        )
    options = {"seconds": seconds or 0.0, "passes": passes, "weight_updates": weight_updates}
    options |= {"hops": min(hops)}
    for option, value in options.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"chip_energy: {option} is {value}; give a finite number >= 0")
    if weight_updates and LEARNING not in chosen.energies:
        raise ValueError(
            f"device '{chosen.name}' has no energy of weight updates; leave weight_updates out, or "
            f"give it one: with_energies({{'{LEARNING}': Constant(...)}})"
        )
    parts = [
        _part(NETWORK, what, count, chosen.energies[what])
        for what, count in ((POWER, seconds or 0.0), (LEARNING, weight_updates))
        if what in chosen.energies and (what == POWER or count)
    ]
    for name, layer in done.layers.items():
        for what, count in _counts(layer, chosen, done.steps, passes, hops).items():
            if what in chosen.energies and count.high:
                parts.append(_part(name, what, count, chosen.energies[what]))
    return ChipEnergy(chosen, tuple(parts), notes)


def _counts(
    layer: LayerWork, device: Device, steps: int, passes: int, hops: tuple[float, float]
) -> Mapping[str, Estimate]:
    """How often each thing happens in a layer for an inference."""
    updates = layer.updates if device.spiking else layer.updates / steps * passes
    return {
        EVENTS: Estimate.exact(layer.events),
        CONNECTIONS: Estimate.exact(layer.connections * passes),
        UPDATES: Estimate.exact(updates),
        # A neuron that spikes is active; whether another is, is not known. All of them: the guess.
        ACTIVE: Estimate(updates, min(layer.spikes, updates) if layer.neurons else 0.0, updates),
        SPIKES: Estimate.exact(layer.spikes),
        HOPS_X: Estimate.exact(layer.spikes * hops[0]),
        HOPS_Y: Estimate.exact(layer.spikes * hops[1]),
    }


def _part(layer: str, what: str, count: float | Estimate, constant: Constant) -> EnergyPart:
    count = count if isinstance(count, Estimate) else Estimate.exact(count)
    return EnergyPart(layer, what, count, constant, constant.estimate * count)


def _count_text(count: Estimate) -> str:
    assert count.value is not None
    text = f"{count.value:,.6g}"
    return text if count.low == count.high else f"{count.low:,.6g} to {count.high:,.6g}"
