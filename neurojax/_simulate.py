"""`simulate`: a network over time, as a pure function.

Under `jit`, `grad`, `vmap` and sharding it is an ordinary JAX function; called directly it
compiles itself once per network structure, input shape and set of options.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax import _schedule
from neurojax._arguments import (
    check_inputs,
    check_key,
    check_network,
    check_options,
    check_state,
    resolve_measured,
    resolve_probes,
)
from neurojax._graph import nearest
from neurojax._network import Network, NetworkState, check_finite, layer_keys
from neurojax._probe import Probe, finish, recorder
from neurojax._schedule import Carry, Plan, Values

Checkpoint = int | str | tuple[int, ...] | None


class Run(eqx.Module):
    """What a simulation returns.

    Attributes:
        outputs: Output of the network, `[time, batch, ...]`; a dict by layer name if the network
            has several outputs.
        state: State after the last step; pass it to `simulate(..., state=)` to go on.
        traces: What the probes recorded, by `Probe.name`. `run["hidden.v"]` is short for
            `run.traces["hidden.v"]`.
    """

    outputs: Any
    state: NetworkState
    traces: dict[str, Array]

    def __getitem__(self, name: str) -> Array:
        if name not in self.traces:
            raise KeyError(f"no probe recorded '{name}'; {nearest(name, self.traces)}")
        return self.traces[name]


def simulate(
    network: Network,
    inputs: Any,
    *,
    state: NetworkState | None = None,
    key: PRNGKeyArray | None = None,
    probes: Iterable[Probe | str] = (),
    schedule: str = "auto",
    checkpoint: Checkpoint = None,
    unroll: int = 1,
    measured: Mapping[str, Any] | None = None,
) -> Run:
    """Run a network over time.

    Args:
        network: What to run.
        inputs: `[time, batch, *shape]`, or a dict of such arrays if the network has several
            inputs. Integers become float32; the floating-point type is that of the simulation.
        state: Where to start: `Run.state` of an earlier run. Two runs of 50 steps equal one
            of 100. Default: `network.init(batch)`.
        key: Source of all randomness (dropout, noise, mismatch). The same key gives the same
            run under every schedule, under jit and vmap, and in pieces.
        probes: What to record: `Probe` objects, or paths as strings for full traces.
        schedule: `"step"` runs the whole network in each step, `"layer"` each layer over all
            steps; the numbers are the same. `"auto"` picks by size and backend.
        checkpoint: Bounds the memory of back-propagation through time. An integer k stores the
            state every k steps and computes the rest again; a tuple nests: `(100, 10)` stores
            every 100 steps and, within such a segment, every 10. `"sqrt"` takes the square root
            of the number of steps. The results are the same.
        unroll: Time steps in one iteration of the compiled loop.
        measured: What a device did, to be gone on from in every step: `[time, batch, ...]` by
            `"layer"` for its output and `"layer.field"` for a field of its state, as probes name
            them. The run has these values, the layers behind see them, and gradients are those of
            the network at them: training in the loop. Neurons reset by measured spikes; where the
            membrane itself was measured the reset is in it.

    Returns:
        A `Run` with outputs, final state and recorded traces.

    Raises:
        ValueError: Shapes that don't fit, no time steps, unknown names in probes and in `measured`,
            a missing key, parameters that are not finite. Raised before anything is compiled.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> net = nj.Sequential((4,), hidden=nj.Linear(4, 8, key=jax.random.key(0)),
        ...                     spikes=nj.LIF(tau=10.0))
        >>> run = nj.simulate(net, jnp.ones((20, 3, 4)), probes=["spikes.v"])
        >>> run.outputs.shape, run["spikes.v"].shape
        ((20, 3, 8), (20, 3, 8))
    """
    check_network("simulate", network)
    check_finite(network)
    if isinstance(inputs, Mapping):
        arrays: Any = {name: jnp.asarray(value) for name, value in inputs.items()}
    else:
        arrays = jnp.asarray(inputs)
    probes = (probes,) if isinstance(probes, str | Probe) else tuple(probes)
    # What shapes and structure decide is checked where it is traced: once, not in every call.
    known = None if measured is None else {k: jnp.asarray(v) for k, v in measured.items()}
    return _run(network, arrays, state, key, probes, schedule, checkpoint, unroll, known)


@eqx.filter_jit
def _run(
    network: Network,
    inputs: Any,
    state: NetworkState | None,
    key: PRNGKeyArray | None,
    probes: tuple[Probe | str, ...],
    schedule: str,
    checkpoint: Checkpoint,
    unroll: int,
    measured: dict[str, Array] | None,
) -> Run:
    check_options(schedule, unroll)
    named = check_inputs(network, inputs)
    targets = resolve_probes(network, probes)
    check_key(network, key)
    steps, batch = next(iter(named.values())).shape[:2]
    series = resolve_measured(network, measured or {}, steps, batch)
    if state is None:
        state = network.init(batch, jnp.result_type(*named.values()))
    else:
        check_state(network, state, batch)
    prepared = network.prepare(key)
    random = [name for name in prepared.names if prepared[name].needs_key]
    keys = {} if key is None else {name: layer_keys(key, name)[1] for name in random}
    plan = Plan(prepared, keys, targets, unroll, tuple(series))
    named |= {known.series: value for known, value in series.items()}
    values = _one_step(plan, state, named)
    recordings = {
        target.probe.name: recorder(target.probe).init(values[target.probe.name], steps)
        for target in targets
        if target.in_carry
    }
    segments = segment_lengths(checkpoint, steps)
    if schedule == "auto":
        span = segments[-1] if segments else steps
        schedule = _schedule.choose(network, state, span, batch, jax.default_backend())
    run_span = _schedule.run_steps if schedule == "step" else _schedule.run_layers
    carry = Carry(state, recordings, jnp.zeros((), jnp.int32))
    carry, stacked = _in_segments(plan, run_span, carry, named, segments)
    traces = {
        target.probe.name: finish(target.probe, carry.recordings[target.probe.name], steps)
        if target.in_carry
        else _schedule.trace_of(stacked, target)
        for target in targets
    }
    named_outputs = {name: stacked[name] for name in network.outputs}
    outputs = named_outputs if len(named_outputs) > 1 else stacked[network.outputs[0]]
    return Run(outputs, carry.state, traces)


def segment_lengths(checkpoint: Checkpoint, steps: int) -> tuple[int, ...]:
    """Lengths of the nested segments that `checkpoint` asks for, outermost first."""
    if checkpoint is None:
        return ()
    if checkpoint == "sqrt":
        return (max(1, round(steps**0.5)),)
    lengths: Any = checkpoint if isinstance(checkpoint, tuple) else (checkpoint,)
    if not lengths or not all(isinstance(n, int) and n >= 1 for n in lengths):
        raise ValueError(
            f"checkpoint={checkpoint!r} must be None, 'sqrt', a number of steps >= 1, "
            "or a tuple of those, longest first"
        )
    if any(a <= b for a, b in itertools.pairwise(lengths)):
        raise ValueError(f"checkpoint={checkpoint!r}: nested segments must become shorter")
    return tuple(n for n in lengths if n < steps)


def _in_segments(
    plan: Plan, run_span: Any, carry: Carry, inputs: Values, lengths: tuple[int, ...]
) -> tuple[Carry, Values]:
    """Runs a span in checkpointed segments of `lengths[0]` steps, these in shorter ones, ..."""
    if not lengths:
        return run_span(plan, carry, inputs)

    @jax.checkpoint  # type: ignore[misc]
    def segment(carry: Carry, inputs: Values) -> tuple[Carry, Values]:
        return _in_segments(plan, run_span, carry, inputs, lengths[1:])

    length = lengths[0]
    count = next(iter(inputs.values())).shape[0] // length
    whole = jax.tree.map(lambda x: x[: count * length].reshape(count, length, *x.shape[1:]), inputs)
    rest = jax.tree.map(lambda x: x[count * length :], inputs)
    carry, values = jax.lax.scan(segment, carry, whole)
    values = jax.tree.map(lambda x: x.reshape(count * length, *x.shape[2:]), values)
    if next(iter(rest.values())).shape[0] == 0:
        return carry, values
    carry, last = segment(carry, rest)
    return carry, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), values, last)


def _one_step(plan: Plan, state: NetworkState, inputs: Values) -> dict[str, jax.ShapeDtypeStruct]:
    """Shapes of the probed values; refuses a state that changes its type from step to step."""
    network = plan.network

    def step(state: NetworkState, inputs: Values) -> tuple[NetworkState, Values]:
        layers, values = _schedule.step_layers(
            plan, network.names, state.layers, state.delayed, inputs, state.steps
        )
        probed = {t.probe.name: t.read(layers[t.layer], values[t.layer]) for t in plan.targets}
        delayed = {name: values[name] for name in state.delayed}
        return NetworkState(layers, delayed, state.steps), probed

    first = jax.tree.map(lambda x: x[0], inputs)
    after, probed = jax.eval_shape(step, state, first)
    for name in network.names:
        _check_same_type(name, state.layers[name], after.layers[name])
    for name in state.delayed:
        _check_same_type(name, state.delayed[name], after.delayed[name])
    return probed


def _check_same_type(name: str, before: Any, after: Any) -> None:
    for old, new in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
        if old.dtype != new.dtype:
            raise ValueError(
                f"layer '{name}': its state is {old.dtype} but becomes {new.dtype} in a step, "
                "because inputs and parameters differ in type; cast the one or the other: "
                "network.astype(dtype), inputs.astype(dtype)"
            )
