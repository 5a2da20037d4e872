"""One core, one event at a time: the loop of the event-driven simulation.

An event at (feature c, row y, column x) reaches the neurons whose kernel covers it, at most
ceil(kernel / stride) rows and columns of them with all their features, and adds the weights
w[f, c, ky, kx] to their membranes. The loop cuts this patch out of the map, computes it and puts it
back, so that an event costs what it reaches, whatever the size of the map.
"""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Int

from neurojax._layer import Shape
from neurojax.chips.dynapcnn.dynamics import TOP, Core
from neurojax.chips.dynapcnn.spec import STATE_BITS

CHUNK = 4096
"""Most events of one call; a call's buffers are of this length, its time is that of its events."""

BUFFER = 1 << 24
"""Most neurons, counted once an event, of one call."""


class Axis(NamedTuple):
    """One axis of a convolution: where an event's neurons lie."""

    size: int  # of the map of neurons
    kernel: int
    stride: int
    padding: int

    @property
    def patch(self) -> int:
        """Most neurons that an event reaches."""
        return min((self.kernel - 1) // self.stride + 1, self.size)

    def first(self, at: Any) -> Any:
        """First neuron of the patch of an event at a place, or at places."""
        last = (at + self.padding) // self.stride
        # The methods of both NumPy and JAX; events are 0 or more, so there is nothing to floor.
        return (last + 1 - self.patch).clip(0, self.size - self.patch)

    def reached(self, at: np.ndarray) -> np.ndarray:
        """How many neurons events at these places reach."""
        last = np.minimum((at + self.padding) // self.stride, self.size - 1)
        first = -((self.kernel - 1 - at - self.padding) // self.stride)
        return np.maximum(last - np.maximum(first, 0) + 1, 0)


class CoreEvents(NamedTuple):
    """What came of a core's events."""

    v: np.ndarray  # membranes (f, h, w)
    overflowed: int  # sums above 32767
    cause: np.ndarray  # for each spike the place of its event in the stream
    feature: np.ndarray
    y: np.ndarray
    x: np.ndarray


class EventCore:
    """A core of the chip, ready for events."""

    def __init__(self, core: Core, in_shape: Shape) -> None:
        held = core.integers()
        self.features, height, width = core.neuron_shape(in_shape)
        kernel = held.weight.shape[2:]
        self.y, self.x = (
            Axis(*numbers)
            for numbers in zip((height, width), kernel, core.stride, core.padding, strict=True)
        )
        self.leaks = held.bias is not None and bool(held.bias.any())
        self._bias = jnp.asarray(held.bias, jnp.int32) if self.leaks else None
        self._patch = self.y.patch, self.x.patch, self.features
        self._weight = jnp.asarray(held.weight.transpose(1, 2, 3, 0), jnp.int32)
        self.threshold, self.v_min = held.threshold, held.v_min
        self._zero, self._overflow = core.reset == "zero", core.overflow

    @property
    def map_shape(self) -> tuple[int, int, int]:
        """Features, height and width of the neurons."""
        return self.features, self.y.size, self.x.size

    def updates(self, stream: np.ndarray) -> int:
        """Synaptic operations of events: the neurons that they reach, one by one."""
        places = self.y.reached(stream["y"]) * self.x.reached(stream["x"])
        return int(places.sum()) * self.features

    def run(self, v: np.ndarray, stream: np.ndarray, ticks: np.ndarray) -> CoreEvents:
        """Take a stream of events.

        Args:
            v: Membranes (f, h, w).
            stream: Columns x, y and feature.
            ticks: How often the slow clock ticks before each event, and after the last one.
        """
        state = jnp.asarray(np.ascontiguousarray(v.transpose(1, 2, 0)), jnp.int32)
        columns = np.stack([stream[name] for name in ("feature", "y", "x")], 1).astype(np.int32)
        room = max(BUFFER // math.prod(self._patch), 1)
        size = min(CHUNK, 1 << (room.bit_length() - 1))
        found, overflowed = [np.zeros(0, np.int64)], 0
        for start in range(0, max(len(stream), 1), size):
            part = columns[start : start + size]
            last = start + len(part) == len(stream)
            state, fired, above = _run(
                state,
                _padded(part, size),
                len(part),
                _padded(ticks[start : start + len(part)], size) if self.leaks else None,
                ticks[-1] if last else 0,
                self._weight,
                self._bias,
                self.threshold,
                self.v_min,
                y=self.y,
                x=self.x,
                zero=self._zero,
                overflow=self._overflow,
            )
            overflowed += int(above)
            found.append(np.flatnonzero(np.asarray(fired)) + start * math.prod(self._patch))
        shape = (max(len(stream), 1), *self._patch)
        cause, dy, dx, feature = np.unravel_index(np.concatenate(found), shape)
        y, x = self.y.first(stream["y"])[cause] + dy, self.x.first(stream["x"])[cause] + dx
        return CoreEvents(np.asarray(state).transpose(2, 0, 1), overflowed, cause, feature, y, x)


def _padded(values: np.ndarray, size: int) -> np.ndarray:
    rest = np.zeros((size - len(values), *values.shape[1:]), np.int32)
    return np.concatenate([values.astype(np.int32), rest])


@functools.partial(jax.jit, static_argnames=("y", "x", "zero", "overflow"), donate_argnums=(0,))
def _run(
    v: Int[Array, "h w f"],
    events: Int[Array, "n 3"],
    count: Int[Array, ""],
    ticks: Int[Array, " n"] | None,
    ticks_after: Int[Array, ""],
    weight: Int[Array, "c kh kw f"],
    bias: Int[Array, " f"] | None,
    threshold: Int[Array, ""],
    v_min: Int[Array, ""],
    *,
    y: Axis,
    x: Axis,
    zero: bool,
    overflow: str | None,
) -> tuple[Int[Array, "h w f"], Bool[Array, "n py px f"], Int[Array, ""]]:
    """Membranes after `count` events, the neurons of each event's patch that fired, overflows."""
    # Without an upper end membranes may grow: 29 bits of them are kept.
    patch = (y.patch, x.patch, weight.shape[-1])

    def upper_end(v: Array) -> Array:
        if overflow == "saturate":
            return jnp.minimum(v, TOP)
        return jnp.where(v > TOP, v - (1 << STATE_BITS), v) if overflow == "wrap" else v

    def tick(_: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
        v, above = carry
        v = v + (0 if bias is None else bias)
        above = above + jnp.sum(v > TOP)
        return jnp.maximum(upper_end(v), v_min), above

    def kernel_places(axis: Axis, at: Array) -> tuple[Array, Array]:
        """First neuron, and for each neuron of the patch the place in the kernel."""
        first = axis.first(at)
        return first, at + axis.padding - (first + jnp.arange(axis.patch)) * axis.stride

    def event(i: Array, carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, above, trace = carry
        if ticks is not None:
            v, above = lax.fori_loop(0, ticks[i], tick, (v, above))
        (top, ky), (left, kx) = kernel_places(y, events[i, 1]), kernel_places(x, events[i, 2])
        reached = ((ky >= 0) & (ky < y.kernel))[:, None] & ((kx >= 0) & (kx < x.kernel))
        before = lax.dynamic_slice(v, (top, left, 0), patch)
        summed = before + weight[events[i, 0], ky[:, None], kx]
        after = upper_end(summed)
        fires = (after >= threshold) & reached[..., None]
        after = jnp.where(fires, 0 if zero else after - threshold, after)
        after = jnp.where(reached[..., None], jnp.maximum(after, v_min), before)
        # All by way of `trace`, so that the map has one reader and XLA updates it where it is;
        # otherwise it copies the map for each event.
        over = (summed > TOP) & reached[..., None]
        trace = lax.dynamic_update_slice(trace, (4 * after + 2 * over + fires)[None], (i, 0, 0, 0))
        after = lax.dynamic_slice(trace, (i, 0, 0, 0), (1, *patch))[0] >> 2
        return lax.dynamic_update_slice(v, after, (top, left, 0)), above, trace

    trace = jnp.zeros((len(events), *patch), jnp.int32)
    v, above, trace = lax.fori_loop(0, count, event, (v, jnp.int32(0), trace))
    if ticks is not None:
        v, above = lax.fori_loop(0, ticks_after, tick, (v, above))
    return v, (trace & 1).astype(bool), above + jnp.sum(trace >> 1 & 1)
