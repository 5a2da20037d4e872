"""Reading a network as cores and the ways between them.

The layers are gone through in the order of the network, and for each it is known what arrives: the
events of which core, pooled how, with which factors. Weights open a block, neurons close it: that
is a core. Everything that a core has no place for is a `Problem`; reading goes on after one, so
that all of them are found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax._table import shape_text
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
from neurojax.chips.dynapcnn._signal import Signal, composed, summed, trimmed, unscaled
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
            signal = self._concatenate(name, layer, sources)
        elif len(sources) > 1 and (isinstance(layer, Add) or not layer.many_inputs):
            signal = self._add(name, layer, sources)
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
            return self._front_end(name, layer, signal)
        if isinstance(layer, AvgPool2d | SumPool2d):
            return self._pool(name, layer, signal)
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

    # Poolings and the camera

    def _pool(self, name: str, layer: AvgPool2d | SumPool2d, signal: Signal) -> Signal:
        if signal.block is not None:
            self.plan.excuse(signal.block, between(name, "pooling", signal.block))
        self._check_pool(name, layer)
        height, width = layer.kernel_size
        if isinstance(layer, AvgPool2d):
            signal = signal.scaled(1 / (height * width))
        shape = as_map(self.network.out_shape(name))
        if signal.node in self.plan.inputs:
            return self._front_end(name, DVS(pool=(height, width)), signal)
        return dataclasses.replace(
            signal,
            shape=shape,
            pools=(*signal.pools, name),
            size=(signal.size[0] * height, signal.size[1] * width),
        )

    def _check_pool(self, name: str, pool: AvgPool2d | SumPool2d) -> None:
        if pool.stride != pool.kernel_size:
            self.plan.problem(
                name,
                f"a window of {shape_text(pool.kernel_size)} with stride {shape_text(pool.stride)}",
                "pooling windows don't overlap",
                "use a stride equal to the size",
            )
        if any(pads != (0, 0) for pads in pool.padding):
            self.plan.problem(
                name,
                f"padding {shape_text([before for before, _ in pool.padding])}",
                "pooling has no padding",
                "pad in the convolution before it",
            )

    def _front_end(self, name: str, layer: DVS, signal: Signal) -> Signal:
        """The camera's block, or a pooling that becomes a part of it."""
        shape = self.network.out_shape(name)
        if signal.node not in self.plan.inputs or signal.block is not None:
            self.plan.problem(
                name,
                "a DVS block behind other layers",
                "the camera's block is the first thing on the chip",
                "put it directly behind the input",
            )
            return dataclasses.replace(signal, shape=as_map(shape), rescale=unscaled(shape[0]))
        layer = trimmed(layer, self.network.in_shape(name))
        camera = layer if signal.camera is None else composed(signal.camera, layer)
        if camera is None:
            self.plan.problem(
                name,
                f"it comes after what '{signal.parts[-1]}' does",
                "the camera's block merges polarities, pools, crops, flips and swaps in this order",
                "bring the steps into this order",
            )
            camera = layer
        return dataclasses.replace(
            signal,
            shape=as_map(shape),
            rescale=signal.rescale[: shape[0]],  # both polarities have the same factor
            camera=camera,
            parts=(*signal.parts, name),
        )

    # Merges

    def _add(self, name: str, layer: Layer, signals: Sequence[Signal]) -> Signal:
        closed = self._closed(name, "the sum", signals)
        if closed is not None:
            return closed
        shapes = {signal.shape for signal in signals}
        if len(shapes) > 1:
            self.plan.problem(
                name,
                f"a sum of maps of {' and '.join(sorted(map(shape_text, shapes)))}",
                "a core has one input map, in which its sources add up",
                "make the maps equal before they are flattened",
            )
            return signals[0]
        merge = name if isinstance(layer, Add) else self.plan.free(f"{name}.sum")
        merged = self.plan.merge(merge, Add(), signals)
        signals = [signal.without_scales() for signal in signals]
        return dataclasses.replace(merged, rescale=summed([signal.rescale for signal in signals]))

    def _concatenate(self, name: str, layer: Concat, signals: Sequence[Signal]) -> Signal:
        closed = self._closed(name, "the concatenation", signals)
        if closed is not None:
            return closed
        axis = layer.axis % len(self.network.out_shape(name))
        sizes = {signal.shape[1:] for signal in signals}
        if axis or len(sizes) > 1:
            found = (
                f"it concatenates along axis {axis}"
                if axis
                else f"it concatenates maps of {' and '.join(sorted(map(shape_text, sizes)))}"
            )
            self.plan.problem(
                name,
                found,
                "features of maps of equal size come side by side, by a shift of the feature",
                "concatenate along the features, before a Flatten",
            )
            return dataclasses.replace(
                signals[0],
                shape=as_map(self.network.out_shape(name)),
                rescale=unscaled(self.network.out_shape(name)[0]),
            )
        merged = self.plan.merge(name, Concat(), signals)
        signals = [signal.without_scales() for signal in signals]
        rescale = tuple(some for signal in signals for some in signal.rescale)
        return dataclasses.replace(
            merged, shape=(len(rescale), *signals[0].shape[1:]), rescale=rescale
        )

    def _closed(self, name: str, what: str, signals: Sequence[Signal]) -> Signal | None:
        """A problem if what weights give is merged before it gets to neurons."""
        blocks = [signal.block for signal in signals if signal.block is not None]
        if not blocks:
            return None
        names = ", ".join(f"'{block.weights_name}'" for block in blocks)
        self.plan.problem(
            name,
            f"{what} of what weights give ({names}), before it gets to neurons",
            "a core has one convolution in front of its neurons",
            "put neurons behind each of the weights, or concatenate what goes into the weights",
        )
        for block in blocks:
            block.excused = True
        return next(signal for signal in signals if signal.block is not None)
