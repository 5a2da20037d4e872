"""The gradient of slayer's recurrent blocks."""

from __future__ import annotations

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State


class Truncated(Layer):
    """A neuron through whose memory no gradient passes, nor to its own parameters.

    slayer runs the neuron of a recurrent block one step at a time, and each time forgets what the
    state depends on: gradients go back in time through the feedback only.

    Args:
        neuron: The neuron.

    References:
        lava-dl, `slayer.block.base.AbstractRecurrent` and `slayer.utils.recurrent`.
    """

    neuron: Layer

    def init(self, in_shape: Shape) -> State:
        return self.neuron.init(in_shape)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        return _constant(self.neuron).step(_constant(state), x, key=key)

    def prepare(self, key: PRNGKeyArray | None) -> Truncated:
        return Truncated(self.neuron.prepare(key))

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.neuron.out_shape(in_shape)

    @property
    def needs_key(self) -> bool:
        return self.neuron.needs_key

    def absorb(self, state: State) -> Truncated:
        return Truncated(self.neuron.absorb(state))

    def describe(self) -> str:
        return f"{self.neuron.describe()}, no gradient through its state"

    def equations(self) -> tuple[str, ...]:
        return self.neuron.equations()


def _constant(tree: State) -> State:
    return jax.tree.map(lambda x: lax.stop_gradient(x) if eqx.is_array(x) else x, tree)
