"""An adaptive LIF in integers: CUBA's membrane, which no spike resets, below a moving threshold.

In every time step, with integers that count steps of 1 / s_scale (s_scale = 64 scale):

    i = trunc(i (4096 - D_i) / 4096) + trunc(s_scale x)
    v = trunc(v (4096 - D_v) / 4096) + i
    b = trunc(b (4096 - D_th) / 4096)
    r = trunc(r (4096 - D_r) / 4096)
    s = 1 if v >= threshold + b + r, and then r = r + 2 (threshold + b), b = b + threshold_step

slayer writes threshold + b as one state; b alone starts at zero.

References:
    lava-dl, `slayer.neuron.alif`; G. Bellec et al., "Long short-term memory and learning-to-learn
    in networks of spiking neurons", NeurIPS 2018, https://arxiv.org/abs/1803.09574 (a threshold
    that adapts); W. Gerstner and W. M. Kistler, "Spiking neuron models", 2002, chapter 4 (the
    refractory response).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._broadcast import check_shapes
from neurojax._layer import Layer, Shape, parameter
from neurojax._measured import as_measured, inject_all, is_output
from neurojax.chips.loihi._adaptive import AbstractAdaptive
from neurojax.chips.loihi._fire import fires, graded, measured_events
from neurojax.chips.loihi._neuron import CURRENT_DECAYS, check_norm


class ALIFState(NamedTuple):
    """State of an ALIF neuron, in the user's unit: multiples of 1 / s_scale."""

    v: Array  # membrane potential
    i: Array  # synaptic current
    b: Array  # what the threshold is above its base
    r: Array  # refractory response


class ALIF(AbstractAdaptive):
    """Leaky integrate-and-fire neuron with an adaptive threshold, in Loihi's integers.

    A spike doesn't reset the membrane. It raises the threshold by `threshold_step`, and adds twice
    the threshold to a refractory response; both then decay. Gradients are those of the real-valued
    equations at the computed states.

    Args:
        current_decay: Part of the current that is lost in a time step, 0 to 1. An array (one
            value, or one a channel or neuron) is learned; what leaves 0..1 counts as the limit,
            and its gradient still passes. So are the other decays.
        voltage_decay: The same of the membrane.
        threshold_decay: The same of what spikes added to the threshold.
        refractory_decay: The same of the refractory response.
        threshold: Fires at v >= threshold + b + r; cut to whole weight steps. None: no spikes, the
            output is v.
        threshold_step: What a spike adds to the threshold; cut to whole weight steps.
        scale: Weight steps per unit; the states have 64 times as many. Use a power of two.
        norm: A layer without memory that the input passes, such as `ShiftNorm`.
        graded: A spike has the value of the membrane instead of 1. Its derivative is the
            surrogate's relative to the peak, and above the threshold the peak itself; it has none
            to the threshold.
        adaptation_gradient: Whether gradients pass through b and r, from one time step to the
            next. False is what slayer does; it has none to the two decays and the step.
        surrogate: Derivative of the spikes. A width in thresholds is one in base thresholds.

    Raises:
        ValueError: A number or an option is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import ALIF
        >>> neuron = ALIF(current_decay=1.0, voltage_decay=0.0, threshold_step=0.5,
        ...               threshold_decay=0.25, refractory_decay=0.5)
        >>> run = nj.simulate(nj.Sequential((1,), n=neuron), jnp.ones((5, 1, 1)), probes=["n.r"])
        >>> print(run.outputs.ravel(), run["n.r"].ravel())
        [1. 0. 1. 1. 1.] [2.        1.        3.0625    4.703125  5.9804688]
    """

    current_decay: Any = eqx.field(converter=parameter, kw_only=True)
    voltage_decay: Any = eqx.field(converter=parameter, kw_only=True)
    norm: Layer | None = eqx.field(default=None, kw_only=True)
    surrogate: surrogates.Surrogate = eqx.field(
        static=True, default=surrogates.ATan(), kw_only=True
    )

    decays: ClassVar[dict[str, str]] = {**CURRENT_DECAYS, **AbstractAdaptive.decays}

    def __check_init__(self) -> None:
        check_norm("ALIF: norm", self.norm)

    def out_shape(self, in_shape: Shape) -> Shape:
        shape = tuple(in_shape) if self.norm is None else self.norm.out_shape(in_shape)
        check_shapes(self, shape)
        return shape

    def init(self, in_shape: Shape) -> ALIFState:
        return ALIFState(*(jnp.zeros(self.out_shape(in_shape)) for _ in ALIFState._fields))

    def prepare(self, key: PRNGKeyArray | None) -> ALIF:
        norm = None if self.norm is None else self.norm.prepare(key)
        return dataclasses.replace(super().prepare(key), norm=norm)

    def step_measured(
        self,
        state: ALIFState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[ALIFState, Array]:
        del key
        x = x if self.norm is None else self.norm.step(None, x)[1]
        i = self._leak(state.i, self.current_decay, x)
        v = as_measured(self._leak(state.v, self.voltage_decay, i), measured, "v")
        if self.threshold is None:
            after = ALIFState(v, i, state.b, state.r)
            return inject_all(after, v, is_output("v", measured))
        b, r = self._relaxed(state.b, state.r)
        above = self._above(v, b, r)
        y = spikes = fires(above, self.threshold, self.surrogate, strict=False)
        if self.graded:
            y = graded(v, above, self.threshold, self.surrogate, strict=False)
        raised = self._raised(b, r, measured_events(spikes, measured))
        return inject_all(ALIFState(v, i, *raised), y, measured)

    def describe(self) -> str:
        return f"ALIF {self._numbers('current_decay', 'voltage_decay', 'threshold_step')}"

    def equations(self) -> tuple[str, ...]:
        return self.prepare(None)._lines()

    def _lines(self) -> tuple[str, ...]:
        s = self.s_scale
        x = "x" if self.norm is None else "norm(x)"
        i = self._leaked("current_decay", "i")
        v = self._leaked("voltage_decay", "v")
        lines = (
            f"current: i <- ({i} + trunc({s} {x})) / {s}",
            f"membrane: v <- {v} / {s} + i",
        )
        if self.threshold is None:
            return (*lines, "output: y <- v")
        condition = f"[v >= {self._symbol('threshold')} + b + r]"
        output = "v s" if self.graded else "s"
        return (*lines, *self._adaptation_lines(condition), f"output: y <- {output}")
