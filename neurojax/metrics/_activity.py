"""How active a network was: what came out of each layer, as numbers instead of traces."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from neurojax._graph import nearest
from neurojax._network import Network
from neurojax._table import text_table


@dataclasses.dataclass(frozen=True, eq=False)
class LayerActivity:
    """What came out of one layer, or what an input of the network carried.

    Rows are samples, columns are time steps. A value that is not zero counts once, whatever it is:
    negative values, numbers of spikes and graded spikes are one event each.
    """

    nonzero: np.ndarray  # int64 [samples, steps]: values that are not zero
    total: np.ndarray  # float64 [samples, steps]: sum of the values (each step's to float32)
    neurons: np.ndarray  # int64 [*shape]: non-zero values of a neuron, over all samples and steps
    size: int  # values of a sample in a step
    binary: bool  # every value was exactly 0 or 1
    sums: np.ndarray  # float64 [*shape]: sum of the values of a neuron, over all samples and steps
    last: np.ndarray  # int64 [*shape]: the part of `neurons` that came in the last step
    last_sums: np.ndarray  # float64 [*shape]: the part of `sums` that came in the last step

    @property
    def samples(self) -> int:
        """Number of samples."""
        return int(self.nonzero.shape[0])

    @property
    def steps(self) -> int:
        """Number of time steps."""
        return int(self.nonzero.shape[1])

    @property
    def events(self) -> int:
        """Values that are not zero, over all samples, steps and neurons."""
        return int(self.nonzero.sum())

    @property
    def rate(self) -> float:
        """Share of values that are not zero: events a neuron and time step."""
        return self.events / (self.nonzero.size * self.size)

    @property
    def count(self) -> float:
        """Values that are not zero in a sample: events an inference."""
        return self.events / self.samples

    def __add__(self, other: object) -> LayerActivity:
        """The activity over both data sets, one after the other."""
        if not isinstance(other, LayerActivity):
            return NotImplemented
        if self.neurons.shape != other.neurons.shape or self.steps != other.steps:
            raise ValueError(
                f"activity of {self.steps} steps of shape {self.neurons.shape} can't be merged "
                f"with {other.steps} steps of shape {other.neurons.shape}; count the same network "
                "over the same number of time steps"
            )
        return LayerActivity(
            np.concatenate([self.nonzero, other.nonzero]),
            np.concatenate([self.total, other.total]),
            self.neurons + other.neurons,
            self.size,
            self.binary and other.binary,
            self.sums + other.sums,
            self.last + other.last,
            self.last_sums + other.last_sums,
        )


@dataclasses.dataclass(frozen=True)
class Activity:
    """The activity of a network over a data set. Two of them add up; printing shows a table.

    Attributes:
        outputs: What came out of each layer, by its name, and what came in by each input's name.
        steps: Time steps of a sample.
        samples: Number of samples.
        spiking: Layers whose output are spikes, as `Layer.spiking` says.
        counting: Those of them whose output is a number of spikes, so that n means n spikes; in
            the others a value that is not zero is one spike.
    """

    outputs: Mapping[str, LayerActivity]
    steps: int
    samples: int
    spiking: tuple[str, ...] = ()
    counting: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> LayerActivity:
        if name not in self.outputs:
            raise KeyError(f"no activity of '{name}' was counted; {nearest(name, self.outputs)}")
        return self.outputs[name]

    def __contains__(self, name: object) -> bool:
        return name in self.outputs

    def rate(self, name: str) -> float:
        """Share of a layer's values that are not zero: events a neuron and time step."""
        return self[name].rate

    def count(self, name: str) -> float:
        """Values of a layer that are not zero in a sample: events an inference."""
        return self[name].count

    def spikes(self, name: str | None = None) -> float:
        """Number of spikes over all samples and steps: of a layer, or of all that spike.

        Every spiking layer counts once. The network's inputs don't count.
        """
        if name is not None:
            layer = self[name]
            return float(layer.total.sum()) if name in self.counting else float(layer.events)
        return float(sum(self.spikes(name) for name in self.spiking if name in self.outputs))

    def __add__(self, other: object) -> Activity:
        """The activity over both data sets."""
        if not isinstance(other, Activity):
            return NotImplemented
        if set(self.outputs) != set(other.outputs) or self.steps != other.steps:
            raise ValueError(
                f"activity of {', '.join(self.outputs)} over {self.steps} steps can't be merged "
                f"with that of {', '.join(other.outputs)} over {other.steps} steps; count the same "
                "layers over the same number of time steps"
            )
        return Activity(
            {name: layer + other.outputs[name] for name, layer in self.outputs.items()},
            self.steps,
            self.samples + other.samples,
            self.spiking,
            self.counting,
        )

    def check_shapes(self, network: Network) -> None:
        """Raise ValueError if layers or inputs of these names have other shapes in a network."""
        wrong = [
            f"'{name}' has shape {tuple(shape)}, but the activity is that of {layer.neurons.shape}"
            for name, layer in self.outputs.items()
            if name in network.inputs or name in network
            if tuple(shape := network.out_shape(name)) != layer.neurons.shape
        ]
        if wrong:
            wrong.append("it was counted with another network; call count_spikes with this one")
            raise ValueError("\n".join(wrong))

    def __str__(self) -> str:
        header = ["layer", "neurons", "events a sample", "rate", "most in a step", "values"]
        rows = [
            [
                name,
                f"{layer.size:,}",
                f"{layer.count:,.6g}",
                f"{layer.rate:.4g}",
                f"{layer.nonzero.max():,}",
                "spikes" if layer.binary else "graded",
            ]
            for name, layer in self.outputs.items()
        ]
        table = text_table(header, rows, right=header[1:5])
        each = self.spikes() / self.samples
        what = f"samples: {self.samples:,}; steps: {self.steps:,}; spikes: {each:,.6g} a sample"
        return f"{table}\n{what}"

    __repr__ = __str__
