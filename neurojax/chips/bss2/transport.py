"""Events on their way to the synapses: some come late, some not at all."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Constant, Layer, Shape, State
from neurojax.chips.bss2._off import is_off
from neurojax.neurons._neuron import Parameter, number, option

TAIL = 4.0
"""Standard deviations of the jitter that are kept apart from one another; what is later comes with
the latest."""


class TransportState(NamedTuple):
    """Events under way."""

    pending: Array  # those that arrive 0, 1, ... steps after the next step


class Transport(Layer):
    """Passes events on, some late and some not at all.

    A time step is longer than most delays, so what counts is how often an event falls into another
    step. Within its step an event has a time that is unknown: uniform, anew for each. To this
    `latency` and a normal deviate of width `jitter` are added, and the step that the sum lies in is
    when the event arrives. (The chip's clock then cuts times to 8 ns. As long as steps are whole
    cycles of it, that changes no step.) No event arrives before the step in which it was sent:
    without a latency a negative deviate may leave it in its step, not move it to the one before. So
    with jitter s and a step dt >> s about s / (dt sqrt(2 pi)) of the events come one step late: 4 %
    for 0.1 us in steps of 1 us. With `latency=dt` events move both ways, around a delay of one
    step.

    Several events of one source in one step share what happens to them.

    Args:
        jitter: Standard deviation of the time of an event in seconds.
        latency: Seconds that every event takes.
        loss: Probability of an event to be lost.
        dt: Duration of a time step in seconds.
        longest: Steps that an event can be late. Default: as many as `latency` and four times
            `jitter` take; needed if `jitter` is an array.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((1,), late=bss2.Transport(latency=2e-6))
        >>> spikes = jnp.array([1.0, 0, 0, 0, 0]).reshape(5, 1, 1)
        >>> print(nj.simulate(net, spikes, key=jax.random.key(0)).outputs.ravel())
        [0. 0. 1. 0. 0.]
    """

    jitter: Parameter = number(0.0)
    latency: Parameter = number(0.0)
    loss: Parameter = number(0.0)
    dt: Parameter = number(1e-6)
    longest: int | None = option(None)

    def __check_init__(self) -> None:
        for name, high in (("jitter", math.inf), ("latency", math.inf), ("loss", 1.0)):
            value = getattr(self, name)
            if isinstance(value, Constant) and not 0 <= value <= high:
                raise ValueError(f"Transport: {name} is {value:g}; it must be within 0..{high:g}")
        if not eqx.is_array(self.dt) and not 0 < self.dt < math.inf:
            raise ValueError(f"Transport: dt is {self.dt!r}; it must be seconds > 0")
        known = all(not eqx.is_array(v) for v in (self.jitter, self.latency, self.dt))
        if self.longest is None and not known:
            raise ValueError(
                "Transport: jitter, latency or dt is an array, so how late events can be is not "
                "known; say it in steps with longest="
            )

    @property
    def delays(self) -> bool:
        """Whether events can be late at all."""
        return not (is_off(self.jitter) and is_off(self.latency))

    @property
    def slots(self) -> int:
        """Steps that an event can be late."""
        if self.longest is not None:
            return self.longest
        late: Any = (self.latency + TAIL * self.jitter) / self.dt
        return math.floor(float(late) * (1 - 1e-6)) + 1

    @property
    def needs_key(self) -> bool:
        return self.delays or not is_off(self.loss)

    def init(self, in_shape: Shape) -> TransportState | None:
        return TransportState(jnp.zeros((self.slots, *in_shape))) if self.delays else None

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        if not self.needs_key:
            return state, x
        if key is None:
            raise ValueError("Transport: step needs a key")
        both = self.delays and not is_off(self.loss)
        for_loss, for_delay = jax.random.split(key) if both else (key, key)
        if not is_off(self.loss):
            lost = jax.random.bernoulli(for_loss, self.loss, x.shape)
            x = jnp.where(lost, jnp.zeros((), x.dtype), x)
        if not self.delays:
            return state, x
        chance = jax.random.uniform(for_delay, x.shape, x.dtype)
        late = sum((chance >= self._before(k)).astype(jnp.int32) for k in range(1, self.slots + 1))
        slot = jnp.arange(self.slots + 1).reshape(-1, *(1,) * x.ndim)
        arriving = jnp.where(late == slot, x, jnp.zeros((), x.dtype))
        arriving = arriving.at[:-1].add(state.pending)
        return TransportState(arriving[1:]), arriving[0]

    def _before(self, steps: int) -> Array:
        """Probability of an event to be less than so many steps late."""
        left = steps - self.latency / self.dt
        if is_off(self.jitter):
            return jnp.clip(left, 0.0, 1.0)
        width = self.jitter / self.dt
        # The mean of the normal distribution's P(N < (left - u) / width) over u in 0..1.
        return width * (_integral(left / width) - _integral((left - 1) / width))

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


def _integral(x: Any) -> Array:
    """Integral of the normal distribution function from -infinity to x."""
    return x * jax.scipy.stats.norm.cdf(x) + jax.scipy.stats.norm.pdf(x)
