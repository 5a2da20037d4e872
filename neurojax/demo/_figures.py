"""The pictures of the demonstration."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import neurojax as nj
from neurojax import metrics
from neurojax.chips import MappedNetwork, cri, dynapcnn, loihi
from neurojax.demo import _digits
from neurojax.demo._quick import compiled_quickly


class Picture(NamedTuple):
    """A figure in the report."""

    file: str
    title: str
    text: str


def of_training(folder: Path, history: nj.train.History) -> list[Picture]:
    """How the network was trained."""
    return [
        save(
            folder,
            nj.plot.training_curves(history),
            "training.png",
            "Training the network",
            "In real numbers, by back-propagation through time with a surrogate derivative.",
        )
    ]


def of_spikes(folder: Path, counts: dict[str, dict[str, float]]) -> list[Picture]:
    """How often the layers of each network spike."""
    return [
        save(
            folder,
            nj.plot.spike_counts(counts),
            "spikes.png",
            "Spikes of each layer",
            "Mean over the test set; on an event-driven chip, spikes are what costs energy.",
        )
    ]


def of_costs(folder: Path, costs: metrics.Comparison) -> Picture:
    """What the networks cost on each chip."""
    return save(
        folder,
        nj.plot.costs(costs),
        "costs.png",
        "Costs of a digit",
        "Lines are ranges, pale bars bounds; ? where the range of a constant is not published.",
    )


def of_chip(
    folder: Path,
    name: str,
    history: nj.train.History | None,
    mapped: MappedNetwork,
    sample: Float[Array, "time one ..."],
    label: int,
) -> list[Picture]:
    """Fine-tuning, placement and one digit of the test set on a chip."""
    last = _digits.NEURONS[-1]
    with compiled_quickly():
        run = nj.simulate(mapped.network, sample, probes=[*_digits.NEURONS, f"{last}.v"])
    if not np.isfinite(np.asarray(run[f"{last}.v"])).all():
        raise FloatingPointError("the simulation gave membranes that are not finite")
    first, second = (int(n) for n in jnp.argsort(-run[last].sum((0, 1)))[:2])
    shown = sorted({first, second})
    pictures = []
    if history is not None:
        pictures.append(
            save(
                folder,
                nj.plot.training_curves(history),
                f"{name}-fine-tuning.png",
                "Fine-tuning on the chip model",
                "The forward pass is the chip's integer arithmetic; the gradients pass the "
                "rounding.",
            )
        )
    if isinstance(mapped.chip, dynapcnn.ChipSpec):
        pictures.append(
            save(
                folder,
                nj.plot.placement(mapped, title=mapped.chip.name),
                f"{name}-placement.png",
                "Placement on the chip",
                "Cores in use, the share of each memory that a layer takes, and where its spikes "
                "go.",
            )
        )
    return [
        *pictures,
        save(
            folder,
            nj.plot.raster({"input": sample, **{layer: run[layer] for layer in _digits.NEURONS}}),
            f"{name}-raster.png",
            f"Spikes of one digit (a {label}, read as a {first})",
            "Every mark is a spike, simulated as the chip computes.",
        ),
        save(
            folder,
            nj.plot.traces(
                run[f"{last}.v"],
                threshold=_threshold(mapped.network[last]),
                spikes=run[last],
                neurons=shown,
                label="membrane (chip units)",
            ),
            f"{name}-membranes.png",
            "Membranes of two output neurons",
            f"The neurons of digits {shown[0]} and {shown[1]} on the same sample, in the chip's "
            "integers. The dashed line is the threshold.",
        ),
    ]


def _threshold(layer: Any) -> float:
    """In the units of the membrane."""
    if isinstance(layer, cri.Neuron):
        return float(layer.theta)
    if isinstance(layer, loihi.LIF):
        return layer.integers()["vth"] * loihi.STEPS_PER_WEIGHT
    return layer.integers().threshold


def save(folder: Path, axes: Any, name: str, title: str, text: str) -> Picture:
    """Writes a figure into the folder of the report."""
    axes.figure.savefig(folder / name)
    return Picture(name, title, text)
