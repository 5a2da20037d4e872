"""Blocks of slayer's other neurons: recorded neurons behind weights of 1, recorded networks."""

import json

import equinox as eqx
import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.converters import slayer
from neurojax.converters._registry import convert
from tests.conftest import GOLDEN
from tests.converters.test_slayer import network, outputs, stand_in

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_sj.json").read_text())
# Recordings by slayer's name of the neuron.
RECORDED = {
    "slayer_alif": "alif",
    "slayer_rf": "rf",
    "slayer_rf_graded": "rf",
    "slayer_rf_iz": "rf_iz",
    "slayer_rf_iz_graded": "rf_iz",
    "slayer_adrf": "adrf",
    "slayer_adrf_iz": "adrf_iz",
}


def recorded(name):
    """Parameters of the neuron, inputs (real and imaginary side by side) and spikes."""
    with np.load(LAVA / f"{name}.npz") as file:
        z = dict(file)
    x = z["x"] if "x" in z else np.concatenate([z["x_re"], z["x_im"]], axis=1)
    params = META[name]["params"] | {"graded_spike": name.endswith("graded")}
    return params, x, z["spike"]


def unit_weight(family, outputs):
    """Weights that hand on what comes in: of resonators the two halves, as the two parts."""
    one = np.eye(outputs, dtype=np.float32)
    if family == "alif":
        return one
    return np.hstack([one, 0 * one]), np.hstack([0 * one, one])


def kernels(weight, *behind):
    """With axes of length 1 behind: space, and slayer's time."""
    one = lambda w: w.reshape(*w.shape, *behind)  # noqa: E731
    return tuple(map(one, weight)) if isinstance(weight, tuple) else one(weight)


def saved(family, weight, path="synapse"):
    """As a block of slayer saves it."""
    if isinstance(weight, tuple):
        return {f"{path}.real.weight": weight[0], f"{path}.imag.weight": weight[1]}
    return {f"{path}.weight": weight}


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_neurons_in_blocks(name):
    params, x, spikes = recorded(name)
    family = RECORDED[name]
    weight = unit_weight(family, spikes.shape[1])
    state = saved(family, kernels(weight, 1, 1, 1))
    options = {"neuron": params, "family": family, "delay_shift": False}
    block = slayer.from_state_dict("dense", state, **options)
    assert (outputs(network(block, x.shape[1:-1]), x) == spikes).all()
    neuron = neuron_module(family, params)
    for kind, in_shape in (("Dense", (x.shape[1],)), ("Conv", (x.shape[1], 1, 1))):
        synapse = synapse_module(weight, neuron, kind)
        made = convert(block_module(family, kind, neuron=neuron, synapse=synapse), in_shape)
        same = slayer.from_state_dict(kind.lower(), state, **options)
        parts = [[layer.prepare(None) for layer in ls.values()] for ls in (made.layers, same)]
        assert eqx.tree_equal(*parts), kind


@pytest.mark.parametrize("name", ["slayer_alif", "slayer_rf", "slayer_adrf_iz"])
def test_every_kind_of_block(name):
    """Windows of one point, a feedback of 0, and an input with a weight of 1 change nothing."""
    params, x, spikes = recorded(name)
    family, n = RECORDED[name], spikes.shape[1]
    make = getattr(slayer, f"{family}_neuron")
    neuron = make(**params)
    weight = unit_weight(family, n)
    pair = isinstance(weight, tuple)
    back = (np.zeros((n, n)), np.zeros((n, n))) if pair else np.zeros((n, n))
    options = {"delay_shift": False}
    image = x[:, :, None, None]
    transposed = kernels(tuple(w.T for w in weight) if pair else weight.T, 1, 1)
    blocks = {
        "conv": (slayer.conv(kernels(weight, 1, 1), neuron, **options), image),
        "convT": (slayer.conv_transpose(transposed, neuron, **options), image),
        "recurrent": (slayer.recurrent(weight, back, neuron, **options), x),
        "late": (slayer.dense(weight, neuron), x),
    }
    one = np.ones((1, 1, 1, 1), np.float32)
    if not pair:
        blocks |= {
            "pool": (slayer.pool(one, neuron, in_shape=(n, 1, 1), **options), image),
            "unpool": (slayer.unpool(one, neuron, **options), image),
        }
    for kind, (block, inputs) in blocks.items():
        ours = outputs(network(block, inputs.shape[1:-1]), inputs).reshape(spikes.shape)
        if kind == "late":
            ours, want = ours[..., 1:], spikes[..., :-1]
        else:
            want = spikes
        assert (ours == want).all(), kind


def test_pools_of_resonators_have_two_windows():
    neuron = slayer.rf_neuron(threshold=0.6, period=10.0, decay=0.05)
    ones = np.ones((1, 1, 2, 2), np.float32)
    block = slayer.pool((ones, -ones / 2), neuron, in_shape=(3, 4, 4))
    x = jnp.ones((1, 1, 3, 4, 4))
    both = nj.simulate(nj.Sequential((3, 4, 4), a=block["synapse"]), x).outputs[0, 0]
    assert both.shape == (2, 3, 2, 2)
    assert (both[0] == 4).all() and (both[1] == -2).all()


def test_affine_blocks_read_out_a_state():
    params, x, _ = recorded("slayer_rf")
    with np.load(LAVA / "slayer_rf.npz") as file:
        imag = file["imag"]
    weight = unit_weight("rf", 4)
    neuron = slayer.rf_neuron(**params)
    assert (outputs(network(slayer.affine(weight, neuron), (8,)), x) == imag).all()
    block = slayer.affine(weight, neuron, dynamics=False)
    assert (outputs(network(block, (8,)), x) == x[:, 4:]).all()
    sigma_delta = slayer.sigma_delta_neuron(threshold=0.1)
    with pytest.raises(ValueError, match="have slayer's Output block instead"):
        slayer.affine(weight[0], sigma_delta)


def parameter(values):
    return torch.nn.Parameter(torch.tensor(values))


def neuron_module(family, params, **changes):
    """As slayer's modules are built."""
    cut = int(params["threshold"] * 64) / 64
    numbers = {name: v for name, v in params.items() if name.endswith("_decay")}
    if "period" in params:
        angle, kept = 2 * np.pi / params["period"], 1 - params["decay"]
        numbers |= {"sin_decay": np.sin(angle) * kept, "cos_decay": np.cos(angle) * kept}
    decays = {name: parameter(np.float32([4096 * value])) for name, value in numbers.items()}
    step = {"threshold_step": int(params.get("threshold_step", 0) * 64) / 64}
    neuron = stand_in(
        f"neuron.{family}.Neuron",
        _threshold=cut,
        tau_rho=cut,
        scale_rho=1,
        w_scale=64,
        s_scale=4096,
        requires_grad=False,
        graded_spike=params.get("graded_spike", False),
        persistent_state=False,
        norm=None,
        real_norm=None,
        imag_norm=None,
        drop=None,
        complex="period" in params,
        quantize_8bit=lambda self, weight, descale=False: None,
        **decays,
        **(step if "threshold_step" in params else {}),
    )
    neuron.quantize_8bit.__func__.__name__ = "quantize_8bit"
    vars(neuron).update(changes)
    return neuron


def synapse_module(weight, neuron, kind="Dense"):
    hook = neuron.quantize_8bit
    if isinstance(weight, tuple):
        parts = [synapse_module(w, neuron, kind) for w in weight]
        path = f"synapse.complex.{kind}"
        return stand_in(path, complex=True, real=parts[0], imag=parts[1])
    numbers = {"stride": (1, 1, 1), "padding": (0, 0, 0), "dilation": (1, 1, 1), "groups": 1}
    values = parameter(weight[..., None, None, None] if weight.ndim == 2 else weight)
    path = f"synapse.layer.{kind}"
    return stand_in(path, complex=False, weight=values, _pre_hook_fx=hook, **numbers)


def block_module(family, kind, **attributes):
    common = {"delay": None, "delay_shift": False, "count_log": False, "mask": None}
    return stand_in(f"block.{family}.{kind}", **(common | attributes))


def test_modules_of_resonators_on_their_own():
    params, x, spikes = recorded("slayer_rf")
    neuron = neuron_module("rf", params)
    halves = np.stack([x[:, :4], x[:, 4:]], axis=1)
    converted = convert(neuron, (2, 4))
    assert any("a pair (real, imag)" in note for note in converted.notes)
    assert (outputs(network(converted.layers, (2, 4)), halves) == spikes).all()
    synapse = convert(synapse_module(unit_weight("rf", 4), neuron), (8,))
    assert (outputs(network(synapse.layers, (8,)), x) == halves).all()
    with pytest.raises(ValueError, match=r"the neurons that are known are those of slayer\.neuron"):
        convert(stand_in("neuron.dynamics.Neuron"), (4,))


# Networks that were exported: their integers are the weights.


def exported(name):
    with h5py.File(LAVA / f"{name}.net") as file, np.load(LAVA / f"{name}.npz") as z:
        layers = file["layer"]
        read = lambda group: {  # noqa: E731
            key: read(item) if isinstance(item, h5py.Group) else item[()]
            for key, item in group.items()
        }
        return [read(layers[str(i)]) for i in range(len(layers))], dict(z)


@pytest.mark.parametrize("family", ["rf", "rf_iz"])
def test_exported_resonators(family):
    (layer,), z = exported(f"net_{family}_dense")
    cells = layer["neuron"]
    neuron = getattr(slayer, f"{family}_neuron")(
        threshold=cells["vThMant"] / 64,
        sin_decay=cells["sinDecay"] / 4096,
        cos_decay=cells["cosDecay"] / 4096,
    )
    weight = tuple(layer["weight"][part].reshape(4, 6) / 64 for part in ("real", "imag"))
    for quantise in (True, False):
        block = slayer.dense(weight, neuron, quantise=quantise)
        assert (outputs(network(block, (6,)), z["x"]) == z["out0"]).all()


def test_an_exported_sigma_delta_network_from_modules():
    layers, z = exported("net_sdnn")

    def cells(layer):
        threshold = layer["neuron"]["vThMant"] / 64
        delta = stand_in(
            "axon.delta.Delta",
            threshold=parameter(np.float32([threshold])),
            tau_grad=1,
            scale_grad=1,
            cum_error=False,
        )
        params = {"threshold": threshold}
        return neuron_module(
            "sigma_delta", params, delta=delta, activation=torch.nn.functional.relu
        )

    def block(kind, layer, **options):
        neuron = cells(layer)
        attributes = {"neuron": neuron}
        if "weight" in layer:
            weight = layer["weight"] / np.float32(64)
            weight = weight[..., None] if weight.ndim == 4 else weight
            name = "Conv" if kind == "Conv" else "Dense"
            attributes["synapse"] = synapse_module(weight, neuron, name)
            for option in ("stride", "padding", "dilation"):
                if option in layer:
                    value = (*map(int, layer[option]), 1)
                    setattr(attributes["synapse"], option, value)
        return block_module("sigma_delta", kind, **attributes, **options)

    flatten = stand_in("block.sigma_delta.Flatten", count_log=False)
    start, conv, _, dense, output = layers
    modules = [
        block("Input", start, weight=None, bias=None),
        block("Conv", conv),
        flatten,
        block("Dense", dense),
        block("Output", output),
    ]
    net = slayer.from_blocks(modules, input_shape=(2, 6, 5))
    ends = [[name for name in net.names if name.startswith(f"blocks.{i}")][-1] for i in range(5)]
    run = nj.simulate(net, jnp.moveaxis(z["x"], -1, 0), probes=ends)
    for i, end in enumerate(ends):
        assert (np.moveaxis(run[end], 0, -1) == z[f"out{i}"]).all(), end
    note = "its threshold is cut to weight steps, as slayer exports it"
    modules[3].neuron.delta.threshold = parameter(np.float32([0.3]))
    assert note in convert(modules[3], (12,)).notes
