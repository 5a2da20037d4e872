"""A network as the Qualia plug-in sees it: layers of few kinds, shapes with the channels last."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.layers import (
    Add,
    AvgPool1d,
    AvgPool2d,
    BatchDropout,
    BatchNorm,
    Conv1d,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Permute,
    ReLU,
    ReLU6,
    SumPool1d,
    SumPool2d,
    Upsample,
)
from neurojax.neurons import IAF, LIF
from neurojax.quantise import Quantised

KNOWN = (
    *(Linear, Conv1d, Conv2d, Add, IAF, LIF, BatchNorm, ReLU, ReLU6, Upsample),
    *(AvgPool1d, AvgPool2d, MaxPool1d, MaxPool2d, SumPool1d, SumPool2d),
    *(Flatten, Permute, Identity, Dropout, BatchDropout),
)
NEURONS = ("if", "lif")
COSTED = ("conv", "dense")  # kinds whose row holds the cost of the neurons behind them


@dataclasses.dataclass(frozen=True)
class Node:
    """One layer, or an input, of a network.

    Attributes:
        name: Its name.
        kind: `"input"`, `"conv"`, `"dense"`, `"add"`, `"flatten"`, `"if"`, `"lif"`, or
            `"other"` for what costs nothing there: pools, norms, ...
        in_shapes: Shape of each input without time, channels last.
        out_shape: Shape of the output.
        sources: Names of what feeds it.
        targets: Names of what it feeds.
        kernel: Size of the kernel, an axis.
        stride: Step of the kernel, an axis.
        weights: Number of stored weights.
        biases: Number of stored biases.
        bias: Whether there is a bias.
    """

    name: str
    kind: str
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    weights: int = 0
    biases: int = 0
    bias: bool = False

    @property
    def inputs(self) -> int:
        """Values of the first input."""
        return math.prod(self.in_shapes[0])

    @property
    def outputs(self) -> int:
        """Values of the output."""
        return math.prod(self.out_shape)

    @property
    def in_channels(self) -> int:
        """Channels, or features, of the first input."""
        return self.in_shapes[0][-1]

    @property
    def out_channels(self) -> int:
        """Channels, or features, of the output."""
        return self.out_shape[-1]

    @property
    def taps(self) -> int:
        """Points of the kernel; 1 without one."""
        return math.prod(self.kernel)

    @property
    def targets_with_stride(self) -> int:
        """Positions that the kernel takes over one input, as the plug-in counts them."""
        return math.prod(math.ceil(k / s) for k, s in zip(self.kernel, self.stride, strict=True))


def nodes_of(network: Network) -> list[Node]:
    """The nodes of a network: its input, then its layers in the order in which they run.

    Raises:
        ValueError: Layers that the plug-in has not (neurons other than IAF and LIF), recurrent
            edges, several inputs, edges that are added up without an `Add`.
    """
    layers = {name: _unwrapped(network[name]) for name in network.names}
    problems = [
        f"layer '{name}' is {layer.describe()}; the plug-in has no such layer"
        for name, layer in layers.items()
        if not isinstance(layer, KNOWN)
    ]
    problems += [
        f"layer '{name}' adds up {len(network.incoming(name))} edges; put an Add before it"
        for name in network.names
        if not network[name].many_inputs and len(network.incoming(name)) > 1
    ]
    problems += [f"edge {edge} is recurrent" for edge in network.edges if edge.recurrent]
    if len(network.inputs) > 1:
        problems.append(f"there are {len(network.inputs)} inputs; the plug-in takes one")
    if problems:
        kinds = [type(layer).__module__ for layer in layers.values()]
        remedy = "leave out compat"
        if any(kind.startswith("neurojax.chips.") for kind in kinds):
            remedy = "take the network before it was mapped, or chip_energy for the chip"
        raise ValueError(
            f"compat='qualia' can't cost this network; {remedy}:\n- " + "\n- ".join(problems)
        )
    names = [*network.inputs, *network.names]
    targets = {name: tuple(edge.target for edge in network.outgoing(name)) for name in names}
    nodes = [
        Node(name, "input", (_last(shape),), _last(shape), (), targets[name])
        for name, shape in network.inputs.items()
    ]
    for name, layer in layers.items():
        into = network.in_shape(name)
        shapes = cast(tuple[Shape, ...], into if layer.many_inputs else (into,))
        nodes.append(
            Node(
                name,
                _kind(layer),
                tuple(_last(shape) for shape in shapes),
                _last(network.out_shape(name)),
                tuple(edge.source for edge in network.incoming(name)),
                targets[name],
                **_parameters(layer),
            )
        )
    return nodes


def _unwrapped(layer: Layer) -> Layer:
    """The layer whose parameters are quantised: the plug-in has a twin of each."""
    return layer.layer if isinstance(layer, Quantised) else layer


def _last(shape: Shape) -> Shape:
    """Channels first to channels last."""
    return (*shape[1:], shape[0])


def _kind(layer: Layer) -> str:
    for kinds, name in (
        ((Conv1d, Conv2d), "conv"),
        ((Linear,), "dense"),
        ((Add,), "add"),
        ((Flatten,), "flatten"),
        ((IAF,), "if"),
        ((LIF,), "lif"),
    ):
        if isinstance(layer, kinds):
            return name
    return "other"


def _parameters(layer: Any) -> dict[str, Any]:
    """Kernel and number of parameters of a layer."""
    if not isinstance(layer, Linear | Conv1d | Conv2d):
        return {}
    biases = 0 if layer.bias is None else layer.bias.size
    parameters = {"weights": layer.weight.size, "biases": biases, "bias": biases > 0}
    if isinstance(layer, Linear):
        return parameters
    return parameters | {"kernel": layer.kernel_size, "stride": layer.stride}
