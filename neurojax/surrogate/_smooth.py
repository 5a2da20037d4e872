"""Surrogates that fall off smoothly: g(u) with u = membrane potential - threshold."""

import dataclasses
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ._spike import Surrogate, positive


def _logistic_derivative(z: Array) -> Array:
    # s(z) s(-z) and not s(z) (1 - s(z)): the latter cancels for large z.
    return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)


def _normal_density(u: Array, mean: float, sigma: float) -> Array:
    return jnp.exp(-0.5 * ((u - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


@dataclasses.dataclass(frozen=True)
class SuperSpike(Surrogate):
    """g(u) = scale / (alpha |u| + 1)^2.

    Norse's method "super" ignores its alpha: what it computes is `SuperSpike(alpha=1)`.

    References:
        F. Zenke and S. Ganguli, "SuperSpike: supervised learning in multilayer spiking neural
        networks", Neural Computation 30(6), 2018, https://arxiv.org/abs/1705.11146.
    """

    alpha: float = positive(10.0)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.scale / (self.alpha * jnp.abs(u) + 1) ** 2


@dataclasses.dataclass(frozen=True)
class FastSigmoid(Surrogate):
    """g(u) = 1 / (slope |u| + 1)^2, the derivative of u / (1 + slope |u|).

    References:
        snnTorch, `fast_sigmoid`; Zenke and Ganguli (2018), see `SuperSpike`.
    """

    slope: float = positive(25.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return 1 / (self.slope * jnp.abs(u) + 1) ** 2


@dataclasses.dataclass(frozen=True)
class SoftSign(Surrogate):
    """g(u) = (alpha / 2) / (1 + alpha |u|)^2.

    References:
        SpikingJelly, `SoftSign`, there written 1 / (2 alpha (1 / alpha + |u|)^2).
    """

    alpha: float = positive(2.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return 0.5 * self.alpha / (1 + self.alpha * jnp.abs(u)) ** 2


@dataclasses.dataclass(frozen=True)
class Sigmoid(Surrogate):
    """g(u) = alpha s(alpha u) (1 - s(alpha u)) with the logistic function s.

    References:
        SpikingJelly, `Sigmoid` (alpha 4, the default of its neurons); snnTorch, `sigmoid` (alpha
        25).
    """

    alpha: float = positive(4.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.alpha * _logistic_derivative(self.alpha * u)


@dataclasses.dataclass(frozen=True)
class ATan(Surrogate):
    """g(u) = (alpha / 2) / (1 + (pi alpha u / 2)^2).

    References:
        W. Fang et al., "Incorporating learnable membrane time constant to enhance learning of
        spiking neural networks", ICCV 2021, https://arxiv.org/abs/2007.05785; SpikingJelly, `ATan`;
        snnTorch, `atan` (its default).
    """

    alpha: float = positive(2.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return 0.5 * self.alpha / (1 + (0.5 * math.pi * self.alpha * u) ** 2)


@dataclasses.dataclass(frozen=True)
class Tanh(Surrogate):
    """g(u) = 1 - tanh(alpha u)^2.

    References:
        Norse, method "tanh".
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return 4 * _logistic_derivative(2 * self.alpha * u)


@dataclasses.dataclass(frozen=True)
class Circ(Surrogate):
    """g(u) = alpha^3 / (alpha^2 + u^2)^(3/2).

    References:
        Norse, method "circ".
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        w = 1 + (u / self.alpha) ** 2
        return 1 / (w * jnp.sqrt(w))


@dataclasses.dataclass(frozen=True)
class Erf(Surrogate):
    """g(u) = scale (alpha / sqrt(pi)) exp(-(alpha u)^2): the derivative of an error function.

    References:
        SpikingJelly, `Erf`. Norse's method "heavi_erfc" has the height 2 / sqrt(pi): `scale=2 /
        alpha`.
    """

    alpha: float = positive(2.0)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.scale * self.alpha / math.sqrt(math.pi) * jnp.exp(-((self.alpha * u) ** 2))


@dataclasses.dataclass(frozen=True)
class Gaussian(Surrogate):
    """g(u) = scale N(u; mean, sigma), N being the density of the normal distribution.

    References:
        sinabs, `Gaussian`.
    """

    mean: float = 0.0
    sigma: float = positive(0.5)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.scale * _normal_density(u, self.mean, self.sigma)


@dataclasses.dataclass(frozen=True)
class MultiGaussian(Surrogate):
    """A Gaussian with two shallow negative side lobes.

    g(u) = scale ((1 + h) N(u; mean, sigma) - h N(u; sigma, s sigma) - h N(u; -sigma, s sigma)) with
    h = `lobe_height` and s = `lobe_spread`. The lobes sit around the threshold whatever `mean` is.

    References:
        B. Yin, F. Corradi and S. M. Bohte, "Accurate and efficient time-domain classification with
        adaptive spiking recurrent neural networks", Nature Machine Intelligence 3, 2021,
        https://arxiv.org/abs/2103.12593; sinabs, `MultiGaussian`.
    """

    mean: float = 0.0
    sigma: float = positive(0.5)
    lobe_height: float = 0.15
    lobe_spread: float = positive(6.0)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        wide = self.lobe_spread * self.sigma
        lobes = _normal_density(u, self.sigma, wide) + _normal_density(u, -self.sigma, wide)
        centre = _normal_density(u, self.mean, self.sigma)
        return self.scale * ((1 + self.lobe_height) * centre - self.lobe_height * lobes)


@dataclasses.dataclass(frozen=True)
class Exponential(Surrogate):
    """g(u) = scale / w exp(-|u| / w) with a width in thresholds, w = width threshold.

    lava-dl's slayer has scale_grad 0.1 / (2 w) exp(-|u| / w) with w = 100 tau_grad threshold:
    `Exponential(width=100 * tau_grad, scale=0.05 * scale_grad)`, or
    `by_name("slayer.exponential", tau_grad=..., scale_grad=...)`.

    References:
        S. B. Shrestha and G. Orchard, "SLAYER: spike layer error reassignment in time", NeurIPS
        2018, https://arxiv.org/abs/1810.08646; sinabs, `SingleExponential` (its default).
    """

    width: float = positive(0.5)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        width = self.width * threshold
        return self.scale / width * jnp.exp(-jnp.abs(u) / width)


@dataclasses.dataclass(frozen=True)
class PiecewiseExponential(Surrogate):
    """g(u) = (alpha / 2) exp(-alpha |u|).

    References:
        SpikingJelly, `PiecewiseExp`; Shrestha and Orchard (2018), see `Exponential`.
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return 0.5 * self.alpha * jnp.exp(-self.alpha * jnp.abs(u))


@dataclasses.dataclass(frozen=True)
class PeriodicExponential(Surrogate):
    """g = scale exp(-|p| / width): an exponential bump at every multiple of the threshold.

    Below the threshold p = u. Above it p = threshold (2 frac(v / threshold - 1/2) - 1), which is 0
    at each multiple of the threshold and runs from -threshold to threshold between two midpoints:
    the bumps above are half as wide as the slope below. Meant for `multi_spike`.

    References:
        P. Weidel and S. Sheik, "WaveSense: efficient temporal convolutions with spiking neural
        networks for keyword spotting", 2021, https://arxiv.org/abs/2111.01456; sinabs,
        `PeriodicExponential`.
    """

    width: float = positive(0.5)
    scale: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        phase = u / threshold + 0.5
        above = threshold * (2 * (phase - jnp.floor(phase)) - 1)
        return self.scale * jnp.exp(-jnp.abs(jnp.where(u < 0, u, above)) / self.width)


@dataclasses.dataclass(frozen=True)
class SpikeRateEscape(Surrogate):
    """g(u) = slope exp(-beta |u - 1|).

    The peak is one unit *above* the threshold: snnTorch passes the membrane potential with the
    threshold already subtracted to a formula that subtracts 1 again. For a peak at the threshold
    use `PiecewiseExponential` or `Exponential`.

    References:
        snnTorch, `spike_rate_escape`; W. Gerstner and W. Kistler, "Spiking neuron models", 2002,
        chapter 5.
    """

    beta: float = positive(1.0)
    slope: float = 25.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.slope * jnp.exp(-self.beta * jnp.abs(u - 1))


@dataclasses.dataclass(frozen=True)
class NonzeroSignLogAbs(Surrogate):
    """g(u) = 1 / (1 / alpha + |u|), the derivative of sign(u) log(1 + alpha |u|).

    References:
        SpikingJelly, `NonzeroSignLogAbs`.
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.alpha / (1 + self.alpha * jnp.abs(u))


@dataclasses.dataclass(frozen=True)
class QPseudoSpike(Surrogate):
    """g(u) = (1 + 2 |u| / (alpha - 1))^-alpha, alpha > 1.

    References:
        J. Herranz-Celotti and J. Rouat, "Surrogate gradients design", 2022,
        https://arxiv.org/abs/2202.00282; SpikingJelly, `QPseudoSpike`.
    """

    alpha: float = 2.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha <= 1:
            raise ValueError(
                f"QPseudoSpike: alpha is {self.alpha:g}; it must be greater than 1, because the "
                "formula divides by alpha - 1."
            )

    def shape(self, u: Array, threshold: Array) -> Array:
        return (1 + 2 / (self.alpha - 1) * jnp.abs(u)) ** -self.alpha


@dataclasses.dataclass(frozen=True)
class S2NN(Surrogate):
    """g(u) = alpha s(alpha u) (1 - s(alpha u)) below the threshold, beta / (u + 1) from it on.

    References:
        K. Suetake et al., "S2NN: time step reduction of spiking surrogate gradients for training
        energy efficient single-step neural networks", 2022, https://arxiv.org/abs/2201.10879;
        SpikingJelly, `S2NN`.
    """

    alpha: float = positive(4.0)
    beta: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        # |u| in the branch that is not taken keeps its pole at -1 out of the second derivative.
        below = self.alpha * _logistic_derivative(self.alpha * u)
        return jnp.where(u < 0, below, self.beta / (jnp.abs(u) + 1))


@dataclasses.dataclass(frozen=True)
class SquareWaveFourier(Surrogate):
    """g(u) = (4 / period) sum over i = 1..terms of cos((2 i - 1) 2 pi u / period).

    The derivative of the Fourier series of a square wave. SpikingJelly stops one term early: its
    n = 2 is `SquareWaveFourier(terms=1)`.

    References:
        SpikingJelly, `SquarewaveFourierSeries`.
    """

    terms: int = 2
    period: float = positive(8.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.terms != int(self.terms) or self.terms < 1:
            raise ValueError(f"SquareWaveFourier: terms is {self.terms:g}; it must be 1, 2, 3...")
        object.__setattr__(self, "terms", int(self.terms))

    def shape(self, u: Array, threshold: Array) -> Array:
        base = 2 * math.pi / self.period * u
        odd = 2 * jnp.arange(self.terms, dtype=u.dtype) + 1
        return 4 / self.period * jnp.cos(base[..., None] * odd).sum(-1)
