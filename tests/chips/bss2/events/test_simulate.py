"""Networks from event to event: against a float64 simulation, differences of it, and time steps."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import events
from tests.chips.bss2.events import oracle
from tests.conformance._result import QUICK

IDENTITY = nj.Linear.from_weights(jnp.eye(2))
INPUTS, HIDDEN, OUT, T_MAX, ROOM = 4, 5, 3, 40e-6, 60


def draw(seed):
    """Parameters of a network with feedback, all of them arrays, and input spikes."""
    random = np.random.default_rng(seed)

    def neurons(size):
        return {
            "tau_mem": random.uniform(5e-6, 15e-6, size),
            "tau_syn": random.uniform(3e-6, 8e-6, size),
            "leak": random.uniform(-0.2, 0.3, size),
            "threshold": random.uniform(0.8, 1.2, size),
            "reset": random.uniform(-0.5, 0.2, size),
        }

    weights = {
        "w1": random.normal(1.5, 1.5, (HIDDEN, INPUTS)),
        "back": random.normal(0, 0.7, (HIDDEN, HIDDEN)),
        "w2": random.normal(1.0, 1.0, (OUT, HIDDEN)),
    }
    parameters = weights | {"hidden": neurons(HIDDEN), "out": neurons(OUT)}
    time = random.uniform(0, 25e-6, 8)
    return rounded(parameters), rounded(time), random.integers(0, INPUTS, 8)


def rounded(tree):
    """Numbers that float32 holds, so that both sides begin with the same ones."""
    return jax.tree.map(lambda x: np.asarray(x, np.float32).astype(float), tree)


def network(p):
    neurons = {name: jax.tree.map(jnp.asarray, p[name]) for name in ("hidden", "out")}
    back = nj.Linear.from_weights(p["back"])
    return nj.Sequential(
        (INPUTS,),
        s1=nj.Linear.from_weights(p["w1"]),
        hidden=nj.Recurrent(bss2.LIF(**neurons["hidden"]), back),
        s2=nj.Linear.from_weights(p["w2"]),
        out=bss2.LIF(**neurons["out"]),
    )


def simulated(p, time, index, gradient="eventprop"):
    return events.simulate(
        network(p),
        events.spikes(time, index),
        t_max=T_MAX,
        max_events={"hidden": ROOM, "out": ROOM},
        gradient=gradient,
    )


def single(tree):
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), tree)


def theirs(p, time, index):
    """Spikes of both populations."""
    hidden = oracle.simulate(
        oracle.Neurons(**p["hidden"]),
        p["w1"].T,
        time,
        index,
        T_MAX,
        from_own=p["back"].T,
        limit=ROOM,
    )
    out = oracle.simulate(
        oracle.Neurons(**p["out"]),
        p["w2"].T,
        np.array([t for t, _ in hidden]),
        [n for _, n in hidden],
        T_MAX,
        limit=ROOM,
    )
    return {"hidden": hidden, "out": out}


COTANGENT = np.array([1.0, -0.5, 0.3, 0.8])


def first_times(train):
    """The first four spikes: their times, weighted."""
    return jnp.sum(train.time[..., :4] * COTANGENT)


@ft.partial(jax.jit, static_argnames="gradient", compiler_options=QUICK)
def differentiated(p, time, index, gradient="eventprop"):
    """A run, and the gradient of the outputs' first times by all numbers."""

    def loss(p, time):
        run = simulated(p, time, index, gradient)
        return first_times(run.outputs), run

    gradients, run = jax.grad(loss, argnums=(0, 1), has_aux=True)(p, time)
    return run, gradients


@settings(max_examples=6)
@given(st.integers(0, 2**32 - 1))
def test_spikes_are_those_of_a_simulation_in_float64(seed):
    p, time, index = draw(seed)
    run, _ = differentiated(*single((p, time)), index)
    for name, found in theirs(p, time, index).items():
        train = run.spikes[name]
        assert (np.diff(train.time[train.there]) >= 0).all()
        # Rounding grows from spike to spike: compare the first ones.
        n = min(len(found), 10)
        assert int(train.count) >= n
        np.testing.assert_allclose(train.time[:n], [t for t, _ in found[:n]], rtol=0, atol=3e-9)
        assert train.index[:n].tolist() == [k for _, k in found[:n]]


@pytest.mark.parametrize("seed", [1, 5])
def test_gradients_are_those_of_spike_times_in_float64(seed):
    """By weights, feedback, input times and all parameters of all neurons."""
    p, time, index = draw(seed)
    assert len(theirs(p, time, index)["out"]) >= 4
    both = {g: differentiated(*single((p, time)), index, g)[1] for g in events.GRADIENTS}
    # Seconds are small numbers: all steps are relative.
    point = {"p": p, "time": time}
    leaves, tree = jax.tree.flatten(point)
    random = np.random.default_rng(seed)

    def at(step, directions):
        moved = [x + step * d for x, d in zip(leaves, directions, strict=True)]
        moved = jax.tree.unflatten(tree, moved)
        found = theirs(moved["p"], moved["time"], index)["out"][:4]
        return np.sum([t for t, _ in found] * COTANGENT)

    for k in range(len(leaves)):
        directions = [np.zeros_like(x) for x in leaves]
        scale = np.abs(leaves[k]).mean()
        directions[k] = random.normal(size=leaves[k].shape) * scale
        h = 1e-7
        difference = (at(h, directions) - at(-h, directions)) / (2 * h)
        for name, (to_p, to_time) in both.items():
            found = jax.tree.leaves({"p": to_p, "time": to_time})
            product = np.sum(np.asarray(found[k], float) * directions[k])
            size = np.abs(np.asarray(found[k], float) * scale).sum()
            assert np.isclose(product, difference, rtol=1e-3, atol=1e-3 * size + 1e-12), (name, k)


def test_small_time_steps_come_to_the_same_spikes():
    """The same network object, with feedback and a layer of synapses that is no `Linear`."""
    random = np.random.default_rng(3)
    back = nj.Linear.from_weights(random.normal(0, 0.5, (HIDDEN, HIDDEN)).astype("f"))
    net = nj.Sequential(
        (1, INPUTS),
        conv=nj.Conv1d.from_weights(random.uniform(0.5, 1, (2, 1, 2)).astype("f")),
        flat=nj.Flatten(),
        s1=nj.Linear.from_weights(random.uniform(0, 3, (HIDDEN, 6)).astype("f")),
        hidden=nj.Recurrent(bss2.LIF(tau_mem=8e-6, tau_syn=5e-6, leak=0.1, dt=2e-8), back),
    )
    time, index = np.array([1e-6, 2e-6, 5e-6, 6e-6]), np.array([0, 2, 1, 3])
    run = events.simulate(net, events.spikes(time, index), t_max=20e-6, max_events=40)
    raster = np.zeros((1000, 1, 1, INPUTS), np.float32)
    raster[np.round(time / 2e-8).astype(int), 0, 0, index] = 1
    steps, neurons = np.nonzero(nj.simulate(net, raster).outputs[:, 0])
    assert int(run.outputs.count) == len(steps) > 20
    np.testing.assert_array_equal(run.outputs.index[: len(steps)], neurons)
    # The error of the steps grows from spike to spike.
    np.testing.assert_allclose(run.outputs.time[:20], steps[:20] * 2e-8, atol=1e-7)


SMALL = bss2.LIF(tau_mem=10e-6, tau_syn=5e-6, leak=0.2, threshold=1.0, reset=-0.2)


@ft.partial(jax.jit, static_argnames=("room", "gradient"), compiler_options=QUICK)
def small(w, time, index, measured=None, *, room=40, gradient="eventprop"):
    """A population, with the derivative of its first times by weights."""

    def loss(w):
        net = nj.Sequential((INPUTS,), s=nj.Linear.from_weights(w), n=SMALL)
        told = None if measured is None else {"n": measured}
        run = events.simulate(
            net,
            events.spikes(time, index),
            t_max=T_MAX,
            max_events=room,
            measured=told,
            gradient=gradient,
        )
        return first_times(run.outputs), run

    (_, run), slopes = jax.value_and_grad(loss, has_aux=True)(w)
    return run, slopes


def few(seed):
    """Weights and input spikes of a small population."""
    p, time, index = draw(seed)
    return jnp.asarray(p["w1"], jnp.float32), time.astype(np.float32), index


def test_forward_mode_agrees():
    w, time, index = few(1)
    _, slopes = small(w, time, index)

    def loss(w):
        net = nj.Sequential((INPUTS,), s=nj.Linear.from_weights(w), n=SMALL)
        train = events.spikes(time, index)
        run = events.simulate(net, train, t_max=T_MAX, max_events=40, gradient="analytical")
        return first_times(run.outputs)

    forward = ft.partial(jax.jvp, loss)
    _, tangent = jax.jit(forward, compiler_options=QUICK)((w,), (jnp.ones_like(w),))
    assert np.isclose(tangent, slopes.sum(), rtol=1e-3)


def test_measured_spikes_take_the_place_of_computed_ones():
    w, time, index = few(5)
    run, slopes = small(w, time, index)
    for gradient in events.GRADIENTS:
        same, same_slopes = small(w, time, index, run.outputs, gradient=gradient)
        np.testing.assert_array_equal(same.outputs.time, run.outputs.time)
        np.testing.assert_allclose(same_slopes, slopes, rtol=1e-3, atol=1e-9)
    # A device that spikes late, and does not see the last spike.
    out, count = run.outputs, int(run.outputs.count)
    late = events.spikes((out.time + 1e-7).at[count - 1].set(jnp.inf), out.index)
    found, _ = small(w, time, index, late)
    np.testing.assert_array_equal(found.outputs.time, late.time)
    assert int(found.outputs.count) == count - 1
    assert int(found.lost["n"]) == 0


def test_gradients_at_measured_spikes_are_the_models():
    """Four neurons, one spike each: dt/dw = -(dv/dw) / v' at the times that were measured."""
    w, time, index = few(5)
    spike = np.array([12e-6, 15e-6, 20e-6, 27e-6], np.float32)
    told = events.spikes(np.pad(spike, (0, 36), constant_values=np.inf), np.arange(40) % 4)
    since = np.maximum(spike[:, None] - time, 0)  # of each input, for each of the four neurons
    kernel = np.exp(-since / 10e-6) - np.exp(-since / 5e-6)
    came = (time < spike[:, None]) * np.exp(-since / 5e-6)
    current = np.sum(came * np.asarray(w)[:4, index], axis=1)
    rise = (0.2 - 1.0 + current) / 10e-6
    by_weight = np.zeros((HIDDEN, INPUTS))
    for n in range(4):
        np.add.at(by_weight[n], index, -COTANGENT[n] * kernel[n] / rise[n])
    for gradient in events.GRADIENTS:
        run, slopes = small(w, time, index, told, gradient=gradient)
        np.testing.assert_array_equal(run.outputs.time[:4], spike)
        np.testing.assert_allclose(slopes, by_weight, rtol=1e-3, atol=1e-4 * abs(by_weight).max())


def test_no_event_is_lost_in_silence():
    w, time, index = few(1)
    full, _ = small(w, time, index)
    n = int(full.outputs.count)
    assert int(full.lost["n"]) == 0 and n > 4
    short, _ = small(w, time, index, room=n + 7)
    assert int(short.lost["n"]) == 1
    np.testing.assert_allclose(short.outputs.time[: n - 1], full.outputs.time[: n - 1], rtol=1e-6)
    net = nj.Sequential((INPUTS,), s=nj.Linear.from_weights(w), n=SMALL)
    with pytest.raises(ValueError, match=r"population 'n'.* raise max_events"):
        events.simulate(net, events.spikes(time, index), t_max=T_MAX, max_events=4)


def test_batches_and_chips_are_axes():
    w, time, index = few(2)
    times = np.stack([time, time + np.float32(1e-6), time[::-1]])
    run, _ = small(w, times, np.stack([index] * 3))
    chips, _ = jax.vmap(lambda s: small(s * w, time, index))(jnp.array([1.0, 1.1]))
    assert run.lost["n"].shape == (3,)
    assert chips.outputs.time.shape == (2, 40)
    for found, k, (w_k, time_k) in (
        (run, 1, (w, times[1])),
        (run, 2, (w, times[2])),
        (chips, 1, (1.1 * w, time)),
    ):
        one, _ = small(w_k, time_k, index)
        np.testing.assert_allclose(found.outputs.time[k], one.outputs.time, rtol=1e-5)
        np.testing.assert_array_equal(found.outputs.index[k], one.outputs.index)


def test_synapses_of_the_chip_and_of_eventprop_are_weights():
    """Rounded to six bits, and handing on two numbers: the same spikes as the weights they have."""
    plain = nj.Linear.from_weights(jnp.array([[3.0, -1.0], [0.5, 2.0]]))
    rounded = bss2.Synapse(nj.Linear.from_weights(plain.weight + 0.04), scale=10.0)
    pair = bss2.EventPropLinear.from_weights(plain.weight)
    options = {"tau_mem": 10e-6, "tau_syn": 5e-6, "threshold": 0.3}
    train = events.spikes([1e-6, 2e-6, 4e-6], [0, 1, 1])
    runs = [
        events.simulate(nj.Sequential((2,), s=s, n=n), train, t_max=30e-6, max_events=40)
        for s, n in (
            (plain, bss2.LIF(**options)),
            (rounded, bss2.LIF(**options)),
            (pair, bss2.EventPropLIF(**options)),
        )
    ]
    assert int(runs[0].outputs.count) > 4
    for run in runs[1:]:
        np.testing.assert_allclose(run.outputs.time, runs[0].outputs.time, rtol=1e-6)
        np.testing.assert_array_equal(run.outputs.index, runs[0].outputs.index)


def test_a_neuron_without_leak_integrates():
    """The current is all that a spike gives: weight tau_syn / c_mem (1 - exp(-t / tau_syn))."""
    net = nj.Sequential(
        (1,), s=nj.Linear.from_weights([[3.0]]), n=bss2.IAF(tau_syn=5e-6, c_mem=10e-6, reset=-9.0)
    )
    run = events.simulate(net, events.spikes([1e-6], [0]), t_max=T_MAX, max_events=4)
    assert np.isclose(run.outputs.time[0], 1e-6 - 5e-6 * np.log(1 - 1 / 1.5), rtol=1e-5)


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ({"s": nj.Linear(2, 2, bias=True, key=jax.random.key(0)), "n": bss2.LIF()}, "bias"),
        ({"n": bss2.AELIF()}, "closed form"),
        ({"n": bss2.LIF(refractory_time=2e-6)}, "refractory_time"),
        ({"n": bss2.LIF(reset=1.0)}, "without end"),
        ({"n": bss2.LIF(), "r": bss2.LI()}, "'r': .*closed form"),
        ({"n": bss2.LIF(), "s": nj.Linear(2, 2, key=jax.random.key(0))}, "output 's'"),
        ({"n": nj.LIF(tau=10.0)}, "bss2.map"),
        ({"n": nj.Recurrent(nj.LIF(tau=10.0), IDENTITY)}, "bss2.map"),
        ({"s": bss2.Synapse(IDENTITY, transport=bss2.Transport()), "n": bss2.LIF()}, "late"),
    ],
)
def test_what_has_no_events_is_refused(layers, words):
    net = nj.Sequential((2,), **layers)
    with pytest.raises(ValueError, match=words):
        events.simulate(net, events.spikes([1e-6], [0]), t_max=1e-5, max_events=4)


def test_inputs_that_do_not_fit_are_refused():
    net = nj.Sequential((2,), n=bss2.LIF())
    fine = {"t_max": 1e-5, "max_events": 4}
    train = events.spikes([1e-6], [0])
    with pytest.raises(ValueError, match="begins at 0"):
        events.spikes([-1e-6], [0])
    with pytest.raises(ValueError, match="must be the same"):
        events.spikes([1e-6], [0, 1])
    with pytest.raises(ValueError, match="2 neurons"):
        events.simulate(net, events.spikes([1e-6], [2]), **fine)
    with pytest.raises(ValueError, match="inputs are"):
        events.simulate(net, {"in": train}, **fine)
    with pytest.raises(ValueError, match="populations are"):
        events.simulate(net, train, **fine, measured={"m": train})
    with pytest.raises(ValueError, match="max_events is given for"):
        events.simulate(net, train, t_max=1e-5, max_events={"m": 4})
    with pytest.raises(ValueError, match="integer above 0"):
        events.simulate(net, train, t_max=1e-5, max_events=0)
    with pytest.raises(ValueError, match="t_max"):
        events.simulate(net, train, t_max=np.inf, max_events=4)
    with pytest.raises(ValueError, match="one of"):
        events.simulate(net, train, **fine, gradient="surrogate")
