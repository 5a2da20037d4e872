"""The configuration of a Loihi network: what a .net file says, as plain data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurojax._layer import Shape
from neurojax._network import Network
from neurojax._table import shape_text
from neurojax.chips import MappedNetwork, Report
from neurojax.chips.loihi.resources import cores
from neurojax.chips.loihi.spec import LoihiSpec, spec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.hardware.loihi import _file
from neurojax.hardware.loihi._build import build
from neurojax.hardware.loihi._describe import describe
from neurojax.hardware.loihi.records import LayerRecord, checked_again
from neurojax.surrogate import ATan, Surrogate

VERSION = 1
"""Of the layers in memory. Files have no version: they are what lava-dl 0.7 reads and writes."""


@dataclass(frozen=True, eq=False)
class Configuration:
    """The layers of a .net file.

    Attributes:
        layers: From input to output, checked.
        input_shape: Shape of one sample at one step; None: what the first layer says.
        timing: How the network that it came from counts time; files don't say it.
        notes: What a file held that has no effect.
        version: Of this description in memory.
    """

    layers: tuple[LayerRecord, ...]
    input_shape: Shape | None = None
    timing: str = "aligned"
    notes: tuple[str, ...] = ()
    version: int = VERSION

    def mapped(
        self,
        *,
        input_shape: Shape | None = None,
        timing: str | None = None,
        device: str | LoihiSpec = "loihi2",
        surrogate: Surrogate = ATan(),
    ) -> MappedNetwork:
        """The network, in layers of `chips.loihi`; see `load`.

        Raises:
            ValueError: Layers that don't fit one another, or the chip: all of them.
        """
        chosen = self.timing if timing is None else timing
        built = build(
            self.layers,
            input_shape=self.input_shape if input_shape is None else input_shape,
            timing=chosen,
            surrogate=surrogate,
            notes=self.notes,
        )
        return MappedNetwork(built.network, spec(device), built.origins, explain, chosen)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a .net file, as slayer does; a file that is there is replaced when all is written.

        Raises:
            ValueError: The layers aren't valid (somebody changed them).
            OSError: The file can't be written. Nothing is left behind.
        """
        _file.write(path, checked_again(self.layers))

    def __str__(self) -> str:
        return "\n".join(f"{number}: {layer}" for number, layer in enumerate(self.layers))

    __repr__ = __str__


def read(path: str | os.PathLike[str]) -> Configuration:
    """Read a .net file without making a network of it.

    Raises:
        OSError: The file can't be opened, is no HDF5 file, or is damaged.
        ValueError: All that is wrong, with layer and field.
    """
    layers, notes = _file.read(path)
    return Configuration(layers, notes=notes)


def load(
    path: str | os.PathLike[str],
    *,
    input_shape: Shape | None = None,
    timing: str = "aligned",
    device: str | LoihiSpec = "loihi2",
    surrogate: Surrogate = ATan(),
) -> MappedNetwork:
    """The network of a .net file that lava-dl's slayer or `Configuration.save` wrote.

    It computes in the chip's integers. What goes into it are spikes; into a network that begins
    with an input layer, weight steps: 64 times what slayer takes. Sigma-delta networks give
    integers: their outputs are 2^18 times slayer's.

    Args:
        path: The file.
        input_shape: Shape of one sample at one step, `(channels, height, width)` or `(features,)`.
            Needed if the first layer is a convolution from which it doesn't follow.
        timing: `"aligned"`: layers follow each other within one step. `"chip"`: every synapse takes
            one step, as in Lava, so the output comes as many steps later; biases integrate
            meanwhile. `"slayer"`: every neuron that spikes takes one step, as slayer trains.
        device: A Loihi, or a spec of your own.
        surrogate: Derivative of spikes in the user's unit (of 64 weight steps): a file has none.

    Returns:
        A mapped network, whose layers are called "0.synapse", "0.neuron", "0.delay", "1.flatten",
        ... after the number in the file. `configure` makes a file of it again.

    Raises:
        OSError: The file can't be opened, is no HDF5 file, or is damaged.
        ValueError: All that is wrong, with layer and field; or `input_shape` is needed.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> from neurojax.chips.loihi import LIF, Synapse
        >>> from neurojax.hardware import loihi
        >>> weights = jnp.array([[64.0, -10.0], [32.0, 6.0]])
        >>> net = nj.Sequential((2,), fc=Synapse(nj.Linear.from_weights(weights)),
        ...                     spikes=LIF(du=1023, dv=410, vth=64))
        >>> path = Path(mkdtemp()) / "net.net"
        >>> loihi.configure(net).save(path)
        >>> loihi.load(path).network.names
        ('0.synapse', '0.neuron')
    """
    configuration = read(path)
    try:
        return configuration.mapped(
            input_shape=input_shape, timing=timing, device=device, surrogate=surrogate
        )
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)}: {error}") from None


def configure(
    network: MappedNetwork | Network,
    *,
    timing: str | None = None,
    input_layer: bool = False,
    round_biases: bool = False,
) -> Configuration:
    """What a .net file says about a network on the chip.

    Not in a file, so lost: names of layers, surrogates and other options of gradients, counters of
    overflow, and how a mapping came about.

    Args:
        network: What `chips.loihi.map` or `load` returned, trained or not; or any network of the
            chip's layers.
        timing: Which delays of one step are the chip's (or slayer's) instead of axonal ones, see
            `load`. `"aligned"`: none. None: as mapped or loaded; of another network, `"chip"` if
            one stands in front of every synapse, `"slayer"` if one stands behind every neuron that
            spikes.
        input_layer: Begin with a layer that says the shape of the input, so that `load` never needs
            `input_shape`.
        round_biases: Round biases to whole weight steps (64 steps of the state), all that a file
            can hold, instead of refusing others.

    Raises:
        ValueError: All that a .net file can't say, with the names of the layers.
    """
    if isinstance(network, MappedNetwork):
        net, timing = network.network, network.timing if timing is None else timing
    else:
        net = network
    records, found = describe(net, timing, round_biases=round_biases)
    ((_, shape), *_) = net.inputs.items()
    if input_layer and records[0].type != "input":
        records = (LayerRecord("input", {"shape": np.array(shape, np.int64)}, None), *records)
    return Configuration(checked_again(records), input_shape=shape, timing=found)


COLUMNS = {
    "layer": ("layer", ""),
    "what": ("what", ""),
    "shape": ("shape", ""),
    "weights": ("weights", ""),
    "exponent": ("exponent", ""),
    "cores": ("cores", ","),
    "limited by": ("bottleneck", ""),
}


def explain(mapped: MappedNetwork) -> Report:
    """The report of a network from a file."""
    network = mapped.network
    use = cores(mapped)
    rows = []
    for name in network.names:
        layer = network[name]
        row: dict[str, Any] = dict.fromkeys(("weights", "exponent", "cores", "bottleneck"))
        row |= {"layer": name, "what": layer.describe()}
        row["shape"] = shape_text(network.out_shape(name))
        if isinstance(layer, Synapse):
            values = layer.integers()
            row |= {"weights": f"{values.min()}..{values.max()}", "exponent": layer.exponent}
        if name in use:
            row |= {"cores": use[name].cores, "bottleneck": use[name].bottleneck}
        rows.append(row)
    notes = tuple(note for card in network.provenance.values() for note in card.notes)
    return Report(f"a .net file on {mapped.chip.name}", tuple(rows), (COLUMNS,), notes)
