"""Batch normalisation: y = gamma (x - mean) / sqrt(var + eps) + beta, by channel."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import BATCH_AXIS, Shape, State
from neurojax.layers._inference import Switch, Switchable
from neurojax.layers._weights import as_weight, assemble, positive


class BatchNormState(NamedTuple):
    """Running statistics during a training run, the same for every sample."""

    mean: Float[Array, " channels"]
    var: Float[Array, " channels"]


class BatchNorm(Switchable):
    """Normalises each channel: y = gamma (x - mean) / sqrt(var + eps) + beta.

    In training, mean and variance are those of the batch and the spatial axes *in this time step*,
    and gradients flow through them. The running statistics move towards them in every time step,
    by `momentum`, and live in the state of the run; `network.absorb(run.state)` puts them into the
    layer. In inference the running statistics of the layer are used, and there is no state.

    Running statistics are not trained: their gradient is zero. An optimiser that changes
    parameters without a gradient (weight decay) does no harm if `absorb` comes after its update.

    Args:
        channels: Length of the input's first axis: `(channels, ...)` or `(features,)`.
        eps: Added to the variance.
        momentum: Weight of the newest statistics in the running ones (PyTorch's convention).
        affine: Whether there are trainable gamma (`weight`) and beta (`bias`).
        inference: See above; `equinox.nn.inference_mode` sets it.
        dtype: Floating-point type of the parameters.

    References:
        S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015. As in PyTorch, the variance that
        normalises is the biased one, the running variance takes the unbiased one.
    """

    buffers: ClassVar[tuple[str, ...]] = ("running_mean", "running_var")

    weight: Float[Array, " channels"] | None
    bias: Float[Array, " channels"] | None
    running_mean: Float[Array, " channels"]
    running_var: Float[Array, " channels"]
    eps: float = eqx.field(static=True)
    momentum: float = eqx.field(static=True)

    def __init__(
        self,
        channels: int,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = True,
        inference: bool = False,
        dtype: Any = jnp.float32,
    ) -> None:
        shape = (positive("BatchNorm: channels", channels),)
        _check_options(eps, momentum)
        self.weight = jnp.ones(shape, dtype) if affine else None
        self.bias = jnp.zeros(shape, dtype) if affine else None
        self.running_mean = jnp.zeros(shape, dtype)
        self.running_var = jnp.ones(shape, dtype)
        self.eps = float(eps)
        self.momentum = float(momentum)
        self.switch = Switch(inference)

    @classmethod
    def from_weights(
        cls,
        weight: Any,
        bias: Any,
        running_mean: Any,
        running_var: Any,
        *,
        eps: float = 1e-5,
        momentum: float = 0.1,
        inference: bool = False,
    ) -> BatchNorm:
        """A layer with given parameters, `(channels,)` each; `weight` and `bias` may be None."""
        _check_options(eps, momentum)
        arrays = {
            "weight": weight,
            "bias": bias,
            "running_mean": running_mean,
            "running_var": running_var,
        }
        arrays = {n: None if a is None else as_weight(a) for n, a in arrays.items()}
        shapes = {n: a.shape for n, a in arrays.items() if a is not None}
        if len(set(shapes.values())) != 1 or len(shapes["running_mean"]) != 1:
            raise ValueError(f"BatchNorm: the parameters must be (channels,) each, got {shapes}")
        return assemble(cls, **arrays, eps=eps, momentum=momentum, switch=Switch(inference))

    @property
    def channels(self) -> int:
        """Number of channels."""
        return self.running_mean.shape[-1]

    def init(self, in_shape: Shape) -> BatchNormState | None:
        del in_shape
        return None if self.inference else BatchNormState(self.running_mean, self.running_var)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        # Statistics of 16-bit floats are taken in 32 bits: a sum of squares would lose too much.
        wide = x.astype(jnp.promote_types(x.dtype, jnp.float32))
        if self.inference:
            mean = jax.lax.stop_gradient(self.running_mean)
            var = jax.lax.stop_gradient(self.running_var)
        else:
            mean, var, state = self._statistics(state, wide)
        scale = jax.lax.rsqrt(var + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        y = (wide - _along(mean, wide)) * _along(scale, wide)
        if self.bias is not None:
            y = y + _along(self.bias, wide)
        return state, y.astype(x.dtype)

    def _statistics(self, state: BatchNormState, x: Array) -> tuple[Array, Array, BatchNormState]:
        space = tuple(range(1, x.ndim))
        mean = jax.lax.pmean(x.mean(space), BATCH_AXIS)
        var = jax.lax.pmean(((x - _along(mean, x)) ** 2).mean(space), BATCH_AXIS)
        count = jax.lax.psum(1, BATCH_AXIS) * math.prod(x.shape[1:])
        unbiased = var * (count / max(count - 1, 1))

        def moved(old: Array, new: Array) -> Array:
            new = (1 - self.momentum) * old + self.momentum * new
            return jax.lax.stop_gradient(new).astype(old.dtype)

        return mean, var, BatchNormState(moved(state.mean, mean), moved(state.var, unbiased))

    def absorb(self, state: State) -> BatchNorm:
        """The layer with the running statistics of a run's final state."""
        if state is None:
            return self
        # Batch first, and the same for every sample.
        new = tuple(
            jax.lax.stop_gradient(running[0]).astype(old.dtype)
            for running, old in zip(state, (self.running_mean, self.running_var), strict=True)
        )
        return eqx.tree_at(lambda b: (b.running_mean, b.running_var), self, new)

    def out_shape(self, in_shape: Shape) -> Shape:
        if not in_shape or in_shape[0] != self.channels:
            raise ValueError(f"BatchNorm takes {self.channels} channels, got shape {in_shape}")
        return tuple(in_shape)

    def describe(self) -> str:
        return f"BatchNorm {self.channels}"


def _along(values: Array, x: Array) -> Array:
    """One value a channel, with the axes of `x`."""
    return values.reshape(-1, *(1,) * (x.ndim - 1))


def _check_options(eps: float, momentum: float) -> None:
    if eps < 0:
        raise ValueError(f"BatchNorm: eps is {eps!r}; it must be >= 0")
    if not 0 <= momentum <= 1:
        raise ValueError(f"BatchNorm: momentum is {momentum!r}; it must be in [0, 1]")
