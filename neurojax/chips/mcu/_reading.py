"""A network read as parts of code: what is fused, dropped, inserted or refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax import layers as core
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._checks import folded
from neurojax.chips._mapped import Problem
from neurojax.chips.mcu._parts import Part, Plan
from neurojax.chips.mcu._reading_neurons import neuron_options
from neurojax.chips.mcu.affine import BatchNorm, Conv, Dense
from neurojax.chips.mcu.merge import Add
from neurojax.chips.mcu.neurons import IF, LIF
from neurojax.chips.mcu.pool import Pool
from neurojax.chips.mcu.spec import Format
from neurojax.layers.fold import Average, Maximum, Sum
from neurojax.neurons import IAF, LIF as CoreLIF
from neurojax.quantise import FakeQuantise, Quantised

DROPPED = (core.Identity, core.Dropout, core.BatchDropout, FakeQuantise)
MOVED = (core.Flatten, core.Permute, core.Upsample)
Rectifier = core.ReLU | core.ReLU6
RECTIFIERS = {core.ReLU: "relu", core.ReLU6: "relu6"}
KNOWN = (
    "Linear, Conv1d, Conv2d, pools, Add, BatchNorm, ReLU, ReLU6, Flatten, Permute, Upsample, IAF "
    "and LIF have C code"
)
QUANTISE = "quantise"


def read(network: Network, problems: list[Problem], *, fold: bool, compat: str | None) -> Plan:
    """The parts of a network.

    Args:
        network: Without chains.
        problems: Gets one for each reason why it can't be mapped.
        fold: Whether batch norms go into the weights before them.
        compat: Of the neurons.
    """
    notes: list[str] = []
    network = network.replace(**_baked(network, problems))
    before = network
    if fold:
        network = _folded(network, notes)
    reader = _Reader(network, problems, compat)
    for name in network.names:
        reader.read(name)
    for name in before.names:
        if name not in network:
            notes.append(f"batch norm '{name}' is in the weights before it")
    return Plan(reader.parts, *_ends(network, reader, problems), notes + reader.notes)


def _baked(network: Network, problems: list[Problem]) -> dict[str, Layer]:
    """Layers with quantised parameters, as runs use them."""
    found = {}
    for name in network.names:
        layer = network[name]
        if not isinstance(layer, Quantised):
            continue
        if layer.needs_key:
            problems.append(
                Problem(
                    name,
                    "parameters that are rounded at random",
                    "the code holds fixed numbers",
                    "use quantise.bake, or another rounding",
                )
            )
        else:
            found[name] = layer.baked()
    return found


def _folded(network: Network, notes: list[str]) -> Network:
    """Batch norms go into weights where all can, and else stay."""
    reasons: list[Problem] = []
    network = folded(network, reasons, legal="", remedy="")
    notes += [f"batch norm '{name}' stays a layer: {found}" for name, found, *_ in reasons]
    return network


def _ends(network: Network, reader: _Reader, problems: list[Problem]) -> tuple[str, str]:
    """The input and the output of the model."""
    if len(network.inputs) != 1:
        found = f"{len(network.inputs)} inputs"
        problems.append(Problem("network", found, "the code has one", "concatenate them before"))
    outputs = list(dict.fromkeys(reader.resolve(name) for name in network.outputs))
    if len(outputs) != 1:
        found = f"{len(network.outputs)} outputs"
        problems.append(Problem("network", found, "the code has one", "map them one by one"))
    elif outputs[0] in network.inputs:
        found = "no layer that computes anything"
        problems.append(Problem("network", found, KNOWN, "add some"))
    return next(iter(network.inputs)), outputs[0]


class _Reader:
    """Reads layer after layer, in the order of the network."""

    def __init__(self, network: Network, problems: list[Problem], compat: str | None) -> None:
        self.network, self.problems, self.compat = network, problems, compat
        self.parts: dict[str, Part] = {}
        self.notes: list[str] = []
        self._stands_for: dict[str, str] = {}  # for a layer that is no part, the one that is

    def resolve(self, name: str) -> str:
        """The part whose values a layer hands on."""
        return self._stands_for.get(name, name)

    def read(self, name: str) -> None:
        """Make a part of a layer, or none."""
        layer, edges = self.network[name], self.network.incoming(name)
        for edge in edges:
            if edge.recurrent:
                self._refuse(
                    name, f"the recurrent edge {edge}", "the code has no feedback", "leave it out"
                )
        if name == QUANTISE:
            self._refuse(
                name, "its name", "'quantise' is what turns inputs to integers", "rename it"
            )
        sources = tuple(self.resolve(edge.source) for edge in edges)
        if len(sources) > 1 and not layer.many_inputs:
            joined = isinstance(layer, core.Identity | Rectifier)
            added = name if joined else f"{name}_sum"
            self._part(added, "sum", sources, _make_add, activates=True)
            if isinstance(layer, core.Identity):
                return
            if joined:
                self.parts[added].activation = RECTIFIERS[type(layer)]
                return
            if added in self.network:
                self._refuse(name, f"a layer '{added}' beside it", "its sum is called so", "rename")
            self.parts[added].notes.append(f"'{added}' adds up the edges into '{name}'")
            sources = (added,)
        if isinstance(layer, DROPPED):
            self._drop(name, sources[0])
            if isinstance(layer, FakeQuantise):
                self.notes.append(f"'{name}' is dropped: the code quantises every layer's output")
        elif isinstance(layer, Rectifier):
            self._fuse(name, layer, sources[0])
        else:
            self._layer(name, layer, sources)

    def _layer(self, name: str, layer: Any, sources: tuple[str, ...]) -> None:
        if isinstance(layer, MOVED):
            self._part(name, "move", sources, lambda form, qs, act: layer)
        elif isinstance(layer, core.Reshape) and len(self.network.out_shape(name)) == 1:
            self._part(name, "move", sources, lambda form, qs, act: core.Flatten())
        elif isinstance(layer, core.Linear):
            self._part(name, "affine", sources, _make_dense(layer), activates=True)
        elif isinstance(layer, core.Conv1d | core.Conv2d):
            self._part(name, "affine", sources, _make_conv(layer), activates=True)
        elif isinstance(layer, core.BatchNorm):
            self._part(name, "affine", sources, _make_norm(layer), activates=True)
        elif isinstance(layer, core.Add):
            self._part(name, "sum", sources, _make_add, activates=True)
        elif isinstance(layer, Average | Sum | Maximum):
            self._pool(name, layer, sources)
        elif isinstance(layer, IAF | CoreLIF):
            notes: list[str] = []
            options = neuron_options(name, layer, self.problems, notes)
            if options is not None:
                kind = LIF if isinstance(layer, CoreLIF) else IF
                self._part(
                    name, "neuron", sources, _make_neuron(kind, options | {"compat": self.compat})
                )
                self.parts[name].notes += notes
        else:
            self._refuse(name, layer.describe(), KNOWN, "replace it")

    def _pool(self, name: str, layer: Any, sources: tuple[str, ...]) -> None:
        padded = any(any(pads) for pads in layer.padding)
        if isinstance(layer, Average) and padded and not layer.count_padding:
            self._refuse(
                name,
                "an average that does not count the padding",
                "the code divides by the size of the window",
                "use count_padding=True, or don't pad",
            )
        kind = "sum" if isinstance(layer, Sum) else "move"
        self._part(name, kind, sources, _make_pool(layer), activates=True)

    def _fuse(self, name: str, layer: Layer, source: str) -> None:
        """A ReLU or ReLU6 goes into the layer whose values it takes, past what only moves them."""
        node, network = name, self.network
        while True:
            node = network.incoming(node)[0].source
            part = self.parts.get(node)
            if part is not None and part.kind == "neuron":
                self.notes.append(f"'{name}' is dropped: spikes are not negative")
                break
            if node in network and part is None and node not in self._stands_for:
                return  # it is refused itself
            legal = "a ReLU is part of the layer before it"
            if node not in network:
                self._refuse(name, "a ReLU of the input", legal, "apply it before, or leave it out")
                break
            if len(network.outgoing(node)) != 1 or node in network.outputs:
                found = f"a ReLU of '{node}', whose values are used elsewhere, too"
                remedy = "take the values for both behind the ReLU, or compute them twice"
                self._refuse(name, found, legal, remedy)
                break
            if part is not None and not part.activates and part.sources[0] not in network:
                part = self.parts.get(part.sources[0])  # the sum of several edges
            if part is not None and part.activates:
                # The tighter of two: min(max(max(x, 0), 0), 6).
                if part.activation != "relu6":
                    part.activation = RECTIFIERS[type(layer)]
                break
        self._drop(name, source)

    def _drop(self, name: str, source: str) -> None:
        self._stands_for[name] = source
        if source in self.parts:
            self.parts[source].made_of.append(name)

    def _part(
        self,
        name: str,
        kind: str,
        sources: tuple[str, ...],
        make: Any,
        *,
        activates: bool = False,
    ) -> None:
        made_of = [name] if name in self.network else []
        self.parts[name] = Part(name, kind, sources, make, activates, made_of=made_of)

    def _refuse(self, name: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(name, found, legal, remedy))


def _make_add(form: Format, qs: tuple[int, ...], activation: str | None) -> Layer:
    return Add(input_qs=qs, format=form, activation=activation)


def _make_dense(layer: Any) -> Callable[..., Layer]:
    return lambda form, qs, activation: Dense(
        layer.weight,
        layer.bias,
        format=form,
        input_q=qs[0],
        activation=activation,
    )


def _make_conv(layer: Any) -> Callable[..., Layer]:
    return lambda form, qs, activation: Conv(
        layer.weight,
        layer.bias,
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
        format=form,
        input_q=qs[0],
        activation=activation,
    )


def _make_norm(layer: core.BatchNorm) -> Callable[..., Layer]:
    gamma = 1.0 if layer.weight is None else np.asarray(layer.weight)
    beta = 0.0 if layer.bias is None else np.asarray(layer.bias)
    scale = gamma / np.sqrt(np.asarray(layer.running_var) + np.float32(layer.eps))
    offset = beta - np.asarray(layer.running_mean) * scale
    return lambda form, qs, activation: BatchNorm(
        scale, offset, format=form, input_q=qs[0], activation=activation
    )


def _make_pool(layer: Any) -> Callable[..., Layer]:
    kind = (
        "max" if isinstance(layer, Maximum) else "average" if isinstance(layer, Average) else "sum"
    )
    return lambda form, qs, activation: Pool(
        kind,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        format=form,
        input_q=qs[0],
        activation=activation,
    )


def _make_neuron(kind: type[IF] | type[LIF], options: dict[str, Any]) -> Callable[..., Layer]:
    return lambda form, qs, activation: kind(format=form, input_q=qs[0], **options)
