"""Batches and parts: every sample exactly once, and the key decides."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.datasets import Dataset, batches, split

KEY = jax.random.key(3)


def numbered(size, as_array=np.asarray):
    return Dataset(as_array(np.arange(size)[:, None] * 10.0), as_array(np.arange(size)))


@given(st.integers(1, 40), st.integers(1, 45), st.booleans(), st.integers(0, 9))
def test_an_epoch_has_every_sample_once(size, batch_size, shuffle, seed):
    key = jax.random.key(seed)
    seen = list(batches(numbered(size), batch_size, key=key, shuffle=shuffle))
    labels = np.concatenate([label for _, label in seen])
    inputs = np.concatenate([x for x, _ in seen])
    assert sorted(labels) == list(range(size))
    assert (inputs[:, 0] == labels * 10).all()
    assert [len(label) for _, label in seen[:-1]] == [batch_size] * (len(seen) - 1)
    if not shuffle:
        assert labels.tolist() == list(range(size))


def test_drop_last_gives_full_batches_only():
    seen = list(batches(numbered(11), 4, key=KEY, drop_last=True))
    assert [len(label) for _, label in seen] == [4, 4]
    assert len(set(np.concatenate([label for _, label in seen]))) == 8


def test_the_key_decides_the_order():
    def order(key):
        return [label.tolist() for _, label in batches(numbered(50), 7, key=key)]

    assert order(KEY) == order(KEY)
    assert order(KEY) != order(jax.random.key(4))
    assert sorted(np.concatenate(order(KEY))) == list(range(50))


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_arrays_keep_their_kind(as_array):
    x, label = next(batches(numbered(4, as_array), 2, key=KEY))
    assert type(x) is type(label) is type(as_array(np.zeros(1)))


def test_batches_refuse_at_once():
    for options, message in (
        ({"batch_size": 0, "key": KEY}, "batch_size is 0"),
        ({"batch_size": 2}, "needs `key="),
        ({"batch_size": 9, "key": KEY, "drop_last": True}, "leaves nothing of 5"),
    ):
        with pytest.raises(ValueError, match=message):
            batches(numbered(5), **options)


@given(st.integers(2, 60), st.floats(0, 1), st.integers(0, 9))
def test_split_deals_every_sample(size, fraction, seed):
    key = jax.random.key(seed)
    if not 0 < round(fraction * size) < size:
        with pytest.raises(ValueError, match="both parts need"):
            split(numbered(size), fraction, key=key)
        return
    first, second = split(numbered(size), fraction, key=key)
    assert len(first) == round(fraction * size)
    assert sorted([*first.labels, *second.labels]) == list(range(size))
    again, _ = split(numbered(size), fraction, key=key)
    assert (first.labels == again.labels).all()


def test_dataset_selects_and_is_a_pytree():
    data = Dataset(np.zeros((3, 2)), np.array([4, 5, 6]), ("a",), "three")
    part = data[np.array([True, False, True])]
    assert part.labels.tolist() == [4, 6]
    assert (part.class_names, part.description, len(part)) == (("a",), "three", 2)
    assert len(jax.tree.leaves(data)) == 2
    with pytest.raises(ValueError, match="3 inputs, but 2 labels"):
        Dataset(np.zeros(3), np.zeros(2))
