"""The layers of a network in the file: populations, projections, and what lies between them.

What the file holds of a layer are its fields, under their names; times have an "_s" for seconds. A
constant is a number, a parameter `{"array": nested lists}`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neurojax._layer import Constant, Layer
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.bss2 import AELIF, IAF, LI, LIF, EventPropLIF, EventPropLinear, SparseLinear
from neurojax.chips.bss2.synapse import BITS, Synapse
from neurojax.layers import BatchDropout, Dropout, Flatten, Identity, Linear, Recurrent, Reshape
from neurojax.surrogate import Surrogate, by_name

NEURONS: dict[str, type[Layer]] = {kind.__name__: kind for kind in (LIF, LI, IAF, AELIF)}

PASSES: dict[str, tuple[type[Layer], tuple[str, ...]]] = {
    "Flatten": (Flatten, ()),
    "Identity": (Identity, ()),
    "Reshape": (Reshape, ("shape",)),
    "Dropout": (Dropout, ("rate", "per_step", "inference")),
    "BatchDropout": (BatchDropout, ("rate", "rescale", "inference")),
}
"""Layers that take nothing on the chip, and their options."""

WITHOUT_EVENTPROP = "chips.bss2.without_eventprop makes the same network of plain layers"

_SECONDS = ("tau_mem", "tau_syn", "c_mem", "refractory_time", "tau_adap")


def file_name(field: str) -> str:
    """What a field of a neuron is called in the file."""
    return f"{field}_s" if field in _SECONDS else field


def model_fields(kind: type[Layer]) -> Iterator[dataclasses.Field[Any]]:
    """The fields of a neuron, but for the time step, which the file has once."""
    return (f for f in dataclasses.fields(kind) if f.name != "dt")  # type: ignore[arg-type]


def is_option(field: dataclasses.Field[Any]) -> bool:
    """Whether a field selects what is computed, so that it is no number."""
    return bool(field.metadata.get("static", False))


# Writing -----------------------------------------------------------------------------------------


def write_model(neuron: Layer) -> dict[str, Any]:
    """The fields of a neuron."""
    return {file_name(f.name): _plain(getattr(neuron, f.name)) for f in model_fields(type(neuron))}


def write_synapse(synapse: Synapse) -> dict[str, Any]:
    """The weights of a projection: real ones, those of the chip, and where there are any."""
    inner: Any = synapse.synapse
    connected = getattr(inner, "connected", None)
    return {
        "weight_float": _plain(inner.weight)["array"],
        "weight_scale": _plain(synapse.scale),
        "weight_bits": synapse.bits,
        "weight_int": synapse.integers().tolist(),
        "connected": None if connected is None else np.asarray(connected).tolist(),
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Surrogate):
        return repr(value)
    if isinstance(value, Constant):
        return float(value)
    if eqx.is_array(value):
        return {"array": np.asarray(value, np.float32).tolist()}
    return value


def unknown_layers(network: Network) -> Iterator[Problem]:
    """Layers that the file can't hold."""
    for name in network.names:
        layer = network[name]
        if isinstance(layer, Recurrent):
            yield from _unknown(f"{name}.neuron", layer.neuron, neuron=True)
            yield from _unknown(f"{name}.synapse", layer.synapse, neuron=False)
        elif type(layer).__name__ not in PASSES:
            yield from _unknown(name, layer, neuron=None)


def _unknown(name: str, layer: Layer, *, neuron: bool | None) -> Iterator[Problem]:
    if neuron is not False and type(layer).__name__ in NEURONS and type(layer) in NEURONS.values():
        return
    if neuron is not True and isinstance(layer, Synapse):
        yield from _no_synapse_of_the_chip(name, layer)
        return
    yield Problem(
        name,
        f"is a {type(layer).__name__}",
        f"a configuration holds bss2's Synapse, {', '.join(NEURONS)}, and Recurrent, "
        + ", ".join(PASSES),
        WITHOUT_EVENTPROP
        if isinstance(layer, EventPropLIF)
        else "map the network with chips.bss2.map, or leave the layer out",
    )


def _no_synapse_of_the_chip(name: str, layer: Synapse) -> Iterator[Problem]:
    if type(layer.synapse) not in (Linear, SparseLinear):
        found = f"its weights are those of a {type(layer.synapse).__name__}"
        remedy = WITHOUT_EVENTPROP if isinstance(layer.synapse, EventPropLinear) else "use these"
        yield Problem(name, found, "a configuration holds Linear and SparseLinear", remedy)
    if layer.bits is None:
        yield Problem(
            name,
            "its weights are real numbers (bits=None)",
            f"the chip has whole numbers of up to {BITS} bits",
            "map the network with bits, or set them",
        )
    virtual = [n for n in ("strength", "transport") if getattr(layer, n) is not None]
    drift = layer.drift
    if eqx.is_array(drift) or drift:
        virtual.append("drift")
    if virtual:
        yield Problem(
            name,
            f"has {' and '.join(virtual)} of a virtual chip",
            "a configuration is what a chip is told, not how it was made",
            "configure the mapped network that the virtual chip was made of",
        )


# Reading -----------------------------------------------------------------------------------------


def read_model(kind: str, model: Mapping[str, Any], dt: float) -> Layer:
    """The neuron that `write_model` wrote."""
    fields = {f.name: _read(model[file_name(f.name)]) for f in model_fields(NEURONS[kind])}
    if "surrogate" in fields:
        fields["surrogate"] = by_name(fields["surrogate"])
    return NEURONS[kind](**fields, dt=dt)


def read_synapse(fields: Mapping[str, Any]) -> Synapse:
    """The synapses that `write_synapse` wrote."""
    weight = jnp.asarray(fields["weight_float"], jnp.float32)
    inner: Layer
    if fields["connected"] is None:
        inner = Linear.from_weights(weight)
    else:
        inner = SparseLinear.from_weights(weight, np.array(fields["connected"], bool))
    return Synapse(inner, scale=_read(fields["weight_scale"]), bits=fields["weight_bits"])


def _read(value: Any) -> Any:
    return jnp.asarray(value["array"], jnp.float32) if isinstance(value, dict) else value


def write_network(network: Network) -> dict[str, Any]:
    """The graph, and the layers that are neither populations nor projections."""
    return {
        "inputs": {name: list(shape) for name, shape in network.inputs.items()},
        "outputs": list(network.outputs),
        "edges": [list(edge) for edge in network.edges],
        "layers": [_entry(name, network[name]) for name in network.names],
    }


def _entry(name: str, layer: Layer) -> dict[str, Any]:
    kind = type(layer).__name__
    if kind in PASSES:
        options = {option: getattr(layer, option) for option in PASSES[kind][1]}
        if "inference" in options:
            options["inference"] = bool(options["inference"])
        if "shape" in options:
            options["shape"] = list(options["shape"])
        return {"name": name, "kind": kind} | options
    kinds = {"Synapse": "projection", "Recurrent": "recurrent"}
    return {"name": name, "kind": kinds.get(kind, "population")}


def read_network(data: Mapping[str, Any]) -> Network:
    """The network of a file, which has been checked.

    Raises:
        ValueError: Layers that don't fit one another.
    """
    dt = data["dt_s"]
    neurons = {
        p["name"]: read_model(p["kind"], p["model"], dt)
        for p in data["populations"]
        if p["kind"] != "input"
    }
    synapses = {p["name"]: read_synapse(p) for p in data["projections"]}
    layers: dict[str, Layer] = {}
    for entry in data["network"]["layers"]:
        name, kind = entry["name"], entry["kind"]
        if kind == "projection":
            layers[name] = synapses[name]
        elif kind == "population":
            layers[name] = neurons[name]
        elif kind == "recurrent":
            layers[name] = Recurrent(neurons[name], synapses[f"{name}.synapse"])
        else:
            made, options = PASSES[kind]
            given = {option: entry[option] for option in options}
            first = [given.pop(option) for option in options[:1]]
            layers[name] = made(*first, **given)
    graph = data["network"]
    return Network(
        layers,
        [tuple(edge) for edge in graph["edges"]],
        inputs={name: tuple(shape) for name, shape in graph["inputs"].items()},
        outputs=graph["outputs"],
    )
