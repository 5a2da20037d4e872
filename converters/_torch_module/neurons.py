"""The neurons of `neurojax.neurons` in PyTorch: the same operations in the same order.

Each function takes the fields of the neuron as they are in a run (`p`: numbers, tensors and
options) and a batch of one time step. What is computed and why is said in `neurojax.neurons`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from neurojax import neurons
from neurojax._layer import Layer
from neurojax.converters._torch_module.surrogates import multi_spike, spike
from neurojax.neurons._spiking import MembraneState
from neurojax.neurons.adaptive import AdaptiveState
from neurojax.neurons.alpha import AlphaState
from neurojax.neurons.cuba import CubaState

Tensor = Any
Fields = Any


class Program(NamedTuple):
    """What a layer does in PyTorch."""

    step: Callable[[Fields, Any, Tensor], tuple[Any, Tensor]]
    init: Callable[[Fields, Callable[..., Tensor]], Any] = lambda p, filled: None
    prepare: Callable[[Fields], None] = lambda p: None


def decay_of(tau: Any, decay: Any, dt: Any, method: str) -> Any:
    if tau is None:
        return decay
    ratio = dt / tau
    if method == "euler":
        return 1 - ratio
    return torch.exp(-ratio) if torch.is_tensor(ratio) else math.exp(-ratio)


def _prepare(p: Fields) -> None:
    """Time constants to factors a step, as `prepare` of the neurons does."""
    method = getattr(p, "method", "exact")
    for tau, decay in (
        ("tau", "decay"),
        ("tau_syn", "decay_syn"),
        ("tau_adapt", "decay_adapt"),
        ("tau_fast", "decay_fast"),
    ):
        if hasattr(p, decay):
            setattr(p, decay, decay_of(getattr(p, tau), getattr(p, decay), p.dt, method))
    if getattr(p, "normalize_input", False):
        p.gain = p.gain * (1 - p.decay)
    if getattr(p, "refractory", None) is not None:
        steps = p.refractory / p.dt
        whole = torch.ceil if torch.is_tensor(steps) else math.ceil
        p.refractory = whole(steps - 1e-6 * steps)
    if hasattr(p, "decay_fast") and p.scale is None:
        slow, fast = _log(p.decay), _log(p.decay_fast)
        p.scale = slow / (fast - slow) + 1


def _log(x: Any) -> Any:
    return torch.log(x) if torch.is_tensor(x) else math.log(x)


def _where(condition: Tensor, a: Any, b: Tensor) -> Tensor:
    """`torch.where` that leaves the type of `b` as it is."""
    return torch.where(condition, torch.as_tensor(a, device=b.device).to(b.dtype), b)


# Spike and reset


def _crossed(p: Fields, v: Tensor, threshold: Any) -> tuple[Tensor, Tensor]:
    if p.detach_threshold and torch.is_tensor(threshold):
        threshold = threshold.detach()
    if p.max_spikes == 1:
        once = spike(v - threshold, p.surrogate, threshold, p.strict)
        return once, once
    count = multi_spike(v, threshold, p.surrogate, p.max_spikes)
    if p.reset in ("subtract", "none"):
        return count, count
    return count, spike(v - threshold, p.surrogate, threshold, strict=False)


def _after_reset(p: Fields, v: Tensor, events: Tensor, threshold: Any) -> Tensor:
    if p.reset == "none":
        return v
    if p.detach_reset:
        events = events.detach()
    if p.reset == "subtract":
        return v - events * threshold
    value = 0.0 if p.reset == "zero" else p.reset_value
    if p.detach_reset and p.reset_delay is False:
        return _where(events > 0, value, v)
    return (1 - events) * v + events * value


def _carried(p: Fields, v: Tensor, threshold: Any) -> Tensor:
    if p.reset_delay != "before":
        return v
    return _after_reset(p, v, _crossed(p, v, threshold)[1], threshold)


def _fire(p: Fields, v: Tensor, state: Any, threshold: Any) -> tuple[Tensor, Any, Tensor]:
    """Membrane potential, refractory counter and spikes at the end of a step."""
    if p.reset_delay is True or p.reset_delay == "compensated":
        _, previous = _crossed(p, state.v, threshold)
        if p.reset_delay == "compensated":
            previous = previous.detach()
        v = _after_reset(p, v, previous, threshold)
    spikes, events = _crossed(p, v, threshold)
    if p.winner_take_all:
        u = (v - threshold).detach()
        first = torch.argmax(u, dim=1, keepdim=True)
        winner = torch.zeros_like(u).scatter(1, first, 1.0)
        spikes, events = spikes * winner, events * winner
    if p.reset_delay is False:
        v = _after_reset(p, v, events, threshold)
    elif p.reset_delay == "compensated":
        v = _after_reset(p, v, events - previous, threshold)
    refractory = state.refractory
    if p.refractory is not None:
        silent = refractory > 0
        spikes = _where(silent, 0.0, spikes)
        v = _where(silent, p.reset_value, v)
        left = (refractory - 1).clamp(min=0)
        refractory = _where(spikes > 0, p.refractory, left)
    if p.amplitude is not None:
        spikes = p.amplitude * spikes
    return _bounded(p, v), refractory, spikes


def _bounded(p: Fields, v: Tensor) -> Tensor:
    return v if p.v_min is None else _where(v <= p.v_min, p.v_min, v)


# Leak and synaptic current


def _leak(p: Fields, v: Tensor, x: Tensor) -> Tensor:
    return p.v_rest + p.decay * (v - p.v_rest) + p.gain * x


def _integrate(p: Fields, v: Tensor, x: Tensor) -> Tensor:
    return v + p.gain * x


def _synapse(p: Fields, i: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    if p.order in ("new", "old"):
        kept = p.decay_syn * i + x
        return kept, (kept if p.order == "new" else i)
    jumped = i + x
    kept = p.decay_syn * jumped
    return kept, (jumped if p.order == "jump_then_decay" else kept)


# The neurons


def _first(p: Fields, filled: Any) -> tuple[Tensor, Any]:
    """Membrane potential and refractory counter before the first step."""
    start = p.v_init
    if start is None:
        valued = getattr(p, "reset", None) == "value"
        start = p.v_rest if hasattr(p, "v_rest") else p.reset_value if valued else 0.0
    silent = getattr(p, "refractory", None) is not None
    return filled(start), filled(0.0) if silent else None


def _membrane(integrate: Any) -> Program:
    def init(p: Fields, filled: Any) -> MembraneState:
        return MembraneState(*_first(p, filled))

    def step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
        v = integrate(p, _carried(p, state.v, p.threshold), x)
        v, refractory, spikes = _fire(p, v, state, p.threshold)
        return MembraneState(v, refractory), spikes

    return Program(step, init, _prepare)


def _cuba(integrate: Any) -> Program:
    def init(p: Fields, filled: Any) -> CubaState:
        v, refractory = _first(p, filled)
        return CubaState(v, filled(0.0), refractory)

    def step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
        i, drive = _synapse(p, state.i, x)
        v = integrate(p, _carried(p, state.v, p.threshold), drive)
        v, refractory, spikes = _fire(p, v, state, p.threshold)
        return CubaState(v, i, refractory), spikes

    return Program(step, init, _prepare)


def _li_step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    v = _leak(p, state.v, x)
    return MembraneState(_bounded(p, v)), v


def _cuba_li_step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    i, drive = _synapse(p, state.i, x)
    v = _leak(p, state.v, drive)
    return CubaState(_bounded(p, v), i), v


def _adaptive_init(p: Fields, filled: Any) -> AdaptiveState:
    v, refractory = _first(p, filled)
    return AdaptiveState(v, filled(0.0), refractory)


def _adaptive_step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    threshold = p.threshold + p.adaptation * state.b
    v = _leak(p, _carried(p, state.v, threshold), x)
    v, refractory, spikes = _fire(p, v, state, threshold)
    b = p.decay_adapt * state.b + (1 - p.decay_adapt) * spikes
    return AdaptiveState(v, b, refractory), spikes


def _alpha_step(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    excitatory = p.decay * state.excitatory + p.gain * x
    inhibitory = p.decay_fast * state.inhibitory - p.gain * x
    v = p.scale * (excitatory + inhibitory)
    spikes = lambda v: spike(v - p.threshold, p.surrogate, p.threshold, strict=True)  # noqa: E731
    late = spikes(state.v).detach()
    if p.reset == "zero":
        excitatory, inhibitory, v = ((1 - late) * u for u in (excitatory, inhibitory, v))
    elif p.reset == "subtract":
        excitatory = excitatory - late * p.threshold
        inhibitory = (1 - late) * inhibitory
        v = v + late * state.inhibitory
    return AlphaState(v, excitatory, inhibitory), spikes(v)


def _threshold(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    return state, spike(x - p.threshold, p.surrogate, p.threshold, p.strict)


NEURONS: dict[type[Layer], Program] = {
    neurons.Threshold: Program(_threshold),
    neurons.IAF: _membrane(_integrate),
    neurons.LIF: _membrane(_leak),
    neurons.LI: Program(_li_step, lambda p, filled: MembraneState(_first(p, filled)[0]), _prepare),
    neurons.CubaIAF: _cuba(_integrate),
    neurons.CubaLIF: _cuba(_leak),
    neurons.CubaLI: Program(
        _cuba_li_step, lambda p, filled: CubaState(_first(p, filled)[0], filled(0.0)), _prepare
    ),
    neurons.AdaptiveLIF: Program(_adaptive_step, _adaptive_init, _prepare),
    neurons.Alpha: Program(
        _alpha_step, lambda p, filled: AlphaState(*(filled(0.0) for _ in range(3))), _prepare
    ),
}
