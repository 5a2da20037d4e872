"""From a network to a list of calls: their order, their arrays, and where these lie."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer, Shape
from neurojax._network import Network, check_finite
from neurojax.chips.mcu import IF, LIF, Add, BatchNorm, Conv, Dense, Format, Pool, Quantise
from neurojax.hardware.c._buffers import Buffer, Step, share_buffers
from neurojax.hardware.c._identifiers import identifiers
from neurojax.hardware.c._layout import Layout
from neurojax.layers import Flatten, Identity, Permute, Reshape, Slice, Upsample

MOVING = (Flatten, Identity, Permute, Reshape, Slice)
"""Layers that take values in another order."""

ELEMENTWISE = (IF, LIF, Add, BatchNorm)
"""Layers that read each value before they write to its place, and never again."""

WITH_FUNCTION = (Dense, Conv, Pool, Upsample, *ELEMENTWISE)


COPY = "as a copy"
"""What the names of calls end in that are no layers."""


class Value(NamedTuple):
    """An array in C: the model's input, or what a call writes."""

    name: str  # of what makes it
    format: Format
    layout: Layout

    @property
    def bytes(self) -> int:
        """Memory."""
        return self.layout.size * self.format.number.bytes


class Shown(NamedTuple):
    """A layer of the network, and the array that holds its output, perhaps with others'."""

    name: str
    layer: Layer
    value: Value


class Call(NamedTuple):
    """A function, and what it is called with."""

    name: str  # of the layer
    layer: Layer | None  # None: only another order of the values
    inputs: tuple[Value, ...]
    output: Value
    taken: np.ndarray | None = None  # where the values come from, if that is all

    @property
    def neurons(self) -> int:
        """Number of membranes."""
        return self.output.layout.size if isinstance(self.layer, IF | LIF) else 0

    @property
    def starts_elsewhere(self) -> bool:
        """Whether membranes start at another value than zero."""
        layer = self.layer
        return isinstance(layer, IF | LIF) and not layer.compat and bool(layer.integers().v_reset)


class Plan(NamedTuple):
    """Everything that the text of the program follows from."""

    input: Value
    output: Value
    calls: tuple[Call, ...]
    shown: tuple[Shown, ...]  # in the order in which their outputs are there
    buffers: tuple[Buffer, ...]  # of all arrays but the model's input and output
    idents: dict[str, str]  # of each call's name, behind the model's prefix


def make_plan(network: Network) -> Plan:
    """Find order, layouts and buffers.

    Raises:
        ValueError: What has no C, all findings at once; a parameter that is not finite.
    """
    check_finite(network)
    problems = _refusals(network)
    if problems:
        raise ValueError("there is no C code for this network:\n- " + "\n- ".join(problems))
    values: dict[str, Value] = {}
    calls: list[Call] = []
    shown: list[Shown] = []
    for name in network.names:
        layer: Any = network[name]
        shape = network.out_shape(name)
        if isinstance(layer, Quantise):
            values[name] = Value(name, layer.format, Layout.channels_last(shape))
            start = values[name]
            continue
        inputs = tuple(values[edge.source] for edge in network.incoming(name))
        if isinstance(layer, MOVING) or _repeats_channels(layer, inputs[0]):
            layout, index = _moved(layer, inputs[0].layout, shape)
            value = Value(name, inputs[0].format, layout)
            if index is None:
                value = value._replace(name=inputs[0].name)
            else:
                calls.append(Call(name, None, inputs, value, index))
            values[name] = value
            shown.append(Shown(name, layer, value))
            continue
        if isinstance(layer, Add):
            inputs = _in_one_order(name, inputs, calls)
        elementwise = isinstance(layer, ELEMENTWISE)
        layout = inputs[0].layout if elementwise else Layout.channels_last(shape)
        values[name] = Value(name, getattr(layer, "format", inputs[0].format), layout)
        calls.append(Call(name, layer, inputs, values[name]))
        shown.append(Shown(name, layer, values[name]))
    result = values[network.outputs[0]]
    if result.name == start.name:  # nothing is computed
        copied = result._replace(name=f"{network.outputs[0]} {COPY}")
        calls.append(Call(copied.name, None, (result,), copied, np.arange(result.layout.size)))
        result = copied
    buffers = share_buffers([_memory(call) for call in calls], [start.name, result.name])
    by_layer = sorted((call.name for call in calls), key=lambda name: name not in network)
    order = [start.name, *(call.output.name for call in calls)]
    shown.sort(key=lambda layer: order.index(layer.value.name))
    names = identifiers(by_layer)
    return Plan(start, result, tuple(calls), tuple(shown), buffers, names)


def _repeats_channels(layer: Layer, value: Value) -> bool:
    return isinstance(layer, Upsample) and len(layer.factor) >= len(value.layout.shape)


def _moved(layer: Layer, before: Layout, shape: Shape) -> tuple[Layout, np.ndarray | None]:
    """Layout after a layer that moves values, and where it takes them from unless they stay."""
    _, taken = layer.step(None, jnp.arange(before.size).reshape(before.shape))
    source = np.asarray(taken).ravel()  # for each value of the output, its index in the input
    if len(shape) == 1 and len(source) == before.size:
        return Layout(shape, np.argsort(source)[before.order]), None
    after = Layout.channels_last(shape)
    index = before.places[source[after.order]]
    return after, None if np.array_equal(index, np.arange(before.size)) else index


def _in_one_order(name: str, inputs: tuple[Value, ...], calls: list[Call]) -> tuple[Value, ...]:
    """Inputs of a sum: flattened images and features that never were one differ in their order."""
    first, *others = inputs
    result = [first]
    for number, value in enumerate(others, 2):
        if not value.layout.same_order(first.layout):
            moved = value._replace(name=f"{name} {COPY} {number}", layout=first.layout)
            taken = value.layout.places[first.layout.order]
            calls.append(Call(moved.name, None, (value,), moved, taken))
            value = moved
        result.append(value)
    return tuple(result)


def _memory(call: Call) -> Step:
    width = call.output.format.number.bytes
    in_place = tuple(
        value.name
        for value in call.inputs
        if isinstance(call.layer, ELEMENTWISE) and value.format.number.bytes == width
    )
    reads = tuple(value.name for value in call.inputs)
    return Step(reads, call.output.name, call.output.bytes, in_place)


def _refusals(network: Network) -> list[str]:
    problems = []
    numbers = {layer.format.number for layer in network.layers.values() if hasattr(layer, "format")}
    if len(numbers) > 1:
        problems.append(
            f"it computes with {', '.join(sorted(map(str, numbers)))}; the C code has one kind of "
            "number: map all of it with one `quantize`"
        )
    if sum(isinstance(layer, Quantise) for layer in network.layers.values()) != 1:
        problems.append(
            "its input must go through one Quantise: map the network with neurojax.chips.mcu.map"
        )
    if len(network.inputs) != 1:
        problems.append(
            f"it has inputs {', '.join(network.inputs)}; the C function takes one: join them first"
        )
    if len(network.outputs) != 1:
        problems.append(
            f"it has outputs {', '.join(network.outputs)}; the C function gives one: "
            "choose one, or write a program for each"
        )
    problems += [
        f"layer '{name}' has a name that generated code uses: rename it"
        for name in network.names
        if COPY in name
    ]
    for edge in network.edges:
        if edge.recurrent:
            problems.append(f"edge {edge} is recurrent; the C code only goes forward: remove it")
    for name in network.names:
        layer = network[name]
        edges = network.incoming(name)
        if not isinstance(layer, (Quantise, *MOVING, *WITH_FUNCTION)):
            problems.append(
                f"layer '{name}' is a {type(layer).__name__}, which has no C; "
                "map the network with neurojax.chips.mcu.map"
            )
        if isinstance(layer, Quantise) != (edges[0].source in network.inputs):
            problems.append(
                f"layer '{name}' is fed by '{edges[0].source}'; the input goes through the "
                "Quantise and nothing else does: map the network with neurojax.chips.mcu.map"
            )
        if len(edges) > 1 and not isinstance(layer, Add):
            problems.append(
                f"layer '{name}' has {len(edges)} incoming edges; only an Add sums them in C: "
                "map the network with neurojax.chips.mcu.map"
            )
    return problems
