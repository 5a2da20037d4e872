"""Lava's LIF, slayer's CUBA and SpikingJelly's CubaLIFNode: where they are one neuron, where not.

With scale 64, an integer of the chip is 4096 times a float of slayer and SpikingJelly:

| Lava and the chip         | slayer and SpikingJelly              |
|---------------------------|--------------------------------------|
| input, weight w           | w / 64                               |
| states u, v               | u / 4096, v / 4096                   |
| du, dv                    | (du + 1) / 4096, dv / 4096           |
| vth                       | vth / 64                             |
| bias_mant, with exponent 6| bias_mant / 64 (of slayer's norms)   |
"""

import dataclasses
import json
import re

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

import neurojax as nj
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.converters import slayer
from tests.conftest import GOLDEN

LAVA = GOLDEN / "lava"
META = json.loads((LAVA / "META_sj.json").read_text())
STEPS, NEURONS = 30, 6
LIMIT = (1 << 23) - 1


@eqx.filter_jit
def run(neuron, x):
    """Spikes, current and membrane of a population, for [time, neurons] without a batch."""
    current = "u" if isinstance(neuron, LIF | FloatLIF) else "i"
    net = nj.Sequential(x.shape[1:], n=neuron)
    found = nj.simulate(net, x[:, None], probes=[f"n.{current}", "n.v"])
    return found.outputs[:, 0], found[f"n.{current}"][:, 0], found["n.v"][:, 0]


def three(du, dv, vth):
    """The same neuron of the three, parameters as arrays: one compiled function for all."""
    decays = {
        "current_decay": jnp.float32((du + 1) / 4096),
        "voltage_decay": jnp.float32(dv / 4096),
    }
    number = lambda neuron: dataclasses.replace(neuron, threshold=jnp.float32(vth / 64))  # noqa: E731
    return (
        LIF(du=jnp.float32(du), dv=jnp.float32(dv), vth=jnp.float32(vth)),
        number(slayer.cuba_neuron(threshold=1.0, **decays)),
        number(slayer.cuba_lif_node(v_threshold=1.0, **decays)),
    )


def same(lava, float_neuron, weights):
    """Whether both compute the same of inputs in weight steps."""
    spikes, u, v = run(lava, jnp.float32(weights))
    theirs = run(float_neuron, jnp.float32(weights) / 64)
    pairs = zip((spikes, u / 4096, v / 4096), theirs, strict=True)
    return all(bool((ours == other).all()) for ours, other in pairs)


# Where they agree


@settings(max_examples=40)
@given(st.integers(-1, 4095), st.integers(0, 4096), st.integers(0, 4095), st.integers(0, 2**32 - 1))
def test_they_are_one_neuron(du, dv, vth, seed):
    weights = np.random.default_rng(seed).integers(-250, 400, (STEPS, NEURONS))
    lava, sl, sj = three(du, dv, vth)
    _, u, v = run(lava, jnp.float32(weights))
    assume(np.abs(u).max() < LIMIT and np.abs(v).max() < LIMIT)
    assert same(lava, sl, weights)
    assert same(lava, sj, weights)


def recorded_threshold(name):
    params = META[name]["params"]
    return params.get("v_threshold", params.get("th", 1.0))


def on_grid(name):
    """Whether the chip has the scale and the threshold of a recording (slayer cuts thresholds)."""
    whole = recorded_threshold(name) * 64 % 1 == 0
    return META[name]["params"].get("scale", 64) == 64 and (whole or name.startswith("slayer"))


SAME = [name for name in META if re.fullmatch(r"(sj|slayer)_cuba_\d", name) and on_grid(name)]


@pytest.mark.parametrize("name", SAME)
def test_lavas_neuron_replays_recordings_of_the_other_two(name):
    params, threshold = META[name]["params"], recorded_threshold(name)
    with np.load(LAVA / f"{name}.npz") as file:
        z = dict(file)
    if name.startswith("sj"):
        flat = lambda a: a.reshape(len(a), -1)  # noqa: E731
        current, spikes = z["i_seq"], z["spike"]
        decays = params["cd"], params["vd"]
    else:
        flat = lambda a: np.moveaxis(a, -1, 0).reshape(a.shape[-1], -1)  # noqa: E731
        current, spikes = z["current"], z["spike"]
        shape = z["x"].shape[:2]
        decays = (np.broadcast_to(z[d] / 4096, shape).ravel() for d in ("cd", "vd"))
    # Rounded in float32, as the recorded libraries do.
    du, dv = (np.rint(np.float32(4096) * np.float32(d)) for d in decays)
    lava = LIF(
        du=np.asarray(du - 1), dv=np.asarray(dv), vth=int(threshold * 64),
        graded=params.get("graded", False),
    )  # fmt: skip
    y, u, _ = run(lava, jnp.float32(flat(z["x"]) * 64))
    assert (u / 4096 == flat(current)).all()
    assert (y == flat(spikes)).all()


def test_real_numbers_are_close():
    """Each step cuts off less than 1 of the state; a leak of 1 - d sums that up to 1 / d."""
    weights = np.random.default_rng(1).integers(-250, 400, (300, NEURONS))
    chip = LIF(du=409, dv=204, vth=None)
    real = FloatLIF(du=410 / 4096, dv=204 / 4096, vth=None)
    _, u, v = run(chip, jnp.float32(weights))
    _, real_u, real_v = run(real, jnp.float32(weights) * 64)
    error_u = 4096 / 410
    assert 0 < np.abs(u - real_u).max() < error_u
    assert 0 < np.abs(v - real_v).max() < (1 + error_u) * 4096 / 204 + 1  # and float32's rounding


# Where they differ


def test_only_lava_has_24_bits():
    """A current of 2^23 wraps round, a membrane stops at 2^23 - 1; the other two go on."""
    lava, sl, sj = three(-1, 4096, 4095)
    weights = np.full((3, 1), -60_000)
    _, u, v = run(lava, jnp.float32(weights))
    for other in (sl, sj):
        _, i, h = run(other, jnp.float32(weights) / 64)
        assert (i[:, 0] * 4096).tolist() == [-3_840_000, -7_680_000, -11_520_000]
        assert (h == i).all()
    assert u[:, 0].tolist() == [-3_840_000, -7_680_000, -11_520_000 + 2**24]
    lava, sl, _ = three(4095, 0, 4095)
    _, _, v = run(lava, jnp.float32(weights))
    _, _, h = run(sl, jnp.float32(weights) / 64)
    assert v[:, 0].tolist() == [-3_840_000, -7_680_000, -LIMIT]
    assert (h[:, 0] * 4096).tolist() == [-3_840_000, -7_680_000, -11_520_000]


def test_only_spikingjelly_has_thresholds_between_weight_steps():
    """0.7 is 44.8 weight steps: slayer and the chip have 44, SpikingJelly 44.8."""
    sl = slayer.cuba_neuron(threshold=0.7, current_decay=1.0, voltage_decay=1.0)
    sj = slayer.cuba_lif_node(v_threshold=0.7, current_decay=1.0, voltage_decay=1.0)
    lava = LIF(du=4095, dv=4096, vth=sl.integers()["vThMant"])
    weights = jnp.float32([[44.0, 44.5, 45.0]])
    assert run(lava, weights)[0].tolist() == [[0, 1, 1]]
    assert run(sl, weights / 64)[0].tolist() == [[0, 1, 1]]
    assert run(sj, weights / 64)[0].tolist() == [[0, 0, 1]]


def test_only_spikingjelly_loses_steps_with_other_scales():
    """It makes integers of its floats by truncation in each step: (n / 6400) 6400 may be n - 1."""
    x = jnp.float32(np.random.default_rng(2).integers(-128, 256, (100, 20))) / 64
    decays = {"current_decay": 0.3, "voltage_decay": 0.2}
    sl = slayer.cuba_neuron(threshold=1.0, scale=100, **decays)
    sj = slayer.cuba_lif_node(v_threshold=1.0, scale=100, **decays)
    error = np.rint((np.float64(run(sl, x)[1]) - np.float64(run(sj, x)[1])) * 6400)
    assert (error != 0).any() and np.abs(error).max() <= 4
    lava = LIF(du=round(4096 * 0.3) - 1, dv=round(4096 * 0.2), vth=100)
    u = run(lava, 100 * x)[1]
    assert (np.rint(np.float64(run(sl, x)[1]) * 6400) == u).all()


def test_only_spikingjelly_feeds_the_norm_back():
    """A mean of 0.5 is subtracted from what drives the membrane; there, from the current too."""
    norm = ShiftNorm(jnp.array([0.5]))
    x = jnp.array([[1.0], [0.0], [0.0]])
    decays = {"current_decay": 0.5, "voltage_decay": 1.0, "norm": norm}
    _, i, v = run(slayer.cuba_neuron(threshold=9.0, **decays), x)
    assert i[:, 0].tolist() == [1.0, 0.5, 0.25] and v[:, 0].tolist() == [0.5, 0.0, -0.25]
    _, i, v = run(slayer.cuba_lif_node(v_threshold=9.0, **decays), x)
    assert i[:, 0].tolist() == [0.5, -0.25, -0.625] and (v == i).all()
    # On the chip a mean is a bias of the membrane, as in slayer.
    _, u, v = run(LIF(du=2047, dv=4096, vth=576, bias_mant=-32, bias_exp=6), 64 * x)
    assert (u[:, 0] / 4096).tolist() == [1.0, 0.5, 0.25]
    assert (v[:, 0] / 4096).tolist() == [0.5, 0.0, -0.25]


@pytest.mark.parametrize(("threshold", "lost"), [(63.0, False), (64.0, True), (2000.0, True)])
def test_slayer_and_spikingjelly_spike_at_large_thresholds(threshold, lost):
    """They add 0.01 steps to the threshold to exclude equality; a float32 of 64 drops that."""
    decays = {"current_decay": 1.0, "voltage_decay": 1.0}
    x = jnp.array([[threshold]])
    assert run(LIF(du=4095, dv=4096, vth=int(threshold * 64)), 64 * x)[0] == 0
    assert run(slayer.cuba_neuron(threshold=threshold, **decays), x)[0] == lost
    assert run(slayer.cuba_lif_node(v_threshold=threshold, **decays), x)[0] == lost
    assert run(CUBA(threshold=threshold, **decays), x)[0] == 0
