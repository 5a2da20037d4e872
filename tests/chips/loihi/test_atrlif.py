"""Lava's ATRLIF neuron: its recording, float64 oracles, gradients by finite differences."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import neurojax as nj
from neurojax.chips.loihi.atrlif import ATRLIF
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter
from tests.conftest import GOLDEN

PARAMS = {  # of the recording, under our names
    "current_decay": 0.1,
    "voltage_decay": 0.2,
    "threshold_decay": 0.1,
    "refractory_decay": 0.3,
    "threshold": 5.0,
    "threshold_step": 3.0,
}
PROBES = ["n.v", "n.i", "n.b", "n.r"]


@eqx.filter_jit
def run(neuron, x, state=None):
    net = nj.Sequential(x.shape[2:], n=neuron)
    return nj.simulate(net, x, state=state, probes=PROBES)


def oracle(x, p, limit=None, margin=None):
    """States and spikes in float64; spikes may be given. x is [time, ...]."""
    i = v = r = np.zeros(x.shape[1:])
    theta = i + p["threshold"]
    rows = []
    for t, x_t in enumerate(x.astype(np.float64)):
        i = (1 - p["current_decay"]) * i + x_t
        v = (1 - p["voltage_decay"]) * v + i + p.get("bias", 0.0)
        theta = (1 - p["threshold_decay"]) * (theta - p["threshold"]) + p["threshold"]
        r = (1 - p["refractory_decay"]) * r
        s = (v - r >= theta) if limit is None else limit[t]
        if margin is not None:
            margin.append(np.abs(v - r - theta))
        r = r + 2 * theta * s
        theta = theta + p["threshold_step"] * s
        rows.append((v, i, theta - p["threshold"], r, s))
    return [np.stack(values) for values in zip(*rows, strict=True)]


def test_lava():
    with np.load(GOLDEN / "lava" / "lava_atrlif_float.npz") as file:
        z = {name: a.T[:, None] for name, a in file.items()}
    result = run(ATRLIF(**PARAMS), jnp.float32(z["a_in"]))
    assert (result.outputs == z["out"]).all()
    for name in ("v", "i", "r"):
        np.testing.assert_allclose(result[f"n.{name}"], z[name], rtol=1e-6)
    np.testing.assert_allclose(result["n.b"] + 5, z["theta"], rtol=1e-6)


@given(
    st.fixed_dictionaries(
        {name: st.floats(0, 1) for name in PARAMS if name.endswith("decay")}
        | {"threshold": st.floats(0.5, 10), "threshold_step": st.floats(-1, 5)}
        | {"bias": st.floats(-2, 2)}
    ),
    st.integers(0, 2**32 - 1),
)
def test_against_float64(params, seed):
    params = {name: float(np.float32(value)) for name, value in params.items()}
    x = np.random.default_rng(seed).normal(1, 4, (15, 2, 5)).astype(np.float32)
    neuron = ATRLIF(**{name: jnp.float32(value) for name, value in params.items()})
    result = run(neuron, jnp.asarray(x))
    margin = []
    *states, spikes = oracle(x, params, margin=margin)
    scale = max(1.0, *(np.abs(s).max() for s in states))
    if np.min(margin) < 1e-5 * scale:  # a float32 can't decide what is as close as this
        spikes = np.asarray(result.outputs, np.float64)
        *states, _ = oracle(x, params, limit=spikes)
    assert (result.outputs == spikes).all()
    for name, state in zip(PROBES, states, strict=True):
        np.testing.assert_allclose(result[name], state, rtol=0, atol=1e-5 * scale)


def test_gradients_are_the_adjoint():
    """Of a loss of the states, by central differences in float64 with the spikes held fixed."""
    rng = np.random.default_rng(0)
    x = rng.normal(1, 3, (12, 1, 4)).astype(np.float32)
    weights = [rng.normal(0, 1, x.shape) for _ in PROBES]
    names = [*PARAMS, "bias"]
    values = {**PARAMS, "bias": 0.3}
    neuron = ATRLIF(
        **{name: jnp.float32(value) for name, value in values.items()},
        # Flat where v is: the spikes have (almost) no derivative, as in the oracle.
        surrogate=Sigmoid(alpha=1e-12),
    )

    def loss(neuron, x):
        result = run(neuron, x)
        return sum(
            jnp.sum(w * result[p]) for w, p in zip(map(jnp.float32, weights), PROBES, strict=True)
        )

    held = np.asarray(run(neuron, jnp.asarray(x)).outputs, np.float64)
    assert 0 < held.mean() < 1

    def exact(params):
        *states, _ = oracle(x, params, limit=held)
        return sum((w * s).sum() for w, s in zip(weights, states, strict=True))

    found = eqx.filter_jit(eqx.filter_grad(loss))(neuron, jnp.asarray(x))
    for name in names:
        up, down = (exact({**values, name: values[name] + h}) for h in (1e-6, -1e-6))
        np.testing.assert_allclose(
            getattr(found, name), (up - down) / 2e-6, rtol=1e-4, err_msg=name
        )


def test_gradients_through_spikes():
    """To the input, over two steps, written out."""
    neuron = ATRLIF(
        current_decay=1.0,
        voltage_decay=0.0,
        threshold=1.0,
        threshold_step=0.5,
        threshold_decay=0.25,
        refractory_decay=0.5,
    )
    x = jnp.array([1.5, 2.0])

    def outputs(x):
        return run(neuron, x.reshape(2, 1, 1)).outputs.ravel()

    found = jax.jacobian(outputs)(x)
    g = lambda u: float(neuron.surrogate.derivative(jnp.float32(u)))  # noqa: E731
    # s0 = [x0 >= 1]; s1 = [x0 + x1 - 0.5 * 2 s0 >= 1 + 0.75 * 0.5 s0]
    first, second = g(0.5), g(3.5 - 1.0 - 1.375)
    expected = [[first, 0.0], [second * (1 - (1.0 + 0.375) * first), second]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_state_schedules_and_vmap():
    x = jnp.float32(np.random.default_rng(1).normal(2, 5, (20, 3, 4)))
    neuron = ATRLIF(**PARAMS)
    whole = run(neuron, x)
    begin = run(neuron, x[:8])
    rest = run(neuron, x[8:], begin.state)
    assert (jnp.concatenate([begin.outputs, rest.outputs]) == whole.outputs).all()
    net = nj.Sequential((4,), n=neuron)
    for schedule in ("step", "layer"):
        assert (nj.simulate(net, x, schedule=schedule).outputs == whole.outputs).all()
    many = eqx.filter_vmap(lambda th: run(ATRLIF(**{**PARAMS, "threshold": th}), x).outputs)
    assert (many(jnp.array([5.0, 50.0]))[0] == whole.outputs).all()


@pytest.mark.parametrize("learned", [False, True])
def test_equations_are_what_it_computes(learned):
    values = PARAMS | {"current_decay": 0.5, "voltage_decay": 0.25, "bias": -0.5}
    values |= {"threshold_decay": 0.5, "refractory_decay": 0.75}  # exact in binary
    neuron = ATRLIF(**{n: jnp.float32(v) if learned else v for n, v in values.items()})
    x = np.random.default_rng(2).integers(-10, 40, (12, 1, 4)) / 4
    machine = Interpreter(values, dict.fromkeys(("v", "i", "b", "r"), np.zeros(4)))
    y = [machine.step(neuron.equations(), row[0]) for row in x]
    result = run(neuron, jnp.float32(x))
    assert (np.array(y) == result.outputs[:, 0]).all()
    np.testing.assert_allclose(result["n.r"][-1, 0], machine.state["r"], rtol=1e-6)
    assert "ATRLIF" in str(nj.describe(nj.Sequential((4,), n=neuron)))


def test_refusals():
    with pytest.raises(ValueError, match=r"voltage_decay is 4096; it must be within 0\.\.1"):
        ATRLIF(current_decay=0.1, voltage_decay=4096)
    with pytest.raises(ValueError, match="threshold has shape"):
        nj.Sequential(
            (4,), n=ATRLIF(current_decay=0.1, voltage_decay=0.1, threshold=jnp.ones((3,)))
        )
