"""Loihi's .net files and NIR: the quantisation is kept, what has no counterpart is refused."""

import dataclasses
import warnings

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import exchange
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.real import to_real
from neurojax.chips.loihi.synapse import Synapse
from neurojax.converters import nir
from neurojax.hardware.loihi import configure, load, read
from neurojax.hardware.loihi.records import same


@pytest.fixture
def folder(golden):
    return golden / "lava"


def there_and_back(path, tmp_path, input_shape=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what readers other than ours lose
        exchange.net_to_nir(path, tmp_path / "x.nir", input_shape=input_shape)
    exchange.nir_to_net(tmp_path / "x.nir", tmp_path / "x.net")
    return read(tmp_path / "x.net").layers


@pytest.mark.parametrize(
    ("name", "input_shape"),
    [
        ("dense", None),
        ("dense_delay", None),
        ("conv", (2, 7, 6)),
        ("dense_norm", None),
        ("recurrent", None),
        ("pool", None),
    ],
)
def test_a_net_file_is_the_same_after_nir(folder, tmp_path, name, input_shape):
    path = folder / f"net_{name}.net"
    assert same(there_and_back(path, tmp_path, input_shape), read(path).layers)


def test_the_standard_fields_alone_keep_the_integers(folder, tmp_path):
    """A file that another tool has copied has lost what neurojax wrote beside them."""
    for name in ("dense", "dense_delay"):
        path = folder / f"net_{name}.net"
        graph = exchange.net_to_nir(path, tmp_path / "x.nir", dt=1e-4)
        bare = dataclasses.replace(
            graph,
            metadata={},
            nodes={
                key: node if isinstance(node, nir.Graph) else dataclasses.replace(node, metadata={})
                for key, node in graph.nodes.items()
            },
        )
        nir.write(tmp_path / "y.nir", bare)
        exchange.nir_to_net(tmp_path / "y.nir", tmp_path / "y.net", dt=1e-4)
        assert same(read(tmp_path / "y.net").layers, read(path).layers)


NEURONS = {
    "IAF": LIF(du=4095, dv=0, vth=90),
    "LIF": LIF(du=4095, dv=2048, vth=30, bias_mant=7, bias_exp=6, refractory=3),
    "CubaIAF": LIF(du=2047, dv=0, vth=150),
    "CubaLIF": LIF(du=1023, dv=1024, vth=90, bias_mant=jnp.array([5.0, -3.0]), bias_exp=6),
    "LI": LIF(du=4095, dv=1024, vth=None),
    "CubaLI": LIF(du=2047, dv=2048, vth=None),
}


@pytest.mark.parametrize("name", NEURONS)
def test_real_numbers_of_every_neuron(tmp_path, name):
    """The same spikes as far as decays that are dyadic, and so exact, show them."""
    weight = jnp.array([[62.0, -40.0, 20.0], [-6.0, 90.0, 34.0]])
    chip = nj.Sequential((3,), fc=Synapse(nj.Linear.from_weights(weight)), n=NEURONS[name])
    real = to_real(chip)
    assert type(real["n"]).__name__ == name
    x = jnp.asarray(np.random.default_rng(1).random((8, 40, 3)) < 0.5, jnp.float32)
    a, b = (nj.simulate(net, x).outputs for net in (chip, real))
    assert np.any(a)
    if name.endswith("LI"):
        np.testing.assert_allclose(np.asarray(a) / 4096, b, atol=1e-2)
    else:
        np.testing.assert_array_equal(a, b)
    configure(chip).save(tmp_path / "a.net")
    assert same(there_and_back(tmp_path / "a.net", tmp_path), read(tmp_path / "a.net").layers)


def test_what_has_no_real_numbers_is_refused_at_once(folder, tmp_path):
    for name, says in (
        ("sdnn", ["'0.neuron': Delta threshold 6", "'4.neuron': Sigma"]),
        ("rf_dense", ["'0.neuron': RF"]),
        ("dense_wgtnorm", ["'0.neuron': shift=1"]),
    ):
        with pytest.raises(ValueError) as error:
            exchange.net_to_nir(folder / f"net_{name}.net", tmp_path / "x.nir")
        assert all(part in str(error.value) for part in says), error.value
        assert f"net_{name}.net" in str(error.value)
    assert not list(tmp_path.iterdir())


def test_networks_from_elsewhere_are_mapped(tmp_path):
    net = nj.Sequential(
        (2,),
        fc=nj.Linear.from_weights(jnp.array([[0.7, -0.3], [0.2, 0.61]])),
        n=nj.CubaLIF(tau=8.0, tau_syn=3.0, reset="zero", strict=True),
    )
    nir.to_nir(net, tmp_path / "x.nir", dt=1e-3)
    _, mapped = exchange.nir_to_net(tmp_path / "x.nir", tmp_path / "x.net")
    again = load(tmp_path / "x.net").network
    x = jnp.asarray(np.random.default_rng(1).random((30, 2, 2)) < 0.5, jnp.float32)
    a, b = (nj.simulate(n, x).outputs for n in (mapped.network, again))
    assert np.any(a)
    np.testing.assert_array_equal(a, b)


def test_the_command_line(folder, tmp_path, capsys):
    source = str(folder / "net_dense.net")
    assert exchange.main([source, str(tmp_path / "x.nir")]) == 0
    assert "6 nodes, 5 edges" in capsys.readouterr().out
    assert exchange.main([str(tmp_path / "x.nir"), str(tmp_path / "y.net"), "--scale", "64"]) == 0
    assert "0: dense 6, CUBA" in capsys.readouterr().out
    assert same(read(tmp_path / "y.net").layers, read(source).layers)
    assert exchange.main([source, str(tmp_path / "y.net")]) == 2
    assert exchange.main([str(tmp_path / "none.net"), str(tmp_path / "z.nir")]) == 1
    assert "there is no such file" in capsys.readouterr().err
    conv = str(folder / "net_conv.net")
    assert exchange.main([conv, str(tmp_path / "c.nir"), "--input-shape", "2,7,6"]) == 0
    with pytest.raises(SystemExit):
        exchange.main(["--help"])
    assert "a .net or .nir file" in capsys.readouterr().out


def test_scales_of_real_numbers():
    """Those of the mapping, of the caller, or 64."""
    chip = nj.Sequential(
        (2,), fc=Synapse(nj.Linear.from_weights(jnp.eye(2) * 32)), a=LIF(du=4095, dv=0, vth=48)
    )
    assert to_real(chip)["a"].threshold == 0.75
    assert to_real(chip, scale=32)["fc"].weight[0, 0] == 1
    assert to_real(chip, scale={"a": 16})["a"].threshold == 3
    with pytest.raises(ValueError, match="known names: 'a'"):
        to_real(chip, scale={"fc": 16})


def test_neurons_do_not_take_the_scale_of_those_behind_them():
    chip = nj.Sequential(
        (2,),
        fc1=Synapse(nj.Linear.from_weights(jnp.eye(2) * 32)),
        s1=LIF(du=4095, dv=0, vth=48),
        fc2=Synapse(nj.Linear.from_weights(jnp.eye(2) * 32)),
        s2=LIF(du=4095, dv=0, vth=48),
    )
    real = to_real(chip, scale={"s2": 32})
    assert (real["s1"].threshold, real["s2"].threshold) == (0.75, 1.5)
    assert (real["fc1"].weight[0, 0], real["fc2"].weight[0, 0]) == (0.5, 1)


def test_options_that_real_neurons_lack_are_refused():
    weight = jnp.array([[2.0]])
    for vth_lo in (0, jnp.array([-3.0])):
        neuron = LIF(du=4095, dv=0, vth=4, vth_lo=vth_lo)
        synapse = Synapse(nj.Linear.from_weights(weight))
        with pytest.raises(ValueError, match="vth_lo="):
            to_real(nj.Sequential((1,), fc=synapse, a=neuron))
