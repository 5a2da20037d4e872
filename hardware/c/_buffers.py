"""Static buffers that layers share when their outputs are never needed at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Step(NamedTuple):
    """What a call reads and writes, as far as memory is concerned."""

    reads: tuple[str, ...]  # arrays
    writes: str
    bytes: int  # of what it writes
    in_place: tuple[str, ...] = ()  # of what it reads: where it may write


class Buffer(NamedTuple):
    """A piece of static memory."""

    arrays: tuple[str, ...]  # that lie in it, one after the other
    bytes: int


def share_buffers(steps: Sequence[Step], outside: Sequence[str]) -> tuple[Buffer, ...]:
    """Place what the steps write in as few bytes as a simple rule finds.

    An array takes the smallest buffer that is free and large enough, else the largest that is
    free, which then grows, else a new one.

    Args:
        steps: In their order.
        outside: Arrays that have memory of their own.

    Example:
        >>> steps = [Step(("x",), "a", 8), Step(("a",), "b", 4), Step(("b",), "c", 6)]
        >>> share_buffers(steps, ["x"])
        (Buffer(arrays=('a', 'c'), bytes=8), Buffer(arrays=('b',), bytes=4))
    """
    last = {name: i for i, step in enumerate(steps) for name in (step.writes, *step.reads)}
    buffers: list[Buffer] = []
    for i, step in enumerate(steps):
        if step.writes in outside:
            continue

        def is_free(buffer: Buffer, i: int = i, step: Step = step) -> bool:
            held = buffer.arrays[-1]
            return last[held] < i or (last[held] == i and held in step.in_place)

        free = [k for k, buffer in enumerate(buffers) if is_free(buffer)]
        fitting = [k for k in free if buffers[k].bytes >= step.bytes]
        if fitting:
            place = min(fitting, key=lambda k: buffers[k].bytes)
        elif free:
            place = max(free, key=lambda k: buffers[k].bytes)
        else:
            buffers.append(Buffer((step.writes,), step.bytes))
            continue
        held = buffers[place]
        buffers[place] = Buffer((*held.arrays, step.writes), max(held.bytes, step.bytes))
    return tuple(buffers)
