"""The pictures of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import neurojax as nj
from neurojax.chips import MappedNetwork
from neurojax.chips.dynapcnn import core_use


class Picture(NamedTuple):
    """A figure in the report."""

    file: str
    title: str
    text: str


def draw(
    folder: Path,
    *,
    history: nj.train.History,
    tuned_history: nj.train.History,
    mapped: MappedNetwork,
    sample: Float[Array, "time one 1 8 8"],
    label: int,
    spikes: dict[str, dict[str, float]],
) -> list[Picture]:
    """Draws and saves every picture; `sample` is one encoded digit of the test set."""
    cores = [origin.name for origin in mapped.origins]
    last = cores[-1]
    run = nj.simulate(mapped.network, sample, probes=[*cores, f"{last}.v"])
    threshold = mapped.network[last].integers().threshold  # type: ignore[attr-defined]
    answer = int(jnp.argmax(run[last].sum(0)))
    other = int(jnp.argsort(run[last].sum((0, 1)))[-2])
    pictures: list[Picture] = []

    def keep(axes: Any, name: str, title: str, text: str) -> None:
        axes.figure.savefig(folder / name)
        pictures.append(Picture(name, title, text))

    keep(
        nj.plot.training_curves(history),
        "training.png",
        "Training the network",
        "In real numbers, by back-propagation through time with a surrogate derivative.",
    )
    keep(
        nj.plot.training_curves(tuned_history),
        "fine-tuning.png",
        "Fine-tuning on the chip model",
        "The forward pass is the chip's integer arithmetic; the gradients pass the rounding.",
    )
    keep(
        nj.plot.placement(core_use(mapped), title=mapped.chip.name),
        "placement.png",
        "Placement on the chip",
        "Cores in use, the share of each memory that a layer takes, and where its spikes go.",
    )
    keep(
        nj.plot.raster({"input": sample, **{name: run[name] for name in cores}}),
        "raster.png",
        f"Spikes of one digit (a {label}, read as a {answer})",
        "Every mark is a spike (or several in one time step), simulated as the chip computes.",
    )
    shown = sorted({answer, other})
    keep(
        nj.plot.traces(
            run[f"{last}.v"],
            threshold=threshold,
            spikes=run[last],
            neurons=shown,
            label="membrane (chip units)",
        ),
        "membranes.png",
        "Membranes of two output neurons",
        f"The neurons of digits {shown[0]} and {shown[1]} on the same sample; integers, 16 bits "
        "on the chip. The dashed line is the threshold.",
    )
    keep(
        nj.plot.spike_counts(spikes),
        "spikes.png",
        "Spikes of each layer",
        "Mean over the test set; on an event-driven chip, spikes are what costs energy.",
    )
    if not np.isfinite(np.asarray(run[f"{last}.v"])).all():
        raise FloatingPointError("the simulation gave membranes that are not finite")
    return pictures
