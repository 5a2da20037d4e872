"""Adaptive exponential integrate and fire, and all that lies between it and the plain neurons."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp
from jaxtyping import Array

from neurojax._layer import Shape
from neurojax._measured import OUTPUT, inject
from neurojax.chips.bss2._integrator import AbstractFiring, NeuronState
from neurojax.neurons._neuron import Parameter, check_choice, check_range, number, option

STEEPEST = 60.0
"""Largest (v - V_T) / D: far beyond a spike, and its exponential is still a float32."""


class AELIF(AbstractFiring):
    """Leaky integrate-and-fire neuron with an exponential upstroke and an adaptation current.

    v <- v + dt/tau_mem (leak - v + D exp((v - V_T) / D)) + dt/c_mem (i - w), and after the spike
    decision w <- w - dt/tau_adap w + dt/tau_adap a (v - leak) + b z, with v before the reset.
    Each of D, a and b may be None: then the neuron has no such term, and with all three None it is
    a `LIF`.

    Args:
        exponential_slope: D, how sharply the upstroke sets in.
        exponential_threshold: V_T, where it does. A `threshold` well above it is where the upstroke
            is cut off. The exponent is limited to 60.
        a: Adaptation by the membrane, current per potential.
        b: Adaptation by a spike, current.
        tau_adap: Time constant of the adaptation in seconds.
        leaky: Whether the membrane leaks.
        adapt_while_refractory: Whether a membrane that its input lifts above the threshold during
            the refractory period adapts as if it had spiked. hxtorch does so.
        leak, reset, threshold, tau_mem, tau_syn, c_mem, refractory_time, dt, ...: See `LIF`.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.functional.aelif.cuba_aelif_integration`. R. Brette and
        W. Gerstner, "Adaptive exponential integrate-and-fire model", J. Neurophysiology 94, 2005.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((1,), hidden=bss2.AELIF(threshold=1.5))
        >>> run = nj.simulate(net, jnp.full((82, 1, 1), 0.15), probes=["hidden.w"])
        >>> print(jnp.diff(jnp.flatnonzero(run.outputs)))
        [18 20 20]
    """

    leak: Parameter = number(0.0)
    exponential_slope: Parameter | None = number(0.1)
    exponential_threshold: Parameter = number(0.8)
    a: Parameter | None = number(0.3)
    b: Parameter | None = number(0.2)
    tau_adap: Parameter = number(20e-6)
    leaky: bool = option(True)
    adapt_while_refractory: bool = option(False)

    def __check_init__(self) -> None:
        check_range(self, "exponential_slope", 0.0, inclusive=False)
        for name in ("leaky", "adapt_while_refractory"):
            check_choice(self.name, name, getattr(self, name), (False, True))

    @property
    def adapts(self) -> bool:
        """Whether there is an adaptation current."""
        return self.a is not None or self.b is not None

    @property
    def periods(self) -> tuple[str, ...]:
        return (*super().periods, "tau_adap")

    @property
    def resting(self) -> Parameter:
        return self.leak if self.leaky or self.a is not None else 0.0

    def init(self, in_shape: Shape) -> NeuronState:
        w = jnp.zeros(in_shape) if self.adapts else None
        return super().init(in_shape)._replace(w=w)

    def driving(self, state: NeuronState) -> Array:
        current = super().driving(state)
        return current if state.w is None else current - state.w

    def flow(self, state: NeuronState) -> Array:
        v, slope = state.v, self.exponential_slope
        dv = super().flow(state)
        if self.leaky:
            dv = dv + (self.leak - v) / self.tau_mem
        if slope is not None:
            steepness = jnp.minimum((v - self.exponential_threshold) / slope, STEEPEST)
            dv = dv + slope * jnp.exp(steepness) / self.tau_mem
        return dv

    def adapted(
        self, state: NeuronState, v: Array, spikes: Array, measured: Mapping[str, Array]
    ) -> Array | None:
        if state.w is None:
            return None
        rate = 1 / self.tau_adap
        w = state.w * (1 - rate)
        if self.a is not None:
            w = w + rate * self.a * (v - self.leak)
        if self.b is not None:
            counts_all = self.adapt_while_refractory or OUTPUT in measured
            if state.refractory is not None and not counts_all:
                spikes = jnp.where(state.refractory > 0, 0, spikes)
            w = w + self.b * spikes
        return inject(w, measured["w"]) if "w" in measured else w
