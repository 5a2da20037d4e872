"""Both forms of the noise against Python's integers, their statistics, and their use from keys."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax.chips.cri import _wide
from neurojax.chips.cri.neuron import Neuron, membrane
from neurojax.chips.cri.noise import draw, hardware_noise, main_noise
from tests.chips.cri import oracle

DRAWS = np.concatenate(
    [[-65536, -65535, -32769, -32768, -1, 0, 1, 32767, 32768, 65535],
     np.random.default_rng(0).integers(-65536, 65536, 40)]
)  # fmt: skip
EVERY = jnp.arange(-(1 << 16), 1 << 16)


def test_hardware_form():
    shifts = np.arange(-32, 32)
    got = _wide.to_integers(hardware_noise(jnp.asarray(DRAWS), jnp.asarray(shifts)[:, None]))
    raw = _wide.to_integers(
        hardware_noise(jnp.asarray(DRAWS), jnp.asarray(shifts)[:, None], bits=None)
    )
    for i, shift in enumerate(shifts.tolist()):
        assert got[i].tolist() == [oracle.hardware_noise(d, shift) for d in DRAWS.tolist()]
        assert raw[i].tolist() == [oracle.hardware_noise(d, shift, None) for d in DRAWS.tolist()]


def test_main_form():
    shifts = np.arange(-63, 64)
    got = _wide.to_integers(main_noise(jnp.asarray(DRAWS), jnp.asarray(shifts)[:, None]))
    for i, shift in enumerate(shifts.tolist()):
        assert got[i].tolist() == [oracle.main_noise(d, shift) for d in DRAWS.tolist()]


@pytest.mark.parametrize("shift", [-20, -17, -16, -15, -3, 0, 4])
def test_the_hardware_form_is_symmetric(shift):
    values = _wide.to_integers(hardware_noise(EVERY, shift))
    assert sorted(values) == sorted(-values)
    assert (values.any()) == (shift > -16)
    if shift == 0:
        assert set(values.tolist()) == set(range(-65535, 65536, 2))


def test_draws_are_uniform():
    draws = np.asarray(draw(jax.random.key(0), (200_000,)))
    assert draws.min() >= -65536 and draws.max() <= 65535
    counts, _ = np.histogram(draws, bins=16, range=(-65536, 65536))
    # chi squared with 15 degrees of freedom exceeds 50 once in 10^5
    assert ((counts - 12500.0) ** 2 / 12500).sum() < 50


def potentials(neuron, *, steps=60, n=50, key=0):
    net = nj.Sequential((n,), n=neuron)
    run = nj.simulate(
        net, jnp.zeros((steps, 2, n)), key=jax.random.key(key), probes=["n.high", "n.low"]
    )
    return membrane(_wide.Wide(run["n.high"], run["n.low"])), run.outputs


@pytest.mark.parametrize("shift", [-1, 0, 15])
def test_noise_moves_membranes(shift):
    """The lab's test: LIF, theta = 0, nothing comes in."""
    v, spikes = potentials(Neuron(theta=0, shift=shift))
    assert spikes.mean() > 0.1
    assert np.abs(v).max() > 65535 * 2.0**shift / 2
    again, _ = potentials(Neuron(theta=0, shift=shift))
    assert np.array_equal(v, again)
    other, _ = potentials(Neuron(theta=0, shift=shift), key=1)
    assert not np.array_equal(v, other)
    # No two samples, neurons or steps share their draws.
    assert len(np.unique(v[0])) > 90 and not np.array_equal(v[0], v[1])


@pytest.mark.parametrize(
    "quiet",
    [{"shift": -17}, {"shift": -16}, {"shift": 5, "model": "IF"}, {"shift": 5, "model": "ANN"},
     {"shift": 5, "order": "dev"}, {"shift": -16, "order": "main", "leak": 64, "theta": 1}],
    ids=str,
)  # fmt: skip
def test_no_noise(quiet):
    v, spikes = potentials(Neuron(**({"theta": 0} | quiet)), steps=100)
    assert not v.any() and not spikes.any()


def test_main_drifts_down():
    """Its shift -17, the word of the hardware for no noise, is -1/2 on average."""
    v, _ = potentials(Neuron(theta=9, shift=-17, order="main", leak=64), steps=100)
    assert -60 < v[-1].mean() < -40


def test_what_needs_a_key():
    assert Neuron(theta=1, shift=-15).needs_key
    assert Neuron(theta=1, shift=np.array([-15, -17])).needs_key
    assert Neuron(theta=1, shift=-17, order="main").needs_key
    for off in (
        {"shift": -16},
        {"shift": 3, "model": "IF"},
        {"shift": 3, "order": "dev"},
        {"shift": -16, "order": "main"},
    ):
        assert not Neuron(theta=1, **off).needs_key
    given = Neuron(theta=1, shift=0, draws=np.zeros((3, 4), np.int32))
    assert not given.needs_key
    neuron = Neuron(theta=1, shift=0)
    with pytest.raises(ValueError, match="needs a key"):
        neuron.step(neuron.init((2,)), jnp.zeros(2))


def test_draws_that_run_out_stay():
    draws = np.array([[100], [-3]])
    v, _ = potentials(Neuron(theta=99999, shift=0, draws=draws), steps=4, n=1)
    add = [oracle.hardware_noise(d, 0) for d in (100, -3, -3, -3)]
    assert v[:, 0, 0].tolist() == np.cumsum(add).tolist()
