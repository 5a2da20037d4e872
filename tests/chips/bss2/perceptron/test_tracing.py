"""Traces: the file does what the network did."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.bss2 import perceptron as hagen

A, B, C = jax.random.split(jax.random.key(0), 3)


def network():
    columns = hagen.MockParameter(noise_std=1.0, gain=jnp.linspace(0.001, 0.003, 5))
    return nj.Sequential(
        (1, 30),
        conv=hagen.ExpandedConv1d(
            1,
            4,
            7,
            stride=3,
            padding=1,
            input_transform=hagen.scale_input,
            out_of_range="saturate",
            key=A,
        ),
        relu=hagen.ConvertingReLU(shift=1),
        flat=nj.Flatten(),
        hidden=hagen.Linear(
            36, 5, bias=True, mock=columns, num_sends=3, out_of_range="saturate", key=B
        ),
        plain=hagen.ReLU(),
        best=hagen.ArgMax(),
    )


@pytest.fixture(scope="module")
def traced():
    inputs = np.random.default_rng(0).uniform(0, 1, (4, 1, 30)).astype(np.float32)
    return hagen.trace(network(), inputs)


def test_a_file_replays_the_network(traced, tmp_path):
    path = tmp_path / "net.npz"
    traced.save(path)
    loaded = hagen.InferenceTrace.load(path)
    assert loaded.operations == ("mac", "converting_relu", "mac", "add", "relu", "argmax")
    loaded.check()
    key = jax.random.key(5)
    inputs = np.random.default_rng(1).uniform(0, 2, (4, 1, 30)).astype(np.float32)
    expected = nj.simulate(network(), inputs[None], key=key).outputs[0]
    np.testing.assert_array_equal(loaded.run(inputs, key=key), expected)
    layer = loaded.network["hidden"]
    assert layer.mock.noise_std == 1.0 and layer.mock.gain.shape == (5,)
    assert (np.asarray(layer.weight) % 1 == 0).all()


def test_weights_are_those_of_the_chip():
    w = jnp.array([[80.0, 2.5, -0.5], [1.0, -3.4, 70.0]])
    for options, expected in (
        ({}, [[63.0, 2.0, 0.0], [1.0, -3.0, 63.0]]),
        ({"weight_transform": hagen.scale_weight}, [[63.0, 2.0, 0.0], [1.0, -3.0, 55.0]]),
        ({"weight_transform": None, "out_of_range": "saturate"}, None),
    ):
        net = nj.Sequential((3,), a=hagen.Linear.from_weights(w, **options))
        frozen = hagen.trace(net, jnp.ones((1, 3))).network["a"].weight
        np.testing.assert_array_equal(frozen, expected or [[63, 2, 0], [1, -3, 63]])
    quiet = hagen.MockParameter(0.0, 0.5)
    net = nj.Sequential((3,), a=hagen.Linear.from_weights(w, mock=quiet))
    assert hagen.trace(net, jnp.ones((1, 3))).run(np.ones(3)).tolist() == [32.0, 30.0]
    net = nj.Sequential((3,), a=hagen.Linear.from_weights(w, weight_transform=None))
    with pytest.raises(RuntimeError, match="range of weights"):
        hagen.trace(net, jnp.ones((1, 3)))


def test_only_chains_are_traced():
    linear = hagen.Linear(3, 3, key=A)
    net = nj.Network(
        {
            "a": linear,
            "b": hagen.Linear(3, 3, input_transform=lambda x: x, key=B),
            "c": nj.LIF(tau=2.0),
            "back": linear,
        },
        [("input", "a"), ("a", "b"), ("a", "c"), ("b", "c"), ("c", "back"),
         nj.Edge("back", "a", recurrent=True)],
        inputs=(3,),
    )  # fmt: skip
    with pytest.raises(ValueError) as error:
        hagen.trace(net, jnp.ones((1, 3)))
    for reason in (
        "'a' feeds ['b', 'c']",
        "layer 'c' is fed by ['a', 'b']",
        "layer 'c' is LIF; a trace holds only ArgMax, Conv1d",
        "layer 'a' gets the output of 'back' a step late",
        "layer 'b': input_transform is",
    ):
        assert reason in str(error.value)


def rewritten(traced, path, change):
    """The file, with its description or its arrays changed."""
    traced.save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    description = json.loads(arrays.pop("description").tobytes())
    change(description, arrays)
    text = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(path, description=text, **arrays)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d, a: d.update(version=9), "not neurojax.bss2.perceptron.trace 1"),
        (lambda d, a: a.pop("hidden/weight"), "layer 'hidden' has no 'weight'"),
        (lambda d, a: a.update({"hidden/bias": np.ones(3)}), "layer 'hidden': .*bias has shape"),
        (lambda d, a: d["layers"][1].update(layer="os.system"), "layer 'relu' is os.system"),
        (lambda d, a: d["layers"][1]["options"].update(shift=-1), "layer 'relu': .*shift is -1"),
        (lambda d, a: d["layers"][0].update(input_transform="eval"), "layer 'conv' has no 'eval'"),
        (lambda d, a: d.pop("layers"), "there is no 'layers'"),
        (lambda d, a: a.pop("example/inputs"), "there is no 'example/inputs'"),
    ],
)
def test_files_that_are_wrong(traced, tmp_path, change, message):
    path = rewritten(traced, tmp_path / "net.npz", change)
    with pytest.raises(ValueError, match=message) as error:
        hagen.InferenceTrace.load(path)
    assert "net.npz is no inference trace" in str(error.value)


def test_files_that_are_none(traced, tmp_path):
    path = tmp_path / "net.npz"
    traced.save(path)
    for content in (b"", b"hello", path.read_bytes()[:500]):
        path.write_bytes(content)
        with pytest.raises(ValueError, match="is no inference trace"):
            hagen.InferenceTrace.load(path)
    with pytest.raises(FileNotFoundError):
        hagen.InferenceTrace.load(tmp_path / "missing.npz")


def test_changed_weights_are_noticed(traced, tmp_path):
    def flip(description, arrays):
        arrays["hidden/weight"] = -arrays["hidden/weight"]

    changed = hagen.InferenceTrace.load(rewritten(traced, tmp_path / "net.npz", flip))
    with pytest.raises(ValueError, match="outputs other than those recorded"):
        changed.check()
