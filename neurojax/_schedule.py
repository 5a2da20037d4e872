"""How a span of time steps is executed: the whole network step by step, or stage by stage.

`"step"` scans over time and runs every layer in each step: memory for one step of each layer.
`"layer"` runs each strongly connected stage over all the time steps before the next one: layers
without memory then see one large batch (a matrix product over time and batch at once), at the
price of holding their outputs for all steps. Both compute the same numbers.
"""

from __future__ import annotations

import functools as ft
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from neurojax._layer import BATCH_AXIS, Layer, step_layer
from neurojax._network import Network, NetworkState
from neurojax._probe import Target, recorder

Values = dict[str, Array]
Inputs = Array | tuple[Array, ...]


# Found on 2 CPU cores over 17 networks, see docs/simulate.md.
WEIGHTS_PER_OUTPUT = 4
FREE_OUTPUTS = 3_500
MAX_BYTES = {"cpu": 2**28, "other": 2**30}
# Fewer values than this a sample: the gradient of weights is faster with one axis for time and
# batch. From some 48 on it is not.
NARROW = 32


class Carry(NamedTuple):
    """What goes from one time step to the next."""

    state: NetworkState
    recordings: Values  # recordings of the probes that live in the carry
    t: Int[Array, ""]  # steps since the beginning of this run


class Moved(NamedTuple):
    """What some layers change in a step, by name: all that a scan over them has to carry."""

    layers: dict[str, Any]
    delayed: Values
    recordings: Values


class Measured(NamedTuple):
    """A series of values that were measured: of which layer, and of which field of its state."""

    layer: str
    field: str  # "" is the output

    @property
    def series(self) -> str:
        """Its name among the values of a step; no layer can be called so."""
        return f"{self.layer}.{self.field} (measured)"


class Plan(NamedTuple):
    """What stays the same over the time steps of a run."""

    network: Network  # prepared
    keys: Mapping[str, PRNGKeyArray]  # of the layers that draw random numbers in their steps
    targets: tuple[Target, ...]
    unroll: int
    measured: tuple[Measured, ...] = ()  # their series are among the inputs, by `Measured.series`


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
    moved, values = _scan(plan, plan.network.names, carry, inputs, wanted=plan.network.outputs)
    return _advanced(carry, moved, inputs), values


def run_layers(plan: Plan, carry: Carry, inputs: Values) -> tuple[Carry, Values]:
    """Schedule `"layer"`: one stage after the other, each over all time steps."""
    network = plan.network
    sequences, traces = dict(inputs), {}  # type: tuple[Values, Values]
    moved = Moved({}, {}, {})
    for stage in network.stages:
        inner = {name for name in stage}
        feeding = {e.source for name in stage for e in network.incoming(name) if not e.recurrent}
        late = {e.source for name in stage for e in network.incoming(name) if e.recurrent} - inner
        external = {name: sequences[name] for name in feeding - inner}
        external |= {m.series: inputs[m.series] for m in plan.measured if m.layer in inner}
        # A recurrent edge from an earlier stage: the whole sequence is known, one step late.
        external |= {
            _late(n): jnp.concatenate([carry.state.delayed[n][None], sequences[n][:-1]])
            for n in late
        }
        name = stage[0]
        if len(stage) == 1 and carry.state.layers[name] is None and not _feeds_itself(plan, name):
            stage_moved, values = _all_at_once(plan, name, carry, external)
        else:
            stage_moved, values = _scan(plan, stage, carry, external, wanted=stage)
        moved = Moved(*(old | new for old, new in zip(moved, stage_moved, strict=True)))
        sequences |= {n: values[n] for n in stage}
        traces |= {n: v for n, v in values.items() if n not in stage}
    return _advanced(carry, moved, inputs), {n: sequences[n] for n in network.outputs} | traces


def _advanced(carry: Carry, moved: Moved, inputs: Values) -> Carry:
    """The carry after the time steps of `inputs`."""
    steps = next(iter(inputs.values())).shape[0]
    state = NetworkState(
        {**carry.state.layers, **moved.layers},
        {**carry.state.delayed, **moved.delayed},
        carry.state.steps + steps,
    )
    return Carry(state, {**carry.recordings, **moved.recordings}, carry.t + steps)


def step_layers(
    plan: Plan,
    names: Sequence[str],
    layers: Mapping[str, Any],
    delayed: Values,
    now: Values,
    step: Int[Array, ""],
) -> tuple[dict[str, Any], Values]:
    """One time step of some layers, in order: their new states, and all values by name.

    Args:
        plan: What stays the same over time.
        names: The layers to step.
        layers: Their states.
        delayed: Outputs of the step before, of the sources of recurrent edges.
        now: Values of this step that come from elsewhere: inputs, and other layers' outputs.
        step: Time steps since the beginning.
    """
    states, values = dict(layers), dict(now)
    for name in names:
        x = _gather(plan, name, values, delayed)
        measured = _measured_of(plan, name, values)
        states[name], values[name] = _step_layer(plan, name, states[name], x, measured, step)
    return states, values


def _step_layer(
    plan: Plan, name: str, state: Any, x: Any, measured: Values, step: Int[Array, ""]
) -> tuple[Any, Array]:
    """One time step of one layer for the whole batch."""
    layer = plan.network.layers[name]

    def step_one(state: Any, x: Any, measured: Values, key: Any) -> tuple[Any, Array]:
        return step_layer(layer, state, x, measured, key=key)

    if name not in plan.keys:
        return jax.vmap(step_one, axis_name=BATCH_AXIS)(state, x, measured, None)
    # Counted keys, not split ones: the draw of a sample at a step depends on nothing else.
    key = jax.random.fold_in(plan.keys[name], step)
    sample = jnp.arange(jax.tree.leaves(x)[0].shape[0])
    keys = jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, sample)
    return jax.vmap(step_one, axis_name=BATCH_AXIS)(state, x, measured, keys)


def _measured_of(plan: Plan, name: str, values: Values) -> Values:
    """What was measured of a layer, by field."""
    return {m.field: values[m.series] for m in plan.measured if m.layer == name}


def _late(name: str) -> str:
    return f"{name} (one step late)"


def _trace_name(target: Target) -> str:
    return f"trace {target.probe.name}"


def _feeds_itself(plan: Plan, name: str) -> bool:
    return any(edge.source == name for edge in plan.network.incoming(name))


def _gather(plan: Plan, name: str, now: Values, delayed: Values) -> Inputs:
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
) -> tuple[Moved, Values]:
    """Steps some layers together over time. Stacks the wanted outputs and the full traces."""
    targets = [target for target in plan.targets if target.layer in names]
    start = Moved(
        {name: carry.state.layers[name] for name in names},
        {name: value for name, value in carry.state.delayed.items() if name in names},
        {t.probe.name: carry.recordings[t.probe.name] for t in targets if t.in_carry},
    )
    # Small networks feel every operation in the loop, so steps are counted only where it matters.
    counted = start.recordings or any(name in plan.keys for name in names)
    steps = next(iter(inputs.values())).shape[0]
    count = jnp.arange(steps) if counted else None

    def body(moved: Moved, now: tuple[Values, Array | None]) -> tuple[Moved, Values]:
        i = 0 if now[1] is None else now[1]
        step = carry.state.steps + i
        layers, values = step_layers(plan, names, moved.layers, moved.delayed, now[0], step)
        recordings, traces = dict(moved.recordings), {}
        for target in targets:
            value = target.read(layers[target.layer], values[target.layer])
            name = target.probe.name
            if target.in_carry:
                update = recorder(target.probe).update
                recordings[name] = update(recordings[name], value, carry.t + i)
            else:
                traces[_trace_name(target)] = value
        delayed = {name: values[name] for name in moved.delayed}
        return Moved(layers, delayed, recordings), {n: values[n] for n in wanted} | traces

    return jax.lax.scan(body, start, (inputs, count), unroll=plan.unroll)


def _all_at_once(plan: Plan, name: str, carry: Carry, inputs: Values) -> tuple[Moved, Values]:
    """Applies a layer without memory to all time steps at once."""
    x, measured = _gather(plan, name, inputs, {}), _measured_of(plan, name, inputs)
    steps, batch = jax.tree.leaves(x)[0].shape[:2]
    narrow = not isinstance(x, tuple) and math.prod(x.shape[2:]) < NARROW
    if narrow and name not in plan.keys and _alone(plan.network.layers[name], x, measured):
        # A product that sums over two axes, as the gradient of weights would, makes XLA transpose a
        # copy of what it sums and take a way that is slow for narrow results.
        x, measured = jax.tree.map(lambda v: v.reshape(-1, *v.shape[2:]), (x, measured))
        y = _step_layer(plan, name, None, x, measured, carry.state.steps)[1]
        y = y.reshape(steps, batch, *y.shape[1:])
    else:
        apply = lambda x, measured, step: _step_layer(plan, name, None, x, measured, step)[1]  # noqa: E731
        y = jax.vmap(apply)(x, measured, carry.state.steps + jnp.arange(steps))
    values, recordings = {name: y}, {}
    for target in plan.targets:
        if target.layer != name:
            continue
        probed = y if target.probe.neurons is None else jax.vmap(ft.partial(target.read, None))(y)
        if not target.in_carry:
            values[_trace_name(target)] = probed
            continue
        # Through the same recorder, one step after the other, so that both schedules round alike.
        recordings[target.probe.name] = _record(
            target, carry.recordings[target.probe.name], probed, carry.t + jnp.arange(steps)
        )
    delayed = {name: y[-1]} if name in carry.state.delayed else {}
    return Moved({name: None}, delayed, recordings), values


def _alone(layer: Layer, x: Inputs, measured: Values) -> bool:
    """Whether a layer without memory does nothing across the samples of the batch."""

    def one(x: Inputs, measured: Values) -> Array:
        return step_layer(layer, None, x, measured)[1]

    try:
        jax.lax.axis_index(BATCH_AXIS)  # an axis of the caller's: the layer might mean the batch
    except NameError:
        pass
    else:
        return False
    try:
        jax.eval_shape(one, *jax.tree.map(lambda v: v[0, 0], (x, measured)))
    except NameError:  # no such axis
        return False
    return True


def _record(target: Target, recording: Array, values: Array, times: Array) -> Array:
    """Takes in the values of all time steps, one after the other."""
    update = recorder(target.probe).update

    def body(recording: Array, now: tuple[Array, Array]) -> tuple[Array, None]:
        return update(recording, *now), None

    return jax.lax.scan(body, recording, (values, times))[0]


def trace_of(values: Values, target: Target) -> Array:
    """The full trace of a probe among the values that a span returned."""
    return values[_trace_name(target)]
