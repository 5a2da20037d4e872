"""Sigma-delta neurons: they say how much a value has changed, and only when it has changed enough.

A `Delta` encodes a value a in differences, a `Sigma` adds them up again, and a `SigmaDelta` does
both around an activation, which makes a network of rates sparse in time. In every time step

    v = v + x                                     (sigma)
    a = activation(norm(v) + bias)
    d = a - a of the step before + residue        (delta)
    y = d if |d| >= threshold, else 0
    residue = d - y

and y is sent as a message, cut to a whole number of steps (towards minus infinity).

There are two units. By default, values are in the user's unit, as in lava-dl's slayer: a threshold
is a multiple of 1 / scale, a message a multiple of 1 / (64 scale). With `spike_exp` and `state_exp`
they are Lava's integers: thresholds and biases (and what a `Delta` takes in) count
2^(spike_exp + state_exp) steps of the state, a message 2^state_exp. With both exponents 6, as netx
has them, an integer of the state is 2^18 times the user's value, and a message 2^12 times.

All integers are float32 carriers, exact to 2^24. Lava declares registers of 24 bits and does not
limit them; `count_overflow` counts what leaves them.

References:
    P. O'Connor and M. Welling, "Sigma delta quantized networks", ICLR 2017,
    https://arxiv.org/abs/1611.02024; lava-dl, `slayer.neuron.sigma_delta`, `slayer.axon.Delta`,
    `slayer.dendrite.Sigma`; Lava, `lava.proc.sdn` (`PyDeltaModelFixed` and its neighbours).
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Layer, Shape, State, constants_to_floats, parameter
from neurojax.chips.loihi._delta import (
    AbstractDelta,
    count_overflow,
    no_overflow,
    steps_per_unit,
)
from neurojax.chips.loihi._neuron import check_norm
from neurojax.chips.loihi.quantise import SCALE, positive
from neurojax.fixed_point import derivative_of, round_half_even
from neurojax.layers.activation import ReLU
from neurojax.layers.shape import Identity


class LeakyReLU(Layer):
    """y = x where x > 0, else slope x. The derivative at 0 is the slope, as in PyTorch."""

    slope: float = eqx.field(static=True, default=0.01)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        return state, jnp.where(x > 0, x, self.slope * x)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)


ACTIVATIONS: dict[str, type[Layer]] = {"relu": ReLU, "unit": Identity, "leaky_relu": LeakyReLU}
"""Activations that have a name. Lava has "relu" and "unit"."""


def _activation(value: Any) -> Any:
    return ACTIVATIONS[value]() if isinstance(value, str) and value in ACTIVATIONS else value


class SigmaState(NamedTuple):
    """State of a `Sigma`."""

    v: Array  # sum of the inputs
    low: Array  # what the sum has beyond the bits of a float32
    overflow: Array | None = None  # time steps in which a value left 24 bits


class DeltaState(NamedTuple):
    """State of a `Delta`."""

    v: Array  # the value of the step before
    residue: Array  # how much it has changed since the last message
    error: Array | None = None  # sum of the differences since the last message
    overflow: Array | None = None  # time steps in which a value left 24 bits


class SigmaDeltaState(NamedTuple):
    """State of a `SigmaDelta`."""

    v: Array  # sum of the inputs
    low: Array  # what the sum has beyond the bits of a float32
    a: Array  # the activation of the step before
    residue: Array  # how much it has changed since the last message
    error: Array | None = None  # sum of the differences since the last message
    overflow: Array | None = None  # time steps in which a value left 24 bits


class Sigma(Layer):
    """Sum of all inputs so far: what a message of differences means.

    The sum is kept in two float32, so that it stays exact over any number of steps; the output is
    the nearest float32. Integers count in their own unit, see `SigmaDelta`.

    Args:
        scale: Weight steps per unit; None: the sums are integers of the chip.
        count_overflow: Count in the state `overflow` the time steps in which the sum left 24 bits
            (of 64 scale^2 steps a unit).

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import loihi
        >>> x = jnp.array([1.0, 0.0, -0.25]).reshape(3, 1, 1)
        >>> print(nj.simulate(nj.Sequential((1,), n=loihi.Sigma()), x).outputs.ravel())
        [1.   1.   0.75]
    """

    scale: float | None = eqx.field(static=True, default=SCALE, kw_only=True)
    count_overflow: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self) -> None:
        if self.scale is not None:
            positive("Sigma: scale", self.scale)

    def out_shape(self, in_shape: Shape) -> Shape:
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> SigmaState:
        zero = jnp.zeros(in_shape)
        return SigmaState(zero, zero, no_overflow(self.count_overflow, in_shape))

    def step(
        self, state: SigmaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SigmaState, Array]:
        del key
        v, low = _add(state.v, state.low, x)
        steps = 1.0 if self.scale is None else steps_per_unit(self.scale)
        return SigmaState(v, low, count_overflow(state.overflow, steps, v)), v

    def describe(self) -> str:
        return "Sigma"

    def equations(self) -> tuple[str, ...]:
        return ("sum of the inputs: v <- v + x", "output: y <- v")


class Delta(AbstractDelta):
    """Encoder: a message when the input has changed by the threshold or more.

    Args:
        threshold: Smallest change that is sent. A number is fixed, an array learned.
        cum_error: Compare the sum of all differences since the last message with the threshold,
            not the present difference.
        scale, message_scale, quantise_threshold, keep_rounding, spike_exp, state_exp, gradient,
            surrogate, count_overflow: See `SigmaDelta`. In Lava's integers, the input is shifted
            left by spike_exp + state_exp.

    Raises:
        ValueError: A number or an option is out of its range.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import loihi
        >>> net = nj.Sequential((1,), delta=loihi.Delta(threshold=0.5), sigma=loihi.Sigma())
        >>> x = jnp.array([1.0, 1.25, 1.5, 1.5]).reshape(4, 1, 1)
        >>> run = nj.simulate(net, x, probes=["delta"])
        >>> print(run["delta"].ravel(), run.outputs.ravel())
        [1.  0.  0.5 0. ] [1.  1.  1.5 1.5]
    """

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> DeltaState:
        zero = jnp.zeros(in_shape)
        overflow = no_overflow(self.count_overflow, in_shape)
        return DeltaState(zero, zero, zero if self.cum_error else None, overflow)

    def step(
        self, state: DeltaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[DeltaState, Array]:
        del key
        a = x * self._gain
        y, residue, error, d = self._send(a, state.v, state.residue, state.error)
        overflow = count_overflow(state.overflow, self._steps, a, d)
        return DeltaState(a, residue, error, overflow), y

    def describe(self) -> str:
        return f"Delta {self._options()}"

    def equations(self) -> tuple[str, ...]:
        value = "x" if self._gain == 1 else f"{self._gain:.7g} x"
        return (f"value: a <- {value}", *self._encoding("a", "v"))


class SigmaDelta(AbstractDelta):
    """Sigma-delta neuron: sums messages up, applies an activation, sends how much that changed.

    Gradients are those of the equations at the computed states: what is not sent now is sent
    later, so it goes on through the residue, and rounding passes it on unchanged. The step of
    |d| at the threshold has the derivative of `surrogate`, to d and to the threshold; with None it
    has none, and a threshold then learns nothing.

    Args:
        threshold: Smallest change that is sent. A number is fixed, an array learned.
        activation: `"relu"`, `"unit"` (none), `"leaky_relu"` (slope 0.01), or a layer without
            memory. Lava has the first two.
        bias: Added in front of the activation; a number, or an array, which is learned.
        norm: A layer without memory that the sum passes in front of the bias, such as `ShiftNorm`.
        cum_error: Compare the sum of all differences since the last message with the threshold,
            not the present difference.
        scale: Weight steps per unit. Use a power of two.
        message_scale: Steps of a message per unit; None: 64 `scale`. slayer's `axon.Delta` by
            itself has 64.
        quantise_threshold: Cut the threshold to whole weight steps, which is all the chip can
            store.
        keep_rounding: What rounding cuts from a message stays in the residue and is sent later, so
            that a receiver's sum does not drift (Lava's `PySigmaDeltaModelFixedCorrected`, without
            `cum_error`). slayer and Lava's default model lose it: up to one step of a message,
            always in the same direction.
        spike_exp, state_exp: Lava's integers instead of the user's unit; see the module. One of
            them alone: the other one is 0.
        gradient: `"equations"`; `"straight_through"`: as if every change were sent at once, which
            is slayer's: y[t] has the derivative of a[t] - a[t - 1]; to the threshold it is
            -d surrogate(|d| - threshold) above it, and -sign(d) below.
        surrogate: Derivative of the step at the threshold.
        count_overflow: Count in the state `overflow` the time steps in which a value left the 24
            bits of a register. Lava goes on, and so do we, exact to 2^24.

    Raises:
        ValueError: A number or an option is out of its range, or Lava has no such integers.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips import loihi
        >>> net = nj.Sequential((1,), n=loihi.SigmaDelta(threshold=0.5, bias=-0.25))
        >>> x = jnp.array([1.0, 0.25, 0.25, -2.0]).reshape(4, 1, 1)
        >>> print(nj.simulate(net, x).outputs.ravel())
        [ 0.75  0.    0.5  -1.25]
    """

    activation: Any = eqx.field(converter=_activation, default="relu", kw_only=True)
    bias: Any = eqx.field(converter=parameter, default=0.0, kw_only=True)
    norm: Layer | None = eqx.field(default=None, kw_only=True)

    def __check_init__(self) -> None:
        if not isinstance(self.activation, Layer):
            raise TypeError(
                f"SigmaDelta: activation is {self.activation!r}; use one of "
                f"{list(ACTIVATIONS)}, or a layer without memory"
            )
        check_norm("SigmaDelta: norm", self.norm)
        if self.integers_of_lava and not isinstance(self.activation, ReLU | Identity):
            raise ValueError(
                f"SigmaDelta: activation is {self.activation.describe()}; Lava's integers know "
                "'relu' and 'unit' only (netx would run relu without a word)"
            )
        if self.integers_of_lava and self.norm is not None:
            raise ValueError("SigmaDelta: Lava has no norm; fold it into weights and bias")

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shapes(self, in_shape)
        for name in ("activation", "norm"):
            layer = getattr(self, name)
            if layer is None:
                continue
            if layer.init(in_shape) is not None or layer.out_shape(in_shape) != tuple(in_shape):
                raise ValueError(
                    f"SigmaDelta: {name} {layer.describe()} has memory, or changes the shape "
                    f"{in_shape}; use a layer that does neither"
                )
        return tuple(in_shape)

    def init(self, in_shape: Shape) -> SigmaDeltaState:
        zero = jnp.zeros(in_shape)
        error = zero if self.cum_error else None
        overflow = no_overflow(self.count_overflow, in_shape)
        return SigmaDeltaState(zero, zero, zero, zero, error, overflow)

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        bias = constants_to_floats(self.bias)
        if self.integers_of_lava and not isinstance(bias, float):
            bias = round_half_even(bias)
        return dataclasses.replace(
            self,
            threshold=self._stored(),
            bias=bias,
            activation=self.activation.prepare(key),
            norm=None if self.norm is None else self.norm.prepare(key),
        )

    def step(
        self, state: SigmaDeltaState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[SigmaDeltaState, Array]:
        del key
        v, low = _add(state.v, state.low, x)
        u = v if self.norm is None else self.norm.step(None, v)[1]
        a = self.activation.step(None, u + self.bias * self._gain)[1]
        y, residue, error, d = self._send(a, state.a, state.residue, state.error)
        overflow = count_overflow(state.overflow, self._steps, v, a, d)
        return SigmaDeltaState(v, low, a, residue, error, overflow), y

    @property
    def activation_name(self) -> str:
        """Name of the activation, as it stands in files: `"relu"` or the like."""
        names = {layer: name for name, layer in ACTIVATIONS.items()}
        return names.get(type(self.activation), type(self.activation).__name__)

    def describe(self) -> str:
        return f"SigmaDelta {self.activation_name}, {self._options()}"

    def equations(self) -> tuple[str, ...]:
        bias: Any = constants_to_floats(self.bias)
        gain = self._gain
        if isinstance(bias, float):
            term = f" {'-' if bias < 0 else '+'} {abs(bias) * gain:.7g}" if bias else ""
        else:
            term = " + bias" if gain == 1 else f" + {gain:.7g} bias"
        u = f"v{term}" if self.norm is None else f"norm(v){term}"
        slope = getattr(self.activation, "slope", 0.0)
        formula = {
            "relu": f"max({u}, 0)",
            "unit": u,
            "leaky_relu": f"max({u}, 0) + {slope:.7g} min({u}, 0)",
        }.get(self.activation_name, f"{self.activation_name}({u})")
        lines = ["sum of the inputs: v <- v + x", f"activation: new <- {formula}"]
        return (*lines, *self._encoding("new", "a"))


def _add(
    v: Float[Array, "*shape"], low: Float[Array, "*shape"], x: Float[Array, "*shape"]
) -> tuple[Array, Array]:
    """v + low + x as the nearest float32 and the rest, exact (D. E. Knuth's and Dekker's sums)."""
    smooth = v + x
    v, low, x = lax.stop_gradient((v, low, x))
    total = v + x
    part = total - v
    low = low + ((v - (total - part)) + (x - part))
    nearest = total + low
    return derivative_of(smooth, nearest), low - (nearest - total)
