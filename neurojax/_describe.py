"""The card of a network: what it is made of, what its neurons compute, where it came from."""

from __future__ import annotations

import dataclasses
import html
import math
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

import equinox as eqx
import jax
import numpy as np

from neurojax._arguments import check_network
from neurojax._layer import Constant, Layer
from neurojax._network import Network
from neurojax._probe import Probe
from neurojax._simulate import simulate
from neurojax._table import shape_text, text_table
from neurojax.chips.loihi.delay_dense import DelayDense
from neurojax.chips.loihi.pool import PerChannel
from neurojax.layers import Chain, Linear, Recurrent
from neurojax.layers.convolution import Conv1d, Conv2d
from neurojax.layers.transposed import ConvTranspose1d, ConvTranspose2d
from neurojax.neurons._equations import equations_of
from neurojax.surrogate import Surrogate
from neurojax.train._trainable import field_name, parameters

Rows = tuple[tuple[str, ...], ...]


@dataclasses.dataclass(frozen=True)
class Card:
    """A network in words and numbers: text when printed, a page of HTML in a notebook.

    Attributes:
        title: One line.
        layers: Rows of the table of layers, the first one being its header.
        equations: What neurons compute, by the names of the layers that compute it. A layer of
            your own says so in `Layer.equations`.
        parameters: Values behind the names that stand in equations, by `"layer.field"`.
        origins: Where imported layers came from, one line each.
        totals: What the network has and takes, by name.
    """

    title: str
    layers: Rows
    equations: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, str]
    origins: tuple[str, ...]
    totals: Mapping[str, str]

    def __str__(self) -> str:
        header, *rows = self.layers
        parts = [self.title, text_table(header, rows, right=header[5:])]
        for name, lines in self.equations.items():
            parts.append("\n".join([name, *(f"    {line}" for line in lines)]))
        if self.parameters:
            values = [f"    {name}: {value}" for name, value in self.parameters.items()]
            parts.append("\n".join(["parameters of neurons", *values]))
        if self.origins:
            parts.append(
                "\n".join(["origin, as imported", *(f"    {line}" for line in self.origins)])
            )
        parts.append("\n".join(f"{name}: {value}" for name, value in self.totals.items()))
        return "\n\n".join(parts)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        def rows_of(rows: Sequence[Sequence[str]], cell: str) -> str:
            lines = ["".join(f"<{cell}>{html.escape(t)}</{cell}>" for t in row) for row in rows]
            return "".join(f"<tr>{line}</tr>" for line in lines)

        def list_of(lines: Sequence[str]) -> str:
            return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"

        header, *rows = self.layers
        parts = [f"<p><b>{html.escape(self.title)}</b></p>"]
        parts.append(f"<table>{rows_of([header], 'th')}{rows_of(rows, 'td')}</table>")
        for name, lines in self.equations.items():
            parts.append(f"<p>{html.escape(name)}</p>{list_of(lines)}")
        for title, entries in (
            ("parameters of neurons", [f"{n}: {v}" for n, v in self.parameters.items()]),
            ("origin, as imported", self.origins),
            ("totals", [f"{n}: {v}" for n, v in self.totals.items()]),
        ):
            if entries:
                parts.append(f"<p>{title}</p>{list_of(entries)}")
        return "".join(parts)


def describe(network: Any, inputs: Any = None) -> Card:
    """A card that says what a network is.

    The table of its layers with shapes, trainable parameters, buffers (arrays that are not
    trained) and constants (plain numbers), and whether dropout and normalisation are in training or
    in inference; what its neurons compute, as equations with the numbers in them; where imported
    layers came from, and what was decided then; totals.

    Args:
        network: A `Network`, or what holds one as its `network` (one that is mapped onto a chip).
        inputs: `[time, batch, ...]`, as `simulate` takes them: the card then has the mean output
            of each layer (spikes a neuron and time step, where it gives spikes).

    Returns:
        A `Card`.

    Raises:
        TypeError: It is no network.
        ValueError: The inputs don't fit.

    Example:
        >>> import jax, neurojax as nj
        >>> net = nj.Sequential((4,), fc=nj.Linear(4, 8, key=jax.random.key(0)),
        ...                     cells=nj.LIF(decay=0.9, reset_delay=True, threshold=2.0))
        >>> print(nj.describe(net))
        2 layers, from 4 to 8 values a time step
        <BLANKLINE>
        layer           what           from   in  out  trainable  buffers  constants
        --------------  -------------  -----  --  ---  ---------  -------  ---------
        fc              Linear 4->8    input  4   8           32
        cells (output)  LIF decay 0.9  fc     8   8                                6
        <BLANKLINE>
        cells: LIF, 8 neurons, surrogate ATan(alpha=2.0)
            spikes of the step before: late <- [v >= 2]
            leak and input: v <- 0.9 v + x
            reset, one step late: v <- v - 2 late
            spikes: s <- [v >= 2]
            output: y <- s
        <BLANKLINE>
        parameters: 32 trainable, 0 in buffers, 6 constants
        neurons: 8
        synapses: 32
        memory: 128 B of parameters, 32 B of state a sample
    """
    chip = None
    if not isinstance(network, Network):
        chip, inner = getattr(network, "chip", None), getattr(network, "network", None)
        if not isinstance(inner, Network):
            check_network("describe", network)
        network = inner
    activity = None if inputs is None else _activity(network, inputs)
    trained = {path for path, _ in parameters(network)}
    counts = {name: _Counts.of(network, name, trained) for name in network.names}
    return Card(
        _title(network, chip),
        _rows(network, counts, activity),
        _grouped(network, counts),
        _values(network),
        tuple(_origin(name, *network.provenance[name]) for name in network.provenance),
        _totals(network, counts),
    )


@dataclasses.dataclass(frozen=True)
class _Counts:
    """How much of everything a layer has."""

    trainable: int
    buffers: int
    constants: int
    neurons: int
    synapses: int
    parameter_bytes: int
    state_bytes: int

    @classmethod
    def of(cls, network: Network, name: str, trained: Set[str]) -> _Counts:
        layer, in_shape = network[name], network.in_shape(name)
        arrays = [x for x in jax.tree.leaves(layer) if eqx.is_array(x)]
        leaves = list(_leaves(layer))
        trainable = sum(x.size for path, x in leaves if field_name(name, path) in trained)
        # Shapes only: nothing is computed for a table.
        state = eqx.filter_eval_shape(layer.init, in_shape)
        return cls(
            trainable,
            sum(x.size for x in arrays) - trainable,
            sum(isinstance(x, Constant) for _, x in leaves),
            sum(math.prod(x.shape) for path, x in _state_leaves(state) if path[-1:] == ("v",)),
            _synapses(layer, in_shape),
            sum(x.nbytes for x in arrays),
            sum(math.prod(x.shape) * x.dtype.itemsize for _, x in _state_leaves(state)),
        )


def _leaves(layer: Any) -> Iterator[tuple[Any, Any]]:
    is_constant = lambda node: isinstance(node, Constant)  # noqa: E731
    yield from jax.tree_util.tree_leaves_with_path(layer, is_leaf=is_constant)


def _state_leaves(state: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        yield tuple(str(getattr(entry, "name", "")) for entry in path), leaf


def _synapses(layer: Layer, in_shape: Any) -> int:
    """Connections, each input that a neuron sees being one; those into padding don't exist."""
    if isinstance(layer, Linear | DelayDense):
        return layer.in_features * layer.out_features
    if isinstance(layer, Conv1d | Conv2d):
        pairs = layer.out_channels * layer.in_channels // layer.groups
        axes = zip(in_shape[1:], layer.kernel_size, strict=True)
        for axis, (n, kernel) in enumerate(axes):
            before, after = layer.padding[axis]
            reach = layer.dilation[axis] * (kernel - 1) + 1
            starts = np.arange(-before, n + after - reach + 1, layer.stride[axis])
            taps = starts[:, None] + layer.dilation[axis] * np.arange(kernel)
            pairs *= int(((taps >= 0) & (taps < n)).sum())
        return pairs
    if isinstance(layer, ConvTranspose1d | ConvTranspose2d):
        pairs = layer.in_channels * layer.out_channels // layer.groups
        outs = layer.out_shape(in_shape)[1:]
        for axis, (n, out, kernel) in enumerate(
            zip(in_shape[1:], outs, layer.kernel_size, strict=True)
        ):
            starts = np.arange(n) * layer.stride[axis] - layer.padding[axis][0]
            places = starts[:, None] + layer.dilation[axis] * np.arange(kernel)
            pairs *= int(((places >= 0) & (places < out)).sum())
        return pairs
    if isinstance(layer, PerChannel):
        return in_shape[0] * _synapses(layer.synapse, (1, *in_shape[1:]))
    if isinstance(layer, Recurrent):
        back = _synapses(layer.synapse, layer.neuron.out_shape(in_shape))
        return back + _synapses(layer.neuron, in_shape)
    if isinstance(layer, Chain):
        total = 0
        for link in layer.layers:
            total += _synapses(link, in_shape)
            in_shape = link.out_shape(in_shape)
        return total
    # Layers around others: quantised ones, pairs of complex weights, the synapses of chips.
    parts = (getattr(layer, field.name) for field in dataclasses.fields(layer))
    return sum(_synapses(part, in_shape) for part in parts if isinstance(part, Layer))


def _title(network: Network, chip: Any) -> str:
    sizes = [shape_text(shape) for shape in network.inputs.values()]
    outs = [shape_text(network.out_shape(name)) for name in network.outputs]
    where = f" on {chip.name}" if hasattr(chip, "name") else ""
    count = f"{len(network)} layer{'s' * (len(network) != 1)}{where}"
    return f"{count}, from {' and '.join(sizes)} to {' and '.join(outs)} values a time step"


def _rows(
    network: Network, counts: Mapping[str, _Counts], activity: Mapping[str, float] | None
) -> Rows:
    header = ["layer", "what", "from", "in", "out", "trainable", "buffers", "constants"]
    rows = [header if activity is None else [*header, "mean output"]]
    for name in network.names:
        sources = [("~" if e.recurrent else "") + e.source for e in network.incoming(name)]
        into: Any = network.in_shape(name)
        shapes = into if network[name].many_inputs else (into,)
        row = [
            f"{name} (output)" if name in network.outputs else name,
            _what(network[name]),
            " + ".join(sources),
            " + ".join(shape_text(shape) for shape in shapes),
            shape_text(network.out_shape(name)),
        ]
        c = counts[name]
        row += [f"{n:,}" if n else "" for n in (c.trainable, c.buffers, c.constants)]
        rows.append(row if activity is None else [*row, f"{activity[name]:.3g}"])
    return tuple(tuple(row) for row in rows)


def _what(layer: Layer) -> str:
    """What a layer is; what differs in training and inference says which of them it is in."""
    mode = getattr(layer, "inference", None)
    if mode is None:
        return layer.describe()
    return f"{layer.describe()}, {'inference' if mode else 'training'}"


def _activity(network: Network, inputs: Any) -> dict[str, float]:
    """Mean output of each layer in a run."""
    random = any(network[name].needs_key for name in network.names)
    key = jax.random.key(0) if random else None
    probes = [Probe(name, reduce="mean") for name in network.names]
    run = simulate(network, inputs, key=key, probes=probes)
    return {probe.path: float(run[probe.name].mean()) for probe in probes}


def _grouped(network: Network, counts: Mapping[str, _Counts]) -> dict[str, tuple[str, ...]]:
    """Equations by a headline; layers that compute the same share one."""
    groups: dict[Any, list[str]] = {}
    for name in network.names:
        layer = network[name]
        if lines := _equations(layer):
            surrogate = _surrogate(layer)
            options = "" if surrogate is None else f", surrogate {surrogate}"
            groups.setdefault((_kind(layer), options, lines), []).append(name)
    found = {}
    for (kind, options, lines), names in groups.items():
        size = sum(counts[name].neurons for name in names)
        neurons = f", {size:,} neuron{'s' * (size != 1)}" if size else ""
        found[f"{', '.join(names)}: {kind}{neurons}{options}"] = lines
    return found


def _kind(layer: Layer) -> str:
    if isinstance(layer, Recurrent):
        return f"{type(layer.neuron).__name__} with feedback"
    return type(layer).__name__


def _equations(layer: Layer) -> tuple[str, ...]:
    if isinstance(layer, Recurrent) and (lines := _equations(layer.neuron)):
        what = layer.synapse.describe()
        return (f"feedback through {what}: x <- x + synapse(y of the step before)", *lines)
    if isinstance(layer, Chain):
        parts = [f"{n}: {line}" for n in layer.names for line in _equations(layer[n])]
        return tuple(parts)
    return equations_of(layer)


def _surrogate(layer: Any) -> Surrogate | None:
    """The surrogate of a layer, or of one within it."""
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Surrogate):
                return part
            if isinstance(part, Layer) and (found := _surrogate(part)) is not None:
                return found
    return None


def _values(network: Network) -> dict[str, str]:
    """Values of the arrays of layers with equations."""
    found = {}
    for name in network.names:
        if not _equations(network[name]):
            continue
        for path, leaf in _leaves(network[name]):
            field = field_name(name, path)
            if eqx.is_inexact_array(leaf) and not field.endswith((".weight", ".bias")):
                values = np.asarray(leaf, np.float64)
                low, high = values.min(), values.max()
                text = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
                found[field] = text + (f", {values.size:,} values" if values.size > 1 else "")
    return found


def _origin(name: str, source: str, there: str, notes: Sequence[str]) -> str:
    text = f"{name}: {source}" + (f" '{there}'" if there and there != name else "")
    return "; ".join([text, *notes])


def _totals(network: Network, counts: Mapping[str, _Counts]) -> dict[str, str]:
    total = lambda field: sum(getattr(c, field) for c in counts.values())  # noqa: E731
    found = {
        "parameters": f"{total('trainable'):,} trainable, {total('buffers'):,} in buffers, "
        f"{total('constants'):,} constants",
        "neurons": f"{total('neurons'):,}",
        "synapses": f"{total('synapses'):,}",
        "memory": f"{_bytes(total('parameter_bytes'))} of parameters, "
        f"{_bytes(total('state_bytes'))} of state a sample",
    }
    late = [str(edge) for edge in network.edges if edge.recurrent]
    if late:
        found["one step late (~)"] = ", ".join(late)
    return found


def _bytes(count: int) -> str:
    size = float(count)
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
