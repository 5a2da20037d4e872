"""ALIF against 64-bit integers and gradients of torch; conformance has slayer's recording."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi import ShiftNorm
from neurojax.chips.loihi.alif import ALIF, ALIFState
from neurojax.converters.slayer._zoo import alif_neuron
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter
from tests.chips.loihi.zoo_oracle import Integers, real_spikes

STEPS, NEURONS = 12, 8
LARGEST = 1 << 24
PROBES = ["n.v", "n.i", "n.b", "n.r"]


@eqx.filter_jit
def run(neuron, x, state=None):
    net = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(net, x, state=state, probes=PROBES)


def starting(neuron, shape, **values):
    """A run's state, for a batch of one, in which the neuron has these values."""
    state = nj.Sequential(shape, n=neuron).init(1)
    held = ALIFState(**{name: jnp.float32(value) for name, value in values.items()})
    return eqx.tree_at(lambda s: s.layers["n"], state, held)


def slayer_neuron(**changes):
    options = {"current_decay": 0.3, "voltage_decay": 0.15} | changes
    return alif_neuron(
        threshold=0.6, threshold_step=0.25, threshold_decay=0.1, refractory_decay=0.3, **options
    )


# 64-bit integers

decays = st.one_of(st.sampled_from([0, 1, 2048, 4095, 4096]), st.integers(0, 4096))
magnitudes = st.sampled_from([3, 100, 5000, 1 << 17, 1 << 22, LARGEST])


@settings(max_examples=60)
@given(
    st.tuples(decays, decays, decays, decays),
    magnitudes,
    st.integers(0, 1 << 17),
    st.integers(0, 1 << 12),
    st.integers(0, 2**32 - 1),
)
def test_every_bit_of_states_of_25_bits(steps, size, threshold, step, seed):
    rng = np.random.default_rng(seed)
    state = {name: rng.integers(-size, size + 1, (1, NEURONS)) for name in ("v", "i")}
    state |= {name: rng.integers(0, size + 1, (1, NEURONS)) for name in ("b", "r")}
    x = rng.integers(-size, size + 1, (STEPS, 1, NEURONS)) // STEPS
    names = ("current_decay", "voltage_decay", "threshold_decay", "refractory_decay")
    neuron = ALIF(
        **{name: jnp.float32(n / 4096) for name, n in zip(names, steps, strict=True)},
        threshold=jnp.float32(threshold / 64),
        threshold_step=jnp.float32(step / 64),
    )
    first = {name: value / 4096 for name, value in state.items()}
    result = run(neuron, jnp.float32(x / 4096), starting(neuron, (NEURONS,), **first))
    parts = dict(zip(("D_i", "D_v", "D_th", "D_r"), steps, strict=True))
    parts |= {"th0": 64 * threshold, "step": 64 * step}
    expected = Integers("ALIF", parts, state).run(x)
    exact = np.logical_and.accumulate(
        np.all([np.abs(expected[name]) <= LARGEST for name in ("v", "i", "b", "r")], axis=0)
    )
    for name in ("v", "i", "b", "r"):
        ours = np.asarray(result[f"n.{name}"], np.float64) * 4096
        assert ((ours == expected[name]) | ~exact).all(), name
    assert ((result.outputs == expected["spikes"]) | ~exact).all()


def test_a_comparison_wider_than_a_float():
    """v = 2^24, and threshold + b + r is that or one more, which a float32 does not hold."""
    neuron = ALIF(current_decay=1.0, voltage_decay=0.0, threshold=0.0, refractory_decay=0.0)
    for more, fires in ((1, 0.0), (0, 1.0)):
        first = {"v": 1 << 24, "i": 0, "b": (1 << 23) + more, "r": 1 << 23}
        first = {name: np.full((1, 1), n / 4096) for name, n in first.items()}
        state = starting(neuron, (1,), **first)
        assert run(neuron, jnp.zeros((1, 1, 1)), state).outputs == fires


# Gradients of the real-valued equations

FINE = 1024
"""A scale at which integers are near to real numbers."""


def real_gradients(parameters, x, g, width=4.0):
    leaves = {
        name: torch.tensor(value, dtype=torch.double, requires_grad=True)
        for name, value in parameters.items()
    }
    x = torch.tensor(np.asarray(x, np.float64), requires_grad=True)

    def slope(above):
        q = torch.sigmoid(width * above)
        return (width * q * (1 - q),)

    y = real_spikes("ALIF", x, leaves, slope)
    (y * torch.tensor(g)).sum().backward()
    return y.detach().numpy(), {n: v.grad.numpy() for n, v in leaves.items()}, x.grad.numpy()


def test_gradients_are_those_of_the_equations():
    rng = np.random.default_rng(3)
    x = np.round(rng.normal(0.0, 0.4, (30, 2, NEURONS)) * 4096) / 4096
    g = rng.normal(size=x.shape)
    parameters = {
        "current_decay": 1024 / 4096,
        "voltage_decay": 410 / 4096,
        "threshold_decay": 300 / 4096,
        "refractory_decay": 1500 / 4096,
        "threshold": 0.75,
        "threshold_step": 0.125,
    }
    spikes, expected, expected_x = real_gradients(parameters, x, g)
    options = {name: jnp.float32(value) for name, value in parameters.items()}
    neuron = ALIF(**options, scale=FINE, surrogate=Sigmoid(4.0))
    x = jnp.float32(x)
    assert (run(neuron, x).outputs == spikes).all()
    assert 10 < spikes.sum() < spikes.size / 2
    loss = lambda neuron, x: jnp.sum(run(neuron, x).outputs * g)  # noqa: E731
    to_neuron, to_x = jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x)
    np.testing.assert_allclose(to_x, expected_x, atol=2e-3 * np.abs(expected_x).max())
    for name, value in expected.items():
        np.testing.assert_allclose(getattr(to_neuron, name), value, rtol=5e-3, err_msg=name)
    # Forward mode too.
    _, along = jax.jit(lambda x: jax.jvp(lambda x: loss(neuron, x), (x,), (x,)))(x)
    np.testing.assert_allclose(along, np.sum(np.asarray(to_x) * np.asarray(x)), rtol=1e-3)


def test_without_gradients_through_the_adaptation():
    """As if b and r were inputs: only the membrane and the base threshold are left."""
    x = jnp.float32(np.random.default_rng(4).normal(0.3, 0.4, (20, 1, NEURONS)))
    options = {"current_decay": 0.25, "voltage_decay": 0.125, "threshold": jnp.float32(0.5)}
    adapting = {"threshold_decay": jnp.float32(0.1), "threshold_step": jnp.float32(0.25)}

    def gradients(**more):
        neuron = ALIF(**options, **adapting, **more)
        return jax.jit(jax.grad(lambda n: run(n, x).outputs.sum()))(neuron)

    with_it, without = gradients(), gradients(adaptation_gradient=False)
    assert without.threshold_decay == 0
    assert without.threshold_step == 0
    assert with_it.threshold_decay != 0
    assert with_it.threshold_step < 0
    assert without.threshold < 0


# What every layer can do


def test_batch_state_and_schedules():
    neuron = slayer_neuron(norm=ShiftNorm(jnp.array([0.1, 0.2, -0.1, 0.0])))
    x = jax.random.normal(jax.random.key(0), (20, 3, 4)) + 0.4
    whole = run(neuron, x)
    assert 0 < whole.outputs.sum() < whole.outputs.size
    first = run(neuron, x[:10])
    second = run(neuron, x[10:], first.state)
    assert (jnp.concatenate([first.outputs, second.outputs]) == whole.outputs).all()
    net = nj.Sequential((4,), n=neuron)
    assert (nj.simulate(net, x[:, 1:2], schedule="layer").outputs == whole.outputs[:, 1:2]).all()


def test_many_neurons_at_once():
    x = jax.random.normal(jax.random.key(0), (20, 3, 4)) + 0.4
    both = jax.vmap(lambda d: run(slayer_neuron(current_decay=d), x).outputs)(jnp.array([0.3, 0.9]))
    for decay, outputs in zip((0.3, 0.9), both, strict=True):
        assert (run(slayer_neuron(current_decay=decay), x).outputs == outputs).all()


@pytest.mark.parametrize(
    ("options", "learned"),
    [({}, True), ({"graded": True}, False), ({"threshold": None}, False), ({"scale": 1}, False)],
)
def test_its_equations_are_what_it_computes(options, learned):
    given = {"current_decay": 0.3, "voltage_decay": 0.15, "threshold_decay": 0.1}
    if learned:
        given = {name: jnp.float32(value) for name, value in given.items()}
    neuron = ALIF(**({"threshold": 0.6, "threshold_step": 0.3} | given | options))
    x = np.random.default_rng(0).integers(-100, 200, (20, 4)) / 64
    held = neuron.prepare(None)
    fields = {name: np.float64(getattr(held, name)) for name in given}
    machine = Interpreter(fields, {name: np.zeros(4) for name in "vibr"})
    machine.FUNCTIONS = {**Interpreter.FUNCTIONS, "trunc": np.trunc}
    ys = np.array([machine.step(neuron.equations(), now) for now in x])
    result = run(neuron, jnp.float32(x[:, None]))
    assert (result.outputs[:, 0] == ys).all()
    assert (result["n.r"][-1, 0] == machine.state["r"]).all()
    assert len(np.unique(ys)) > 1


def test_what_it_is_called():
    assert slayer_neuron().describe() == (
        "ALIF current_decay 0.3, voltage_decay 0.15, threshold_step 0.25"
    )
    neuron = ALIF(current_decay=jnp.float32(0.1), voltage_decay=0.1, threshold=None)
    assert "current_decay learned" in neuron.describe()
    assert "no spikes" in neuron.describe()
    assert "vThMant" not in neuron.integers()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"current_decay": 1024}, "ALIF: current_decay is 1024; it must be within 0..1"),
        ({"refractory_decay": -0.5}, "refractory_decay is -0.5"),
        ({"threshold": -1.0}, "threshold is -1; it must be >= 0, or None"),
        ({"threshold_step": -1.0}, "threshold_step is -1; it must be >= 0$"),
        ({"scale": 0}, "scale is 0; it must be a number >= 1"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match=words):
        ALIF(**({"current_decay": 0.5, "voltage_decay": 0.5} | arguments))


def test_shapes_and_norms_are_checked():
    neuron = ALIF(current_decay=jnp.zeros(3), voltage_decay=0.5)
    with pytest.raises(ValueError, match=r"current_decay has shape \(3,\), but there are \(4,\)"):
        nj.Sequential((4,), n=neuron)
    with pytest.raises(TypeError, match="ALIF: norm is 3; use a layer such as ShiftNorm"):
        ALIF(current_decay=0.5, voltage_decay=0.5, norm=3)
