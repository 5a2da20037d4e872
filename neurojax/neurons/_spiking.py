"""When a neuron spikes and what a spike does to it: threshold, reset, bound, refractory period.

Written once for all neurons. The order within a step, after leak and input: spike decision, reset,
refractory period, lower bound. A reset may also come one step late, see `reset_delay`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, State
from neurojax._measured import OUTPUT, inject, inject_all
from neurojax._recompute import recomputed
from neurojax.neurons._neuron import (
    AbstractNeuron,
    Parameter,
    check_choice,
    check_range,
    number,
    option,
)
from neurojax.surrogate import ATan, Surrogate, multi_spike, spike

RESETS = ("subtract", "zero", "value", "none")
DELAYS = (False, True, "before", "compensated")


class MembraneState(NamedTuple):
    """State of a neuron without synaptic current."""

    v: Array  # membrane potential at the end of the step
    refractory: Array | None = None  # steps left in which the neuron is silent


class Fired(NamedTuple):
    """The end of a step."""

    v: Array
    refractory: Array | None
    spikes: Array


class _Told(NamedTuple):
    """What was measured of a step; None for what was not."""

    v: Array | None
    spikes: Array | None


class AbstractSpiking(AbstractNeuron):
    """A neuron with a threshold."""

    threshold: Parameter = number(1.0)
    reset: str = option("subtract")
    reset_value: Parameter = number(0.0)
    reset_delay: bool | str = option(False)
    detach_reset: bool = option(False)
    strict: bool = option(False)
    max_spikes: int | None = option(1)
    refractory: Parameter | None = number(None)
    amplitude: Parameter | None = number(None)
    winner_take_all: bool = option(False)
    detach_threshold: bool = option(False)
    surrogate: Surrogate = option(ATan())

    def __check_init__(self) -> None:
        check_choice(self.name, "reset", self.reset, RESETS)
        check_choice(self.name, "reset_delay", self.reset_delay, DELAYS)
        for name in ("detach_reset", "detach_threshold", "strict", "winner_take_all"):
            check_choice(self.name, name, getattr(self, name), (False, True))
        check_range(self, "refractory", 0.0)
        n = self.max_spikes
        if n is not None and (isinstance(n, bool) or not isinstance(n, int) or n < 1):
            raise ValueError(
                f"{self.name}: max_spikes is {n!r}; it must be an integer >= 1, or None for as "
                "many as there are thresholds in the membrane potential"
            )
        if n != 1:
            check_range(self, "threshold", 0.0, inclusive=False)
            if self.strict:
                raise ValueError(
                    f"{self.name}: strict=True needs max_spikes=1, found {n!r}; several spikes are "
                    "counted as whole thresholds, which includes equality"
                )
        if self.reset != "value" and self.refractory is None and _nonzero(self.reset_value):
            raise ValueError(
                f"{self.name}: reset_value is given, but reset={self.reset!r} does not use it; "
                "use reset='value'"
            )
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"{self.name}: surrogate is {self.surrogate!r}; use an object such as "
                "surrogate.ATan(), or surrogate.by_name('atan')"
            )

    def resolved(self) -> dict[str, Any]:
        fields = super().resolved()
        if self.refractory is not None:
            fields["refractory"] = whole_steps(self.refractory, self.dt)
        return fields

    def first_refractory(self, in_shape: Shape) -> Array | None:
        """The refractory counter before the first step."""
        return None if self.refractory is None else jnp.zeros(in_shape)

    def advance(self, state: Any, x: Array, measured: Mapping[str, Array]) -> tuple[Any, Array]:
        """A time step, given what was measured of membrane and spikes; `fire` takes it."""
        raise NotImplementedError(f"{self.name} does not define advance()")

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        del key
        state, spikes = self.advance(state, x, measured)
        return inject_all(state, spikes, measured)

    def carried(self, v: Array, threshold: Parameter | None = None) -> Array:
        """The membrane potential that a step starts from (`reset_delay="before"` resets it)."""
        if self.reset_delay != "before":
            return v
        threshold = self.threshold if threshold is None else threshold

        def begin(v: Array) -> Array:
            return self._after_reset(v, self._crossed(v, threshold)[1], threshold)

        return recomputed(begin, v) if self._costly(threshold, resets=True) else begin(v)

    def fire(
        self,
        v: Array,
        state: Any,
        measured: Mapping[str, Array],
        threshold: Parameter | None = None,
    ) -> Fired:
        """Spikes, and what they leave of the membrane potential.

        Args:
            v: Membrane potential after leak and input.
            state: State at the end of the step before, with `v` and `refractory`.
            measured: Values of a device for this step, if there are any: its spikes are those of
                the step and reset the membrane; its membrane is where the spikes take their
                derivative, and what the next step starts from.
            threshold: Default: the neuron's own.
        """
        threshold = self.threshold if threshold is None else threshold
        told = _Told(measured.get("v"), measured.get(OUTPUT))
        if told.spikes is not None and told.v is None and self.reset_delay is not False:
            raise ValueError(
                f"{self.name}: a late reset (reset_delay={self.reset_delay!r}) goes by the "
                "membrane of the step before; with measured spikes give the measured membrane, too"
            )
        late = self.reset_delay is True or self.reset_delay == "compensated"
        before = state.v if late else None
        silent = None if self.refractory is None else state.refractory > 0

        def end(
            v: Array, before: Array | None, silent: Array | None, told: _Told
        ) -> tuple[Array, Array, Array]:
            return self._end(v, before, silent, told, threshold)

        if self._costly(threshold, resets=self.reset_delay != "before"):
            v, spikes, fired = recomputed(end, v, before, silent, told)
        else:
            v, spikes, fired = end(v, before, silent, told)
        refractory = state.refractory
        if self.refractory is not None:
            left = jnp.maximum(refractory - 1, 0)
            refractory = jnp.where(fired, self.refractory, left).astype(left.dtype)
        return Fired(v, refractory, spikes)

    def _end(
        self,
        v: Array,
        before: Array | None,
        silent: Array | None,
        told: _Told,
        threshold: Parameter,
    ) -> tuple[Array, Array, Array]:
        """Membrane potential at the end of the step, output, and where there is a spike.

        Args:
            v: Membrane potential after leak and input.
            before: At the end of the step before, if the reset comes late.
            silent: Where the neuron is in its refractory period.
            told: What was measured of this step.
            threshold: Of this step.
        """
        if told.v is not None:
            return self._end_at(v, silent, told, threshold)
        if before is not None:
            _, previous = self._crossed(before, threshold)
            if self.reset_delay == "compensated":
                previous = jax.lax.stop_gradient(previous)
            v = self._after_reset(v, previous, threshold)
        spikes, events = self._crossed(v, threshold)
        if self.winner_take_all:
            winner = _winner(v - threshold)
            spikes, events = spikes * winner, events * winner
        if told.spikes is not None:
            count = told.spikes if self.amplitude is None else told.spikes / self.amplitude
            once = self.max_spikes != 1 and self.reset not in ("subtract", "none")
            events = inject(events, count > 0 if once else count)
        if self.reset_delay is False:
            v = self._after_reset(v, events, threshold)
        elif self.reset_delay == "compensated":
            v = self._after_reset(v, events - previous, threshold)
        if silent is not None:
            spikes = jnp.where(silent, 0, spikes)
            v = jnp.where(silent, self.reset_value, v)
        return self.bounded(v), *self._sent(spikes, told)

    def _end_at(
        self, v: Array, silent: Array | None, told: _Told, threshold: Parameter
    ) -> tuple[Array, Array, Array]:
        """`_end` at a measured membrane: resets, bounds and pauses are in it already."""
        v = inject(v, told.v)
        spikes, _ = self._crossed(v, threshold)
        if self.winner_take_all:
            spikes = spikes * _winner(v - threshold)
        if silent is not None:
            spikes = jnp.where(silent, 0, spikes)
            # Held there by the pause, it does not follow the potential of the step before.
            v = inject(jnp.where(silent, self.reset_value, v), told.v)
        return v, *self._sent(spikes, told)

    def _sent(self, spikes: Array, told: _Told) -> tuple[Array, Array]:
        """The output, and where there is a spike."""
        fired = spikes > 0 if told.spikes is None else told.spikes != 0
        if self.amplitude is not None:
            spikes = self.amplitude * spikes
        return (spikes if told.spikes is None else inject(spikes, told.spikes)), fired

    def _costly(self, threshold: Parameter, *, resets: bool) -> bool:
        """Whether spikes and reset need more than one array of numbers for their gradient.

        Then back-propagation computes them again from the membrane potential. With one number, the
        surrogate's derivative, nothing is gained by keeping the potential instead. Nor with a
        winner among many neurons, which takes longer to find again than to keep.

        Args:
            threshold: Of this step.
            resets: Whether there is a reset with the spikes.
        """
        if self.winner_take_all:
            return False
        learned = eqx.is_array(threshold)
        if learned and self.max_spikes != 1:
            return True
        if not resets or self.reset == "none":
            return False
        return learned if self.reset == "subtract" else not self.detach_reset

    def _crossed(self, v: Array, threshold: Parameter) -> tuple[Array, Array]:
        """Number of spikes, and how often the reset acts on them."""
        if self.detach_threshold:
            threshold = jax.lax.stop_gradient(threshold)
        if self.max_spikes == 1:
            once = spike(v - threshold, self.surrogate, threshold=threshold, strict=self.strict)
            return once, once
        count = multi_spike(v, threshold, self.surrogate, max_spikes=self.max_spikes)
        if self.reset in ("subtract", "none"):
            return count, count
        return count, spike(v - threshold, self.surrogate, threshold=threshold)

    def _after_reset(self, v: Array, events: Array, threshold: Parameter) -> Array:
        if self.reset == "none":
            return v
        if self.detach_reset:
            events = jax.lax.stop_gradient(events)
        if self.reset == "subtract":
            return v - events * threshold
        value = 0.0 if self.reset == "zero" else self.reset_value
        if self.detach_reset and self.reset_delay is False:
            # Back-propagation then keeps one bit a neuron of this, not a number.
            return jnp.where(events > 0, value, v)
        return (1 - events) * v + events * value


def _winner(u: Array) -> Array:
    """1 for the largest entry along the first axis (the first one of several), else 0."""
    return jax.nn.one_hot(jnp.argmax(u, axis=0), u.shape[0], axis=0, dtype=u.dtype)


def whole_steps(period: Parameter, dt: Parameter) -> Parameter:
    """Steps that cover a period; 5e-6 / 1e-6 is 5 steps, whatever the rounding of the quotient."""
    steps = period / dt
    return jnp.ceil(steps - 1e-6 * steps) if eqx.is_array(steps) else math.ceil(steps * (1 - 1e-6))


def _nonzero(value: Parameter) -> bool:
    return not eqx.is_array(value) and bool(value != 0)
