"""The Yin-Yang data set: three classes in the plane, generated.

A disc of radius R around (R, R) is divided into yin, yang and two dots of radius r in the two
heads, at (R/2, R) and (3R/2, R). A sample is (x, y, 1 - x, 1 - y).

References:
    Kriener, Göltz & Petrovici, The Yin-Yang dataset, NICE 2022 (arXiv:2102.08211).
    hxtorch's `YinYangDataset`, whose random stream `yin_yang` follows.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Key

from ._dataset import Dataset

# By the code of the original and of hxtorch. Both list their names as yin, yang, dot, but
# compute class 1 as "is yin".
_NAMES = ("yang", "yin", "dot")
_DOT = 2


def yin_yang(
    size: int = 1000, *, seed: int = 42, r_small: float = 0.1, r_big: float = 0.5
) -> Dataset:
    """Generate Yin-Yang samples, the same for a seed as hxtorch's `YinYangDataset`.

    Draws a class and then points until one belongs to it, so the three classes are equally
    frequent.

    Args:
        size: number of samples.
        seed: seed of NumPy's RandomState.
        r_small: radius of the dots.
        r_big: radius of the disc; the dots must be smaller than half of it.

    Returns:
        Inputs `[size, 4]` float32 (x, y, 1 - x, 1 - y), in [0, 1] for `r_big=0.5`; labels int32:
        0 yang, 1 yin, 2 dot.

    Raises:
        ValueError: if `2 * r_small >= r_big`.

    Example:
        >>> yin_yang(3).labels.tolist()
        [2, 1, 2]
    """
    _check(size, r_small, r_big)
    random = np.random.RandomState(seed)
    points, labels = np.empty((size, 2)), np.empty(size, np.int32)
    # A loop, because refused points use up the random stream: that order is what the seed means.
    for sample in range(size):
        labels[sample] = goal = random.randint(3)
        while True:
            x, y = random.rand(2) * 2 * r_big
            inside = np.sqrt((x - r_big) ** 2 + (y - r_big) ** 2) <= r_big
            if inside and yin_yang_class(x, y, r_small=r_small, r_big=r_big) == goal:
                break
        points[sample] = x, y
    inputs = np.concatenate([points, 1 - points], axis=1).astype(np.float32)
    return Dataset(inputs, labels, _NAMES, f"Yin-Yang, seed {seed}")


def yin_yang_class(
    x: Float[ArrayLike, "*shape"],
    y: Float[ArrayLike, "*shape"],
    *,
    r_small: float = 0.1,
    r_big: float = 0.5,
) -> Int[np.ndarray, "*shape"]:
    """Give the class of points in the plane: 0 yang, 1 yin, 2 dot. NumPy.

    Doesn't ask whether the point lies in the disc.
    """
    x, y = np.asarray(x), np.asarray(y)
    right = np.sqrt((x - 1.5 * r_big) ** 2 + (y - r_big) ** 2)
    left = np.sqrt((x - 0.5 * r_big) ** 2 + (y - r_big) ** 2)
    yin = (
        (right <= r_small)
        | ((left > r_small) & (left <= 0.5 * r_big))
        | ((y > r_big) & (right > 0.5 * r_big))
    )
    dot = (right < r_small) | (left < r_small)
    return np.where(dot, _DOT, yin).astype(np.int32)


def sample_yin_yang(
    key: Key[Array, ""], size: int, *, r_small: float = 0.1, r_big: float = 0.5
) -> tuple[Float[Array, "size 4"], Int[Array, " size"]]:
    """Draw Yin-Yang samples with a JAX key, all at once; works under `jit` and `vmap`.

    Same distribution as `yin_yang`, another stream. For fresh samples at every training step.

    Args:
        key: random key.
        size: number of samples.
        r_small: radius of the dots.
        r_big: radius of the disc.

    Returns:
        Inputs `[size, 4]` and labels `[size]`.
    """
    _check(size, r_small, r_big)
    for_goal, for_disc, for_dot = jax.random.split(key, 3)
    goal = jax.random.randint(for_goal, (size,), 0, 3)

    # Yin and yang: the first of several points in the disc that isn't in a dot. The dots cover
    # less than half of the disc, so 32 points fail with less than 2^-32. Turned by half a turn
    # around the centre yin becomes yang, so that a point of the wrong class need not be refused.
    tries = _in_disc(for_disc, (size, 32)) * r_big
    in_dot = jnp.hypot(jnp.abs(tries[..., 0]) - r_big / 2, tries[..., 1]) < r_small
    chosen = jnp.argmin(in_dot, axis=1)
    point = jnp.take_along_axis(tries, chosen[:, None, None], axis=1)[:, 0]
    left = jnp.hypot(point[:, 0] + r_big / 2, point[:, 1]) <= r_big / 2
    right = jnp.hypot(point[:, 0] - r_big / 2, point[:, 1]) <= r_big / 2
    yin = left | ((point[:, 1] > 0) & ~right)
    point = jnp.where((yin == (goal == 1))[:, None], point, -point)

    # Dots: in either of the two.
    for_side, for_dot = jax.random.split(for_dot)
    side = jax.random.rademacher(for_side, (size,), jnp.float32) * r_big / 2
    dot = _in_disc(for_dot, (size,)) * r_small + jnp.stack([side, jnp.zeros(size)], axis=1)

    point = jnp.where((goal == _DOT)[:, None], dot, point) + r_big
    return jnp.concatenate([point, 1 - point], axis=1), goal


def _in_disc(key: Key[Array, ""], shape: tuple[int, ...]) -> Float[Array, "*shape 2"]:
    """Points evenly spread over the unit disc."""
    for_radius, for_angle = jax.random.split(key)
    radius = jnp.sqrt(jax.random.uniform(for_radius, shape))
    angle = 2 * jnp.pi * jax.random.uniform(for_angle, shape)
    return jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=-1)


def _check(size: int, r_small: float, r_big: float) -> None:
    if size < 1:
        raise ValueError(f"yin_yang: size is {size}; it must be at least 1.")
    if not 0 < 2 * r_small < r_big:
        raise ValueError(
            f"yin_yang: r_small is {r_small} and r_big {r_big}; the dots must fit into the heads, "
            "0 < 2 * r_small < r_big."
        )
