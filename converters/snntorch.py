"""snnTorch 1.0: `Leaky`, `RLeaky`, `Synaptic`, `RSynaptic`, `Alpha` and `Lapicque`.

They share their spike and their reset. With r = [mem > threshold] for the membrane potential that
the step before has left, and base = leak and input of this step:

| reset_mechanism | Leaky                    | the others       |                           |
|-----------------|--------------------------|------------------|---------------------------|
| `"subtract"`    | mem = base - r threshold | the same         | the reset is a step late  |
| `"zero"`        | mem = beta (1-r) mem + x | mem = base (1-r) | and so is this one        |
| `"none"`        | mem = base               | the same         |                           |

and spk = [mem > threshold]. `reset_delay=False` then takes back r and applies spk instead. Each
function here makes the neuron from plain numbers; the converters below them read a module.

References:
    J. K. Eshraghian et al., "Training spiking neural networks using lessons from deep learning",
    Proc. IEEE 111, 2023; the source of snnTorch 1.0.0, `snntorch/_neurons`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax.numpy as jnp

import neurojax.surrogate as surrogates
from neurojax._layer import Layer, Shape
from neurojax.converters._registry import OUTPUT, Converted, register
from neurojax.converters._values import is_number, per_neuron, value, weight
from neurojax.layers.convolution import Conv2d
from neurojax.layers.linear import Linear
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Scale
from neurojax.neurons import LIF, Alpha, CubaLIF
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import ATan, Surrogate


def leaky(
    *,
    beta: Parameter,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "subtract",
    reset_delay: bool = True,
    graded_spikes_factor: Parameter = 1.0,
    inhibition: bool = False,
    surrogate: Surrogate = ATan(),
) -> LIF:
    """`snntorch.Leaky`: base = beta mem + x.

    Args:
        beta: What is left of the membrane potential after one step; clipped to 0..1.
        threshold: Spikes at mem > threshold.
        reset_mechanism: `"subtract"`, `"zero"` or `"none"`, see the table above.
        reset_delay: Whether the reset comes one step late.
        graded_spikes_factor: What a spike is worth.
        inhibition: Whether only the neuron furthest above its threshold spikes.
        surrogate: Derivative of the spike; snnTorch's default is `atan(alpha=2)`.

    Example:
        >>> from neurojax.converters import snntorch
        >>> snntorch.leaky(beta=0.9).describe()
        'LIF decay 0.9'
    """
    # Leaky zeroes the membrane before the input comes; the other neurons afterwards.
    late: bool | str = "before" if reset_mechanism == "zero" else True
    return LIF(
        decay=_clipped(beta),
        threshold=threshold,
        amplitude=_amplitude(graded_spikes_factor),
        winner_take_all=inhibition,
        surrogate=surrogate,
        **_reset(reset_mechanism, late if reset_delay else "compensated"),
    )


def rleaky(
    *,
    beta: Parameter,
    recurrent: Layer | Parameter,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "subtract",
    reset_delay: bool = True,
    graded_spikes_factor: Parameter = 1.0,
    inhibition: bool = False,
    surrogate: Surrogate = ATan(),
) -> Recurrent:
    """`snntorch.RLeaky`: base = beta mem + x + recurrent(spk of the step before).

    Args:
        recurrent: A layer such as `Linear` or `Conv2d`, or the numbers `V`: one for all neurons or
            one each.
        beta, threshold, ...: See `leaky`.
    """
    neuron = LIF(
        decay=_clipped(beta),
        threshold=threshold,
        amplitude=_amplitude(graded_spikes_factor),
        winner_take_all=inhibition,
        surrogate=surrogate,
        **_reset(reset_mechanism, True if reset_delay else "compensated"),
    )
    return _recurrent(neuron, recurrent)


def synaptic(
    *,
    alpha: Parameter,
    beta: Parameter,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "subtract",
    reset_delay: bool = True,
    graded_spikes_factor: Parameter = 1.0,
    inhibition: bool = False,
    surrogate: Surrogate = ATan(),
) -> CubaLIF:
    """`snntorch.Synaptic`: syn = alpha syn + x, base = beta mem + syn. The current has no reset.

    Args:
        alpha: What is left of the synaptic current after one step; clipped to 0..1.
        beta, threshold, ...: See `leaky`.
    """
    return CubaLIF(
        decay_syn=_clipped(alpha),
        decay=_clipped(beta),
        threshold=threshold,
        amplitude=_amplitude(graded_spikes_factor),
        winner_take_all=inhibition,
        surrogate=surrogate,
        **_reset(reset_mechanism, True if reset_delay else "compensated"),
    )


def rsynaptic(
    *,
    alpha: Parameter,
    beta: Parameter,
    recurrent: Layer | Parameter,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "subtract",
    graded_spikes_factor: Parameter = 1.0,
    inhibition: bool = False,
    surrogate: Surrogate = ATan(),
) -> Recurrent:
    """`snntorch.RSynaptic`: syn = alpha syn + x + recurrent(spk of the step before), as `synaptic`.

    There is no `reset_delay`: snnTorch 1.0 takes the option, but always resets one step late.

    Args:
        recurrent: See `rleaky`.
        alpha, beta, threshold, ...: See `synaptic`.
    """
    neuron = synaptic(
        alpha=alpha,
        beta=beta,
        threshold=threshold,
        reset_mechanism=reset_mechanism,
        graded_spikes_factor=graded_spikes_factor,
        inhibition=inhibition,
        surrogate=surrogate,
    )
    return _recurrent(neuron, recurrent)


def alpha(
    *,
    alpha: Parameter,
    beta: Parameter,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "zero",
    surrogate: Surrogate = ATan(),
) -> Alpha:
    """`snntorch.Alpha`, see `neurojax.neurons.Alpha` for its equations and its odd resets.

    Args:
        alpha: What is left of the excitatory current after one step, more than beta.
        beta: The same of the inhibitory current.
        threshold, reset_mechanism, surrogate: See `leaky`.
    """
    return Alpha(
        decay=_clipped(alpha),
        decay_fast=_clipped(beta),
        threshold=threshold,
        reset=reset_mechanism,
        surrogate=surrogate,
    )


def lapicque(
    *,
    beta: Parameter | None = None,
    R: Parameter | None = None,
    C: Parameter | None = None,
    time_step: Parameter = 1.0,
    threshold: Parameter = 1.0,
    reset_mechanism: str = "subtract",
    graded_spikes_factor: Parameter = 1.0,
    inhibition: bool = False,
    surrogate: Surrogate = ATan(),
) -> LIF:
    """`snntorch.Lapicque`: base = (1 - time_step / (R C)) mem + time_step / C x.

    Args:
        beta: Stands for what is missing of R (default 1) and C in beta = exp(-time_step / (R C)).
            The step is an explicit Euler step all the same: it leaves 1 + log(beta), not beta.
        R, C: Resistance and capacitance. If both are given, beta has no effect.
        time_step: Duration of a time step.
        threshold, reset_mechanism, ...: See `leaky`. The reset always comes one step late.

    Raises:
        ValueError: Neither beta nor both of R and C are given.
    """
    if beta is None and (R is None or C is None):
        raise ValueError("lapicque: give beta, or R and C, or beta and one of them")
    if R is None:
        R = 1.0 if C is None else -time_step / (C * _log(beta))
    if C is None:
        C = -time_step / (R * _log(beta))
    return LIF(
        decay=1 - time_step / (R * C),
        gain=time_step / C,
        threshold=threshold,
        amplitude=_amplitude(graded_spikes_factor),
        winner_take_all=inhibition,
        surrogate=surrogate,
        **_reset(reset_mechanism, True),
    )


def surrogate_of(spike_grad: Any) -> Surrogate | None:
    """Our surrogate for a `spike_grad` of snnTorch, or None if it is none that we know.

    `snntorch.surrogate.atan(alpha=2.0)` is a closure: its maker is in the function's qualified
    name, its parameters in the cells.
    """
    if getattr(spike_grad, "__name__", "") == "_surrogate_bypass":
        return surrogates.NoGradient()
    code = getattr(spike_grad, "__code__", None)
    name = f"snntorch.{getattr(spike_grad, '__qualname__', '').partition('.')[0]}"
    ours = getattr(spike_grad, "__module__", "") == "snntorch.surrogate"
    if code is None or not ours or name not in surrogates.names():
        return None
    cells = [cell.cell_contents for cell in spike_grad.__closure__ or ()]
    parameters = dict(zip(code.co_freevars, map(float, cells), strict=True))
    return surrogates.by_name(name, **parameters)


# ---- Parts that the functions share.


def _reset(mechanism: str, delay: bool | str) -> dict[str, Any]:
    """Options of our neurons for a reset mechanism."""
    if mechanism not in _MECHANISMS.values():
        raise ValueError(
            f"reset_mechanism is {mechanism!r}; it must be one of "
            + ", ".join(map(repr, _MECHANISMS.values()))
        )
    late = delay != "compensated"
    return {"strict": True, "reset": mechanism, "reset_delay": delay, "detach_reset": late}


def _recurrent(neuron: Layer, recurrent: Layer | Parameter) -> Recurrent:
    return Recurrent(neuron, recurrent if isinstance(recurrent, Layer) else Scale(recurrent))


def _clipped(decay: Parameter) -> Parameter:
    return jnp.clip(decay, 0, 1) if hasattr(decay, "dtype") else min(max(decay, 0.0), 1.0)


def _amplitude(factor: Parameter) -> Parameter | None:
    return None if is_number(factor, 1) else factor


def _log(x: Any) -> Parameter:
    return jnp.log(x) if hasattr(x, "dtype") else math.log(x)


# ---- Modules.

# Which rule resets is decided when the module is made; `reset_mechanism` may say something else
# since (after `load_state_dict`, or if it was assigned), without any effect on it.
_MECHANISMS = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}


class _Read(NamedTuple):
    """What all modules have."""

    options: dict[str, Any]
    notes: list[str]


def _read(module: Any, in_shape: Shape, *decays: str) -> _Read:
    """Options by our functions' names; ValueError for what can't be imported."""
    kind = type(module).__name__
    if module.state_quant:
        raise ValueError(
            f"snnTorch's {kind} quantises its state (state_quant), which has no counterpart here; "
            "set state_quant=False before the import"
        )
    if module.inhibition and len(in_shape) != 1:
        raise ValueError(
            f"snnTorch's {kind} has inhibition=True and an input of shape {in_shape}; there it is "
            "defined for one axis (features) only. Set inhibition=False, or flatten the input"
        )
    surrogate = surrogate_of(module.spike_grad)
    notes = []
    if surrogate is None:
        surrogate = ATan()
        notes.append(
            f"the surrogate {_name(module.spike_grad)} has no counterpart: snnTorch's default, "
            "atan(alpha=2), stands for it; the spikes are the same, gradients differ"
        )
    mechanism = _MECHANISMS[module.state_function.__name__]
    if mechanism != module.reset_mechanism:
        notes.append(
            f"reset_mechanism says {module.reset_mechanism!r}, but the module was made with and "
            f"computes {mechanism!r}"
        )
    numbers = {name: per_neuron(getattr(module, name), in_shape) for name in decays}
    for name, number in numbers.items():
        if bool(jnp.any((jnp.asarray(number) < 0) | (jnp.asarray(number) > 1))):
            notes.append(f"{name} is clipped to 0..1, as snnTorch does in every step")
    options = numbers | {
        "threshold": per_neuron(module.threshold, in_shape),
        "reset_mechanism": mechanism,
        "surrogate": surrogate,
    }
    return _Read(options, notes)


def _output(module: Any, in_shape: Shape, read: _Read) -> None:
    """Adds what a spike is worth, and who may spike."""
    factor = per_neuron(module.graded_spikes_factor, in_shape)
    if module.inhibition and not is_number(factor, 1):
        if not getattr(module, "reset_delay", True):
            raise ValueError(
                f"snnTorch's {type(module).__name__} with inhibition, graded_spikes_factor and "
                "reset_delay=False has no counterpart; use reset_delay=True"
            )
        read.notes.append("graded_spikes_factor has no effect, as in snnTorch with inhibition=True")
        factor = 1.0
    read.options |= {"graded_spikes_factor": factor, "inhibition": bool(module.inhibition)}


def _reset_delay(module: Any, read: _Read) -> bool:
    """The option, and what it means in words."""
    mechanism = read.options["reset_mechanism"]
    if mechanism == "none":
        return True
    if module.reset_delay:
        keeps = type(module).__name__ == "Leaky"
        text = "the reset comes one step late, as in snnTorch with reset_delay=True"
        if mechanism == "zero":
            text += f"; the input of that step is {'kept' if keeps else 'discarded with it'}"
        read.notes.append(text)
        return True
    if module.reset_mechanism != mechanism:
        raise ValueError(
            f"snnTorch's {type(module).__name__} mixes two resets: it was made with {mechanism!r}, "
            f"reset_mechanism is now {module.reset_mechanism!r}; make a module with one of them "
            "and load its parameters"
        )
    if module.inhibition and mechanism == "zero":
        raise ValueError(
            f"snnTorch's {type(module).__name__} with inhibition, reset_mechanism='zero' and "
            "reset_delay=False doubles membrane potentials that lost; use reset_delay=True"
        )
    if mechanism == "subtract":
        read.notes.append(
            "the reset comes in the step of the spike, as in snnTorch with reset_delay=False: a "
            "neuron still above its threshold must climb another one to spike again"
        )
    return False


def _returns(module: Any, *states: str) -> tuple[str, ...] | None:
    """What `forward` gives: with init_hidden, the states stay inside unless it is an output."""
    return None if module.init_hidden and not module.output else (OUTPUT, *states)


def _feedback(module: Any, in_shape: Shape, read: _Read) -> Layer | Parameter:
    """The recurrent weights of RLeaky and RSynaptic."""
    synapse = module.recurrent
    if not module.all_to_all:
        # `V` is what the state dict holds; `recurrent.V` is the same object.
        return per_neuron(synapse.V, in_shape)
    if not synapse.weight.requires_grad:
        read.notes.append(
            "its recurrent weights are fixed in snnTorch (learn_recurrent=False); arrays are "
            "parameters here"
        )
    bias = None if synapse.bias is None else weight(synapse.bias)
    if synapse.weight.ndim == 2:
        return Linear.from_weights(weight(synapse.weight), bias)
    return Conv2d.from_weights(weight(synapse.weight), bias, padding=synapse.padding)


def _name(spike_grad: Any) -> str:
    return str(getattr(spike_grad, "__qualname__", type(spike_grad).__name__)).partition(".")[0]


@register("snntorch.Leaky")
def _leaky(module: Any, in_shape: Shape) -> Converted:
    read = _read(module, in_shape, "beta")
    _output(module, in_shape, read)
    layer = leaky(reset_delay=_reset_delay(module, read), **read.options)
    return Converted({"": layer}, tuple(read.notes), _returns(module, "v"), sequence=False)


@register("snntorch.RLeaky")
def _rleaky(module: Any, in_shape: Shape) -> Converted:
    read = _read(module, in_shape, "beta")
    _output(module, in_shape, read)
    recurrent = _feedback(module, in_shape, read)
    layer = rleaky(recurrent=recurrent, reset_delay=_reset_delay(module, read), **read.options)
    return Converted({"": layer}, tuple(read.notes), _returns(module, "neuron.v"), sequence=False)


@register("snntorch.Synaptic")
def _synaptic(module: Any, in_shape: Shape) -> Converted:
    read = _read(module, in_shape, "alpha", "beta")
    _output(module, in_shape, read)
    layer = synaptic(reset_delay=_reset_delay(module, read), **read.options)
    return Converted({"": layer}, tuple(read.notes), _returns(module, "i", "v"), sequence=False)


@register("snntorch.RSynaptic")
def _rsynaptic(module: Any, in_shape: Shape) -> Converted:
    read = _read(module, in_shape, "alpha", "beta")
    _output(module, in_shape, read)
    recurrent = _feedback(module, in_shape, read)
    if not module.reset_delay and read.options["reset_mechanism"] != "none":
        read.notes.append(
            "the reset comes one step late: snnTorch's RSynaptic ignores reset_delay=False"
        )
    layer = rsynaptic(recurrent=recurrent, **read.options)
    states = _returns(module, "neuron.i", "neuron.v")
    return Converted({"": layer}, tuple(read.notes), states, sequence=False)


@register("snntorch.Alpha")
def _alpha(module: Any, in_shape: Shape) -> Converted:
    if module.inhibition or not is_number(value(module.graded_spikes_factor), 1):
        raise ValueError(
            "snnTorch's Alpha with inhibition or graded_spikes_factor has no counterpart here; "
            "leave them out"
        )
    read = _read(module, in_shape, "alpha", "beta")
    states = _returns(module, "excitatory", "inhibitory", "v")
    return Converted({"": alpha(**read.options)}, tuple(read.notes), states, sequence=False)


@register("snntorch.Lapicque")
def _lapicque(module: Any, in_shape: Shape) -> Converted:
    read = _read(module, in_shape)
    _output(module, in_shape, read)
    circuit = {name: per_neuron(getattr(module, name), in_shape) for name in ("R", "C")}
    layer = lapicque(time_step=per_neuron(module.time_step, in_shape), **circuit, **read.options)
    read.notes.append(
        "an explicit Euler step of the RC circuit, as in snnTorch: 1 - time_step / (R C) is left "
        "of the membrane potential, not beta"
    )
    return Converted({"": layer}, tuple(read.notes), _returns(module, "v"), sequence=False)


@register("snntorch.GradedSpikes")
def _graded_spikes(module: Any, in_shape: Shape) -> Layer:
    # The weights are (size, 1): they fit one neuron, or (channels, length), as in snnTorch.
    return Scale(per_neuron(module.weights, in_shape))


_REFUSED = {
    "SLSTM": "is a spiking LSTM; use Synaptic or RSynaptic",
    "SConv2dLSTM": "is a spiking convolutional LSTM; use a Conv2d and a RSynaptic",
    "LeakyParallel": "replaces the membrane by a recurrent network over whole sequences; use Leaky",
    "StateLeaky": "computes whole sequences by a convolution, without a reset; use Leaky with "
    "reset_mechanism='none'",
    "LinearLeaky": "has a Linear and a neuron without reset in one; use a Linear and a Leaky with "
    "reset_mechanism='none'",
    "AssociativeLeaky": "is a linear associative memory; use Leaky",
    "DeltaLeaky": "spikes on differences; use Leaky",
}


@register(*(f"snntorch.{name}" for name in _REFUSED))
def _refuse(module: Any, in_shape: Shape) -> Layer:
    del in_shape
    kind = next(c.__name__ for c in type(module).__mro__ if c.__name__ in _REFUSED)
    raise ValueError(f"snnTorch's {kind} {_REFUSED[kind]}")
