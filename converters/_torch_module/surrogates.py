"""Spikes in PyTorch: exact forward, the surrogate's derivative backward.

The derivatives are those of `neurojax.surrogate`, where each has its reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from neurojax import surrogate as s

Tensor = Any
Derivative = Callable[[Any, Tensor, Any], Tensor]  # (surrogate, u, threshold) -> g(u)


def spike(u: Tensor, surrogate: s.Surrogate, threshold: Any, strict: bool) -> Tensor:
    """1 where u >= 0 (strict: u > 0), else 0; its derivative is g(u). See `neurojax.surrogate`."""
    return _Spike.apply(u, _tensor_like(threshold, u).detach(), surrogate, strict)


def multi_spike(
    v: Tensor, threshold: Any, surrogate: s.Surrogate, max_spikes: int | None
) -> Tensor:
    """Number of whole thresholds in v, with the derivatives of `neurojax.surrogate.multi_spike`."""
    return _MultiSpike.apply(v, _tensor_like(threshold, v).expand_as(v), surrogate, max_spikes)


class _Spike(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, u: Tensor, threshold: Tensor, surrogate: s.Surrogate, strict: bool
    ) -> Tensor:
        ctx.save_for_backward(u, threshold)
        ctx.surrogate = surrogate
        return (u > 0 if strict else u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> tuple[Tensor, None, None, None]:
        u, threshold = ctx.saved_tensors
        return ct * derivative(ctx.surrogate, u, threshold), None, None, None


class _MultiSpike(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, v: Tensor, threshold: Tensor, surrogate: s.Surrogate, max_spikes: int | None
    ) -> Tensor:
        ctx.save_for_backward(v, threshold)
        ctx.surrogate, ctx.max_spikes = surrogate, max_spikes
        count = torch.where(v > 0, torch.trunc(v / threshold), torch.zeros_like(v))
        return count if max_spikes is None else count.clamp(max=max_spikes)

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> tuple[Tensor, Tensor, None, None]:
        v, threshold = ctx.saved_tensors
        to_v = ct * derivative(ctx.surrogate, v - threshold, threshold)
        return to_v, -to_v * (v / threshold).clamp(1, ctx.max_spikes), None, None


def derivative(surrogate: s.Surrogate, u: Tensor, threshold: Any) -> Tensor:
    """g(u) of a surrogate; 16-bit floats are computed in float32."""
    wide = u.dtype if u.dtype.itemsize >= 4 else torch.float32
    threshold = torch.as_tensor(threshold, device=u.device).to(wide)
    return DERIVATIVES[type(surrogate)](surrogate, u.to(wide), threshold).to(u.dtype)


def _tensor_like(value: Any, like: Tensor) -> Tensor:
    return torch.as_tensor(value, device=like.device).to(like.dtype)


def _logistic_derivative(z: Tensor) -> Tensor:
    return torch.sigmoid(z) * torch.sigmoid(-z)


def _density(u: Tensor, mean: float, sigma: float) -> Tensor:
    return torch.exp(-0.5 * ((u - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))


def _either(condition: Tensor, inside: Any, outside: Any, like: Tensor) -> Tensor:
    return torch.where(condition, _tensor_like(inside, like), _tensor_like(outside, like))


def _multi_gaussian(p: Any, u: Tensor, threshold: Tensor) -> Tensor:
    wide = p.lobe_spread * p.sigma
    lobes = _density(u, p.sigma, wide) + _density(u, -p.sigma, wide)
    centre = _density(u, p.mean, p.sigma)
    return p.scale * ((1 + p.lobe_height) * centre - p.lobe_height * lobes)


def _exponential(p: Any, u: Tensor, threshold: Tensor) -> Tensor:
    width = p.width * threshold
    return p.scale / width * torch.exp(-u.abs() / width)


def _periodic_exponential(p: Any, u: Tensor, threshold: Tensor) -> Tensor:
    phase = u / threshold + 0.5
    above = threshold * (2 * (phase - phase.floor()) - 1)
    return p.scale * torch.exp(-torch.where(u < 0, u, above).abs() / p.width)


def _square_wave(p: Any, u: Tensor, threshold: Tensor) -> Tensor:
    odd = 2 * torch.arange(p.terms, dtype=u.dtype, device=u.device) + 1
    return 4 / p.period * torch.cos((2 * math.pi / p.period * u)[..., None] * odd).sum(-1)


# u is the membrane potential minus the threshold t, p the surrogate with its parameters.
DERIVATIVES: dict[type[s.Surrogate], Derivative] = {
    s.ATan: lambda p, u, t: 0.5 * p.alpha / (1 + (0.5 * math.pi * p.alpha * u) ** 2),
    s.Boxcar: lambda p, u, t: _either(u.abs() < 0.5 * p.width, p.height, 0.0, u),
    s.Circ: lambda p, u, t: (1 + (u / p.alpha) ** 2) ** -1.5,
    s.Erf: lambda p, u, t: (
        p.scale * p.alpha / math.sqrt(math.pi) * torch.exp(-((p.alpha * u) ** 2))
    ),
    s.Exponential: _exponential,
    s.FakeNumericalGradient: lambda p, u, t: p.height / (p.height * u.abs()).clamp(min=1),
    s.FastSigmoid: lambda p, u, t: 1 / (p.slope * u.abs() + 1) ** 2,
    s.Gaussian: lambda p, u, t: p.scale * _density(u, p.mean, p.sigma),
    s.Heaviside: lambda p, u, t: _either(u >= -p.window, 1 / t, 0.0, u),
    s.LeakyKReLU: lambda p, u, t: _either(u >= 0, p.slope, p.leak, u),
    s.LogTailedReLU: lambda p, u, t: _either(u > 0, 1 / u.clamp(min=1), p.leak, u),
    s.MultiGaussian: _multi_gaussian,
    s.NoGradient: lambda p, u, t: torch.zeros_like(u),
    s.NonzeroSignLogAbs: lambda p, u, t: p.alpha / (1 + p.alpha * u.abs()),
    s.PeriodicExponential: _periodic_exponential,
    s.PiecewiseExponential: lambda p, u, t: 0.5 * p.alpha * torch.exp(-p.alpha * u.abs()),
    s.PiecewiseLeakyReLU: lambda p, u, t: _either(u.abs() < p.width, 0.5 / p.width, p.leak, u),
    s.PiecewiseQuadratic: lambda p, u, t: p.alpha * (1 - p.alpha * u.abs()).clamp(min=0),
    s.QPseudoSpike: lambda p, u, t: (1 + 2 / (p.alpha - 1) * u.abs()) ** -p.alpha,
    s.Rect: lambda p, u, t: _either(u.abs() < 0.5 / p.alpha, p.alpha, 0.0, u),
    s.S2NN: lambda p, u, t: torch.where(
        u < 0, p.alpha * _logistic_derivative(p.alpha * u), p.beta / (u.abs() + 1)
    ),
    s.Sigmoid: lambda p, u, t: p.alpha * _logistic_derivative(p.alpha * u),
    s.SnnTorchTriangular: lambda p, u, t: _either(u < 0, p.height, -p.height, u),
    s.SoftSign: lambda p, u, t: 0.5 * p.alpha / (1 + p.alpha * u.abs()) ** 2,
    s.SparseFastSigmoid: lambda p, u, t: _either(
        u > p.cutoff, 1 / (p.slope * u.abs() + 1) ** 2, 0.0, u
    ),
    s.SpikeGate: lambda p, u, t: (u > 0).to(u.dtype),
    s.SpikeRateEscape: lambda p, u, t: p.slope * torch.exp(-p.beta * (u - 1).abs()),
    s.SquareWaveFourier: _square_wave,
    s.StraightThrough: lambda p, u, t: torch.ones_like(u),
    s.SuperSpike: lambda p, u, t: p.scale / (p.alpha * u.abs() + 1) ** 2,
    s.Tanh: lambda p, u, t: 4 * _logistic_derivative(2 * p.alpha * u),
    s.Triangle: lambda p, u, t: p.height * (1 - u.abs() / p.width).clamp(min=0),
}
