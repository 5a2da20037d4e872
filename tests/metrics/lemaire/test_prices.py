"""Prices of operations and of memory; the recorded ones are compared in tests/conformance."""

import numpy as np
import pytest

from neurojax.metrics.lemaire import prices

POINTS = {8: (0.03, 0.2), 32: (0.1, 3.1)}  # Horowitz 2014


@pytest.mark.parametrize("kind", ["saturation", "linear", "quadratic"])
def test_published_prices(kind):
    for width, published in POINTS.items():
        assert prices(width, op_estimation_type=kind)[:2] == pytest.approx(published)


def test_curves():
    widths = np.arange(1, 65)
    for op, index in (("add", 0), ("mul", 1)):
        y8, y32 = (POINTS[width][index] for width in (8, 32))
        parabola = np.polyfit([0, 8, 32], [0, y8, y32], 2)
        ours = [prices(int(w), op_estimation_type="quadratic")[index] for w in widths]
        np.testing.assert_allclose(ours, np.polyval(parabola, widths), rtol=1e-9)
        line = np.polyfit([8, 32], [y8, y32], 1)
        ours = [prices(int(w), op_estimation_type="linear")[index] for w in widths[6:]]
        np.testing.assert_allclose(ours, np.polyval(line, widths[6:]), rtol=1e-9)
        mixed = {"add": "ICONIP", "mul": "ICONIP"} | {op: "saturation"}
        assert prices(4, op_estimation_type=mixed)[index] == y8
        assert prices(4, op_estimation_type=mixed)[1 - index] == POINTS[32][1 - index]
    assert prices(16)[:2] == POINTS[32] and prices(8)[:2] == POINTS[8]
    assert prices(8).mac == 0.2 + 0.03


def test_memory():
    """The line goes by the caches it was fitted to; a bus carries 64 bits."""
    for size, energy in ((8_000, 10.0), (32_000, 20.0), (1_000_000, 100.0)):
        assert prices(8).ram(size) == pytest.approx(energy, abs=5)  # three points, two parameters
    assert [prices(w, sram_estimation_type="new").ram(10**6) for w in (8, 16, 24, 33)] == [
        1.25,
        2.5,
        5.0,
        10.0,
    ]


@pytest.mark.parametrize(
    "width, options, words",
    [
        (0, {}, "mem_width is 0; it must be 1 to 64 bits"),
        (65, {}, "mem_width is 65"),
        (64, {"op_estimation_type": "saturation"}, "knows up to 32 bits, but mem_width is 64"),
        (4, {"op_estimation_type": "linear"}, "the line for 'mul' gives -0.283 pJ"),
        (8, {"op_estimation_type": "cubic"}, "it must be one of 'ICONIP', 'saturation'"),
        (8, {"op_estimation_type": {"add": "ICONIP"}}, "it must have 'add' and 'mul'"),
        (
            8,
            {"energy_values": {8: {"add": 1.0, "mul": 2.0}}},
            r"energy_values\[32\]\['add'\] is No",
        ),
        (8, {"energy_values": {8: {"add": -1.0}}}, r"energy_values\[8\]\['add'\] is -1.0; it must"),
        (8, {"sram_estimation_type": "newer"}, "it must be one of 'old', 'new'"),
    ],
)
def test_refusals(width, options, words):
    with pytest.raises(ValueError, match=words):
        prices(width, **options)


def test_a_width_that_is_no_number():
    with pytest.raises(TypeError, match=r"mem_width is 8\.5; it must be a number of bits"):
        prices(8.5)
