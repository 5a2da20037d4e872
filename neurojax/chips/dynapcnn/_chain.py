"""Reading a network as a chain of blocks: weights [batch norm] neurons [pooling ...].

One block is what one core computes. Everything that a core has no place for is a `Problem`;
reading goes on after one, so that all of them are found.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.dynapcnn._order import order_of
from neurojax.layers import (
    AvgPool2d,
    BatchDropout,
    BatchNorm,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Reshape,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF, LIF

DROPPED = (Dropout, BatchDropout, Identity)
READ = (Linear, Conv2d, BatchNorm, IAF, AvgPool2d, SumPool2d, Flatten, Reshape, Scale, *DROPPED)
SUPPORTED = (
    "Linear, Conv2d, BatchNorm, Scale, IAF, AvgPool2d, SumPool2d, Flatten, Dropout and Identity"
)


@dataclass
class Block:
    """The layers that make up one core, with their names."""

    name: str  # of the weights, until neurons are found; then theirs
    weights: Conv2d | Linear
    in_shape: Shape  # (c, h, w) map that the weights see
    weights_name: str
    neuron_shape: Shape = ()  # (f, h, w)
    norm: BatchNorm | None = None
    neuron: IAF | None = None
    pools: list[tuple[str, AvgPool2d | SumPool2d]] = field(default_factory=list)
    before: list[tuple[str, float]] = field(default_factory=list)  # factors of the weights' input
    behind: list[tuple[str, float]] = field(default_factory=list)  # factors of what weights give
    made_of: list[str] = field(default_factory=list)

    @property
    def flat(self) -> bool:
        """The neurons are a vector in the network, not a map."""
        return isinstance(self.weights, Linear)


@dataclass
class Chain:
    """A network in blocks."""

    blocks: list[Block]
    dropped: list[str]  # layers without an effect on the chip
    flatten: str | None  # a Flatten behind the last block, which shapes the output


def read(network: Network, problems: list[Problem]) -> Chain:
    """The network in blocks. With new problems the blocks that could be read are returned."""
    chain = Chain([], [], None)
    names = order_of(network, problems)
    if not names:  # no chain: still name the layers that no chain could hold
        for name in network.names:
            if not isinstance(network[name], READ) and integrator(network[name]) is None:
                problems.append(_unsupported(name, network[name]))
        return chain
    shape = next(iter(network.inputs.values()))
    seen_map = shape if len(shape) == 3 else (*shape, 1, 1)
    if len(seen_map) != 3:
        problems.append(
            Problem(
                "network",
                f"its input has shape {shape}",
                "an input is (features, height, width) or (features,)",
                "reshape the input",
            )
        )
        return chain
    block: Block | None = None  # the block under construction, or the last one
    factors: list[tuple[str, float]] = []  # of the input of the weights to come
    for name in names:
        layer, out = network[name], network.out_shape(name)
        unshaped = out == network.in_shape(name)
        neuron = integrator(layer)
        if isinstance(layer, Flatten | Reshape) and (len(out) == 1 or unshaped):
            if unshaped:
                chain.dropped.append(name)
                continue
            if block is not None and block.neuron is None:
                problems.append(_between(name, type(layer).__name__, block))
            chain.flatten = name
        elif isinstance(layer, DROPPED):
            chain.dropped.append(name)
        elif isinstance(layer, Conv2d | Linear):
            if block is not None and block.neuron is None:
                problems.append(_no_neurons(block))
            if chain.flatten is not None:
                chain.dropped.append(chain.flatten)
                chain.flatten = None
            block = Block(name, layer, seen_map, name)
            block.neuron_shape = (*out, 1, 1) if isinstance(layer, Linear) else out
            block.before, factors = factors, []
            block.made_of += [*(scale for scale, _ in block.before), name]
            chain.blocks.append(block)
        elif isinstance(layer, BatchNorm):
            taken = block is None or block.neuron is not None or block.norm is not None
            if block is None or taken or block.behind:
                problems.append(
                    Problem(
                        name,
                        "a BatchNorm that does not follow weights directly",
                        "it is folded into the weights before it",
                        "put it between Conv2d or Linear and IAF",
                    )
                )
            else:
                block.norm = layer
                block.made_of.append(name)
        elif isinstance(layer, Scale):
            factor = np.unique(np.asarray(layer.factor, np.float32))
            if factor.size != 1:
                problems.append(
                    Problem(
                        name,
                        f"a factor with {factor.size} values",
                        "one factor goes into the weights next to it",
                        "use one factor for all, or multiply the weights yourself",
                    )
                )
            elif block is not None and block.neuron is None:
                block.behind.append((name, float(factor[0])))
                block.made_of.append(name)
            else:
                factors.append((name, float(factor[0])))
        elif neuron is not None:
            if block is None or block.neuron is not None:
                problems.append(
                    Problem(
                        name,
                        "neurons without weights before them",
                        "a core is a convolution and its neurons",
                        "put Conv2d or Linear before them, or remove them",
                    )
                )
            else:
                block.neuron, block.name = neuron, name
                block.made_of.append(name)
        elif isinstance(layer, AvgPool2d | SumPool2d):
            if block is None:
                problems.append(
                    Problem(
                        name,
                        "pooling of the input",
                        "only the event camera's own block pools its input, and that block is "
                        "not mapped yet",
                        "pool the input before the simulation, or start with a strided Conv2d",
                    )
                )
            elif block.neuron is None:
                problems.append(_between(name, "pooling", block))
            else:
                block.pools.append((name, layer))
                block.made_of.append(name)
        else:
            problems.append(_unsupported(name, layer))
            if (
                block is not None
                and block.neuron is None
                and network[name].init(network.in_shape(name)) is not None
            ):
                block.neuron = IAF()  # one problem is enough for neurons of another kind
        # A Flatten leaves the map as it is for the weights behind it (and a Dropout in between).
        if not isinstance(layer, (Flatten, Reshape, *DROPPED)) and len(out) in (1, 3):
            seen_map = out if len(out) == 3 else (*out, 1, 1)
    if block is not None and block.neuron is None:
        problems.append(_no_neurons(block))
    for name, left in factors:
        problems.append(
            Problem(
                name,
                f"a factor {left:g} with no weights behind it",
                "an event has no size; factors go into weights",
                "remove it, and scale the outputs of the run",
            )
        )
    if block is None and not problems:
        problems.append(
            Problem("network", "it has no weights", "a core is a convolution", "add a layer")
        )
    return chain


def integrator(layer: Layer) -> IAF | None:
    """Neurons without a leak, whatever their class; None for all else.

    snnTorch, for one, has no class for them but `Leaky(beta=1)`.
    """
    if isinstance(layer, IAF):
        return layer
    if type(layer) is not LIF or layer.tau is not None:
        return None
    leaks = np.any(np.asarray(layer.decay) != 1) or np.any(np.asarray(layer.v_rest) != 0)
    if leaks or layer.normalize_input:
        return None
    return IAF(**{f.name: getattr(layer, f.name) for f in dataclasses.fields(IAF)})


def _no_neurons(block: Block) -> Problem:
    return Problem(
        block.weights_name,
        f"{type(block.weights).__name__} without spiking neurons behind it",
        "every core ends in integrate-and-fire neurons",
        "append an IAF layer, or merge it into the next weights",
    )


def _between(name: str, what: str, block: Block) -> Problem:
    return Problem(
        name,
        f"{what} between the weights '{block.weights_name}' and their neurons",
        "a core pools what its neurons send",
        "move it behind the neurons",
    )


def _unsupported(name: str, layer: Layer) -> Problem:
    kind = type(layer).__name__
    if isinstance(layer, MaxPool1d | MaxPool2d):
        legal, remedy = "cores sum over a window", "use SumPool2d or AvgPool2d"
    elif kind == "Core":
        legal, remedy = "it is a core of the chip already", "map the network that it was made from"
    elif type(layer).__module__.startswith("neurojax.chips"):
        legal, remedy = "it is a layer of another chip", "map a network of real-valued layers"
    elif kind == "Quantised":
        legal = "the mapping quantises to the chip's integers itself"
        remedy = "put the parameters on their grids: neurojax.quantise.bake(network)"
    elif type(layer).__module__.startswith("neurojax.neurons"):
        legal = "its neurons integrate and fire, without leak, current or adaptation"
        remedy = "use IAF, and train with it"
    else:
        legal, remedy = f"a core is made of {SUPPORTED}", "remove or replace the layer"
    return Problem(name, f"a {kind} layer", legal, remedy)
