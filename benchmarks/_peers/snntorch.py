"""snnTorch: its usual loop over time steps."""

from __future__ import annotations

from benchmarks._peers import Contender, Problem


def contender(problem: Problem) -> Contender:
    import snntorch
    import torch
    from snntorch import surrogate

    from benchmarks._peers import _torch

    def leaky():
        # Its reset comes one step late, but a membrane set to zero is zero either way.
        return snntorch.Leaky(
            beta=problem.decay,
            threshold=problem.threshold,
            spike_grad=surrogate.atan(alpha=problem.alpha),
            reset_mechanism="zero",
        )

    def make_run(hidden, out):
        first, second = leaky(), leaky()

        def run(x):
            v, w = first.reset_mem(), second.reset_mem()
            inner, outer = [], []
            for now in x:
                spikes, v = first(hidden(now), v)
                inner.append(spikes)
                spikes, w = second(out(spikes), w)
                outer.append(spikes)
            return torch.stack(inner), torch.stack(outer)

        return run

    return _torch.contender(problem, make_run)
