"""Names of devices, and the table of limits in the documentation."""

import re
from pathlib import Path

import pytest

from neurojax.chips.dynapcnn import ChipSpec, CoreSpec, devices, parse_device, spec

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
    stated = dict(re.findall(r"^\| ([\w ]+?) \| (.+?) \|$", PAGE.read_text(), re.MULTILINE))
    assert stated["input map"] == f"{chip.max_input_size} x {chip.max_input_size}"
    assert stated["neuron map"] == f"{chip.max_neuron_size} x {chip.max_neuron_size}"
    assert stated["features"] == f"{chip.max_features}"
    assert stated["kernel"] == f"square, 1 to {chip.max_kernel}"
    assert stated["stride"] == ", ".join(map(str, chip.strides))
    assert stated["padding"] == f"0 to {chip.max_padding}"
    assert stated["pooling"] == "square, " + ", ".join(map(str, chip.poolings))
    assert stated["weights"] == f"signed {chip.weight_bits} bit"
    assert stated["membrane and thresholds"] == f"signed {chip.state_bits} bit"
    assert stated["biases"] == f"signed {chip.bias_bits} bit"
    for name, device in devices.items():
        assert stated[name] == f"{len(device.cores)}"
