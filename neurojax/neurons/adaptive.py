"""The leaky integrate-and-fire neuron whose threshold rises with its own spikes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array

from neurojax._layer import Shape
from neurojax.neurons._leak import AbstractLeak, check_one_given, decay_factor
from neurojax.neurons._neuron import Parameter, number
from neurojax.neurons._spiking import AbstractSpiking


class AdaptiveState(NamedTuple):
    """State of a neuron with an adaptive threshold."""

    v: Array  # membrane potential at the end of the step
    b: Array  # adaptation: spikes, low-pass filtered
    refractory: Array | None = None  # steps left in which the neuron is silent


class AdaptiveLIF(AbstractLeak, AbstractSpiking):
    """LIF neuron with an adaptive threshold.

    The threshold of a step is threshold + adaptation b with the b of the step before; spike
    decision and reset use it. Then b = decay_adapt b + (1 - decay_adapt) s. For a synaptic current
    put an `LI` in front of it.

    Args:
        tau, decay: Time constant of the membrane in the unit of `dt`, or its decay a step.
        tau_adapt, decay_adapt: The same of the adaptation.
        adaptation: How much the threshold rises if b goes from 0 to 1, one spike in every step.
        dt, method, v_rest, gain, normalize_input, threshold, reset, ...: See `LIF`.

    References:
        G. Bellec et al., "Long short-term memory and learning-to-learn in networks of spiking
        neurons", 2018, https://arxiv.org/abs/1803.09574; sinabs `ALIF`.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import AdaptiveLIF
        >>> net = nj.Sequential((1,), hidden=AdaptiveLIF(decay=0.0, decay_adapt=0.5))
        >>> run = nj.simulate(net, jnp.full((4, 1, 1), 1.5), probes=["hidden.b"])
        >>> print(run.outputs.ravel(), run["hidden.b"].ravel())
        [1. 0. 1. 0.] [0.5   0.25  0.625 0.3125]
    """

    tau_adapt: Parameter | None = number(None)
    decay_adapt: Parameter = number(None)  # None only until `prepare`
    adaptation: Parameter = number(1.8)

    def __check_init__(self) -> None:
        check_one_given(self, "tau_adapt", "decay_adapt")

    def resolved(self) -> dict[str, Any]:
        decay = decay_factor(self.tau_adapt, self.decay_adapt, self.dt, self.method)
        return super().resolved() | {"tau_adapt": None, "decay_adapt": decay}

    def init(self, in_shape: Shape) -> AdaptiveState:
        v = self.first_v(in_shape, self.v_rest)
        return AdaptiveState(v, jnp.zeros(in_shape), self.first_refractory(in_shape))

    def advance(
        self, state: AdaptiveState, x: Array, measured: Mapping[str, Array]
    ) -> tuple[AdaptiveState, Array]:
        threshold = self.threshold + self.adaptation * state.b
        v = self.integrate(self.carried(state.v, threshold), x)
        v, refractory, spikes = self.fire(v, state, measured, threshold)
        b = self.decay_adapt * state.b + (1 - self.decay_adapt) * spikes
        return AdaptiveState(v, b, refractory), spikes
