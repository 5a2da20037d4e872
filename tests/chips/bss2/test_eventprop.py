"""EventProp: against spike times in closed form, and against the plain neuron."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import neurojax as nj
from neurojax.chips import bss2

TAU_MEM, TAU_SYN, DT = 8e-6, 6e-6, 5e-9
LEAK, RESET, THRESHOLD = 0.1, -0.3, 1.0
NUMBERS = {"leak": LEAK, "reset": RESET, "threshold": THRESHOLD}
NUMBERS |= {"tau_mem": TAU_MEM, "tau_syn": TAU_SYN}
INPUT_TIMES = (0.5e-6, 2e-6, 5e-6)
STEPS = 4000


def exact_spike_times(weights, input_times=INPUT_TIMES):
    """The first two spikes of one neuron: the equation solved piece by piece, in float64."""

    def current(t):
        since = t - np.asarray(input_times)
        return np.sum(np.where(since >= 0, weights * np.exp(-np.maximum(since, 0) / TAU_SYN), 0))

    def membrane(t, start, v):
        """Potential at t with v at start, no spike in between."""
        factor = TAU_SYN / (TAU_MEM - TAU_SYN)
        decay = lambda since, tau: np.exp(-since / tau)  # noqa: E731
        value = LEAK + (v - LEAK) * decay(t - start, TAU_MEM)
        value += current(start) * factor * (decay(t - start, TAU_MEM) - decay(t - start, TAU_SYN))
        for w, arrival in zip(weights, input_times, strict=True):
            if start < arrival <= t:
                value += w * factor * (decay(t - arrival, TAU_MEM) - decay(t - arrival, TAU_SYN))
        return value

    start, v, times = 0.0, LEAK, []
    for _ in range(2):
        grid = np.linspace(start, STEPS * DT, 4000)
        above = np.array([membrane(t, start, v) for t in grid]) > THRESHOLD
        k = int(np.argmax(above))
        over = lambda t, start=start, v=v: membrane(t, start, v) - THRESHOLD  # noqa: E731
        start = scipy.optimize.brentq(over, grid[k - 1], grid[k], xtol=1e-16)
        v = RESET
        times.append(start)
    return np.array(times)


def simulated(weights, inputs):
    network = nj.Sequential(
        (3,),
        s=bss2.EventPropLinear.from_weights(weights[None]),
        n=bss2.EventPropLIF(**NUMBERS, dt=DT),
    )
    return nj.simulate(network, inputs).outputs[:, 0, 0]


def test_gradient_of_spike_times():
    weights = np.array([2.0, 3.0, 4.0])
    exact = exact_spike_times(weights)
    inputs = np.zeros((STEPS, 1, 3), np.float32)
    for k, arrival in enumerate(INPUT_TIMES):
        inputs[round(arrival / DT) - 1, 0, k] = 1

    @jax.jit
    def gradients(weights, choice):
        spikes, pull = jax.vjp(lambda w: simulated(w, inputs), weights)
        # A spike's cotangent is minus that of its time.
        return spikes, pull(-choice * spikes)[0]

    spikes, _ = gradients(weights.astype(np.float32), jnp.zeros(STEPS))
    steps = np.flatnonzero(spikes)[:2]
    np.testing.assert_allclose(steps * DT, exact, atol=5 * DT)
    h = 1e-5
    for k, step in enumerate(steps):
        choice = jnp.zeros(STEPS).at[step].set(1.0)
        _, found = gradients(weights.astype(np.float32), choice)
        slope = [
            (exact_spike_times(weights + e)[k] - exact_spike_times(weights - e)[k]) / (2 * h)
            for e in h * np.eye(3)
        ]
        assert slope[0] < 0
        # Euler's method with steps of a thousandth of the time constants.
        np.testing.assert_allclose(found, slope, rtol=2e-2, atol=1e-2 * np.abs(slope).max())


def test_spikes_and_traces_are_those_of_the_plain_neuron():
    weight = jax.random.normal(jax.random.key(0), (5, 4))
    x = (jax.random.uniform(jax.random.key(1), (50, 3, 4)) < 0.3).astype(jnp.float32)
    probes = ["n.v", "n.i"]
    ours = nj.Sequential(
        (4,), s=bss2.EventPropLinear.from_weights(weight), n=bss2.EventPropLIF(**NUMBERS)
    )
    theirs = nj.Sequential((4,), s=nj.Linear.from_weights(weight), n=bss2.LIF(**NUMBERS))
    made = bss2.without_eventprop(ours, surrogate=theirs["n"].surrogate)
    assert eqx.tree_equal(made, theirs)
    mapped = bss2.without_eventprop(bss2.map(ours).network, surrogate=theirs["n"].surrogate)
    assert eqx.tree_equal(mapped, bss2.map(theirs).network)
    ours, theirs = (nj.simulate(net, x, probes=probes) for net in (ours, theirs))
    assert theirs.outputs.sum() > 30
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    for name in probes:
        np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-5, atol=1e-6)


def test_a_loss_of_the_membrane_is_differentiated_too():
    # Below the threshold there are no spikes, and plain differentiation is right.
    weight = 0.05 * jax.random.normal(jax.random.key(0), (5, 4))
    x = jax.random.uniform(jax.random.key(1), (20, 3, 4))

    def slope(synapse, neuron):
        def loss(weight):
            net = nj.Sequential((4,), s=synapse.from_weights(weight), n=neuron)
            run = nj.simulate(net, x, probes=["n.v", "n.i"])
            return jnp.sum(run["n.v"] ** 2) + jnp.sum(run["n.i"][3]), run.outputs.sum()

        gradient, spikes = jax.grad(loss, has_aux=True)(weight)
        assert spikes == 0
        return gradient

    ours = slope(bss2.EventPropLinear, bss2.EventPropLIF(**NUMBERS))
    np.testing.assert_allclose(ours, slope(nj.Linear, bss2.LIF(**NUMBERS)), rtol=1e-4)


def test_training_by_spike_times():
    inputs = np.zeros((40, 1, 3), np.float32)
    inputs[[1, 4, 8], 0, [0, 1, 2]] = 1
    target = 12e-6

    @jax.jit
    def update(weights):
        def loss(weights):
            net = nj.Sequential(
                (3,),
                s=bss2.EventPropLinear.from_weights(weights[None]),
                n=bss2.EventPropLIF(tau_mem=TAU_MEM, tau_syn=TAU_SYN),
            )
            time = bss2.spike_time(nj.simulate(net, inputs).outputs)[0, 0]
            return ((time - target) / target) ** 2, time

        gradient, time = jax.grad(loss, has_aux=True)(weights)
        return weights - 0.5 * gradient, time

    weights = jnp.array([2.0, 2.0, 2.0])
    first = update(weights)[1]
    for _ in range(60):
        weights, time = update(weights)
    assert abs(first - target) > 3e-6 and abs(time - target) <= 1.01e-6


def test_spike_time():
    spikes = jnp.zeros((6, 2)).at[2, 0].set(1).at[4, 0].set(1)
    time, pull = jax.vjp(lambda s: bss2.spike_time(s, dt=0.5, silent=7.0), spikes)
    assert time.tolist() == [1.0, 7.0]
    assert pull(jnp.array([3.0, 5.0]))[0].tolist() == [[0, 0]] * 2 + [[-3, 0]] + [[0, 0]] * 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: bss2.EventPropLIF(c_mem=5e-6), "c_mem = 5e-06 is given, which its gradient"),
        (lambda: bss2.EventPropLIF(gain=jnp.ones(3), v_min=0), "v_min = 0"),
        (lambda: bss2.EventPropLIF().out_shape((3,)), r"must be \(2, neurons\)"),
        (
            lambda: bss2.EventPropLinear.from_weights(np.ones((2, 3)), np.ones(2)).out_shape((3,)),
            "EventPropLinear has a bias",
        ),
    ],
)
def test_refusals(make, message):
    with pytest.raises(ValueError, match=message):
        make()
