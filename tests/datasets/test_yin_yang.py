"""Yin-Yang against hxtorch's samples, and against areas in closed form."""

import json

import jax
import numpy as np
import pytest
import scipy.stats

from neurojax.datasets import sample_yin_yang, yin_yang, yin_yang_class


@pytest.fixture(scope="module")
def recorded(golden):
    cases = json.loads((golden / "data/hxtorch.json").read_text())
    return cases, np.load(golden / "data/hxtorch.npz", allow_pickle=False)


@pytest.mark.parametrize("name", ["yinyang", "yinyang_r"])
def test_same_samples_as_hxtorch(recorded, name):
    about, arrays = recorded
    radii = {key: value for key, value in about[name].items() if key.startswith("r_")}
    data = yin_yang(about[name]["size"], seed=about[name]["seed"], **radii)
    assert (data.inputs == arrays[name + "/x"].astype(np.float32)).all()
    assert (data.labels == arrays[name + "/y"]).all()


def test_same_classes_as_hxtorch(recorded):
    _, arrays = recorded
    x, y = arrays["yinyang_class/p"].T
    assert (yin_yang_class(x, y) == arrays["yinyang_class/c"]).all()


def test_landmarks():
    names = yin_yang(1).class_names
    for (x, y), name in {
        (0.25, 0.5): "dot",
        (0.75, 0.5): "dot",
        (0.5, 0.9): "yin",  # above
        (0.5, 0.1): "yang",  # below
        (0.25, 0.38): "yin",  # the head that hangs down on the left, around its dot
        (0.75, 0.62): "yang",  # the head that reaches up on the right
    }.items():
        assert names[int(yin_yang_class(x, y))] == name


@pytest.mark.parametrize("radii", [(0.1, 0.5), (0.2, 0.6)])
def test_key_samples_fill_their_classes_evenly(radii):
    r_small, r_big = radii
    size = 30_000
    draw = jax.jit(lambda key: sample_yin_yang(key, size, r_small=r_small, r_big=r_big))
    inputs, labels = map(np.asarray, draw(jax.random.key(0)))
    np.testing.assert_allclose(inputs[:, 2:], 1 - inputs[:, :2], atol=1e-6)
    x, y = inputs[:, :2].astype(np.float64).T
    assert (np.hypot(x - r_big, y - r_big) <= r_big + 1e-6).all()
    # A few may fall on a border by rounding to float32.
    assert (yin_yang_class(x, y, r_small=r_small, r_big=r_big) != labels).mean() < 1e-3

    def probable(count, n, p):
        low, high = scipy.stats.binom.interval(1 - 1e-7, n, p)
        return low <= count <= high

    assert all(probable(count, size, 1 / 3) for count in np.bincount(labels))
    # Within a class the density is even. Yin is half of what the dots leave of the disc; above the
    # centre it's half a disc, less half the head of yang, and less half the dot in its own head.
    dots = labels == 2
    assert probable((x[dots] < r_big).sum(), dots.sum(), 0.5)
    inner = np.hypot(np.abs(x[dots] - r_big) - r_big / 2, y[dots] - r_big) < r_small / 2
    assert probable(inner.sum(), dots.sum(), 0.25)
    yin = labels == 1
    area = np.pi * (r_big**2 / 2 - r_small**2)
    head = np.pi * ((r_big / 2) ** 2 - r_small**2)
    in_head = np.hypot(x[yin] - r_big / 2, y[yin] - r_big) < r_big / 2
    assert probable(in_head.sum(), yin.sum(), head / area)
    above = np.pi * (r_big**2 - (r_big / 2) ** 2) / 2 - np.pi * r_small**2 / 2
    assert probable((y[yin] > r_big).sum(), yin.sum(), above / area)


def test_refusals():
    with pytest.raises(ValueError, match="dots must fit"):
        yin_yang(5, r_small=0.25)
    with pytest.raises(ValueError, match="size is 0"):
        sample_yin_yang(jax.random.key(0), 0)
