"""Blocks of lava-dl, from recordings, and SpikingJelly's lava_exchange, running beside ours.

lava-dl can't be installed with the other libraries: its blocks are recorded, and its modules are
stood in for by objects with the same attributes.
"""

import dataclasses
import importlib.util
import itertools
import json
import sys
import types
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi import CUBA
from neurojax.converters import slayer
from neurojax.converters._registry import convert, converter_of
from tests.conftest import GOLDEN
from tests.converters._live import peer

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_sj.json").read_text())

# What the recordings don't say of the blocks.
BLOCKS = {
    "dense": ("dense", {}),
    "dense_noshift": ("dense", {"delay_shift": False}),
    "dense_delay": ("dense", {}),
    "dense_weightnorm": ("dense", {}),
    "conv": ("conv", {"stride": (2, 1), "padding": (1, 0)}),
    "conv_groups": ("conv", {"groups": 2, "padding": (1, 1), "dilation": (1, 2)}),
    "pool": ("pool", {}),
    "pool_odd": ("pool", {}),
    "pool_leak": ("pool", {"stride": 1, "padding": 1, "stacked_channels": True}),
    "convT": ("convT", {"stride": (2, 2)}),
    "unpool": ("unpool", {}),
    "affine": ("affine", {}),
    "affine_nodyn": ("affine", {"dynamics": False}),
    "recurrent": ("recurrent", {"gradient": "through_feedback_only"}),
    "input": ("input", {}),
}


def recorded(name):
    with np.load(LAVA / f"{name}.npz") as file:
        return META[name].get("params", {}), dict(file)


def state_dict(z):
    return {name[6:]: array for name, array in z.items() if name.startswith("param.")}


def network(layers, in_shape, name="block"):
    """As `from_torch` names layers: the one without a name bears the module's."""
    named = {".".join(filter(None, (name, part))): layer for part, layer in layers.items()}
    return nj.Sequential(in_shape, **named)


def outputs(net, x):
    """For slayer's inputs [batch, ..., time], in the same layout."""
    return np.moveaxis(np.asarray(nj.simulate(net, jnp.moveaxis(x, -1, 0)).outputs), 0, -1)


def assert_close(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max() + 1e-12)


# Modules of lava-dl, stood in for


def stand_in(path, **attributes):
    module, _, name = f"lava.lib.dl.slayer.{path}".rpartition(".")
    return type(name, (), {"__module__": module, "__qualname__": name, **attributes})()


def neuron_of(z, params, **changes):
    scale, threshold = params.get("scale", 64), params["threshold"]
    cut = int(threshold * scale) / scale
    neuron = stand_in(
        "neuron.cuba.Neuron",
        current_decay=torch.nn.Parameter(torch.tensor(z["param.neuron.current_decay"])),
        voltage_decay=torch.nn.Parameter(torch.tensor(z["param.neuron.voltage_decay"])),
        _threshold=cut,
        tau_rho=params.get("tau_grad", 1) * cut,
        scale_rho=params.get("scale_grad", 1),
        w_scale=scale,
        s_scale=scale * 64,
        requires_grad=params["requires_grad"],
        graded_spike=False,
        persistent_state=False,
        shared_param=True,
        norm=None,
        drop=None,
        quantize_8bit=lambda self, weight, descale=False: None,
    )
    neuron.quantize_8bit.__func__.__name__ = "quantize_8bit"
    vars(neuron).update(changes)
    return neuron


def synapse_of(z, neuron, kind, path="synapse", **changes):
    weights = {
        name.rpartition(".")[2]: torch.nn.Parameter(torch.tensor(array))
        for name, array in z.items()
        if name.startswith(f"param.{path}.")
    }
    weights.setdefault("weight", weights.get("weight_v"))
    synapse = stand_in(f"synapse.layer.{kind}", complex=False, **weights)
    synapse._pre_hook_fx = neuron.quantize_8bit
    vars(synapse).update({k: (*v, 1) if isinstance(v, tuple) else v for k, v in changes.items()})
    return synapse


def block_of(name):
    """A stand-in of a recorded block."""
    (kind, options), (params, z) = BLOCKS[name], recorded(f"block_cuba_{name}")
    neuron = neuron_of(z, params)
    common = {"neuron": neuron, "delay": None, "count_log": False}
    common["delay_shift"] = options.get("delay_shift", True)
    window = {"stride": (1, 1), "padding": (0, 0), "dilation": (1, 1), "groups": 1}
    if "param.delay.delay" in z:
        delay = torch.nn.Parameter(torch.tensor(z["param.delay.delay"]))
        common["delay"] = stand_in("axon.delay.Delay", delay=delay, init=True)
    if kind in ("dense", "affine"):
        common |= {"synapse": synapse_of(z, neuron, "Dense"), "mask": None}
    if kind == "affine":
        neuron._threshold = -1 if options.get("dynamics", True) else None
        common |= {"dynamics": options.get("dynamics", True)}
        del common["delay_shift"]
    if kind == "conv":
        common["synapse"] = synapse_of(z, neuron, "Conv", **(window | options))
    if kind == "pool":
        leaks = name == "pool_leak"
        size = {"padding": (1, 1)} if leaks else {"stride": (2, 2)}
        common["synapse"] = synapse_of(z, neuron, "Pool", **(window | size))
    if kind == "convT":
        common["synapse"] = synapse_of(z, neuron, "ConvTranspose", **(window | options))
    if kind == "unpool":
        common["synapse"] = synapse_of(z, neuron, "Unpool", **(window | {"stride": (2, 2)}))
    if kind == "recurrent":
        for path in ("input_synapse", "recurrent_synapse"):
            common[path] = synapse_of(z, neuron, "Dense", path)
    if kind == "input":
        for number in ("weight", "bias"):
            common[number] = torch.nn.Parameter(torch.tensor(z[f"param.{number}"]))
        common["pre_hook_fx"] = neuron.quantize_8bit
    return stand_in(f"block.cuba.{kind[0].upper() + kind[1:]}", **common)


@pytest.mark.parametrize("name", BLOCKS)
def test_modules_become_what_their_state_dicts_become(name):
    """Which conformance runs, beside the recordings."""
    (kind, options), (params, z) = BLOCKS[name], recorded(f"block_cuba_{name}")
    in_shape = z["x"].shape[1:-1]
    converted = convert(block_of(name), in_shape)
    assert converted.sequence is True
    assert "inputs [batch, ..., time] of slayer are [time, batch, ...] here" in converted.notes
    if kind == "pool":
        options = options | {"in_shape": in_shape, "stacked_channels": False}
    if kind == "recurrent":  # its gradients are slayer's by an option only
        options = {}
    same = slayer.from_state_dict(kind, state_dict(z), neuron=params, **options)
    parts = [[layer.prepare(None) for layer in ls.values()] for ls in (converted.layers, same)]
    assert eqx.tree_equal(*parts)
    leaks = any("slayer's windows reach into the next one" in note for note in converted.notes)
    assert leaks == (name == "pool_leak")  # channels are pooled on their own, and a note says so


def test_delays_are_fixed_unless_they_are_arrays():
    params, z = recorded("block_cuba_dense_delay")
    state, along = state_dict(z), z["param.delay.delay"]
    block = slayer.from_state_dict("dense", state, neuron=params)
    assert block["delay"].steps == tuple(np.floor(along).astype(int) + 1)
    del state["delay.delay"]
    learned = slayer.from_state_dict("dense", state, neuron=params, delay=jnp.asarray(along))
    assert (learned["delay"].delays == along).all()
    assert learned["delay"].whole().steps == block["delay"].steps
    notes = convert(block_of("dense_delay"), (6,)).notes
    assert any(note.startswith("its axonal delays are fixed") for note in notes)


def test_blocks_without_neurons():
    _, z = recorded("block_misc")
    in_shape = z["x"].shape[1:-1]
    flatten = convert(stand_in("block.cuba.Flatten", count_log=False), in_shape)
    assert (outputs(network(flatten.layers, in_shape), z["x"]) == z["flatten"]).all()
    average = convert(stand_in("block.cuba.Average", num_outputs=3, count_log=False), in_shape)
    ours = outputs(network(average.layers, in_shape), z["x"])
    np.testing.assert_allclose(ours, z["average"], rtol=1e-6)
    alone = stand_in("block.cuba.Input", neuron=None, delay_shift=True, count_log=False)
    ours = outputs(network(convert(alone, in_shape).layers, in_shape), z["x"])
    assert (ours[..., 1:] == z["x"][..., :-1]).all()
    assert not ours[..., 0].any()


def test_time_decimation():
    _, z = recorded("block_misc")
    x = np.moveaxis(z["x"], -1, 0)
    ours = slayer.time_decimation(jnp.asarray(x), 4)
    assert (np.moveaxis(ours, 0, -1) == z["timedecimation4"]).all()
    assert (slayer.time_decimation(x, 1) == x).all()
    with pytest.raises(ValueError, match="factor is 0; it must be an integer >= 1"):
        slayer.time_decimation(x, 0)


@pytest.mark.parametrize("kind", ["pool", "unpool"])
def test_windows_with_different_weights(kind):
    """One kernel for all channels: torch, channel by channel."""
    rng = np.random.default_rng(0)
    weight = (rng.integers(-8, 9, (1, 1, 3, 2)) / 32).astype(np.float32)
    x = rng.integers(0, 2, (4, 1, 2, 6, 5)).astype(np.float32)
    options = {"stride": (2, 3), "padding": (1, 1), "dilation": (2, 1)}
    neuron = slayer.cuba_neuron(threshold=1.0, current_decay=1.0, voltage_decay=1.0)
    neuron = dataclasses.replace(neuron, threshold=None)
    if kind == "pool":
        block = slayer.pool(weight, neuron, in_shape=(2, 6, 5), delay_shift=False, **options)
        apply = torch.nn.functional.conv2d
        full = np.pad(x, [(0, 0)] * 4 + [(0, 1)])  # to a multiple of the window
    else:
        block = slayer.unpool(weight, neuron, delay_shift=False, **options)
        apply, full = torch.nn.functional.conv_transpose2d, x
    flat = torch.tensor(full).reshape(-1, 1, *full.shape[3:])
    want = apply(flat, torch.tensor(weight), **options).numpy()
    ours = nj.simulate(network(block, (2, 6, 5)), x).outputs
    assert (ours == want.reshape(ours.shape)).all()


def test_blocks_that_can_not_be_made():
    neuron = slayer.cuba_neuron(threshold=1.0, current_decay=0.5, voltage_decay=0.1)
    with pytest.raises(ValueError, match="gradient is 'none'; use one of"):
        slayer.recurrent(np.ones((2, 2)), np.ones((2, 2)), neuron, gradient="none")
    with pytest.raises(ValueError, match=r"the weight of a window has shape \(2, 1, 2, 2\)"):
        slayer.unpool(np.ones((2, 1, 2, 2)), neuron)
    with pytest.raises(ValueError, match="7 rows of all windows can't be split into 2 channels"):
        slayer.pool(
            np.ones((1, 1, 2, 2)), neuron, in_shape=(2, 4, 4), stride=1, stacked_channels=True
        )
    with pytest.raises(ValueError, match="the window spans 3x3"):
        slayer.sum_pool(3, in_shape=(1, 2, 2))


def test_a_dense_block_over_an_image_is_a_convolution():
    module, (_, z) = block_of("dense"), recorded("block_cuba_dense")
    x = z["x"].reshape(2, 6, 1, 1, -1)
    converted = convert(module, (6, 1, 1))
    ours = outputs(network(converted.layers, (6, 1, 1)), x)
    assert (ours == z["y"].reshape(2, 4, 1, 1, -1)).all()


def test_neuron_synapse_dropout_mask_and_norm():
    module, (params, z) = block_of("dense"), recorded("block_cuba_dense")
    neuron = convert(module.neuron, (4,))
    assert isinstance(neuron.layers[""], CUBA)
    synapse = convert(module.synapse, (6,))
    both = {"synapse": synapse.layers[""], "neuron": neuron.layers[""]}
    shifted = outputs(network(both, (6,)), z["x"])
    assert (shifted[..., :-1] == z["y"][..., 1:]).all()

    norm = stand_in("neuron.norm.MeanOnlyBatchNorm", running_mean=torch.ones(4))
    norm.pre_hook_fx = module.neuron.quantize_8bit
    drop = stand_in("neuron.dropout.Dropout", p=0.25)
    module.neuron = neuron_of(z, params, norm=norm, drop=drop, persistent_state=True)
    module.synapse._pre_hook_fx = module.neuron.quantize_8bit
    module.mask = torch.zeros(4, 6, 1, 1, 1)
    converted = convert(module, (6,))
    assert list(converted.layers) == ["synapse", "neuron", "dropout", "delay"]
    assert converted.layers["dropout"].rate == 0.25
    assert len(converted.notes) == 4
    assert not outputs(network(converted.layers, (6,)), z["x"]).any()


def test_a_network_of_blocks():
    conv, (_, z) = block_of("conv"), recorded("block_cuba_conv")
    flatten = stand_in("block.cuba.Flatten", count_log=False)
    average = stand_in("block.cuba.Average", num_outputs=4, count_log=False)
    net = slayer.from_blocks([conv, flatten, average], input_shape=(2, 7, 6))
    assert net.names[:4] == ("blocks.0.synapse", "blocks.0.neuron", "blocks.0.delay", "blocks.1")
    assert net.provenance["blocks.0.neuron"].source == "lava.Conv"
    means = z["y"].reshape(2, 4, 12, 12).mean(2)
    np.testing.assert_allclose(outputs(net, z["x"]), means, atol=1e-6)


def test_all_blocks_that_are_not_supported_are_named():
    average = stand_in("block.cuba.Average", num_outputs=4, count_log=False)
    unknown = stand_in("block.cuba.Densely")
    with pytest.raises(ValueError) as caught:
        slayer.from_blocks([average, unknown, unknown], input_shape=(6,))
    assert str(caught.value).splitlines() == [
        "blocks.0: Average: (6,) can't be split into 4 groups of one size",
        "blocks.1: lava.Densely is not known; nearest: lava.Dense",
        "blocks.2: lava.Densely is not known; nearest: lava.Dense",
    ]
    with pytest.raises(ValueError, match="there are no blocks"):
        slayer.from_blocks([], input_shape=(6,))


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("dense", {"count_log": True}, "count_log=True returns the mean rate, too"),
        ("dense", {"synapse": {"_pre_hook_fx": abs}}, "its pre_hook_fx is <built-in function abs>"),
        (
            "pool",
            {"synapse": {"weight_g": torch.ones(1), "weight_v": torch.ones(1, 1, 2, 2, 1)}},
            "a pool with weight_norm=True",
        ),
        ("dense", {"neuron": stand_in("neuron.lif.Neuron")}, r"its neuron is neuron\.lif\.Neuron"),
        ("dense", {"neuron": {"current_decay_min": 0.1}}, "run the module once before"),
        ("dense_delay", {"delay": {"init": False}}, "axonal delays are drawn in the first call"),
        ("dense", {"neuron": {"norm": torch.nn.Identity()}}, "its norm is torch.Identity"),
    ],
)
def test_refused_modules(name, change, words):
    module, (_, z) = block_of(name), recorded(f"block_cuba_{name}")
    for attribute, value in change.items():
        if isinstance(value, dict):
            for name, part in value.items():
                setattr(getattr(module, attribute), name, part)
        else:
            setattr(module, attribute, value)
    with pytest.raises(ValueError, match=words):
        convert(module, z["x"].shape[1:-1])


def test_blocks_that_are_refused_say_why():
    with pytest.raises(ValueError, match="KWTA is not supported: its documentation and its code"):
        convert(stand_in("block.cuba.KWTA"), (6,))
    with pytest.raises(ValueError, match=r"apply slayer\.time_decimation to the outputs"):
        convert(stand_in("block.cuba.TimeDecimation", factor=4), (6,))


def test_state_dicts_that_do_not_fit():
    params, z = recorded("block_cuba_dense")
    state = state_dict(z)
    with pytest.raises(ValueError, match="kind is 'KWTA'; it must be one of"):
        slayer.from_state_dict("KWTA", state, neuron=params)
    with pytest.raises(ValueError, match="family is 'lif'; it must be one of"):
        slayer.from_state_dict("dense", state, neuron=params, family="lif")
    with pytest.raises(ValueError, match="dense needs neuron="):
        slayer.from_state_dict("dense", state)
    with pytest.raises(ValueError, match=r"dense does not know \['fc1.x'\]"):
        slayer.from_state_dict("dense", state | {"fc1.x": np.zeros(1)}, neuron=params)
    with pytest.raises(ValueError, match=r"conv needs 'synapse.weight'"):
        slayer.from_state_dict("conv", {}, neuron=params)
    with pytest.raises(ValueError, match=r"neuron parameters: .*unexpected keyword"):
        slayer.from_state_dict("dense", state, neuron=params | {"treshold": 1})
    with pytest.raises(ValueError, match=r"a weight has shape \(4,\)"):
        slayer.from_state_dict("dense", {"synapse.weight": np.zeros(4)}, neuron=params)
    with pytest.raises(ValueError, match=r"can't be split into 7 groups"):
        slayer.average(7, in_shape=(4, 5))


# SpikingJelly


@pytest.fixture(scope="module")
def lava_exchange():
    """With the parts that are only there if lava-dl can be imported; an empty one will do."""
    plain = peer("spikingjelly.activation_based.lava_exchange")
    names = ["lava", "lava.lib", "lava.lib.dl", "lava.lib.dl.slayer"]
    assert not set(names) & set(sys.modules)
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    for above, name in itertools.pairwise(names):
        setattr(sys.modules[above], name.rpartition(".")[2], sys.modules[name])
    try:
        spec = importlib.util.spec_from_file_location(
            "spikingjelly.activation_based.lava_exchange_with_slayer", plain.__file__
        )
        module = importlib.util.module_from_spec(spec)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            spec.loader.exec_module(module)
    finally:
        for name in names:
            del sys.modules[name]
    return module


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=20)
@given(
    scale=st.sampled_from([64, 64, 32, 10, 100, 62.5]),
    threshold=st.sampled_from([1.0, 0.7, 0.33, 63.0, 64.0, 100.0]),
    current=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    voltage=st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1)),
    size=st.sampled_from([1.0, 30.0, 3000.0]),
    seed=seeds,
)
def test_cuba_lif_node_live(lava_exchange, scale, threshold, current, voltage, size, seed):
    node = lava_exchange.CubaLIFNode(
        current, voltage, v_threshold=threshold, scale=scale, step_mode="m", store_v_seq=True
    )
    node.store_i_seq = True
    rng = np.random.default_rng(seed)
    x = (rng.integers(-3000, 5000, (15, 2, 5)) / 4096 * size).astype(np.float32)
    # Exactly the threshold, at once.
    x[0, 0, 0] = threshold
    spikes = node(torch.tensor(x))
    converted = convert(node, (5,))
    assert converted.sequence is True
    run = nj.simulate(network(converted.layers, (5,), "n"), x, probes=["n.v", "n.i"])
    assert (run.outputs == spikes.numpy()).all()
    assert (run["n.v"] == node.v_seq.numpy()).all()
    assert (run["n.i"] == node.i_seq.numpy()).all()


@settings(max_examples=5)
@given(bits=st.integers(0, 4), eps=st.sampled_from([1e-5, 0.1]), seed=seeds)
def test_norm_live(lava_exchange, bits, eps, seed):
    rng = np.random.default_rng(seed)
    norm = lava_exchange.BatchNorm2d(3, eps=eps, weight_exp_bits=bits)
    norm.running_mean.copy_(torch.tensor(rng.normal(size=3)))
    norm.running_var.copy_(torch.tensor([2.0 ** rng.integers(-8, 8) * rng.choice([1.0, 1.3])]))
    node = lava_exchange.CubaLIFNode(0.3, 0.2, norm=norm, step_mode="m").eval()
    x = (rng.integers(-3000, 5000, (10, 2, 3, 2, 2)) / 4096).astype(np.float32)
    node.store_i_seq = True
    spikes = node(torch.tensor(x)).numpy()
    ours = nj.simulate(network(convert(node, (3, 2, 2)).layers, (3, 2, 2)), x).outputs
    # A norm that amplifies lets the current grow beyond what a float32 holds.
    exact = np.abs(node.i_seq.numpy()).max((1, 2, 3, 4)) < 1 << 11
    steps = np.logical_and.accumulate(exact).sum()
    assert steps and (ours[:steps] == spikes[:steps]).all()


def test_cuba_lif_node_learned_and_broadcast(lava_exchange):
    node = lava_exchange.CubaLIFNode(0.3, 0.2, requires_grad=True, detach_reset=True)
    converted = convert(node, (5,))
    neuron = converted.layers[""]
    assert converted.sequence is False
    assert neuron.current_decay.shape == () and neuron.reset_gradient == "detached"
    assert converted.notes[0].startswith("decays are in units of 1")
    with warnings.catch_warnings():  # it copies a tensor in a way that torch warns of
        warnings.simplefilter("ignore")
        node = lava_exchange.CubaLIFNode(torch.tensor([0.0, 1.0]), 0.2, step_mode="m")
    x = np.full((4, 1, 3, 2), 0.3, np.float32)
    ours = nj.simulate(network(convert(node, (3, 2)).layers, (3, 2)), x).outputs
    assert (ours == node(torch.tensor(x)).numpy()).all()


@settings(max_examples=10)
@given(
    kind=st.sampled_from(["linear", "conv", "pool"]), scale=st.sampled_from([64, 32]), seed=seeds
)
def test_block_container_live(lava_exchange, kind, scale, seed):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    synapse = {
        "linear": lambda: torch.nn.Linear(6, 4, bias=False),
        "conv": lambda: torch.nn.Conv2d(2, 4, 3, stride=(2, 1), padding=1, groups=2, bias=False),
        "pool": lambda: lava_exchange.SumPool2d(2, stride=2),
    }[kind]()
    if kind != "pool":
        with torch.no_grad():
            # On and between the steps of a weight, ties and values out of range included.
            values = rng.integers(-600, 600, synapse.weight.shape) / 128
            synapse.weight.copy_(torch.tensor(values))
    node = lava_exchange.CubaLIFNode(0.3, 0.2, scale=scale)
    block = lava_exchange.BlockContainer(synapse, node, step_mode="m")
    in_shape = (6,) if kind == "linear" else (2, 6, 4)
    x = (rng.random((12, 2, *in_shape)) < 0.3).astype(np.float32)
    with torch.no_grad():
        spikes = block(torch.tensor(x)).numpy()
    net = network(convert(block, in_shape).layers, in_shape)
    ours = np.asarray(nj.simulate(net, x).outputs)
    assert (ours == spikes).all()


def test_recorded_container(lava_exchange):
    _, z = recorded("sj_convert")
    neuron = slayer.cuba_lif_node(current_decay=0.3, voltage_decay=0.2)
    net = network(slayer.container(z["fc_w"], neuron), (7,))
    assert (nj.simulate(net, z["x_fc"]).outputs == z["container_dense"]).all()
    slayers = slayer.cuba_neuron(threshold=1.0, current_decay=0.3, voltage_decay=0.2)
    net = network(slayer.dense(z["fc_w"], slayers, delay_shift=False), (7,))
    assert (nj.simulate(net, z["x_fc"]).outputs == z["container_dense_lava"]).all()


@pytest.mark.parametrize(
    "options", [(2, 2, 0, 1), (3, 2, 1, 1), (2, 1, 0, 2)], ids=lambda o: "".join(map(str, o))
)
def test_sum_pool(lava_exchange, options):
    _, z = recorded("sj_convert")
    x = z["x_cv"][0]
    theirs = lava_exchange.SumPool2d(*options)
    layer = convert(theirs, x.shape[1:]).layers[""]
    ours = jax.vmap(lambda x: layer.step(None, x)[1])(x)
    name = f"sumpool_{''.join(map(str, options))}"
    assert_close(ours, theirs(torch.tensor(x)).numpy())
    assert_close(ours, z[name])
    spikes = np.random.default_rng(0).integers(0, 2, x.shape).astype(np.float32)
    ours = jax.vmap(lambda x: layer.step(None, x)[1])(spikes)
    exact = theirs(torch.tensor(spikes)).numpy()
    if options[0] == 2:
        assert (ours == exact).all()
    else:  # theirs is nine times a mean, which a neuron may cut to the step below
        assert (ours == exact.round()).all()


def test_containers_that_are_refused_or_have_no_neuron(lava_exchange):
    flatten = lava_exchange.BlockContainer(torch.nn.Flatten(), None)
    assert isinstance(convert(flatten, (2, 3)).layers[""], nj.Flatten)
    pool = lava_exchange.BlockContainer(torch.nn.AvgPool2d(2), lava_exchange.CubaLIFNode(1.0, 0.0))
    with pytest.raises(ValueError, match=r"its synapse is torch\.AvgPool2d"):
        convert(pool, (2, 4, 4))
    same = torch.nn.Conv2d(2, 2, 3, padding="same", bias=False)
    block = lava_exchange.BlockContainer(same, lava_exchange.CubaLIFNode(1.0, 0.0))
    with pytest.raises(ValueError, match="its convolution has padding 'same'"):
        convert(block, (2, 4, 4))
    node = lava_exchange.CubaLIFNode(1.0, 0.0)
    node.surrogate_function.set_spiking_mode(False)
    with pytest.raises(ValueError, match="spiking=False"):
        convert(node, (3,))


def test_the_node_of_the_installed_library_is_known():
    plain = peer("spikingjelly.activation_based.lava_exchange")
    assert converter_of(plain.CubaLIFNode(0.5, 0.1)) is not None
