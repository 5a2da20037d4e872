"""When a membrane reaches its threshold: recordings, Lambert's W, a search in float64."""

import functools as ft
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy.special import lambertw

from neurojax.chips.bss2.events._circuit import Circuit, first_crossing, flow
from tests.chips.bss2.events import oracle

N = 64


def circuit(one: oracle.Neurons) -> Circuit:
    """A population of equal neurons."""
    numbers = 1 / one.tau_mem, 1 / one.tau_syn, 1 / one.tau_mem, one.leak, one.threshold, one.reset
    return Circuit(*(jnp.full(N, x, jnp.float32) for x in numbers))


@ft.partial(jax.jit, static_argnames="double")
def solve(circuit, v, i, horizon, *, double=False):
    """Times, and their derivatives by membrane and current."""
    wait, back = jax.vjp(
        lambda v, i: first_crossing(circuit, v, i, 0.0, horizon, double=double), v, i
    )
    return wait, back(jnp.ones_like(wait))


@pytest.mark.parametrize("double", [False, True])
def test_recorded_first_spikes(golden, double):
    """jaxsnn's closed forms for both ratios of time constants, and their derivatives."""
    for name, about in json.loads((golden / "bss2/jaxsnn.json").read_text())["cases"].items():
        is_double = np.isclose(about.get("tau_mem", 0), 2 * about.get("tau_syn", 1))
        if "t_max" not in about or "gV" not in about["arrays"] or (double and not is_double):
            continue
        with np.load(golden / "bss2/jaxsnn.npz") as stored:
            a = {k.split("/")[1]: stored[k] for k in stored.files if k.startswith(f"{name}/")}
        rates = 1 / about["tau_mem"], 1 / about["tau_syn"], 1 / about["tau_mem"]
        c = Circuit(*(jnp.full(24, x) for x in (*rates, 0.0, about["v_th"], 0.0)))
        wait, gradients = solve(
            c, *(jnp.asarray(a[k]) for k in "VI"), about["t_max"], double=double
        )
        spikes = np.isfinite(wait)
        np.testing.assert_array_equal(spikes, a["t"] < about["t_max"])
        np.testing.assert_allclose(wait[spikes], a["t"][spikes], rtol=1e-5)
        for got, recorded in zip(gradients, (a["gV"], a["gI"]), strict=True):
            np.testing.assert_allclose(got, recorded, rtol=1e-4, atol=1e-8)


@given(
    st.sampled_from([0.2, 0.5, 0.99, 1.0, 1.01, 2.0, 7.0]),
    st.sampled_from([-0.5, 0.0, 0.5, 1.3]),
    st.integers(0, 2**32 - 1),
)
def test_any_ratio_is_solved_as_by_searching(ratio, leak, seed):
    """Including leaks above the threshold, inhibition, and curves that only just cross."""
    random = np.random.default_rng(seed)
    one = oracle.Neurons(tau_mem=ratio * 5e-6, tau_syn=5e-6, leak=leak)
    v, i = random.uniform(-1, 0.99, N), random.uniform(-3, 8, N)
    i[:4] = 0
    horizon = 40e-6
    wait, (by_v, by_i) = solve(circuit(one), *map(jnp.float32, (v, i, horizon)))
    for k in range(N):
        v_k, i_k = float(np.float32(v[k])), float(np.float32(i[k]))
        t = oracle.crossing(one, v_k, i_k, horizon)
        peak = oracle.membrane(one, v_k, i_k, np.linspace(0, horizon, 4001)).max()
        if abs(peak - 1) < 1e-3:  # whether it crosses is a matter of rounding
            continue
        assert np.isfinite(wait[k]) == np.isfinite(t)
        if np.isfinite(t):
            # How far a rounding of the membrane moves the time.
            rise = (leak - 1 + i_k * np.exp(-t / one.tau_syn)) / one.tau_mem
            assert abs(wait[k] - t) < 1e-6 * (1 + abs(i_k)) / rise + 1e-11
            assert np.isclose(by_v[k], -np.exp(-t / one.tau_mem) / rise, rtol=5e-3)
            step = membrane_by_current(one, t)
            assert np.isclose(by_i[k], -step / rise, rtol=5e-3, atol=1e-12)


def membrane_by_current(one, t):
    """Derivative of the membrane by the current that it began with."""
    return oracle.membrane(one._replace(leak=0.0), 0.0, 1.0, t)


def test_equal_time_constants_are_lamberts_w():
    random = np.random.default_rng(0)
    one = oracle.Neurons(tau_mem=6e-6, tau_syn=6e-6, leak=0.1)
    v, i = random.uniform(-0.5, 0.9, N).astype("f"), random.uniform(3, 8, N).astype("f")
    wait, _ = solve(circuit(one), v, i, jnp.float32(40e-6))
    u, v, i = 1 - 0.1, v.astype(float) - 0.1, i.astype(float)
    w = lambertw(-u / i * np.exp(-v / i)).real
    np.testing.assert_allclose(wait, one.tau_mem * (-w - v / i), rtol=1e-5)


def test_flow_is_that_of_the_recordings(golden):
    with np.load(golden / "bss2/jaxsnn.npz") as stored:
        for name, about in json.loads((golden / "bss2/jaxsnn.json").read_text())["cases"].items():
            if "V1" not in about["arrays"]:
                continue
            a = {k.split("/")[1]: stored[k] for k in stored.files if k.startswith(f"{name}/")}
            rates = 1 / about["tau_mem"], 1 / about["tau_syn"], 1 / about["tau_mem"]
            c = Circuit(*(jnp.full(24, x) for x in (*rates, about["v_leak"], 1.0, 0.0)))
            v, i = flow(c, *(jnp.asarray(a[k], jnp.float32) for k in ("V", "I", "t")))
            np.testing.assert_allclose(v, a["V1"], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(i, a["I1"], rtol=1e-5)


def test_flow_has_derivatives_where_rates_are_equal():
    """By both rates and over orders of magnitude of their ratio, against differences in float64."""
    ratios = np.array([1e-3, 0.1, 0.9, 0.9999, 1.0, 1.0001, 1.1, 10.0, 1e3])
    b, t, v, i = 1e5, 7e-6, 0.3, 2.0

    def membrane_at(a, b):
        return flow(Circuit(a, b, 2e5, 0.2, 1.0, 0.0), v, i, t)[0]

    a = jnp.asarray(ratios * b, jnp.float32)
    by_a, by_b = jax.vmap(jax.grad(membrane_at, argnums=(0, 1)))(a, jnp.full(9, b))

    def exact(a, b):
        # Gauss-Legendre quadrature of the convolution: no case distinction.
        x, w = np.polynomial.legendre.leggauss(200)
        s = t * (x + 1) / 2
        driven = 2e5 * i * np.sum(w * np.exp(-a * (t - s) - b * s)) * t / 2
        return 0.2 + (v - 0.2) * np.exp(-a * t) + driven

    for k in range(9):
        a_k = float(a[k])
        h = 1e-4
        d_a = (exact(a_k * (1 + h), b) - exact(a_k * (1 - h), b)) / (2 * h * a_k)
        d_b = (exact(a_k, b * (1 + h)) - exact(a_k, b * (1 - h))) / (2 * h * b)
        assert np.isclose(by_a[k], d_a, rtol=1e-4, atol=1e-4 / b)
        assert np.isclose(by_b[k], d_b, rtol=1e-4, atol=1e-4 / b)
