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


# Those of DYNAP-CNN are run once, by tests/chips/dynapcnn/test_recordings.py.
@pytest.mark.parametrize("area", sorted({*_runner.covered_areas()} - {"dynapcnn"}))
def test_all_recordings_are_equal(golden, area):
    results = _runner.run_area(area, golden / area)
    compared = [result for result in results if result.covered]
    assert compared
    assert [(result.case, result.difference) for result in compared if not result.equal] == []


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
    assert f"spikingjelly LIFNode/{LIF}: " + words.format(f"{after[0]:g}", f"{before[0]:g}") in text


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


def test_a_note_without_the_number_of_a_gradient_differs(golden, tmp_path):
    _excerpt(golden, tmp_path, "spikingjelly", [LIF, PLIF])
    path = tmp_path / "torch_neurons/index.json"
    path.write_text(path.read_text().replace("gparam0 = dL/dw", "gparam0 = dL/dgain"))
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert f"/{PLIF}: can't be compared: ValueError: the note does not say which number" in text
    assert "torch_neurons: 1 of 2 equal" in text


def test_optional_keys_and_missing_arrays(golden, tmp_path):
    _excerpt(golden, tmp_path, "spikingjelly", [LIF])
    path = tmp_path / "torch_neurons/index.json"
    index = json.loads(path.read_text())
    cases = index["cases"]["spikingjelly"]
    cases[LIF].pop("note")
    cases[LIF].pop("arrays")
    path.write_text(json.dumps(index))
    assert _main("--recordings", tmp_path)[0] == 0
    cases |= {"gone": cases[LIF], "callless": {"params": {}}}
    index["cases"] |= {"brian": {"a": cases[LIF]}, "sinabs": {}}
    path.write_text(json.dumps(index))
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "torch_neurons: 1 of 4 equal" in text
    assert "/gone: there are no arrays in spikingjelly.npz" in text
    assert "brian/all: can't be compared: FileNotFoundError" in text


def test_only_nan_of_a_surrogate_that_overflows_is_passed_over(golden, tmp_path):
    cases = ["surrogate_sigmoid", "surrogate_atan"]

    def overflow(arrays):
        for case in cases:
            arrays[f"{case}/g"][:3] = np.nan

    _excerpt(golden, tmp_path, "snntorch", cases, overflow)
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "torch_neurons: 1 of 2 equal" in text
    assert "surrogates/surrogate_atan: g differs first at index 0: recorded nan" in text
    assert "expected of the peer: snnTorch's sigmoid surrogate overflows" in text


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
    assert (code, "can't be compared: JSONDecodeError" in text) == (1, True)


def test_unusual_places(golden, tmp_path, monkeypatch):
    """Spaces, symbolic links, files nobody reads, and a relative path."""
    _excerpt(golden, tmp_path, "norse", ["surrogate_tanh_2.0"])
    here = tmp_path / "my recordings"
    here.mkdir()
    (here / "torch_neurons").symlink_to(tmp_path / "torch_neurons", target_is_directory=True)
    (here / "notes.txt").write_text("")
    (here / "other").mkdir()
    (tmp_path / "torch_neurons/notes.json").write_text("[")
    monkeypatch.chdir(tmp_path)
    assert _main("--recordings", "my recordings")[0] == 0


SPIKES = "IAFSqueeze(spike_threshold=Parameter containing:\n  tensor({}), min_v_mem={})"


def _nets(directory, **nets):
    """Recorded networks on a 2x2 map: name -> (middle of the printed form, what more is known)."""
    entries, arrays = [], {}
    for name, (modules, more) in nets.items():
        info = {"neuron_shape": [1, 2, 2], "threshold": 127.0, "min_v_mem": -127.0}
        entry = {"name": name, "input_shape": [1, 2, 2], "batch": 1, "layers": {"0": info}}
        entry["modules"] = f"Sequential(\n  {modules}\n  (1): {SPIKES.format('1.', -1.0)}\n)"
        entries.append(entry | more)
        arrays |= {f"{name}/raw/0.weight": np.ones((1, 1, 1, 1), np.float32)}
        arrays |= {f"{name}/q/0/weight": np.full((1, 1, 1, 1), 127.0)}
        arrays |= {
            f"{name}/q/0/v_mem_end": np.zeros((1, 1, 2, 2)),
            f"{name}/x": np.zeros((3, 1, 2, 2)),
        }
        arrays |= {f"{name}/out1": np.zeros((3, 1, 2, 2))}
    (directory / "dynapcnn").mkdir()
    (directory / "dynapcnn/networks_v3.json").write_text(json.dumps({"nets": entries}))
    np.savez(directory / "dynapcnn/networks_v3.npz", **arrays)


CONV = "(0): Conv2d(1, 1, kernel_size=(1, 1), stride=(1, 1){}, bias=False)"


def test_a_network_that_cannot_be_read_does_not_stop_the_others(tmp_path):
    _nets(
        tmp_path,
        fine=(CONV.format(""), {}),
        garbled=("(0: Conv2d(", {}),
        layers=(CONV.format(""), {"layers": {}}),
        memory=(CONV.format(""), {"memory_summary": {"weather": [1]}}),
    )
    (tmp_path / "dynapcnn/discretize_v3.json").write_text("{")
    (tmp_path / "dynapcnn/config_v3.json.gz").write_bytes(b"")
    (tmp_path / "dynapcnn/placement_v3.json").write_text('{"cases": [{"candidates": [[0]]}]}')
    code, text = _main("--recordings", tmp_path)
    assert code == 1
    assert "networks_v3/garbled: can't be compared: " in text
    assert "discretize_v3/all: can't be compared: JSONDecodeError" in text
    assert "placement_v3/0: can't be compared: there is no 'mapping'" in text
    assert "config_v3/all: can't be compared: ValueError" in text
    results = {r.case: r for r in _runner.run_area("dynapcnn", tmp_path / "dynapcnn")}
    assert [results[f"fine: {part}"].equal for part in ("first call", "second call")] == [True] * 2
    assert results["layers"].difference == "cores ['IAFSqueeze_1'], recorded []"
    assert "weather" in results["memory: memory_summary"].difference
    assert results["memory: second call"].equal


def test_what_sinabs_accepts_and_no_chip_computes_is_named(tmp_path):
    _nets(
        tmp_path,
        grouped=(CONV.format(", dilation=(2, 2)"), {}),
        unknown=(CONV.format(", padding_mode=circular"), {}),
    )
    code, text = _main("--recordings", tmp_path)
    assert code == 0, text
    assert "expected of the peer: sinabs accepts groups, dilation and padded pools" in text
    assert "not compared yet: padding_mode=circular is not covered (networks_v3 unknown)" in text


def test_neurons_with_a_limit_of_spikes(tmp_path):
    more = {"layers": {"0": {"neuron_shape": [1, 2, 2], "threshold": 127.0, "min_v_mem": -127.0}}}
    more["layers"]["0"]["spike_fn"] = "MaxSpike(max_num_spikes_per_bin=3)"
    _nets(tmp_path, limited=(CONV.format(""), more))
    path = tmp_path / "dynapcnn/networks_v3.npz"
    arrays = dict(np.load(path))
    arrays["limited/x"][:] = 5  # five thresholds a step: three spikes, two are left
    arrays["limited/out1"][:] = 3
    arrays["limited/q/0/v_mem_end"][:] = 2 * 6 * 127
    np.savez(path, **arrays)
    code, text = _main("--recordings", tmp_path)
    assert (code, "dynapcnn: 3 of 3 equal" in text) == (0, True), text


# lava


def _lava(golden, directory, name, change=None):
    """A directory with one case of the area lava, changed by `change(about, arrays)`."""
    folder, about = directory / "lava", {}
    folder.mkdir(exist_ok=True)
    for path in (golden / "lava").glob("META_*.json"):
        about |= json.loads(path.read_text())
    with np.load(golden / f"lava/{name}.npz") as stored:
        arrays = dict(stored)
    if change is not None:
        change(about[name], arrays)
    np.savez(folder / f"{name}.npz", **arrays)
    (folder / f"META_{name}.json").write_text(json.dumps({name: about[name]}))


@pytest.mark.parametrize(
    ("name", "array", "change"),
    [
        ("quantize", "sl_q8_32", 2 / 32),
        ("sj_cuba_5", "i_seq", 1 / 4096),
        ("sj_cuba_5", "grad_vd_from_v", 1e-6),
        ("sj_convert", "container_dense", 1),
        ("slayer_cuba_3", "grad_vd", 1e-4),
        ("slayer_cuba_norm_wgt", "voltage_train", 1 / 4096),
        ("slayer_rf", "imag", 1 / 4096),
        ("slayer_alif", "refractory", 1 / 4096),
        ("slayer_delta_sigma", "grad_th", 1e-2),
        ("block_cuba_dense_noshift", "grad.synapse.weight", 1e-4),  # one of few ways to read it
        ("block_misc", "timedecimation4", 1e-2),
        ("lava_lif_5", "u", 1),
        ("lava_lif_refractory_float", "refractory_period_end", 1),
        ("lava_dense_over_b6_e-2_m8", "w_eff", 4),
        ("lava_conv", "a_out", 1),
        ("lava_sigmadelta_relu", "s", 1),
        ("lava_weightutils", "exc_wu", 1),
    ],
)
def test_a_changed_entry_of_lava_differs(golden, tmp_path, name, array, change):
    def tamper(_, arrays):
        arrays[array].reshape(-1)[-1] += change

    _lava(golden, tmp_path, name, tamper)
    code, text = _main("--recordings", tmp_path)
    assert code == 1, text
    assert f"/{name}: " in text and array.split("_")[0] in text


@pytest.mark.parametrize(
    ("name", "number", "value"),
    [
        ("sj_cuba_5", "v_threshold", 0.5),
        ("slayer_cuba_3", "tau_grad", 0.25),
        ("slayer_adrf", "threshold_step", 0.5),
        ("lava_lifreset", "reset_offset", 3),
        ("lava_dense_exc_b6_e-2_m0", "weight_exp", -1),
    ],
)
def test_parameters_of_lava_count(golden, tmp_path, name, number, value):
    _lava(golden, tmp_path, name, lambda about, _: about["params"].update({number: value}))
    assert _main("--recordings", tmp_path)[0] == 1


def test_nothing_recorded_of_lava_is_passed_over(golden, tmp_path):
    _lava(golden, tmp_path, "lava_lif_0", lambda _, arrays: arrays.update(mystery=np.zeros(2)))
    code, text = _main("--recordings", tmp_path)
    assert (code, "recorded array 'mystery' has no counterpart" in text) == (1, True)
    _lava(golden, tmp_path, "lava_lif_0", lambda _, arrays: arrays.pop("u"))
    assert "there is no array 'u' in lava_lif_0.npz" in _main("--recordings", tmp_path)[1]
    _lava(golden, tmp_path, "lava_lif_0")
    np.savez(tmp_path / "lava/weather.npz", x=np.zeros(2))
    code, text = _main("--recordings", tmp_path)
    assert (code, "not compared yet: recordings of this kind" in text) == (0, True)


def test_what_a_recording_of_lava_leaves_open_is_found(golden, tmp_path):
    """A block whose name does not say that its output comes without a delay."""

    def rename(about, _):
        about["call"] = "slayer.block.cuba_dense"

    _lava(golden, tmp_path, "block_cuba_dense_noshift", rename)
    folder = tmp_path / "lava"
    (folder / "block_cuba_dense_noshift.npz").rename(folder / "block_cuba_dense.npz")
    path = folder / "META_block_cuba_dense_noshift.json"
    path.write_text(path.read_text().replace('"block_cuba_dense_noshift"', '"block_cuba_dense"'))
    code, text = _main("--recordings", tmp_path)
    assert (code, "and found: delay_shift=False (block_cuba_dense)" in text) == (0, True), text


# The report


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
