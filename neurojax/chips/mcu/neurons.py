"""Integrate-and-fire neurons, with and without leak.

In C, with wsf, isf, osf the q of the parameters (membrane, threshold, reset value, 1/tau), of the
input and of the output, and tsf = max(isf, wsf):

    p  = scale(v, wsf - tsf)
    th = scale(threshold, wsf - tsf)
    xi = scale(x, isf - tsf)
    IF:   t = (L)(p + xi)
    LIF:  e = reset "value" ? (L)(p - scale(v_reset, wsf - tsf)) : p
          decay_input:  t = (L)(p + (L)scale((int64)(L)(xi - e) * rtau, wsf))
          else:         t = (L)((L)(p - (L)scale((int64)e * rtau, wsf)) + xi)
    spike = t >= th                                               no difference that could wrap
    out   = spike ? store(1 << osf) : 0                           32767 for osf = 15 in int16
    v     = !spike ? store(scale(t, tsf - wsf))
          : reset "value" ? v_reset : store(scale((L)(t - th), tsf - wsf))

The membrane saturates only where it is stored. It starts at `v_reset` where it is reset to that,
else at 0. `compat="qualia"` does two things as the peer does: the membrane starts at 0 in any case,
and the product is stored as a sum (so it may wrap) and shifted by tsf, which makes leak and charge
too small by 2^(tsf - wsf) where the input has the finer scale.

References:
    Qualia-CodeGen plugin for spiking networks 2.6.0, templates if.cc and lif.cc; SpikingJelly,
    `IFNode` and `LIFNode`.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Shape, State, parameter
from neurojax.chips.mcu._arithmetic import (
    integers_of,
    scaled_product,
    store,
    with_derivative,
    wrap,
    wrapped_product,
)
from neurojax.chips.mcu._code_layer import CodeLayer, scalar
from neurojax.chips.mcu.spec import COMPATS
from neurojax.fixed_point import derivative_of
from neurojax.surrogate import ATan, Surrogate, spike

RESETS = ("subtract", "value")


class MembraneState(NamedTuple):
    """State of a population."""

    v: Float[Array, "*neurons"]  # membrane at the end of the step, as it is stored


class Parameters(NamedTuple):
    """A neuron's parameters as the code holds them: integers, or floats."""

    threshold: int | float
    v_reset: int | float | None  # None: the threshold is subtracted
    rtau: int | float | None  # None: no leak


class Neuron(CodeLayer):
    """What both neurons share: threshold, reset, how they are held."""

    parametric: ClassVar[bool] = True

    threshold: Any = eqx.field(converter=parameter, kw_only=True, default=1.0)
    reset: str = eqx.field(static=True, kw_only=True, default="subtract")
    v_reset: Any = eqx.field(converter=parameter, kw_only=True, default=None)
    input_q: int = eqx.field(static=True, kw_only=True, default=0)
    compat: str | None = eqx.field(static=True, kw_only=True, default=None)
    detach_reset: bool = eqx.field(static=True, kw_only=True, default=False)
    surrogate: Surrogate = eqx.field(static=True, kw_only=True, default=ATan())

    def __check_init__(self) -> None:
        name = type(self).__name__
        if self.reset not in RESETS:
            raise ValueError(f"{name}: reset is {self.reset!r}; use one of {', '.join(RESETS)}")
        if self.compat not in COMPATS:
            raise ValueError(f"{name}: compat is {self.compat!r}; use None or 'qualia'")
        if (self.v_reset is None) != (self.reset == "subtract"):
            raise ValueError(
                f"{name}: reset={self.reset!r} and v_reset={self.v_reset!r}; give v_reset with "
                "reset='value' and only then"
            )
        scalar(f"{name}: threshold", self.threshold)
        scalar(f"{name}: v_reset", 0.0 if self.v_reset is None else self.v_reset)
        if self.format.output_q < 0:
            raise ValueError(
                f"{name}: output_q is {self.format.output_q}; a spike, 2^output_q, needs 0 or more"
            )

    @property
    def sum_q(self) -> int:
        """q of membrane and input together."""
        return max(self.input_q, self.format.weights_q)

    @property
    def one(self) -> float:
        """What a spike is in the output."""
        if self.number.real:
            return 1.0
        return float(min(1 << self.format.output_q, self.number.limits[1]))

    def shifts(self) -> dict[str, int]:
        wsf, tsf = self.format.weights_q, self.sum_q
        return {"membrane": wsf - tsf, "input": self.input_q - tsf, "stored membrane": tsf - wsf}

    def parameters(self) -> dict[str, Any]:
        """The real parameters, by field."""
        return {"threshold": self.threshold, "v_reset": self.v_reset}

    def prepare(self, key: PRNGKeyArray | None) -> Neuron:
        del key
        held = {n: self._held(v, self.format.weights_q) for n, v in self.parameters().items()}
        names = list(held)
        return eqx.tree_at(
            lambda s: [getattr(s, name) for name in names],
            self,
            [parameter(value) for value in held.values()],
            is_leaf=lambda node: node is None or isinstance(node, float),
        )

    def integers(self) -> Parameters:
        """What the code holds, as Python integers (or floats). Only outside of jit."""
        found: dict[str, Any] = {}
        for name, value in self.parameters().items():
            held = self._integers(value, self.format.weights_q)
            found[name] = None if held is None else np.ravel(held)[0].item()
        return Parameters(found["threshold"], found["v_reset"], found.get("rtau"))

    def init(self, in_shape: Shape) -> MembraneState:
        start: Any = 0.0 if self.v_reset is None or self.compat else self.v_reset
        # A run makes its states before `prepare`.
        start = self._held(start, self.format.weights_q)
        unit = 1.0 if self.number.real else 2.0**self.format.weights_q
        return MembraneState(jnp.broadcast_to(jnp.asarray(start * unit), in_shape))

    def _charged(self, v: Array, x: Array) -> Array:
        """The membrane after leak and input, in real numbers."""
        raise NotImplementedError

    def _charged_exactly(self, v: Int[Array, "*s"], x: Int[Array, "*s"]) -> Int[Array, "*s"]:
        """The membrane after leak and input, a sum at `sum_q`."""
        raise NotImplementedError

    def _at_sum(self, value: Any) -> Any:
        """A parameter as a sum."""
        stored = integers_of(value, self.format.weights_q)
        return self._scale(stored, self.format.weights_q - self.sum_q)

    def step(
        self, state: MembraneState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        number, wsf, tsf = self.number, self.format.weights_q, self.sum_q
        if number.real:
            t = self._charged(state.v, x)
            fired = spike(t - self.threshold, self.surrogate, threshold=self.threshold)
            return MembraneState(self._reset(t, fired)), fired
        v = state.v.astype(jnp.int32)
        total = self._charged_exactly(v, x.astype(jnp.int32))
        threshold = self._at_sum(self.threshold)
        above = total >= threshold
        # Derivatives are those of the neuron in real units, so that one surrogate fits all scales.
        t = self._charged(state.v * 2.0**-wsf, x * 2.0**-self.input_q)
        smooth = spike(t - self.threshold, self.surrogate, threshold=self.threshold)
        fired = derivative_of(smooth, above.astype(x.dtype))

        kept = store(self._scale(total, tsf - wsf), number)
        if self.reset == "value":
            after = integers_of(self.v_reset, wsf)
        else:
            after = wrap(total - threshold, number.long_bits)
            after = store(self._scale(after, tsf - wsf), number)
        exact = jnp.where(above, after, kept)
        v_new = with_derivative(self._reset(t, fired) * 2.0**wsf, exact, number)
        return MembraneState(v_new), fired * self.one

    def _reset(self, t: Array, fired: Array) -> Array:
        """The membrane after spike and reset, in real numbers."""
        events = jax.lax.stop_gradient(fired) if self.detach_reset else fired
        if self.reset == "subtract":
            return t - events * self.threshold
        return (
            jnp.where(fired > 0, self.v_reset, t)
            if self.detach_reset
            else ((1 - events) * t + events * self.v_reset)
        )

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def describe(self) -> str:
        reset = "soft reset" if self.reset == "subtract" else "reset to a value"
        return f"{type(self).__name__}, {reset}, {self.number.name}"


class IF(Neuron):
    """Integrate and fire.

    Args:
        threshold: Fires at v >= threshold; a real number. A number is fixed, an array is trained.
        reset: `"subtract"` the threshold, or set the membrane to a `"value"`.
        v_reset: That value.
        format: Numbers and scales; `weights_q` is that of membrane, threshold and `v_reset`.
        input_q: `output_q` of the layer before.
        compat: `"qualia"`: the membrane starts at 0, not at `v_reset`.
        detach_reset: No gradient through the reset.
        surrogate: Derivative of the spikes, of the membrane in real units.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.mcu import IF, Format, number_of
        >>> form = Format(number_of("int8"), weights_q=6, output_q=5)
        >>> net = nj.Sequential((1,), spikes=IF(threshold=0.5, format=form, input_q=4))
        >>> run = nj.simulate(net, jnp.full((4, 1, 1), 6.0), probes=["spikes.v"])
        >>> run.outputs.ravel(), run["spikes.v"].ravel()
        (Array([ 0., 32., 32., 32.], dtype=float32), Array([24., 16.,  8.,  0.], dtype=float32))
    """

    def _charged(self, v: Array, x: Array) -> Array:
        return v + x

    def _charged_exactly(self, v: Int[Array, "*s"], x: Int[Array, "*s"]) -> Int[Array, "*s"]:
        v = self._scale(v, self.format.weights_q - self.sum_q)
        return wrap(v + self._scale(x, self.input_q - self.sum_q), self.number.long_bits)


class LIF(Neuron):
    """Leaky integrate and fire; it leaks towards `v_reset`, or 0 with `reset="subtract"`.

    Args:
        rtau: 1 / tau, tau in time steps; a real number, held with the scale of the membrane.
        decay_input: The input leaks, too: v += (x - v) / tau. Else v += x - v / tau.
        threshold, reset, v_reset, format, input_q, detach_reset, surrogate: See `IF`.
        compat: `"qualia"`: the membrane starts at 0, and the product with 1 / tau is shifted by as
            much as the sums' scale has, and may overflow.
    """

    rtau: Any = eqx.field(converter=parameter, kw_only=True)
    decay_input: bool = eqx.field(static=True, kw_only=True, default=True)

    def __check_init__(self) -> None:
        scalar("LIF: rtau", self.rtau)
        if self.format.weights_q < 0:
            raise ValueError(
                f"LIF: weights_q is {self.format.weights_q}; 1/tau, which has that scale, needs 0 "
                "or more"
            )

    def shifts(self) -> dict[str, int]:
        return super().shifts() | {"product": self._product_q()}

    def _product_q(self) -> int:
        return self.sum_q if self.compat else self.format.weights_q

    def parameters(self) -> dict[str, Any]:
        return super().parameters() | {"rtau": self.rtau}

    def _charged(self, v: Array, x: Array) -> Array:
        e = v if self.v_reset is None else v - self.v_reset
        if self.decay_input:
            return v + (x - e) * self.rtau
        return v - e * self.rtau + x

    def _charged_exactly(self, v: Int[Array, "*s"], x: Int[Array, "*s"]) -> Int[Array, "*s"]:
        number = self.number
        p = self._scale(v, self.format.weights_q - self.sum_q)
        e = p
        if self.v_reset is not None:
            e = wrap(p - self._at_sum(self.v_reset), number.long_bits)
        xi = self._scale(x, self.input_q - self.sum_q)
        rtau = integers_of(self.rtau, self.format.weights_q)
        multiply = wrapped_product if self.compat else scaled_product

        def share(a: Array) -> Array:
            return multiply(a, rtau, self._product_q(), number, self.format.output_round)

        if self.decay_input:
            total = p + share(wrap(xi - e, number.long_bits))
        else:
            total = wrap(p - share(e), number.long_bits) + xi
        return wrap(total, number.long_bits)
