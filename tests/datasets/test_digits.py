"""Scikit-learn's digits: scaling, and a stratified split that never changes."""

import sys

import numpy as np
import pytest

from neurojax.datasets import digits


def test_digits_are_all_there():
    source = pytest.importorskip("sklearn.datasets").load_digits()
    train, test = digits()
    assert len(train) + len(test) == 1797
    assert train.inputs.shape[1:] == (1, 8, 8)
    assert train.inputs.dtype == np.float32
    assert train.labels.dtype == np.int32
    assert train.class_names[7] == "7"
    both = np.concatenate([train.inputs, test.inputs])
    assert both.min() == 0
    assert both.max() == 1

    def rows(images, labels):
        joined = np.column_stack([images.reshape(-1, 64), labels])
        return sorted(map(bytes, joined.astype(np.uint8)))

    labels = np.concatenate([train.labels, test.labels])
    assert rows(both * 16, labels) == rows(source.images, source.target)
    for label in range(10):
        assert (test.labels == label).sum() == round(0.2 * (source.target == label).sum())


def test_the_seed_decides():
    pytest.importorskip("sklearn")
    first, again, other = digits()[1], digits()[1], digits(seed=1)[1]
    assert (first.inputs == again.inputs).all()
    assert not (first.inputs == other.inputs).all()
    # Written down once: the split must be the same on every machine and for ever.
    assert first.labels[:12].tolist() == [3, 7, 3, 9, 0, 8, 7, 0, 8, 0, 3, 3]
    with pytest.raises(ValueError, match="test_fraction is 1;"):
        digits(test_fraction=1)


def test_scikit_learn_is_named_when_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"neurojax\[data\]"):
        digits()
