"""MNIST on BrainScaleS-2 in perceptron mode: `python -m benchmarks.bss2_perceptron`.

The network of hxtorch's example, trained and tested with the chip's integers, gain and noise: a
convolution 10 x 10 with stride 5 to 20 channels, 500-128-10, converting ReLUs, no biases; batches
of 1000, Adam with a learning rate of 1.0, 20 epochs. Two recipes:

* that of the example: the rate falls by 1 % an epoch, outputs are taken as they are for scores.
* `annealed`: the rate falls by 10 % an epoch, and scores are outputs divided by 4. Undivided, a
  margin of a few steps between outputs is as good as certain for the loss, and no more than noise.

References:
    hxtorch (3bfc7aa), `hxtorch.perceptron.examples.mnist`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

import neurojax as nj
from neurojax import datasets, train
from neurojax.chips.bss2 import perceptron as hagen
from neurojax.datasets import DataFileError

BATCH = 1000
RATE = 1.0
WANTED = 0.97


class Recipe(NamedTuple):
    """How the network is trained."""

    decay: float  # of the learning rate, an epoch
    temperature: float  # steps of an output that are a score of 1


RECIPES = {"example": Recipe(0.99, 1.0), "annealed": Recipe(0.9, 4.0)}


def network(mock: hagen.MockParameter, key: jax.Array) -> nj.Network:
    """The network with random weights."""
    keys = jax.random.split(key, 3)
    return nj.Sequential(
        (1, 28, 28),
        conv=hagen.Conv2d(
            1, 20, 10, stride=5, padding=1, mock=mock, input_transform=hagen.scale_input,
            key=keys[0],
        ),
        conv_relu=hagen.ConvertingReLU(shift=1),
        flat=nj.Flatten(),
        hidden=hagen.Linear(500, 128, mock=mock, key=keys[1]),
        hidden_relu=hagen.ConvertingReLU(shift=1),
        out=hagen.Linear(128, 10, mock=mock, key=keys[2]),
    )  # fmt: skip


def optimiser(samples: int, decay: float) -> optax.GradientTransformation:
    """Adam, whose rate falls every epoch; weights stop at what a synapse can have."""
    schedule = optax.exponential_decay(RATE, samples // BATCH, decay, staircase=True)
    return optax.chain(optax.adam(schedule), hagen.clamped_weights())


def run(
    recipe: Recipe, seed: int, epochs: int, mock: hagen.MockParameter
) -> tuple[float, float, float]:
    """Test accuracy with the noise and without, and seconds of an epoch."""
    training, test = datasets.mnist(fetch=False)

    def loss(outputs: jax.Array, labels: jax.Array) -> jax.Array:
        scores = outputs[0] / recipe.temperature  # one time step
        return optax.softmax_cross_entropy_with_integer_labels(scores, labels)

    init, fit = jax.random.split(jax.random.key(seed))
    fitted = train.fit(
        network(mock, init),
        training,
        steps=1,
        epochs=epochs,
        batch_size=BATCH,
        loss=loss,
        optimiser=optimiser(len(training), recipe.decay),
        keep_best=False,
        key=fit,
    )
    silent = hagen.with_mock(fitted.network, noise_std=0.0)
    noisy, clean = (
        train.evaluate(each, test, steps=1, batch_size=BATCH, spikes=False)["accuracy"]
        for each in (fitted.network, silent)
    )
    return noisy, clean, float(np.median(fitted.history["seconds"]))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bss2_perceptron")
    parser.add_argument("--epochs", type=int, default=20, help="default: 20")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="default: 0")
    parser.add_argument("--noise", type=float, default=2.0, help="noise_std (default: 2.0)")
    parser.add_argument(
        "--recipes", nargs="+", choices=RECIPES, default=list(RECIPES), help="default: both"
    )
    options = parser.parse_args(arguments)
    console = Console()
    mock = hagen.MockParameter(noise_std=options.noise)
    columns = ("recipe", "seed", "test accuracy", "without noise", "s / epoch")
    table = Table(*columns, title=f"MNIST in perceptron mode, noise {options.noise:g}")
    best = 0.0
    for name in options.recipes:
        for seed in options.seeds:
            try:
                noisy, clean, seconds = run(RECIPES[name], seed, options.epochs, mock)
            except DataFileError as error:
                console.print(f"left out: {error}")
                return 0
            best = max(best, noisy)
            table.add_row(name, str(seed), f"{noisy:.2%}", f"{clean:.2%}", f"{seconds:.1f}")
    console.print(table)
    console.print(f"best: {best:.2%}, wanted: {WANTED:.0%}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
