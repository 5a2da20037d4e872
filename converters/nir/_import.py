"""`from_nir`: a network that computes what a NIR graph describes."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from neurojax._graph import Edge, nearest
from neurojax._layer import Layer, Shape
from neurojax._network import Network, Provenance
from neurojax.converters.nir._clock import Clock, Times, clock_of, suspicion
from neurojax.converters.nir._export import KEY
from neurojax.converters.nir._feedback import cycle_members, feedback
from neurojax.converters.nir._file import read
from neurojax.converters.nir._flat import flat
from neurojax.converters.nir._graph import Graph, Node, from_nir_object
from neurojax.converters.nir._layers import SPIKING, STATELESS, Reading, layer_of, stepping_problem
from neurojax.converters.nir._presets import Preset, preset_of
from neurojax.converters.nir._restore import restored
from neurojax.layers import Delay, Identity
from neurojax.surrogate import Surrogate

Shapes = dict[str, Shape]


def from_nir(
    source: str | os.PathLike[str] | Graph | Any,
    *,
    dt: float | None = None,
    time_unit: str | None = None,
    preset: str | Preset | None = None,
    method: str | None = None,
    input_shape: Shape | Mapping[str, Shape] | None = None,
    surrogate: Surrogate | None = None,
) -> Network:
    """A network from a NIR file.

    NIR describes neurons in continuous time and leaves open how they are stepped; `preset` takes
    the choices of the library that wrote the file (see docs/nir.md). Weights become parameters;
    time constants, thresholds and the like become constants where all neurons share one value, and
    parameters where they differ. An edge that closes a cycle delivers the output of the step
    before. A file of `to_nir` gives the very network back that was written.

    Args:
        source: Path of a file, a `Graph`, or a `nir.NIRGraph`.
        dt: Time step in seconds. Default: what the preset assumes, or what `to_nir` was given. Not
            needed if the file counts in steps.
        time_unit: Unit of the times in the file: `"s"`, `"ms"`, `"us"` or `"steps"`. Default: what
            the preset says, else `"s"`.
        preset: `"nir"`, `"spikingjelly"`, `"snntorch"`, `"norse"`, `"sinabs"`, `"spyx"`,
            `"rockpool"`, `"jaxsnn"`, or a `Preset`, such as
            `presets.snntorch(reset_mechanism="zero")`. Default: what neurojax wrote beside the
            standard fields, if it wrote the file, else `"nir"`.
        method: `"euler"`, decay = 1 - dt/tau, or `"exact"`, decay = exp(-dt/tau). Default: what
            the preset says; all but `"sinabs"` and `"rockpool"` say `"euler"`.
        input_shape: Shape of the input without time and batch, if the file has it wrong; a dict by
            name for several inputs.
        surrogate: Derivative of the spikes. Default: what the preset says.

    Returns:
        A network with layers named like the nodes (those of nested graphs with the graph's name
        and a dot in front); `network.provenance` says what was decided for each.

    Raises:
        ValueError: Kinds of nodes, fields, shapes or time constants that can't be used; all
            findings at once. A wrong argument.
        OSError: The file can't be read.
        TypeError: `source` is nothing of the above.

    Warns:
        UserWarning: Time constants of less than one step or more than 100,000, which is how wrong
            units show; nodes left out; a file of `to_nir` that was changed, or whose standard
            fields are asked for by naming a preset or a method and don't say all.

    References:
        J. E. Pedersen et al., "Neuromorphic intermediate representation: a unified instruction set
        for interoperable brain-inspired computing", Nature Communications 15, 2024.

    Example:
        >>> import numpy as np, neurojax as nj
        >>> from neurojax.converters.nir import Graph, Node, from_nir
        >>> lif = {"tau": np.full(2, 0.01), "r": np.ones(2), "v_leak": np.zeros(2),
        ...        "v_threshold": np.ones(2), "v_reset": np.zeros(2)}
        >>> graph = Graph({"x": Node("Input", {"shape": np.array([2])}), "lif": Node("LIF", lif),
        ...                "y": Node("Output", {"shape": np.array([2])})},
        ...               (("x", "lif"), ("lif", "y")))
        >>> net = from_nir(graph, dt=1e-3)
        >>> net["lif"].describe(), net.provenance["lif"].notes
        ('LIF decay 0.9', ('tau is 10 time steps (euler)', "preset 'nir', dt=0.001 s, ..."))
    """
    graph = _graph_of(source)
    if preset is None and method is None and input_shape is None and surrogate is None:
        network, note = restored(graph, dt=dt, time_unit=time_unit)
        if network is not None:
            return network
    else:
        note = "a preset, a method, an input shape or a surrogate is given"
    written = _written_with(graph)
    if written or KEY in graph.metadata:
        _warn_of_fields(graph, note)
    chosen = preset_of("nir" if preset is None else preset)
    method = method or (written.get("method") if preset is None else None)
    if method is not None:
        if method not in ("euler", "exact"):
            raise ValueError(f"from_nir: method is {method!r}; it must be 'euler' or 'exact'")
        chosen = dataclasses.replace(chosen, method=method)
    if surrogate is not None:
        chosen = dataclasses.replace(chosen, spiking={**chosen.spiking, "surrogate": surrogate})
    if dt is None and chosen.dt is None:
        dt = written.get("dt")
    clock = clock_of(chosen, dt, time_unit or chosen.time_unit or written.get("time_unit"))
    return _Import(flat(graph), chosen, clock, input_shape).network()


def _written_with(graph: Graph) -> dict[str, Any]:
    """The options of `to_nir` that are in its file; nothing for other files."""
    header = graph.metadata.get(KEY)
    try:
        options = json.loads(header["network"])  # type: ignore[index]
        known = {"dt": float | int, "time_unit": str, "method": str}
        return {
            name: options[name] for name, kind in known.items() if isinstance(options[name], kind)
        }
    # Metadata may hold anything.
    except (TypeError, ValueError, KeyError, RecursionError):
        return {}


def _warn_of_fields(graph: Graph, note: str) -> None:
    """Says what a file of ours loses by going by its standard fields."""
    header = graph.metadata[KEY]
    lost = header.get("lost", ()) if isinstance(header, Mapping) else ()
    texts = [str(text) for text in np.ravel(lost)]
    if texts or not note.startswith("a preset"):
        what = "".join(f"\n{text}" for text in texts)
        warnings.warn(
            f"from_nir goes by the standard fields of this file, not by what neurojax wrote "
            f"beside them, because {note}" + (f"; they don't say:{what}" if texts else ""),
            UserWarning,
            stacklevel=3,
        )


def _graph_of(source: Any) -> Graph:
    if isinstance(source, Graph):
        return source
    if isinstance(source, str | os.PathLike):
        return read(Path(source))
    if hasattr(source, "nodes") and hasattr(source, "edges"):
        return from_nir_object(source)
    raise TypeError(
        f"from_nir takes a path, a Graph or a nir.NIRGraph, got a {type(source).__name__}"
    )


class _Import:
    """A flat graph on its way to a network."""

    def __init__(
        self,
        graph: Graph,
        preset: Preset,
        clock: Clock,
        input_shape: Shape | Mapping[str, Shape] | None,
    ) -> None:
        self.graph, self.preset, self.clock = graph, preset, clock
        self.nodes: dict[str, Node] = {n: x for n, x in graph.nodes.items() if isinstance(x, Node)}
        self.names = [n for n, x in self.nodes.items() if x.kind not in ("Input", "Output")]
        self.outputs = [n for n, x in self.nodes.items() if x.kind == "Output"]
        self.edges = [(a, b) for a, b in graph.edges if b not in self.outputs]
        self.problems: list[str] = []
        self.readings: dict[str, Reading] = {}
        self.layers: dict[str, Layer] = {}
        self.cycles = cycle_members(self.names, self.edges)
        self.inputs = self._input_shapes(input_shape)
        stateless = {n for n in self.names if self.nodes[n].kind in STATELESS}
        self.closing = feedback(list(self.inputs), self.names, self.edges, stateless)

    def network(self) -> Network:
        shapes = self._make_layers()
        everything: list[Times] = [t for r in self.readings.values() for t in r.times]
        for name, reading in self.readings.items():
            too_short = stepping_problem(reading, everything)
            found = [*reading.problems, *([too_short] if too_short else [])]
            self.problems += [f"node '{name}' ({reading.node.kind}): {text}" for text in found]
        self._check_edges(shapes)
        if self.problems:
            raise ValueError("\n".join(self.problems))
        odd = suspicion(self.clock, everything)
        if odd:
            warnings.warn(odd, UserWarning, stacklevel=3)
        edges = [Edge(a, b, (a, b) in self.closing) for a, b in self.edges]
        outputs = self._connect_outputs(edges)
        if self.preset.late_spikes:
            edges, outputs = self._with_late_spikes(edges, outputs)
        return Network(
            self.layers,
            edges,
            inputs=self.inputs,
            outputs=outputs,
            provenance=self._provenance(),
        )

    def _input_shapes(self, given: Shape | Mapping[str, Shape] | None) -> Shapes:
        found = {
            name: tuple(int(n) for n in node.fields["shape"].reshape(-1))
            for name, node in self.nodes.items()
            if node.kind == "Input"
        }
        if not found:
            raise ValueError("the graph has no Input, so nothing says where signals come in")
        if given is None:
            return {name: self._without_batch(name, shape) for name, shape in found.items()}
        if not isinstance(given, Mapping):
            if len(found) > 1:
                raise ValueError(
                    f"from_nir: the graph has inputs {sorted(found)}; give input_shape as a dict"
                )
            given = {next(iter(found)): given}
        for name in given:
            if name not in found:
                raise ValueError(
                    f"from_nir: input_shape: no Input '{name}'; {nearest(name, found)}"
                )
        return {**found, **{name: tuple(shape) for name, shape in given.items()}}

    def _without_batch(self, name: str, shape: Shape) -> Shape:
        """Some exporters leave the batch of their sample data in the shape of the input."""
        axes = [_axes(self.nodes[b]) for a, b in self.edges if a == name]
        return shape[1:] if shape[:1] == (1,) and len(shape) - 1 in axes else shape

    def _make_layers(self) -> Shapes:
        """Every layer, as soon as the shape of one of its inputs is known; returns all shapes."""
        shapes: Shapes = dict(self.inputs)
        sources = {name: [a for a, b in self.edges if b == name] for name in self.names}
        targets: dict[str, list[str]] = {}
        for a, b in self.edges:
            targets.setdefault(a, []).append(b)
        ready = [b for name in self.inputs for b in targets.get(name, ())]
        while ready:
            name = ready.pop(0)
            if name in self.readings:
                continue
            known = next(shapes[a] for a in sources[name] if a in shapes)
            out_shape = self._make_layer(name, known)
            if out_shape is not None:
                shapes[name] = out_shape
                ready += targets.get(name, ())
        for name in self.names:  # behind a node that has a problem
            if name not in self.readings:
                self._make_layer(name, None)
        return shapes

    def _make_layer(self, name: str, in_shape: Shape | None) -> Shape | None:
        """Makes a layer; returns the shape of its output, if it could be made."""
        reading = Reading(
            name, self.nodes[name], in_shape, name in self.cycles, self.preset, self.clock
        )
        self.readings[name] = reading
        layer = layer_of(reading)
        if layer is None:
            return None
        self.layers[name] = layer
        if in_shape is None or reading.problems:
            return None
        try:
            return layer.out_shape(in_shape)
        except ValueError as error:
            reading.problems.append(str(error))
            return None

    def _check_edges(self, shapes: Shapes) -> None:
        """Several edges into one node add up, so they must bring the same shape."""
        for source, target in self.edges:
            found, wanted = shapes.get(source), self.readings[target].in_shape
            if found is not None and wanted is not None and found != wanted:
                self.problems.append(
                    f"edge {source} -> {target}: '{source}' gives {found}, but '{target}' takes "
                    f"{wanted}; inputs of one node are added up and must agree"
                )

    def _connect_outputs(self, edges: list[Edge]) -> list[str] | None:
        """The layers that a run returns. An `Output` that adds something up becomes a layer."""
        if not self.outputs:
            return None
        result: list[str] = []
        for name in self.outputs:
            sources = [a for a, b in self.graph.edges if b == name]
            if not sources:
                raise ValueError(f"node '{name}' (Output): nothing is connected to it")
            if len(sources) == 1 and sources[0] in self.layers and sources[0] not in result:
                result.append(sources[0])
                continue
            self.layers[name] = Identity()
            edges += [Edge(a, name) for a in sources]
            result.append(name)
        return result

    def _with_late_spikes(
        self, edges: list[Edge], outputs: Sequence[str] | None
    ) -> tuple[list[Edge], list[str] | None]:
        """A step of delay behind each spiking population; feedback has its own."""
        late = {name: f"{name}.late" for name in self.names if self.nodes[name].kind in SPIKING}
        for delay in late.values():
            self.layers[delay] = Delay(1)
        edges = [
            edge if edge.recurrent else edge._replace(source=late.get(edge.source, edge.source))
            for edge in edges
        ]
        edges += [Edge(name, delay) for name, delay in late.items()]
        return edges, None if outputs is None else [late.get(name, name) for name in outputs]

    def _provenance(self) -> dict[str, Provenance]:
        result = {}
        common = f"preset '{self.preset.name}', {self.clock.describe()}"
        for name, reading in self.readings.items():
            spiking = reading.node.kind in SPIKING
            notes = [*reading.notes, *([common] if reading.times or spiking else [])]
            if spiking and self.preset.unknown:
                notes.append(self.preset.unknown)
            notes += [note for note in self.graph.notes if f"'{name}'" in note]
            result[name] = Provenance(f"nir.{reading.node.kind}", name, tuple(notes))
        general = [n for n in self.graph.notes if not any(f"'{name}'" in n for name in result)]
        if general:
            warnings.warn("\n".join(general), UserWarning, stacklevel=4)
        return result


def _axes(node: Node) -> int | None:
    """How many axes the input of a node has, if the node says it."""
    if node.kind in ("Affine", "Linear"):
        return 1
    if node.kind == "Conv1d":
        return 2
    if node.kind in ("Conv2d", "SumPool2d", "AvgPool2d"):
        return 3
    sizes = [value for value in node.fields.values() if getattr(value, "size", 1) > 1]
    return max((value.ndim for value in sizes), default=None)
