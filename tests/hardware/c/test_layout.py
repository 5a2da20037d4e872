"""Channels first in the simulation, channels last in C: against NumPy's transpose."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.hardware.c._layout import Layout

SHAPES = st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple)


@given(SHAPES, st.lists(st.integers(1, 3), max_size=2).map(tuple))
def test_there_and_back(shape: tuple[int, ...], batch: tuple[int, ...]) -> None:
    layout = Layout.channels_last(shape)
    values = np.random.default_rng(0).normal(size=batch + shape)
    held = layout.to_c(values)
    last = np.moveaxis(values, len(batch), -1)
    np.testing.assert_array_equal(held, last.reshape(*batch, -1))
    np.testing.assert_array_equal(layout.from_c(held), values)


def test_wrong_shapes_are_refused() -> None:
    layout = Layout.channels_last((2, 3))
    with pytest.raises(ValueError, match=r"the last axes must be \(2, 3\), got shape \(3, 2\)"):
        layout.to_c(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="the last axis must be 6"):
        layout.from_c(np.zeros((2, 3)))
