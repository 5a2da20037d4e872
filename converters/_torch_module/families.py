"""The layers that only other libraries have, in PyTorch. See `neurons`."""

from __future__ import annotations

from typing import Any

import torch

from neurojax._layer import Layer
from neurojax.converters._torch_module.neurons import Fields, Program, Tensor, decay_of
from neurojax.converters.sinabs import _layers as sinabs
from neurojax.converters.spikingjelly import SynapseFilter
from neurojax.neurons.adaptive import AdaptiveState


def _filter(p: Fields, state: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    current = state - (1 - x) * state * (1 - p.decay) + x
    return current, current


def _adaptive_cuba_prepare(p: Fields) -> None:
    p.decay_syn = decay_of(p.tau_syn, p.decay_syn, 1.0, "exact")


def _adaptive_cuba_init(p: Fields, filled: Any) -> sinabs.AdaptiveCubaState:
    state = p.neuron.init(filled.like)
    return sinabs.AdaptiveCubaState(state.v, state.b, filled(0.0))


def _adaptive_cuba(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    i = p.decay_syn * (state.i + x)
    if p.compounding:
        i = (1 - p.neuron.fields.decay) * i
    behind, spikes = p.neuron.step(AdaptiveState(state.v, state.b), i)
    return sinabs.AdaptiveCubaState(behind.v, behind.b, i), spikes


def _own_reset_init(p: Fields, filled: Any) -> Any:
    return p.neuron.init(filled.like)


def _own_reset(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    state, spikes = p.neuron.step(state, x)
    if p.subtract:
        v = state.v - spikes * p.value
    else:
        v = torch.where(spikes == 0, state.v, 0.0) + p.value
    if p.v_min is not None:
        v_min = torch.as_tensor(p.v_min, device=v.device).to(v.dtype)
        v = torch.where(v > v_min, v, v_min)
    return state._replace(v=v), spikes


def _feedback_init(p: Fields, filled: Any) -> sinabs.FeedbackState:
    return sinabs.FeedbackState(
        p.neuron.init(filled.like), p.synapse.init(filled.like), filled(0.0)
    )


def _feedback(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    neuron, y = p.neuron.step(state.neuron, x + state.feedback)
    synapse, feedback = p.synapse.step(state.synapse, y)
    return sinabs.FeedbackState(neuron, synapse, feedback), y


class _Whole(torch.autograd.Function):
    """Whole numbers, with derivative 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, to: str) -> Tensor:
        return x.floor() if to == "floor" else x.round()  # ties to even

    @staticmethod
    def backward(ctx: Any, ct: Tensor) -> tuple[Tensor, None]:
        return ct, None


def _crop(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    (top, bottom), (left, right) = p.margins
    height, width = x.shape[-2:]
    return state, x[..., top : height - bottom, left : width - right]


FAMILIES: dict[type[Layer], Program] = {
    SynapseFilter: Program(_filter, lambda p, filled: filled(0.0)),
    sinabs.AdaptiveCubaLIF: Program(_adaptive_cuba, _adaptive_cuba_init, _adaptive_cuba_prepare),
    sinabs.OwnReset: Program(_own_reset, _own_reset_init),
    sinabs.Feedback: Program(_feedback, _feedback_init),
    sinabs.Rounded: Program(lambda p, state, x: (state, _Whole.apply(x, p.to))),
    sinabs.Crop: Program(_crop),
}
