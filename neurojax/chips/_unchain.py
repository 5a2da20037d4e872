"""Chains opened, so that a mapping sees single layers."""

from __future__ import annotations

import itertools

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.layers.chain import Chain


def unchained(network: Network) -> Network:
    """The network with the layers of each `Chain` as layers of their own.

    Of a chain NAME they are called "NAME.PART", but for the last one, which is NAME: what others
    listen to keeps its name.
    """
    if not any(isinstance(network[name], Chain) for name in network.names):
        return network
    layers: dict[str, Layer] = {}
    first: dict[str, str] = {}
    inside: list[Edge] = []
    for name in network.names:
        layer = network[name]
        if not isinstance(layer, Chain):
            layers[name], first[name] = layer, name
            continue
        parts = [*(f"{name}.{part}" for part in layer.names[:-1]), name]
        layers |= zip(parts, layer.layers, strict=True)
        first[name] = parts[0]
        inside += [Edge(a, b) for a, b in itertools.pairwise(parts)]
    outside = [edge._replace(target=first[edge.target]) for edge in network.edges]
    return Network(
        layers,
        [*outside, *inside],
        inputs=network.inputs,
        outputs=network.outputs,
        provenance=network.provenance,
    )
