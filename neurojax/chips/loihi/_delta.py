"""What the delta and sigma-delta neurons share: when a change is sent, and as what message.

See `neurojax.chips.loihi.sigma_delta` for the equations, the two units and the options.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from neurojax import surrogate as surrogates
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi._neuron import in_weight_steps
from neurojax.chips.loihi.quantise import SCALE, positive
from neurojax.chips.loihi.spec import STATE_BITS, STATE_SHIFT
from neurojax.fixed_point import (
    derivative_of,
    divide,
    floor,
    integer_range,
    round_half_even,
)

REGISTER = integer_range(STATE_BITS)[1]
"""Largest magnitude in a register of the state."""

GRADIENTS = ("equations", "straight_through")


class AbstractDelta(Layer):
    """A neuron that sends how much a value has changed, in one of two units."""

    threshold: Any = eqx.field(converter=parameter, kw_only=True)
    cum_error: bool = eqx.field(static=True, default=False, kw_only=True)
    scale: float = eqx.field(static=True, default=SCALE, kw_only=True)
    message_scale: float | None = eqx.field(static=True, default=None, kw_only=True)
    quantise_threshold: bool = eqx.field(static=True, default=True, kw_only=True)
    keep_rounding: bool = eqx.field(static=True, default=False, kw_only=True)
    spike_exp: int | None = eqx.field(static=True, default=None, kw_only=True)
    state_exp: int | None = eqx.field(static=True, default=None, kw_only=True)
    gradient: str = eqx.field(static=True, default="equations", kw_only=True)
    surrogate: surrogates.Surrogate | None = eqx.field(
        static=True, default=surrogates.Exponential(width=0.5, scale=0.5), kw_only=True
    )
    count_overflow: bool = eqx.field(static=True, default=False, kw_only=True)

    def __check_init__(self) -> None:
        name = type(self).__name__
        positive(f"{name}: scale", self.scale)
        if self.message_scale is not None:
            positive(f"{name}: message_scale", self.message_scale)
        for field in ("spike_exp", "state_exp"):
            value = getattr(self, field)
            if value is not None and (value != int(value) or not 0 <= value <= 7):
                raise ValueError(f"{name}: {field} is {value!r}; it must be within 0..7, or None")
        if self.gradient not in GRADIENTS:
            raise ValueError(f"{name}: gradient is {self.gradient!r}; it must be in {GRADIENTS}")
        if self.surrogate is None and self.gradient == "straight_through":
            raise ValueError(f"{name}: gradient 'straight_through' needs a surrogate")
        largest = REGISTER / self._gain if self.integers_of_lava else np.inf
        for field in ("threshold", "bias"):
            value = getattr(self, field, None)
            if not isinstance(value, Constant):
                continue
            if field == "threshold" and not value >= 0:
                raise ValueError(f"{name}: threshold is {value:g}; it must be >= 0")
            if self.integers_of_lava and not (float(value).is_integer() and abs(value) <= largest):
                raise ValueError(
                    f"{name}: {field} is {value:g}; with spike_exp or state_exp it must be an "
                    f"integer within +-{int(largest)} (2^23 / 2^(spike_exp + state_exp))"
                )

    @property
    def spiking(self) -> bool:
        """False: a message is how much a value has changed, and their number says little."""
        return False

    @property
    def integers_of_lava(self) -> bool:
        """Whether values are Lava's integers instead of the user's numbers."""
        return self.spike_exp is not None or self.state_exp is not None

    @property
    def w_scale(self) -> int:
        """Steps of the threshold per unit of the threshold."""
        return 1 if self.integers_of_lava else int(self.scale)

    @property
    def _gain(self) -> float:
        """Steps of the state in one step of the threshold, where they are not the same unit."""
        return float(1 << (self.spike_exp or 0) + (self.state_exp or 0))

    @property
    def _grain(self) -> float:
        """Size of a message of 1, in the unit of the state."""
        if self.integers_of_lava:
            return float(1 << (self.state_exp or 0))
        return 1 / (self.message_scale or int(self.scale * (1 << STATE_SHIFT)))

    @property
    def _steps(self) -> float:
        """Steps of the chip's state in the unit of the state."""
        return 1.0 if self.integers_of_lava else steps_per_unit(self.scale)

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        """The neuron with the threshold that the chip can store."""
        del key
        return dataclasses.replace(self, threshold=self._stored())

    def _stored(self) -> Any:
        threshold = constants_to_floats(self.threshold)
        return in_weight_steps(threshold, self.w_scale) if self.quantise_threshold else threshold

    def _send(
        self, a: Array, last: Array, residue: Array, error: Array | None
    ) -> tuple[Array, Array, Array | None, Array]:
        """The message about a new value; then residue, error and the difference."""
        threshold = jnp.asarray(self.threshold * self._gain, a.dtype)
        if self.gradient == "straight_through":
            residue = lax.stop_gradient(residue)
        d = a - last + residue
        error = None if error is None else error + d
        distance = jnp.abs(d if error is None else error) - threshold
        # A learned threshold may be 0; the width of a surrogate may not.
        width = jnp.maximum(lax.stop_gradient(threshold), self._gain / self.w_scale)
        if self.gradient == "straight_through":
            sent = (distance >= 0).astype(a.dtype)
            above = jnp.abs(d) - threshold
            slope = d * self.surrogate.derivative(above, width)  # type: ignore[union-attr]
            slope = lax.stop_gradient(jnp.where(above > 0, slope, jnp.sign(d)))
            out = derivative_of(d - slope * threshold, sent * d)
        elif self.surrogate is None:
            sent = (distance >= 0).astype(a.dtype)
            out = sent * d
        else:
            sent = surrogates.spike(distance, self.surrogate, threshold=width)
            out = sent * d
        whole = floor(divide(out, self._grain))
        message = whole * np.float32(self._grain)
        residue = d - (message if self.keep_rounding else out)
        if error is not None:
            error = error * (1 - sent * (d != 0).astype(a.dtype))
        return whole if self.integers_of_lava else message, residue, error, d

    def in_integers(self) -> Self:
        """The same neuron in Lava's integers, for synapses with weights in weight steps.

        Messages count 1 / (64 scale), the state 1 / (64 scale^2) (2^-18 with the usual scale): a
        message times a weight is in the unit of the state. A `Delta` takes in steps of 1 / scale.
        A bias is rounded to such steps, too.

        Raises:
            ValueError: Lava does not have its activation, norm or scale, or a number is too large.
        """
        if self.integers_of_lava:
            return self
        name, state_exp = type(self).__name__, self.w_scale.bit_length() - 1
        if self.w_scale != 1 << state_exp or self.message_scale not in (None, 64 * self.w_scale):
            raise ValueError(
                f"{name}: scale is {self.scale:g} and message_scale {self.message_scale}; for "
                "Lava's integers make scale a power of two, and leave message_scale at None"
            )
        whole = dataclasses.replace(self, quantise_threshold=True)
        changes: dict[str, Any] = {"threshold": parameter(whole._stored() * self.w_scale)}
        if (bias := constants_to_floats(getattr(self, "bias", None))) is not None:
            steps = bias * self.w_scale
            changes["bias"] = round(steps) if isinstance(bias, float) else round_half_even(steps)
        if self.surrogate is not None:
            changes["surrogate"] = InSteps(self.surrogate, steps_per_unit(self.scale))
        return dataclasses.replace(
            whole, spike_exp=STATE_SHIFT, state_exp=state_exp, message_scale=None, **changes
        )

    def integers(self) -> dict[str, Any]:
        """What the chip holds of it: `vThMant`, as an integer. Only outside of jit."""
        held = in_weight_steps(constants_to_floats(self.threshold), self.w_scale)
        steps = np.rint(np.asarray(held, np.float64) * self.w_scale).astype(np.int64)
        return {"vThMant": int(steps) if steps.ndim == 0 else steps}

    def _options(self) -> str:
        threshold = self.threshold
        text = f"{threshold:g}" if isinstance(threshold, Constant) else "learned"
        if self.cum_error:
            text += ", cumulative error"
        if self.integers_of_lava:
            text += f", spike_exp {self.spike_exp or 0}, state_exp {self.state_exp or 0}"
        return f"threshold {text}"

    def _encoding(self, new: str, last: str) -> list[str]:
        """The lines of the equations from the new value on."""
        held: Any = constants_to_floats(dataclasses.replace(self, threshold=self._stored()))
        threshold = held.threshold
        if isinstance(threshold, float):
            limit = f"{threshold * self._gain:.7g}"
        else:
            limit = "threshold" if self._gain == 1 else f"{self._gain:.7g} threshold"
        lines = [f"difference: d <- {new} - {last} + residue"]
        size = "max(d, -d)"
        if self.cum_error:
            lines.append("sum of differences: error <- error + d")
            size = "max(error, -error)"
        lines.append(f"large enough: s <- [{size} >= {limit}]")
        grain = f"{1 / self._grain:.7g} s d" if self._grain < 1 else f"s d / {self._grain:.7g}"
        back = f"floor({grain}) / {1 / self._grain:.7g}"
        if self._grain >= 1:
            back = f"{self._grain:.7g} floor({grain})"
        lines.append(f"what is left: residue <- d - {back if self.keep_rounding else 's d'}")
        if self.cum_error:
            lines.append("that was sent: error <- 0 where s max(d, -d) > 0")
        lines.append(f"value for the next step: {last} <- {new}")
        message = f"floor({grain})" if self.integers_of_lava else back
        return [*lines, f"message: y <- {message}"]


def steps_per_unit(scale: float) -> float:
    """Steps of the chip's state in one unit of the user: 2^18 with the usual scale."""
    return float(int(scale) ** 2 << STATE_SHIFT)


def no_overflow(counted: bool, shape: Shape) -> Array | None:
    return jnp.zeros(shape, jnp.int32) if counted else None


def count_overflow(overflow: Array | None, steps: float, *values: Array) -> Array | None:
    """Add one where a value left 24 bits."""
    if overflow is None:
        return None
    outside = [jnp.abs(lax.stop_gradient(value)) * steps > REGISTER for value in values]
    return overflow + jnp.stack(outside).any(axis=0).astype(jnp.int32)
