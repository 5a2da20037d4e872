"""The chip driven by events: cost follows spikes and fan-out, memory follows synapses.

The same integers as the dense `Crossbar`, for networks that no matrix can hold. A step tests all
neurons (a few passes over their membranes), lists those that fired, and walks the synapses of the
listed neurons and of the active axons. There are no gradients: train with the dense engine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from neurojax.chips.cri import _wide
from neurojax.chips.cri._delivery import Blocks, cut, deliver, spike_indices
from neurojax.chips.cri._tables import Rows as Rows
from neurojax.chips.cri._wide import Wide, wide
from neurojax.chips.cri.neuron import CRIState, Neuron, membrane
from neurojax.chips.cri.spec import LARGEST_DELAY


class AxonEvents(NamedTuple):
    """The active axons of many time steps; `axon_events` makes it."""

    indices: Int[Array, "time most"]  # int32; what stands behind the count means nothing
    counts: Int[Array, " time"]  # int32


class EventState(NamedTuple):
    """Everything that a step leaves to the next one."""

    neurons: CRIState
    time: Int[Array, ""]  # int32, steps so far
    pending: Int[Array, "slots neurons"] | None  # int32, sums on their way in delayed synapses
    key: PRNGKeyArray | None


class EventRun(NamedTuple):
    """What a run has found."""

    spikes: Bool[Array, "time outputs"]
    active: Int[Array, " time"]  # int32, how many neurons fired, outputs or not
    state: EventState
    traces: Wide | None

    def membranes(self) -> np.ndarray:
        """The probed membranes after each step, int64 `[time, probed]`. Not under jit."""
        if self.traces is None:
            raise ValueError("no membranes were recorded; pass probe=[indices of neurons]")
        return _wide.to_integers(self.traces)


class EventEngine(eqx.Module):
    """Axons, neurons and sparse synapses: a pytree of tables.

    Args:
        axons: Synapses of the axons: `Rows(starts, targets, weights)`, NumPy arrays, where those of
            axon i are `starts[i]:starts[i + 1]`. Targets are indices of neurons.
        synapses: Synapses of the neurons, one row a neuron. Those marked in `late` are delayed.
        neuron: The neurons; arrays in it have one entry a neuron.
        outputs: Indices of the neurons whose spikes are reported; None: all.
        delay: Steps by which a neuron's delayed synapses are late, 0 to 15: a number, or one a
            neuron.
        lanes: Synapses that one turn of the inner loop takes, at least one block; None: what suits
            the device.

    Raises:
        ValueError: The tables don't fit together, or sums could leave int32.

    Example:
        >>> import numpy as np
        >>> from neurojax.chips.cri import EventEngine, Neuron, Rows
        >>> axons = Rows(np.array([0, 1]), np.array([0]), np.array([9]))      # axon 0 to neuron 0
        >>> chain = Rows(np.array([0, 1, 1]), np.array([1]), np.array([7]))   # neuron 0 to 1
        >>> engine = EventEngine(axons, chain, neuron=Neuron(theta=5, model="IF"))
        >>> engine.run([[0], [], []]).spikes.astype(int).tolist()
        [[0, 0], [1, 0], [0, 1]]
    """

    axon_blocks: Blocks
    blocks: Blocks
    late_blocks: Blocks | None
    neuron: Neuron
    outputs: Int[Array, " outputs"] | None
    delay: Int[Array, " neurons"] | None
    slots: int = eqx.field(static=True)
    lanes: int = eqx.field(static=True)

    def __init__(
        self,
        axons: Rows,
        synapses: Rows,
        *,
        neuron: Neuron,
        outputs: Any = None,
        delay: Any = 0,
        lanes: int | None = None,
    ) -> None:
        neurons = len(synapses.starts) - 1
        axons = _checked("axons", axons, neurons)
        synapses = _checked("synapses", synapses, neurons)
        if axons.late is not None and axons.late.any():
            raise ValueError("axons: synapses of axons can't be delayed; only those of neurons")
        _check_sums(neurons, axons, synapses)
        neuron.out_shape((neurons,))
        delays = np.broadcast_to(np.asarray(delay, np.int32), (neurons,))
        if neurons and not 0 <= delays.min() <= delays.max() <= LARGEST_DELAY:
            raise ValueError(
                f"delay is {delays.min()}..{delays.max()}; it must be within 0..{LARGEST_DELAY}"
            )
        late = synapses.late is not None and bool(synapses.late.any())
        self.axon_blocks = cut(axons._replace(late=None), neurons)
        self.blocks = cut(synapses.part(late=False), neurons)
        self.late_blocks = cut(synapses.part(late=True), neurons) if late else None
        self.delay = jnp.asarray(delays) if late else None
        self.slots = int(delays.max()) + 1 if late else 1
        self.neuron = neuron
        self.outputs = None if outputs is None else _indices("outputs", outputs, neurons)
        # On a CPU one block in a turn is fastest (3 to 10 ns a synapse, up to three times as long
        # with more); on a GPU a turn costs some launches, whatever it does.
        self.lanes = lanes or (1 if jax.default_backend() == "cpu" else 1 << 17)

    @property
    def axons(self) -> int:
        """How many there are."""
        return len(self.axon_blocks.first) - 1

    @property
    def neurons(self) -> int:
        """How many there are."""
        return len(self.blocks.first) - 1

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        tables = (self.axon_blocks, self.blocks, self.late_blocks)
        return sum(blocks.nbytes for blocks in tables if blocks is not None)

    def init(self, key: PRNGKeyArray | None = None) -> EventState:
        """State before the first step. The key is for the noise.

        Raises:
            ValueError: There is noise, but no key.
        """
        if self.neuron.needs_key and key is None:
            raise ValueError(
                "these neurons have noise, so a run needs a key; pass key=jax.random.key(0), or "
                "use models without noise"
            )
        return EventState(
            neurons=self.neuron.init((self.neurons,)),
            time=jnp.int32(0),
            pending=None
            if self.late_blocks is None
            else jnp.zeros((self.slots, self.neurons), jnp.int32),
            key=key if self.neuron.needs_key else None,
        )

    def run(
        self,
        inputs: AxonEvents | Array | np.ndarray | Sequence[Iterable[int]],
        *,
        state: EventState | None = None,
        key: PRNGKeyArray | None = None,
        probe: Any = None,
    ) -> EventRun:
        """Many time steps.

        Args:
            inputs: The active axons: a list of indices for each step, an array `[time, axons]`
                that is not 0 where one is active, or what `axon_events` made of these.
            state: To continue from; None: all membranes 0.
            key: Of the noise, unless a state has it.
            probe: Indices of neurons whose membranes are recorded.
        """
        if not isinstance(inputs, AxonEvents):
            inputs = axon_events(inputs, self.axons)
        if state is None:
            state = self.init(key)
        if probe is not None:
            probe = _indices("probe", probe, self.neurons)
        return _run(self, inputs, state, probe)

    def step(
        self, state: EventState, indices: Int[Array, " most"], count: Int[Array, ""]
    ) -> tuple[EventState, Bool[Array, " neurons"], Int[Array, ""]]:
        """One time step: new state, who fired, and how many did."""
        key = None if state.key is None else jax.random.fold_in(state.key, state.time)
        # Its float is for gradients; one that nobody computes costs nothing.
        before = state.neurons._replace(v=jnp.zeros(self.neurons))
        fired, spikes = self.neuron.fire(before, key=key)
        fires = spikes != 0
        sources, active = spike_indices(fires)
        pending, sums = self._late(state, sources, active)
        sums = deliver(sums, self.axon_blocks, indices, count, lanes=self.lanes)
        sums = deliver(sums, self.blocks, sources, active, lanes=self.lanes)
        after = self.neuron.integrate(fired, jnp.zeros(()), wide(sums))
        return state._replace(neurons=after, time=state.time + 1, pending=pending), fires, active

    def _late(
        self, state: EventState, sources: Array, active: Array
    ) -> tuple[Array | None, Int[Array, " neurons"]]:
        """The sums on their way, and those that arrive now."""
        if self.late_blocks is None or state.pending is None or self.delay is None:
            return None, jnp.zeros(self.neurons, jnp.int32)
        slot = (state.time + self.delay) % self.slots
        pending = deliver(
            state.pending.ravel(),
            self.late_blocks,
            sources,
            active,
            lanes=self.lanes,
            shifts=slot * self.neurons,
        ).reshape(state.pending.shape)
        now = state.time % self.slots
        return pending.at[now].set(0), pending[now]

    def membrane(self, state: EventState) -> np.ndarray:
        """The membranes as int64. Not under jit."""
        return membrane(state.neurons)


@eqx.filter_jit
def _run(
    engine: EventEngine, inputs: AxonEvents, state: EventState, probe: Array | None
) -> EventRun:
    def step(state: EventState, axons: AxonEvents) -> tuple[EventState, Any]:
        state, fires, active = engine.step(state, axons.indices, axons.counts)
        reported = fires if engine.outputs is None else fires[engine.outputs]
        v = None
        if probe is not None:
            v = Wide(state.neurons.high[probe], state.neurons.low[probe])
        return state, (reported, active, v)

    last, (spikes, active, traces) = lax.scan(step, state, inputs)
    # The float of the membranes was not carried along.
    neurons = last.neurons
    last = last._replace(
        neurons=neurons._replace(v=_wide.to_float(Wide(neurons.high, neurons.low)))
    )
    return EventRun(spikes, active, last, traces)


def simulate_events(
    engine: EventEngine,
    inputs: AxonEvents | Array | np.ndarray | Sequence[Iterable[int]],
    *,
    state: EventState | None = None,
    key: PRNGKeyArray | None = None,
    probe: Any = None,
) -> EventRun:
    """Run an event-driven network over many time steps: `engine.run`."""
    return engine.run(inputs, state=state, key=key, probe=probe)


def axon_events(inputs: Any, axons: int) -> AxonEvents:
    """The active axons as an array, whose width is a power of 2 to save compilations.

    Args:
        inputs: A list of indices for each step (one that stands there twice counts once), or an
            array `[time, axons]` that is not 0 where one is active.
        axons: How many there are.

    Raises:
        ValueError: An index or a shape that doesn't fit.

    Example:
        >>> from neurojax.chips.cri import axon_events
        >>> axon_events([[2, 0, 2], []], 3).counts.tolist()
        [2, 0]
    """
    if isinstance(inputs, np.ndarray | jax.Array):
        active = np.asarray(inputs)
        if active.ndim != 2 or active.shape[1] != axons:
            raise ValueError(f"inputs have shape {active.shape}, but must be [time, {axons} axons]")
        lists = [np.flatnonzero(row) for row in active]
    else:
        lists = [np.unique(np.asarray(list(step), np.int64)) for step in inputs]
        for time, step in enumerate(lists):
            if len(step) and (step[0] < 0 or step[-1] >= axons):
                raise ValueError(
                    f"inputs of step {time}: {step[0]}..{step[-1]}; axons are 0..{axons - 1}"
                )
    most = max(map(len, lists), default=0)
    indices = np.zeros((len(lists), 1 << max(most - 1, 0).bit_length()), np.int32)
    for row, step in zip(indices, lists, strict=True):
        row[: len(step)] = step
    return AxonEvents(jnp.asarray(indices), jnp.asarray([*map(len, lists)], jnp.int32))


def _indices(name: str, values: Any, neurons: int) -> Int[Array, " chosen"]:
    chosen = np.asarray(values, np.int32)
    if chosen.ndim != 1 or (chosen.size and not 0 <= chosen.min() <= chosen.max() < neurons):
        raise ValueError(f"{name} must be a list of indices of the {neurons} neurons")
    return jnp.asarray(chosen)


def _checked(name: str, rows: Rows, neurons: int) -> Rows:
    """The rows in their types; refuses tables that don't fit together."""
    starts, targets, weights = map(np.asarray, rows[:3])
    if starts.ndim != 1 or len(starts) < 1 or starts[0] != 0 or np.any(np.diff(starts) < 0):
        raise ValueError(f"{name}: starts must begin with 0 and never fall")
    if targets.shape != (starts[-1],) or weights.shape != targets.shape:
        raise ValueError(
            f"{name}: starts end with {starts[-1]}, but there are {targets.shape} targets and "
            f"{weights.shape} weights"
        )
    if targets.size and not 0 <= targets.min() <= targets.max() < neurons:
        raise ValueError(
            f"{name}: targets are {targets.min()}..{targets.max()}, but neurons are "
            f"0..{neurons - 1}"
        )
    limits = np.iinfo(np.int16)
    if weights.dtype != np.int16 and weights.size:
        if weights.dtype.kind not in "iu":
            raise TypeError(f"{name}: weights have type {weights.dtype}; they must be integers")
        if weights.min() < limits.min or weights.max() > limits.max:
            raise ValueError(
                f"{name}: weights are {weights.min()}..{weights.max()}; 16 bits hold "
                f"{limits.min}..{limits.max}"
            )
    late = None if rows.late is None else np.asarray(rows.late, bool)
    return Rows(
        starts.astype(np.int64, copy=False),
        targets.astype(np.int32, copy=False),
        weights.astype(np.int16, copy=False),
        late,
    )


def _check_sums(neurons: int, *tables: Rows) -> None:
    """Whether no neuron's inputs can add up to more than int32 holds."""
    fan_in, largest = np.zeros(neurons, np.int64), 0
    part = 1 << 22  # counting needs 8 bytes a synapse
    for rows in tables:
        for start in range(0, len(rows.targets), part):
            fan_in += np.bincount(rows.targets[start : start + part], minlength=neurons)
        if rows.weights.size:
            largest = max(largest, -int(rows.weights.min()), int(rows.weights.max()))
    most = int(fan_in.max(initial=0))
    if most * largest >= 1 << 31:
        raise ValueError(
            f"a neuron with {most:,} synapses of weights up to {largest:,} could add up more than "
            f"32 bits hold; the chip takes 8,159; split it"
        )
