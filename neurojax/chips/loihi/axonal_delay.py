"""Axonal delays that are learned."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from neurojax._layer import Layer, Shape
from neurojax.chips.loihi.spec import LARGEST_AXONAL_DELAY
from neurojax.fixed_point import derivative_of
from neurojax.layers._weights import as_weight
from neurojax.layers.delay import Delay


class AxonalDelayState(NamedTuple):
    """What has come in, oldest first."""

    past: Float[Array, longest * shape]


class AxonalDelay(Layer):
    """y[t] = x[t - floor(d) - shift] with a delay d that is trained; zeros come first.

    With d = floor(d) the derivative of the output by the delay is minus the slope of the output, of
    which a difference in time is taken: dy[t] / dd = -(y[t] - y[t - 1]). A delay out of its range
    counts as the limit, and its gradient still passes. Once training is done, `whole` gives the
    `Delay` that the chip has, which takes less memory: this keeps `largest` steps of its input.

    Args:
        delays: One number, or one for each index of the input's first axis (features or channels).
        shift: Whole time steps in addition, such as the one that slayer's blocks take.
        largest: What delays are limited to, in time steps. Without `shift`.

    Raises:
        ValueError: Shapes that do not fit, or steps that are no whole numbers.

    References:
        lava-dl, `slayer.axon.Delay`; S. B. Shrestha and G. Orchard, "SLAYER: spike layer error
        reassignment in time", NeurIPS 2018, https://arxiv.org/abs/1810.08646.

    Example:
        >>> import jax, jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import AxonalDelay
        >>> x = jnp.zeros((5, 1, 1)).at[1].set(1.0)
        >>> late = lambda d: nj.simulate(nj.Sequential((1,), AxonalDelay(d)), x).outputs.ravel()
        >>> d = jnp.array([2.7])
        >>> print(late(d), jax.jacobian(late)(d).ravel())
        [0. 0. 0. 1. 0.] [ 0.  0.  0. -1.  1.]
        >>> AxonalDelay(d, shift=1).whole().steps
        (3,)
    """

    delays: Float[Array, " channels"]
    shift: int = eqx.field(static=True)
    largest: int = eqx.field(static=True)

    def __init__(
        self,
        delays: Float[ArrayLike, " channels"],
        *,
        shift: int = 0,
        largest: int = LARGEST_AXONAL_DELAY,
    ) -> None:
        self.delays = as_weight(delays)
        if self.delays.ndim > 1 or self.delays.size == 0:
            raise ValueError(
                f"AxonalDelay: delays have shape {self.delays.shape}; give one number, or one for "
                "each index of the first axis"
            )
        for name, value in (("shift", shift), ("largest", largest)):
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
                raise ValueError(f"AxonalDelay: {name} is {value!r}; it must be an integer >= 0")
        self.shift, self.largest = int(shift), int(largest)

    def whole(self) -> Delay:
        """The delay in whole steps that this is now. Only outside of jit."""
        steps = np.floor(np.clip(np.asarray(self.delays), 0, self.largest)).astype(int) + self.shift
        return Delay(steps)

    def init(self, in_shape: Shape) -> AxonalDelayState:
        # One step more than the output may take: the gradient takes the one before it.
        return AxonalDelayState(jnp.zeros((self.largest + self.shift + 1, *in_shape)))

    def step(
        self, state: AxonalDelayState, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[AxonalDelayState, Array]:
        del key
        past = jnp.concatenate([state.past, x[None]])
        along = (*self.delays.shape, *(1,) * (x.ndim - 1)) if self.delays.ndim else ()
        delays = self.delays.reshape(along).astype(x.dtype)
        steps = jnp.floor(jnp.clip(lax.stop_gradient(delays), 0, self.largest)).astype(jnp.int32)
        at = jnp.broadcast_to(past.shape[0] - 1 - self.shift - steps, x.shape)[None]
        y = jnp.take_along_axis(past, at, axis=0)[0]
        before = jnp.take_along_axis(lax.stop_gradient(past), at - 1, axis=0)[0]
        falling = before - lax.stop_gradient(y)
        return AxonalDelayState(past[1:]), derivative_of(y + falling * delays, y)

    def out_shape(self, in_shape: Shape) -> Shape:
        if self.delays.size > 1 and in_shape[:1] != self.delays.shape:
            raise ValueError(
                f"AxonalDelay has {self.delays.size} delays along the first axis, got shape "
                f"{in_shape}"
            )
        return tuple(in_shape)

    def describe(self) -> str:
        also = f" + {self.shift}" if self.shift else ""
        return f"AxonalDelay learned{also}, at most {self.largest + self.shift}"
