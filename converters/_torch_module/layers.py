"""The layers of `neurojax.layers` in PyTorch, for a batch in one time step. See `neurons`."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F

from neurojax import layers
from neurojax._layer import Layer
from neurojax.converters._torch_module.neurons import Fields, Program, Tensor
from neurojax.layers.chain import chain_state
from neurojax.layers.delay import DelayState
from neurojax.layers.recurrent import RecurrentState


def _linear(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    return state, F.linear(x, p.weight, p.bias)


def _padded(x: Tensor, padding: Any, value: float = 0.0) -> Tensor:
    """A value before and after each of the last axes, of which `F.pad` takes the last one first."""
    flat = [pad for pads in reversed(padding) for pad in pads]
    return F.pad(x, flat, value=value) if any(flat) else x


def _conv(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    convolve = F.conv1d if len(p.stride) == 1 else F.conv2d
    x = _padded(x, p.padding)
    return state, convolve(
        x, p.weight, p.bias, stride=p.stride, dilation=p.dilation, groups=p.groups
    )


def _conv_transposed(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    convolve = F.conv_transpose1d if len(p.stride) == 1 else F.conv_transpose2d
    y = convolve(x, p.weight, stride=p.stride, dilation=p.dilation, groups=p.groups)
    pairs = zip(p.padding, p.output_padding, strict=True)
    # Negative padding cuts off.
    y = _padded(y, [(-before, extra - after) for (before, after), extra in pairs])
    return state, y if p.bias is None else y + p.bias.reshape(-1, *(1,) * len(p.stride))


def _sum_pool(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    x, size, stride = _padded(x, p.padding), p.kernel_size, p.stride
    if len(size) == 2:
        return state, F.avg_pool2d(x, size, stride, divisor_override=1)
    # Only the pools of two and three axes can leave out the division.
    y = F.avg_pool2d(x.unsqueeze(-2), (1, *size), (1, *stride), divisor_override=1)
    return state, y.squeeze(-2)


def _avg_pool(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    _, y = _sum_pool(p, state, x)
    if p.count_padding:
        return state, y / math.prod(p.kernel_size)
    return state, y / _sum_pool(p, state, torch.ones_like(x[:1, :1]))[1]


def _max_pool(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    pool = F.max_pool1d if len(p.stride) == 1 else F.max_pool2d
    return state, pool(_padded(x, p.padding, -math.inf), p.kernel_size, p.stride)


def _batch_norm(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    along = lambda values: values.reshape(-1, *(1,) * (x.ndim - 2))  # noqa: E731
    if not p.training:
        mean, var = p.running_mean, p.running_var
    else:
        axes = (0, *range(2, x.ndim))
        mean = x.mean(axes)
        var = ((x - along(mean)) ** 2).mean(axes)
        count = x.numel() // x.shape[1]
        with torch.no_grad():
            unbiased = var * (count / max(count - 1, 1))
            for old, new in ((p.running_mean, mean), (p.running_var, unbiased)):
                old.copy_((1 - p.momentum) * old + p.momentum * new)
    scale = torch.rsqrt(var + p.eps)
    if p.weight is not None:
        scale = scale * p.weight
    y = (x - along(mean)) * along(scale)
    return state, y if p.bias is None else y + along(p.bias)


def _dropout(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    if not p.training or p.rate == 0:
        return state, x
    if p.per_step or state is None:
        # Kept as state, the mask lasts for the run.
        state = torch.rand_like(x) >= p.rate
    return (None if p.per_step else state), torch.where(state, x / (1 - p.rate), 0.0)


def _batch_dropout(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    if not p.training or p.rate == 0:
        return state, x
    if state is None:
        state = (torch.rand_like(x[:1]) >= p.rate).expand_as(x)
    return state, torch.where(state, x / (1 - p.rate) if p.rescale else x, 0.0)


def _delay_init(p: Fields, filled: Any) -> DelayState | None:
    longest = p.steps if isinstance(p.steps, int) else max(p.steps)
    return DelayState(torch.stack([filled(0.0)] * longest, dim=1)) if longest else None


def _delay(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    if state is None:
        return None, x
    past = torch.cat([state.past, x.unsqueeze(1)], dim=1)
    if isinstance(p.steps, int):
        y = past[:, 0]
    else:
        back = torch.tensor(p.steps, device=x.device)
        y = past[:, past.shape[1] - 1 - back, torch.arange(len(p.steps), device=x.device)]
    return DelayState(past[:, 1:]), y


def _recurrent_init(p: Fields, filled: Any) -> RecurrentState:
    return RecurrentState(
        p.neuron.init(filled.like), p.synapse.init(filled.like), p.synapse.filled(filled.like)(0.0)
    )


def _recurrent(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    synapse, feedback = p.synapse.step(state.synapse, state.output)
    neuron, y = p.neuron.step(state.neuron, x + feedback)
    return RecurrentState(neuron, synapse, y), y


def _upsample(p: Fields, x: Tensor) -> Tensor:
    for axis, factor in enumerate(p.factor, x.ndim - len(p.factor)):
        x = x.repeat_interleave(factor, axis)
    return x


def _chain_init(p: Fields, filled: Any) -> Any:
    states = [layer.init(filled.like) for layer in p.layers]
    return None if all(state is None for state in states) else chain_state(p.names)(*states)


def _chain(p: Fields, state: Any, x: Tensor) -> tuple[Any, Tensor]:
    states = []
    old = (None,) * len(p.layers) if state is None else state
    for layer, before in zip(p.layers, old, strict=True):
        after, x = layer.step(before, x)
        states.append(after)
    return (None if all(s is None for s in states) else chain_state(p.names)(*states)), x


def _slice(p: Fields, x: Tensor) -> Tensor:
    axis = p.axis + 1 if p.axis >= 0 else p.axis
    return x.narrow(axis, p.start, p.stop - p.start)


def _aligned(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two batches of matrices with as many axes each: those that are missing come behind batch."""
    most = max(a.ndim, b.ndim)
    a, b = (x.reshape(x.shape[0], *(1,) * (most - x.ndim), *x.shape[1:]) for x in (a, b))
    return a, b


def _plain(function: Any) -> Program:
    return Program(lambda p, state, x: (state, function(p, x)))


LAYERS: dict[type[Layer], Program] = {
    layers.Linear: Program(_linear),
    layers.Conv1d: Program(_conv),
    layers.Conv2d: Program(_conv),
    layers.ConvTranspose1d: Program(_conv_transposed),
    layers.ConvTranspose2d: Program(_conv_transposed),
    layers.SumPool1d: Program(_sum_pool),
    layers.SumPool2d: Program(_sum_pool),
    layers.AvgPool1d: Program(_avg_pool),
    layers.AvgPool2d: Program(_avg_pool),
    layers.MaxPool1d: Program(_max_pool),
    layers.MaxPool2d: Program(_max_pool),
    layers.BatchNorm: Program(_batch_norm),
    layers.Dropout: Program(_dropout),
    layers.BatchDropout: Program(_batch_dropout),
    layers.Delay: Program(_delay, _delay_init),
    layers.Recurrent: Program(_recurrent, _recurrent_init),
    layers.Chain: Program(_chain, _chain_init),
    layers.Pad: _plain(lambda p, x: _padded(x, p.padding, p.value)),
    layers.Upsample: _plain(_upsample),
    layers.Flatten: _plain(lambda p, x: x.flatten(1)),
    layers.Reshape: _plain(lambda p, x: x.reshape(x.shape[0], *p.shape)),
    layers.Permute: _plain(lambda p, x: x.permute(0, *(axis + 1 for axis in p.axes))),
    layers.Slice: _plain(_slice),
    layers.MatMul: _plain(lambda p, x: torch.matmul(*_aligned(*x))),
    layers.Identity: _plain(lambda p, x: x),
    layers.ReLU: _plain(lambda p, x: F.relu(x)),
    layers.ReLU6: _plain(lambda p, x: F.relu6(x)),
    layers.Scale: _plain(lambda p, x: p.factor * x),
    layers.Add: _plain(lambda p, x: sum(x[1:], start=x[0])),
    layers.Concat: _plain(lambda p, x: torch.cat(x, p.axis + 1 if p.axis >= 0 else p.axis)),
}
