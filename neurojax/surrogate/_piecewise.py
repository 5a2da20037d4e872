"""Surrogates made of straight pieces: g(u) with u = membrane potential - threshold."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array

from ._spike import Surrogate, positive


@dataclasses.dataclass(frozen=True)
class Triangle(Surrogate):
    """g(u) = height max(0, 1 - |u| / width): zero from `width` on, on both sides.

    References:
        S. K. Esser et al., "Convolutional networks for fast, energy-efficient neuromorphic
        computing", PNAS 113(41), 2016, https://arxiv.org/abs/1603.08270; G. Bellec et al., "Long
        short-term memory and learning-to-learn in networks of spiking neurons", 2018 (height 0.3),
        https://arxiv.org/abs/1803.09574; Norse, method "triangle" (height alpha).
    """

    width: float = positive(1.0)
    height: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.height * jnp.maximum(1 - jnp.abs(u) / self.width, 0)


@dataclasses.dataclass(frozen=True)
class PiecewiseQuadratic(Surrogate):
    """g(u) = max(0, alpha - alpha^2 |u|): the derivative of a step made of two parabolas.

    References:
        SpikingJelly, `PiecewiseQuadratic`; Esser et al. (2016), see `Triangle`.
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.alpha * jnp.maximum(1 - self.alpha * jnp.abs(u), 0)


@dataclasses.dataclass(frozen=True)
class Boxcar(Surrogate):
    """g(u) = height where |u| < width / 2, else 0; the edges are outside.

    References:
        Y. Wu et al., "Spatio-temporal backpropagation for training high-performance spiking neural
        networks", 2018, https://arxiv.org/abs/1706.02609.
    """

    width: float = positive(1.0)
    height: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(jnp.abs(u) < 0.5 * self.width, self.height, 0.0).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class Rect(Surrogate):
    """g(u) = alpha where |u| < 1 / (2 alpha), else 0: a boxcar of area 1, the edges outside.

    References:
        SpikingJelly, `Rect`; Wu et al. (2018), see `Boxcar`.
    """

    alpha: float = positive(1.0)

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(jnp.abs(u) < 0.5 / self.alpha, self.alpha, 0.0).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class StraightThrough(Surrogate):
    """g(u) = 1: the derivative passes as if the spike were the membrane potential.

    References:
        Y. Bengio, N. Leonard and A. Courville, "Estimating or propagating gradients through
        stochastic neurons for conditional computation", 2013, https://arxiv.org/abs/1308.3432;
        snnTorch, `straight_through_estimator`; SpikingJelly, `DeterministicPass`.
    """

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.ones_like(u)


@dataclasses.dataclass(frozen=True)
class NoGradient(Surrogate):
    """g(u) = 0: the derivative of the step itself. Nothing is learned through such a spike.

    References:
        Norse, method "heaviside".
    """

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.zeros_like(u)


@dataclasses.dataclass(frozen=True)
class Heaviside(Surrogate):
    """g = 1 / threshold where u >= -window, else 0: pass everything that came near the threshold.

    The window is in units of the membrane potential (not of the threshold).

    References:
        sinabs, `Heaviside`.
    """

    window: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(u >= -self.window, 1 / threshold, 0.0).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class SpikeGate(Surrogate):
    """g(u) = 1 where u > 0, else 0: the spike gates its own gradient.

    References:
        snnTorch, `heaviside`.
    """

    def shape(self, u: Array, threshold: Array) -> Array:
        return (u > 0).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class LeakyKReLU(Surrogate):
    """g(u) = slope where u >= 0, `leak` below.

    References:
        SpikingJelly, `LeakyKReLU` (its k is `slope`).
    """

    leak: float = 0.0
    slope: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(u >= 0, self.slope, self.leak).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class PiecewiseLeakyReLU(Surrogate):
    """g(u) = 1 / (2 width) where |u| < width, `leak` elsewhere: a boxcar with a floor.

    References:
        SpikingJelly, `PiecewiseLeakyReLU` (its w and c).
    """

    width: float = positive(1.0)
    leak: float = 0.01

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(jnp.abs(u) < self.width, 0.5 / self.width, self.leak).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class LogTailedReLU(Surrogate):
    """g(u) = leak where u <= 0, 1 up to u = 1, 1 / u from there on.

    References:
        SpikingJelly, `LogTailedReLU` (its alpha is `leak`); Z. Cai et al., "Deep learning with low
        precision by half-wave Gaussian quantization", CVPR 2017, https://arxiv.org/abs/1702.00953.
    """

    leak: float = 0.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(u > 0, 1 / jnp.maximum(u, 1), self.leak).astype(u.dtype)


@dataclasses.dataclass(frozen=True)
class FakeNumericalGradient(Surrogate):
    """g(u) = min(1 / |u|, height): the slope from -1 or 1 to the origin, limited.

    SpikingJelly gives -infinity at -0.0; both zeros give `height` here.

    References:
        SpikingJelly, `FakeNumericalGradient` (its alpha is `height`).
    """

    height: float = positive(0.3)

    def shape(self, u: Array, threshold: Array) -> Array:
        return self.height / jnp.maximum(self.height * jnp.abs(u), 1)


@dataclasses.dataclass(frozen=True)
class SparseFastSigmoid(Surrogate):
    """g(u) = 1 / (slope |u| + 1)^2 where u > cutoff, else 0.

    References:
        N. Perez-Nieves and D. F. M. Goodman, "Sparse spiking gradient descent", NeurIPS 2021,
        https://arxiv.org/abs/2105.08810; snnTorch, `SFS` (its B is `cutoff`).
    """

    slope: float = positive(25.0)
    cutoff: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(u > self.cutoff, 1 / (self.slope * jnp.abs(u) + 1) ** 2, 0)


@dataclasses.dataclass(frozen=True)
class SnnTorchTriangular(Surrogate):
    """g(u) = height where u < 0, -height where u >= 0: what snnTorch calls `triangular`.

    No triangle, and its sign is wrong above the threshold. Only for reproducing results of
    snnTorch; use `Triangle`.

    References:
        snnTorch 1.0, `triangular` (its threshold is `height`).
    """

    height: float = 1.0

    def shape(self, u: Array, threshold: Array) -> Array:
        return jnp.where(u < 0, self.height, -self.height).astype(u.dtype)
