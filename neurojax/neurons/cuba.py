"""Neurons with current-based synapses: the input is a current that decays, and drives v.

Simulators and chips disagree on the order of the two updates in one step. `order` names the four
that are in use, with `s` what is left of the current after a step:

| order               | current kept | current that drives v | used by                       |
|---------------------|--------------|-----------------------|-------------------------------|
| `"new"`             | i = s i + x  | the new i             | snnTorch, SpikingJelly, Loihi |
| `"old"`             | i = s i + x  | the old i             | BrainScaleS-2 (hxtorch)       |
| `"jump_then_decay"` | i = s(i + x) | i + x                 | Norse, jaxsnn's LI            |
| `"decay_input"`     | i = s(i + x) | the new i             | sinabs                        |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Shape
from neurojax.neurons._leak import METHODS, AbstractLeak, check_one_given, decay_factor
from neurojax.neurons._neuron import AbstractNeuron, Parameter, check_choice, number, option
from neurojax.neurons._spiking import AbstractSpiking
from neurojax.neurons.li import AbstractReadout

ORDERS = ("new", "old", "jump_then_decay", "decay_input")


class CubaState(NamedTuple):
    """State of a neuron with a current-based synapse."""

    v: Array  # membrane potential at the end of the step
    i: Array  # synaptic current at the end of the step
    refractory: Array | None = None  # steps left in which the neuron is silent


class AbstractCuba(AbstractNeuron):
    """A synaptic current in front of the membrane."""

    tau_syn: Parameter | None = number(None)
    decay_syn: Parameter = number(None)  # None only until `prepare`
    method: str = option("exact")
    order: str = option("new")

    def __check_init__(self) -> None:
        check_choice(self.name, "method", self.method, METHODS)
        check_choice(self.name, "order", self.order, ORDERS)
        check_one_given(self, "tau_syn", "decay_syn")

    def resolved(self) -> dict[str, Any]:
        decay = decay_factor(self.tau_syn, self.decay_syn, self.dt, self.method)
        return super().resolved() | {"tau_syn": None, "decay_syn": decay}

    def synapse(self, i: Array, x: Array) -> tuple[Array, Array]:
        """The current that is kept, and the one that drives the membrane in this step."""
        if self.order in ("new", "old"):
            kept = self.decay_syn * i + x
            return kept, (kept if self.order == "new" else i)
        jumped = i + x
        kept = self.decay_syn * jumped
        return kept, (jumped if self.order == "jump_then_decay" else kept)


class CubaLIF(AbstractCuba, AbstractLeak, AbstractSpiking):
    """Leaky integrate-and-fire neuron with an exponentially decaying synaptic current.

    With `order="new"`: i = decay_syn i + x, v = v_rest + decay (v - v_rest) + gain i, then spike
    and reset. The current has no reset.

    Args:
        tau, decay: Time constant of the membrane in the unit of `dt`, or its decay a step.
        tau_syn, decay_syn: The same of the synaptic current.
        order: `"new"`, `"old"`, `"jump_then_decay"` or `"decay_input"`; which current drives the
            membrane, see the table in `neurojax.neurons.cuba`.
        dt, method, v_rest, gain, normalize_input, threshold, reset, ...: See `LIF`.

    References:
        SpikingJelly `CUBALIFNode`, snnTorch `Synaptic`, Norse `LIFCell`, sinabs `LIF` with
        `tau_syn`, hxtorch `LIF`; docs/neurons.md says which options make which.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.neurons import CubaLIF
        >>> net = nj.Sequential((1,), hidden=CubaLIF(decay=0.5, decay_syn=0.5))
        >>> run = nj.simulate(net, jnp.array([0.75, 0, 0]).reshape(3, 1, 1), probes=["hidden.i"])
        >>> print(run["hidden.i"].ravel(), run.outputs.ravel())
        [0.75   0.375  0.1875] [0. 0. 0.]
    """

    def init(self, in_shape: Shape) -> CubaState:
        v = self.first_v(in_shape, self.v_rest)
        return CubaState(v, jnp.zeros(in_shape), self.first_refractory(in_shape))

    def advance(
        self, state: CubaState, x: Array, measured: Mapping[str, Array]
    ) -> tuple[CubaState, Array]:
        i, drive = self.synapse(state.i, x)
        v = self.integrate(self.carried(state.v), drive)
        v, refractory, spikes = self.fire(v, state, measured)
        return CubaState(v, i, refractory), spikes


class CubaIAF(AbstractCuba, AbstractSpiking):
    """Integrate-and-fire neuron without leak, with an exponentially decaying synaptic current.

    With `order="new"`: i = decay_syn i + x, v = v + gain i, then spike and reset.

    Args:
        tau_syn, decay_syn, order: See `CubaLIF`.
        method: How `tau_syn` becomes a decay, see `LIF`.
        gain, threshold, reset, refractory, dt, v_init, ...: See `IAF`.

    References:
        sinabs `IAF` with `tau_syn`; hxtorch `IAF`, with gain = dt / tau_mem.

    Example:
        >>> from neurojax.neurons import CubaIAF
        >>> CubaIAF(tau_syn=5.0).describe()
        'CubaIAF tau_syn 5'
    """

    def init(self, in_shape: Shape) -> CubaState:
        v = self.first_v(in_shape, self.reset_value if self.reset == "value" else 0.0)
        return CubaState(v, jnp.zeros(in_shape), self.first_refractory(in_shape))

    def advance(
        self, state: CubaState, x: Array, measured: Mapping[str, Array]
    ) -> tuple[CubaState, Array]:
        i, drive = self.synapse(state.i, x)
        v = self.carried(state.v) + self.gain * drive
        v, refractory, spikes = self.fire(v, state, measured)
        return CubaState(v, i, refractory), spikes


class CubaLI(AbstractCuba, AbstractReadout):
    """Leaky integrator with an exponentially decaying synaptic current; the output is v.

    Args:
        tau, decay, tau_syn, decay_syn, order: See `CubaLIF`.
        dt, method, v_rest, gain, normalize_input, v_init, v_min: See `LI`.

    References:
        Norse `LICell`, hxtorch `LI`.

    Example:
        >>> from neurojax.neurons import CubaLI
        >>> CubaLI(tau=10.0, tau_syn=5.0).describe()
        'CubaLI tau 10, tau_syn 5'
    """

    def init(self, in_shape: Shape) -> CubaState:
        return CubaState(self.first_v(in_shape, self.v_rest), jnp.zeros(in_shape))

    def step(
        self, state: CubaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[CubaState, Array]:
        del key
        i, drive = self.synapse(state.i, x)
        v = self.integrate(state.v, drive)
        return CubaState(self.bounded(v), i), v
