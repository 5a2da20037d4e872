"""Dense rasters to lists of (time, neuron) and back.

`raster_to_spikes` / `spikes_to_raster` are for data work: NumPy, as many entries as there are
spikes. `raster_to_padded_spikes` / `padded_spikes_to_raster` are for compiled code: fixed size.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Num


class SpikeList(NamedTuple):
    """Spikes of a raster, one entry each, ordered by time and then by neuron (NumPy)."""

    time: Int[np.ndarray, " spikes"]  # time step
    neuron: Int[np.ndarray, " spikes"]  # flat index into the features, row major


class PaddedSpikes(NamedTuple):
    """Non-zero entries of a raster in arrays of fixed length; unused places have weight 0."""

    time: Int[Array, " capacity"]  # time step
    neuron: Int[Array, " capacity"]  # flat index into the features, row major
    weight: Float[Array, " capacity"]  # the entry's value, e.g. the number of spikes
    total: Int[Array, ""]  # entries found; more than the capacity means some are missing


def raster_to_spikes(raster: Num[ArrayLike, "time *shape"]) -> SpikeList:
    """List the spikes of a raster; an entry of n is listed n times. NumPy, not for `jit`.

    Args:
        raster: whole numbers from 0, time first.

    Raises:
        ValueError: if an entry is negative or not a whole number.

    Example:
        >>> raster_to_spikes(np.array([[0, 1], [0, 0], [2, 0]])).neuron.tolist()
        [1, 0, 0]
    """
    flat = check_raster("raster_to_spikes", raster)
    flat = flat.reshape(flat.shape[0], -1)
    time, neuron = np.nonzero(flat)
    count = flat[time, neuron]
    return SpikeList(np.repeat(time, count), np.repeat(neuron, count))


def spikes_to_raster(
    spikes: SpikeList, *, shape: tuple[int, ...], steps: int | None = None
) -> Float[np.ndarray, "time *shape"]:
    """Put listed spikes into a raster; several on one place add up. NumPy, not for `jit`.

    Args:
        spikes: times and flat indices, in any order.
        shape: shape of the features.
        steps: number of time steps; by default up to the last spike. Give it to keep empty steps at
            the end.

    Returns:
        Counts in float32.

    Raises:
        ValueError: if a spike lies outside `steps` or `shape`.
    """
    time, neuron = np.asarray(spikes.time), np.asarray(spikes.neuron)
    size = math.prod(shape)
    if steps is None:
        steps = int(time.max()) + 1 if time.size else 0
    for name, value, limit in (("time", time, steps), ("neuron", neuron, size)):
        if value.size and (value.min() < 0 or value.max() >= limit):
            raise ValueError(
                f"spikes_to_raster: {name} runs from {value.min()} to {value.max()}; "
                f"the legal range is 0 to {limit - 1}. Change `steps` or `shape`."
            )
    counts = np.bincount(time.astype(np.int64) * size + neuron, minlength=steps * size)
    return counts.reshape(steps, *shape).astype(np.float32)


def raster_to_padded_spikes(
    raster: Num[ArrayLike, "time *shape"], *, capacity: int
) -> PaddedSpikes:
    """List the non-zero entries of a raster in arrays of fixed length. For use inside `jit`.

    Args:
        raster: any numbers, time first.
        capacity: length of the lists. If there are more entries, the last ones are left out;
            compare `total` with it to find out.

    Example:
        >>> padded = raster_to_padded_spikes(jnp.array([[0.0, 1.0], [2.0, 0.0]]), capacity=3)
        >>> padded.weight.tolist(), int(padded.total)
        ([1.0, 2.0, 0.0], 2)
    """
    raster = jnp.asarray(raster)
    flat = raster.reshape(raster.shape[0], -1)
    time, neuron = jnp.nonzero(flat, size=capacity, fill_value=0)
    used = jnp.arange(capacity) < jnp.count_nonzero(flat)
    weight = jnp.where(used, flat[time, neuron], 0).astype(jnp.float32)
    return PaddedSpikes(time, neuron, weight, jnp.count_nonzero(flat))


def padded_spikes_to_raster(
    spikes: PaddedSpikes, *, steps: int, shape: tuple[int, ...]
) -> Float[Array, "time *shape"]:
    """Add the weights of listed entries into a raster. For use inside `jit`.

    Entries outside `steps` or `shape` are left out.
    """
    size = math.prod(shape)
    # Checked here and not by the scatter: a number behind `size` would land in another time
    # step's row, and a negative one would count from the end.
    inside = (spikes.neuron >= 0) & (spikes.neuron < size) & (spikes.time >= 0)
    weight = jnp.where(inside, spikes.weight, 0)
    flat = jnp.zeros((steps, size), jnp.float32)
    flat = flat.at[spikes.time, spikes.neuron].add(weight, mode="drop")
    return flat.reshape(steps, *shape)


def check_raster(name: str, raster: Num[ArrayLike, "time *shape"]) -> Int[np.ndarray, "..."]:
    """Give a raster as NumPy integers, or say why it has no whole numbers of spikes."""
    values = np.asarray(raster)
    if values.ndim == 0:
        raise ValueError(f"{name}: the raster is a single number; its first axis must be time.")
    counts = values.astype(np.int64)
    wrong = (counts != values) | (counts < 0)
    if wrong.any():
        raise ValueError(
            f"{name}: entry {tuple(int(i) for i in np.argwhere(wrong)[0])} is {values[wrong][0]}; "
            "spikes are counted in whole numbers from 0."
        )
    return counts
