"""What the comparisons with other libraries, running in the same process, share."""

import importlib
import warnings
from types import ModuleType

import jax.numpy as jnp
import numpy as np

import neurojax as nj

GRID = 2.0**-6
"""Weights and inputs that are multiples of this have exact float32 sums and products, whatever the
order of summation: two right implementations then agree with `==`, ties at the threshold included.
"""


def peer(name: str) -> ModuleType:
    """A module of another library; its own deprecation warnings are not ours to fail on."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def on_grid(rng: np.random.Generator, shape: tuple[int, ...], largest: float = 1.0) -> np.ndarray:
    """Random multiples of GRID in ±largest, float32."""
    steps = round(largest / GRID)
    return (rng.integers(-steps, steps + 1, shape) * GRID).astype(np.float32)


def fill_on_grid(module, rng: np.random.Generator, largest: float = 1.0) -> None:
    """Replace every weight and bias of a torch module by numbers on the grid."""
    torch = importlib.import_module("torch")
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.rpartition(".")[2].startswith(("weight", "bias")):
                parameter.copy_(torch.as_tensor(on_grid(rng, tuple(parameter.shape), largest)))


def spikes_in(
    rng: np.random.Generator, steps: int, batch: int, shape: tuple[int, ...]
) -> np.ndarray:
    """Random input spikes [time, batch, ...], float32."""
    return (rng.random((steps, batch, *shape)) < 0.5).astype(np.float32)


def outputs_of(network: nj.Network, inputs) -> np.ndarray:
    """Outputs of a run of our network, [time, batch, ...]."""
    return np.asarray(nj.simulate(network, jnp.asarray(inputs)).outputs)
