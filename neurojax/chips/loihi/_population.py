"""Populations of neurons, each with the groups of synapses that lead to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi._neuron import AbstractNeuron
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.layers import ConvTranspose1d, ConvTranspose2d, Recurrent
from neurojax.neurons import IAF, LI, LIF, CubaIAF, CubaLI, CubaLIF

SIGMA_DELTA = (Delta, Sigma, SigmaDelta)
NEURONS = (LIF, IAF, CubaLIF, CubaIAF, LI, CubaLI, CUBA, FloatLIF, AbstractNeuron, *SIGMA_DELTA)
TRANSPOSED = (ConvTranspose1d, ConvTranspose2d)
SPIKES = "spikes"
MESSAGES = "messages of sigma-delta neurons"
VALUES = "the values of a read-out"


@dataclass
class Part:
    """A group of synapses between two populations."""

    name: str
    kind: str  # what it was: "Linear", "pool", ...
    weight: np.ndarray  # real, with all factors
    build: Callable[[Any], Layer]  # the layer from mantissas of the weight's shape
    in_shape: Shape
    out_shape: Shape
    out_axis: int | None  # axis of the weight that is the output's first one; None: there is none
    bias: np.ndarray | None = None  # of the output's first axis
    made_of: list[str] = field(default_factory=list)
    feedback: bool = False  # within a Recurrent
    owner: str = ""  # of one half of a ComplexSynapse, "owner.real" or "owner.imag"
    carries: str = SPIKES  # what its sources send


@dataclass
class Population:
    """Neurons, and what leads to them."""

    name: str
    neuron: Layer
    shape: Shape
    parts: list[Part]
    recurrent: bool = False  # a Recurrent: its feedback is one of the parts
    from_host: float | None = None  # values that the host feeds instead of synapses: their scale


def sends(layer: Layer) -> str:
    """What neurons send."""
    neuron: Any = layer.neuron if isinstance(layer, Recurrent) else layer
    if isinstance(neuron, Delta | SigmaDelta):
        return MESSAGES
    threshold = neuron.vth if isinstance(neuron, FloatLIF) else getattr(neuron, "threshold", None)
    return VALUES if threshold is None else SPIKES


def part_from(
    name: str, layer: Any, in_shape: Shape, weight: np.ndarray, out: Shape | None = None
) -> Part:
    """The part of a layer of synapses, whose bias is left to the caller."""

    def build(mantissas: Any) -> Layer:
        return eqx.tree_at(
            lambda held: (held.weight, held.bias),
            layer,
            (jnp.asarray(mantissas, jnp.float32), None),
            is_leaf=lambda node: node is None,
        )

    out_shape = layer.out_shape(in_shape) if out is None else out
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    weight = np.asarray(weight, np.float64)
    return Part(name, type(layer).__name__, weight, build, in_shape, out_shape, axis)


def per_output(values: np.ndarray, shape: Shape) -> np.ndarray | None:
    """The values along the first axis, `(out,)`, if they are the same along the others."""
    full = np.broadcast_to(values, shape).reshape(shape[0], -1)
    return full[:, 0] if np.all(full == full[:, :1]) else None


def times_output(part: Part, factor: np.ndarray) -> None:
    """Multiply what reaches each output by a factor: one number, or one an output channel."""
    if factor.size == 1:
        part.weight = part.weight * float(factor.ravel()[0])
    else:
        assert part.out_axis is not None
        groups = part.out_shape[0] // part.weight.shape[part.out_axis]
        if groups > 1:  # transposed with groups: (in, out / groups, ...), inputs by group
            blocks = part.weight.reshape(groups, -1, *part.weight.shape[1:])
            by_group = factor.reshape(groups, 1, -1, *(1,) * (part.weight.ndim - 2))
            part.weight = (blocks * by_group).reshape(part.weight.shape)
        else:
            axes = [i for i in range(part.weight.ndim) if i != part.out_axis]
            part.weight = part.weight * np.expand_dims(factor, axes)
    if part.bias is not None:
        part.bias = part.bias * factor.ravel()
