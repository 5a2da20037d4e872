"""A neuron whose membrane potential answers an input with an alpha function."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape
from neurojax._measured import OUTPUT, as_measured, inject_all
from neurojax.neurons._leak import check_one_given, decay_factor
from neurojax.neurons._neuron import AbstractNeuron, Parameter, check_choice, number, option
from neurojax.surrogate import ATan, Surrogate, spike


class AlphaState(NamedTuple):
    """State of an alpha neuron."""

    v: Array  # membrane potential
    excitatory: Array  # the slow current
    inhibitory: Array  # the fast current, negative for a positive input


class Alpha(AbstractNeuron):
    """Alpha neuron: the potential is the difference of a slow and a fast current.

    excitatory = a excitatory + x, inhibitory = b inhibitory - x, v = k (excitatory + inhibitory)
    with k = ln a / (ln b - ln a) + 1 and decays a > b. An input x moves v by nothing at first, then
    up and down again. It spikes at v > threshold; the reset comes one step late:

    * `"zero"` clears both currents and the potential, the input of that step included;
    * `"subtract"` takes the threshold from the excitatory current (k is not applied) and clears the
      inhibitory one; the potential of that step still has the inhibitory current of the step
      before added. That is what snnTorch does;
    * `"none"`.

    Args:
        tau, decay: Time constant of the slow, excitatory current in the unit of `dt`, or its decay
            a step (a).
        tau_fast, decay_fast: The same of the fast, inhibitory one (b); faster than the other.
        threshold: Potential above which the neuron spikes.
        reset: `"zero"`, `"subtract"` or `"none"`; no gradient passes through it.
        scale: k. Default: the formula above.
        dt: Duration of a time step.
        gain: What one unit of input adds to the currents.
        surrogate: Derivative of the spike, see `neurojax.surrogate`.

    References:
        snnTorch 1.0, `Alpha`; W. Gerstner et al., "Neuronal dynamics", 2014, section 3.1.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import Alpha
        >>> net = nj.Sequential((1,), hidden=Alpha(decay=0.5, decay_fast=0.25))
        >>> run = nj.simulate(net, jnp.array([1.0, 0, 0, 0]).reshape(4, 1, 1), probes=["hidden.v"])
        >>> print(run["hidden.v"].ravel())
        [0.      0.5     0.375   0.21875]
    """

    tau: Parameter | None = number(None)
    decay: Parameter = number(None)  # None only until `prepare`
    tau_fast: Parameter | None = number(None)
    decay_fast: Parameter = number(None)  # None only until `prepare`
    scale: Parameter = number(None)  # None only until `prepare`
    threshold: Parameter = number(1.0)
    reset: str = option("zero")
    surrogate: Surrogate = option(ATan())

    def __check_init__(self) -> None:
        check_choice(self.name, "reset", self.reset, ("zero", "subtract", "none"))
        check_one_given(self, "tau", "decay")
        check_one_given(self, "tau_fast", "decay_fast")
        if self.v_min is not None or self.v_init is not None:
            raise ValueError(
                "Alpha: its potential follows from its currents; v_min and v_init "
                "have no meaning here, leave them out"
            )
        slow, fast = self._decays()
        if not eqx.is_array(slow) and not eqx.is_array(fast) and not 0 < fast < slow < 1:
            raise ValueError(
                f"Alpha: the decays are {slow:g} (excitatory) and {fast:g} (inhibitory); they must "
                "lie between 0 and 1, and the inhibitory current must decay faster"
            )

    def _decays(self) -> tuple[Parameter, Parameter]:
        return (
            decay_factor(self.tau, self.decay, self.dt, "exact"),
            decay_factor(self.tau_fast, self.decay_fast, self.dt, "exact"),
        )

    def resolved(self) -> dict[str, Any]:
        slow, fast = self._decays()
        scale = self.scale
        if scale is None:
            scale = _log(slow) / (_log(fast) - _log(slow)) + 1
        decays = {"tau": None, "decay": slow, "tau_fast": None, "decay_fast": fast}
        return super().resolved() | decays | {"scale": scale}

    def init(self, in_shape: Shape) -> AlphaState:
        zeros = jnp.zeros(in_shape)
        return AlphaState(zeros, zeros, zeros)

    def step_measured(
        self,
        state: AlphaState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[AlphaState, Array]:
        del key
        excitatory = self.decay * state.excitatory + self.gain * x
        inhibitory = self.decay_fast * state.inhibitory - self.gain * x
        v = self.scale * (excitatory + inhibitory)
        if OUTPUT in measured and "v" not in measured and self.reset != "none":
            raise ValueError(
                "Alpha: its late reset goes by the membrane of the step before; with measured "
                "spikes give the measured membrane, too"
            )
        late = jax.lax.stop_gradient(self._spikes(state.v))
        if self.reset == "zero":
            excitatory, inhibitory, v = ((1 - late) * u for u in (excitatory, inhibitory, v))
        elif self.reset == "subtract":
            excitatory = excitatory - late * self.threshold
            inhibitory = (1 - late) * inhibitory
            v = v + late * state.inhibitory
        v = as_measured(v, measured, "v")
        return inject_all(AlphaState(v, excitatory, inhibitory), self._spikes(v), measured)

    def _spikes(self, v: Array) -> Array:
        u = v - self.threshold
        return spike(u, self.surrogate, threshold=self.threshold, strict=True)


def _log(x: Parameter) -> Parameter:
    return jnp.log(x) if eqx.is_array(x) else math.log(x)
