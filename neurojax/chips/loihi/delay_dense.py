"""Dense synapses that each have a delay of their own."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, ArrayLike, Float, Int, PRNGKeyArray

from neurojax._layer import Layer, Shape, check_shape
from neurojax.layers._weights import as_weight

LARGEST_DELAY = 63
"""Time steps that a synapse can wait [Lava, `DelayDense`]."""


class DelayDenseState(NamedTuple):
    """What has come in, oldest first."""

    past: Float[Array, "longest in"]


class DelayDense(Layer):
    """y_o[t] = sum over i of w_oi x_i[t - d_oi]; nothing came before the first step.

    The same for weights in the user's unit and, inside a `Synapse`, for the chip's integers. A step
    is one product for all the different delays, so few different ones are fast.

    Args:
        weight: `(out, in)`.
        delays: Whole time steps, 0 to 63, of the same shape; no parameter.

    Raises:
        ValueError: Shapes that differ, or delays that are no integers of that range.

    References:
        Lava, `lava.proc.dense.process.DelayDense`, whose output is one step later.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.loihi import DelayDense
        >>> net = nj.Sequential((2,), DelayDense(jnp.array([[1.0, 10.0]]), [[0, 2]]))
        >>> x = jnp.zeros((4, 1, 2)).at[0].set(1.0)
        >>> print(nj.simulate(net, x).outputs.ravel())
        [ 1.  0. 10.  0.]
    """

    weight: Float[Array, "out in"]
    delays: Float[Array, "out in"]
    present: tuple[int, ...] = eqx.field(static=True)
    _placed: Float[Array, "out place"] | None

    buffers: ClassVar[tuple[str, ...]] = ("delays", "_placed")

    def __init__(
        self,
        weight: Float[ArrayLike, "out in"],
        delays: Int[ArrayLike, "out in"],
    ) -> None:
        self.weight = as_weight(weight)
        if self.weight.ndim != 2:
            raise ValueError(f"DelayDense: weight must be (out, in), got shape {self.weight.shape}")
        steps = np.asarray(delays)
        if steps.shape != self.weight.shape:
            raise ValueError(
                f"DelayDense: delays have shape {steps.shape}, the weight {self.weight.shape}; "
                "give one number for each synapse"
            )
        wrong = steps[(steps != np.rint(steps)) | (steps < 0) | (steps > LARGEST_DELAY)]
        if wrong.size:
            raise ValueError(
                f"DelayDense: a delay is {wrong.flat[0]}; delays are integers within "
                f"0..{LARGEST_DELAY}"
            )
        # Floats, so that gradients of a whole network need no filter.
        self.delays = jnp.asarray(steps, jnp.float32)
        self.present = tuple(int(d) for d in np.unique(steps))
        self._placed = None

    @property
    def in_features(self) -> int:
        """Number of inputs."""
        return self.weight.shape[-1]

    @property
    def out_features(self) -> int:
        """Number of outputs."""
        return self.weight.shape[-2]

    @property
    def longest(self) -> int:
        """The longest delay, in time steps."""
        return self.present[-1]

    def placed(self) -> Float[Array, "out place"]:
        """The weights in a row of one block for each delay that occurs, 0 in all the others."""
        if self._placed is not None:
            return self._placed
        at = self.delays == jnp.array(self.present, jnp.float32)[:, None, None]
        blocks = jnp.where(at, self.weight, 0)
        return jnp.moveaxis(blocks, 0, 1).reshape(self.out_features, -1)

    def prepare(self, key: PRNGKeyArray | None) -> DelayDense:
        """The layer with its weights in place, so that it isn't done in every step."""
        del key
        return eqx.tree_at(
            lambda d: d._placed, self, self.placed(), is_leaf=lambda node: node is None
        )

    def init(self, in_shape: Shape) -> DelayDenseState | None:
        return DelayDenseState(jnp.zeros((self.longest, *in_shape))) if self.longest else None

    def step(
        self, state: DelayDenseState | None, x: Array, *, key: PRNGKeyArray | None = None
    ) -> tuple[DelayDenseState | None, Array]:
        del key
        past = x[None] if state is None else jnp.concatenate([state.past, x[None]])
        arriving = past[self.longest - np.array(self.present)].reshape(-1)
        y = jnp.matmul(arriving, self.placed().T, precision=Precision.HIGHEST)
        return (None if state is None else DelayDenseState(past[1:])), y

    def out_shape(self, in_shape: Shape) -> Shape:
        check_shape("DelayDense", in_shape, 1, "(features,)")
        if in_shape[0] != self.in_features:
            raise ValueError(f"DelayDense takes {self.in_features} features, got shape {in_shape}")
        return (self.out_features,)

    def describe(self) -> str:
        return (
            f"DelayDense {self.in_features}->{self.out_features}, "
            f"delay {self.present[0]}..{self.longest}"
        )
