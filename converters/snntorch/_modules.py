"""What the modules of snnTorch become: read, and made with the functions beside this."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from neurojax._layer import Layer, Shape
from neurojax.converters._registry import OUTPUT, Converted, refuse, register
from neurojax.converters._values import is_number, per_neuron, weight
from neurojax.converters.snntorch._neurons import (
    alpha,
    lapicque,
    leaky,
    rleaky,
    rsynaptic,
    surrogate_of,
    synaptic,
)
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear
from neurojax.layers.shape import Scale
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import ATan

# Which rule resets is decided when the module is made; `reset_mechanism` may say something else
# since (after `load_state_dict`, or if it was assigned), without any effect on it.
_MECHANISMS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}

Options = dict[str, Any]


@register("snntorch.Leaky")
def _leaky(module: Any, in_shape: Shape) -> Converted:
    return _converted(leaky, module, in_shape, ("beta",), ("v",))


@register("snntorch.RLeaky")
def _rleaky(module: Any, in_shape: Shape) -> Converted:
    return _converted(rleaky, module, in_shape, ("beta",), ("neuron.v",))


@register("snntorch.Synaptic")
def _synaptic(module: Any, in_shape: Shape) -> Converted:
    return _converted(synaptic, module, in_shape, ("alpha", "beta"), ("i", "v"))


@register("snntorch.RSynaptic")
def _rsynaptic(module: Any, in_shape: Shape) -> Converted:
    states = ("neuron.i", "neuron.v")
    return _converted(rsynaptic, module, in_shape, ("alpha", "beta"), states)


@register("snntorch.Alpha")
def _alpha(module: Any, in_shape: Shape) -> Converted:
    states = ("excitatory", "inhibitory", "v")
    return _converted(alpha, module, in_shape, ("alpha", "beta"), states)


@register("snntorch.Lapicque")
def _lapicque(module: Any, in_shape: Shape) -> Converted:
    return _converted(lapicque, module, in_shape, ("R", "C", "time_step"), ("v",))


@register("snntorch.GradedSpikes")
def _graded_spikes(module: Any, in_shape: Shape) -> Layer:
    # The weights are (size, 1): they fit one neuron, or (channels, length), as in snnTorch.
    return Scale(per_neuron(module.weights, in_shape))


def _converted(
    function: Callable[..., Layer],
    module: Any,
    in_shape: Shape,
    numbers: tuple[str, ...],
    states: tuple[str, ...],
) -> Converted:
    """Calls a neuron's function with what the module holds."""
    notes: list[str] = []
    options = _numbers(module, in_shape, notes, numbers) | _common(module, in_shape, notes)
    if hasattr(module, "recurrent"):
        options["recurrent"] = _feedback(module, in_shape, notes)
    options |= _output(module, in_shape, notes)
    options |= _reset_delay(module, options["reset_mechanism"], notes)
    # With init_hidden the states stay inside, unless the module is an output.
    returns = None if module.init_hidden and not module.output else (OUTPUT, *states)
    return Converted({"": function(**options)}, tuple(notes), returns, sequence=False)


def _common(module: Any, in_shape: Shape, notes: list[str]) -> Options:
    """Threshold, reset and surrogate; ValueError for what can't be imported."""
    kind = type(module).__name__
    if module.state_quant:
        raise ValueError(
            f"snnTorch's {kind} quantises its state (state_quant), which has no counterpart here; "
            "set state_quant=False before the import"
        )
    surrogate = surrogate_of(module.spike_grad)
    if surrogate is None:
        surrogate = ATan()
        name = getattr(module.spike_grad, "__qualname__", type(module.spike_grad).__name__)
        notes.append(
            f"the surrogate {name.partition('.')[0]} has no counterpart: snnTorch's default, "
            "atan(alpha=2), stands for it; the spikes are the same, gradients differ"
        )
    mechanism = _MECHANISMS[module.state_function.__name__]
    if mechanism != module.reset_mechanism:
        if not getattr(module, "reset_delay", True):
            raise ValueError(
                f"snnTorch's {kind} mixes two resets: it was made with {mechanism!r}, "
                f"reset_mechanism is now {module.reset_mechanism!r}; make a module with one of "
                "them and load its parameters"
            )
        notes.append(
            f"reset_mechanism says {module.reset_mechanism!r}, but the module was made with and "
            f"computes {mechanism!r}"
        )
    threshold = per_neuron(module.threshold, in_shape)
    return {"threshold": threshold, "reset_mechanism": mechanism, "surrogate": surrogate}


def _numbers(module: Any, in_shape: Shape, notes: list[str], names: tuple[str, ...]) -> Options:
    """The numbers of the dynamics."""
    numbers = {name: per_neuron(getattr(module, name), in_shape) for name in names}
    for name in ("alpha", "beta"):
        number = jnp.asarray(numbers.get(name, 0.0))
        if bool(jnp.any((number < 0) | (number > 1))):
            notes.append(f"{name} is clipped to 0..1, as snnTorch does in every step")
    if "time_step" in numbers:
        notes.append(
            "an explicit Euler step of the RC circuit, as in snnTorch: 1 - time_step / (R C) is "
            "left of the membrane potential, not beta"
        )
    return numbers


def _output(module: Any, in_shape: Shape, notes: list[str]) -> Options:
    """What a spike is worth, and who may spike."""
    kind = type(module).__name__
    factor = per_neuron(module.graded_spikes_factor, in_shape)
    if kind == "Alpha":
        if module.inhibition or not is_number(factor, 1):
            raise ValueError(
                "snnTorch's Alpha with inhibition or graded_spikes_factor has no counterpart here; "
                "leave them out, or use Synaptic"
            )
        return {}
    if module.inhibition and len(in_shape) != 1:
        raise ValueError(
            f"snnTorch's {kind} has inhibition=True and an input of shape {in_shape}; there it is "
            "defined for one axis (features) only. Set inhibition=False, or flatten the input"
        )
    if module.inhibition and not is_number(factor, 1):
        if not getattr(module, "reset_delay", True):
            raise ValueError(
                f"snnTorch's {kind} with inhibition, graded_spikes_factor and reset_delay=False "
                "has no counterpart; use reset_delay=True"
            )
        notes.append("graded_spikes_factor has no effect, as in snnTorch with inhibition=True")
        factor = 1.0
    return {"graded_spikes_factor": factor, "inhibition": bool(module.inhibition)}


def _reset_delay(module: Any, mechanism: str, notes: list[str]) -> Options:
    """When the reset comes, also in words."""
    kind = type(module).__name__
    late = getattr(module, "reset_delay", True)
    options = {} if kind in ("RSynaptic", "Alpha", "Lapicque") else {"reset_delay": late}
    if mechanism == "none":
        return options
    if late:
        note = "the reset comes one step late, as in snnTorch with reset_delay=True"
        if mechanism == "zero":
            note += f"; the input of that step is {'kept' if kind == 'Leaky' else 'discarded'}"
        notes.append(note)
    elif kind == "RSynaptic":
        notes.append(
            "the reset comes one step late: snnTorch's RSynaptic ignores reset_delay=False"
        )
    elif mechanism == "subtract":
        notes.append(
            "the reset comes in the step of the spike, as in snnTorch with reset_delay=False: a "
            "neuron still above its threshold must climb another one to spike again"
        )
    return options


def _feedback(module: Any, in_shape: Shape, notes: list[str]) -> Layer | Parameter:
    """The recurrent weights of RLeaky and RSynaptic."""
    synapse = module.recurrent
    if not module.all_to_all:
        return per_neuron(synapse.V, in_shape)
    if not synapse.weight.requires_grad:
        notes.append(
            "its recurrent weights are fixed in snnTorch (learn_recurrent=False); here arrays are "
            "parameters"
        )
    bias = None if synapse.bias is None else weight(synapse.bias)
    if synapse.weight.ndim == 2:
        return Linear.from_weights(weight(synapse.weight), bias)
    return Conv2d.from_weights(weight(synapse.weight), bias, padding=synapse.padding)


_REFUSED = {
    "SLSTM": "is a spiking LSTM; use Synaptic or RSynaptic",
    "SConv2dLSTM": "is a spiking convolutional LSTM; use a Conv2d and an RSynaptic",
    "LeakyParallel": "replaces the membrane by a recurrent network over whole sequences; use Leaky",
    "StateLeaky": "computes whole sequences by a convolution, without a reset; use Leaky with "
    "reset_mechanism='none'",
    "LinearLeaky": "is a Linear and a neuron without reset in one; use a Linear and a Leaky with "
    "reset_mechanism='none'",
    "AssociativeLeaky": "is an associative memory; use Leaky",
    "DeltaLeaky": "spikes on differences; use Leaky",
}

refuse("snntorch", "snnTorch's", _REFUSED)
