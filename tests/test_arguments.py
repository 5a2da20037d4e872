"""What is no network is refused with the way to one, by whatever takes a network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.chips import dynapcnn
from neurojax.converters import ann_to_snn, load_parameters, map_from, to_nir
from neurojax.quantise import Quantiser, quantise_weights

X = np.ones((3, 2, 4), np.float32)
TAKERS = {
    "simulate": lambda network: nj.simulate(network, X),
    "fit": lambda network: nj.train.fit(
        network, (X[0], np.zeros(2, int)), key=jax.random.key(0), steps=1
    ),
    "ann_to_snn": lambda network: ann_to_snn(network, X[0]),
    "load_parameters": lambda network: load_parameters(network, {}),
    "map_from": lambda network: map_from(network, {}, {}),
    "quantise_weights": lambda network: quantise_weights(network, Quantiser(8)),
    "to_nir": lambda network: to_nir(network, dt=1e-3),
    "fold_batch_norm": nj.fold_batch_norm,
    "dynapcnn.map": dynapcnn.map,
}


@pytest.mark.parametrize("name", TAKERS)
def test_a_torch_module_needs_an_import(name):
    with pytest.raises(TypeError, match=rf"{name} takes a Network, got Linear; .*from_torch"):
        TAKERS[name](torch.nn.Linear(4, 2))


def test_describe_knows_what_holds_a_network_and_what_does_not():
    with pytest.raises(TypeError, match=r"describe takes a Network, got Linear; .*from_torch"):
        nj.describe(torch.nn.Linear(4, 2))
    with pytest.raises(TypeError, match=r"describe takes a Network, got int; nj\.Network and nj"):
        nj.describe(3)


def test_a_mapped_network_holds_the_one_that_runs():
    network = nj.Sequential(
        (2, 4, 4),
        conv=nj.Conv2d.from_weights(jnp.ones((2, 2, 3, 3))),
        spikes=nj.IAF(max_spikes=None),
    )
    mapped = dynapcnn.map(network, device="speck2fmodule")
    with pytest.raises(TypeError, match="got MappedNetwork; it is its field `network`"):
        nj.simulate(mapped, np.ones((1, 1, 2, 4, 4)))
