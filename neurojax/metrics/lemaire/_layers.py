"""The work of our own layers. `_work.py` says what the machine is like that does it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurojax._layer import Layer
from neurojax.layers import (
    Add,
    BatchDropout,
    BatchNorm,
    Chain,
    Concat,
    Delay,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MatMul,
    MaxPool1d,
    MaxPool2d,
    Pad,
    Permute,
    Recurrent,
    ReLU,
    ReLU6,
    Reshape,
    Scale,
    Slice,
    SumPool1d,
    SumPool2d,
    Upsample,
)
from neurojax.layers._kernel import KernelLayer
from neurojax.layers.pooling import _AvgPool, _Pool
from neurojax.metrics._connectivity import Connections, connections
from neurojax.metrics._fan_out import fan_out_of_kernel, window_hits
from neurojax.metrics.lemaire._work import (
    UNUSED,
    Flow,
    Memory,
    NotKnown,
    Traffic,
    Work,
    all_values,
    register_cost,
    work_of,
)
from neurojax.neurons import (
    IAF,
    LI,
    LIF,
    AdaptiveLIF,
    Alpha,
    CubaIAF,
    CubaLI,
    CubaLIF,
    Threshold,
)
from neurojax.neurons._neuron import AbstractNeuron
from neurojax.quantise import FakeQuantise, Quantised

MOVES: tuple[type[Layer], ...] = (Flatten, Reshape, Permute, Identity, Slice)
FREE: tuple[type[Layer], ...] = (
    *MOVES,
    Concat,
    Pad,
    Dropout,
    BatchDropout,
    FakeQuantise,
)
"""Layers that give values other addresses, or nothing to do in inference."""

HANDS_ON: tuple[type[Layer], ...] = (
    *MOVES,
    Concat,
    Add,
    SumPool1d,
    SumPool2d,
    MaxPool1d,
    MaxPool2d,
    Upsample,
    Delay,
    Dropout,
    BatchDropout,
)
"""Layers of which numbers of spikes come out if numbers of spikes go in."""

LEAKS: dict[type[AbstractNeuron], int] = {
    IAF: 0,
    LIF: 1,
    LI: 1,
    CubaLIF: 2,
    CubaLI: 2,
    CubaIAF: 1,
    AdaptiveLIF: 2,
    Alpha: 2,
}
"""How many of a neuron's state variables decay."""


def nothing(traffic: Traffic) -> None:
    """Values only get other addresses."""
    del traffic


def synapse(traffic: Traffic) -> Work:
    """Weights between inputs and outputs: dense, convolution, transposed convolution."""
    layer = traffic.layer
    if traffic.formal:
        return formal_synapse(traffic)
    found = _connections(traffic)
    once = traffic.once and not traffic.spikes
    steps = traffic.steps if once else 1
    arriving, events = traffic.arriving(found.fan_out) / steps, traffic.events / steps
    biases = 0 if layer.bias is None else layer.bias.size
    # Kept currents are computed once, and added in every step.
    biased = (traffic.size * traffic.samples if once else traffic.visits) if biases else 0
    kept = traffic.visits if once else 0
    visits = 0 if traffic.accumulates or once else traffic.visits
    of_kernel = isinstance(layer, KernelLayer)
    return Work(
        pot=Memory(
            arriving + visits + kept + (biased if once else 0),
            arriving + visits + (biased if once else 0),
            traffic.size,
        ),
        weights=Memory(arriving, 0, layer.weight.size),
        bias=Memory(biased, 0, biases),
        inputs=Memory(events, 0, None),
        syn_acc=(arriving if traffic.spikes else 0) + biased + kept,
        syn_mac=0 if traffic.spikes else arriving,
        addr_acc=arriving,
        addr_mac=2 * events if of_kernel else 0,  # where in the image the kernel falls
    )


def _connections(traffic: Traffic) -> Connections:
    """The connections of a layer that has its inputs' synapses, and no others."""
    found = connections(traffic.layer, traffic.in_shapes[0])
    if [part.source for part in found.values()] != ["input"]:
        raise NotKnown(
            f"the connectivity registered for a {type(traffic.layer).__name__} is not that of one "
            "synapse from its inputs; say what it costs with metrics.lemaire.register_cost"
        )
    (one,) = found.values()
    return one


def formal_synapse(traffic: Traffic) -> Work:
    """The same, every output computed from all of its inputs."""
    layer, found = traffic.layer, _connections(traffic)
    products, size = int(found.fan_out.sum()), traffic.size
    biases = 0 if layer.bias is None else layer.bias.size
    of_kernel = isinstance(layer, KernelLayer)
    addresses = products
    if of_kernel:
        kernels = layer.out_channels * math.prod(layer.kernel_size)
        addresses = traffic.in_size + size + kernels
    return Work(
        weights=Memory(products, 0, layer.weight.size),
        bias=Memory(size if biases else 0, 0, biases),
        inputs=Memory(products if of_kernel else traffic.in_size, 0, traffic.in_size),
        outputs=Memory(0, size, size),
        syn_acc=size if biases else 0,
        syn_mac=products,
        addr_acc=addresses,
    )


def neuron(traffic: Traffic) -> Work:
    """Neurons: every state variable is visited once a step."""
    layer = traffic.layer
    if traffic.formal:
        return Work(syn_acc=traffic.size)  # the activation, where its input was just computed
    for kind in type(layer).__mro__:
        if kind in LEAKS:
            leaks = LEAKS[kind]
            break
    else:
        raise NotKnown(
            f"how many state variables of a {type(layer).__name__} decay is not known; say what it "
            "costs with metrics.lemaire.register_cost"
        )
    shape = traffic.in_shapes[0]
    states = len([leaf for leaf in jax.tree.leaves(layer.init(shape)) if leaf.shape == shape])
    # What no synapse has added up comes as events of its own.
    pairs = zip(traffic.inputs, traffic.accumulated, strict=True)
    events = sum(flow.events for flow, accumulated in pairs if not accumulated)
    accesses = states * traffic.visits + events
    resets = traffic.output.events if getattr(layer, "reset", "none") != "none" else 0
    return Work(
        pot=Memory(accesses, accesses, states * traffic.size),
        inputs=Memory(events, 0, None),
        outputs=Memory(0, traffic.output.events, None),
        syn_acc=events + resets,
        syn_mac=leaks * traffic.visits,
        addr_acc=events,
    )


def activation(traffic: Traffic) -> Work:
    """A comparison of each value: ReLU, threshold."""
    if traffic.formal:
        return Work(syn_acc=traffic.size)
    return Work(
        inputs=Memory(traffic.events, 0, None),
        outputs=Memory(0, traffic.output.events, None),
        syn_acc=traffic.events,
    )


def pool(traffic: Traffic) -> Work:
    """Sum, mean or maximum over windows; a mean is scaled in the end, a sum of spikes hands them
    on one by one."""
    layer, size = traffic.layer, traffic.size
    shape = traffic.in_shapes[0]
    hits = [
        window_hits(n, kernel=k, stride=s, pads=pads)
        for n, k, s, pads in zip(
            shape[1:], layer.kernel_size, layer.stride, layer.padding, strict=True
        )
    ]
    exists = np.ones((shape[0], *layer.kernel_size), np.int64)
    arriving = traffic.arriving(fan_out_of_kernel(exists, hits))
    mean = isinstance(layer, _AvgPool)
    if traffic.formal:
        return Work(
            inputs=Memory(arriving, 0, traffic.in_size),
            outputs=Memory(0, size, size),
            syn_acc=arriving - size,
            syn_mac=size if mean else 0,
            addr_acc=traffic.in_size + size,
        )
    on_their_way = traffic.output.spikes and isinstance(layer, SumPool1d | SumPool2d)
    return Work(
        pot=UNUSED if on_their_way else Memory(arriving, arriving, size),
        inputs=Memory(traffic.events, 0, None),
        outputs=Memory(0, traffic.output.events, None),
        syn_acc=0 if on_their_way else arriving,
        syn_mac=traffic.output.events if mean else 0,
        addr_acc=arriving,
        addr_mac=2 * traffic.events,
    )


def add(traffic: Traffic) -> Work | None:
    """A sum of several inputs, value by value. Spikes of all of them go into one queue."""
    size, events = traffic.size, traffic.events
    if traffic.formal:
        return Work(
            inputs=Memory(traffic.in_size, 0, size),
            outputs=Memory(0, size, size),
            syn_acc=traffic.in_size - size,
            addr_acc=size,
        )
    if traffic.output.spikes:
        return None
    return Work(
        pot=Memory(events, events, size),
        inputs=Memory(events, 0, None),
        outputs=Memory(0, traffic.output.events, None),
        syn_acc=events,
        addr_acc=events,
    )


def affine(traffic: Traffic) -> Work:
    """A factor, and maybe an offset, of each value in each step: batch norm, scale."""
    layer, visits = traffic.layer, traffic.visits
    factors = layer.running_mean.size if isinstance(layer, BatchNorm) else np.size(layer.factor)
    offset = isinstance(layer, BatchNorm)
    own = Memory(visits, visits, traffic.size)
    return Work(
        pot=UNUSED if traffic.formal else own,
        weights=Memory(visits, 0, factors),
        bias=Memory(visits, 0, factors) if offset else UNUSED,
        inputs=Memory(visits, 0, traffic.size) if traffic.formal else UNUSED,
        outputs=Memory(0, visits, traffic.size) if traffic.formal else UNUSED,
        syn_mac=visits,
        addr_acc=visits,
    )


def upsample(traffic: Traffic) -> Work:
    """Copies of each value."""
    many = traffic.size if traffic.formal else traffic.output.events
    return Work(
        inputs=Memory(traffic.events, 0, traffic.in_size if traffic.formal else None),
        outputs=Memory(0, many, traffic.size if traffic.formal else None),
        addr_acc=many,
    )


def delay(traffic: Traffic) -> Work | None:
    """A buffer that every event is written to and read from."""
    if traffic.formal:
        return None
    return Work(
        inputs=Memory(traffic.events, 0, None),
        pot=Memory(traffic.output.events, traffic.events, traffic.size * traffic.layer.longest),
        outputs=Memory(0, traffic.output.events, None),
    )


def matmul(traffic: Traffic) -> Work:
    """Products of values with values."""
    first, size = traffic.in_shapes[0], traffic.size
    if not traffic.formal:
        raise NotKnown(
            "how many values that are not zero meet in a MatMul can't be told from their numbers"
        )
    products = size * first[-1]
    return Work(
        inputs=Memory(2 * products, 0, traffic.in_size),
        outputs=Memory(0, size, size),
        syn_mac=products,
        addr_acc=traffic.in_size + size,
    )


def recurrent(traffic: Traffic) -> list[Work]:
    """Neurons and the synapse that brings their output back in the next step."""
    layer = traffic.layer
    inner = dataclasses.replace(traffic, layer=layer.neuron)
    back = dataclasses.replace(
        traffic,
        layer=layer.synapse,
        in_shapes=(traffic.out_shape,),
        out_shape=traffic.in_shapes[0],
        inputs=(all_values(traffic.out_shape) if traffic.formal else traffic.output.delayed(),),
        accumulates=True,
    )
    return [*_parts(inner), *_parts(back)]


def chain(traffic: Traffic) -> list[Work]:
    """Its layers one after the other. What passes between them are not spikes, but all values."""
    layers = traffic.layer.layers
    shape, works = traffic.in_shapes[0], []
    flows: tuple[Flow, ...] = traffic.inputs
    accumulated = traffic.accumulated
    for position, layer in enumerate(layers):
        last = position == len(layers) - 1
        out_shape = layer.out_shape(shape)
        if not last and layer.spiking:
            raise NotKnown(
                f"how often the {layer.describe()} in the midst of a Chain spikes is not known "
                "from outside; name the layers in the network instead"
            )
        neurons_next = not last and isinstance(layers[position + 1], AbstractNeuron)
        flows_out: tuple[Flow, ...]
        if last:
            flows_out = (traffic.output,)
        elif isinstance(layer, MOVES):
            flows_out = tuple(_moved(layer, flow) for flow in flows)
        else:
            flows_out = (_dense(out_shape, traffic),)
        works += _parts(
            dataclasses.replace(
                traffic,
                layer=layer,
                in_shapes=(shape,),
                out_shape=out_shape,
                inputs=flows,
                output=flows_out[0],
                accumulated=accumulated,
                accumulates=traffic.accumulates if last else neurons_next,
            )
        )
        if not isinstance(layer, FREE):
            accumulated = (neurons_next and is_synapse(layer),)
        shape, flows = out_shape, flows_out
    return works


def _moved(layer: Layer, flow: Flow) -> Flow:
    """The same events at other addresses."""
    neurons, late = (np.asarray(layer.step(None, jnp.asarray(n))[1]) for n in flow[:2])
    return Flow(neurons, late, flow.spikes)


def _dense(shape: Sequence[int], traffic: Traffic) -> Flow:
    ones = np.ones(tuple(shape), np.int64) * traffic.samples
    return Flow(ones * traffic.steps, ones, spikes=False)


def quantised(traffic: Traffic) -> list[Work]:
    """What the layer costs whose parameters are quantised."""
    return _parts(dataclasses.replace(traffic, layer=traffic.layer.layer))


def _parts(traffic: Traffic) -> list[Work]:
    return work_of(traffic) or []


def is_synapse(layer: Any) -> bool:
    """Whether a layer's events can be added right into the membranes behind it."""
    if isinstance(layer, Quantised):
        return is_synapse(layer.layer)
    return isinstance(layer, Linear | KernelLayer)


def has_membrane(layer: Any) -> bool:
    """Whether a layer has state that a synapse before it can add into."""
    if isinstance(layer, Quantised):
        return has_membrane(layer.layer)
    if isinstance(layer, Recurrent):
        return has_membrane(layer.neuron)
    if isinstance(layer, Chain):
        return has_membrane(layer.layers[0])
    return isinstance(layer, AbstractNeuron)


for _kind in FREE:
    register_cost(_kind, nothing)
for _kinds, _cost in (
    ((Linear, KernelLayer), synapse),
    ((AbstractNeuron,), neuron),
    ((ReLU, ReLU6, Threshold), activation),
    ((_Pool,), pool),
    ((Add,), add),
    ((BatchNorm, Scale), affine),
    ((Upsample,), upsample),
    ((Delay,), delay),
    ((MatMul,), matmul),
    ((Recurrent,), recurrent),
    ((Chain,), chain),
    ((Quantised,), quantised),
):
    for _kind in _kinds:
        register_cost(_kind, _cost)
