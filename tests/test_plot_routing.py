"""Lines of the placement picture: where they begin and end, and that they cross no box."""

import itertools

import numpy as np
from hypothesis import given, settings, strategies as st

from neurojax.plot._routing import Link, Sizes, lay_out

SIZES = Sizes(1.0, 0.8, 0.6, 0.4)


@st.composite
def drawings(draw):
    """Boxes in some order, each with lines to later ones, all reachable from the start."""
    count = draw(st.integers(1, 9))
    links = []
    for target in range(count):
        before = draw(st.lists(st.integers(-1, target - 1), min_size=1, max_size=3, unique=True))
        links += [Link("start" if source < 0 else source, target) for source in before]
    ends = {box: 1 for box in range(count) if not any(link.source == box for link in links)}
    return count, links, ends, draw(st.integers(1, 5))


@settings(max_examples=60)
@given(drawings())
def test_lines_lead_from_box_to_box_and_cross_none(drawing):
    count, links, ends, columns = drawing
    layout = lay_out(["start"], list(range(count)), links, ends, columns=columns, sizes=SIZES)
    width = {name: SIZES.start if name == "start" else SIZES.width for name in layout.corners}
    for a, b in itertools.combinations(layout.corners, 2):
        (ax, ay), (bx, by) = layout.corners[a], layout.corners[b]
        beside = ax + width[a] <= bx or bx + width[b] <= ax
        assert beside or ay + SIZES.height <= by or by + SIZES.height <= ay
    for link, points in layout.lines:
        (x, y), (left, top) = points[0], layout.corners[link.source]
        assert x == left + width[link.source] and top < y < top + SIZES.height
        (x, y), (left, top) = points[-1], layout.corners[link.target]
        assert x == left and top < y < top + SIZES.height
        for (x0, y0), (x1, y1) in itertools.pairwise(points):
            assert x0 == x1 or y0 == y1
            assert min(x0, x1) >= 0 and max(x0, x1) <= layout.width
            assert min(y0, y1) >= 0 and max(y0, y1) <= layout.height
            for name, (left, top) in layout.corners.items():
                apart = (
                    max(x0, x1) <= left
                    or min(x0, x1) >= left + width[name]
                    or max(y0, y1) <= top
                    or min(y0, y1) >= top + SIZES.height
                )
                assert apart, (link, points, name)


def test_a_chain_is_one_straight_line():
    links = [Link("start", 0), Link(0, 1), Link(1, 2)]
    layout = lay_out(["start"], [0, 1, 2], links, {2: 1}, columns=3, sizes=SIZES)
    heights = np.array([[y for _, y in points] for _, points in layout.lines])
    assert heights.shape == (3, 2) and np.ptp([*heights.ravel(), layout.ends[2][1]]) < 1e-9
