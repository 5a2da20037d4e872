"""Dense, convolution and batch norm against the oracle, to the bit."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips import mcu
from tests.chips.mcu import draw, oracle


def held(layer):
    """The layer as a run uses it, and its integers."""
    return layer.prepare(None), layer.integers()


@given(draw.formats(), draw.seeds, st.booleans(), draw.activations, st.data())
def test_dense(form, seed, biased, activation, data):
    rng, number = np.random.default_rng(seed), form.number
    input_q = data.draw(st.integers(0, number.bits // 2 - 1))
    # Sums of 1,100 products of 8 bits are not exact in floats, those of 24 are.
    inputs = data.draw(st.sampled_from([24, 1100]))
    weight = draw.integers(rng, (5, inputs), number)
    bias = draw.integers(rng, 5, number) if biased else None
    layer = mcu.Dense(
        draw.real(weight, form.weights_q),
        None if bias is None else draw.real(bias, form.bias_scale),
        format=form,
        input_q=input_q,
        activation=activation,
    )
    layer, integers = held(layer)
    assert np.array_equal(integers.weight, weight)
    assert bias is None or np.array_equal(integers.bias, bias)
    x = draw.integers(rng, inputs, number)
    got = layer.step(None, draw.carried(x))[1]
    expected = oracle.dense(x, weight, bias, form, input_q, activation)
    assert got.tolist() == expected.tolist()


GEOMETRIES = [
    {"kernel": (3,), "groups": 1, "stride": (1,), "padding": ((1, 1),), "dilation": (1,)},
    {"kernel": (3,), "groups": 2, "stride": (2,), "padding": ((0, 2),), "dilation": (2,)},
    {
        "kernel": (2, 3),
        "groups": 1,
        "stride": (1, 2),
        "padding": ((0, 1), (2, 1)),
        "dilation": (1, 1),
    },
    {
        "kernel": (3, 1),
        "groups": 2,
        "stride": (2, 1),
        "padding": ((1, 1), (0, 0)),
        "dilation": (2, 1),
    },
]


@given(
    draw.formats(),
    draw.seeds,
    st.booleans(),
    draw.activations,
    st.sampled_from(GEOMETRIES),
    st.data(),
)
def test_convolution(form, seed, biased, activation, geometry, data):
    rng, number = np.random.default_rng(seed), form.number
    input_q = data.draw(st.integers(0, number.bits // 2 - 1))
    options = {key: value for key, value in geometry.items() if key != "kernel"}
    weight = draw.integers(rng, (4, 4 // options["groups"], *geometry["kernel"]), number)
    bias = draw.integers(rng, 4, number) if biased else None
    layer = mcu.Conv(
        draw.real(weight, form.weights_q),
        None if bias is None else draw.real(bias, form.bias_scale),
        format=form,
        input_q=input_q,
        activation=activation,
        **options,
    )
    layer, integers = held(layer)
    assert np.array_equal(integers.weight, weight)
    x = draw.integers(rng, (4, 6, 5)[: len(geometry["kernel"]) + 1], number)
    got = layer.step(None, draw.carried(x))[1]
    expected = oracle.conv(x, weight, bias, form, input_q, activation=activation, **options)
    assert got.shape == layer.out_shape(x.shape) == expected.shape
    assert got.tolist() == expected.tolist()


@given(draw.formats(), draw.seeds, draw.activations, st.sampled_from([(3,), (3, 4), (3, 4, 2)]))
def test_batch_norm(form, seed, activation, shape):
    rng, number = np.random.default_rng(seed), form.number
    factor, offset = draw.integers(rng, 3, number), draw.integers(rng, 3, number)
    layer = mcu.BatchNorm(
        draw.real(factor, form.weights_q),
        draw.real(offset, form.bias_scale),
        format=form,
        input_q=2,
        activation=activation,
    )
    x = draw.integers(rng, shape, number)
    got = layer.prepare(None).step(None, draw.carried(x))[1]
    expected = oracle.batch_norm(x, factor, offset, form, 2, activation)
    assert got.tolist() == expected.tolist()


def test_a_sum_that_is_too_wide_wraps():
    form = mcu.Format(mcu.number_of("int8"), weights_q=0, output_q=0)
    layer = mcu.Dense(jnp.full((1, 3), 127.0), format=form)
    assert layer.step(None, jnp.full(3, 127.0))[1].tolist() == [-128.0]  # 48387 is -17149


def test_six_is_no_limit_where_a_sum_does_not_reach_it():
    form = mcu.Format(mcu.number_of("int8"), weights_q=7, output_q=0)
    layer = mcu.Dense(jnp.ones((1, 1)), format=form, input_q=6, activation="relu6")
    assert layer.relu6_limit() == 2**15 - 1
    assert layer.result_q() == 13


def test_shifts_beyond_a_sum_are_refused():
    form = mcu.Format(mcu.number_of("int8"), weights_q=10, output_q=-4)
    with pytest.raises(ValueError, match=r"Dense: output: a shift by 20 bits; .* within ±15"):
        mcu.Dense(jnp.ones((1, 1)), format=form, input_q=6)


def test_shapes_and_options_are_checked():
    form = mcu.Format(mcu.number_of("int8"))
    for make, message in [
        (lambda: mcu.Dense(jnp.ones(3), format=form), r"weight must be \(out, in\)"),
        (lambda: mcu.Dense(jnp.ones((2, 3)), jnp.ones(3), format=form), "the bias has shape"),
        (lambda: mcu.Conv(jnp.ones((2, 3)), format=form), "weight must be"),
        (lambda: mcu.BatchNorm(jnp.ones((2, 3)), jnp.ones(2), format=form), "scale must be"),
        (lambda: mcu.Dense(jnp.ones((2, 3)), format=form, activation="elu"), "activation is 'elu'"),
        (
            lambda: mcu.Dense(jnp.ones((2, 3)), format=form._replace(output_round="up")),
            "output_round is 'up'",
        ),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="must be a Format"):
        mcu.Dense(jnp.ones((2, 3)), format=None)
    with pytest.raises(ValueError, match="takes 3 features"):
        mcu.Dense(jnp.ones((2, 3)), format=form).out_shape((4,))
    with pytest.raises(ValueError, match="takes 3 channels"):
        mcu.BatchNorm(jnp.ones(3), jnp.ones(3), format=form).out_shape((4, 2))
