"""How a span of time steps is executed: the whole network step by step, or stage by stage.

`"step"` scans over time and runs every layer in each step: memory for one step of each layer.
`"layer"` runs each strongly connected stage over all the time steps before the next one: layers
without memory then see one large batch (a matrix product over time and batch at once), at the
price of holding their outputs for all steps. Both compute the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from neurojax._layer import BATCH_AXIS
from neurojax._network import Network, NetworkState
from neurojax._probe import Target, recorder

Values = dict[str, Array]
Inputs = Array | tuple[Array, ...]


# Found on 2 CPU cores over 17 networks, see docs/simulate.md.
WEIGHTS_PER_OUTPUT = 8
FREE_OUTPUTS = 3_500
MAX_BYTES = {"cpu": 2**28, "other": 2**30}


class Carry(NamedTuple):
    """What goes from one time step to the next."""

    state: NetworkState
    recordings: Values  # recordings of the probes that live in the carry
    t: Int[Array, ""]  # steps since the beginning of this run


class Plan(NamedTuple):
    """What stays the same over the time steps of a run."""

    network: Network  # prepared
    keys: Mapping[str, PRNGKeyArray]  # of the layers that draw random numbers in their steps
    targets: tuple[Target, ...]
    unroll: int


def choose(network: Network, state: NetworkState, steps: int, batch: int, backend: str) -> str:
    """The schedule that `"auto"` takes for a span of `steps` time steps.

    With `"step"`, back-propagation touches the gradient of every weight in every step; `"layer"`
    forms it in one product, but writes and reads the synapses' outputs of all steps. On a CPU it is
    therefore weights against outputs that decides, whatever the number of steps, which only limits
    how much memory the outputs may take. On accelerators, where this has not been measured, the few
    large products of `"layer"` are taken to be the better choice whenever they fit.
    """
    outputs = {name: batch * math.prod(network.out_shape(name)) for name in network.names}
    if 4 * steps * sum(outputs.values()) > MAX_BYTES["cpu" if backend == "cpu" else "other"]:
        return "step"
    weights = {
        stage[0]: sum(leaf.size for leaf in jax.tree.leaves(network.layers[stage[0]]))
        for stage in network.stages
        if len(stage) == 1 and state.layers[stage[0]] is None
    }
    synapses = [name for name, size in weights.items() if size > 0]
    if not synapses:
        return "step"
    if backend != "cpu":
        return "layer"
    gain = sum(weights[name] / WEIGHTS_PER_OUTPUT + FREE_OUTPUTS for name in synapses)
    return "layer" if sum(outputs[name] for name in synapses) < gain else "step"


def run_steps(plan: Plan, carry: Carry, inputs: Values) -> tuple[Carry, Values]:
    """Schedule `"step"`: one scan over the whole network. Returns outputs and full traces."""
    return _scan(plan, plan.network.names, carry, inputs, wanted=plan.network.outputs)


def run_layers(plan: Plan, carry: Carry, inputs: Values) -> tuple[Carry, Values]:
    """Schedule `"layer"`: one stage after the other, each over all time steps."""
    network = plan.network
    sequences, t_end = dict(inputs), carry
    traces: Values = {}
    for stage in network.stages:
        inner = {name for name in stage}
        feeding = {e.source for name in stage for e in network.incoming(name) if not e.recurrent}
        late = {e.source for name in stage for e in network.incoming(name) if e.recurrent} - inner
        external = {name: sequences[name] for name in feeding - inner}
        # A recurrent edge from an earlier stage: the whole sequence is known, one step late.
        external |= {
            _late(n): jnp.concatenate([carry.state.delayed[n][None], sequences[n][:-1]])
            for n in late
        }
        name = stage[0]
        # Every stage starts at the same time: random draws and thinned recordings depend on it.
        start = t_end._replace(t=carry.t, state=t_end.state._replace(steps=carry.state.steps))
        if len(stage) == 1 and carry.state.layers[name] is None and not _feeds_itself(plan, name):
            stage_carry, values = _all_at_once(plan, name, start, external)
        else:
            stage_carry, values = _scan(plan, stage, start, external, wanted=stage)
        delayed = dict(stage_carry.state.delayed)
        delayed |= {n: values[n][-1] for n in stage if n in delayed}
        t_end = stage_carry._replace(state=stage_carry.state._replace(delayed=delayed))
        sequences |= {n: values[n] for n in stage}
        traces |= {n: v for n, v in values.items() if n not in stage}
    steps = next(iter(inputs.values())).shape[0]
    state = t_end.state._replace(steps=carry.state.steps + steps)
    outputs = {name: sequences[name] for name in network.outputs}
    return t_end._replace(state=state, t=carry.t + steps), outputs | traces


def step_layer(
    plan: Plan, name: str, state: Any, x: Any, step: Int[Array, ""]
) -> tuple[Any, Array]:
    """One time step of one layer for the whole batch."""
    layer = plan.network.layers[name]
    if name not in plan.keys:
        return jax.vmap(layer.step, axis_name=BATCH_AXIS)(state, x)
    # Counted keys, not split ones: the draw of a sample at a step depends on nothing else.
    key = jax.random.fold_in(plan.keys[name], step)
    sample = jnp.arange(jax.tree.leaves(x)[0].shape[0])
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, sample)
    step_one = lambda state, x, key: layer.step(state, x, key=key)  # noqa: E731
    return jax.vmap(step_one, axis_name=BATCH_AXIS)(state, x, keys)


def _late(name: str) -> str:
    return f"{name} (one step late)"


def _trace_name(target: Target) -> str:
    return f"trace {target.probe.name}"


def _feeds_itself(plan: Plan, name: str) -> bool:
    return any(edge.source == name for edge in plan.network.incoming(name))


def gather(plan: Plan, name: str, now: Values, delayed: Values) -> Inputs:
    """Input of a layer: the sum over its incoming edges, or a tuple of them."""
    edges = plan.network.incoming(name)
    values = []
    for edge in edges:
        if not edge.recurrent:
            values.append(now[edge.source])
        else:
            late = _late(edge.source)
            values.append(now[late] if late in now else delayed[edge.source])
    if plan.network.layers[name].many_inputs:
        return tuple(values)
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _scan(
    plan: Plan, names: Sequence[str], carry: Carry, inputs: Values, *, wanted: Sequence[str]
) -> tuple[Carry, Values]:
    """Steps some layers together over time. Stacks the wanted outputs and the full traces."""
    targets = [target for target in plan.targets if target.layer in names]

    def body(carry: Carry, now: Values) -> tuple[Carry, Values]:
        state, recordings, t = carry
        layers, values, traces = dict(state.layers), dict(now), {}
        for name in names:
            x = gather(plan, name, values, state.delayed)
            layers[name], values[name] = step_layer(plan, name, layers[name], x, state.steps)
        for target in targets:
            value = target.read(layers[target.layer], values[target.layer])
            if target.in_carry:
                update = recorder(target.probe).update
                recordings = recordings | {
                    target.probe.name: update(recordings[target.probe.name], value, t)
                }
            else:
                traces[_trace_name(target)] = value
        delayed = {n: values[n] if n in names else old for n, old in state.delayed.items()}
        state = NetworkState(layers, delayed, state.steps + 1)
        return Carry(state, recordings, t + 1), {n: values[n] for n in wanted} | traces

    return jax.lax.scan(body, carry, inputs, unroll=plan.unroll)


def _all_at_once(plan: Plan, name: str, carry: Carry, inputs: Values) -> tuple[Carry, Values]:
    """Applies a layer without memory to all time steps at once."""
    x = gather(plan, name, inputs, {})
    steps = jax.tree.leaves(x)[0].shape[0]
    first = carry.state.steps
    apply = lambda x, step: step_layer(plan, name, None, x, step)[1]  # noqa: E731
    y = jax.vmap(apply)(x, first + jnp.arange(steps))
    values, recordings = {name: y}, dict(carry.recordings)
    for target in plan.targets:
        if target.layer != name:
            continue
        if not target.in_carry:
            values[_trace_name(target)] = y
            continue
        # Through the same recorder, one step after the other, so that both schedules round alike.
        recordings[target.probe.name] = _record(
            target, recordings[target.probe.name], y, carry.t + jnp.arange(steps)
        )
    return carry._replace(recordings=recordings), values


def _record(target: Target, recording: Array, values: Array, times: Array) -> Array:
    """Takes in the values of all time steps, one after the other."""
    update = recorder(target.probe).update

    def body(recording: Array, now: tuple[Array, Array]) -> tuple[Array, None]:
        return update(recording, *now), None

    return jax.lax.scan(body, recording, (values, times))[0]


def trace_of(values: Values, target: Target) -> Array:
    """The full trace of a probe among the values that a span returned."""
    return values[_trace_name(target)]
