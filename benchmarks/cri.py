"""CRI's crossbar driven by events: `python -m benchmarks.cri`.

Random networks with a fan-out of 100, simulated by neurojax's event-driven engine and, up to ten
thousand neurons, by a step in NumPy and SciPy that works like hs_api's simulator: a noise draw for
all neurons (whose noise is switched off here, so that results can be compared), then sparse
products over all synapses. Before anything is timed, spikes and membranes are compared with ==. A
second table shows what a step costs against the number of spikes in it.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
import scipy.sparse
from rich.console import Console
from rich.table import Table

import neurojax as nj
from benchmarks._timing import Timing, alternate
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.events import AxonEvents, EventEngine, EventState, Rows, axon_events
from neurojax.chips.cri.models import LIF_neuron
from neurojax.chips.cri.neuron import Neuron, membrane

FAN_OUT = 100
THRESHOLD, LEAK = 1000, 2
DENSE = 10_000
"""Neurons up to which the dense engine runs, too: its weights, and their bytes, take 12 n^2."""

LIMIT = 1 << 34  # of a membrane

STEPS_PER_SECOND = 2000
"""Wanted at 10,000 neurons and about 100 spikes in a step."""
LARGE_STEPS_PER_SECOND = 20
"""Wanted at a million neurons of which one in a hundred fires."""
BUILD_SECONDS = 1.0
"""Wanted for 10,000 neurons."""
MEMORY = 2 << 30
"""Bytes that state and tables of a million neurons may take."""


class Problem(NamedTuple):
    """Each axon makes its targets fire; what neurons send each other alone does not."""

    axons: Rows
    synapses: Rows
    neurons: int


def make_problem(neurons: int, axons: int) -> Problem:
    rng = np.random.default_rng(0)

    def rows(sources: int) -> Rows:
        count = sources * FAN_OUT
        return Rows(
            np.arange(0, count + 1, FAN_OUT),
            rng.integers(0, neurons, count, np.int32),
            rng.integers(-100, 101, count, np.int16),
        )

    drive = rows(axons)
    return Problem(
        drive._replace(weights=np.full_like(drive.weights, 4000)), rows(neurons), neurons
    )


def make_events(problem: Problem, steps: int, active: int) -> list[np.ndarray]:
    """So many axons in each step; about a hundred times as many neurons fire."""
    rng, axons = np.random.default_rng(1), len(problem.axons.lengths)
    return [rng.choice(axons, active, replace=False) for _ in range(steps)]


def lif(shift: int = -17) -> Neuron:
    return Neuron(theta=THRESHOLD, leak=LEAK, shift=shift)


class SciPy:
    """A step as hs_api's simulator takes it, in integers of 64 bits and without its wrappers."""

    def __init__(self, problem: Problem) -> None:
        def matrix(rows: Rows) -> scipy.sparse.csr_array:
            where = (rows.targets, rows.sources())
            shape = (problem.neurons, len(rows.lengths))
            return scipy.sparse.csr_array((rows.weights.astype(np.int64), where), shape=shape)

        self.axons, self.synapses = matrix(problem.axons), matrix(problem.synapses)
        self.rng = np.random.default_rng(2)
        self.reset()

    def reset(self) -> None:
        self.v = np.zeros(self.synapses.shape[0], np.int64)

    def step(self, active: np.ndarray) -> np.ndarray:
        noise = (self.rng.integers(-(1 << 16), 1 << 16, self.v.size) | 1) >> 17
        a = np.zeros(self.axons.shape[1], np.int64)
        a[active] = 1
        spikes = self.v > THRESHOLD
        v = np.where(spikes, 0, self.v - (self.v >> LEAK) + 0 * noise)
        arriving = self.axons @ a + self.synapses @ spikes.astype(np.int64)
        self.v = np.clip(v + arriving, -LIMIT, LIMIT - 1)
        return spikes


def rows_step(problem: Problem, v: np.ndarray, active: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same step by walking rows: for networks whose matrices would not fit."""
    spikes = v > THRESHOLD
    v = np.where(spikes, 0, v - (v >> LEAK))
    for rows, sources in ((problem.axons, active), (problem.synapses, np.flatnonzero(spikes))):
        for source in sources:
            row = slice(rows.starts[source], rows.starts[source + 1])
            np.add.at(v, rows.targets[row], rows.weights[row])
    return v, spikes


def check(problem: Problem, engine: EventEngine, events: list[np.ndarray]) -> None:
    """Membranes and spikes, integer for integer.

    Raises:
        AssertionError: They differ.
    """
    run = engine.run(axon_events(events, engine.axons))
    v = np.zeros(problem.neurons, np.int64)
    for time_, active in enumerate(events):
        v, spikes = rows_step(problem, v, active)
        assert spikes.sum() == run.active[time_], f"step {time_}: other spikes"
    assert np.array_equal(v, engine.membrane(run.state)), "other membranes"


def runner(engine: EventEngine, events: AxonEvents) -> Callable[[], EventState]:
    key = jax.random.key(0) if engine.neuron.needs_key else None

    def run() -> EventState:
        return jax.block_until_ready(engine.run(events, key=key)).state

    return run


def compare(neurons: int, options: argparse.Namespace, console: Console) -> dict[str, float]:
    """Steps per second of all engines, in turns."""
    problem = make_problem(neurons, neurons // 10)
    lists = make_events(problem, options.steps, 1)
    events = axon_events(lists, neurons // 10)
    engine = EventEngine(problem.axons, problem.synapses, neuron=lif(), outputs=[0])
    peer = SciPy(problem)
    check(problem, engine, lists[:50])
    found = engine.run(events)
    few = lists[: max(options.steps // 10, 50)]
    for active, count in zip(few, np.asarray(found.active), strict=False):
        assert peer.step(active).sum() == count, "NumPy and SciPy find other spikes"

    def by_scipy() -> None:
        peer.reset()
        for active in few:
            peer.step(active)

    noisy = EventEngine(problem.axons, problem.synapses, neuron=lif(-8), outputs=[0])
    calls: dict[str, Callable[[], object]] = {
        "events": runner(engine, events),
        "events, with noise": runner(noisy, events),
        "NumPy and SciPy": by_scipy,
    }
    if neurons <= DENSE:
        # As many steps as take a few seconds: a step reads every weight.
        some = few[: max(10, 200_000_000 // neurons**2)]
        layer = Crossbar(
            problem.axons.dense(neurons), problem.synapses.dense(neurons), neuron=lif(), outputs=[0]
        )
        network = nj.Sequential((neurons // 10,), chip=layer)
        inputs = np.zeros((len(some), 1, neurons // 10), np.float32)
        for row, active in zip(inputs, some, strict=True):
            row[0, active] = 1
        run = jax.jit(lambda network, x: nj.simulate(network, x))
        dense = membrane(run(network, inputs).state.layers["chip"])[0]
        assert np.array_equal(dense, engine.membrane(engine.run(some).state)), "dense differs"
        calls["dense crossbar"] = lambda: jax.block_until_ready(run(network, inputs).outputs)
    steps = dict.fromkeys(calls, options.steps) | {"NumPy and SciPy": len(few)}
    steps |= {"dense crossbar": len(some)}
    timings = alternate(calls, options.repeats)
    active_mean = float(np.mean(found.active))
    table = Table(
        title=f"{neurons:,} neurons, fan-out {FAN_OUT}, {active_mean:.0f} spikes in a step"
    )
    for column in ("engine", "steps/s", "best", "of NumPy and SciPy"):
        table.add_column(column, justify="left" if column == "engine" else "right")
    rates = {name: steps[name] / timing.median for name, timing in timings.items()}
    for name, timing in timings.items():
        ratio = rates[name] / rates["NumPy and SciPy"]
        best = steps[name] / timing.best
        table.add_row(name, f"{rates[name]:,.0f}", f"{best:,.0f}", f"{ratio:.1f}")
    console.print(table)
    return rates


def build(neurons: int) -> tuple[float, float]:
    """Seconds from dictionaries to a checked network, and on to the engine; the best of three."""
    rng = np.random.default_rng(0)
    targets = np.argsort(rng.random((neurons, 2 * FAN_OUT)), axis=1)[:, :FAN_OUT].tolist()
    model = LIF_neuron(THRESHOLD, leak=LEAK)
    connections = {n: ([(post, 5) for post in row], model) for n, row in enumerate(targets)}
    axons = {f"a{n}": [(post, 7) for post in row] for n, row in enumerate(targets[:100])}
    times = []
    for _ in range(3):
        start = time.perf_counter()
        network = CRINetwork(axons, connections, [0])
        checked = time.perf_counter() - start
        jax.block_until_ready(network.events().blocks)
        tables = time.perf_counter() - start - checked
        times.append((checked, tables))
    return min(times, key=sum)


def activity(
    engine: EventEngine, problem: Problem, counts: Sequence[int], options: argparse.Namespace
) -> tuple[Table, dict[int, float]]:
    """What a step costs against the spikes in it."""
    table = Table(title=f"{problem.neurons:,} neurons: cost follows spikes")
    for column in ("spikes in a step", "synaptic events", "us a step", "ns an event", "steps/s"):
        table.add_column(column, justify="right")
    steps = max(2_000_000 // problem.neurons, 10)
    events = {n: axon_events(make_events(problem, steps, n), engine.axons) for n in counts}
    calls = {str(n): runner(engine, each) for n, each in events.items()}
    timings: dict[str, Timing] = alternate(calls, options.repeats)
    rates, idle = {}, timings[str(counts[0])].median / steps
    for n, each in events.items():
        spikes = float(np.mean(engine.run(each).active))
        duration = timings[str(n)].median / steps
        synapses = (spikes + n) * FAN_OUT
        cost = f"{1e9 * (duration - idle) / synapses:.1f}" if synapses else ""
        rates[n] = 1 / duration
        table.add_row(
            f"{spikes:,.0f}", f"{synapses:,.0f}", f"{1e6 * duration:,.0f}", cost, f"{rates[n]:,.0f}"
        )
    return table, rates


def large(neurons: int, options: argparse.Namespace, console: Console) -> bool:
    problem = make_problem(neurons, neurons // 100)
    start = time.perf_counter()
    engine = EventEngine(problem.axons, problem.synapses, neuron=lif(), outputs=[0])
    jax.block_until_ready(engine)
    built = time.perf_counter() - start
    one_percent = neurons // (100 * FAN_OUT)
    check(problem, engine, make_events(problem, 4, one_percent // 10))
    counts = (0, one_percent // 100, one_percent // 10, one_percent, 3 * one_percent)
    table, rates = activity(engine, problem, counts, options)
    console.print(table)
    state = sum(leaf.nbytes for leaf in jax.tree.leaves(engine.init()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
    console.print(
        f"Tables {engine.nbytes / (1 << 30):.2f} GiB, state {state / (1 << 20):.0f} MiB, built in "
        f"{built:.1f} s; the whole process had at most {peak:.1f} GiB."
    )
    console.print(
        f"1 % active: {rates[one_percent]:.0f} steps/s; wanted are {LARGE_STEPS_PER_SECOND}."
    )
    small = engine.nbytes + state <= MEMORY or neurons > 1_000_000
    return rates[one_percent] >= LARGE_STEPS_PER_SECOND and small


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cri", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed rounds (default: 7)")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--large", type=int, default=1_000_000, help="neurons; 0: leave it out")
    options = parser.parse_args(arguments)
    if options.repeats < 1:
        parser.error("--repeats must be at least 1")

    console = Console()
    compare(1000, options, console)
    rates = compare(10_000, options, console)
    checked, tables = build(10_000)
    console.print(
        f"10,000 neurons and 1,000,000 synapses: {checked:.2f} s from dictionaries to a checked "
        f"network, {tables:.2f} s more to the engine; wanted is {BUILD_SECONDS:g} s."
    )
    problem = make_problem(10_000, 1000)
    engine = EventEngine(problem.axons, problem.synapses, neuron=lif(), outputs=[0])
    console.print(activity(engine, problem, (0, 1, 3, 10, 30), options)[0])
    good = rates["events"] >= STEPS_PER_SECOND and checked + tables <= BUILD_SECONDS
    if options.large:
        good &= large(options.large, options, console)
    console.print("All targets are met." if good else "[red]A target is missed.[/]")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
