"""The training step of a two-layer LIF network: `python -m benchmarks.lif_training`.

Forward and backward pass of Linear - LIF - Linear - LIF with the cross entropy of the counted
output spikes, in neurojax, SpikingJelly, snnTorch and two scans written by hand; the bare matrix
products are the floor. All contenders compute the same problem: spikes are compared with ==,
gradients within 1e-4, before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from benchmarks._peers import Contender, Problem, make, ours, scans, snntorch, spikingjelly
from benchmarks._timing import Timing, alternate

Size = tuple[int, int, int, int, int]
SIZES: tuple[Size, ...] = (
    (100, 128, 700, 256, 20),
    (500, 16, 64, 128, 10),
    (200, 64, 256, 512, 10),
)
CONTENDERS: dict[str, Callable[[Problem], Contender]] = {
    "neurojax": ours.contender,
    "SpikingJelly": spikingjelly.contender,
    "snnTorch": snntorch.contender,
    "scan": scans.step_by_step,
    "scan, hoisted": scans.hoisted,
    "neurojax (step)": lambda problem: ours.contender(problem, "step"),
    "neurojax (layer)": lambda problem: ours.contender(problem, "layer"),
}
FLOOR = "products"
REFERENCE = "scan"


class Case(NamedTuple):
    """What was found for one size."""

    size: Size
    spikes: dict[str, tuple[int, int]]  # of the hidden and the output layer, by contender
    gradients: dict[str, float]  # largest difference from the reference, relative to the largest
    timings: dict[str, Timing]


def compare(name: str, mine: Contender, reference: Contender) -> tuple[tuple[int, int], float]:
    """Number of spikes and largest relative difference of the gradients.

    Raises:
        AssertionError: The spikes differ from the reference's, or the gradients by over 1e-4.
    """
    counts = []
    for layer, found, expected in zip(
        ("hidden", "output"), mine.spikes(), reference.spikes(), strict=True
    ):
        found, expected = np.asarray(found), np.asarray(expected)
        different = int(np.sum(found != expected))
        if different:
            raise AssertionError(f"{name}: {different} of {found.size} {layer} spikes differ")
        counts.append(int(found.sum()))
    found, expected = mine.result(mine.train()), reference.result(reference.train())
    error = max(
        float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max())
        for a, b in zip(found[1:], expected[1:], strict=True)
    )
    if not error < 1e-4:
        raise AssertionError(f"{name}: gradients differ by {error:.1e} of the largest")
    return (counts[0], counts[1]), error


def measure(
    size: Size, makers: dict[str, Callable], repeats: int, tick: Callable[[str], None]
) -> Case:
    """Time all contenders for one size, then check that they computed the same."""
    problem = make(size)
    contenders = {name: maker(problem) for name, maker in makers.items()}
    calls = {name: contender.train for name, contender in contenders.items()}
    reference = scans.step_by_step(problem)
    calls[FLOOR] = scans.products(problem)
    # First calls compile, so they are timed before the comparison makes them a second time.
    timings = alternate(calls, 0)
    checked = {name: compare(name, each, reference) for name, each in contenders.items()}
    rounds = alternate(calls, repeats, tick)
    timings = {name: Timing(timings[name].first, rounds[name].rounds) for name in calls}
    spikes = {name: counts for name, (counts, _) in checked.items()}
    gradients = {name: error for name, (_, error) in checked.items()}
    return Case(size, spikes, gradients, timings)


def available(names: Sequence[str], console: Console) -> dict[str, Callable]:
    """The contenders whose libraries can be imported; says which can't, and why."""
    found = {}
    small = make((2, 2, 4, 4, 2))
    for name in names:
        try:
            CONTENDERS[name](small)
        except ImportError as error:
            console.print(
                f"[yellow]{name} is left out[/]: {error}; `make bench` installs the peers"
            )
        else:
            found[name] = CONTENDERS[name]
    return found


def table(case: Case) -> Table:
    """One size as a table; the ratios are times in units of neurojax's, the last column
    is the largest error of a gradient."""
    time, batch, n_in, n_hidden, n_out = case.size
    hidden, out = next(iter(case.spikes.values()), (0, 0))
    title = (
        f"{time} steps, batch {batch}, {n_in}-{n_hidden}-{n_out}: "
        f"{hidden:,} + {out:,} spikes, equal in all"
    )
    made = Table(title=title)
    made.add_column("training step", no_wrap=True)
    for column in ("median ms", "ratio", "best ms", "ratio", "compile s", "error"):
        made.add_column(column, justify="right", no_wrap=True)
    base = case.timings.get("neurojax")
    for name, timing in case.timings.items():
        made.add_row(
            name,
            f"{1e3 * timing.median:.1f}",
            f"{timing.median / base.median:.2f}" if base else "",
            f"{1e3 * timing.best:.1f}",
            f"{timing.best / base.best:.2f}" if base else "",
            f"{max(0.0, timing.first - timing.median):.2f}",
            f"{case.gradients[name]:.0e}" if name in case.gradients else "",
        )
    return made


def as_json(cases: Sequence[Case], repeats: int) -> dict:
    """The cases as plain data, with what they were measured on."""
    return {
        "benchmark": "lif_training",
        "cpus": os.cpu_count(),
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
        "jax": jax.__version__,
        "device": jax.devices()[0].platform,
        "repeats": repeats,
        "cases": [
            {
                "size": case.size,
                "spikes": case.spikes,
                "gradients": case.gradients,
                "median_seconds": {name: t.median for name, t in case.timings.items()},
                "first_seconds": {name: t.first for name, t in case.timings.items()},
                "seconds": {name: t.rounds for name, t in case.timings.items()},
            }
            for case in cases
        ],
    }


def parse_size(text: str) -> Size:
    numbers = tuple(int(part) for part in text.split(","))
    if len(numbers) != 5 or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not time,batch,in,hidden,out")
    return numbers


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lif_training", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="timed rounds (default: 20)")
    parser.add_argument(
        "--sizes",
        type=parse_size,
        nargs="+",
        default=SIZES,
        metavar="T,B,IN,HIDDEN,OUT",
        help="default: " + " ".join(",".join(map(str, size)) for size in SIZES),
    )
    parser.add_argument(
        "--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS), metavar="NAME",
        help="contenders: " + ", ".join(repr(name) for name in CONTENDERS),
    )  # fmt: skip
    parser.add_argument("--threads", type=int, default=2, help="threads of torch (default: 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers here, too")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")

    console = Console()
    makers = available(options.only, console)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(options.threads)
    cases = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        for size in options.sizes:
            total = (len(makers) + 1) * (options.repeats + 1)
            task = progress.add_task(f"{size}: compile and compare", total=total)

            def tick(name: str, task=task, size=size) -> None:
                progress.update(task, advance=1, description=f"{size}: {name}")

            cases.append(measure(size, makers, options.repeats, tick))
            progress.remove_task(task)
            console.print(table(cases[-1]))
    if options.json:
        options.json.write_text(json.dumps(as_json(cases, options.repeats), indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
