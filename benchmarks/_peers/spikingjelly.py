"""SpikingJelly: multi-step mode (on a CPU this is its torch backend; the others need a GPU)."""

from __future__ import annotations

from benchmarks._peers import Contender, Problem


def contender(problem: Problem) -> Contender:
    from spikingjelly.activation_based import functional, layer, neuron, surrogate

    from benchmarks._peers import _torch

    def lif():
        return neuron.LIFNode(
            tau=1 / (1 - problem.decay),
            decay_input=False,
            v_threshold=problem.threshold,
            v_reset=0.0,
            surrogate_function=surrogate.ATan(alpha=problem.alpha),
            detach_reset=True,
            step_mode="m",
        )

    def make_run(hidden, out):
        # SeqToANNContainer folds time into the batch: one product for all time steps.
        first, second = layer.SeqToANNContainer(hidden), layer.SeqToANNContainer(out)
        neurons = (lif(), lif())

        def run(x):
            for each in neurons:
                functional.reset_net(each)
            inner = neurons[0](first(x))
            return inner, neurons[1](second(inner))

        return run

    return _torch.contender(problem, make_run)
