"""The comparison with hxtorch's recordings is not fooled, and leaves nothing out in silence."""

import json

import numpy as np

from tests.conformance import bss2
from tests.conformance._bss2_case import Case
from tests.conformance._bss2_spiking import compare_neuron, neuron_of_flags


def excerpt(golden, directory, names, change):
    """A directory with some cases of hxtorch's functions, after `change(cases, arrays)`."""
    description = json.loads((golden / "bss2/spiking_head.json").read_text())
    description["cases"] = {name: description["cases"][name] for name in names}
    with np.load(golden / "bss2/spiking_head.npz") as stored:
        arrays = {k: stored[k] for k in stored if k.partition("/")[0] in names}
    change(description["cases"], arrays)
    # The name of the file means nothing.
    (directory / "renamed.json").write_text(json.dumps(description))
    np.savez(directory / "renamed.npz", **arrays)


def test_differences_are_found(golden, tmp_path):
    def change(cases, arrays):
        arrays["superspike_a50/gx"][3] *= 1.001
        arrays["hw_weight_split/exc"][0] += 1
        cases["something_else"] = {"note": "of a form that nobody knows"}
        arrays["something_else/x"] = np.ones(3)

    names = ["superspike_a50", "superspike_a1", "hw_weight_split"]
    excerpt(golden, tmp_path, names, change)
    results = {result.case: result for result in bss2.run(tmp_path)}
    assert {case: (r.covered, r.equal) for case, r in results.items()} == {
        "superspike_a50": (True, False),
        "superspike_a1": (True, True),
        "hw_weight_split": (True, False),
        "something_else": (False, False),
    }
    assert results["superspike_a50"].difference.startswith("gx differs first at index 3")


def test_other_numbers_and_forms():
    # A leak without spikes, but with adaptation: a form that is not among the recordings.
    random = np.random.default_rng(0)
    params = {
        "leak": random.normal(0, 0.1, 4).tolist(),
        "tau_syn": 7e-6,
        "c_mem": 9e-6,
        "g_l": None,
        "reset": 0.0,
        "threshold": 1.0,
        "refractory_time": 0.0,
        "alpha": 50.0,
        "exp_slope": 0.1,
        "exp_threshold": 0.8,
        "subthreshold_adaptation_strength": 0.4,
        "spike_triggered_adaptation_increment": 0.2,
        "tau_adap": 2e-5,
    }
    off = ("fire", "refractory", "exponential", "spike_triggered_adaptation")
    flags = dict.fromkeys(off, False) | {"leaky": True, "subthreshold_adaptation": True}
    weight, x = random.normal(size=(4, 3)), random.normal(size=(12, 2, 3))
    leak = np.array(params["leak"])
    v, i, w = leak + np.zeros((2, 4)), np.zeros((2, 4)), np.zeros((2, 4))
    traces = []
    for now in x:
        dv = 1e-6 / 9e-6 * (i + leak - v - w)
        i = i * (1 - 1 / 7) + now @ weight.T
        v = v + dv
        w = w * (1 - 1 / 20) + 1 / 20 * 0.4 * (v - leak)
        traces.append((v, i, w))
    names = ("membrane", "current", "adaptation")
    arrays = {name: np.float32(a) for name, a in zip(names, zip(*traces, strict=True), strict=True)}
    arrays |= {"W": np.float32(weight), "x": np.float32(x)}
    arrays["cot_v"] = np.ones_like(arrays["membrane"])
    case = Case("of", "mine", {"flags": flags, "params": params, "dt": 1e-6}, arrays)
    result = compare_neuron(case, neuron_of_flags(case))
    assert result.equal, result.difference
    arrays["adaptation"] = arrays["adaptation"] + 1e-3
    assert "adaptation differs" in compare_neuron(case, neuron_of_flags(case)).difference
