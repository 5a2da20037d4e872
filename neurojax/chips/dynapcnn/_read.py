"""Reading a network as cores and the ways between them.

The layers are gone through in the order of the network, and for each it is known what arrives: the
events of which core, pooled how, with which factors. Weights open a block, neurons close it: that
is a core. Everything that a core has no place for is a `Problem`; reading goes on after one, so
that all of them are found.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.dynapcnn._blocks import (
    Block,
    between,
    integrator,
    no_neurons,
    unsupported,
)
from neurojax.chips.dynapcnn._finish import finish
from neurojax.chips.dynapcnn._plan import Plan, as_map
from neurojax.chips.dynapcnn._read_merges import added, concatenated
from neurojax.chips.dynapcnn._read_pools import front_end, pooled
from neurojax.chips.dynapcnn._signal import Signal, unscaled
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import (
    Add,
    AvgPool2d,
    BatchDropout,
    BatchNorm,
    Concat,
    Conv2d,
    Dropout,
    Flatten,
    Identity,
    Linear,
    Reshape,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF

DROPPED = (Dropout, BatchDropout, Identity)
READ = (Linear, Conv2d, BatchNorm, AvgPool2d, SumPool2d, Flatten, Reshape, Scale, Add, Concat, DVS)


def read(
    network: Network, chip: ChipSpec, problems: list[Problem], *, dvs_input: bool | None = None
) -> Plan:
    """The network in blocks. With new problems, what could be read is returned."""
    plan = Plan(network, chip, problems, dvs_input)
    reader = _Reader(plan)
    if reader.check_inputs():
        for name in network.names:
            reader.read(name)
        finish(plan, reader.signals)
        return plan
    for name in network.names:  # nothing can be followed; still name what no chip of these takes
        if not isinstance(network[name], READ + DROPPED) and integrator(network[name]) is None:
            problems.append(unsupported(name, network[name]))
    return plan


class _Reader:
    """One pass over a network."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.network = plan, plan.network
        self.signals: dict[str, Signal] = {}

    def check_inputs(self) -> bool:
        """Signals of the inputs, if they have a shape that a core can see."""
        if len(self.network.inputs) > 1:
            names = ", ".join(f"'{name}'" for name in self.network.inputs)
            self.plan.problem(
                "network",
                f"it has {len(self.network.inputs)} inputs ({names})",
                "the chip has one",
                "concatenate the inputs along the features before they enter the network",
            )
        for name, shape in self.network.inputs.items():
            if len(shape) not in (1, 3):
                self.plan.problem(
                    "network",
                    f"its input has shape {shape}",
                    "an input is (features, height, width) or (features,)",
                    "reshape the input",
                )
                return False
            self.signals[name] = Signal(name, as_map(shape), unscaled(shape[0]))
        for edge in self.network.edges:
            if edge.recurrent:
                self.plan.problem(
                    edge.target,
                    f"it receives the recurrent edge {edge}",
                    "loops may dead-lock the chip and are not routed",
                    "remove the edge, or unroll it into layers",
                )
        return True

    def read(self, name: str) -> None:
        """One layer."""
        layer = self.network[name]
        edges = [edge for edge in self.network.incoming(name) if not edge.recurrent]
        sources = [self.signals[e.source] for e in edges if e.source in self.signals]
        if not sources:  # it is fed by a recurrent edge only
            return
        if isinstance(layer, Concat) and len(sources) > 1:
            signal = concatenated(self.plan, name, layer, sources)
        elif len(sources) > 1 and (isinstance(layer, Add) or not layer.many_inputs):
            signal = added(self.plan, name, layer, sources)
        else:
            signal = sources[0]  # others only before layers that are refused
        if not isinstance(layer, Add | Concat):
            signal = self._through(name, layer, signal)
        self.signals[name] = self._shared(name, signal)

    def _shared(self, name: str, signal: Signal) -> Signal:
        """A problem if several layers want to be the neurons of one block."""
        users = [edge.target for edge in self.network.outgoing(name) if not edge.recurrent]
        if signal.block is None or signal.block.excused or len(users) < 2:
            return signal
        signal.block.excused = True
        self.plan.problem(
            signal.block.weights_name,
            f"what its weights give feeds {len(users)} layers ({', '.join(users)})",
            "a core is one convolution and its neurons",
            "give each of them weights of its own, or branch behind the neurons",
        )
        return signal

    def _through(self, name: str, layer: Layer, signal: Signal) -> Signal:
        """What a layer with one input makes of it."""
        neuron = integrator(layer)
        out = self.network.out_shape(name)
        if isinstance(layer, DROPPED):
            return signal
        if isinstance(layer, Flatten | Reshape) and len(out) == 1:
            if out == self.network.in_shape(name):
                return signal
            if signal.block is not None:
                self.plan.excuse(signal.block, between(name, type(layer).__name__, signal.block))
            return dataclasses.replace(signal, flatten=name)
        if isinstance(layer, Reshape) and out == self.network.in_shape(name):
            return signal
        if isinstance(layer, Conv2d | Linear):
            return self._weights(name, layer, signal)
        if isinstance(layer, BatchNorm):
            return self._norm(name, layer, signal)
        if isinstance(layer, Scale):
            return self._scale(name, layer, signal)
        if neuron is not None:
            return self._neurons(name, neuron, signal)
        if isinstance(layer, DVS):
            return front_end(self.plan, name, layer, signal)
        if isinstance(layer, AvgPool2d | SumPool2d):
            return pooled(self.plan, name, layer, signal)
        self.plan.problems.append(unsupported(name, layer))
        if signal.block is not None and layer.init(self.network.in_shape(name)) is not None:
            # One problem is enough for neurons of another kind.
            signal = self._neurons(name, IAF(), signal)
        shape = as_map(out) if len(out) in (1, 3) else signal.shape
        return dataclasses.replace(signal, shape=shape, rescale=unscaled(shape[0]))

    # Cores

    def _weights(self, name: str, layer: Conv2d | Linear, signal: Signal) -> Signal:
        if signal.block is not None:
            self.plan.excuse(signal.block, no_neurons(signal.block))
        block = Block(
            name,
            layer,
            in_shape=signal.shape,
            weights_name=name,
            source=self.plan.place(signal),
            neuron_shape=as_map(self.network.out_shape(name)),
            rescale=signal.rescale,
        )
        block.before = list(signal.scales)
        block.made_of = [*(scale for scale, _ in block.before), name]
        self.plan.blocks.append(block)
        features = block.neuron_shape[0]
        return Signal(name, block.neuron_shape, unscaled(features), block=block)

    def _norm(self, name: str, layer: BatchNorm, signal: Signal) -> Signal:
        block = signal.block
        if block is None or block.norm is not None or block.behind:
            self.plan.problem(
                name,
                "a BatchNorm that does not follow weights directly",
                "it is folded into the weights before it",
                "put it between Conv2d or Linear and IAF",
            )
        else:
            block.norm = layer
            block.made_of.append(name)
        return signal

    def _scale(self, name: str, layer: Scale, signal: Signal) -> Signal:
        factor = np.unique(np.asarray(layer.factor, np.float32))
        if factor.size != 1:
            self.plan.problem(
                name,
                f"a factor with {factor.size} values",
                "one factor goes into the weights next to it",
                "use one factor for all, or multiply the weights yourself",
            )
        elif signal.block is not None:
            signal.block.behind.append((name, float(factor[0])))
            signal.block.made_of.append(name)
        else:
            scales = (*signal.scales, (name, float(factor[0])))
            return dataclasses.replace(signal, scales=scales)
        return signal

    def _neurons(self, name: str, neuron: IAF, signal: Signal) -> Signal:
        block = signal.block
        if block is None or block.neuron is not None:
            if block is None or not block.excused:
                self.plan.problem(
                    name,
                    "neurons without weights before them",
                    "a core is a convolution and its neurons",
                    "put Conv2d or Linear before them, or remove them",
                )
            return dataclasses.replace(signal, block=None)
        block.neuron, block.name = neuron, name
        block.made_of.append(name)
        self.plan.add(name, block, [block.source])
        return Signal(name, block.neuron_shape, unscaled(block.neuron_shape[0]))
