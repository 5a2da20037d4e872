"""The blocks of lava-dl's slayer and of SpikingJelly's lava_exchange, from plain numbers.

A block is a synapse with 8-bit weights, a neuron, and a delay. Each function gives the layers of
one block by name, for `nj.Sequential(in_shape, **block)` or `Converted(block)`. Weights may have
slayer's shapes, with a time axis of length 1 behind the others.

The neuron may be any of the chip's: `CUBA`, `ALIF`, a resonator, `SigmaDelta`. Resonators take
complex inputs, and so the weights of their blocks are pairs `(real, imag)`, and so are gains.

slayer's arrays are `[batch, channels, ..., time]`, ours `[time, batch, channels, ...]`:
`jnp.moveaxis(x, -1, 0)` there, `jnp.moveaxis(y, 0, -1)` back.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.quantise import QuantisedInput
from neurojax.chips.loihi.sigma_delta import SigmaDelta
from neurojax.converters.slayer._neurons import Number
from neurojax.converters.slayer._synapses import (
    Block,
    Ints,
    block_of,
    delays,
    dense_synapse,
    kernel_of,
    parts,
    spatial,
    steps_per_unit,
    weighted,
)
from neurojax.converters.slayer._truncated import Truncated
from neurojax.layers.convolution import Conv2d
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.transposed import ConvTranspose2d

RECURRENT_GRADIENTS = ("full", "through_feedback_only")


def dense(
    weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Dense`, and those of the other neurons.

    Args:
        weight: `(out, in)`, or `(out, in, height, width)` over images; the unquantised one. A pair
            `(real, imag)` for resonators.
        neuron: See `cuba_neuron` and its neighbours.
        gain: The `weight_g` of a block with `weight_norm=True` (`weight` is then its `weight_v`).
        mask: 0 where there is no synapse.
        quantise: Whether weights are used with 8 bits (`pre_hook_fx` is not None).
        delay_shift: Whether the output comes one time step late. slayer's sigma-delta blocks have
            False.
        delay: Axonal delays, one number or one a channel: whole steps of what is given count, 0 to
            62. A JAX array is learned (`AxonalDelay`), numbers and NumPy's arrays are not.
        in_shape: Shape of one sample at one step; needed if it is `(features, 1, 1)`.

    Returns:
        `synapse`, `neuron` and, if there is one, `delay`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.converters import slayer
        >>> neuron = slayer.cuba_neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.1)
        >>> block = slayer.dense(jnp.ones((3, 2)), neuron)
        >>> print(nj.simulate(nj.Sequential((2,), **block), jnp.ones((3, 1, 2))).outputs[:, 0, 0])
        [0. 1. 1.]
    """

    def one(weight: Any, gain: Any) -> Layer:
        synapse = dense_synapse(kernel_of(weight), in_shape)
        return weighted(synapse, neuron, quantise=quantise, gain=gain, mask=mask)

    return block_of(parts(one, weight, gain), neuron, delay_shift, delay)


def conv(
    weight: Any,
    neuron: Layer,
    *,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.Conv`: see `dense`, and `neurojax.Conv2d` for the window."""

    window = {"stride": stride, "padding": padding, "dilation": dilation}
    one = _over_windows(Conv2d, window, groups, neuron, quantise)
    return block_of(parts(one, weight, gain), neuron, delay_shift, delay)


def conv_transpose(
    weight: Any,
    neuron: Layer,
    *,
    stride: Ints = 1,
    padding: Ints = 0,
    dilation: Ints = 1,
    groups: int = 1,
    gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
) -> Block:
    """`slayer.block.cuba.ConvT`: see `dense`, and `neurojax.ConvTranspose2d` for the window.

    Args:
        weight: `(in, out / groups, height, width)`, as torch has it for transposed convolutions.
        neuron, quantise, delay_shift, delay: As in `dense`.
        stride, padding, dilation, groups: As in `conv`.
        gain: One number an *input* channel: `weight_norm` normalises over the first axis.
    """

    window = {"stride": stride, "padding": padding, "dilation": dilation}
    one = _over_windows(ConvTranspose2d, window, groups, neuron, quantise)
    return block_of(parts(one, weight, gain), neuron, delay_shift, delay)


def _over_windows(
    kind: type[Conv2d] | type[ConvTranspose2d],
    window: Mapping[str, Ints],
    groups: int,
    neuron: Layer,
    quantise: bool,
) -> Callable[[Any, Any], Layer]:
    """What makes a convolution of a weight and its normalisation."""
    options: Any = {name: spatial(value) for name, value in window.items()}

    def one(weight: Any, gain: Any) -> Layer:
        synapse = kind.from_weights(kernel_of(weight), groups=groups, **options)
        return weighted(synapse, neuron, quantise=quantise, gain=gain)

    return one


def affine(
    weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    mask: Any = None,
    quantise: bool = True,
    dynamics: bool = True,
    in_shape: Shape | None = None,
) -> Block:
    """`slayer.block.cuba.Affine`: a read-out without spikes; its output is the membrane.

    Args:
        weight, neuron, gain, mask, quantise, in_shape: As in `dense`. The output of resonators is
            the imaginary state.
        dynamics: False: the output is what the synapse gives (of complex ones the imaginary part).

    Raises:
        ValueError: The neuron is a sigma-delta neuron.
    """
    if isinstance(neuron, SigmaDelta):
        raise ValueError("affine: sigma-delta neurons have slayer's Output block instead")
    if not dynamics and isinstance(weight, tuple):
        weight, gain = weight[1], None if gain is None else gain[1]
    read_out: Any = neuron
    read_out = dataclasses.replace(read_out, threshold=None)
    block = dense(
        weight,
        read_out,
        gain=gain,
        mask=mask,
        quantise=quantise,
        delay_shift=False,
        in_shape=in_shape,
    )
    return block if dynamics else {"synapse": block["synapse"]}


def recurrent(
    weight: Any,
    recurrent_weight: Any,
    neuron: Layer,
    *,
    gain: Any = None,
    recurrent_gain: Any = None,
    quantise: bool = True,
    delay_shift: bool = True,
    delay: Any = None,
    gradient: str = "full",
) -> Block:
    """`slayer.block.cuba.Recurrent`: s[t] = neuron(W x[t] + R s[t - 1]).

    slayer runs its neuron once a step there, which makes integers of the states anew and keeps the
    normalised current (`CUBA(requantise=True, norm_feedback=True)`).

    Args:
        weight: W, `(out, in)`.
        recurrent_weight: R, `(out, out)`.
        gain, recurrent_gain: Their `weight_g`, if they are normalised.
        neuron, quantise, delay_shift, delay: As in `dense`.
        gradient: `"full"`: through states and spikes. `"through_feedback_only"`, as in slayer:
            neither through the states of neurons nor to their parameters, only back through R.
    """
    if gradient not in RECURRENT_GRADIENTS:
        raise ValueError(f"recurrent: gradient is {gradient!r}; use one of {RECURRENT_GRADIENTS}")
    if isinstance(neuron, CUBA):
        neuron = dataclasses.replace(neuron, requantise=True, norm_feedback=True)
    into = dense(weight, neuron, gain=gain, quantise=quantise)["synapse"]
    back = dense(recurrent_weight, neuron, gain=recurrent_gain, quantise=quantise)["synapse"]
    cells = Truncated(neuron) if gradient == "through_feedback_only" else neuron
    return {"synapse": into, "neuron": Recurrent(cells, back), **delays(delay_shift, delay)}


def input(
    neuron: Layer | None = None,
    *,
    weight: Number | None = None,
    bias: Number | None = None,
    delay_shift: bool = True,
) -> Block:
    """`slayer.block.cuba.Input`: values become currents with 8 bits, then spikes.

    Args:
        neuron: See `cuba_neuron`; None: the input is handed on. Resonators take pairs: the input
            then has shape `(2, ...)`. For sigma-delta neurons it is a `Delta`.
        weight, bias: One number each, an array is learned.
        delay_shift: As in `dense`.
    """
    block: Block = {}
    if neuron is not None:
        scale = steps_per_unit(neuron)
        block["transform"] = QuantisedInput(weight=weight, bias=bias, scale=scale)
        block["neuron"] = neuron
    return block | delays(delay_shift, None)
