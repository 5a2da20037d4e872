"""Synapses of a network as those of the chip, with the factors and pools around them."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from neurojax._layer import Shape
from neurojax.chips.loihi._draft import Draft, Flow, plain
from neurojax.chips.loihi._pools import flattened, into_weights
from neurojax.chips.loihi._population import (
    TRANSPOSED,
    Part,
    part_from,
    per_output,
    times_output,
)
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.layers import Conv1d, Conv2d, Linear, Scale

CONVOLUTIONS = (Conv1d, Conv2d)
SYNAPSES = (Linear, *CONVOLUTIONS, *TRANSPOSED)


def connection(draft: Draft, name: str, layer: Any, flow: Flow, out: Shape) -> tuple[Part, Flow]:
    """Synapses with all that is to go into them, and where their input comes from."""
    if flow.parts is not None:
        draft.problem(
            name,
            f"a {type(layer).__name__} on what other synapses give",
            "spikes travel between synapses",
            "put neurons between the two, or multiply their weights into one layer",
        )
    draft.check_source(name, flow.carries)
    weight = np.asarray(layer.weight, np.float64) * flow.factor
    made, via = layer, flow.via
    if flow.pools and flow.parts is None:
        made, weight = into_weights(draft, name, layer, weight, flow)
        if isinstance(layer, Linear):
            flow = flattened(draft, flow)
            via = flow.via
        else:
            flow = flow._replace(shape=flow.map_shape)
    part = part_from(name, made, flow.shape, weight, out=out)
    if layer.bias is not None:
        part.bias = np.asarray(layer.bias, np.float64)
    part.made_of, part.carries = [*via, name], flow.carries
    return part, flow


def halves(draft: Draft, name: str, layer: ComplexSynapse, flow: Flow) -> Flow:
    """Synapses with complex weights, as two groups."""
    out = draft.network.out_shape(name)
    parts, after = [], flow
    for half in ("real", "imag"):
        synapse = plain(getattr(layer, half))
        if not isinstance(synapse, SYNAPSES):
            draft.unsupported(name, synapse)
            return Flow(name, out, ())
        part, after = connection(draft, name, synapse, flow, out[1:])
        parts.append(dataclasses.replace(part, name=f"{name}.{half}", owner=name))
    draft.node(name, after)
    return Flow(name, out, tuple(parts))


def scaled(draft: Draft, name: str, layer: Scale, flow: Flow) -> Flow:
    """The flow with a factor: in the weights before it, or kept for those behind it."""
    if flow.from_host is not None:
        draft.problem(
            name,
            "a factor on what the host feeds",
            "there are no weights that it could go into",
            "multiply the inputs of the run",
        )
    values = np.asarray(layer.factor, np.float64)
    single = np.unique(values)
    if flow.parts is None:
        if single.size != 1:
            draft.problem(
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
            draft.problem(
                name,
                "a factor that differs within a channel",
                "it goes into the weights before it, which a channel shares",
                "use one factor for a channel",
            )
            break
        times_output(part, single if by_output is None or single.size == 1 else by_output)
        part.made_of.append(name)
    return flow
