"""Chip instances: every drawn distribution, and what a chip does to a network."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips.bss2 import Magnitudes, draw, with_instance
from neurojax.chips.bss2.magnitudes import effects

KEYS = jax.random.split(jax.random.key(0), 8)
X = jax.random.bernoulli(KEYS[0], 0.3, (20, 4, 5)).astype(jnp.float32) * 3


def linear(n_in, n_out, key):
    return nj.Linear(n_in, n_out, key=key)


def network(hidden=12, **options):
    options = {"tau_mem": 6e-6, "tau_syn": 6e-6, "refractory_time": 10e-6} | options
    return nj.Sequential(
        (5,),
        fc=linear(5, hidden, KEYS[1]),
        hidden=nj.Recurrent(bss2.LIF(**options), linear(hidden, hidden, KEYS[2])),
        out=linear(hidden, 3, KEYS[3]),
        readout=bss2.LI(tau_mem=6e-6),
    )


MAPPED = bss2.map(network())
N = 400


@pytest.fixture(scope="module")
def chips():
    """Many chips, drawn in one program."""
    keys = jax.random.split(jax.random.key(1), N)
    return jax.jit(jax.vmap(lambda key: draw(key, MAPPED)))(keys)


def simulate(net, key=None):
    return nj.simulate(net, X, key=key, probes=["hidden.neuron.v", "readout.v"])


def assert_normal(values, mean, width):
    """Mean, width and shape of independent draws, with bounds that one of 10^4 tests exceeds."""
    values = np.ravel(values).astype(np.float64)
    n = values.size
    assert n >= 1000
    assert abs(values.mean() - mean) < 4 * width / math.sqrt(n)
    assert abs(values.std() - width) < 4 * width / math.sqrt(2 * n)
    assert stats.kstest((values[:5000] - mean) / width, "norm").pvalue > 1e-4


FACTORS = {
    "synapse": (lambda c: c.synapses["out"].synapse, 0.05),
    "driver": (lambda c: c.synapses["fc"].driver, 0.07),
    "synaptic_input": (lambda c: c.synapses["hidden.synapse"].synaptic_input, 0.05),
    "refractory_time": (lambda c: c.neurons["hidden.neuron"].factors["refractory_time"], 0.03),
}


@pytest.mark.parametrize("name", FACTORS)
def test_relative_mismatch(chips, name):
    select, width = FACTORS[name]
    assert getattr(Magnitudes(), name) == width
    assert_normal(select(chips), 1.0, width)


@pytest.mark.parametrize(("name", "width"), [("tau_mem", 0.1), ("tau_syn", 0.05), ("c_mem", 0.02)])
def test_lognormal_mismatch(chips, name, width):
    assert_normal(np.log(chips.neurons["readout"].factors[name]), 0.0, width)


@pytest.mark.parametrize(("name", "width"), [("threshold", 3.0), ("reset", 1.5), ("leak", 1.5)])
def test_offsets_are_in_lsb(chips, name, width):
    assert_normal(chips.neurons["hidden.neuron"].offsets[name], 0.0, width)


def test_converter_channels(chips):
    assert_normal(chips.neurons["readout"].cadc_offset, 0.0, 1.0)
    assert_normal(chips.neurons["readout"].cadc_gain, 0.0, 0.01)


def test_synapses_get_the_product_of_their_factors(chips):
    chip = jax.tree.map(lambda x: x[7], chips)
    own = chip.synapses["fc"]
    real = with_instance(MAPPED, chip)["fc"]
    steps = MAPPED.network["fc"].integers()
    for row in (0, 1):
        product = (
            np.asarray(own.synapse[row] * own.driver) * np.asarray(own.synaptic_input)[row][:, None]
        )
        sign = steps > 0 if row == 0 else steps < 0
        expected = steps * product / float(real.scale)
        np.testing.assert_allclose(np.asarray(real.weight)[sign], expected[sign], rtol=1e-5)
    # The total spread of a weight is that of independent factors.
    strength = np.asarray(jax.vmap(lambda own: own.strength[0])(chips.synapses["fc"]))
    total = math.sqrt((1 + 0.05**2) * (1 + 0.07**2) * (1 + 0.05**2) - 1)
    # Drivers and inputs are shared, so the bound is that of the fewer draws.
    assert abs(strength.std() - total) < 4 * total / math.sqrt(2 * 400 * 5)


def test_a_strong_mismatch_leaves_no_negative_strength():
    chip = draw(jax.random.key(2), MAPPED, Magnitudes.off().replace(synapse=1.0))
    assert chip.synapses["out"].synapse.min() == 0


def test_one_key_is_one_chip(chips):
    one = draw(jax.random.split(jax.random.key(1), N)[3], MAPPED)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(chips), strict=True):
        np.testing.assert_allclose(a, b[3], rtol=1e-5)
    # Nothing depends on what else is drawn.
    sizes = Magnitudes.off().replace(threshold=3.0)
    alone = draw(jax.random.split(jax.random.key(1), N)[3], MAPPED, sizes)
    offsets = alone.neurons["hidden.neuron"].offsets
    assert list(offsets) == ["threshold"]
    expected = one.neurons["hidden.neuron"].offsets["threshold"]
    np.testing.assert_array_equal(offsets["threshold"], expected)
    assert len(jax.tree.leaves(alone)) == 1


def test_off_is_ideal_bit_for_bit():
    ideal = simulate(MAPPED.network)
    real = with_instance(MAPPED, draw(jax.random.key(4), MAPPED, Magnitudes.off()))
    assert jax.tree.structure(real) == jax.tree.structure(MAPPED.network)
    run = simulate(real)
    assert ideal["hidden.neuron.v"].std() > 0.1
    for a, b in zip(jax.tree.leaves(run), jax.tree.leaves(ideal), strict=True):
        np.testing.assert_array_equal(a, b)


def test_real_weights_and_no_effect_is_the_network_itself():
    net = network()
    mapped = bss2.map(net, bits=None)
    real = with_instance(mapped, draw(jax.random.key(4), mapped, Magnitudes.off()))
    for a, b in zip(jax.tree.leaves(simulate(real)), jax.tree.leaves(simulate(net)), strict=True):
        np.testing.assert_array_equal(a, b)


def test_mismatch_acts_as_such_parameters_do():
    """A chip against a network that was built with the chip's numbers."""
    chip = draw(jax.random.key(5), MAPPED, Magnitudes.mismatch())
    weights = {
        name: synapse.weight
        for name, synapse in ((n, with_instance(MAPPED, chip)[n]) for n in ("fc", "out"))
    }
    neuron, own = MAPPED.network["hidden"].neuron, chip.neurons["hidden.neuron"]
    refractory = bss2.counted_period(jnp.array(10e-6)) * own.factors["refractory_time"]
    hidden = bss2.LIF(
        tau_mem=6e-6 * own.factors["tau_mem"],
        tau_syn=6e-6 * own.factors["tau_syn"],
        c_mem=6e-6 * own.factors["c_mem"],
        leak=own.offsets["leak"] / 60,
        reset=own.offsets["reset"] / 60,
        threshold=1 + own.offsets["threshold"] / 60,
        refractory_time=jnp.round(refractory / 1e-6) * 1e-6,
    )
    back = with_instance(MAPPED, chip)["hidden"].synapse.weight
    built = nj.Sequential(
        (5,),
        fc=nj.Linear.from_weights(weights["fc"]),
        hidden=nj.Recurrent(hidden, nj.Linear.from_weights(back)),
    )
    run = nj.simulate(built, X, probes=["hidden.neuron.v"])
    real = simulate(with_instance(MAPPED, chip))
    np.testing.assert_allclose(
        real["hidden.neuron.v"], run["hidden.neuron.v"], rtol=1e-4, atol=1e-5
    )
    assert not np.allclose(real["hidden.neuron.v"], simulate(MAPPED.network)["hidden.neuron.v"])
    assert neuron.tau_mem == 6e-6


def test_chips_in_one_program_are_the_chips_one_by_one():
    @eqx.filter_jit
    def run(keys):
        def one(key):
            made, noise = jax.random.split(key)
            real = with_instance(MAPPED, draw(made, MAPPED))
            return nj.simulate(real, X[:10], key=noise).outputs

        return jax.vmap(one)(keys)

    keys = KEYS[:3]
    together = run(keys)
    for i in range(3):  # with other neighbours, at another place
        np.testing.assert_allclose(run(jnp.roll(keys, i))[i], together[0], rtol=1e-4, atol=1e-4)
    assert together.std(axis=0).max() > 0.01


def test_a_sweep_of_the_size_of_mismatch():
    """The threshold of a neuron that is driven is what decides when it fires."""
    sizes = Magnitudes.off().replace(threshold=3.0)

    def offsets(factor):
        chip = draw(jax.random.key(6), MAPPED, sizes.scaled(factor))
        return chip.neurons["hidden.neuron"].offsets["threshold"]

    found = jax.vmap(offsets)(jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(found[0], 0)
    np.testing.assert_allclose(found[2], 2 * found[1], rtol=1e-6)


def test_gradients_reach_parameters_and_magnitudes():
    sizes = Magnitudes()
    # Jitter and loss decide about events, one by one; the refractory period is whole steps.
    sizes = sizes.replace(drift=0.02, threshold_noise=1.0, jitter=0.0)
    smooth = (
        *("synapse", "driver", "synaptic_input", "tau_mem", "tau_syn", "c_mem", "threshold"),
        *("reset", "leak", "cadc_offset", "cadc_gain", "membrane_noise", "threshold_noise"),
        *("cadc_noise", "drift", "largest_current", "linear", "limit"),
    )

    @eqx.filter_jit
    @eqx.filter_grad
    def slopes(given):
        values, net = given
        chip = draw(jax.random.key(7), MAPPED, sizes.replace(**values))
        real = with_instance(MAPPED.with_network(net), chip)
        return jnp.sum(simulate(real, KEYS[4]).outputs ** 2)

    values = {name: jnp.asarray(getattr(sizes, name), jnp.float32) for name in smooth}
    values["linear"] = jnp.array(10.0)
    of_sizes, of_net = slopes((values, MAPPED.network))
    for name, slope in of_sizes.items():
        assert jnp.isfinite(slope) and slope != 0, name
    for name in ("fc", "out"):
        assert (of_net[name].synapse.weight != 0).mean() > 0.5
    assert (of_net["hidden"].synapse.synapse.weight != 0).any()


def test_what_a_chip_adds_is_not_trained():
    real = with_instance(MAPPED, draw(jax.random.key(8), MAPPED))
    mask = nj.train.trainable_mask(real)
    chosen = [leaf for leaf in jax.tree.leaves(mask) if leaf is True]
    assert len(chosen) == 3  # the weights
    back = bss2.without_instance(real)
    assert jax.tree.structure(back) == jax.tree.structure(MAPPED.network)
    for a, b in zip(jax.tree.leaves(back), jax.tree.leaves(MAPPED.network), strict=True):
        np.testing.assert_array_equal(a, b)


def test_refractory_counter():
    """calix: cycles = trunc(period * clock) + 1, at least 30 of at most 255."""
    periods = np.geomspace(0.3e-6, 31.9e-6, 50).astype(np.float32)
    counted = np.asarray(bss2.counted_period(jnp.asarray(periods)))
    for period, found in zip(periods, counted, strict=True):
        legal = []
        for scale in range(16):
            clock = 250e6 / 2 ** (scale + 1)
            cycles = math.trunc(float(period) * clock) + 1
            if 30 <= cycles <= 255:
                legal.append(cycles / clock)
        assert np.isclose(found, legal, rtol=1e-4).any()
        assert 0 < found / period - 1 < 0.034


def test_converter_for_traces():
    chip = draw(jax.random.key(9), MAPPED)
    run = simulate(MAPPED.network)
    cadc = bss2.cadc(MAPPED, chip, "hidden.neuron", interpolation="linear")
    trace = cadc.record(run["hidden.neuron.v"], key=KEYS[5])
    assert trace.shape == run["hidden.neuron.v"].shape
    error = np.asarray(trace - run["hidden.neuron.v"])[::2]  # where it is sampled
    error = error[np.abs(run["hidden.neuron.v"])[::2] < 1]  # and not at its limits
    # offset 1.0, noise 1.2, rounding, and the slope's 1 % of up to 60 steps
    assert 1.0 < error.std() * 60 < 2.5
    with pytest.raises(ValueError, match="'fc' has no neurons"):
        bss2.cadc(MAPPED, chip, "fc")


def test_refusals():
    chip = draw(jax.random.key(10), MAPPED)
    other = bss2.map(nj.Sequential((5,), fc=linear(5, 3, KEYS[1]), spikes=bss2.LIF()))
    with pytest.raises(ValueError, match="draw another one"):
        with_instance(other, chip)
    with pytest.raises(ValueError, match="threshold is -1"):
        Magnitudes(threshold=-1.0)
    with pytest.raises(ValueError, match="0 switches it off"):
        Magnitudes(threshold=None)
    with pytest.raises(ValueError, match="both of linear and limit"):
        Magnitudes(linear=None)
    eventprop = nj.Sequential(
        (5,), fc=bss2.EventPropLinear(5, 3, key=KEYS[1]), spikes=bss2.EventPropLIF()
    )
    mapped = bss2.map(eventprop)
    with pytest.raises(ValueError, match=r"layer 'spikes': .*Magnitudes\.mismatch"):
        with_instance(mapped, draw(jax.random.key(11), mapped))
    real = with_instance(mapped, draw(jax.random.key(11), mapped, Magnitudes.mismatch()))
    assert nj.simulate(real, X).outputs.shape == (20, 4, 3)


def test_every_effect_has_a_size_a_unit_and_a_basis():
    text = str(Magnitudes())
    for name, effect in effects().items():
        assert name in text and effect.basis in text and effect.kind in text
    assert not any(eqx.is_array(leaf) for leaf in jax.tree.leaves((Magnitudes(), Magnitudes.off())))
