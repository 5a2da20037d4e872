import dataclasses

import pytest

from neurojax.chips import bss2
from neurojax.chips.bss2 import CalibrationTarget, check_targets, spec


def test_numbers_that_follow():
    chip = bss2.chip
    assert (chip.circuits, chip.rows_per_bus, chip.signed_fan_in) == (512, 64, 128)
    # Two synapse arrays of 256 x 256; four buses reach all of their rows.
    assert chip.hemispheres * chip.rows * chip.columns == 131072
    assert chip.buses * chip.rows_per_bus == chip.rows
    assert chip.longest == pytest.approx(34.36, abs=0.01)


def test_every_target_has_a_range_that_holds_its_default():
    target = CalibrationTarget()
    assert list(spec.TARGET_RANGES) == [f.name for f in dataclasses.fields(target)]
    for name, legal in spec.TARGET_RANGES.items():
        assert legal.holds(getattr(target, name)), name
    assert check_targets({"a": target}) == []


@pytest.mark.parametrize(
    ("field", "value", "text"),
    [
        ("leak", 49, "leak is 49; 50..160"),
        ("threshold", 221, "50..220"),
        ("tau_mem", 61e-6, "0.5..60 us"),
        ("tau_syn", 0.2e-6, "0.3..30 us"),
        ("refractory_time", 1e-8, "is 0.01 us; 0.04..32 us"),
        ("holdoff_time", 5e-6, "0..4 us"),
        ("membrane_capacitance", 64, "0..63"),
        ("i_synin_gm", 801, "30..800"),
        ("synapse_dac_bias", 1023, "30..1022"),
        ("leak", float("nan"), "leak is nan"),
    ],
)
def test_targets_out_of_range(field, value, text):
    problems = check_targets({"a": dataclasses.replace(CalibrationTarget(), **{field: value})})
    assert len(problems) == 1 and problems[0].layer == "a" and text in str(problems[0])
    assert ("trace_scale" in problems[0].remedy) == (field in ("leak", "reset", "threshold"))


def test_the_chip_has_one_value_of_some():
    targets = {
        "a": CalibrationTarget(i_synin_gm=400),
        "b": CalibrationTarget(synapse_dac_bias=500, tau_mem=5e-6),
    }
    found = [p.found for p in check_targets(targets)]
    assert found == ["i_synin_gm is 400 for 'a' and 500 for 'b'",
                     "synapse_dac_bias is 600 for 'a' and 500 for 'b'"]  # fmt: skip
