"""A step of CRI's neurons in integers: what the test compares with, leak, reset and noise.

The equations are in `neuron`. Integers come with their real-valued twins, which carry the gradient.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from neurojax.chips.cri import _wide
from neurojax.chips.cri._options import NO_LEAK, RESET_CODES, of_model
from neurojax.chips.cri._state import CRIState
from neurojax.chips.cri._wide import Wide, select, wide
from neurojax.chips.cri.noise import draw, hardware_noise, main_noise
from neurojax.chips.cri.spec import MEMBRANE_BITS
from neurojax.fixed_point import derivative_of


def compared(neuron: Any) -> tuple[Wide, Any]:
    """The integer that the test compares with, and the number that the gradient sees."""
    theta, above = neuron.theta, neuron.fires_above
    if isinstance(theta, Wide):
        return theta, _wide.to_float(theta)
    if isinstance(theta, float):
        number = math.floor(theta) if above else math.ceil(theta)
        return _wide.from_integer(number), jnp.float32(theta)
    theta = theta.astype(jnp.float32)
    whole = lax.stop_gradient(jnp.floor(theta) if above else jnp.ceil(theta))
    return _wide.from_float(whole), theta


def after(
    neuron: Any,
    exact: Wide,
    v: Array,
    fires: Array,
    spikes: Array,
    theta: Wide,
    above: Array,
    xi: Any,
) -> tuple[Wide, Array]:
    """The membrane after reset, leak and noise: the number, and its real-valued twin."""
    main = neuron.order == "main"
    leaks = True if main else of_model(neuron, "LIF")
    clears = False if main else of_model(neuron, "ANN")
    quiet = _wide.subtract(exact, _quotient(neuron, exact))
    if neuron.order != "hardware":
        quiet = _wide.saturate(quiet, neuron.bits)
    elif xi is not None:
        quiet = _wide.add(quiet, xi)
    quiet = select(leaks, quiet, select(clears, zeros(exact), exact))
    keep = _chosen(leaks, _kept(neuron), _chosen(clears, 0.0, 1.0))
    subtracts = _subtracts(neuron)
    less = _wide.subtract(exact, theta)
    spent = select(subtracts, less, zeros(exact))
    # Both ways that the membrane can go on, so that the spike, which chooses, has its gradient.
    # (JAX 0.10 can't batch the derivative of a constant, which a memoryless membrane is.)
    cleared = clears is True and leaks is False
    on = jnp.zeros_like(v) if cleared else derivative_of(keep * v, _wide.to_float(quiet))
    back: Any = 0.0
    if subtracts is not False:
        back = jnp.where(subtracts, derivative_of(above, _wide.to_float(less)), 0)
    s = lax.stop_gradient(spikes) if neuron.detach_reset else spikes
    return select(fires, spent, quiet), on + s * (back - on)


def _subtracts(neuron: Any) -> Any:
    if eqx.is_array(neuron.reset):
        return neuron.reset == RESET_CODES["subtract"]
    return neuron.reset == "subtract"


def _leak(neuron: Any) -> Any:
    """The leak: a Python integer, or int32, one a neuron."""
    if neuron.leak is not None:
        return neuron.leak if eqx.is_array(neuron.leak) else int(neuron.leak)
    ann = of_model(neuron, "ANN")
    return (0 if ann else NO_LEAK) if isinstance(ann, bool) else jnp.where(ann, 0, NO_LEAK)


def _kept(neuron: Any) -> Any:
    """The part of the membrane that the leak leaves, for the gradient."""
    leak = _leak(neuron)
    if isinstance(leak, int):
        return 1 - 2.0**-leak
    return 1 - jnp.ldexp(jnp.float32(1), -leak)


def _chosen(condition: Any, yes: Any, no: Any) -> Any:
    """One of two numbers, without an operation where the condition is the same for all neurons."""
    if isinstance(condition, bool):
        return yes if condition else no
    return jnp.where(condition, yes, no)


def _quotient(neuron: Any, n: Wide) -> Wide:
    """floor(n / 2^leak), as the order has it."""
    leak = _leak(neuron)
    quotient = _wide.shift_right(n, leak)
    zero = zeros(n)
    if neuron.order == "hardware":
        return quotient if neuron.leak_bias else select(leak >= NO_LEAK, zero, quotient)
    positive = _wide.greater(n, zero).astype(jnp.int32)
    wrapped = wide(-positive)  # what division by -2^63 gives
    if neuron.order == "dev":
        # The divisor is limited to ±(2^34 - 1), and -2^34.
        lowest, highest = _wide.limits(MEMBRANE_BITS)
        at_lowest = (~_wide.greater(n, lowest)).astype(jnp.int32)
        at_highest = (~_wide.greater(highest, n)).astype(jnp.int32)
        limited = wide(at_highest - (n.high < 0) - at_lowest)
        quotient = select(leak >= MEMBRANE_BITS - 1, limited, quotient)
        wrapped = wide(at_lowest - positive)
    return select(leak == NO_LEAK, wrapped, select(leak > NO_LEAK, zero, quotient))


def noise_of(neuron: Any, state: CRIState, key: PRNGKeyArray | None) -> Wide | None:
    form = neuron.noise_form
    if form is None:
        return None
    if neuron.draws is None:
        if key is None:
            raise ValueError(
                "Neuron: there is noise, so a step needs a key; pass one to simulate(), or "
                "turn the noise off with shift=-17 (main: -16)"
            )
        draws = draw(key, state.v.shape)
    else:
        draws = neuron.draws[jnp.minimum(jnp.asarray(state.time), neuron.draws.shape[0] - 1)]
        draws = jnp.broadcast_to(draws.astype(jnp.int32), state.v.shape)
    shift = neuron.shift if eqx.is_array(neuron.shift) else int(neuron.shift)
    if form == "main":
        return main_noise(draws, shift, bits=neuron.bits)
    return hardware_noise(draws, shift, bits=None if neuron.overflow == "wrap" else neuron.bits)


def zeros(like: Wide) -> Wide:
    return Wide(jnp.zeros_like(like.high), jnp.zeros_like(like.low))
