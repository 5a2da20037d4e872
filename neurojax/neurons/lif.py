"""The leaky integrate-and-fire neuron."""

from __future__ import annotations

from collections.abc import Mapping

from jaxtyping import Array

from neurojax._layer import Shape
from neurojax.neurons._leak import AbstractLeak
from neurojax.neurons._spiking import AbstractSpiking, MembraneState


class LIF(AbstractLeak, AbstractSpiking):
    """Leaky integrate and fire: v = v_rest + decay (v - v_rest) + gain x, then spike and reset.

    Every number may be an array instead, one value or one a neuron: then it is a parameter that
    gradients reach.

    Args:
        tau: Time constant of the membrane in the unit of `dt`, by default in time steps.
        decay: Instead of `tau`: what is left of v - v_rest after one step.
        dt: Duration of a time step.
        method: How `tau` becomes a decay: `"exact"`, exp(-dt/tau), or `"euler"`, 1 - dt/tau.
        v_rest: Potential that the membrane decays to, and starts from.
        gain: What one unit of input adds to the membrane potential.
        normalize_input: Multiply the gain with 1 - decay, so that a constant input x ends at
            v_rest + gain x whatever the time constant.
        threshold: Potential at which the neuron spikes.
        strict: False: it spikes at v >= threshold; True: at v > threshold.
        max_spikes: Most spikes in one step, one for every whole threshold in v; None: no limit.
        reset: What a spike does to v: `"subtract"` the threshold (once for each spike), set it to
            `"zero"`, to a `"value"`, or `"none"`.
        reset_value: For `reset="value"`, and where v stays during the refractory period.
        reset_delay: False: the reset comes in the step of the spike. True: in the next step, after
            leak and input (so that `"zero"` discards that input too); the state holds v before the
            reset. `"before"`: in the next step, before leak and input. `"compensated"`: the late
            reset brought forward to the step of the spike. It differs from False in one point: a
            neuron that is still above the threshold after `"subtract"` must climb another one.
        detach_reset: Whether the derivative of the reset by the spike is dropped.
        refractory: Time after a spike during which the neuron is silent and held at
            `reset_value`, in the unit of `dt`, rounded up to whole steps.
        v_min: Lower bound of v at the end of a step; no gradient passes at or below it.
        v_init: Potential before the first step. Default: `v_rest`.
        amplitude: What one spike is worth in the output. Default: 1.
        winner_take_all: Of the neurons along the first axis (features, channels), only the one
            furthest above its threshold spikes. A late reset resets all that crossed theirs.
        detach_threshold: Whether no gradient reaches the threshold through the spike decision; it
            still does through the reset. That is how sinabs differentiates.
        surrogate: Derivative of the spike, see `neurojax.surrogate`.

    References:
        W. Gerstner, W. M. Kistler, R. Naud and L. Paninski, "Neuronal dynamics", 2014, chapter 1,
        https://neuronaldynamics.epfl.ch. docs/neurons.md says which options make it
        `LIFNode` (SpikingJelly), `Leaky` (snnTorch), `LIFBoxCell` (Norse) or `LIF` (sinabs).

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import LIF
        >>> net = nj.Sequential((1,), hidden=LIF(decay=0.5, reset="zero"))
        >>> run = nj.simulate(net, jnp.full((4, 1, 1), 0.75), probes=["hidden.v"])
        >>> print(run.outputs.ravel(), run["hidden.v"].ravel())
        [0. 1. 0. 1.] [0.75 0.   0.75 0.  ]
    """

    def init(self, in_shape: Shape) -> MembraneState:
        return MembraneState(self.first_v(in_shape, self.v_rest), self.first_refractory(in_shape))

    def advance(
        self, state: MembraneState, x: Array, measured: Mapping[str, Array]
    ) -> tuple[MembraneState, Array]:
        v = self.integrate(self.carried(state.v), x)
        v, refractory, spikes = self.fire(v, state, measured)
        return MembraneState(v, refractory), spikes
