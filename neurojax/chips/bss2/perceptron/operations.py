"""What the chip does in perceptron mode, on arrays: products, sums, activations.

The names are hxtorch's. What is a setting of the process there is an argument here: `mock`, gain
and noise, and `key`, where the noise comes from.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron`: mac, matmul, relu, converting_relu, add, argmax.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from neurojax.chips.bss2.perceptron._multiply import Saturation, multiply
from neurojax.chips.bss2.perceptron.mock import INPUT, MOCK, OUTPUT, MockParameter
from neurojax.fixed_point import derivative_of


def mac(
    x: Float[Array, "*batch rows"],
    weights: Float[Array, "rows columns"],
    *,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> Float[Array, "*batch columns"]:
    """Multiply vectors with a matrix, as the chip does.

    Both are rounded (ties to even). Each 128 rows are a product of the chip: scaled, noise added,
    rounded down, limited to -128..127. Their sum is limited again. Rounding down makes the outputs
    half a step too small in the mean.

    The derivative is that of `num_sends * gain * x @ weights` of the unrounded numbers, also where
    the output is limited.

    Args:
        x: Inputs, one vector or a batch of them; 0..31 when rounded.
        weights: -63..63 when rounded.
        num_sends: How often each input is sent: that many times the gain.
        mock: Gain and noise of the chip.
        key: Source of the noise; needed if there is any.
        out_of_range: What becomes of inputs and weights that the chip can't have. `"error"`: an
            error, at once where the numbers are known; in a compiled function when it runs
            (`equinox.error_if`). `"saturate"`: the nearest that it can; `mac_counted` counts them.

    Returns:
        Whole numbers in -128..127.

    Raises:
        ValueError: Shapes that don't fit, inputs or weights out of range, noise without a key.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.mac` with `mock=True`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> x, w = jnp.full((100,), 15.0), jnp.full((100, 2), 21.0)
        >>> hagen.mac(x, w, mock=hagen.MockParameter(noise_std=0.0)).tolist()
        [63.0, 63.0]
    """
    y, _ = mac_counted(
        x, weights, num_sends=num_sends, mock=mock, key=key, out_of_range=out_of_range
    )
    return y


def mac_counted(
    x: Float[Array, "*batch rows"],
    weights: Float[Array, "rows columns"],
    *,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> tuple[Float[Array, "*batch columns"], Saturation]:
    """`mac`, and how many inputs, weights, products and sums were limited.

    Args:
        x, weights, num_sends, mock, key, out_of_range: See `mac`.

    Returns:
        Outputs and counts.

    Raises:
        ValueError: See `mac`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> x, w = jnp.full((128,), 31.0), jnp.full((128, 2), 63.0)
        >>> y, counts = hagen.mac_counted(x, w, mock=hagen.MockParameter(noise_std=0.0))
        >>> y.tolist(), counts.tiles.item()
        ([127.0, 127.0], 2)
    """
    x, weights = floats(x), floats(weights)
    if weights.ndim != 2 or x.ndim not in (1, 2):
        raise ValueError(
            f"mac takes x (rows,) or (batch, rows) and weights (rows, columns), got {x.shape} and "
            f"{weights.shape}; matmul takes more axes"
        )
    return multiply(
        x,
        weights,
        num_sends=num_sends,
        mock=mock,
        key=key,
        out_of_range=out_of_range,
        what="mac",
    )


def matmul(
    x: Float[Array, "*batch rows"],
    other: Float[Array, "rows ..."],
    *,
    num_sends: int = 1,
    mock: MockParameter = MOCK,
    key: PRNGKeyArray | None = None,
    out_of_range: str = "error",
) -> Float[Array, " ..."]:
    """`mac` with the shapes of `jnp.matmul`, for one matrix or one vector of weights.

    Args:
        x: Inputs, `(..., rows)`.
        other: Weights, `(rows, columns)` or `(rows,)`.
        num_sends, mock, key, out_of_range: See `mac`.

    Returns:
        `(..., columns)`, or `(...)` for a vector of weights.

    Raises:
        ValueError: Scalars, weights of more than two axes; see `mac`.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.matmul`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> mock = hagen.MockParameter(noise_std=0.0)
        >>> hagen.matmul(jnp.full((2, 3, 6), 31.0), jnp.full((6,), 63.0), mock=mock).tolist()
        [[23.0, 23.0, 23.0], [23.0, 23.0, 23.0]]
    """
    x, other = floats(x), floats(other)
    if x.ndim == 0 or other.ndim not in (1, 2):
        raise ValueError(
            "matmul takes inputs of at least one axis, and weights (rows, columns) or (rows,), got "
            f"{x.shape} and {other.shape}"
        )
    matrix = other if other.ndim == 2 else other[:, None]
    y, _ = multiply(
        x,
        matrix,
        num_sends=num_sends,
        mock=mock,
        key=key,
        out_of_range=out_of_range,
        what="matmul",
    )
    return y if other.ndim == 2 else y[..., 0]


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Rectify: x rounded down and limited to 0..127. The derivative is 1 for x > 0.

    Args:
        x: Outputs of the chip, or any floats.

    Returns:
        Whole numbers.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.relu`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.relu(jnp.array([-3.0, 2.7, 200.0])).tolist()
        [0.0, 2.0, 127.0]
    """
    x = floats(x)
    return derivative_of(jnp.where(x > 0, x, 0), jnp.clip(jnp.floor(x), 0, OUTPUT[1]))


def converting_relu(x: Float[Array, "*shape"], *, shift: int = 2) -> Float[Array, "*shape"]:
    """Rectify outputs and shift them right, to become inputs: at most 31.

    The derivative is 2^-shift for x > 0, also where the result is limited to 31.

    Args:
        x: Outputs of the chip, or any floats.
        shift: Bits that are dropped.

    Returns:
        Whole numbers in 0..31.

    Raises:
        ValueError: A negative shift.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.converting_relu`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.converting_relu(jnp.array([-3.0, 11.0, 127.0]), shift=1).tolist()
        [0.0, 5.0, 31.0]
    """
    check_shift("converting_relu", shift)
    x = floats(x)
    shifted = jnp.floor(jnp.clip(jnp.floor(x), 0, OUTPUT[1]) * 0.5**shift)
    return derivative_of(jnp.where(x > 0, x, 0) * 0.5**shift, jnp.minimum(shifted, INPUT[1]))


def add(x: Float[Array, " ..."], other: Float[Array, " ..."]) -> Float[Array, " ..."]:
    """Add 8-bit numbers: both rounded down and limited to -128..127, and so is their sum.

    The derivative is that of the plain sum, also where something is limited.

    Args:
        x, other: Outputs of the chip, or any floats; broadcast against each other.

    Returns:
        Whole numbers in -128..127.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.add`; it accepts a factor `alpha` that must be 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.add(jnp.array([100.0, -1.5]), jnp.array([50.9, 1.5])).tolist()
        [127.0, -1.0]
    """
    x, other = floats(x), floats(other)
    return derivative_of(x + other, jnp.clip(_int8(x) + _int8(other), *OUTPUT))


def argmax(
    x: Float[Array, " ..."], *, axis: int | None = None, keepdims: bool = False
) -> Int[Array, " ..."]:
    """Index of the largest output, the first of several. Outputs are rounded down and limited.

    Args:
        x: Outputs of the chip, or any floats.
        axis: Along which axis; None: index into the flat array.
        keepdims: Keep that axis, of length 1.

    Returns:
        int32.

    References:
        hxtorch (3bfc7aa), `hxtorch.perceptron.argmax`.

    Example:
        >>> import jax.numpy as jnp
        >>> from neurojax.chips.bss2 import perceptron as hagen
        >>> hagen.argmax(jnp.array([3.0, 130.0, 140.0])).item()
        1
    """
    return jnp.argmax(_int8(floats(x)), axis=axis, keepdims=keepdims).astype(jnp.int32)


def check_shift(what: str, shift: int) -> None:
    """Raise ValueError unless a shift is one."""
    if isinstance(shift, bool) or not isinstance(shift, int) or shift < 0:
        raise ValueError(f"{what}: shift is {shift!r}; it must be an integer >= 0")


def _int8(x: Array) -> Array:
    return jnp.clip(jnp.floor(x), *OUTPUT)


def floats(x: Array) -> Array:
    """An array of a floating-point type."""
    x = jnp.asarray(x)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
