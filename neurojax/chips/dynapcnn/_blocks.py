"""What one core computes: weights [batch norm] neurons, with the factors that go into the weights.

Layers that no core has a place for are named here, each with what to do about it.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.chips._mapped import Problem
from neurojax.layers import BatchNorm, Conv2d, Linear, MaxPool1d, MaxPool2d
from neurojax.neurons import IAF, LIF

SUPPORTED = (
    "Linear, Conv2d, BatchNorm, Scale, IAF, AvgPool2d, SumPool2d, Add, Concat, Flatten, Dropout "
    "and Identity"
)

Factors = tuple[frozenset[float], ...]
"""For each feature the factors of average pools that meet in it: more than one, if sums add what
was averaged over windows of different sizes."""


@dataclass
class Block:
    """The layers that make up one core, with their names."""

    name: str  # of the weights, until neurons are found; then theirs
    weights: Conv2d | Linear
    in_shape: Shape  # (c, h, w) map that the weights see
    weights_name: str
    source: str  # layer or input of the mapped network that feeds the core
    neuron_shape: Shape  # (f, h, w)
    rescale: Factors  # of average pools before the weights
    norm: BatchNorm | None = None
    neuron: IAF | None = None
    before: list[tuple[str, float]] = field(default_factory=list)  # factors of the weights' input
    behind: list[tuple[str, float]] = field(default_factory=list)  # factors of what weights give
    made_of: list[str] = field(default_factory=list)
    excused: bool = False  # that neurons are missing has been said

    @property
    def flat(self) -> bool:
        """The neurons are a vector in the network, not a map."""
        return isinstance(self.weights, Linear)


def integrator(layer: Layer) -> IAF | None:
    """Neurons without a leak, whatever their class; None for all else.

    snnTorch, for one, has no class for them but `Leaky(beta=1)`.
    """
    if isinstance(layer, IAF):
        return layer
    if type(layer) is not LIF or layer.tau is not None:
        return None
    leaks = np.any(np.asarray(layer.decay) != 1) or np.any(np.asarray(layer.v_rest) != 0)
    if leaks or layer.normalize_input:
        return None
    return IAF(**{f.name: getattr(layer, f.name) for f in dataclasses.fields(IAF)})


def no_neurons(block: Block) -> Problem:
    return Problem(
        block.weights_name,
        f"{type(block.weights).__name__} without spiking neurons behind it",
        "every core ends in integrate-and-fire neurons",
        "append an IAF layer, or merge it into the next weights",
    )


def between(name: str, what: str, block: Block) -> Problem:
    return Problem(
        name,
        f"{what} between the weights '{block.weights_name}' and their neurons",
        "a core pools what its neurons send",
        "move it behind the neurons",
    )


def unsupported(name: str, layer: Layer) -> Problem:
    kind = type(layer).__name__
    if isinstance(layer, MaxPool1d | MaxPool2d):
        legal, remedy = "cores sum over a window", "use SumPool2d or AvgPool2d"
    elif kind == "Recurrent":
        legal = "loops may dead-lock the chip and are not routed"
        remedy = "use a feed-forward layer, or unroll it into layers"
    elif kind == "Core":
        legal, remedy = "it is a core of the chip already", "map the network that it was made from"
    elif type(layer).__module__.startswith("neurojax.chips"):
        legal, remedy = "it is a layer of another chip", "map a network of real-valued layers"
    elif kind == "Quantised":
        legal = "the mapping quantises to the chip's integers itself"
        remedy = "put the parameters on their grids: neurojax.quantise.bake(network)"
    elif type(layer).__module__.startswith("neurojax.neurons"):
        legal = "its neurons integrate and fire, without leak, current or adaptation"
        remedy = "use IAF, and train with it"
    else:
        legal, remedy = f"a core is made of {SUPPORTED}", "remove or replace the layer"
    return Problem(name, f"a {kind} layer", legal, remedy)
