"""hs_api's converter: its recordings in one of two modes, and SpikingJelly on every frame."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.mapping import run
from neurojax.chips.cri.models import LIF_neuron
from neurojax.converters.cri import (
    BN_Folder,
    CRI_Converter,
    Quantize_Network,
    isSNNLayer,
    weight_quantization,
)
from tests.converters._live import fill_on_grid, peer

LEAKS = {"leak64_exactIF": 64, "leak62": 62, "leak63_defect": 63}
NETWORKS = ["conv_mlp_nobias", "conv_mlp_bias", "conv_cnn_s2p1", "conv_cnn_bias"]


@pytest.fixture
def recorded(golden):
    def read(name):
        folder = golden / "cri"
        return json.loads((folder / f"{name}.json").read_text()), np.load(folder / f"{name}.npz")

    return read


def if_node(threshold):
    return peer("spikingjelly.activation_based.neuron").IFNode(v_threshold=float(threshold))


def with_weights(module, weight, bias=None):
    module.weight = torch.nn.Parameter(torch.tensor(np.asarray(weight, np.float32)))
    if bias is not None:
        module.bias = torch.nn.Parameter(torch.tensor(np.asarray(bias, np.float32)))
    return module


def linear(weight, bias=None):
    out, into = weight.shape
    return with_weights(torch.nn.Linear(into, out, bias=bias is not None), weight, bias)


def conv(weight, bias=None, **options):
    out, into, *kernel = weight.shape
    module = torch.nn.Conv2d(into, out, kernel, bias=bias is not None, **options)
    return with_weights(module, weight, bias)


def model_of(name, arrays, facts):
    """The recorded network in torch."""
    a = arrays
    t = facts["thresholds"]
    identity, flatten = torch.nn.Identity(), torch.nn.Flatten()
    layers = {
        "conv_mlp_nobias": lambda: [linear(a["w0"]), if_node(t[0]), linear(a["w2"]), if_node(t[1])],
        "conv_mlp_bias": lambda: [
            flatten,
            linear(a["w1"], a["b1"]),
            if_node(t[0]),
            linear(a["w3"], a["b3"]),
            if_node(t[1]),
            linear(a["w5"], a["b5"]),
            if_node(t[2]),
        ],
        "conv_cnn_s2p1": lambda: [
            conv(a["w0"], stride=2, padding=1),
            identity,
            if_node(t[0]),
            flatten,
            linear(a["w4"]),
            if_node(t[1]),
        ],
        "conv_cnn_bias": lambda: [
            conv(a["w0"], a["b0"]),
            identity,
            if_node(t[0]),
            conv(a["w3"], a["b3"], stride=2),
            identity,
            if_node(t[1]),
            flatten,
            linear(a["w7"], a["b7"]),
            if_node(t[2]),
        ],
    }[name]()
    return torch.nn.Sequential(*layers)


def converter_of(facts, arrays, *, compat):
    shape = tuple(facts.get("input_shape", arrays["X"].shape[2:]))
    made = CRI_Converter(
        arrays["X"].shape[1],
        facts.get("input_layer", 0),
        facts.get("output_layer", -1),
        shape,
        facts.get("thresholds", [0])[-1],
        0,
        dvs=True,
        compat=compat,
    )
    return made


def patched(converter, leak):
    """The converted network as the recordings ran it: no noise, another leak."""
    neurons = {
        key: (synapses, LIF_neuron(model.threshold, -16, leak))
        for key, (synapses, model) in converter.neuron_dict.items()
    }
    return CRINetwork(converter.axon_dict, neurons, converter.output_neurons, order="main")


def pairs(synapses):
    return [[key, weight] for key, weight in synapses]


def same_dictionaries(converter, facts):
    assert {k: pairs(v) for k, v in converter.axon_dict.items()} == facts["axons"]
    assert list(converter.axon_dict) == list(facts["axons"])
    assert list(converter.neuron_dict) == facts["neuron_order"]
    for key, (synapses, model) in converter.neuron_dict.items():
        wanted = facts["neurons"][key]
        assert pairs(synapses) == wanted["syn"], key
        assert (model.get_neuronModel(), model.threshold, model.shift, model.leak) == (
            wanted["model"],
            wanted["threshold"],
            wanted["shift"],
            wanted["leak"],
        ), key
    assert converter.output_neurons == facts["outputs"]
    assert [list(ends) for ends in converter.bias_dict.values()] == facts["bias_dict"]
    assert converter.snn_layers == facts["snn_layers"]


@pytest.mark.parametrize("name", NETWORKS)
def test_main_makes_what_was_recorded(name, recorded):
    facts, arrays = recorded(name)
    converter = converter_of(facts, arrays, compat="main")
    converter.layer_converter(model_of(name, arrays, facts))
    same_dictionaries(converter, facts)
    inputs = converter.input_converter(arrays["X"])
    assert inputs == facts["input_axons"]
    for label, leak in LEAKS.items():
        network = patched(converter, leak)
        counts = converter.run_CRI_sw(inputs, network)
        np.testing.assert_array_equal(counts, arrays[f"spike_counts_{label}"])
    if name != "conv_cnn_bias":
        return
    network.reset()
    for t, axons in enumerate(converter._with_flush(inputs[0])):
        potentials, _ = network.step(axons, membranePotential=True)
        assert [v for _, v in potentials] == arrays["V_leak63_defect"][0, t].tolist()


@pytest.mark.parametrize("name", NETWORKS)
def test_default_computes_what_the_model_does(name, recorded):
    """Thresholds of their own layers, biases in the flush: every frame is SpikingJelly's."""
    facts, arrays = recorded(name)
    converter = converter_of(facts, arrays, compat=None)
    converter.layer_converter(model_of(name, arrays, facts))
    frames = run(converter.mapped, jnp.asarray(np.swapaxes(arrays["X"], 0, 1), jnp.float32))
    np.testing.assert_array_equal(np.swapaxes(frames, 0, 1), arrays["S_torch"])
    counts = converter.run_CRI_sw(converter.input_converter(arrays["X"]))
    np.testing.assert_array_equal(counts, arrays["S_torch"].sum(axis=1))


def flow_model(arrays):
    norm = torch.nn.BatchNorm2d(3)
    for key, name in zip("mvgb", ["running_mean", "running_var", "weight", "bias"], strict=True):
        getattr(norm, name).data = torch.tensor(arrays[f"bn_{key}"])
    return torch.nn.Sequential(
        conv(arrays["w_conv"], stride=2, padding=1),
        norm,
        if_node(1.0),
        torch.nn.Flatten(),
        linear(arrays["w_fc"]),
        if_node(1.0),
    ).eval()


def test_whole_flow(recorded):
    facts, arrays = recorded("flow_cnn")
    folded = BN_Folder().fold(flow_model(arrays))
    quantiser = Quantize_Network(w_alpha=facts["w_alpha"], compat="main")
    model = quantiser.quantize(folded)
    assert [model[2].v_threshold, model[5].v_threshold] == arrays["thr"].tolist()
    assert quantiser.v_threshold == facts["v_threshold"]
    for layer, name in ((model[0].weight, "wq_conv"), (model[0].bias, "bq_conv")):
        np.testing.assert_array_equal(layer.detach().numpy(), arrays[name])
    np.testing.assert_array_equal(model[4].weight.detach().numpy(), arrays["wq_fc"])
    facts["thresholds"] = arrays["thr"].tolist()

    converter = converter_of(facts, arrays, compat="main")
    converter.layer_converter(model)
    same_dictionaries(converter, facts)
    inputs = converter.input_converter(arrays["X"])
    assert inputs == facts["input_axons"]
    counts = converter.run_CRI_sw(inputs, patched(converter, 64))
    np.testing.assert_array_equal(counts, arrays["spike_counts"])

    right = converter_of(facts, arrays, compat=None)
    right.layer_converter(model)
    counts = right.run_CRI_sw(right.input_converter(arrays["X"]))
    np.testing.assert_array_equal(counts, arrays["S_torch"].sum(axis=1))


@pytest.mark.parametrize("alpha", ["1", "4", "5", "0.7"])
def test_quantiser(alpha, golden):
    arrays = np.load(golden / "cri" / "quantise.npz")
    weight, bias = arrays[f"w_{alpha}"], arrays[f"bias_{alpha}"]
    model = torch.nn.Sequential(
        linear(weight[None], bias), if_node(1.0), torch.nn.Linear(1, 1), if_node(0.3)
    )
    model[2] = linear(np.zeros((1, 1)))
    peers = Quantize_Network(float(alpha), compat="main")
    quantised = peers.quantize(model)
    np.testing.assert_array_equal(quantised[0].weight[0].detach(), arrays[f"wq_{alpha}"])
    np.testing.assert_array_equal(quantised[0].bias.detach(), arrays[f"bq_{alpha}"])
    assert [quantised[1].v_threshold, quantised[3].v_threshold] == arrays[f"thr_{alpha}"][
        :2
    ].tolist()
    np.testing.assert_array_equal(model[0].weight[0].detach(), weight)
    with pytest.warns(UserWarning, match="w_alpha"):
        ours = Quantize_Network(float(alpha)).quantize(model)
    np.testing.assert_array_equal(ours[0].weight[0].detach(), arrays[f"wround_{alpha}"])


def test_quantiser_passes_gradients():
    w = torch.tensor([0.5, -3.0, 2.0, 0.1], requires_grad=True)
    alpha = torch.tensor(1.0, requires_grad=True)
    (weight_quantization(15)(w, alpha) * torch.tensor([1.0, 2.0, 3.0, 4.0])).sum().backward()
    assert w.grad.tolist() == [1.0, 0.0, 0.0, 4.0]
    assert alpha.grad == -2.0 + 3.0


def test_folded_norms(golden):
    a = np.load(golden / "cri" / "bn_fold.npz")
    model = torch.nn.Sequential(
        conv(a["conv_w"], a["conv_b"]),
        torch.nn.BatchNorm2d(3),
        torch.nn.Flatten(),
        linear(a["fc_w"]),
        torch.nn.BatchNorm1d(5),
    )
    for norm, prefix in ((model[1], "bn_"), (model[4], "bn1_")):
        for key, name in zip(
            "mvgb", ["running_mean", "running_var", "weight", "bias"], strict=True
        ):
            getattr(norm, name).data = torch.tensor(a[prefix + key])
    with pytest.raises(ValueError, match="eval"):
        BN_Folder().fold(model)
    folded = BN_Folder().fold(model.eval())
    for layer, prefix in ((folded[0], "out_conv_"), (folded[3], "out_fc_")):
        # Last bits depend on the order of the products.
        np.testing.assert_allclose(layer.weight.detach(), a[prefix + "w"], rtol=2e-7, atol=0)
        np.testing.assert_allclose(layer.bias.detach(), a[prefix + "b"], rtol=1e-6, atol=1e-7)


# Models that are no Sequential, other libraries


class Branches(torch.nn.Module):
    """Two branches of different depth that are added, as in spiking residual networks."""

    def __init__(self):
        super().__init__()
        self.first, self.fire = torch.nn.Conv2d(2, 4, 3, padding=1), if_node(1.0)
        self.inner, self.fire_inner = torch.nn.Conv2d(4, 4, 3, padding=1, groups=2), if_node(1.0)
        self.pool = torch.nn.AvgPool2d(2)
        self.out, self.fire_out = torch.nn.Linear(4 * 3 * 3, 5), if_node(0.125)

    def forward(self, x):
        x = self.fire(self.first(x))
        x = x + self.fire_inner(self.inner(x))
        return self.fire_out(self.out(self.pool(x).flatten(1)))


def test_spikingjelly_on_every_frame():
    """Live, with leak, branches, groups and an average: equal spikes, frame by frame."""
    model = Branches().eval()
    rng = np.random.default_rng(2)
    fill_on_grid(model, rng, 0.5)
    x = (rng.random((7, 3, 2, 6, 6)) < 0.4).astype(np.float32)
    with torch.no_grad():
        wanted = np.stack([model(torch.tensor(frame)).numpy() for frame in x])
    peer("spikingjelly.activation_based.functional").reset_net(model)
    converter = CRI_Converter(7, 0, -1, (2, 6, 6), dvs=True)
    converter.layer_converter(model)
    np.testing.assert_array_equal(run(converter.mapped, jnp.asarray(x)), wanted)
    assert 0.05 < wanted.mean() < 0.95
    inputs = converter.input_converter(np.swapaxes(x, 0, 1))
    counts = converter.run_CRI_sw(inputs)
    np.testing.assert_array_equal(counts, wanted.sum(axis=0))

    # The dense engine, fed with the converter's axons: the same frames, latency later.
    late = converter.snn_layers
    named = [converter._with_flush(sample) for sample in inputs]
    axons = np.array(
        [[[float(key in set(step)) for key in converter.axon_dict] for step in s] for s in named]
    )
    dense = nj.simulate(converter.network.crossbar(), jnp.asarray(np.swapaxes(axons, 0, 1)))
    np.testing.assert_array_equal(dense.outputs[late:], wanted)


@pytest.mark.parametrize(("beta", "mechanism"), [(1.0, "subtract"), (0.5, "zero"), (0.0, "zero")])
def test_snntorch_on_every_frame(beta, mechanism, golden):
    snntorch = peer("snntorch")
    facts = json.loads((golden / "cri" / "snntorch_mlp.json").read_text())
    options = {"beta": beta, "threshold": 8.0, "reset_mechanism": mechanism, "init_hidden": True}
    model = torch.nn.Sequential(
        linear(np.array(facts["w0"])),
        snntorch.Leaky(**options),
        linear(np.array(facts["w2"])),
        snntorch.Leaky(**options, output=False),
    )
    assert [isSNNLayer(layer) for layer in model] == [False, True, False, True]
    # Even weights: membranes stay integers for one halving, and then the chip rounds down.
    x = np.asarray(facts["X"], np.float32)
    x = np.swapaxes(x, 0, 1)
    network = nj.converters.from_torch(model, input_shape=(9,))
    converter = CRI_Converter(6, 0, -1, (9,), backend="snntorch", dvs=True)
    converter.layer_converter(network)
    got = np.asarray(run(converter.mapped, jnp.asarray(x)))
    if beta == 0.5:
        wanted = halved(facts, x)
    else:
        wanted = []
        for frame in x:
            wanted.append(model(torch.tensor(frame)).detach().numpy())
    np.testing.assert_array_equal(got, wanted)


def halved(facts, x):
    """Leak 1 of the chip with snnTorch's reset, in integers."""
    weights = [np.array(facts[name], np.int64) for name in ("w0", "w2")]
    v = [np.zeros((x.shape[1], len(w)), np.int64) for w in weights]
    out = []
    for frame in x.astype(np.int64):
        s = frame
        for i, w in enumerate(weights):
            v[i] = np.where(v[i] > 8, 0, v[i] - (v[i] >> 1)) + s @ w.T
            s = (v[i] > 8).astype(np.int64)
        out.append(s)
    return out


def test_quantised_thresholds_of_snntorch():
    snntorch = peer("snntorch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), snntorch.Leaky(beta=0.5, threshold=0.5))
    assert float(Quantize_Network(1).quantize(model)[1].threshold) == 16384
    assert float(Quantize_Network(1, compat="main").quantize(model)[1].threshold) == 0.5


# Inputs, cuts, devices


def test_flush_of_short_inputs():
    """With fewer steps than layers hs_api loses a frame; the right mode does not."""
    model = torch.nn.Sequential(
        linear(np.full((1, 1), 2)), if_node(1), linear(np.full((1, 1), 2)), if_node(1)
    )
    x = np.ones((1, 1, 1))
    for compat, wanted in ((None, [[1]]), ("main", [[0]])):
        converter = CRI_Converter(1, 0, -1, (1,), dvs=True, compat=compat)
        converter.layer_converter(model)
        inputs = converter.input_converter(x)
        network = converter.network if compat is None else patched(converter, 64)
        assert converter.run_CRI_sw(inputs, network) == wanted


def test_encodings():
    values = np.array([[0.0, 0.25, 1.0, 0.75]])
    model = torch.nn.Sequential(linear(np.ones((1, 4))), if_node(1.0))

    def make(steps=4, **options):
        converter = CRI_Converter(steps, 0, 0, (4,), **options)
        converter.layer_converter(model)
        return converter

    assert make().input_converter(values) == [[["a1", "a2", "a3"]] * 4]
    latency = make(encoding="latency").input_converter(torch.tensor(values))
    assert latency == [[["a2"], ["a3"], ["a1"], []]]
    many = make(2000, encoding="rate", key=jax.random.key(0))
    drawn = many.input_converter(values)[0]
    rates = [sum(f"a{i}" in step for step in drawn) / 2000 for i in range(4)]
    np.testing.assert_allclose(rates, values[0], atol=0.05)
    with pytest.raises(ValueError, match="takes 0"):
        make(encoding="latency").input_converter(values * 2)
    with pytest.raises(ValueError, match="give it a key"):
        make(encoding="rate").input_converter(values)
    with pytest.raises(ValueError, match="batch"):
        make().input_converter(np.zeros((2, 3)))
    # hs_api takes the second axis for the batch.
    odd = CRI_Converter(1, 0, 0, (2, 2), compat="main").input_converter(np.ones((1, 2, 2)))
    assert len(odd) == 2


def test_parts_of_a_model():
    model = torch.nn.Sequential(
        torch.nn.Sequential(linear(np.full((2, 3), 5)), if_node(1)),
        linear(np.full((4, 2), 3)),
        if_node(2),
        torch.nn.Linear(4, 2),
    )
    converter = CRI_Converter(2, 2, 2, (2,))
    converter.layer_converter(model)
    assert len(converter.axon_dict) == 2 and len(converter.output_neurons) == 4
    assert converter.mapped.network.names[0] != "x" and converter.snn_layers == 1
    with pytest.raises(ValueError, match="count from 0"):
        CRI_Converter(2, 0, 9, (2,)).layer_converter(model)
    with pytest.raises(ValueError, match="only its forward knows"):
        CRI_Converter(2, 2, -1, (2, 6, 6)).layer_converter(Branches())
    with pytest.raises(TypeError, match="snn_layers"):
        CRI_Converter(2, 0, 2, 3, (2,), 1, 0)
    with pytest.raises(ValueError, match="layer_converter"):
        _ = CRI_Converter(2, 0, 2, (2,)).network


def test_device_gives_what_the_simulator_gives(recorded):
    facts, arrays = recorded("conv_cnn_bias")
    from neurojax.hardware.cri import SimulatedDevice, configure

    converter = converter_of(facts, arrays, compat=None)
    converter.layer_converter(model_of("conv_cnn_bias", arrays, facts))
    inputs = converter.input_converter(arrays["X"])
    found = converter.run_CRI_hw(
        inputs, configure(converter.network), outputPotential=True, device=SimulatedDevice()
    )
    counts, potentials = converter.run_CRI_sw(inputs, outputPotential=True)
    assert found == (counts, potentials)
    np.testing.assert_array_equal(counts, arrays["S_torch"].sum(axis=1))
    with pytest.raises(TypeError, match=r"a CRINetwork; pass .*configure"):
        converter.run_CRI_hw(inputs, converter.network, device=SimulatedDevice())


def test_saved_model_is_the_network(tmp_path, recorded):
    facts, arrays = recorded("conv_mlp_bias")
    converter = converter_of(facts, arrays, compat=None)
    converter.converted_model_pth = tmp_path / "model"
    converter.layer_converter(model_of("conv_mlp_bias", arrays, facts))
    assert CRINetwork.load(converter.save_model()) == converter.network


def test_inputs_wait_for_the_biases_of_the_model():
    """Without a model its bias axons are not known; hs_api leaves them out without a word."""
    converter = CRI_Converter(4, 0, -1, (2,))
    with pytest.raises(ValueError, match="call layer_converter"):
        converter.input_converter(np.ones((1, 2)))
    bias = np.array([2.0])
    model = torch.nn.Sequential(linear(np.array([[3.0, 1.0]]), bias), if_node(6.0))
    converter.layer_converter(model)
    assert converter.input_converter(np.ones((1, 2))) == [[["a0", "a1", "a2"]] * 4]
    peers = CRI_Converter(4, 0, -1, (2,), compat="main")
    assert peers.input_converter(np.ones((1, 2, 1))) is not None
