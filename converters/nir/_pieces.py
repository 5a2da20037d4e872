"""What layers become in NIR: one node, several, or none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from neurojax import layers, neurons
from neurojax._graph import nearest
from neurojax._layer import Layer, Shape
from neurojax.converters.nir._graph import Node
from neurojax.converters.nir._neurons import (
    Pieces,
    Refused,
    Steps,
    neuron_pieces,
    threshold_pieces,
)
from neurojax.converters.sinabs import _layers as sinabs


def pieces_of(layer: Layer, shape: Shape, steps: Steps) -> Pieces:
    """The nodes of a layer. Those of kind Identity are to be contracted.

    Raises:
        Refused: NIR has no node for it.
    """
    if type(layer) in _NEURONS:
        return neuron_pieces(cast(Any, layer), shape, steps)
    if type(layer) not in _MAKERS:
        raise Refused(_unknown(layer))
    return _MAKERS[type(layer)](layer, shape, steps)


def _unknown(layer: Layer) -> str:
    name = type(layer).__name__
    if type(layer).__module__.startswith("neurojax.chips"):
        return f"NIR has no {name}, a layer of a chip; export a network of real-valued layers"
    if name in _REMEDIES:
        return f"NIR has no {name}; {_REMEDIES[name]}"
    known: list[type] = [*_NEURONS, *_MAKERS]
    return f"NIR has no node for {name}; {nearest(name, [cls.__name__ for cls in known])}"


_REMEDIES = {
    "BatchNorm": "fold it into the weights before it: neurojax.fold_batch_norm(network)",
    "MaxPool1d": "use SumPool2d or AvgPool2d",
    "MaxPool2d": "use SumPool2d or AvgPool2d",
    "AvgPool1d": "use AvgPool2d on (channels, length, 1)",
    "SumPool1d": "use SumPool2d on (channels, length, 1)",
    "ConvTranspose1d": "write it as a Linear between a Flatten and a Reshape",
    "ConvTranspose2d": "write it as a Linear between a Flatten and a Reshape",
    "Concat": "feed the layers behind it from several Linear layers, which add up",
    "AdaptiveLIF": "use LIF",
    "AdaptiveCubaLIF": "use CubaLIF",
    "Alpha": "use CubaLIF",
    "OwnReset": "use a neuron with a reset of its own",
    "SynapseFilter": "use LI, which a spike does not keep from decaying",
    "Rounded": "take it out",
    "Crop": "crop what comes in",
    "Quantised": "put its parameters on their grids: neurojax.quantise.bake(network)",
    "FakeQuantise": "take it out",
    "ReLU": "use LIF or Threshold",
    "Pad": "use the padding of a Conv2d",
    "Upsample": "use a Linear",
}


def _linear(layer: layers.Linear, shape: Shape, steps: Steps) -> Pieces:
    weight = np.asarray(layer.weight, np.float32)
    if layer.bias is None:
        return Pieces({"": Node("Linear", {"weight": weight})})
    bias = np.asarray(layer.bias, np.float32)
    return Pieces({"": Node("Affine", {"weight": weight, "bias": bias})})


def _convolution(layer: Any, shape: Shape, steps: Steps) -> Pieces:
    bias = np.zeros(layer.out_channels) if layer.bias is None else layer.bias
    spans = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    alike: Any = tuple((span // 2, span - span // 2) for span in spans)
    if all(before == after for before, after in layer.padding):
        padding: Any = _whole([before for before, _ in layer.padding])
    elif layer.padding == alike and set(layer.stride) == {1}:
        padding = "same"
    else:
        raise Refused(
            f"its padding {layer.padding} differs before and after; NIR pads alike, or 'same' with "
            "stride 1"
        )
    fields = {
        "input_shape": _whole(shape[1:]),
        "weight": np.asarray(layer.weight, np.float32),
        "stride": _whole(layer.stride),
        "padding": padding,
        "dilation": _whole(layer.dilation),
        "groups": np.array(layer.groups),
        "bias": np.asarray(bias, np.float32),
    }
    return Pieces({"": Node(type(layer).__name__, fields)})


def _whole(values: Any) -> np.ndarray:
    """Integers: an array for two axes, a single number for one, as `nir` has them."""
    return np.array(values[0] if len(values) == 1 else values, np.int64)


def _pool(layer: Any, shape: Shape, steps: Steps) -> Pieces:
    if any(before != after for before, after in layer.padding):
        raise Refused(f"its padding {layer.padding} differs before and after; NIR pads alike")
    padded = any(before for before, _ in layer.padding)
    if padded and not getattr(layer, "count_padding", True):
        raise Refused("count_padding=False: NIR's average counts the padding")
    fields = {
        "kernel_size": np.array(layer.kernel_size, np.int64),
        "stride": np.array(layer.stride, np.int64),
        "padding": np.array([before for before, _ in layer.padding], np.int64),
    }
    return Pieces({"": Node(type(layer).__name__, fields)})


def _flatten(layer: Layer, shape: Shape, steps: Steps) -> Pieces:
    if layer.out_shape(shape) == shape:
        return _nothing(layer, shape, steps)
    if len(layer.out_shape(shape)) != 1:
        raise Refused("NIR can only flatten; use Flatten instead of Reshape")
    fields = {
        "input_type": np.array(shape, np.int64),
        "start_dim": np.array(0),
        "end_dim": np.array(-1),
    }
    return Pieces({"": Node("Flatten", fields)})


def _scale(layer: layers.Scale, shape: Shape, steps: Steps) -> Pieces:
    factor = np.array(np.broadcast_to(np.asarray(layer.factor, np.float32), shape))
    return Pieces({"": Node("Scale", {"scale": factor})})


def _delay(layer: layers.Delay, shape: Shape, steps: Steps) -> Pieces:
    values = np.asarray(layer.steps, np.float64) * steps.dt
    along = values.reshape(-1, *(1,) * (len(shape) - 1)) if values.ndim else values
    return Pieces({"": Node("Delay", {"delay": np.array(np.broadcast_to(along, shape), "f4")})})


def _nothing(layer: Layer, shape: Any, steps: Steps) -> Pieces:
    """Layers that hand their input, or the sum of their inputs, on."""
    shape = layer.out_shape(shape)
    return Pieces({"": Node("Identity", {"shape": np.array(shape, np.int64)})})


def _chain(layer: layers.Chain, shape: Shape, steps: Steps) -> Pieces:
    nodes: dict[str, Node] = {}
    edges: list[tuple[str, str]] = []
    lost: list[str] = []
    parts: list[Pieces] = []
    for name, part in zip(layer.names, layer.layers, strict=True):
        pieces = pieces_of(part, shape, steps).under(f".{name}")
        shape = part.out_shape(shape)
        if parts:
            edges.append((parts[-1].exit, pieces.entry))
        nodes |= pieces.nodes
        edges += pieces.edges
        lost += pieces.lost
        parts.append(pieces)
    return Pieces(nodes, tuple(edges), parts[0].entry, parts[-1].exit, tuple(lost))


def _feedback(layer: sinabs.Feedback, shape: Shape, steps: Steps) -> Pieces:
    pieces = _recurrent(layer, shape, steps)
    late = "silent first step: for readers the bias of the feedback acts from the first step on"
    return pieces._replace(lost=(*pieces.lost, late))


def _recurrent(layer: layers.Recurrent | sinabs.Feedback, shape: Shape, steps: Steps) -> Pieces:
    """A cycle, with the names that snnTorch gives it. Readers cut it behind the neurons."""
    neuron = pieces_of(layer.neuron, shape, steps).under(".lif")
    synapse = pieces_of(layer.synapse, layer.neuron.out_shape(shape), steps).under(".w_rec")
    edges = (
        *neuron.edges,
        *synapse.edges,
        (neuron.exit, synapse.entry),
        (synapse.exit, neuron.entry),
    )
    lost = neuron.lost + synapse.lost
    return Pieces(neuron.nodes | synapse.nodes, edges, neuron.entry, neuron.exit, lost)


_NEURONS = (
    neurons.IAF,
    neurons.LIF,
    neurons.LI,
    neurons.CubaLIF,
    neurons.CubaIAF,
    neurons.CubaLI,
)

_MAKERS: dict[type[Layer], Callable[[Any, Shape, Steps], Pieces]] = {
    layers.Linear: _linear,
    layers.Conv1d: _convolution,
    layers.Conv2d: _convolution,
    layers.SumPool2d: _pool,
    layers.AvgPool2d: _pool,
    layers.Flatten: _flatten,
    layers.Reshape: _flatten,
    layers.Scale: _scale,
    layers.Delay: _delay,
    layers.Identity: _nothing,
    layers.Add: _nothing,
    layers.Dropout: _nothing,
    layers.BatchDropout: _nothing,
    layers.Chain: _chain,
    layers.Recurrent: _recurrent,
    sinabs.Feedback: _feedback,
    neurons.Threshold: lambda layer, shape, steps: threshold_pieces(layer, shape),
}
