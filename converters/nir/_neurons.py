"""What neurons become in NIR: time constants from decays, resistances from gains.

Readers of NIR step its differential equations with explicit Euler, v += dt/tau (v_leak - v + r x),
or exactly, with decay = exp(-dt/tau). The numbers are chosen so that the one or the other gives
back the decay and the gain of our neuron.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from neurojax import neurons
from neurojax._layer import Shape
from neurojax.converters.nir._graph import Node
from neurojax.neurons._neuron import AbstractNeuron
from neurojax.neurons._spiking import AbstractSpiking

TINY = np.finfo(np.float32).tiny


class Refused(Exception):
    """NIR has no way to say this; the sentence names the remedy."""


class Pieces(NamedTuple):
    """The nodes that a layer becomes. Names are what is put behind the layer's own."""

    nodes: dict[str, Node]
    edges: tuple[tuple[str, str], ...] = ()
    entry: str = ""
    exit: str = ""
    lost: tuple[str, ...] = ()

    def under(self, prefix: str) -> Pieces:
        """The same with longer names."""
        return Pieces(
            {prefix + name: node for name, node in self.nodes.items()},
            tuple((prefix + a, prefix + b) for a, b in self.edges),
            prefix + self.entry,
            prefix + self.exit,
            self.lost,
        )


class Steps(NamedTuple):
    """How time constants are written."""

    dt: float  # duration of a step, in the unit of the file
    method: str  # how readers make steps of them: "euler" or "exact"

    def tau(self, what: str, decay: np.ndarray) -> np.ndarray:
        """The time constant of a decay a step."""
        low = 0.0 if self.method == "euler" else TINY
        wrong = decay[(decay < low) | (decay >= 1)]
        if wrong.size:
            why = (
                "a time constant shorter than a time step, with which readers refuse to step"
                if wrong.flat[0] < low
                else "an infinite time constant for some of the neurons"
            )
            raise Refused(f"{what} is {wrong.flat[0]:g}: {why}; use {what} in [0, 1)")
        return self.dt / (1 - decay) if self.method == "euler" else -self.dt / np.log(decay)


def neuron_pieces(neuron: AbstractNeuron, shape: Shape, steps: Steps) -> Pieces:
    """The nodes of IAF, LIF, LI and their relatives with a synaptic current.

    Raises:
        Refused: See there.
    """
    lost = tuple(_losses(neuron))
    prepared: Any = neuron.prepare(None)
    current, order = _synapse(prepared, shape, steps)
    fields = _membrane(prepared, shape, steps)
    leaky = "tau" in fields
    rest = getattr(neuron, "v_rest", 0.0)
    if not leaky and np.any(np.asarray(rest)):
        lost += (f"v_rest={_text(rest)}: without leak it is a first potential",)
    if not isinstance(prepared, AbstractSpiking):
        kind = "LI" if leaky else "I"
        return _joined(kind, fields, current, lost + order)
    threshold = _full(_exceeded(prepared), shape)
    if prepared.reset == "none":
        membrane = _joined("LI" if leaky else "I", fields, current, ()).under(".membrane")
        nodes = membrane.nodes | {"": Node("Threshold", {"threshold": threshold})}
        edges = (*membrane.edges, (membrane.exit, ""))
        return Pieces(nodes, edges, membrane.entry, "", lost + order)
    value = prepared.reset_value if prepared.reset == "value" else 0.0
    fields |= {"v_threshold": threshold, "v_reset": _full(value, shape)}
    return _joined("LIF" if leaky else "IF", fields, current, lost + order)


def _membrane(neuron: Any, shape: Shape, steps: Steps) -> dict[str, np.ndarray]:
    """tau, r and v_leak, or r alone where there is no leak."""
    # As in a run, where numbers are rounded to float32 first.
    gain = _full(neuron.gain, shape).astype(np.float64)
    decay = _full(getattr(neuron, "decay", 1.0), shape).astype(np.float64)
    if np.all(decay == 1):
        return {"r": _short(gain / steps.dt)}
    tau = steps.tau("decay", decay)
    return {
        "tau": _short(tau),
        "r": _short(gain / (1 - decay)),
        "v_leak": _full(neuron.v_rest, shape),
    }


def _synapse(
    neuron: Any, shape: Shape, steps: Steps
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """tau_syn and w_in of a synaptic current; nothing without one."""
    if not hasattr(neuron, "decay_syn"):
        return {}, ()
    decay = _full(neuron.decay_syn, shape).astype(np.float64)
    tau = steps.tau("decay_syn", decay)
    order = neuron.order
    lost = () if order == "new" else (f"order='{order}': readers drive v with the new current",)
    return {"tau_syn": _short(tau), "w_in": _short(1 / (1 - decay))}, lost


def _joined(
    kind: str, fields: dict[str, np.ndarray], current: dict[str, np.ndarray], lost: tuple[str, ...]
) -> Pieces:
    """A membrane with its synaptic current: in one node where NIR has it, else in two."""
    if not current:
        return Pieces({"": Node(kind, fields)}, lost=lost)
    if kind in ("LIF", "LI"):
        fields = {"tau_mem" if name == "tau" else name: v for name, v in fields.items()}
        return Pieces({"": Node(f"Cuba{kind}", fields | current)}, lost=lost)
    synapse = {
        "tau": current["tau_syn"],
        "r": current["w_in"],
        "v_leak": np.zeros_like(current["w_in"]),
    }
    nodes = {".synapse": Node("LI", synapse), "": Node(kind, fields)}
    return Pieces(nodes, ((".synapse", ""),), ".synapse", "", lost)


def threshold_pieces(layer: neurons.Threshold, shape: Shape) -> Pieces:
    """The node of a threshold without membrane."""
    return Pieces({"": Node("Threshold", {"threshold": _full(_exceeded(layer), shape)})})


def _exceeded(neuron: Any) -> np.ndarray:
    """The threshold that has to be exceeded.

    NIR spikes at v > threshold. Where we spike at v >= threshold, the next smaller float32 is
    written: exceeding the one is reaching the other.
    """
    threshold = np.asarray(neuron.threshold, np.float32)
    if neuron.strict:
        return threshold
    below = np.nextafter(threshold, np.float32(-np.inf))
    # Subnormal numbers count as zero on most machines.
    nearest = np.where(threshold > 0, np.float32(0), -TINY)
    return np.where(np.abs(below) < TINY, nearest, below).astype(np.float32)


def _losses(neuron: AbstractNeuron) -> Iterator[str]:
    """What NIR can't say about a neuron, one phrase each."""
    if neuron.v_min is not None:
        yield f"v_min={_text(neuron.v_min)}: NIR has no lower bound"
    if neuron.v_init is not None:
        yield f"v_init={_text(neuron.v_init)}: NIR has no first potential"
    if not isinstance(neuron, AbstractSpiking):
        return
    if neuron.reset == "subtract":
        yield "reset='subtract': NIR resets to a value; readers will reset to 0"
    late = neuron.reset_delay not in (False, "before")
    if late and neuron.reset != "none":
        yield f"reset_delay={neuron.reset_delay!r}: NIR resets at once"
    if neuron.max_spikes != 1:
        yield f"max_spikes={neuron.max_spikes}: NIR has one spike a step"
    if neuron.refractory is not None:
        yield f"refractory={_text(neuron.refractory)}: NIR has no refractory period"
    if neuron.amplitude is not None:
        yield f"amplitude={_text(neuron.amplitude)}: NIR's spikes are 1; put a Scale behind"
    if neuron.winner_take_all:
        yield "winner_take_all=True: NIR's neurons don't compete"


def _full(value: Any, shape: Shape) -> np.ndarray:
    return np.array(np.broadcast_to(np.asarray(value, np.float32), shape))


def _short(value: np.ndarray) -> np.ndarray:
    short = value.astype(np.float32)
    if not np.all(np.isfinite(short)):
        raise Refused("its time constants or gains are too large for float32; check dt")
    return short


def _text(value: Any) -> str:
    return "an array" if np.ndim(value) else f"{float(value):g}"
