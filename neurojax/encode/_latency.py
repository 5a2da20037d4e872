"""Codes whose value is in the time of one spike.

The formulas are those of hxtorch's spiking encoders (`CoordinatesToSpikes`, `PixelsToSpikeTimes`,
`SpikeTimesToDense`), with times rounded to the nearest step where hxtorch truncates some of them:
there a spike at 35 us falls into step 6 of 5 us, because 35e-6 / 5e-6 is 6.999... in floating
point.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Num

from ._rate import as_float, check_steps


def coordinates_to_spikes(
    x: Num[ArrayLike, "*batch features"],
    *,
    steps: int,
    t_early: float,
    t_late: float,
    dt: float,
    t_bias: float | None = None,
) -> Float[Array, "time *batch spikes"]:
    """Give every coordinate one spike: 0 spikes at `t_early`, 1 at `t_late`, linear in between.

    The time `t_early + x * (t_late - t_early)` falls into step `round(time / dt)`; halves go to the
    even step.

    Args:
        x: coordinates, the last axis holds the features. Customary range [0, 1].
        steps: number of time steps.
        t_early: time of coordinate 0, in seconds (or any unit, the same for all times).
        t_late: time of coordinate 1.
        dt: length of a step.
        t_bias: if given, one more feature at the end spikes at this time in every sample.

    Returns:
        A raster of 0 and 1 in float32, with one more feature if `t_bias` is given.

    Raises:
        ValueError: if a spike falls before the first or after the last step. Under `jit` the values
            aren't known, and such a spike is left out. `t_bias` is always checked.

    References:
        hxtorch.spiking.transforms.encode.CoordinatesToSpikes.

    Example:
        >>> raster = coordinates_to_spikes(
        ...     jnp.array([0.0, 0.5]), steps=8, t_early=1e-6, t_late=5e-6, dt=1e-6, t_bias=7e-6
        ... )
        >>> jnp.argmax(raster, axis=0).tolist()
        [1, 3, 7]
    """
    check_steps(steps)
    _check_dt("coordinates_to_spikes", dt)
    x = as_float(x)
    # In units of steps, with constants computed in double precision: fewer roundings than x *
    # (...) / dt.
    step = jnp.round(x * ((t_late - t_early) / dt) + t_early / dt)
    if t_bias is not None:
        bias = jnp.full((*x.shape[:-1], 1), round(t_bias / dt), step.dtype)
        if not 0 <= round(t_bias / dt) < steps:
            raise ValueError(_outside("t_bias", round(t_bias / dt), steps))
        step = jnp.concatenate([step, bias], axis=-1)
    if not isinstance(step, jax.core.Tracer) and step.size:
        wrong = step[~((step >= 0) & (step < steps))]
        if wrong.size:
            raise ValueError(_outside("a coordinate", float(wrong[0]), steps))
    return _one_hot_in_time(step, steps)


def pixels_to_spike_times(
    x: Num[ArrayLike, "*shape"],
    *,
    tau: float = 20.0,
    threshold: float = 0.2,
    t_max: float = 1.0,
    eps: float = 1e-7,
) -> Float[Array, "*shape"]:
    r"""Give every pixel the time at which a leaky membrane driven by it would reach the threshold.

    $t = \tau \log\frac{x}{x - \theta}$ for $x \ge \theta$, limited to $[0, t_{max}]$; pixels below
    the threshold get $t_{max}$. Bright pixels spike early. Differentiable where the limits don't
    act.

    Args:
        x: intensities.
        tau: time constant, in the unit of the times.
        threshold: intensity that is never (just not) reached, above zero.
        t_max: the latest time, and that of pixels below the threshold.
        eps: smallest distance of `x` above the threshold, which keeps the logarithm finite.

    Returns:
        Times, for `spike_times_to_raster`. To have no spike at all from pixels below the threshold,
        give that function `steps` so that `t_max` falls behind the last step.

    References:
        hxtorch.spiking.transforms.encode.PixelsToSpikeTimes.

    Example:
        >>> pixels_to_spike_times(jnp.array([0.1, 0.4, 1.0]), t_max=20.0).round().tolist()
        [20.0, 14.0, 4.0]
    """
    if not threshold > 0:
        raise ValueError(f"pixels_to_spike_times: threshold is {threshold}; it must be above zero.")
    x = as_float(x)
    above = jnp.maximum(x, threshold + eps)
    time = tau * jnp.log(above / (above - threshold))
    return jnp.clip(jnp.where(x < threshold, t_max, time), 0, t_max)


def spike_times_to_raster(
    times: Num[ArrayLike, "*shape"],
    *,
    steps: int,
    dt: float,
    rounding: Literal["nearest", "floor"] = "nearest",
) -> Float[Array, "time *shape"]:
    """Put one spike per entry of `times` into a raster.

    Args:
        times: time of each neuron's spike; infinity or NaN for none.
        steps: the number of time steps. A spike before or behind them is left out.
        dt: length of a step, in the unit of `times`.
        rounding: "nearest" puts time `k * dt` into step k, and a time half way into the even one;
            "floor" puts times from `k * dt` on into step k, as hxtorch's SpikeTimesToDense does,
            with its pitfall that `k * dt` itself may fall into step k - 1 by a hair.

    Returns:
        A raster of 0 and 1 in float32.

    Example:
        >>> spike_times_to_raster(jnp.array([0.0, 2e-3, jnp.inf]), steps=3, dt=1e-3).T.tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    check_steps(steps)
    _check_dt("spike_times_to_raster", dt)
    if rounding not in ("nearest", "floor"):
        raise ValueError(f"rounding is {rounding!r}; choose 'nearest' or 'floor'.")
    round_to_step = jnp.round if rounding == "nearest" else jnp.floor
    return _one_hot_in_time(round_to_step(as_float(times) / dt), steps)


def _one_hot_in_time(step: Float[Array, "*shape"], steps: int) -> Float[Array, "time *shape"]:
    # Compared as floats, so that infinity and NaN match no step.
    grid = jnp.arange(steps, dtype=step.dtype).reshape(-1, *(1,) * step.ndim)
    return (step[None] == grid).astype(jnp.float32)


def _check_dt(name: str, dt: float) -> None:
    if not dt > 0:
        raise ValueError(f"{name}: dt is {dt}; the length of a step must be above zero.")


def _outside(what: str, step: float, steps: int) -> str:
    return (
        f"coordinates_to_spikes: {what} spikes in step {step:g}, the raster has steps "
        f"0 to {steps - 1}; "
        "raise `steps`, or change the times."
    )
