"""Loihi's neuron as Lava's bit-accurate model computes it, registers of 24 bits included.

In every time step, in integers, with w = weight steps that arrive:

    u = wrap(trunc(u (4095 - du) / 4096) + 2^6 w)
    v = clip(trunc(v (4096 - dv) / 4096) + u + floor(bias_mant 2^bias_exp))
    s = 1 if v > 2^6 vth, and then v = 0

trunc rounds towards zero; `wrap` is what a register of 24 bits does when it overflows, `clip`
limits to ±(2^23 - 1).

Lava and the chip store du: the decay in use is du + 1. Lava wraps by subtracting 2^24 once; a
register wraps modulo 2^24, which is the same for sums within ±3 2^23 and what this neuron does
beyond. At the ends it is as Lava: 2^23 stays, -2^23 becomes 2^23. Lava also wraps 2^6 w at 32 bits,
which integers in float32 (|w| <= 2^24) do not reach.

References:
    Lava, `lava.proc.lif.models.PyLifModelBitAcc`, `PyTernLifModelFixed`, `PyLifResetModelFixed`;
    M. Davies et al., "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro
    38, 2018.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter
from neurojax._measured import as_measured, inject_all
from neurojax._recompute import recomputed
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi._fire import RESET_GRADIENTS, fires, graded, measured_events, reset
from neurojax.chips.loihi._leak import leak
from neurojax.chips.loihi._lines import lif_lines
from neurojax.chips.loihi.quantise import SCALE
from neurojax.chips.loihi.spec import (
    BIAS_EXPONENTS,
    FULL,
    LARGEST_BIAS,
    LARGEST_REFRACTORY,
    LARGEST_STATE,
    LARGEST_THRESHOLD,
    STATE_BITS,
    STATE_SHIFT,
)
from neurojax.fixed_point import clamp, floor, round_half_even, truncate
from neurojax.surrogate import ATan, Surrogate

LAVA_BIAS_EXPONENTS = (-8, BIAS_EXPONENTS[1])
"""Lava also takes negative ones."""

SHIFTS = (-8, 8)
REFRACTORY = (1, LARGEST_REFRACTORY)

STEPS_PER_WEIGHT = 1 << STATE_SHIFT
STEPS_PER_UNIT = SCALE * STEPS_PER_WEIGHT

RANGES = {
    "du": (-1, FULL - 1),
    "dv": (0, FULL),
    "vth": (0, LARGEST_THRESHOLD),
    "vth_lo": (-LARGEST_THRESHOLD, 0),
    "bias_mant": (-LARGEST_BIAS - 1, LARGEST_BIAS),
    "bias_exp": LAVA_BIAS_EXPONENTS,
}
REMEDY = {
    "du": "the decay of the current in steps of 1 / 4096, less one",
    "dv": "the decay of the membrane in steps of 1 / 4096",
    "vth": "the threshold in weight steps (None: no spikes); use a smaller scale for a larger one",
    "vth_lo": "the threshold of negative spikes in weight steps",
    "bias_mant": "of 13 bits with sign; use a larger bias_exp for larger biases",
    "bias_exp": "the bias is bias_mant 2^bias_exp",
}


class LIFState(NamedTuple):
    """State of a neuron in the chip's integers."""

    u: Array  # synaptic current, 24 bits, at the end of the step
    v: Array  # membrane potential, 24 bits, at the end of the step
    refractory: Array | None = None  # steps left in which the membrane stays at 0
    restart: Array | None = None  # steps to the next one that begins at u = v = 0
    wrapped: Array | None = None  # steps in which u has overflowed
    saturated: Array | None = None  # steps in which v was at its limit


class LIF(Layer):
    """Leaky integrate-and-fire neuron in Loihi's fixed point, bit for bit as in Lava.

    The input is what synapses give: weight steps times spikes, 2^6 of which steps of the state
    are. One unit of a user's numbers is 4096 steps of the state, as in slayer with scale 64.

    Numbers are fixed. Arrays (one value, or one a neuron) are trained; a run rounds them (ties to
    even) and limits them to what the chip stores, and the gradient passes both. Gradients are those
    of the real-valued equations at the computed states: 1 - decay through a leak, -state to a
    decay, 1 through roundings and the overflow of u, and none through v where it is limited.

    Args:
        du: Decay of the current in steps of 1 / 4096, less one: -1 (none) to 4095 (no memory).
        dv: Decay of the membrane in steps of 1 / 4096, 0 to 4096.
        vth: Fires at v > 2^6 vth, 0 to 131071. None: no spikes and no reset, the output is v.
        bias_mant: Mantissa of what is added to the membrane in every step, -4096 to 4095.
        bias_exp: Its exponent, a number or an array; no parameter.
        vth_lo: Negative threshold, -131071 to 0: the output is -1, and v = 0, at v < 2^6 vth_lo.
        shift: The membrane gets trunc((u + bias) / 2^shift). Not on the chip: it replays networks
            that slayer trained with `WgtScaleBatchNorm`.
        reset_interval: Every so many time steps u and v start at 0 anew, as in `LIFReset`.
        reset_offset: The first time step, counted from 1, that does so.
        refractory: From a spike on, the membrane is 0 at the end of so many steps, 1 to 64; 1 is no
            refractory period, as the chip counts. The current goes on. Lava's float model
            `LIFRefractory(refractory_period=p)` is refractory = p + 1.
        graded: A spike has the value v / 4096 instead of 1. (Inputs with fractions, which come from
            graded spikes, are cut to whole steps of the state.)
        count_overflow: Count in the state, for each neuron, the steps in which u has overflowed
            (`wrapped`) and v was limited (`saturated`).
        reset_gradient: `"full"`; `"detached"`: no gradient to the spike through the reset;
            `"bypassed"`: as if there were no reset, as in slayer.
        surrogate: Derivative of the spikes, of the membrane in steps.

    Raises:
        ValueError: A number or an option is out of its range.
        TypeError: The type of an argument.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import LIF
        >>> net = nj.Sequential((1,), n=LIF(du=1023, dv=410, vth=64))
        >>> run = nj.simulate(net, jnp.array([32.0, 32, 0]).reshape(3, 1, 1), probes=["n.v"])
        >>> print(run["n.v"].ravel(), run.outputs.ravel())
        [2048.    0. 2688.] [0. 1. 0.]
    """

    du: Any = eqx.field(converter=parameter, kw_only=True)
    dv: Any = eqx.field(converter=parameter, kw_only=True)
    vth: Any = eqx.field(converter=parameter, kw_only=True)
    bias_mant: Any = eqx.field(converter=parameter, default=0, kw_only=True)
    bias_exp: Any = eqx.field(converter=parameter, default=0, kw_only=True)
    vth_lo: Any = eqx.field(converter=parameter, default=None, kw_only=True)
    shift: int = eqx.field(static=True, default=0, kw_only=True)
    reset_interval: int | None = eqx.field(static=True, default=None, kw_only=True)
    reset_offset: int = eqx.field(static=True, default=0, kw_only=True)
    refractory: int = eqx.field(static=True, default=1, kw_only=True)
    graded: bool = eqx.field(static=True, default=False, kw_only=True)
    count_overflow: bool = eqx.field(static=True, default=False, kw_only=True)
    reset_gradient: str = eqx.field(static=True, default="full", kw_only=True)
    surrogate: Surrogate = eqx.field(
        static=True, default=InSteps(ATan(), STEPS_PER_UNIT), kw_only=True
    )

    buffers: ClassVar[tuple[str, ...]] = ("bias_exp",)

    def __check_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is None and name in ("vth", "vth_lo"):
                continue
            if not (isinstance(value, Constant) or eqx.is_array(value)):
                raise TypeError(
                    f"LIF: {name} is {value!r}; give a number (a constant) or an array "
                    "(a parameter)"
                )
            if isinstance(value, Constant) and not (low <= value <= high and value.is_integer()):
                raise ValueError(
                    f"LIF: {name} is {value:g}; it must be a whole number within {low}..{high}: "
                    + REMEDY[name]
                )
        for name, (low, high) in (("shift", SHIFTS), ("refractory", REFRACTORY)):
            _whole(name, getattr(self, name), low, high)
        if self.reset_interval is not None:
            _whole("reset_interval", self.reset_interval, 1, 1 << 24)
        _whole("reset_offset", self.reset_offset, 0, 1 << 24)
        if self.reset_gradient not in RESET_GRADIENTS:
            raise ValueError(
                f"LIF: reset_gradient is {self.reset_gradient!r}; it must be in {RESET_GRADIENTS}"
            )
        if self.vth_lo is not None and (self.vth is None or self.graded):
            raise ValueError(
                "LIF: vth_lo is given, but "
                + ("there is no vth" if self.vth is None else "spikes are graded")
                + "; negative spikes go with a vth and without graded"
            )
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"LIF: surrogate is {self.surrogate!r}; use an object such as surrogate.ATan()"
            )

    @property
    def spiking(self) -> bool:
        return self.vth is not None

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> LIFState:
        count = jnp.zeros(in_shape) if self.count_overflow else None
        interval = self.reset_interval
        return LIFState(
            u=jnp.zeros(in_shape),
            v=jnp.zeros(in_shape),
            refractory=jnp.zeros(in_shape) if self.refractory > 1 else None,
            # Time steps count from 1.
            restart=None if interval is None else jnp.float32((self.reset_offset - 1) % interval),
            wrapped=count,
            saturated=count,
        )

    def prepare(self, key: PRNGKeyArray | None) -> LIF:
        """The neuron with the integers that the chip can store."""
        del key
        plain = constants_to_floats(self)
        stored = {name: _stored(getattr(plain, name), *RANGES[name]) for name in RANGES}
        return dataclasses.replace(self, **stored)

    def step_measured(
        self,
        state: LIFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[LIFState, Array]:
        del key
        state = self._restarted(state)
        # Into the register's range first, so that the sum is exact in float32.
        drive, turns = _wrap(truncate(STEPS_PER_WEIGHT * x))
        u, more = _wrap(leak(state.u, (self.du + 1) / FULL, drive))
        total = u + self.bias()
        if self.shift:
            total = truncate(total * 2.0**-self.shift)
        h = leak(state.v, self.dv / FULL, total)
        silent = None if state.refractory is None else state.refractory > 0
        v, y, fired = recomputed(self._end, h, silent, dict(measured))
        refractory = state.refractory
        if refractory is not None:
            left = jnp.maximum(refractory - 1, 0)
            refractory = jnp.where(fired, float(self.refractory - 1), left)
        wrapped, saturated = state.wrapped, state.saturated
        if wrapped is not None and saturated is not None:
            wrapped = wrapped + (turns + more != 0)
            over = jnp.abs(lax.stop_gradient(h)) > LARGEST_STATE
            saturated = saturated + (over if silent is None else over & ~silent)
        after = LIFState(u, v, refractory, state.restart, wrapped, saturated)
        return inject_all(after, y, measured)

    def bias(self) -> Any:
        """What is added to the membrane in each step, a number or an array."""
        if isinstance(self.bias_mant, float) and isinstance(self.bias_exp, float):
            return float(np.floor(self.bias_mant * 2.0**self.bias_exp))
        mantissa = jnp.asarray(self.bias_mant, jnp.float32)
        # ldexp keeps the power exact; exp2 is not, on every device.
        power = jnp.ldexp(jnp.float32(1), jnp.asarray(self.bias_exp).astype(jnp.int32))
        return floor(mantissa * lax.stop_gradient(power))

    def _restarted(self, state: LIFState) -> LIFState:
        """The state that a step begins with: all zero where an interval of `LIFReset` ends."""
        if self.reset_interval is None or state.restart is None:
            return state
        begins = state.restart < 1
        return state._replace(
            u=jnp.where(begins, 0, state.u),
            v=jnp.where(begins, 0, state.v),
            refractory=None if state.refractory is None else jnp.where(begins, 0, state.refractory),
            restart=jnp.where(begins, float(self.reset_interval), state.restart) - 1,
        )

    def _end(
        self, h: Array, silent: Array | None, measured: dict[str, Array]
    ) -> tuple[Array, Array, Array | None]:
        """Membrane and output at the end of a step, and where there was a spike of either sign.

        Spikes that were measured reset the membrane; if it was measured itself, that is where
        spikes take their derivative, and the reset is in it.
        """
        v = clamp(h, -LARGEST_STATE, LARGEST_STATE)
        if silent is not None:
            v = jnp.where(silent, 0, v)
        v = as_measured(v, measured, "v")
        unit = 1 / STEPS_PER_UNIT if self.graded else 1.0
        if self.vth is None:
            return v, v * unit, jnp.zeros(v.shape, bool)
        threshold = STEPS_PER_WEIGHT * self.vth
        above = v - threshold
        spikes = y = fires(above, threshold, self.surrogate)
        if self.graded:
            y = graded(v, above, threshold, self.surrogate) * unit
        elif self.vth_lo is not None:
            lowest = STEPS_PER_WEIGHT * self.vth_lo
            negative = fires(lowest - v, -lowest, self.surrogate)
            y, spikes = spikes - negative, spikes + negative
        spikes = measured_events(spikes, measured)
        after = v if "v" in measured else reset(v, spikes, self.reset_gradient)
        return after, y, spikes > 0

    def integers(self) -> dict[str, Any]:
        """What the chip holds of it, by field: Python integers, or NumPy ones. Not under jit."""
        held = self.prepare(None)
        values = {name: getattr(held, name) for name in RANGES}
        return {
            name: int(value) if isinstance(value, float) else np.asarray(value).astype(np.int64)
            for name, value in values.items()
            if value is not None
        }

    def describe(self) -> str:
        words = [
            f"{name} {value:g}" if isinstance(value, Constant) else f"{name} learned"
            for name in ("du", "dv", "vth", "vth_lo")
            if (value := getattr(self, name)) is not None
        ]
        words += ["no spikes"] * (self.vth is None) + ["graded"] * self.graded
        words += [f"refractory {self.refractory}"] * (self.refractory > 1)
        if self.reset_interval is not None:
            words.append(f"reset every {self.reset_interval} steps")
        return f"LIF {', '.join(words)}"

    def equations(self) -> tuple[str, ...]:
        return lif_lines(self, per_weight=STEPS_PER_WEIGHT, per_unit=STEPS_PER_UNIT)


def _wrap(n: Float[Array, "*shape"]) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """An integer in a register of 24 bits, and how often it went round. Derivative 1.

    In -2^23 + 1..2^23. All operations are exact for |n| < 2^30 with 24 significant bits.
    """
    turns = lax.stop_gradient(jnp.ceil(n * 2.0**-STATE_BITS - 0.5))
    return n - turns * 2.0**STATE_BITS, turns


def _stored(value: Any, low: int, high: int) -> Any:
    """The nearest integer within low..high; the derivative is 1 everywhere."""
    if value is None or isinstance(value, float):
        return value
    value = jnp.asarray(value, jnp.float32)
    return clamp(round_half_even(value), low, high, gradient="straight_through")


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"LIF: {name} is {value!r}; it must be a whole number")
    if not low <= value <= high:
        raise ValueError(f"LIF: {name} is {value}; it must be within {low}..{high}")
