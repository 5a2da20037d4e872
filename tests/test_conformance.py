"""The conformance runner: right about our own recordings, and not fooled by others."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from tests.conformance import _runner
from tests.conformance._result import Result, compare
from tests.neurons import _oracle


def _main(*arguments):
    """Exit code and what the command printed."""
    console = Console(file=io.StringIO(), width=200, soft_wrap=True)
    code = _runner.main([str(a) for a in arguments], console)
    return code, console.file.getvalue()


@pytest.mark.parametrize("area", _runner.covered_areas())
def test_all_recordings_are_equal(golden, area):
    results = _runner.run_area(area, golden / area)
    compared = [result for result in results if result.covered]
    assert compared
    assert [result.difference for result in compared if not result.equal] == []


def test_defects_of_peers_are_named(golden, tmp_path):
    cases = ["rsynaptic_1to1_subtract_delay0_rand", "rsynaptic_1to1_subtract_delay1_rand"]
    _excerpt(golden, tmp_path, "snntorch", cases)
    _, text = _main("--recordings", tmp_path, "--area", "torch_neurons")
    assert f"expected of the peer: snnTorch's RSynaptic ignores reset_delay=False ({cases[0]})" in (
        text
    )


def _excerpt(golden, directory, library, cases, change=None):
    """A directory of recordings with some cases, their arrays changed by `change(arrays)`."""
    index = json.loads((golden / "torch_neurons/index.json").read_text())
    index["cases"] = {library: {name: index["cases"][library][name] for name in cases}}
    with np.load(golden / f"torch_neurons/{library}.npz") as stored:
        arrays = {k: stored[k] for k in stored.files if k.rpartition("/")[0] in cases}
    if change is not None:
        change(arrays)
    _write(directory, index, {library: arrays})


def _write(directory, index, libraries):
    (directory / "torch_neurons").mkdir()
    (directory / "torch_neurons/index.json").write_text(json.dumps(index))
    for library, arrays in libraries.items():
        np.savez(directory / f"torch_neurons/{library}.npz", **arrays)


LIF = "lif_tau2.0_di1_vr0.0_det0_rand"
PLIF = "plif_di1_vr0.0"


@pytest.mark.parametrize(
    "array, change, words",
    [
        ("s", 1.0, "spikes differ first at t=3, batch 1, neuron 2: recorded {}, got {}"),
        ("v", 1e-3, "v differs first at t=3, batch 1, neuron 2: recorded"),
        ("gx", 1e-3, "input gradient gx differs first at t=3, batch 1, neuron 2: recorded"),
    ],
)
def test_a_tampered_recording_differs(golden, tmp_path, array, change, words):
    before, after = [], []

    def tamper(arrays):
        values = arrays[f"{LIF}/{array}"]
        before.append(values[3, 1, 2])
        values[3, 1, 2] = values[3, 1, 2] + change if array != "s" else 1 - values[3, 1, 2]
        after.append(values[3, 1, 2])

    _excerpt(golden, tmp_path, "spikingjelly", [LIF], tamper)
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert f"spikingjelly/{LIF}: " + words.format(f"{after[0]:g}", f"{before[0]:g}") in text


def test_a_tampered_parameter_gradient_differs(golden, tmp_path):
    def tamper(arrays):
        arrays[f"{PLIF}/gparam0"] = arrays[f"{PLIF}/gparam0"] * 1.01

    _excerpt(golden, tmp_path, "spikingjelly", [PLIF], tamper)
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "gradient gparam0 by w differs: recorded" in text


def test_a_case_that_cannot_be_run_differs(golden, tmp_path):
    _excerpt(golden, tmp_path, "spikingjelly", [LIF, PLIF])
    path = tmp_path / "torch_neurons/index.json"
    text = path.read_text().replace("neuron.ParametricLIFNode", "neuron.MysteryNode")
    path.write_text(text)
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "no model of SpikingJelly's MysteryNode" in text
    assert "torch_neurons: 1 of 2 equal" in text


def test_unnamed_arrays_are_not_passed_over(golden, tmp_path):
    def add(arrays):
        arrays[f"{LIF}/mystery"] = np.zeros(3)

    _excerpt(golden, tmp_path, "spikingjelly", [LIF], add)
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "recorded array 'mystery' has no counterpart" in text


def test_recordings_with_other_shapes_names_and_numbers(tmp_path):
    """Cases nobody recorded, made by the oracle: tau 4 with `>=`, another threshold and shape."""
    random = np.random.default_rng(5)
    cases, arrays = {}, {}
    for name, shape, detach, v_reset in (("a", (9, 3, 5), False, None), ("b", (5, 1, 2), True, 0)):
        x, ws, wv = random.normal(0.5, 1.0, (3, *shape)).astype(np.float32)
        gradient = dict(decay=0.75, threshold=0.625, reset_value=0.0, detach=detach)
        gradient |= {"reset": "subtract" if v_reset is None else "value"}
        gx, _, _ = _oracle.lif_gradient(
            x, ws, wv, g=lambda u: 1.5 / (1 + (1.5 * np.pi * u) ** 2), **gradient
        )
        options = gradient | {"v_rest": 0.0, "gain": 1.0, "max_spikes": 1, "strict": False}
        options |= {"reset_delay": False, "refractory": None, "v_min": None}
        run = _oracle.simulate("LIF", x.reshape(shape[0], -1), options)
        values = {"x": x, "ws": ws, "wv": wv, "gx": gx, "s": run["s"], "v": run["v"]}
        arrays |= {f"{name}/{k}": np.float32(v).reshape(shape) for k, v in values.items()}
        params = {"tau": 4.0, "decay_input": False, "v_threshold": 0.625, "v_reset": v_reset}
        params |= {"detach_reset": detach, "surrogate": "ATan(alpha=3.0)"}
        cases[name] = {"call": "neuron.LIFNode step_mode=s", "params": params, "note": ""}
    _write(tmp_path, {"cases": {"spikingjelly": cases}}, {"spikingjelly": arrays})
    code, text = _main("--recordings", tmp_path, "--area", "torch_neurons")
    assert (code, "torch_neurons: 2 of 2 equal" in text) == (0, True), text


def test_areas_without_a_runner_are_listed(golden, tmp_path, monkeypatch):
    monkeypatch.setattr(_runner, "covered_areas", lambda: ["torch_neurons"])
    _excerpt(golden, tmp_path, "norse", ["surrogate_tanh_2.0"])
    (tmp_path / "qualia").mkdir()
    code, text = _main("--recordings", tmp_path)
    assert code == 0
    assert "qualia: no runner yet" in text
    code, text = _main("--recordings", tmp_path, "--area", "qualia")
    assert (code, "no runner yet" in text) == (2, True)


def test_a_missing_area_is_a_usage_error(tmp_path):
    code, text = _main("--recordings", tmp_path / "nowhere")
    assert (code, "is not a directory" in text) == (2, True)
    code, text = _main("--recordings", tmp_path)
    assert (code, "holds no recordings" in text) == (2, True)
    code, text = _main("--recordings", tmp_path, "--area", "torch_neurons")
    assert (code, "has no folder torch_neurons" in text) == (2, True)
    code, text = _main("--recordings", tmp_path, "--area", "torch_neuron")
    assert (code, "is unknown; the areas are torch_neurons, nir" in text) == (2, True)


def test_an_empty_or_broken_area_differs(tmp_path):
    _write(tmp_path, {"cases": {}}, {})
    code, text = _main("--recordings", tmp_path)
    assert (code, "no cases found" in text) == (1, True)
    (tmp_path / "torch_neurons/index.json").write_text("{")
    code, text = _main("--recordings", tmp_path)
    assert (code, "broke off: JSONDecodeError" in text) == (1, True)


def test_what_is_not_covered_is_listed_and_does_not_differ(golden, monkeypatch):
    left_out = Result("group", "case", False, 0.0, expectation="delays", covered=False)
    monkeypatch.setattr(_runner, "run_area", lambda *_: [Result("g", "c", True, 0.0), left_out])
    code, text = _main("--recordings", golden, "--area", "torch_neurons")
    assert code == 0
    assert "torch_neurons: 1 of 1 equal" in text
    assert "not compared yet: delays (group case)" in text


def test_compare():
    nan = np.array([1.0, np.nan])
    assert compare("v", nan, nan) == (0.0, "")
    assert compare("v", nan, np.array([1.0, 2.0]))[0] == np.inf
    assert compare("v", np.zeros(3), np.zeros(2)) == (
        np.inf,
        "v: recorded shape (3,), got shape (2,)",
    )
    assert compare("v", np.array([0.0, 100.0]), np.array([0.0, 100.1]), rtol=0.002)[1] == ""
    error, text = compare("v", np.array([0.0, 1.0]), np.array([0.0, 1.5]), atol=0.1)
    assert error == 0.5
    assert text == "v differs first at index 1: recorded 1, got 1.5 (1 of 2 entries differ)"
