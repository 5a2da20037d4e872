"""Generated C against the simulation: equal numbers of every layer in every step, no alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import Phase, given, settings, strategies as st

from neurojax.chips.mcu import number_of
from tests.hardware.c._driver import program_of, run_all, simulated
from tests.hardware.c._every import images, sequences
from tests.hardware.c._networks import networks


def check(cases, folder):
    programs = [program_of(net, number, k) for k, (net, number, _) in enumerate(cases)]
    inputs = [x for *_, x in cases]
    found = run_all(programs, inputs, folder)
    for program, x, values in zip(programs, inputs, found, strict=True):
        for got, expected in zip(values, simulated(program, x), strict=True):
            np.testing.assert_array_equal(got, expected, err_msg=str(program.mapped.network))


@given(cases=st.lists(networks(), min_size=5, max_size=5))
# An example is five networks. Shrinking would call the compiler again and again.
@settings(max_examples=max(3, settings().max_examples // 10), phases=[Phase.reuse, Phase.generate])
def test_random_networks(cases, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(cases, tmp_path_factory.mktemp("random"))


def test_every_layer_in_every_number(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    wide8, wide16, real = number_of("int8", 32), number_of("int16"), number_of("float32")
    narrow8, narrow16 = number_of("int8", 8), number_of("int16", 16)
    pairs = [(images, n) for n in (number_of("int8"), narrow8, wide16, real)]
    pairs += [(sequences, n) for n in (wide8, narrow16, real)]
    cases = []
    for build, number in pairs:
        network = build(number)
        low, high = (-2, 2) if number.real else number.limits
        x = random.integers(low, high + 1, (5, 2, *network.inputs["input"]))
        cases.append((network, number, x))
    check(cases, tmp_path)
