"""`python -m neurojax.demo`: train on digits, map onto each chip, fine-tune, configure, report."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import neurojax as nj
from neurojax._table import text_table
from neurojax.chips import MappedNetwork
from neurojax.demo import _analog, _camera, _costs, _digits, _figures, _report
from neurojax.demo._chips import CHIPS, Chip
from neurojax.demo._quick import compiled_quickly
from neurojax.demo._report import TUNED, OnChip, Row

ANALOG = "bss2"
TASKS = {"pixels": _digits, "camera": _camera}
CALIBRATION = 128  # digits that scales are taken from, where a chip needs any

console = Console(highlight=False)


class Task(NamedTuple):
    """What every chip is given."""

    kind: ModuleType  # of TASKS: how digits become spikes, and the network that reads them
    train: nj.datasets.Dataset
    test: nj.datasets.Dataset
    tune_epochs: int
    tune_key: jax.Array
    test_key: jax.Array


def main(arguments: list[str] | None = None) -> None:
    """Runs the demonstration."""
    options = _parser().parse_args(arguments)
    folder: Path = options.out
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    train_key, tune_key, test_key = jax.random.split(jax.random.key(options.seed), 3)
    kind = TASKS[options.task]
    task = Task(kind, *nj.datasets.digits(), options.tune_epochs, tune_key, test_key)

    console.print(f"[bold]Train[/bold] on {len(task.train)} handwritten digits, in real numbers")
    network = kind.network(train_key)
    console.print(str(network), style="dim", soft_wrap=True)
    fit = nj.train.fit(
        network,
        task.train,
        key=train_key,
        epochs=options.epochs,
        batch_size=kind.BATCH,
        encode=kind.encode,
        optimiser=kind.optimiser(5e-3, epochs=options.epochs, samples=len(task.train)),
        progress=True,
    )
    rows = [_row("float", fit.network, 32, task)]
    inputs = kind.encode(jnp.asarray(task.test.inputs), test_key)
    costly = {"float": _costs.counted(fit.network, rows[0].accuracy, inputs)}
    pictures = _figures.of_training(folder, fit.history)
    chips = []
    for name in options.chips:
        if name == ANALOG:
            long = _analog.Options(options.epochs, options.tune_epochs)
            found, page, cost = _analog.run(
                folder, console, (task.train, task.test), long, tune_key
            )
            rows += found
            costly[_analog.TITLE] = cost
            chips.append(page)
            continue
        chip = CHIPS[name]
        mapped, tuned, history = _on_chip(chip, fit.network, task)
        late = chip.late(mapped)
        spikes = kind.encode(jnp.asarray(task.test.inputs), test_key, late)
        file = chip.write(tuned, folder / name, len(spikes))
        replayed = _replay(chip, tuned, file, spikes)
        console.print(replayed, soft_wrap=True)
        rows.append(_row(chip.title, mapped.network, chip.bits, task, late, chip.spike))
        if history is not None:
            rows.append(_row(f"{chip.title}, {TUNED}", tuned.network, chip.bits, task, late))
        dt = kind.DT if chip.real_time else None
        costly[chip.title] = _costs.counted(tuned, rows[-1].accuracy, spikes, dt=dt)
        if chip.run_events is not None and kind is _camera:
            rows.append(_event_row(chip, tuned, rows[-1], task, spikes))
        label = int(task.test.labels[0])
        drawn = _figures.of_chip(folder, name, history, tuned, spikes[:, :1], label)
        chips.append(OnChip(chip.title, _named(file), replayed, str(tuned.report()), drawn))

    console.print("[bold]Compare[/bold] on the test set")
    header, cells = _report.comparison(rows)
    console.print(text_table(header, cells, right=header[1:]), soft_wrap=True)
    alike = [row for row in rows if row.spikes.keys() == rows[0].spikes.keys()]
    names = {row.name for row in rows}
    shown = [row for row in alike if f"{row.name}, {TUNED}" not in names]
    pictures += _figures.of_spikes(folder, {row.name: row.spikes for row in shown})
    costs = _costs.compare(costly)
    header, cells = costs.table()
    console.print("\n[bold]Costs[/bold] of a digit; their sources are in the report")
    console.print(text_table(header, cells), soft_wrap=True)
    costs.to_csv(folder / "costs.csv")
    file = _report.write(
        folder,
        rows,
        network=str(fit.network),
        pictures=pictures,
        costs=_report.Costs(_figures.of_costs(folder, costs), costs),
        chips=chips,
    )
    console.print(f"\n{time.perf_counter() - start:.0f} s; open [bold]{file}[/bold]")


def _on_chip(
    chip: Chip, network: nj.Network, task: Task
) -> tuple[MappedNetwork, MappedNetwork, nj.train.History | None]:
    """The network on a chip, the same fine-tuned there, and how that went."""
    console.print(f"\n[bold]Map[/bold] onto {chip.title}")
    sample = jnp.asarray(task.train.inputs[:CALIBRATION])
    with compiled_quickly():
        mapped = chip.map(network, task.kind.encode(sample, task.tune_key))
    console.print(str(mapped.report()), style="dim", soft_wrap=True)
    if chip.rate is None:
        return mapped, mapped, None
    console.print(f"[bold]Fine-tune[/bold] through the arithmetic of {chip.title}")
    fit = nj.train.fit(
        mapped.network,
        task.train,
        key=task.tune_key,
        epochs=task.tune_epochs,
        batch_size=task.kind.BATCH,
        encode=partial(task.kind.encode, late=chip.late(mapped)),
        optimiser=task.kind.optimiser(chip.rate, epochs=task.tune_epochs, samples=len(task.train)),
        progress=True,
    )
    return mapped, mapped.with_network(fit.network), fit.history


def _row(
    name: str,
    network: nj.Network,
    bits: int,
    task: Task,
    late: int = 0,
    spike: Callable[[nj.Layer], float] = lambda layer: 1.0,
) -> Row:
    encode = partial(task.kind.encode, late=late)
    with compiled_quickly():
        result = nj.train.evaluate(network, task.test, encode=encode, key=task.test_key)
    weights = sum(x.size for x in jax.tree.leaves(network) if eqx.is_inexact_array(x))
    return Row(
        name,
        result["accuracy"],
        f"{weights:,} x {bits} bit",
        weights * bits // 8,
        {
            layer: count / spike(network[layer])
            for layer, count in result["spikes"].items()
            if layer in task.kind.NEURONS
        },
    )


def _event_row(
    chip: Chip, mapped: MappedNetwork, in_steps: Row, task: Task, spikes: jax.Array
) -> Row:
    """The same network event by event, as the silicon works: it knows no time steps."""
    console.print(f"[bold]Run[/bold] {chip.title} event by event")
    assert chip.run_events is not None
    right, counts = 0, dict.fromkeys(task.kind.NEURONS, 0)
    for stream, label in zip(task.kind.streams(spikes), task.test.labels, strict=True):
        run = chip.run_events(mapped, stream)
        (output,) = run.outputs.values()
        right += np.bincount(output["feature"], minlength=10).argmax() == label
        counts = {name: count + len(run.streams[name]) for name, count in counts.items()}
    size = len(task.test)
    return in_steps._replace(
        name=f"{chip.title}, event by event",
        accuracy=right / size,
        spikes={name: count / size for name, count in counts.items()},
    )


def _replay(chip: Chip, mapped: MappedNetwork, file: Path, spikes: jax.Array) -> str:
    """Simulates the network that the file holds; it must give the very same spikes."""
    with compiled_quickly():
        before = np.asarray(nj.simulate(mapped.network, spikes).outputs)
        after = np.asarray(chip.replay(file, spikes))
    if not np.array_equal(before, after):
        raise AssertionError(f"{file} replays differently from the network that it was written of")
    replayed = (
        f"{_named(file)}, loaded again, gives the same output spikes on all {before.shape[1]} test "
        f"digits: {np.count_nonzero(before):,} spikes, no difference"
    )
    return f"{replayed}; {chip.compare(file, spikes, before)}" if chip.compare else replayed


def _named(file: Path) -> str:
    return f"{file.name}/" if file.is_dir() else file.name


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m neurojax.demo",
        description="Trains a convolutional spiking network on handwritten digits, maps it onto "
        "each chip, fine-tunes it through the chip's exact arithmetic, and writes the devices' "
        "configurations and a report with pictures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write to")
    parser.add_argument(
        "--task",
        choices=TASKS,
        default="pixels",
        help="what the network sees: the ink of each pixel as random spikes, or the events of a "
        "camera that moves over the digit, as in N-MNIST",
    )
    parser.add_argument(
        "--chips",
        nargs="+",
        choices=[*CHIPS, ANALOG],
        default=[*CHIPS, ANALOG],
        help="chips to map onto; bss2 has a network of its own, which sees pixels in either task",
    )
    parser.add_argument("--epochs", type=int, default=20, help="epochs of training")
    parser.add_argument("--tune-epochs", type=int, default=6, help="epochs of fine-tuning")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random")
    return parser


if __name__ == "__main__":
    main()
