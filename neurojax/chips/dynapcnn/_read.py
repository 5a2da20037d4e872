"""Reading a network as cores and the ways between them.

The layers are gone through in the order of the network, and for each it is known what arrives: the
events of which core, pooled how, with which factors. Weights open a block, neurons close it: that
is a core. Everything that a core has no place for is a `Problem`; reading goes on after one, so
that all of them are found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
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
from neurojax.chips.dynapcnn._checks import check_camera
from neurojax.chips.dynapcnn._signal import Signal, composed, resolve, summed, trimmed, unscaled
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


@dataclasses.dataclass
class Plan:
    """The mapped network to be: cores are blocks still."""

    inputs: dict[str, Shape]
    layers: dict[str, Layer | Block] = dataclasses.field(default_factory=dict)
    edges: list[Edge] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)
    made_of: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # no cores
    blocks: list[Block] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, layer: Layer | Block, sources: Sequence[str]) -> None:
        """One more layer and its edges."""
        self.layers[name] = layer
        self.edges += [Edge(source, name) for source in sources]


def read(
    network: Network, chip: ChipSpec, problems: list[Problem], *, dvs_input: bool | None = None
) -> Plan:
    """The network in blocks. With new problems, what could be read is returned."""
    reader = _Reader(network, chip, problems, dvs_input)
    if reader.check_inputs():
        for name in network.names:
            reader.read(name)
        reader.finish()
    return reader.plan


class _Reader:
    """One pass over a network."""

    def __init__(
        self, network: Network, chip: ChipSpec, problems: list[Problem], dvs_input: bool | None
    ) -> None:
        self.network, self.chip, self.problems = network, chip, problems
        self.dvs_input = dvs_input
        self.plan = Plan(dict(network.inputs))
        self.signals: dict[str, Signal] = {}
        self.camera: str | None = None  # name of the front end, once it is placed

    def check_inputs(self) -> bool:
        """Signals of the inputs, if they have a shape that a core can see."""
        if len(self.network.inputs) > 1:
            names = ", ".join(f"'{name}'" for name in self.network.inputs)
            self._problem(
                "network",
                f"it has {len(self.network.inputs)} inputs ({names})",
                "the chip has one",
                "concatenate the inputs along the features before they enter the network",
            )
        for name, shape in self.network.inputs.items():
            if len(shape) not in (1, 3):
                self._problem(
                    "network",
                    f"its input has shape {shape}",
                    "an input is (features, height, width) or (features,)",
                    "reshape the input",
                )
                return False
            self.signals[name] = Signal(name, _map(shape), unscaled(shape[0]))
        for edge in self.network.edges:
            if edge.recurrent:
                self._problem(
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
        self._problem(
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
                self._excuse(signal.block, between(name, type(layer).__name__, signal.block))
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
        self.problems.append(unsupported(name, layer))
        if signal.block is not None and layer.init(self.network.in_shape(name)) is not None:
            # One problem is enough for neurons of another kind.
            signal = self._neurons(name, IAF(), signal)
        shape = _map(out) if len(out) in (1, 3) else signal.shape
        return dataclasses.replace(signal, shape=shape, rescale=unscaled(shape[0]))

    # Cores

    def _weights(self, name: str, layer: Conv2d | Linear, signal: Signal) -> Signal:
        if signal.block is not None:
            self._excuse(signal.block, no_neurons(signal.block))
        block = Block(
            name,
            layer,
            in_shape=signal.shape,
            weights_name=name,
            source=self.place(signal),
            neuron_shape=_map(self.network.out_shape(name)),
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
            self._problem(
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
            self._problem(
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
                self._problem(
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
            self._excuse(signal.block, between(name, "pooling", signal.block))
        self._check_pool(name, layer)
        height, width = layer.kernel_size
        if isinstance(layer, AvgPool2d):
            signal = signal.scaled(1 / (height * width))
        shape = _map(self.network.out_shape(name))
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
            self._problem(
                name,
                f"a window of {shape_text(pool.kernel_size)} with stride {shape_text(pool.stride)}",
                "pooling windows don't overlap",
                "use a stride equal to the size",
            )
        if any(pads != (0, 0) for pads in pool.padding):
            self._problem(
                name,
                f"padding {shape_text([before for before, _ in pool.padding])}",
                "pooling has no padding",
                "pad in the convolution before it",
            )

    def _front_end(self, name: str, layer: DVS, signal: Signal) -> Signal:
        """The camera's block, or a pooling that becomes a part of it."""
        shape = self.network.out_shape(name)
        if signal.node not in self.plan.inputs or signal.block is not None:
            self._problem(
                name,
                "a DVS block behind other layers",
                "the camera's block is the first thing on the chip",
                "put it directly behind the input",
            )
            return dataclasses.replace(signal, shape=_map(shape), rescale=unscaled(shape[0]))
        layer = trimmed(layer, self.network.in_shape(name))
        camera = layer if signal.camera is None else composed(signal.camera, layer)
        if camera is None:
            self._problem(
                name,
                f"it comes after what '{signal.parts[-1]}' does",
                "the camera's block merges polarities, pools, crops, flips and swaps in this order",
                "bring the steps into this order",
            )
            camera = layer
        return dataclasses.replace(
            signal,
            shape=_map(shape),
            rescale=signal.rescale[: shape[0]],  # both polarities have the same factor
            camera=camera,
            parts=(*signal.parts, name),
        )

    def _place_camera(self, signal: Signal) -> str:
        """Name of the front end that the signal passes, which has one setting for all."""
        camera = signal.camera or DVS()
        on = camera.pixel_array if self.dvs_input is None else self.dvs_input
        # A map of one feature is what the camera gives when it does not tell polarities apart.
        merged = camera.merge_polarities or self.plan.inputs[signal.node][0] == 1
        camera = dataclasses.replace(camera, pixel_array=on, merge_polarities=merged)
        if self.camera is None:
            self.camera = signal.parts[-1] if signal.parts else self._free("dvs")
            self.plan.add(self.camera, camera, [signal.node])
            self.plan.made_of[self.camera] = signal.parts
            in_shape = self.plan.inputs[signal.node]
            self.problems += check_camera(self.camera, camera, in_shape, self.chip)
        elif self.plan.layers[self.camera] != camera:
            self._problem(
                signal.parts[-1] if signal.parts else "network",
                f"the input goes through '{self.camera}' ({self._described(self.camera)}) and "
                f"elsewhere through {camera.describe()}",
                "the camera's block treats the events for all its destinations alike",
                "use one pooling of the input, and pool behind the cores",
            )
        return self.camera

    def _described(self, name: str) -> str:
        layer = self.plan.layers[name]
        return layer.describe() if isinstance(layer, Layer) else ""

    # Ways

    def place(self, signal: Signal) -> str:
        """The layer of the mapped network that sends these events, poolings included."""
        node = signal.node
        if node in self.plan.inputs and (signal.camera is not None or self.dvs_input):
            node = self._place_camera(signal)
        if not signal.pools:
            return node
        name = signal.pools[-1]
        if name in self.plan.layers:
            return name
        height, width = signal.size
        if height != width or height not in self.chip.poolings:
            *most, last = map(str, self.chip.poolings)
            self._problem(
                ", ".join(signal.pools),
                f"pooling over {height}x{width} in all",
                f"pooling between cores is square, over {', '.join(most)} or {last}",
                "use one of those, or a stride in the convolution",
            )
        self.plan.add(name, SumPool2d((height, width)), [node])
        self.plan.made_of[name] = signal.pools
        return name

    def _nodes(self, name: str, signals: Sequence[Signal]) -> list[str]:
        """Where the signals of a merge come from, all of them maps or all of them vectors."""
        nodes = [self.place(signal) for signal in signals]
        twice = sorted({node for node in nodes if nodes.count(node) > 1})
        if twice:
            self._problem(
                name,
                f"it receives '{twice[0]}' more than once",
                "a destination gets an event once",
                "multiply the weights instead",
            )
        return nodes

    def _add(self, name: str, layer: Layer, signals: Sequence[Signal]) -> Signal:
        closed = self._closed(name, "the sum", signals)
        if closed is not None:
            return closed
        shapes = {signal.shape for signal in signals}
        if len(shapes) > 1:
            self._problem(
                name,
                f"a sum of maps of {' and '.join(sorted(map(shape_text, shapes)))}",
                "a core has one input map, in which its sources add up",
                "make the maps equal before they are flattened",
            )
            return signals[0]
        merge = name if isinstance(layer, Add) else self._free(f"{name}.sum")
        merged = self._merge(merge, Add(), signals)
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
            self._problem(
                name,
                found,
                "features of maps of equal size come side by side, by a shift of the feature",
                "concatenate along the features, before a Flatten",
            )
            return dataclasses.replace(
                signals[0],
                shape=_map(self.network.out_shape(name)),
                rescale=unscaled(self.network.out_shape(name)[0]),
            )
        merged = self._merge(name, Concat(), signals)
        signals = [signal.without_scales() for signal in signals]
        rescale = tuple(some for signal in signals for some in signal.rescale)
        return dataclasses.replace(
            merged, shape=(len(rescale), *signals[0].shape[1:]), rescale=rescale
        )

    def _merge(self, name: str, layer: Layer, signals: Sequence[Signal]) -> Signal:
        """A merging layer, and what comes out of it."""
        nodes = self._nodes(name, signals)
        for i, signal in enumerate(signals):  # vectors of a Linear layer meet maps of 1x1
            if signal.flatten is not None and signal.shape[1:] == (1, 1):
                nodes[i] = self._flat(signal.flatten, nodes[i])
        if len(set(nodes)) == len(nodes):
            self.plan.add(name, layer, nodes)
            self.plan.made_of[name] = (name,) if name in self.network else ()
        flatten = next((s.flatten for s in signals if s.flatten is not None), None)
        vectors = signals[0].shape[1:] == (1, 1)
        return Signal(name, signals[0].shape, (), flatten=None if vectors else flatten)

    def _closed(self, name: str, what: str, signals: Sequence[Signal]) -> Signal | None:
        """A problem if what weights give is merged before it gets to neurons."""
        blocks = [signal.block for signal in signals if signal.block is not None]
        if not blocks:
            return None
        names = ", ".join(f"'{block.weights_name}'" for block in blocks)
        self._problem(
            name,
            f"{what} of what weights give ({names}), before it gets to neurons",
            "a core has one convolution in front of its neurons",
            "put neurons behind each of the weights, or concatenate what goes into the weights",
        )
        for block in blocks:
            block.excused = True
        return next(signal for signal in signals if signal.block is not None)

    # The end

    def finish(self) -> None:
        """What comes after the last layer: outputs, and what is missing."""
        for block in self.plan.blocks:
            if block.neuron is None:
                self._excuse(block, no_neurons(block))
        for name in self.network.outputs:
            if name in self.signals:
                self._output(name, self.signals[name])
        direct = [e for e in self.plan.edges if e.source in self.plan.inputs]
        if self.camera is not None and any(e.target != self.camera for e in direct):
            others = [e.target for e in direct if e.target != self.camera]
            self._problem(
                "network",
                f"the input goes through '{self.camera}' ({self._described(self.camera)}), and "
                f"past it to {', '.join(others)}",
                "the camera's block treats the events for all its destinations alike",
                "use one pooling of the input, and pool behind the cores",
            )
        if not self.plan.blocks and not self.problems:
            self._problem("network", "it has no weights", "a core is a convolution", "add a layer")
        self._note_dropped()

    def _output(self, name: str, signal: Signal) -> None:
        if signal.block is not None:
            return
        for scale, left in signal.scales:
            self._problem(
                scale,
                f"a factor {left:g} with no weights behind it",
                "an event has no size; factors go into weights",
                "remove it, and scale the outputs of the run",
            )
        node = self.place(signal)
        factor = resolve(signal.rescale, None)
        if factor is None or len(set(factor)) > 1:
            self._problem(
                name,
                "an output that merges averages over windows of different sizes",
                "the chip sums over windows",
                "use equal poolings, or SumPool2d",
            )
        elif factor[0] != 1:
            self.plan.notes.append(
                f"the output {f'{node!r} ' if len(self.network.outputs) > 1 else ''}is a sum over "
                f"the last pooling window, {1 / factor[0]:.6g} times the average"
            )
        if signal.flatten is not None:
            node = self._flat(signal.flatten, node)
            self.plan.notes.append(
                f"'{signal.flatten}' shapes the output for you; it takes no core"
            )
        if isinstance(self.plan.layers.get(node), Add | Concat):
            self.plan.notes.append(
                f"'{node}' merges outputs of several cores for you; the device reports them apart"
            )
        if node in self.plan.inputs:
            self._problem(
                "network", f"its output '{name}' is its input", "outputs are spikes of cores",
                "remove the output",
            )  # fmt: skip
        elif node not in self.plan.outputs:
            self.plan.outputs.append(node)

    def _flat(self, name: str, node: str) -> str:
        """A Flatten behind a layer."""
        if name in self.plan.layers and Edge(node, name) not in self.plan.edges:
            name = self._free(f"{name}.of.{node}")
        if name not in self.plan.layers:
            self.plan.add(name, Flatten(), [node])
            self.plan.made_of[name] = (name,) if name in self.network else ()
        return name

    def _note_dropped(self) -> None:
        held = {part for parts in self.plan.made_of.values() for part in parts}
        held |= {part for block in self.plan.blocks for part in block.made_of}
        gone = [
            name
            for name in self.network.names
            if name not in held
            and isinstance(self.network[name], (*DROPPED, Flatten, Reshape, Add, Concat))
        ]
        if gone:
            names = ", ".join(f"'{name}'" for name in gone)
            self.plan.notes.insert(0, f"without an effect on the chip, dropped: {names}")

    def _free(self, name: str) -> str:
        """A name that no layer has."""
        taken = {*self.network.names, *self.network.inputs, *self.plan.layers}
        numbers = (f"{name}{number}" for number in range(1, len(taken) + 2))
        return name if name not in taken else next(n for n in numbers if n not in taken)

    def _problem(self, layer: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(layer, found, legal, remedy))

    def _excuse(self, block: Block, problem: Problem) -> None:
        """A problem about a block, unless there is one already."""
        if not block.excused:
            block.excused = True
            self.problems.append(problem)


def _map(shape: Shape) -> Shape:
    """Features, height and width of a map or a vector."""
    return (math.prod(shape), 1, 1) if len(shape) == 1 else shape
