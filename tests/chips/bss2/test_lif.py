"""LIF, LI and IAF: numbers as constants, refractory periods, measured values, closed forms."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import bss2

X = jax.random.normal(jax.random.key(0), (40, 3, 5)) + 0.3


@eqx.filter_jit
def simulate(neuron, x, probes=("n.v", "n.i"), measured=None):
    network = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(network, x, probes=probes, measured=measured)


NUMBERS = {"leak": 0.125, "tau_mem": 6e-6, "tau_syn": 8e-6, "c_mem": 5e-6}
FIRING = {"threshold": 0.75, "reset": -0.25, "refractory_time": 2e-6}


@pytest.mark.parametrize(
    ("kind", "numbers"), [(bss2.LIF, NUMBERS | FIRING), (bss2.LI, NUMBERS)], ids=["LIF", "LI"]
)
def test_numbers_are_as_good_as_arrays(kind, numbers):
    # The recordings are compared with arrays.
    fixed = simulate(kind(**numbers), X)
    learned = simulate(kind(**{name: jnp.full(5, value) for name, value in numbers.items()}), X)
    for name, trace in fixed.traces.items():
        np.testing.assert_allclose(learned[name], trace, rtol=1e-5, atol=1e-6)
    if kind is bss2.LIF:
        np.testing.assert_array_equal(learned.outputs, fixed.outputs)
        assert fixed.outputs.sum() > 20
    assert not jax.tree.leaves(kind(**numbers))


def test_as_the_plain_neuron_in_this_order():
    plain = nj.CubaLIF(
        tau=6.0,
        tau_syn=8.0,
        method="euler",
        order="old",
        gain=1 / 5,
        v_rest=0.125,
        threshold=0.75,
        strict=True,
        reset="value",
        reset_value=-0.25,
        refractory=2.0,
    )
    ours, theirs = simulate(bss2.LIF(**NUMBERS, **FIRING), X), simulate(plain, X)
    np.testing.assert_array_equal(ours.outputs, theirs.outputs)
    np.testing.assert_allclose(ours["n.v"], theirs["n.v"], rtol=1e-5, atol=1e-6)


def test_without_leak_it_counts():
    neuron = bss2.IAF(tau_mem=4e-6, tau_syn=1e-6, threshold=1.0, reset=0.0)
    run = simulate(neuron, jnp.ones((13, 1, 1)))
    # The current is 1 from the first step on, and moves v by 1/4 from the second on.
    assert jnp.flatnonzero(run.outputs).tolist() == [5, 10]
    assert simulate(neuron, jnp.ones((1, 1, 1)))["n.v"] == 0
    begun = bss2.IAF(reset=-0.5, generation="seed").init((2,)).v
    assert begun.tolist() == [-0.5, -0.5]
    assert bss2.IAF(reset=-0.5).init((2,)).v.tolist() == [0, 0]


@pytest.mark.parametrize("as_array", [False, True])
def test_refractory_period_in_whole_steps(as_array):
    # Strong input: a neuron spikes whenever it may. k us are k steps, whatever k * 1e-6 / 1e-6 is.
    periods = [0.0, 1e-9, 2.5e-6] + [k * 1e-6 for k in range(1, 40)]
    silent = [0, 1, 3, *range(1, 40)]
    x = jnp.full((100, 1, len(periods)), 100.0)
    if as_array:
        spikes = simulate(bss2.LIF(refractory_time=jnp.array(periods)), x).outputs
        gaps = [np.diff(np.flatnonzero(spikes[:, 0, n]))[0] for n in range(len(periods))]
        assert gaps == [n + 1 for n in silent]
        return
    for period, n in ((0.0, 0), (2.5e-6, 3), (5e-6, 5), (17e-6, 17)):
        spikes = simulate(bss2.LIF(refractory_time=period), x[:, :, :1]).outputs
        assert np.diff(np.flatnonzero(spikes))[0] == n + 1
    assert bss2.LIF().init((3,)).refractory is None


def test_exact_decay():
    # Without input a membrane decays as exp(-t / tau), and one impulse goes as a closed form.
    dt, tau_mem, tau_syn = 0.5e-6, 6e-6, 3e-6
    timing = {"tau_mem": tau_mem, "tau_syn": tau_syn, "dt": dt, "method": "exact"}
    steps = np.arange(1, 31)
    run = simulate(bss2.LI(v_init=1.0, **timing), jnp.zeros((30, 1, 1)))
    np.testing.assert_allclose(run["n.v"].ravel(), np.exp(-steps * dt / tau_mem), rtol=1e-5)
    run = simulate(bss2.LI(**timing), jnp.zeros((30, 1, 1)).at[0].set(1.0))
    np.testing.assert_allclose(run["n.i"].ravel(), np.exp(-(steps - 1) * dt / tau_syn), rtol=1e-5)
    with pytest.raises(ValueError, match="use a smaller dt, or method='exact'"):
        bss2.LI(tau_syn=0.4e-6, dt=0.5e-6)
    assert bss2.LI(tau_syn=0.4e-6, dt=0.5e-6, method="exact")


def test_gain_and_lower_bound():
    twice = simulate(bss2.LIF(gain=2.0, **NUMBERS), X)
    np.testing.assert_allclose(twice["n.v"], simulate(bss2.LIF(**NUMBERS), 2 * X)["n.v"], rtol=1e-5)
    # A small capacitance is a large input, and no short time.
    small = simulate(bss2.LI(c_mem=0.5e-6), X)["n.v"]
    np.testing.assert_allclose(small, simulate(bss2.LI(gain=20.0), X)["n.v"], rtol=1e-4, atol=1e-4)
    assert simulate(bss2.LIF(v_min=-0.1, **NUMBERS), X - 1)["n.v"].min() == np.float32(-0.1)


def test_measured_membrane_is_where_spikes_take_their_derivative():
    neuron = bss2.LIF(threshold=0.5, surrogate=nj.surrogate.SuperSpike(10.0))
    v = jnp.array([0.1, 0.2, 0.9, 0.4]).reshape(4, 1, 1)

    def spikes(x):
        return simulate(neuron, x, (), {"n.v": v}).outputs

    assert spikes(jnp.zeros((4, 1, 1))).ravel().tolist() == [0, 0, 1, 0]
    # By hand: input of step 0 is a current in step 1, a tenth of which moves the membrane there.
    slope = jax.grad(lambda x: spikes(x)[1].sum())(jnp.zeros((4, 1, 1)))
    assert slope[0, 0, 0] == pytest.approx(0.1 / (10 * 0.3 + 1) ** 2)


def test_measured_output_of_a_readout_is_its_membrane():
    v = jax.random.normal(jax.random.key(1), X.shape)
    of_output = simulate(bss2.LI(), X, ("n.v",), {"n": v})
    of_state = simulate(bss2.LI(), X, ("n.v",), {"n.v": v})
    for run in (of_output, of_state):
        np.testing.assert_array_equal(run.outputs, v)
        np.testing.assert_array_equal(run["n.v"], v)


def test_chips_by_vmap():
    thresholds = jnp.linspace(0.5, 1.5, 4)[:, None] * jnp.ones(5)
    many = jax.vmap(lambda th: simulate(bss2.LIF(threshold=th), X).outputs)(thresholds)
    for k, threshold in enumerate((0.5, 1.5)):
        one = simulate(bss2.LIF(threshold=threshold), X).outputs
        np.testing.assert_array_equal(many[-k], one)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: bss2.LIF(tau_mem=0.0), ValueError, "tau_mem is 0; it must be > 0"),
        (lambda: bss2.LIF(refractory_time=-1.0), ValueError, "refractory_time is -1"),
        (lambda: bss2.LIF(method="heun"), ValueError, "method is 'heun'; it must be one of"),
        (lambda: bss2.LIF(surrogate="superspike"), TypeError, "surrogate is 'superspike'"),
        (lambda: bss2.IAF(generation="2024"), ValueError, "generation is '2024'"),
        (lambda: bss2.LI(leak="80"), TypeError, "leak is '80'; give a number"),
        (lambda: bss2.LIF(leak=jnp.ones(3)).out_shape((4,)), ValueError, r"leak has shape \(3,\)"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
