"""Folding of batch norm in torch models: the folded model gives what the model gives."""

import copy
import warnings

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
import torch.nn.utils.prune
from hypothesis import given, settings

from neurojax.converters.fuse import fuse_batch_norm
from tests.converters._live import peer

nn = torch.nn
CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def lively(model, seed=0):
    """Random parameters and statistics, no gamma negative."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                for tensor in (module.weight, module.running_mean, module.running_var):
                    if tensor is not None:
                        tensor.uniform_(0.2, 2.0)
                if module.bias is not None:
                    module.bias.normal_()
    return model


def norms_in(model):
    kind = nn.modules.batchnorm._BatchNorm
    return [name for name, m in model.named_modules() if isinstance(m, kind)]


def outputs(model, *x):
    model = copy.deepcopy(model).eval()
    with torch.no_grad():
        return model(*x)


def check(model, *x, folded=True):
    """Fold, and compare the model with the folded one; the model stays as it was."""
    before, training = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    fused = fuse_batch_norm(model, x)
    assert [m.training for m in model.modules()] == training
    assert all(torch.equal(v, before[name]) for name, v in model.state_dict().items())
    assert type(fused) is type(model) and not fused.training
    assert not folded or norms_in(fused) == []
    torch.testing.assert_close(outputs(fused, *x), outputs(model, *x), rtol=1e-4, atol=1e-4)
    return fused


@pytest.mark.parametrize("ndim", [1, 2, 3])
@given(data=st.data())
@settings(max_examples=10)
def test_convolutions(ndim, data):
    draw = data.draw
    groups = draw(st.sampled_from([1, 2]))
    conv = CONVS[ndim](
        2 * groups, 3 * groups, draw(st.integers(1, 3)), stride=draw(st.integers(1, 2)),
        padding=draw(st.integers(0, 1)), groups=groups, bias=draw(st.booleans()),
    )  # fmt: skip
    norm = NORMS[ndim](
        3 * groups, eps=draw(st.sampled_from([1e-5, 0.1])), affine=draw(st.booleans())
    )
    model = lively(nn.Sequential(conv, norm, nn.ReLU()), draw(st.integers(0, 99)))
    fused = check(model, torch.randn(2, 2 * groups, *(5,) * ndim))
    assert type(fused[0]) is CONVS[ndim]
    # Another implementation, to the last bit.
    theirs = nn.utils.fuse_conv_bn_eval(model[0].eval(), model[1].eval())
    assert torch.equal(fused[0].weight, theirs.weight)
    assert torch.equal(fused[0].bias, theirs.bias)


@pytest.mark.parametrize("bias", [True, False])
def test_linear(bias):
    check(lively(nn.Sequential(nn.Linear(4, 3, bias=bias), nn.BatchNorm1d(3))), torch.randn(5, 4))
    double = lively(nn.Sequential(nn.Linear(4, 3, bias=bias), nn.BatchNorm1d(3))).double()
    x = torch.randn(5, 4, dtype=torch.float64)
    fused = check(double, x)
    torch.testing.assert_close(fused(x), outputs(double, x), rtol=1e-12, atol=1e-12)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1, bias=False) for _ in range(2))
        self.norm = nn.ModuleList(nn.BatchNorm2d(3) for _ in range(2))

    def forward(self, x):
        y = torch.relu(self.norm[0](self.conv[0](x)))
        return torch.relu(x + self.norm[1](self.conv[1](y)))


class Loop(nn.Module):
    """The same modules in each of several steps."""

    def __init__(self):
        super().__init__()
        self.block = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3))

    def forward(self, x):
        return torch.stack([self.block(x[t]) * (t + 1) for t in range(3)])


class Merged(nn.Module):
    """Time and batch in one axis for the layers; shapes are asked for in between."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3)

    def forward(self, x):
        y = self.conv(x.flatten(0, 1))
        channels = y.shape[1]
        y = self.norm(y)
        return y.view(x.size(0), x.size(1), channels, y.size(2), y.shape[-1])


def test_any_forward():
    fused = check(lively(nn.Sequential(Residual(), Residual())), torch.randn(2, 3, 5, 5))
    assert isinstance(fused[0], Residual) and isinstance(fused[0].norm[0], nn.Identity)
    check(lively(Loop()), torch.randn(3, 2, 2, 7))
    check(lively(Merged()), torch.randn(3, 2, 2, 5, 6))


POOLS = {
    "average": nn.AvgPool2d(2),
    "average of what there is": nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
    "adaptive": nn.AdaptiveAvgPool2d(3),
    "maximum": nn.MaxPool2d(3, 2, 1),
    "identity": nn.Sequential(nn.Identity(), nn.AvgPool2d(2)),
}


@pytest.mark.parametrize("pool", POOLS)
def test_pooling_in_between(pool):
    model = nn.Sequential(nn.Conv2d(2, 3, 3), POOLS[pool], nn.BatchNorm2d(3))
    check(lively(model), torch.randn(2, 2, 8, 8))


def test_spikingjelly():
    layer = peer("spikingjelly.activation_based.layer")
    neuron = peer("spikingjelly.activation_based.neuron")
    functional = peer("spikingjelly.activation_based.functional")

    def model():
        return nn.Sequential(
            layer.Conv2d(2, 4, 3, padding=1, bias=False), layer.BatchNorm2d(4), neuron.IFNode(),
            layer.AvgPool2d(2),
            layer.Conv2d(4, 4, 3, groups=2), layer.ThresholdDependentBatchNorm2d(1.0, 1.0, 4),
            neuron.LIFNode(), layer.Flatten(),
            layer.Linear(16, 5, bias=False), layer.BatchNorm1d(5), neuron.IFNode(),
        )  # fmt: skip

    several = lively(model())
    functional.set_step_mode(several, "m")
    x = torch.randint(0, 2, (4, 3, 2, 8, 8)).float()
    fused = check(several, x)
    assert type(fused[0]) is type(several[0]) and fused[0].step_mode == "m"
    assert fused[8].bias is not None
    single = lively(model())
    single[5] = lively(layer.BatchNorm2d(4))  # the threshold-dependent one knows sequences only
    check(single, x[0])
    container = layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4))
    check(lively(nn.Sequential(container, neuron.IFNode(step_mode="m"))), x)
    check(lively(container), x)
    split = nn.Sequential(layer.SeqToANNContainer(nn.Conv2d(2, 4, 3)), single[1].requires_grad_())
    split[1].step_mode = "m"
    check(lively(split), x)


def test_parametrized_weights():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(2, 3, 3))
    model = nn.Sequential(conv, nn.BatchNorm1d(3))
    fused = check(lively(model), torch.randn(2, 2, 6))
    assert type(fused[0]) is nn.Conv1d


class Shared(nn.Module):
    """One convolution, with a BatchNorm and without."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 2, 3, padding=1), nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.conv(x)) + self.conv(x)


class Several(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Conv1d(2, 2, 1), nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.a(x)) + self.norm(self.b(x))


class Doubled(nn.Conv1d):
    def forward(self, x):
        return 2 * super().forward(x)


def negative(model):
    with torch.no_grad():
        model[-1].weight.fill_(-1.0)
    return model


def pruned():
    # As of a model that was loaded: its weights are not the result of a computation.
    conv = nn.utils.prune.identity(nn.Conv1d(2, 2, 1), "weight")
    conv.weight = conv.weight.detach()
    return conv


@pytest.mark.parametrize(
    "model, shape, message",
    [
        (Shared(), (2, 2, 5), r"'norm' \(BatchNorm1d\): add takes the values of 'conv' \(Conv1d\)"),
        (Several(), (2, 2, 5), r"'norm' .* takes the values of several: 'a' .*, 'b'"),
        (nn.Sequential(nn.Conv1d(2, 2, 1), nn.ReLU(), nn.BatchNorm1d(2)), (2, 2, 5), "'1' .ReLU."),
        (nn.Sequential(nn.BatchNorm1d(2)), (2, 2, 5), "the input before it has no weights"),
        (nn.Sequential(Doubled(2, 2, 1), nn.BatchNorm1d(2)), (2, 2, 5), "mul before it"),
        (
            nn.Sequential(nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2, track_running_stats=False)),
            (2, 2, 5),
            "no running statistics",
        ),
        (
            nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(2)),
            (2, 2, 4),
            r"normalises 2 channels, but '0' \(Linear\) has 3",
        ),
        (
            negative(nn.Sequential(nn.Conv2d(2, 2, 1), nn.MaxPool2d(2), nn.BatchNorm2d(2))),
            (2, 2, 4, 4),
            "'1' .MaxPool2d. is in between: a negative gamma",
        ),
        (
            nn.Sequential(nn.Conv2d(2, 2, 1), nn.AvgPool2d(3, 1, 1), nn.BatchNorm2d(2)),
            (2, 2, 4, 4),
            "zeros of its padding",
        ),
        (
            nn.Sequential(
                nn.Conv2d(2, 2, 1), nn.AvgPool2d(2, divisor_override=3), nn.BatchNorm2d(2)
            ),
            (2, 2, 4, 4),
            "it is no mean",
        ),
        (nn.Sequential(pruned(), nn.BatchNorm1d(2)), (2, 2, 5), "computed by a hook"),
    ],
)
def test_what_stays_is_reported(model, shape, message):
    with pytest.warns(UserWarning, match=f"batch norm that stays: .*{message}"):
        fused = fuse_batch_norm(model)
    assert len(norms_in(fused)) == 1
    x = torch.randn(shape)
    torch.testing.assert_close(outputs(fused, x), outputs(model, x), rtol=0, atol=0)


def test_some_fold_and_some_stay():
    model = nn.Sequential(nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.BatchNorm1d(3))
    with pytest.warns(UserWarning, match=r"stays: '3' \(BatchNorm1d\): '2'"):
        assert norms_in(fuse_batch_norm(lively(model))) == ["3"]


def test_without_batch_norm():
    model = nn.Sequential(nn.Linear(2, 3))
    fused = fuse_batch_norm(model)
    assert torch.equal(fused[0].weight, model[0].weight) and fused[0] is not model[0]


class Untraceable(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv1d(2, 2, 1), nn.BatchNorm1d(2)

    def forward(self, x):
        return self.norm(self.conv(x)) if x.sum() > 0 else x


def test_refusals():
    with pytest.raises(TypeError, match=r"takes a torch.nn.Module, got list"):
        fuse_batch_norm([nn.Linear(2, 2)])
    with pytest.raises(ValueError, match=r"torch.fx can't trace Untraceable"):
        fuse_batch_norm(Untraceable())
    with pytest.raises(ValueError, match="can't run on example_input"):
        model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
        fuse_batch_norm(model, torch.zeros(3, 7))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hooked = nn.Sequential(nn.utils.weight_norm(nn.Conv1d(2, 2, 1)), nn.BatchNorm1d(2))
    with pytest.raises(ValueError, match=r"can't be copied, because weights of \['0'\]"):
        fuse_batch_norm(hooked)


def test_an_example_shows_what_names_do_not():
    """BatchNorm1d normalises the middle axis, Linear makes the last one."""
    model = lively(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)))
    with pytest.raises(ValueError, match="'1' is not the same folded into '0'"):
        fuse_batch_norm(model, torch.randn(2, 3, 4))


def test_numbers_stay_where_they_are():
    model = lively(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))).half()
    model[0].weight.requires_grad_(False)
    fused = fuse_batch_norm(model)
    assert fused[0].bias.dtype == torch.float16 and not fused[0].bias.requires_grad
    want = model[0].weight.float() * (
        model[1].weight / torch.sqrt(model[1].running_var.float() + model[1].eps)
    ).unsqueeze(1)
    np.testing.assert_allclose(fused[0].weight.float(), want.detach(), rtol=1e-3)
