"""Measured values in the forward pass, against loops written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj

STEPS, BATCH = 8, 2
X = jax.random.normal(jax.random.key(1), (STEPS, BATCH, 4))
V = jax.random.normal(jax.random.key(2), (STEPS, BATCH, 5))
Z = jax.random.bernoulli(jax.random.key(3), 0.4, (STEPS, BATCH, 5)).astype(jnp.float32)
WEIGHTS = (
    jax.random.normal(jax.random.key(4), (5, 4)),
    jax.random.normal(jax.random.key(5), (3, 5)),
)
SURROGATE = nj.surrogate.ATan()


def network(weights, neuron):
    return nj.Sequential(
        (4,),
        inner=nj.Linear.from_weights(weights[0]),
        hidden=neuron,
        outer=nj.Linear.from_weights(weights[1]),
        out=nj.LI(decay=0.5),
    )


def simulated(neuron, measured, **options):
    def run(weights):
        net = network(weights, neuron)
        run = nj.simulate(net, X, measured=measured, probes=["hidden", "hidden.v"], **options)
        return run.outputs, run["hidden"], run["hidden.v"]

    return run


def by_hand(population):
    """The network as a loop; `population(v, drive, t) -> (v, output)`."""

    def run(weights):
        v, out, rows = jnp.zeros((BATCH, 5)), jnp.zeros((BATCH, 3)), []
        for t in range(STEPS):
            v, y = population(v, X[t] @ weights[0].T, t)
            out = 0.5 * out + y @ weights[1].T
            rows.append((out, y, v))
        return tuple(jnp.stack(column) for column in zip(*rows, strict=True))

    return run


def put(computed, value):
    """The value of the one, the derivative of the other, said in another way."""
    return computed - jax.lax.stop_gradient(computed) + value


def lif_at_traces(v, drive, t):
    v = put(0.9 * v + drive, V[t])
    return v, nj.surrogate.spike(v - 1, SURROGATE)


def lif_at_spikes(v, drive, t):
    v = 0.9 * v + drive
    z = put(nj.surrogate.spike(v - 1, SURROGATE), Z[t])
    return v - z, z


def lif_at_both(v, drive, t):
    v = put(0.9 * v + drive, V[t])
    return v, put(nj.surrogate.spike(v - 1, SURROGATE), Z[t])


def li_at_traces(v, drive, t):
    v = put(0.9 * v + drive, V[t])
    return v, v


LIF = nj.LIF(decay=0.9, surrogate=SURROGATE)
CASES = {
    "traces": (LIF, {"hidden.v": V}, lif_at_traces),
    "spikes": (LIF, {"hidden": Z}, lif_at_spikes),
    "both": (LIF, {"hidden": Z, "hidden.v": V}, lif_at_both),
    "integrator": (nj.LI(decay=0.9), {"hidden.v": V}, li_at_traces),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("options", [{"schedule": "step"}, {"schedule": "layer", "checkpoint": 3}])
def test_a_run_goes_on_from_what_was_measured(case, options):
    neuron, measured, population = CASES[case]
    ours, theirs = simulated(neuron, measured, **options), by_hand(population)
    values = jax.jit(ours)(WEIGHTS)
    for a, b in zip(values, theirs(WEIGHTS), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    if "hidden.v" in measured:
        np.testing.assert_array_equal(values[2], V)
    if "hidden" in measured:
        np.testing.assert_array_equal(values[1], Z)
    score = lambda run: jax.jit(jax.grad(lambda w: jnp.sum(jnp.sin(run(w)[0]))))  # noqa: E731
    for a, b in zip(score(ours)(WEIGHTS), score(theirs)(WEIGHTS), strict=True):
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_chain_and_a_recurrent_population_hand_them_on():
    inside = nj.layers.Chain(delay=nj.LI(decay=0.3), neuron=LIF)
    net = nj.Sequential((5,), hidden=nj.Recurrent(inside, nj.Linear(5, 5, key=jax.random.key(0))))
    x = jnp.zeros((STEPS, BATCH, 5))
    measured = {"hidden": Z, "hidden.neuron.neuron.v": V, "hidden.neuron.delay.v": -V}
    run = nj.simulate(net, x, measured=measured, probes=list(measured))
    for path, value in measured.items():
        np.testing.assert_array_equal(run[path], value)
    np.testing.assert_array_equal(run.outputs, Z)


def test_what_was_measured_in_two_parts_gives_the_run_in_one():
    net, measured = network(WEIGHTS, LIF), {"hidden": Z, "hidden.v": V}
    whole = nj.simulate(net, X, measured=measured)
    first = nj.simulate(net, X[:3], measured={k: v[:3] for k, v in measured.items()})
    second = nj.simulate(
        net, X[3:], measured={k: v[3:] for k, v in measured.items()}, state=first.state
    )
    parts = jnp.concatenate([first.outputs, second.outputs])
    np.testing.assert_allclose(whole.outputs, parts, rtol=1e-6)  # products of another size


def test_refractory_counters_start_at_measured_spikes():
    neuron = nj.LIF(decay=0.9, refractory=2.0)
    run = nj.simulate(
        network(WEIGHTS, neuron), X, measured={"hidden": Z}, probes=["hidden.refractory"]
    )
    expected, left = [], np.zeros((BATCH, 5))
    for z in np.asarray(Z):
        left = np.where(z > 0, 2, np.maximum(left - 1, 0))
        expected.append(left)
    np.testing.assert_array_equal(run["hidden.refractory"], np.stack(expected))


def test_inject_has_the_value_of_the_one_and_the_derivative_of_the_other():
    run = lambda a, b: jnp.sum(nj.inject(a, b) ** 2)  # noqa: E731
    a, b = jnp.array([1.0, 2.0]), jnp.array([5.0, 7.0])
    np.testing.assert_array_equal(nj.inject(a, b), b)
    np.testing.assert_array_equal(jax.grad(run)(a, b), 2 * b)
    np.testing.assert_array_equal(jax.grad(run, argnums=1)(a, b), 0 * b)
    assert nj.inject(jnp.float32(1), jnp.int8(3)).dtype == jnp.float32


@pytest.mark.parametrize(
    ("measured", "says"),
    [
        ({"hiden": Z}, "no such layer; did you mean 'hidden'"),
        ({"hidden.w": Z}, "layer 'hidden' has no such field"),
        ({"inner.v": Z}, "no state, only an output"),
        ({"hidden": Z[:3]}, r"shape \(3, 2, 5\), but must be \(8, 2, 5\)"),
        ({"hidden": Z[..., :2]}, "must be"),
    ],
)
def test_what_does_not_fit_is_refused(measured, says):
    with pytest.raises(ValueError, match=says):
        nj.simulate(network(WEIGHTS, LIF), X, measured=measured)


def test_late_resets_need_the_membrane_with_the_spikes():
    late = nj.LIF(decay=0.9, reset_delay=True)
    with pytest.raises(ValueError, match="late reset"):
        nj.simulate(network(WEIGHTS, late), X, measured={"hidden": Z})
