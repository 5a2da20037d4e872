"""The check of layers against recordings: passes what is right, and little else."""

import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.converters._agreement import agreement

T, B, N = 6, 3, 8


def random(*shape, seed=0):
    return np.random.default_rng(seed).random(shape).astype(np.float32)


def integrate(x, threshold=1.0, lateral=0.0):
    """Integrate-and-fire neurons in NumPy that lose all they have; `lateral` feeds all others."""
    v, before, spikes = np.zeros(x.shape[1:]), np.zeros(x.shape[1:]), []
    for step in x:
        v = v + step + lateral * before.sum(-1, keepdims=True)
        before = (v >= threshold).astype(float)
        v = v * (1 - before)
        spikes.append(before)
    return np.stack(spikes).astype(np.float32)


def test_equal():
    x = random(T, B, N)
    found = agreement(nj.IAF(reset="zero"), x, integrate(x), in_shape=(N,))
    assert found == (True, "checked on 6 steps x 3 samples: all 144 outputs equal", 144, 0, 0.0)
    one = agreement(nj.Identity(), x[:1, :1], x[:1, :1], in_shape=(N,))
    assert one.note == "checked on 1 step x 1 sample: all 8 outputs equal"


def test_rounding():
    x = random(T, B, N)
    found = agreement(nj.Scale(3.0), x, 3 * x * (1 + 1e-6), in_shape=(N,))
    assert found.ok and "equal within rounding (largest difference 2.9e-06 of 3)" in found.note
    assert found.differing == 0 < found.error


def test_different_values():
    x = random(T, B, 2, 4)
    y = x.copy()
    y[2, 1, 0, 3] += 0.01
    found = agreement(nj.Identity(), x, y, in_shape=(2, 4))
    assert (found.ok, found.differing) == (False, 1)
    assert (
        "1 of 144 outputs differ, first at step 2, sample 1, neuron (0, 3): recorded" in found.note
    )
    assert not agreement(nj.LI(tau=2.0), x, y, in_shape=(2, 4)).ok


def test_several_inputs_and_chains():
    a, b = random(T, B, 4), random(T, B, 3, seed=1)
    both = np.concatenate([a, b], -1)
    assert agreement(nj.Concat(), (a, b), both, in_shape=((4,), (3,))).ok
    assert not agreement(nj.Concat(), (b, a), both, in_shape=((3,), (4,))).ok
    assert agreement(nj.Add(), (a,), a, in_shape=((4,),)).ok
    chain = {"synapse": nj.Scale(0.5), "": nj.IAF(reset="zero")}
    assert agreement(chain, a, integrate(0.5 * a), in_shape=(4,)).ok
    assert agreement(nj.Dropout(0.5), a, a, in_shape=(4,)).ok is False  # it runs, with a key


def test_a_tie_at_the_threshold_is_explained():
    x = 0.6 * random(T, B, 50)
    x[:, 1, 7] = [0.25, 0.25, 0.5, 0, 0.25, 0]  # reaches 1 at step 2
    late = x.copy()
    late[2, 1, 7] -= 1e-6  # as if another order of additions had given a little less
    recorded = integrate(late)
    found = agreement(nj.IAF(reset="zero"), x, recorded, in_shape=(50,))
    assert found.ok and found.differing > 0
    assert (
        "first at step 2, sample 1, neuron (7,): recorded 0, got 1; 1 of 150 neurons" in found.note
    )
    assert found.note.endswith("of which 1 were at the threshold, where rounding decides")
    # The same for graded spikes, and no such excuse for values.
    graded = {"iaf": nj.IAF(reset="zero"), "": nj.Scale(0.3)}
    assert agreement(graded, x, np.float32(0.3) * recorded, in_shape=(50,)).ok
    assert not agreement(nj.Scale(1.0), recorded, integrate(x), in_shape=(50,)).ok


def test_a_difference_far_from_the_threshold_is_not():
    x = 0.6 * random(T, B, 500)
    recorded = integrate(x)
    recorded[3, 2, 9] = 1 - recorded[3, 2, 9]
    found = agreement(nj.IAF(reset="zero"), x, recorded, in_shape=(500,))
    assert not found.ok and found.differing == 1
    assert found.note.endswith("and rounding at the threshold explains 0 of them")
    wrong = agreement(nj.IAF(reset="zero", threshold=1.01), x, integrate(x), in_shape=(500,))
    assert not wrong.ok


def test_too_many_ties():
    """A neuron that fires above the threshold, not at it, differs in every tie."""
    x = np.full((T, B, 100), 0.5, np.float32)
    found = agreement(nj.IAF(reset="zero", strict=True), x, integrate(x), in_shape=(100,))
    assert not found.ok
    assert "explains 300 of them" in found.note


def test_feedback_carries_a_tie_to_other_neurons():
    x = 0.3 * random(8, 2, 5)
    x[:, 0, 2] = [0.5, 0.5, 0, 0, 0, 0, 0, 0]
    less = x.copy()
    less[1, 0, 2] -= 1e-6
    recorded, exact = integrate(less, lateral=0.25), integrate(x, lateral=0.25)
    assert (recorded != exact).any(axis=0).sum() > 1
    layer = nj.Recurrent(nj.IAF(reset="zero"), nj.Linear.from_weights(jnp.full((5, 5), 0.25)))
    np.testing.assert_array_equal(nj.simulate(nj.Sequential((5,), layer), x).outputs, exact)
    found = agreement(layer, x, recorded, in_shape=(5,))
    assert found.ok and "of which 1 were at the threshold" in found.note
    wrong = recorded.copy()
    wrong[0, 1, 4] = 1  # in another sample, before any tie
    assert not agreement(layer, x, wrong, in_shape=(5,)).ok


def test_other_shapes_and_numbers_that_are_none():
    x = random(T, B, N)
    found = agreement(nj.layers.Reshape((2, 4)), x, x, in_shape=(N,))
    assert not found.ok and "outputs of shape (6, 3, 2, 4), recorded (6, 3, 8)" in found.note
    y = x.copy()
    y[0, 0, 0] = np.nan
    found = agreement(nj.Identity(), x, y, in_shape=(N,))
    assert not found.ok and "1 of 144 recorded outputs are NaN or infinite" in found.note
    with pytest.raises(ValueError, match="input"):
        agreement(nj.Identity(), x, x, in_shape=(N + 1,))
