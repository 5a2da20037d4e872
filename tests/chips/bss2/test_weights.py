"""Weight transforms and sparse synapses, against what hxtorch computed and exact decimals."""

import decimal
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import (
    SparseLinear,
    linear_exponential_clamp,
    linear_saturating,
    linear_sparse,
    split_signs,
)


@pytest.fixture(scope="module")
def recorded(golden):
    cases = json.loads((golden / "bss2" / "spiking_head.json").read_text())["cases"]
    with np.load(golden / "bss2" / "spiking_head.npz") as file:
        arrays = {
            case: {
                name.partition("/")[2]: file[name] for name in file if name.startswith(f"{case}/")
            }
            for case in cases
            if case.startswith("linear_")
        }
    return cases, arrays


def product(x, weight):
    return jnp.matmul(x, weight.T, precision=jax.lax.Precision.HIGHEST)


def test_saturating(recorded):
    cases, arrays = recorded
    case = arrays["linear_saturating"]
    y = linear_saturating(case["w"], cases["linear_saturating"]["scale"])
    np.testing.assert_array_equal(y, case["y"])
    assert (np.abs(y) == 63).any() and (np.abs(y) < 63).any()
    limited = linear_saturating(case["w"], 45.0, low=-20.0, high=30.0)
    np.testing.assert_array_equal(limited, case["y2"])
    with pytest.raises(ValueError, match="low must be below"):
        linear_saturating(case["w"], low=1.0, high=1.0)


@pytest.mark.parametrize("start", [(1.5, 61), (1.0, 50)])
@pytest.mark.parametrize("quantise", [False, True])
def test_exponential_clamp(recorded, start, quantise):
    cases, arrays = recorded
    name = f"linear_expclamp_c{start[0]}_s{start[1]}_{'q' if quantise else 'n'}"
    case, options = arrays[name], cases[name]
    assert options["quantize"] == quantise

    def y(x, w):
        return product(
            x,
            linear_exponential_clamp(
                w, cap=options["cap"], start=options["start_weight"], quantise=quantise
            ),
        )

    found, pull = jax.vjp(y, jnp.asarray(case["x"]), jnp.asarray(case["W"]))
    np.testing.assert_allclose(found, case["y"], rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(pull(jnp.asarray(case["cot"])), (case["gx"], case["gW"]), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    assert (np.abs(case["W"]) > options["start_weight"] / 63 * options["cap"]).any()


def test_exponential_clamp_is_smooth_and_stays_finite():
    curve = lambda w: linear_exponential_clamp(w, cap=1.5, start=50.0)  # noqa: E731
    corner = 50 / 63 * 1.5
    slope = jax.grad(curve)
    assert abs(float(slope(jnp.float32(corner + 1e-4))) - 1) < 1e-2
    assert float(curve(jnp.float32(1e6))) == 1.5 and float(slope(jnp.float32(1e6))) == 0
    assert float(slope(jnp.float32(0.0))) == 1
    with pytest.raises(ValueError, match="start must be >= 0 and < 63"):
        linear_exponential_clamp(jnp.zeros(1), start=63.0)


def test_sparse(recorded):
    case = recorded[1]["linear_sparse"]
    y = lambda w: product(case["x"], linear_sparse(w, jnp.asarray(case["mask"])))  # noqa: E731
    np.testing.assert_allclose(y(jnp.asarray(case["W"])), case["y"], rtol=1e-5)
    to_w = jax.grad(lambda w: y(w).sum())(jnp.asarray(case["W"]))
    dense = jax.grad(lambda w: product(case["x"], w).sum())(jnp.asarray(case["W"]))
    np.testing.assert_array_equal(to_w, dense)


def test_six_bits():
    assert bss2.weights.LARGEST == 2**6 - 1
    assert float(linear_saturating(jnp.float32(100.0))) == 63


ROUNDINGS = {"nearest": decimal.ROUND_HALF_UP, "truncate": decimal.ROUND_DOWN}


@given(
    st.lists(
        st.floats(-63, 63, width=32) | st.integers(-126, 126).map(lambda n: n / 2), min_size=1
    ),
    st.sampled_from(sorted(ROUNDINGS)),
)
def test_rows_of_a_signed_weight(values, rounding):
    # decimal rounds halves "up" away from zero, and knows every float32 exactly.
    exact = [
        int(decimal.Decimal(v).quantize(decimal.Decimal(1), ROUNDINGS[rounding])) for v in values
    ]
    excitatory, inhibitory = split_signs(np.array(values, np.float32), rounding=rounding)
    assert excitatory.tolist() == [max(n, 0) for n in exact]
    assert inhibitory.tolist() == [max(-n, 0) for n in exact]


def test_rows_pass_the_gradient_on():
    weight = jnp.array([2.4, -1.6, 0.2, -0.2])
    slope = jax.grad(lambda w: jnp.dot(split_signs(w)[0] - split_signs(w)[1], jnp.arange(1.0, 5)))
    assert slope(weight).tolist() == [1, 2, 3, 4]
    with pytest.raises(ValueError, match="rounding is 'up'; it must be 'nearest' or 'truncate'"):
        split_signs(weight, rounding="up")


def test_sparse_synapses_have_no_gradient_where_there_are_none():
    there = np.array([[True, False, True], [False, False, True]])
    layer = SparseLinear(there, key=jax.random.key(0))
    x = jnp.array([1.0, 2.0, 4.0])
    y = layer.step(None, x)[1]
    np.testing.assert_allclose(y, np.where(there, layer.weight, 0) @ x, rtol=1e-6)
    network = nj.Sequential((3,), s=layer)
    slope = eqx.filter_grad(lambda net: nj.simulate(net, x[None, None]).outputs.sum())(network)
    np.testing.assert_array_equal(slope["s"].weight, there * np.asarray(x))
    # The mask is no parameter, and the weights that are given as 0 do not exist.
    assert network["s"].describe() == "SparseLinear 3->2, 3 synapses"
    again = SparseLinear.from_weights(np.where(there, layer.weight, 0))
    assert (again.connected == there).all()


def test_sparse_refusals():
    with pytest.raises(ValueError, match=r"connected must be \(out, in\), got shape \(3,\)"):
        SparseLinear(np.ones(3, bool), key=jax.random.key(0))
    with pytest.raises(ValueError, match=r"weight has shape \(2, 3\) and connected \(3, 2\)"):
        SparseLinear.from_weights(np.ones((2, 3)), np.ones((3, 2), bool))
