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
    assert compared["networks"] >= 130
    assert compared["config"] >= 27
    missing = {result.expectation for result in results if not result.covered}
    assert missing == {
        "DVSLayer is not covered yet",
        "not sequential: SplitOK",
        "not sequential: TwoOut",
        "sinabs fails on it: IndexError: list index out of range",
        "kill bits of dynapcnndevkit are not written yet",
        "kill bits of speck2b are not written yet",
        "refusals are not compared yet",
        "events are not compared yet",
        "addresses are not compared yet",
    }


def test_defects_are_named(results):
    named = {result.expectation for result in results if result.covered and result.expectation}
    assert {dynapcnn.KILLS, dynapcnn.NO_EPS, dynapcnn.SINABS_2} <= named
