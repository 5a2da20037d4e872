"""The arithmetic of SpikingJelly's `lava_exchange`: roundings, shifts, one step of its neuron.

Arguments are named and ordered as there; decays count 0 to 4096.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from neurojax.chips.loihi._leak import leak
from neurojax.chips.loihi.quantise import LARGEST, quantise_8bit, step_quantise
from neurojax.chips.loihi.spec import FULL
from neurojax.converters.slayer._neurons import array
from neurojax.fixed_point import divide, shift_right, truncate
from neurojax.surrogate import Surrogate, spike


def step_quantize(x: Any, step: float = 1.0) -> Float[Array, "*shape"]:
    """The nearest multiple of a step, ties to the even one. The derivative is 1.

    Example:
        >>> from neurojax.converters import lava_exchange
        >>> print(lava_exchange.step_quantize([0.3, 0.8], step=0.5))
        [0.5 1. ]
    """
    return step_quantise(_real(x), step=step)


def quantize_8b(
    x: Any, scale: float, descale: bool = False, *, largest: int = LARGEST
) -> Float[Array, "*shape"]:
    """The nearest 2 k / scale with k from -128 to 127, which is what a weight of the chip can be.

    SpikingJelly lets 255 / scale pass, which is no such number; `largest=255` does so too.

    Args:
        x: Weights.
        scale: Weight steps per unit.
        descale: Return steps instead.
        largest: In steps.

    Example:
        >>> from neurojax.converters import lava_exchange
        >>> print(lava_exchange.quantize_8b([0.04, 9.0], 64, descale=True))
        [  2. 254.]
    """
    return quantise_8bit(_real(x), scale=scale, largest=largest, descale=descale)


quantize_8bit = quantize_8b


def right_shift_to_zero(x: Any, bits: int) -> Array:
    """x / 2^bits, rounded towards zero. Integers only.

    Raises:
        TypeError: x holds no integers.
        ValueError: An integer has more than 32 bits, or `bits` is not within 0..31.

    Example:
        >>> from neurojax.converters import lava_exchange
        >>> print(lava_exchange.right_shift_to_zero([-7, 7], 1))
        [-3  3]
    """
    if not isinstance(x, Array):
        x = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
        if x.dtype.kind == "i" and (np.abs(x) > np.iinfo(np.int32).max).any():
            raise ValueError("right_shift_to_zero: an integer has more than 32 bits")
    if not jnp.issubdtype(x.dtype, jnp.integer):
        raise TypeError(f"right_shift_to_zero takes integers, got {x.dtype}")
    if not 0 <= bits <= 31:
        raise ValueError(f"right_shift_to_zero: bits is {bits}; it must be within 0..31")
    return shift_right(jnp.asarray(x, jnp.int32), bits, rounding="truncate")


def LeakyIntegratorStep(x: Any, decay: Any, state: Any, s_scale: int) -> Float[Array, "*shape"]:
    """One step of a leaky integrator in integers that count 1 / s_scale.

    trunc(trunc(s_scale state) (4096 - decay) / 4096) + trunc(s_scale x), over s_scale. The
    derivatives are those of state (1 - decay / 4096) + x, and a decay gets one of its own shape
    (SpikingJelly's sums it to one number, which fails for several decays).

    Args:
        x: Input.
        decay: Whole number of 0..4096, or several.
        state: The state before.
        s_scale: Steps per unit.
    """
    x, state = _real(x), _real(state)
    kept = _real(decay) / FULL
    steps = leak(truncate(state * s_scale), kept, truncate(x * s_scale))
    return divide(steps, s_scale)


def lava_cuba_lif_step(
    x: Any,
    current_state: Any,
    voltage_state: Any,
    current_decay: Any,
    voltage_decay: Any,
    s_scale: int,
    v_threshold: float,
    v_threshold_eps: float,
    v_reset: float,
    surrogate_function: Surrogate,
    detach_reset: bool = False,
) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"], Float[Array, "*shape"]]:
    """`functional.lava_cuba_lif_step`: one step of `CubaLIFNode` without its norm.

    Args:
        x: Input.
        current_state, voltage_state: The states before.
        current_decay, voltage_decay: Within 0..4096; rounded.
        s_scale: Steps per unit.
        v_threshold, v_threshold_eps: A spike where the voltage is at least their sum.
        v_reset: Voltage behind a spike.
        surrogate_function: One of `neurojax.surrogate`.
        detach_reset: No gradient to the spike through the reset.

    Returns:
        Spikes, current, and voltage behind the reset.
    """
    current = LeakyIntegratorStep(x, step_quantize(current_decay), current_state, s_scale)
    h = LeakyIntegratorStep(current, step_quantize(voltage_decay), voltage_state, s_scale)
    threshold = jnp.asarray(v_threshold, h.dtype)
    spikes = spike(h - (threshold + v_threshold_eps), surrogate_function, threshold=threshold)
    reset = lax.stop_gradient(spikes) if detach_reset else spikes
    return spikes, current, reset * v_reset + (1 - reset) * h


def _real(x: Any) -> Float[Array, "*shape"]:
    return jnp.asarray(x if isinstance(x, Array) else array(x), jnp.float32)
