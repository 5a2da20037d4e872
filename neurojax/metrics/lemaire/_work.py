"""What one layer has to do in a run: accesses of its memories, operations, addresses.

The machine behind it works event by event. A value that is not zero is taken from a queue; for
each of its targets an address is computed, a weight and an accumulator are read, added up and the
accumulator is written. Once a step every accumulator is visited: bias, leak, threshold and reset;
what fires goes into the next queue. A formal layer computes all its outputs once, from inputs and
into outputs that lie in memory.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.metrics._connectivity import check_registered
from neurojax.metrics.lemaire._prices import Prices


class Memory(NamedTuple):
    """Accesses of one memory."""

    reads: float = 0
    writes: float = 0
    size: int | None = 0  # values that it holds; None: a queue of events

    def energy(self, prices: Prices, fifo_size: int) -> float:
        """Energy of all accesses, in pJ."""
        if not self.reads + self.writes:
            return 0.0
        return (self.reads + self.writes) * prices.ram(
            fifo_size if self.size is None else self.size
        )


UNUSED = Memory()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Work:
    """What a layer, or a part of it, does over all samples and steps of a run.

    Attributes:
        pot: Membranes and other accumulators.
        weights, bias: The stored parameters.
        inputs: Where input values are read from.
        outputs: Where output values are written to.
        syn_acc, syn_mac: Additions, and multiplications with addition, of values.
        addr_acc, addr_mac: The same for addresses.
    """

    pot: Memory = UNUSED
    weights: Memory = UNUSED
    bias: Memory = UNUSED
    inputs: Memory = UNUSED
    outputs: Memory = UNUSED
    syn_acc: float = 0
    syn_mac: float = 0
    addr_acc: float = 0
    addr_mac: float = 0

    @property
    def memories(self) -> tuple[Memory, ...]:
        """All of its memories."""
        return self.pot, self.weights, self.bias, self.inputs, self.outputs


class Flow(NamedTuple):
    """The events that pass one place in a run: spikes, or else values that are not zero."""

    neurons: np.ndarray  # int64: events of each neuron
    late: np.ndarray  # int64: those of them in the last step
    spikes: bool  # every event is a spike (a value of n is n of them); False: values are graded

    @property
    def events(self) -> int:
        """Number of events."""
        return int(self.neurons.sum())

    def delayed(self) -> Flow:
        """What arrives of it within the run one step later."""
        return Flow(self.neurons - self.late, np.zeros_like(self.late), self.spikes)


def all_values(shape: Shape, passes: int = 1) -> Flow:
    """Every value different from zero and graded."""
    ones = np.ones(shape, np.int64)
    return Flow(ones * passes, ones * 0, spikes=False)


@dataclasses.dataclass(frozen=True)
class Traffic:
    """A layer and what passes it in a run: what its work depends on.

    Attributes:
        layer: The layer.
        in_shapes: Shape of each input.
        out_shape: Shape of the output.
        inputs: What comes in, an edge.
        output: What goes out.
        accumulated: For each edge, whether a synapse before it adds right into this layer's state.
        accumulates: Whether this layer is a synapse that adds right into the neurons behind it.
        steps: Time steps of a sample; 1 for a formal layer.
        samples: Number of samples; 1 for a formal layer.
        formal: Whether every value is computed, once.
        once: Whether graded inputs are the same in every step and are computed in one of them.
    """

    layer: Any
    in_shapes: tuple[Shape, ...]
    out_shape: Shape
    inputs: tuple[Flow, ...]
    output: Flow
    accumulated: tuple[bool, ...]
    accumulates: bool
    steps: int
    samples: int
    formal: bool = False
    once: bool = False

    @property
    def size(self) -> int:
        """Number of outputs."""
        return math.prod(self.out_shape)

    @property
    def in_size(self) -> int:
        """Number of inputs over all edges."""
        return sum(math.prod(shape) for shape in self.in_shapes)

    @property
    def visits(self) -> int:
        """How often all outputs together are visited, once a step."""
        return self.size * self.steps * self.samples

    @property
    def events(self) -> int:
        """Number of events that come in."""
        return sum(flow.events for flow in self.inputs)

    @property
    def spikes(self) -> bool:
        """Whether all that comes in are spikes."""
        return all(flow.spikes for flow in self.inputs)

    def arriving(self, fan_out: np.ndarray) -> int:
        """Events at the targets of the inputs, which have so many each."""
        # Python's integers don't overflow.
        return sum(
            int(np.dot(flow.neurons.ravel(), fan_out.ravel().astype(np.int64)))
            for flow in self.inputs
        )


class NotKnown(Exception):
    """What a layer costs is not known; the message says why."""


Cost = Callable[[Traffic], Work | Sequence[Work] | None]
"""`cost(traffic)`: the work of a layer, in parts if it has several memories of a kind; None if it
costs nothing, because it only renames values."""

_COSTS: dict[type[Layer], Cost] = {}


def register_cost(kind: type[Layer], cost: Cost) -> None:
    """Say what a type of layer, and its sub-types, cost in `operations` and `energy`.

    Args:
        kind: The type.
        cost: A function of the layer's `Traffic` that returns its `Work` over all samples and
            steps, a list of it, or None if the layer costs nothing.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax import metrics
        >>> from neurojax.metrics.lemaire import Work, register_cost
        >>> class Square(nj.Layer):
        ...     def step(self, state, x, *, key=None):
        ...         return state, x * x
        ...     def out_shape(self, in_shape):
        ...         return in_shape
        >>> register_cost(Square, lambda traffic: Work(syn_mac=traffic.events))
        >>> net = nj.Sequential((3,), square=Square())
        >>> activity = metrics.count_spikes(net, jnp.array([[[0.0, 1.0, 2.0]]]))
        >>> metrics.operations(net, activity)["square"].syn_mac
        2.0
    """
    check_registered("register_cost", kind, cost)
    _COSTS[kind] = cost


def work_of(traffic: Traffic) -> list[Work] | None:
    """The work of a layer, in parts; None if it costs nothing.

    Raises:
        NotKnown: It is not known.
    """
    for kind in type(traffic.layer).__mro__:
        if kind in _COSTS:
            work = _COSTS[kind](traffic)
            works = None if work is None else [work] if isinstance(work, Work) else list(work)
            if works is not None and not all(isinstance(part, Work) for part in works):
                raise TypeError(
                    f"the cost registered for {kind.__name__} returned a {type(work).__name__}; it "
                    "must be a metrics.lemaire.Work, a list of them, or None"
                )
            return works
    kind = type(traffic.layer)
    remedy = "say it once with metrics.lemaire.register_cost"
    if kind.__module__.startswith("neurojax.chips."):
        remedy = (
            "it is a chip's own: take the network before it was mapped, or chip_energy for the chip"
        )
    raise NotKnown(f"what a {kind.__name__} costs is not known; {remedy}")
