"""The network of a file: its layers as layers of the chip, one behind the other.

Layer 3 of a file becomes "3.synapse", "3.neuron" and, if it has axonal delays, "3.delay".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from neurojax._graph import Edge
from neurojax._layer import Layer, Shape
from neurojax._network import Network, Provenance
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.input import Input
from neurojax.chips.loihi.pool import PerChannel
from neurojax.chips.loihi.spec import MESSAGE_BITS
from neurojax.chips.loihi.synapse import Synapse
from neurojax.hardware.loihi._neurons import IN_UNITS, ZOO, is_shifted, neuron_of, sum_of_all
from neurojax.hardware.loihi._weights import ILLEGAL, synapse_of
from neurojax.hardware.loihi.records import LayerRecord, stop
from neurojax.layers import (
    AvgPool1d,
    Chain,
    Concat,
    Conv2d,
    Delay,
    Flatten,
    Identity,
    Linear,
    Recurrent,
    Reshape,
    Scale,
)
from neurojax.layers.transposed import ConvTranspose2d
from neurojax.surrogate import Surrogate

TIMINGS = ("aligned", "chip", "slayer")


class Origin(NamedTuple):
    """Which layer of a file a population of neurons is."""

    name: str  # in the network
    layer: int  # in the file


class Built(NamedTuple):
    """A network and where its layers come from."""

    network: Network
    origins: tuple[Origin, ...]


class _Part(NamedTuple):
    """Layers of one layer of the file, and its output."""

    layers: dict[str, Layer]
    shape: Shape
    notes: list[str]


def build(
    records: Sequence[LayerRecord],
    *,
    input_shape: Shape | None,
    timing: str,
    surrogate: Surrogate,
    notes: Sequence[str] = (),
) -> Built:
    """The network that layers of a file describe.

    Args:
        records: The layers.
        input_shape: Of one sample at one step; None: what the first layer says.
        timing: `"aligned"`: no delays but axonal ones; `"chip"`: one step in front of every
            synapse; `"slayer"`: one step behind every neuron that spikes.
        surrogate: Derivative of spikes, made for the user's unit.
        notes: About the file; they become the first layer's.

    Raises:
        ValueError: Layers that don't fit one another, or the chip: all of them.
    """
    if timing not in TIMINGS:
        raise ValueError(f"timing is {timing!r}; it must be one of {TIMINGS}")
    in_shape = _input_shape(records[0], input_shape)
    layers: dict[str, Layer] = {}
    edges: list[Edge] = []
    origins: list[Origin] = []
    provenance: dict[str, Provenance] = {}
    problems: list[str] = []
    ends: list[str] = []  # name of the last layer of each layer of the file
    shapes: list[Shape] = []
    for number, record in enumerate(records):
        where = f"layer {number} ({record.type})"
        last, shape = (ends[-1], shapes[-1]) if ends else ("input", in_shape)
        sources = [last]
        try:
            if record.type == "input" and number:
                raise ValueError("only the first layer can be an input")
            if record.type == "concat":
                chosen = _chosen(record, number)
                sources = [ends[i] for i in chosen]
                part = _concat([shapes[i] for i in chosen])
            else:
                part = _part(record, shape, number == len(records) - 1, timing, surrogate)
        except ValueError as error:
            problems += [f"{where}: {line}" for line in str(error).splitlines()]
            part = _Part({}, tuple(record.fields["shape"].tolist()), [])
        stated = tuple(record.fields["shape"].tolist())
        images = record.type in ("conv", "convT", "pool", "unpool")
        fits = stated == part.shape if images else math.prod(stated) == math.prod(part.shape)
        if part.layers and not fits:
            problems.append(f"{where}: field 'shape' is {stated}; {part.shape} follows")
        for name, layer in part.layers.items():
            full = f"{number}.{name}"
            layers[full] = layer
            edges += [Edge(source, full) for source in sources]
            sources = [full]
            if name == "neuron":
                origins.append(Origin(full, number))
            said = [f"layer {number}: {note}" for note in part.notes]
            said = said if name == next(iter(part.layers)) else []
            said = said if provenance else [*said, *notes]
            provenance[full] = Provenance(f"netx {record.type}", f"layer/{number}", tuple(said))
        ends.append(sources[-1])
        shapes.append(part.shape if part.layers else stated)
    if not problems and not layers:
        problems.append("there are no layers besides the input")
    stop(problems)
    network = Network(layers, edges, inputs=in_shape, outputs=[ends[-1]], provenance=provenance)
    return Built(network, tuple(origins))


def _input_shape(record: LayerRecord, given: Shape | None) -> Shape:
    """Shape of the input: what was given, or what the first layer says."""
    fields = record.fields
    where = f"layer 0 ({record.type})"
    inputs = None
    if record.type in ("input", "flatten"):
        said: Shape | None = _shape(fields)
    elif record.type.startswith("dense"):
        said = (int(fields["inFeatures"]),)
    elif record.type in ("conv", "convT", "pool", "unpool"):
        inputs = int(fields["shape"][0])
        if record.type in ("conv", "convT"):
            inputs = int(fields["inChannels"])
        axes = [_sizes_in(record, axis) for axis in (0, 1)]
        said = None if None in axes else (inputs, *axes)  # type: ignore[arg-type]
    else:
        said = None
    if given is None:
        if said is None:
            text = "(features,)" if inputs is None else f"({inputs}, height, width)"
            raise ValueError(
                f"{where}: the file doesn't say the shape of the input; give input_shape={text}"
            )
        return said
    shape = tuple(int(n) for n in given)
    flat = record.type.startswith("dense") or record.type == "flatten"
    fits = said is None or (math.prod(shape) == math.prod(said) if flat else shape == said)
    if not fits or (inputs is not None and (len(shape) != 3 or shape[0] != inputs)):
        legal = said if said is not None else f"({inputs}, height, width)"
        raise ValueError(f"input_shape is {shape}; {where} takes {legal}")
    return shape


def _sizes_in(record: LayerRecord, axis: int) -> int | None:
    """The input's height (axis 0) or width, if the output leaves only one."""
    fields = record.fields
    out, kernel = int(fields["shape"][axis + 1]), int(fields["kernelSize"][axis])
    stride, padding = int(fields["stride"][axis]), int(fields["padding"][axis])
    reach = int(fields["dilation"][axis]) * (kernel - 1)
    if record.type in ("convT", "unpool"):
        size = (out + 2 * padding - reach - 1) // stride + 1
    elif stride == 1:
        size = out + reach - 2 * padding
    else:
        return None
    return size if size >= 1 else None


def _shape(fields: Any) -> Shape:
    """A stated shape; behind vectors older files write axes of length 1."""
    shape = tuple(int(n) for n in fields["shape"])
    return shape[:1] if shape[1:] in ((1,), (1, 1)) and len(shape) > 1 else shape


def _chosen(record: LayerRecord, number: int) -> list[int]:
    chosen = [int(i) for i in record.fields["layers"]]
    late = [i for i in chosen if i >= number]
    if late:
        raise ValueError(f"field 'layers' names layer {late[0]}, which comes later")
    return chosen


def _concat(shapes: Sequence[Shape]) -> _Part:
    layer = Concat()
    return _Part({"concat": layer}, layer.out_shape(tuple(shapes)), [])  # type: ignore[arg-type]


def _part(
    record: LayerRecord, shape: Shape, is_last: bool, timing: str, surrogate: Surrogate
) -> _Part:
    fields, notes = record.fields, []
    layers: dict[str, Layer] = {}
    if record.type == "flatten":
        return _Part({"flatten": Flatten()}, (math.prod(shape),), [])
    if record.type == "average":
        return _average(int(math.prod(fields["shape"].tolist())), shape)
    if record.type == "input":
        out = _shape(fields)
        if math.prod(out) != math.prod(shape):
            raise ValueError(f"field 'shape' is {out}, but what comes in has shape {shape}")
        if record.neuron is None:
            if "weight" in fields or "bias" in fields:
                notes.append("weight and bias are not used, because there is no neuron")
            return _Part({"input": Identity()}, shape, notes)
        weight = {key: int(fields[key][0]) for key in ("weight", "bias") if key in fields}
        layers["input"] = Input(**weight)
        out = shape
    else:
        if record.type.startswith("dense") and len(shape) != 1:
            layers["flatten"] = Flatten()
            shape = (math.prod(shape),)
            notes.append(f"its input is flattened to {shape[0]} values")
        if timing == "chip":
            layers["shift"] = Delay(1)
        synapse = _synapse(record, shape)
        layers["synapse"] = synapse
        out = synapse.out_shape(shape)
        out = out[1:] if isinstance(synapse, ComplexSynapse) else out  # (real, imag)
    bias = fields.get("bias") if record.type != "input" else None
    neuron = _neuron(record, bias, out, is_last, surrogate, notes)
    if record.type == "dense_rec":
        back = synapse_of(Linear.from_weights, fields["weight_rec"])
        if back is None:
            raise ValueError(f"field 'weight_rec' has values that no synapse holds: {ILLEGAL}")
        neuron = Recurrent(neuron, back)
    layers["neuron"] = neuron
    if record.neuron is not None and record.neuron["type"] in ZOO and record.neuron["gradedSpike"]:
        layers["units"] = Scale(IN_UNITS)
    if "delay" in fields:
        layers["delay"] = Delay(fields["delay"].astype(np.int64))
    if timing == "slayer" and is_shifted(record.neuron):
        layers["shift"] = Delay(1)
    return _Part(layers, out, notes)


def _neuron(
    record: LayerRecord,
    bias: np.ndarray | None,
    shape: Shape,
    is_last: bool,
    surrogate: Surrogate,
    notes: list[str],
) -> Layer:
    if record.neuron is not None:
        is_input = record.type == "input"
        return neuron_of(record.neuron, bias, shape, is_input=is_input, surrogate=surrogate)
    if not is_last:
        raise ValueError(
            "it has no neuron; only the last layer may have none, for which the output is the sum "
            "of all that has arrived"
        )
    notes.append(
        "it has no neuron: the output is the sum of all that has arrived (netx says so, too, but "
        "then exchanges the two decays, and never spikes)"
    )
    if bias is not None:
        raise ValueError("it has a bias, but no neuron")
    return sum_of_all()


def _average(count: int, shape: Shape) -> _Part:
    size, rest = divmod(math.prod(shape), count)
    if rest:
        raise ValueError(f"{shape} can't be split into {count} groups of one size")
    layer = Chain(groups=Reshape((count, size)), mean=AvgPool1d(size), flatten=Flatten())
    return _Part({"average": layer}, (count,), [])


def _synapse(record: LayerRecord, shape: Shape) -> Layer:
    fields = record.fields
    graded = record.neuron is not None and record.neuron["type"] == "SDNN"
    options = {"message_bits": MESSAGE_BITS} if graded else {}
    make = _maker(record, shape)
    names = ("weight",) if "weight" in fields else ("weight/real", "weight/imag")
    found: list[Synapse] = []
    for name in names:
        synapse = synapse_of(make, fields[name], **options)
        if synapse is None:
            raise ValueError(f"field '{name}' has values that no synapse holds: {ILLEGAL}")
        found.append(synapse)
    return found[0] if len(found) == 1 else ComplexSynapse(*found)


def _maker(record: LayerRecord, shape: Shape) -> Any:
    """Makes the layer of the synapse's mantissas."""
    fields, kind = record.fields, record.type
    if kind.startswith("dense"):
        if shape != (int(fields["inFeatures"]),):
            raise ValueError(f"it takes {fields['inFeatures']} inputs, but there are {shape[0]}")
        return Linear.from_weights
    if len(shape) != 3:
        raise ValueError(f"it takes (channels, height, width), but what comes in has {shape}")
    options: dict[str, Any] = {k: _pair(fields[k]) for k in ("stride", "padding", "dilation")}
    kernel = _pair(fields["kernelSize"])
    extra = _missing(kind, shape, _pair(fields["shape"][1:]), kernel, options)
    if kind in ("convT", "unpool"):
        options["output_padding"] = extra
    elif kind == "pool" and any(extra):
        pads = zip(options["padding"], extra, strict=True)
        options["padding"] = tuple((p, p + more) for p, more in pads)
    if kind in ("conv", "convT"):
        options["groups"] = int(fields["groups"])
        if shape[0] != int(fields["inChannels"]):
            raise ValueError(f"it takes {fields['inChannels']} channels, but there are {shape[0]}")
    cls = ConvTranspose2d if kind in ("convT", "unpool") else Conv2d
    if kind in ("pool", "unpool"):
        return lambda weight: PerChannel(cls.from_weights(weight, **options))
    return lambda weight: cls.from_weights(weight, **options)


def _missing(
    kind: str, shape: Shape, stated: Shape, kernel: Shape, options: dict[str, Any]
) -> tuple[int, ...]:
    """By how much more the output must be padded at its end to have the stated size."""
    found = []
    for axis, (size, out, k) in enumerate(zip(shape[1:], stated, kernel, strict=True)):
        stride, padding = options["stride"][axis], options["padding"][axis]
        reach = options["dilation"][axis] * (k - 1)
        if kind in ("convT", "unpool"):
            more = out - ((size - 1) * stride - 2 * padding + reach + 1)
            found.append(more if 0 <= more < max(stride, options["dilation"][axis]) else 0)
        else:
            # The last window ends at (out - 1) stride + reach.
            more = (out - 1) * stride + reach + 1 - (size + 2 * padding)
            found.append(more if 0 < more <= reach + stride else 0)
    return tuple(found)


def _pair(value: Any) -> tuple[int, int]:
    first, second = (int(n) for n in value)
    return first, second
