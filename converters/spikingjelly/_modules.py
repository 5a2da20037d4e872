"""What the modules of SpikingJelly become: read, and made with the functions beside this."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np

from neurojax._layer import Layer, Shape
from neurojax.converters import _torch_layers as torch_layers
from neurojax.converters._nested import nested
from neurojax.converters._registry import Converted, kind_of, refuse, register
from neurojax.converters._values import per_neuron
from neurojax.converters.spikingjelly._layers import (
    cuba_lif_node,
    if_node,
    lif_node,
    non_spiking_if_node,
    non_spiking_lif_node,
    parametric_lif_node,
    synapse_filter,
    voting_layer,
)
from neurojax.layers.delay import Delay
from neurojax.layers.dropout import Dropout
from neurojax.layers.linear import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Identity
from neurojax.surrogate import Sigmoid, Surrogate, by_name


@register("spikingjelly.IFNode", "spikingjelly.MultiStepIFNode", "spikingjelly.SimpleIFNode")
def _if(module: Any, in_shape: Shape) -> Converted:
    options, notes = _options(module, in_shape)
    return Converted({"": if_node(**options)}, notes, sequence=_sequence(module))


@register("spikingjelly.HalfThresholdIFNode")
def _half_threshold(module: Any, in_shape: Shape) -> Converted:
    converted = _if(module, in_shape)
    note = "the membrane starts at half the threshold, which rounds the rates"
    return converted._replace(notes=(*converted.notes, note))


@register("spikingjelly.LIFNode", "spikingjelly.MultiStepLIFNode", "spikingjelly.SimpleLIFNode")
def _lif(module: Any, in_shape: Shape) -> Converted:
    options, notes = _options(module, in_shape)
    layer = lif_node(
        tau=per_neuron(module.tau, in_shape), decay_input=_decay_input(module), **options
    )
    return Converted({"": layer}, notes, sequence=_sequence(module))


@register("spikingjelly.ParametricLIFNode", "spikingjelly.MultiStepParametricLIFNode")
def _parametric_lif(module: Any, in_shape: Shape) -> Converted:
    options, notes = _options(module, in_shape)
    layer = parametric_lif_node(
        w=per_neuron(module.w, in_shape), decay_input=_decay_input(module), **options
    )
    note = "the decay 1 - sigmoid(w) is the parameter, not w"
    return Converted({"": layer}, (*notes, note), sequence=_sequence(module))


@register("spikingjelly.CUBALIFNode")
def _cuba_lif(module: Any, in_shape: Shape) -> Converted:
    options, notes = _options(module, in_shape)
    c_decay, v_decay = per_neuron(module.c_decay, in_shape), per_neuron(module.v_decay, in_shape)
    layer = cuba_lif_node(c_decay=c_decay, v_decay=v_decay, **options)
    return Converted({"": layer}, notes, sequence=_sequence(module))


@register("spikingjelly.NonSpikingLIFNode", "spikingjelly.NonSpikingIFNode")
def _non_spiking(module: Any, in_shape: Shape) -> Converted:
    if hasattr(module, "tau"):
        layer = non_spiking_lif_node(tau=per_neuron(module.tau, in_shape))
    else:
        layer = non_spiking_if_node()
    notes: tuple[str, ...] = ()
    if module.decode is not None:
        remedy = _DECODERS.get(module.decode, "the trace")
        notes = (f"decode={module.decode!r} is left to you: take {remedy} of the outputs",)
    return Converted({"": layer}, notes, sequence=True)


_DECODERS = {
    "max-mem": "neurojax.decode.max_over_time",
    "mean-mem": "neurojax.decode.mean_over_time",
    "last_mem": "neurojax.decode.last",
    "max-abs-mem": "the extreme of larger magnitude over time",
}


@register("spikingjelly.SynapseFilter")
def _synapse_filter(module: Any, in_shape: Shape) -> Converted:
    if module.learnable:
        layer = synapse_filter(w=per_neuron(module.w, in_shape))
    else:
        layer = synapse_filter(tau=per_neuron(module.tau, in_shape))
    notes = ("the decay 1 - sigmoid(w) is the parameter, not w",) if module.learnable else ()
    return Converted({"": layer}, notes, sequence=_sequence(module))


@register("spikingjelly.Delay")
def _delay(module: Any, in_shape: Shape) -> Converted:
    del in_shape
    return Converted({"": Delay(module.delay_steps)}, sequence=_sequence(module))


@register("spikingjelly.VotingLayer")
def _voting(module: Any, in_shape: Shape) -> Converted:
    if len(in_shape) != 1 or in_shape[0] % module.voting_size:
        raise ValueError(
            f"VotingLayer: {module.voting_size} neurons vote for a class, which does not divide "
            f"samples of shape {in_shape}; flatten them, and make it a divisor"
        )
    layer = voting_layer(in_shape[0], voting_size=module.voting_size)
    return Converted({"": layer}, sequence=_sequence(module) or None)


@register("spikingjelly.Dropout", "spikingjelly.Dropout2d", "spikingjelly.MultiStepDropout")
@register("spikingjelly.MultiStepDropout2d")
def _dropout(module: Any, in_shape: Shape) -> Converted:
    del in_shape
    layer = Dropout(module.p, per_step=False, inference=True)
    note = "in training it drops single values, not whole channels; off it is the same"
    channels = "Dropout2d" in type(module).__name__
    return Converted({"": layer}, (note,) if channels else (), sequence=_sequence(module) or None)


@register("spikingjelly.ElementWiseRecurrentContainer")
def _element_wise_recurrent(module: Any, in_shape: Shape) -> Converted:
    if not _adds(module.element_wise_function):
        raise ValueError(
            "ElementWiseRecurrentContainer: the feedback must be added to the input, and "
            "element_wise_function does something else; use lambda x, y: x + y"
        )
    neuron, notes = nested(module.sub_module, in_shape, "sub_module")
    layer = Recurrent(neuron, Identity())
    return Converted({"": layer}, notes, sequence=_sequence(module))


@register("spikingjelly.LinearRecurrentContainer")
def _linear_recurrent(module: Any, in_shape: Shape) -> Converted:
    """y = sub_module(rc([x, y])): x has its weights in front of the neurons, y has them behind."""
    weight, bias = (torch_layers.tensor_in_use(module.rc, name) for name in ("weight", "bias"))
    assert weight is not None
    if len(in_shape) != 1:
        raise ValueError(f"LinearRecurrentContainer takes (features,), got shape {in_shape}")
    forward, back = np.split(weight, [in_shape[0]], axis=1)
    neuron, notes = nested(module.sub_module, (weight.shape[0],), "sub_module")
    layers = {
        "rc": Linear.from_weights(forward, bias),
        "": Recurrent(neuron, Linear.from_weights(back)),
    }
    note = "the weights of rc came in as two: those of the input, and those of the feedback"
    return Converted(layers, (note, *notes), sequence=_sequence(module))


_PLAIN: dict[str, Callable[[Any, Shape], Layer | Converted]] = {
    "Linear": torch_layers.linear,
    "Conv1d": torch_layers.convolution,
    "Conv2d": torch_layers.convolution,
    "AvgPool1d": torch_layers.average_pool,
    "AvgPool2d": torch_layers.average_pool,
    "MaxPool1d": torch_layers.maximum_pool,
    "MaxPool2d": torch_layers.maximum_pool,
    "AdaptiveAvgPool1d": torch_layers.adaptive_pool,
    "AdaptiveAvgPool2d": torch_layers.adaptive_pool,
    "Flatten": torch_layers.flatten,
    "Upsample": torch_layers.upsample,
    "BatchNorm1d": torch_layers.batch_norm,
    "BatchNorm2d": torch_layers.batch_norm,
    "ThresholdDependentBatchNorm1d": torch_layers.batch_norm,
    "ThresholdDependentBatchNorm2d": torch_layers.batch_norm,
}
"""Layers that are torch's own but for the step mode."""


@register(*(f"spikingjelly.{name}" for name in _PLAIN))
def _plain(module: Any, in_shape: Shape) -> Converted:
    kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in _PLAIN)
    result = _PLAIN[kind](module, in_shape)
    converted = result if isinstance(result, Converted) else Converted({"": result})
    indifferent = kind == "Linear" or not _sequence(module)
    return converted._replace(sequence=None if indifferent else True)


@register("spikingjelly.WSConv2d", "spikingjelly.WSLinear")
def _standardized(module: Any, in_shape: Shape) -> Converted:
    """Weights that are standardised in every call: what they are now."""
    plain = copy.copy(module)
    weight = module.get_weight().detach()
    vars(plain)["_parameters"] = {**module._parameters, "weight": weight}
    converted = _plain(plain, in_shape)
    note = "the standardized weights are the parameters, not what they are computed from"
    return converted._replace(notes=(*converted.notes, note))


_LINEAR = "has no linear membrane; the nearest that is known is LIFNode"
_PARALLEL = "sees all time steps at once, which no chip does; the nearest that is known is LIFNode"
_REFUSED = {
    "QIFNode": _LINEAR,
    "EIFNode": _LINEAR,
    "IzhikevichNode": _LINEAR,
    "KLIFNode": "scales and rectifies its membrane; the nearest that is known is LIFNode",
    "LIAFNode": "hands on analog values, not spikes; the nearest that is known is LIFNode",
    "GatedLIFNode": "gates its dynamics; the nearest that is known is ParametricLIFNode",
    "ComplementaryLIFNode": "has a second memory; the nearest that is known is LIFNode",
    "ILIFNode": "emits levels while training; the nearest that is known is LIFNode",
    "TernaryIFNode": "emits negative spikes; the nearest that is known is IFNode",
    "TernaryLIFNode": "emits negative spikes; the nearest that is known is LIFNode",
    "STBIFNode": "emits negative spikes; the nearest that is known is IFNode",
    "ActivationAwareIFNode": "has an offset at the threshold; the nearest that is known is IFNode",
    "RAFNode": "resonates; the nearest that is known is CUBALIFNode",
    "OTTTLIFNode": "is trained online; put a LIFNode with the same options in its place",
    "SLTTLIFNode": "is trained online; put a LIFNode with the same options in its place",
    "PSN": _PARALLEL,
    "MaskedPSN": _PARALLEL,
    "SlidingPSN": _PARALLEL,
    "NeuNorm": "normalises by a memory of spikes; use BatchNorm2d, which can be folded",
    "BatchNormThroughTime1d": "has statistics for each time step; use BatchNorm1d",
    "BatchNormThroughTime2d": "has statistics for each time step; use BatchNorm2d",
    "TemporalEffectiveBatchNorm1d": "has a scale for each time step; use BatchNorm1d",
    "TemporalEffectiveBatchNorm2d": "has a scale for each time step; use BatchNorm2d",
    "DropConnectLinear": "draws its weights at random in inference too; use Linear and Dropout",
}

refuse("spikingjelly", "SpikingJelly's", _REFUSED)


def _options(module: Any, in_shape: Shape) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Threshold, reset and surrogate of a spiking node, and where its membrane starts."""
    surrogate, strict, notes = _surrogate(module.surrogate_function)
    v_reset = None if module.v_reset is None else per_neuron(module.v_reset, in_shape)
    start = getattr(module, "_memories_rv", {}).get("v")
    default = 0.0 if v_reset is None else v_reset
    if not isinstance(start, float) or not isinstance(default, float):
        start = default
    options = {
        "v_threshold": per_neuron(module.v_threshold, in_shape),
        "v_reset": v_reset,
        "detach_reset": bool(module.detach_reset),
        "surrogate": surrogate,
        "strict": strict,
        "v_init": None if start is default or start == default else start,
    }
    return options, notes


def _decay_input(module: Any) -> bool:
    return bool(getattr(module, "decay_input", True))  # clock_driven had no choice at first


def _sequence(module: Any) -> bool:
    multi = type(module).__name__.startswith("MultiStep")
    return multi or getattr(module, "step_mode", "s") == "m"


def _surrogate(function: Any) -> tuple[Surrogate, bool, tuple[str, ...]]:
    """The surrogate, whether it is silent at the threshold, and notes."""
    if not getattr(function, "spiking", True):
        raise ValueError(
            f"surrogate_function {function!r} has spiking=False: the node emits a smooth function, "
            "not spikes; call set_spiking_mode(True)"
        )
    if kind_of(type(function)).startswith("spikingjelly."):
        named = vars(function).get("_sg_param_names")
        numbers = {
            name: float(number)
            for name, number in vars(function).items()
            if isinstance(number, int | float) and not isinstance(number, bool)
            if (name in named if named is not None else not name.startswith("_"))
        }
        try:
            return by_name(f"spikingjelly.{type(function).__name__}", **numbers), False, ()
        except (ValueError, TypeError):
            pass  # one of the user's own: see what it does
    note = (
        f"the surrogate {function!r} is not known; the derivative is that of Sigmoid(alpha=4), "
        "SpikingJelly's default"
    )
    return Sigmoid(4.0), _silent_at_threshold(function), (note,)


def _silent_at_threshold(function: Any) -> bool:
    """Whether a function that is 0 below 0 and 1 above it is 0 at 0."""
    import torch

    x = torch.tensor([-1e3, -1e-3, 0.0, 1e-3, 1e3])
    try:
        with torch.no_grad():
            below, at, above = function(x).split((2, 1, 2))
    except Exception as error:  # the function is the user's: it can raise anything
        raise ValueError(f"surrogate_function {function!r} fails: {error}") from None
    if below.any() or not (above == 1).all() or at.item() not in (0, 1):
        raise ValueError(
            f"surrogate_function {function!r} is not a step from 0 to 1 at the threshold: the node "
            "emits something else than spikes, which is not supported"
        )
    return at.item() == 0


def _adds(function: Any) -> bool:
    """Whether a function of two tensors is their sum, as far as some hundred values show."""
    import torch

    x = torch.linspace(-8, 8, 257).repeat(2)
    y = torch.cat((x[:257].flip(0) * 3, x[:257].roll(64)))
    try:
        with torch.no_grad():
            return torch.equal(function(y, x), y + x)
    except Exception:  # the function is the user's: it can raise anything
        return False
