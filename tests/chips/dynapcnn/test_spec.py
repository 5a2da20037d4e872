"""Names of devices, and the table of limits in the documentation."""

import re
from pathlib import Path

import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError
from neurojax.chips.dynapcnn import (
    ChipSpec,
    CoreSpec,
    devices,
    map as map_network,
    parse_device,
    spec,
)

PAGE = Path(__file__).parents[3] / "docs" / "dynapcnn.md"


def test_names_and_aliases():
    assert spec("speck2fmodule") is spec("speck2f") is spec("Speck2fModule:1")
    assert parse_device("speck2edevkit") == ("speck2edevkit", 0)
    mine = ChipSpec("mine", (CoreSpec(1, 2, 3),), "", "")
    assert spec(mine) is mine


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("speck2g", "no device 'speck2g'; did you mean"),
        ("loihi", "known names: 'speck2fmodule'"),
        ("speck2e:0:1", "must be 'name' or 'name:index'"),
        ("speck2e:one", "must be 'name' or 'name:index'"),
    ],
)
def test_unknown_devices(name, text):
    with pytest.raises(ValueError, match=text):
        spec(name)


def test_total_memory():
    """The datasheet's totals for nine cores, in units of 1024 words."""
    cores = devices["speck2fmodule"].cores
    assert sum(core.kernel_words for core in cores) == 272 * 1024
    assert sum(core.neuron_words for core in cores) == 320 * 1024
    assert sum(core.bias_words for core in devices["speck2dmini"].cores) == 2 * 1024


def test_the_page_of_the_documentation_states_the_limits():
    chip = spec("speck2fmodule")
    lines = re.findall(r"^\| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    stated = {what: rest for what, *rest in (line.split(" | ") for line in lines)}
    bits = {
        "weights": chip.weight_bits,
        "membrane and thresholds": chip.state_bits,
        "biases": chip.bias_bits,
    }
    limits = {
        "input map": f"{chip.max_input_size} x {chip.max_input_size}",
        "neuron map": f"{chip.max_neuron_size} x {chip.max_neuron_size}",
        "features": f"{chip.max_features}",
        "kernel": f"square, 1 to {chip.max_kernel}",
        "stride": ", ".join(map(str, chip.strides)),
        "padding": f"0 to {chip.max_padding}",
        "pooling between cores": "square, " + ", ".join(map(str, chip.poolings)),
        "pooling of the camera's events": ", ".join(map(str, chip.poolings)) + " in each axis",
        "destinations of a core, and of the camera": f"{chip.destinations}, each with its own "
        "pooling",
        "camera": f"{chip.dvs_size} x {chip.dvs_size}, {chip.dvs_features} polarities",
        "bits of a neuron's address": f"{chip.address_bits} for feature, row and column together",
        **{what: f"signed {number} bit" for what, number in bits.items()},
    }
    assert {what: stated[what][0] for what in limits} == limits
    for name, device in devices.items():
        assert stated[name][0] == f"{len(device.cores)}"


def test_an_address_has_so_many_bits():
    """No core of a real device is large enough to get there, so this one has more memory."""
    core = CoreSpec(1 << 24, 1 << 24)
    large = ChipSpec("large", (core,), "", "")
    weight = np.ones((65, 1, 1, 1), np.float32)
    net = nj.Sequential((1, 64, 64), a=nj.Conv2d.from_weights(weight), spikes=nj.IAF(v_min=-1.0))
    with pytest.raises(MappingError, match="65x64x64 neurons take addresses of 19 bits"):
        map_network(net, device=large)
