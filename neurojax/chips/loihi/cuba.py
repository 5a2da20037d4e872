"""Loihi's neuron in integers: a decaying current drives a decaying membrane.

In every time step, with integers that count steps of 1 / s_scale (s_scale = 64 scale):

    i = trunc(i (4096 - D_i) / 4096) + trunc(s_scale x)
    v = trunc(v (4096 - D_v) / 4096) + i
    s = 1 if v > threshold, and then v = 0

D_i and D_v are the decays times 4096, rounded to integers; trunc rounds towards zero. There is no
saturation: the chip's registers have 24 bits, this neuron goes on. `LIF` has them.

The states are handed on in the user's unit, as float32 that hold a multiple of 1 / s_scale. With a
scale that is a power of two this is exact for integers up to 2^24.

References:
    lava-dl, `slayer.neuron.cuba`; SpikingJelly, `lava_exchange.CubaLIFNode`; M. Davies et al.,
    "Loihi: a neuromorphic manycore processor with on-chip learning", IEEE Micro 38, 2018.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._broadcast import check_shapes
from neurojax._layer import Layer, Shape, State, constants_to_floats, parameter
from neurojax._measured import OUTPUT, as_measured, inject_all, is_output
from neurojax._recompute import recomputed
from neurojax.chips.loihi._fire import (
    check_reset_options,
    fires,
    graded,
    late_reset,
    measured_events,
    reset,
)
from neurojax.chips.loihi._leak import leak
from neurojax.chips.loihi._neuron import CURRENT_DECAYS, AbstractScaled, check_norm
from neurojax.chips.loihi.spec import FULL
from neurojax.fixed_point import derivative_of, divide, round_half_even, truncate


class CUBAState(NamedTuple):
    """State of a CUBA neuron, in the user's unit: multiples of 1 / s_scale."""

    v: Array  # membrane potential
    i: Array  # synaptic current
    norm: State = None  # of the norm: its running statistics in training


class CUBA(AbstractScaled):
    """Current-based leaky integrate-and-fire neuron in Loihi's integers, with gradients.

    The membrane is reset to zero. Gradients are those of the real-valued equations at the computed
    states: 1 - decay through a leak, -state to a decay, 1 through every rounding.

    Args:
        current_decay: Part of the current that is lost in a time step, 0 to 1. An array (one
            value, or one a channel or neuron) is learned; what leaves 0..1 counts as the limit,
            and its gradient still passes.
        voltage_decay: The same of the membrane.
        threshold: Fires at v > threshold. None: neither spikes nor reset, the output is v.
        scale: Weight steps per unit; the states have 64 times as many. Use a power of two.
        quantise_threshold: Cut the threshold to whole weight steps, which is all the chip can
            store. SpikingJelly does not.
        epsilon: None compares v > threshold. A number compares v >= threshold + epsilon in
            float32, as slayer and SpikingJelly do with 0.01 / s_scale: the same, except that for
            thresholds of 2^18 steps and more it is lost in rounding, and equality spikes.
        requantise: Make integers of the states anew in each step by truncation, as SpikingJelly
            does. Unless the scale is a power of two, this loses a step now and then.
        norm: A layer that the current passes on its way to the membrane, such as `ShiftNorm`,
            whose running statistics are part of the neuron's state.
        norm_feedback: The current that is kept is the normalised one, as in SpikingJelly.
        graded: A spike has the value of the membrane instead of 1. Its derivative is the
            surrogate's relative to the peak, and above the threshold the peak itself.
        reset_gradient: `"full"`; `"detached"`: no gradient to the spike through the reset;
            `"bypassed"`: as if there were no reset, as in slayer.
        reset_delay: `"before"` resets at the beginning of the next step, so that the state `v` is
            the value that was compared with the threshold. The spikes are the same.
        decay_gradient: `"true"`; `"slayer"`: what lava-dl computes, which has the wrong sign, lacks
            a factor of 1 / 4096, and takes the membrane before its reset. Learning by it moves
            decays the wrong way; only to compare with slayer. slayer's parameters are the decays
            times 4096: its gradients are these divided by 4096. Needs reset_gradient="bypassed" and
            reset_delay="before".
        surrogate: Derivative of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import loihi
        >>> net = nj.Sequential((1,), n=loihi.CUBA(current_decay=0.25, voltage_decay=0.1))
        >>> x = jnp.array([0.5, 0.5, 0.0]).reshape(3, 1, 1)
        >>> run = nj.simulate(net, x, probes=["n.v"])
        >>> print(run["n.v"].ravel() * 4096, run.outputs.ravel())
        [2048.    0. 2688.] [0. 1. 0.]
    """

    current_decay: Any = eqx.field(converter=parameter, kw_only=True)
    voltage_decay: Any = eqx.field(converter=parameter, kw_only=True)
    norm: Layer | None = eqx.field(default=None, kw_only=True)
    quantise_threshold: bool = eqx.field(static=True, default=True, kw_only=True)
    epsilon: float | None = eqx.field(static=True, default=None, kw_only=True)
    requantise: bool = eqx.field(static=True, default=False, kw_only=True)
    norm_feedback: bool = eqx.field(static=True, default=False, kw_only=True)
    reset_gradient: str = eqx.field(static=True, default="full", kw_only=True)
    reset_delay: bool | str = eqx.field(static=True, default=False, kw_only=True)
    decay_gradient: str = eqx.field(static=True, default="true", kw_only=True)
    surrogate: surrogates.Surrogate = eqx.field(
        static=True, default=surrogates.ATan(), kw_only=True
    )

    decays: ClassVar[dict[str, str]] = CURRENT_DECAYS

    def __check_init__(self) -> None:
        check_reset_options(self)
        check_norm("CUBA: norm", self.norm)

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape) if self.norm is None else self.norm.out_shape(in_shape)

    def init(self, in_shape: Shape) -> CUBAState:
        norm = None if self.norm is None else self.norm.init(in_shape)
        return CUBAState(jnp.zeros(in_shape), jnp.zeros(in_shape), norm)

    def absorb(self, state: CUBAState) -> CUBA:
        if self.norm is None:
            return self
        return dataclasses.replace(self, norm=self.norm.absorb(state.norm))

    def prepare(self, key: PRNGKeyArray | None) -> CUBA:
        norm = None if self.norm is None else self.norm.prepare(key)
        return dataclasses.replace(super().prepare(key), norm=norm)

    def step_measured(
        self,
        state: CUBAState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[CUBAState, Array]:
        del key
        i = self._leak(state.i, state.i, self.current_decay, x)
        norm, drive = (None, i) if self.norm is None else self.norm.step(state.norm, i)
        kept = drive if self.norm_feedback else i
        late = self.reset_delay == "before" and self.threshold is not None
        before = recomputed(self._reset, state.v) if late else state.v
        v = as_measured(self._leak(before, state.v, self.voltage_decay, drive), measured, "v")
        if self.threshold is None:
            return inject_all(CUBAState(v, kept, norm), v, is_output("v", measured))
        if late and OUTPUT in measured and "v" not in measured:
            raise ValueError(late_reset("CUBA", "v"))
        if late or "v" in measured:  # the reset comes in the next step, or is in it already
            y = recomputed(self._output, v)
        else:
            v, y = recomputed(
                lambda v, told: (self._reset(v, told), self._output(v)), v, dict(measured)
            )
        return inject_all(CUBAState(v, kept, norm), y, measured)

    def _leak(self, y: Array, origin: Array, decay: Any, x: Array) -> Array:
        """trunc(n (4096 - D) / 4096) + trunc(s_scale x), where n = s_scale y; all over s_scale.

        `origin` is what `y` was before a reset: where slayer takes its gradients.
        """
        n = self._steps(y)
        drive = truncate(self.s_scale * x)
        left = leak(n, decay, drive)
        if self.requantise:  # the decay's gradient is of the state before it was cut
            left = derivative_of(self.s_scale * y * (1 - decay) + drive, left)
        if self.decay_gradient == "slayer":
            kept = 1 - lax.stop_gradient(decay)
            # As if a larger decay kept more, and as much more as 4096 times itself.
            backwards = kept + FULL * (decay - lax.stop_gradient(decay))
            left = derivative_of(self._steps(origin) * backwards + drive, left)
        return divide(left, self.s_scale)

    def _steps(self, y: Array) -> Array:
        """A state in steps."""
        n = self.s_scale * y
        whole = self.s_scale & (self.s_scale - 1) == 0 and not self.norm_feedback
        if whole:  # a normalised current that is fed back may have fractions of a step
            return n
        return truncate(n) if self.requantise else round_half_even(n)

    def _above(self, v: Array) -> tuple[Array, bool]:
        """v minus what it is compared with; whether equality is no spike."""
        if self.epsilon is None:
            return v - self.threshold, True
        return v - (self.threshold + self.epsilon), False

    def _output(self, v: Array) -> Array:
        above, strict = self._above(v)
        if self.graded:
            return graded(v, above, self.threshold, self.surrogate, strict=strict)
        return fires(above, self.threshold, self.surrogate, strict=strict)

    def _reset(self, v: Array, measured: Mapping[str, Array] = {}) -> Array:
        above, strict = self._above(v)
        spikes = fires(above, self.threshold, self.surrogate, strict=strict)
        return reset(v, measured_events(spikes, measured), self.reset_gradient)

    def _stored(self, threshold: Any) -> Any:
        return super()._stored(threshold) if self.quantise_threshold else threshold

    def integers(self) -> dict[str, Any]:
        # The chip has whole thresholds only, whatever is computed with here.
        whole = dataclasses.replace(self, quantise_threshold=True)
        return super(CUBA, whole).integers()

    def equations(self) -> tuple[str, ...]:
        """What a step computes; `trunc` cuts towards zero, and `norm` is the layer of that name."""
        s, held = self.s_scale, constants_to_floats(self.prepare(None))
        lines = [f"current: i <- ({held._leaked('current_decay', 'i')} + trunc({s} x)) / {s}"]
        drive = "i"
        if self.norm is not None:
            drive = "drive"
            lines.append("normalised current: drive <- norm(i)")
            lines += ["and kept: i <- drive"] * self.norm_feedback
        kept, drive = held._leaked("voltage_decay", "v"), f"trunc({s} {drive})"
        membrane = f"membrane: v <- ({kept} + {drive}) / {s}"
        if self.threshold is None:
            return (*lines, membrane, "output: y <- v")
        sign, offset = (">", 0.0) if self.epsilon is None else (">=", self.epsilon)
        if eqx.is_array(held.threshold):
            condition = f"v {sign} threshold" + (f" + {offset:.17g}" if offset else "")
        else:
            condition = f"v {sign} {held.threshold + offset:.17g}"
        spikes = [f"spikes: s <- [{condition}]", f"output: y <- {'v s' if self.graded else 's'}"]
        if self.reset_delay == "before":
            late = f"reset of the step before: v <- 0 where {condition}"
            return (*lines, late, membrane, *spikes)
        return (*lines, membrane, *spikes, "reset: v <- 0 where s > 0")

    def describe(self) -> str:
        return f"CUBA {self._numbers('current_decay', 'voltage_decay')}"
