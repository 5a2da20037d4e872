"""What the layers with weights share: making them, checking them, normalising window options."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

M = TypeVar("M", bound=eqx.Module)

Pairs = tuple[tuple[int, int], ...]


def uniform(
    key: PRNGKeyArray, shape: tuple[int, ...], fan_in: int, dtype: Any
) -> Float[Array, " ..."]:
    """Uniform in ±1/sqrt(fan_in): what PyTorch gives Linear and Conv weights and biases.

    References:
        LeCun et al., "Efficient BackProp", 1998; `torch.nn.Linear.reset_parameters`.
    """
    bound = 1 / math.sqrt(fan_in)
    return jax.random.uniform(key, shape, dtype, -bound, bound)


def as_weight(value: Any) -> Array:
    """Arrays of any library as a JAX array of floating-point type."""
    array = jnp.asarray(value if isinstance(value, jax.Array) else np.asarray(value))
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.float32)


def assemble(cls: type[M], **fields: Any) -> M:
    """An instance of a Module from its fields, past its `__init__` (which draws weights)."""
    module = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(module, name, value)
    return module


def positive(what: str, value: Any) -> int:
    """`value` as an int >= 1."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(f"{what} is {value!r}; it must be an integer >= 1")
    return int(value)


def per_axis(what: str, value: int | Sequence[int], ndim: int, least: int = 1) -> tuple[int, ...]:
    """An option given once or for each spatial axis, as one integer an axis."""
    values = (value,) * ndim if isinstance(value, int | np.integer) else tuple(value)
    ok = len(values) == ndim and all(
        isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= least for n in values
    )
    if not ok:
        each = "an integer" if ndim == 1 else f"an integer or {ndim} integers"
        raise ValueError(f"{what} is {value!r}; it must be {each} >= {least}")
    return tuple(int(n) for n in values)


def pads_per_axis(what: str, value: int | Sequence[int | tuple[int, int]], ndim: int) -> Pairs:
    """Padding given once, for each axis, or for both sides of each axis, as pairs."""
    if isinstance(value, int | np.integer) or not any(isinstance(p, Sequence) for p in value):
        return tuple((p, p) for p in per_axis(what, value, ndim, least=0))  # type: ignore[arg-type]
    pairs = [p if isinstance(p, Sequence) else (p, p) for p in value]
    if len(pairs) != ndim or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{what} is {value!r}; it must have a pair (before, after) for each axis")
    return tuple((a, b) for a, b in (per_axis(what, pair, 2, least=0) for pair in pairs))


def text_of(values: Sequence[Any]) -> str:
    """`3x3`; a single value where all are the same and a word is enough (`stride 2`)."""
    return "x".join(str(value) for value in values)


def short(values: Sequence[Any]) -> str:
    """`2` for (2, 2), `2x1` for (2, 1)."""
    return str(values[0]) if len(set(values)) == 1 else text_of(values)
