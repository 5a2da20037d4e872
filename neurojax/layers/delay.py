"""Axonal delays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, State
from neurojax.layers._weights import short


class DelayState(NamedTuple):
    """What has come in, oldest first."""

    past: Float[Array, longest * shape]


class Delay(Layer):
    """Hands its input on some time steps later; zeros come first.

    Args:
        steps: Number of time steps >= 0, or one number for each index of the input's first axis
            (features or channels). They are part of the definition, not trainable.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> net = nj.Sequential((2,), nj.layers.Delay((1, 2)))
        >>> x = jnp.arange(1.0, 5.0)[:, None, None] * jnp.ones(2)
        >>> print(nj.simulate(net, x).outputs[:, 0])
        [[0. 0.]
         [1. 0.]
         [2. 1.]
         [3. 2.]]
    """

    steps: int | tuple[int, ...] = eqx.field(static=True)

    def __init__(self, steps: int | Sequence[int] | Int[np.ndarray, " features"]) -> None:
        values = np.asarray(steps)
        if values.ndim > 1 or values.size == 0 or values.dtype.kind not in "iu" or values.min() < 0:
            raise ValueError(
                f"Delay: steps is {steps!r}; it must be an integer >= 0 or a list of those"
            )
        self.steps = int(values) if values.ndim == 0 else tuple(int(n) for n in values)

    @property
    def longest(self) -> int:
        """The longest delay, in time steps."""
        return self.steps if isinstance(self.steps, int) else max(self.steps)

    def init(self, in_shape: Shape) -> DelayState | None:
        return DelayState(jnp.zeros((self.longest, *in_shape))) if self.longest else None

    def step(
        self, state: State, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[State, Array]:
        del key
        if state is None:
            return None, x
        # A shift register: a ring would need an index in the state, so a gather for each sample.
        past = jnp.concatenate([state.past, x[None]])
        if isinstance(self.steps, int):
            y = past[0]
        else:
            y = past[self.longest - np.array(self.steps), np.arange(len(self.steps))]
        return DelayState(past[1:]), y

    def out_shape(self, in_shape: Shape) -> Shape:
        if isinstance(self.steps, tuple) and in_shape[:1] != (len(self.steps),):
            raise ValueError(
                f"Delay has {len(self.steps)} delays along the first axis, got shape {in_shape}"
            )
        return tuple(in_shape)

    def describe(self) -> str:
        if isinstance(self.steps, int):
            return f"Delay {self.steps}"
        if len(set(self.steps)) == 1:
            return f"Delay {short(self.steps)}"
        return f"Delay {min(self.steps)}..{max(self.steps)}"
