"""The sigma-delta neurons and blocks of lava-dl's slayer, from plain numbers.

Blocks are made as those of CUBA neurons are (`slayer.dense`, `conv`, `pool`), except that here the
output comes without a delay of one step, unless `delay_shift` says otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.quantise import SCALE, QuantisedInput
from neurojax.chips.loihi.sigma_delta import ACTIVATIONS, Delta, Sigma, SigmaDelta
from neurojax.converters.slayer._blocks import conv, dense
from neurojax.converters.slayer._neurons import Number
from neurojax.converters.slayer._pools import pool
from neurojax.converters.slayer._synapses import Block
from neurojax.surrogate import Surrogate
from neurojax.surrogate._spike import positive


@dataclasses.dataclass(frozen=True)
class NascentDelta(Surrogate):
    """g(u) = scale / threshold exp(-|u| / tau): what slayer's `axon.Delta` takes for a delta pulse.

    References:
        lava-dl, `slayer/axon/delta.py`.
    """

    tau: float = positive(1.0)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.scale / threshold * jnp.exp(-jnp.abs(u) / self.tau)


def delta(
    *,
    threshold: Number,
    scale: float = SCALE,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    cum_error: bool = False,
) -> Delta:
    """`slayer.axon.Delta`, from the arguments that it takes.

    Args:
        threshold: Not quantised, as there; an array is learned.
        scale: Steps of a message per unit.
        tau_grad, scale_grad: Width and height of the pulse for the gradient to the threshold.
        cum_error: Compare the sum of differences. Raises an error in slayer with today's torch.

    Example:
        >>> from neurojax.converters import slayer
        >>> slayer.delta(threshold=0.25).describe()
        'Delta threshold 0.25'
    """
    return Delta(
        threshold=threshold,
        scale=scale,
        message_scale=scale,
        quantise_threshold=False,
        cum_error=cum_error,
        gradient="straight_through",
        surrogate=NascentDelta(tau_grad, scale_grad),
    )


def sigma_delta_neuron(
    *,
    threshold: Number,
    activation: Any = "relu",
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    cum_error: bool = False,
    norm: Layer | None = None,
    bias: Number = 0.0,
) -> SigmaDelta:
    """`slayer.neuron.sigma_delta.Neuron`, from the arguments that it takes.

    Messages and gradients are slayer's; `dataclasses.replace(neuron, gradient="equations",
    surrogate=...)` gives the gradients of the equations.

    Args:
        threshold: Cut to a multiple of 1 / scale; an array is learned. (slayer trains on with an
            uncut one, and cuts what it has learned when it exports it.)
        activation: `torch.nn.functional.relu` or another function whose name is known here
            (`relu`, `leaky_relu`), the name itself, or a layer.
        tau_grad, scale_grad: Width and height of the pulse for the gradient to the threshold.
        scale: Weight steps per unit.
        cum_error: Compare the sum of differences. Raises an error in slayer with today's torch.
        norm: What the sum passes in front of the bias, such as `ShiftNorm`.
        bias: What `set_bias` was given, one a neuron.

    Raises:
        ValueError: The activation is not known.

    References:
        lava-dl, `slayer/neuron/sigma_delta.py`.

    Example:
        >>> from neurojax.converters import slayer
        >>> slayer.sigma_delta_neuron(threshold=0.1, activation="relu").integers()
        {'vThMant': 6}
    """
    if not isinstance(activation, Layer):
        name = activation if isinstance(activation, str) else getattr(activation, "__name__", "")
        if name not in ACTIVATIONS:
            raise ValueError(
                f"sigma_delta: the activation {activation!r} is not known; use one of "
                f"{list(ACTIVATIONS)}, or a layer"
            )
        activation = name
    return SigmaDelta(
        threshold=threshold,
        activation=activation,
        bias=bias,
        norm=norm,
        scale=scale,
        cum_error=cum_error,
        gradient="straight_through",
        surrogate=NascentDelta(tau_grad, scale_grad),
    )


def sigma_delta_input(
    neuron: SigmaDelta | None = None,
    *,
    weight: Number | None = None,
    bias: Number | None = None,
) -> Block:
    """`slayer.block.sigma_delta.Input`: values of 8 bits, sent as differences.

    Args:
        neuron: See `sigma_delta_neuron`; its threshold counts. None: the input is handed on.
        weight, bias: One number each, an array is learned.

    Returns:
        `transform` and `neuron`, a `Delta`.
    """
    if neuron is None:
        return {}
    shared = {field.name: getattr(neuron, field.name) for field in dataclasses.fields(Delta)}
    transform = QuantisedInput(weight=weight, bias=bias, scale=neuron.w_scale)
    return {"transform": transform, "neuron": Delta(**shared)}


def sigma_delta_dense(weight: Any, neuron: SigmaDelta, **options: Any) -> Block:
    """`slayer.block.sigma_delta.Dense`: see `dense` for the options."""
    return dense(weight, neuron, **({"delay_shift": False} | options))


def sigma_delta_conv(weight: Any, neuron: SigmaDelta, **options: Any) -> Block:
    """`slayer.block.sigma_delta.Conv`: see `conv` for the options."""
    return conv(weight, neuron, **({"delay_shift": False} | options))


def sigma_delta_pool(weight: Any, neuron: SigmaDelta, *, in_shape: Shape, **options: Any) -> Block:
    """`slayer.block.sigma_delta.Pool`: see `pool` for the options."""
    return pool(weight, neuron, in_shape=in_shape, **({"delay_shift": False} | options))


def sigma_delta_output(
    weight: Any,
    neuron: SigmaDelta,
    *,
    gain: Any = None,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.sigma_delta.Output`: a read-out; its output is the sum, without activation.

    Args:
        weight, gain, in_shape: As in `dense`.
        neuron: Gives the scale.

    Returns:
        `synapse` and `neuron`, a `Sigma`.
    """
    block = dense(weight, neuron, gain=gain, delay_shift=False, in_shape=in_shape)
    return block | {"neuron": Sigma(scale=neuron.scale)}
