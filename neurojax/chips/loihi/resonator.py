"""Resonate-and-fire neurons in integers: complex states that turn, and spike at a phase or level.

`RF` spikes once a turn, where the imaginary part becomes positive, if the real part is large
enough; nothing is reset. `RFIzhikevich` spikes where the imaginary part reaches the threshold, and
is then set to re = 0, im = one step below the threshold.

The input has the real part and the imaginary part on a first axis of length 2. With `scale=1` and
`bits=24` the integers (states times 64) are those of Lava's fixed-point processes.

References:
    E. M. Izhikevich, "Resonate-and-fire neurons", Neural Networks 14, 2001; E. P. Frady et al.,
    "Efficient neuromorphic signal processing with resonator neurons", J. Signal Processing Systems
    94, 2022 (the spike at a phase); lava-dl, `slayer.neuron.rf` and `rf_iz`; Lava, `proc.rf` and
    `proc.rf_iz`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._layer import Shape
from neurojax._measured import OUTPUT, as_measured, inject_all, is_output
from neurojax.chips.loihi._fire import (
    check_reset_options,
    fires,
    graded,
    late_reset,
    measured_events,
    reset,
)
from neurojax.chips.loihi._phase import PhaseExponential, check_phase, phase_spikes
from neurojax.chips.loihi._resonator import TURNED, AbstractResonator
from neurojax.fixed_point import derivative_of, divide


class RFState(NamedTuple):
    """State of a resonator, in the user's unit: multiples of 1 / s_scale."""

    re: Array  # real part
    im: Array  # imaginary part


class RF(AbstractResonator):
    """Resonate-and-fire neuron that spikes at a phase, in Loihi's integers.

    Make it with `RF.from_period(period, decay, ...)`, or from what the chip holds. Gradients are
    those of the real-valued rotation at the computed states; the spike has the derivatives that
    `PhaseExponential` describes.

    Args:
        sin_decay: (1 - decay) sin(2 pi / period), 0 to 1. Arrays (one value, or one a channel or
            neuron) are learned; what leaves the quarter of the unit circle counts as the nearest
            point in it, and its gradient still passes.
        cos_decay: The same with the cosine.
        threshold: The real part must reach it; cut to whole weight steps. None: no spikes, the
            output is the imaginary part.
        scale: Weight steps per unit; the states have 64 times as many. Use a power of two.
        real_norm: A layer without memory that the real part of the input passes, such as
            `ShiftNorm`.
        imag_norm: The same for the imaginary part.
        graded: A spike has the value of the real part instead of 1.
        bits: Limit the states to what fits into so many bits, 24 in the chip. None: no limit.
        surrogate: Derivatives of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.
        TypeError: The surrogate is not one of a phase.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import RF
        >>> neuron = RF.from_period(8, 0.01, threshold=0.5)
        >>> neuron.integers()
        {'sinDecay': 2867, 'cosDecay': 2867, 'vThMant': 32}
        >>> x = jnp.zeros((18, 1, 2, 1)).at[0, 0, 0, 0].set(1.0)  # one kick along the real axis
        >>> print(nj.simulate(nj.Sequential((2, 1), n=neuron), x).outputs.ravel())
        [0. 0. 0. 0. 0. 0. 0. 0. 1. 0. 0. 0. 0. 0. 0. 0. 1. 0.]
    """

    surrogate: PhaseExponential = eqx.field(static=True, default=PhaseExponential(), kw_only=True)

    def __check_init__(self) -> None:
        check_phase("RF: surrogate", self.surrogate)

    def init(self, in_shape: Shape) -> RFState:
        zeros = jnp.zeros(in_shape[1:])
        return RFState(zeros, zeros)

    def step_measured(
        self,
        state: RFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[RFState, Array]:
        del key
        re, im = self._turn(state.re, state.im, x)
        re, im = as_measured(re, measured, "re"), as_measured(im, measured, "im")
        if self.threshold is None:
            return inject_all(RFState(re, im), im, is_output("im", measured))
        above = re - self.threshold
        passed = (above >= 0) & (im >= 0) & (state.im < 0)
        y = phase_spikes(passed, re, im, above, self.surrogate, self.threshold, graded=self.graded)
        return inject_all(RFState(re, im), y, measured)

    def _spiking_lines(self, turn: tuple[str, ...]) -> tuple[str, ...]:
        return (
            *turn,
            f"spikes: s <- [z >= {self._symbol('threshold')}] [w >= 0] [0 > im]",
            *TURNED,
            f"output: y <- {'re s' if self.graded else 's'}",
        )


class RFIzhikevich(AbstractResonator):
    """Resonate-and-fire neuron that spikes at a level and is reset, in Loihi's integers.

    A spike where im >= threshold; then re = 0 and im is one step of the state below the threshold.

    Args:
        sin_decay, cos_decay, scale, real_norm, imag_norm, bits: See `RF`.
        threshold: The imaginary part must reach it; cut to whole weight steps. None: neither
            spikes nor reset, the output is the imaginary part.
        graded: A spike has the value of the imaginary part instead of 1. Its derivative is the
            surrogate's relative to the peak, and above the threshold the peak itself; it has none
            to the threshold.
        reset_gradient: `"full"`; `"detached"`: no gradient to the spike through the reset;
            `"bypassed"`: as if there were no reset, as in slayer.
        reset_delay: `"before"` resets at the beginning of the next step, so that the state is what
            was compared with the threshold. The spikes are the same.
        decay_gradient: `"true"`; `"slayer"`: gradients to sine and cosine as lava-dl computes them,
            from states before their reset, on which no later state depends, and without a factor
            of 1 / 4096. See `CUBA`, also for what it needs.
        surrogate: Derivative of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import RFIzhikevich
        >>> net = nj.Sequential((2, 1), n=RFIzhikevich.from_period(8, 0.01, threshold=0.5))
        >>> x = jnp.zeros((4, 1, 2, 1)).at[0, 0, 0, 0].set(1.0)
        >>> run = nj.simulate(net, x, probes=["n.im"])
        >>> print(run.outputs.ravel(), run["n.im"].ravel() * 4096)
        [0. 1. 0. 0.] [   0. 2047. 1432.    0.]
    """

    reset_gradient: str = eqx.field(static=True, default="full", kw_only=True)
    reset_delay: bool | str = eqx.field(static=True, default=False, kw_only=True)
    decay_gradient: str = eqx.field(static=True, default="true", kw_only=True)
    surrogate: surrogates.Surrogate = eqx.field(
        static=True, default=surrogates.ATan(), kw_only=True
    )

    def __check_init__(self) -> None:
        check_reset_options(self)

    def init(self, in_shape: Shape) -> RFState:
        zeros = jnp.zeros(in_shape[1:])
        return RFState(zeros, zeros)

    def step_measured(
        self,
        state: RFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[RFState, Array]:
        del key
        early = self.reset_delay == "before"
        origin = state if self.decay_gradient == "slayer" else None
        re, im = self._turn(*(self._reset(*state) if early else state), x, origin=origin)
        re, im = as_measured(re, measured, "re"), as_measured(im, measured, "im")
        if self.threshold is None:
            return inject_all(RFState(re, im), im, is_output("im", measured))
        told = "im" in measured
        if early and OUTPUT in measured and not told:
            raise ValueError(late_reset("RFIzhikevich", "im"))
        y = self._spikes(im)
        if self.graded:
            y = graded(im, im - self.threshold, self.threshold, self.surrogate, strict=False)
        after = RFState(re, im) if early or told else self._reset(re, im, measured)
        return inject_all(after, y, measured)

    def _spikes(self, im: Array) -> Array:
        return fires(im - self.threshold, self.threshold, self.surrogate, strict=False)

    def _reset(
        self,
        re: Array,
        im: Array,
        measured: Mapping[str, Array] = {},
    ) -> RFState:
        if self.threshold is None:
            return RFState(re, im)
        spikes = measured_events(self._spikes(im), measured)
        below, gradient = self._below(), self.reset_gradient
        if gradient != "full":
            spikes = lax.stop_gradient(spikes)
        if gradient == "bypassed":
            below = lax.stop_gradient(below)
        return RFState(reset(re, spikes, gradient), reset(im, spikes, gradient) + spikes * below)

    def _below(self) -> Any:
        """One step of the state below the threshold."""
        threshold: Any = self.threshold
        steps = self._steps(threshold) - 1
        if isinstance(threshold, float):
            return steps / self.s_scale
        return derivative_of(threshold, divide(steps, self.s_scale))

    def _spiking_lines(self, turn: tuple[str, ...]) -> tuple[str, ...]:
        threshold = self._symbol("threshold")
        back = (
            "reset: re <- (1 - s) re",
            f"reset: im <- (1 - s) im + s ({threshold} - 1 / {self.s_scale})",
        )
        fire = (
            f"spikes: s <- [im >= {threshold}]",
            f"output: y <- {'im s' if self.graded else 's'}",
        )
        if self.reset_delay == "before":
            late = f"spikes of the step before: s <- [im >= {threshold}]"
            return (late, *back, *turn, *TURNED, *fire)
        return (*turn, *TURNED, *fire, *back)
