"""Imported networks are networks like any other: they leave again, are trained, saved and mapped.

Numbers are on a grid, so that sums are exact and outputs are compared with ==.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import neurojax as nj
from neurojax import train
from neurojax.converters import from_nir, from_torch, network_of, sinabs, to_nir, to_torch
from neurojax.converters.sinabs._layers import Crop, Rounded
from neurojax.converters.spikingjelly import SynapseFilter
from tests.converters._live import fill_on_grid, on_grid, outputs_of, peer, spikes_in

STEPS, BATCH = 5, 2


class SnnTorch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        snn = peer("snntorch")
        self.fc = torch.nn.Linear(4, 3)
        self.leaky = snn.RLeaky(beta=0.5, linear_features=3, learn_beta=True)
        self.synaptic = snn.RSynaptic(alpha=0.5, beta=0.75, all_to_all=False, V=0.5)

    def forward(self, x):
        spikes, v = self.leaky.init_rleaky()
        late, i, w = self.synaptic.init_rsynaptic()
        outputs = []
        for now in x:
            spikes, v = self.leaky(self.fc(now), spikes, v)
            late, i, w = self.synaptic(spikes, late, i, w)
            outputs.append(late)
        return torch.stack(outputs)


def norse():
    lib = peer("norse.torch")
    p = lib.LIFParameters(tau_mem_inv=torch.tensor(500.0), tau_syn_inv=torch.tensor(250.0))
    return lib.SequentialState(
        torch.nn.Linear(4, 3), lib.LIFRecurrent(3, 3, p=p), torch.nn.Linear(3, 3), lib.LIF(p=p)
    )


def sinabs_model():
    layers = peer("sinabs.layers")
    back = torch.nn.Linear(3, 3)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 3),
        layers.IAFRecurrent(rec_connect=back, min_v_mem=-1.0),
        layers.LIF(tau_mem=5.0, norm_input=False),
    )


def spikingjelly():
    neuron = peer("spikingjelly.activation_based.neuron")
    layer = peer("spikingjelly.activation_based.layer")
    return torch.nn.Sequential(
        torch.nn.Linear(4, 3),
        layer.ElementWiseRecurrentContainer(neuron.IFNode(), lambda x, y: x + y),
        layer.LinearRecurrentContainer(neuron.LIFNode(v_threshold=0.125), 3, 3, True),
        neuron.ParametricLIFNode(init_tau=4.0, v_threshold=0.2),
    )


MODELS = {
    "snntorch": SnnTorch,
    "norse": norse,
    "sinabs": sinabs_model,
    "spikingjelly": spikingjelly,
}


def imported(name):
    torch.manual_seed(0)
    model = MODELS[name]()
    fill_on_grid(model, np.random.default_rng(1))
    return from_torch(model, input_shape=(4,), check=False)


@pytest.mark.parametrize("name", MODELS)
def test_round_trips(name, tmp_path):
    """To PyTorch and to NIR, and back: the same network, where it came from included."""
    network = imported(name)
    inputs = 8 * spikes_in(np.random.default_rng(2), STEPS, BATCH, (4,))
    ours = outputs_of(network, inputs)
    assert ours.any()
    module = to_torch(network)
    differing = (module(torch.tensor(inputs)).detach().numpy() != ours).mean()
    assert differing == 0 if name != "norse" else differing < 0.05
    for back in (network_of(module), from_torch(module, input_shape=(4,), check=False)):
        assert eqx.tree_equal(back, network, typematch=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what is lost to other readers
        to_nir(network, tmp_path / "net.nir", dt=1e-3, allow_lossy=True)
    back = from_nir(tmp_path / "net.nir")
    assert eqx.tree_equal(back, network, typematch=True)
    assert back.provenance == network.provenance


def test_layers_of_other_libraries_in_torch():
    rng = np.random.default_rng(3)
    fc = nj.Linear.from_weights(on_grid(rng, (6, 70)), on_grid(rng, (6,)))
    back = nj.Linear.from_weights(on_grid(rng, (6, 6)), on_grid(rng, (6,)))
    zero = {"norm_input": False, "min_v_mem": -1.0}
    chain = {
        "crop": Crop(((1, 0), (0, 3))),
        "flat": nj.Flatten(),
        "fc": fc,
        "whole": Rounded("nearest"),
        "half": nj.Scale(0.25),
        "filter": SynapseFilter(decay=0.5),
        "value": sinabs.iaf(reset="value", reset_value=0.25, min_v_mem=-1.0),
        "less": sinabs.lif(alpha_mem=0.5, reset_value=0.75, **zero),
        "feedback": sinabs.recurrent(sinabs.iaf(), back),
        "adapts": sinabs.alif(alpha_mem=0.5, alpha_syn=0.5, alpha_adapt=0.75, norm_input=True),
    }
    network = nj.Sequential((2, 8, 8), **chain)
    x = on_grid(rng, (STEPS, 3, 2, 8, 8))
    params, static = eqx.partition(network, eqx.is_inexact_array)

    def total(params):
        outputs = nj.simulate(eqx.combine(params, static), jnp.asarray(x)).outputs
        return outputs.sum(), outputs

    (_, ours), grads = jax.jit(jax.value_and_grad(total, has_aux=True))(params)
    module = to_torch(network)
    theirs = module(torch.tensor(x))
    assert ours.any()
    np.testing.assert_array_equal(theirs.detach().numpy(), ours)
    theirs.sum().backward()
    for name in ("fc.weight", "feedback.synapse.bias"):
        layer, *path = name.split(".")
        ours = grads.layers[layer]
        for part in path:
            ours = getattr(ours, part)
        found = module.get_parameter(name).grad.numpy()
        np.testing.assert_allclose(found, ours, rtol=1e-3, atol=1e-4 * np.abs(ours).max())
    assert eqx.tree_equal(network_of(module), network, typematch=True)
    with pytest.raises(ValueError) as error:
        to_nir(network, dt=1e-3, allow_lossy=True)
    for says in ("'crop': NIR has no Crop", "'filter': NIR has no SynapseFilter; use LI"):
        assert says in str(error.value)


class Trainable(torch.nn.Module):
    """A convolutional snnTorch model as one trains it."""

    def __init__(self):
        super().__init__()
        snn = peer("snntorch")
        self.conv = torch.nn.Sequential(torch.nn.Conv2d(1, 3, 3), torch.nn.BatchNorm2d(3))
        options = {"learn_beta": True, "learn_threshold": True}
        self.first = snn.Leaky(beta=0.5, threshold=0.25, **options)
        self.drop = torch.nn.Dropout(0.25)
        self.fc = torch.nn.Linear(12, 2)
        self.last = snn.Leaky(beta=0.75, threshold=0.1)

    def forward(self, x):
        v, w = self.first.init_leaky(), self.last.init_leaky()
        outputs = []
        for now in x:
            spikes, v = self.first(self.conv(now), v)
            spikes, w = self.last(self.fc(self.drop(spikes.flatten(1))), w)
            outputs.append(spikes)
        return torch.stack(outputs)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return from_torch(Trainable(), input_shape=(1, 4, 4))


def test_training_goes_on(network, tmp_path):
    """With batch norm and dropout switched on again, learnt decays and thresholds move."""
    learning = eqx.nn.inference_mode(network, False)
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 32)
    images = rng.random((32, 3, 1, 4, 4), np.float32) + labels[:, None, None, None, None]
    data = (images.astype(np.float32), labels)
    fitted = train.fit(
        learning, data, key=jax.random.key(0), epochs=6, batch_size=16, optimiser=optax.adam(0.02)
    )
    losses = fitted.history["loss"]
    assert losses[-1] < losses[0]
    trained = eqx.nn.inference_mode(fitted.network)
    for layer, fields in {
        "conv.0": ["weight", "bias"],
        "conv.1": ["weight", "running_mean", "running_var"],
        "first": ["decay", "threshold"],
        "fc": ["weight"],
    }.items():
        for field in fields:
            old, new = (np.asarray(getattr(net[layer], field)) for net in (network, trained))
            assert (old != new).any(), (layer, field)
    assert trained.provenance == network.provenance
    train.save_parameters(trained, tmp_path / "trained.h5")
    again = train.load_parameters(network, tmp_path / "trained.h5")
    assert eqx.tree_equal(again, trained)
    assert "snntorch.Leaky" in str(nj.describe(again))


def test_runs_are_compiled_once_mapped_and_sharded(network):
    """Schedules, vmap over networks and sharded, donated batches give the same numbers."""
    x = jnp.asarray(spikes_in(np.random.default_rng(1), 3, 4, (1, 4, 4)))
    traces = []

    @eqx.filter_jit
    def run(network, x, schedule):
        traces.append(schedule)
        return nj.simulate(network, x, schedule=schedule).outputs

    other = jax.tree.map(lambda leaf: 1.5 * leaf, network)
    step = [run(net, x, "step") for net in (network, other)]
    layer = [run(net, x, "layer") for net in (network, other)]
    assert traces == ["step", "layer"] and (step[0] != step[1]).any()
    np.testing.assert_array_equal(step, layer)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), network, other)
    mapped = eqx.filter_vmap(lambda net: nj.simulate(net, x).outputs)(both)
    np.testing.assert_allclose(mapped, jnp.stack(step), atol=1e-6)
    if len(jax.devices()) > 1:
        mesh = jax.make_mesh((2,), ("batch",), axis_types=(AxisType.Auto,))
        spread = jax.device_put(x, NamedSharding(mesh, PartitionSpec(None, "batch")))
        outputs = run(network, spread, "step")
        np.testing.assert_allclose(outputs, step[0], atol=1e-6)


def test_the_card_says_where_it_came_from(network):
    card = str(nj.describe(network))
    assert "first: snntorch.Leaky; " in card and "conv.1: torch.BatchNorm2d" in card
    assert card.count("; checked on ") >= 5
    back = network_of(to_torch(network))
    assert str(nj.describe(back)) == card
