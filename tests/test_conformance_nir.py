"""The runner of NIR recordings: what a note leaves open is found, what differs is noticed."""

import json
import shutil

import numpy as np
import pytest

from tests.conformance import nir

CASE = "snntorch_leaky_syn_subtract_delay1"


def results(golden, directory, note=None, change=None, name="snntorch_net", described=True):
    """The results of one recording under another name, with another note and changed arrays."""
    shutil.copy(golden / f"nir/{CASE}.nir", directory / f"{name}.nir")
    with np.load(golden / f"nir/{CASE}.npz") as stored:
        arrays = dict(stored)
    if change is not None:
        change(arrays)
    np.savez(directory / f"{name}.npz", **arrays)
    case = json.loads((golden / "nir/index.json").read_text())[CASE] | {"note": note}
    (directory / "index.json").write_text(json.dumps({name: case} if described else {}))
    (result,) = nir.run(directory)
    return result


def test_resets_that_the_note_leaves_open_are_found(golden, tmp_path):
    result = results(golden, tmp_path, note="what snnTorch gave")
    assert result.equal and result.covered
    assert "found: reset_mechanism=subtract, reset_delay=True" in result.expectation


def test_resets_that_the_note_names_are_taken_at_their_word(golden, tmp_path):
    result = results(golden, tmp_path, note="reset_mechanism=none, reset_delay=True")
    assert not result.equal and "spikes differ" in result.difference


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda arrays: arrays["s"].__setitem__((3, 0, 1), 2.0), "spikes differ"),
        (lambda arrays: arrays.pop("x"), "no input 'x'"),
        (lambda arrays: arrays.update(z=arrays["s"]), "'z' has no counterpart"),
        (lambda arrays: arrays.update({"1.tau": np.ones(6)}), "parameter 1.tau differs"),
    ],
)
def test_differences_are_noticed(golden, tmp_path, change, words):
    note = "reset_mechanism=subtract, reset_delay=True"
    assert words in results(golden, tmp_path, note, change).difference


def test_what_was_not_recorded_does_not_count_as_equal(golden, tmp_path):
    only_input = lambda arrays: arrays.pop("s")  # noqa: E731
    result = results(golden, tmp_path, change=only_input, described=False)
    assert not result.covered
