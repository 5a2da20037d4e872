"""Resonators with a threshold that rises with every spike, and with a refractory response.

The states turn as those of `RF` and `RFIzhikevich`, and no spike resets them. What is compared is
threshold + b + r; b and r do what they do in `ALIF`.

References:
    lava-dl, `slayer.neuron.adrf` and `adrf_iz`. slayer's `forward` of both fails; here is what its
    `dynamics` and `spike` compute. See `resonator` and `alif` for where the parts come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._layer import Shape
from neurojax._measured import as_measured, inject_all, is_output
from neurojax.chips.loihi._adaptive import AbstractAdaptive
from neurojax.chips.loihi._fire import fires, graded, measured_events
from neurojax.chips.loihi._phase import PhaseExponential, check_phase, phase_spikes
from neurojax.chips.loihi._resonator import TURNED, AbstractResonator


class AdRFState(NamedTuple):
    """State of an adaptive resonator, in the user's unit: multiples of 1 / s_scale."""

    re: Array  # real part
    im: Array  # imaginary part
    b: Array  # what the threshold is above its base
    r: Array  # refractory response


class _AbstractAdRF(AbstractResonator, AbstractAdaptive):
    decays: ClassVar[dict[str, str]] = {**AbstractResonator.decays, **AbstractAdaptive.decays}
    thresholds: ClassVar[dict[str, str]] = AbstractAdaptive.thresholds

    def init(self, in_shape: Shape) -> AdRFState:
        return AdRFState(*(jnp.zeros(in_shape[1:]) for _ in AdRFState._fields))

    def step_measured(
        self,
        state: AdRFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[AdRFState, Array]:
        del key
        re, im = self._turn(state.re, state.im, x)
        re, im = as_measured(re, measured, "re"), as_measured(im, measured, "im")
        if self.threshold is None:
            after = AdRFState(re, im, state.b, state.r)
            return inject_all(after, im, is_output("im", measured))
        b, r = self._relaxed(state.b, state.r)
        spikes, y = self._fire(state, re, im, b, r)
        raised = self._raised(b, r, measured_events(spikes, measured))
        return inject_all(AdRFState(re, im, *raised), y, measured)

    def _fire(
        self, before: AdRFState, re: Array, im: Array, b: Array, r: Array
    ) -> tuple[Array, Array]:
        """Spikes as 0 and 1, and what is given out."""
        raise NotImplementedError

    def _adapted_lines(self, turn: tuple[str, ...], part: str, phase: str = "") -> tuple[str, ...]:
        fired = f"[{part} >= {self._symbol('threshold')} + b + r]{phase}"
        output = f"output: y <- {f'{part} s' if self.graded else 's'}"
        return (*turn, *self._adaptation_lines(fired), *TURNED, output)


class AdRF(_AbstractAdRF):
    """Resonate-and-fire neuron that spikes at a phase, with adaptation, in Loihi's integers.

    Args:
        sin_decay, cos_decay, scale, real_norm, imag_norm, bits: See `RF`.
        threshold: The real part must reach threshold + b + r; cut to whole weight steps. None: no
            spikes, the output is the imaginary part.
        threshold_step, threshold_decay, refractory_decay, adaptation_gradient: See `ALIF`.
        graded: A spike has the value of the real part instead of 1.
        surrogate: Derivatives of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.
        TypeError: The surrogate is not one of a phase.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import AdRF
        >>> neuron = AdRF.from_period(8, 0.0, threshold=0.5, threshold_step=0.25,
        ...                           threshold_decay=0.0, refractory_decay=1.0)
        >>> x = jnp.zeros((34, 1, 2, 1)).at[0, 0, 0, 0].set(0.9)
        >>> run = nj.simulate(nj.Sequential((2, 1), n=neuron), x)
        >>> print(jnp.flatnonzero(run.outputs), run.state.layers["n"].b)
        [ 8 16] [[0.5]]
    """

    surrogate: PhaseExponential = eqx.field(static=True, default=PhaseExponential(), kw_only=True)

    def __check_init__(self) -> None:
        check_phase("AdRF: surrogate", self.surrogate)

    def _fire(
        self, before: AdRFState, re: Array, im: Array, b: Array, r: Array
    ) -> tuple[Array, Array]:
        above = self._above(re, b, r)
        passed = (above >= 0) & (im >= 0) & (before.im < 0)
        spikes, y = (
            phase_spikes(passed, re, im, above, self.surrogate, self.threshold, graded=graded)
            for graded in (False, self.graded)
        )
        return spikes, y

    def _spiking_lines(self, turn: tuple[str, ...]) -> tuple[str, ...]:
        return self._adapted_lines(turn, "z", " [w >= 0] [0 > im]")


class AdRFIzhikevich(_AbstractAdRF):
    """Resonate-and-fire neuron that spikes at a level, with adaptation, in Loihi's integers.

    Args:
        sin_decay, cos_decay, scale, real_norm, imag_norm, bits: See `RF`.
        threshold: The imaginary part must reach threshold + b + r; cut to whole weight steps. None:
            no spikes, the output is the imaginary part.
        threshold_step, threshold_decay, refractory_decay, adaptation_gradient: See `ALIF`.
        graded: A spike has the value of the imaginary part instead of 1.
        surrogate: Derivative of the spikes.

    Raises:
        ValueError: A number or an option is out of its range.
    """

    surrogate: surrogates.Surrogate = eqx.field(
        static=True, default=surrogates.ATan(), kw_only=True
    )

    def _fire(
        self, before: AdRFState, re: Array, im: Array, b: Array, r: Array
    ) -> tuple[Array, Array]:
        del before, re
        above = self._above(im, b, r)
        y = spikes = fires(above, self.threshold, self.surrogate, strict=False)
        if self.graded:
            y = graded(im, above, self.threshold, self.surrogate, strict=False)
        return spikes, y

    def _spiking_lines(self, turn: tuple[str, ...]) -> tuple[str, ...]:
        return self._adapted_lines(turn, "w")
