"""Simulating a network from event to event, with exact spike times."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from neurojax._network import Network
from neurojax.chips.bss2.events._groups import Group, groups, populations
from neurojax.chips.bss2.events._population import (
    Events,
    Settings,
    evolve,
    evolve_eventprop,
)
from neurojax.chips.bss2.events._spikes import NONE, Spikes, concrete, merge, spikes

GRADIENTS = ("eventprop", "analytical")


class EventRun(NamedTuple):
    """What an event-driven run gives.

    `lost` counts what there was no room for: input spikes that were not taken in, and neurons that
    were about to spike (or measured spikes that were not). Where it is not 0, the spikes are right
    up to the last one, and later ones are missing.
    """

    spikes: dict[str, Spikes]  # of every population
    lost: dict[str, Int[Array, "*batch"]]  # by population
    outputs: Spikes | dict[str, Spikes]  # of the network's output, a dict if there are several


def simulate(
    network: Network,
    inputs: Spikes | Mapping[str, Spikes],
    *,
    t_max: float,
    max_events: int | Mapping[str, int],
    gradient: str = "eventprop",
    measured: Mapping[str, Spikes] | None = None,
    key: PRNGKeyArray | None = None,
) -> EventRun:
    """Run a network in continuous time, from spike to spike.

    The same network that `nj.simulate` runs in steps of `dt`, without steps: between spikes,
    membranes and currents follow their closed form, and the next spike is computed. Neurons are
    `bss2.LIF`, `bss2.IAF` or `bss2.EventPropLIF`; linear synapses of any kind are between them,
    also recurrent ones, which act at once. Of a spike at the time of an input spike the input comes
    first.

    Args:
        network: The network; its outputs must be neurons.
        inputs: Spikes `(..., spikes)` of the input, or `{name: spikes}` of several.
        t_max: End of the run in seconds; there are no spikes later.
        max_events: Room for events of a population, or of each by name: spikes that come in and
            its own together. Populations that feed back into each other share the largest of
            theirs. Computing time and memory grow with it.
        gradient: `"eventprop"`, or `"analytical"` by automatic differentiation of every step, also
            in forward mode. Both are exact, for weights, input times and all parameters of the
            neurons; EventProp needs less memory and time.
        measured: Spikes that a device measured, by population: they take the place of the computed
            ones, and gradients are those of the model at that place.
        key: Where synapses draw (mismatch, dropout).

    Returns:
        The spikes of all populations, and what was lost of them.

    Raises:
        ValueError: A layer is not linear and not one of the neurons; names, shapes or options do
            not fit; or there are more events than there is room for (outside `jit`, where `lost`
            says so instead).

    References:
        E. Müller et al., "jaxsnn: Event-driven gradient estimation for analog neuromorphic
        hardware", NICE 2024, https://arxiv.org/abs/2401.16841.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> from neurojax.chips.bss2 import events
        >>> net = nj.Sequential((1,), nj.Linear.from_weights([[6.0]]),
        ...                     out=bss2.LIF(tau_mem=10e-6, tau_syn=5e-6, reset=-1000.0))
        >>> run = events.simulate(net, events.spikes([1e-6], [0]), t_max=40e-6, max_events=4)
        >>> print((run.outputs.time[:2] * 1e6).round(2))
        [3.37  inf]
    """
    if gradient not in GRADIENTS:
        raise ValueError(f"simulate: gradient is {gradient!r}; it must be one of {GRADIENTS}")
    if not (t_max > 0 and math.isfinite(t_max)):
        raise ValueError(f"simulate: t_max is {t_max}; it must be a time above 0, in seconds")
    parts = populations(network)
    trains = _named(network, inputs)
    told = _measured(parts, measured or {})
    room = _room(parts, max_events)
    axes = _batch_axes(trains, told)
    found, lost = _evolve(network, trains, told, key, float(t_max), tuple(room), gradient, axes)
    _refuse_lost(parts, lost, room)
    outputs = {name: found[name] for name in network.outputs}
    single = len(outputs) == 1
    return EventRun(found, lost, found[network.outputs[0]] if single else outputs)


@eqx.filter_jit
def _evolve(
    network: Network,
    trains: dict[str, Spikes],
    told: dict[str, Spikes],
    key: PRNGKeyArray | None,
    t_max: float,
    room: tuple[int, ...],
    gradient: str,
    batch_axes: int,
) -> tuple[dict[str, Spikes], dict[str, Array]]:
    """Spikes of every population, and how many were lost."""
    parts = groups(network, key)
    step = evolve_eventprop if gradient == "eventprop" else evolve

    def one(
        trains: dict[str, Spikes], told: dict[str, Spikes]
    ) -> tuple[dict[str, Spikes], dict[str, Array]]:
        seen, found, lost = dict(trains), {}, {}
        for part, events_most in zip(parts, room, strict=True):
            arriving = [
                _numbered(seen[source], first)
                for source, first in zip(part.sources, part.starts, strict=True)
            ] or [Spikes(jnp.full(1, jnp.inf), jnp.full(1, NONE))]
            settings = Settings(t_max, events_most, part.double)
            events, missing = step(settings, part.population, merge(arriving), _known(part, told))
            start = 0
            for name, size in zip(part.names, part.sizes, strict=True):
                seen[name] = found[name] = _spikes_of(events, start, size)
                lost[name] = missing
                start += size
        return found, lost

    batched = one
    for _ in range(batch_axes):
        batched = jax.vmap(batched)
    return batched(trains, told)


def _numbered(train: Spikes, first: int) -> Spikes:
    return Spikes(train.time, jnp.where(train.index >= 0, train.index + first, NONE))


def _spikes_of(events: Events, start: int, size: int) -> Spikes:
    """The spikes of a part of a population."""
    mine = events.own & (events.index >= start) & (events.index < start + size)
    order = jnp.argsort(~mine, stable=True)  # in time they are in order already
    time, index = jnp.where(mine, events.time, jnp.inf), jnp.where(mine, events.index - start, NONE)
    return Spikes(time[order], index[order])


def _known(part: Group, told: Mapping[str, Spikes]) -> Spikes | None:
    """The measured spikes of a group."""
    if not any(name in told for name in part.names):
        return None
    starts = [sum(part.sizes[:k]) for k in range(len(part.names))]
    return merge([_numbered(told[n], s) for n, s in zip(part.names, starts, strict=True)])


def _named(network: Network, inputs: Spikes | Mapping[str, Spikes]) -> dict[str, Spikes]:
    """The spikes of every input, sorted."""
    if isinstance(inputs, Spikes):
        if len(network.inputs) != 1:
            raise ValueError(
                f"simulate: the network has the inputs {sorted(network.inputs)}; give a dict with "
                "the spikes of each"
            )
        inputs = {next(iter(network.inputs)): inputs}
    if set(inputs) != set(network.inputs):
        raise ValueError(
            f"simulate: spikes are given for {sorted(inputs)}, but the inputs are "
            f"{sorted(network.inputs)}"
        )
    sizes = {name: math.prod(shape) for name, shape in network.inputs.items()}
    return {name: _checked(name, train, sizes[name]) for name, train in inputs.items()}


def _checked(name: str, train: Spikes, size: int) -> Spikes:
    index = concrete(train.index)
    if index is not None and (index >= size).any():
        raise ValueError(
            f"simulate: '{name}' has {size} neurons, but there is a spike of neuron "
            f"{index.max()}; they are counted from 0"
        )
    return spikes(train.time, train.index)


def _measured(
    parts: Sequence[Mapping[str, int]], measured: Mapping[str, Spikes]
) -> dict[str, Spikes]:
    sizes = {name: size for part in parts for name, size in part.items()}
    for name in measured:
        if name not in sizes:
            raise ValueError(
                f"simulate: measured spikes are given for '{name}', but the populations are "
                f"{sorted(sizes)}"
            )
    for part in parts:
        given = [name for name in part if name in measured]
        if given and len(given) < len(part):
            raise ValueError(
                f"simulate: of {sorted(part)}, which feed back into each other, measured "
                f"spikes are given for {given} only; give those of all of them"
            )
    return {name: _checked(name, train, sizes[name]) for name, train in measured.items()}


def _room(parts: Sequence[Mapping[str, int]], max_events: int | Mapping[str, int]) -> list[int]:
    """Events there is room for, by group."""
    names = [name for part in parts for name in part]
    if not isinstance(max_events, Mapping):
        max_events = dict.fromkeys(names, max_events)
    if set(max_events) != set(names):
        raise ValueError(
            f"simulate: max_events is given for {sorted(max_events)}, but the populations are "
            f"{sorted(names)}"
        )
    for name, n in max_events.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ValueError(f"simulate: max_events of '{name}' is {n!r}; use an integer above 0")
    return [max(max_events[name] for name in part) for part in parts]


def _batch_axes(trains: Mapping[str, Spikes], told: Mapping[str, Spikes]) -> int:
    shapes = {name: train.time.shape[:-1] for name, train in {**trains, **told}.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"simulate: the batches differ: {shapes}")
    return len(next(iter(shapes.values())))


def _refuse_lost(
    parts: Sequence[Mapping[str, int]], lost: Mapping[str, Array], room: Sequence[int]
) -> None:
    """Raise ValueError if events are missing, as far as that is known."""
    problems = []
    for part, n in zip(parts, room, strict=True):
        name = next(iter(part))
        missing = concrete(lost[name])
        if missing is not None and (missing > 0).any():
            problems.append(
                f"population '{name}': there is room for {n} events, and {missing.max() + n} or "
                "more are due; raise max_events, or lower t_max"
            )
    if problems:
        raise ValueError("simulate: spikes would be lost\n" + "\n".join(problems))
