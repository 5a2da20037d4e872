"""Spikes of a resonator: once a turn, where its phase passes zero, if it is strong enough.

    s[t] = 1 if re[t] >= threshold and im[t] >= 0 and im[t - 1] < 0

As a distribution that is H(re - threshold) delta(im) with a step H. Its derivatives are
delta(re - threshold) delta(im) and H(re - threshold) delta'(im).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from neurojax.fixed_point import derivative_of
from neurojax.surrogate import Surrogate


@dataclasses.dataclass(frozen=True)
class PhaseExponential(Surrogate):
    """Derivatives of a resonator's spike, with a delta of finite width.

    With delta(u) = exp(-|u| / w) / (2 w), w = width threshold, and H(u) its integral:

        ds / d re = scale delta(re - threshold) delta(im)
        ds / d im = -scale / w sign(im) delta(im) H(re - threshold)

    On a neuron whose unit is k steps, `scale` is to be k times as large for the same training;
    `width` is relative to the threshold and stays.

    Args:
        width: Of delta, in thresholds. slayer: 0.5 tau_grad for RF, 100 tau_grad for AdRF.
        scale: slayer: 10 scale_grad for RF, 0.1 scale_grad for AdRF.

    References:
        lava-dl, `slayer.spike.complex`; S. B. Shrestha and G. Orchard, "SLAYER: spike layer error
        reassignment in time", NeurIPS 2018, https://arxiv.org/abs/1810.08646 (the exponential).
    """

    width: float = dataclasses.field(default=0.5, metadata={"positive": True})
    scale: float = 10.0

    def shape(self, u: Array, threshold: Array) -> Array:
        width = self.width * threshold
        return jnp.exp(-jnp.abs(u) / width) / (2 * width)

    def slopes(
        self,
        above: Float[Array, "*shape"],
        im: Float[Array, "*shape"],
        threshold: Float[Array, "*#shape"],
        *,
        graded: bool = False,
    ) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
        """Derivatives of a spike to the real and the imaginary part.

        Args:
            above: Real part minus what it is compared with.
            im: Imaginary part.
            threshold: Base threshold, which the width is relative to.
            graded: The spike has the value of the real part. Then, as in slayer, delta(above) is
                exp(min(above, 0) / w) in both formulas.
        """
        width = self.width * threshold
        at_phase = self.shape(im, threshold)
        at_level = (
            jnp.exp(jnp.minimum(above, 0) / width) if graded else self.shape(above, threshold)
        )
        passed = 0.5 * (1 + jnp.sign(above) * (1 - 2 * width * at_level))
        to_im = -self.scale / width * jnp.sign(im) * at_phase * passed
        return self.scale * at_level * at_phase, to_im


def phase_spikes(
    passed: Bool[Array, "*shape"],
    re: Array,
    im: Array,
    above: Array,
    surrogate: PhaseExponential,
    threshold: Any,
    *,
    graded: bool,
) -> Array:
    """1, or the real part, where `passed`, else 0, with the derivatives of `surrogate.slopes`."""
    stopped = lax.stop_gradient((above, im, jnp.asarray(threshold, re.dtype)))
    to_re, to_im = surrogate.slopes(*stopped, graded=graded)
    if graded:
        return derivative_of(to_re * re + to_im * im, jnp.where(passed, re, 0))
    return derivative_of(to_re * above + to_im * im, passed.astype(re.dtype))


def check_phase(what: str, surrogate: Any) -> None:
    if not isinstance(surrogate, PhaseExponential):
        raise TypeError(
            f"{what} is {surrogate!r}; a spike at a phase has two derivatives, use a "
            "PhaseExponential(width, scale)"
        )
