"""Files that slayer wrote: read, written again, and described.

That they compute what slayer and netx computed is compared in tests/conformance/_lava_net.py.
"""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.hardware.loihi import configure, load, read

NAMES = [
    "net_conv",
    "net_dense",
    "net_dense_delay",
    "net_dense_norm",
    "net_dense_wgtnorm",
    "net_input",
    "net_input_affine",
    "net_pool",
    "net_recurrent",
    "net_rf_dense",
    "net_rf_iz_dense",
    "net_sdnn",
]
SHAPES = {"net_conv": (2, 7, 6)}  # its first layer has a stride: two heights fit


@pytest.fixture
def folder(golden):
    return golden / "lava"


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: (
                found.__setitem__(name, (item.id.get_type(), item.shape, item[()]))
                if isinstance(item, h5py.Dataset)
                else None
            )
        )
        assert not any(item.attrs for item in file.values())
    return found


def assert_same_file(a, b):
    first, second = datasets(a), datasets(b)
    assert first.keys() == second.keys()
    for name, (kind, shape, value) in first.items():
        assert second[name][0] == kind and second[name][1] == shape, name
        # By value: slayer's files hold some -0.0, which mean nothing.
        assert np.array_equal(second[name][2], value), name


@pytest.mark.parametrize("name", NAMES)
def test_a_file_of_slayer_is_written_again(folder, tmp_path, name):
    mapped = load(folder / f"{name}.net", input_shape=SHAPES.get(name), timing="slayer")
    configure(mapped).save(tmp_path / "again.net")
    assert_same_file(folder / f"{name}.net", tmp_path / "again.net")
    rows = mapped.report().rows
    assert [row["layer"] for row in rows] == list(mapped.network.names)
    assert sum(row["cores"] is not None for row in rows) == len(mapped.origins) > 0


def test_aligned_layers_follow_each_other_within_a_step(folder):
    recorded = np.load(folder / "net_conv.npz")
    net = load(folder / "net_conv.net", input_shape=(2, 7, 6)).network
    assert len(net) == 7 and not any("shift" in name for name in net.names)
    y = nj.simulate(net, jnp.moveaxis(jnp.asarray(recorded["x"]), -1, 0)).outputs
    np.testing.assert_array_equal(y[:-3, 0].T, recorded["out3"][0, :, 3:])


@pytest.mark.parametrize("timing", ["aligned", "chip", "slayer"])
def test_every_timing_is_written_to_the_same_file(folder, tmp_path, timing):
    for name in ("net_dense_delay", "net_recurrent", "net_input", "net_rf_dense"):
        mapped = load(folder / f"{name}.net", timing=timing)
        configuration = configure(mapped)
        assert configuration.timing == timing
        configuration.save(tmp_path / "again.net")
        assert_same_file(folder / f"{name}.net", tmp_path / "again.net")
    again = configure(load(folder / "net_dense_delay.net", timing="slayer"), timing="aligned")
    assert again.layers[0].fields["delay"].tolist() == [1, 2, 3, 4, 1, 5]


def test_what_a_loaded_network_says(folder):
    mapped = load(folder / "net_dense_wgtnorm.net")
    text = str(mapped.report())
    assert "0.synapse" in text and "-136..134" in text and "loihi2" in text
    assert mapped.network.provenance["0.neuron"].name == "layer/0"
    assert str(read(folder / "net_conv.net")).splitlines()[0] == "0: conv 3x4x4, CUBA"
