"""Folding batch normalisation into the weights before it, as chips need it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from neurojax._arguments import check_network
from neurojax._graph import Edge
from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.layers.axes import Permute
from neurojax.layers.batch_norm import BatchNorm
from neurojax.layers.convolution import Conv1d, Conv2d
from neurojax.layers.linear import Linear
from neurojax.layers.pooling import (
    AvgPool1d,
    AvgPool2d,
    MaxPool1d,
    MaxPool2d,
    SumPool1d,
    SumPool2d,
)
from neurojax.layers.shape import Identity

Synapse = Linear | Conv1d | Conv2d
Average = AvgPool1d | AvgPool2d
Sum = SumPool1d | SumPool2d
Maximum = MaxPool1d | MaxPool2d


class Normalisation(NamedTuple):
    """A batch normalisation in inference: gamma (x - mean) / sqrt(var + eps) + beta.

    Arrays `(channels,)` of NumPy or JAX; no gamma is 1, no beta is 0.
    """

    mean: Any
    var: Any
    eps: float
    gamma: Any = None
    beta: Any = None


def fold_parameters(weight: Any, bias: Any, norm: Normalisation) -> tuple[Any, Any]:
    """Weights `(out, ...)` and bias `(out,)` that take up a batch normalisation behind them.

    Rounded where `torch.nn.utils.fuse_conv_bn_weights` rounds: a last bit can decide which integer
    a chip's weight becomes.

    Args:
        weight: Weights, the output channels first.
        bias: Bias, or None.
        norm: What follows.

    References:
        B. Jacob et al., "Quantization and training of neural networks for efficient
        integer-arithmetic-only inference", CVPR 2018, section 3.2.
    """
    sqrt = jnp.sqrt if isinstance(norm.var, jax.Array) else np.sqrt
    inverse = 1 / sqrt(norm.var + np.asarray(norm.eps, norm.var.dtype))
    shift = (-norm.mean if bias is None else bias - norm.mean) * inverse
    if norm.gamma is not None:
        inverse = norm.gamma * inverse
        shift = shift * norm.gamma
    if norm.beta is not None:
        shift = shift + norm.beta
    return weight * inverse.reshape(-1, *(1,) * (weight.ndim - 1)), shift


def fold_batch_norm(network: Network) -> Network:
    """The same network (in inference) without BatchNorm layers.

    y = gamma (W x + b - mean) / sqrt(var + eps) + beta is a layer with the weights
    W' = s W and the bias b' = s (b - mean) + beta, where s = gamma / sqrt(var + eps).

    Pooling in between is passed where that is exact: average and sum commute with scaling and
    shifting unless their padding takes part, the maximum does where no gamma is negative. So are
    layers that move axes, if the channels are the first axis again in the end.

    Args:
        network: Any network. Its running statistics are used, whether or not it is in inference
            mode.

    Returns:
        A network in which each layer before a BatchNorm has new weights and a bias.

    Raises:
        ValueError: A BatchNorm that doesn't follow a Linear, Conv1d or Conv2d of its own, or
            through pooling that does not commute. All of them are listed.

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
    check_network("fold_batch_norm", network)
    norms = [name for name in network.names if isinstance(network[name], BatchNorm)]
    paths = {name: _path(network, name) for name in norms}
    problems = [problem for name in norms for problem in _problems(network, name, paths[name])]
    if problems:
        raise ValueError("\n".join(problems))
    if not norms:
        return network
    before = {name: network.incoming(name)[0].source for name in norms}
    layers = {name: network[name] for name in network.names if name not in before}
    for name, (synapse, *pools) in paths.items():
        layers[synapse] = _folded(network[synapse], network[name], [network[p] for p in pools])
    edges = [
        Edge(before.get(edge.source, edge.source), edge.target, edge.recurrent)
        for edge in network.edges
        if edge.target not in before
    ]
    outputs = [before.get(name, name) for name in network.outputs]
    provenance = {name: known for name, known in network.provenance.items() if name in layers}
    for name, (synapse, *_) in paths.items():
        if synapse in provenance:
            known = provenance[synapse]
            notes = (*known.notes, f"batch norm '{name}' is folded in")
            provenance[synapse] = known._replace(notes=notes)
    return Network(layers, edges, inputs=network.inputs, outputs=outputs, provenance=provenance)


def _path(network: Network, name: str) -> list[str]:
    """What lies before a BatchNorm: pools, and before them what may have weights, that first."""
    path: list[str] = []
    edges = network.incoming(name)
    while len(edges) == 1 and not edges[0].recurrent:
        path.insert(0, edges[0].source)
        if path[0] not in network or not isinstance(
            network[path[0]], Average | Sum | Maximum | Permute | Identity
        ):
            break
        edges = network.incoming(path[0])
    return path


def _problems(network: Network, name: str, path: list[str]) -> Iterator[str]:
    """Why a BatchNorm can't be folded."""
    for target in (name, *path[:0:-1]):
        edges = network.incoming(target)
        if len(edges) != 1 or edges[0].recurrent:
            sources = ", ".join(str(edge) for edge in edges)
            yield (
                f"layer '{name}': can't fold a BatchNorm fed by several or recurrent edges "
                f"({sources}); put it behind a Linear or Conv of its own"
            )
            return
    source = path[0]
    if source not in network or not isinstance(network[source], Synapse):
        what = network[source].describe() if source in network else "an input of the network"
        yield (
            f"layer '{name}': can't fold a BatchNorm behind '{source}' ({what}); only a Linear, "
            "Conv1d or Conv2d before it, directly or in front of pooling, has weights to take it up"
        )
        return
    for taken, taker in zip(path, (*path[1:], name), strict=True):
        others = [edge.target for edge in network.outgoing(taken) if edge.target != taker]
        if others or taken in network.outputs:
            where = ", ".join(f"'{other}'" for other in others) or "the output of the network"
            yield (
                f"layer '{name}': can't fold a BatchNorm behind '{taken}', because {where} takes "
                f"the values of '{taken}' before normalisation"
            )
    channels = 0  # the axis of the synapse's channels
    for pool in path[1:]:
        layer = network[pool]
        if isinstance(layer, Permute):
            channels = layer.axes.index(channels)
            continue
        reason = _why_not_through(layer, network[name], channels)
        if reason:
            yield (
                f"layer '{name}': can't fold a BatchNorm through '{pool}' "
                f"({layer.describe()}): {reason}"
            )
    if channels:
        yield (
            f"layer '{name}': can't fold a BatchNorm that normalises another axis than the "
            f"channels of '{source}'; move its axes back before"
        )


def _why_not_through(pool: Layer, norm: Layer, channels: int) -> str:
    """Why normalising before a pool is not the same as behind it, or ""."""
    assert isinstance(norm, BatchNorm)
    if channels and not isinstance(pool, Identity):
        return "it pools over the channels"
    if isinstance(pool, Maximum):
        if norm.weight is None:
            return ""
        if isinstance(norm.weight, jax.core.Tracer):
            return "whether the largest stays the largest can't be known while tracing"
        if (norm.weight < 0).any():
            return "a negative gamma turns the largest value into the smallest; pool after it"
    elif isinstance(pool, Average | Sum):
        zeros = any(sum(pads) for pads in pool.padding)
        if zeros and (isinstance(pool, Sum) or pool.count_padding):
            return "zeros of its padding would not be normalised; pool after it, or don't pad"
    return ""


def _folded(synapse: Layer, norm: Layer, pools: list[Layer]) -> Layer:
    assert isinstance(synapse, Synapse) and isinstance(norm, BatchNorm)  # see _problems
    mean, beta = norm.running_mean, norm.bias
    # A sum over n points of a window adds up n shifts.
    points = math.prod(math.prod(p.kernel_size) for p in pools if isinstance(p, Sum))
    if points > 1:
        mean, beta = mean / points, None if beta is None else beta / points
    known = Normalisation(mean, norm.running_var, norm.eps, norm.weight, beta)
    weight, bias = fold_parameters(synapse.weight, synapse.bias, known)
    new = (weight.astype(synapse.weight.dtype), bias.astype(synapse.weight.dtype))
    return eqx.tree_at(
        lambda s: (s.weight, s.bias), synapse, new, is_leaf=lambda node: node is None
    )
