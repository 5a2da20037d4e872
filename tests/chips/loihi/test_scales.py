"""The scale of a population: against brute force, and against rounding written out."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.chips.loihi.scales import (
    Demand,
    choose_scale,
    round_bias,
    round_decay,
    round_threshold,
    round_weights,
)
from neurojax.chips.loihi.spec import spec
from neurojax.chips.loihi.weights import MODES, legal_weights

CHIP = spec("loihi2")


def sign(weight):
    return "excitatory" if weight.min() >= 0 else "inhibitory" if weight.max() <= 0 else "mixed"


def nearest(values, legal):
    """The nearest legal integers, by looking at all of them."""
    return legal[np.argmin(np.abs(np.ravel(values)[:, None] - legal), axis=1)].reshape(values.shape)


def error(weights, exponents, scale, threshold, bits=8):
    """The objective, written out anew."""
    off = total = 0.0
    for weight, exponent in zip(weights, exponents, strict=True):
        steps = weight * scale / 2.0**exponent
        held = nearest(steps, legal_weights(bits, sign(weight))) * 2.0**exponent / scale
        off, total = off + np.sum((held - weight) ** 2), total + np.sum(weight**2)
    relative = (np.rint(threshold * scale) - threshold * scale) / (threshold * scale)
    return math.sqrt(off / total + np.mean(relative**2))


@st.composite
def demands(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, columns = draw(st.integers(1, 6)), draw(st.integers(1, 20))
    kind = draw(st.sampled_from(["normal", "heavy", "positive", "negative"]))
    weight = rng.normal(size=(rows, columns)) * 10.0 ** draw(st.integers(-3, 3))
    if kind == "heavy":
        weight = weight**5
    elif kind != "normal":
        weight = np.abs(weight) * (1 if kind == "positive" else -1)
    largest = np.abs(weight).max()
    threshold = largest * draw(st.floats(0.05, 20)) * rng.uniform(1, 1.5, draw(st.integers(1, 3)))
    bits = draw(st.sampled_from([8, 8, 6, 4]))
    sums = float(np.abs(weight).sum(1).max())
    return Demand([weight], threshold, largest_sum=sums), bits


@settings(max_examples=60, deadline=None)
@given(demands())
def test_never_worse_than_the_largest_weight_at_the_largest_mantissa(drawn):
    demand, bits = drawn
    (weight,) = demand.weights
    made = choose_scale(demand, CHIP, bits=bits)
    legal = legal_weights(bits, sign(weight))
    ends = [m / w for m, w in ((legal[-1], weight.max()), (legal[0], weight.min())) if m * w > 0]
    naive = min(ends)
    ours = error([weight], made.exponents, made.scale, demand.threshold, bits)
    assert made.error == pytest.approx(ours, rel=1e-6, abs=1e-6)
    assert ours <= error([weight], [0], naive, demand.threshold, bits) * (1 + 1e-9) + 1e-6
    # What is said to be held is what is nearest.
    steps = weight * made.scale / 2.0 ** made.exponents[0]
    np.testing.assert_array_equal(
        np.abs(made.mantissas[0] - steps), np.abs(nearest(steps, legal) - steps)
    )


@pytest.mark.parametrize("seed", range(2))
def test_near_the_best_of_all_scales(seed):
    rng = np.random.default_rng(seed)
    weight, threshold = rng.normal(size=(8, 20)) ** 3, rng.uniform(0.5, 2, 5)
    made = choose_scale(Demand([weight], threshold), CHIP)
    largest = 254 / np.abs(weight).max()
    grid = np.linspace(0.5, 1.3, 150) * largest
    best = min(error([weight], [3], 8 * s, threshold) for s in grid)
    assert made.error <= 1.05 * best


def test_several_synapses_share_a_scale_with_an_exponent_of_their_own():
    rng = np.random.default_rng(0)
    large, small = rng.normal(size=(4, 9)), rng.normal(size=(4, 4)) / 40
    made = choose_scale(Demand([large, small], np.ones(1)), CHIP)
    assert made.error < 0.02
    weights = [16 * large, small]  # 640 times: 0 for the small, 5 or more for the large ones
    made = choose_scale(Demand(weights, 20 * np.ones(1)), CHIP, scale=100.0)
    assert made.exponents[0] >= 3 and made.exponents[1] == 0
    assert made.error == pytest.approx(error(weights, made.exponents, 100.0, np.array(20.0)))


def test_weights_on_a_grid_lose_nothing():
    rng = np.random.default_rng(0)
    steps = 2 * rng.integers(-128, 128, (5, 7))
    for unit in (64, 100, 3):
        weight = steps / unit
        given_scale = choose_scale(Demand([weight], np.ones(1)), CHIP, scale=unit)
        np.testing.assert_array_equal(given_scale.mantissas[0], steps)
        assert given_scale.exponents == (0,) and given_scale.scale == unit
        found = choose_scale(Demand([weight.astype(np.float32)], np.ones(1)), CHIP)
        assert found.error == 0
    thirds = np.array([[1.0, -2.0, 5.0]]) / 3
    assert choose_scale(Demand([thirds], np.array([1.0])), CHIP).error == 0


def test_limits_bound_the_scale():
    weight = np.array([[1.0, -0.3]])
    made = choose_scale(Demand([weight], np.array([5000.0])), CHIP)
    assert made.scale * 5000 <= 131071
    made = choose_scale(Demand([weight], np.ones(1), largest_bias=1000.0), CHIP)
    assert made.scale * 1000 * 64 <= 4095 * 2**7
    # Small thresholds ask for an exponent, which needs room for all inputs at once.
    tight = Demand([weight * 5], np.array([0.21]), largest_sum=6.5)
    assert choose_scale(tight, CHIP).exponents[0] > 0
    assert choose_scale(tight._replace(memory=1e5), CHIP).exponents == (0,)
    with pytest.raises(ValueError, match="at most 26"):
        choose_scale(Demand([weight], np.array([5000.0])), CHIP, scale=64.0)
    nothing = choose_scale(Demand([np.zeros((2, 2))], np.ones(1)), CHIP)
    assert nothing.error == 0 and not nothing.mantissas[0].any()


def test_a_million_weights_are_quick():
    weight = np.random.default_rng(0).normal(size=(1000, 1000))
    made = choose_scale(Demand([weight], np.ones(1)), CHIP)
    assert made.error < 0.02


@pytest.mark.parametrize("bits", [1, 4, 6, 8])
@pytest.mark.parametrize("mode", MODES)
def test_weights_become_the_nearest_legal_ones(bits, mode):
    values = np.linspace(-300, 300, 1201) + 0.01  # no ties
    np.testing.assert_array_equal(
        round_weights(values, bits, mode), nearest(values, legal_weights(bits, mode))
    )


@settings(max_examples=50, deadline=None)
@given(st.floats(0.2, 5000), st.sampled_from(["exact", "euler"]), st.integers(0, 1))
def test_decays(tau, method, offset):
    if method == "euler" and tau < 1:
        return
    kept = math.exp(-1 / tau) if method == "exact" else 1 - 1 / tau
    found = int(round_decay(np.array(kept), (-1, 4096), offset=offset))
    steps = np.arange(-1, 4097)
    assert abs((found + offset) / 4096 - (1 - kept)) <= np.abs(steps / 4096 - (1 - kept)).min()


def test_decays_stay_within_the_registers():
    first = spec("loihi1")
    assert round_decay(np.array([1.0, 0.0]), first.voltage_decay).tolist() == [0, 4095]
    assert round_decay(np.array([1.0, 0.0]), first.current_decay, offset=1).tolist() == [0, 4095]
    assert round_decay(np.array([1.0, 0.0]), CHIP.current_decay, offset=1).tolist() == [-1, 4095]


@settings(max_examples=80, deadline=None)
@given(st.floats(0.01, 60), st.booleans())
def test_thresholds_on_the_grid_decide_as_wanted(threshold, strict):
    found = round_threshold(np.array(threshold), strict=strict, on_grid=True)
    v = np.arange(-5, 100)
    wanted = v > threshold if strict else v >= threshold
    np.testing.assert_array_equal(v > found, wanted)


def test_thresholds_off_the_grid_are_rounded():
    held = round_threshold(np.array([63.4, 64.0, 64.6]), strict=False, on_grid=False)
    assert held.tolist() == [63, 64, 65]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-4e5, 4e5), min_size=1, max_size=4))
def test_biases_against_all_exponents(bias):
    mantissas, exponent = round_bias(np.array(bias), CHIP)
    best = min(
        np.sum((np.clip(np.rint(np.array(bias) / 2**e), -4095, 4095) * 2**e - bias) ** 2)
        for e in range(8)
    )
    assert np.sum((mantissas * 2.0**exponent - bias) ** 2) == best
    assert np.all(np.abs(mantissas) <= 4095) and 0 <= exponent <= 7


def test_a_bias_in_weight_steps_keeps_their_exponent():
    assert round_bias(np.array([64.0, -640.0]), CHIP)[1] == 6
    narrow = dataclasses.replace(CHIP, bias_exponents=(0, 3))
    assert round_bias(np.array([64.0, -640.0]), narrow)[1] == 3
