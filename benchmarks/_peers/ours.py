"""neurojax as its users call it."""

from __future__ import annotations

import neurojax as nj
from benchmarks._peers import Contender, Problem
from benchmarks._peers.scans import jax_contender
from neurojax import surrogate


def contender(problem: Problem, schedule: str = "auto") -> Contender:
    def lif() -> nj.LIF:
        return nj.LIF(
            decay=problem.decay,
            threshold=problem.threshold,
            reset="zero",
            detach_reset=True,
            surrogate=surrogate.ATan(alpha=problem.alpha),
        )

    network = nj.Sequential(
        problem.inputs.shape[2:],
        hidden=nj.Linear.from_weights(problem.hidden),
        inner=lif(),
        out=nj.Linear.from_weights(problem.out),
        outer=lif(),
    )

    def run(network, x):
        run = nj.simulate(network, x, schedule=schedule)
        return None, run.outputs

    def spikes():
        run = nj.simulate(network, problem.inputs, probes=["inner"], schedule=schedule)
        return run["inner"], run.outputs

    made = jax_contender(
        problem, run, network, lambda gradient: (gradient["hidden"].weight, gradient["out"].weight)
    )
    return made._replace(spikes=spikes)
