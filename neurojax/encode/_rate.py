"""Codes whose value is in the number of spikes or in the current: Poisson and direct."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key, Num


def direct(values: Num[ArrayLike, "*shape"], *, steps: int) -> Float[Array, "time *shape"]:
    """Give the same input current at every step, and let the first layer make the spikes.

    Args:
        values: any array, for example images `[batch, channels, height, width]`.
        steps: the number of time steps.

    Returns:
        `values`, repeated along a new first axis. Integers become float32.

    Raises:
        ValueError: if `steps` is below one.

    Example:
        >>> direct(jnp.array([0.5, 2.0]), steps=3).shape
        (3, 2)
    """
    check_steps(steps)
    values = as_float(values)
    return jnp.broadcast_to(values, (steps, *values.shape))


def poisson(
    rates: Num[ArrayLike, "*shape"],
    *,
    steps: int,
    key: Key[Array, ""],
    dt: float | None = None,
    counts: bool = False,
) -> Float[Array, "time *shape"]:
    r"""Draw spikes at random, independently at every step, with the given rates.

    Without `dt` a rate is the probability of a spike in one step. With `dt` it is in hertz, and the
    steps are bins of a Poisson process: a bin holds at least one spike with probability
    $1 - e^{-r\,dt}$, which is nearly $r\,dt$ as long as $r\,dt$ is small.

    Args:
        rates: probability in [0, 1] per step, or hertz if `dt` is given.
        steps: the number of time steps.
        key: random key; the same key gives the same spikes.
        dt: length of a step in seconds.
        counts: give the number of spikes in each step (Poisson distributed, of mean `rates`, or
            `rates * dt`) instead of 0 or 1.

    Returns:
        Spikes 0/1, or counts, in float32. There's no gradient with respect to the rates.

    Raises:
        ValueError: if a rate is negative, not a number, or a probability above one (found only
            outside `jit`; inside, a rate outside the range acts like the nearest legal one).

    References:
        Dayan & Abbott, Theoretical Neuroscience, 2001, section 1.4 (the homogeneous Poisson
        process).

    Example:
        >>> spikes = poisson(jnp.full((4,), 0.25), steps=1000, key=jax.random.key(0))
        >>> bool(abs(spikes.mean() - 0.25) < 0.03)
        True
    """
    check_steps(steps)
    if dt is not None and not dt > 0:
        raise ValueError(f"poisson: dt is {dt}; give the length of a step in seconds, above zero.")
    rates = as_float(rates)
    highest = 1.0 if dt is None and not counts else np.inf
    if not isinstance(rates, jax.core.Tracer) and rates.size:
        low, high = float(jnp.min(rates)), float(jnp.max(rates))
        if not (low >= 0 and high <= highest):  # also true for NaN
            unit = "probabilities per step" if highest == 1 else "rates"
            remedy = " Give `dt` if the rates are in hertz." if highest == 1 else ""
            raise ValueError(
                f"poisson: {unit} lie between {low} and {high}; "
                f"the legal range is 0 to {highest}.{remedy}"
            )
    expected = rates if dt is None else rates * dt
    shape = (steps, *rates.shape)
    if counts:
        return jax.random.poisson(key, jnp.maximum(expected, 0), shape).astype(jnp.float32)
    probability = expected if dt is None else -jnp.expm1(-expected)
    return jax.random.bernoulli(key, probability, shape).astype(jnp.float32)


def as_float(values: Num[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
    """Give `values` as a JAX array of floats; floats keep their width, all else becomes float32."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(jnp.float32)


def check_steps(steps: int) -> None:
    """Refuse a number of time steps below one."""
    if steps < 1:
        raise ValueError(f"steps is {steps}; a raster has at least one time step.")
