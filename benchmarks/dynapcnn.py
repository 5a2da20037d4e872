"""A mapped network on a Speck-sized chip against the same integers in plain PyTorch.

Four 3x3 convolutions that fill large cores of a speck2fmodule (64 Ki and 32 Ki of neuron memory,
32 Ki and 64 Ki of kernel memory), on events of 128x128 pixels. The mapped network, weights and
thresholds included, is handed to torch: convolution, integration, spikes, subtraction, lower bound
and sum pooling in a loop over time, in torch's two memory layouts and layer by layer. All outputs
must be equal. `python -m benchmarks.dynapcnn` prints times and ratios torch /
neurojax (above 1, neurojax is faster) for inputs of several activities. Needs torch.
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
from benchmarks._timing import alternate, table
from neurojax.chips import dynapcnn

CHANNELS = (2, 16, 32, 64, 64)
STRIDES = (2, 1, 1, 1)
PIXELS = 128
POOL = 2
GAINS = (2.0, 0.7, 0.5, 0.5)  # such that about as many spikes come out of each core as went in
ACTIVITIES = (0.1, 0.01, 0.001, 0.0001)


class Held(NamedTuple):
    """A core for torch."""

    weight: torch.Tensor
    threshold: float
    v_min: float
    stride: int


def make_mapped(seed: int = 0) -> nj.Network:
    """The network of cores, whose layers are `spikes0`, `pool0`, `spikes1`, ..."""
    rng = np.random.default_rng(seed)
    layers: dict[str, nj.Layer] = {}
    for i, (into, out) in enumerate(itertools.pairwise(CHANNELS)):
        weight = rng.normal(0, GAINS[i], (out, into, 3, 3)) / np.sqrt(into * 9)
        layers[f"conv{i}"] = nj.Conv2d.from_weights(
            weight.astype(np.float32), stride=STRIDES[i], padding=1
        )
        layers[f"spikes{i}"] = nj.IAF(v_min=-1.0, max_spikes=None)
        layers[f"pool{i}"] = nj.SumPool2d(POOL)
    network = nj.Sequential((CHANNELS[0], PIXELS, PIXELS), **layers)
    return dynapcnn.map(network, device="speck2fmodule").network


def make_inputs(steps: int, batch: int, activity: float) -> np.ndarray:
    """0 or 1, `[time, batch, 2, 128, 128]`; `activity` is the share of ones."""
    rng = np.random.default_rng(1)
    shape = (steps, batch, CHANNELS[0], PIXELS, PIXELS)
    return (rng.random(shape, np.float32) < activity).astype(np.float32)


Run = Callable[[], Any]


def ours(network: nj.Network, inputs: np.ndarray) -> Run:
    """A call as users make it; returns when the result is there."""
    x = jnp.asarray(inputs)
    run = jax.jit(lambda network, x: nj.simulate(network, x).outputs)
    return lambda: run(network, x).block_until_ready()


def cores_for_torch(network: nj.Network, layout: torch.memory_format) -> list[Held]:
    held = []
    for i in range(len(STRIDES)):
        core = network[f"spikes{i}"]
        assert isinstance(core, dynapcnn.Core)
        numbers = core.integers()
        weight = torch.tensor(numbers.weight, dtype=torch.float32).contiguous(memory_format=layout)
        held.append(Held(weight, float(numbers.threshold), float(numbers.v_min), core.stride[0]))
    return held


def convolve(x: torch.Tensor, core: Held) -> torch.Tensor:
    return torch.nn.functional.conv2d(x, core.weight, stride=core.stride, padding=1)


def fire(v: torch.Tensor, core: Held) -> tuple[torch.Tensor, torch.Tensor]:
    """sinabs' MultiSpike, subtraction and lower bound, with as few passes as torch allows."""
    spikes = torch.floor(v / core.threshold).clamp_(min=0)
    v = v.sub(spikes, alpha=core.threshold).clamp_(min=core.v_min)
    return v, spikes


def pool(x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(x, POOL, divisor_override=1)


def step_by_step(inputs: torch.Tensor, cores: Sequence[Held]) -> torch.Tensor:
    """The whole network in every time step."""
    v: list[Any] = [0.0] * len(cores)
    outputs = []
    for x in inputs:
        for i, core in enumerate(cores):
            v[i], spikes = fire(v[i] + convolve(x, core), core)
            x = pool(spikes)
        outputs.append(x)
    return torch.stack(outputs)


def layer_by_layer(inputs: torch.Tensor, cores: Sequence[Held]) -> torch.Tensor:
    """Each core over all time; its convolution and pooling have time in the batch."""
    x, time_batch = inputs, inputs.shape[:2]
    for core in cores:
        currents = convolve(x.flatten(0, 1), core).unflatten(0, time_batch)
        v: Any = 0.0
        spikes = []
        for current in currents:
            v, s = fire(v + current, core)
            spikes.append(s)
        x = pool(torch.cat(spikes)).unflatten(0, time_batch)
    return x


def torchs(
    run: Callable[[torch.Tensor, Sequence[Held]], torch.Tensor],
    network: nj.Network,
    inputs: np.ndarray,
    layout: torch.memory_format = torch.contiguous_format,
) -> Run:
    flat = torch.tensor(inputs).flatten(0, 1).contiguous(memory_format=layout)
    x, cores = flat.unflatten(0, inputs.shape[:2]), cores_for_torch(network, layout)

    def forward() -> torch.Tensor:
        with torch.inference_mode():
            return run(x, cores)

    return forward


def contenders(network: nj.Network, inputs: np.ndarray) -> dict[str, Run]:
    last = torch.channels_last
    return {
        "neurojax": ours(network, inputs),
        "torch, step by step": torchs(step_by_step, network, inputs),
        "torch, channels last": torchs(step_by_step, network, inputs, last),
        "torch, layer by layer": torchs(layer_by_layer, network, inputs),
    }


def check(calls: dict[str, Run]) -> float:
    """Spikes of the last core; AssertionError unless all outputs are equal."""
    found = {name: np.asarray(call()) for name, call in calls.items()}
    for name, each in found.items():
        different = int(np.sum(each != found["neurojax"]))
        if different:
            raise AssertionError(f"{name}: {different} of {each.size} outputs differ")
    return float(found["neurojax"].sum())


def activity_of_cores(network: nj.Network, inputs: np.ndarray) -> list[float]:
    """Spikes a neuron and step of each core."""
    names = [f"spikes{i}" for i in range(len(STRIDES))]
    run = jax.jit(lambda x: nj.simulate(network, x, probes=names).traces)
    return [float(jnp.mean(run(jnp.asarray(inputs[:, :1]))[name])) for name in names]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dynapcnn", description=__doc__)
    parser.add_argument("--repeats", type=int, default=7, help="timed calls of each")
    parser.add_argument("--steps", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--activity", type=float, nargs="+", default=ACTIVITIES)
    options = parser.parse_args(arguments)
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    torch.set_num_threads(threads or 1)
    network, console = make_mapped(), Console()
    console.print(f"{options.steps} steps, batch {options.batch}, {threads} threads")
    with Progress(console=console, transient=True) as progress:
        count = 4 * (options.repeats + 1) * len(options.activity)
        task = progress.add_task("timing", total=count)
        for activity in options.activity:
            inputs = make_inputs(options.steps, options.batch, activity)
            calls = contenders(network, inputs)
            timings = alternate(calls, options.repeats, lambda _: progress.advance(task))
            spikes = check(calls)
            inside = ", ".join(f"{a:.2%}" for a in activity_of_cores(network, inputs))
            console.print(
                table(
                    f"{activity:.2%} of the pixels active; spikes a neuron and step in the cores: "
                    f"{inside}; {spikes:,.0f} output spikes, equal in all",
                    timings,
                )
            )


if __name__ == "__main__":
    main()
