"""Rotation and decay of a complex number in integers: what all resonators have in common.

In every time step, with integers that count steps of 1 / s_scale (s_scale = 64 scale):

    re' = trunc(C re / 4096) - trunc(S im / 4096) + trunc(s_scale x_re)
    im' = trunc(S re / 4096) + trunc(C im / 4096) + trunc(s_scale x_im)

C and S are 4096 (1 - decay) cos(2 pi / period) and 4096 (1 - decay) sin(2 pi / period), rounded.

References:
    E. M. Izhikevich, "Resonate-and-fire neurons", Neural Networks 14, 2001; lava-dl,
    `slayer.neuron.dynamics.resonator`; Lava, `proc.rf.models.PyRFModelFixed`.
"""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, PRNGKeyArray

from neurojax._broadcast import check_shapes
from neurojax._layer import Constant, Layer, Shape, constants_to_floats, parameter
from neurojax.chips.loihi._leak import leak
from neurojax.chips.loihi._neuron import AbstractNeuron, check_norm
from neurojax.chips.loihi.spec import FULL
from neurojax.fixed_point import clamp, derivative_of

SHORTEST_PERIOD = 4
"""Time steps. Sine and cosine are not negative: a step turns by a quarter at most."""


TURNED = ("real part: re <- z", "imaginary part: im <- w")
"""Lines of equations: the new state takes the place of the old one."""


class AbstractResonator(AbstractNeuron):
    """A neuron whose state is a complex number that turns and decays; the input is complex."""

    sin_decay: Any = eqx.field(converter=parameter, kw_only=True)
    cos_decay: Any = eqx.field(converter=parameter, kw_only=True)
    real_norm: Layer | None = eqx.field(default=None, kw_only=True)
    imag_norm: Layer | None = eqx.field(default=None, kw_only=True)
    bits: int | None = eqx.field(static=True, default=None, kw_only=True)

    decays: ClassVar[dict[str, str]] = {"sin_decay": "sinDecay", "cos_decay": "cosDecay"}

    def __check_init__(self) -> None:
        name = type(self).__name__
        check_norm(f"{name}: real_norm", self.real_norm)
        check_norm(f"{name}: imag_norm", self.imag_norm)
        if self.bits is not None and not 2 <= self.bits <= 25:
            raise ValueError(
                f"{name}: bits is {self.bits}; it must be within 2..25 (24 in the chip), or None "
                "for no limit"
            )

    @classmethod
    def from_period(cls, period: ArrayLike, decay: ArrayLike, **options: Any) -> Self:
        """A resonator from what it does, instead of from sine and cosine.

        Args:
            period: Of the oscillation, in time steps, at least 4. If this or `decay` is an array,
                sine and cosine are parameters.
            decay: Part of the amplitude that is lost in a time step, 0 to 1.
            **options: The other arguments.

        Raises:
            ValueError: The period is below 4 or the decay not within 0..1.
        """
        periods, decays = np.asarray(period, np.float64), np.asarray(decay, np.float64)
        if not np.all(periods >= SHORTEST_PERIOD):
            raise ValueError(
                f"{cls.__name__}: period is {period}; it must be at least {SHORTEST_PERIOD} time "
                "steps, since a step can't turn by more than a quarter"
            )
        if not np.all((decays >= 0) & (decays <= 1)):
            raise ValueError(f"{cls.__name__}: decay is {decay}; it must be within 0..1")
        parts: list[Any] = [f(2 * np.pi / periods) * (1 - decays) for f in (np.sin, np.cos)]
        if isinstance(period, int | float) and isinstance(decay, int | float):
            parts = [float(part) for part in parts]
        else:
            parts = [jnp.asarray(part, jnp.float32) for part in parts]
        return cls(sin_decay=parts[0], cos_decay=parts[1], **options)

    @property
    def decay(self) -> float | np.ndarray:
        """Part of the amplitude that a time step takes, with the integers of the chip."""
        n = self.integers()
        return _plain(1 - np.hypot(n["sinDecay"], n["cosDecay"]) / FULL)

    @property
    def period(self) -> float | np.ndarray:
        """Time steps of a turn, with the integers of the chip."""
        n = self.integers()
        with np.errstate(divide="ignore"):
            return _plain(2 * np.pi / np.arctan2(n["sinDecay"], n["cosDecay"]))

    def out_shape(self, in_shape: Shape) -> Shape:
        if not in_shape or in_shape[0] != 2:
            raise ValueError(
                f"{type(self).__name__} takes a complex input (2, ...), the real part first, got "
                f"shape {tuple(in_shape)}; put a ComplexSynapse in front of it"
            )
        shape = tuple(in_shape[1:])
        for norm in (self.real_norm, self.imag_norm):
            if norm is not None and norm.out_shape(shape) != shape:
                raise ValueError(
                    f"{type(self).__name__}: a norm makes {norm.out_shape(shape)} of {shape}; it "
                    "must keep the shape"
                )
        check_shapes(self, shape)
        return shape

    def prepare(self, key: PRNGKeyArray | None) -> Self:
        sin, cos = _on_circle(*constants_to_floats((self.sin_decay, self.cos_decay)))
        # The super-class rounds once more, which changes nothing.
        held = super(
            AbstractResonator, dataclasses.replace(self, sin_decay=sin, cos_decay=cos)
        ).prepare(key)
        return dataclasses.replace(
            held,
            real_norm=None if self.real_norm is None else self.real_norm.prepare(key),
            imag_norm=None if self.imag_norm is None else self.imag_norm.prepare(key),
        )

    def _turn(
        self, re: Array, im: Array, x: Array, *, origin: tuple[Array, Array] | None = None
    ) -> tuple[Array, Array]:
        """The state after one time step, before a reset.

        `origin` is what `re` and `im` were before a reset: where slayer takes its gradients.
        """
        sin, cos = self.sin_decay, self.cos_decay
        x_re, x_im = x[0], x[1]
        if self.real_norm is not None:
            x_re = self.real_norm.step(None, x_re)[1]
        if self.imag_norm is not None:
            x_im = self.imag_norm.step(None, x_im)[1]
        n_re, n_im = self._steps(re), self._steps(im)
        zero = jnp.zeros_like(n_re)

        def whole(n: Array) -> Array:
            return n.astype(jnp.int32)

        def part(n: Array, factor: Any) -> Array:
            return whole(leak(n, 1 - factor, zero))

        # Summed in int32, so that what has 25 bits on the way is exact, and rounded once.
        new_re = part(n_re, cos) - part(n_im, sin) + whole(self._input(x_re))
        new_im = part(n_re, sin) + part(n_im, cos) + whole(self._input(x_im))
        if origin is not None:
            re, im = origin
            sin, cos = (part + (FULL - 1) * (part - lax.stop_gradient(part)) for part in (sin, cos))
        return (
            self._limited(new_re, cos * re - sin * im + x_re),
            self._limited(new_im, sin * re + cos * im + x_im),
        )

    def _limited(self, n: Array, smooth: Array) -> Array:
        y = self._units(n.astype(smooth.dtype), smooth)
        if self.bits is None:
            return y
        largest = ((1 << (self.bits - 1)) - 1) / self.s_scale
        return clamp(y, np.float32(-largest), np.float32(largest))

    def describe(self) -> str:
        constant = all(isinstance(f, Constant) for f in (self.sin_decay, self.cos_decay))
        text = (
            f"period {self.period:.4g}, decay {self.decay:.2g}"
            if constant
            else "period and decay learned"
        )
        return f"{type(self).__name__} {text}{', no spikes' * (self.threshold is None)}"

    def equations(self) -> tuple[str, ...]:
        return self.prepare(None)._lines()

    def _lines(self) -> tuple[str, ...]:
        """With z and w for the new real and imaginary part."""
        s = self.s_scale
        cos_re, sin_im = self._turned("cos_decay", "re"), self._turned("sin_decay", "im")
        sin_re, cos_im = self._turned("sin_decay", "re"), self._turned("cos_decay", "im")
        x_re, x_im = (
            f"trunc({s} {part})" if norm is None else f"trunc({s} norm({part}))"
            for part, norm in (("x_re", self.real_norm), ("x_im", self.imag_norm))
        )
        z, w = f"{cos_re} - {sin_im} + {x_re}", f"{sin_re} + {cos_im} + {x_im}"
        if self.bits is not None:
            largest = (1 << (self.bits - 1)) - 1
            z, w = (f"max(min({n}, {largest}), 0 - {largest})" for n in (z, w))
        lines = (f"real part: z <- ({z}) / {s}", f"imaginary part: w <- ({w}) / {s}")
        if self.threshold is None:
            return (*lines, *TURNED, "output: y <- im")
        return self._spiking_lines(lines)

    def _turned(self, field: str, name: str) -> str:
        return self._product(getattr(self, field), field, name)

    def _spiking_lines(self, turn: tuple[str, ...]) -> tuple[str, ...]:
        """The lines of a neuron that spikes, of which `turn` computes z and w."""
        raise NotImplementedError


def _plain(value: Any) -> float | np.ndarray:
    return float(value) if np.ndim(value) == 0 else np.asarray(value)


def _on_circle(sin: Any, cos: Any) -> tuple[Any, Any]:
    """Sine and cosine as multiples of 1 / 4096, none negative, within the unit circle.

    As slayer does it: on the circle of 4095, the sine at least 1, then rounded. Integers that the
    chip can hold are left alone, so that what was written to a file comes back as it was.
    """
    if isinstance(sin, float) and isinstance(cos, float):
        # In float32, as slayer.
        sin, cos = _rounded(np.float32(FULL * sin), np.float32(FULL * cos), np)
        return float(sin) / FULL, float(cos) / FULL
    sin, cos = jnp.asarray(sin, jnp.float32), jnp.asarray(cos, jnp.float32)
    n_sin, n_cos = _rounded(FULL * sin, FULL * cos, jnp)
    return derivative_of(jnp.broadcast_to(sin, n_sin.shape), n_sin / FULL), derivative_of(
        jnp.broadcast_to(cos, n_cos.shape), n_cos / FULL
    )


def _rounded(sin: Any, cos: Any, xp: Any) -> tuple[Any, Any]:
    gain = xp.sqrt(sin**2 + cos**2)
    held = (xp.rint(sin) == sin) & (xp.rint(cos) == cos) & (sin >= 0) & (cos >= 0) & (gain <= FULL)
    smaller = xp.minimum(gain, FULL - 1) / xp.maximum(gain, 1)
    smaller = xp.where(gain > FULL - 1, smaller, 1).astype(sin.dtype)
    inside = xp.maximum(sin * smaller, 1), xp.maximum(cos * smaller, 0)
    return xp.where(held, sin, xp.rint(inside[0])), xp.where(held, cos, xp.rint(inside[1]))
