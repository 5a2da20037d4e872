"""Neuron circuits that are no ideal ones: noise, saturation, and the converter that reads them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State, constants_to_floats
from neurojax._measured import OUTPUT, inject
from neurojax.chips.bss2._integrator import AbstractCircuit, AbstractFiring, AbstractReadout
from neurojax.chips.bss2._off import is_off
from neurojax.chips.bss2.cadc import CADC, Sampled
from neurojax.chips.bss2.refractory import counted_period, nearest_steps
from neurojax.chips.bss2.saturation import headroom, saturated_current
from neurojax.fixed_point import clamp
from neurojax.neurons._neuron import Parameter, number


class AnalogState(NamedTuple):
    """State of a read-out whose converter does not sample in every step."""

    v: Array  # membrane potential
    i: Array  # synaptic current
    sampled: Sampled


class Analog(Layer):
    """A neuron of the chip with what its circuits make of it; traces keep their names.

    In a time step the current onto the membrane saturates, loses what the membrane has no room
    for, and gets noise; the neuron does as ever with it; then its membrane is limited.

    The neuron keeps its own parameters, which can be trained; all else is no parameter.

    Args:
        neuron: `LIF`, `LI`, `IAF` or `AELIF`.
        factors: What time constants, `c_mem` and `refractory_time` are multiplied with, by field.
            A refractory period is what its counter makes of it, see `counted_period`, rounded to
            whole time steps. A membrane that leaks faster has no weaker synapses: `c_mem` stays.
        offsets: What is added to potentials, by field, in units of the membrane.
        noise: Standard deviation that a membrane at rest has by noise of the current onto it, in
            units of the membrane. The noise is white, so the membrane is an Ornstein-Uhlenbeck
            process with the time constant of the membrane; for `IAF`, which has no leak, a random
            walk as fast as this is at first.
        threshold_noise: Standard deviation of the threshold, anew in each time step.
        largest_current: See `saturated_current`; None: no such limit.
        linear: See `headroom`; None: no such limit. Around `leak`, of `IAF` around `reset`.
        limit: See `headroom`; the membrane is never beyond it.
        readout: Converter between the membrane of an `LI` and its output; None: none.

    Raises:
        TypeError: `neuron` is none of those.
        ValueError: `readout` for a neuron that spikes, `linear` without `limit`,
            `threshold_noise` without a threshold, or more than factors and offsets for a neuron
            with another gradient, `EventPropLIF`.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import bss2
        >>> noisy = bss2.Analog(bss2.LI(), noise=0.02, readout=bss2.CADC(noise=1.2))
        >>> run = nj.simulate(nj.Sequential((3,), readout=noisy), jnp.zeros((50, 4, 3)),
        ...                   key=jax.random.key(0), probes=["readout.v"])
        >>> run.outputs.shape, bool(run["readout.v"].std() > 0.01)
        ((50, 4, 3), True)
    """

    neuron: AbstractCircuit
    factors: dict[str, Array] = eqx.field(default_factory=dict, kw_only=True)
    offsets: dict[str, Array] = eqx.field(default_factory=dict, kw_only=True)
    noise: Parameter | None = number(None)
    threshold_noise: Parameter | None = number(None)
    largest_current: Parameter | None = number(None)
    linear: Parameter | None = number(None)
    limit: Parameter | None = number(None)
    readout: CADC | None = eqx.field(default=None, kw_only=True)
    gain: Parameter = number(1.0)  # only of a prepared one: the neuron's

    buffers: ClassVar[tuple[str, ...]] = (
        "factors",
        "offsets",
        "noise",
        "threshold_noise",
        "largest_current",
        "linear",
        "limit",
        "readout",
    )

    def __check_init__(self) -> None:
        if not isinstance(self.neuron, AbstractCircuit):
            raise TypeError(
                f"Analog: {type(self.neuron).__name__} is none of LIF, LI, IAF and AELIF"
            )
        name, fires = self.neuron.name, isinstance(self.neuron, AbstractFiring)
        if not self.steady and not isinstance(self.neuron, AbstractFiring | AbstractReadout):
            raise ValueError(
                f"Analog: the gradient of {name} knows neither noise nor saturation; use "
                "Magnitudes.mismatch(), or a LIF"
            )
        if fires and self.readout is not None:
            raise ValueError(
                "Analog: the output of a neuron that spikes is not read by the converter; probe "
                "its membrane and use CADC.record"
            )
        if not fires and not is_off(self.threshold_noise):
            raise ValueError(f"Analog: {name} has no threshold that could be noisy")
        if (self.linear is None) != (self.limit is None):
            raise ValueError("Analog: give both of linear and limit, or neither")

    @property
    def steady(self) -> bool:
        """Whether there is nothing but factors and offsets."""
        limits = (self.largest_current, self.limit, self.readout)
        random = (self.noise, self.threshold_noise)
        return all(effect is None for effect in limits) and all(map(is_off, random))

    @property
    def real(self) -> Any:
        """The neuron with its factors and offsets."""
        if not self.factors and not self.offsets:
            return self.neuron
        neuron: Any = self.neuron
        plain = constants_to_floats(neuron)
        changed = {}
        for name, offset in self.offsets.items():
            changed[name] = getattr(plain, name) + offset
        for name, factor in self.factors.items():
            value = plain.tau_mem if name == "c_mem" and plain.c_mem is None else None
            value = getattr(plain, name) if value is None else value
            changed[name] = value * factor
            if name == "refractory_time":
                if not neuron.pauses:
                    del changed[name]
                    continue
                period = counted_period(jnp.asarray(value)) * factor
                changed[name] = nearest_steps(period, plain.dt)
        if (
            plain.c_mem is None
            and "tau_mem" in changed
            and isinstance(neuron, AbstractFiring | AbstractReadout)
        ):
            changed.setdefault("c_mem", jnp.asarray(plain.tau_mem))
        return dataclasses.replace(neuron, **changed)

    @property
    def needs_key(self) -> bool:
        reads = self.readout is not None and self.readout.needs_key
        return reads or not (is_off(self.noise) and is_off(self.threshold_noise))

    def init(self, in_shape: Shape) -> State:
        state = self.real.init(in_shape)
        if not self._samples:
            return state
        assert self.readout is not None
        return AnalogState(state.v, state.i, self.readout.first(state.v))

    def prepare(self, key: PRNGKeyArray | None) -> Layer:
        neuron = self.real.prepare(key)
        if self.steady:
            # From here on it is a plain neuron, so that it takes no longer than one.
            return neuron
        readout = self.readout
        if readout is not None:
            # The converter goes by seconds, a prepared neuron by steps.
            period = readout.period
            period = period / float(self.neuron.dt) if period and self._samples else None
            readout = dataclasses.replace(readout, period=period)
        gain, neuron = neuron.gain, dataclasses.replace(neuron, gain=1.0)
        return dataclasses.replace(
            self, neuron=neuron, factors={}, offsets={}, readout=readout, gain=gain
        )

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        return self.step_measured(state, x, {}, key=key)

    def step_measured(
        self,
        state: State,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[State, Array]:
        if self.needs_key and key is None:
            raise ValueError("Analog: its noise is drawn from a key; pass key=")
        on_drive, on_threshold, for_readout = self._draws(key, state.v.shape)
        told = dict(measured)
        read = told.pop(OUTPUT, None) if self.readout is not None else None
        neuron = self._with_noise(on_threshold)
        before = state._replace(i=self._drive(state, on_drive))
        after, y = neuron.step_measured(before, x, told) if told else neuron.step(before, x)
        if "i" not in told:
            after = after._replace(i=neuron.current(state.i, x))
        if self.limit is not None and "v" not in told:
            rest = self._rest
            after = after._replace(v=clamp(after.v, rest - self.limit, rest + self.limit))
            y = y if isinstance(neuron, AbstractFiring) else after.v
        if self.readout is None:
            return after, y
        if not self._samples:
            y = self.readout.read(y, key=for_readout)
            return after, y if read is None else inject(y, read)
        sampled = self.readout.hold(state.sampled, y, dt=neuron.dt, key=for_readout)
        y = sampled.value if read is None else inject(sampled.value, read)
        return AnalogState(after.v, after.i, sampled), y

    def _draws(self, key: PRNGKeyArray | None, shape: Shape) -> tuple[Any, Any, Any]:
        """Normal deviates for current and threshold, and a key for the read-out."""
        if key is None or not self.needs_key:
            return None, None, None
        rows = [not is_off(self.noise), not is_off(self.threshold_noise)]
        normal = iter(jax.random.normal(key, (sum(rows), *shape)))
        on_drive, on_threshold = (next(normal) if row else None for row in rows)
        if self.readout is None or not self.readout.needs_key:
            return on_drive, on_threshold, None
        return on_drive, on_threshold, jax.random.fold_in(key, 1)

    def _drive(self, state: State, normal: Array | None) -> Array:
        """The current that the membrane gets in this step."""
        i = state.i
        if self.largest_current is not None:
            i = saturated_current(i, self.largest_current)
        if self.linear is not None and self.limit is not None:
            i = i * headroom(state.v, i, rest=self._rest, linear=self.linear, limit=self.limit)
        if eqx.is_array(self.gain) or self.gain != 1:
            i = self.gain * i
        if normal is not None:
            i = i + self._kick * normal.astype(i.dtype)
        return i

    @property
    def _kick(self) -> Any:
        """Standard deviation of the noise current of a step, of a neuron in steps."""
        neuron: Any = self.neuron
        rate = 1 / neuron.tau_mem
        kept = getattr(neuron, "leaky", hasattr(neuron, "leak"))
        variance = rate * (2 - rate) if kept else 2 * rate
        noise: Any = self.noise
        return noise * jnp.sqrt(variance) * neuron.c_mem

    @property
    def _rest(self) -> Any:
        neuron: Any = self.neuron
        return neuron.leak if hasattr(neuron, "leak") else neuron.reset

    def _with_noise(self, normal: Array | None) -> Any:
        """The neuron as it is in this step."""
        neuron: Any = self.neuron
        if normal is None:
            return neuron
        # Not by `replace`, which would make constants of plain floats again.
        width: Any = self.threshold_noise
        moved = neuron.threshold + width * normal
        return eqx.tree_at(lambda n: n.threshold, neuron, moved)

    @property
    def _samples(self) -> bool:
        """Whether the converter has a state."""
        return self.readout is not None and self.readout.sparse(float(self.neuron.dt))

    def out_shape(self, in_shape: Shape) -> Shape:
        return self.real.out_shape(in_shape)

    def describe(self) -> str:
        return f"Analog({self.neuron.describe()})"

    def equations(self) -> tuple[str, ...]:
        return self.neuron.equations()
