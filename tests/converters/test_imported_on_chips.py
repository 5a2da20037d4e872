"""Imported networks on a chip: the integers that the vendor's software makes of the same model."""

import dataclasses
import json
import warnings

import equinox as eqx
import jax
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.chips import MappingError, dynapcnn
from neurojax.converters import from_nir, from_torch
from neurojax.converters.nir import presets
from tests.conformance._dynapcnn_case import UNLIMITED
from tests.conformance._torch_text import parse
from tests.converters._live import fill_on_grid, peer

RECORDED = ("A_pool_linear", "B_bias_stride", "C_linears", "D_bn_chainpool", "E_reset_single")


def live(entry, arrays):
    """A recorded model, made anew with torch and sinabs."""
    layers, fn = peer("sinabs.layers"), peer("sinabs.activation")
    modules = []
    infos = [entry["layers"][key] for key in sorted(entry["layers"], key=int)]
    for printed in parse(entry["modules"]).children:
        options = dict(printed.options)
        if printed.kind == "IAFSqueeze":
            info = infos[sum(isinstance(m, layers.IAFSqueeze) for m in modules)]
            options |= {"batch_size": 1, "num_timesteps": None}
            options["spike_fn"] = getattr(fn, info["spike_fn"])
            options["reset_fn"] = getattr(fn, info["reset_fn"])()
            modules.append(layers.IAFSqueeze(**options))
        elif printed.kind == "SumPool2d":
            modules.append(layers.SumPool2d(options["kernel_size"], stride=options["stride"]))
        else:
            # sinabs leaves the eps out when it folds.
            options |= {"eps": 0.0} if printed.kind.startswith("BatchNorm") else {}
            modules.append(getattr(torch.nn, printed.kind)(*printed.args, **options))
    model = torch.nn.Sequential(*modules)
    prefix = f"{entry['name']}/raw/"
    state = {
        name.removeprefix(prefix): torch.tensor(np.asarray(arrays[name]))
        for name in arrays
        if name.startswith(prefix)
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and not [name for name in missing if name.endswith("weight")]
    return model


@pytest.mark.parametrize("name", RECORDED)
def test_a_live_model_becomes_the_recorded_integers(golden, name):
    path = golden / "dynapcnn" / "networks_v3.json"
    entry = next(e for e in json.loads(path.read_text())["nets"] if e["name"] == name)
    with np.load(path.with_suffix(".npz")) as stored:
        arrays = {key: stored[key] for key in stored if key.startswith(f"{name}/")}
    network = from_torch(live(entry, arrays), input_shape=tuple(entry["input_shape"]), check=False)
    mapped = dynapcnn.map(network, device=UNLIMITED, peer_lower_bound=True)
    keys = sorted(entry["layers"], key=int)
    for key, origin in zip(keys, mapped.origins, strict=True):
        held, info = mapped.network[origin.name].integers(), entry["layers"][key]
        assert (held.threshold, held.v_min) == (info["threshold"], info["min_v_mem"])
        np.testing.assert_array_equal(held.weight, arrays[f"{name}/q/{key}/weight"])
        bias = arrays.get(f"{name}/q/{key}/bias")
        assert (held.bias is None) == (bias is None)
        if bias is not None:
            np.testing.assert_array_equal(held.bias, bias)


class Residue(torch.nn.Module):
    """What importers put between layers: factors, views, modules without an effect."""

    def __init__(self):
        super().__init__()
        neuron = peer("spikingjelly.activation_based.neuron")
        self.features = torch.nn.Sequential(
            torch.nn.Conv2d(2, 4, 3, padding=1),
            torch.nn.BatchNorm2d(4),
            neuron.IFNode(v_reset=None),
            torch.nn.Identity(),
            torch.nn.AvgPool2d((2, 2), padding=(0, 0)),
            torch.nn.Dropout(0.25),
        )
        self.head, self.cells = torch.nn.Linear(64, 5), neuron.IFNode(v_reset=None)

    def forward(self, x):
        y = 0.5 * self.features(2 * x)
        return self.cells(0.25 * self.head(y.view(y.shape[0], -1)))


def spiking_model():
    torch.manual_seed(0)
    model = Residue()
    fill_on_grid(model, np.random.default_rng(0))
    return model.eval()


def test_factors_and_views_go_into_the_weights():
    model = spiking_model()
    network = from_torch(model, input_shape=(2, 8, 8))
    twin = spiking_model()
    with torch.no_grad():  # where the factors are written by hand
        twin.features[1].eps = 0.0
        twin.features[0].weight *= 2
        twin.head.weight *= 0.125
        twin.head.bias *= 0.25
    plain = torch.nn.Sequential(*twin.features, torch.nn.Flatten(), twin.head, twin.cells)
    model.features[1].eps = 0.0
    same = dynapcnn.map(from_torch(plain, input_shape=(2, 8, 8), check=False))
    mapped = dynapcnn.map(from_torch(model, input_shape=(2, 8, 8), check=False))
    for ours, theirs in zip(mapped.origins, same.origins, strict=True):
        held = mapped.network[ours.name].integers()
        assert eqx.tree_equal(held, same.network[theirs.name].integers())
    assert mapped.network.names == ("features.2", "features.4", "cells")
    card = str(nj.describe(mapped))
    assert "torch.Conv2d + torch.BatchNorm2d + spikingjelly.IFNode" in card
    assert "mapped onto core 0 of speck2fmodule; 'features.1' is folded into" in card
    folded = nj.fold_batch_norm(network).provenance["features.0"]
    assert folded.notes[-1] == "batch norm 'features.1' is folded in"


def test_neurons_without_leak_of_another_class():
    snn = peer("snntorch")
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 3),
        snn.Leaky(beta=1.0, threshold=0.5, init_hidden=True, output=True),
    )
    network = from_torch(model, input_shape=(1, 6, 6))
    with pytest.raises(MappingError) as error:
        dynapcnn.map(network)
    found = [problem.found for problem in error.value.problems]
    assert found == ["strict=True (fires at v > threshold)", "reset_delay=True"]
    cells = dataclasses.replace(network["1"], strict=False, reset_delay=False)
    mapped = dynapcnn.map(network.replace(**{"1": cells}))
    iaf = dynapcnn.map(network.replace(**{"1": nj.IAF(threshold=0.5)}))
    ours, theirs = mapped.network["1"].integers(), iaf.network["1"].integers()
    assert eqx.tree_equal(ours, theirs)


def test_factors_that_no_weight_can_take():
    a = jax.random.key(0)
    chain = {"many": nj.Scale(np.ones((1, 8, 8), np.float32)), "conv": nj.Conv2d(1, 2, 3, key=a)}
    chain |= {"iaf": nj.IAF(), "end": nj.Scale(2.0), "shape": nj.Reshape((2, 36))}
    with pytest.raises(MappingError) as error:
        dynapcnn.map(nj.Sequential((1, 8, 8), **chain))
    text = str(error.value)
    assert "layer 'end': a factor 2 with no weights behind it" in text
    assert "layer 'shape': a Reshape layer" in text
    assert len(error.value.problems) == 2  # a factor of 1 is one value


def test_by_way_of_nir():
    """sinabs' own export and the model itself become the same integers."""
    layers = peer("sinabs.layers")
    cells = lambda: layers.IAFSqueeze(batch_size=1, min_v_mem=-1.0)  # noqa: E731
    model = torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, padding=1), cells(), layers.SumPool2d(2), torch.nn.Flatten(),
        torch.nn.Linear(64, 5), cells(),
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = peer("sinabs.nir").to_nir(model, torch.zeros(1, 2, 8, 8))
    read = from_nir(graph, preset=presets.sinabs(min_v_mem=-1.0), input_shape=(2, 8, 8))
    ours = dynapcnn.map(from_torch(model, input_shape=(2, 8, 8), check=False))
    theirs = dynapcnn.map(read)
    for a, b in zip(ours.origins, theirs.origins, strict=True):
        held = theirs.network[b.name].integers()
        assert eqx.tree_equal(ours.network[a.name].integers(), held)
    assert "mapped onto core 0" in theirs.network.provenance["1"].notes[0]
