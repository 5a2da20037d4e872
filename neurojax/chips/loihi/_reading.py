"""Reading a network as populations of neurons, each with the synapses that lead to it.

Everything between two populations is linear and belongs to the synapses: factors, pools, batch
norm, biases. What a chip has no place for is a `Problem`; reading goes on after one, so that all of
them are found.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._lowering import (
    Kernel,
    Pool,
    into_kernel,
    into_linear,
    why_not_into_kernel,
)
from neurojax.chips.loihi._neuron import AbstractNeuron
from neurojax.chips.loihi.axonal_delay import AxonalDelay
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.quantise import SCALE, QuantisedInput
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.layers import (
    Add,
    BatchDropout,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose1d,
    ConvTranspose2d,
    Delay,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool1d,
    MaxPool2d,
    Recurrent,
    Reshape,
    Scale,
    fold_batch_norm,
)
from neurojax.neurons import IAF, LI, LIF, CubaIAF, CubaLI, CubaLIF
from neurojax.quantise import Quantised

SIGMA_DELTA = (Delta, Sigma, SigmaDelta)
NEURONS = (LIF, IAF, CubaLIF, CubaIAF, LI, CubaLI, CUBA, FloatLIF, AbstractNeuron, *SIGMA_DELTA)
CONVOLUTIONS = (Conv1d, Conv2d)
TRANSPOSED = (ConvTranspose1d, ConvTranspose2d)
SYNAPSES = (Linear, *CONVOLUTIONS, *TRANSPOSED)
DROPPED = (Dropout, BatchDropout, Identity)
SPIKES = "spikes"
MESSAGES = "messages of sigma-delta neurons"
VALUES = "the values of a read-out"
SUPPORTED = (
    "Linear, Conv1d/2d, ConvTranspose1d/2d, average and sum pools, Flatten, Reshape, Dropout, "
    "Identity, Scale, BatchNorm, Delay, Recurrent, Add, Concat, and the neurons LIF, IAF, CubaLIF, "
    "CubaIAF, LI, CubaLI, loihi.CUBA, FloatLIF, ALIF, resonators and sigma-delta ones"
)


@dataclass
class Part:
    """A group of synapses between two populations."""

    name: str
    kind: str  # what it was: "Linear", "pool", ...
    weight: np.ndarray  # real, with all factors
    build: Callable[[Any], Layer]  # the layer from mantissas of the weight's shape
    in_shape: Shape
    out_shape: Shape
    out_axis: int | None  # axis of the weight that is the output's first one; None: there is none
    bias: np.ndarray | None = None  # of the output's first axis
    made_of: list[str] = field(default_factory=list)
    feedback: bool = False  # within a Recurrent
    owner: str = ""  # of one half of a ComplexSynapse, "owner.real" or "owner.imag"
    carries: str = SPIKES  # what its sources send


@dataclass
class Population:
    """Neurons, and what leads to them."""

    name: str
    neuron: Layer
    shape: Shape
    parts: list[Part]
    recurrent: bool = False  # a Recurrent: its feedback is one of the parts
    from_host: float | None = None  # values that the host feeds instead of synapses: their scale


class Flow(NamedTuple):
    """What a layer hands on."""

    layer: str  # in the mapped network, or an input
    shape: Shape
    parts: tuple[Part, ...] | None = None  # None: spikes; else the synapses whose sum it is
    map_shape: Shape = ()  # of the layer, where pools have not acted yet
    pools: tuple[tuple[str, Pool], ...] = ()  # still to be put into the next weights
    factor: float = 1.0  # so is this
    via: tuple[str, ...] = ()  # names of the layers that these came from
    flat: bool = False  # flattened after the pools
    recurrent: bool = False
    carries: str = SPIKES
    from_host: float | None = None  # values behind a `loihi.Input`: their scale

    @property
    def pending(self) -> bool:
        """Something is left to be done by the next synapses."""
        return bool(self.pools) or self.factor != 1


class Reading(NamedTuple):
    """A network as populations."""

    populations: list[Population]
    kept: dict[str, Layer]  # layers that only move values
    order: list[str]  # of all layers
    edges: list[Edge]
    outputs: tuple[str, ...]
    dropped: list[str]


def read(network: Network, problems: list[Problem]) -> Reading:
    """The network as populations. With new problems the result is not to be used."""
    return _Reader(network, problems).read()


class _Reader:
    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.problems = problems
        try:
            self.network = fold_batch_norm(network)
        except ValueError as error:
            self.network = network
            for line in str(error).splitlines():
                name = line.split("'")[1]
                remedy = "put it directly behind Linear or Conv"
                self.problem(name, line.split(": ", 1)[1], "it goes into the weights", remedy)
        self.folded = [name for name in network.names if name not in self.network]
        self.flows: dict[str, Flow] = {
            name: Flow(name, shape) for name, shape in network.inputs.items()
        }
        self.result = Reading([], {}, [], [], (), [])

    def problem(self, name: str, found: str, legal: str, remedy: str) -> None:
        self.problems.append(Problem(name, found, legal, remedy))

    def read(self) -> Reading:
        for name in self.network.names:
            self.flows[name] = self.layer(name)
        outputs = tuple(self.output(name) for name in self.network.outputs)
        if not self.result.populations and not self.problems:
            self.problem("network", "it has no neurons", "a core is neurons", "append neurons")
        return self.result._replace(outputs=outputs)

    def output(self, name: str) -> str:
        flow = self.flows[name]
        if flow.parts is not None:
            self.problem(
                name,
                "an output of synapses without neurons behind them",
                "synapses end in neurons; a read-out is a neuron without spikes",
                "append nj.LI(decay=0.0), whose output is the sum",
            )
        elif flow.pending:
            self.problem(
                flow.via[-1],
                "a pool or a factor at the end of the network",
                "it goes into synapses, and there are none behind it",
                "remove it, and apply it to the outputs of the run",
            )
        return flow.layer

    def incoming(self, name: str) -> list[Flow]:
        flows = []
        for edge in self.network.incoming(name):
            if not edge.recurrent:
                flow = self.flows[edge.source]
            elif isinstance(_plain(self.network[edge.source]), (*NEURONS, Recurrent)):
                shape = self.network.out_shape(edge.source)
                carries = _sends(_plain(self.network[edge.source]))
                flow = Flow(edge.source, shape, recurrent=True, carries=carries)
            else:
                self.problem(
                    name,
                    f"a recurrent edge from '{edge.source}', which are no neurons",
                    "spikes travel between populations",
                    "let the recurrent edge begin at the neurons",
                )
                flow = Flow(edge.source, self.network.out_shape(edge.source))
            if flow.parts is not None and len(self.network.outgoing(edge.source)) > 1:
                self.problem(
                    edge.source,
                    "synapses that feed several layers",
                    "synapses lead to one population",
                    "repeat the synapses for each of the layers",
                )
            flows.append(flow)
        return flows

    def layer(self, name: str) -> Flow:
        layer, flows = _plain(self.network[name]), self.incoming(name)
        if isinstance(layer, (*NEURONS, Recurrent)):
            return self.neurons(name, layer, flows)
        if isinstance(layer, Add):
            return self.add(name, flows)
        if isinstance(layer, Concat):
            return self.concat(name, layer, flows)
        if len(flows) > 1:
            if all(flow.parts is not None for flow in flows):
                flows = [self.add(f"{name}_sum", flows)]
            else:
                self.problem(
                    name,
                    f"{len(flows)} inputs, which are added up",
                    "spikes are not added before synapses",
                    "give each its own synapses, and let them lead to the same neurons",
                )
        flow = flows[0]
        if isinstance(layer, DROPPED):
            self.result.dropped.append(name)
            return flow
        if isinstance(layer, SYNAPSES):
            part, flow = self.synapses(name, layer, flow, self.network.out_shape(name))
            self.node(name, flow)
            return Flow(name, part.out_shape, (part,))
        if isinstance(layer, ComplexSynapse):
            return self.halves(name, layer, flow)
        if isinstance(layer, QuantisedInput):
            return self.from_host(name, layer, flow)
        if isinstance(layer, Pool):
            return self.pool(name, layer, flow)
        if isinstance(layer, Scale):
            return self.scale(name, layer, flow)
        if isinstance(layer, AxonalDelay):
            layer = layer.whole()
        if isinstance(layer, Delay):
            return self.delay(name, layer, flow)
        if isinstance(layer, Flatten | Reshape):
            return self.reshape(name, layer, flow)
        if not isinstance(layer, BatchNorm):  # a BatchNorm that is left has its problem already
            self.unsupported(name, layer)
        return Flow(name, self.network.out_shape(name))

    def keep(self, name: str, layer: Layer, *flows: Flow) -> None:
        """A layer of the mapped network that only moves values."""
        self.result.kept[name] = layer
        self.node(name, *flows)

    def node(self, name: str, *flows: Flow) -> None:
        self.result.order.append(name)
        self.result.edges.extend(Edge(flow.layer, name, flow.recurrent) for flow in flows)

    def add(self, name: str, flows: list[Flow]) -> Flow:
        if any(flow.parts is None for flow in flows):
            self.problem(
                name,
                "a sum of spikes",
                "the chip adds up what synapses give",
                "put synapses in front of the sum",
            )
            return Flow(name, flows[0].shape)
        self.keep(name, Add(), *flows)
        parts = tuple(part for flow in flows for part in flow.parts or ())
        from_host = next((f.from_host for f in flows if f.from_host is not None), None)
        return Flow(name, flows[0].shape, parts, from_host=from_host)

    def concat(self, name: str, layer: Layer, flows: list[Flow]) -> Flow:
        if any(flow.parts is not None or flow.pending for flow in flows):
            self.problem(
                name,
                "synapses, pools or factors put side by side",
                "spikes of several populations can be",
                "put neurons in front of it, or one synapse for each of the inputs behind it",
            )
        elif len({flow.carries for flow in flows}) > 1:
            self.problem(
                name,
                " beside ".join(dict.fromkeys(flow.carries for flow in flows)),
                "synapses take one kind",
                "give each kind its own synapses",
            )
        else:
            self.keep(name, layer, *flows)
        return Flow(name, self.network.out_shape(name), carries=flows[0].carries)

    def from_host(self, name: str, layer: QuantisedInput, flow: Flow) -> Flow:
        """Values of 8 bits that the host feeds to neurons."""
        if flow.layer not in self.network.inputs or flow.pending:
            self.problem(
                name,
                "a QuantisedInput within the network",
                "the host feeds values at the input",
                "put it first",
            )
        if layer.scale != SCALE:
            self.problem(name, f"scale {layer.scale:g}", f"steps are 1 / {SCALE}", "use 64")
        weight = SCALE if layer.weight is None else layer.weight * SCALE
        bias = 0 if layer.bias is None else layer.bias * SCALE
        self.keep(name, Input(weight=weight, bias=bias), flow)
        return Flow(name, flow.shape, (), from_host=float(SCALE))

    def encoded(self, name: str, flow: Flow) -> Flow:
        """The host's values for a `Delta` at the input."""
        if flow.layer not in self.network.inputs or flow.pending:
            self.problem(
                name,
                "a Delta within the network",
                "it encodes the values that the host feeds",
                "put it at the input of the network",
            )
            return flow
        own = f"{name}_input"
        while own in self.network or own in self.network.inputs:
            own += "_"
        self.keep(own, Input(), flow)
        return Flow(own, flow.shape, ())

    def neurons(self, name: str, layer: Layer, flows: list[Flow]) -> Flow:
        parts: list[Part] = []
        sources = []
        for flow in flows:
            if isinstance(layer, Delta) and flow.parts is None:
                flow = self.encoded(name, flow)
            elif flow.parts is None:
                flow = self.pooled(name, flow)
            parts += flow.parts or ()
            sources.append(flow)
        neuron, feedback = layer, None
        if isinstance(layer, Recurrent):
            neuron, feedback = _plain(layer.neuron), _plain(layer.synapse)
            if not isinstance(neuron, NEURONS):
                self.unsupported(name, neuron)
                return Flow(name, self.network.out_shape(name))
            if isinstance(feedback, (Linear, *CONVOLUTIONS)):
                shape = self.network.out_shape(name)
                part = _part(f"{name}.synapse", feedback, shape, np.asarray(feedback.weight))
                carries = _sends(neuron)
                self.check_source(name, carries)
                parts.append(
                    dataclasses.replace(part, feedback=True, made_of=[name], carries=carries)
                )
            else:
                self.problem(
                    name,
                    f"feedback through a {type(feedback).__name__}",
                    "feedback passes Linear or Conv",
                    "use one of those",
                )
        self.node(name, *sources)
        shape = self.network.in_shape(name)
        from_host = next((f.from_host for f in sources if f.from_host is not None), None)
        recurrent = feedback is not None
        self.result.populations.append(
            Population(name, neuron, shape, parts, recurrent=recurrent, from_host=from_host)
        )
        return Flow(name, self.network.out_shape(name), carries=_sends(neuron))

    def check_source(self, name: str, carries: str) -> None:
        if carries == VALUES:
            self.problem(
                name,
                "synapses that take the values of a read-out",
                "spikes travel between neurons, membranes don't",
                "let the neurons before it spike, or end the network there",
            )

    def pooled(self, name: str, flow: Flow) -> Flow:
        """Pools whose sums go to neurons: synapses of their own, with one weight for all."""
        if not flow.pools or flow.flat:
            self.problem(
                name,
                "neurons without synapses before them" + (" (but for a Flatten)" * flow.flat),
                "spikes reach neurons through synapses",
                "put Linear, Conv or a pool directly before them",
            )
            return flow
        kernel = None
        spatial = [flow.map_shape[1:]]
        for _, pool in flow.pools:
            spatial.append(pool.out_shape((1, *spatial[-1]))[1:])
        for (pool_name, pool), size in zip(reversed(flow.pools), spatial[-2::-1], strict=True):
            if kernel is None:
                ndim = len(size)
                one = np.ones((1,) * (ndim + 2))
                kernel = Kernel(one, (1,) * ndim, ((0, 0),) * ndim, (1,) * ndim)
            reason = why_not_into_kernel(kernel, pool, size)
            if reason:
                self.no_kernel(pool_name, reason)
            else:
                kernel = into_kernel(kernel, pool)
        assert kernel is not None
        channels, options = flow.map_shape[0], {"stride": kernel.stride, "padding": kernel.padding}
        weight = kernel.weight * flow.factor
        if len(kernel.stride) == 2:
            build: Callable[[Any], Layer] = lambda w: PerChannel(  # noqa: E731
                Conv2d.from_weights(w, **options)
            )
        else:
            weight = np.repeat(weight, channels, axis=0)
            build = lambda w: Conv1d.from_weights(w, groups=channels, **options)  # noqa: E731
        own = flow.pools[-1][0]
        self.check_source(own, flow.carries)
        part = Part(own, "pool", weight, build, flow.map_shape, flow.shape, None)
        part.made_of, part.carries = list(flow.via), flow.carries
        self.node(own, flow)
        return Flow(own, flow.shape, (part,))

    def no_kernel(self, name: str, reason: str) -> None:
        self.problem(
            name,
            "a pool that can't go into the convolution behind it: " + reason,
            "what neurons do not follow is put into the next weights",
            "put neurons behind the pool, or pad neither of the two",
        )

    def halves(self, name: str, layer: ComplexSynapse, flow: Flow) -> Flow:
        """Synapses with complex weights, as two groups."""
        out = self.network.out_shape(name)
        parts, after = [], flow
        for half in ("real", "imag"):
            synapse = _plain(getattr(layer, half))
            if not isinstance(synapse, SYNAPSES):
                self.unsupported(name, synapse)
                return Flow(name, out, ())
            part, after = self.synapses(name, synapse, flow, out[1:])
            parts.append(dataclasses.replace(part, name=f"{name}.{half}", owner=name))
        self.node(name, after)
        return Flow(name, out, tuple(parts))

    def synapses(self, name: str, layer: Any, flow: Flow, out: Shape) -> tuple[Part, Flow]:
        """Synapses with all that is to go into them, and where their input comes from."""
        if flow.parts is not None:
            self.problem(
                name,
                f"a {type(layer).__name__} on what other synapses give",
                "spikes travel between synapses",
                "put neurons between the two, or multiply their weights into one layer",
            )
        self.check_source(name, flow.carries)
        weight = np.asarray(layer.weight, np.float64) * flow.factor
        made, via = layer, flow.via
        if flow.pools and flow.parts is None:
            made, weight = self.with_pools(name, layer, weight, flow)
            if isinstance(layer, Linear):
                flow = self.flattened(flow)
                via = flow.via
            else:
                flow = flow._replace(shape=flow.map_shape)
        part = _part(name, made, flow.shape, weight, out=out)
        if layer.bias is not None:
            part.bias = np.asarray(layer.bias, np.float64)
        part.made_of, part.carries = [*via, name], flow.carries
        return part, flow

    def flattened(self, flow: Flow) -> Flow:
        """The flow with its Flatten acting before the pools."""
        name = next(n for n in flow.via if isinstance(_plain(self.network[n]), Flatten | Reshape))
        if name not in self.result.kept:
            self.keep(name, Flatten(), flow)
        return flow._replace(
            layer=name,
            recurrent=False,
            shape=(math.prod(flow.map_shape),),
            via=tuple(n for n in flow.via if n != name),
        )

    def with_pools(
        self, name: str, layer: Any, weight: np.ndarray, flow: Flow
    ) -> tuple[Any, np.ndarray]:
        """Weights that do what pools and the layer do."""
        pools = [pool for _, pool in flow.pools]
        if isinstance(layer, Linear):
            weight = into_linear(weight, pools, flow.map_shape)
            return Linear.from_weights(weight.astype(np.float32)), weight
        if flow.flat or isinstance(layer, TRANSPOSED):
            self.problem(
                name,
                f"a {type(layer).__name__} behind a pool"
                + (" and another shape" if flow.flat else "")
                + " without neurons between them",
                "such a pool goes into the weights of Conv or Linear",
                "put neurons behind the pool",
            )
            return layer, weight
        kernel = Kernel(weight, layer.stride, layer.padding, layer.dilation)
        sizes = [flow.map_shape[1:]]
        for pool in pools[:-1]:
            sizes.append(pool.out_shape((1, *sizes[-1]))[1:])
        for (pool_name, pool), size in zip(reversed(flow.pools), reversed(sizes), strict=True):
            reason = why_not_into_kernel(kernel, pool, size)
            if reason:
                self.no_kernel(pool_name, reason)
                return layer, weight
            kernel = into_kernel(kernel, pool)
        made = type(layer).from_weights(
            kernel.weight.astype(np.float32),
            stride=kernel.stride,
            padding=kernel.padding,
            dilation=kernel.dilation,
            groups=layer.groups,
        )
        return made, kernel.weight

    def pool(self, name: str, layer: Pool, flow: Flow) -> Flow:
        if flow.parts is not None or flow.flat:
            self.problem(
                name,
                "a pool of what synapses give" if flow.parts is not None else "a pool of a vector",
                "pools are synapses: they sum up spikes",
                "put the pool behind the neurons",
            )
            return flow._replace(shape=self.network.out_shape(name))
        return flow._replace(
            map_shape=flow.map_shape if flow.pools else flow.shape,
            shape=self.network.out_shape(name),
            pools=(*flow.pools, (name, layer)),
            via=(*flow.via, name),
        )

    def scale(self, name: str, layer: Scale, flow: Flow) -> Flow:
        if flow.from_host is not None:
            self.problem(
                name,
                "a factor on what the host feeds",
                "there are no weights that it could go into",
                "multiply the inputs of the run",
            )
        values = np.asarray(layer.factor, np.float64)
        single = np.unique(values)
        if flow.parts is None:
            if single.size != 1:
                self.problem(
                    name,
                    f"a factor with {single.size} values on spikes",
                    "one factor goes into the weights behind it",
                    "use one factor, or multiply the weights yourself",
                )
            return flow._replace(factor=flow.factor * float(single[0]), via=(*flow.via, name))
        by_output = per_output(values, flow.shape)
        for part in flow.parts:
            direct = part.out_axis is not None and part.out_shape == flow.shape
            if single.size != 1 and (by_output is None or not direct):
                self.problem(
                    name,
                    "a factor that differs within a channel",
                    "it goes into the weights before it, which a channel shares",
                    "use one factor for a channel",
                )
                break
            times_output(part, single if by_output is None or single.size == 1 else by_output)
            part.made_of.append(name)
        return flow

    def delay(self, name: str, layer: Delay, flow: Flow) -> Flow:
        if flow.flat and not isinstance(layer.steps, int):
            self.problem(
                name,
                "delays of single values behind a pool",
                "a pool without neurons goes into the weights behind the delay",
                "put neurons behind the pool, or the delay before it",
            )
        self.keep(name, layer, flow)
        return flow._replace(layer=name, recurrent=False)

    def reshape(self, name: str, layer: Layer, flow: Flow) -> Flow:
        out = self.network.out_shape(name)
        if out == flow.shape:
            self.result.dropped.append(name)
            return flow
        if flow.pools and flow.parts is None:
            if len(out) != 1:
                self.problem(
                    name,
                    f"a new shape {out} behind a pool",
                    "a pool without neurons goes into the weights behind it",
                    "put neurons behind the pool",
                )
            return flow._replace(shape=out, flat=True, via=(*flow.via, name))
        self.keep(name, layer, flow)
        return flow._replace(layer=name, shape=out, recurrent=False)

    def unsupported(self, name: str, layer: Layer) -> None:
        kind, module = type(layer).__name__, type(layer).__module__
        if isinstance(layer, MaxPool1d | MaxPool2d):
            legal, remedy = "synapses add up, they have no maximum", "use SumPool2d or AvgPool2d"
        elif kind in ("LIF", "Synapse") and module.startswith("neurojax.chips.loihi"):
            legal, remedy = "it is the chip's already", "map the network that it was made from"
        elif module.startswith("neurojax.chips"):
            legal, remedy = "the mapping does not know it", f"it knows {SUPPORTED}"
        elif module.startswith("neurojax.neurons"):
            legal = "neurons of the chip integrate a decaying current, fire, and reset to zero"
            remedy = "use CubaLIF, LIF or loihi.ALIF, and train with it"
        else:
            legal, remedy = f"a network is made of {SUPPORTED}", "remove or replace the layer"
        self.problem(name, f"a {kind} layer", legal, remedy)


def _sends(layer: Layer) -> str:
    """What neurons send."""
    neuron: Any = layer.neuron if isinstance(layer, Recurrent) else layer
    if isinstance(neuron, Delta | SigmaDelta):
        return MESSAGES
    threshold = neuron.vth if isinstance(neuron, FloatLIF) else getattr(neuron, "threshold", None)
    return VALUES if threshold is None else SPIKES


def _plain(layer: Layer) -> Layer:
    """The layer with its parameters on their grids, if it is a quantised one."""
    return layer.baked() if isinstance(layer, Quantised) else layer


def _part(
    name: str, layer: Any, in_shape: Shape, weight: np.ndarray, out: Shape | None = None
) -> Part:
    def build(mantissas: Any) -> Layer:
        return eqx.tree_at(
            lambda held: (held.weight, held.bias),
            layer,
            (jnp.asarray(mantissas, jnp.float32), None),
            is_leaf=lambda node: node is None,
        )

    out_shape = layer.out_shape(in_shape) if out is None else out
    axis = 1 if isinstance(layer, TRANSPOSED) else 0
    weight = np.asarray(weight, np.float64)
    return Part(name, type(layer).__name__, weight, build, in_shape, out_shape, axis)


def per_output(values: np.ndarray, shape: Shape) -> np.ndarray | None:
    """The values along the first axis, `(out,)`, if they are the same along the others."""
    full = np.broadcast_to(values, shape).reshape(shape[0], -1)
    return full[:, 0] if np.all(full == full[:, :1]) else None


def times_output(part: Part, factor: np.ndarray) -> None:
    """Multiply what reaches each output by a factor: one number, or one an output channel."""
    if factor.size == 1:
        part.weight = part.weight * float(factor.ravel()[0])
    else:
        assert part.out_axis is not None
        groups = part.out_shape[0] // part.weight.shape[part.out_axis]
        if groups > 1:  # transposed with groups: (in, out / groups, ...), inputs by group
            blocks = part.weight.reshape(groups, -1, *part.weight.shape[1:])
            by_group = factor.reshape(groups, 1, -1, *(1,) * (part.weight.ndim - 2))
            part.weight = (blocks * by_group).reshape(part.weight.shape)
        else:
            axes = [i for i in range(part.weight.ndim) if i != part.out_axis]
            part.weight = part.weight * np.expand_dims(factor, axes)
    if part.bias is not None:
        part.bias = part.bias * factor.ravel()
