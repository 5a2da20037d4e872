"""The file of scales: written, read, and used."""

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import MappingError, mcu

FILE = """\
fc,8,8,8,8,4,3,6,5,nearest,floor,nearest
spikes,8,8,8,None,3,2,4,None,floor,nearest,floor
last,8,8,8,None,2,1,7,None,nearest,nearest,None
"""
WEIGHT = np.linspace(-0.5, 0.5, 6, dtype=np.float32)


def network():
    return nj.Sequential(
        (2,),
        fc=nj.Linear.from_weights(WEIGHT.reshape(3, 2), WEIGHT[:3]),
        spikes=nj.IAF(threshold=0.5),
        last=nj.Linear.from_weights(WEIGHT.reshape(2, 3)),
    )


def test_a_file_gives_the_scales(tmp_path):
    path = tmp_path / "cnn_activations_range.txt"
    path.write_text(FILE)
    mapped = mcu.map(network(), quantize="int8", ranges=path)
    number = mcu.number_of("int8")
    formats = {name: mapped.network[name].format for name in mapped.network.names}
    assert formats == {
        "quantise": mcu.Format(number, output_q=4, output_round="nearest"),
        "fc": mcu.Format(number, 6, 5, 3, "nearest", "floor"),
        "spikes": mcu.Format(number, 4, None, 2, "floor", "nearest"),
        "last": mcu.Format(number, 7, None, 1, "floor", "nearest"),
    }
    assert [mapped.network[n].input_q for n in ("fc", "spikes", "last")] == [4, 3, 2]
    assert mapped.network["fc"].integers().bias.tolist() == [-16, -10, -3]


def test_what_is_written_is_read(tmp_path):
    x = jnp.asarray(np.random.default_rng(0).normal(0, 1, (5, 2, 2)), jnp.float32)
    mapped = mcu.map(network(), quantize="int16", calibration=x, rounding="nearest")
    path = tmp_path / "ranges.txt"
    mcu.write_ranges(path, mapped)
    assert mcu.read_ranges(path) == mcu.ranges_of(mapped)
    again = mcu.map(network(), quantize="int16", ranges=path)
    for name in mapped.network.names:
        assert again.network[name].format == mapped.network[name].format
    a, b = (nj.simulate(m.network, x).outputs for m in (mapped, again))
    assert np.array_equal(a, b)


def test_layers_without_a_line_compute_as_those_before():
    line = mcu.LayerRange(8, 8, 8, None, 4, 3, 4, None, "floor", "floor", "floor")
    net = nj.Sequential((1, 4), nj.IAF(), nj.AvgPool1d(2), nj.Flatten())
    mapped = mcu.map(net, quantize="int8", ranges={"iaf1": line})
    assert mapped.network["avgpool1d1"].format == mapped.network["iaf1"].format


def test_lines_that_are_wrong_are_listed(tmp_path):
    path = tmp_path / "ranges.txt"
    lines = FILE.splitlines()
    lines[0] = lines[0].replace("nearest", "up", 1)
    lines[1] = lines[1].replace(",4,", ",four,")
    path.write_text("\n".join([*lines, "short,8", lines[2]]))
    with pytest.raises(ValueError) as error:
        mcu.read_ranges(path)
    said = [line.removeprefix(f"{path}: ") for line in str(error.value).splitlines()]
    assert said[:2] == [
        "line 1: input_round is 'up'; it must be floor or nearest or None",
        "line 2: weights_q is 'four'; it must be an integer or None",
    ]
    assert said[2].startswith("line 4: 2 fields; they are name,input_bits")
    assert said[3] == "line 5: layer 'last' has a line already"
    path.write_text("\n")
    with pytest.raises(ValueError, match="no line"):
        mcu.read_ranges(path)


def test_scales_that_do_not_fit_the_network_are_refused(tmp_path):
    path = tmp_path / "ranges.txt"
    lines = FILE.replace("last,8", "least,16").replace(",4,None", ",None,None")
    path.write_text(lines)
    with pytest.raises(MappingError) as error:
        mcu.map(network(), quantize="int8", ranges=path)
    assert [(problem.layer, problem.found) for problem in error.value.problems] == [
        ("least", "ranges, but no such layer"),
        ("least", "ranges of 8 bits and 16 bits"),
        ("spikes", "ranges with weights_q None"),
        ("last", "no line in the ranges"),
    ]
    far = FILE.replace(",6,5,", ",20,5,")
    path.write_text(far)
    with pytest.raises(MappingError, match="bias: a shift by -19 bits; sums have 16"):
        mcu.map(network(), quantize="int8", ranges=path)


def test_floats_have_no_scales():
    with pytest.raises(ValueError, match="floats have no scales"):
        mcu.ranges_of(mcu.map(network(), quantize="float32"))
