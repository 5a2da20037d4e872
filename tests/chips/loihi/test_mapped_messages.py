"""Sigma-delta networks, and neurons that the host feeds, mapped: slayer's recordings, int64."""

from pathlib import Path

import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips._mapped import MappingError
from neurojax.chips.loihi.mapping import map as map_network, overflow
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.converters import slayer
from neurojax.hardware.loihi import configure, load
from neurojax.layers import AvgPool2d, Concat, Conv2d, Delay, Flatten, Linear
from tests.chips.loihi.network_oracle import oracle

LAVA = Path(__file__).parents[2] / "golden" / "lava"
SPIKE = {"reset": "zero"}


@pytest.fixture(scope="module")
def recorded():
    """The network that slayer exported, from its blocks, with its inputs and outputs."""
    with h5py.File(LAVA / "net_sdnn.net") as file:
        layers = file["layer"]
        neuron = lambda i: slayer.sigma_delta_neuron(  # noqa: E731
            threshold=layers[f"{i}/neuron/vThMant"][()] / 64
        )
        weight = lambda i: layers[f"{i}/weight"][()].astype(np.float32) / 64  # noqa: E731
        options = {k: tuple(layers[f"1/{k}"][()].tolist()) for k in ("stride", "padding")}
        blocks = [
            slayer.sigma_delta_input(neuron(0)),
            slayer.sigma_delta_conv(weight(1), neuron(1), **options),
            {"": Flatten()},
            slayer.sigma_delta_dense(weight(3).reshape(4, -1), neuron(3)),
            slayer.sigma_delta_output(weight(4).reshape(2, -1), neuron(3)),
        ]
    z = np.load(LAVA / "net_sdnn.npz")
    outputs = {i: np.moveaxis(z[f"out{i}"], -1, 0) for i in (1, 3, 4)}
    net = slayer.from_blocks(blocks, input_shape=(2, 6, 5))
    return net, jnp.moveaxis(jnp.asarray(z["x"]), -1, 0), outputs


def test_a_network_of_slayer_is_mapped_without_any_error(recorded, tmp_path):
    net, x, outputs = recorded
    mapped = map_network(net)
    ends = {i: f"blocks.{i}.neuron" for i in outputs}
    run = nj.simulate(mapped.network, 64 * x, probes=list(ends.values()))
    for i, name in ends.items():
        unit = 2**18 if i == 4 else 2**12
        np.testing.assert_array_equal(run[name], unit * outputs[i])
    assert np.any(outputs[4]) and all(origin.error == 0 for origin in mapped.origins)
    text = str(mapped)
    assert "takes 64 times" in text and "262,144 to a unit" in text and "3 steps later" in text
    configure(mapped).save(tmp_path / "x.net")
    again = nj.simulate(load(tmp_path / "x.net").network, 64 * x).outputs
    np.testing.assert_array_equal(again, run.outputs)
    late = nj.simulate(map_network(net, timing="chip").network, 64 * x).outputs
    np.testing.assert_array_equal(late[3:], run.outputs[:-3])
    counts = overflow(mapped, 64 * x)
    assert counts["blocks.3.neuron"] == {"beyond": 0, "of": 4 * x.shape[0] * x.shape[1]}


def test_sums_of_wide_messages_are_rounded_once():
    """Messages of 20 bits and mantissas of 8: beyond 24 bits the chip's registers end, too."""
    rng = np.random.default_rng(0)
    net = nj.Sequential(
        (6, 10, 10),
        encode=Delta(threshold=0.1),
        pool=AvgPool2d(2, stride=1),
        conv=Conv2d.from_weights(rng.integers(-127, 128, (4, 6, 3, 3)) / 32),
        a=SigmaDelta(threshold=0.5, activation="unit", bias=jnp.ones((4, 1, 1))),
        wait=Delay(2),
        flat=Flatten(),
        fc=Linear.from_weights(rng.integers(-127, 128, (3, 196)) / 32),
        out=Sigma(),
    )
    mapped = map_network(net)
    x = 2 * rng.integers(-128, 128, (6, 2, 6, 10, 10))
    found = nj.simulate(mapped.network, jnp.asarray(x, jnp.float32), probes=["conv", "out.low"])
    expected, sums = oracle(mapped.network, x, ["out", "conv"])
    assert np.abs(sums).max() > 2**24
    np.testing.assert_array_equal(found["conv"], sums.astype(np.float32))
    state = found.state.layers["out"]
    total = np.asarray(state.v, np.float64) + np.asarray(state.low, np.float64)
    np.testing.assert_allclose(total, expected[-1], rtol=1e-6)
    assert overflow(mapped, jnp.asarray(x, jnp.float32))["out"]["beyond"] > 0


def test_branches_scales_and_gradients():
    rng = np.random.default_rng(1)
    dense = lambda *shape: Linear.from_weights(  # noqa: E731
        (rng.integers(-31, 32, shape) / 32).astype(np.float32)
    )
    layers = {
        "encode": Delta(threshold=0.05), "a_in": dense(4, 5), "a": SigmaDelta(threshold=0.2),
        "b_in": dense(3, 5), "b": SigmaDelta(threshold=0.1), "both": Concat(),
        "fc": dense(2, 7), "out": Sigma(),
    }  # fmt: skip
    edges = [
        ("input", "encode"), ("encode", "a_in"), ("a_in", "a"), ("encode", "b_in"), ("b_in", "b"),
        ("a", "both"), ("b", "both"), ("both", "fc"), ("fc", "out"),
    ]  # fmt: skip
    net = nj.Network(layers, edges, inputs=(5,), outputs=["out"])
    x = jnp.asarray(2 * rng.integers(-60, 60, (12, 2, 5)), jnp.float32)
    for scale, own in ((None, 64), (128, 128)):
        mapped = map_network(net, scale=scale)
        ours = nj.simulate(mapped.network, x).outputs
        np.testing.assert_array_equal(ours, oracle(mapped.network, x))
        assert {origin.scale for origin in mapped.origins} == {own}
    mapped = map_network(net)
    before = nj.simulate(net, x / 64).outputs
    np.testing.assert_array_equal(nj.simulate(mapped.network, x).outputs, 2.0**18 * before)
    loss = lambda n, x, unit: jnp.sum(nj.simulate(n, x).outputs[-1] / unit)  # noqa: E731
    to_x = jax.jit(jax.grad(loss, argnums=1))
    there, here = to_x(mapped.network, x, 2.0**18), to_x(net, x / 64, 1.0)
    np.testing.assert_allclose(64 * there, here, rtol=1e-5)


def test_neurons_that_the_host_feeds():
    """slayer's `cuba.Input`: values, not spikes, go into the first neurons."""
    cuba = slayer.cuba_neuron(threshold=0.5, current_decay=0.3, voltage_decay=0.1)
    weight = np.random.default_rng(2).normal(size=(3, 4)).astype(np.float32)
    blocks = [slayer.input(cuba, weight=0.5, bias=0.25), slayer.dense(weight, cuba)]
    net = slayer.from_blocks(blocks, input_shape=(4,))
    mapped = map_network(net)
    x = jnp.asarray(np.random.default_rng(3).normal(size=(20, 2, 4)), jnp.float32)
    before = nj.simulate(net, x).outputs
    assert 0.05 < before.mean() < 0.95
    np.testing.assert_array_equal(nj.simulate(mapped.network, 64 * x).outputs, before)
    assert configure(mapped, timing="slayer").layers[0].type == "input"
    with pytest.raises(MappingError, match="use scale=64"):
        map_network(net, scale=100)


def eye():
    return Linear.from_weights(jnp.eye(2))


SD = {"threshold": 0.1}
CAN_NOT = {
    "values of a read-out": {"a": eye(), "v": nj.LI(tau=3.0), "b": eye(), "n": nj.IAF(**SPIKE)},
    "behind sigma-delta": {"d": Delta(**SD), "a": eye(), "n": nj.IAF(**SPIKE)},
    "begin the network with": {"a": eye(), "n": nj.IAF(**SPIKE), "b": eye(), "s": SigmaDelta(**SD)},
    "Delta behind synapses": {"a": eye(), "d": Delta(**SD)},
    "different scales": {"d": Delta(**SD), "a": eye(), "s": SigmaDelta(scale=32, **SD)},
    "LeakyReLU": {"d": Delta(**SD), "a": eye(), "s": SigmaDelta(activation="leaky_relu", **SD)},
    "would add again in each": {
        "d": Delta(**SD),
        "a": Linear.from_weights(jnp.eye(2), jnp.ones(2)),
        "s": SigmaDelta(**SD),
    },
    "chip's already": {"d": Delta(spike_exp=6, state_exp=6, threshold=6), "a": eye(), "s": Sigma()},
}


@pytest.mark.parametrize("found", CAN_NOT)
def test_refusals(found):
    with pytest.raises(MappingError, match=found):
        map_network(nj.Sequential((2,), **CAN_NOT[found]))
