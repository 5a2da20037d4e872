"""Derivatives through the integers, and training through them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neurojax as nj
from neurojax import layers
from neurojax.chips import mcu


def eighths(rng, *shape):
    """Numbers that sixteen bits hold exactly, so that integers and floats do the same."""
    return (rng.integers(-6, 7, shape) / 8).astype(np.float32)


def spiking(decay_input):
    rng = np.random.default_rng(0)
    threshold = jnp.array(0.5)
    middle = nj.IAF(threshold=threshold)
    if decay_input is not None:
        options = {"method": "euler", "normalize_input": decay_input}
        options |= {"reset": "value", "reset_value": jnp.array(0.0)}
        middle = nj.LIF(tau=2.0, threshold=threshold, **options)
    return nj.Sequential(
        (2, 4, 4),
        conv=nj.Conv2d.from_weights(eighths(rng, 3, 2, 3, 3), eighths(rng, 3), padding=1),
        first=middle,
        pool=nj.AvgPool2d(2),
        flat=nj.Flatten(),
        fc=nj.Linear.from_weights(eighths(rng, 4, 12)),
        second=nj.IAF(threshold=0.5),
    )


def inputs(steps=6):
    return jnp.asarray(eighths(np.random.default_rng(1), steps, 3, 2, 4, 4))


def gradients(network, x, weights, scale=1.0):
    """Of a weighted sum of the outputs, to all parameters."""

    def loss(network):
        return (nj.simulate(network, x).outputs * weights).sum() * scale

    return eqx.filter_jit(eqx.filter_value_and_grad(loss))(network)


@pytest.mark.parametrize("decay_input", [None, True, False])
def test_gradients_are_those_of_the_real_network(decay_input):
    """Where nothing is rounded, integers spike as floats do, and so their derivatives agree."""
    network, x = spiking(decay_input), inputs()
    mapped = mcu.map(network, calibration=x)
    run = nj.simulate(mapped.network, x, probes=["first"])
    one = mapped.network["first"].one
    assert np.array_equal(run["first"] / one, nj.simulate(network, x, probes=["first"])["first"])
    weights = jnp.asarray(np.random.default_rng(2).normal(size=run.outputs.shape), jnp.float32)
    unit = 1 / mapped.network["second"].one
    value, ours = gradients(mapped.network, x, weights, unit)
    expected, theirs = gradients(network, x, weights)
    assert value == pytest.approx(float(expected), abs=1e-5) and run.outputs.sum() > 0
    for name, field in [
        ("conv", "weight"),
        ("conv", "bias"),
        ("fc", "weight"),
        ("first", "threshold"),
    ]:
        a, b = (np.asarray(getattr(grad[name], field)) for grad in (ours, theirs))
        assert np.abs(b).max() > 0
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4 * np.abs(b).max())


def test_gradients_without_spikes_are_differences_of_the_real_network():
    """Central differences of the network in float64, by hand."""
    rng = np.random.default_rng(3)
    first, second = (rng.normal(0, 0.5, shape).astype(np.float32) for shape in ((5, 4), (3, 5)))
    x = rng.normal(0, 1, (1, 6, 4)).astype(np.float32)
    network = nj.Sequential(
        (4,),
        a=nj.Linear.from_weights(first),
        relu=layers.ReLU(),
        b=nj.Linear.from_weights(second),
    )
    mapped = mcu.map(network, calibration=x, rounding="nearest")

    def real(weight):
        return (np.maximum(x[0] @ weight.T, 0) @ second.T.astype(float)).sum()

    def loss(net):
        return mcu.values(mapped, nj.simulate(net, x).outputs).sum()

    ours = np.asarray(eqx.filter_grad(loss)(mapped.network)["a"].weight)
    theirs = np.zeros_like(first, float)
    for at in np.ndindex(*first.shape):
        step = np.zeros(first.shape)
        step[at] = 1e-6
        theirs[at] = (real(first + step) - real(first - step)) / 2e-6
    np.testing.assert_allclose(ours, theirs, atol=5e-3)


def test_nothing_flows_through_what_saturates():
    form = mcu.Format(mcu.number_of("int8"), weights_q=4, output_q=4)
    layer = mcu.Dense(jnp.array([[1.0], [7.0], [9.0]]), format=form, input_q=4).prepare(None)
    y, slope = jax.jvp(lambda x: layer.step(None, x)[1], (jnp.array([32.0]),), (jnp.array([1.0]),))
    assert y.tolist() == [32.0, 127.0, 127.0]
    assert slope.tolist() == [1.0, 0.0, 0.0]

    def held(weight):
        return mcu.Dense(weight, format=form).prepare(None).weight.sum()

    assert jax.grad(held)(jnp.array([[1.03, 100.0]])).tolist() == [[1.0, 1.0]]


def test_many_devices_at_once_compute_as_one_by_one():
    network, x = spiking(True), inputs(4)
    mapped = mcu.map(network, quantize="int8", calibration=x)
    scales = jnp.array([1.0, 0.6, -1.0])

    def run(factor):
        weights = lambda net: net["fc"].weight  # noqa: E731
        changed = eqx.tree_at(weights, mapped.network, factor * weights(mapped.network))
        return nj.simulate(changed, x).outputs

    together = jax.jit(jax.vmap(run))(scales)
    assert np.array_equal(together, jnp.stack([run(factor) for factor in scales]))
    assert not np.array_equal(together[0], together[1])


def test_training_through_eight_bits():
    """Two patterns that a network of random weights does not tell apart."""
    rng = np.random.default_rng(5)
    x = jnp.asarray(rng.random((12, 64, 10)) < 0.4, jnp.float32)
    labels = jnp.asarray(x[:, :, :5].sum((0, 2)) > x[:, :, 5:].sum((0, 2)), jnp.int32)
    network = nj.Sequential(
        (10,),
        hidden=nj.Linear.from_weights(rng.normal(0, 0.3, (16, 10)).astype(np.float32)),
        spikes=nj.LIF(tau=4.0, method="euler"),
        out=nj.Linear.from_weights(rng.normal(0, 0.3, (2, 16)).astype(np.float32)),
    )
    mapped = mcu.map(network, quantize="int8", long_width=32, calibration=x)
    parameters, rest = eqx.partition(mapped.network, eqx.is_inexact_array)
    optimiser = optax.adam(0.02)

    def loss(parameters):
        run = nj.simulate(eqx.combine(parameters, rest), x)
        logits = mcu.values(mapped, run.outputs).mean(0)
        right = (logits.argmax(-1) == labels).mean()
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), right

    @jax.jit
    def step(parameters, state):
        (value, right), slope = jax.value_and_grad(loss, has_aux=True)(parameters)
        updates, state = optimiser.update(slope, state)
        return optax.apply_updates(parameters, updates), state, value, right

    state, seen = optimiser.init(parameters), []
    for _ in range(60):
        parameters, state, value, right = step(parameters, state)
        seen.append((float(value), float(right)))
    assert seen[-1][0] < 0.6 * seen[0][0]
    assert seen[-1][1] > 0.85 > seen[0][1]
    trained = mapped.with_network(eqx.combine(parameters, rest))
    held = trained.network["hidden"].integers().weight
    assert held.dtype == np.int64 and np.abs(held).max() <= 128
    assert not np.array_equal(held, mapped.network["hidden"].integers().weight)
