"""Loihi's neuron in real numbers: Lava's float models, and `nj.CubaLIF` where both are the same."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.loihi.float import FloatLIF
from neurojax.neurons._equations import equations_of
from neurojax.surrogate import Sigmoid
from tests._interpreter import Interpreter
from tests.conftest import GOLDEN

META = json.loads((GOLDEN / "lava" / "META_lava.json").read_text())
DECAYS = {"du": 0.25, "dv": 0.125}


@eqx.filter_jit
def run(neuron, x):
    """Outputs, current and membrane for [time, neurons], without a batch."""
    current = "u" if isinstance(neuron, FloatLIF) else "i"
    net = nj.Sequential(x.shape[1:], n=neuron)
    found = nj.simulate(net, x[:, None], probes=[f"n.{current}", "n.v"])
    return found.outputs[:, 0], found[f"n.{current}"][:, 0], found["n.v"][:, 0]


@pytest.mark.parametrize("name", ["lif_float", "lif_refractory_float", "ternary_float"])
def test_lava(name):
    """Recorded in float64."""
    with np.load(GOLDEN / "lava" / f"lava_{name}.npz") as file:
        z = {key: np.moveaxis(value, -1, 0) for key, value in file.items()}
    names = {"vth_hi": "vth", "bias_mant": "bias"}
    params = {names.get(k, k): value for k, value in META[f"lava_{name}"]["params"].items()}
    if "refractory_period" in params:
        params["refractory"] = params.pop("refractory_period") + 1
    y, u, v = run(FloatLIF(**params), jnp.float32(z["a_in"]))
    assert (y == z["out"]).all() and y.any()
    np.testing.assert_allclose(u, z["u"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(v, z["v"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("gradient", ["full", "detached"])
def test_without_bias_it_is_cuba_lif(gradient):
    """Equal spikes and gradients; all numbers are exact in float32."""
    x = jnp.float32(np.random.default_rng(0).integers(-8, 16, (10, 5))) / 8
    g = np.random.default_rng(1).normal(size=x.shape)
    one = jnp.float32(1)
    ours = FloatLIF(
        du=0.25 * one, dv=0.125 * one, vth=one, reset_gradient=gradient, surrogate=Sigmoid()
    )
    theirs = nj.CubaLIF(
        decay_syn=0.75 * one, decay=0.875 * one, threshold=one, reset="zero", strict=True,
        detach_reset=gradient == "detached", surrogate=Sigmoid(),
    )  # fmt: skip
    assert (run(ours, x)[0] == run(theirs, x)[0]).all()
    loss = lambda neuron, x: jnp.sum(run(neuron, x)[0] * g)  # noqa: E731
    (to_ours, to_x), (to_theirs, expected) = (
        jax.jit(jax.grad(loss, argnums=(0, 1)))(neuron, x) for neuron in (ours, theirs)
    )
    np.testing.assert_allclose(to_x, expected, rtol=1e-5, atol=1e-6)
    pairs = (("du", "decay_syn", -1), ("dv", "decay", -1), ("vth", "threshold", 1))
    for mine, other, sign in pairs:
        np.testing.assert_allclose(
            getattr(to_ours, mine), sign * getattr(to_theirs, other), rtol=1e-4
        )


@pytest.mark.parametrize(
    "neuron",
    [
        FloatLIF(**DECAYS, vth=1.0, bias=-0.0625),
        FloatLIF(**DECAYS, vth=1.5, vth_lo=-0.5, refractory=3, bias=jnp.arange(4) / 16),
        FloatLIF(du=jnp.full(4, 0.25), dv=jnp.full(4, 0.5), vth=None),
    ],
)
def test_the_card_says_what_is_computed(neuron):
    x = np.random.default_rng(2).integers(-8, 16, (8, 4)) / 8
    fields = {
        path[-1].name: np.asarray(leaf, np.float64)
        for path, leaf in jax.tree_util.tree_leaves_with_path(neuron)
    }
    machine = Interpreter(fields, {"u": np.zeros(4), "v": np.zeros(4), "left": np.zeros(4)})
    said = np.stack([machine.step(equations_of(neuron), x_t) for x_t in x])
    y, u, v = run(neuron, jnp.float32(x))
    np.testing.assert_allclose(y, said, atol=1e-6)
    np.testing.assert_allclose(u[-1], machine.state["u"], atol=1e-6)
    np.testing.assert_allclose(v[-1], machine.state["v"], atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"du": 409}, "du is 409; it must be within 0..1"),
        ({"dv": -0.1}, "dv is -0.1"),
        ({"refractory": 0}, "refractory is 0; it must be >= 1"),
        ({"vth": None, "vth_lo": -1}, "there is no vth; give both"),
        ({"vth_lo": 2}, "vth_lo is 2; it must not be above vth, 1"),
        ({"reset_gradient": "none"}, "reset_gradient is 'none'"),
    ],
)
def test_refusals(arguments, words):
    with pytest.raises(ValueError, match="FloatLIF: .*" + words):
        FloatLIF(**(DECAYS | {"vth": 1.0} | arguments))
    with pytest.raises(ValueError, match=r"vth has shape \(3,\), but there are \(2,\) neurons"):
        nj.Sequential((2,), n=FloatLIF(**DECAYS, vth=jnp.ones(3)))


def test_what_does_not_spike_is_never_refractory():
    neuron = FloatLIF(du=1.0, dv=1.0, vth=None, refractory=3)
    x = jnp.ones((4, 1, 1))
    assert (nj.simulate(nj.Sequential((1,), n=neuron), x).outputs == 1).all()
