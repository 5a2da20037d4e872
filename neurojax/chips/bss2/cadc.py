"""The converter that reads membranes: eight bits, a channel for each column, a sample now and then.

References:
    hxtorch (3bfc7aa), `hxtorch.spiking.utils`, for how samples become a dense trace; haldls,
    `CADCSampleQuad`, for their width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import Constant
from neurojax.chips.bss2._off import is_off
from neurojax.chips.bss2.spec import chip
from neurojax.fixed_point import clamp, round_half_even
from neurojax.neurons._neuron import Parameter, check_choice, number, option

INTERPOLATIONS = ("hold", "linear")
REST = 80.0
"""What a membrane at rest reads, in steps of the converter: calix' and hxtorch's default."""


class Sampled(NamedTuple):
    """State of a converter that does not sample in every step."""

    value: Array  # the last sample
    wait: Array  # time steps until the next one


class CADC(eqx.Module):
    """What a membrane potential reads: code = rest + (1 + gain) (v - zero) / scale + offset.

    The code gets noise, is rounded (halves to even) and limited to 0..255. Results are potentials
    again, in the model's units, as they would be found from the code by somebody who knows `rest`,
    `zero` and `scale`, but not the channel's offset and gain. The derivative is that of the line
    within its limits, and 0 outside.

    Args:
        scale: Units of the membrane potential per step of the converter.
        zero: Potential that reads `rest`.
        rest: Its code.
        offset: Of each channel, in steps.
        gain: Relative error of each channel's slope.
        noise: Standard deviation of a read-out, in steps.
        period: Seconds from sample to sample; None or less than a time step: each step is read.
        interpolation: Between samples a trace has the last one (`"hold"`) or a straight line
            (`"linear"`), which only `record` can draw, as it knows the next one.
        bits: Width of the code; None neither rounds nor limits it.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips import bss2
        >>> cadc = bss2.CADC(scale=0.02)
        >>> print(cadc.codes(jnp.array([0.0, 1.0, 5.0, -5.0])))
        [ 80. 130. 255.   0.]
        >>> print(bss2.CADC(scale=0.02, period=2e-6, interpolation="linear").record(
        ...     jnp.array([0.0, 0.7, 0.2, 0.9])).round(3))
        [0.  0.1 0.2 0.2]
    """

    scale: Parameter = number(1 / 60)
    zero: Parameter = number(0.0)
    rest: Parameter = number(REST)
    offset: Parameter = number(0.0)
    gain: Parameter = number(0.0)
    noise: Parameter = number(0.0)
    period: float | None = option(None)
    interpolation: str = option("hold")
    bits: int | None = option(chip.cadc_bits)

    def __check_init__(self) -> None:
        check_choice("CADC", "interpolation", self.interpolation, INTERPOLATIONS)
        if isinstance(self.scale, Constant) and not 0 < self.scale < math.inf:
            raise ValueError(f"CADC: scale is {self.scale:g}; it must be a number > 0")
        if self.period is not None and not 0 < self.period < math.inf:
            raise ValueError(f"CADC: period is {self.period!r}; it must be seconds > 0, or None")
        if self.bits is not None and (type(self.bits) is not int or not 1 <= self.bits <= 16):
            raise ValueError(f"CADC: bits is {self.bits!r}; it must be within 1..16, or None")

    @property
    def needs_key(self) -> bool:
        """Whether a read-out draws random numbers."""
        return not is_off(self.noise)

    def codes(
        self, v: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """What potentials read, in steps.

        Args:
            v: Potentials in the model's units, neurons last.
            key: Of the noise, if there is any.

        Raises:
            ValueError: There is noise, but no key.
        """
        code = self.rest + (v - self.zero) / self.scale * (1 + self.gain) + self.offset
        if self.needs_key:
            if key is None:
                raise ValueError("CADC: its noise is drawn from a key; pass key=")
            code = code + self.noise * jax.random.normal(key, code.shape, code.dtype)
        if self.bits is None:
            return code
        return clamp(round_half_even(code), 0, (1 << self.bits) - 1)

    def read(
        self, v: Float[Array, "*shape"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*shape"]:
        """What potentials read, in the model's units."""
        return self.zero + (self.codes(v, key=key) - self.rest) * self.scale

    def sparse(self, dt: float) -> bool:
        """Whether there are time steps without a sample."""
        return self.period is not None and self.period > dt * (1 + 1e-6)

    def record(
        self,
        trace: Float[Array, "time ..."],
        *,
        dt: float = 1e-6,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "time ..."]:
        """A membrane's trace as the converter records it, one value a time step again.

        Samples are read at the first time step at or after multiples of the period. After the last
        one the trace keeps its value.

        Args:
            trace: Potentials over time, the neurons last, such as a probe records them.
            dt: Duration of a time step in seconds.
            key: Of the noise, if there is any.
        """
        steps = trace.shape[0]
        if not self.sparse(dt):
            return self.read(trace, key=key)
        at = self._sampled_at(steps, dt)
        samples = self.read(trace[at], key=key)
        step = np.arange(steps)
        last = np.searchsorted(at, step, side="right") - 1
        if self.interpolation == "hold":
            return samples[last]
        after = np.minimum(last + 1, len(at) - 1)
        span = np.maximum(at[after] - at[last], 1)
        part = ((step - at[last]) / span).astype(np.float32).reshape(-1, *(1,) * (trace.ndim - 1))
        return samples[last] + jnp.asarray(part, trace.dtype) * (samples[after] - samples[last])

    def first(self, v: Array) -> Sampled:
        """State before the first step, for `hold`."""
        return Sampled(v, jnp.zeros(()))

    def hold(
        self, state: Sampled, v: Array, *, dt: Parameter, key: PRNGKeyArray | None = None
    ) -> Sampled:
        """A time step: a new sample where it is time for one.

        Args:
            state: After the step before.
            v: Potentials.
            dt: Duration of a time step in seconds.
            key: Of the noise, if there is any.
        """
        assert self.period is not None
        due = state.wait <= 1e-3
        value = jnp.where(due, self.read(v, key=key), state.value)
        left = jnp.where(due, state.wait + self.period / dt, state.wait) - 1
        return Sampled(value, left.astype(state.wait.dtype))

    def _sampled_at(self, steps: int, dt: float) -> np.ndarray:
        """Time steps at which samples are read: the grid of the period, rounded up."""
        assert self.period is not None
        ratio = self.period / dt
        count = math.floor((steps - 1) / ratio + 1e-6) + 1
        return np.ceil(np.arange(count) * ratio - 1e-3).astype(int)
