"""Cores in a row, as a mapped network: for `map`, and for files that hold the same."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

from neurojax._layer import Layer, Shape
from neurojax._network import Network, Provenance
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.dynapcnn._origin import Origin
from neurojax.chips.dynapcnn._report import explain
from neurojax.chips.dynapcnn.dynamics import Core
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import Flatten, SumPool2d


def assemble(
    chip: ChipSpec,
    inputs: Mapping[str, Shape],
    cores: Sequence[tuple[Origin, Core]],
    *,
    flatten: str | None = None,
    provenance: Mapping[str, Provenance] | None = None,
) -> MappedNetwork:
    """A chain of cores, each with its pooling, as a mapped network.

    Args:
        chip: The device.
        inputs: Name and shape of the input.
        cores: The cores from input to output, with what is known of their origin.
        flatten: Name of a Flatten behind the last core, if there is one.
        provenance: Where the layers came from, as far as that is known.

    Raises:
        ValueError: Shapes that don't fit one another.
    """
    layers: dict[str, Layer] = {}
    for origin, core in cores:
        layers[origin.name] = core
        if origin.pool_name is not None:
            layers[origin.pool_name] = SumPool2d(origin.pool)
    if flatten is not None:
        layers[flatten] = Flatten()
    names = [*inputs, *layers]
    edges = list(itertools.pairwise(names))
    network = Network(layers, edges, inputs=inputs, outputs=names[-1:], provenance=provenance)
    return MappedNetwork(network, chip, tuple(origin for origin, _ in cores), explain)
