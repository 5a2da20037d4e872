"""Training of the norms against SpikingJelly's and slayer's recordings."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.loihi import CUBA, ShiftNorm, quantise_8bit
from neurojax.converters import slayer
from neurojax.train._trainable import parameters
from tests.conftest import GOLDEN


def recorded(name):
    with np.load(GOLDEN / "lava" / f"{name}.npz") as file:
        return dict(file)


def close(ours, theirs, relative=1e-6):
    np.testing.assert_allclose(ours, theirs, rtol=relative, atol=1e-7)


# SpikingJelly: statistics of each time step


def test_spikingjellys_norm_by_itself():
    z = recorded("sj_bn")
    norm = ShiftNorm(jnp.zeros(3), jnp.zeros(1), scale=None, inference=False)
    net = nj.Sequential(z["x"].shape[1:], norm=norm)
    run = nj.simulate(net, z["x"][None])
    close(run.outputs[0], z["y"])
    learnt = net.absorb(run.state)["norm"]
    close(learnt.mean, z["mean1"])
    close(learnt.var, z["var1"])
    y, same = norm.trained(z["x"], axis=1)
    close(y, z["y"])
    close(same.mean, learnt.mean)
    close(same.var, learnt.var)
    held = eqx.nn.inference_mode(net.absorb(run.state))
    close(nj.simulate(held, z["x"][None]).outputs[0], z["y_eval"])
    assert held.init(1).layers["norm"] is None


@pytest.mark.parametrize(("name", "bits"), [("sj_cuba_norm_train", 3), ("sj_cuba_norm_bits1", 1)])
def test_spikingjellys_neurons_with_a_norm_in_training(name, bits):
    z = recorded(name)
    norm = ShiftNorm(z["mean0"], z["var0"], exponent_bits=bits, largest=255, inference=False)
    neuron = slayer.cuba_lif_node(current_decay=0.3, voltage_decay=0.2, scale=64, norm=norm)
    net = nj.Sequential(z["x"].shape[2:], n=neuron)
    run, back = jax.vjp(
        lambda x: [(r := nj.simulate(net, x, probes=["n.v", "n.i"])).outputs, r["n.v"], r["n.i"]],
        jnp.asarray(z["x"]),
    )
    assert (run[0] == z["spike"]).all()
    assert (run[1] == z["v_seq"]).all()
    assert (run[2] == z["i_seq"]).all()
    (to_x,) = back([jnp.asarray(z["g_spike"]), *map(jnp.zeros_like, run[1:])])
    np.testing.assert_allclose(to_x, z["grad_x"], atol=1e-5 * np.abs(z["grad_x"]).max())
    state = nj.simulate(net, z["x"]).state
    learnt = net.absorb(state)["n"].norm
    close(learnt.mean, z["mean1"])
    close(learnt.var, z["var1"])


# slayer: statistics of the whole sequence


@pytest.mark.parametrize("name", ["slayer_cuba_norm_mean", "slayer_cuba_norm_wgt"])
def test_slayers_norms_in_training(name):
    """The recipe of the docstring: currents, norm, membranes."""
    z = recorded(name)
    x = jnp.moveaxis(z["x"], -1, 0)
    var = jnp.zeros(1) if "running_var" in z else None
    norm = ShiftNorm(jnp.zeros(3), var)
    neuron = slayer.cuba_neuron(threshold=1.0, current_decay=0.3, voltage_decay=0.2)
    neuron = dataclasses.replace(neuron, reset_delay="before")
    net = nj.Sequential((3,), n=neuron)
    currents = nj.simulate(net, x, probes=["n.i"])["n.i"]
    y, norm = norm.trained(currents, axis=2)
    behind = nj.Sequential((3,), n=dataclasses.replace(neuron, current_decay=1.0))
    run = nj.simulate(behind, y, probes=["n.v"])
    for ours, theirs in ((y, "current"), (run["n.v"], "voltage"), (run.outputs, "spike")):
        assert (jnp.moveaxis(ours, 0, -1) == z[f"{theirs}_train"]).all()
    close(norm.mean, z["running_mean"])
    assert (-quantise_8bit(norm.mean, descale=True) == z["bias"]).all()
    if var is not None:
        close(norm.var, z["running_var"])
        assert (norm.exponent == z["weight_exp"]).all()


# What the peers don't show


def test_running_statistics_move_in_every_step():
    x = np.random.default_rng(0).normal(1.0, 2.0, (4, 5, 3, 2)).astype(np.float32)
    norm = ShiftNorm(jnp.zeros(3), jnp.zeros(1), momentum=0.25, inference=False)
    net = nj.Sequential((3, 2), norm=norm)
    learnt = net.absorb(nj.simulate(net, x).state)["norm"]
    mean, var = np.zeros(3), 0.0
    for now in x.astype(np.float64):
        mean = 0.75 * mean + 0.25 * now.mean((0, 2))
        var = 0.75 * var + 0.25 * now.var() * 10 / 11
    close(learnt.mean, mean, 1e-5)
    close(learnt.var, [var], 1e-5)
    assert parameters(net) == []
    slope = jax.jit(jax.grad(lambda net: nj.simulate(net, x).outputs.sum()))(net)["norm"]
    assert not slope.mean.any() and not slope.var.any()


def test_gradients_flow_through_the_mean():
    """y = x - q(mean): each input lowers all outputs of its channel and batch by 1 / n."""
    x = jnp.array([[[1.0, 2.0], [0.5, -1.0]]])
    net = nj.Sequential((2,), norm=ShiftNorm(jnp.zeros(2), inference=False))
    slope = jax.jit(jax.grad(lambda x: nj.simulate(net, x).outputs[0, 0, 0]))(x)
    assert slope.tolist() == [[[0.5, 0.0], [-0.5, 0.0]]]
    fixed = eqx.nn.inference_mode(net)
    slope = jax.jit(jax.grad(lambda x: nj.simulate(fixed, x).outputs[0, 0, 0]))(x)
    assert slope.tolist() == [[[1.0, 0.0], [0.0, 0.0]]]


def test_one_mean_for_all_channels():
    x = jnp.arange(8.0).reshape(1, 2, 2, 2)
    norm = ShiftNorm(jnp.zeros(1), scale=None, inference=False)
    run = nj.simulate(nj.Sequential((2, 2), norm=norm), x)
    assert (run.outputs == x - 3.5).all()
    assert (norm.trained(x, axis=2)[0] == x - 3.5).all()


def test_refusals():
    with pytest.raises(ValueError, match="momentum is 2; it must be in"):
        ShiftNorm(0.0, momentum=2)
    with pytest.raises(ValueError, match="has the mean of 3 channels, got shape"):
        ShiftNorm(jnp.zeros(3)).trained(jnp.ones((2, 4)), axis=1)
    with pytest.raises(ValueError, match="has the mean of 3 channels"):
        neuron = CUBA(current_decay=0.5, voltage_decay=0.5, norm=ShiftNorm(jnp.zeros(3)))
        nj.Sequential((4,), n=neuron)
