"""What configurations hold: fields, places, monitors, options of devices, the read-out block."""

import equinox as eqx
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import (
    ChipSpec,
    CoreSpec,
    devices,
    extend_readout_layer,
    map as map_network,
)
from neurojax.hardware.dynapcnn import configure, load, vendor_fields
from neurojax.layers import Conv2d, Flatten, Linear, SumPool2d
from neurojax.neurons import IAF
from tests.hardware.dynapcnn.graphs import camera_graph, core, network, on_chip, weights


@pytest.fixture(scope="module")
def mapped():
    return map_network(network())


def test_vendor_fields(mapped):
    fields = vendor_fields(configure(mapped, cores={"spikes": 4, "spikes2": 2}, monitor="all"))
    first, second = fields["cnn_layers"][4], fields["cnn_layers"][2]
    held = mapped.network["spikes"].integers()
    assert first["dimensions"] == {
        "input_shape": {"size": {"x": 11, "y": 9}, "feature_count": 2},
        "output_shape": {"size": {"x": 7, "y": 9}, "feature_count": 4},
        "padding": {"x": 2, "y": 1},
        "stride": {"x": 2, "y": 1},
        "kernel_size": 3,
    }
    assert first["weights"][3][1][2][0] == held.weight[3, 1, 0, 2]  # [f][c][x][y]
    assert np.shape(first["neurons_initial_value"]) == (4, 7, 9)
    assert first["destinations"] == [{"layer": 2, "enable": True, "pooling": 2}, {}]
    assert "destinations" not in second
    assert (first["leak_enable"], second["leak_enable"]) == (False, True)
    assert first["biases"] == [0, 0, 0, 0]
    assert first["monitor_enable"] and second["monitor_enable"]
    assert [bool(core) for core in fields["cnn_layers"]] == [i in (2, 4) for i in range(9)]
    assert fields["dvs_layer"] == {"pass_sensor_events": False}


def test_branches_merges_and_the_camera():
    """By hand from the picture of the graph."""
    fields = vendor_fields(configure(camera_graph()))
    assert fields["dvs_layer"] == {
        "merge": False,
        "pooling": {"x": 1, "y": 2},
        "origin": {"x": 2, "y": 1},
        "cut": {"x": 9, "y": 8},
        "mirror": {"x": True, "y": False},
        "mirror_diagonal": True,
        "pass_sensor_events": True,
        "destinations": [{"layer": 0, "enable": True}, {}],
    }
    a, b, c, *others = fields["cnn_layers"]
    assert a["destinations"] == [
        {"layer": 2, "enable": True, "pooling": 2},
        {"layer": 1, "enable": True, "pooling": 1},
    ]
    shifted = {"layer": 2, "enable": True, "pooling": 2, "feature_shift": 4}
    assert b["destinations"] == [shifted, {}]
    assert "destinations" not in c and others == [{}] * 6
    assert [core["monitor_enable"] for core in (a, b, c)] == [False, True, True]


def test_more_than_two_destinations():
    rng = np.random.default_rng(0)
    layers = {"a": core(rng, 2, 2)} | {name: core(rng, 1, 2) for name in "bcd"}
    net = nj.Network(layers, [("input", "a"), *(("a", n) for n in "bcd")], inputs=(2, 4, 4))
    with pytest.raises(ValueError, match=r"layer 'a': its spikes go to 3 destinations \(1, 2, 3\)"):
        configure(on_chip(net))


def test_vendor_fields_are_a_copy_of_plain_values():
    configuration = configure(camera_graph("speck2b"))
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


def test_what_was_trained_is_written_as_the_simulation_rounds_it(mapped):
    moved = eqx.tree_at(
        lambda n: n["spikes"].weight, mapped.network, replace_fn=lambda w: w * 1.7 + 0.3
    )
    configuration = configure(mapped.with_network(moved))
    written = np.array(configuration.vendor["cnn_layers"][0]["weights"])
    assert written.max() == 127 and written.min() == -128
    np.testing.assert_array_equal(
        configuration.network["spikes"].weight, moved.prepare(None)["spikes"].weight
    )


def test_monitor(mapped):
    def watched(monitor):
        return configure(mapped, monitor=monitor).monitored

    assert watched(None) == watched(-1) == watched([-1]) == ("spikes2",)
    assert watched("all") == ("spikes", "spikes2")
    assert watched("spikes") == watched(["spikes"]) == ("spikes",)
    assert watched([]) == ()
    with pytest.raises(ValueError, match="'dvs', but the network does not use the camera's block"):
        watched(["dvs", "spikes"])
    with pytest.raises(ValueError, match="monitor: no core 'spikes3'; did you mean"):
        watched(["spikes3"])
    graph = camera_graph()
    assert configure(graph, monitor=["camera", -1]).monitored == ("b", "c", "dvs")
    assert configure(graph, monitor=["DVS", "b"]).monitored == ("b", "dvs")


def test_the_camera_alone(tmp_path):
    """What it sees is recorded, with no core in use."""
    mapped = map_network(nj.Sequential((2, 8, 8), p=SumPool2d(2)), dvs_input=True)
    configuration = configure(mapped)
    assert configuration.cores == {} and configuration.monitored == ("dvs",)
    fields = vendor_fields(configuration)
    assert fields["cnn_layers"] == [{}] * 9 and fields["dvs_layer"]["pass_sensor_events"]
    configuration.save(tmp_path / "camera.json")
    assert load(tmp_path / "camera.json").as_json() == configuration.as_json()


def test_monitors_before_a_pooling_are_noted():
    notes = configure(camera_graph(), monitor=["dvs", "a", "b", "c"]).notes
    assert len(notes) == 3
    assert notes[0].startswith("the monitor of 'a' shows its spikes before the pooling (1 and 2)")
    assert "'b'" in notes[1] and "camera" in notes[2]
    assert configure(camera_graph(), monitor="c").notes == ()


def test_placement_by_hand_is_checked(mapped):
    def problems(**cores):
        with pytest.raises(MappingError) as error:
            configure(mapped, cores=cores)
        return [str(problem) for problem in error.value.problems]

    assert "core 3, which holds layer 'spikes'" in problems(spikes=3, spikes2=3)[0]
    assert "core 9; speck2fmodule has cores 0 to 8" in problems(spikes=9, spikes2=3)[0]
    assert "it has no core" in problems(spikes=3)[0]
    assert "no such layer; did you mean 'spikes2'" in problems(spikes=3, spikes2=4, spikes22=1)[0]
    with pytest.raises(ValueError, match="cores='first' must be 'auto'"):
        configure(mapped, cores="first")
    rng = np.random.default_rng(0)
    large = on_chip(nj.Sequential((2, 64, 64), large=core(rng, 16, 2)))
    with pytest.raises(MappingError, match=r"512/65,536/0 words.*core 3 has 32,768/32,768/1,024"):
        configure(large, cores={"large": 3})


def test_devices_that_are_none(mapped):
    with pytest.raises(TypeError, match="map returns, got Network"):
        configure(mapped.network)
    mine = ChipSpec("mine", (CoreSpec(1 << 20, 1 << 20),) * 3, "", "")
    with pytest.raises(ValueError, match="'mine' is no real device"):
        configure(map_network(network(), device=mine))


@pytest.mark.parametrize("device", devices)
def test_every_device(device, tmp_path):
    mapped = map_network(network(), device=device)
    configuration = configure(mapped)
    configuration.save(tmp_path / "net.json")
    loaded = load(tmp_path / "net.json")
    assert loaded == configuration and loaded.device == device
    cores = loaded.vendor["cnn_layers"]
    assert len(cores) == len(devices[device].cores)
    first = cores[loaded.cores["spikes"]]
    assert ("weights_kill_bit" in first) == devices[device].kill_bits
    if devices[device].kill_bits:
        held = mapped.network["spikes"].integers()
        dead = np.array(first["weights_kill_bit"])
        assert dead[1, 0, 2, 1] == (held.weight[1, 0, 1, 2] == 0) and dead.dtype == bool
        np.testing.assert_array_equal(dead, np.array(first["weights"]) == 0)
        assert first["biases_kill_bit"] == [True] * 4
        assert not np.any(first["neurons_value_kill_bit"])


def test_fields_of_speck_2e_and_2f():
    configuration = configure(
        camera_graph("speck2edevkit"),
        decimate={"a": 128, "c": 2},
        balance=["b"],
        slow_clock=15,
        dvs_filter={"filter_size": {"x": 3, "y": 3}},
    )
    a, b, c = configuration.vendor["cnn_layers"][:3]
    assert (a["output_decimator_enable"], a["output_decimator_interval"]) == (True, 5)
    assert c["output_decimator_interval"] == 0 and "output_decimator_interval" not in b
    assert b["input_congestion_balancer_enable"] and "input_congestion_balancer_enable" not in a
    assert b["leak_internal_slow_clk_enable"] and "leak_internal_slow_clk_enable" not in a
    assert configuration.vendor["factory_config"] == {"internal_slow_clk_divider": 15}
    assert configuration.vendor["dvs_filter"] == {"enable": True, "filter_size": {"x": 3, "y": 3}}
    everywhere = configure(camera_graph(), balance="all", slow_clock=True).vendor
    assert all(core["input_congestion_balancer_enable"] for core in everywhere["cnn_layers"][:3])
    assert "factory_config" not in everywhere


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"decimate": {"a": 64}}, "decimate: layer 'a' passes 1 spike of 64; the decimator passes"),
        ({"decimate": {"x": 2}}, "decimate: no core 'x'"),
        ({"balance": "x"}, "balance: no core 'x'"),
        ({"slow_clock": 13}, "slow_clock=13 must be True, or 14 to 17"),
        ({"dvs_filter": {"filter_size": {"x": 16, "y": 1}}}, "vendor.dvs_filter.filter_size.x is"),
        ({"dvs_filter": {"size": 1}}, "vendor.dvs_filter.size is unknown"),
        ({"initial": {"a": np.zeros((4, 3, 8))}}, "initial: layer 'a' has neurons (4, 8, 8)"),
        ({"initial": {"a": np.full((4, 8, 8), 0.5)}}, "must be integers, in steps of the chip"),
        ({"initial": {"a": np.full((4, 8, 8), 1 << 15)}}, "is 32768; it must be within -32768"),
        ({"readout_options": {}}, "readout_options without readout"),
        ({"readout": True}, "readout=True: 2 cores feed outputs (b, c); name one"),
        ({"readout": "a"}, "readout: no core 'a' feeds an output"),
        ({"readout": "c"}, "5 features side by side"),
        ({"readout": "c", "readout_options": {"threshold": -1}}, "vendor.readout.threshold is -1"),
        ({"modifier": lambda v: {**v, "cnn_layers": []}}, "vendor.cnn_layers has 0 entries"),
        (
            {"modifier": lambda v: v["cnn_layers"][0].update(destinations=[{}, {}])},
            "destinations[0].layer is None, but 2 follows from the network",
        ),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError) as error:
        configure(camera_graph(), **options)
    assert text in str(error.value)


def test_fields_that_a_device_does_not_have():
    graph = camera_graph("speck2cmini")
    for options in ({"decimate": {"a": 2}}, {"balance": "all"}, {"slow_clock": True}):
        with pytest.raises(ValueError, match=r"speck2cmini has no such fields; .* 2e or 2f"):
            configure(graph, **options, cores={"a": 0, "b": 3, "c": 4})


def test_the_modifier_comes_last():
    def modify(vendor):
        assert vendor["cnn_layers"][2]["monitor_enable"]
        vendor["cnn_layers"][2]["monitor_enable"] = False
        vendor["cnn_layers"][0]["threshold_high"] = 77
        vendor["dvs_layer"]["off_channel"] = False
        vendor["factory_config"] = {"io_sel": 24}

    configuration = configure(camera_graph(), monitor=-1, modifier=modify)
    assert configuration.monitored == ("b",)
    assert configuration.network["a"].threshold == 77
    assert not configuration.vendor["dvs_layer"]["off_channel"]


def test_membranes_at_the_start(tmp_path):
    graph = camera_graph()
    v = np.arange(4 * 8 * 8).reshape(4, 8, 8) % 50
    flat = np.array([1, -2, 3, 4, 5])
    configure(graph, initial={"a": v, "c": flat}).save(tmp_path / "net.json")
    loaded = load(tmp_path / "net.json")
    assert loaded.vendor["cnn_layers"][0]["neurons_initial_value"][1][2][3] == v[1, 3, 2]
    state = loaded.state(batch=2)
    assert state.layers["a"].v.shape == (2, 4, 8, 8)
    np.testing.assert_array_equal(state.layers["a"].v[1], v)
    np.testing.assert_array_equal(state.layers["c"].v, [flat, flat])
    assert not np.any(state.layers["b"].v)


def classifier(classes):
    rng = np.random.default_rng(0)
    return nj.Sequential(
        (1, 4, 4),
        conv=Conv2d.from_weights(weights(rng, 2, 1, 3, 3)),
        spikes=IAF(v_min=-1.0),
        flat=Flatten(),
        out=Linear.from_weights(weights(rng, classes, 8)),
        digits=IAF(v_min=-1.0),
    )


def test_the_readout_block():
    plain = map_network(classifier(10), device="speck2fmodule")
    with pytest.raises(ValueError, match=r"layer 'digits' has 10 features .*extend_readout_layer"):
        configure(plain, readout=True)
    wide = map_network(extend_readout_layer(classifier(10)), device="speck2fmodule")
    vendor = configure(wide, readout=True, readout_options={"threshold": 3}).vendor
    assert vendor["cnn_layers"][1]["destinations"] == [
        {"layer": 12, "enable": True, "pooling": 1},
        {},
    ]
    assert vendor["readout"]["enable"] and vendor["readout"]["threshold"] == 3
    # Already on the grid, where one scale holds for all.
    again = plain.with_network(extend_readout_layer(plain.network))
    assert configure(again, readout=True).vendor["cnn_layers"][1] == vendor["cnn_layers"][1]
    minis = map_network(classifier(10), device="speck2cmini")
    assert configure(minis, readout="digits").vendor["readout"]["enable"]


def test_classes_that_the_readout_block_has_not():
    minis = map_network(classifier(16), device="speck2cmini")
    with pytest.raises(ValueError, match="has 16 classes; the read-out block tells 15 apart"):
        configure(minis, readout=True)
    rng = np.random.default_rng(0)
    maps = on_chip(nj.Sequential((2, 4, 4), maps=core(rng, 1, 2)))
    with pytest.raises(ValueError, match="sends maps of 4x4 to the read-out block"):
        configure(maps, readout=True)
    as_map = {"readout_configuration_sel": 2}
    assert configure(maps, readout=True, readout_options=as_map).vendor["readout"]["enable"]
    with pytest.raises(ValueError, match="which takes 4x2x2"):
        configure(maps, readout=True, readout_options={"readout_configuration_sel": 0})
    with pytest.raises(ValueError, match="enable is true, but no core feeds the block"):
        configure(maps, modifier=lambda v: v.update(readout={"enable": True}))
