"""The weight transforms, against what hxtorch computed."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from neurojax.chips import bss2
from neurojax.chips.bss2 import linear_exponential_clamp, linear_saturating, linear_sparse


@pytest.fixture(scope="module")
def recorded(golden):
    cases = json.loads((golden / "bss2" / "weights.json").read_text())["cases"]
    with np.load(golden / "bss2" / "weights.npz") as file:
        arrays = {
            case: {
                name.partition("/")[2]: file[name] for name in file if name.startswith(f"{case}/")
            }
            for case in cases
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
