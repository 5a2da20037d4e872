"""What the two torch libraries have in common."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks._peers import Contender, Problem, Step


def linear(weight: torch.Tensor) -> torch.nn.Linear:
    """A linear layer without bias that holds `weight`."""
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    layer.weight = torch.nn.Parameter(weight)
    return layer


def contender(
    problem: Problem,
    make_run: Callable[[torch.nn.Linear, torch.nn.Linear], Callable],
) -> Contender:
    """A contender from `make_run(hidden, out)`, which returns `run(x) -> (spikes, spikes)`."""
    x, labels = torch.from_numpy(problem.inputs), torch.from_numpy(problem.labels)
    hidden = linear(torch.from_numpy(problem.hidden))
    out = linear(torch.from_numpy(problem.out))
    run = make_run(hidden, out)

    def spikes():
        with torch.no_grad():
            return tuple(layer.numpy() for layer in run(x))

    def train():
        hidden.weight.grad = out.weight.grad = None
        _, fired = run(x)
        loss = torch.nn.functional.cross_entropy(fired.sum(0), labels)
        loss.backward()
        return loss.item(), hidden.weight.grad, out.weight.grad

    def result(values) -> Step:
        loss, hidden_grad, out_grad = values
        return Step(loss, hidden_grad.numpy(), out_grad.numpy())

    return Contender(spikes, train, result)
