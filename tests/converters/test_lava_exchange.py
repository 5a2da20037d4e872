"""The names of SpikingJelly's lava_exchange: against itself where it runs, recordings elsewhere."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi.cuba import CUBA, CUBAState
from neurojax.converters import lava_exchange as ours, slayer
from neurojax.surrogate import ATan, Sigmoid
from tests.conftest import GOLDEN
from tests.converters._live import peer

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def theirs():
    return peer("spikingjelly.activation_based.lava_exchange")


@pytest.fixture(scope="module")
def neuron():
    return peer("spikingjelly.activation_based.neuron")


def recorded(name):
    with np.load(GOLDEN / "lava" / f"{name}.npz") as file:
        return dict(file)


def run(block, x, **options):
    return nj.simulate(nj.Sequential(x.shape[2:], **block), jnp.asarray(x), **options)


def linear(weight):
    module = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    module.weight = torch.nn.Parameter(torch.tensor(weight))
    return module


def conv(weight, **options):
    module = torch.nn.Conv2d(weight.shape[1], weight.shape[0], 3, bias=False, **options)
    module.weight = torch.nn.Parameter(torch.tensor(weight))
    return module


# Numbers


@settings(max_examples=30)
@given(seed=seeds, scale=st.sampled_from([64, 32, 10, 100]), step=st.sampled_from([1.0, 0.03, 2.0]))
def test_roundings_live(theirs, seed, scale, step):
    rng = np.random.default_rng(seed)
    x = np.concatenate([rng.normal(size=50) * 4, rng.integers(-600, 600, 50) / 128])
    x = x.astype(np.float32)
    tensor = torch.tensor(x)
    for descale in (False, True):
        want = theirs.quantize_8b(tensor, scale, descale).numpy()
        assert (ours.quantize_8b(x, scale, descale, largest=255) == want).all()
        chip = np.minimum(want, 254 if descale else np.float32(254 / scale))
        assert (ours.quantize_8bit(tensor, scale, descale) == chip).all()
    assert (ours.step_quantize(x, step) == theirs.step_quantize(tensor, step).numpy()).all()


@given(seed=seeds, bits=st.integers(0, 31))
@settings(max_examples=20)
def test_right_shift_live(theirs, seed, bits):
    x = np.random.default_rng(seed).integers(-(2**31) + 1, 2**31, 50).astype(np.int32)
    want = theirs.right_shift_to_zero(torch.tensor(x), bits).numpy()
    for given_as in (x, jnp.asarray(x), torch.tensor(x), x.astype(np.int64)):
        assert (ours.right_shift_to_zero(given_as, bits) == want).all()
    small = np.array([-(2**31), 2**31 - 1], np.int32)
    exact = [int(n / 2**bits) for n in small.tolist()]
    assert ours.right_shift_to_zero(small, bits).tolist() == exact


def test_recorded_numbers():
    z = recorded("quantize")
    for bits in (1, 6, 12):
        fits = np.abs(z["rsz_x"]) < 2**31
        assert (ours.right_shift_to_zero(z["rsz_x"][fits], bits) == z[f"rsz_{bits}"][fits]).all()
    slope = jax.jit(jax.grad(lambda x: ours.quantize_8b(x, 64).sum()))(jnp.asarray(z["x_64"]))
    inside = np.abs(z["sl_q8_64"]) < 254 / 64  # torch has 0 at the limits, where we go on
    assert (slope == z["sl_q8_grad_64"])[inside].all()
    with pytest.raises(TypeError, match="takes integers, got float32"):
        ours.right_shift_to_zero(np.ones(2, np.float32), 1)
    with pytest.raises(ValueError, match="more than 32 bits"):
        ours.right_shift_to_zero(np.array([2**40]), 1)
    with pytest.raises(ValueError, match="bits is 32"):
        ours.right_shift_to_zero(np.array([1]), 32)


@settings(max_examples=20)
@given(seed=seeds, decay=st.integers(0, 4096), s_scale=st.sampled_from([4096, 2048, 6400]))
def test_leaky_step_live(theirs, seed, decay, s_scale):
    rng = np.random.default_rng(seed)
    x, y, g = (rng.integers(-9000, 9000, (3, 4)) / 4096 for _ in range(3))
    x, y, g = (a.astype(np.float32) for a in (x, y, g))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, np.float32(decay), y)]
    want = theirs.LeakyIntegratorStep.apply(*tensors, s_scale)
    want.backward(torch.tensor(g))
    step = lambda x, d, y: ours.LeakyIntegratorStep(x, d, y, s_scale)  # noqa: E731
    got, back = jax.vjp(step, jnp.asarray(x), jnp.float32(decay), jnp.asarray(y))
    assert (got == want.detach().numpy()).all()
    for mine, tensor in zip(back(jnp.asarray(g)), tensors, strict=True):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("detach_reset", [False, True])
@pytest.mark.parametrize("v_reset", [0.0, -0.25])
def test_cuba_step_live(detach_reset, v_reset):
    functional = peer("spikingjelly.activation_based.functional")
    surrogate = peer("spikingjelly.activation_based.surrogate")
    rng = np.random.default_rng(0)
    x, i, v = (rng.integers(-4000, 9000, (2, 6)) / 4096 for _ in range(3))
    numbers = (np.float32(1000.4), np.float32(400.6), 4096, 1.0, 0.01 / 4096, v_reset)
    x, i, v = (a.astype(np.float32) for a in (x, i, v))
    tensors = [torch.tensor(a, requires_grad=True) for a in (x, i, v, *numbers[:2])]
    wanted = functional.lava_cuba_lif_step(
        *tensors, *numbers[2:], surrogate.Sigmoid(4.0), detach_reset
    )
    sum((out * (k + 1)).sum() for k, out in enumerate(wanted)).backward()

    def step(x, i, v):
        return ours.lava_cuba_lif_step(x, i, v, *numbers, Sigmoid(4.0), detach_reset)

    got, back = jax.vjp(step, *(jnp.asarray(a) for a in (x, i, v)))
    for mine, want in zip(got, wanted, strict=True):
        assert (mine == want.detach().numpy()).all()
    weights = tuple(jnp.full(x.shape, k + 1.0) for k in range(3))
    for mine, tensor in zip(back(weights), tensors[:3], strict=True):
        np.testing.assert_allclose(mine, tensor.grad.numpy(), rtol=1e-4, atol=1e-5)


def test_layouts(theirs):
    x = np.arange(24).reshape(2, 3, 4)
    there = np.moveaxis(x, 0, -1)
    for given_as in (x, jnp.asarray(x), torch.tensor(x)):
        assert (np.asarray(ours.TNX_to_NXT(given_as)) == there).all()
        assert (np.asarray(ours.NXT_to_TNX(ours.TNX_to_NXT(given_as))) == x).all()
    assert isinstance(ours.TNX_to_NXT(torch.tensor(x)), torch.Tensor)


# Neurons


@settings(max_examples=10)
@given(
    current=st.floats(0, 1), voltage=st.floats(0, 1), scale=st.sampled_from([64, 32]), seed=seeds
)
def test_cuba_lif_node_live(theirs, current, voltage, scale, seed):
    options = {"v_threshold": 0.75, "scale": scale, "detach_reset": True}
    node = theirs.CubaLIFNode(current, voltage, step_mode="m", store_v_seq=True, **options)
    x = np.random.default_rng(seed).integers(-2000, 4000, (15, 2, 3)) / 4096
    spikes = node(torch.tensor(x, dtype=torch.float32)).numpy()
    result = run({"n": ours.CubaLIFNode(current, voltage, **options)}, x, probes=["n.v"])
    assert (result.outputs == spikes).all()
    assert (result["n.v"] == node.v_seq.numpy()).all()


def test_cuba_lif_node_with_a_norm_live(theirs):
    surrogate = peer("spikingjelly.activation_based.surrogate")
    rng = np.random.default_rng(0)
    norm = theirs.BatchNorm2d(3)
    norm.running_mean.copy_(torch.tensor(rng.normal(size=3)))
    norm.running_var.copy_(torch.tensor([3.0]))
    node = theirs.CubaLIFNode(0.3, 0.2, norm=norm, step_mode="m").eval()
    x = (rng.integers(-3000, 9000, (10, 2, 3, 2, 2)) / 4096).astype(np.float32)
    mine = ours.BatchNorm2d(3)
    assert not mine.inference
    fields = {"mean": norm.running_mean.numpy(), "var": norm.running_var.numpy()}
    mine = type(mine)(**fields, eps=mine.eps, scale=None)
    neuron = ours.CubaLIFNode(
        0.3, 0.2, norm=mine, requires_grad=True, surrogate_function=surrogate.ATan(3.0)
    )
    assert neuron.current_decay.shape == () and neuron.surrogate == ATan(alpha=3.0)
    assert (run({"n": neuron}, x).outputs == node(torch.tensor(x)).numpy()).all()


def test_batch_norm_in_training_live(theirs):
    rng = np.random.default_rng(0)
    options = {"eps": 0.01, "momentum": 0.3, "weight_exp_bits": 2}
    there, here = theirs.BatchNorm2d(3, **options), ours.BatchNorm2d(3, **options)
    x = rng.normal(size=(4, 5, 3, 2, 2)).astype(np.float32) * 3
    result = run({"norm": here}, x)
    want = np.stack([there(step).numpy() for step in torch.tensor(x)])
    np.testing.assert_allclose(result.outputs, want, atol=1e-5)
    state = result.state.layers["norm"]
    np.testing.assert_allclose(state.mean[0], there.running_mean, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"v_reset": None}, "v_reset is None; the chip resets to 0.0 only"),
        ({"step_mode": "x"}, "step_mode is 'x'"),
        ({"store_v_seq": True}, r'probes=\["name\.v"\]'),
        ({"store_i_seq": True}, r'probes=\["name\.i"\]'),
    ],
)
def test_nodes_that_can_not_be_made(options, words):
    with pytest.raises(ValueError, match=words):
        ours.CubaLIFNode(0.5, 0.1, **options)


def test_norms_that_can_not_be_made():
    with pytest.raises(ValueError, match="track_running_stats=False normalises by zeros"):
        ours.BatchNorm2d(3, track_running_stats=False)
    with pytest.raises(ValueError, match="pre_hook_fx is <built-in function abs>"):
        ours.BatchNorm2d(3, pre_hook_fx=abs)
    assert ours.BatchNorm2d(3, pre_hook_fx=ours.quantize_8b).scale == 64


def test_parameters_of_neurons(theirs, neuron):
    plain = {
        "threshold": 1.0, "current_decay": 1.0, "voltage_decay": 0.0, "tau_grad": 1,
        "scale_grad": 1, "scale": 64, "norm": None, "dropout": None, "shared_param": True,
        "persistent_state": True, "requires_grad": False, "graded_spike": False,
    }  # fmt: skip
    param_dict = ours.to_lava_neuron_param_dict
    assert param_dict(neuron.IFNode(v_reset=0.0)) == plain
    assert param_dict(nj.IAF(reset="zero")) == plain
    leaky = neuron.LIFNode(tau=2.5, decay_input=False, v_threshold=0.5)
    assert param_dict(leaky) == plain | {"threshold": 0.5, "voltage_decay": 0.4}
    leaky.lava_s_cale = 32
    assert param_dict(leaky)["scale"] == 32
    assert param_dict(nj.LIF(decay=0.75, reset="zero"))["voltage_decay"] == 0.25
    node = theirs.CubaLIFNode(0.25, 0.125, v_threshold=2.0, scale=128)
    found = param_dict(node)
    assert (found["current_decay"], found["voltage_decay"]) == (0.25, 0.125)
    assert (found["threshold"], found["scale"]) == (2.0, 128)
    learned = param_dict(nj.LIF(tau=jnp.float32(2.0), method="euler", reset="zero"))
    assert learned["requires_grad"] is True and learned["voltage_decay"] == 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "its reset is 'subtract'; the chip resets to 0"),
        ({"reset": "zero", "normalize_input": True}, "multiplied by 1 - decay; use decay_input"),
        ({"reset": "zero", "v_rest": 0.5}, "it has v_rest=0.5"),
        ({"reset": "zero", "v_min": -1.0, "gain": 2.0}, "gain=2.0; the chip has not; it has v_min"),
        ({"reset": "value", "reset_value": 0.5}, "its reset is 'value'"),
        ({"reset": "zero", "v_init": 0.5}, "its membrane starts from 0.5"),
    ],
)
def test_neurons_that_the_chip_has_not(options, words):
    with pytest.raises(ValueError, match=words):
        ours.to_lava_neuron(nj.LIF(decay=0.5, **options))


def test_modules_that_are_no_neurons(neuron):
    for module in (torch.nn.ReLU(), torch.nn.Bilinear(1, 1, 1), nj.CubaLI(tau=2.0, tau_syn=2.0)):
        with pytest.raises(ValueError, match="is not a neuron of IFNode, LIFNode"):
            ours.to_lava_neuron(module)
    with pytest.raises(ValueError, match="use decay_input=False"):
        ours.to_lava_neuron(neuron.LIFNode(tau=2.0))


def test_running_a_neuron_goes_on_where_it_stopped():
    """Which SpikingJelly's does only for one sample."""
    cells = slayer.cuba_neuron(threshold=1.0, current_decay=0.25, voltage_decay=0.1)
    x = np.random.default_rng(0).integers(0, 2000, (20, 3, 4)) / 4096
    x = x.astype(np.float32)
    whole, end = ours.lava_neuron_forward(cells, x, CUBAState(0.0, 0.0))
    first, middle = ours.lava_neuron_forward(cells, x[:8], CUBAState(0.0, 0.0))
    second, last = ours.lava_neuron_forward(cells, torch.tensor(x[8:]), middle)
    assert (jnp.concatenate([first, second]) == whole).all() and whole.any()
    assert (last.v == end.v).all() and (last.i == end.i).all()
    reference = run({"n": cells}, x)
    assert (reference.outputs == whole).all()
    # One sample, without an axis of batches.
    single, v = ours.lava_neuron_forward(cells, x[:, 0], 0.5)
    batch, w = ours.lava_neuron_forward(cells, x[:, :1], np.full((1, 4), 0.5, np.float32))
    assert (single == batch[:, 0]).all() and (v == w[0]).all()
    with pytest.raises(ValueError, match=r"v has shape \(3, 5\), but one time step has \(3, 4\)"):
        ours.lava_neuron_forward(cells, x, np.zeros((3, 5)))
    with pytest.raises(ValueError, match="needs time and batch"):
        ours.lava_neuron_forward(cells, x[:, 0, 0])


# Synapses and blocks


@pytest.mark.parametrize("of_torch", [True, False])
def test_recorded_synapses(of_torch):
    z = recorded("sj_convert")
    fc, window = linear(z["fc_w"]), {"stride": (1, 2), "padding": (0, 1)}
    conv2d, pool = conv(z["cv_w"], **window), torch.nn.AvgPool2d(2)
    if not of_torch:
        fc = nj.Linear.from_weights(z["fc_w"])
        conv2d = nj.Conv2d.from_weights(z["cv_w"], **window)
        pool = nj.AvgPool2d(2)
    for synapse, x, want in (
        (ours.linear_to_lava_synapse_dense(fc), z["x_fc"], z["dense"]),
        (ours.conv2d_to_lava_synapse_conv(conv2d), z["x_cv"], z["conv"]),
        (ours.avgpool2d_to_lava_synapse_pool(pool), z["x_cv"], z["pool"]),
    ):
        np.testing.assert_allclose(run({"a": synapse}, x).outputs, want, atol=1e-6)


@pytest.mark.parametrize("quantise", [True, False])
@pytest.mark.parametrize("kind", ["if", "lif"])
def test_recorded_blocks(neuron, kind, quantise):
    z = recorded("sj_convert")
    if kind == "if":
        node, same = neuron.IFNode(v_reset=0.0), nj.IAF(reset="zero")
    else:
        node = neuron.LIFNode(tau=2.5, decay_input=False)
        same = nj.LIF(tau=2.5, method="euler", reset="zero")
    assert eqx.tree_equal(ours.to_lava_neuron(node), ours.to_lava_neuron(same))
    conv2d = conv(z["cv_w"], stride=(1, 2), padding=(0, 1))
    blocks = {
        "dense": (ours.to_lava_block_dense(linear(z["fc_w"]), node, quantise), z["x_fc"]),
        "conv": (ours.to_lava_block_conv(conv2d, node, quantise), z["x_cv"]),
        "pool": (ours.to_lava_block_pool(torch.nn.AvgPool2d(2), node, quantise), z["x_cv"]),
    }
    for name, (block, x) in blocks.items():
        want = z[f"blk_{name}_{kind}_q{int(quantise)}"]
        assert (run(block, x).outputs == want).all(), name


def test_containers(theirs, neuron):
    z = recorded("sj_convert")
    node = theirs.CubaLIFNode(0.3, 0.2)
    fc = linear(z["fc_w"])
    assert (run(ours.BlockContainer(fc, node), z["x_fc"]).outputs == z["container_dense"]).all()
    exported = ours.to_lava_block_dense(fc, node)
    assert (run(exported, z["x_fc"]).outputs == z["container_dense_lava"]).all()
    leaky = neuron.LIFNode(tau=2.0, decay_input=False)
    block = ours.BlockContainer(conv(z["cv_w"], padding=1), leaky, "m")
    assert isinstance(block["neuron"], CUBA) and block["neuron"].voltage_decay == 0.5
    assert run(block, z["x_cv"]).outputs.shape == (5, 2, 3, 6, 6)
    block = ours.BlockContainer(ours.SumPool2d(2), node)
    assert run(block, z["x_cv"]).outputs.shape == (5, 2, 2, 3, 3)
    assert list(ours.BlockContainer(torch.nn.Flatten())) == ["flatten"]
    for arguments, words in (
        ((torch.nn.Flatten(), node), "Flatten has no neuron"),
        ((fc,), "give a neuron"),
        ((torch.nn.AvgPool2d(2), node), "AvgPool2d is no synapse"),
        ((fc, node, "x"), "step_mode is 'x'"),
    ):
        with pytest.raises(ValueError, match=words):
            ours.BlockContainer(*arguments)


@pytest.mark.parametrize("options", [(2, 2, 0, 1), (3, 2, 1, 1), (2, 1, 0, 2)])
def test_recorded_sum_pools(options):
    z = recorded("sj_convert")
    got = run({"a": ours.SumPool2d(*options)}, z["x_cv"]).outputs[0]
    np.testing.assert_allclose(got, z[f"sumpool_{''.join(map(str, options))}"], rtol=1e-6)


# Whole networks


def grid(rng, *shape):
    """Weights that are 8-bit weights of the chip, a quarter of them too."""
    return (rng.integers(-12, 13, shape) / 8).astype(np.float32)


def spikes(rng, *shape):
    return rng.integers(0, 2, shape).astype(np.float32)


def network_of(rng, neuron, *, pooled_neurons):
    """Thresholds that no sum meets: IFNode spikes at v >= threshold, the chip at v > threshold."""
    fire = lambda: neuron.IFNode(v_reset=0.0, v_threshold=0.984375, step_mode="m")  # noqa: E731
    layer = peer("spikingjelly.activation_based.layer")
    parts = [
        layer.Conv2d(2, 3, 3, bias=False, step_mode="m"),
        fire(),
        layer.AvgPool2d(2, step_mode="m"),
        *([fire()] if pooled_neurons else []),
        layer.Flatten(step_mode="m"),
        layer.Linear(3 * 2 * 2, 5, bias=False, step_mode="m"),
        fire(),
    ]
    for part in parts:
        if hasattr(part, "weight"):
            part.weight.data = torch.tensor(grid(rng, *part.weight.shape))
    return torch.nn.Sequential(*parts)


@pytest.mark.parametrize("seed", range(3))
def test_a_pool_without_neurons_is_exact(neuron, seed):
    rng = np.random.default_rng(seed)
    model = network_of(rng, neuron, pooled_neurons=False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = spikes(rng, 12, 2, 2, 6, 6)
    with torch.no_grad():
        want = model(torch.tensor(x)).numpy()
    blocks = ours.to_lava_blocks(model)
    assert [list(block) for block in blocks] == [
        ["synapse", "neuron"], ["synapse"], ["flatten"], ["synapse", "neuron"],
    ]  # fmt: skip
    net = slayer.from_blocks(blocks, input_shape=(2, 6, 6))
    assert (nj.simulate(net, x).outputs == want).all() and want.any()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("seed", range(3))
def test_averages_in_the_threshold_are_exact(neuron, seed):
    rng = np.random.default_rng(seed)
    model = network_of(rng, neuron, pooled_neurons=True)
    x = spikes(rng, 12, 2, 2, 6, 6)
    with torch.no_grad():
        want = model(torch.tensor(x)).numpy()
    blocks = ours.to_lava_blocks(list(model), average="threshold")
    net = slayer.from_blocks(blocks, input_shape=(2, 6, 6))
    assert (nj.simulate(net, x).outputs == want).all() and want.any()


def test_averages_in_the_next_weights(neuron):
    rng = np.random.default_rng(0)
    model = network_of(rng, neuron, pooled_neurons=True)
    blocks = ours.to_lava_blocks(model)
    weight = blocks[3]["synapse"].layer.weight
    assert (weight == model[5].weight.detach().numpy() / 4).all()
    assert blocks[1]["neuron"].threshold == 0.984375
    # Two pools in a row, and a convolution behind.
    kernel = grid(rng, 3, 2, 3, 3)
    more = [nj.AvgPool2d(2), nj.AvgPool2d((1, 2)), conv(kernel), nj.IAF(reset="zero")]
    scaled = ours.to_lava_blocks(more)[-1]["synapse"].layer.weight
    assert (scaled == kernel / 8).all()


def test_networks_of_neurojax_and_cuba_nodes(theirs):
    rng = np.random.default_rng(0)
    weight = grid(rng, 4, 3)
    net = nj.Sequential((3,), fc=nj.Linear.from_weights(weight), n=nj.IAF(reset="zero"))
    (block,) = ours.to_lava_blocks(net)
    node = theirs.CubaLIFNode(1.0, 0.0)
    (other,) = ours.to_lava_blocks(torch.nn.Sequential(linear(weight), node))
    x = spikes(rng, 10, 2, 3)
    assert (run(block, x).outputs == run(other, x).outputs).all()
    assert dataclasses.replace(other["neuron"], threshold=None) == dataclasses.replace(
        block["neuron"], threshold=None
    )


def test_networks_that_can_not_be_blocks(neuron):
    fire, fc = neuron.IFNode(v_reset=0.0), linear(np.ones((2, 2), np.float32))
    biased = torch.nn.Linear(2, 2)
    for parts, words in (
        ([fc], r"\[0\]: Linear needs a neuron behind it: IFNode"),
        ([fc, fire, torch.nn.ReLU()], r"\[2\]: ReLU is no part of a block"),
        ([biased, fire], r"\[0\]: Linear has a bias, which Loihi's synapses have not"),
        ([fc, neuron.IFNode(v_reset=None)], r"\[0\]: IFNode can't be a neuron of Loihi: its reset"),
        ([torch.nn.AvgPool2d(2), fire], "no weights behind the last pool"),
        ([torch.nn.AvgPool2d(2, ceil_mode=True)], "ceil_mode and divisor_override are not"),
        ([torch.nn.Flatten(0)], "start_dim=0, end_dim=-1; slayer flattens everything"),
        ([torch.nn.Flatten(), fire], "Flatten is followed by a neuron"),
    ):
        with pytest.raises(ValueError, match=words):
            ours.to_lava_blocks(parts)
    with pytest.raises(ValueError, match="average is 'none'"):
        ours.to_lava_blocks([], average="none")
    uncounted = torch.nn.AvgPool2d(2, padding=1, count_include_pad=False)
    with pytest.raises(ValueError, match="don't count the padding"):
        ours.avgpool2d_to_lava_synapse_pool(uncounted)
    with pytest.raises(ValueError, match="expected a Linear of torch or neurojax"):
        ours.linear_to_lava_synapse_dense(torch.nn.ReLU())
    lopsided = nj.Conv2d.from_weights(np.ones((1, 1, 2, 2)), padding="same")
    with pytest.raises(ValueError, match="the same padding on both sides"):
        ours.to_lava_block_conv(lopsided, fire)


def test_checks():
    ours.check_instance(1, int)
    ours.check_no_bias(linear(np.ones((2, 2), np.float32)))
    with pytest.raises(ValueError, match="expected an instance of <class 'int'>, but got 'a'"):
        ours.check_instance("a", int)
    with pytest.raises(ValueError, match="Linear has a bias, which Loihi's synapses have not"):
        ours.check_no_bias(torch.nn.Linear(2, 2))
