"""One network, all chips: accuracy, operations, energy, time and size side by side."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from neurojax._files import written_whole
from neurojax._graph import nearest
from neurojax._network import Network
from neurojax._table import text_table
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu
from neurojax.chips._mapped import MappedNetwork
from neurojax.metrics._activity import Activity
from neurojax.metrics._counter import count_spikes
from neurojax.metrics._size import FLOAT_BITS, Size, size
from neurojax.metrics.devices import (
    ChipEnergy,
    Constant,
    Device,
    Estimate,
    Work,
    device as find,
    energy_of,
    work,
)
from neurojax.metrics.devices._device import POWER
from neurojax.metrics.latency import UNKNOWN, Latency, latency_of
from neurojax.metrics.lemaire import EnergyTable, energy as circuit_energy

CIRCUIT = (
    "energy of arithmetic and memory in 32 bits, by the analytical model of Lemaire et al. 2022 "
    "for digital circuits in 45 nm (estimated)"
)

Networks = Mapping[str, Network | MappedNetwork]
Accuracy = Mapping[str, float] | Callable[[Network], float]


class CostRow(NamedTuple):
    """What one network costs. Counts are means of an inference."""

    name: str
    device: Device | None  # whose constants energy and time are of
    accuracy: float | None
    spikes: float  # of all layers that spike
    events: float  # synaptic
    connections: float  # if all of them were computed in every step: the dense operations
    updates: float  # of membranes
    neurons: int
    energy: (
        ChipEnergy | EnergyTable | None
    )  # a table: of a circuit in 45 nm, where there is no chip
    latency: Latency | None
    size: Size
    note: str  # why there is no energy
    borrowed: bool = False  # the device is not the chip that the network is mapped onto

    @property
    def title(self) -> str:
        """The name, and what energy and time are of, if not of its own chip."""
        if isinstance(self.energy, EnergyTable):
            return f"{self.name} (a circuit in 45 nm)"
        if self.device is None or not self.borrowed:
            return self.name
        return f"{self.name} (constants of {self.device.title})"

    @property
    def operations(self) -> float:
        """Synaptic operations that the device computes: for each spike that arrives, or all of them
        in every step."""
        return self.events if self.device is None or self.device.spiking else self.connections

    @property
    def joules(self) -> Estimate:
        """Energy of an inference."""
        if isinstance(self.energy, EnergyTable):
            return Estimate(self.energy.total.total * 1e-12)
        return self.energy.total if self.energy is not None else UNKNOWN

    @property
    def seconds(self) -> Estimate:
        """Duration of an inference."""
        return self.latency.duration if self.latency is not None else UNKNOWN


@dataclass(frozen=True)
class Comparison:
    """Networks and what they cost. Printing shows a table and where its numbers come from."""

    rows: tuple[CostRow, ...]

    def __getitem__(self, name: str) -> CostRow:
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"'{name}' was not compared; {nearest(name, [r.name for r in self.rows])}")

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Header and cells, as text."""
        header = ["network", "accuracy", "spikes", "operations", "neuron updates"]
        header += ["energy", "time", "weights", "neurons", "cores"]
        cells = [
            [
                row.title,
                "" if row.accuracy is None else f"{row.accuracy:.1%}",
                _count(row.spikes),
                _count(row.operations),
                _count(row.updates),
                row.joules.text("J"),
                "" if row.device is None else row.seconds.text("s"),
                f"{row.size.bytes:,} B",
                f"{row.neurons:,}",
                "" if row.size.cores is None else str(row.size.cores),
            ]
            for row in self.rows
        ]
        return header, cells

    def notes(self) -> list[str]:
        """For each network the constants with their sources, and what is not known."""
        found = []
        for row in self.rows:
            if row.note:
                found.append(f"{row.name}: {row.note}")
            if row.operations != row.events:
                found.append(
                    f"{row.name}: computes all connections in every step; at {_count(row.events)} "
                    "of these operations a spike arrives"
                )
            if isinstance(row.energy, EnergyTable):
                found.append(f"{row.name}: {CIRCUIT}")
            elif row.energy is not None:
                found.append(
                    f"{row.name}: energy with the constants of {row.energy.device.title}: "
                    + "; ".join(_by_source(row.energy))
                )
                found += [f"{row.name}: {note}" for note in row.energy.notes]
            if row.latency is not None:
                found += [f"{row.name}: time: {note}" for note in row.latency.notes]
        return found

    def __str__(self) -> str:
        header, cells = self.table()
        right = [title for title in header[1:] if title not in ("energy", "time")]
        notes = "\n".join(f"- {note}" for note in self.notes())
        return f"{text_table(header, cells, right=right)}\n\n{notes}".rstrip()

    __repr__ = __str__

    def to_csv(self, path: str | Path) -> None:
        """Writes all numbers, in joules, seconds and bytes; whole or not at all. What is not known
        is empty."""
        columns: dict[str, Callable[[CostRow], Any]] = {
            "network": lambda row: row.name,
            "device": lambda row: row.device.name if row.device is not None else None,
            "accuracy": lambda row: row.accuracy,
            "spikes": lambda row: row.spikes,
            "operations": lambda row: row.operations,
            "synaptic_events": lambda row: row.events,
            "dense_operations": lambda row: row.connections,
            "neuron_updates": lambda row: row.updates,
            "energy_J": lambda row: row.joules.value,
            "energy_low_J": lambda row: row.joules.low,
            "energy_high_J": lambda row: row.joules.high,
            "time_s": lambda row: row.seconds.value,
            "time_low_s": lambda row: row.seconds.low,
            "time_high_s": lambda row: row.seconds.high,
            "weight_bytes": lambda row: row.size.bytes,
            "weights": lambda row: row.size.parameters,
            "weight_bits": lambda row: row.size.bits,
            "neurons": lambda row: row.neurons,
            "cores": lambda row: row.size.cores,
            "note": lambda row: row.note,
        }
        with written_whole(path) as part, part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for row in self.rows:
                cells = [column(row) for column in columns.values()]
                writer.writerow(["" if cell is None else cell for cell in cells])


def compare(
    networks: Networks,
    inputs: Any = None,
    *,
    activities: Mapping[str, Activity] | None = None,
    accuracy: Accuracy | None = None,
    devices: Mapping[str, str | Device] | None = None,
    dt: float | Mapping[str, float] | None = None,
    e_synop: Mapping[str, float | Constant] | None = None,
    key: PRNGKeyArray | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> Comparison:
    """What networks cost, on all the chips that they were mapped onto.

    Args:
        networks: By a name of your choice: networks, and what the chips' `map` returned.
        inputs: `[time, batch, *shape]`, or a list of such batches, each alone or as `(inputs,
            labels)`: what every network runs on to be counted. CRI's outputs come some steps
            later; as many steps without input follow there.
        activities: What `count_spikes` counted, for networks that run on other inputs.
        accuracy: By the networks' names, or a function of a `Network`.
        devices: By the networks' names, whose constants of energy and time to use. Default: those
            of the chip that a network is mapped onto. For a network that is not mapped the energy
            is that of a digital circuit in 45 nm (`metrics.energy`).
        dt: Seconds of a time step of the inputs, for chips that work in real time, for all or by
            the networks' names.
        e_synop: Joules of a synaptic event by the networks' names, where the device has none
            (Speck), or instead of its own.
        key: For layers that draw random numbers.
        batch_size: Samples at a time while counting.
        progress: As in `count_spikes`.

    Returns:
        The comparison: `print` it, write it with `to_csv`, draw it with `nj.plot.costs`.

    Raises:
        ValueError: No networks, no inputs for one of them, or an unknown name.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.ones((3, 4))),
        ...                     out=nj.IAF(reset="zero"))
        >>> on_chips = {"float": net, "Speck": nj.chips.dynapcnn.map(net, device="speck2fmodule"),
        ...             "Loihi": nj.chips.loihi.map(net, device="loihi1")}
        >>> found = metrics.compare(on_chips, jnp.ones((10, 2, 4)), dt=1e-3)
        >>> [found[name].joules.text("J") for name in ("Speck", "Loihi")]
        ['at least 4.2 µJ', '5.63 nJ (5.38 to 19.6)']
    """
    if not networks:
        raise ValueError("compare: there are no networks; give at least one, by name")
    by_name: dict[str, Mapping[str, Any]] = {
        "activities": activities or {},
        "devices": devices or {},
        "e_synop": e_synop or {},
        "accuracy": accuracy if isinstance(accuracy, Mapping) else {},
        "dt": dt if isinstance(dt, Mapping) else {},
    }
    for option, given in by_name.items():
        for name in given:
            if name not in networks:
                raise ValueError(f"compare: {option} of '{name}'; {nearest(name, networks)}")
    rows = []
    for name, network in networks.items():
        activity = by_name["activities"].get(name)
        if activity is None:
            if inputs is None:
                raise ValueError(f"compare: '{name}' has neither inputs nor activities; give one")
            activity = count_spikes(
                network, _padded(network, inputs), key=key, batch_size=batch_size, progress=progress
            )
        own = _default_device(network)
        chosen = by_name["devices"].get(name, own)
        device = None if chosen is None else find(chosen)
        rows.append(
            _row(
                name,
                network,
                activity,
                accuracy=_accuracy(accuracy, name, network),
                device=device,
                dt=by_name["dt"].get(name) if isinstance(dt, Mapping) else dt,
                e_synop=by_name["e_synop"].get(name),
            )._replace(borrowed=device is not None and device.name != own)
        )
    return Comparison(tuple(rows))


def _row(
    name: str,
    network: Network | MappedNetwork,
    activity: Activity,
    *,
    accuracy: float | None,
    device: Device | None,
    dt: float | None,
    e_synop: float | Constant | None,
) -> CostRow:
    done = work(network, activity)
    energy: ChipEnergy | EnergyTable | None = None
    took, note = None, ""
    if device is not None:
        took = latency_of(network, done, device, dt=dt)
        energy, note = _energy(done, device, took, e_synop)
    elif not isinstance(network, MappedNetwork):
        energy, note = _of_a_circuit(network, activity)
    return CostRow(
        name=name,
        device=device,
        accuracy=accuracy,
        spikes=activity.spikes() / activity.samples,
        events=done.events,
        connections=done.connections * done.steps,
        updates=done.updates,
        neurons=done.neurons,
        energy=energy,
        latency=took,
        size=size(network),
        note=note,
    )


def _energy(
    done: Work, device: Device, took: Latency, e_synop: float | Constant | None
) -> tuple[ChipEnergy | None, str]:
    """The energy, or why there is none."""
    if not device.energies and e_synop is None:
        return None, device.refusal
    if POWER in device.energies and took.duration.value is None:
        return None, f"no energy without a duration: {'; '.join(took.notes)}"
    # A processor that runs the spiking network itself computes it in every step.
    passes = 1 if device.spiking else done.steps
    return energy_of(done, device, e_synop=e_synop, seconds=took.duration.value, passes=passes), ""


def _of_a_circuit(network: Network, activity: Activity) -> tuple[EnergyTable | None, str]:
    """The energy of arithmetic and memory, or why there is none."""
    try:
        # The price of an access of this model does not depend on how long queues are.
        table = circuit_energy(
            network, activity, mem_width=FLOAT_BITS, fifo_size=1, sram_estimation_type="new"
        )
    except ValueError as error:
        return None, "; ".join(str(error).splitlines())
    return table, ""


def _default_device(network: Network | MappedNetwork) -> str | None:
    """The device that a network is mapped onto."""
    if not isinstance(network, MappedNetwork):
        return None
    chip = network.chip
    if isinstance(chip, dynapcnn.ChipSpec):
        return "speck" if chip.name.startswith("speck") else "dynapcnn"
    if isinstance(chip, loihi.LoihiSpec):
        return "loihi" if chip.name == "loihi1" else "loihi2"
    if isinstance(chip, cri.CRISpec):
        return "cri"
    if isinstance(chip, bss2.ChipSpec):
        return "bss2"
    return "arm" if isinstance(chip, mcu.Spec) else None


def _padded(network: Network | MappedNetwork, inputs: Any) -> Any:
    """The inputs, and on CRI as many steps more as it takes until the last output."""
    if not (isinstance(network, MappedNetwork) and isinstance(network.chip, cri.CRISpec)):
        return inputs
    late = cri.latency(network)

    def longer(x: Any) -> Any:
        if isinstance(x, Mapping):
            return {name: longer(part) for name, part in x.items()}
        x = jnp.asarray(x)
        return jnp.pad(x, [(0, late), *[(0, 0)] * (x.ndim - 1)])

    if isinstance(inputs, list):
        return [longer(x[0] if isinstance(x, tuple) else x) for x in inputs]
    return longer(inputs)


def _accuracy(
    accuracy: Accuracy | None, name: str, network: Network | MappedNetwork
) -> float | None:
    if accuracy is None or isinstance(accuracy, Mapping):
        return (accuracy or {}).get(name)
    return float(accuracy(network.network if isinstance(network, MappedNetwork) else network))


def _by_source(energy: ChipEnergy) -> list[str]:
    """The constants, together where their source is the same."""
    found: dict[str, dict[str, str]] = {}
    for part in energy.parts:
        source = f"{part.constant.kind}, {part.constant.source}"
        what = "power" if part.what == POWER else part.what
        found.setdefault(source, {})[what] = f"{what} {part.constant.text}"
    return [f"{', '.join(texts.values())} ({source})" for source, texts in found.items()]


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
