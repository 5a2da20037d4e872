"""Layers that watch what passes and keep numbers of it in their state.

NeuroBench looks at each call of a layer, that is, at one time step of one batch: its inputs are all
-1, 0 or 1, or they are not. So meters look at the batch, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from neurojax._layer import BATCH_AXIS, Layer, Shape, State


class Arrived(NamedTuple):
    """Values that were not zero, of each source, over the steps so far."""

    ternary: Any  # int [*sources]: in steps in which all values of the batch were -1, 0 or 1
    graded: Any  # the same in the other steps

    @classmethod
    def none(cls, shape: Shape) -> Arrived:
        return cls(jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.int32))

    def after(self, x: Array) -> Arrived:
        """With one step more, in which a sample of the batch has the values `x`."""
        ternary = jnp.all((x == 0) | (jnp.abs(x) == 1)).astype(jnp.int32)
        ternary = jax.lax.pmin(ternary, BATCH_AXIS)
        arrived = (x != 0).astype(jnp.int32)
        return Arrived(self.ternary + ternary * arrived, self.graded + (1 - ternary) * arrived)


class InputMeter(Layer):
    """Hands its input on and counts it."""

    def init(self, in_shape: Shape) -> Arrived:
        return Arrived.none(in_shape)

    def step(
        self, state: Arrived, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[Arrived, Array]:
        del key
        return state.after(x), x

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


class NeuronState(NamedTuple):
    """State of neurons that are watched."""

    neuron: State
    updates: Int[Array, "*neurons"] | None  # steps in which the membrane changed
    begun: Bool[Array, ""]
    output: Array  # of the step before
    arrived: Arrived  # what came back to synapses within the layer


class NeuronMeter(Layer):
    """Neurons, of which the membrane is watched, and what they put out.

    Args:
        layer: The neurons.
        late: What comes back to synapses within the layer is the output of the step before.
    """

    layer: Layer
    late: bool = eqx.field(static=True)

    def init(self, in_shape: Shape) -> NeuronState:
        inner, out = self.layer.init(in_shape), self.layer.out_shape(in_shape)
        v = membrane(inner)
        updates = None if v is None else jnp.zeros(v.shape, jnp.int32)
        return NeuronState(inner, updates, jnp.array(False), jnp.zeros(out), Arrived.none(out))

    def step(
        self, state: NeuronState, x: Any, *, key: PRNGKeyArray | None = None
    ) -> tuple[NeuronState, Array]:
        after, y = self.layer.step(state.neuron, x, key=key)
        updates, v = state.updates, membrane(after)
        if updates is not None and v is not None:
            # In the first step, every membrane is set.
            changed = (v != membrane(state.neuron)) | ~state.begun
            updates = updates + changed.astype(jnp.int32)
        arrived = state.arrived.after(state.output if self.late else y)
        output = y.astype(state.output.dtype)
        return NeuronState(after, updates, jnp.array(True), output, arrived), y

    def prepare(self, key: PRNGKeyArray | None) -> NeuronMeter:
        return NeuronMeter(self.layer.prepare(key), self.late)

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.layer.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        return self.layer.needs_key


def membrane(state: Any) -> Array | None:
    """The membrane in a neuron's state, or in that of the neuron within a layer."""
    found: Array | None = getattr(state, "v", None)
    inner = getattr(state, "neuron", None)
    return membrane(inner) if found is None and inner is not None else found
