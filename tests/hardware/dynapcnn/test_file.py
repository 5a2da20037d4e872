"""The configuration file: round trips, files that were tampered with, and the JSON schema."""

import copy
import dataclasses
import json
import os

import equinox as eqx
import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.dynapcnn import Core, devices, map as map_network
from neurojax.hardware.dynapcnn import configure, load, schema
from neurojax.hardware.dynapcnn._file import from_json
from neurojax.hardware.dynapcnn._graph import _CORE
from neurojax.surrogate import ATan
from tests.hardware.dynapcnn.graphs import camera_graph, graphs, network


def test_round_trip(tmp_path):
    mapped = map_network(network(surrogate=ATan(alpha=3.0)))
    configuration = configure(mapped)
    configuration.save(tmp_path / "net.json")
    loaded = load(tmp_path / "net.json")
    assert loaded == configuration
    assert loaded.network.names == mapped.network.names
    assert str(loaded.mapped.report()) == str(mapped.report())
    assert loaded.network["spikes"].surrogate == mapped.network["spikes"].surrogate
    assert os.listdir(tmp_path) == ["net.json"]


def test_a_loaded_graph_runs_as_before(tmp_path):
    before = camera_graph()
    configure(before).save(tmp_path / "net.json")
    x = np.random.default_rng(9).poisson(0.6, (5, 2, 2, 20, 12)).astype(np.float32)
    probes = ["a.v", "b.v", "c.v"]
    ours, theirs = (
        nj.simulate(net, x, probes=probes)
        for net in (before.network, load(tmp_path / "net.json").network)
    )
    for name in ("half_b", "c"):
        np.testing.assert_array_equal(ours.outputs[name], theirs.outputs[name])
        assert ours.outputs[name].sum() > 0
    for probe in probes:
        np.testing.assert_array_equal(ours[probe], theirs[probe])


@settings(max_examples=12)  # each one computes with shapes of its own
@given(graphs())
def test_random_graphs_come_back_the_same(mapped):
    """The same layers, numbers, edges and outputs: the same program on the same parameters."""
    configuration = configure(mapped)
    loaded = from_json(json.loads(json.dumps(configuration.as_json())))
    assert loaded == configuration
    assert eqx.tree_equal(loaded.network.prepare(None), mapped.network.prepare(None))
    assert loaded.mapped.origins == mapped.origins


def test_every_field_of_a_core_is_in_the_file():
    elsewhere = {"weight", "bias", "threshold", "v_min", "stride", "padding", "reset", "surrogate"}
    assert {field.name for field in dataclasses.fields(Core)} == elsewhere | set(_CORE)


def test_no_partial_file(tmp_path, monkeypatch):
    configuration = configure(camera_graph())
    path = tmp_path / "net.json"
    path.write_text("before")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        configuration.save(path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["net.json"]


@pytest.fixture(scope="module")
def saved():
    """A file as text: cores 'a', 'b' and 'c' on 0, 1 and 2, behind a camera's block."""
    return json.dumps(configure(camera_graph()).as_json())


def refusal(tmp_path, text):
    path = tmp_path / "net.json"
    path.write_text(text)
    with pytest.raises(ValueError) as error:
        load(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_files_that_are_none(tmp_path, saved):
    assert "was the file cut off?" in refusal(tmp_path, saved[: len(saved) // 2])
    assert "was the file cut off?" in refusal(tmp_path, "")
    assert "format is 'list'" in refusal(tmp_path, "[]")
    assert "format is None" in refusal(tmp_path, "{}")
    assert "nested too deeply" in refusal(tmp_path, "[" * 100_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        load(tmp_path / "binary")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


A, C = ("vendor", "cnn_layers", 0), ("vendor", "cnn_layers", 2)
CAMERA, LAYER_A = ("network", "layers", 0), ("network", "layers", 1)
BLOCK = ("vendor", "dvs_layer")
MISSING = object()

# (place, value, text of the refusal, whether the schema sees it too)
MUTATIONS = [
    (("version",), 1, "version is 1, but this library reads version 2; configure and save", True),
    (("version",), 3, "version is 3, but this library reads version 2; update the library", True),
    (("device",), "speck2g", "no device 'speck2g'; did you mean", True),
    (("device",), "speck2cmini", "vendor.cnn_layers has 9 entries; it must be 5", True),
    (("device",), "speck2b", "vendor.cnn_layers[0] (layer 'a').weights_kill_bit is missing", True),
    (("device",), 5, "device is 5; it must be the name of a device", True),
    (("network",), [], "network is []; it must be an object", True),
    (("extra",), 1, "extra is unknown", True),
    (("network", "outputs"), [], "has no output", False),
    (("network", "outputs"), ["x"], "output 'x' is not a layer", False),
    (("network", "edges", 0), ["input"], "network.edges[0] is ['input']; it must be a list", True),
    (("network", "edges", 0), ["input", "x"], "target 'x' does not exist", False),
    (("network", "edges", 3, 0), "b", "form a cycle within one time step: b -> b", False),
    (("network", "inputs", "input"), [2, 16, 12], "reaches beyond the map of 8x12", False),
    (("network", "inputs", "input"), [3, 20, 12], "the layers don't fit one another", False),
    ((*LAYER_A, "kind"), "LIF", "network.layers[1].kind is 'LIF'; known: Core, SumPool2d", True),
    ((*LAYER_A, "kind"), ["Core"], "network.layers[1].kind is ['Core']; known", True),
    ((*LAYER_A, "name"), "b", "network.layers holds 2 layers 'b'", False),
    ((*LAYER_A, "scale"), -1.0, "network.layers[1].scale is -1.0; it must be a finite", True),
    ((*LAYER_A, "core"), 12, "core is 12; it must be an integer within 0..8", True),
    ((*LAYER_A, "core"), True, "core is True; it must be an integer", True),
    ((*LAYER_A, "core"), 1, "vendor.cnn_layers[1] holds 2 layers", False),
    ((*LAYER_A, "core"), 5, "vendor.cnn_layers[0] is in use, but no layer", False),
    ((*LAYER_A, "max_spikes"), 0, "max_spikes is 0; it must be an integer within 1..", True),
    ((*LAYER_A, "surrogate"), "import os", "surrogate is 'import os'; it must be", False),
    ((*LAYER_A, "flat"), "no", "flat is 'no'; it must be true or false", True),
    ((*LAYER_A, "overflow"), "round", "overflow is 'round'; it must be one of", True),
    ((*LAYER_A, "leak_every"), 0, "leak_every is 0; it must be an integer within 1..", True),
    ((*LAYER_A, "size"), 0, "network.layers[1].size is unknown", True),
    (("network", "layers", 2, "kernel_size"), [4, 4], "Concat(axis=0) takes inputs", False),
    ((*A, "destinations", 0, "pooling"), 4, "destinations[0].pooling is 4, but 2", False),
    ((*A, "destinations", 0, "layer"), 3, "destinations[0].layer is 3, but 2", False),
    ((*A, "dimensions", "input_shape", "size", "y"), 9, "input_shape.size.y is 9, but 8", False),
    ((*CAMERA, "pool"), [3, 1], "network.layers[0].pool is [3, 1]; it must be a list of 2", True),
    ((*CAMERA, "crop"), [[1, 9]], "network.layers[0].crop is [[1, 9]]; it must be", True),
    ((*CAMERA, "crop"), [[9, 1], [2, 10]], "DVS: crop=", False),
    ((*CAMERA, "flip_x"), False, "vendor.dvs_layer.mirror.x is True, but False follows", False),
    ((*BLOCK, "cut", "x"), 10, "vendor.dvs_layer.cut.x is 10, but 9 follows", False),
    ((*BLOCK, "cut", "x"), 128, "vendor.dvs_layer.cut.x is 128; it must be", True),
    ((*BLOCK, "destinations", 0, "layer"), 1, "vendor.dvs_layer.destinations[0].layer is 1", False),
    ((*BLOCK, "pass_sensor_events"), False, "pass_sensor_events is False, but True", False),
    ((*BLOCK, "pass_sensor_events"), MISSING, "dvs_layer.pass_sensor_events is missing", True),
    ((*A, "threshold_high"), 0, "(layer 'a').threshold_high is 0; it must be", True),
    ((*A, "threshold_low"), -40000, "threshold_low is -40000; it must be an integer", True),
    ((*A, "threshold_high"), 1.5, "threshold_high is 1.5; it must be an integer", True),
    ((*A, "weights", 3, 1, 2, 0), 200, "weights[3][1][2][0] is 200; it must be within -128", True),
    ((*A, "weights", 3, 1, 2, 0), 2.5, "weights holds float64; it must be nested lists of", True),
    ((*A, "weights", 3, 1, 2, 0), True, "weights holds true or false; it must be", True),
    ((*A, "weights", 3, 1, 2), [1], "weights holds lists of different lengths", False),
    ((*A, "weights"), [[1]], "weights has shape (1, 1); it must be nested", True),
    ((*A, "weights"), [[[[1, 2]]] * 2] * 4, "weights are 2x1 kernels; kernels are square", False),
    ((*A, "weights"), "none", "weights has shape (); it must be", True),
    ((*A, "biases", 1), 5, "biases[1] is 5, but 0 follows from the network", False),
    ((*A, "biases"), [0], "biases has 1 entries; the weights have 4 features", False),
    ((*A, "neurons_initial_value"), [[[0]]], "neurons_initial_value has shape (1, 1, 1)", False),
    ((*A, "leak_enable"), True, "leak_enable is True, but False follows", False),
    ((*A, "dimensions", "stride", "x"), 3, "dimensions.stride.x is 3; it must be one of", True),
    ((*A, "dimensions", "kernel_size"), 2, "kernel_size is 2, but 3 follows", False),
    ((*A, "dimensions", "output_shape", "size", "x"), 7, "output_shape.size.x is 7, but 8", False),
    ((*A, "destinations"), None, "destinations is None; it must be a list", True),
    ((*A, "destinations"), [{}], "destinations has 1 entries; it must be 2", True),
    ((*A, "destinations", 1, "pooling"), 3, "destinations[1].pooling is 3; it must be one", True),
    ((*A, "destinations", 1, "feature_shift"), 1, "feature_shift is given, but nothing", False),
    ((*A, "output_decimator_interval"), 8, "output_decimator_interval is 8; it must be", True),
    ((*A, "weights_kill_bit"), [], "weights_kill_bit is unknown", True),
    ((*A,), {}, "(layer 'a') is empty", False),
    ((*C, "destinations"), [{}, {}], "destinations is given, but no layer follows", False),
    (("vendor", "cnn_layers"), [], "vendor.cnn_layers has 0 entries; it must be 9", True),
    (("vendor", "cnn_layers", 7), {"weights": []}, "vendor.cnn_layers[7].weights has shape", True),
]


def mutated(saved, path, value):
    data = json.loads(saved)
    place = data
    for key in path[:-1]:
        place = place[key]
    if value is MISSING:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return data


@pytest.mark.parametrize(("path", "value", "text", "seen"), MUTATIONS)
def test_fields_are_checked(saved, path, value, text, seen):
    data = mutated(saved, path, value)
    with pytest.raises(ValueError) as error:
        from_json(data)
    assert text in str(error.value)
    assert VALIDATOR.is_valid(data) != seen


def test_missing_fields_are_reported_together(tmp_path, saved):
    broken = copy.deepcopy(json.loads(saved))
    del broken["vendor"]["cnn_layers"][0]["weights"]
    del broken["vendor"]["cnn_layers"][1]["threshold_low"]
    text = refusal(tmp_path, json.dumps(broken))
    assert "(layer 'a').weights is missing" in text
    assert "(layer 'b').threshold_low is missing" in text


# The schema

VALIDATOR = jsonschema.Draft202012Validator(schema())


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(schema())


@pytest.mark.parametrize("device", devices)
def test_the_schema_accepts_what_is_written(device):
    cores = {"a": 0, "b": 3, "c": 4}
    options = {"monitor": ["dvs", "a"], "initial": {"a": np.ones((4, 8, 8))}}
    if devices[device].vendor_module in ("samna.speck2e", "samna.speck2f"):
        options |= {"decimate": {"a": 4}, "balance": "all", "slow_clock": 14, "dvs_filter": {}}
    data = configure(camera_graph(device), cores=cores, **options).as_json()
    VALIDATOR.validate(json.loads(json.dumps(data)))


@settings(max_examples=40)
@given(st.data())
def test_what_the_schema_refuses_is_refused(saved, draw):
    """Any value of a good file replaced by another kind of value."""
    data = json.loads(saved)
    place, key = data, draw.draw(st.sampled_from(sorted(data)))
    while isinstance(place[key], dict | list) and place[key] and draw.draw(st.booleans()):
        place = place[key]
        keys = range(len(place)) if isinstance(place, list) else sorted(place)
        key = draw.draw(st.sampled_from(list(keys)))
    place[key] = draw.draw(st.sampled_from([None, -3, 1 << 20, 0.5, "text", True, [], {}, [[1]]]))
    try:
        from_json(data)
    except ValueError:
        return
    assert VALIDATOR.is_valid(data)
