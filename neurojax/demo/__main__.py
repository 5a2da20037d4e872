"""`python -m neurojax.demo`: train on digits, map onto a Speck 2f, fine-tune, configure, report."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import neurojax as nj
from neurojax._table import text_table
from neurojax.chips import MappedNetwork, dynapcnn
from neurojax.demo import _digits, _figures, _report
from neurojax.demo._report import Row
from neurojax.hardware.dynapcnn import configure, load

console = Console(highlight=False)


def main(arguments: list[str] | None = None) -> None:
    """Runs the demonstration."""
    options = _parser().parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    train_key, tune_key, test_key = jax.random.split(jax.random.key(options.seed), 3)
    train, test = nj.datasets.digits()

    console.print(f"[bold]1. Train[/bold] on {len(train)} handwritten digits, in real numbers")
    network = _digits.network(train_key)
    console.print(str(network), style="dim", soft_wrap=True)
    fit = nj.train.fit(
        network,
        train,
        key=train_key,
        epochs=options.epochs,
        batch_size=_digits.BATCH,
        encode=_digits.encode,
        optimiser=_digits.optimiser(5e-3, epochs=options.epochs, samples=len(train)),
        progress=True,
    )

    console.print(f"[bold]2. Map[/bold] onto a {options.device}")
    mapped = dynapcnn.map(fit.network, device=options.device)
    console.print(str(mapped.report()), style="dim", soft_wrap=True)

    console.print("[bold]3. Fine-tune[/bold] through the chip's own arithmetic")
    tuned_fit = nj.train.fit(
        mapped.network,
        train,
        key=tune_key,
        epochs=options.tune_epochs,
        batch_size=_digits.BATCH,
        encode=_digits.encode,
        # The rate is in steps of the chip's 8-bit weights.
        optimiser=_digits.optimiser(0.3, epochs=options.tune_epochs, samples=len(train)),
        progress=True,
    )
    tuned = mapped.with_network(tuned_fit.network)

    console.print("[bold]4. Configure[/bold] the device, and replay its file")
    file = folder / f"{tuned.chip.name}.json"
    configure(tuned).save(file)
    spikes = _digits.encode(jnp.asarray(test.inputs), test_key)
    replayed = _replay(tuned, file, spikes)
    console.print(replayed, soft_wrap=True)

    console.print("[bold]5. Compare[/bold] on the test set")
    networks = {
        "float": fit.network,
        "mapped": mapped.network,
        "mapped, fine-tuned": tuned.network,
    }
    results = {
        name: nj.train.evaluate(net, test, encode=_digits.encode, key=test_key)
        for name, net in networks.items()
    }
    parameters = _parameters(fit.network)
    rows = [
        Row(
            name,
            result["accuracy"],
            f"{parameters:,} x {32 if name == 'float' else 8} bit",
            parameters * (4 if name == "float" else 1),
            sum(result["spikes"].values()),
        )
        for name, result in results.items()
    ]
    header, cells = _report.comparison(rows)
    console.print(text_table(header, cells, right=header[1:]), soft_wrap=True)

    pictures = _figures.draw(
        folder,
        history=fit.history,
        tuned_history=tuned_fit.history,
        mapped=tuned,
        sample=spikes[:, :1],
        label=int(test.labels[0]),
        spikes={
            "float": results["float"]["spikes"],
            "on the chip, fine-tuned": results["mapped, fine-tuned"]["spikes"],
        },
    )
    page = _report.write(
        folder,
        device=tuned.chip.name,
        rows=rows,
        replayed=replayed,
        configuration=file.name,
        network=str(fit.network),
        mapping=str(tuned.report()),
        pictures=pictures,
    )
    console.print(f"\n{time.perf_counter() - start:.0f} s; open [bold]{page}[/bold]")


def _replay(mapped: MappedNetwork, file: Path, spikes: jax.Array) -> str:
    """Simulates the network that the file holds; it must give the very same spikes."""
    before = np.asarray(nj.simulate(mapped.network, spikes).outputs)
    after = np.asarray(nj.simulate(load(file).network, spikes).outputs)
    if not np.array_equal(before, after):
        raise AssertionError(f"{file} replays differently from the network that it was written of")
    return (
        f"{file.name}, loaded again, gives the same output spikes on all {before.shape[1]} test "
        f"digits: {int(before.sum()):,} spikes, no difference"
    )


def _parameters(network: nj.Network) -> int:
    return sum(x.size for x in jax.tree.leaves(network) if eqx.is_inexact_array(x))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m neurojax.demo",
        description="Trains a convolutional spiking network on handwritten digits, maps it onto a "
        "chip, fine-tunes it through the chip's exact arithmetic, and writes the device's "
        "configuration and a report with pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write to")
    parser.add_argument("--device", default="speck2fmodule", help="chip to map onto")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of training")
    parser.add_argument("--tune-epochs", type=int, default=6, help="epochs of fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    return parser


if __name__ == "__main__":
    main()
