"""One time step of a neuron circuit: synaptic current, membrane, spike, adaptation, reset, pause.

Written once for all neurons of the chip, in the order of hxtorch (`cuba_aelif_integration`):

    v <- v + dt/c_mem i + dt/tau_mem (leak - v + D exp((v - V_T) / D)) - dt/c_mem w
    i <- i - dt/tau_syn i + x
    z  = v > threshold
    w <- w - dt/tau_adap w + dt/tau_adap a (v - leak) + b z
    v <- reset where z = 1; for refractory_time after it v stays there and z is 0

The membrane is driven by the current of the step before: input of step t moves the membrane in
step t + 1. A neuron has the terms that its class and its options name.

References:
    hxtorch (3bfc7aa), `hxtorch.spiking.functional.aelif`; for the neuron circuit S. Billaudelle et
    al., "An accurate and flexible analog emulation of AdEx neuron dynamics in silicon", 2022,
    https://arxiv.org/abs/2209.09280.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Constant, Shape, State
from neurojax._measured import OUTPUT, inject, inject_all, is_output
from neurojax.chips.bss2._equations import lines_of
from neurojax.neurons._neuron import (
    AbstractNeuron,
    Parameter,
    check_choice,
    check_range,
    number,
    option,
)
from neurojax.neurons._spiking import whole_steps
from neurojax.surrogate import SuperSpike, Surrogate, spike

METHODS = ("euler", "exact")


class NeuronState(NamedTuple):
    """State of a neuron circuit at the end of a step."""

    v: Array  # membrane potential, after the reset
    i: Array  # synaptic current, drives the membrane in the next step
    w: Array | None = None  # adaptation current
    refractory: Array | None = None  # steps left in which the neuron is silent


class AbstractCircuit(AbstractNeuron):
    """A membrane and a synaptic current; sub-classes add leak, spikes and adaptation."""

    tau_mem: Parameter = number(10e-6)
    tau_syn: Parameter = number(10e-6)
    c_mem: Parameter | None = number(None)
    dt: Parameter = number(1e-6)
    method: str = option("euler")

    def __check_init__(self) -> None:
        check_choice(self.name, "method", self.method, METHODS)
        check_range(self, "c_mem", 0.0, inclusive=False)
        for name in self.periods:
            check_range(self, name, 0.0, inclusive=False)
            period, dt = getattr(self, name), self.dt
            known = isinstance(period, Constant) and isinstance(dt, Constant)
            if known and self.method == "euler" and dt > period:
                raise ValueError(
                    f"{self.name}: dt is {dt:g} and {name} is {period:g} s; an explicit Euler step "
                    "longer than the time constant oscillates: use a smaller dt, or method='exact'"
                )

    @property
    def periods(self) -> tuple[str, ...]:
        """Names of the fields that are time constants."""
        return ("tau_mem", "tau_syn")

    def resolved(self) -> dict[str, Any]:
        """The neuron in time steps, by Euler's method; an exact decay is one with another tau."""
        fields = super().resolved() | {"method": "euler"}
        for name in self.periods:
            fields[name] = 1 / _rate(getattr(self, name) / self.dt, self.method)
        # The input acts as often as the leak, whatever its strength.
        weaker = 1.0 if self.c_mem is None else self.c_mem / self.tau_mem
        fields["c_mem"] = weaker * fields["tau_mem"]
        return fields

    def init(self, in_shape: Shape) -> NeuronState:
        return NeuronState(self.first_v(in_shape, self.resting), jnp.zeros(in_shape))

    @property
    def resting(self) -> Parameter:
        """Membrane potential before the first step, if `v_init` does not say."""
        return 0.0

    def flow(self, state: NeuronState) -> Array:
        """What a time step adds to the membrane potential, before spike and reset."""
        if self.c_mem is None or eqx.is_array(self.dt) or self.dt != 1:
            raise ValueError(f"{self.name}: call prepare(None) first, as simulate does")
        return self.driving(state) / self.c_mem

    def driving(self, state: NeuronState) -> Array:
        """The current onto the membrane."""
        plain = not eqx.is_array(self.gain) and self.gain == 1
        return state.i if plain else self.gain * state.i

    def current(self, i: Array, x: Array) -> Array:
        """The synaptic current at the end of a step."""
        return i * (1 - 1 / self.tau_syn) + x

    def equations(self) -> tuple[str, ...]:
        return lines_of(self.prepare(None))

    def describe(self) -> str:
        given = []
        for name in ("tau_mem", "tau_syn"):
            value = getattr(self, name)
            text = f"{value * 1e6:g} us" if isinstance(value, Constant) else "learned"
            given.append(f"{name} {text}")
        return f"bss2.{self.name} {', '.join(given)}"


class AbstractLeaky(AbstractCircuit):
    """A membrane that leaks to `leak`, and starts there."""

    leak: Parameter = number(0.0)

    @property
    def resting(self) -> Parameter:
        return self.leak

    def flow(self, state: NeuronState) -> Array:
        return super().flow(state) + (self.leak - state.v) / self.tau_mem


class AbstractReadout(AbstractCircuit):
    """A circuit whose output is its membrane potential."""

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        v = self.bounded(state.v + self.flow(state))
        return NeuronState(v, self.current(state.i, x)), v

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        state, v = self.step(state, x, key=key)
        return inject_all(state, v, is_output("v", measured))


class AbstractFiring(AbstractCircuit):
    """A circuit with a threshold, whose output is its spikes."""

    threshold: Parameter = number(1.0)
    reset: Parameter = number(0.0)
    refractory_time: Parameter = number(0.0)
    surrogate: Surrogate = option(SuperSpike(50.0))

    def __check_init__(self) -> None:
        check_range(self, "refractory_time", 0.0)
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"{self.name}: surrogate is {self.surrogate!r}; use an object such as "
                "surrogate.SuperSpike(50), or surrogate.by_name('SuperSpike')"
            )

    def resolved(self) -> dict[str, Any]:
        return super().resolved() | {"refractory_time": whole_steps(self.refractory_time, self.dt)}

    @property
    def pauses(self) -> bool:
        """Whether there is a refractory period at all."""
        return eqx.is_array(self.refractory_time) or bool(self.refractory_time > 0)

    def init(self, in_shape: Shape) -> NeuronState:
        refractory = jnp.zeros(in_shape) if self.pauses else None
        return super().init(in_shape)._replace(refractory=refractory)

    def adapted(
        self, state: NeuronState, v: Array, spikes: Array, measured: Mapping[str, Array]
    ) -> Array | None:
        """The adaptation current at the end of a step."""
        del v, spikes, measured
        return state.w

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        """A time step, given what was measured of it.

        A measured membrane takes the place of the computed one before the spike decision, so that
        spikes take their derivative there; it has its resets in it.
        """
        del key
        told_v, told_spikes = measured.get("v"), measured.get(OUTPUT)
        v = state.v + self.flow(state)
        i = self.current(state.i, x)
        if told_v is not None:
            v = inject(v, told_v)
        spikes = spike(v - self.threshold, self.surrogate, threshold=self.threshold, strict=True)
        if told_spikes is not None:
            spikes = inject(spikes, told_spikes)
        w = self.adapted(state, v, spikes, measured)
        refractory = state.refractory
        if told_v is None:
            # What the derivative keeps of this is one bit a neuron.
            v = self.bounded(jnp.where(spikes > 0, self.reset, v))
        if refractory is not None:
            silent = refractory > 0
            v, spikes = jnp.where(silent, self.reset, v), jnp.where(silent, 0, spikes)
            v = v if told_v is None else inject(v, told_v)
            spikes = spikes if told_spikes is None else inject(spikes, told_spikes)
            left = jnp.maximum(refractory - 1, 0)
            refractory = jnp.where(spikes > 0, self.refractory_time, left).astype(left.dtype)
        return inject_all(NeuronState(v, i, w, refractory), spikes, measured)


def _rate(tau: Any, method: str) -> Any:
    """What a step takes off a deviation: 1/tau, or 1 - exp(-1/tau)."""
    if method == "euler":
        return 1 / tau
    return -jnp.expm1(-1 / tau) if eqx.is_array(tau) else -math.expm1(-1 / tau)
