"""The product of the chip, for any number of leading axes, and how often it left its range.

    x_q, w_q = round(x), round(w)                       ties to even
    y_k = floor(num_sends gain x_q,k w_q,k + noise)     of each 128 rows k, limited to -128..127
    y   = sum_k y_k                                     limited to -128..127

The largest sum of a tile is 31 * 63 * 128 < 2^18, so float32 holds all of them exactly, and one
product with num_sends gain is rounded. The derivative is that of num_sends gain x w.

References:
    hxtorch (3bfc7aa), `hxtorch::perceptron::detail::mac_mock_forward` and `mac.cpp`.
"""

from __future__ import annotations

import functools as ft
import math
from typing import Any, NamedTuple, TypedDict

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax.chips.bss2.perceptron.mock import INPUT, OUTPUT, ROWS, WEIGHT, MockParameter, known
from neurojax.fixed_point import derivative_of, round_half_even

HIGHEST = jax.lax.Precision.HIGHEST

OUT_OF_RANGE = ("error", "saturate")

UNROLLED = 8
"""Up to so many tiles are products of their own, three times as fast on CPU as one product with the
tiles as a batch axis; more would take long to compile."""


class Saturation(NamedTuple):
    """How many values have been limited.

    An input is counted once, a weight where it is used: in a layer that is once a sample and step.
    """

    inputs: Int[Array, ""]  # beyond 0..31
    weights: Int[Array, ""]  # beyond -63..63
    tiles: Int[Array, ""]  # products of up to 128 rows beyond -128..127
    outputs: Int[Array, ""]  # sums of tiles beyond -128..127

    @classmethod
    def none(cls) -> Saturation:
        """No value was limited."""
        return cls(*(jnp.zeros((), jnp.int32) for _ in cls._fields))

    def plus(self, other: Saturation) -> Saturation:
        """Both together."""
        return Saturation(*(a + b for a, b in zip(self, other, strict=True)))


class How(TypedDict):
    """What every product takes besides its numbers: see `mac`. `what` is its name in messages."""

    num_sends: int
    mock: MockParameter
    key: PRNGKeyArray | None
    out_of_range: str
    what: str


def multiply(
    x: Float[Array, "*lead rows"],
    w: Float[Array, "rows columns"],
    *,
    num_sends: int,
    mock: MockParameter,
    key: PRNGKeyArray | None,
    out_of_range: str,
    what: str,
) -> tuple[Float[Array, "*lead columns"], Saturation]:
    """The product of the chip; `what` is its name in messages."""
    check_options(what, num_sends, out_of_range)
    if mock.noisy and key is None:
        raise ValueError(
            f"{what} draws noise of noise_std {mock.noise_std}; pass key=jax.random.key(0), or "
            "mock=MockParameter(noise_std=0.0) for none"
        )
    if x.shape[-1] != w.shape[0]:
        raise ValueError(
            f"{what}: {x.shape[-1]} inputs {x.shape} for {w.shape[0]} rows of weights {w.shape}; "
            "both must be the same number"
        )
    saturate = out_of_range == "saturate"
    if 0 in w.shape:
        raise ValueError(f"{what}: weights have shape {w.shape}; there is nothing to multiply")
    y, counts = _product(x, w, mock.scale(num_sends), mock.spread, key, saturate)
    if out_of_range == "error":
        y = _within_range(what, y, counts, x, w)
    return y, counts


@ft.partial(jax.jit, static_argnames="saturate", inline=True)
def _product(
    x: Array,
    w: Array,
    scale: Any,
    noise_std: Any,
    key: PRNGKeyArray | None,
    saturate: bool,
) -> tuple[Array, Saturation]:
    """One function for the compiler, also where each operation is compiled when it is called."""
    whole = [jax.lax.stop_gradient(round_half_even(each)) for each in (x, w)]
    limited = [jnp.clip(q, *legal) for q, legal in zip(whole, (INPUT, WEIGHT), strict=True)]
    inputs, weights = (_count(q, within) for q, within in zip(whole, limited, strict=True))
    read = _tiles(*(limited if saturate else whole)) * scale
    if noise_std is not None:
        assert key is not None
        read = read + noise_std * jax.random.normal(key, read.shape, read.dtype)
    read = jnp.floor(read)
    tiles = jnp.clip(read, *OUTPUT)
    total = tiles.sum(0)
    y = jnp.clip(total, *OUTPUT)
    counts = Saturation(inputs, weights, _count(read, tiles), _count(total, y))
    return derivative_of(jnp.matmul(x, w, precision=HIGHEST) * scale, y), counts


def _within_range(what: str, y: Array, counts: Saturation, x: Array, w: Array) -> Array:
    """The output, unless inputs or weights are out of range: then an error, now or when it runs."""
    texts = {
        kind: f"the range of {kind} is {low}..{high}; scale them ({function}), or pass "
        "out_of_range='saturate'"
        for kind, (low, high), function in (
            ("inputs", INPUT, "scale_input"),
            ("weights", WEIGHT, "scale_weight, clamp_weight"),
        )
    }
    if not (known(counts.inputs) and known(counts.weights)):
        wrong = (counts.inputs > 0) | (counts.weights > 0)
        messages = [f"{what}: {text}" for text in texts.values()]
        return eqx.branched_error_if(y, wrong, (counts.inputs == 0).astype(jnp.int32), messages)
    for kind, values, count in (("inputs", x, counts.inputs), ("weights", w, counts.weights)):
        if count > 0:
            low, high = (f"{float(f(np.asarray(values))):g}" for f in (np.min, np.max))
            raise ValueError(f"{what}: {kind} go from {low} to {high}, but {texts[kind]}")
    return y


def check_options(what: str, num_sends: Any, out_of_range: str) -> None:
    """Refuse what is no number of sends, and what is no way to treat values out of range."""
    if isinstance(num_sends, bool) or not isinstance(num_sends, int) or num_sends < 1:
        raise ValueError(f"{what}: num_sends is {num_sends!r}; it must be an integer >= 1")
    if out_of_range not in OUT_OF_RANGE:
        raise ValueError(
            f"{what}: out_of_range is {out_of_range!r}; it must be 'error' or 'saturate'"
        )


def _tiles(x: Array, w: Array) -> Array:
    """`(tiles, *lead, columns)`: the product of each 128 rows."""
    rows = w.shape[0]
    count = math.ceil(rows / ROWS)
    if count <= UNROLLED:
        cuts = [slice(k, k + ROWS) for k in range(0, rows, ROWS)]
        return jnp.stack([jnp.matmul(x[..., k], w[k], precision=HIGHEST) for k in cuts])
    missing = count * ROWS - rows
    x = jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))
    w = jnp.pad(w, ((0, missing), (0, 0)))
    x = x.reshape(*x.shape[:-1], count, ROWS)
    return jnp.einsum("...tk,tkn->t...n", x, w.reshape(count, ROWS, -1), precision=HIGHEST)


def _count(before: Array, after: Array) -> Array:
    return jnp.sum(before != after, dtype=jnp.int32)
