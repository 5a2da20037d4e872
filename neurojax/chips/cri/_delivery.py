"""Spikes to synaptic sums, at a cost that follows the spikes and what they reach.

A row of synapses is cut into blocks of one size, so that rows of any length are walked without
padding them to the longest. The spikes of a step are listed; a loop then takes the next blocks of
the listed rows, one or many in a turn, and adds their weights to the sums of their targets. Sums
are int32: the tables' maker has to see that they fit.
"""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int

from neurojax.chips.cri._tables import Rows

SIZES = (4, 8, 16, 32, 64, 128, 256)
"""Of a block, in synapses."""

_OVERHEAD = 64
"""What a turn for one block costs besides its synapses, in synapses; measured on a CPU."""

_LARGEST_GROWTH = 1.5
"""Of a table by what blocks leave empty, unless even the smallest leave more."""

_ROWS_AT_ONCE = 1 << 14

_WORD = 32


class Blocks(NamedTuple):
    """Rows cut into blocks. Row i has the blocks `first[i]:first[i + 1]`."""

    first: Int[Array, " rows+1"]  # int32
    targets: Int[Array, "blocks size"]  # int32; the rest of a row's last block points at no neuron
    weights: Int[Array, "blocks size"]  # int16

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self)


def cut(rows: Rows, neurons: int) -> Blocks:
    """Blocks of the size that costs the least time, among those that waste little memory."""
    lengths = rows.lengths
    blocks = {size: int(np.sum(-(-lengths // size))) for size in SIZES}
    room = _LARGEST_GROWTH * int(lengths.sum())
    fitting = [size for size in SIZES if blocks[size] * size <= room] or SIZES[:1]
    size = min(fitting, key=lambda size: blocks[size] * (size + _OVERHEAD))
    counts = -(-lengths // size)
    first = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    if first[-1] * size >= 1 << 31:
        raise ValueError(
            f"{len(rows.targets)} synapses are too many for one table; the limit is 2^31"
        )
    # One block more than there are, so that even an empty table has something to read.
    targets = np.full((first[-1] + 1, size), neurons, np.int32)
    weights = np.zeros((first[-1] + 1, size), np.int16)
    shift = first[:-1] * size - rows.starts[:-1]
    # A part at a time: the places of all synapses would take more memory than the synapses.
    for start in range(0, len(lengths), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        stop = rows.starts[min(start + _ROWS_AT_ONCE, len(lengths))]
        synapses = slice(rows.starts[start], stop)
        place = np.repeat(shift[part], lengths[part]) + np.arange(synapses.start, stop)
        targets.reshape(-1)[place] = rows.targets[synapses]
        weights.reshape(-1)[place] = rows.weights[synapses]
    return Blocks(jnp.asarray(first, jnp.int32), jnp.asarray(targets), jnp.asarray(weights))


def spike_indices(
    spikes: Bool[Array, " neurons"],
) -> tuple[Int[Array, " neurons"], Int[Array, ""]]:
    """Which neurons fired, in no particular order, and how many.

    Entries behind the number mean nothing. Spikes are packed into words of 32 bits, and in every
    round each word gives up its lowest bit: a few rounds over N / 32 words, where a running sum
    over N neurons and its scatter would take ten times as long.
    """
    neurons = spikes.shape[0]
    words = -(-neurons // _WORD)
    bits = jnp.pad(spikes, (0, words * _WORD - neurons)).reshape(words, _WORD)
    weights = jnp.uint32(1) << jnp.arange(_WORD, dtype=jnp.uint32)
    left = jnp.sum(jnp.where(bits, weights, jnp.uint32(0)), axis=1, dtype=jnp.uint32)
    counts = lax.population_count(left).astype(jnp.int32)
    ends = jnp.cumsum(counts)
    base = _WORD * jnp.arange(words, dtype=jnp.int32)
    one = jnp.uint32(1)

    def take(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        left, place, found = carry
        lowest = left & (~left + one)
        index = base + lax.population_count(lowest - one).astype(jnp.int32)
        found = found.at[jnp.where(left != 0, place, neurons)].set(index, mode="drop")
        return left & (left - one), place + 1, found

    start = (left, ends - counts, jnp.zeros(neurons, jnp.int32))
    _, _, found = lax.while_loop(lambda carry: jnp.any(carry[0] != 0), take, start)
    return found, ends[-1]


def deliver(
    sums: Int[Array, " neurons"],
    blocks: Blocks,
    sources: Int[Array, " most"],
    count: Int[Array, ""],
    *,
    lanes: int,
    shifts: Int[Array, " rows"] | None = None,
) -> Int[Array, " neurons"]:
    """The sums with the weights of the first `count` of the listed sources added.

    Args:
        sums: int32.
        blocks: The sources' synapses.
        sources: Indices of rows; what stands behind the count is not read.
        count: How many are listed.
        lanes: Synapses that one turn of the loop takes.
        shifts: What is added to the targets of each row.
    """
    size = blocks.targets.shape[1]
    width = max(lanes // size, 1)  # blocks in a turn
    sources = jnp.pad(sources, (0, width))
    lane = jnp.arange(width, dtype=jnp.int32)

    def turn(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        # `done` blocks of source number `row` were taken in earlier turns.
        row, done, sums = carry
        here = lax.dynamic_slice(sources, (row,), (width,))
        first = blocks.first[here] + jnp.where(lane == 0, done, 0)
        left = jnp.where(row + lane < count, blocks.first[here + 1] - first, 0)
        ends = jnp.cumsum(left)
        owner = jnp.searchsorted(ends, lane, side="right", method="scan_unrolled")
        owner = jnp.minimum(owner, width - 1).astype(jnp.int32)
        before = ends[owner] - left[owner]
        block = jnp.where(lane < ends[-1], first[owner] + lane - before, blocks.targets.shape[0])
        targets = blocks.targets.at[block].get(mode="fill", fill_value=sums.shape[0])
        if shifts is not None:  # what points at no neuron has weight 0
            targets = targets + shifts[here[owner]][:, None]
        weights = blocks.weights.at[block].get(mode="fill", fill_value=0)
        sums = sums.at[targets.ravel()].add(weights.ravel().astype(jnp.int32), mode="drop")
        # Where the next turn starts: in the row that holds block number `width`, or behind all.
        stop = jnp.sum(ends <= width, dtype=jnp.int32)
        taken = width - jnp.where(stop > 0, ends[jnp.maximum(stop, 1) - 1], 0)
        inside = stop < width
        # A row that was begun before keeps what was done of it.
        again = jnp.where(stop == 0, done, 0)
        return row + stop, jnp.where(inside, taken + again, 0), sums

    start = (jnp.int32(0), jnp.int32(0), sums)
    return lax.while_loop(lambda carry: carry[0] < count, turn, start)[2]
