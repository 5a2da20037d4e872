"""EventProp: gradients through the times of spikes instead of through their surrogate.

An `EventPropLinear` in front of an `EventPropLIF` computes what a `Linear` and a `LIF` do. What
goes back between the two is not one number a neuron but two, so the synapse hands on two: its
currents, and zeros that carry the second gradient, by which earlier spikes are moved.

With l_V, l_I the adjoints of membrane and current, going back in time from zero: a spike at which
its target has dL/dz jumps by

    l_V <- (leak - reset + I) / (leak - threshold + I) l_V + dL/dz / (leak - threshold + I),

between spikes tau_mem l_V' = -l_V and tau_syn l_I' = l_V - l_I. Weights get tau_syn l_I x, inputs
W (l_V - l_I).

References:
    T. C. Wunderlich and C. Pehle, "Event-based backpropagation can compute exact gradients for
    spiking neural networks", Scientific Reports 11, 2021, https://arxiv.org/abs/2009.08378;
    hxtorch (3bfc7aa), `hxtorch.spiking.functional.eventprop`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax._measured import OUTPUT, inject_all
from neurojax._network import Network
from neurojax.chips.bss2._integrator import AbstractLeaky
from neurojax.chips.bss2.lif import LIF
from neurojax.chips.bss2.synapse import Synapse
from neurojax.layers import Linear
from neurojax.neurons._neuron import Parameter, number
from neurojax.surrogate import SuperSpike, Surrogate


class EventPropState(NamedTuple):
    """State of an `EventPropLIF` at the end of a step."""

    v: Array  # membrane potential, after the reset
    i: Array  # synaptic current, drives the membrane in the next step
    i_before: Array  # the current of the step before, at which the derivative of a spike is taken


class EventPropLinear(Linear):
    """Dense synapses to an `EventPropLIF`: y = (W x, 0).

    Args:
        in_features, out_features, key: See `Linear`. There is no bias.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> synapse = bss2.EventPropLinear(4, 8, key=jax.random.key(0))
        >>> synapse.out_shape((4,))
        (2, 8)
    """

    def __init__(
        self, in_features: int, out_features: int, *, dtype: Any = jnp.float32, key: PRNGKeyArray
    ) -> None:
        super().__init__(in_features, out_features, dtype=dtype, key=key)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, _graded(self.weight, x)

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.bias is not None:
            raise ValueError(
                "EventPropLinear has a bias, which EventProp has no gradient for; use an input "
                "that spikes at a fixed time instead"
            )
        return (2, *super().out_shape(in_shape))


@jax.custom_vjp
def _graded(weight: Float[Array, "out in"], x: Float[Array, " in"]) -> Float[Array, "2 out"]:
    y = jnp.matmul(x, weight.T, precision=jax.lax.Precision.HIGHEST)
    return jnp.stack([y, jnp.zeros_like(y)])


def _graded_fwd(weight: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return _graded(weight, x), (weight, x)


def _graded_bwd(kept: tuple[Array, Array], g: Array) -> tuple[Array, Array]:
    weight, x = kept
    to_x = jnp.matmul(g[1], weight, precision=jax.lax.Precision.HIGHEST)
    return jnp.outer(g[0], x), to_x


_graded.defvjp(_graded_fwd, _graded_bwd)


class EventPropLIF(AbstractLeaky):
    """A `LIF` whose gradient is that of its spike times; its input is an `EventPropLinear`'s.

    Spikes and traces are those of `LIF`, step by step. Gradients reach weights and inputs, not the
    neuron's own parameters. What a loss has as its derivative by a spike is taken as minus that by
    the spike's time in seconds, see `spike_time`. A loss of the membrane is differentiated, too,
    as if a change of it moved no spike.

    Args:
        leak, reset, threshold, tau_mem, tau_syn, dt, v_init: See `LIF`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), bss2.EventPropLinear(4, 8, key=jax.random.key(0)),
        ...                     bss2.EventPropLIF())
        >>> nj.simulate(net, jnp.ones((20, 3, 4))).outputs.shape
        (20, 3, 8)
    """

    threshold: Parameter = number(1.0)
    reset: Parameter = number(0.0)

    def __check_init__(self) -> None:
        plain = {"c_mem": None, "gain": 1.0, "v_min": None, "method": "euler"}
        given = [
            f"{name} = {getattr(self, name)}"
            for name, value in plain.items()
            if eqx.is_array(getattr(self, name)) or getattr(self, name) != value
        ]
        if given:
            raise ValueError(
                f"EventPropLIF: {', '.join(given)} is given, which its gradient does not know; "
                "leave it out, or use LIF"
            )

    def resolved(self) -> dict[str, Any]:
        # Not in steps: gradients are by times in seconds.
        return {}

    def init(self, in_shape: Shape) -> EventPropState:  # type: ignore[override]
        v, i, *_ = super().init(self.out_shape(in_shape))
        return EventPropState(v, i, i)

    def equations(self) -> tuple[str, ...]:
        # Its input is a pair, of which only its derivative makes use.
        return ()

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        del key
        told = {name: measured[name] for name in (OUTPUT, "v") if name in measured}
        state, spikes = _step(self._numbers, state, x, told)
        return inject_all(state, spikes, measured)

    def out_shape(self, in_shape: Shape) -> Shape:
        if len(in_shape) < 2 or in_shape[0] != 2:
            raise ValueError(
                f"EventPropLIF: its input has shape {tuple(in_shape)}, but must be (2, neurons), "
                "as EventPropLinear makes it"
            )
        return super().out_shape(tuple(in_shape)[1:])

    @property
    def _numbers(self) -> _Numbers:
        own = (self.leak, self.reset, self.threshold, self.tau_mem, self.tau_syn, self.dt)
        return _Numbers(*map(jnp.asarray, own))


class _Numbers(NamedTuple):
    """The parameters of an `EventPropLIF`."""

    leak: Array
    reset: Array
    threshold: Array
    tau_mem: Array
    tau_syn: Array
    dt: Array


class _Kept(NamedTuple):
    """What the derivative of a step needs."""

    numbers: _Numbers
    spikes: Array
    i_before: Array
    told: dict[str, Array]


@jax.custom_vjp
def _step(
    numbers: _Numbers, state: EventPropState, x: Array, told: dict[str, Array]
) -> tuple[EventPropState, Array]:
    leak, reset, threshold, tau_mem, tau_syn, dt = numbers
    v = told.get("v", state.v + dt / tau_mem * (leak - state.v + state.i))
    spikes = told.get(OUTPUT, (v > threshold).astype(v.dtype))
    if "v" not in told:
        v = jnp.where(spikes > 0, reset, v)
    i = state.i * (1 - dt / tau_syn) + x[0]
    return EventPropState(v, i, state.i), spikes


def _step_fwd(
    numbers: _Numbers, state: EventPropState, x: Array, told: dict[str, Array]
) -> tuple[tuple[EventPropState, Array], _Kept]:
    state_after, spikes = _step(numbers, state, x, told)
    return (state_after, spikes), _Kept(numbers, spikes, state.i_before, told)


def _step_bwd(kept: _Kept, g: tuple[EventPropState, Array]) -> tuple[Any, ...]:
    # dL/dv = tau_mem l_V and dL/di = tau_syn l_I are what is handed back through time, so that
    # losses of recorded traces add up with them.
    leak, reset, threshold, tau_mem, tau_syn, dt = kept.numbers
    (to_v, to_i, _), to_spikes = g
    to_x = jnp.stack([to_i, to_v / tau_mem - to_i / tau_syn])
    to_i = to_i + dt * (to_v / tau_mem - to_i / tau_syn)
    to_v = to_v * (1 - dt / tau_mem)
    rise = leak - threshold + kept.i_before
    fired = (kept.spikes != 0) & (rise != 0)
    slope = jnp.where(fired, 1 / jnp.where(fired, rise, 1), 0)
    after = (leak - reset + kept.i_before) * slope * to_v + tau_mem * to_spikes * slope
    to_v = jnp.where(kept.spikes != 0, after, to_v)
    to_state = EventPropState(to_v, to_i, jnp.zeros_like(to_i))
    zeros = jax.tree.map(jnp.zeros_like, (kept.numbers, kept.told))
    return zeros[0], to_state, to_x, zeros[1]


_step.defvjp(_step_fwd, _step_bwd)


def without_eventprop(network: Network, *, surrogate: Surrogate = SuperSpike(50.0)) -> Network:
    """The same network of plain layers: to be mapped, or to be trained on by surrogates.

    Args:
        network: Every `EventPropLinear` becomes a `Linear`, every `EventPropLIF` a `LIF`, also
            in a network that is mapped.
        surrogate: Derivative of the spikes.

    Returns:
        A network with the same spikes.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> net = nj.Sequential((4,), bss2.EventPropLinear(4, 8, key=jax.random.key(0)),
        ...                     bss2.EventPropLIF())
        >>> [layer.describe() for layer in bss2.without_eventprop(net).layers.values()]
        ['Linear 4->8', 'bss2.LIF tau_mem 10 us, tau_syn 10 us']
    """
    return network.replace(**{n: _plain(layer, surrogate) for n, layer in network.layers.items()})


def _plain(layer: Layer, surrogate: Surrogate) -> Layer:
    if isinstance(layer, EventPropLinear):
        return Linear.from_weights(layer.weight)
    if isinstance(layer, EventPropLIF):
        own = ("leak", "reset", "threshold", "tau_mem", "tau_syn", "dt", "v_init")
        return LIF(**{n: getattr(layer, n) for n in own}, surrogate=surrogate)
    if isinstance(layer, Synapse):
        return dataclasses.replace(layer, synapse=_plain(layer.synapse, surrogate))
    return layer


def spike_time(
    spikes: Float[Array, "time ..."], *, dt: float = 1e-6, silent: float = math.inf
) -> Float[Array, " ..."]:
    """Time of each neuron's first spike in seconds, with the derivative that EventProp takes.

    Args:
        spikes: Outputs of an `EventPropLIF` over time.
        dt: Duration of a time step in seconds.
        silent: Time of neurons that never spike; they have no gradient.

    Returns:
        Times; the derivative by the first spike is -1, and 0 by all else.

    References:
        hxtorch (3bfc7aa), `hxtorch.spiking.transforms.decode`; Wunderlich and Pehle (2021).

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips import bss2
        >>> print(bss2.spike_time(jnp.array([[0.0, 0], [1, 0], [1, 0]]), dt=1.0, silent=9.0))
        [1. 9.]
    """
    spikes = jnp.asarray(spikes)
    first = jax.nn.one_hot(jnp.argmax(spikes > 0, axis=0), len(spikes), axis=0, dtype=spikes.dtype)
    moved = jnp.sum(jax.lax.stop_gradient(spikes * first) - spikes * first, axis=0)
    time = jnp.sum(
        first
        * dt
        * jnp.arange(len(spikes), dtype=spikes.dtype).reshape(-1, *(1,) * (spikes.ndim - 1)),
        axis=0,
    )
    return jnp.where(jnp.any(spikes > 0, axis=0), time + moved, silent)
