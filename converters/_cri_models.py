"""What hs_api's converter asks of models: the part between two layers, and which have factors."""

from __future__ import annotations

from typing import Any

from neurojax._network import Network
from neurojax.converters._cri_quantise import isSNNLayer
from neurojax.layers import AvgPool1d, AvgPool2d, Conv1d, Conv2d, Linear, Scale
from neurojax.neurons import IAF, LIF

FACTORS = (AvgPool1d, AvgPool2d, Scale)
SHAPE_ONLY = ("Flatten", "Identity", "Dropout", "Dropout2d")


def leaves(model: Any) -> list[Any]:
    """Modules without children, and neurons, in the order of their definition."""
    found: list[Any] = []

    def walk(module: Any) -> None:
        for child in module.children():
            if isSNNLayer(child) or not list(child.children()):
                found.append(child)
            else:
                walk(child)

    walk(model)
    return found


def between(model: Any, first: int, last: int) -> Any:
    """The model from leaf `first` to the neurons behind leaf `last`.

    Raises:
        ValueError: There are no such leaves; or the model is no chain, so that it can't be cut.
    """
    import torch

    layers = leaves(model)
    last = last + len(layers) if last < 0 else last
    if not 0 <= first <= last < len(layers):
        raise ValueError(
            f"CRI_Converter: input_layer {first} and output_layer {last} of a model with "
            f"{len(layers)} layers; they count from 0"
        )
    end = next((i for i in range(last, len(layers)) if isSNNLayer(layers[i])), len(layers) - 1) + 1
    lost = [*layers[:first], *layers[end:]]
    if all(type(layer).__name__ in SHAPE_ONLY for layer in lost):
        return model
    if not _is_chain(model):
        raise ValueError(
            f"CRI_Converter: input_layer={first} and output_layer={last} leave out parts of a "
            f"{type(model).__name__}, whose order only its forward knows; convert a "
            "torch.nn.Sequential of the parts that are to run on the chip"
        )
    return torch.nn.Sequential(*layers[first:end])


def is_unscaled(network: Network, name: str) -> bool:
    """Whether a layer is neurons that get spikes times weights, without further factors."""
    if not isinstance(network[name], IAF | LIF):
        return False
    weights, waiting = False, [edge.source for edge in network.incoming(name)]
    while waiting:
        source = waiting.pop()
        if source in network.inputs or isinstance(network[source], IAF | LIF):
            continue
        layer = network[source]
        if isinstance(layer, FACTORS):
            return False
        weights = weights or isinstance(layer, Linear | Conv1d | Conv2d)
        waiting += [edge.source for edge in network.incoming(source)]
    return weights


def _is_chain(model: Any) -> bool:
    import torch

    return isinstance(model, torch.nn.Sequential) and all(
        isSNNLayer(child) or not list(child.children()) or _is_chain(child)
        for child in model.children()
    )
