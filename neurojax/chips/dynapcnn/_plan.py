"""The mapped network while it is being read: layers, edges, and names that are still free."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.dynapcnn._blocks import Block
from neurojax.chips.dynapcnn._checks import check_camera
from neurojax.chips.dynapcnn._signal import Signal
from neurojax.chips.dynapcnn.dvs import DVS
from neurojax.chips.dynapcnn.spec import ChipSpec
from neurojax.layers import Flatten, SumPool2d


@dataclasses.dataclass
class Plan:
    """The mapped network to be. Cores are blocks still."""

    network: Network  # before the mapping
    chip: ChipSpec
    problems: list[Problem]
    dvs_input: bool | None = None
    layers: dict[str, Layer | Block] = dataclasses.field(default_factory=dict)
    edges: list[Edge] = dataclasses.field(default_factory=list)
    outputs: list[str] = dataclasses.field(default_factory=list)
    made_of: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # no cores
    blocks: list[Block] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    camera: str | None = None  # name of the front end, once it is placed

    @property
    def inputs(self) -> dict[str, Shape]:
        """Shapes of the inputs by name."""
        return self.network.inputs

    def add(
        self, name: str, layer: Layer | Block, sources: Sequence[str], made_of: Sequence[str] = ()
    ) -> None:
        """One more layer and its edges; with what it was made of, if it is no core."""
        self.layers[name] = layer
        self.edges += [Edge(source, name) for source in sources]
        if not isinstance(layer, Block):
            self.made_of[name] = tuple(made_of)

    def place(self, signal: Signal, *, output: bool = False) -> str:
        """The layer of the mapped network that sends these events, poolings included.

        Args:
            signal: The events.
            output: They are one: nothing of their pooling is written to the chip.
        """
        node = signal.node
        if node in self.inputs and (signal.camera is not None or self.dvs_input):
            node = self._place_camera(signal)
        if not signal.pools:
            return node
        name = signal.pools[-1]
        if name in self.layers:
            return name
        height, width = signal.size
        if height != width or (height not in self.chip.poolings and not output):
            *most, last = map(str, self.chip.poolings)
            self.problem(
                ", ".join(signal.pools),
                f"pooling over {height}x{width} in all",
                f"pooling between cores is square, over {', '.join(most)} or {last}",
                "use one of those, or a stride in the convolution",
            )
        self.add(name, SumPool2d((height, width)), [node], signal.pools)
        return name

    def _place_camera(self, signal: Signal) -> str:
        """Name of the front end that the signal passes, which has one setting for all."""
        camera = signal.camera or DVS()
        on = camera.pixel_array if self.dvs_input is None else self.dvs_input
        # A map of one feature is what the camera gives when it does not tell polarities apart.
        merged = camera.merge_polarities or self.inputs[signal.node][0] == 1
        camera = dataclasses.replace(camera, pixel_array=on, merge_polarities=merged)
        if self.camera is None:
            self.camera = signal.parts[-1] if signal.parts else self.free("dvs")
            self.add(self.camera, camera, [signal.node], signal.parts)
            in_shape = self.inputs[signal.node]
            self.problems += check_camera(self.camera, camera, in_shape, self.chip)
        elif self.layers[self.camera] != camera:
            self.problem(
                signal.parts[-1] if signal.parts else "network",
                f"the input goes through '{self.camera}' ({self.described(self.camera)}) and "
                f"elsewhere through {camera.describe()}",
                "the camera's block treats the events for all its destinations alike",
                "use one pooling of the input, and pool behind the cores",
            )
        return self.camera

    def described(self, name: str) -> str:
        layer = self.layers[name]
        return layer.describe() if isinstance(layer, Layer) else ""

    def merge(self, name: str, layer: Layer, signals: Sequence[Signal]) -> Signal:
        """A merging layer, and what comes out of it."""
        nodes = self._nodes(name, signals)
        for i, signal in enumerate(signals):  # vectors of a Linear layer meet maps of 1x1
            if signal.flatten is not None and signal.shape[1:] == (1, 1):
                nodes[i] = self.flat(signal.flatten, nodes[i])
        if len(set(nodes)) == len(nodes):
            self.add(name, layer, nodes, [name] if name in self.network else [])
        flatten = next((s.flatten for s in signals if s.flatten is not None), None)
        vectors = signals[0].shape[1:] == (1, 1)
        return Signal(name, signals[0].shape, (), flatten=None if vectors else flatten)

    def _nodes(self, name: str, signals: Sequence[Signal]) -> list[str]:
        """Where the signals of a merge come from, all of them maps or all of them vectors."""
        nodes = [self.place(signal) for signal in signals]
        twice = sorted({node for node in nodes if nodes.count(node) > 1})
        if twice:
            self.problem(
                name,
                f"it receives '{twice[0]}' more than once",
                "a destination gets an event once",
                "multiply the weights instead",
            )
        return nodes

    def flat(self, name: str, node: str) -> str:
        """A Flatten behind a layer."""
        if name in self.layers and Edge(node, name) not in self.edges:
            name = self.free(f"{name}.of.{node}")
        if name not in self.layers:
            self.add(name, Flatten(), [node], [name] if name in self.network else [])
        return name

    def free(self, name: str) -> str:
        """A name that no layer has."""
        taken = {*self.network.names, *self.network.inputs, *self.layers}
        numbers = (f"{name}{number}" for number in range(1, len(taken) + 2))
        return name if name not in taken else next(n for n in numbers if n not in taken)

    def problem(self, layer: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(layer, found, legal, remedy))

    def excuse(self, block: Block, problem: Problem) -> None:
        """A problem about a block, unless there is one already."""
        if not block.excused:
            block.excused = True
            self.problems.append(problem)


def as_map(shape: Shape) -> Shape:
    """Features, height and width of a map or a vector."""
    return (math.prod(shape), 1, 1) if len(shape) == 1 else shape
