"""The report of a mapping: what became of each layer, in numbers and words."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax._table import shape_text
from neurojax.chips._mapped import MappedNetwork, Report
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.resources import cores
from neurojax.chips.loihi.spec import STATE_BITS, STATE_SHIFT
from neurojax.chips.loihi.synapse import Synapse
from neurojax.chips.loihi.weights import smallest_bits
from neurojax.layers import Recurrent


class SynapseOrigin(NamedTuple):
    """How a group of synapses came about. Errors are those of the mapping, in units."""

    name: str  # in the mapped network; a population's own feedback is "name.synapse"
    kind: str
    made_of: tuple[str, ...]  # layers of the network before
    rms_error: float  # relative to the root mean square of the weights
    largest_error: float
    vanished: int  # weights that were not 0 and are
    clipped: int  # weights beyond the largest mantissa
    size: int


class Origin(NamedTuple):
    """How a population and its synapses came about."""

    name: str
    scale: float  # weight steps per unit; states have 64 times as many
    error: float  # what the choice of the scale was judged by
    synapses: tuple[SynapseOrigin, ...]
    threshold_error: float  # relative
    current_error: float  # of the time constant, relative
    voltage_error: float
    bias_error: float  # relative to the largest bias
    worst: float  # state steps that arrive in one step if all sources spike
    memory: float  # what an input in all steps adds up to in the current, relative to one step
    fires_later: bool = False  # at v > threshold, where v >= threshold was wanted
    notes: tuple[str, ...] = ()
    network_notes: tuple[str, ...] = ()


SYNAPSES = {
    "synapses": ("layer", ""),
    "made of": ("made_of", ""),
    "to": ("population", ""),
    "scale": ("scale", ".6g"),
    "exponent": ("exponent", ""),
    "sign": ("sign", ""),
    "bits": ("bits_used", ""),
    "mantissas": ("mantissas", ""),
    "error": ("rms_error", ".2%"),
    "largest error": ("largest_error", ".2g"),
    "vanished": ("vanished", ","),
    "clipped": ("clipped", ","),
}
NEURONS = {
    "neurons": ("neuron", ""),
    "du": ("du", ""),
    "tau error": ("current_error", ".2%"),
    "dv": ("dv", ""),
    "tau error ": ("voltage_error", ".2%"),
    "vth": ("vth", ""),
    "error": ("threshold_error", ".2%"),
    "bias": ("bias", ""),
    "headroom": ("headroom", ".1f"),
}
CORES = {
    "neurons": ("neuron", ""),
    "shape": ("shape", ""),
    "cores": ("cores", ","),
    "neurons a core": ("neurons_per_core", ","),
    "axons in": ("in_axons", ","),
    "axons out": ("out_axons", ","),
    "synapses KiB": ("synapse_kib", ".1f"),
    "limited by": ("bottleneck", ""),
}


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network on Loihi, from its parameters as they are now."""
    network, chip = mapped.network, mapped.chip
    use = cores(mapped)
    rows: list[dict[str, Any]] = []
    notes: list[str] = []
    for origin in mapped.origins:
        layer = network[origin.name]
        neuron = layer.neuron if isinstance(layer, Recurrent) else layer
        used = use[origin.name]
        place = {
            "shape": shape_text(network.out_shape(origin.name)),
            **{f: getattr(used, f) for f in _USE},
            "synapse_kib": used.synapse_bits / 8192,
        }
        if not origin.synapses:  # the host feeds it
            rows.append(dict.fromkeys(_SYNAPSE_COLUMNS) | _neuron_row(origin, neuron) | place)
        for i, part in enumerate(origin.synapses):
            synapse = _synapse(network, part.name)
            assert isinstance(synapse, Synapse)
            row = _synapse_row(origin, part, synapse)
            row |= _neuron_row(origin, neuron) if i == 0 else dict.fromkeys(_NEURON_COLUMNS)
            row |= place if i == 0 else dict.fromkeys(place)
            rows.append(row)
            notes += _synapse_notes(part, row)
        notes += origin.notes
        notes += _neuron_notes(origin, chip)
    later = [origin.name for origin in mapped.origins if origin.fires_later]
    if later:
        notes.append(
            "fires at v > threshold, where the network does at v >= threshold, which differs in "
            "ties: " + ", ".join(f"'{name}'" for name in later)
        )
    total = sum(used.cores for used in use.values())
    notes += [note for origin in mapped.origins for note in origin.network_notes]
    if total > chip.cores:
        notes.append(f"about {total} cores, more than the {chip.cores} of one {chip.name}")
    if chip.unconfirmed:
        listed = ", ".join(name.replace("_", " ") for name in chip.unconfirmed)
        notes.append(f"{chip.name}: secondary sources only for {listed}")
    notes.append(
        "a real value is an integer divided by the scale (weights times 2^exponent, thresholds), "
        "a membrane one divided by 64 times the scale; headroom: bits that the current has left if "
        "all sources always spike"
    )
    title = f"about {total:,} of {chip.cores} cores of {chip.name}"
    return Report(title, tuple(rows), (SYNAPSES, NEURONS, CORES), tuple(notes))


def _synapse(network: Network, name: str) -> Layer:
    """Synapses by name, or what another layer has: "z.real", "hidden.synapse"."""
    owner, _, field = name.rpartition(".")
    return network[name] if name in network else getattr(network[owner], field)


_USE = ("cores", "neurons_per_core", "in_axons", "out_axons", "bottleneck")
_SYNAPSE_COLUMNS = tuple(column for column, _ in SYNAPSES.values())
_NEURON_COLUMNS = tuple(column for column, _ in NEURONS.values())


def _synapse_row(origin: Origin, part: SynapseOrigin, synapse: Synapse) -> dict[str, Any]:
    held = synapse.integers()
    raw = np.asarray(synapse.synapse.weight)  # type: ignore[attr-defined]
    return {
        "layer": part.name,
        "population": origin.name,
        "made_of": " + ".join(part.made_of),
        "kind": part.kind,
        "scale": origin.scale,
        "exponent": synapse.exponent,
        "sign": synapse.sign,
        "bits": synapse.bits,
        "bits_used": smallest_bits(held, sign=synapse.sign),
        "mantissas": f"{held.min()}..{held.max()}",
        "mantissa_min": int(held.min()),
        "mantissa_max": int(held.max()),
        "zeros": float(np.mean(held == 0)),
        "beyond": int(np.sum(np.abs(raw - held) > 2)),  # after training
        "rms_error": part.rms_error,
        "largest_error": part.largest_error,
        "vanished": part.vanished,
        "clipped": part.clipped,
        "count": part.size,
        "error": origin.error,
    }


def _neuron_row(origin: Origin, neuron: Any) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(_NEURON_COLUMNS)
    row["neuron"] = origin.name
    row["headroom"] = headroom(origin)
    if not isinstance(neuron, LIF):
        return row | {"vth": neuron.describe()}
    held = neuron.integers()
    bias = np.asarray(neuron.prepare(None).bias())
    return row | {
        "du": _span(held["du"]),
        "dv": _span(held["dv"]),
        "vth": _span(held["vth"]) if "vth" in held else "no spikes",
        "bias": _span(bias.astype(int)) if np.any(bias) else "",
        "current_error": origin.current_error,
        "voltage_error": origin.voltage_error,
        "threshold_error": origin.threshold_error,
    }


def headroom(origin: Origin) -> float | None:
    """log2 of how many times the current of the worst input fits its register; None: no input."""
    worst = origin.worst * origin.memory
    return math.log2((1 << (STATE_BITS - 1)) / worst) if worst else None


def _span(values: Any) -> int | str:
    low, high = int(np.min(values)), int(np.max(values))
    return low if low == high else f"{low}..{high}"


def _synapse_notes(part: SynapseOrigin, row: dict[str, Any]) -> list[str]:
    notes = []
    if row["zeros"] == 1:
        notes.append(f"ALL WEIGHTS OF '{part.name}' ARE 0: nothing passes this layer")
    elif part.vanished:
        notes.append(
            f"'{part.name}': {part.vanished:,} of {part.size:,} weights are too small for the "
            "scale and became 0"
        )
    if part.clipped:
        notes.append(
            f"CLIPPED: {part.clipped:,} of {part.size:,} weights of '{part.name}' are beyond the "
            f"largest mantissa; the largest error is {part.largest_error:.3g}"
        )
    if row["beyond"]:
        notes.append(
            f"'{part.name}': {row['beyond']:,} of {part.size:,} weights have left the range since "
            "the mapping and are held at its ends"
        )
    return notes


def _neuron_notes(origin: Origin, chip: Any) -> list[str]:
    notes = []
    for what, error in (("current", origin.current_error), ("membrane", origin.voltage_error)):
        if error > 0.1:
            change = "is another altogether" if math.isinf(error) else f"changed by {error:.0%}"
            notes.append(
                f"'{origin.name}': the time constant of the {what} {change} in rounding to steps "
                "of 1 / 4096"
            )
    room = headroom(origin)
    if room is not None and room < 0:
        notes.append(
            f"'{origin.name}': if all sources always spike, the current leaves 24 bits and wraps; "
            "loihi.overflow counts how often a run does"
        )
    if chip.accumulator_bits is not None and origin.worst > 1 << (chip.accumulator_bits - 1):
        bits = math.ceil(math.log2(origin.worst)) + 1
        notes.append(
            f"'{origin.name}': if all sources spike at once, the sum takes {bits} bits with sign; "
            f"{chip.name} adds up {chip.accumulator_bits} (in units of 1 / {1 << STATE_SHIFT})"
        )
    return notes
