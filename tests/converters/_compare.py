"""Stacks of modules of another library, against what they become, in the same process."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import torch

import neurojax as nj
from neurojax.converters import _torch_layers as _torch_layers
from neurojax.converters._registry import OUTPUT, Converted, convert

# Exact numbers stay exact in a sum, but a gradient passes products with the surrogate's values.
GRADIENT = 2e-4


class Result(NamedTuple):
    """A run of a stack: time first, batch second."""

    outputs: np.ndarray
    states: list[np.ndarray]  # of the last module, in the order in which it returns them
    gradient: np.ndarray  # of a random loss by the input


Step = Callable[[Any, torch.Tensor, Any], tuple[torch.Tensor, Any]]


def losses(shape: tuple[int, ...], states: int, seed: int) -> list[np.ndarray]:
    """Weights of a loss, for the outputs and for each state."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal(shape).astype(np.float32) for _ in range(1 + states)]


def run_peer(
    modules: Sequence[Any],
    x: np.ndarray,
    step: Step,
    *,
    read: Callable[[Any], Sequence[torch.Tensor]] = tuple,
    seed: int = 0,
) -> Result:
    """Steps the modules.

    `step(module, x, state)` gives the output and the state to go on with, `read(state)` what of the
    last module's state is compared.
    """
    inputs = torch.tensor(x, requires_grad=True)
    state: list[Any] = [None] * len(modules)
    outputs, states = [], []
    for y in inputs:
        for i, module in enumerate(modules):
            if isinstance(module, torch.nn.Linear | torch.nn.Conv2d):
                y = module(y)
            else:
                y, state[i] = step(module, y, state[i])
        outputs.append(y)
        states.append(read(state[-1]))
    every = [torch.stack(outputs), *(torch.stack(each) for each in zip(*states, strict=True))]
    weights = losses(tuple(every[0].shape), len(every) - 1, seed)
    loss = sum((torch.tensor(w) * value).sum() for w, value in zip(weights, every, strict=True))
    values = [value.detach().numpy() for value in every]
    return Result(values[0], values[1:], gradient_of(loss, inputs))


def gradient_of(loss: Any, inputs: torch.Tensor) -> np.ndarray:
    """dloss / dinputs; zeros if a surrogate without gradient cuts all ways."""
    if loss.requires_grad:
        loss.backward()
    return np.zeros(inputs.shape, np.float32) if inputs.grad is None else inputs.grad.numpy()


def imported(modules: Sequence[Any], in_shape: tuple[int, ...]) -> tuple[nj.Network, Converted]:
    """The stack as a network (names "0", "1", ...), and the last conversion.

    The modules must be as they were before.
    """
    layers: dict[str, nj.Layer] = {}
    shape = in_shape
    last = Converted({})
    for i, module in enumerate(modules):
        before = copy.deepcopy(module.state_dict()), module.training, dict(vars(module))
        last = convert(module, shape)
        assert module.training == before[1]
        assert vars(module).keys() == before[2].keys()
        after = module.state_dict()
        assert all(torch.equal(value, after[name]) for name, value in before[0].items())
        for name, layer in last.layers.items():
            layers[f"{i}.{name}".rstrip(".")] = layer
            shape = layer.out_shape(shape)
    return nj.Sequential(in_shape, **layers), last


def run_ours(network: nj.Network, x: np.ndarray, states: Sequence[str], *, seed: int = 0) -> Result:
    """The same run of ours; `states` are paths in the last layer."""
    probes = [f"{network.names[-1]}.{path}" for path in states]

    arrays, rest = eqx.partition(network, eqx.is_array)

    def loss(x: jax.Array, arrays: Any) -> tuple[jax.Array, tuple[jax.Array, list[jax.Array]]]:
        run = nj.simulate(eqx.combine(arrays, rest), x, probes=probes)
        values = [run.outputs, *(run[probe] for probe in probes)]
        weights = losses(run.outputs.shape, len(probes), seed)
        total = sum((w * value).sum() for w, value in zip(weights, values, strict=True))
        return jnp.asarray(total), (values[0], values[1:])

    # Forwards and backwards in one program.
    gradient, (outputs, traces) = jax.jit(jax.grad(loss, has_aux=True))(x, arrays)
    return Result(np.asarray(outputs), [np.asarray(t) for t in traces], np.asarray(gradient))


def assert_equal(got: Result, want: Result, *, gradients: bool = True) -> None:
    """Numbers on a grid: outputs and states equal, gradients close."""
    np.testing.assert_array_equal(got.outputs, want.outputs)
    for mine, theirs in zip(got.states, want.states, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    if gradients:
        _assert_gradients(got, want)


def _assert_gradients(got: Result, want: Result) -> None:
    scale = max(1.0, float(np.abs(want.gradient).max()))
    np.testing.assert_allclose(got.gradient, want.gradient, atol=GRADIENT * scale, rtol=0)


def assert_close(
    got: Result, want: Result, v: int, threshold: Any, *, gradients: bool = True
) -> None:
    """Any numbers: states within rounding, and spikes that differ lie at the threshold.

    Args:
        got, want: Results of one population.
        v: Which of its states is the membrane potential.
        threshold: Where it spikes.
        gradients: Whether to compare gradients too, if all spikes are equal.
    """
    differs = got.outputs != want.outputs
    # What follows a spike that differs is another trajectory.
    same = np.cumsum(differs, axis=0) - differs == 0
    first = differs & same
    assert np.all(np.abs(want.states[v] - threshold)[first] <= 1e-5)
    assert first.mean() < 0.01
    for mine, theirs in zip(got.states, want.states, strict=True):
        same_so_far = same & ~differs
        np.testing.assert_allclose(mine[same_so_far], theirs[same_so_far], atol=2e-5, rtol=2e-5)
    if gradients and not differs.any():
        _assert_gradients(got, want)


def state_paths(converted: Converted) -> list[str]:
    """The states that a module returns next to its output."""
    assert converted.returns is not None and converted.returns[0] == OUTPUT
    return list(converted.returns[1:])
