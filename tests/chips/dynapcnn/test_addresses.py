"""Addresses of neurons: recorded ones, and that no two neurons share one."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from neurojax.chips.dynapcnn import neuron_address, neuron_place

GOLDEN = Path(__file__).parents[2] / "golden" / "dynapcnn"


def test_recorded_addresses():
    cases = json.loads((GOLDEN / "addresses_v3.json").read_text())["cases"]
    for case in cases:
        shape = tuple(case["shape_chw"])
        address = neuron_address(case["x"], case["y"], case["c"], shape, packing="overlapping")
        assert address == case["address"]
        assert list(neuron_place(address, shape, packing="overlapping")) == case["back_cxy"]
    assert cases
    # What the default is for: these did not come back.
    lost = [c for c in cases if c["back_cxy"] != [c["c"], c["x"], c["y"]]]
    assert lost
    for case in lost:
        shape = tuple(case["shape_chw"])
        address = neuron_address(case["x"], case["y"], case["c"], shape)
        assert neuron_place(address, shape) == (case["c"], case["x"], case["y"])


@settings(deadline=None)
@given(st.tuples(*(st.integers(1, 7),) * 3))
def test_every_neuron_has_its_own(shape):
    features, height, width = shape
    neurons = [(f, x, y) for f in range(features) for x in range(width) for y in range(height)]
    addresses = [neuron_address(x, y, f, shape) for f, x, y in neurons]
    assert len(set(addresses)) == len(neurons)
    assert [neuron_place(address, shape) for address in addresses] == neurons


def test_square_maps_have_the_same_addresses_in_both_packings():
    for x, y in ((0, 0), (5, 2), (7, 7)):
        apart, overlapping = (
            neuron_address(x, y, 1, (3, 8, 8), packing=packing)
            for packing in ("apart", "overlapping")
        )
        assert apart == overlapping


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: neuron_address(0, 0, 0, (128, 64, 64)), r"6 \+ 6 \+ 7 = 19 bits.* has 18"),
        (lambda: neuron_address(8, 0, 0, (1, 4, 8)), r"x=8; .* has 0 to 7"),
        (lambda: neuron_address(0, 0, -1, (1, 4, 8)), r"feature=-1"),
        (lambda: neuron_place(3, (3, 2, 2)), r"no neuron .* address 3"),
        (lambda: neuron_place(0, (4, 2)), r"\(features, height, width\)"),
        (lambda: neuron_address(0, 0, 0, (1, 1, 1), packing="other"), r"packing='other'"),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
