"""Feedback of a population onto itself, one time step late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, step_layer
from neurojax._measured import OUTPUT, inner


class RecurrentState(NamedTuple):
    """State of a recurrent population."""

    neuron: State
    synapse: State
    output: Array  # of the neurons in the step before


class Recurrent(Layer):
    """Neurons whose own output comes back through a synapse: y_t = neuron(x_t + synapse(y_{t-1})).

    The same as a `Network` with an edge `recurrent=True` from the neurons through the synapse to
    the neurons, in one layer. Before the first step the output is 0; a bias of the synapse acts
    from the first step on.

    Args:
        neuron: The population, a layer such as `LIF`.
        synapse: What the feedback passes, a layer such as `Linear`; it must give the shape that
            the neurons take.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> feedback = nj.Linear(4, 4, key=jax.random.key(0))
        >>> net = nj.Sequential((4,), hidden=nj.Recurrent(nj.LIF(tau=10.0), feedback))
        >>> run = nj.simulate(net, jnp.ones((20, 2, 4)), probes=["hidden.neuron.v"])
        >>> run["hidden.neuron.v"].shape
        (20, 2, 4)
    """

    neuron: Layer
    synapse: Layer

    def init(self, in_shape: Shape) -> RecurrentState:
        out_shape = self.neuron.out_shape(in_shape)
        return RecurrentState(
            self.neuron.init(in_shape), self.synapse.init(out_shape), jnp.zeros(out_shape)
        )

    def step_measured(
        self,
        state: RecurrentState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[RecurrentState, Array]:
        neuron_key, synapse_key = _split(key)
        of_synapse, of_neuron = inner(measured, "synapse"), inner(measured, "neuron")
        for name in (OUTPUT, "output"):  # what the population gives out is what its neurons do
            if name in measured:
                of_neuron[OUTPUT] = measured[name]
        synapse, feedback = step_layer(
            self.synapse, state.synapse, state.output, of_synapse, key=synapse_key
        )
        neuron, y = step_layer(self.neuron, state.neuron, x + feedback, of_neuron, key=neuron_key)
        return RecurrentState(neuron, synapse, y), y

    def prepare(self, key: PRNGKeyArray | None) -> Recurrent:
        neuron_key, synapse_key = _split(key)
        return Recurrent(self.neuron.prepare(neuron_key), self.synapse.prepare(synapse_key))

    def out_shape(self, in_shape: Shape) -> Shape:
        out_shape = self.neuron.out_shape(in_shape)
        back = self.synapse.out_shape(out_shape)
        if back != in_shape:
            raise ValueError(
                f"Recurrent: the synapse turns the neurons' {out_shape} into {back}, but the "
                f"neurons take {in_shape}; the two must agree"
            )
        return out_shape

    @property
    def needs_key(self) -> bool:
        return self.neuron.needs_key or self.synapse.needs_key

    def absorb(self, state: RecurrentState) -> Recurrent:
        return Recurrent(self.neuron.absorb(state.neuron), self.synapse.absorb(state.synapse))

    def describe(self) -> str:
        return f"Recurrent({self.neuron.describe()}, {self.synapse.describe()})"


def _split(key: PRNGKeyArray | None) -> tuple[PRNGKeyArray | None, PRNGKeyArray | None]:
    if key is None:
        return None, None
    neuron_key, synapse_key = jax.random.split(key)
    return neuron_key, synapse_key
