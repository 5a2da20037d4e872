"""Primitives of an input and a weight that stay one product an image under `vmap`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array


def bilinear_primitive(
    name: str,
    forward: Callable[..., Array],
    abstract: Callable[..., Any],
    to_input: Callable[..., Array],
    to_weight: Callable[..., Array],
) -> Primitive:
    """A primitive `bind(x, weight, window=...)`, linear in both, with its derivatives.

    Args:
        name: Of the primitive.
        forward: `(x, weight, *, window) -> y`, with any number of leading axes, of which those of
            length 1 are repeated.
        abstract: The same of shapes.
        to_input: `(ct, x, weight, *, window)`: transpose with respect to x.
        to_weight: The same with respect to the weight.
    """
    primitive = Primitive(name)

    def batch(
        args: tuple[Array, Array], dims: tuple[int | None, int | None], **options: Any
    ) -> Any:
        """New axes go to the front; an argument without one gets an axis of length 1."""
        x, weight = (
            jnp.expand_dims(a, 0) if dim is None else jnp.moveaxis(a, dim, 0)
            for a, dim in zip(args, dims, strict=True)
        )
        return primitive.bind(x, weight, **options), 0

    primitive.def_impl(jax.jit(forward, static_argnames="window"))
    primitive.def_abstract_eval(abstract)
    ad.defbilinear(primitive, to_input, to_weight)
    batching.primitive_batchers[primitive] = batch
    mlir.register_lowering(primitive, mlir.lower_fun(forward, multiple_results=False))
    return primitive
