"""Products of values with values, for attention. Weights are in `Linear` and the convolutions."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from neurojax._layer import Layer, Shape, State


class MatMul(Layer):
    """Matrix product of its two incoming edges, in their order, over the last two axes.

    Earlier axes (heads, say) are those of both, as in `torch.matmul`.

    Example:
        >>> import neurojax as nj
        >>> nj.layers.MatMul().out_shape(((8, 196, 64), (8, 64, 196)))
        (8, 196, 196)

    References:
        Z. Zhou et al., "Spikformer: when spiking neural network meets transformer", ICLR 2023,
        eq. 5: attention of spikes is two such products, without a softmax.
    """

    many_inputs: ClassVar[bool] = True

    def step(self, state: State, x: Any, *, key: PRNGKeyArray | None = None) -> tuple[State, Array]:
        del key
        first, second = x
        return state, jnp.matmul(first, second, precision=jax.lax.Precision.HIGHEST)

    def out_shape(self, in_shape: Any) -> Shape:
        text = " and ".join(map(str, in_shape))
        if len(in_shape) != 2:
            raise ValueError(f"MatMul takes two inputs, got {text}")
        first, second = in_shape
        if min(len(first), len(second)) < 2 or first[-1] != second[-2]:
            raise ValueError(
                f"MatMul takes (..., rows, inner) and (..., inner, columns), got {text}"
            )
        try:
            before = np.broadcast_shapes(first[:-2], second[:-2])
        except ValueError:
            raise ValueError(f"MatMul: the first axes of {text} don't fit each other") from None
        return (*before, first[-2], second[-1])
