"""Quantisation against torch's observers and fake quantisation, and oracles in plain Python.

The recordings of qualia's quantiser are compared in tests/conformance/qualia.py.
"""

import math
import re
import warnings

import equinox as eqx
import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import neurojax as nj
from neurojax.quantise import (
    FakeQuantise,
    Grid,
    Histogram,
    LearntGrid,
    MinMax,
    MovingAverage,
    Quantised,
    Quantiser,
    bake,
    observe,
    quantisation_report,
    quantise_weights,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.ao.quantization.observer import (
        MinMaxObserver,
        MovingAverageMinMaxObserver,
        PerChannelMinMaxObserver,
    )

values = hnp.arrays(np.float32, (4, 6), elements=st.floats(-8, 8, width=32, allow_subnormal=False))


@hypothesis.given(x=values, exponent=st.integers(-3, 8), zero=st.integers(-100, 100))
def test_fake_quantisation_and_its_gradient_are_torchs(x, exponent, zero):
    """With scales that are powers of two, so that multiplying and dividing agree."""
    grid = Grid(2.0**exponent, zero, bits=8)
    theirs = torch.tensor(x, requires_grad=True)
    y = torch.fake_quantize_per_tensor_affine(theirs, 2.0**-exponent, zero, -128, 127)
    y.sum().backward()
    np.testing.assert_array_equal(grid(jnp.asarray(x)), y.detach())
    slope = jax.grad(lambda x: grid(x).sum())(jnp.asarray(x))
    # On the limit itself torch looks at the rounded integer, we at the real value's.
    exact = x.astype(np.float64) * 2.0**exponent + zero
    sure = (np.abs(exact - 127) > 0.5) & (np.abs(exact + 128) > 0.5)
    np.testing.assert_array_equal(np.asarray(slope)[sure], theirs.grad.numpy()[sure])


@hypothesis.given(x=values, exponents=st.lists(st.integers(-3, 8), min_size=4, max_size=4))
def test_a_scale_for_each_channel_is_torchs(x, exponents):
    scale = np.float32([2.0**e for e in exponents])
    grid = Grid(jnp.asarray(scale)[:, None])
    theirs = torch.fake_quantize_per_channel_affine(
        torch.tensor(x), torch.tensor(1 / scale), torch.zeros(4, dtype=torch.int32), 0, -128, 127
    )
    np.testing.assert_array_equal(grid(jnp.asarray(x)), theirs)


@hypothesis.settings(max_examples=8)  # each compiles
@hypothesis.given(batches=st.lists(values, min_size=1, max_size=4), momentum=st.floats(0.01, 1))
def test_observers_and_scales_are_torchs(batches, momentum):
    pairs = [
        (MinMax(), MinMaxObserver(qscheme=torch.per_tensor_symmetric, dtype=torch.qint8)),
        (MovingAverage(momentum), MovingAverageMinMaxObserver(averaging_constant=momentum)),
        (MinMax(axis=0), PerChannelMinMaxObserver(ch_axis=0)),
    ]
    for ours, theirs in pairs:
        state = ours.init(jnp.asarray(batches[0]))
        for x in batches:
            state = jax.jit(ours.update)(state, jnp.asarray(x))
            theirs(torch.tensor(x))
        low, high = ours.range(state)
        np.testing.assert_allclose(low, theirs.min_val, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(high, theirs.max_val, rtol=1e-6, atol=1e-6)
        if type(ours) is not MovingAverage or np.abs(batches).max() < 1e-3:
            continue
        scale, zero = theirs.calculate_qparams()  # quint8
        grid = Grid.from_range((low, high), symmetric=False, signed=False)
        if float(high) - float(low) > 1e-3:
            np.testing.assert_allclose(1 / grid.scale, scale[0], rtol=1e-5)
            assert abs(int(grid.zero) - int(zero[0])) <= 1  # a tie of the division


def exact_round(x: float, rounding: str) -> int:
    whole = math.floor(x)
    if rounding in ("floor", "ceil", "truncate"):
        return {"floor": whole, "ceil": math.ceil(x), "truncate": math.trunc(x)}[rounding]
    if x - whole == 0.5:
        up = {"half_even": whole % 2 == 1, "half_up": True, "half_away": x > 0}[rounding]
        return whole + up
    return round(x)


@pytest.mark.parametrize(
    "rounding", ["half_even", "half_away", "half_up", "floor", "ceil", "truncate"]
)
@hypothesis.given(
    # Halves and their neighbours.
    x=hnp.arrays(np.float32, 16, elements=st.integers(-600, 600).map(lambda k: k / 4)),
    bits=st.integers(2, 9),
    signed=st.booleans(),
    narrow=st.booleans(),
)
def test_integers_against_plain_python(rounding, x, bits, signed, narrow):
    narrow = narrow and signed
    low, high = (-(2 ** (bits - 1)) + narrow, 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    grid = Grid(0.5, bits=bits, signed=signed, narrow=narrow, rounding=rounding)
    expected = [min(max(exact_round(float(v) / 2, rounding), low), high) for v in x]
    np.testing.assert_array_equal(grid.integers(jnp.asarray(x)), expected)
    np.testing.assert_array_equal(grid(jnp.asarray(x)), np.multiply(expected, 2.0))


def test_stochastic_rounding_is_right_on_average():
    grid = Grid(4.0, rounding="stochastic")
    x = jnp.full(40_000, 0.3)  # 1.2 steps
    integers = grid.integers(x, key=jax.random.key(0))
    assert set(np.unique(integers)) == {1.0, 2.0}
    # Binomial: five standard deviations of the mean.
    assert abs(float(integers.mean()) - 1.2) < 5 * math.sqrt(0.2 * 0.8 / x.size)
    with pytest.raises(ValueError, match="give a key"):
        grid(x)


@hypothesis.given(x=values, step=st.floats(0.01, 2), bits=st.integers(2, 8))
def test_the_gradient_of_a_learnt_step_is_the_papers(x, step, bits):
    """Esser et al. 2020, equation 3, and the factor of section 2.2, in float64."""
    v = x.astype(np.float64) / np.float64(np.float32(step))
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    hypothesis.assume((np.abs(v - np.floor(v) - 0.5) > 1e-3).all())
    hypothesis.assume((np.abs(v - low) > 1e-3).all() and (np.abs(v - high) > 1e-3).all())
    slope = np.where(v <= low, low, np.where(v >= high, high, np.rint(v) - v))
    expected = slope.sum() / math.sqrt(x.size * high)
    grid = LearntGrid(jnp.float32(step), bits=bits)
    ours = eqx.filter_grad(lambda grid: grid(jnp.asarray(x)).sum())(grid)
    np.testing.assert_allclose(ours.step, expected, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        grid(jnp.asarray(x)),
        np.clip(np.rint(v), low, high) * np.float32(step),
        rtol=1e-5,
        atol=1e-6,
    )


@hypothesis.settings(max_examples=8)
@hypothesis.given(
    batches=st.lists(
        hnp.arrays(np.float32, 300, elements=st.floats(-100, 100, width=32, allow_subnormal=False)),
        min_size=1,
        max_size=3,
    ),
    percent=st.sampled_from([50.0, 90.0, 99.0, 100.0]),
)
def test_percentiles_of_a_histogram(batches, percent):
    observer = Histogram(percent, bins=1024)
    state = observer.init(jnp.asarray(batches[0]))
    for x in batches:
        state = jax.jit(observer.update)(state, jnp.asarray(x))
    magnitudes = np.sort(np.abs(np.concatenate(batches)))
    exact = magnitudes[math.ceil(len(magnitudes) * percent / 100) - 1]
    width = 2 * float(state.top[0]) / 1024
    low, high = observer.range(state)
    assert int(state.counts.sum()) == len(magnitudes)
    assert exact - 1e-6 <= float(high) <= exact + width + 1e-6
    assert float(low) == -float(high)


def test_the_range_of_least_error_beats_the_largest_value():
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.laplace(size=20_000), jnp.float32)
    error = {
        rule: float(((Quantiser(4, range=rule)(x) - x) ** 2).mean())
        for rule in ("max", "least_error")
    }
    assert error["least_error"] < 0.3 * error["max"]
    # ... and no range in a fine search is much better.
    best = min(
        float(((Grid.from_range((-h, h), bits=4)(x) - x) ** 2).mean())
        for h in np.linspace(0.5, float(jnp.abs(x).max()), 200)
    )
    assert error["least_error"] < 1.03 * best


def test_per_channel_and_zero_channels():
    w = jnp.array([[0.5, -1.0], [0.0, 0.0], [100.0, 3.0]])
    grid = Quantiser(8, per_channel=True).grid(w)
    assert grid.scale.shape == (3, 1)
    np.testing.assert_allclose(grid.scale.ravel(), [127.0, 1.0, 1.27])
    np.testing.assert_array_equal(grid(w)[1], 0)


@pytest.fixture
def network():
    keys = jax.random.split(jax.random.key(0), 3)
    return nj.Sequential(
        (6,),
        hidden=nj.Linear(6, 8, bias=True, key=keys[0]),
        spikes=nj.Recurrent(nj.LIF(tau=5.0), nj.Linear(8, 8, key=keys[1])),
        out=nj.Linear(8, 3, key=keys[2]),
    )


@pytest.mark.parametrize("options", [{"power_of_two": True}, {"per_channel": True}, {}])
def test_a_quantised_network_computes_with_the_baked_weights(network, options):
    quantised = quantise_weights(network, Quantiser(4, **options))
    x = jax.random.uniform(jax.random.key(1), (10, 2, 6))
    probes = ["spikes.neuron.v"]
    run, final = (nj.simulate(net, x, probes=probes) for net in (quantised, bake(quantised)))
    np.testing.assert_array_equal(run.outputs, final.outputs)
    np.testing.assert_array_equal(run[probes[0]], final[probes[0]])
    assert isinstance(bake(quantised)["hidden"], nj.Linear)
    for layer in (bake(quantised)["hidden"], bake(quantised)["spikes"].synapse):
        assert len(np.unique(layer.weight[0])) <= 16
    assert not np.array_equal(run.outputs, nj.simulate(network, x).outputs)
    np.testing.assert_array_equal(bake(quantised)["hidden"].bias, network["hidden"].bias)
    assert "spikes.synapse.weight" in str(quantisation_report(quantised))


@pytest.mark.parametrize("learnt", [False, True])
def test_training_goes_through_the_quantised_network(network, learnt):
    quantised = quantise_weights(network, 4, bias=Quantiser(8), learnt=learnt)
    x = jax.random.uniform(jax.random.key(1), (10, 2, 6))

    @jax.jit
    @jax.value_and_grad
    def loss(net):
        return ((nj.simulate(net, x).outputs - 0.5) ** 2).mean()

    first, slopes = loss(quantised)
    for name in ("hidden", "out"):
        assert np.abs(slopes[name].layer.weight).max() > 0
    if learnt:
        assert float(np.abs(slopes["out"].rules["weight"].step)) > 0
    for _ in range(30):
        _, slopes = loss(quantised)
        quantised = jax.tree.map(lambda p, g: p - 0.05 * g, quantised, slopes)
    assert loss(quantised)[0] < first


def test_ranges_of_a_running_network(network):
    inputs = [jax.random.uniform(jax.random.key(i), (5, 2, 6)) for i in range(3)]
    found = observe(network, inputs, probes=["out", "spikes.neuron.v"])
    runs = [nj.simulate(network, x, probes=["spikes.neuron.v"]) for x in inputs]
    v = np.concatenate([run["spikes.neuron.v"] for run in runs])
    np.testing.assert_allclose(found["spikes.neuron.v"].low, v.min(), rtol=1e-6)
    np.testing.assert_allclose(found["spikes.neuron.v"].high, v.max(), rtol=1e-6)
    assert set(observe(network, inputs[0])) == {"hidden", "spikes", "out"}
    with pytest.raises(ValueError, match="no batch"):
        observe(network, [])


def test_activations_can_be_quantised_in_the_network():
    net = nj.Sequential((3,), values=nj.LI(decay=0.5), coarse=FakeQuantise(Grid(2.0, bits=4)))
    run = nj.simulate(net, jnp.full((2, 1, 3), 0.6))
    np.testing.assert_array_equal(run.outputs[:, 0, 0], [0.5, 1.0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda net: Grid(0.0), "scale is 0.0; it must be a finite number > 0"),
        (lambda net: Grid(1.0, rounding="up"), "rounding is 'up'; use one of half_even"),
        (lambda net: Grid(1.0, gradient="ste"), "gradient is 'ste'"),
        (lambda net: Grid(1.0, bits=0), "bits is 0"),
        (lambda net: Grid(1.0, signed=False, narrow=True), "the grid is unsigned"),
        (lambda net: Quantiser(8, range="mse"), "range is 'mse'; use one of max"),
        (lambda net: Quantiser(8, percent=0), "percent is 0"),
        (lambda net: Histogram(bins=1000), "power of two"),
        (lambda net: MovingAverage(0.0), "momentum is 0.0"),
        (lambda net: quantise_weights(net, layers=["hiden"]), "did you mean 'hidden'"),
        (lambda net: quantise_weights(quantise_weights(net)), "quantised already"),
        (lambda net: quantise_weights(nj.Sequential((2,), nj.IF())), "no Linear, Conv1d or Conv2d"),
        (
            lambda net: quantise_weights(net, Quantiser(8, per_channel=True), learnt=True),
            "leave out per_channel",
        ),
        (lambda net: Quantised(nj.IF(), {"weight": Quantiser()}), "IAF has no array 'weight'"),
        (lambda net: Quantised(nj.Scale(2.0), {"factor": Quantiser()}), "no array 'factor'"),
        (lambda net: quantisation_report(net), "nothing is quantised"),
    ],
)
def test_refusals(network, make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make(network)
