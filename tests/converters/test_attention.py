"""Spiking attention: torch modules come in, and become AND neurons on CRI, equal on every frame."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import neurojax as nj
from neurojax.chips import cri
from neurojax.converters.cri import CRI_Converter, Quantize_Network
from neurojax.converters.torch import from_torch
from neurojax.hardware.cri import SimulatedDevice, configure
from neurojax.layers import MatMul, fold_batch_norm
from tests.converters._live import peer
from tests.converters._spikformer import Attention, Block, direct

sj = peer("spikingjelly.activation_based.neuron")
functional = peer("spikingjelly.activation_based.functional")
DIM, TOKENS, HEADS = 6, 3, 2


def if_node(threshold):
    return lambda: sj.IFNode(v_threshold=threshold, step_mode="m")


def whole(module, rng, largest=3):
    """The module with small integers as weights, and norms that multiply by 2 and shift."""
    with torch.no_grad():
        for parameter in module.parameters():
            values = rng.integers(-largest, largest + 1, tuple(parameter.shape))
            parameter.copy_(torch.tensor(values))
        for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm1d)):
            norm.eps = 0.0
            norm.weight.fill_(2.0)
            norm.running_mean.copy_(torch.tensor(rng.integers(-2, 3, norm.num_features)))
    return module.eval()


def attention(rng, **options):
    return whole(Attention(DIM, HEADS, if_node(4.0), if_node(0.5), **options), rng)


def answers(module, x):
    functional.set_step_mode(module, "m")
    functional.reset_net(module)
    with torch.no_grad():
        y = module(torch.tensor(x)).numpy()
    functional.reset_net(module)
    return y


def spikes(rng, *shape):
    return (rng.random(shape) < 0.5).astype(np.float32)


def converted(module, shape, steps, **options):
    converter = CRI_Converter(steps, 0, -1, shape, embed_dim=DIM, dvs=True, **options)
    converter.layer_converter(module)
    return converter


def crossbar_frames(converter, x):
    """Output spikes of each step on the crossbar, flush included, the first L left out."""
    frames = []
    for sample in converter.input_converter(np.swapaxes(x, 0, 1)):
        converter.network.reset()
        found = converter.network.run(converter._with_flush(sample))[converter.snn_layers :]
        keys = converter.output_neurons
        frames.append([[key in set(fired) for key in keys] for fired in found])
    return np.swapaxes(np.array(frames), 0, 1)


@pytest.mark.parametrize("options", [{}, {"norm": False, "bias": True}])
def test_spikformer_attention_is_the_same_on_every_frame(options):
    rng = np.random.default_rng(0)
    module, x = attention(rng, **options), spikes(rng, 6, 2, TOKENS, DIM)
    expected = answers(module, x)
    assert 0.05 < expected.mean() < 0.95
    network = from_torch(module, input_shape=(TOKENS, DIM), time_axis=0)
    assert sum(isinstance(network[name], MatMul) for name in network.names) == 2
    np.testing.assert_array_equal(nj.simulate(network, jnp.asarray(x)).outputs, expected)
    converter = converted(module, (TOKENS, DIM), 6)
    assert converter.snn_layers == 4  # q, k, v; AND; attn; proj
    np.testing.assert_array_equal(cri.run(converter.mapped, jnp.asarray(x)), expected)
    frames = crossbar_frames(converter, x)
    np.testing.assert_array_equal(frames, expected.reshape(*frames.shape))


def test_it_is_what_a_direct_evaluation_gives():
    """No torch in between: integers, and a loop over the terms."""
    rng = np.random.default_rng(5)
    module = attention(rng, norm=False, bias=True)
    x = spikes(rng, 8, 1, TOKENS, DIM)
    weights = {}
    for name in ("q", "k", "v", "proj"):
        layer = getattr(module, f"{name}_linear")
        pair = (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        weights[name] = tuple(array.astype(np.int64) for array in pair)
    # 0.125 a term reaches 0.5 with the fourth.
    thresholds = {"q": 4, "k": 4, "v": 4, "attn": 4, "proj": 4}
    expected = direct(x[:, 0], weights, thresholds, HEADS)
    assert 0.05 < expected.mean() < 0.95
    converter = converted(module, (TOKENS, DIM), 8)
    frames = crossbar_frames(converter, x)[:, 0]
    np.testing.assert_array_equal(frames, expected.reshape(*frames.shape))
    counts = converter.run_CRI_sw(converter.input_converter(np.swapaxes(x, 0, 1)))
    assert counts == [expected.sum(axis=0).ravel().tolist()]


def test_a_whole_block_and_its_memory_image():
    """Residual sums of spikes, layers on tokens, and the machine that reads the image."""
    rng = np.random.default_rng(2)
    module = whole(Block(attention(rng), DIM, 8, if_node(5.0)), rng)
    x = spikes(rng, 5, 2, TOKENS, DIM)
    expected = answers(module, x)
    assert 0.05 < expected.mean() < 0.95
    converter = converted(module, (TOKENS, DIM), 5)
    np.testing.assert_array_equal(cri.run(converter.mapped, jnp.asarray(x)), expected)
    inputs = converter.input_converter(np.swapaxes(x, 0, 1))
    counts = expected.sum(axis=0).reshape(2, -1).tolist()
    assert converter.run_CRI_sw(inputs) == counts
    configuration = configure(converter.network)
    assert converter.run_CRI_hw(inputs, configuration, device=SimulatedDevice()) == counts


def test_spikingjellys_own_modules_come_in():
    layer = peer("spikingjelly.activation_based.layer")
    model = peer("spikingjelly.activation_based.model.spikformer")
    rng = np.random.default_rng(3)
    for module, shape in (
        (layer.SpikingSelfAttention(4, 2, v_threshold=0.1), (4, 3)),
        (model.SpikformerBlock(4, 2, v_threshold=0.1), (4, 2, 2)),
    ):
        whole(module, rng)
        x = spikes(rng, 4, 2, *shape)
        expected = answers(module, x)
        assert expected.any()
        network = from_torch(module, input_shape=shape, time_axis=0)
        np.testing.assert_array_equal(nj.simulate(network, jnp.asarray(x)).outputs, expected)


def test_spikingjellys_attention_on_the_chip():
    """With IF neurons and integers, whose arithmetic is the chip's."""
    layer = peer("spikingjelly.activation_based.layer")
    rng = np.random.default_rng(4)
    module = layer.SpikingSelfAttention(4, 2, spiking_neuron=sj.IFNode, v_threshold=4.0)
    module = whole(module, rng)
    module.attn_lif.v_threshold = 0.25
    x = spikes(rng, 6, 2, 4, 3)
    expected = answers(module, x)
    assert 0.05 < expected.mean() < 0.95
    converter = converted(module, (4, 3), 6)
    counts = converter.run_CRI_sw(converter.input_converter(np.swapaxes(x, 0, 1)))
    assert counts == expected.sum(axis=0).reshape(2, -1).tolist()


def test_quantised_attention_keeps_its_grid():
    """hs_api's quantiser makes the weights whole; the factor of the product is not one of them."""
    rng = np.random.default_rng(6)
    module = Attention(DIM, HEADS, if_node(0.5), if_node(0.5), norm=False)
    x = spikes(rng, 6, 1, TOKENS, DIM)
    quantised = Quantize_Network(w_alpha=1).quantize(module.eval())
    assert (quantised.attn_lif.v_threshold, quantised.q_lif.v_threshold) == (0.5, 16384)
    expected = answers(quantised, x)
    converter = converted(quantised, (TOKENS, DIM), 6)
    weights = {key: weight for key, weight in converter.axon_dict["a0"]}
    column = quantised.q_linear.weight.detach().numpy()[:, 0]
    assert [weights[str(i)] for i in range(DIM)] == np.rint(column).astype(int).tolist()
    frames = crossbar_frames(converter, x)
    np.testing.assert_array_equal(frames, expected.reshape(*frames.shape))


def test_other_chips_refuse_products():
    module = attention(np.random.default_rng(0))
    network = fold_batch_norm(from_torch(module, input_shape=(TOKENS, DIM), time_axis=0))
    for chip in (nj.chips.loihi, nj.chips.dynapcnn):
        with pytest.raises(ValueError, match="MatMul"):
            chip.map(network)


def test_hs_api_has_no_attention_to_compare_with():
    module = attention(np.random.default_rng(0))
    with pytest.raises(ValueError, match="no version of hs_api converts"):
        converted(module, (TOKENS, DIM), 4, compat="main")


class Odd(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.function = forward

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "forward, message",
    [
        (lambda x: x @ torch.ones(4, 4), "matmul with a constant; use a Linear"),
        (lambda x: x * (x + x), "products of two values.*matrix products"),
        (lambda x: x.flatten(1) @ x.flatten(1).permute(1, 0), "time and batch stay in front"),
        (lambda x: x.chunk(2, dim=0)[0], "chunk along axis 0, which is time or batch"),
        (lambda x: x.transpose(0, 1), "time and batch stay in front"),
    ],
)
def test_what_mixes_samples_is_refused(forward, message):
    with pytest.raises(ValueError, match=message):
        from_torch(Odd(forward), input_shape=(4, 4))


def test_linear_on_tokens_equals_torch():
    rng = np.random.default_rng(7)
    for shape in ((3, 4), (2, 3, 4)):
        module = whole(nn.Sequential(nn.Linear(4, 5)), rng)
        x = rng.integers(-3, 4, (2, 3, *shape)).astype(np.float32)
        network = from_torch(module, input_shape=shape)
        expected = module(torch.tensor(x)).detach().numpy()
        np.testing.assert_array_equal(nj.simulate(network, jnp.asarray(x)).outputs, expected)
