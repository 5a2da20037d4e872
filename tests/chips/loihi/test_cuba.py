"""The CUBA neuron against 64-bit integers, and its gradients against the written-out adjoint."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi import CUBA, ShiftNorm, quantise_8bit
from neurojax.neurons._equations import equations_of
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter

STEPS, NEURONS = 12, 8
LARGEST = 1 << 24


@eqx.filter_jit
def run(neuron, x, state=None):
    net = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(net, x, state=state, probes=["n.v", "n.i"])


def shift_to_zero(n, bits):
    return np.sign(n) * (np.abs(n) >> bits)


def oracle(x, decays, threshold, i, v, feedback=lambda n: n):
    """In 64-bit integers: x, threshold and states in steps of the state."""
    currents, membranes, spikes = [], [], []
    for x_t in x.astype(np.int64):
        i = feedback(shift_to_zero(i * (4096 - decays[0]), 12) + x_t)
        v = feedback(shift_to_zero(v * (4096 - decays[1]), 12) + i)
        s = v > threshold
        v = np.where(s, 0, v)
        currents.append(i)
        membranes.append(v)
        spikes.append(s)
    return np.stack(currents), np.stack(membranes), np.stack(spikes)


decays = st.one_of(st.sampled_from([0, 1, 2, 2048, 4095, 4096]), st.integers(0, 4096))
magnitudes = st.sampled_from([3, 100, 5000, 1 << 17, 1 << 22, LARGEST])


@given(decays, decays, magnitudes, st.integers(0, 1 << 24), st.integers(0, 2**32 - 1))
def test_every_bit_of_states_of_25_bits(current, voltage, size, threshold, seed):
    rng = np.random.default_rng(seed)
    i, v = rng.integers(-size, size + 1, (2, 1, NEURONS))
    x = rng.integers(-size, size + 1, (STEPS, 1, NEURONS)) // STEPS
    neuron = CUBA(
        current_decay=jnp.float32(current / 4096),
        voltage_decay=jnp.float32(voltage / 4096),
        threshold=jnp.float32(threshold / 4096),
        quantise_threshold=False,
    )
    net = nj.Sequential((NEURONS,), n=neuron)
    state = nj.simulate(net, jnp.zeros((1, 1, NEURONS))).state
    first = type(state.layers["n"])(jnp.float32(v / 4096), jnp.float32(i / 4096))
    state = eqx.tree_at(lambda s: s.layers["n"], state, first)
    result = run(neuron, jnp.float32(x / 4096), state)
    currents, membranes, spikes = oracle(x, (current, voltage), threshold, i, v)
    # What a float32 does not hold is not claimed: from there on, a neuron is left out.
    exact = (np.abs(currents) <= LARGEST) & (np.abs(membranes) <= LARGEST)
    exact = np.logical_and.accumulate(exact)
    assert exact[0].any() or size > 1 << 22
    for ours, theirs in ((result["n.i"], currents), (result["n.v"], membranes)):
        assert ((np.asarray(ours, np.float64) * 4096 == theirs) | ~exact).all()
    assert ((result.outputs == spikes) | ~exact).all()


@given(decays, decays, st.integers(0, 2**32 - 1))
def test_states_beyond_24_bits_are_rounded_once(current, voltage, seed):
    """With `requantise`, as SpikingJelly: integers up to 2^30, each handed on as a float32."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-(1 << 25), 1 << 25, (STEPS, 1, NEURONS)).astype(np.float32)
    neuron = CUBA(
        current_decay=jnp.float32(current / 4096),
        voltage_decay=jnp.float32(voltage / 4096),
        threshold=jnp.float32(2.0**40),
        quantise_threshold=False,
        requantise=True,
    )
    result = run(neuron, jnp.float32(x / 4096))
    rounded = lambda n: n.astype(np.float32).astype(np.int64)  # noqa: E731
    zero = np.zeros((1, NEURONS), np.int64)
    currents, membranes, _ = oracle(x, (current, voltage), 1 << 60, zero, zero, rounded)
    fits = np.logical_and.accumulate(np.abs(currents) < 1 << 30)
    fits &= np.logical_and.accumulate(np.abs(membranes) < 1 << 30)
    assert ((np.asarray(result["n.i"], np.float64) * 4096 == currents) | ~fits).all()
    assert ((np.asarray(result["n.v"], np.float64) * 4096 == membranes) | ~fits).all()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1))
def test_variants_that_make_no_difference(seed):
    """For a scale that is a power of two and thresholds below 2^17 steps."""
    rng = np.random.default_rng(seed)
    x = jnp.float32(rng.integers(-300, 500, (30, 2, NEURONS)) / 4096)
    base = CUBA(current_decay=jnp.float32(0.2), voltage_decay=jnp.float32(0.05))
    spikes = run(base, x).outputs
    assert spikes.any()
    for changes in (
        {"epsilon": 0.01 / 4096},
        {"requantise": True},
        {"reset_delay": "before"},
        {"reset_gradient": "detached"},
    ):
        assert (run(dataclasses.replace(base, **changes), x).outputs == spikes).all()


def test_schedules_agree():
    net = nj.Sequential((4,), n=CUBA(current_decay=0.3, voltage_decay=0.1))
    x = jax.random.normal(jax.random.key(0), (20, 3, 4))
    by_step = nj.simulate(net, x, schedule="step").outputs
    assert (by_step == nj.simulate(net, x, schedule="layer").outputs).all()


# Gradients


def adjoint(x, params, g, surrogate, reset):
    """Gradients of sum(g spikes) to x and both decays, at the computed states, in float64."""
    neuron = CUBA(**params, surrogate=surrogate, reset_gradient=reset)
    before = run(dataclasses.replace(neuron, reset_delay="before"), x)
    after = run(neuron, x)
    h, v, i = (np.asarray(a, np.float64) for a in (before["n.v"], after["n.v"], after["n.i"]))
    slope = np.asarray(surrogate.derivative(before["n.v"] - params["threshold"]), np.float64)
    s, g = np.asarray(after.outputs, np.float64), np.asarray(g, np.float64)
    keep_i, keep_v = 1 - params["current_decay"], 1 - params["voltage_decay"]
    to_x, to_v, to_i, to_current, to_voltage = np.zeros_like(h), 0.0, 0.0, 0.0, 0.0
    for t in reversed(range(len(h))):
        through = {"full": 1 - s[t] - slope[t] * h[t], "detached": 1 - s[t], "bypassed": 1.0}
        to_h = g[t] * slope[t] + to_v * through[reset]
        to_i = to_h + to_i
        v_before = v[t - 1] if t else np.zeros_like(v[0])
        i_before = i[t - 1] if t else np.zeros_like(i[0])
        to_voltage -= (to_h * v_before).sum()
        to_current -= (to_i * i_before).sum()
        to_x[t], to_v, to_i = to_i, keep_v * to_h, keep_i * to_i
    return to_x, to_current, to_voltage


@pytest.mark.parametrize("reset", ["full", "detached", "bypassed"])
def test_gradients_are_the_adjoint(reset):
    rng = np.random.default_rng(1)
    x = jnp.float32(rng.integers(-1000, 2500, (25, 2, NEURONS)) / 4096)
    g = rng.normal(size=x.shape)
    params = {"current_decay": 1024 / 4096, "voltage_decay": 410 / 4096, "threshold": 1.0}
    surrogate = Sigmoid(4.0)
    neuron = CUBA(
        current_decay=jnp.float32(params["current_decay"]),
        voltage_decay=jnp.float32(params["voltage_decay"]),
        surrogate=surrogate,
        reset_gradient=reset,
    )
    loss = lambda neuron, x: jnp.sum(run(neuron, x).outputs * g)  # noqa: E731
    to_neuron, to_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x)
    exact_x, exact_current, exact_voltage = adjoint(x, params, g, surrogate, reset)
    np.testing.assert_allclose(to_x, exact_x, atol=2e-5 * np.abs(exact_x).max())
    np.testing.assert_allclose(to_neuron.current_decay, exact_current, rtol=1e-4)
    np.testing.assert_allclose(to_neuron.voltage_decay, exact_voltage, rtol=1e-4)
    # Forward mode too.
    _, along = jax.jit(lambda x: jax.jvp(lambda x: loss(neuron, x), (x,), (x,)))(x)
    np.testing.assert_allclose(along, np.sum(exact_x * np.asarray(x)), rtol=1e-3)


def test_decays_out_of_range_count_as_the_limit_and_can_come_back():
    x = jnp.ones((3, 1, 1))
    for outside, inside in ((1.2, 1.0), (-0.1, 0.0)):
        neuron = CUBA(current_decay=jnp.float32(outside), voltage_decay=1.0, threshold=None)
        limit = CUBA(current_decay=inside, voltage_decay=1.0, threshold=None)
        assert (run(neuron, x).outputs == run(limit, x).outputs).all()
        slope = jax.jit(jax.grad(lambda n: run(n, x).outputs.sum()))(neuron).current_decay
        assert slope < 0


def test_learned_threshold():
    neuron = CUBA(current_decay=1.0, voltage_decay=0.0, threshold=jnp.array([0.7, 1.0]))
    x = jnp.full((1, 1, 2), 0.6875 + 1 / 4096)  # 0.7 is 44 steps of a weight, 0.6875
    assert run(neuron, x).outputs.tolist() == [[[1.0, 0.0]]]
    slope = jax.jit(jax.grad(lambda n: run(n, x).outputs.sum()))(neuron).threshold
    assert (slope < 0).all()
    assert neuron.integers()["vThMant"].tolist() == [44, 64]


def test_no_gradient_to_a_threshold_through_the_width_of_a_graded_spike():
    """Of the output; the reset still tells what the threshold does."""
    options = {"current_decay": 1.0, "voltage_decay": 0.0, "threshold": jnp.float32(1.0)}
    x = jnp.array([0.5, 0.75]).reshape(2, 1, 1)
    for reset_gradient, gets_one in (("bypassed", False), ("full", True)):
        neuron = CUBA(graded=True, reset_gradient=reset_gradient, **options)
        slope = jax.jit(jax.grad(lambda n: run(n, jnp.tile(x, (3, 1, 1))).outputs.sum()))(neuron)
        assert bool(slope.threshold != 0) is gets_one


def test_decays_of_channels():
    neuron = CUBA(current_decay=jnp.array([0.0, 1.0]).reshape(2, 1, 1), voltage_decay=1.0)
    result = run(neuron, jnp.full((3, 1, 2, 2, 2), 0.25))
    assert result["n.i"][-1, 0, :, 0, 0].tolist() == [0.75, 0.25]


# Norms


@pytest.mark.parametrize(("deviation", "exponent"), [(1.0, 0), (1.01, 1), (0.3, -1), (1e3, 3)])
def test_exponent_of_a_norm(deviation, exponent):
    norm = ShiftNorm(jnp.zeros(1), jnp.array([deviation**2]), eps=0.0)
    assert norm.exponent == exponent


class Machine(Interpreter):
    """Carries out the lines of the card."""

    FUNCTIONS = Interpreter.FUNCTIONS | {"trunc": np.trunc, "norm": lambda i: i - 0.5}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 0.7, "epsilon": 0.01 / 4096},
        {"threshold": None},
        {"graded": True},
        {"reset_delay": "before", "norm": ShiftNorm(jnp.full(1, 0.5))},
        {"norm": ShiftNorm(jnp.full(1, 0.5)), "norm_feedback": True},
        {"current_decay": np.full(4, 0.25), "voltage_decay": np.full(4, 0.125), "epsilon": 1e-3},
        {"threshold": np.full(4, 0.5)},
    ],
)
def test_the_card_says_what_is_computed(options):
    neuron = CUBA(**{"current_decay": 0.3, "voltage_decay": 0.1} | options)
    x = np.random.default_rng(6).integers(-200, 400, (15, 4)) / 256
    fields = {
        path[-1].name: np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(neuron)
    }
    machine = Machine(fields, {"i": np.zeros(4), "v": np.zeros(4)})
    said = np.stack([machine.step(equations_of(neuron), x_t) for x_t in x])
    found = run(neuron, jnp.float32(x)[:, None])
    assert (said == np.asarray(found.outputs)[:, 0]).all(), "\n".join(equations_of(neuron))
    for name in ("v", "i"):
        assert (machine.state[name] == np.asarray(found[f"n.{name}"])[-1, 0]).all()


# Refusals


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"current_decay": 1024}, "current_decay is 1024; it must be within 0..1"),
        ({"voltage_decay": -0.5}, "voltage_decay is -0.5"),
        ({"threshold": -1.0}, "threshold is -1; it must be >= 0, or None"),
        ({"scale": 0}, "scale is 0; it must be a number >= 1"),
        ({"reset_gradient": "none"}, "reset_gradient is 'none'"),
        ({"reset_delay": True}, "reset_delay is True"),
        ({"decay_gradient": "lava"}, "decay_gradient is 'lava'"),
        ({"decay_gradient": "slayer"}, "decay_gradient='slayer' is made of states before"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        CUBA(**({"current_decay": 0.5, "voltage_decay": 0.5} | arguments))


def test_shapes_are_checked():
    neuron = CUBA(current_decay=jnp.zeros(3), voltage_decay=0.5)
    with pytest.raises(ValueError, match=r"current_decay has shape \(3,\), but there are \(4,\)"):
        nj.Sequential((4,), n=neuron)
    with pytest.raises(ValueError, match="has the mean of 3 channels"):
        neuron = CUBA(current_decay=0.5, voltage_decay=0.5, norm=ShiftNorm(jnp.zeros(3)))
        nj.Sequential((4,), n=neuron)


def test_quantise_needs_no_array():
    assert quantise_8bit(np.array([0.04, -0.3]), descale=True).tolist() == [2.0, -20.0]
