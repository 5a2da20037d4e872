"""Integers in two int32 against Python's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips.cri import _wide
from tests.chips.cri.oracle import limited, wrapped

EDGES = [s * (1 << b) + d for b in (0, 19, 20, 21, 31, 33, 34) for s in (1, -1) for d in (-1, 0, 1)]
integers = st.one_of(st.sampled_from(EDGES), st.integers(-(1 << 49), (1 << 49) - 1))
vectors = st.lists(integers, min_size=64, max_size=64)
exact = jax.jit(lambda f, *a: f(*a), static_argnums=0)


def got(wide):
    """Its integers; the low part must be within its range."""
    assert (np.asarray(wide.low) >= 0).all() and (np.asarray(wide.low) < 1 << 20).all()
    return _wide.to_integers(wide).tolist()


@given(vectors, vectors)
def test_sums_and_comparisons(a, b):
    x, y = _wide.from_integers(a), _wide.from_integers(b)
    assert got(x) == a
    assert got(exact(_wide.add, x, y)) == [m + n for m, n in zip(a, b, strict=True)]
    assert got(exact(_wide.subtract, x, y)) == [m - n for m, n in zip(a, b, strict=True)]
    assert exact(_wide.greater, x, y).tolist() == [m > n for m, n in zip(a, b, strict=True)]


@pytest.mark.parametrize("bits", [22, 32, 35, 51])
@given(vectors)
def test_ranges(bits, a):
    x = _wide.from_integers(a)
    assert got(_wide.saturate(x, bits)) == [limited(n, bits) for n in a]
    assert got(_wide.wrap(x, bits)) == [wrapped(n, bits) for n in a]
    assert _wide.outside(x, bits).tolist() == [limited(n, bits) != n for n in a]


@given(vectors, st.lists(st.integers(0, 70), min_size=64, max_size=64), st.integers(0, 70))
def test_shifts(a, places, one):
    x, n = _wide.from_integers(a), jnp.array(places)
    assert got(exact(_wide.shift_right, x, n)) == [m >> k for m, k in zip(a, places, strict=True)]
    assert got(_wide.shift_right(x, one)) == [m >> one for m in a]
    for bits in (35, 51):
        inside = _wide.saturate(x, bits)
        want = [limited(limited(m, bits) << k, bits) for m, k in zip(a, places, strict=True)]
        assert got(_wide.shift_left(inside, n, bits)) == want
    assert got(_wide.shift_left(x, one, 51)) == [limited(m << one, 51) for m in a]


@given(vectors)
def test_floats(a):
    a = [limited(n, 44) for n in a]
    x = _wide.from_integers(a)
    nearest = np.array(a, np.int64).astype(np.float32)
    assert np.array_equal(exact(_wide.to_float, x), nearest)
    assert got(exact(_wide.from_float, jnp.asarray(nearest))) == nearest.astype(np.int64).tolist()
    halves = np.array([0.5, -0.5, 2.7, -2.7, 1e6 + 0.5], np.float32)
    assert got(_wide.from_float(jnp.asarray(halves))) == [0, 0, 2, -2, 1000000]


def test_int32_and_refusal():
    ends = [-(1 << 31), -1, 0, (1 << 31) - 1]
    assert got(_wide.wide(jnp.array(ends, jnp.int32))) == ends
    assert _wide.to_integers(_wide.from_integer(-(1 << 40) - 3)) == -(1 << 40) - 3
    with pytest.raises(ValueError, match="out of range"):
        _wide.from_integers([1 << 50])
