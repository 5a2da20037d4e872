"""Recordings of Qualia's costs that are not quite like ours: each case is compared for itself."""

import copy
import json

from tests.conformance import _qualia_energy


def _results(path, recorded):
    path.write_text(json.dumps(recorded))
    return list(_qualia_energy.run(path))


def test_a_case_that_cannot_be_read_hides_no_other(golden, tmp_path):
    recorded = json.loads((golden / "qualia/energy_fnn.json").read_text())
    whole = recorded["cases"][0]
    del whole["operations_summary"]  # not every recording has texts
    broken, wrong = copy.deepcopy(whole), copy.deepcopy(whole)
    del broken["graph"]
    wrong["operations"][0]["syn_acc"] += 1
    found = _results(tmp_path / "energy_fnn.json", {"cases": [broken, whole, wrong]})
    assert [result.equal for result in found] == [False, True, False]
    assert found[0].difference == "can't be compared: there is no 'graph'"
    assert found[2].difference.startswith("syn_acc of ")


def test_prices_of_any_width_and_type(tmp_path):
    """By hand: 10 pJ for 64 bits, Horowitz's values at 32 bits; what can't be priced is refused."""
    mixed = {"add": "linear", "mul": "quadratic"}
    recorded = {
        "op_energy_pj": [
            {"op": mixed, "mem_width": 32, "add_mul": [0.1, 3.1000001]},  # of single precision
            {"op": {"add": "linear"}, "mem_width": 8, "add_mul": "ValueError"},
            {"op": None, "mem_width": 0, "add_mul": [0.1, 3.1]},
            {"op": None, "mem_width": 128, "add_mul": [0.1, 3.1]},
            {"op": None, "mem_width": 16, "add_mul": "ValueError"},
        ],
        "e_ram_pj": [
            {"sram": "old", "mem_params": 10, "bits": 0, "pj": 13.2},
            {"sram": "new", "mem_params": 10, "bits": 65, "pj": "ZeroDivisionError"},
            {"sram": "new", "mem_params": 10, "bits": 32, "pj": "ZeroDivisionError"},
        ],
    }
    found = _results(tmp_path / "energy_primitives.json", recorded)
    assert [result.equal for result in found] == [True] * 4 + [False, True, True, False]
