"""Reading a network as populations of neurons, each with the synapses that lead to it.

Everything between two populations is linear and belongs to the synapses: factors, pools, batch
norm, biases. What a chip has no place for is a `Problem`; reading goes on after one, so that all of
them are found.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from neurojax._layer import Layer
from neurojax._network import Network
from neurojax.chips._mapped import Problem
from neurojax.chips.loihi._connections import (
    CONVOLUTIONS,
    SYNAPSES,
    connection,
    halves,
    scaled,
)
from neurojax.chips.loihi._draft import Draft, Flow, Reading, plain
from neurojax.chips.loihi._lowering import Pool
from neurojax.chips.loihi._pools import as_synapses, collected
from neurojax.chips.loihi._population import (
    NEURONS,
    Part,
    Population,
    part_from,
    sends,
)
from neurojax.chips.loihi.axonal_delay import AxonalDelay
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.quantise import SCALE, QuantisedInput
from neurojax.chips.loihi.sigma_delta import Delta
from neurojax.layers import (
    Add,
    BatchDropout,
    BatchNorm,
    Concat,
    Delay,
    Dropout,
    Flatten,
    Identity,
    Linear,
    Recurrent,
    Reshape,
    Scale,
)

DROPPED = (Dropout, BatchDropout, Identity)


def read(network: Network, problems: list[Problem]) -> Reading:
    """The network as populations. With new problems the result is not to be used."""
    return _Reader(network, problems).read()


class _Reader:
    def __init__(self, network: Network, problems: list[Problem]) -> None:
        self.draft = Draft(network, problems)
        self.network = self.draft.network
        self.flows: dict[str, Flow] = {
            name: Flow(name, shape) for name, shape in network.inputs.items()
        }

    def read(self) -> Reading:
        for name in self.network.names:
            self.flows[name] = self.layer(name)
        outputs = tuple(self.output(name) for name in self.network.outputs)
        if not self.draft.result.populations and not self.draft.problems:
            self.draft.problem(
                "network", "it has no neurons", "a core is neurons", "append neurons"
            )
        return self.draft.result._replace(outputs=outputs)

    def output(self, name: str) -> str:
        flow = self.flows[name]
        if flow.parts is not None:
            self.draft.problem(
                name,
                "an output of synapses without neurons behind them",
                "synapses end in neurons; a read-out is a neuron without spikes",
                "append nj.LI(decay=0.0), whose output is the sum",
            )
        elif flow.pending:
            self.draft.problem(
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
            elif isinstance(plain(self.network[edge.source]), (*NEURONS, Recurrent)):
                shape = self.network.out_shape(edge.source)
                carries = sends(plain(self.network[edge.source]))
                flow = Flow(edge.source, shape, recurrent=True, carries=carries)
            else:
                self.draft.problem(
                    name,
                    f"a recurrent edge from '{edge.source}', which are no neurons",
                    "spikes travel between populations",
                    "let the recurrent edge begin at the neurons",
                )
                flow = Flow(edge.source, self.network.out_shape(edge.source))
            if flow.parts is not None and len(self.network.outgoing(edge.source)) > 1:
                self.draft.problem(
                    edge.source,
                    "synapses that feed several layers",
                    "synapses lead to one population",
                    "repeat the synapses for each of the layers",
                )
            flows.append(flow)
        return flows

    def layer(self, name: str) -> Flow:
        layer, flows = plain(self.network[name]), self.incoming(name)
        if isinstance(layer, (*NEURONS, Recurrent)):
            return self.neurons(name, layer, flows)
        if isinstance(layer, Add):
            return self.add(name, flows)
        if isinstance(layer, Concat):
            return self.concat(name, layer, flows)
        if len(flows) > 1:
            if all(flow.parts is not None for flow in flows):
                flows = [self.add(self.draft.free(f"{name}_sum"), flows)]
            else:
                self.draft.problem(
                    name,
                    f"{len(flows)} inputs, which are added up",
                    "spikes are not added before synapses",
                    "give each its own synapses, and let them lead to the same neurons",
                )
        flow = flows[0]
        if isinstance(layer, DROPPED):
            self.draft.result.dropped.append(name)
            return flow
        if isinstance(layer, SYNAPSES):
            part, flow = connection(self.draft, name, layer, flow, self.network.out_shape(name))
            self.draft.node(name, flow)
            return Flow(name, part.out_shape, (part,))
        if isinstance(layer, ComplexSynapse):
            return halves(self.draft, name, layer, flow)
        if isinstance(layer, QuantisedInput):
            return self.from_host(name, layer, flow)
        if isinstance(layer, Pool):
            return collected(self.draft, name, layer, flow)
        if isinstance(layer, Scale):
            return scaled(self.draft, name, layer, flow)
        if isinstance(layer, AxonalDelay):
            layer = layer.whole()
        if isinstance(layer, Delay):
            return self.delay(name, layer, flow)
        if isinstance(layer, Flatten | Reshape):
            return self.reshape(name, layer, flow)
        if not isinstance(layer, BatchNorm):  # a BatchNorm that is left has its problem already
            self.draft.unsupported(name, layer)
        return Flow(name, self.network.out_shape(name))

    def neurons(self, name: str, layer: Layer, flows: list[Flow]) -> Flow:
        parts: list[Part] = []
        sources = []
        for flow in flows:
            if isinstance(layer, Delta) and flow.parts is None:
                flow = self.encoded(name, flow)
            elif flow.parts is None:
                flow = as_synapses(self.draft, name, flow)
            parts += flow.parts or ()
            sources.append(flow)
        neuron, feedback = layer, None
        if isinstance(layer, Recurrent):
            neuron, feedback = plain(layer.neuron), plain(layer.synapse)
            if not isinstance(neuron, NEURONS):
                self.draft.unsupported(name, neuron)
                return Flow(name, self.network.out_shape(name))
            if isinstance(feedback, (Linear, *CONVOLUTIONS)):
                shape = self.network.out_shape(name)
                part = part_from(f"{name}.synapse", feedback, shape, np.asarray(feedback.weight))
                carries = sends(neuron)
                self.draft.check_source(name, carries)
                parts.append(
                    dataclasses.replace(part, feedback=True, made_of=[name], carries=carries)
                )
            else:
                self.draft.problem(
                    name,
                    f"feedback through a {type(feedback).__name__}",
                    "feedback passes Linear or Conv",
                    "use one of those",
                )
        self.draft.node(name, *sources)
        shape = self.network.in_shape(name)
        from_host = next((f.from_host for f in sources if f.from_host is not None), None)
        recurrent = feedback is not None
        self.draft.result.populations.append(
            Population(name, neuron, shape, parts, recurrent=recurrent, from_host=from_host)
        )
        return Flow(name, self.network.out_shape(name), carries=sends(neuron))

    def encoded(self, name: str, flow: Flow) -> Flow:
        """The host's values for a `Delta` at the input."""
        if flow.layer not in self.network.inputs or flow.pending:
            self.draft.problem(
                name,
                "a Delta within the network",
                "it encodes the values that the host feeds",
                "put it at the input of the network",
            )
            return flow
        own = self.draft.free(f"{name}_input")
        self.draft.keep(own, Input(), flow)
        return Flow(own, flow.shape, ())

    def from_host(self, name: str, layer: QuantisedInput, flow: Flow) -> Flow:
        """Values of 8 bits that the host feeds to neurons."""
        if flow.layer not in self.network.inputs or flow.pending:
            self.draft.problem(
                name,
                "a QuantisedInput within the network",
                "the host feeds values at the input",
                "put it first",
            )
        if layer.scale != SCALE:
            self.draft.problem(name, f"scale {layer.scale:g}", f"steps are 1 / {SCALE}", "use 64")
        weight = SCALE if layer.weight is None else layer.weight * SCALE
        bias = 0 if layer.bias is None else layer.bias * SCALE
        self.draft.keep(name, Input(weight=weight, bias=bias), flow)
        return Flow(name, flow.shape, (), from_host=float(SCALE))

    def add(self, name: str, flows: list[Flow]) -> Flow:
        if any(flow.parts is None for flow in flows):
            self.draft.problem(
                name,
                "a sum of spikes",
                "the chip adds up what synapses give",
                "put synapses in front of the sum",
            )
            return Flow(name, flows[0].shape)
        self.draft.keep(name, Add(), *flows)
        parts = tuple(part for flow in flows for part in flow.parts or ())
        from_host = next((f.from_host for f in flows if f.from_host is not None), None)
        return Flow(name, flows[0].shape, parts, from_host=from_host)

    def concat(self, name: str, layer: Layer, flows: list[Flow]) -> Flow:
        if any(flow.parts is not None or flow.pending for flow in flows):
            self.draft.problem(
                name,
                "synapses, pools or factors put side by side",
                "spikes of several populations can be",
                "put neurons in front of it, or one synapse for each of the inputs behind it",
            )
        elif len({flow.carries for flow in flows}) > 1:
            self.draft.problem(
                name,
                " beside ".join(dict.fromkeys(flow.carries for flow in flows)),
                "synapses take one kind",
                "give each kind its own synapses",
            )
        else:
            self.draft.keep(name, layer, *flows)
        return Flow(name, self.network.out_shape(name), carries=flows[0].carries)

    def delay(self, name: str, layer: Delay, flow: Flow) -> Flow:
        if flow.flat and not isinstance(layer.steps, int):
            self.draft.problem(
                name,
                "delays of single values behind a pool",
                "a pool without neurons goes into the weights behind the delay",
                "put neurons behind the pool, or the delay before it",
            )
        self.draft.keep(name, layer, flow)
        return flow._replace(layer=name, recurrent=False)

    def reshape(self, name: str, layer: Layer, flow: Flow) -> Flow:
        out = self.network.out_shape(name)
        if out == flow.shape:
            self.draft.result.dropped.append(name)
            return flow
        if flow.pools and flow.parts is None:
            if len(out) != 1:
                self.draft.problem(
                    name,
                    f"a new shape {out} behind a pool",
                    "a pool without neurons goes into the weights behind it",
                    "put neurons behind the pool",
                )
            return flow._replace(shape=out, flat=True, via=(*flow.via, name))
        self.draft.keep(name, layer, flow)
        return flow._replace(layer=name, shape=out, recurrent=False)
