"""A membrane between two events, in closed form, and when it reaches its threshold.

    v' = a (leak - v) + s i,    i' = -b i

with rates a = 1/tau_mem, b = 1/tau_syn and the strength s = gain/c_mem of the input. Between two
events

    v(t) = leak + (v - leak) exp(-a t) + s i (exp(-a t) - exp(-b t)) / (b - a)

is a curve with at most one turning point, so that its first crossing of the threshold lies in an
interval where it is monotonous. For tau_mem = 2 tau_syn the crossing is a root of a quadratic
equation in exp(-a t); otherwise (for tau_mem = tau_syn it is Lambert's W) Newton's method, kept
inside the interval, finds it to the last bits.

References:
    J. Göltz et al., "Fast and energy-efficient neuromorphic deep learning with first-spike times",
    Nature Machine Intelligence 3, 2021, https://arxiv.org/abs/1912.11443 (both closed forms).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ITERATIONS = 60
"""More than bisection alone needs for the last bit of a float32."""


class Circuit(NamedTuple):
    """Parameters of neurons; every one a number a neuron."""

    leak_rate: Array  # a = 1/tau_mem, 1/s; 0 for a neuron without leak
    decay_rate: Array  # b = 1/tau_syn, 1/s
    strength: Array  # s, 1/s: what the current changes the membrane with
    leak: Array
    threshold: Array
    reset: Array


def flow(circuit: Circuit, v: Array, i: Array, t: Array) -> tuple[Array, Array]:
    """Membrane and current `t` seconds later, without events."""
    a, b = circuit.leak_rate, circuit.decay_rate
    left_v, left_i = jnp.exp(-a * t), jnp.exp(-b * t)
    # The slower of the two decays in front, so that nothing overflows, and equal rates are no case
    # of their own (one condition for both, so that their derivatives fit where rates are equal).
    slower_v = a <= b
    apart = jnp.where(slower_v, b - a, a - b) * t
    passed = jnp.where(slower_v, left_v, left_i) * t * _mean_of_decay(apart)
    return circuit.leak + (v - circuit.leak) * left_v + circuit.strength * i * passed, i * left_i


def slope(circuit: Circuit, v: Array, i: Array) -> Array:
    """Change of the membrane per second."""
    return circuit.leak_rate * (circuit.leak - v) + circuit.strength * i


def first_crossing(
    circuit: Circuit, v: Array, i: Array, start: Array, end: Array, *, double: bool
) -> Float[Array, " neurons"]:
    """When each membrane reaches its threshold; infinity if not until `end`.

    At once for a membrane that is there already. Derivatives are those of the implicit function.

    Args:
        circuit: The neurons.
        v, i: Membranes and currents at `start`.
        start, end: Times in seconds.
        double: Whether tau_mem = 2 tau_syn for all of them.
    """
    fixed, v_fixed, i_fixed, horizon = jax.lax.stop_gradient((circuit, v, i, end - start))
    wait = (_of_quadratic if double else _of_newton)(fixed, v_fixed, i_fixed, horizon)
    wait = jnp.where(v_fixed >= fixed.threshold, 0.0, wait)
    time = jnp.where(wait <= horizon, jax.lax.stop_gradient(start) + wait, jnp.inf)
    return crossing_at(circuit, v, i, start, time)


@jax.custom_jvp
def crossing_at(circuit: Circuit, v: Array, i: Array, start: Array, time: Array) -> Array:
    """`time`, with the derivative that it has as the time at which the threshold is reached."""
    del circuit, v, i, start
    return time


@crossing_at.defjvp
def _crossing_at_jvp(
    primals: tuple[Circuit, Array, Array, Array, Array],
    tangents: tuple[Circuit, Array, Array, Array, Array],
) -> tuple[Array, Array]:
    circuit, v, i, start, time = primals
    known = jnp.isfinite(time)

    def above(circuit: Circuit, v: Array, i: Array, start: Array) -> Array:
        return flow(circuit, v, i, jnp.where(known, time - start, 0.0))[0] - circuit.threshold

    _, by_state = jax.jvp(above, primals[:4], tangents[:4])
    inverse = inverse_rise(circuit, flow(circuit, v, i, jnp.where(known, time - start, 0.0))[1])
    return time, jnp.where(known, -by_state * inverse, 0.0)


def inverse_rise(circuit: Circuit, i: Array) -> Array:
    """1 / slope of a membrane at the threshold; 0 where it only touches it and moves no spike."""
    rise = slope(circuit, circuit.threshold, i)
    parts = jnp.abs(circuit.leak_rate * (circuit.leak - circuit.threshold)) + jnp.abs(
        circuit.strength * i
    )
    crosses = jnp.abs(rise) > 1e-6 * parts
    return jnp.where(crosses, 1 / jnp.where(crosses, rise, 1.0), 0.0)


def _of_quadratic(circuit: Circuit, v: Array, i: Array, horizon: Array) -> Array:
    """The crossing for tau_mem = 2 tau_syn: x = exp(-a t) solves p x - q x^2 = threshold - leak."""
    del horizon
    height = circuit.threshold - circuit.leak
    q = circuit.strength * i / circuit.leak_rate
    p = v - circuit.leak + q
    under = p**2 - 4 * q * height
    root = jnp.sqrt(jnp.maximum(under, 0))
    # 1/x = exp(a t), of the larger root x where the parabola opens downwards: the one of the two
    # forms in which nothing cancels.
    sum_, twice = p + root, 2 * height
    by_sum = 2 * q / jnp.where(sum_ != 0, sum_, 1)
    by_difference = (p - root) / jnp.where(twice != 0, twice, 1)
    grown = jnp.where(p >= 0, by_sum, by_difference)
    crosses = (under >= 0) & (grown > 1) & jnp.where(p >= 0, sum_ != 0, twice != 0)
    return jnp.where(crosses, jnp.log(jnp.where(crosses, grown, 1)) / circuit.leak_rate, jnp.inf)


def _of_newton(circuit: Circuit, v: Array, i: Array, horizon: Array) -> Array:
    turn = _turning_point(circuit, v, i, horizon)
    early = flow(circuit, v, i, turn)[0] >= circuit.threshold
    late = flow(circuit, v, i, horizon)[0] >= circuit.threshold
    low = jnp.where(early, 0.0, turn)
    high = jnp.where(early, turn, jnp.broadcast_to(horizon, turn.shape))
    exact = jnp.finfo(v.dtype).eps * (horizon + 1 / circuit.decay_rate)

    def go_on(carry: Any) -> Array:
        _, _, _, change, count = carry
        return (count < ITERATIONS) & jnp.any((early | late) & (change > exact))

    def step(carry: Any) -> Any:
        low, high, t, _, count = carry
        v_t, i_t = flow(circuit, v, i, t)
        below, rise = circuit.threshold - v_t, slope(circuit, v_t, i_t)
        low, high = jnp.where(below > 0, t, low), jnp.where(below > 0, high, t)
        newton = t + below / jnp.where(rise > 0, rise, 1)
        inside = (rise > 0) & (newton >= low) & (newton <= high)
        after = jnp.where(inside, newton, (low + high) / 2)
        return low, high, after, jnp.abs(after - t), count + 1

    start = (low, high, low, jnp.full_like(low, jnp.inf), jnp.int32(0))
    *_, t, _, _ = jax.lax.while_loop(go_on, step, start)
    return jnp.where(early | late, t, jnp.inf)


def _turning_point(circuit: Circuit, v: Array, i: Array, horizon: Array) -> Array:
    """Where the membrane turns, or the horizon if it does not before."""
    a, b = circuit.leak_rate, circuit.decay_rate
    drive = b * circuit.strength * i
    first = slope(circuit, v, i) / jnp.where(drive != 0, drive, 1)
    x = (b - a) * first
    turns = (drive != 0) & (first > 0) & (x < 1)
    x = jnp.where(turns, x, 0)
    small = jnp.abs(x) < 1e-4
    safe = jnp.where(small, 0.5, x)
    factor = jnp.where(small, 1 + x / 2, -jnp.log1p(-safe) / safe)
    return jnp.where(turns, jnp.minimum(first * factor, horizon), horizon)


def _mean_of_decay(x: Array) -> Array:
    """(1 - exp(-x)) / x, the mean of exp(-x') for x' from 0 to x."""
    small = x < 0.02  # a derivative of the quotient would cancel
    safe = jnp.where(small, 1.0, x)
    series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4))
    return jnp.where(small, series, -jnp.expm1(-safe) / safe)
