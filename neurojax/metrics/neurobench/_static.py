"""What a network is: its memory, its parameters, how many of its weights are zero."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork
from neurojax.chips.bss2 import SparseLinear
from neurojax.chips.cri.crossbar import MATRICES
from neurojax.train._trainable import parameters

DECIMALS = 4
"""To which NeuroBench rounds the sparsity of connections."""


def footprint(network: Network | MappedNetwork) -> int:
    """Bytes of all arrays of a network: parameters and buffers, such as running statistics.

    Numbers that are constants of a layer (`LIF(tau=10.0)`) take none; snnTorch keeps them, and the
    membranes, as arrays. A mapped network's arrays are float32, whatever its chip stores; see
    `metrics.size` for that.

    Args:
        network: The network.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.metrics import neurobench
        >>> fc = nj.Linear.from_weights(jnp.array([[0.0, 1.0], [2.0, 3.0]]))
        >>> net = nj.Sequential((2,), fc=fc, norm=nj.BatchNorm(2), spikes=nj.LIF(tau=10.0))
        >>> neurobench.footprint(net), neurobench.parameter_count(net)
        (48, 8)
        >>> neurobench.connection_sparsity(net)
        0.25
    """
    leaves = jax.tree.leaves(_plain(network))
    return sum(leaf.nbytes for leaf in leaves if eqx.is_array(leaf))


def parameter_count(network: Network | MappedNetwork) -> int:
    """Number of trainable values: floating-point arrays that are no buffers."""
    return sum(array.size for _, array in parameters(_plain(network)))


def connection_sparsity(network: Network | MappedNetwork) -> float:
    """Share of weights that are zero, of all layers with synapses, rounded to 4 decimals.

    Biases don't count. On a chip weights are those that it stores. A convolution's weight counts
    once, not at every place.

    Raises:
        ValueError: The network has no weights.
    """
    plain = _plain(network)
    # Prepared as for a run: rounded, masked, limited. No chip makes a zero of a factor it draws.
    ready = plain.prepare(jax.random.key(0))
    arrays = [weight for layer in ready.layers.values() for weight in _weights(layer)]
    count = sum(array.size for array in arrays)
    if not count:
        raise ValueError("the network has no weights, so they have no sparsity")
    zeros = sum(int((array == 0).sum()) for array in arrays)
    return round(zeros / count, DECIMALS)


def _plain(network: Network | MappedNetwork) -> Network:
    return network.network if isinstance(network, MappedNetwork) else network


def _weights(node: Any) -> Iterator[np.ndarray]:
    """The weights in a prepared layer and the layers within it."""
    if isinstance(node, SparseLinear):
        yield np.asarray(node.weight)[np.asarray(node.connected)]
    elif isinstance(node, Layer):
        named = [getattr(node, name, None) for name in ("weight", *MATRICES)]
        found = [np.asarray(array) for array in named if np.ndim(array) > 1]  # type: ignore[arg-type]
        yield from found
        if not found:
            for field in dataclasses.fields(node):
                yield from _weights(getattr(node, field.name))
    elif isinstance(node, tuple | list):
        for each in node:
            yield from _weights(each)
