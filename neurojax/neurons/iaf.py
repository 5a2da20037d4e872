"""The integrate-and-fire neuron without leak."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array

from neurojax._layer import Shape
from neurojax.neurons._spiking import AbstractSpiking, MembraneState


class IAF(AbstractSpiking):
    """Integrate and fire: v = v + gain x, a spike and a reset at the threshold.

    `IF` is the same class.

    Args:
        gain: What one unit of input adds to the membrane potential.
        threshold, reset, ...: See `LIF`; all neurons take them.
        refractory: Time after a spike during which the neuron is silent, in the unit of `dt`.
        dt: Duration of a time step.
        v_init: Membrane potential before the first step. Default: `reset_value` if
            `reset="value"`, else 0.

    References:
        L. Lapicque, 1907; N. Brunel and M. C. W. van Rossum, "Lapicque's 1907 paper: from frogs to
        integrate-and-fire", Biological Cybernetics 97, 2007. SpikingJelly `IFNode`, Norse
        `IAFCell`, sinabs `IAF`, DYNAP-CNN.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import IAF
        >>> run = nj.simulate(nj.Sequential((1,), IAF(max_spikes=None)), jnp.full((4, 1, 1), 1.5))
        >>> print(run.outputs.ravel())
        [1. 2. 1. 2.]
    """

    def init(self, in_shape: Shape) -> MembraneState:
        start = self.reset_value if self.reset == "value" else 0.0
        return MembraneState(self.first_v(in_shape, start), self.first_refractory(in_shape))

    def advance(
        self, state: MembraneState, x: Array, measured: Mapping[str, Array]
    ) -> tuple[MembraneState, Array]:
        v = self.carried(state.v) + self.gain * x
        v, refractory, spikes = self.fire(v, state, measured)
        return MembraneState(v, refractory), spikes


IF = IAF
