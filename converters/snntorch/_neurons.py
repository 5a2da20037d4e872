"""snnTorch 1.0: `Leaky`, `RLeaky`, `Synaptic`, `RSynaptic`, `Alpha` and `Lapicque`.

They share their spike and their reset. With r = [mem > threshold] for the membrane potential that
the step before has left, and base = leak and input of this step:

| reset_mechanism | Leaky                    | the others       |                           |
|-----------------|--------------------------|------------------|---------------------------|
| `"subtract"`    | mem = base - r threshold | the same         | the reset is a step late  |
| `"zero"`        | mem = beta (1-r) mem + x | mem = base (1-r) | and so is this one        |
| `"none"`        | mem = base               | the same         |                           |

and spk = [mem > threshold]. `reset_delay=False` then takes back r and applies spk instead. Each
function here makes the neuron from plain numbers.

References:
    J. K. Eshraghian et al., "Training spiking neural networks using lessons from deep learning",
    Proc. IEEE 111, 2023; the source of snnTorch 1.0.0, `snntorch/_neurons`.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp

import neurojax.surrogate as surrogates
from neurojax._layer import Layer
from neurojax.converters._values import is_number
from neurojax.layers.recurrent import Recurrent
from neurojax.layers.shape import Scale
from neurojax.neurons import LIF, Alpha, CubaLIF
from neurojax.neurons._neuron import Parameter
from neurojax.surrogate import ATan, Surrogate

MECHANISMS = ("subtract", "zero", "none")


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

    Raises:
        ValueError: `inhibition` with `reset_mechanism="zero"` and without `reset_delay`, where
            snnTorch 1.0 doubles the membrane potential of the neurons that don't spike.

    Example:
        >>> from neurojax.converters import snntorch
        >>> snntorch.leaky(beta=0.9).describe()
        'LIF decay 0.9'
    """
    if inhibition and reset_mechanism == "zero" and not reset_delay:
        raise ValueError(
            "snnTorch's Leaky(inhibition=True, reset_mechanism='zero', reset_delay=False) doubles "
            "the membrane potential of neurons that are above the threshold and don't spike; use "
            "reset_delay=True, or reset_mechanism='subtract'"
        )
    return LIF(
        decay=_clipped(beta),
        threshold=threshold,
        amplitude=_amplitude(graded_spikes_factor),
        winner_take_all=inhibition,
        surrogate=surrogate,
        **reset_options(reset_mechanism, reset_delay, before_input=True),
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
        **reset_options(reset_mechanism, reset_delay),
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
        **reset_options(reset_mechanism, reset_delay),
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
        **reset_options(reset_mechanism),
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


def reset_options(
    mechanism: str, late: bool = True, *, before_input: bool = False
) -> dict[str, Any]:
    """Options of our neurons for a reset mechanism.

    Args:
        mechanism: `"subtract"`, `"zero"` or `"none"`.
        late: `reset_delay`.
        before_input: The membrane is zeroed before the input comes (`Leaky`), not after it.

    Raises:
        ValueError: There is no such mechanism.
    """
    if mechanism not in MECHANISMS:
        raise ValueError(
            f"reset_mechanism is {mechanism!r}; it must be 'subtract', 'zero' or 'none'"
        )
    delay: bool | str = "before" if before_input and mechanism == "zero" else True
    return {
        "strict": True,
        "reset": mechanism,
        "reset_delay": delay if late else "compensated",
        "detach_reset": late,  # snnTorch detaches what it decided from the step before
    }


def _recurrent(neuron: Layer, recurrent: Layer | Parameter) -> Recurrent:
    return Recurrent(neuron, recurrent if isinstance(recurrent, Layer) else Scale(recurrent))


def _clipped(decay: Parameter) -> Parameter:
    return jnp.clip(decay, 0, 1) if hasattr(decay, "dtype") else min(max(decay, 0.0), 1.0)


def _amplitude(factor: Parameter) -> Parameter | None:
    return None if is_number(factor, 1) else factor


def _log(x: Any) -> Parameter:
    return jnp.log(x) if hasattr(x, "dtype") else math.log(x)
