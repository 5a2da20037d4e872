"""Measured values in the chips' neurons, against their equations in loops written out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips import cri, dynapcnn, loihi
from neurojax.chips._surrogate import InSteps
from neurojax.chips.cri.neuron import Relative

STEPS, BATCH = 5, 2
SURROGATE = nj.surrogate.ATan()
X = jnp.float32(np.random.default_rng(1).integers(0, 2, (STEPS, BATCH, 4)))
Z = jnp.float32(np.random.default_rng(2).integers(0, 2, (STEPS, BATCH, 5)))
V = jnp.float32(np.random.default_rng(3).integers(-4000, 8000, (STEPS, BATCH, 5)))
WEIGHTS = jnp.float32(np.random.default_rng(4).integers(-40, 90, (5, 4)))
OUTER = jax.random.normal(jax.random.key(5), (3, 5))


def put(computed, value):
    """The value of the one, the derivative of the other."""
    return computed - jax.lax.stop_gradient(computed) + jax.lax.stop_gradient(value)


def told(computed, value):
    return computed if value is None else put(computed, value)


def spike(v, threshold, surrogate=SURROGATE, strict=True):
    return nj.surrogate.spike(v - threshold, surrogate, threshold=threshold, strict=strict)


# Steps of populations, as they are written in the sheets: of state, drive, and spikes and membranes
# that were measured (None: they were not); they give state, spikes and membranes.


def by_lava(state, drive, z, v):
    """Lava's LIF with du 1023 (the current loses a quarter), dv 512 (an eighth), threshold 64."""
    u = put(0.75 * state[0], jnp.trunc(0.75 * state[0])) + 64 * drive
    h = put(0.875 * state[1], jnp.trunc(0.875 * state[1])) + u
    h = told(h, v)
    s = told(spike(h, 4096.0, InSteps(SURROGATE, 4096)), z)
    after = h if v is not None else (1 - s) * h
    return (u, after), s, after


def by_slayer(state, drive, z, v):
    """slayer's CUBA with decays of a quarter and an eighth: integers are 4096 times the states."""
    i = put(0.75 * state[0], jnp.trunc(3072 * state[0]) / 4096) + drive
    h = put(0.875 * state[1], jnp.trunc(3584 * state[1]) / 4096) + i
    h = told(h, v)
    s = told(spike(h, 1.0), z)
    after = h if v is not None else (1 - s) * h
    return (i, after), s, after


def by_cri(state, drive, z, v):
    """CRI's LIF with leak 2 and threshold 100: spikes are those of the membrane one step before."""
    (before,) = state
    s = told(spike(before, 100.0, Relative(SURROGATE)), z)
    left = put(0.75 * before, before - jnp.floor(before / 4))
    after = told((1 - s) * left + drive, v)
    return (after,), s, after


def by_core(state, drive, z, v):
    """A core with threshold 100, several spikes a step, and -50 as the least."""
    h = told(state[0] + drive, v)
    s = told(nj.surrogate.multi_spike(h, 100.0, SURROGATE, max_spikes=None), z)
    after = h if v is not None else jnp.maximum(h - 100 * s, -50)
    return (after,), s, after


def dense(neuron):
    return lambda w: {"inner": nj.Linear.from_weights(w), "hidden": neuron}


def core(w):
    return {
        "hidden": dynapcnn.Core(
            w[:, :, None, None], threshold=100.0, v_min=-50.0, flat=True, surrogate=SURROGATE
        )
    }


LAVA = loihi.LIF(du=1023, dv=512, vth=64, surrogate=InSteps(SURROGATE, 4096))
CUBA = loihi.CUBA(current_decay=0.25, voltage_decay=0.125, surrogate=SURROGATE)
CRI = cri.Neuron(theta=100, leak=2, surrogate=Relative(SURROGATE))
CHIPS = {  # layers, step by hand, how many states, unit of the weights, unit of the membrane
    "lava": (dense(LAVA), by_lava, 2, 1.0, 1.0),
    "slayer": (dense(CUBA), by_slayer, 2, 1 / 64, 1 / 4096),
    "cri": (dense(CRI), by_cri, 1, 1.0, 1 / 32),
    "dynapcnn": (core, by_core, 1, 1.0, 1 / 32),
}


@pytest.mark.parametrize("what", ["traces", "spikes", "both"])
@pytest.mark.parametrize("chip", CHIPS)
def test_a_chip_goes_on_from_what_was_measured(chip, what):
    layers, population, fields, w_unit, v_unit = CHIPS[chip]
    v = None if what == "spikes" else jnp.trunc(V * v_unit * 4096) / 4096
    v = v if v is None or chip == "slayer" else jnp.trunc(v)
    z = None if what == "traces" else Z
    measured = {"hidden": z, "hidden.v": v}
    measured = {path: values for path, values in measured.items() if values is not None}

    def ours(w):
        net = nj.Sequential(
            (4,), **layers(w), outer=nj.Linear.from_weights(OUTER), out=nj.LI(decay=0.5)
        )
        run = nj.simulate(net, X, measured=measured, schedule="step", probes=["hidden", "hidden.v"])
        return jnp.sum(jnp.sin(run.outputs)), (run.outputs, run["hidden"], run["hidden.v"])

    def theirs(w):
        def step(carry, now):
            x, z, v = now
            state, s, after = population(carry[0], x @ w.T, z, v)
            out = 0.5 * carry[1] + s @ OUTER.T
            return (state, out), (out, s, after)

        start = (jnp.zeros((BATCH, 5)),) * fields, jnp.zeros((BATCH, 3))
        values = jax.lax.scan(step, start, (X, z, v))[1]
        return jnp.sum(jnp.sin(values[0])), values

    w = WEIGHTS * w_unit
    (_, found), gradient = jax.jit(jax.value_and_grad(ours, has_aux=True))(w)
    (_, expected), slope = jax.jit(jax.value_and_grad(theirs, has_aux=True))(w)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found[1], expected[1])
    np.testing.assert_array_equal(found[2], expected[2])
    assert np.abs(slope).max() > 0
    np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-5 * np.abs(slope).max())


RESONATOR = {"period": 8.0, "decay": 0.1}
NEURONS = {
    "lava": LAVA,
    "lava, refractory": loihi.LIF(du=1023, dv=512, vth=64, refractory=2, vth_lo=-64),
    "lava, graded": loihi.LIF(du=1023, dv=512, vth=64, graded=True),
    "lava, float": loihi.FloatLIF(du=0.25, dv=0.125, vth=64.0),
    "slayer, graded": loihi.CUBA(
        current_decay=0.25, voltage_decay=0.125, threshold=30.0, graded=True
    ),
    "alif": loihi.ALIF(
        current_decay=0.25, voltage_decay=0.1, threshold=30.0, threshold_step=10.0,
        threshold_decay=0.1, refractory_decay=0.5,
    ),
    "atrlif": loihi.ATRLIF(
        current_decay=0.25, voltage_decay=0.1, threshold=30.0, threshold_step=10.0,
        threshold_decay=0.1, refractory_decay=0.5,
    ),
    "rf": loihi.RF.from_period(**RESONATOR, threshold=30.0),
    "rf, izhikevich": loihi.RFIzhikevich.from_period(**RESONATOR, threshold=30.0),
    "adrf, izhikevich": loihi.AdRFIzhikevich.from_period(
        **RESONATOR, threshold=30.0, threshold_step=10.0, threshold_decay=0.1, refractory_decay=0.5
    ),
    "cri, refractory": cri.Neuron(theta=50, leak=3, refractory=1, reset="subtract"),
    "cri, noise": cri.Neuron(theta=50, leak=3, shift=-10),
    "core, to zero": dynapcnn.Core(
        WEIGHTS[:, :, None, None], threshold=60, reset="zero", flat=True
    ),
    "crossbar": cri.Crossbar(
        jnp.abs(WEIGHTS.T), jnp.float32(np.random.default_rng(6).integers(-30, 60, (5, 5))),
        neuron=cri.Neuron(theta=50, leak=3), outputs=[3, 1],
    ),
    "lif": nj.LIF(decay=0.9, threshold=30.0, refractory=2.0),
    "lif, counts": nj.LIF(decay=0.9, threshold=30.0, reset="zero", max_spikes=None),
    "adaptive": nj.AdaptiveLIF(decay=0.9, decay_adapt=0.9, adaptation=3.0, threshold=30.0),
}  # fmt: skip


@pytest.mark.parametrize("name", NEURONS)
def test_its_own_spikes_change_nothing(name):
    """What a model does, measured without error, leaves it as it is: also its gradients."""
    neuron, key = NEURONS[name], jax.random.key(0)

    def run(w, measured=None):
        layers = {"hidden": neuron}
        if isinstance(neuron, dynapcnn.Core | cri.Crossbar):
            layers = {"gain": nj.Linear.from_weights(jnp.diag(w[:4, 0])), **layers}
        elif isinstance(neuron, loihi.RF | loihi.RFIzhikevich | loihi.AdRFIzhikevich):
            layers = {
                "inner": nj.Linear.from_weights(jnp.concatenate([w, -w])),
                "pair": nj.layers.Reshape((2, 5)),
                **layers,
            }
        else:
            layers = {"inner": nj.Linear.from_weights(w), **layers}
        net = nj.Sequential((4,), **layers)
        found = nj.simulate(net, X, measured=measured, key=key, schedule="step")
        return jnp.sum(jnp.sin(found.outputs + jnp.arange(STEPS)[:, None, None])), found

    @jax.jit
    def both(w):
        slope, plain = jax.grad(run, has_aux=True)(w)
        again, told = jax.grad(run, has_aux=True)(w, {"hidden": plain.outputs})
        return plain, told, slope, again

    w = jnp.ones_like(WEIGHTS) if isinstance(neuron, dynapcnn.Core | cri.Crossbar) else WEIGHTS
    plain, told, slope, again = both(w)
    assert 0 < np.count_nonzero(plain.outputs) < plain.outputs.size
    assert np.abs(slope).max() > 0
    for a, b in zip(jax.tree.leaves(plain), jax.tree.leaves(told), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(again, slope, rtol=1e-5, atol=1e-6 * np.abs(slope).max())
