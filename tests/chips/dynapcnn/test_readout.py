"""The last layer in front of the read-out block, and the classes of events."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.dynapcnn import (
    classes_of_features,
    classes_of_readout,
    devices,
    extend_readout_layer,
    readout_spread,
)


def network(classes=3):
    a, b = jax.random.split(jax.random.key(1))
    gain = jnp.arange(1.0, classes + 1)
    return nj.Sequential(
        (1, 4, 4),
        conv=nj.Conv2d(1, 2, 3, key=a),
        spikes=nj.IAF(threshold=0.2, v_min=-1.0),
        flat=nj.Flatten(),
        out=nj.Linear(8, classes, bias=True, key=b),
        digits=nj.IAF(threshold=0.2, gain=gain, max_spikes=None),
    )


def test_classes_stay_and_features_between_are_silent():
    plain = network()
    wide = extend_readout_layer(plain)
    assert wide.out_shape("digits") == (9,)
    np.testing.assert_array_equal(wide["out"].weight[::4], plain["out"].weight)
    assert not np.any(np.delete(np.asarray(wide["out"].weight), [0, 4, 8], 0))
    assert not np.any(np.delete(np.asarray(wide["out"].bias), [0, 4, 8]))
    x = jax.random.bernoulli(jax.random.key(2), 0.4, (12, 2, 1, 4, 4)).astype(jnp.float32)
    narrow, spread = (nj.simulate(net, x).outputs for net in (plain, wide))
    assert narrow.sum() > 0
    np.testing.assert_array_equal(spread[..., ::4], narrow)
    np.testing.assert_array_equal(spread.sum(), narrow.sum())


def test_what_can_not_be_extended():
    with pytest.raises(ValueError, match="'out' has 16 features; the read-out block tells 15"):
        extend_readout_layer(network(16))
    layers = {"a": nj.Linear(2, 3, key=jax.random.key(0)), "b": nj.IAF(), "add": nj.Add()}
    edges = [("input", "a"), ("a", "b"), ("a", "add"), ("b", "add")]
    with pytest.raises(ValueError, match="without a merge"):
        extend_readout_layer(nj.Network(layers, edges, inputs=(2,)))
    two = nj.Network(layers, edges, inputs=(2,), outputs=["b", "add"])
    with pytest.raises(ValueError, match="outputs b, add; say which one"):
        extend_readout_layer(two)
    with pytest.raises(ValueError, match="'x' is no output"):
        extend_readout_layer(two, output="x")


def test_classes_of_events():
    """By the vendor's list of errata: features 0, 4, 8 arrive as classes 1, 2, 3."""
    assert classes_of_features([0, 4, 8, 7]).tolist() == [0, 1, 2, -1]
    assert classes_of_features([0, 4, 8], spread=1).tolist() == [0, 4, 8]
    assert classes_of_readout([1, 2, 3, 0, 15]).tolist() == [0, 1, 2, -1, 14]
    values = (np.array([1, 2, 0]) << 16) | (1 << 20) | 0b110
    assert classes_of_readout(values).tolist() == [0, 1, -1]


def test_devices_with_the_fault():
    spread = {name: readout_spread(chip) for name, chip in devices.items()}
    assert {n for n, s in spread.items() if s == 4} == {
        "speck2e", "speck2edevkit", "speck2fmodule", "speck2fdevkit"
    }  # fmt: skip
