"""From a mapped network to single synapses, as the chip's host software takes them.

Names and order are those of hs_api's converter: axons "a0", "a1", ... for the inputs in C order,
then the bias axons of each layer, one a channel; neurons "0", "1", ... layer by layer; the synapses
of a source by window, then by filter.

References:
    hs_api, `converter.py` (`CRI_Converter`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array, eye_array

from neurojax._layer import Constant, Shape
from neurojax._network import Network
from neurojax.chips._mapped import MappedNetwork, MappingError, Problem
from neurojax.chips.cri import _wide
from neurojax.chips.cri._links import BiasAxons, Pick
from neurojax.chips.cri._matrices import bias_matrix, matrix_of, visits
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.mapping import depths
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron, NeuronModel
from neurojax.chips.cri.neuron import Neuron
from neurojax.chips.cri.spec import WEIGHT_BITS
from neurojax.chips.cri.synapse import Synapse
from neurojax.fixed_point import integer_range

MODELS = {"LIF": LIF_neuron, "IF": IF_neuron, "ANN": ANN_neuron}
COMPATIBLE = (None, "main")
PEER_SHIFT, PEER_LEAK = 0, 63
"""Of every neuron that hs_api's converter makes."""


class Block(NamedTuple):
    """Axons or neurons with numbers that follow each other."""

    name: str  # of the layer or the input
    first: int
    shape: Shape
    start: int = 0  # bias axons: first step in which they are active; neurons: depth

    @property
    def size(self) -> int:
        """How many there are."""
        return math.prod(self.shape)

    @property
    def numbers(self) -> range:
        """Their numbers."""
        return range(self.first, self.first + self.size)


class Table(NamedTuple):
    """Synapses between two blocks."""

    source: str
    target: str
    weights: csr_array  # [source, target], int64


class Unrolled(NamedTuple):
    """A mapped network as blocks and tables."""

    inputs: tuple[Block, ...]
    biases: tuple[Block, ...]
    populations: tuple[Block, ...]
    tables: tuple[Table, ...]
    outputs: tuple[str, ...]  # names of populations

    @property
    def latency(self) -> int:
        """Steps from an input to its output."""
        return max(block.start for block in self.populations if block.name in self.outputs)

    @property
    def axons(self) -> tuple[Block, ...]:
        """Inputs, then biases."""
        return (*self.inputs, *self.biases)


def unroll(mapped: MappedNetwork) -> Unrolled:
    """Synapses of a mapped network as sparse matrices.

    Raises:
        MappingError: A synapse that pools have put together does not fit into 16 bits.
    """
    network = mapped.network
    behind = depths(network)
    neurons = [name for name in network.names if isinstance(network[name], Neuron)]
    neurons.sort(key=lambda name: behind[name])  # stable
    tables: list[Table] = []
    biases: dict[str, Any] = {}
    for name in neurons:
        for source, matrix in _sources(network, name).items():
            whole = (
                matrix
                if matrix is not None
                else eye_array(math.prod(network.in_shape(name)), dtype=np.int64, format="csr")
            )
            if source in network and isinstance(network[source], BiasAxons):
                biases[source] = network[source]
            tables.append(Table(source, name, whole))
    _check_weights(mapped, tables)
    inputs = [(name, shape, 0) for name, shape in network.inputs.items()]
    axons = _blocks(inputs + [(name, b.weight.shape, b.start) for name, b in biases.items()])
    populations = _blocks((name, network.out_shape(name), behind[name]) for name in neurons)
    outputs = tuple(_population(network, name) for name in network.outputs)
    return Unrolled(axons[: len(inputs)], axons[len(inputs) :], populations, tuple(tables), outputs)


def describe_network(
    mapped: MappedNetwork, *, compat: str | None = None, unrolled: Unrolled | None = None
) -> CRINetwork:
    """A mapped network as a `CRINetwork`: dictionaries of axons and neurons.

    Args:
        mapped: What `cri.map` returned.
        compat: "main": what hs_api's converter makes of it, defects included: hidden neurons have
            the threshold of the next layer (for V >= theta), all of them leak 63 and shift 0, which
            its simulator takes for a drift and for noise; synapses of weight 0 are kept, keys come
            in the order in which kernels visit them.
        unrolled: `unroll(mapped)`, if it is there already.

    Returns:
        The description. Activate the bias axons of a layer from its step on (`unroll(mapped)` has
        them), as `converters.cri.CRI_Converter` does.

    Raises:
        MappingError: A synapse that pools have put together does not fit into 16 bits.
        ValueError: `compat` is unknown, or hs_api has nothing like the network.

    Example:
        >>> import jax.numpy as jnp, neurojax as nj
        >>> from neurojax.chips.cri import describe_network, map as map_network
        >>> fc = nj.Linear.from_weights(jnp.array([[2.0, -1.0]]))
        >>> mapped = map_network(nj.Sequential((2,), fc=fc, n=nj.IAF(threshold=3.0, reset="zero")))
        >>> network = describe_network(mapped)
        >>> network.axons
        {'a0': [('0', 2)], 'a1': [('0', -1)]}
        >>> network.connections["0"][1].threshold, network.outputs
        (2, ['0'])
    """
    if compat not in COMPATIBLE:
        raise ValueError(f"describe_network: compat is {compat!r}; it must be one of {COMPATIBLE}")
    unrolled = unroll(mapped) if unrolled is None else unrolled
    network = mapped.network
    products = [name for name in network.names if isinstance(network[name], Pick)]
    if compat is not None and products:
        raise ValueError(
            f"describe_network: compat={compat!r} with a product of spikes ('{products[0]}'), "
            "which no version of hs_api converts; leave compat out"
        )
    names = {block.name: [f"a{i}" for i in block.numbers] for block in unrolled.axons}
    names |= {block.name: [str(i) for i in block.numbers] for block in unrolled.populations}
    order = {block.name: _by_window(block.shape) for block in unrolled.populations}
    lists: dict[str, list[list[tuple[str, int]]]] = {
        name: [[] for _ in keys] for name, keys in names.items()
    }
    for table in unrolled.tables:
        found = _lists(table.weights, names[table.target], order[table.target], compat is not None)
        known = lists[table.source]
        lists[table.source] = [a + b if a else b for a, b in zip(known, found, strict=True)]
    axons: dict[Any, Any] = {
        key: synapses
        for block in unrolled.axons
        for key, synapses in zip(names[block.name], lists[block.name], strict=True)
    }
    connections: dict[Any, Any] = {}
    for block in unrolled.populations:
        models = _models(mapped, unrolled, block, compat)
        pairs = list(
            zip(names[block.name], zip(lists[block.name], models, strict=True), strict=True)
        )
        if compat is not None and block.name not in unrolled.outputs:
            pairs = [pairs[i] for i in _visited(network, block)]
        connections.update(pairs)
    outputs = [key for name in unrolled.outputs for key in names[name]]
    options: dict[str, Any] = {}
    if compat is not None:
        options = {"order": compat, "weights": "saturate", "duplicates": "last"}
    elif any(_neuron(network, block.name).strict is False for block in unrolled.populations):
        options = {"strict": False}
    return CRINetwork(axons, connections, outputs, **options)


def _blocks(found: Any) -> tuple[Block, ...]:
    blocks, first = [], 0
    for name, shape, start in found:
        blocks.append(Block(name, first, shape, start))
        first += blocks[-1].size
    return tuple(blocks)


def _population(network: Network, name: str) -> str:
    while not isinstance(network[name], Neuron):  # a Flatten behind the neurons
        (edge,) = network.incoming(name)
        name = edge.source
    return name


def _sources(network: Network, name: str) -> dict[str, csr_array | None]:
    """What reaches the input of a layer: from inputs, neurons and bias axons, by name."""
    total: dict[str, csr_array | None] = {}
    for edge in network.incoming(name):
        for source, matrix in _through(network, edge.source).items():
            if source in total:
                matrix = _whole(network, source, total[source]) + _whole(network, source, matrix)
            total[source] = matrix
    return total


def _through(network: Network, name: str) -> dict[str, csr_array | None]:
    """What a layer gives on."""
    if name in network.inputs or isinstance(network[name], Neuron):
        return {name: None}
    layer = network[name]
    in_shape, out_shape = network.in_shape(name), network.out_shape(name)
    one: Any = in_shape[0] if layer.many_inputs else in_shape
    found = _sources(network, name)
    matrix = matrix_of(layer, one, out_shape)
    if matrix is not None:
        found = {s: matrix if m is None else (m @ matrix).tocsr() for s, m in found.items()}
    if isinstance(layer, BiasAxons):
        found[name] = bias_matrix(layer, out_shape)
    return found


def _whole(network: Network, name: str, matrix: csr_array | None) -> csr_array:
    if matrix is not None:
        return matrix
    return eye_array(math.prod(network.out_shape(name)), dtype=np.int64, format="csr")


def _check_weights(mapped: MappedNetwork, tables: list[Table]) -> None:
    low, high = integer_range(WEIGHT_BITS)
    problems = [
        Problem(
            table.target,
            f"synapses of weight {table.weights.min()}..{table.weights.max()} from "
            f"'{table.source}'",
            f"weights are {low}..{high}",
            "a sum over a window puts several weights into one synapse: map with a smaller scale",
        )
        for table in tables
        if table.weights.nnz and not low <= table.weights.min() <= table.weights.max() <= high
    ]
    if problems:
        raise MappingError(mapped.chip.name, problems)


def _by_window(shape: Shape) -> np.ndarray:
    """Rank of each neuron by position, then by feature."""
    return np.arange(math.prod(shape)).reshape(-1, shape[0]).T.ravel()


def _lists(
    weights: csr_array, names: list[str], rank: np.ndarray, zeros: bool
) -> Iterator[list[tuple[str, int]]]:
    """Synapses of each source."""
    coo = weights.tocoo()
    rows, columns, values = coo.row, coo.col, coo.data
    if not zeros:
        kept = values != 0
        rows, columns, values = rows[kept], columns[kept], values[kept]
    order = np.lexsort((rank[columns], rows))
    targets = np.asarray(names, object)[columns[order]].tolist()
    pairs = list(zip(targets, values[order].tolist(), strict=True))
    ends = np.cumsum(np.bincount(rows, minlength=weights.shape[0])).tolist()
    begin = 0
    for end in ends:
        yield pairs[begin:end]
        begin = end


def _models(
    mapped: MappedNetwork, unrolled: Unrolled, block: Block, compat: str | None
) -> list[NeuronModel]:
    """The model of each neuron; equal ones are one object."""
    neuron = _neuron(mapped.network, block.name)
    if compat is not None:
        fed = [table.target for table in unrolled.tables if table.source == block.name]
        other = _neuron(mapped.network, fed[0]) if fed else neuron
        largest = int(np.max(_integers(other.theta, ())))
        reached = largest + (other.strict is not False)
        return [LIF_neuron(reached, PEER_SHIFT, PEER_LEAK)] * block.size
    theta = _integers(neuron.theta, block.shape, up=neuron.strict is False)
    leak = _integers(63 if neuron.leak is None else neuron.leak, block.shape)
    kinds, number = np.unique(np.stack([theta, leak]), axis=1, return_inverse=True)
    make = MODELS[neuron.model]
    models = [
        make(
            limit,
            leak=shift if neuron.model == "LIF" else None,
            refractory_max=int(np.max(neuron.refractory)),
            soft_reset_en=neuron.reset == "subtract",
        )
        for limit, shift in kinds.T.tolist()
    ]
    return [models[i] for i in number.ravel()]


def _neuron(network: Network, name: str) -> Neuron:
    layer = network[name]
    assert isinstance(layer, Neuron)
    return layer


def _integers(value: Any, shape: Shape, *, up: bool = False) -> np.ndarray:
    """A threshold or a leak, one a neuron (with shape (): as it is); V > 2.5 is V > 2."""
    whole_of = np.ceil if up else np.floor
    if isinstance(value, _wide.Wide):
        whole = _wide.to_integers(value)
    elif isinstance(value, Constant | int | float):
        whole = np.asarray(whole_of(float(value)).astype(np.int64))
    else:
        whole = whole_of(np.asarray(value, np.float64)).astype(np.int64)
    return np.broadcast_to(whole, shape).ravel() if shape else whole


def _visited(network: Network, block: Block) -> list[int]:
    """Neurons in the order in which the synapses behind them visit them."""
    name = block.name
    while not isinstance(network[name], Synapse):
        edges = network.outgoing(name)
        if len(edges) != 1:
            return list(range(block.size))
        name = edges[0].target
        if isinstance(network[name], Neuron):
            return list(range(block.size))
    synapse = network[name]
    assert isinstance(synapse, Synapse)
    shape = network.in_shape(name)
    if math.prod(shape) != block.size:
        return list(range(block.size))
    first = visits(synapse, shape, network.out_shape(name))
    rest = np.setdiff1d(np.arange(block.size), first)
    return [*first.tolist(), *rest.tolist()]
