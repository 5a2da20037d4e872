"""Statistics and lifetime of the masks."""

import functools as ft

import equinox as eqx
import jax
import numpy as np
import pytest

import neurojax as nj
from neurojax.layers import BatchDropout, Dropout

KEY = jax.random.key(7)
X = np.ones((6, 8, 50, 4), np.float32)  # time, batch, features


# Random bits are the same at every level of optimisation, and take a third of the time to compile.
@ft.partial(
    jax.jit,
    static_argnames=("schedule", "checkpoint"),
    compiler_options={"xla_backend_optimization_level": 1},
)
def simulate(network, x, key, state=None, **options):
    return nj.simulate(network, x, key=key, state=state, **options)


def outputs(layer, *, key=KEY, x=X, **options):
    return np.asarray(simulate(nj.Sequential(x.shape[2:], layer), x, key, **options).outputs)


@pytest.mark.parametrize("layer", [Dropout(0.3), Dropout(0.3, per_step=True), BatchDropout(0.3)])
def test_share_of_silenced_values(layer):
    y = outputs(layer, x=np.ones((6, 8, 5000), np.float32))
    independent = {True: 6 * 8, False: 8}[getattr(layer, "per_step", False)] * 5000
    independent = 5000 if isinstance(layer, BatchDropout) else independent
    # Five standard deviations of a binomial share.
    assert abs(np.mean(y == 0) - 0.3) < 5 * np.sqrt(0.3 * 0.7 / independent)


def test_kept_values_are_scaled_or_not():
    assert set(np.unique(outputs(Dropout(0.5)))) == {0.0, 2.0}
    assert set(np.unique(outputs(BatchDropout(0.5)))) == {0.0, 1.0}
    assert set(np.unique(outputs(BatchDropout(0.5, rescale=True)))) == {0.0, 2.0}


def test_lifetime_of_the_masks():
    same_over_time = lambda y: (y == y[:1]).all()  # noqa: E731
    same_over_batch = lambda y: (y == y[:, :1]).all()  # noqa: E731
    kept = outputs(Dropout(0.5))
    assert same_over_time(kept) and not same_over_batch(kept)
    fresh = outputs(Dropout(0.5, per_step=True))
    assert not same_over_time(fresh) and not same_over_batch(fresh)
    batch = outputs(BatchDropout(0.5))
    assert same_over_time(batch) and same_over_batch(batch)
    assert len({outputs(Dropout(0.5), key=jax.random.key(i)).tobytes() for i in range(4)}) == 4


@pytest.mark.parametrize("layer", [Dropout(0.5), Dropout(0.5, per_step=True), BatchDropout(0.5)])
def test_one_key_gives_one_run(layer):
    """Under both schedules, with and without jit, in pieces and with checkpoints."""
    want = outputs(layer, schedule="step")
    np.testing.assert_array_equal(outputs(layer, schedule="layer"), want)
    np.testing.assert_array_equal(outputs(layer, checkpoint=2), want)
    network = nj.Sequential(X.shape[2:], layer)
    np.testing.assert_array_equal(nj.simulate(network, X, key=KEY).outputs, want)
    first = simulate(network, X[:2], KEY)
    rest = simulate(network, X[2:], KEY, first.state)
    np.testing.assert_array_equal(np.concatenate([first.outputs, rest.outputs]), want)
    keys = jax.random.split(KEY, 3)
    chips = jax.vmap(lambda key: simulate(network, X, key).outputs)(keys)
    for key, chip in zip(keys, chips, strict=True):
        np.testing.assert_array_equal(outputs(layer, key=key), chip)


def test_mask_of_a_prepared_layer_is_the_one_that_runs_use():
    layer = BatchDropout(0.5)
    network = nj.Sequential((50, 4), drop=layer)
    mask = network.prepare(KEY)["drop"].mask((50, 4))
    np.testing.assert_array_equal(simulate(network, X, KEY).outputs[0, 0], mask)
    assert eqx.nn.inference_mode(layer).mask((3,)).all()


@pytest.mark.parametrize("layer", [Dropout(0.5), BatchDropout(0.5)])
def test_inference_mode(layer):
    network = nj.Sequential((50, 4), layer)
    with pytest.raises(ValueError, match="draw random numbers"):
        nj.simulate(network, X)
    inference = eqx.nn.inference_mode(network)
    np.testing.assert_array_equal(nj.simulate(inference, X).outputs, X)
    # The switch is no leaf: jax's own transformations take the network in both modes.
    for net in (network, inference, eqx.nn.inference_mode(inference, False)):
        assert not jax.tree.leaves(net)
        jax.grad(lambda net: nj.simulate(net, X, key=KEY).outputs.sum())(net)
    assert eqx.nn.inference_mode(inference, False)[network.names[0]].needs_key


def test_gradient_follows_the_mask():
    network = nj.Sequential((50, 4), Dropout(0.5))
    gradient = jax.jit(jax.grad(lambda x: nj.simulate(network, x, key=KEY).outputs.sum()))(X)
    np.testing.assert_array_equal(gradient, outputs(Dropout(0.5)))


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
@pytest.mark.parametrize("cls", [Dropout, BatchDropout])
def test_refusals(cls, rate):
    with pytest.raises(ValueError, match=r"must be in \[0, 1\)"):
        cls(rate)
