"""Every recorded case, through the code that compares any directory of recordings."""

from collections import Counter

import pytest

from tests.conformance import dynapcnn


@pytest.fixture(scope="module")
def results(golden):
    return list(dynapcnn.run(golden / "dynapcnn"))


def test_all_recordings_are_reproduced(results):
    wrong = [result for result in results if result.covered and not result.equal]
    assert wrong == []


def test_nothing_is_skipped_silently(results):
    """So many cases there are at least, and these are the reasons why others are left out."""
    compared = Counter(result.group.split("_")[0] for result in results if result.covered)
    assert compared["discretize"] == 2 * 32
    assert compared["placement"] == 2 * 60
    assert compared["networks"] >= 155
    assert compared["config"] >= 48
    assert compared["refusals"] == 2 * 32
    assert compared["events"] == 2 * 22
    assert compared["addresses"] == 40
    missing = {result.expectation for result in results if not result.covered}
    assert missing == {
        "nothing but the failure of sinabs was recorded: IndexError: list index out of range"
    }


def test_defects_are_named(results):
    named = {result.expectation for result in results if result.covered and result.expectation}
    assert {dynapcnn.KILLS, dynapcnn.NO_EPS, dynapcnn.SINABS_2} <= named
