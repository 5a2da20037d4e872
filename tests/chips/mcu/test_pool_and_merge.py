"""Pools, sums and the input against the oracle, to the bit."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips import mcu
from tests.chips.mcu import draw, oracle

GEOMETRIES = [
    ((2,), (2,), ((0, 0),)),
    ((3,), (1,), ((1, 2),)),
    ((2, 3), (2, 1), ((1, 0), (0, 2))),
    ((3, 3), (3, 3), ((0, 0), (0, 0))),
]


@given(
    draw.formats(),
    draw.seeds,
    st.sampled_from(["max", "average", "sum"]),
    draw.activations,
    st.sampled_from(GEOMETRIES),
)
def test_pool(form, seed, kind, activation, geometry):
    rng, number = np.random.default_rng(seed), form.number
    kernel, stride, padding = geometry
    layer = mcu.Pool(kind, kernel, stride, padding, format=form, input_q=3, activation=activation)
    x = draw.integers(rng, (2, 7, 6)[: len(kernel) + 1], number)
    got = layer.step(None, draw.carried(x))[1]
    expected = oracle.pool(x, kind, kernel, stride, padding, form, 3, activation)
    assert got.shape == layer.out_shape(x.shape)
    assert got.tolist() == expected.tolist()


@given(
    draw.formats(),
    draw.seeds,
    draw.activations,
    st.lists(st.integers(0, 3), min_size=2, max_size=4),
)
def test_add(form, seed, activation, qs):
    rng = np.random.default_rng(seed)
    layer = mcu.Add(input_qs=qs, format=form, activation=activation)
    inputs = [draw.integers(rng, (3, 4), form.number) for _ in qs]
    got = layer.step(None, tuple(map(draw.carried, inputs)))[1]
    assert got.tolist() == oracle.add(inputs, qs, form, activation).tolist()


@given(draw.formats(), draw.seeds)
def test_inputs_are_rounded_and_limited(form, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2.0 ** (form.number.bits - form.output_q - 1), 64).astype(np.float32)
    got = mcu.Quantise(format=form).step(None, jnp.asarray(x))[1]
    expected = oracle.weights(x, form.output_q, form.number, form.output_round)
    assert got.tolist() == expected.tolist()


def test_floats_pass():
    form = mcu.Format(mcu.number_of("float32"))
    x = jnp.array([[0.3, -7.25, 1.0, 2.0]])
    assert mcu.Quantise(format=form).step(None, x)[1] is x
    pooled = {
        kind: mcu.Pool(kind, (2,), format=form, activation="relu6").step(None, x)[1].tolist()
        for kind in ("max", "average", "sum")
    }
    assert pooled["max"] == [[float(np.float32(0.3)), 2.0]]
    assert pooled["average"] == [[0.0, 1.5]] and pooled["sum"] == [[0.0, 3.0]]
    assert mcu.Add(input_qs=(0, 0), format=form).step(None, (x, x))[1].tolist() == (2 * x).tolist()


def test_options_are_checked():
    form = mcu.Format(mcu.number_of("int8"))
    with pytest.raises(ValueError, match="kind is 'min'"):
        mcu.Pool("min", (2,), format=form)
    with pytest.raises(ValueError, match="one or two axes"):
        mcu.Pool("max", (2, 2, 2), format=form)
    with pytest.raises(ValueError, match="2 input_qs, but 3 edges"):
        mcu.Add(input_qs=(0, 0), format=form).out_shape(((1,), (1,), (1,)))
    with pytest.raises(TypeError, match="pass float32 inputs"):
        mcu.Quantise(format=form).step(None, jnp.ones(3, jnp.bfloat16))
