"""The core against an int64 oracle, and its derivatives."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.dynapcnn import Core, InSteps
from neurojax.layers import SumPool2d
from neurojax.neurons import IAF
from neurojax.surrogate import ATan, Exponential
from tests.chips.dynapcnn import oracle


@st.composite
def cores(draw):
    """A random core with its input and pooling."""
    number = lambda low, high: draw(st.integers(low, high))  # noqa: E731
    kernel = (number(1, 5), number(1, 5))
    padding = (number(0, 4), number(0, 4))
    stride = (draw(st.sampled_from([1, 2, 4, 8])), draw(st.sampled_from([1, 2, 4, 8])))
    height = number(max(1, kernel[0] - 2 * padding[0]), 9)
    width = number(max(1, kernel[1] - 2 * padding[1]), 9)
    features, channels, steps = number(1, 5), number(1, 4), number(1, 8)
    rng = np.random.default_rng(number(0, 2**32 - 1))
    largest = draw(st.sampled_from([1, 20, 128]))
    options = {
        "threshold": draw(st.sampled_from([1, 2, 7, 100, 1000, 32767])),
        "v_min": draw(st.sampled_from([-1, -30, -500, -32768])),
        "stride": stride,
        "padding": padding,
        "reset": draw(st.sampled_from(["subtract", "zero"])),
        "max_spikes": draw(st.sampled_from([None, 1, 2, 5])),
        "overflow": draw(st.sampled_from([None, "saturate", "wrap"])),
        "leak_every": draw(st.sampled_from([None, 1, 2, 3])),
    }
    weight = rng.integers(-largest, min(largest, 127) + 1, (features, channels, *kernel))
    bias = rng.integers(-128, 128, features) if draw(st.booleans()) else None
    # At 200 events from each pixel, sums leave 16 bits.
    rate = draw(st.sampled_from([0.1, 1, 4, 200]))
    x = rng.poisson(rate, (steps, channels, height, width))
    return weight, bias, options, x


@settings(max_examples=12)
@given(cores(), st.sampled_from([1, 2, 4]))
def test_equal_to_the_integer_oracle(case, pool):
    weight, bias, options, x = case
    spikes, membranes, above = oracle.trace_core(x, weight, bias, **options)
    bias = None if bias is None else np.float32(bias)
    core = Core(np.float32(weight), bias, **options, count_overflow=True)
    layers = {"core": core}
    if min(spikes.shape[2:]) >= pool:
        layers["pool"] = SumPool2d(pool)
        pooled = oracle.pool(spikes, pool)
    else:
        pooled = spikes
    net = nj.Sequential(x.shape[1:], **layers)
    run = nj.simulate(net, np.float32(x)[:, None], probes=["core", "core.v"])
    np.testing.assert_array_equal(np.asarray(run.state.layers["core"].overflowed)[0], above)
    np.testing.assert_array_equal(np.asarray(run["core"])[:, 0], spikes)
    np.testing.assert_array_equal(np.asarray(run["core.v"])[:, 0], membranes)
    np.testing.assert_array_equal(np.asarray(run.outputs)[:, 0], pooled)
    assert x.max() <= core.exact_counts()


def test_a_flat_core_computes_like_one_with_a_map():
    weight = np.random.default_rng(0).integers(-128, 128, (6, 3, 4, 4)).astype(np.float32)
    x = np.random.default_rng(1).poisson(0.4, (9, 2, 3, 4, 4)).astype(np.float32)
    flat = nj.Sequential((3, 4, 4), core=Core(weight, threshold=90, flat=True))
    full = nj.Sequential((3, 4, 4), core=Core(weight, threshold=90))
    a, b = (nj.simulate(net, x, probes=["core.v"]) for net in (flat, full))
    assert a.outputs.shape == (9, 2, 6) and b.outputs.shape == (9, 2, 6, 1, 1)
    np.testing.assert_array_equal(a.outputs, b.outputs[..., 0, 0])
    np.testing.assert_array_equal(a["core.v"], b["core.v"][..., 0, 0])


def test_a_vector_is_a_map_of_one_pixel():
    weight = np.random.default_rng(0).integers(-9, 10, (4, 5, 1, 1)).astype(np.float32)
    x = np.random.default_rng(1).poisson(0.6, (7, 3, 5)).astype(np.float32)
    flat = nj.Sequential((5,), core=Core(weight, threshold=8, flat=True))
    full = nj.Sequential((5, 1, 1), core=Core(weight, threshold=8))
    np.testing.assert_array_equal(
        nj.simulate(flat, x).outputs,
        nj.simulate(full, x[..., None, None]).outputs[..., 0, 0],
    )


def test_parameters_are_rounded_and_limited_before_a_run():
    core = Core(
        jnp.array([0.5, 1.5, -2.5, 300.0, -300.0]).reshape(5, 1, 1, 1),
        jnp.array([0.4, 2.6, -900.0, 900.0, 0.0]),
        threshold=jnp.array(0.2),
        v_min=-1e6,
    )
    held = core.integers()
    assert held.weight.ravel().tolist() == [0, 2, -2, 127, -128]
    assert held.bias.tolist() == [0, 3, -128, 127, 0]
    assert (held.threshold, held.v_min) == (1, -32768)
    wide = Core(core.weight, core.bias, threshold=1, bias_bits=16).integers()
    assert wide.bias.tolist() == [0, 3, -900, 900, 0]


def test_gradient_of_one_neuron_by_hand():
    """Two steps, one input: v1 = w, s1 = [w >= t], v2 = w - s1 t + w, s2 = [v2 >= t]."""
    g = InSteps(ATan(alpha=2.0), 50.0)
    w, t = 79.6, 61.4  # run as 80 and 61

    def total(w, t):
        core = Core(w.reshape(1, 1, 1, 1), threshold=t, max_spikes=1, surrogate=g)
        net = nj.Sequential((1, 1, 1), core=core)
        return nj.simulate(net, jnp.ones((2, 1, 1, 1, 1))).outputs.sum()

    value, (dw, dt) = jax.value_and_grad(total, (0, 1))(jnp.float32(w), jnp.float32(t))
    assert value == 2

    def slope(u):
        # ATan: alpha / 2 / (1 + (pi/2 alpha u)^2), in steps: at u / 50, over 50
        return 1 / (1 + (np.pi * u / 50) ** 2) / 50

    s1 = slope(80 - 61)
    s2 = slope(80 - 61 + 80 - 61)
    ds1_dw, ds1_dt = s1, -s1
    dv2_dw, dv2_dt = 2 - ds1_dw * 61, -1 - ds1_dt * 61
    np.testing.assert_allclose(dw, ds1_dw + s2 * dv2_dw, rtol=1e-5)
    np.testing.assert_allclose(dt, ds1_dt + s2 * (dv2_dt - 1), rtol=1e-5)


@pytest.mark.parametrize(
    ("reset", "max_spikes"), [("subtract", 1), ("subtract", None), ("zero", 3), ("zero", 1)]
)
def test_derivatives_are_those_of_the_neurons_of_the_library(reset, max_spikes):
    """Integers in an ordinary network give the same run and the same gradients as a core."""
    rng = np.random.default_rng(3)
    weight = rng.integers(-40, 90, (3, 2, 3, 3)).astype(np.float32)
    x = rng.poisson(0.5, (6, 2, 2, 6, 6)).astype(np.float32)
    target = rng.normal(size=(6, 2, 3, 4, 4)).astype(np.float32)
    common = {"reset": reset, "max_spikes": max_spikes, "surrogate": Exponential()}
    core = nj.Sequential(
        (2, 6, 6), spikes=Core(weight, threshold=jnp.float32(100), v_min=-50, **common)
    )
    plain = nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d.from_weights(weight),
        spikes=IAF(threshold=jnp.float32(100), v_min=-50.0, **common),
    )

    def loss(net):
        return ((nj.simulate(net, x).outputs - target) ** 2).mean()

    ours, theirs = eqx.filter_grad(loss)(core), eqx.filter_grad(loss)(plain)
    assert loss(core) == loss(plain)
    np.testing.assert_allclose(ours["spikes"].weight, theirs["conv"].weight, rtol=2e-4, atol=1e-7)
    np.testing.assert_allclose(
        ours["spikes"].threshold, theirs["spikes"].threshold, rtol=2e-4, atol=1e-7
    )


@pytest.mark.parametrize(
    ("overflow", "v", "slope"),
    [(None, 38100, 300), ("saturate", 32767, 0), ("wrap", 38100 - 65536, 300)],
)
def test_gradient_at_the_upper_end(overflow, v, slope):
    """300 events at once through a weight of 127."""

    def membrane(w):
        core = Core(w.reshape(1, 1, 1, 1), threshold=32767, overflow=overflow, detach_reset=True)
        silent = dataclasses.replace(core, threshold=1e9)
        state = silent.init((1, 1, 1))
        return silent.step(state, jnp.full((1, 1, 1), 300.0))[0].v.sum()

    assert jax.value_and_grad(membrane)(jnp.float32(127)) == (v, slope)


def test_only_float32_is_accepted():
    net = nj.Sequential((1, 1, 1), core=Core(jnp.ones((1, 1, 1, 1)), threshold=5))
    with pytest.raises(TypeError, match="float32"):
        nj.simulate(net.astype(jnp.bfloat16), jnp.ones((2, 1, 1, 1, 1), jnp.bfloat16))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"reset": "none"}, "reset='none'"),
        ({"max_spikes": 0}, "max_spikes=0"),
        ({"bias_bits": 32}, "bias_bits=32"),
        ({"overflow": "clip"}, "overflow='clip'"),
        ({"leak_every": 0}, "leak_every=0"),
    ],
)
def test_options_are_checked(options, text):
    with pytest.raises(ValueError, match=text):
        Core(jnp.ones((1, 1, 1, 1)), threshold=5, **options)


def test_flat_needs_one_pixel():
    with pytest.raises(ValueError, match=r"layer 'core'.*1x1"):
        nj.Sequential((1, 3, 3), core=Core(jnp.ones((1, 1, 2, 2)), threshold=5, flat=True))
