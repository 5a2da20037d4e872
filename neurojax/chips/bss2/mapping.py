"""From a network of real numbers to BrainScaleS-2.

Synapses get six bits and a sign, neurons become circuits of the chip, and what has no place on it
is refused, with every reason at once. What differs from chip to chip comes later, see `draw`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from neurojax._graph import nearest
from neurojax._layer import Layer
from neurojax._network import Network, Provenance
from neurojax.chips._checks import check_finite, folded, mappable
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips.bss2 import perceptron
from neurojax.chips.bss2._integrator import AbstractCircuit
from neurojax.chips.bss2._neurons import to_circuit
from neurojax.chips.bss2._report import Origin, explain, target
from neurojax.chips.bss2.capacity import check_targets, fit
from neurojax.chips.bss2.instance import parts
from neurojax.chips.bss2.spec import ChipSpec, chip as default_chip
from neurojax.chips.bss2.synapse import BITS, Synapse
from neurojax.layers import BatchDropout, Dropout, Flatten, Identity, Linear, Recurrent, Reshape
from neurojax.neurons._neuron import AbstractNeuron

PASSES = (BatchDropout, Dropout, Flatten, Identity, Reshape)
"""Layers that are about software: they take nothing on the chip."""

SWING = 60.0
"""Steps of the CADC from leak to threshold that `trace_scale="auto"` aims at. hxtorch's defaults
have 45, its examples 70."""


def map(
    network: Network,
    *,
    dt: float = 1e-6,
    weight_scale: float | str | Mapping[str, float] = "auto",
    trace_scale: float | str | Mapping[str, float] = "auto",
    bits: int | None = BITS,
    placement: str | Mapping[str, Any] = "auto",
    circuits: int | Mapping[str, int] | None = None,
    chip: ChipSpec = default_chip,
) -> MappedNetwork:
    """Map a network onto BrainScaleS-2.

    Args:
        network: `Linear` or `bss2.SparseLinear` between neurons: `bss2.LIF`, `LI`, `IAF`, `AELIF`,
            or `CubaLIF`, `CubaLI` and `CubaIAF` with `order="old"`; `Recurrent` is possible. Its
            inputs are spikes. Call it outside of `jit`.
        dt: Seconds of a time step. Of the neurons of other simulators one step becomes one step,
            whatever their unit of time is.
        weight_scale: Weight steps per unit, for all neurons or by their name. How strong a synapse
            is, is a matter of its neuron, so all synapses of a layer of neurons have one scale.
            `"auto"`: 63 divided by the largest weight, so that all weights fit and use the six
            bits. Weights that grow in training are clipped then; a smaller scale, or hxtorch's 64,
            leaves them room.
        trace_scale: Units of the membrane per step of the CADC, for all neurons or by name: how
            large mismatch, noise and saturation are in the model's units. `"auto"`: the threshold
            lies 60 steps above the leak; read-outs take that of the neurons with a threshold.
            hxtorch's examples have 1/50.
        bits: Of the weights without their signs; None leaves them real.
        placement, circuits: See `fit`.
        chip: The chip.

    Returns:
        The network on the chip, layers with their names. Weights keep their units, so learning
        rates do, too; a run rounds them, and gradients pass that.

    Raises:
        MappingError: With every reason at once, each with the layer, the value found, what the
            chip can do, and what to change.
        TypeError: It is called within `jit`, or with something else than a network.
        ValueError: An option is out of range, or names no layer.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> keys = jax.random.split(jax.random.key(0))
        >>> net = nj.Sequential((5,), fc=nj.Linear(5, 120, key=keys[0]), hidden=bss2.LIF(),
        ...                     out=nj.Linear(120, 3, key=keys[1]), readout=bss2.LI())
        >>> mapped = bss2.map(net)
        >>> int(abs(mapped.network["fc"].integers()).max())
        63
        >>> mapped.report().rows[0]["fan_in"]
        10
    """
    network = mappable("bss2.map", network)
    if not 0 < dt < math.inf:
        raise ValueError(f"bss2.map: dt is {dt!r}; it must be seconds > 0, such as 1e-6")
    problems: list[Problem] = []
    normless = folded(
        network, problems, legal="batch norm goes into weights", remedy="move or remove it"
    )
    notes: dict[str, list[str]] = {}
    layers = {
        name: _translated(name, normless[name], dt, problems, notes) for name in normless.names
    }
    problems += _weights(network, normless)
    whole = normless.replace(**layers)
    neurons = [name for name, layer in parts(whole) if isinstance(layer, AbstractCircuit)]
    scales = {
        option: _by_name(option, given, neurons, network)
        for option, given in (("weight_scale", weight_scale), ("trace_scale", trace_scale))
    }
    room = fit(whole, placement=placement, circuits=circuits, chip=chip)
    problems += room.problems
    if not problems and not neurons:
        problems.append(
            Problem("network", "no neurons", "the chip computes with neurons", "add some")
        )
    if problems:
        raise MappingError(chip.name, problems)
    origins = _origins(whole, neurons, scales, dt, notes, bits)
    targets = {o.name: target(dict(parts(whole))[o.name], o) for o in origins}
    problems += check_targets(targets)
    if problems:
        raise MappingError(chip.name, problems)
    made = _assemble(whole, origins, bits, chip)
    origins[0] = origins[0]._replace(fit=room)
    return MappedNetwork(made, chip, tuple(origins), explain)


def _translated(
    name: str, layer: Any, dt: float, problems: list[Problem], notes: dict[str, list[str]]
) -> Layer:
    """The layer with neurons of the chip; as it is, if that is not possible."""
    if isinstance(layer, Recurrent):
        inner = [
            _translated(f"{name}.{part}", getattr(layer, part), dt, problems, notes)
            for part in ("neuron", "synapse")
        ]
        return Recurrent(*inner)
    if isinstance(layer, AbstractNeuron):
        own = notes.setdefault(name, [])
        return to_circuit(name, layer, dt, problems, own) or layer
    if type(layer).__module__.startswith(perceptron.__name__):
        problems.append(
            Problem(
                name,
                f"the perceptron mode's {type(layer).__name__}",
                "networks of spiking neurons are mapped",
                "simulate it as it is, it computes like the chip; trace() writes it to a file",
            )
        )
    elif not isinstance(layer, (Linear, Synapse, *PASSES)):
        problems.append(
            Problem(
                name,
                f"a {type(layer).__name__} layer",
                "the chip has dense or sparse synapses, and neurons",
                "write convolutions as Linear layers, or see chips.bss2.perceptron"
                if "Conv" in type(layer).__name__
                else "leave it out, or write it as a Linear layer",
            )
        )
    return layer


def _weights(network: Network, normless: Network) -> Iterator[Problem]:
    """What is wrong with weights and biases, once batch norms are in them."""
    own = {name for name, layer in parts(network) if getattr(layer, "bias", None) is not None}
    for name, layer in parts(normless):
        if not isinstance(layer, Linear):
            continue
        if layer.bias is not None:
            yield Problem(
                name,
                "it has a bias" if name in own else "its batch norm gives it a bias",
                "synapses have weights only",
                "set bias=None and train on, with an input that spikes at a fixed time instead",
            )
        yield from check_finite("weight", np.asarray(layer.weight), name)


def _by_name(option: str, given: Any, neurons: list[str], network: Network) -> dict[str, Any]:
    """A scale for each layer of neurons, None where it is to be found."""
    if not isinstance(given, Mapping):
        given = dict.fromkeys(neurons, given)
    found: dict[str, Any] = dict.fromkeys(neurons)
    for name, value in given.items():
        if name not in found:
            inside = f"{name}.neuron"
            if inside not in found:
                raise ValueError(f"bss2.map: {option} of '{name}': {nearest(name, neurons)}")
            name = inside
        if value == "auto":
            continue
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < math.inf:
            raise ValueError(f"bss2.map: {option} is {value!r}; it must be a number > 0, or 'auto'")
        found[name] = float(value)
    return found


def _origins(
    network: Network,
    neurons: list[str],
    scales: dict[str, dict[str, Any]],
    dt: float,
    notes: dict[str, list[str]],
    bits: int | None,
) -> list[Origin]:
    layers: dict[str, Any] = dict(parts(network))
    top = (1 << (BITS if bits is None else bits)) - 1
    traces = _trace_scales({name: layers[name] for name in neurons}, scales["trace_scale"])
    origins = []
    for name in neurons:
        synapses = tuple(_into(network, name))
        own = list(notes.get(name, ()))
        scale, why = scales["weight_scale"][name], "given"
        given = [layers[s] for s in synapses if isinstance(layers[s], Synapse)]
        if scale is None and given:
            scale, why = float(given[0].scale), "its layer"
        if scale is None:
            largest = max(float(np.abs(np.asarray(layers[s].weight)).max()) for s in synapses)
            scale, why = (top / largest, "largest weight") if largest else (1.0, "")
            if not largest:
                own.append(f"ALL WEIGHTS TO '{name}' ARE 0: nothing reaches these neurons")
        origins.append(Origin(name, synapses, scale, traces[name], why, dt, tuple(own)))
    return origins


def _trace_scales(neurons: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    for name, neuron in neurons.items():
        scale = given[name]
        if scale is None and hasattr(neuron, "threshold"):
            rest = neuron.leak if hasattr(neuron, "leak") else neuron.reset
            swing = float(np.mean(np.asarray(neuron.threshold, float) - np.asarray(rest, float)))
            scale = swing / SWING if swing > 0 else None
        if scale is not None:
            found[name] = scale
    usual = max(found.values(), default=1 / SWING)
    return {name: found.get(name, usual) for name in neurons}


def _into(network: Network, name: str) -> Iterator[str]:
    """Layers of synapses that lead to some neurons."""
    layer = name if name in network else name.rpartition(".")[0]
    waiting = [edge.source for edge in network.incoming(layer)]
    while waiting:
        source = waiting.pop(0)
        if isinstance(network[source], Linear | Synapse):
            yield source
        else:
            waiting += [edge.source for edge in network.incoming(source)]
    if name != layer:
        yield f"{layer}.synapse"


def _assemble(network: Network, origins: list[Origin], bits: int | None, chip: ChipSpec) -> Network:
    scale: dict[str, float] = {}
    for origin in origins:
        for (
            name
        ) in origin.synapses:  # of synapses that lead to several populations, the smaller one
            scale[name] = min(origin.weight_scale, scale.get(name, math.inf))

    def made(name: str, layer: Any) -> Layer:
        if isinstance(layer, Recurrent):
            return Recurrent(layer.neuron, made(f"{name}.synapse", layer.synapse))
        if isinstance(layer, Linear):
            return Synapse(layer, scale=scale[name], bits=bits)
        return layer

    layers = {name: made(name, network[name]) for name in network.names}
    provenance = {
        name: Provenance(known.source, known.name, (*known.notes, f"mapped onto {chip.name}"))
        for name, known in network.provenance.items()
    }
    return Network(
        layers,
        network.edges,
        inputs=network.inputs,
        outputs=network.outputs,
        provenance=provenance,
    )
