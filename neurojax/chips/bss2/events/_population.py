"""Neurons that go from event to event: the next one is an input, or the first of their own spikes.

One scan over a fixed number of events serves any group of neurons, with or without connections
among them, and with computed or measured spikes. Its gradient is taken through the crossings of the
threshold by automatic differentiation ("analytical"), or by EventProp, which goes back from event
to event with two adjoints a neuron. With p_v and p_i the derivatives of the loss by membrane and
current, a spike of neuron n with connections w_kn moves by dL/dt = g + sum_k w_kn (b p_i - s p_v)_k
- p_vn v'_after, where g is what the loss says of its time, and

    p_vn <- -(dL/dt) / v'_before,    v' = a (leak - v) + s i at the threshold and at the reset;

for an input spike dL/dt is the same sum without the last term, and dL/dw_kj = p_ik. All parameters
have exact derivatives.

References:
    T. C. Wunderlich and C. Pehle, "Event-based backpropagation can compute exact gradients for
    spiking neural networks", Scientific Reports 11, 2021, https://arxiv.org/abs/2009.08378 (there
    for a leak of 0; l_V = p_v / tau_mem, l_I = p_i / tau_syn).
"""

from __future__ import annotations

import functools as ft
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from neurojax.chips.bss2.events._circuit import (
    Circuit,
    crossing_at,
    first_crossing,
    flow,
    inverse_rise,
    slope,
)
from neurojax.chips.bss2.events._spikes import NONE, Spikes


class Population(NamedTuple):
    """Neurons and the weights onto them, without the spikes."""

    circuit: Circuit
    v: Float[Array, " neurons"]  # membrane at the beginning
    from_input: Float[Array, "inputs neurons"]
    from_own: Float[Array, "neurons neurons"] | None  # None without connections among them


class Events(eqx.Module):
    """All that happened to a population, earliest first; at the end entries without event."""

    time: Float[Array, " events"]  # seconds, infinity for none
    index: Int[Array, " events"]  # of the input or of the neuron that spiked, -1 for none
    own: Bool[Array, " events"]  # whether it is a spike of the population


class Settings(NamedTuple):
    """What is not computed with."""

    t_max: float
    events: int
    double: bool


class _Kept(NamedTuple):
    """What the way back needs of an event."""

    i: Array  # current of the neuron that spiked
    states: tuple[Array, Array] | None  # membrane and current after the event before


def evolve(
    settings: Settings, population: Population, inputs: Spikes, measured: Spikes | None
) -> tuple[Events, Int[Array, ""]]:
    """The events of one sample until t_max, and a count of those that there was no room for.

    Args:
        settings: End, number of events there is room for, whether tau_mem = 2 tau_syn.
        population: The neurons.
        inputs: Spikes onto them.
        measured: Spikes of the neurons that take the place of the computed ones.

    Returns:
        The events; input spikes that were left over, and neurons that would have spiked next.
    """
    events, _, lost = _run(settings, population, inputs, measured, with_states=False)
    return events, lost


def _run(
    settings: Settings,
    population: Population,
    inputs: Spikes,
    measured: Spikes | None,
    *,
    with_states: bool,
) -> tuple[Events, _Kept, Array]:
    circuit, _, from_input, from_own = population
    t_max = jnp.asarray(settings.t_max, inputs.time.dtype)
    neurons = jnp.arange(len(population.v))
    queue, told = _closed(inputs), None if measured is None else _closed(measured)

    def next_own(t: Array, v: Array, i: Array, place: Array) -> tuple[Array, Array]:
        if told is None:
            times = first_crossing(circuit, v, i, t, t_max, double=settings.double)
            n = jnp.argmin(times)
            return times[n], n
        n = jnp.maximum(told.index[place], 0)
        one = jax.tree.map(lambda x: x[n], circuit)
        return crossing_at(one, v[n], i[n], t, jax.lax.stop_gradient(told.time[place])), n

    def step(carry: Any, _: None) -> tuple[Any, Any]:
        t, v, i, head, place = carry
        own_time, n = next_own(t, v, i, place)
        input_time, source = queue.time[head], queue.index[head]
        first = own_time < input_time
        time = jnp.where(first, own_time, input_time)
        there = time <= t_max
        own, given = there & first, there & ~first
        wait = jnp.where(there, time - t, 0)
        before = (v, i) if with_states else None
        v, i = flow(circuit, v, i, wait)
        kept = _Kept(i[n], before)
        v = jnp.where(own & (neurons == n), circuit.reset, v)
        i = i + jnp.where(given, from_input[source], 0)
        if from_own is not None:
            i = i + jnp.where(own, from_own[n], 0)
        event = Events(
            jnp.where(there, time, jnp.inf),
            jnp.where(there, jnp.where(first, n, source), NONE).astype(jnp.int32),
            own,
        )
        t = jnp.where(there, time, t)
        return (t, v, i, head + given, place + own), (event, kept)

    zero = jnp.int32(0)
    start = (jnp.zeros_like(t_max), population.v, jnp.zeros_like(population.v), zero, zero)
    (t, v, i, head, place), (events, kept) = jax.lax.scan(step, start, None, settings.events)
    lost = jnp.sum(inputs.time <= t_max) - head
    if measured is None:
        times = first_crossing(circuit, v, i, t, t_max, double=settings.double)
        lost = lost + jnp.sum(jnp.isfinite(times))
    else:
        lost = lost + jnp.sum(measured.time <= t_max) - place
    return events, kept, lost.astype(jnp.int32)


def _closed(train: Spikes) -> Spikes:
    """A spike train that has an end without spike."""
    return Spikes(
        jnp.append(train.time, jnp.asarray(jnp.inf, train.time.dtype)),
        jnp.append(train.index, jnp.asarray(NONE, train.index.dtype)),
    )


@ft.partial(jax.custom_vjp, nondiff_argnums=(0,))
def evolve_eventprop(
    settings: Settings, population: Population, inputs: Spikes, measured: Spikes | None
) -> tuple[Events, Int[Array, ""]]:
    """`evolve`, differentiated by EventProp."""
    return evolve(settings, population, inputs, measured)


def _eventprop_fwd(
    settings: Settings, population: Any, inputs: Any, measured: Any
) -> tuple[tuple[Events, Array], Any]:
    # Rates and strengths act between events, too: only then is what was there kept.
    rates = jax.tree.leaves(population.circuit[:3], is_leaf=_is_primal)
    with_states = any(rate.perturbed for rate in rates)
    population, inputs, measured = jax.tree.map(
        lambda x: x.value, (population, inputs, measured), is_leaf=_is_primal
    )
    events, kept, lost = _run(settings, population, inputs, measured, with_states=with_states)
    return (events, lost), (population, inputs, events, kept, measured)


def _is_primal(leaf: Any) -> bool:
    return hasattr(leaf, "perturbed")


def _eventprop_bwd(settings: Settings, residuals: Any, g: Any) -> tuple[Any, ...]:
    del settings
    population, inputs, events, kept, measured = residuals
    circuit, _, from_input, from_own = population
    to_time = g[0].time
    if isinstance(to_time, jax.custom_derivatives.SymbolicZero):
        to_time = jnp.zeros_like(events.time)
    there = events.index >= 0
    times = jnp.where(there, events.time, 0)
    waits = jnp.where(there, times - jnp.concatenate([jnp.zeros(1, times.dtype), times[:-1]]), 0)
    neurons = jnp.arange(len(population.v))

    def back(carry: tuple[Array, Array, Circuit], x: Any) -> tuple[Any, Any]:
        p_v, p_i, to_circuit = carry
        index, own, wait, g_time, kept = x
        moves = circuit.decay_rate * p_i - circuit.strength * p_v
        row = jnp.where(own, 0 if from_own is None else from_own[index], from_input[index])
        by_time = g_time + jnp.where(index >= 0, row @ moves, 0)
        # A spike: its neuron reached the threshold then, and not at another time.
        one = jax.tree.map(lambda c: c[index], circuit)
        by_spike = by_time - p_v[index] * slope(one, one.reset, kept.i)
        jump = -by_spike * inverse_rise(one, kept.i)
        mine = own & (neurons == index)
        to_circuit = to_circuit._replace(
            reset=to_circuit.reset + jnp.where(mine, p_v, 0),
            threshold=to_circuit.threshold - jnp.where(mine, jump, 0),
        )
        after = p_i
        p_v = jnp.where(mine, jump, p_v)
        # The flow is linear in the state: without rates it may start anywhere.
        v, i = (p_v, p_i) if kept.states is None else kept.states
        _, flow_back = jax.vjp(lambda c, v, i: flow(c, v, i, wait), circuit, v, i)
        more, p_v, p_i = flow_back((p_v, p_i))
        return (p_v, p_i, jax.tree.map(jnp.add, to_circuit, more)), (after, by_time)

    zeros = jnp.zeros_like(population.v)
    xs = (events.index, events.own, waits, to_time, kept)
    start = (zeros, zeros, jax.tree.map(jnp.zeros_like, circuit))
    (p_v, _, to_circuit), (to_rows, by_time) = jax.lax.scan(back, start, xs, reverse=True)

    given = there & ~events.own
    to_input = (
        jnp.zeros_like(from_input).at[events.index].add(jnp.where(given[:, None], to_rows, 0))
    )
    to_own = None
    if from_own is not None:
        to_own = (
            jnp.zeros_like(from_own)
            .at[events.index]
            .add(jnp.where(events.own[:, None], to_rows, 0))
        )
    # Inputs come in their order: the k-th input event is the k-th spike.
    place = jnp.where(given, jnp.cumsum(given) - 1, len(inputs.time))
    to_times = jnp.zeros_like(inputs.time).at[place].add(by_time, mode="drop")
    to_population = Population(to_circuit, p_v, to_input, to_own)
    silent = None if measured is None else _cotangent(jnp.zeros_like(measured.time))
    return to_population, _cotangent(to_times), silent


def _cotangent(to_time: Array) -> Spikes:
    """Derivatives by spikes: by their times, and none by whose they are."""
    none: Any = None
    return Spikes(to_time, none)


evolve_eventprop.defvjp(_eventprop_fwd, _eventprop_bwd, symbolic_zeros=True)
