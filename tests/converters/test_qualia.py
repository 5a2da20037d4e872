"""Qualia's class for folding batch normalisation: the same function, in place or not."""

import numpy as np
import pytest
import torch

from neurojax.converters import fuse_batch_norm
from neurojax.converters.qualia import FuseBatchNorm


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = torch.nn.Conv2d(2, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.ReLU()
    model = torch.nn.Sequential(*layers)
    for _ in range(3):
        model(torch.randn(8, 2, 6, 6))  # statistics
    return model.eval()


def weights(model):
    return {name: value.detach().numpy() for name, value in model.state_dict().items()}


def test_a_copy_is_fused_as_by_the_function(model):
    before, x = weights(model), torch.randn(3, 2, 6, 6)
    expected = model(x)
    fused = FuseBatchNorm().fuse(model)
    assert weights(fused).keys() == {"0.weight", "0.bias"}
    for name, value in weights(fuse_batch_norm(model)).items():
        assert np.array_equal(weights(fused)[name], value)
    torch.testing.assert_close(fused(x), expected)
    assert weights(model).keys() == before.keys()


def test_a_call_changes_the_model_itself(model):
    x = torch.randn(3, 2, 6, 6)
    expected, holder = model(x), torch.nn.Sequential(model)
    model.train()
    returned = FuseBatchNorm()(model, x)
    assert returned is model
    assert isinstance(model[1], torch.nn.Identity)
    assert not model.training
    torch.testing.assert_close(holder(x), expected)


def test_the_example_is_used_only_to_evaluate(model):
    with pytest.raises(ValueError, match="example"):
        FuseBatchNorm().fuse(model, example_input=torch.randn(3, 5, 6, 6))
    FuseBatchNorm(evaluate=False).fuse(model, example_input=torch.randn(3, 5, 6, 6))
