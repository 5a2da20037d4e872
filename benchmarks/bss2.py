"""BrainScaleS-2: training speed against a plain torch loop, and many chips in one program.

`python -m benchmarks.bss2` prints two tables.

1. An epoch of Yin-Yang (5000 samples in batches of 50, 38 time steps, 5 rows an input, 120 neurons,
   3 readouts, Adam) with ideal dynamics, against the same dynamics as a loop over time in torch, as
   hxtorch's software mode does it. Spikes must be equal, losses and weights after the epoch close.
2. Forward passes of the mapped network on many chips of the default mismatch and noise at once,
   against the same compiled program called for one chip after the other.

Needs torch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from rich.console import Console
from rich.table import Table

import neurojax as nj
from benchmarks import yin_yang
from benchmarks._timing import Timing, alternate
from neurojax.chips import bss2

BATCH, DT, TAU, ALPHA = yin_yang.BATCH, yin_yang.DT, yin_yang.TAU, 150.0


class SuperSpike(torch.autograd.Function):
    """hxtorch's spike."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(u)
        return torch.gt(u, 0.0).to(u.dtype)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:
        (u,) = ctx.saved_tensors
        return g / (ALPHA * torch.abs(u) + 1.0) ** 2


def lif(inputs: torch.Tensor) -> torch.Tensor:
    """Spikes of LIF neurons, threshold 1, reset and leak 0."""
    v = i = torch.zeros_like(inputs[0])
    spikes = []
    for x in inputs:
        v = v + DT / TAU * (0.0 - v + i)
        i = i * (1 - DT / TAU) + x
        z = SuperSpike.apply(v - 1.0)
        v = (1 - z.detach()) * v
        spikes.append(z)
    return torch.stack(spikes)


def li(inputs: torch.Tensor) -> torch.Tensor:
    """Membranes of readouts."""
    v = i = torch.zeros_like(inputs[0])
    traces = []
    for x in inputs:
        v = v + DT / TAU * (0.0 - v + i)
        i = i * (1 - DT / TAU) + x
        traces.append(v)
    return torch.stack(traces)


class TorchNetwork(torch.nn.Module):
    """The network of `yin_yang` as a torch module."""

    def __init__(self, network: nj.Network) -> None:
        super().__init__()
        first, second = (np.array(network[name].weight) for name in yin_yang.SYNAPSES)
        self.first = torch.nn.Parameter(torch.tensor(first))
        self.second = torch.nn.Parameter(torch.tensor(second))

    def forward(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        spikes = lif(torch.nn.functional.linear(inputs, self.first))
        traces = li(torch.nn.functional.linear(spikes, self.second))
        return yin_yang.READOUT_SCALE * torch.amax(traces, 0), spikes


def torch_epoch(
    network: nj.Network, spikes: np.ndarray, labels: np.ndarray, order: np.ndarray, threads: int
) -> Callable[[], tuple[list[float], list[np.ndarray]]]:
    """A call that trains a fresh copy of the network; gives losses and weights."""
    x, y, rows = torch.tensor(spikes), torch.tensor(labels).long(), torch.tensor(order)

    def run() -> tuple[list[float], list[np.ndarray]]:
        torch.set_num_threads(threads)
        model, losses = TorchNetwork(network), []
        adam = torch.optim.Adam(model.parameters(), lr=yin_yang.IDEAL.rate)
        for row in rows:
            adam.zero_grad()
            scores, _ = model(x[:, row])
            loss = torch.nn.functional.cross_entropy(scores, y[row])
            loss = loss + yin_yang.READOUT_PENALTY * (scores**2).mean()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        return losses, [w.detach().numpy() for w in model.parameters()]

    return run


def our_epoch(
    network: nj.Network, spikes: np.ndarray, labels: np.ndarray, order: np.ndarray
) -> Callable[[], tuple[list[float], list[np.ndarray]]]:
    """The same here: one compiled program for the epoch."""
    optimiser = optax.adam(yin_yang.IDEAL.rate)

    def loss_of(network: nj.Network, x: jax.Array, y: jax.Array) -> jax.Array:
        outputs = nj.simulate(network, x).outputs
        scores = yin_yang.READOUT_SCALE * nj.decode.max_over_time(outputs)
        loss = optax.softmax_cross_entropy_with_integer_labels(scores, y).mean()
        return loss + yin_yang.READOUT_PENALTY * (scores**2).mean()

    @eqx.filter_jit
    def train(network: nj.Network, x: jax.Array, y: jax.Array, order: jax.Array) -> Any:
        weights, rest = eqx.partition(network, eqx.is_inexact_array)

        def step(carry: Any, row: jax.Array) -> tuple[Any, jax.Array]:
            weights, moments = carry
            value, slopes = jax.value_and_grad(
                lambda weights: loss_of(eqx.combine(weights, rest), x[:, row], y[row])
            )(weights)
            updates, moments = optimiser.update(slopes, moments)
            return (eqx.apply_updates(weights, updates), moments), value

        (weights, _), losses = jax.lax.scan(step, (weights, optimiser.init(weights)), order)
        return losses, [weights[name].weight for name in yin_yang.SYNAPSES]

    arrays = jnp.asarray(spikes), jnp.asarray(labels), jnp.asarray(order)

    def run() -> tuple[list[float], list[np.ndarray]]:
        losses, weights = train(network, *arrays)
        return np.asarray(losses).tolist(), [np.asarray(w) for w in weights]

    return run


def check(network: nj.Network, spikes: np.ndarray) -> int:
    """Number of hidden spikes of the first samples; AssertionError unless they are torch's."""
    ours = nj.simulate(network, spikes, probes=["hidden"])
    with torch.no_grad():
        scores, theirs = TorchNetwork(network)(torch.tensor(spikes))
    found, expected = np.asarray(ours["hidden"]), theirs.numpy()
    different = int((found != expected).sum())
    if different:
        raise AssertionError(f"{different} of {expected.size} hidden spikes differ from torch's")
    mine = yin_yang.READOUT_SCALE * nj.decode.max_over_time(ours.outputs)
    np.testing.assert_allclose(mine, scores.numpy(), rtol=1e-4, atol=1e-4)
    return int(expected.sum())


def new_table(title: str, what: str, per: str) -> Table:
    made = Table(title=title)
    made.add_column(what, no_wrap=True)
    for column in ("median s", "ratio", "best s", "ratio", per):
        made.add_column(column, justify="right", no_wrap=True)
    return made


def add_rows(table: Table, timings: dict[str, Timing], per: float, reference: str) -> None:
    """Times, and ratios in units of the reference's; `per` units of work are in one call."""
    base = timings[reference]
    for name, each in timings.items():
        table.add_row(
            name,
            f"{each.median:.2f}",
            f"{each.median / base.median:.1f}",
            f"{each.best:.2f}",
            f"{each.best / base.best:.1f}",
            f"{per / each.median:,.0f}",
        )


def compare_epoch(console: Console, repeats: int, samples: int, threads: int) -> None:
    """The first table."""
    data = yin_yang.make_samples(samples, 42)
    network = yin_yang.make_network(jax.random.key(0))
    spikes, labels = np.asarray(yin_yang.encode(data.inputs)), np.asarray(data.labels)
    count = check(network, spikes[:, :1000])
    order = np.random.default_rng(0).permutation(samples)[: samples // BATCH * BATCH]
    order = order.reshape(-1, BATCH)
    calls = {
        "neurojax": our_epoch(network, spikes, labels, order),
        **{
            f"torch, threads: {n}": torch_epoch(network, spikes, labels, order, n)
            for n in dict.fromkeys((1, threads))
        },
    }
    (losses, weights), (expected, theirs), *_ = (call() for call in calls.values())
    np.testing.assert_allclose(losses[0], expected[0], rtol=1e-5)
    drift = max(float(np.abs(a - b).max()) for a, b in zip(weights, theirs, strict=True))
    timings = alternate(calls, repeats)
    title = f"An epoch of {order.size} samples; {count:,} hidden spikes, equal in both"
    table = new_table(title, "training", "samples/s")
    add_rows(table, timings, order.size, "neurojax")
    console.print(table)
    console.print(
        f"loss of the first batch {losses[0]:.6f} and {expected[0]:.6f}, mean of the last ten "
        f"{np.mean(losses[-10:]):.3f} and {np.mean(expected[-10:]):.3f}; weights after the epoch "
        f"differ by at most {drift:.0e}"
    )


def compare_chips(console: Console, repeats: int, chips: int, samples: int) -> None:
    """The second table."""
    points = yin_yang.make_samples(samples, 40).inputs
    mapped = bss2.map(yin_yang.make_network(jax.random.key(0)), weight_scale=yin_yang.WEIGHT_SCALE)

    def scores(key: jax.Array) -> jax.Array:
        made, noise = jax.random.split(key)
        chip = bss2.with_instance(mapped, bss2.draw(made, mapped))
        return yin_yang.scores_of(chip, points, noise)

    keys = jax.random.split(jax.random.key(1), chips)
    one, all_at_once = jax.jit(scores), jax.jit(jax.vmap(scores))
    in_turn = partial(lambda: [one(key).block_until_ready() for key in keys])
    np.testing.assert_allclose(all_at_once(keys)[:2], [one(k) for k in keys[:2]], atol=1e-3)
    calls = {"vmap": lambda: all_at_once(keys).block_until_ready(), "one after the other": in_turn}
    table = new_table(f"{chips} chips, {samples} samples each", "forward passes", "chips/s")
    add_rows(table, alternate(calls, repeats), chips, "vmap")
    console.print(table)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bss2", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="timed calls of each")
    parser.add_argument("--samples", type=int, default=5000, help="of the training epoch")
    parser.add_argument("--chips", type=int, default=1000)
    parser.add_argument("--chip-samples", type=int, default=10, help="samples a chip")
    options = parser.parse_args(arguments)
    affinity = hasattr(os, "sched_getaffinity")
    threads = len(os.sched_getaffinity(0)) if affinity else os.cpu_count() or 1
    console = Console()
    console.print(f"{threads} threads")
    compare_epoch(console, options.repeats, options.samples, threads)
    compare_chips(console, options.repeats, options.chips, options.chip_samples)


if __name__ == "__main__":
    main()
