"""The event camera's block, against events that are moved one by one."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.dynapcnn import DVS


def moved(counts, *, pool, crop, merge_polarities, flip_x, flip_y, swap_xy):
    """What the block sends: every event alone, in coordinates."""
    _, height, width = counts.shape
    height, width = height // pool[0], width // pool[1]
    (top, bottom), (left, right) = crop or ((0, height), (0, width))
    out_height, out_width = bottom - top, right - left
    shape = (1 if merge_polarities else counts.shape[0], out_height, out_width)
    out = np.zeros((shape[0], shape[2], shape[1]) if swap_xy else shape, int)
    for polarity, y, x in np.argwhere(counts):
        row, column = y // pool[0], x // pool[1]
        if not (top <= row < bottom and left <= column < right):
            continue
        row, column = row - top, column - left
        row = out_height - 1 - row if flip_y else row
        column = out_width - 1 - column if flip_x else column
        row, column = (column, row) if swap_xy else (row, column)
        out[0 if merge_polarities else polarity, row, column] += counts[polarity, y, x]
    return out


truth = st.booleans()


@settings(max_examples=25)
@given(
    st.sampled_from([(1, 1), (2, 2), (4, 1), (1, 2)]),
    st.sampled_from([None, ((1, 2), (0, 2)), ((0, 2), (1, 3))]),
    *[truth] * 4,
)
def test_events_go_where_they_should(pool, crop, merge_polarities, flip_x, flip_y, swap_xy):
    options = {
        "pool": pool, "crop": crop, "merge_polarities": merge_polarities,
        "flip_x": flip_x, "flip_y": flip_y, "swap_xy": swap_xy,
    }  # fmt: skip
    counts = np.random.default_rng(0).poisson(0.7, (2, 9, 7))
    layer = DVS(**options)
    expected = moved(counts, **options)
    _, out = layer.step(None, np.float32(counts))
    np.testing.assert_array_equal(out, expected)
    assert layer.out_shape((2, 9, 7)) == expected.shape


def test_in_a_network():
    net = nj.Sequential((2, 8, 8), dvs=DVS(pool=2, merge_polarities=True, pixel_array=True))
    assert "DVS, one polarity, pool 2x2, pixels on" in str(net)
    assert nj.simulate(net, np.ones((3, 2, 2, 8, 8), np.float32)).outputs.max() == 8
    assert DVS(crop=[[0, 4], [1, 5]], flip_x=True, flip_y=True, swap_xy=True).describe() == (
        "DVS, crop 0:4, 1:5, flip y, flip x, swap x and y"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pool": 0}, "pool=0"),
        ({"pool": (2, 2, 2)}, "must be \\(height, width\\)"),
        ({"crop": ((3, 3), (0, 2))}, "0 <= top < bottom"),
        ({"crop": ((0, 5), (0, 2)), "pool": 2}, "beyond the map of 4x4"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        DVS(**options).out_shape((2, 8, 8))
