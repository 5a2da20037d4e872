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
import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Constant, Layer, Shape
from neurojax.chips.cri import _wide
from neurojax.chips.cri._wide import Wide, select, wide
from neurojax.chips.cri.noise import OFF, draw, hardware_noise, main_noise
from neurojax.chips.cri.spec import (
    LARGEST_REFRACTORY,
    LEAKS,
    MEMBRANE_BITS,
    MODELS,
    SHIFTS,
    THRESHOLD_BITS,
)
from neurojax.fixed_point import _derivative_of
from neurojax.surrogate import ATan, Surrogate, spike

ORDERS = ("hardware", "main", "dev")
RESETS = ("zero", "subtract")
OVERFLOWS = ("saturate", "wrap")
NO_LEAK = LEAKS[1]
OLD_NO_LEAK = 64
"""What old programs for hs_api write for no leak; the simulators compute it as that."""

SIMULATOR_SHIFTS = (-64, 63)
SIMULATOR_THRESHOLD_BITS = 50
"""The simulators compare with any number; these are all the bits that we can."""

BITS = (_wide.BITS[0], MEMBRANE_BITS)


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


@jax.tree_util.register_static
class Choice(str):
    """An option by name where an array, one entry a neuron, is possible too."""

    __slots__ = ()


class CRIState(NamedTuple):
    """State of a population. The membrane is high 2^20 + low; see `membrane`."""

    v: Array  # the membrane as the nearest float32, which carries its gradient
    high: Array  # int32
    low: Array  # int32, 0..2^20 - 1
    refractory: Array | None = None  # int32, steps that are left
    saturated: Array | None = None  # steps in which the membrane has left its range
    time: Array | None = None  # int32, steps so far, where draws are given
    history: Array | None = None  # spikes of the steps before, latest first, of delayed synapses


class Fired(NamedTuple):
    """Between the test for spikes and the integration of what arrives."""

    v: Array  # real-valued, for the gradient
    exact: Wide
    refractory: Array | None
    silent: Any  # what arrives in this step is lost
    over: Any  # the membrane has left its range already
    before: CRIState


def membrane(state: Any) -> np.ndarray:
    """The membranes as int64, of a state or of whatever has `high` and `low`. Not under jit.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.cri.neuron import Neuron, membrane, with_membrane
        >>> state = Neuron(theta=5).init((2,))
        >>> membrane(with_membrane(state, [2**34 - 1, -7])).tolist()
        [17179869183, -7]
    """
    return _wide.to_integers(state)


def with_membrane(state: CRIState, values: Any) -> CRIState:
    """The state with other membranes: integers that broadcast to its shape. Not under jit.

    Raises:
        ValueError: An integer of more than 51 bits.
    """
    exact = _wide.from_integers(np.broadcast_to(np.asarray(values, np.int64), state.v.shape))
    return state._replace(v=_wide.to_float(exact), high=exact.high, low=exact.low)


def _concrete(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def _collapsed(values: Any) -> Any:
    """An array whose entries are all the same as a constant: fewer operations in each step."""
    if _concrete(values) and values.size and (values == values.ravel()[0]).all():
        return Constant(values.ravel()[0])
    return None


def _integers(value: Any) -> Any:
    """A constant, or an int32 array, of integers that are no parameters."""
    if value is None or isinstance(value, Constant):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Constant(value)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.ndim == 0 and _concrete(array) and array.dtype.kind in "iuf":
        return Constant(array)
    if array.dtype.kind not in "iu":
        return value
    one = _collapsed(array)
    return jnp.asarray(array, jnp.int32) if one is None else one


def _threshold(value: Any) -> Any:
    """A constant, exact integers of more than 32 bits, or a float array that is a parameter."""
    if value is None or isinstance(value, Constant | Wide):
        return value
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        return Constant(value)
    array = value if isinstance(value, jax.Array) else np.asarray(value)
    if array.dtype.kind not in "iu":
        return jnp.asarray(array, jnp.float32) if array.dtype.kind == "f" else value
    one = _collapsed(array)
    if one is not None:
        return one
    return _wide.from_integers(array) if _concrete(array) else wide(jnp.asarray(array, jnp.int32))


def _named(names: dict[str, int]) -> Any:
    """Converter: a name, or integer codes, one a neuron."""
    by_code = {float(code): name for name, code in names.items()}

    def convert(value: Any) -> Any:
        if isinstance(value, str):
            return Choice(value)
        codes = _integers(value)
        if isinstance(codes, Constant) and float(codes) in by_code:
            return Choice(by_code[float(codes)])
        return codes

    return convert


RESET_CODES = {name: code for code, name in enumerate(RESETS)}


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

    theta: Any = eqx.field(converter=_threshold, kw_only=True)
    leak: Any = eqx.field(converter=_integers, default=None, kw_only=True)
    shift: Any = eqx.field(converter=_integers, default=-17, kw_only=True)
    model: Any = eqx.field(converter=_named(MODELS), default="LIF", kw_only=True)
    strict: bool | None = eqx.field(static=True, default=None, kw_only=True)
    reset: Any = eqx.field(converter=_named(RESET_CODES), default="zero", kw_only=True)
    order: str = eqx.field(static=True, default="hardware", kw_only=True)
    overflow: str = eqx.field(static=True, default="saturate", kw_only=True)
    bits: int = eqx.field(static=True, default=MEMBRANE_BITS, kw_only=True)
    noise: str | None = eqx.field(static=True, default=None, kw_only=True)
    refractory: Any = eqx.field(converter=_integers, default=0, kw_only=True)
    count_overflow: bool = eqx.field(static=True, default=False, kw_only=True)
    leak_bias: bool = eqx.field(static=True, default=False, kw_only=True)
    draws: Any = eqx.field(
        converter=lambda d: None if d is None else jnp.asarray(d), default=None, kw_only=True
    )
    detach_reset: bool = eqx.field(static=True, default=False, kw_only=True)
    surrogate: Surrogate = eqx.field(static=True, default=Relative(ATan()), kw_only=True)

    buffers: ClassVar[tuple[str, ...]] = ("leak", "shift", "model", "reset", "refractory", "draws")

    def __check_init__(self) -> None:
        for name, value, legal in (
            ("order", self.order, ORDERS),
            ("overflow", self.overflow, OVERFLOWS),
            ("noise", self.noise, (None, *OFF)),
            ("strict", self.strict, (None, True, False)),
            ("model", self.model, tuple(MODELS)),
            ("reset", self.reset, RESETS),
        ):
            if name in ("model", "reset") and eqx.is_array(value):
                continue
            if value not in legal:
                raise ValueError(f"Neuron: {name} is {value!r}; it must be in {legal}")
        simulator = self.order != "hardware"
        for name, ends in (
            ("leak", (LEAKS[0], OLD_NO_LEAK)),
            ("shift", SIMULATOR_SHIFTS if simulator else SHIFTS),
            ("refractory", (0, LARGEST_REFRACTORY)),
        ):
            _check_range(name, getattr(self, name), ends)
        for name, codes in (("model", MODELS), ("reset", RESET_CODES)):
            value = getattr(self, name)
            if eqx.is_array(value) and _concrete(value):
                strange = np.setdiff1d(np.asarray(value), list(codes.values()))
                if strange.size:
                    raise ValueError(f"Neuron: {name} has {strange[0]}; the codes are {codes}")
        if isinstance(self.bits, bool) or not BITS[0] <= self.bits <= BITS[1]:
            raise ValueError(f"Neuron: bits is {self.bits!r}; it must be within {BITS}")
        _check_threshold(self.theta, SIMULATOR_THRESHOLD_BITS if simulator else THRESHOLD_BITS)
        if self.draws is not None and self.draws.dtype.kind not in "iu":
            raise TypeError(f"Neuron: draws have type {self.draws.dtype}; they must be integers")
        if not isinstance(self.surrogate, Surrogate):
            raise TypeError(
                f"Neuron: surrogate is {self.surrogate!r}; use an object such as surrogate.ATan()"
            )
        if simulator:
            self._check_simulator()

    def _check_simulator(self) -> None:
        """The simulators have one reset, one width, one kind of overflow, no refractory period."""
        changed = [
            name
            for name, plain in (
                ("reset", "zero"),
                ("overflow", "saturate"),
                ("bits", MEMBRANE_BITS),
                ("refractory", 0),
                ("leak_bias", False),
            )
            if eqx.is_array(value := getattr(self, name)) or value != plain
        ]
        if changed:
            raise ValueError(
                f"Neuron: order {self.order!r} is that of a simulator without {', '.join(changed)}"
                '; leave that out, or use order="hardware"'
            )

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
        if self.order == "dev" or (self.order == "hardware" and self._is("LIF") is False):
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
        for name, value in arrays.items():
            value = value.high if isinstance(value, Wide) else value
            if not eqx.is_array(value):
                continue
            one = value.shape[1:] if name == "draws" else value.shape
            if not _fits(one, shape):
                raise ValueError(
                    f"Neuron: {name} has shape {value.shape}, but there are {shape} neurons; give "
                    "one number, one a neuron, or (channels, 1, 1) for one a channel"
                )
        return shape

    # A time step

    def step(
        self, state: CRIState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[CRIState, Array]:
        fired, spikes = self.fire(state, key=key, dtype=x.dtype)
        return self.integrate(fired, x, _wide.from_float(lax.stop_gradient(x))), spikes

    def fire(
        self, state: CRIState, *, key: PRNGKeyArray | None = None, dtype: Any = jnp.float32
    ) -> tuple[Fired, Float[Array, "*shape"]]:
        """The first half of a step: spikes, and the membranes after reset, leak and noise."""
        if jnp.dtype(dtype).itemsize < 4:
            raise TypeError(
                f"CRI's neurons add integers that {jnp.dtype(dtype)} does not hold; pass float32 "
                "inputs"
            )
        exact, v = Wide(state.high, state.low), state.v.astype(jnp.float32)
        xi, over = self._noise(state, key), None
        if xi is not None and self.order == "main":
            exact = _wide.add(exact, xi)
            over = _wide.outside(exact, self.bits)
            exact = _wide.saturate(exact, self.bits)
            v = _derivative_of(jnp.where(over, 0, v), _wide.to_float(exact))
        theta, smooth_theta = self._theta()
        if self.fires_above:
            fires = _wide.greater(exact, theta)
        else:
            fires = ~_wide.greater(theta, exact)
        refractory = state.refractory
        if refractory is not None:
            fires &= refractory == 0
            waiting = jnp.asarray(self.refractory, jnp.int32)
            refractory = jnp.where(fires, waiting, jnp.maximum(refractory - 1, 0))
        above = v - smooth_theta
        # For its derivative: the float of a membrane beyond 2^24 may be on the wrong side.
        soft = spike(above, self.surrogate, threshold=smooth_theta, strict=self.fires_above)
        if state.refractory is not None:
            soft = jnp.where(state.refractory == 0, soft, 0)
        spikes = _derivative_of(soft, fires.astype(jnp.float32))
        exact, v = self._after(exact, v, fires, spikes, theta, above, xi)
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
            total, v = select(fired.silent, _zero(total), total), jnp.where(fired.silent, 0, v)
            over &= ~fired.silent
        before = fired.before
        saturated, time = before.saturated, before.time
        if saturated is not None:
            saturated = saturated + (over if fired.over is None else over | fired.over)
        return CRIState(
            v=_derivative_of(v, _wide.to_float(total)).astype(before.v.dtype),
            high=total.high,
            low=total.low,
            refractory=fired.refractory,
            saturated=saturated,
            time=None if time is None else time + 1,
            history=before.history,
        )

    def _theta(self) -> tuple[Wide, Any]:
        """The integer that the test compares with, and the number that the gradient sees."""
        theta, above = self.theta, self.fires_above
        if isinstance(theta, Wide):
            return theta, _wide.to_float(theta)
        if isinstance(theta, float):
            number = math.floor(theta) if above else math.ceil(theta)
            return _wide.from_integer(number), jnp.float32(theta)
        theta = theta.astype(jnp.float32)
        whole = lax.stop_gradient(jnp.floor(theta) if above else jnp.ceil(theta))
        return _wide.from_float(whole), theta

    def _after(
        self, exact: Wide, v: Array, fires: Array, spikes: Array, theta: Wide, above: Array, xi: Any
    ) -> tuple[Wide, Array]:
        """The membrane after reset, leak and noise: the number, and its real-valued twin."""
        main = self.order == "main"
        leaks = True if main else self._is("LIF")
        clears = False if main else self._is("ANN")
        quiet = _wide.subtract(exact, self._quotient(exact))
        if self.order != "hardware":
            quiet = _wide.saturate(quiet, self.bits)
        elif xi is not None:
            quiet = _wide.add(quiet, xi)
        quiet = select(leaks, quiet, select(clears, _zero(exact), exact))
        keep = jnp.where(leaks, self._keep(), jnp.where(clears, 0.0, 1.0))
        subtracts = self._subtracts()
        less = _wide.subtract(exact, theta)
        spent = select(subtracts, less, _zero(exact))
        # Both ways that the membrane can go on, so that the spike, which chooses, has its gradient.
        on = _derivative_of(keep * v, _wide.to_float(quiet))
        back: Any = 0.0
        if subtracts is not False:
            back = jnp.where(subtracts, _derivative_of(above, _wide.to_float(less)), 0)
        s = lax.stop_gradient(spikes) if self.detach_reset else spikes
        return select(fires, spent, quiet), on + s * (back - on)

    def _is(self, model: str) -> Any:
        """Whether neurons are of a model: a bool, or one a neuron."""
        return self.model == (MODELS[model] if eqx.is_array(self.model) else model)

    def _subtracts(self) -> Any:
        if eqx.is_array(self.reset):
            return self.reset == RESET_CODES["subtract"]
        return self.reset == "subtract"

    def _leak(self) -> Any:
        """The leak: a Python integer, or int32, one a neuron."""
        if self.leak is not None:
            return self.leak if eqx.is_array(self.leak) else int(self.leak)
        ann = self._is("ANN")
        return (0 if ann else NO_LEAK) if isinstance(ann, bool) else jnp.where(ann, 0, NO_LEAK)

    def _keep(self) -> Any:
        """The part of the membrane that the leak leaves, for the gradient."""
        lost = -jnp.asarray(self._leak(), jnp.int32)
        return 1 - jnp.ldexp(jnp.float32(1), lost)

    def _quotient(self, n: Wide) -> Wide:
        """floor(n / 2^leak), as the order has it."""
        leak = self._leak()
        quotient = _wide.shift_right(n, leak)
        zero = _zero(n)
        if self.order == "hardware":
            return quotient if self.leak_bias else select(leak >= NO_LEAK, zero, quotient)
        positive = _wide.greater(n, zero).astype(jnp.int32)
        wrapped = wide(-positive)  # what division by -2^63 gives
        if self.order == "dev":
            # The divisor is limited to ±(2^34 - 1), and -2^34.
            lowest, highest = _wide.limits(MEMBRANE_BITS)
            at_lowest = (~_wide.greater(n, lowest)).astype(jnp.int32)
            at_highest = (~_wide.greater(highest, n)).astype(jnp.int32)
            limited = wide(at_highest - (n.high < 0) - at_lowest)
            quotient = select(leak >= MEMBRANE_BITS - 1, limited, quotient)
            wrapped = wide(at_lowest - positive)
        return select(leak == NO_LEAK, wrapped, select(leak > NO_LEAK, zero, quotient))

    def _noise(self, state: CRIState, key: PRNGKeyArray | None) -> Wide | None:
        form = self.noise_form
        if form is None:
            return None
        if self.draws is None:
            if key is None:
                raise ValueError(
                    "Neuron: there is noise, so a step needs a key; pass one to simulate(), or "
                    "turn the noise off with shift=-17 (main: -16)"
                )
            draws = draw(key, state.v.shape)
        else:
            draws = self.draws[jnp.minimum(jnp.asarray(state.time), self.draws.shape[0] - 1)]
            draws = jnp.broadcast_to(draws.astype(jnp.int32), state.v.shape)
        shift = self.shift if eqx.is_array(self.shift) else int(self.shift)
        if form == "main":
            return main_noise(draws, shift, bits=self.bits)
        return hardware_noise(draws, shift, bits=None if self.overflow == "wrap" else self.bits)

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


def _zero(like: Wide) -> Wide:
    return Wide(jnp.zeros_like(like.high), jnp.zeros_like(like.low))


def _fits(shape: Shape, to: Shape) -> bool:
    try:
        return np.broadcast_shapes(shape, to) == to
    except ValueError:
        return False


def _check_range(name: str, value: Any, legal: tuple[int, int]) -> None:
    low, high = legal
    if value is None and name == "leak":
        return
    if isinstance(value, Constant):
        good = value.is_integer() and low <= value <= high
        found: Any = f"{value:g}"
    elif eqx.is_array(value):
        if not _concrete(value):
            return
        found, good = f"{value.min()}..{value.max()}", value.min() >= low and value.max() <= high
    else:
        raise TypeError(
            f"Neuron: {name} is {value!r}; give an integer, or an array of integers, one a neuron"
        )
    if not good:
        raise ValueError(f"Neuron: {name} is {found}; it must be an integer within {low}..{high}")


def _check_threshold(theta: Any, bits: int) -> None:
    largest = 1 << (bits - 1)
    if isinstance(theta, Wide):
        if not _concrete(theta.high):
            return
        values = _wide.to_integers(theta)
        good, found = -largest <= values.min() and values.max() < largest, values
        text = f"{found.min()}..{found.max()}"
    elif isinstance(theta, Constant):
        good, text = -largest <= theta < largest, f"{theta:g}"
    elif eqx.is_array(theta):
        return
    else:
        raise TypeError(
            f"Neuron: theta is {theta!r}; give a number, an array of integers, or an array of "
            "floats to be trained"
        )
    if not good:
        raise ValueError(
            f"Neuron: theta is {text}; it must be within -2^{bits - 1}..2^{bits - 1} - 1"
        )
