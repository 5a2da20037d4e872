"""Models as the tutorials and model zoos of the libraries write them, at a small size.

Weights lie on a grid on which float32 is exact, so that outputs are compared with ==.
"""

import functools as ft
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import neurojax as nj
from neurojax.converters.torch import from_torch
from tests.converters._imports import at_once, check_equal, step_by_step, torch_outputs
from tests.converters._live import fill_on_grid, on_grid, outputs_of, peer, spikes_in

snn = peer("snntorch")
utils = peer("snntorch.utils")
norse = peer("norse.torch")
sinabs = peer("sinabs.layers")
neuron = peer("spikingjelly.activation_based.neuron")
layer = peer("spikingjelly.activation_based.layer")
functional = peer("spikingjelly.activation_based.functional")
exchange = peer("spikingjelly.activation_based.lava_exchange")


def statistics_on_grid(module):
    """Running statistics of trained models, with which a batch norm computes exactly."""
    rng = np.random.default_rng(3)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.eps = 0.0
            norm.running_mean.copy_(torch.as_tensor(on_grid(rng, norm.running_mean.shape, 0.5)))
            quarters = rng.choice(np.float32([0.25, 1, 4]), norm.running_var.shape)
            norm.running_var.copy_(torch.as_tensor(quarters))
    return module


# SpikingJelly


class BasicBlock(nn.Module):
    """Of SpikingJelly's spiking_resnet, and with `sew` of its sew_resnet."""

    def __init__(self, channels, out, stride, sew):
        super().__init__()
        self.conv1 = layer.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = layer.BatchNorm2d(out)
        self.sn1 = neuron.IFNode(0.5)
        self.conv2 = layer.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = layer.BatchNorm2d(out)
        self.sn2 = neuron.IFNode(0.5)
        self.sew, self.downsample = sew, None
        if stride != 1 or channels != out:
            self.downsample = nn.Sequential(
                layer.Conv2d(channels, out, 1, stride, bias=False), layer.BatchNorm2d(out)
            )
            if sew:
                self.downsample.append(neuron.IFNode(0.5))

    def forward(self, x):
        identity = x if self.downsample is None else self.downsample(x)
        out = self.bn2(self.conv2(self.sn1(self.bn1(self.conv1(x)))))
        if self.sew:
            return identity + self.sn2(out)
        out += identity
        return self.sn2(out)


class SpikingResNet(nn.Module):
    def __init__(self, sew, step_mode):
        super().__init__()
        self.conv1 = layer.Conv2d(2, 4, 3, padding=1, bias=False)
        self.bn1, self.sn1 = layer.BatchNorm2d(4), neuron.IFNode(0.5)
        self.maxpool = layer.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = nn.Sequential(BasicBlock(4, 4, 1, sew), BasicBlock(4, 8, 2, sew))
        self.avgpool, self.fc = layer.AdaptiveAvgPool2d((1, 1)), layer.Linear(8, 3)
        functional.set_step_mode(self, step_mode)

    def forward(self, x):
        x = self.maxpool(self.sn1(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer1(x))
        x = torch.flatten(x, 1) if self.avgpool.step_mode == "s" else torch.flatten(x, 2)
        return self.fc(x)


@pytest.mark.parametrize(("sew", "mode", "run"), [(False, "m", at_once), (True, "s", step_by_step)])
def test_spiking_resnet(sew, mode, run):
    check_equal(statistics_on_grid(SpikingResNet(sew, mode)), (2, 8, 8), run)


class FashionNet(nn.Module):
    """The image goes in at every step; the mean over time comes out."""

    def __init__(self, steps):
        super().__init__()
        self.steps = steps
        self.conv_fc = nn.Sequential(
            layer.Conv2d(1, 4, kernel_size=3, padding=1, bias=False),
            layer.BatchNorm2d(4),
            neuron.IFNode(),
            layer.MaxPool2d(2, 2),
            layer.Flatten(),
            layer.Linear(64, 10, bias=False),
            neuron.LIFNode(tau=2.0),
        )
        functional.set_step_mode(self, step_mode="m")

    def forward(self, x):
        x_seq = x.unsqueeze(0).expand(self.steps, -1, -1, -1, -1)
        return self.conv_fc(x_seq).mean(0)


def test_an_image_classifier_of_spikingjelly():
    module = statistics_on_grid(FashionNet(4))
    rng = np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(1, 8, 8))
    image = rng.integers(0, 5, (3, 1, 8, 8)).astype(np.float32) / 4
    rates = outputs_of(network, np.stack([image] * 4)).mean(0)
    np.testing.assert_array_equal(rates, torch_outputs(module, image))
    assert np.ptp(rates) > 0
    assert "decode.mean_over_time" in str(network.provenance["conv_fc.6"].notes)


@pytest.mark.parametrize(
    ("decode", "of_all"),
    [(None, None), ("max-mem", "max_over_time"), ("mean-mem", None), ("last_mem", "last")],
)
def test_a_readout_without_spikes(decode, of_all):
    module = nn.Sequential(
        layer.Linear(4, 8, step_mode="m"),
        neuron.IFNode(step_mode="m"),
        layer.Linear(8, 3, step_mode="m"),
        neuron.NonSpikingLIFNode(2.0, decode=decode),
    )
    rng = np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(4,))
    inputs = spikes_in(rng, 5, 4, (4,))
    outputs, expected = outputs_of(network, inputs), torch_outputs(module, inputs)
    if decode is None:  # a list of the steps
        np.testing.assert_array_equal(outputs, torch.stack(expected))
    elif decode == "mean-mem":
        np.testing.assert_allclose(outputs.mean(0), expected, atol=1e-6)
    else:
        np.testing.assert_array_equal(getattr(nj.decode, of_all)(outputs), expected)


def test_the_norm_of_lava_exchange_is_not_that_of_spikingjelly():
    module = nn.Sequential(nn.Conv2d(1, 2, 3), exchange.BatchNorm2d(2))
    module[1].running_mean += 0.25
    module[1].running_var += 9.0
    network = check_equal(module, (1, 5, 5))
    assert type(network["1"]).__name__ == "ShiftNorm"


# snnTorch


class Static(nn.Module):
    """Tutorial 5: the same input in every step, the number of steps is an option."""

    def __init__(self):
        super().__init__()
        self.fc1, self.lif1 = nn.Linear(6, 8), snn.Leaky(beta=0.5)
        self.fc2, self.lif2 = nn.Linear(8, 3), snn.Leaky(beta=0.5)

    def forward(self, x):
        mem1, mem2 = self.lif1.init_leaky(), self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(7):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


def test_a_static_input_of_snntorch():
    module, rng = Static(), np.random.default_rng(1)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(6,))
    image = spikes_in(rng, 1, 4, (6,))[0]
    run = nj.simulate(network, np.stack([image] * 7), probes=["lif2.v"])
    spikes, membranes = torch_outputs(module, image)
    np.testing.assert_array_equal(run.outputs, spikes)
    np.testing.assert_array_equal(run["lif2.v"], membranes)
    assert spikes.sum() > 0


class HiddenStates(nn.Module):
    """Tutorial 6: a Sequential whose neurons keep their states, and population coding."""

    def __init__(self):
        super().__init__()
        hidden = {"beta": 0.5, "init_hidden": True}
        self.net = nn.Sequential(
            nn.Conv2d(1, 4, 3),
            nn.MaxPool2d(2),
            snn.Leaky(**hidden),
            nn.Flatten(),
            nn.Linear(36, 20),
            snn.Leaky(**hidden, output=True),
        )

    def forward(self, data):
        spk_rec, mem_rec = [], []
        utils.reset(self.net)
        for step in range(data.size(0)):
            spk_out, mem_out = self.net(data[step])
            spk_rec.append(spk_out)
            mem_rec.append(mem_out)
        return torch.stack(spk_rec), torch.stack(mem_rec)


def test_hidden_states_of_snntorch():
    network = check_equal(HiddenStates(), (1, 8, 8), ft.partial(at_once, pick=lambda y: y[0]))
    assert "probes=['net.5.v']" in str(network.provenance["net.5"].notes)


class Regression(nn.Module):
    """A membrane is read out, of a neuron that never spikes; decays and thresholds are learnt."""

    def __init__(self):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(1, 8), nn.Linear(8, 1)
        self.lif1 = snn.Leaky(torch.full((8,), 0.5), threshold=torch.full((8,), 0.25))
        self.li1 = snn.Leaky(torch.tensor(0.5), reset_mechanism="none", learn_beta=True)

    def forward(self, x):
        mem_1, mem_2 = self.lif1.init_leaky(), self.li1.init_leaky()
        mem_rec = []
        for step in range(x.shape[0]):
            spk_1, mem_1 = self.lif1(self.fc1(x[step, :, :]), mem_1)
            _, mem_2 = self.li1(self.fc2(spk_1), mem_2)
            mem_rec.append(mem_2)
        return torch.stack(mem_rec)


def test_a_regression_of_snntorch():
    module, rng = Regression(), np.random.default_rng(1)
    fill_on_grid(module, rng)
    with pytest.warns(UserWarning, match=r"'li1\.v'"):
        network = from_torch(module, input_shape=(1,))
    inputs = on_grid(rng, (6, 4, 1))
    run = nj.simulate(network, inputs, probes=["li1.v"])
    expected = torch_outputs(module, inputs)
    np.testing.assert_array_equal(run["li1.v"], expected)
    assert expected.std() > 0


# Norse

CELL = norse.LIFParameters(v_th=torch.as_tensor(0.25))


class NorseNet(nn.Module):
    """The convolutional classifier of Norse's tutorial: membranes are written into a tensor."""

    def __init__(self):
        super().__init__()
        self.conv1, self.lif0 = nn.Conv2d(1, 4, 3), norse.LIFCell(CELL)
        self.fc1, self.lif1 = nn.Linear(36, 8), norse.LIFRecurrentCell(8, 8, CELL)
        self.out = norse.LILinearCell(8, 3)

    def forward(self, x):
        s0 = s1 = so = None
        voltages = torch.zeros(x.shape[0], x.shape[1], 3, device=x.device, dtype=x.dtype)
        for ts in range(x.shape[0]):
            z, s0 = self.lif0(10 * self.conv1(x[ts, :]), s0)
            z = F.max_pool2d(z, 2, 2).view(-1, 36)
            z, s1 = self.lif1(self.fc1(z), s1)
            voltages[ts, :, :], so = self.out(F.relu(z), so)
        return voltages


class WithMaximum(nn.Module):
    def __init__(self, snn, end):
        super().__init__()
        self.snn, self.end = snn, end

    def forward(self, x):
        y, _ = torch.max(self.snn(x), 0)
        return self.end(y)


def test_a_classifier_of_norse():
    torch.manual_seed(0)
    network = check_equal(NorseNet(), (1, 8, 8), at_once, rounding=1e-6)
    spikes = nj.simulate(network, np.ones((6, 1, 1, 8, 8), np.float32), probes=["lif1"])["lif1"]
    assert spikes.any()
    with_maximum = from_torch(WithMaximum(NorseNet(), lambda y: y), input_shape=(1, 8, 8))
    assert "decode.max_over_time" in str(with_maximum.provenance["snn.out"].notes)
    with pytest.raises(ValueError, match="log_softmax comes after the max over time"):
        end = ft.partial(F.log_softmax, dim=1)
        from_torch(WithMaximum(NorseNet(), end), input_shape=(1, 8, 8))


def test_recurrent_cells_of_norse_return_their_spikes_twice():
    torch.manual_seed(0)
    first = norse.LIFRecurrentCell(4, 8, CELL)
    module = norse.SequentialState(first, nn.Linear(8, 3), norse.LIFRecurrentCell(3, 3, CELL))

    def run(module, inputs):
        outputs, state = [], None
        with torch.no_grad():
            for x in torch.as_tensor(inputs):
                y, state = module(x, state)
                outputs.append(y)
        return torch.stack(outputs).numpy()

    network = check_equal(module, (4,), run)
    assert network.outputs == ("2",)
    assert not any("last step" in note for p in network.provenance.values() for note in p.notes)


# sinabs


def test_an_ann_that_sinabs_made_spiking():
    from_model = peer("sinabs.from_torch").from_model
    ann = nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.ReLU(), nn.AvgPool2d(2))
    ann.extend([nn.Flatten(), nn.Linear(36, 3, bias=False), nn.ReLU()])
    # Its counters of operations hang on every layer, as hooks.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        spiking = from_model(ann, batch_size=4, synops=True, input_shape=(1, 8, 8))

    def run(module, inputs):
        squeezed = inputs.swapaxes(0, 1).reshape(-1, 1, 8, 8)
        peer("sinabs").reset_states(module)
        with torch.no_grad():
            return module(torch.as_tensor(squeezed)).numpy().reshape(4, 6, 3).swapaxes(0, 1)

    assert check_equal(spiking.spiking_model, (1, 8, 8), run).names[:2] == ("0", "1")


class Flattened(nn.Module):
    def __init__(self):
        super().__init__()
        self.flatten, self.conv = sinabs.FlattenTime(), nn.Conv2d(1, 2, 3)
        self.unflatten, self.spike = sinabs.UnflattenTime(batch_size=4), sinabs.IAF()

    def forward(self, x):
        return self.spike(self.unflatten(self.conv(self.flatten(x))))


def test_modules_of_sinabs_that_move_time():
    check_equal(Flattened(), (1, 5, 5), ft.partial(at_once, axis=1))


@pytest.mark.parametrize("kind", ["IAFRecurrent", "ALIF"])
def test_modules_that_sinabs_cannot_copy(kind):
    options = {
        "IAFRecurrent": {"rec_connect": nn.Linear(5, 5, bias=False)},
        "ALIF": {"tau_mem": 9.0, "tau_adapt": 9.0, "norm_input": False, "train_alphas": True},
    }
    module = nn.Sequential(nn.Linear(4, 5), getattr(sinabs, kind)(**options[kind]))
    rng = np.random.default_rng(0)
    fill_on_grid(module, rng)
    inputs = spikes_in(rng, 6, 4, (4,))
    expected = module(torch.as_tensor(inputs.swapaxes(0, 1))).detach().numpy().swapaxes(0, 1)
    network = from_torch(module, input_shape=(4,))
    np.testing.assert_array_equal(outputs_of(network, inputs), expected)
    assert expected.any()


# Plain torch


class ResNetBlock(nn.Module):
    """Of torchvision: in-place operations, a downsampling that may be None."""

    def __init__(self, channels, out, stride=1):
        super().__init__()
        self.conv1, self.bn1 = (
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.downsample = None
        if channels != out:
            conv = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(conv, nn.BatchNorm2d(out))

    def forward(self, x):
        identity = x
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


def test_a_resnet_without_spikes():
    head = [nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(8, 3)]
    module = nn.Sequential(ResNetBlock(2, 4), ResNetBlock(4, 8, 2), *head)
    check_equal(statistics_on_grid(module), (2, 8, 8), rounding=1e-5)


def test_a_pool_to_more_than_there_is():
    """VGGs pool to 7 x 7, and get 1 x 1 from small images."""
    check_equal(nn.Sequential(nn.Conv2d(1, 2, 4), nn.AdaptiveAvgPool2d((3, 3))), (1, 4, 4))
