"""Folding batch normalisation into the weights before it, as chips need it."""

from __future__ import annotations

from collections.abc import Iterator

import equinox as eqx
import jax.numpy as jnp

from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.layers.batch_norm import BatchNorm
from neurojax.layers.convolution import Conv1d, Conv2d
from neurojax.layers.linear import Linear

Synapse = Linear | Conv1d | Conv2d


def fold_batch_norm(network: Network) -> Network:
    """The same network (in inference) without BatchNorm layers.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta is a layer with the weights
    W' = s W and the bias b' = s (b - mean) + beta, where s = gamma / sqrt(var + eps).

    Args:
        network: Any network. Its running statistics are used, whether or not it is in inference
            mode.

    Returns:
        A network in which each layer before a BatchNorm has new weights and a bias.

    Raises:
        ValueError: A BatchNorm that doesn't directly follow a Linear, Conv1d or Conv2d of its own.
            All of them are listed.

    References:
        B. Jacob et al., "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", CVPR 2018, section 3.2.

    Example:
        >>> import jax, neurojax as nj
        >>> from neurojax.layers import BatchNorm, Linear, fold_batch_norm
        >>> net = nj.Sequential((4,), Linear(4, 8, key=jax.random.key(0)), BatchNorm(8))
        >>> fold_batch_norm(net).names
        ('linear1',)
    """
    norms = [name for name in network.names if isinstance(network[name], BatchNorm)]
    problems = [problem for name in norms for problem in _problems(network, name)]
    if problems:
        raise ValueError("\n".join(problems))
    if not norms:
        return network
    before = {name: network.incoming(name)[0].source for name in norms}
    layers = {name: network[name] for name in network.names if name not in before}
    for name, source in before.items():
        layers[source] = _folded(network[source], network[name])
    edges = [
        Edge(before.get(edge.source, edge.source), edge.target, edge.recurrent)
        for edge in network.edges
        if edge.target not in before
    ]
    outputs = [before.get(name, name) for name in network.outputs]
    provenance = {name: known for name, known in network.provenance.items() if name in layers}
    return Network(layers, edges, inputs=network.inputs, outputs=outputs, provenance=provenance)


def _problems(network: Network, name: str) -> Iterator[str]:
    """Why a BatchNorm can't be folded."""
    edges = network.incoming(name)
    if len(edges) != 1 or edges[0].recurrent:
        sources = ", ".join(str(edge) for edge in edges)
        yield (
            f"layer '{name}': can't fold a BatchNorm fed by several or recurrent edges "
            f"({sources}); put it behind a Linear or Conv of its own"
        )
        return
    source = edges[0].source
    if source not in network or not isinstance(network[source], Synapse):
        what = network[source].describe() if source in network else "an input of the network"
        yield (
            f"layer '{name}': can't fold a BatchNorm behind '{source}' ({what}); only a Linear, "
            "Conv1d or Conv2d directly before it has weights to take it up"
        )
        return
    others = [edge.target for edge in network.outgoing(source) if edge.target != name]
    if others or source in network.outputs:
        where = ", ".join(f"'{other}'" for other in others) or "the output of the network"
        yield (
            f"layer '{name}': can't fold a BatchNorm behind '{source}', because {where} takes the "
            f"values of '{source}' before normalisation"
        )


def _folded(synapse: Layer, norm: Layer) -> Layer:
    assert isinstance(synapse, Synapse) and isinstance(norm, BatchNorm)  # see _problems
    scale = 1 / jnp.sqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean if synapse.bias is None else synapse.bias - norm.running_mean
    bias = scale * shift if norm.bias is None else scale * shift + norm.bias
    weight = synapse.weight * scale.reshape(-1, *(1,) * (synapse.weight.ndim - 1))
    new = (weight.astype(synapse.weight.dtype), bias.astype(synapse.weight.dtype))
    return eqx.tree_at(
        lambda s: (s.weight, s.bias), synapse, new, is_leaf=lambda node: node is None
    )
