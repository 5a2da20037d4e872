"""Sigma-delta neurons: a recorded network; int64; written-out adjoints.

Conformance has the other recordings.
"""

import dataclasses
import math

import equinox as eqx
import h5py
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import neurojax as nj
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.sigma_delta import Delta, Sigma, SigmaDelta
from neurojax.converters.slayer import _sigma_delta as slayer
from neurojax.surrogate import ATan, Exponential
from tests._interpreter import Interpreter
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
STEPS, NEURONS = 20, 6


@eqx.filter_jit
def run(neuron, x, state=None, probes=()):
    net = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(net, x, state=state, probes=probes)


def recorded(name):
    with np.load(LAVA / f"{name}.npz") as file:
        return dict(file)


def first(x):
    """slayer's [batch, ..., time] as [time, batch, ...]."""
    return jnp.moveaxis(jnp.asarray(x, jnp.float32), -1, 0)


def gradients(neuron, x, weights):
    """To the parameters of the neuron and to x, of the weighted sum of messages."""
    floats, rest = eqx.partition(neuron, eqx.is_inexact_array)
    loss = lambda floats, x: jnp.sum(weights * run(eqx.combine(floats, rest), x).outputs)  # noqa: E731
    return jax.jit(jax.grad(loss, argnums=(0, 1)))(floats, x)


def sdnn():
    """What slayer wrote of a network, and what it and netx computed with it."""
    with h5py.File(LAVA / "net_sdnn.net") as file:
        layers = file["layer"]
        thresholds = {int(layers[f"{i}/neuron/vThMant"][()]) for i in (0, 1, 3)}
        assert thresholds == {6}
        weights = {i: jnp.asarray(layers[f"{i}/weight"][()]) for i in (1, 3, 4)}
    return weights, recorded("net_sdnn"), recorded("netx_net_sdnn")


def test_netx_runs_the_same_integers():
    """Also what no other recording shows: the chip's Delta, and messages of several layers."""
    weights, _, z = sdnn()
    in_steps = slayer.sigma_delta_neuron(threshold=0.1).in_integers()
    assert in_steps.integers() == {"vThMant": 6}
    net = nj.Sequential(
        (2, 6, 5),
        delta=Delta(threshold=6, spike_exp=6, state_exp=6),
        conv=nj.Conv2d.from_weights(weights[1], stride=2),
        hidden=in_steps,
        flatten=nj.Flatten(),
        dense=nj.Linear.from_weights(weights[3]),
        top=in_steps,
        out=nj.Linear.from_weights(weights[4]),
        sigma=Sigma(scale=None),
    )
    x = first(z["x"].transpose(2, 1, 0, 3)[None])  # theirs is (width, height, channels, time)
    late = 3  # one step for each synapse
    ours = nj.simulate(net, x).outputs[:-late, 0]
    assert (ours == z["y"].T[late:]).all()
    assert z["y"].any()


# The two units


@pytest.mark.parametrize(
    ("scale", "cum_error", "keep_rounding"),
    [(64, False, False), (32, True, False), (128, False, True), (64, True, True)],
)
def test_both_units_agree(scale, cum_error, keep_rounding):
    """Whole networks, the integers being 64 scale^2 times the user's values, messages 64 scale."""
    seed = scale + 2 * cum_error + keep_rounding
    rng = np.random.default_rng(seed)
    options = {"scale": scale, "cum_error": cum_error, "keep_rounding": keep_rounding}
    delta = Delta(threshold=0.1, **options)
    hidden = SigmaDelta(threshold=jnp.float32(0.2), bias=5 / scale, **options)
    weight = jnp.float32(2 * rng.integers(-20, 21, (5, NEURONS)))
    x = jnp.float32(np.cumsum(rng.integers(-20, 21, (STEPS, 20, NEURONS)), 0) / scale)

    def net(a, b, c, synapse):
        return nj.Sequential((NEURONS,), a=a, w=nj.Linear.from_weights(synapse), b=b, c=c)

    users = net(delta, hidden, Sigma(scale=scale), weight / scale)
    chips = net(delta.in_integers(), hidden.in_integers(), Sigma(scale=None), weight)
    probes = ["a", "a.residue", "b", "b.v", "b.a", "b.residue"] + ["b.error"] * cum_error
    one = nj.simulate(users, x, probes=probes)
    other = nj.simulate(chips, x * scale, probes=probes)
    assert (np.float64(one.outputs) * 64 * scale == other.outputs).all()
    for probe in probes:
        unit = 64 * scale if probe in ("a", "b") else 64 * scale**2
        assert (np.float64(one[probe]) * unit == other[probe]).all(), probe


def test_gradients_are_the_same_in_both_units():
    rng = np.random.default_rng(3)
    x = jnp.float32(rng.integers(-30, 31, (STEPS, 2, NEURONS)) / 64)
    weights = jnp.float32(rng.normal(size=x.shape))
    neuron = SigmaDelta(threshold=jnp.float32(0.25), bias=jnp.zeros(NEURONS))
    one, to_x = gradients(neuron, x, weights)
    # Integers come in 2^18 times, messages go out 2^12 times the user's values.
    other, to_n = gradients(neuron.in_integers(), x * 2.0**18, weights)
    np.testing.assert_allclose(to_n * 2.0**18, to_x * 2.0**12, rtol=1e-5, atol=1e-3)
    np.testing.assert_allclose(other.threshold * 64, one.threshold * 2.0**12, rtol=1e-4)
    np.testing.assert_allclose(other.bias * 64, one.bias * 2.0**12, rtol=1e-4)


# 64-bit integers


def oracle(values, threshold, exps, cum_error, keep_rounding):
    """Messages about integers `[time, ...]`: Lava's fixed-point model, in int64."""
    act = residue = error = np.zeros_like(values[0])
    messages, residues = [], []
    for a in values:
        d = a - act + residue
        error = error + d
        size = np.abs(error) if cum_error else np.abs(d)
        out = np.where(size >= threshold << sum(exps), d, 0)
        error = np.where(out != 0, 0, error)
        message = out >> exps[1]
        residue = d - ((message << exps[1]) if keep_rounding else out)
        act = a
        messages.append(message)
        residues.append(residue)
    return np.stack(messages), np.stack(residues)


variants = st.sampled_from(  # exponents, cum_error, keep_rounding; few, as each is compiled
    [
        ((0, 0), False, False),
        ((0, 3), True, False),
        ((6, 6), False, False),
        ((2, 5), False, True),
        ((7, 7), True, True),
    ]
)


@given(
    variants, st.integers(0, 127), st.sampled_from([10, 1000, 1 << 23]), st.integers(0, 2**32 - 1)
)
def test_delta_in_integers(variant, threshold, size, seed):
    exps, cum_error, keep_rounding = variant
    shift = sum(exps)
    limit = max(1, min(size, (1 << 23) - 1 >> shift))
    rng = np.random.default_rng(seed)
    x = rng.integers(-limit, limit + 1, (STEPS, 2, NEURONS)) // rng.integers(1, 4)
    neuron = Delta(
        threshold=jnp.float32(threshold),
        spike_exp=exps[0],
        state_exp=exps[1],
        cum_error=cum_error,
        keep_rounding=keep_rounding,
        count_overflow=True,
    )
    probes = ["n.residue", "n.overflow"]
    result = run(neuron, jnp.float32(x), probes=probes)
    messages, residues = oracle(x << shift, threshold, exps, cum_error, keep_rounding)
    # A difference of two integers of 24 bits and a residue may need 25 bits and more.
    exact = np.logical_and.accumulate(np.asarray(result["n.overflow"]) == 0)
    assert ((result.outputs == messages) | ~exact).all()
    assert ((result["n.residue"] == residues) | ~exact).all()


@given(
    variants,
    st.integers(0, 127),
    st.integers(-100, 100),
    st.sampled_from([100, 100_000, 2_000_000]),
    st.integers(0, 2**32 - 1),
)
def test_sigma_delta_in_integers(variant, threshold, bias, size, seed):
    exps, cum_error, keep_rounding = variant
    activation = "unit" if exps == (2, 5) else "relu"
    rng = np.random.default_rng(seed)
    x = rng.integers(-size, size + 1, (STEPS, 2, NEURONS))
    neuron = SigmaDelta(
        threshold=jnp.float32(threshold),
        bias=jnp.float32(bias),
        activation=activation,
        spike_exp=exps[0],
        state_exp=exps[1],
        cum_error=cum_error,
        keep_rounding=keep_rounding,
        count_overflow=True,
    )
    result = run(neuron, jnp.float32(x), probes=["n.v", "n.overflow"])
    a = np.cumsum(x, axis=0) + (bias << sum(exps))
    a = np.maximum(a, 0) if activation == "relu" else a
    messages, _ = oracle(a, threshold, exps, cum_error, keep_rounding)
    exact = np.logical_and.accumulate(np.asarray(result["n.overflow"]) == 0)
    assert exact[0].any()
    assert ((result.outputs == messages) | ~exact).all()
    assert ((result["n.v"] == np.cumsum(x, axis=0)) | ~exact).all()


def test_keep_rounding_is_lavas_corrected_model():
    """Written as it is there: what was sent is what the next difference is taken from."""
    rng = np.random.default_rng(4)
    x = rng.integers(-300, 301, (50, 2, NEURONS))
    act, expected = np.zeros_like(x[0]), []
    for v in np.cumsum(x, axis=0):
        d = np.maximum(v + (5 << 7), 0) - act
        message = np.where(np.abs(d) >= 3 << 7, d, 0) >> 4
        act = act + (message << 4)
        expected.append(message)
    neuron = SigmaDelta(threshold=3, bias=5, spike_exp=3, state_exp=4, keep_rounding=True)
    assert (run(neuron, jnp.float32(x)).outputs == np.stack(expected)).all()
    lossy = dataclasses.replace(neuron, keep_rounding=False)
    assert (run(lossy, jnp.float32(x)).outputs != np.stack(expected)).any()


def test_overflow_is_counted():
    x = jnp.array([1 << 22, 1 << 22, 0, -1, -(1 << 24), 0], jnp.float32).reshape(6, 1, 1)
    neuron = SigmaDelta(threshold=1, activation="unit", spike_exp=0, count_overflow=True)
    # v: 2^22, 2^23 (one too many), 2^23, 2^23 - 1, -2^23 - 1 and so on
    counts = run(neuron, x, probes=["n.overflow"])["n.overflow"].ravel()
    assert counts.tolist() == [0, 1, 2, 2, 3, 4]
    for sigma, unit in (
        (Sigma(scale=None, count_overflow=True), 1.0),
        (Sigma(count_overflow=True), 2.0**18),
    ):
        counts = run(sigma, x / unit, probes=["n.overflow"])["n.overflow"].ravel()
        assert counts.tolist() == [0, 1, 2, 2, 3, 4]


# What they are for


@eqx.filter_jit
def reconstructed(delta, x):
    net = nj.Sequential((NEURONS,), d=delta, s=Sigma())
    return nj.simulate(net, x, probes=["d", "d.residue"])


@given(st.integers(0, 2**32 - 1), st.floats(0.05, 1), st.booleans())
def test_a_sigma_follows_a_delta_within_the_threshold(seed, threshold, keep_rounding):
    rng = np.random.default_rng(seed)
    x = np.cumsum(rng.normal(0, 0.1, (60, 2, NEURONS)), axis=0).astype(np.float32)
    delta = Delta(threshold=jnp.float32(threshold), keep_rounding=keep_rounding)
    result = reconstructed(delta, jnp.asarray(x))
    stored = int(np.float32(threshold) * 64) / 64
    sent = np.asarray(result["d"])
    if keep_rounding:
        # Nothing is ever lost: what has been sent is the value without the residue.
        error = np.abs(x - result.outputs)
        assert error.max() <= max(stored, 1 / 4096) + 1e-5
        np.testing.assert_allclose(result.outputs, x - result["d.residue"], rtol=0, atol=1e-5)
    else:
        # Each message may lose up to one step, always downwards.
        drift = np.cumsum(sent != 0, axis=0) / 4096
        low = x - np.asarray(result.outputs)
        assert (low > -stored - 1e-5).all()
        assert (low < stored + drift + 1e-5).all()


def test_changes_smaller_than_the_threshold_are_not_sent():
    t = np.arange(100)
    x = np.sin(t / 30).astype(np.float32).reshape(100, 1, 1)
    sent = run(Delta(threshold=0.125), jnp.asarray(x)).outputs
    assert 0 < np.count_nonzero(sent) < 40
    assert np.abs(sent[sent != 0]).min() >= 0.125 - 1 / 4096
    # A sum of small differences gets there sooner than the present difference.
    sooner = run(Delta(threshold=0.125, cum_error=True), jnp.asarray(x)).outputs
    assert np.count_nonzero(sooner) > np.count_nonzero(sent)


@pytest.mark.parametrize("steps", [30_000])
def test_sums_do_not_drift(steps):
    x = np.random.default_rng(0).normal(0.1, 1, (steps, 1, 3)).astype(np.float32)
    v = np.asarray(run(Sigma(), jnp.asarray(x)).outputs)[-1, 0]
    exact = [np.float32(math.fsum(column)) for column in x[:, 0].T.astype(float)]
    assert (v == exact).all()
    assert (np.cumsum(x, axis=0)[-1, 0] != exact).any()


def test_norm_and_bias_come_before_the_activation():
    norm = ShiftNorm(jnp.array([0.5, -0.25]), jnp.array([3.0]))
    bias = jnp.array([0.25, -1.0])
    x = jnp.float32(np.random.default_rng(0).normal(0, 2, (10, 3, 2)))
    neuron = SigmaDelta(threshold=0.0, norm=norm, bias=bias)
    result = run(neuron, x, probes=["n.a"])
    sums = np.cumsum(np.asarray(x, np.float64), axis=0)
    expected = np.maximum((sums - [0.5, -0.25]) / 2 + np.asarray(bias), 0)
    np.testing.assert_allclose(result["n.a"], expected, atol=1e-5)
    # Threshold 0: every change is sent, and only rounding is between sum and activation.
    np.testing.assert_allclose(np.cumsum(result.outputs, 0), expected, atol=11 / 4096)


# Gradients


def adjoint(d, states, threshold, g, surrogate, active):
    """Of sum(g y): to the threshold, and to the sums v, in float64 at the computed states.

    `states` are d, or for cumulative errors the sums of d, which are compared with the threshold.
    """
    cumulative = states is not d
    s = (np.abs(states) >= threshold).astype(float)
    slope = np.zeros_like(d)
    if surrogate is not None:
        u = jnp.float32(np.abs(states) - threshold)
        slope = np.asarray(surrogate.derivative(u, jnp.float32(threshold)), np.float64)
    to_residue = to_error = to_last = np.zeros_like(d[0])
    to_threshold, to_a = 0.0, np.zeros_like(d)
    for t in reversed(range(len(d))):
        to_out = g[t] - to_residue
        sent = s[t] * (d[t] != 0)  # the sum is kept where there is nothing to send
        to_s = to_out * d[t] - (to_error * states[t] * (d[t] != 0) if cumulative else 0)
        to_size = to_s * slope[t]
        to_threshold -= to_size.sum()
        to_d = to_residue + to_out * s[t]
        to_state = to_size * np.sign(states[t])
        if cumulative:
            to_error = to_error * (1 - sent) + to_state
            to_d = to_d + to_error
        else:
            to_d = to_d + to_state
        to_a[t] = to_d - to_last
        to_last = to_residue = to_d
    return to_threshold, np.cumsum((to_a * active)[::-1], axis=0)[::-1]


@pytest.mark.parametrize("cum_error", [False, True])
@pytest.mark.parametrize("surrogate", [Exponential(width=0.5, scale=0.5), ATan(), None])
def test_gradients_are_the_adjoint(surrogate, cum_error):
    rng = np.random.default_rng(5)
    x = jnp.float32(rng.normal(0, 0.3, (STEPS, 2, NEURONS)))
    g = rng.normal(size=x.shape)
    neuron = SigmaDelta(
        threshold=jnp.float32(0.25),
        bias=jnp.full(NEURONS, 0.1),
        surrogate=surrogate,
        cum_error=cum_error,
    )
    result = run(neuron, x, probes=["n.v", "n.a", "n.residue"])
    a, residue = (np.asarray(result[f"n.{name}"], np.float64) for name in ("a", "residue"))
    zero = np.zeros_like(a[:1])
    d = a - np.concatenate([zero, a[:-1]]) + np.concatenate([zero, residue[:-1]])
    states = d
    if cum_error:
        states, error = np.zeros_like(d), 0.0
        for t in range(STEPS):
            states[t] = error + d[t]
            error = np.where((np.abs(states[t]) >= 0.25) & (d[t] != 0), 0, states[t])
    to_threshold, to_x = adjoint(d, states, 0.25, g, surrogate, a > 0)
    to_neuron, found = gradients(neuron, x, jnp.float32(g))
    np.testing.assert_allclose(found, to_x, rtol=0, atol=1e-4)
    np.testing.assert_allclose(to_neuron.threshold, to_threshold, rtol=1e-4, atol=1e-6)
    # The bias is in all sums.
    to_v = to_x - np.concatenate([to_x[1:], zero])
    np.testing.assert_allclose(to_neuron.bias, to_v.sum((0, 1)), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("gradient", ["equations", "straight_through"])
def test_forward_mode_agrees(gradient):
    rng = np.random.default_rng(6)
    x, dx, g = jnp.float32(rng.normal(0, 0.3, (3, STEPS, 2, NEURONS)))
    neuron = SigmaDelta(threshold=jnp.float32(0.25), gradient=gradient)
    to_neuron, to_x = gradients(neuron, x, g)

    def outputs(threshold, x):
        return run(dataclasses.replace(neuron, threshold=threshold), x).outputs

    one = jnp.float32(1)
    _, tangent = jax.jvp(outputs, (neuron.threshold, x), (one, dx))
    expected = to_neuron.threshold + (to_x * dx).sum()
    np.testing.assert_allclose((tangent * g).sum(), expected, rtol=1e-4)


def test_nothing_is_lost_of_a_gradient():
    """A change is sent sooner or later: the last sum has the derivative of the last value."""
    x = jnp.float32(np.random.default_rng(7).normal(0, 1, (STEPS, 1, NEURONS)))
    delta = Delta(threshold=0.5, surrogate=None)

    def reconstruction(x):
        result = run(delta, x, probes=["n.residue"])
        return (result.outputs.sum(0) + result["n.residue"][-1]).sum()

    found = jax.jit(jax.grad(reconstruction))(x)
    assert (found[:-1] == 0).all()
    assert (found[-1] == 1).all()


def test_the_gradient_to_a_threshold_is_that_of_the_mean():
    """Over many values, messages fall off smoothly as the threshold rises."""
    x = jnp.linspace(-1, 1, 20_001).reshape(1, 1, -1)
    delta = Delta(
        threshold=jnp.float32(0.25),
        surrogate=Exponential(width=0.1, scale=0.5),
        message_scale=2**20,
    )
    to_delta, _ = gradients(delta, x, jnp.sign(x) / x.size)
    # The mean of |d| where |d| >= th is (1 - th^2) / 2 over a uniform d.
    np.testing.assert_allclose(to_delta.threshold, -0.25, rtol=0.02)


def test_a_threshold_that_was_learned_away_has_finite_gradients():
    x = jnp.float32(np.random.default_rng(8).normal(size=(5, 1, 3)))
    for gradient in ("equations", "straight_through"):
        delta = Delta(threshold=jnp.zeros(()), gradient=gradient)
        to_delta, to_x = gradients(delta, x, jnp.ones_like(x))
        assert np.isfinite(to_delta.threshold)
        assert np.isfinite(to_x).all()


# As all layers


@pytest.mark.parametrize(
    "neuron",
    [
        Delta(threshold=0.3),
        Delta(threshold=0.3, cum_error=True, keep_rounding=True),
        SigmaDelta(threshold=0.3, bias=jnp.full((4,), 0.1)),
        Sigma(),
    ],
)
def test_states_schedules_and_vmap(neuron):
    x = jax.random.normal(jax.random.key(0), (20, 3, 4))
    whole = run(neuron, x)
    begin = run(neuron, x[:7])
    rest = run(neuron, x[7:], begin.state)
    assert (jnp.concatenate([begin.outputs, rest.outputs]) == whole.outputs).all()
    net = nj.Sequential((4,), n=neuron)
    for schedule in ("step", "layer"):
        assert (nj.simulate(net, x, schedule=schedule).outputs == whole.outputs).all()
    many = jax.vmap(lambda x: run(neuron, x).outputs)(jnp.stack([x, -x]))
    assert (many[0] == whole.outputs).all()
    assert (many[1] == run(neuron, -x).outputs).all()


def test_thresholds_of_channels():
    x = jax.random.normal(jax.random.key(1), (10, 2, 3, 4, 4))
    thresholds = jnp.array([0.1, 0.5, 2.0]).reshape(3, 1, 1)
    both = run(SigmaDelta(threshold=thresholds), x).outputs
    for channel, threshold in enumerate((0.1, 0.5, 2.0)):
        one = run(SigmaDelta(threshold=jnp.float32(threshold)), x[:, :, [channel]]).outputs
        assert (both[:, :, [channel]] == one).all()


EXACT = {"threshold": 0.25, "bias": -0.5}


@pytest.mark.parametrize(
    "neuron",
    [
        Delta(threshold=0.25),
        Delta(threshold=jnp.float32(0.25), keep_rounding=True),
        Delta(threshold=3, spike_exp=1, state_exp=2, cum_error=True),
        SigmaDelta(**EXACT),
        SigmaDelta(threshold=0.25, bias=jnp.float32(0.5), activation="unit", cum_error=True),
        SigmaDelta(threshold=0.25, activation="leaky_relu"),
        SigmaDelta(threshold=jnp.float32(2), bias=jnp.float32(1), spike_exp=0, state_exp=3),
        SigmaDelta(threshold=2, bias=-1, state_exp=3, keep_rounding=True),
        Sigma(),
    ],
)
def test_equations_are_what_it_computes(neuron):
    rng = np.random.default_rng(9)
    x = rng.integers(-20, 21, (30, 4)).astype(float)
    x = x if getattr(neuron, "integers_of_lava", False) else x / 8
    names = [n for n in neuron.init((4,))._fields if n not in ("low", "overflow")]
    fields = {n: getattr(neuron, n, 0.0) for n in ("threshold", "bias")}
    fields = {n: float(value) for n, value in fields.items()}
    machine = Interpreter(fields, dict.fromkeys(names, np.zeros(4)))
    found = np.array([machine.step(neuron.equations(), row) for row in x])
    result = run(neuron, jnp.float32(x)[:, None])
    assert np.count_nonzero(found) > 10
    if getattr(neuron, "activation_name", "") == "leaky_relu":
        np.testing.assert_allclose(found, result.outputs[:, 0], atol=1 / 4096)
    else:
        assert (found == result.outputs[:, 0]).all(), neuron.equations()
    card = str(nj.describe(nj.Sequential((4,), n=neuron)))
    assert "4 neurons" in card


def test_messages_are_no_spikes():
    for neuron in (Delta(threshold=0.1), SigmaDelta(threshold=0.1), Sigma()):
        assert not neuron.spiking


def test_descriptions():
    assert SigmaDelta(threshold=0.1).describe() == "SigmaDelta relu, threshold 0.1"
    chips = SigmaDelta(threshold=0.1, cum_error=True).in_integers()
    assert chips.describe().endswith("threshold 6, cumulative error, spike_exp 6, state_exp 6")
    assert SigmaDelta(threshold=jnp.array([0.1, 0.2])).integers()["vThMant"].tolist() == [6, 12]
    assert (
        slayer.sigma_delta_neuron(threshold=0.1, activation=jax.nn.relu).activation_name == "relu"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": -1}, r"threshold is -1; it must be >= 0"),
        ({"threshold": 1, "state_exp": 9}, r"state_exp is 9; it must be within 0\.\.7"),
        ({"threshold": 1.5, "state_exp": 3}, r"threshold is 1\.5; .* an integer within"),
        ({"threshold": 1, "bias": 1 << 18, "spike_exp": 6, "state_exp": 6}, r"bias is 262144; "),
        ({"threshold": 1, "state_exp": 3, "activation": "leaky_relu"}, "'relu' and 'unit' only"),
        ({"threshold": 1, "state_exp": 3, "norm": ShiftNorm(jnp.ones(1))}, "no norm; fold it"),
        ({"threshold": 1, "gradient": "slayer"}, "gradient is 'slayer'; it must be in"),
        ({"threshold": 1, "gradient": "straight_through", "surrogate": None}, "needs a surrogate"),
        ({"threshold": 1, "scale": 0}, "scale is 0"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        SigmaDelta(**options)


def test_refusals_of_layers_and_shapes():
    with pytest.raises(TypeError, match="activation is 'gelu'; use one of"):
        SigmaDelta(threshold=1, activation="gelu")
    with pytest.raises(ValueError, match="has memory, or changes the shape"):
        nj.Sequential((4,), n=SigmaDelta(threshold=1, activation=nj.LI(decay=0.5)))
    with pytest.raises(ValueError, match="threshold has shape"):
        nj.Sequential((4,), n=Delta(threshold=jnp.ones(3)))
    with pytest.raises(ValueError, match="make scale a power of two"):
        Delta(threshold=1, scale=100).in_integers()
    with pytest.raises(ValueError, match="is not known; use one of"):
        slayer.sigma_delta_neuron(threshold=1.0, activation=jnp.sin)


def test_the_stored_threshold_is_the_one_in_use():
    """Just below a step, where float32 would round up before it is cut."""
    neuron = Delta(threshold=0.99999999)
    assert neuron.integers() == {"vThMant": 63}
    assert neuron.prepare(None).threshold * 64 == 63
