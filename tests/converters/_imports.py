"""What tests of `from_torch` share: import a model, run both, compare with ==."""

import copy
import warnings

import numpy as np
import torch

from neurojax.converters.torch import from_torch
from tests.converters._live import fill_on_grid, outputs_of, spikes_in


def torch_outputs(module, *inputs):
    """What a module returns in `eval()`; the module stays as it is."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return copy.deepcopy(module).eval()(*map(torch.as_tensor, inputs))


def at_once(module, inputs, *, axis=0, pick=lambda outputs: outputs):
    """Outputs of a module that is given all steps, with time on this axis; `pick` takes one."""
    return pick(torch_outputs(module, inputs.swapaxes(0, axis))).numpy().swapaxes(0, axis)


def step_by_step(module, inputs):
    """Outputs of a module that is called once a step with [batch, ...]."""
    module = copy.deepcopy(module).eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.stack([module(torch.as_tensor(x)).numpy() for x in inputs])


def check_equal(module, shape, run=step_by_step, *, seed=0, rounding=0.0, **options):
    """Weights on a grid, on which float32 is exact; import, run, compare; returns the network.

    `rounding` is what values may differ by that can't be exact: a mean over 9, a decay of 0.9.
    """
    rng = np.random.default_rng(seed)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=shape, **options)
    inputs = spikes_in(rng, 6, 4, shape)
    expected = run(module, inputs)
    np.testing.assert_allclose(outputs_of(network, inputs), expected, rtol=0, atol=rounding)
    assert np.ptp(expected) > 0, "an output that never changes proves little"
    return network
