"""The Yin-Yang task on BrainScaleS-2: `python -m benchmarks.yin_yang`.

The network and settings of hxtorch's example: the coordinates and a bias are times of spikes, each
input has five rows of synapses, 120 neurons, a readout of three membranes whose largest values are
compared. Several seeds are trained at once, in one program:

- with ideal dynamics and real weights, by hxtorch's settings;
- on from there on a chip, another one for each seed: weights of six bits, and the default mismatch,
  noise and limits of `bss2.Magnitudes`. Tested on the same chip, with new noise.

For comparison, the ideally trained network on that chip without further training, and what was
trained on one chip on another one.

References:
    hxtorch, `hxtorch.examples.spiking.yinyang`; Kriener, Göltz & Petrovici, The Yin-Yang dataset,
    NICE 2022.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PRNGKeyArray
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

import neurojax as nj
from neurojax.chips import MappedNetwork, bss2
from neurojax.surrogate import SuperSpike

STEPS, DT = 38, 1e-6
TAU = 6e-6
HIDDEN, CLASSES = 120, 3
INPUTS, ROWS = 5, 5  # x, y, 1 - x, 1 - y, bias; rows of synapses for each
SYNAPSES = ("linear_h", "linear_o")
WEIGHT_SCALE = 64.0  # steps of the chip's weights in a weight of 1
READOUT_SCALE, READOUT_PENALTY = 10.0, 4e-4
BATCH = 50
TRAIN, TEST = (5000, 42), (1000, 40)  # size and seed


class Learning(NamedTuple):
    """Adam's learning rate, and after how many epochs it halves."""

    rate: float
    halved: int


IDEAL = Learning(5e-4, halved=50)
ON_CHIP = Learning(1e-3, halved=5)


class Samples(NamedTuple):
    """Points and their classes."""

    inputs: Float[Array, "samples 4"]
    labels: Int[Array, " samples"]


def make_samples(size: int, seed: int) -> Samples:
    """The samples of hxtorch's `YinYangDataset`."""
    data = nj.datasets.yin_yang(size, seed=seed)
    return Samples(jnp.asarray(data.inputs), jnp.asarray(data.labels))


def make_network(key: PRNGKeyArray) -> nj.Network:
    """A network as hxtorch's example begins with; all rows of an input have its weights.

    But for the mean of the readout's weights, which is 0 there: a readout that is never above its
    start has no gradient, so that one in eight networks never learns a class.
    """
    hidden, output = jax.random.split(key)
    of_input = 0.2 + 0.2 * jax.random.normal(hidden, (HIDDEN, INPUTS))
    of_output = 0.02 + 0.1 * jax.random.normal(output, (CLASSES, HIDDEN))
    return nj.Sequential(
        (INPUTS * ROWS,),
        linear_h=nj.Linear.from_weights(jnp.tile(of_input, (1, ROWS))),
        hidden=bss2.LIF(tau_mem=TAU, tau_syn=TAU, surrogate=SuperSpike(150.0)),
        linear_o=nj.Linear.from_weights(of_output),
        readout=bss2.LI(tau_mem=TAU, tau_syn=TAU),
    )


def encode(points: Float[Array, "batch 4"]) -> Float[Array, "time batch 25"]:
    """One spike for each coordinate, early for small ones, and one for the bias, on all rows."""
    spikes = nj.encode.coordinates_to_spikes(
        points, steps=STEPS, t_early=2e-6, t_late=26e-6, dt=DT, t_bias=2e-6
    )
    return jnp.tile(spikes, (1, 1, ROWS))


def scores_of(
    network: nj.Network, points: Float[Array, "batch 4"], key: PRNGKeyArray
) -> Float[Array, "batch 3"]:
    """The largest potential of each readout, scaled."""
    run = nj.simulate(network, encode(points), key=key)
    return READOUT_SCALE * nj.decode.max_over_time(run.outputs)


def loss_of(network: nj.Network, samples: Samples, key: PRNGKeyArray) -> Float[Array, ""]:
    """Cross entropy, and a penalty for large scores."""
    scores = scores_of(network, samples.inputs, key)
    entropy = optax.softmax_cross_entropy_with_integer_labels(scores, samples.labels)
    return entropy.mean() + READOUT_PENALTY * (scores**2).mean()


def hold(mapped: MappedNetwork, network: nj.Network) -> nj.Network:
    """The mapped network with the weights of a network in real numbers."""
    return eqx.tree_at(
        lambda net: [net[name].synapse.weight for name in SYNAPSES],
        mapped.network,
        [network[name].weight for name in SYNAPSES],
    )


def put_on_chip(mapped: MappedNetwork, held: nj.Network, key: PRNGKeyArray) -> nj.Network:
    """A mapped network on a chip that is drawn from the key."""
    mapped = mapped.with_network(held)
    return bss2.with_instance(mapped, bss2.draw(key, mapped))


class Trainer:
    """Trains a population of networks in one compiled program, an epoch a call."""

    def __init__(self, networks: nj.Network, samples: Samples, learning: Learning) -> None:
        self.batches = len(samples.labels) // BATCH
        halvings = {n * learning.halved * self.batches: 0.5 for n in range(1, 20)}
        optimiser = optax.adam(optax.piecewise_constant_schedule(learning.rate, halvings))
        self.weights, self.rest = eqx.partition(networks, nj.train.trainable_mask(networks))
        self.moments = eqx.filter_vmap(optimiser.init)(self.weights)

        def epoch(weights, moments, rest, key):
            order, noise = jax.random.split(key)
            rows = jax.random.permutation(order, len(samples.labels))
            rows = rows[: self.batches * BATCH].reshape(self.batches, BATCH)

            def step(carry, xs):
                weights, moments = carry
                row, key = xs

                def loss(weights):
                    batch = jax.tree.map(lambda x: x[row], samples)
                    return loss_of(eqx.combine(weights, rest), batch, key)

                value, slopes = jax.value_and_grad(loss)(weights)
                updates, moments = optimiser.update(slopes, moments)
                return (eqx.apply_updates(weights, updates), moments), value

            keys = jax.random.split(noise, self.batches)
            carry, losses = jax.lax.scan(step, (weights, moments), (rows, keys))
            return *carry, losses.mean()

        self._epoch = eqx.filter_jit(eqx.filter_vmap(epoch))

    @property
    def networks(self) -> nj.Network:
        """The population as it is now."""
        return eqx.combine(self.weights, self.rest)

    def epoch(self, keys: PRNGKeyArray) -> Float[Array, " networks"]:
        """Goes through all samples, in another order for each network; returns their losses."""
        self.weights, self.moments, losses = self._epoch(
            self.weights, self.moments, self.rest, keys
        )
        return losses


@eqx.filter_jit
def accuracies(
    networks: nj.Network, samples: Samples, keys: PRNGKeyArray
) -> Float[Array, " networks"]:
    """Share of samples that each network of a population gets right."""

    def one(network: nj.Network, key: PRNGKeyArray) -> Array:
        scores = scores_of(network, samples.inputs, key)
        return (scores.argmax(-1) == samples.labels).mean()

    return eqx.filter_vmap(one)(networks, keys)


def row(table: Table, name: str, found: Array, seconds: float | None = None) -> None:
    """The accuracies of a population: mean, spread, extremes."""
    found = 100 * np.asarray(found)
    spread = found.std(ddof=1) if len(found) > 1 else 0.0
    table.add_row(
        name,
        f"{found.mean():.1f} ± {spread:.1f} %",
        f"{found.min():.1f} .. {found.max():.1f} %",
        "" if seconds is None else f"{seconds:.0f} s",
    )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.yin_yang", description=__doc__)
    parser.add_argument("--epochs", type=int, default=60, help="epochs with ideal dynamics")
    parser.add_argument("--chip-epochs", type=int, default=15, help="epochs on the chip")
    parser.add_argument("--seeds", type=int, default=5, help="networks, each on a chip of its own")
    parser.add_argument("--seed", type=int, default=0, help="seed of all of them")
    options = parser.parse_args(arguments)
    console = Console()
    train, test = make_samples(*TRAIN), make_samples(*TEST)
    keys = jax.random.split(jax.random.key(options.seed), options.seeds)

    def split(name: str, count: int = 1) -> PRNGKeyArray:
        """Keys of a purpose, for each seed."""
        own = jax.vmap(lambda key: jax.random.fold_in(key, sum(name.encode())))(keys)
        return own if count == 1 else jax.vmap(lambda key: jax.random.split(key, count))(own)

    made = Table(title=f"Yin-Yang on BrainScaleS-2, {options.seeds} seeds")
    for column in ("network", "test accuracy", "range", "training"):
        made.add_column(column, justify="left" if column == "network" else "right", no_wrap=True)
    mapped = bss2.map(make_network(keys[0]), weight_scale=WEIGHT_SCALE)
    on_chips = eqx.filter_vmap(partial(put_on_chip, mapped))
    with Progress(console=console, transient=True) as progress:

        def trained(
            networks: nj.Network, name: str, learning: Learning, epochs: int
        ) -> tuple[nj.Network, float]:
            trainer = Trainer(networks, train, learning)
            task = progress.add_task(name, total=epochs)
            orders, start = split(name, epochs + 1), time.perf_counter()
            for number in range(epochs):
                losses = trainer.epoch(orders[:, number])
                progress.update(task, advance=1, description=f"{name}: loss {losses.mean():.3f}")
            return trainer.networks, time.perf_counter() - start

        def tested(name: str, networks: nj.Network, seconds: float | None = None) -> None:
            row(made, name, accuracies(networks, test, split("test")), seconds)

        ideal = eqx.filter_vmap(make_network)(split("first weights"))
        ideal, seconds = trained(ideal, "ideal", IDEAL, options.epochs)
        tested("ideal dynamics, real weights", ideal, seconds)
        chips = on_chips(eqx.filter_vmap(partial(hold, mapped))(ideal), split("chip"))
        tested("the same, put on a chip", chips)
        chips, seconds = trained(chips, "on the chip", ON_CHIP, options.chip_epochs)
        tested("trained on the chip", chips, seconds)
        others = on_chips(eqx.filter_vmap(bss2.without_instance)(chips), split("another chip"))
        tested("the same, on another chip", others)
    console.print(made)


if __name__ == "__main__":
    main()
