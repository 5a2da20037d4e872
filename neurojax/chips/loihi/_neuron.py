"""What CUBA, ALIF and the resonators have in common: units, thresholds, decays, spikes.

States are float32 that hold multiples of 1 / s_scale, as in `CUBA`. Thresholds are whole weight
steps, decays whole multiples of 1 / 4096, and both may be learned: what is used is the rounded
value, the gradient passes the rounding.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Constant, Layer, constants_to_floats, parameter
from neurojax.chips.loihi._leak import leak, on_grid
from neurojax.chips.loihi.quantise import SCALE, positive
from neurojax.chips.loihi.spec import FULL, STATE_SHIFT
from neurojax.fixed_point import derivative_of, divide, truncate

CURRENT_DECAYS = {"current_decay": "iDecay", "voltage_decay": "vDecay"}


class AbstractScaled(Layer):
    """A neuron with a threshold in weight steps and decays in multiples of 1 / 4096."""

    threshold: Any = eqx.field(converter=parameter, default=1.0, kw_only=True)
    scale: float = eqx.field(static=True, default=SCALE, kw_only=True)
    graded: bool = eqx.field(static=True, default=False, kw_only=True)

    decays: ClassVar[dict[str, str]] = {}
    """Fields that are decays, and what slayer and netx files call them."""
    thresholds: ClassVar[dict[str, str]] = {"threshold": "vThMant"}

    def __check_init__(self) -> None:
        name = type(self).__name__
        for field in self.decays:
            value = getattr(self, field)
            if isinstance(value, Constant) and not 0 <= value <= 1:
                raise ValueError(
                    f"{name}: {field} is {value:g}; it must be within 0..1 (decays of the chip "
                    "are multiples of 1 / 4096: divide them)"
                )
        for field in self.thresholds:
            value = getattr(self, field)
            if isinstance(value, Constant) and not value >= 0:
                raise ValueError(
                    f"{name}: {field} is {value:g}; it must be >= 0"
                    + (", or None for a neuron that doesn't spike" * (field == "threshold"))
                )
        positive(f"{name}: scale", self.scale)

    @property
    def w_scale(self) -> int:
        """Steps of weights and of thresholds per unit."""
        return int(self.scale)

    @property
    def s_scale(self) -> int:
        """Steps of the states per unit."""
        return int(self.scale * (1 << STATE_SHIFT))

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        """The neuron with the decays and thresholds that the chip can store."""
        del key
        plain = constants_to_floats(self)
        stored = {field: on_grid(getattr(plain, field)) for field in self.decays}
        stored |= {field: self._stored(getattr(plain, field)) for field in self.thresholds}
        return dataclasses.replace(self, **stored)

    def _stored(self, threshold: Any) -> Any:
        return None if threshold is None else in_weight_steps(threshold, self.w_scale)

    def integers(self) -> dict[str, Any]:
        """What the chip holds of it, under slayer's names, as integers. Only outside of jit."""
        held = self.prepare(None)
        values = {name: (getattr(held, field), FULL) for field, name in self.decays.items()}
        if self.threshold is not None:
            values |= {
                name: (getattr(held, field), self.w_scale)
                for field, name in self.thresholds.items()
            }
        rounded = {
            name: np.rint(np.asarray(value, np.float64) * unit).astype(np.int64)
            for name, (value, unit) in values.items()
        }
        return {name: int(n) if n.ndim == 0 else n for name, n in rounded.items()}

    def _numbers(self, *fields: str) -> str:
        """The named parameters, for `describe`."""
        words = [
            f"{field} {getattr(self, field):g}"
            if isinstance(getattr(self, field), Constant)
            else f"{field} learned"
            for field in fields
        ]
        return ", ".join(words + ["no spikes"] * (self.threshold is None))

    def _product(self, factor: Any, symbol: str, name: str) -> str:
        """The part of a state that is left, in steps."""
        number = f"{self.s_scale * factor:.17g}" if isinstance(factor, float) else None
        return f"trunc({number or f'{self.s_scale} {symbol}'} {name})"

    def _leaked(self, field: str, name: str) -> str:
        return self._product(1 - getattr(self, field), f"(1 - {field})", name)


class AbstractNeuron(AbstractScaled):
    """A neuron that computes with the integers behind the floats, each with its own derivative."""

    def _steps(self, y: Any) -> Any:
        """A value of the neuron in steps of its state."""
        return round(y * self.s_scale) if isinstance(y, float) else jnp.rint(y * self._s)

    def _input(self, x: Array) -> Array:
        return jnp.trunc(x * self._s)

    def _units(self, n: Array, smooth: Array) -> Array:
        """The integer n in the user's unit, with the derivative of `smooth`."""
        return derivative_of(smooth, divide(n, self.s_scale))

    def _leak(self, y: Array, decay: Any, x: Array | None = None) -> Array:
        """trunc(n (4096 - D) / 4096) + trunc(s_scale x), where n = s_scale y; all over s_scale."""
        drive = jnp.zeros_like(y) if x is None else x
        n = leak(self._steps(y), decay, self._input(drive))
        return self._units(n, y * (1 - decay) + drive)

    @property
    def _s(self) -> Array:
        return jnp.float32(self.s_scale)

    # What it says of itself

    def _symbol(self, field: str) -> str:
        value = getattr(self, field)
        return field if eqx.is_array(value) else f"{float(value):.17g}"


def in_weight_steps(threshold: Any, w_scale: int) -> Any:
    """A threshold cut to whole weight steps; derivative 1."""
    if isinstance(threshold, float):
        return int(threshold * w_scale) / w_scale
    return derivative_of(threshold, divide(truncate(threshold * w_scale), w_scale))


def check_norm(what: str, norm: Any) -> None:
    if norm is not None and not isinstance(norm, Layer):
        raise TypeError(f"{what} is {norm!r}; use a layer such as ShiftNorm")
