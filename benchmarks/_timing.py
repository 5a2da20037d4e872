"""Times of contenders that take turns.

A shared machine drifts: what runs later seems slower. Every round runs each contender once, in an
order that rotates, so that all of them see the same drift and ratios of medians stay meaningful.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.table import Table


class Timing(NamedTuple):
    """Seconds of one contender."""

    first: float  # the first call, which compiles
    rounds: tuple[float, ...]  # the calls after it

    @property
    def median(self) -> float:
        return statistics.median(self.rounds)

    @property
    def best(self) -> float:
        return min(self.rounds)


def seconds(call: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call, which has to wait for its own result."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(
    contenders: Mapping[str, Callable[[], Any]],
    repeats: int,
    tick: Callable[[str], None] = lambda name: None,
) -> dict[str, Timing]:
    """Time every contender `repeats` times after a first call, in turns.

    Args:
        contenders: What to call, by name. A call returns when its result is there.
        repeats: Rounds.
        tick: Called with the contender's name before each call (for a progress bar).
    """
    names = list(contenders)
    first, rounds = {}, {name: [] for name in names}
    for name in names:
        tick(name)
        first[name] = seconds(contenders[name])
    for number in range(repeats):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            tick(name)
            # OpenMP's threads (torch) spin on for a moment after their work is done.
            time.sleep(0.01)
            rounds[name].append(seconds(contenders[name]))
    return {name: Timing(first[name], tuple(rounds[name])) for name in names}


def table(title: str, timings: dict[str, Timing]) -> Table:
    """Times, and ratios in units of neurojax's time."""
    made = Table(title=title)
    made.add_column("network", no_wrap=True)
    for column in ("median s", "ratio", "best s", "ratio", "first call s"):
        made.add_column(column, justify="right", no_wrap=True)
    mine = timings["neurojax"]
    for name, each in timings.items():
        made.add_row(
            name,
            f"{each.median:.3f}",
            f"{each.median / mine.median:.2f}",
            f"{each.best:.3f}",
            f"{each.best / mine.best:.2f}",
            f"{each.first:.2f}",
        )
    return made
