"""Files of parameters: what comes back is what was written, or a readable error."""

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import train
from neurojax.neurons import LIF
from neurojax.train import _parameters


def network(key=0, hidden=6, threshold=1.0, dtype=jnp.float32):
    a, b = jax.random.split(jax.random.key(key))
    layers = {
        "in/1": nj.Linear(4, hidden, key=a, dtype=dtype),
        "lif": LIF(tau=5.0, threshold=threshold),
        "out": nj.Linear(hidden, 3, bias=True, key=b, dtype=dtype),
    }
    return nj.Network(layers, [("input", "in/1"), ("in/1", "lif"), ("lif", "out")], inputs=(4,))


def leaves(net):
    return [np.asarray(x) for x in jax.tree.leaves(net)]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_round_trip(tmp_path, dtype):
    saved = network(threshold=jnp.linspace(0.5, 1, 6), dtype=dtype)
    path = tmp_path / "net.h5"
    train.save_parameters(saved, path)
    loaded = train.load_parameters(network(key=1, threshold=jnp.ones(6), dtype=dtype), path)
    assert jax.tree.structure(loaded) == jax.tree.structure(saved)
    for a, b in zip(leaves(loaded), leaves(saved), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert [p.name for p in tmp_path.iterdir()] == ["net.h5"]


def test_plain_hdf5_reads_it(tmp_path):
    net = network()
    train.save_parameters(net, tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5") as file:
        np.testing.assert_array_equal(file["layers/out/.weight"][()], net["out"].weight)


def test_all_differences_are_named(tmp_path):
    train.save_parameters(network(hidden=5), tmp_path / "net.h5")
    other = network(threshold=jnp.ones(6)).replace(out=nj.Linear(6, 3, key=jax.random.key(0)))
    with pytest.raises(ValueError, match="does not fit the network") as caught:
        train.load_parameters(other, tmp_path / "net.h5")
    text = str(caught.value)
    assert "layer 'in/1': weight has shape (5, 4) in the file, but (6, 4) in the network" in text
    assert "layer 'lif': threshold is not in the file (nor the layer; " in text
    assert "layer 'out': bias is in the file, but not in the network" in text


def test_other_type(tmp_path):
    train.save_parameters(network(), tmp_path / "net.h5")
    with pytest.raises(ValueError, match=r"float32 in the file, but bfloat16 .*astype\('float32'"):
        train.load_parameters(network(dtype=jnp.bfloat16), tmp_path / "net.h5")


def test_not_finite(tmp_path):
    train.save_parameters(network(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a") as file:
        file["layers/out/.weight"][0, 0] = np.nan
    with pytest.raises(ValueError, match="layer 'out': weight holds 1 of 18 values that are NaN"):
        train.load_parameters(network(), tmp_path / "net.h5")


def test_no_such_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        train.load_parameters(network(), tmp_path / "net.h5")


def test_damaged_and_foreign_files(tmp_path):
    path = tmp_path / "net.h5"
    train.save_parameters(network(), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match="no HDF5 file, or a damaged one"):
        train.load_parameters(network(), path)
    with h5py.File(path, "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(ValueError, match="not a file of save_parameters"):
        train.load_parameters(network(), path)
    with h5py.File(path, "w") as file:
        file.attrs["format"], file.attrs["version"] = _parameters.FORMAT, 99
    with pytest.raises(ValueError, match=r"version 99 .*update neurojax"):
        train.load_parameters(network(), path)


def test_external_data_is_not_followed(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(np.zeros(18, np.float32).tobytes())
    train.save_parameters(network(), tmp_path / "net.h5")
    with h5py.File(tmp_path / "net.h5", "a") as file:
        del file["layers/out/.weight"]
        stored = file.create_dataset(
            "layers/out/.weight", (3, 6), np.float32, external=[(str(secret), 0, 72)]
        )
        stored.attrs["dtype"] = "float32"
    with pytest.raises(ValueError, match="layer 'out': weight is not in the file"):
        train.load_parameters(network(), tmp_path / "net.h5")


def test_a_failure_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "net.h5"
    train.save_parameters(network(), path)
    before = path.read_bytes()

    def fail(array):
        raise RuntimeError("disk full")

    monkeypatch.setattr(_parameters, "_to_numpy", fail)
    with pytest.raises(RuntimeError):
        train.save_parameters(network(key=1), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["net.h5"]
