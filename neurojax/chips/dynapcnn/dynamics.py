"""A core of the chip in time steps: convolution, integration, firing, reset, lower bound.

In each time step and for each neuron, with integers throughout:

    v += sum of weights of the incoming spikes + bias
    s  = trunc(v / threshold) if v > 0 else 0          (at most max_spikes)
    v -= s threshold                                   (reset "subtract"; "zero": v = 0 if s > 0)
    v  = max(v, v_min)

The bound comes after the reset: within a step the membrane may be below it. Integers live in
float32 arrays, which is exact while the sums stay below 2^24; `Core.exact_counts` says for which
inputs that is guaranteed.

Two things that sinabs leaves out are options. The membrane has 16 bits; what happens above 32767
is not documented, so `overflow` offers both that a register can do, and neither by default. It is
applied to the sum of a time step, where the chip has one sum an event. The bias ("leak") of the
chip acts on a slow clock, and saturates at v_min: `leak_every=n` adds it once before the input of
the steps n, 2n, ... Whether it can make a neuron fire by itself is not documented; here it fires in
that step, as it does with a bias in every step.

References:
    sinabs 3.1.3, `DynapcnnLayer` and `IAFSqueeze`; SynSense, "Speck Dev Kit Datasheet".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._layer import Layer, Shape, parameter
from neurojax._measured import OUTPUT, as_measured, inject, inject_all
from neurojax.chips.dynapcnn._event_conv import convolve_counts
from neurojax.chips.dynapcnn.spec import STATE_BITS, WEIGHT_BITS
from neurojax.fixed_point import clamp, integer_range, round_half_even
from neurojax.layers import Conv2d
from neurojax.layers._im2col import Window

LARGEST_EXACT = 1 << 24
"""Integers up to here, and no further, are exact in float32."""

RESETS = ("subtract", "zero")
OVERFLOWS = (None, "saturate", "wrap")
TOP = integer_range(STATE_BITS)[1]


class CoreState(NamedTuple):
    """State of a core."""

    v: Float[Array, "*neurons"]  # membrane potentials, integers
    tick: Float[Array, ""] | None = None  # time steps to the next tick of the slow clock
    overflowed: Float[Array, "*neurons"] | None = None  # sums above 32767 so far


class Integers(NamedTuple):
    """What a core holds on the chip."""

    weight: np.ndarray  # int64 (f, c, kh, kw)
    bias: np.ndarray | None  # int64 (f,)
    threshold: int
    v_min: int


class Core(Layer):
    """One core: a convolution followed by integrate-and-fire neurons, in the chip's integers.

    The parameters are carried by floats and may hold any real number, so that they can be trained;
    a run rounds them (ties to even) and limits them to what the chip can store first. Gradients
    pass both as if they were not there. One unit of a parameter is one step of the chip.

    Args:
        weight: `(f, c, kh, kw)`, stored with 8 bits.
        bias: `(f,)`, added in every time step, or None.
        threshold: Fires at v >= threshold; 1 to 32767. A number is fixed, an array is trained.
        v_min: Lower bound of the membrane, -32768 to 32767.
        stride: Of the convolution.
        padding: Of the convolution, with zeros.
        reset: `"subtract"` the threshold for each spike, or to `"zero"`.
        max_spikes: Spikes of a neuron in one time step: 1, n, or None for as many as there are
            whole thresholds in the membrane.
        detach_reset: No gradient through the reset.
        bias_bits: Width of the biases: 8, as sinabs uses, to 16, as the chip has.
        surrogate: Derivative of the spikes. Default: exponential, with a width relative to the
            threshold, as in sinabs.
        flat: The output is `(f,)` instead of `(f, 1, 1)`: the core holds a Linear layer.
        overflow: What a membrane above 32767 does: None, stay there, as in sinabs; `"saturate"` at
            32767, where no gradient passes; or `"wrap"`, go round to v - 65536, with derivative 1.
        count_overflow: Count such sums in the state, for each neuron (`"core.overflowed"`).
        leak_every: Time steps of a tick of the slow clock, on which the bias acts. None: the bias
            is a part of every step's sum, as in sinabs.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.dynapcnn import Core
        >>> core = Core(jnp.full((1, 1, 1, 1), 60.0), threshold=100)
        >>> net = nj.Sequential((1, 1, 1), core=core)
        >>> counts = jnp.array([1, 1, 0, 5.0]).reshape(4, 1, 1, 1, 1)
        >>> run = nj.simulate(net, counts, probes=["core.v"])
        >>> run.outputs.ravel(), run["core.v"].ravel()
        (Array([0., 1., 0., 3.], dtype=float32), Array([60., 20., 20., 20.], dtype=float32))
    """

    weight: Float[Array, "f c kh kw"]
    bias: Float[Array, " f"] | None
    threshold: Any = eqx.field(converter=parameter)
    v_min: Any = eqx.field(converter=parameter)
    stride: tuple[int, int] = eqx.field(static=True)
    padding: tuple[int, int] = eqx.field(static=True)
    reset: str = eqx.field(static=True)
    max_spikes: int | None = eqx.field(static=True)
    detach_reset: bool = eqx.field(static=True)
    bias_bits: int = eqx.field(static=True)
    surrogate: surrogates.Surrogate = eqx.field(static=True)
    flat: bool = eqx.field(static=True)
    overflow: str | None = eqx.field(static=True)
    count_overflow: bool = eqx.field(static=True)
    leak_every: int | None = eqx.field(static=True)

    def __init__(
        self,
        weight: Float[Array | np.ndarray, "f c kh kw"],
        bias: Float[Array | np.ndarray, " f"] | None = None,
        *,
        threshold: Any,
        v_min: Any = integer_range(STATE_BITS)[0],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] = 0,
        reset: str = "subtract",
        max_spikes: int | None = None,
        detach_reset: bool = False,
        bias_bits: int = WEIGHT_BITS,
        surrogate: surrogates.Surrogate | None = None,
        flat: bool = False,
        overflow: str | None = None,
        count_overflow: bool = False,
        leak_every: int | None = None,
    ) -> None:
        conv = Conv2d.from_weights(weight, bias, stride=stride, padding=padding)
        if reset not in RESETS:
            raise ValueError(f"Core: reset={reset!r}; the chip knows {RESETS}")
        if max_spikes is not None and max_spikes < 1:
            raise ValueError(f"Core: max_spikes={max_spikes}; use 1 or more, or None")
        if not WEIGHT_BITS <= bias_bits <= STATE_BITS:
            raise ValueError(
                f"Core: bias_bits={bias_bits}; it must be within {WEIGHT_BITS}..{STATE_BITS}"
            )
        if overflow not in OVERFLOWS:
            raise ValueError(f"Core: overflow={overflow!r}; use one of {OVERFLOWS}")
        if leak_every is not None and leak_every < 1:
            raise ValueError(f"Core: leak_every={leak_every}; use 1 step or more, or None")
        self.weight, self.bias = conv.weight, conv.bias
        self.threshold, self.v_min = threshold, v_min
        (top, _), (left, _) = conv.padding
        self.stride, self.padding = (conv.stride[0], conv.stride[1]), (top, left)
        self.reset, self.max_spikes, self.detach_reset = reset, max_spikes, detach_reset
        self.bias_bits = bias_bits
        self.surrogate = surrogates.Exponential() if surrogate is None else surrogate
        self.flat = flat
        self.overflow, self.count_overflow = overflow, bool(count_overflow)
        self.leak_every = leak_every

    def _conv(self) -> Conv2d:
        return Conv2d.from_weights(self.weight, stride=self.stride, padding=self.padding)

    def neuron_shape(self, in_shape: Shape) -> Shape:
        """Features, height and width of the neurons."""
        shape = (in_shape[0], 1, 1) if len(in_shape) == 1 else in_shape
        return self._conv().out_shape(shape)

    def out_shape(self, in_shape: Shape) -> Shape:
        shape = self.neuron_shape(in_shape)
        if self.flat and shape[1:] != (1, 1):
            raise ValueError(f"Core: flat=True needs a map of 1x1 neurons, got {shape}")
        return shape[:1] if self.flat else shape

    def init(self, in_shape: Shape) -> CoreState:
        zeros = jnp.zeros(self.out_shape(in_shape))
        return CoreState(
            zeros,
            None if self._clocked is None else jnp.float32(self._clocked),
            zeros if self.count_overflow else None,
        )

    @property
    def _clocked(self) -> int | None:
        """Time steps of a tick, if there is anything for a tick to do."""
        return None if self.bias is None else self.leak_every

    def prepare(self, key: PRNGKeyArray | None) -> Core:
        """The core as it is on the chip: integers within their widths."""
        del key
        bias = self.bias
        return dataclasses.replace(
            self,
            weight=_on_grid(self.weight, *integer_range(WEIGHT_BITS)),
            bias=None if bias is None else _on_grid(bias, *integer_range(self.bias_bits)),
            threshold=_on_grid(self.threshold, 1, integer_range(STATE_BITS)[1]),
            v_min=_on_grid(self.v_min, *integer_range(STATE_BITS)),
        )

    def step_measured(
        self,
        state: CoreState,
        x: Array,
        measured: Mapping[str, Array],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[CoreState, Array]:
        del key
        if x.dtype != jnp.float32:
            raise TypeError(
                f"a core computes with integers in float32, but its input is {x.dtype}, which "
                "holds fewer of them; pass float32 inputs"
            )
        current = self._convolve(x.reshape(-1, 1, 1) if x.ndim == 1 else x)
        # Some convolution algorithms of GPUs are off by less than half a step.
        current = round_half_even(current)
        if self.bias is not None and self._clocked is None:
            current = current + self.bias[:, None, None]
        v, tick, overflowed = self._leaked(state)
        v, over = self._upper_end(v + (current[:, 0, 0] if self.flat else current))
        v = as_measured(v, measured, "v")
        spikes = as_measured(self._fire(v), measured, OUTPUT)
        if "v" not in measured:  # else reset and bound are in it already
            v = self._bounded(self._reset(v, spikes, measured))
        if overflowed is not None:
            overflowed = overflowed + over
        return inject_all(CoreState(v, tick, overflowed), spikes, measured)

    def _convolve(self, x: Array) -> Array:
        conv = self._conv()
        if jax.default_backend() != "cpu":
            return conv.step(None, x)[1]
        window = Window(conv.stride, conv.padding, conv.dilation, conv.groups)
        return convolve_counts(x, conv.weight, window)

    def _leaked(self, state: CoreState) -> CoreState:
        """The state after the slow clock, if it ticks before this step."""
        if self._clocked is None or self.bias is None or state.tick is None:
            return state
        ticks = state.tick < 1
        bias = self.bias if self.flat else self.bias[:, None, None]
        v, over = self._upper_end(state.v + bias)
        overflowed = state.overflowed
        return CoreState(
            jnp.where(ticks, self._bounded(v), state.v),
            jnp.where(ticks, float(self._clocked), state.tick) - 1,
            None if overflowed is None else overflowed + jnp.where(ticks, over, 0),
        )

    def _upper_end(self, v: Array) -> tuple[Array, Array]:
        """A sum in the register of 16 bits, and whether it was too large for it."""
        over = (v > TOP).astype(v.dtype)
        if self.overflow == "saturate":
            v = jnp.where(v < TOP, v, float(TOP))
        elif self.overflow == "wrap":
            turns = jnp.floor((v + (TOP + 1)) * 2.0**-STATE_BITS)
            v = v - lax.stop_gradient(jnp.maximum(turns, 0)) * 2.0**STATE_BITS
        return v, over

    def _bounded(self, v: Array) -> Array:
        return jnp.where(v > self.v_min, v, self.v_min)

    def _fire(self, v: Array) -> Array:
        if self.max_spikes == 1:
            return self._crosses(v)
        return surrogates.multi_spike(v, self.threshold, self.surrogate, max_spikes=self.max_spikes)

    def _crosses(self, v: Array) -> Array:
        """1 at or above the threshold, else 0."""
        threshold = jnp.asarray(self.threshold, v.dtype)
        return surrogates.spike(v - threshold, self.surrogate, threshold=threshold)

    def _reset(self, v: Array, spikes: Array, measured: Mapping[str, Array]) -> Array:
        zero = self.reset == "zero"
        events = spikes
        if zero and self.max_spikes != 1:
            events = self._crosses(v)
            if OUTPUT in measured:
                events = inject(events, measured[OUTPUT] > 0)
        events = lax.stop_gradient(events) if self.detach_reset else events
        return (1 - events) * v if zero else v - events * self.threshold

    def integers(self) -> Integers:
        """What the chip holds, as NumPy integers. Only outside of jit."""
        core = self.prepare(None)
        as_int = lambda x: np.asarray(x).astype(np.int64)  # noqa: E731
        return Integers(
            as_int(core.weight),
            None if core.bias is None else as_int(core.bias),
            int(core.threshold),
            int(core.v_min),
        )

    def exact_counts(self) -> int:
        """Largest number of spikes a time step from each input at which every sum is exact.

        The worst case: all inputs of a neuron that have weights of one sign fire that often at
        once, on top of a membrane that is as far off as it can be. Above, a sum may pass 2^24,
        where float32 rounds; real activity is far from it.
        """
        held = self.integers()
        rows = np.abs(held.weight).reshape(len(held.weight), -1).sum(1)
        bias = 0 if held.bias is None else np.abs(held.bias)
        room = LARGEST_EXACT - max(held.threshold, -held.v_min) - bias
        return int(np.min(room // np.maximum(rows, 1)))

    def describe(self) -> str:
        features, channels, *kernel = self.weight.shape
        text = f"core {channels}->{features}, {kernel[0]}x{kernel[1]}"
        if self.stride != (1, 1):
            text += f", stride {self.stride[0]}x{self.stride[1]}"
        if self.padding != (0, 0):
            text += f", padding {self.padding[0]}x{self.padding[1]}"
        if self.overflow is not None:
            text += f", overflow {self.overflow}s"
        if self._clocked is not None:
            text += f", leak every {self._clocked} steps"
        return text


def _on_grid(value: Any, low: int, high: int) -> Any:
    """The nearest integer within low..high; the derivative is 1 everywhere."""
    if isinstance(value, float):
        return float(min(max(round(value), low), high))
    return clamp(round_half_even(value), low, high, gradient="straight_through")
