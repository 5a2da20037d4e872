"""Normalisation that a chip can do: subtract a quantised mean, shift by a whole number of bits."""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from neurojax._layer import BATCH_AXIS, Shape, State
from neurojax.chips.loihi.quantise import LARGEST, quantise_8bit
from neurojax.layers._inference import Switch, Switchable


class ShiftNormState(NamedTuple):
    """Running statistics during a training run, the same for every sample."""

    mean: Float[Array, " channels"]
    var: Float[Array, " 1"] | None


class ShiftNorm(Switchable):
    """y = (x - q(mean)) / 2^k, where 2^k is the standard deviation rounded up.

    k is the logarithm of sqrt(var + eps), rounded up and limited to ±`exponent_bits`; q is
    `quantise_8bit`. Mean and variance are no parameters.

    In inference, which is the default, they are the recorded ones. With `inference=False` they are
    those of the batch and the spatial axes *in this time step*, as in SpikingJelly, and gradients
    flow through the mean. The running statistics move towards them in every time step and live in
    the state of the run; `network.absorb(run.state)` puts them into the layer. Inside a `CUBA` they
    are in that neuron's state; other neurons give the layer no state, and they are not kept.

    slayer takes the statistics of the whole sequence, which no step of a run can know. `trained`
    does that to recorded currents, which don't depend on the spikes behind them:

        currents = nj.simulate(up_to_the_current, x, probes=["n.i"])["n.i"]
        y, norm = norm.trained(currents, axis=2)
        spikes = nj.simulate(nj.Sequential(shape, n=CUBA(current_decay=1.0, ...)), y).outputs

    Args:
        mean: One number a channel (first axis of the input). Peers start at 0.
        var: One number, the variance of all inputs, which peers start at 0, too; None: the mean is
            subtracted, no shift.
        eps: Added to the variance.
        exponent_bits: Largest shift, to both sides.
        scale: Steps of the mean per unit, see `quantise_8bit`; None: the mean is not quantised.
        largest: See `quantise_8bit`.
        momentum: Weight of the newest statistics in the running ones.
        inference: See above; `equinox.nn.inference_mode` sets it.

    References:
        lava-dl, `slayer.neuron.norm.MeanOnlyBatchNorm` (without `var`) and `WgtScaleBatchNorm`;
        SpikingJelly, `lava_exchange.BatchNorm2d`. The variance is biased, about the mean of all
        channels; the running variance takes n / (n + 1) of it, with n inputs a channel.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.loihi import ShiftNorm
        >>> norm = ShiftNorm(jnp.array([0.5]), jnp.array([3.0]))
        >>> print(norm.step(None, jnp.array([4.5]))[1])
        [2.]
    """

    mean: Float[Array, " channels"]
    var: Float[Array, " 1"] | None
    eps: float = eqx.field(static=True)
    exponent_bits: int = eqx.field(static=True)
    scale: float | None = eqx.field(static=True)
    largest: int = eqx.field(static=True)
    momentum: float = eqx.field(static=True)

    buffers: ClassVar[tuple[str, ...]] = ("mean", "var")

    def __init__(
        self,
        mean: Any,
        var: Any = None,
        *,
        eps: float = 1e-5,
        exponent_bits: int = 3,
        scale: float | None = 64,
        largest: int = LARGEST,
        momentum: float = 0.1,
        inference: bool = True,
    ) -> None:
        self.mean = jnp.asarray(mean, jnp.float32).reshape(-1)
        self.var = None if var is None else jnp.asarray(var, jnp.float32).reshape(1)
        self.eps, self.exponent_bits = float(eps), int(exponent_bits)
        self.scale, self.largest = scale, int(largest)
        if not 0 <= momentum <= 1:
            raise ValueError(f"ShiftNorm: momentum is {momentum!r}; it must be in [0, 1]")
        self.momentum = float(momentum)
        self.switch = Switch(inference)

    @property
    def exponent(self) -> Float[Array, " 1"]:
        """k: by how many bits the input is shifted to the right."""
        return self._exponent(self.var)

    @property
    def offset(self) -> Float[Array, " channels"]:
        """q(mean): what is subtracted."""
        return self._offset(self.mean)

    def init(self, in_shape: Shape) -> ShiftNormState | None:
        del in_shape
        return None if self.inference else ShiftNormState(self.mean, self.var)

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        if self.inference:
            return state, self._normalised(x, jax.lax.stop_gradient(self.mean), self.var, 0)
        mean = jax.lax.pmean(x.mean(self._inner(x.ndim, 0)), BATCH_AXIS)
        var = None
        if self.var is not None:
            middle = jax.lax.pmean(x.mean(), BATCH_AXIS)
            var = jax.lax.pmean(((x - middle) ** 2).mean(), BATCH_AXIS).reshape(1)
        if state is not None:
            count = jax.lax.psum(1, BATCH_AXIS) * math.prod(x.shape[1:])
            state = self._moved(state, mean, var, count)
        return state, self._normalised(x, mean, var, 0)

    def trained(
        self, x: Float[Array, "*shape"], *, axis: int
    ) -> tuple[Float[Array, "*shape"], ShiftNorm]:
        """Training with the statistics of all the inputs at once, as in slayer.

        Args:
            x: Inputs of any number of samples and steps.
            axis: Of the channels: 2 for `[time, batch, channels, ...]`.

        Returns:
            The normalised inputs, with gradients through the mean, and the layer with the running
            statistics that follow.
        """
        self.out_shape((x.shape[axis],))
        mean = x.mean(self._inner(x.ndim, axis)).reshape(-1)
        var = None if self.var is None else ((x - x.mean()) ** 2).mean().reshape(1)
        count = x.size // x.shape[axis]
        moved = self._moved(ShiftNormState(self.mean, self.var), mean, var, count)
        return self._normalised(x, mean, var, axis), self._with(moved)

    def absorb(self, state: State) -> ShiftNorm:
        """The layer with the running statistics of a run's final state."""
        # Batch first, and the same for every sample.
        return self if state is None else self._with(jax.tree.map(lambda s: s[0], state))

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.mean.size not in (1, in_shape[0] if in_shape else 1):
            raise ValueError(
                f"ShiftNorm has the mean of {self.mean.size} channels, got shape {in_shape}"
            )
        return tuple(in_shape)

    def describe(self) -> str:
        return "ShiftNorm" if self.var is not None else "ShiftNorm, mean only"

    def _inner(self, ndim: int, axis: int) -> tuple[int, ...]:
        """The axes that share a mean."""
        return tuple(i for i in range(ndim) if self.mean.size == 1 or i != axis % ndim)

    def _normalised(self, x: Array, mean: Array, var: Array | None, axis: int) -> Array:
        offset = self._offset(mean).reshape(-1, *(1,) * (x.ndim - 1 - axis % max(x.ndim, 1)))
        # ldexp keeps the power exact; exp2 is not, on every device.
        power = jnp.ldexp(jnp.float32(1), -self._exponent(var).astype(jnp.int32))
        return (x - offset) * power.reshape((1,) * x.ndim)

    def _offset(self, mean: Array) -> Array:
        if self.scale is None:
            return mean
        return quantise_8bit(mean, scale=self.scale, largest=self.largest)

    def _exponent(self, var: Array | None) -> Float[Array, " 1"]:
        if var is None:
            return jnp.zeros(1)
        deviation = jnp.sqrt(jax.lax.stop_gradient(var) + jnp.float32(self.eps))
        # frexp instead of log2, which rounds: deviation = mantissa 2^power, mantissa in [0.5, 1).
        mantissa, power = jnp.frexp(deviation)
        up = power - (mantissa == 0.5).astype(power.dtype)
        return jnp.clip(up, -self.exponent_bits, self.exponent_bits).astype(jnp.float32)

    def _moved(
        self, running: ShiftNormState, mean: Array, var: Array | None, count: int
    ) -> ShiftNormState:
        new = (mean.reshape(-1), None if var is None else var * (count / (count + 1)))
        moved = jax.tree.map(
            lambda old, new: (1 - self.momentum) * old + self.momentum * new, tuple(running), new
        )
        return ShiftNormState(*jax.lax.stop_gradient(moved))

    def _with(self, running: ShiftNormState) -> ShiftNorm:
        running = jax.lax.stop_gradient(running)
        if self.var is None:
            return eqx.tree_at(lambda n: n.mean, self, running.mean)
        return eqx.tree_at(lambda n: (n.mean, n.var), self, tuple(running))
