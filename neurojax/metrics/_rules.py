"""The synapses of our own layers: those of every network, and those of the chips."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Bool

from neurojax._layer import Layer, Shape
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu
from neurojax.chips.bss2 import perceptron
from neurojax.chips.bss2.perceptron.conv_layers import PADDING_MODES, _Conv as HagenConv
from neurojax.chips.cri._links import BiasAxons, OneToOne, Pick
from neurojax.chips.cri.crossbar import Crossbar
from neurojax.chips.loihi._delta import AbstractDelta
from neurojax.chips.loihi._neuron import AbstractScaled
from neurojax.chips.loihi.quantise import EightBit, QuantisedInput
from neurojax.chips.mcu.neurons import Neuron as CodeNeuron
from neurojax.layers import BatchNorm, Chain, Flatten, Identity, Linear, Reshape, Scale
from neurojax.layers.convolution import _Conv
from neurojax.layers.transposed import _ConvTranspose
from neurojax.metrics._connectivity import (
    Connections,
    connections,
    of_parts,
    register_connectivity,
    with_weight,
)
from neurojax.metrics._fan_out import transposed_fan_out, window_fan_out
from neurojax.neurons import Threshold
from neurojax.neurons._neuron import AbstractNeuron
from neurojax.quantise import FakeQuantise, Quantised

Found = dict[str, Connections]


def dense(weight: Array | np.ndarray, exists: Bool[np.ndarray, "out in"] | None = None) -> Found:
    """Synapses of a matrix `(out, in)`; `exists` says which there are, by default all."""
    nonzero = np.asarray(weight) != 0
    exists = np.ones(nonzero.shape, bool) if exists is None else exists
    fan_out = exists.sum(0, dtype=np.int64)
    return {"": Connections(fan_out, (exists & nonzero).sum(0, dtype=np.int64))}


def window(
    weight: Array | np.ndarray,
    sizes: Sequence[int],
    *,
    stride: Sequence[int],
    padding: Any,
    dilation: Sequence[int] | None = None,
    groups: int = 1,
    mode: str = "constant",
) -> Found:
    """Synapses of a convolution with a weight `(out, in / groups, *kernel)`."""
    nonzero = np.asarray(weight) != 0
    options = {
        "stride": stride,
        "padding": padding,
        "dilation": dilation or (1,) * len(sizes),
        "groups": groups,
        "mode": mode,
    }
    all_ = window_fan_out(np.ones(nonzero.shape, bool), sizes, **options)  # type: ignore[arg-type]
    return {"": Connections(all_, window_fan_out(nonzero, sizes, **options))}  # type: ignore[arg-type]


def of_linear(layer: Linear, in_shape: Shape) -> Found:
    del in_shape
    return dense(layer.weight)


def of_sparse(layer: bss2.SparseLinear, in_shape: Shape) -> Found:
    del in_shape
    return dense(layer.weight, np.asarray(layer.connected))


def of_conv(layer: Any, in_shape: Shape) -> Found:
    return window(
        layer.weight,
        in_shape[1:],
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


def of_transposed(layer: _ConvTranspose, in_shape: Shape) -> Found:
    nonzero = np.asarray(layer.weight) != 0
    sizes, targets = in_shape[1:], layer.out_shape(in_shape)[1:]
    options = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    ones = np.ones(nonzero.shape, bool)
    return {
        "": Connections(
            transposed_fan_out(ones, sizes, targets, **options),  # type: ignore[arg-type]
            transposed_fan_out(nonzero, sizes, targets, **options),  # type: ignore[arg-type]
        )
    }


SAME_VALUES = (Flatten, Reshape, Identity)


def of_chain(layer: Chain, in_shape: Shape) -> Found:
    """Only of layers that get the chain's own input, in whatever shape."""
    shape, known, found = in_shape, True, {}
    for name, part in zip(layer.names, layer.layers, strict=True):
        inner = of_parts({name: (part, shape)})
        feedback_of_last = part is layer.layers[-1]
        for key, parts in inner.items():
            if parts.source == "input" and not known:
                raise ValueError(
                    f"'{key}' within it has synapses, but the activity of the layer before it is "
                    "not known from outside; name the layers of the chain in the network"
                )
            if parts.source.startswith("output") and not feedback_of_last:
                raise ValueError(f"'{key}' is feedback within it; name the layers of the chain")
            if parts.source == "input":
                fan_out, effective = (n.reshape(in_shape) for n in parts[:2])
                parts = parts._replace(fan_out=fan_out, effective=effective)
            found[key] = parts
        known = known and isinstance(part, SAME_VALUES)
        shape = part.out_shape(shape)
    return found


def of_quantised(layer: Quantised, in_shape: Shape) -> Found:
    random = any(rule.rounding == "stochastic" for rule in layer.rules.values())
    return connections(layer.layer if random else layer.baked(), in_shape)


def of_wrapped(layer: Any, in_shape: Shape) -> Found:
    """Layers around a `synapse` whose weights they change: `weight` are those in use."""
    return connections(with_weight(layer), in_shape)


def of_per_channel(layer: loihi.PerChannel, in_shape: Shape) -> Found:
    (one,) = connections(layer.synapse, (1, *in_shape[1:])).values()
    fan_out, effective = (np.broadcast_to(n, in_shape) for n in one[:2])
    return {"": Connections(fan_out, effective)}


def of_complex(layer: loihi.ComplexSynapse, in_shape: Shape) -> Found:
    return of_parts({"real": (layer.real, in_shape), "imag": (layer.imag, in_shape)})


def of_crossbar(layer: Crossbar, in_shape: Shape) -> Found:
    """A weight of zero is no synapse: the matrices have a place for every pair."""
    del in_shape
    held = {name: (matrix != 0).sum(1) for name, matrix in layer.integers().items()}
    if len(held) > 1 and layer.outputs is not None:
        every = np.array_equal(np.sort(np.asarray(layer.outputs)), np.arange(layer.neurons))
        if not every:
            raise ValueError(
                f"only {layer.outputs.size} of its {layer.neurons} neurons are outputs, so how "
                "active the others are is not known; use outputs=None"
            )
        order = np.asarray(layer.outputs)
        held = {n: c if n == "axon_weights" else c[order] for n, c in held.items()}
    return {
        name.removesuffix("_weights"): Connections(
            count, count, "input" if name == "axon_weights" else "output"
        )
        for name, count in held.items()
    }


def of_bias_axons(layer: BiasAxons, in_shape: Shape) -> Found:
    targets = np.full(in_shape[0], math.prod(in_shape[1:]), np.int64)
    nonzero = np.rint(np.asarray(layer.weight)) != 0
    return {"": Connections(targets, targets * nonzero, "always", layer.start)}


def of_one_to_one(layer: OneToOne, in_shape: Shape) -> Found:
    ones = np.ones(in_shape, np.int64)
    return {"": Connections(ones, ones * bool(np.rint(np.asarray(layer.weight)) != 0))}


def of_pick(layer: Pick, in_shape: Shape) -> Found:
    counts = np.bincount(layer.index.values.ravel(), minlength=math.prod(in_shape))
    counts = counts.astype(np.int64).reshape(in_shape)
    return {"": Connections(counts, counts)}


def of_core(layer: dynapcnn.Core, in_shape: Shape) -> Found:
    sizes = (1, 1) if len(in_shape) == 1 else in_shape[1:]
    pads = tuple((n, n) for n in layer.padding)
    found = window(layer.integers().weight, sizes, stride=layer.stride, padding=pads)[""]
    return {"": Connections(found.fan_out.reshape(in_shape), found.effective.reshape(in_shape))}


def sent_weight(layer: Any) -> np.ndarray:
    """The weights of a perceptron's layer as they are sent to the chip."""
    transform = layer.weight_transform
    return np.rint(np.asarray(layer.weight if transform is None else transform(layer.weight)))


def of_hagen_linear(layer: perceptron.Linear, in_shape: Shape) -> Found:
    del in_shape
    return dense(sent_weight(layer))


def of_hagen_conv(layer: Any, in_shape: Shape) -> Found:
    return window(
        sent_weight(layer),
        in_shape[1:],
        stride=layer.stride,
        padding=layer.padding,
        mode=PADDING_MODES[layer.padding_mode],
    )


def of_mcu_dense(layer: mcu.Dense, in_shape: Shape) -> Found:
    del in_shape
    return dense(layer.integers().weight)


def of_mcu_conv(layer: mcu.Conv, in_shape: Shape) -> Found:
    return window(
        layer.integers().weight,
        in_shape[1:],
        stride=layer.stride,
        padding=layer.padding,
        dilation=layer.dilation,
        groups=layer.groups,
    )


# Neurons, and layers of factors and offsets: arrays of theirs are no synapses.
WITHOUT: tuple[type[Layer], ...] = (
    *(AbstractNeuron, Threshold, BatchNorm, Scale, FakeQuantise),
    *(AbstractScaled, AbstractDelta, loihi.LIF, loihi.FloatLIF, loihi.ATRLIF, loihi.Sigma),
    *(loihi.Input, QuantisedInput, EightBit, loihi.ShiftNorm, loihi.AxonalDelay),
    *(cri.Neuron, mcu.BatchNorm, CodeNeuron),
)
RULES: dict[type[Layer], Any] = {
    Linear: of_linear,
    _Conv: of_conv,
    _ConvTranspose: of_transposed,
    Chain: of_chain,
    Quantised: of_quantised,
    bss2.SparseLinear: of_sparse,
    bss2.Synapse: of_wrapped,
    perceptron.Linear: of_hagen_linear,
    HagenConv: of_hagen_conv,
    loihi.Synapse: of_wrapped,
    loihi.DelayDense: of_linear,
    loihi.PerChannel: of_per_channel,
    loihi.ComplexSynapse: of_complex,
    cri.Synapse: of_wrapped,
    Crossbar: of_crossbar,
    BiasAxons: of_bias_axons,
    OneToOne: of_one_to_one,
    Pick: of_pick,
    dynapcnn.Core: of_core,
    mcu.Dense: of_mcu_dense,
    mcu.Conv: of_mcu_conv,
}

for _kind in WITHOUT:
    register_connectivity(_kind, None)
for _kind, _rule in RULES.items():
    register_connectivity(_kind, _rule)
