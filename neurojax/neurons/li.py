"""The leaky integrator: a membrane that never spikes, for read-outs."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape, State
from neurojax._measured import inject_all, is_output
from neurojax.neurons._leak import AbstractLeak
from neurojax.neurons._spiking import MembraneState


class AbstractReadout(AbstractLeak):
    """A leaky membrane that is the output: a measured one stands for both."""

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        state, v = self.step(state, x, key=key)
        return inject_all(state, v, is_output("v", measured))


class LI(AbstractReadout):
    """Leaky integrator: v = v_rest + decay (v - v_rest) + gain x; the output is v.

    Args:
        tau, decay, dt, method, v_rest, gain, normalize_input, v_init: See `LIF`.
        v_min: Lower bound of what is carried to the next step; the output is v before it.

    References:
        sinabs `ExpLeak`, Norse `LIBoxCell`, SpikingJelly `NonSpikingLIFNode`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import LI
        >>> run = nj.simulate(nj.Sequential((1,), LI(decay=0.5)), jnp.ones((4, 1, 1)))
        >>> print(run.outputs.ravel())
        [1.    1.5   1.75  1.875]
    """

    def init(self, in_shape: Shape) -> MembraneState:
        return MembraneState(self.first_v(in_shape, self.v_rest))

    def step(
        self, state: MembraneState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[MembraneState, Array]:
        del key
        v = self.integrate(state.v, x)
        return MembraneState(self.bounded(v)), v
