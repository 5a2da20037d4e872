"""Learned axonal delays against a shift in NumPy, and their gradient against differences in time.

Another test compares with slayer's recorded gradient: that of its blocks.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.loihi.axonal_delay import AxonalDelay

STEPS = 12


def shifted(x, steps):
    """x[t - steps], with one number of steps for each index of the third axis."""
    y = np.zeros_like(x)
    for channel, late in enumerate(steps):
        y[late:, :, channel] = x[: len(x) - late, :, channel]
    return y


@pytest.mark.parametrize("shape", [(5,), (5, 2, 3)])
def test_whole_steps_and_gradients(shape):
    rng = np.random.default_rng(0)
    x, g = np.float32(rng.normal(size=(2, STEPS, 2, *shape)))
    delays = jnp.array([-0.5, 0.0, 0.99, 3.0, 9.7])
    limited = [0, 0, 0, 3, 4]  # of which no more than 4 are allowed
    layer = AxonalDelay(delays, shift=1, largest=4)

    @jax.jit
    def run(layer, x):
        y = nj.simulate(nj.Sequential(shape, layer), x).outputs
        return jnp.sum(y * g), y

    (to_layer, to_x), y = jax.jit(jax.grad(run, argnums=(0, 1), has_aux=True))(layer, x)
    expected = shifted(x, [n + 1 for n in limited])
    assert (y == expected).all()
    assert layer.whole().steps == tuple(n + 1 for n in limited)
    fixed = nj.simulate(nj.Sequential(shape, layer.whole()), x).outputs
    assert (fixed == expected).all()

    slope = np.diff(expected, axis=0, prepend=0)
    axes = tuple(i for i in range(g.ndim) if i != 2)
    np.testing.assert_allclose(to_layer.delays, -(g * slope).sum(axes), atol=1e-5)
    back = shifted(g[::-1], [n + 1 for n in limited])[::-1]  # to the input, it is a delay only
    np.testing.assert_allclose(to_x, back, rtol=0, atol=0)


def test_one_delay_for_all():
    x = np.float32(np.random.default_rng(1).normal(size=(STEPS, 1, 2, 3)))
    y = nj.simulate(nj.Sequential((2, 3), AxonalDelay(jnp.float32(2.5))), x).outputs
    assert (y == shifted(x, [2, 2])).all()


def test_a_delay_is_found():
    """Descent along the gradient moves a delay to where a broad pulse comes out as it should."""
    t = np.arange(40.0)[:, None, None]
    pulse = lambda at: np.float32(np.exp(-(((t - at) / 5) ** 2)))  # noqa: E731

    @jax.jit
    @jax.grad
    def slope(d):
        y = nj.simulate(nj.Sequential((1,), AxonalDelay(d)), pulse(12)).outputs
        return jnp.sum((y - pulse(19)) ** 2)

    d = jnp.array([1.5])
    for _ in range(60):
        d = d - slope(d)
    assert int(d[0]) in (6, 7)


def test_what_it_says():
    layer = AxonalDelay(jnp.array([1.0, 2.0]), shift=1, largest=8)
    assert layer.describe() == "AxonalDelay learned + 1, at most 9"
    with pytest.raises(ValueError, match="AxonalDelay has 2 delays along the first axis, got"):
        nj.Sequential((3,), layer)
    with pytest.raises(ValueError, match=r"delays have shape \(1, 2\)"):
        AxonalDelay(jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match=r"largest is 2\.5; it must be an integer"):
        AxonalDelay(jnp.zeros(1), largest=2.5)
