"""A convolutional spiking network against the same network in plain PyTorch.

Four 3x3 convolutions, each with integrate-and-fire neurons and 2x2 sum pooling, on random events of
128x128 pixels. Weights are multiples of 1/32, so that every sum is exact and the spikes must be
equal. `python -m benchmarks.convolution` prints the ratios torch / neurojax: above 1, neurojax is
faster. Needs torch.
"""

from __future__ import annotations

import argparse
import itertools
import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import torch
from rich.console import Console
from rich.progress import Progress

import neurojax as nj
from benchmarks._timing import Timing, alternate, table
from neurojax.surrogate import SuperSpike

CHANNELS = (2, 8, 16, 32, 32)
PIXELS = 128
LAYERS = len(CHANNELS) - 1


class Problem(NamedTuple):
    """The same numbers for everybody."""

    inputs: np.ndarray  # [time, batch, 2, 128, 128], 0 or 1
    weights: tuple[np.ndarray, ...]  # (out, in, 3, 3) each


class Contender(NamedTuple):
    """A way to run the network. All three wait for their results."""

    spikes: Callable[[], np.ndarray]  # pooled spikes of the last layer
    forward: Callable[[], Any]
    gradients: Callable[[], Sequence[Any]]  # of the sum of the outputs, forward pass included


def make_problem(steps: int, batch: int) -> Problem:
    rng = np.random.default_rng(0)
    inputs = rng.random((steps, batch, CHANNELS[0], PIXELS, PIXELS)) < 0.1
    shapes = [(o, i, 3, 3) for i, o in itertools.pairwise(CHANNELS)]
    weights = tuple(rng.integers(-8, 12, shape).astype(np.float32) / 32 for shape in shapes)
    return Problem(inputs.astype(np.float32), weights)


def ours(problem: Problem, *, schedule: str = "auto", implementation: str = "auto") -> Contender:
    layers: dict[str, nj.Layer] = {}
    for i, weight in enumerate(problem.weights):
        layers[f"conv{i}"] = nj.Conv2d.from_weights(
            weight, padding=1, implementation=implementation
        )
        layers[f"iaf{i}"] = nj.IAF(surrogate=SuperSpike(alpha=1.0))
        layers[f"pool{i}"] = nj.SumPool2d(2)
    network = nj.Sequential(problem.inputs.shape[2:], **layers)
    inputs = jnp.asarray(problem.inputs)

    @jax.jit
    def run(network: nj.Network) -> jax.Array:
        return nj.simulate(network, inputs, schedule=schedule).outputs

    gradient = jax.jit(jax.grad(lambda network: run(network).sum()))

    def gradients() -> list[jax.Array]:
        found = jax.block_until_ready(gradient(network))
        return [found[f"conv{i}"].weight for i in range(LAYERS)]

    return Contender(
        lambda: np.asarray(run(network)), lambda: run(network).block_until_ready(), gradients
    )


class Spike(torch.autograd.Function):
    """The same step and surrogate derivative as neurojax's."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return (u >= 0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return gradient / (1 + u.abs()) ** 2


def convolve(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.conv2d(x, weight, padding=1)


def pool(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(x, 2, divisor_override=1)


def fire(v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    spikes = Spike.apply(v - 1.0)
    return v - spikes, spikes


def step_by_step(inputs: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """The whole network in every time step."""
    v: list[Any] = [0.0] * LAYERS
    outputs = []
    for x in inputs:
        for i, weight in enumerate(weights):
            v[i], spikes = fire(v[i] + convolve(x, weight))
            x = pool(spikes)
        outputs.append(x)
    return torch.stack(outputs)


def layer_by_layer(inputs: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Each layer over all time; its convolution and pooling have time in the batch."""
    x, time_batch = inputs, inputs.shape[:2]
    for weight in weights:
        currents = convolve(x.flatten(0, 1), weight).unflatten(0, time_batch)
        v: Any = 0.0
        spikes = []
        for current in currents:
            v, s = fire(v + current)
            spikes.append(s)
        x = pool(torch.cat(spikes)).unflatten(0, time_batch)
    return x


def torchs(
    run: Callable[[torch.Tensor, Sequence[torch.Tensor]], torch.Tensor],
    problem: Problem,
    *,
    channels_last: bool = False,
) -> Contender:
    inputs = torch.tensor(problem.inputs)
    weights = [torch.tensor(w) for w in problem.weights]
    if channels_last:
        layout = torch.channels_last
        flat = inputs.flatten(0, 1).contiguous(memory_format=layout)
        inputs = flat.unflatten(0, inputs.shape[:2])
        weights = [w.contiguous(memory_format=layout) for w in weights]
    for weight in weights:
        weight.requires_grad_()

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return run(inputs, weights)

    def gradients() -> Sequence[torch.Tensor]:
        return torch.autograd.grad(run(inputs, weights).sum(), weights)

    return Contender(lambda: forward().contiguous().numpy(), forward, gradients)


def check(contenders: dict[str, Contender]) -> int:
    """The number of spikes; AssertionError unless spikes are equal and gradients are close."""
    reference = contenders[TORCH[0]]
    spikes, gradients = reference.spikes(), reference.gradients()
    for name, contender in contenders.items():
        different = int(np.sum(contender.spikes() != spikes))
        if different:
            raise AssertionError(f"{name}: {different} of {spikes.size} outputs differ")
        for found, expected in zip(contender.gradients(), gradients, strict=True):
            want = np.asarray(expected)
            error = np.abs(np.asarray(found) - want).max() / np.abs(want).max()
            if not error < 1e-3:
                raise AssertionError(f"{name}: a gradient is off by {error:.1e}")
    return int(spikes.sum())


TORCH = ("torch, step by step", "torch, channels last", "torch, layer by layer")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convolution", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--native", action="store_true", help="XLA's own convolution as well")
    options = parser.parse_args(arguments)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads or 1)
    problem = make_problem(options.steps, options.batch)
    contenders = {
        "neurojax": ours(problem),
        TORCH[0]: torchs(step_by_step, problem),
        TORCH[1]: torchs(step_by_step, problem, channels_last=True),
        TORCH[2]: torchs(layer_by_layer, problem),
    }
    if options.native:
        contenders["neurojax, native"] = ours(problem, implementation="native")
    timings = {}
    console = Console()
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("timing", total=2 * len(contenders) * options.repeats)
        for what in ("forward", "gradients"):
            calls = {name: getattr(c, what) for name, c in contenders.items()}
            first = alternate(calls, 0)  # before the check, which would compile
            again = alternate(calls, options.repeats, lambda _: progress.advance(task))
            timings[what] = {n: Timing(first[n].first, again[n].rounds) for n in calls}
    spikes = check(contenders)
    console.print(
        f"{options.steps} steps, batch {options.batch}, {PIXELS}x{PIXELS}, {threads} threads: "
        f"{spikes:,} output spikes, equal in all"
    )
    console.print(table("forward", timings["forward"]))
    console.print(table("forward and backward", timings["gradients"]))


if __name__ == "__main__":
    main()
