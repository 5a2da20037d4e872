"""The digits on BrainScaleS-2: a network of its own, fine-tuned on one certain chip.

What the digital chips share, two convolutions with 778 neurons, has no place on 512 circuits. So
here every pixel with ink spikes once, the darker the earlier; 100 neurons see all pixels, and of
ten membranes the one that gets highest is the answer. The chip is a virtual one: weights of six
bits, and the mismatch, noise and limits of circuits that are drawn once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Key
from rich.console import Console

import neurojax as nj
from neurojax.chips import MappedNetwork, bss2
from neurojax.demo import _costs
from neurojax.demo._figures import Picture, save
from neurojax.demo._quick import compiled_quickly
from neurojax.demo._report import TUNED, OnChip, Row
from neurojax.hardware import bss2 as files
from neurojax.surrogate import SuperSpike

TITLE = "BrainScaleS-2"
NEURONS = ("hidden",)
PIXELS, HIDDEN = 64, 100
STEPS = 40  # of a microsecond
LATEST = 25.0  # when the palest ink spikes
TAU = 8e-6
BATCH = 32
SCALE = 5.0  # of the membranes, for the cross entropy
BITS = 2 * 6  # an excitatory and an inhibitory synapse for each weight
RATE, TUNING_RATE = 3e-3, 1e-3


class Options(NamedTuple):
    """How long to train."""

    epochs: int
    tune_epochs: int


def network(key: Key[Array, ""]) -> nj.Network:
    """64 inputs, 100 neurons, ten readouts."""
    first, second = jax.random.split(key)
    of_pixels = 0.1 + 0.2 * jax.random.normal(first, (HIDDEN, PIXELS))
    of_hidden = 0.02 + 0.1 * jax.random.normal(second, (10, HIDDEN))
    return nj.Sequential(
        (PIXELS,),
        synapses=nj.Linear.from_weights(of_pixels),
        hidden=bss2.LIF(tau_mem=TAU, tau_syn=TAU, surrogate=SuperSpike(50.0)),
        synapses_out=nj.Linear.from_weights(of_hidden),
        digit=bss2.LI(tau_mem=TAU, tau_syn=TAU),
    )


def encode(
    images: Float[Array, "batch 1 8 8"], key: Key[Array, ""]
) -> Float[Array, "time batch 64"]:
    """A spike of each pixel with ink, early for dark ones."""
    del key
    ink = images.reshape(len(images), PIXELS)
    times = jnp.where(ink > 0.1, 1 + LATEST * (1 - ink), jnp.inf)
    return nj.encode.spike_times_to_raster(times, steps=STEPS, dt=1.0)


def decode(membranes: Float[Array, "time batch 10"]) -> Float[Array, "batch 10"]:
    """The largest potential of each readout."""
    return SCALE * nj.decode.max_over_time(membranes)


def run(
    folder: Path,
    console: Console,
    data: tuple[nj.datasets.Dataset, nj.datasets.Dataset],
    options: Options,
    key: Key[Array, ""],
) -> tuple[list[Row], OnChip, _costs.Costly]:
    """Train, map, fine-tune on a virtual chip, configure, draw."""
    train, test = data
    keys = jax.random.split(key, 6)

    def fit(net: nj.Network, key: Key[Array, ""], rate: float, epochs: int) -> nj.train.Fit:
        schedule = optax.cosine_decay_schedule(rate, epochs * (len(train) // BATCH))
        return nj.train.fit(
            net,
            train,
            key=key,
            epochs=epochs,
            batch_size=BATCH,
            encode=encode,
            decode=decode,
            optimiser=optax.adam(schedule),
            progress=True,
        )

    def row(name: str, net: nj.Network, bits: int) -> Row:
        with compiled_quickly():
            found = nj.train.evaluate(net, test, encode=encode, decode=decode, key=keys[5])
        weights = HIDDEN * (PIXELS + 10)
        spikes = {layer: found["spikes"][layer] for layer in NEURONS}
        size = f"{weights:,} x {bits} bit"
        return Row(name, found["accuracy"], size, weights * bits // 8, spikes)

    console.print(f"\n[bold]Train[/bold] a network for {TITLE}, with ideal dynamics")
    ideal = fit(network(keys[0]), keys[1], RATE, options.epochs).network
    console.print(str(ideal), style="dim", soft_wrap=True)
    console.print(f"[bold]Map[/bold] onto {TITLE}, and onto a chip with mismatch and noise")
    mapped = bss2.map(ideal)
    chip = bss2.draw(keys[2], mapped)
    on_chip = bss2.with_instance(mapped, chip)
    console.print(str(mapped.report()), style="dim", soft_wrap=True)
    console.print("[bold]Fine-tune[/bold] on this chip")
    tuned = fit(on_chip, keys[3], TUNING_RATE, options.tune_epochs)
    rows = [
        row(f"{TITLE}'s own, float", ideal, 32),
        row(f"{TITLE}, a chip with mismatch", on_chip, BITS),
        row(f"{TITLE}, {TUNED}", tuned.network, BITS),
    ]
    spikes = encode(jnp.asarray(test.inputs), keys[4])
    held = mapped.with_network(bss2.without_instance(tuned.network))
    file = folder / "bss2.json"
    files.configure(held, steps=STEPS).save(file, script=True)
    replayed = _replay(held, file, spikes)
    console.print(replayed, soft_wrap=True)
    pictures = _pictures(folder, tuned, held, spikes[:, :1], label=int(test.labels[0]), key=keys[5])
    cost = _costs.counted(held, rows[-1].accuracy, spikes)
    return rows, OnChip(TITLE, file.name, replayed, str(held.report()), pictures), cost


def _replay(mapped: MappedNetwork, file: Path, spikes: Float[Array, "time batch 64"]) -> str:
    """Simulates the network that the file holds, with ideal dynamics: what it is to be."""
    with compiled_quickly():
        before = np.asarray(nj.simulate(mapped.network, spikes).outputs)
        after = np.asarray(nj.simulate(files.load(file).network, spikes).outputs)
    if not np.array_equal(before, after):
        raise AssertionError(f"{file} replays differently from the network that it was written of")
    return (
        f"{file.name}, loaded again, gives the same membranes on all {before.shape[1]} test "
        f"digits: no difference in {before.size:,} values; {file.with_suffix('.py').name} builds "
        "it with the vendor's software"
    )


def _pictures(
    folder: Path,
    tuned: nj.train.Fit,
    mapped: MappedNetwork,
    sample: Float[Array, "time one 64"],
    *,
    label: int,
    key: Key[Array, ""],
) -> list[Picture]:
    with compiled_quickly():
        run = nj.simulate(tuned.network, sample, key=key, probes=[*NEURONS, "digit.v"])
    read = int(decode(run.outputs)[0].argmax())
    other = int(decode(run.outputs)[0].argsort()[-2])
    return [
        save(
            folder,
            nj.plot.training_curves(tuned.history),
            "bss2-fine-tuning.png",
            "Fine-tuning on the chip",
            "The forward pass has the mismatch of one chip, and new noise in every run.",
        ),
        save(
            folder,
            nj.plot.bss2(mapped),
            "bss2-placement.png",
            "Placement on the chip",
            "Neuron circuits in the middle; above and below the rows of synapses that lead to "
            "them, in the colour of their sources.",
        ),
        save(
            folder,
            nj.plot.raster({"input": sample, **{name: run[name] for name in NEURONS}}),
            "bss2-raster.png",
            f"Spikes of one digit (a {label}, read as a {read})",
            "A pixel with ink spikes once, the darker the earlier.",
        ),
        save(
            folder,
            nj.plot.traces(
                run["digit.v"], neurons=sorted({read, other}), unit="us", label="membrane"
            ),
            "bss2-membranes.png",
            "Membranes of two readouts",
            f"The readouts of digits {min(read, other)} and {max(read, other)} on the same sample, "
            "with the noise of the chip.",
        ),
    ]
