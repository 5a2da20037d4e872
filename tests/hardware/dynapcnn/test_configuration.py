"""The configuration file: a round trip by simulation, and files that were tampered with."""

import copy
import json
import os

import equinox as eqx
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import ChipSpec, CoreSpec, devices, map as map_network
from neurojax.hardware.dynapcnn import configure, load, vendor_fields
from neurojax.layers import AvgPool2d, Conv2d, Flatten, Linear, SumPool2d
from neurojax.neurons import IAF
from neurojax.surrogate import ATan


def weights(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def network(seed=0, **options):
    rng = np.random.default_rng(seed)
    options = {"v_min": -1.0, "max_spikes": None} | options
    return nj.Sequential(
        (2, 9, 11),
        conv=Conv2d.from_weights(weights(rng, 4, 2, 3, 3), stride=(1, 2), padding=(1, 2)),
        spikes=IAF(**options),
        pool=AvgPool2d(2),
        conv2=Conv2d.from_weights(weights(rng, 3, 4, 3, 3), weights(rng, 3), padding=1),
        spikes2=IAF(**options),
        pool2=SumPool2d(2),
        flat=Flatten(),
    )


def same_runs(a, b, shape=(2, 9, 11)):
    x = np.random.default_rng(9).poisson(0.6, (7, 2, *shape)).astype(np.float32)
    probes = [f"{name}.v" for name in a.names if a[name].init(a.in_shape(name)) is not None]
    ours, theirs = (nj.simulate(net, x, probes=probes) for net in (a, b))
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    assert ours.outputs.sum() > 0
    for probe in probes:
        np.testing.assert_array_equal(ours[probe], theirs[probe])


def test_round_trip(tmp_path):
    mapped = map_network(network())
    configuration = configure(mapped)
    configuration.save(tmp_path / "net.json")
    loaded = load(tmp_path / "net.json")
    assert loaded == configuration
    assert (
        loaded.network.names
        == mapped.network.names
        == ("spikes", "pool", "spikes2", "pool2", "flat")
    )
    same_runs(mapped.network, loaded.network)
    assert str(loaded.mapped.report()) == str(mapped.report())
    assert loaded.network["spikes"].surrogate == mapped.network["spikes"].surrogate
    assert os.listdir(tmp_path) == ["net.json"]


@st.composite
def networks(draw):
    """A convolution, or one behind another, or a Linear layer at the end; options at random."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    rng = np.random.default_rng(number(0, 2**32 - 1))
    neurons = lambda: IAF(  # noqa: E731
        threshold=draw(st.sampled_from([0.5, 1.0, 3.0])),
        v_min=draw(st.sampled_from([None, 0.0, -0.7])),
        max_spikes=draw(st.sampled_from([None, 1, 4])),
        reset=draw(st.sampled_from(["subtract", "zero"])),
        surrogate=ATan(alpha=draw(st.sampled_from([1.0, 3.0]))),
    )
    features, kernel = number(1, 4), number(1, 4)
    bias = weights(rng, features) if draw(st.booleans()) else None
    layers = {
        "a": Conv2d.from_weights(
            weights(rng, features, 2, kernel, kernel), bias, padding=number(0, 2),
            stride=draw(st.sampled_from([1, 2])),
        ),
        "spikes": neurons(),
    }  # fmt: skip
    if draw(st.booleans()):
        layers["pool"] = draw(st.sampled_from([AvgPool2d(2), SumPool2d(2)]))
    net = nj.Sequential((2, 8, 8), **layers)
    if draw(st.booleans()):
        shape = net.out_shape(net.outputs[0])
        layers |= {
            "flat": Flatten(),
            "out": Linear.from_weights(weights(rng, 3, int(np.prod(shape)))),
            "digits": neurons(),
        }
    return nj.Sequential((2, 8, 8), **layers)


@settings(max_examples=12)  # each one compiles two networks
@given(networks(), st.sampled_from([8, 16]))
def test_round_trip_of_random_networks(tmp_path_factory, net, bias_bits):
    mapped = map_network(net, bias_bits=bias_bits)
    path = tmp_path_factory.mktemp("random") / "net.json"
    configure(mapped).save(path)
    loaded = load(path)
    x = np.random.default_rng(3).poisson(0.7, (6, 2, 2, 8, 8)).astype(np.float32)
    probes = [origin.name + ".v" for origin in mapped.origins]
    ours, theirs = (nj.simulate(n, x, probes=probes) for n in (mapped.network, loaded.network))
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    for probe in probes:
        np.testing.assert_array_equal(ours[probe], theirs[probe])


def test_what_was_trained_is_written_as_the_simulation_rounds_it():
    mapped = map_network(network())
    moved = eqx.tree_at(
        lambda n: n["spikes"].weight, mapped.network, replace_fn=lambda w: w * 1.7 + 0.3
    )
    configuration = configure(mapped.with_network(moved))
    written = np.array(configuration.vendor["cnn_layers"][0]["weights"])
    assert written.max() == 127 and written.min() == -128
    same_runs(moved, configuration.network)


def test_vendor_fields():
    mapped = map_network(network())
    fields = vendor_fields(configure(mapped, cores={"spikes": 4, "spikes2": 2}, monitor="all"))
    first, second = fields["cnn_layers"][4], fields["cnn_layers"][2]
    core = mapped.network["spikes"].integers()
    assert first["dimensions"] == {
        "input_shape": {"size": {"x": 11, "y": 9}, "feature_count": 2},
        "output_shape": {"size": {"x": 7, "y": 9}, "feature_count": 4},
        "padding": {"x": 2, "y": 1},
        "stride": {"x": 2, "y": 1},
        "kernel_size": 3,
    }
    assert first["weights"][3][1][2][0] == core.weight[3, 1, 0, 2]  # [f][c][x][y]
    assert np.shape(first["neurons_initial_value"]) == (4, 7, 9)
    assert first["destinations"] == [{"layer": 2, "enable": True, "pooling": 2}, {}]
    assert "destinations" not in second
    assert (first["leak_enable"], second["leak_enable"]) == (False, True)
    assert first["biases"] == [0, 0, 0, 0]
    assert first["monitor_enable"] and second["monitor_enable"]
    assert [bool(core) for core in fields["cnn_layers"]] == [i in (2, 4) for i in range(9)]


def test_vendor_fields_are_a_copy_of_plain_values():
    configuration = configure(map_network(network()))
    fields = vendor_fields(configuration)
    fields["cnn_layers"][0]["weights"].clear()
    assert configuration.vendor["cnn_layers"][0]["weights"]

    def plain(value):
        if isinstance(value, dict):
            return all(plain(v) for v in value.values())
        if isinstance(value, list):
            return all(plain(v) for v in value)
        return type(value) in (int, bool)

    assert plain(configuration.vendor)


def test_monitor():
    mapped = map_network(network())

    def watched(monitor):
        cores = configure(mapped, monitor=monitor).vendor["cnn_layers"]
        return [core["monitor_enable"] for core in cores[:2]]

    assert watched(None) == [False, True]
    assert watched("all") == [True, True]
    assert watched("spikes") == watched(["spikes"]) == [True, False]
    assert watched([]) == [False, False]
    with pytest.raises(ValueError, match="monitor: no layer 'spikes3'; did you mean"):
        watched(["spikes3"])


def test_placement_by_hand_is_checked():
    mapped = map_network(network())

    def problems(**cores):
        with pytest.raises(MappingError) as error:
            configure(mapped, cores=cores)
        return [str(problem) for problem in error.value.problems]

    assert "core 3, which holds layer 'spikes'" in problems(spikes=3, spikes2=3)[0]
    assert "core 9; speck2fmodule has cores 0 to 8" in problems(spikes=9, spikes2=3)[0]
    assert "it has no core" in problems(spikes=3)[0]
    assert "no such layer; did you mean 'spikes2'" in problems(spikes=3, spikes2=4, spikes22=1)[0]
    large = map_network(
        nj.Sequential(
            (2, 64, 64),
            conv=Conv2d.from_weights(np.ones((16, 2, 3, 3), np.float32), padding=1),
            spikes=IAF(v_min=-1.0),
        )
    )
    with pytest.raises(MappingError, match=r"512/65,536/0 words.*core 3 has 32,768/32,768/1,024"):
        configure(large, cores={"spikes": 3})
    with pytest.raises(ValueError, match="cores='first' must be 'auto'"):
        configure(mapped, cores="first")


def test_devices_without_a_configuration():
    with pytest.raises(ValueError, match="marks zero weights"):
        configure(map_network(network(), device="dynapcnndevkit"))
    mine = ChipSpec("mine", (CoreSpec(1 << 20, 1 << 20),) * 3, "", "")
    with pytest.raises(ValueError, match="'mine' is no real device"):
        configure(map_network(network(), device=mine))


@pytest.mark.parametrize("device", [name for name, chip in devices.items() if not chip.kill_bits])
def test_every_device_that_can_be_written(device, tmp_path):
    mapped = map_network(network(), device=device)
    configure(mapped).save(tmp_path / "net.json")
    loaded = load(tmp_path / "net.json")
    assert loaded.device == device
    assert len(loaded.vendor["cnn_layers"]) == len(devices[device].cores)


def test_no_partial_file(tmp_path, monkeypatch):
    configuration = configure(map_network(network()))
    path = tmp_path / "net.json"
    path.write_text("before")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        configuration.save(path)
    assert path.read_text() == "before" and os.listdir(tmp_path) == ["net.json"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "net.json"
    configure(map_network(network())).save(path)
    return path.read_text()


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
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a text file"):
        load(tmp_path / "binary")
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing")


CORE = ("vendor", "cnn_layers", 0)
LAYER = ("network", "layers", 0)


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        (("version",), 2, "version is 2, but this library reads version 1"),
        (("device",), "speck2g", "no device 'speck2g'; did you mean"),
        (("device",), 5, "device is 5; it must be a text"),
        (("network",), [], "network is []; it must be an object"),
        (("extra",), 1, "extra is unknown"),
        (
            (*LAYER, "scale"),
            -1.0,
            "network.layers[0].scale is -1.0; it must be a finite number > 0",
        ),
        ((*LAYER, "scale"), float("nan"), "network.layers[0].scale is nan"),
        ((*LAYER, "core"), 12, "core is 12; it must be an integer within 0..8"),
        ((*LAYER, "core"), True, "core is True; it must be an integer"),
        ((*LAYER, "core"), 1, "vendor.cnn_layers[1] holds 2 layers"),
        ((*LAYER, "core"), 5, "vendor.cnn_layers[0] is in use, but no layer"),
        ((*LAYER, "pool"), 3, "pool is 3; it must be one of (1, 2, 4)"),
        ((*LAYER, "pool"), 4, "destinations[0] is {'layer': 1, 'enable': True, 'pooling': 2}, but"),
        ((*LAYER, "max_spikes"), 0, "max_spikes is 0; it must be an integer within 1.."),
        ((*LAYER, "surrogate"), "import os", "surrogate is 'import os'; it must be the text"),
        ((*LAYER, "flat"), "no", "flat is 'no'; it must be true or false"),
        (("network", "input", "shape"), [2, 9, 12], "layer 'spikes').dimensions.input_shape is"),
        (("network", "input", "shape"), [3, 9, 11], "the layers don't fit one another"),
        ((*CORE, "threshold_high"), 0, "layer 'spikes').threshold_high is 0; it must be"),
        ((*CORE, "threshold_low"), -40000, "threshold_low is -40000; it must be an integer within"),
        ((*CORE, "threshold_high"), 1.5, "threshold_high is 1.5; it must be an integer"),
        (
            (*CORE, "weights", 3, 1, 2, 0),
            200,
            "weights[3][1][2][0] is 200; it must be within -128..127",
        ),
        ((*CORE, "weights", 3, 1, 2, 0), 2.5, "weights holds float64; it must be 4x2x3x3 integers"),
        ((*CORE, "weights", 3, 1, 2), [1], "weights holds lists of different lengths"),
        ((*CORE, "weights"), [[1]], "weights has shape (1, 1); it must be 4x2x3x3 integers"),
        ((*CORE, "weights"), "none", "weights has shape (); it must be"),
        ((*CORE, "biases", 1), 5, "biases must be zeros, because has_bias is false"),
        ((*CORE, "neurons_initial_value", 0, 0, 0), 5, "neurons_initial_value must be zeros"),
        ((*CORE, "leak_enable"), True, "leak_enable must be true exactly if a bias is not 0"),
        ((*CORE, "dimensions", "stride", "x"), 3, "dimensions.stride.x is 3; it must be one of"),
        ((*CORE, "dimensions", "output_shape", "size", "x"), 8, "neurons_initial_value has shape"),
        ((*CORE, "destinations"), None, "destinations must be a list of one destination and {}"),
        ((*CORE, "destinations", 0, "layer"), 3, "but the network's layers ask for"),
        (("vendor", "cnn_layers", 1, "destinations"), [{}, {}], "the last layer has none"),
        (("vendor", "cnn_layers"), [], "vendor.cnn_layers has 0 entries; it must be 9"),
        (("vendor", "cnn_layers", 7), {"weights": []}, "vendor.cnn_layers[7] is in use, but no"),
    ],
)
def test_fields_are_checked(tmp_path, saved, path, value, text):
    data = json.loads(saved)
    place = data
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert text in refusal(tmp_path, json.dumps(data))


def test_missing_fields_are_reported_together(tmp_path, saved):
    data = json.loads(saved)
    broken = copy.deepcopy(data)
    del broken["vendor"]["cnn_layers"][0]["weights"]
    del broken["vendor"]["cnn_layers"][1]["threshold_low"]
    text = refusal(tmp_path, json.dumps(broken))
    assert "(layer 'spikes').weights is missing" in text
    assert "(layer 'spikes2').threshold_low is missing" in text
