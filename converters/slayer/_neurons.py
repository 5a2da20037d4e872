"""The CUBA neurons of lava-dl's slayer and of SpikingJelly, from plain numbers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from neurojax._layer import Layer
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.spec import FULL
from neurojax.surrogate import Exponential, Sigmoid, Surrogate

Number = float | Array

EPSILON = 0.01
"""What is added to thresholds, in steps of the state, so that >= is the chip's >."""


def cuba_neuron(
    *,
    threshold: float,
    current_decay: Number,
    voltage_decay: Number,
    tau_grad: float = 1.0,
    scale_grad: float = 1.0,
    scale: float = SCALE,
    norm: Layer | None = None,
    graded_spike: bool = False,
) -> CUBA:
    """`slayer.neuron.cuba.Neuron`, from the arguments that it takes.

    Forward it computes the same integers. Backward, as there, gradients ignore the reset; the
    gradient to a decay is the true one (slayer's has the wrong sign and lacks a factor 1 / 4096).

    Args:
        threshold: Cut to a multiple of 1 / scale.
        current_decay, voltage_decay: Within 0..1; an array is learned.
        tau_grad, scale_grad: Width (times 100 thresholds) and height (times 0.1) of the surrogate.
        scale: Weight steps per unit.
        norm: What the current passes on its way to the membrane, such as `ShiftNorm`.
        graded_spike: A spike has the value of the membrane.

    Raises:
        ValueError: A number is out of its range.

    References:
        lava-dl, `slayer/neuron/cuba.py`; S. B. Shrestha and G. Orchard, "SLAYER: spike layer error
        reassignment in time", NeurIPS 2018, https://arxiv.org/abs/1810.08646.

    Example:
        >>> from neurojax.converters import slayer
        >>> n = slayer.cuba_neuron(threshold=0.7, current_decay=0.25, voltage_decay=0.03)
        >>> n.integers()
        {'iDecay': 1024, 'vDecay': 123, 'vThMant': 44}
    """
    return CUBA(
        current_decay=current_decay,
        voltage_decay=voltage_decay,
        epsilon=EPSILON / int(scale * 64),
        norm=norm,
        reset_gradient="bypassed",
        **level(threshold, tau_grad, scale_grad, scale, graded_spike),
    )


def level(
    threshold: float, tau_grad: float, scale_grad: float, scale: float, graded: bool
) -> dict[str, Any]:
    """The options of a neuron that spikes at a level, with the surrogate that slayer has."""
    width, height = 100.0 * tau_grad, 0.05 * scale_grad
    if graded:
        # Exponential has height / (width threshold) at its peak; a graded spike is to have 0.1.
        height *= 2 * width * int(threshold * int(scale)) / int(scale)
    return {
        "threshold": threshold,
        "scale": scale,
        "graded": graded,
        "surrogate": Exponential(width=width, scale=height),
    }


def cuba_lif_node(
    *,
    current_decay: Number,
    voltage_decay: Number,
    v_threshold: float = 1.0,
    scale: float = SCALE,
    surrogate: Surrogate = Sigmoid(4.0),
    norm: Layer | None = None,
    detach_reset: bool = False,
) -> CUBA:
    """SpikingJelly's `lava_exchange.CubaLIFNode`, from the arguments that it takes.

    Unlike slayer's neuron it does not quantise the threshold, makes integers of its states anew in
    each step, and keeps the normalised current. Decays are in units of 1 here, of 1 / 4096 there:
    gradients to them are 4096 times as large.

    Args:
        current_decay, voltage_decay: Within 0..1; an array is learned.
        v_threshold: Threshold.
        scale: Weight steps per unit.
        surrogate: Derivative of the spikes.
        norm: What the current passes, such as `ShiftNorm`.
        detach_reset: No gradient to the spike through the reset.

    Raises:
        ValueError: A number is out of its range.

    References:
        SpikingJelly 2.0, `activation_based/lava_exchange.py`.
    """
    return CUBA(
        current_decay=current_decay,
        voltage_decay=voltage_decay,
        threshold=v_threshold,
        scale=scale,
        quantise_threshold=False,
        epsilon=EPSILON / int(scale * 64),
        requantise=True,
        norm=norm,
        norm_feedback=True,
        reset_gradient="detached" if detach_reset else "full",
        surrogate=surrogate,
    )


def decay(steps: Any, *, learned: bool, spatial: bool) -> Number:
    """A decay in units of 1 from what slayer and SpikingJelly store, multiples of 1 / 4096.

    Args:
        steps: 0 to 4096, not rounded; one value, or one a channel.
        learned: Whether one value is a parameter, too.
        spatial: Whether there are axes behind the channels.
    """
    value = np.clip(array(steps), 0, FULL) / FULL
    if value.size == 1 and not learned:
        return float(value.reshape(()))
    return jnp.asarray(value.reshape(-1, 1, 1) if spatial and value.size > 1 else value)


def array(value: Any) -> np.ndarray:
    """A tensor, an array or a number as float32."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value, np.float32)
