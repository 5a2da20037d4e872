"""CRI's neurons, integer for integer: LIF, IF and ANN (memoryless) with membranes of 35 bits.

In every time step, with x = the integer sum of what arrives,

    S = 1 if V > theta
    V = (LIF: V - floor(V / 2^leak) + noise;  IF: V;  ANN: 0)   where S = 0
    V = (0, or V - theta)                                       where S = 1
    V = limit(V + x)

The spike is found in what the step before has left, so every layer takes one time step.

`order="main"` and `order="dev"` compute what the simulators of hs_api do, defects included:

    main  Noise, limited, is added to all neurons before the test, which is V >= theta. The model is
          ignored: all neurons leak (an ANN neuron is one with leak 0).
    dev   No noise. An IF neuron keeps V; the divisor 2^leak is limited to 2^34 - 1.
    both  Leak 63, their word for no leak, adds 1 to every V > 0 in every step (2^63 is a negative
          integer of 64 bits); leak 64 is none.

References:
    RTL `internal_events_processor` of CRI; hs_api, `_simple_sim.simple_sim.step_run` of the
    branches main (2025-06) and dev (2025-08).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape
from neurojax._measured import OUTPUT
from neurojax.chips.cri import _dynamics, _options, _wide
from neurojax.chips.cri._lines import lines_of
from neurojax.chips.cri._options import BITS as BITS
from neurojax.chips.cri._state import (
    CRIState as CRIState,
    Fired,
    injected,
    membrane as membrane,
    with_membrane as with_membrane,
)
from neurojax.chips.cri._wide import Wide, select
from neurojax.chips.cri.noise import OFF
from neurojax.chips.cri.spec import MEMBRANE_BITS, MODELS
from neurojax.fixed_point import derivative_of
from neurojax.surrogate import ATan, Surrogate, spike


@dataclasses.dataclass(frozen=True)
class Relative(Surrogate):
    """g(u / |theta|) / |theta|: the derivative that `inner` has where the threshold is 1.

    Thresholds of the chip are anything between 1 and 2^34, and membranes go with them. Thresholds
    below 1 count as 1.
    """

    inner: Surrogate

    def __post_init__(self) -> None:
        """`inner` is no number and has been checked when it was made."""

    def shape(self, u: Array, threshold: Array) -> Array:
        unit = jnp.maximum(jnp.abs(threshold), 1)
        return self.inner.shape(u / unit, threshold / unit) / unit


class Neuron(Layer):
    """A population of CRI's neurons, bit for bit.

    The input is the integer sum of what arrives, exact as far as float32 holds it (±2^24); a
    `Crossbar` adds more than that.

    Integers (and arrays of them: one a neuron, or (channels, 1, 1) for one a channel) are fixed. An
    array of floats in `theta` is trained: the test is exact for any number, as V > 2.5 is V > 2.

    Gradients: the surrogate's through a spike, and else those of the real-valued equations at the
    computed membranes: 1 - 2^-leak through the leak, 1 through roundings and wrapping, none where
    the membrane is at its limit.

    Args:
        theta: Threshold.
        leak: 0 (no memory) to 63 (none); 64, as some programs for hs_api have it, is none too.
            None: 63, for ANN neurons 0.
        shift: Of the noise, -32..31: magnitudes up to 65535 2^shift; -17 is none.
        model: `"LIF"`, `"IF"` or `"ANN"`, or an array of their codes 2, 3 and 0.
        strict: Fires at V > theta; False: at V >= theta. None: as the order does, which is strict
            unless it is main.
        reset: `"zero"` or `"subtract"` (the newer bitstreams), or an array of their codes 0 and 1.
        order: `"hardware"`, `"main"` or `"dev"`: see above.
        overflow: `"saturate"`, or `"wrap"` as the adders of the hardware do.
        bits: Of the membrane; the bitstreams since L6d have 32 by default.
        noise: `"hardware"` or `"main"`, the form of the noise. None: that of the order.
        refractory: Steps, from the spike on, in which what arrives is lost and V is 0, whatever the
            reset; 0 to 7, a number or an array. The next test for a spike is one step later.
        count_overflow: Count the steps in which the membrane has left its range.
        leak_bias: Leak 63 is the arithmetic shift by 63 that it is in hardware: V < 0 moves up by
            1 in every step.
        draws: The random integers, `[time, *neurons]` in -2^16..2^16 - 1, instead of a key's; the
            last ones stay. For replaying recordings.
        detach_reset: No gradient to the spike through the reset.
        surrogate: Derivative of the spikes; by default relative to the threshold.

    Raises:
        ValueError: A number or an option is out of its range.
        TypeError: The type of an argument.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.cri.neuron import Neuron
        >>> net = nj.Sequential((1,), n=Neuron(theta=20, leak=3))
        >>> x = jnp.array([16.0, 8, 0, 0]).reshape(4, 1, 1)
        >>> run = nj.simulate(net, x, probes=["n.v"])
        >>> print(run["n.v"].ravel(), run.outputs.ravel())
        [16. 22.  0.  0.] [0. 0. 1. 0.]
    """

    theta: Any = eqx.field(converter=_options.threshold, kw_only=True)
    leak: Any = eqx.field(converter=_options.integers, default=None, kw_only=True)
    shift: Any = eqx.field(converter=_options.integers, default=-17, kw_only=True)
    model: Any = eqx.field(converter=_options.named(MODELS), default="LIF", kw_only=True)
    strict: bool | None = eqx.field(static=True, default=None, kw_only=True)
    reset: Any = eqx.field(
        converter=_options.named(_options.RESET_CODES), default="zero", kw_only=True
    )
    order: str = eqx.field(static=True, default="hardware", kw_only=True)
    overflow: str = eqx.field(static=True, default="saturate", kw_only=True)
    bits: int = eqx.field(static=True, default=MEMBRANE_BITS, kw_only=True)
    noise: str | None = eqx.field(static=True, default=None, kw_only=True)
    refractory: Any = eqx.field(converter=_options.integers, default=0, kw_only=True)
    count_overflow: bool = eqx.field(static=True, default=False, kw_only=True)
    leak_bias: bool = eqx.field(static=True, default=False, kw_only=True)
    draws: Any = eqx.field(
        converter=lambda d: None if d is None else jnp.asarray(d), default=None, kw_only=True
    )
    detach_reset: bool = eqx.field(static=True, default=False, kw_only=True)
    surrogate: Surrogate = eqx.field(static=True, default=Relative(ATan()), kw_only=True)

    buffers: ClassVar[tuple[str, ...]] = ("leak", "shift", "model", "reset", "refractory", "draws")

    def __check_init__(self) -> None:
        _options.check(self)

    # What the options come to

    @property
    def spiking(self) -> bool:
        return True

    @property
    def fires_above(self) -> bool:
        """True: fires at V > theta; False: at V >= theta."""
        return self.order != "main" if self.strict is None else self.strict

    @property
    def noise_form(self) -> str | None:
        """`"hardware"`, `"main"`, or None if there is no noise."""
        form = self.noise or ("main" if self.order == "main" else "hardware")
        if self.order == "dev" or (
            self.order == "hardware" and _options.of_model(self, "LIF") is False
        ):
            return None
        if eqx.is_array(self.shift):
            return form
        off = self.shift == OFF["main"] if form == "main" else self.shift <= OFF["hardware"]
        return None if off else form

    @property
    def needs_key(self) -> bool:
        return self.noise_form is not None and self.draws is None

    def init(self, in_shape: Shape) -> CRIState:
        none = jnp.zeros(in_shape, jnp.int32)
        refractory = eqx.is_array(self.refractory) or self.refractory > 0
        return CRIState(
            v=jnp.zeros(in_shape),
            high=none,
            low=none,
            refractory=none if refractory else None,
            saturated=jnp.zeros(in_shape) if self.count_overflow else None,
            time=jnp.int32(0) if self.draws is not None and self.noise_form is not None else None,
        )

    def out_shape(self, in_shape: Shape) -> Shape:
        shape = tuple(in_shape)
        arrays = {name: getattr(self, name) for name in ("theta", *self.buffers)}
        _options.check_shapes(arrays, shape)
        return shape

    # A time step

    def step_measured(
        self,
        state: CRIState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[CRIState, Array]:
        told = measured.get(OUTPUT)
        fired, spikes = self.fire(state, key=key, dtype=x.dtype, told=told)
        after = self.integrate(fired, x, _wide.from_float(lax.stop_gradient(x)))
        return injected(after, spikes, measured)

    def fire(
        self,
        state: CRIState,
        *,
        key: PRNGKeyArray | None = None,
        dtype: Any = jnp.float32,
        told: Array | None = None,
        known: Any = True,
    ) -> tuple[Fired, Float[Array, "*shape"]]:
        """The first half of a step: spikes, and the membranes after reset, leak and noise.

        Spikes that were measured, `told` where `known`, take the place of the computed ones.
        """
        if jnp.dtype(dtype).itemsize < 4:
            raise TypeError(
                f"CRI's neurons add integers that {jnp.dtype(dtype)} does not hold; pass float32 "
                "inputs"
            )
        exact, v = Wide(state.high, state.low), state.v.astype(jnp.float32)
        xi, over = _dynamics.noise_of(self, state, key), None
        if xi is not None and self.order == "main":
            exact = _wide.add(exact, xi)
            over = _wide.outside(exact, self.bits)
            exact = _wide.saturate(exact, self.bits)
            v = derivative_of(jnp.where(over, 0, v), _wide.to_float(exact))
        theta, smooth_theta = _dynamics.compared(self)
        if self.fires_above:
            fires = _wide.greater(exact, theta)
        else:
            fires = ~_wide.greater(theta, exact)
        refractory = state.refractory
        if refractory is not None:
            fires &= refractory == 0
        if told is not None:
            fires = jnp.where(known, told != 0, fires)
        if refractory is not None:
            waiting = jnp.asarray(self.refractory, jnp.int32)
            refractory = jnp.where(fires, waiting, jnp.maximum(refractory - 1, 0))
        above = v - smooth_theta
        # For its derivative: the float of a membrane beyond 2^24 may be on the wrong side.
        soft = spike(above, self.surrogate, threshold=smooth_theta, strict=self.fires_above)
        if state.refractory is not None:
            soft = jnp.where(state.refractory == 0, soft, 0)
        spikes = derivative_of(soft, fires.astype(jnp.float32))
        exact, v = _dynamics.after(self, exact, v, fires, spikes, theta, above, xi)
        silent = None if refractory is None else refractory > 0
        return Fired(v, exact, refractory, silent, over, state), spikes.astype(dtype)

    def integrate(self, fired: Fired, x: Float[Array, "*shape"], exact: Wide) -> CRIState:
        """The second half: adds what arrives, `x` for the gradient and `exact` for the number."""
        total, v = _wide.add(fired.exact, exact), fired.v + x.astype(jnp.float32)
        over = _wide.outside(total, self.bits)
        if self.overflow == "wrap":
            total = _wide.wrap(total, self.bits)
        else:
            total = _wide.saturate(total, self.bits)
            v = jnp.where(over, 0, v)
        if fired.silent is not None:
            total, v = (
                select(fired.silent, _dynamics.zeros(total), total),
                jnp.where(fired.silent, 0, v),
            )
            over &= ~fired.silent
        before = fired.before
        saturated, time = before.saturated, before.time
        if saturated is not None:
            saturated = saturated + (over if fired.over is None else over | fired.over)
        return CRIState(
            v=derivative_of(v, _wide.to_float(total)).astype(before.v.dtype),
            high=total.high,
            low=total.low,
            refractory=fired.refractory,
            saturated=saturated,
            time=None if time is None else time + 1,
            history=before.history,
        )

    def equations(self) -> tuple[str, ...]:
        """What a step computes; `wrap` keeps the membrane's bits with sign."""
        return lines_of(self)

    def describe(self) -> str:
        words = [str(self.model) if isinstance(self.model, str) else "mixed models"]
        for name in ("theta", "leak", "shift", "refractory"):
            value = getattr(self, name)
            if isinstance(value, float):
                plain = {"shift": -17, "refractory": 0}.get(name)
                words += [f"{name} {value:.17g}"] * (value != plain)
            elif value is not None:
                learned = name == "theta" and not isinstance(value, Wide)
                words.append(f"{name} learned" if learned else f"{name} by neuron")
        words += ["soft reset"] * (self.reset == "subtract" if isinstance(self.reset, str) else 0)
        words += [f"as {self.order}"] * (self.order != "hardware")
        return "CRI " + ", ".join(words)
