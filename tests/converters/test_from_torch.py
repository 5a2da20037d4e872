"""Torch models become networks that compute the same: graphs, shapes, and what the card says.

Weights lie on a grid on which float32 is exact, so that outputs are compared with ==.
"""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import neurojax as nj
from neurojax.converters import Converted, register
from neurojax.converters.torch import from_torch
from tests.converters._imports import at_once, check_equal
from tests.converters._live import fill_on_grid, outputs_of, peer, spikes_in

neuron = peer("spikingjelly.activation_based.neuron")
layer = peer("spikingjelly.activation_based.layer")
functional = peer("spikingjelly.activation_based.functional")


class Residual(nn.Module):
    """Sums, differences, multiples, concatenations, functions, reshapes in every spelling."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(16, 3)
        self.spikes = neuron.IFNode(0.125)

    def forward(self, x):
        y = F.relu(self.conv1(x)).clamp(min=0)
        z = y + self.conv2(y)
        z = F.max_pool2d(z, 2) - 0.5 * F.avg_pool2d(F.relu6(y), 2)
        z += F.adaptive_avg_pool2d(y, (4, 4))
        z = torch.sum(z, dim=(2, 3)) / 64
        z = torch.cat([z, -z, z + z, torch.zeros_like(z) + z], dim=-1)
        z = self.drop(z) + z
        z = z.view(z.size(0), 2, -1).flatten(1).unsqueeze(1).squeeze(1).contiguous()
        return self.spikes(self.fc(z.reshape(z.shape[0], -1)))


def test_a_residual_network():
    network = check_equal(Residual(), (2, 8, 8), seed=1)
    edges = {tuple(edge) for edge in network.edges}
    assert ("conv1", "relu", False) in edges and ("clamp", "conv2", False) in edges
    # The skip goes around the dropout, which is off only until training.
    skip = [edge for edge in network.edges if edge.target == "add_5"]
    assert [edge.source for edge in skip] == ["cat", "drop"]
    assert network["drop"].inference
    provenance = network.provenance
    assert provenance["conv1"].source == "torch.Conv2d"
    assert provenance["spikes"].source == "spikingjelly.IFNode"
    checked = "checked on 5 steps x 3 samples: all 45 outputs equal"
    assert provenance["fc"].notes[-1].startswith(checked)


class Block(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.body = nn.ModuleDict(
            {"fc": nn.Linear(features, features), "lif": neuron.LIFNode(v_threshold=0.25)}
        )

    def forward(self, x):
        return x + self.body["lif"](self.body["fc"](x))


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(6), Block(6)])
        self.head = nn.Sequential(nn.Linear(6, 4), neuron.LIFNode(v_threshold=0.25))

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_nested_modules_keep_their_paths():
    network = check_equal(Nested(), (6,))
    assert set(network.names) == {
        "blocks.0.body.fc", "blocks.0.body.lif", "blocks.0.add",
        "blocks.1.body.fc", "blocks.1.body.lif", "blocks.1.add", "head.0", "head.1",
    }  # fmt: skip
    inputs = np.ones((3, 2, 6), np.float32)
    run = nj.simulate(network, inputs, probes=["blocks.1.body.lif.v"])
    assert run["blocks.1.body.lif.v"].shape == (3, 2, 6)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(3, 5), nn.Linear(2, 5)
        self.spikes, self.other = neuron.IFNode(), neuron.LIFNode()

    def forward(self, image, sound):
        both = self.left(image) + self.right(sound)
        return {"spikes": self.spikes(both), "parts": (self.other(both), both)}


@pytest.mark.parametrize(
    "given",
    [
        {"input_shape": {"image": (3,), "sound": (2,)}},
        {"input_shape": ((3,), 2)},
        {"example_input": (torch.ones(2, 3), torch.ones(2, 2))},
        {"example_input": {"sound": np.ones((2, 2), np.float32), "image": torch.ones(2, 3)}},
    ],
)
def test_several_inputs_and_outputs(given):
    module, rng = TwoInputs(), np.random.default_rng(1)
    fill_on_grid(module, rng)
    network = from_torch(module, **given)
    assert dict(network.inputs) == {"image": (3,), "sound": (2,)}
    assert network.outputs == ("spikes", "other", "add")
    inputs = {"image": spikes_in(rng, 5, 3, (3,)), "sound": spikes_in(rng, 5, 3, (2,))}
    outputs = nj.simulate(network, inputs).outputs
    copied = copy.deepcopy(module).eval()
    with torch.no_grad():
        for t in range(5):
            expected = copied(*(torch.as_tensor(inputs[n][t]) for n in ("image", "sound")))
            np.testing.assert_array_equal(outputs["spikes"][t], expected["spikes"])
            np.testing.assert_array_equal(outputs["other"][t], expected["parts"][0])
            np.testing.assert_array_equal(outputs["add"][t], expected["parts"][1])


def test_a_single_module_and_an_identity():
    network = check_equal(nn.Linear(3, 2), (3,))
    assert network.names == ("linear",)
    network = check_equal(nn.Sequential(), (3,))
    assert network.names == ("output",)


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)
        self.first, self.second = neuron.IFNode(), neuron.IFNode()

    def forward(self, x):
        return self.second(self.fc(self.first(self.fc(x))))


def test_weights_that_are_shared_become_copies_and_say_so():
    network = check_equal(Shared(), (4,))
    assert set(network.names) == {"fc", "first", "fc_2", "second"}
    assert network.provenance["fc_2"].notes[0].startswith("torch shares the weights with 'fc'")


class Functional(nn.Module):
    """Weights without modules, among them a mask; a gain for each channel."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(4, 3))
        self.kernel_weight = nn.Parameter(torch.zeros(4, 1, 3))
        self.bias = nn.Parameter(torch.zeros(4))
        self.gain = nn.Parameter(torch.tensor([[0.5], [1.0], [2.0], [4.0]]))
        self.register_buffer("mask", torch.tensor([1.0, 0.0, 1.0]))
        self.register_buffer("small", torch.tensor(0.5))

    def forward(self, x):
        y = F.linear(x, self.weight * self.mask, self.bias)
        y = F.conv1d(y.unsqueeze(-1).expand(-1, -1, 1), self.kernel_weight[:, :, :], self.bias,
                     padding=1, groups=4)  # fmt: skip
        return F.dropout(self.gain * y, 0.2, self.training).flatten(1) * self.small


def test_functions_with_weights():
    network = check_equal(Functional(), (3,))
    assert network["mul"].factor.shape == (4, 1)
    assert network["mul_2"].factor == 0.5 and isinstance(network["mul_2"].factor, float)
    assert not np.any(np.asarray(network["linear"].weight)[:, 1])


class Upwards(nn.Module):
    """Transposed convolutions as functions, over one axis and over two."""

    def __init__(self):
        super().__init__()
        self.line = nn.Parameter(torch.randn(2, 4, 3))
        self.image = nn.Parameter(torch.randn(4, 1, 3, 2))
        self.bias = nn.Parameter(torch.randn(2))

    def forward(self, x):
        y = F.conv_transpose1d(x, self.line, stride=2, padding=1, output_padding=1)
        return F.conv_transpose2d(
            y.unflatten(2, (2, 4)), self.image, self.bias, (2, 1), 1, (1, 0), 2, dilation=(1, 2)
        )


def test_transposed_convolutions_as_functions():
    network = check_equal(Upwards(), (2, 4), rounding=1e-5)
    assert network["conv_transpose1d"].output_padding == (1,)
    assert network["conv_transpose2d"].groups == 2


def multi_step_network():
    network = nn.Sequential(
        layer.Conv2d(2, 4, 3, bias=False), layer.BatchNorm2d(4), neuron.LIFNode(),
        layer.SeqToANNContainer(nn.MaxPool2d(2)), layer.Flatten(), layer.Linear(16, 5),
        neuron.IFNode(v_reset=None),
    )  # fmt: skip
    functional.set_step_mode(network, "m")
    network[2].step_mode = "m"
    network[3].step_mode = "m"
    return network


@pytest.mark.parametrize("time_axis", ["auto", 0])
def test_spikingjelly_in_multi_step_mode(time_axis):
    network = check_equal(multi_step_network(), (2, 6, 6), at_once, time_axis=time_axis)
    assert network.names == ("0", "1", "2", "3.0", "4", "5", "6")


@pytest.mark.parametrize("time_axis", ["auto", None])
def test_spikingjelly_in_single_step_mode(time_axis):
    network = nn.Sequential(nn.Linear(4, 8), neuron.LIFNode(), nn.Linear(8, 3), neuron.IFNode())
    check_equal(network, (4,), time_axis=time_axis)


class Containers(nn.Module):
    def __init__(self):
        super().__init__()
        stateful = nn.Sequential(nn.Flatten(), nn.Linear(4 * 16, 6), neuron.LIFNode())
        self.features = layer.SeqToANNContainer(nn.Conv2d(2, 4, 3), nn.ReLU())
        self.steps = layer.MultiStepContainer(*stateful)
        self.last = layer.StepModeContainer(True, "m", nn.Linear(6, 3), neuron.IFNode())

    def forward(self, x):
        return self.last(self.steps(self.features(x)))


def test_spikingjelly_containers():
    check_equal(Containers(), (2, 6, 6), at_once)


class MergedTime(nn.Module):
    """Time and batch in one axis and apart again, and a mean over time at the end."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.spikes = neuron.LIFNode(step_mode="m")
        self.fc = nn.Linear(64, 5)

    def forward(self, x):
        steps, batch = x.shape[:2]
        y = self.conv(x.flatten(0, 1))
        y = self.spikes(y.view(steps, batch, *y.shape[1:]))
        y = self.fc(y.flatten(2).reshape(steps * batch, -1)).unflatten(0, (steps, batch))
        return y.mean(0)


def test_time_and_batch_in_one_axis():
    mean_of = lambda module, inputs: at_once(module, inputs)  # noqa: E731
    module, rng = MergedTime(), np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, torch.as_tensor(spikes_in(rng, 8, 3, (2, 6, 6))))
    inputs = spikes_in(rng, 8, 4, (2, 6, 6))
    mean = nj.decode.mean_over_time(outputs_of(network, inputs))
    np.testing.assert_allclose(mean, mean_of(module, inputs), rtol=0, atol=1e-6)
    note = "torch returns its mean over time: neurojax.decode.mean_over_time(run.outputs)"
    assert network.provenance["fc"].notes[0] == note


class Repeats(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = layer.Linear(4, 6, step_mode="m")
        self.spikes = neuron.IFNode(step_mode="m")

    def forward(self, x):
        return self.spikes(self.fc(x.unsqueeze(0).repeat(7, 1, 1))).sum(dim=0)


def test_an_input_that_is_repeated_in_every_step():
    module, rng = Repeats(), np.random.default_rng(0)
    fill_on_grid(module, rng)
    network = from_torch(module, input_shape=(4,))
    image = spikes_in(rng, 1, 3, (4,))
    counts = nj.decode.sum_over_time(outputs_of(network, np.repeat(image, 7, 0)))
    np.testing.assert_array_equal(counts, at_once(module, image[0]))
    assert "repeats the input in every step" in network.provenance["fc"].notes[0]


def test_the_module_is_left_as_it_is():
    module = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), neuron.LIFNode(), nn.Dropout(0.5))
    module.train()
    module[0].eval()
    module(torch.rand(8, 4)).sum().backward()  # now the membrane is the result of a computation
    state = {name: value.clone() for name, value in module.state_dict().items()}
    flags = [m.training for m in module.modules()]
    membrane, generator = module[2].v, torch.get_rng_state()
    forwards = [vars(m).get("forward") for m in module.modules()]
    from_torch(module, input_shape=(4,))
    assert all(torch.equal(value, state[name]) for name, value in module.state_dict().items())
    assert [m.training for m in module.modules()] == flags
    assert module[2].v is membrane and membrane.grad_fn is not None
    assert torch.equal(torch.get_rng_state(), generator)
    assert [vars(m).get("forward") for m in module.modules()] == forwards
    assert module[0].weight.grad is not None


def test_an_example_is_what_layers_are_checked_on():
    network = from_torch(nn.Linear(3, 2), torch.ones(7, 3))
    assert "5 steps x 7 samples: all 70 outputs" in network.provenance["linear"].notes[-1]
    network = from_torch(nn.Linear(3, 2), torch.ones(7, 3), check=False)
    assert network.provenance["linear"].notes == ()


class Squared(nn.Module):
    """A neuron of a user: fires where the square of what it has summed up reaches 1."""

    def __init__(self, leak):
        super().__init__()
        self.leak = leak
        self.v = 0.0

    def forward(self, x):
        self.v = self.leak * self.v + x
        spikes = (self.v >= 1).float()
        self.v = self.v - spikes
        return spikes


def test_a_neuron_that_a_user_registers():
    @register(Squared)
    def squared(module, in_shape):
        return Converted({"": nj.LIF(decay=module.leak)}, notes=("hello",), sequence=False)

    module = nn.Sequential(nn.Linear(4, 6), Squared(0.5), nn.Linear(6, 3), Squared(0.25))
    network = check_equal(module, (4,))
    assert network.provenance["1"].notes[0] == "hello"
    assert network.provenance["1"].source == f"{Squared.__module__.partition('.')[0]}.Squared"


class Doubled(nn.Module):
    """Becomes two layers, one of which would like the name of a module."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x):
        return 4 * x


class Holder(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = Doubled()

    def forward(self, x):
        return self.a(self.a.fc(x))


def test_parts_of_a_module_have_names_of_their_own():
    @register(Doubled)
    def doubled(module, in_shape):
        return Converted({"fc": nj.Scale(2.0), "": nj.Scale(2.0)})

    network = check_equal(Holder(), (4,))
    assert network.names == ("a.fc", "a.fc_2", "a")


def test_gradients_flow_to_what_was_imported():
    import jax

    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    network = from_torch(module, input_shape=(4,))
    x = np.random.default_rng(0).random((1, 5, 4)).astype(np.float32)
    grads = jax.jit(jax.grad(lambda net: nj.simulate(net, x).outputs.sum()))(network)
    module(torch.as_tensor(x[0])).sum().backward()
    for name in ("0", "2"):
        np.testing.assert_allclose(grads[name].weight, module[int(name)].weight.grad, atol=1e-5)
        np.testing.assert_allclose(grads[name].bias, module[int(name)].bias.grad, atol=1e-5)


def test_a_network_of_ours_comes_back_exactly():
    import equinox as eqx
    import jax

    from neurojax.converters.to_torch import to_torch

    network = nj.Sequential((4,), fc=nj.Linear(4, 3, key=jax.random.key(0)), lif=nj.LIF(tau=5.0))
    assert eqx.tree_equal(from_torch(to_torch(network), input_shape=(4,)), network)
