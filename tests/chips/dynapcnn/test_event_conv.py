"""The convolution that goes event by event: equal to torch's in float64, whichever way it takes."""

import functools as ft

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.dynapcnn import Core, _event_conv
from neurojax.chips.dynapcnn._dense_conv import convolve_dense
from neurojax.chips.dynapcnn._event_conv import convolve_counts
from neurojax.layers._im2col import Window, convolve

NEVER, ALWAYS = 1 << 60, 0
WAYS = {"events": (ALWAYS, 0.001), "by the number": (ALWAYS, 130)}


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    smallest, products = WAYS[request.param]
    monkeypatch.setattr(_event_conv, "SMALLEST", smallest)
    monkeypatch.setattr(_event_conv, "PRODUCTS_PER_VALUE", products)
    jax.clear_caches()  # the way is chosen while tracing
    yield request.param
    jax.clear_caches()


def counts(rng, shape, activity):
    return (rng.integers(1, 4, shape) * (rng.random(shape) < activity)).astype(np.float32)


@pytest.mark.parametrize(
    ("kernel", "stride", "padding"),
    [
        ((3, 3), (1, 1), (1, 1)),
        ((3, 2), (2, 3), (1, 0)),
        ((1, 4), (1, 2), (0, 3)),
        ((2, 2), (4, 1), (2, 1)),
        ((5, 2), (1, 2), (4, 0)),
    ],
)
def test_both_ways_give_the_sums_of_torch(kernel, stride, padding):
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(sum(kernel) + sum(stride))
    weight = rng.integers(-128, 128, (5, 3, *kernel)).astype(np.float32)
    window = Window(stride, tuple((p, p) for p in padding), (1, 1), 1)

    @jax.jit
    def convolve_events(x):
        words = _event_conv._bits(x.ravel())
        ends = jnp.cumsum(jax.lax.population_count(words).astype(jnp.int32))
        return _event_conv._by_events(x, jnp.asarray(weight), window, words, ends)

    densely = jax.jit(lambda x: convolve_dense(x, jnp.asarray(weight), window))
    for activity in (0.0, 0.01, 0.2, 1.0):
        x = counts(rng, (2, 3, 9, 7), activity)
        want = torch.nn.functional.conv2d(
            torch.tensor(x).double(), torch.tensor(weight).double(), stride=stride, padding=padding
        )
        assert np.array_equal(convolve_events(x), want.numpy())
        assert np.array_equal(densely(x), want.numpy())


def test_simulations_and_gradients_are_those_of_the_dense_one(way):
    """Nested vmap (chips, batch), a scan over time, and both derivatives."""
    rng = np.random.default_rng(3)
    window = Window((2, 1), ((1, 1), (0, 0)), (1, 1), 1)
    x = jnp.asarray(counts(rng, (4, 3, 2, 9, 8), 0.02))
    weight = jnp.asarray(rng.integers(-128, 128, (3, 2, 3, 3)), jnp.float32)

    @ft.partial(jax.jit, static_argnums=0)
    def all_of(conv, x, weight):
        """Convolutions of each step and image, and derivatives in both modes."""

        def loss(x, weight):
            per_image = lambda x: conv(x, weight, window)  # noqa: E731
            y = jax.lax.map(jax.vmap(per_image), x)
            return jnp.sum(y**2), y

        gradients, y = jax.grad(loss, (0, 1), has_aux=True)(x, weight)
        return y, gradients, jax.jvp(loss, (x, weight), (x, weight))

    ours, dense = (all_of(conv, x, weight) for conv in (convolve_counts, convolve))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(dense), strict=True):
        assert np.allclose(a, b, rtol=1e-6)
    many = jnp.stack([weight, -weight, weight])
    chips = lambda conv: jax.vmap(lambda w, x: conv(x, w, window))(many, x[0])  # noqa: E731
    assert np.array_equal(chips(convolve_counts), chips(convolve))


def test_a_core_is_the_same_both_ways(monkeypatch):
    rng = np.random.default_rng(5)
    x = counts(rng, (5, 2, 2, 12, 12), 0.05)
    x[2] = 1  # many in one step
    core = Core(rng.integers(-90, 128, (4, 2, 3, 3)).astype(np.float32), threshold=200, padding=1)
    network = nj.Sequential((2, 12, 12), core=core)
    runs = []
    for smallest in (NEVER, ALWAYS):
        monkeypatch.setattr(_event_conv, "SMALLEST", smallest)
        jax.clear_caches()
        runs.append(nj.simulate(network, x, probes=["core.v"]))
    jax.clear_caches()
    assert np.array_equal(runs[0].outputs, runs[1].outputs)
    assert np.array_equal(runs[0]["core.v"], runs[1]["core.v"])
    assert runs[0].outputs.sum() > 0
