"""Mapping: neurons of other simulators, scales, refusals, the report, training afterwards."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import neurojax as nj
from neurojax.chips import bss2
from neurojax.chips._mapped import MappingError

KEYS = jax.random.split(jax.random.key(0), 6)
X = jax.random.bernoulli(KEYS[0], 0.3, (30, 4, 5)).astype(jnp.float32)


def linear(n_in, n_out, key=KEYS[1], gain=1.0, **options):
    layer = nj.Linear(n_in, n_out, key=key, **options)
    return eqx.tree_at(lambda m: m.weight, layer, layer.weight * gain)


def one(neuron, gain=4.0):
    return nj.Sequential((5,), fc=linear(5, 6, gain=gain), n=neuron)


CASES = {
    "LIF": (nj.CubaLIF(tau=8.0, tau_syn=4.0, order="old", reset="zero", gain=0.3), "n.v"),
    "LIF, euler, normalised": (
        nj.CubaLIF(
            tau=8.0,
            tau_syn=4.0,
            order="old",
            reset="value",
            reset_value=-0.25,
            method="euler",
            normalize_input=True,
            v_rest=0.1,
            refractory=3.0,
        ),
        "n.v",
    ),
    "LIF, arrays": (
        nj.CubaLIF(
            decay=jnp.linspace(0.8, 0.95, 6),
            decay_syn=0.7,
            threshold=jnp.linspace(0.8, 1.2, 6),
            order="old",
            reset="zero",
            gain=0.3,
        ),
        "n.v",
    ),
    "LIF, milliseconds": (
        nj.CubaLIF(tau=8e-3, tau_syn=4e-3, dt=1e-3, order="old", reset="zero", gain=0.3),
        "n.v",
    ),
    "LI": (nj.CubaLI(tau=8.0, tau_syn=4.0, order="old"), "n.v"),
    "IAF": (
        nj.CubaIAF(tau_syn=4.0, order="old", reset="value", reset_value=0.2, gain=0.2),
        "n.v",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_neurons_of_other_simulators_compute_the_same(case):
    neuron, probe = CASES[case]
    net = one(neuron)
    mapped = bss2.map(net, bits=None)
    run = nj.simulate(net, X, probes=[probe, "n.i"])
    made = nj.simulate(mapped.network, X, probes=[probe, "n.i"])
    for name in (probe, "n.i"):
        np.testing.assert_allclose(made[name], run[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.outputs, run.outputs, rtol=1e-4, atol=1e-5)
    assert case == "LI" or made.outputs.sum() > 5


def test_time_constants_become_seconds():
    net = one(nj.CubaLIF(tau=8.0, tau_syn=4.0, order="old", reset="zero", method="euler"))
    neuron = bss2.map(net, dt=2e-6).network["n"]
    assert float(neuron.tau_mem) == pytest.approx(16e-6)
    assert float(neuron.tau_syn) == pytest.approx(8e-6)


def deep(**options):
    return nj.Sequential(
        (5,),
        fc=linear(5, 12, KEYS[1]),
        drop=nj.BatchDropout(0.1),
        hidden=nj.Recurrent(bss2.LIF(threshold=0.5, **options), linear(12, 12, KEYS[2], gain=3)),
        flat=nj.Flatten(),
        out=linear(12, 3, KEYS[3]),
        readout=bss2.LI(),
    )


def test_scales():
    net = deep()
    largest = float(jnp.abs(net["hidden"].synapse.weight).max())
    mapped = bss2.map(net)
    # What comes to the same neurons has one scale: that of its largest weight.
    assert float(mapped.network["fc"].scale) == pytest.approx(63 / largest)
    assert float(mapped.network["hidden"].synapse.scale) == pytest.approx(63 / largest)
    assert np.abs(mapped.network["hidden"].synapse.integers()).max() == 63
    assert np.abs(mapped.network["fc"].integers()).max() < 63
    own = float(jnp.abs(net["out"].weight).max())
    assert float(mapped.network["out"].scale) == pytest.approx(63 / own)
    given = bss2.map(net, weight_scale={"readout": 20.0, "hidden": "auto"}, trace_scale=0.02)
    assert float(given.network["out"].scale) == 20
    assert [o.trace_scale for o in given.origins] == [0.02, 0.02]
    # 60 steps from leak to threshold
    assert [o.trace_scale for o in mapped.origins] == pytest.approx([0.5 / 60] * 2)
    for option in ("weight_scale", "trace_scale"):
        for wrong in (0.0, "large", True, {"hidden": -1}):
            with pytest.raises(ValueError, match=f"{option}.* > 0, or 'auto'"):
                bss2.map(net, **{option: wrong})
        with pytest.raises(ValueError, match=f"{option} of 'hiden': .*hidden"):
            bss2.map(net, **{option: {"hiden": 1.0}})


def test_weights_keep_their_units():
    net = deep()
    mapped = bss2.map(net)
    for name in ("fc", "out"):
        error = np.abs(mapped.network[name].weight - net[name].weight)
        assert error.max() <= 0.5001 / float(mapped.network[name].scale)
        np.testing.assert_array_equal(mapped.network[name].synapse.weight, net[name].weight)
    assert mapped.network.names == net.names and mapped.network.edges == net.edges


def test_report():
    mapped = bss2.map(deep(), weight_scale={"hidden": 80.0})
    report = mapped.report()
    rows = {row["layer"]: row for row in report.rows}
    assert list(rows) == ["fc", "hidden.synapse", "out"]
    whole = np.asarray(mapped.network["hidden"].synapse.synapse.weight) * 80
    row = rows["hidden.synapse"]
    assert row["clipped"] == (np.abs(whole) >= 63.5).sum() > 0
    assert row["vanished"] == (np.abs(whole) < 0.5).sum()
    rounded = np.clip(np.round(whole), -63, 63)
    expected = np.sqrt(np.mean((rounded - whole) ** 2) / np.mean(whole**2))
    assert row["rms_error"] == pytest.approx(expected, rel=1e-3)
    # Of either sign, a row for each of 5 inputs and 12 neurons
    assert rows["fc"]["fan_in"] == 2 * (5 + 12) and rows["fc"]["circuits"] == 12
    assert rows["out"]["fan_in"] == 24 and rows["fc"]["threshold"] == "140 LSB"
    text = str(report)
    assert "15 neurons on bss2" in text and "CLIPPED" in text and "15 of 512 circuits" in text
    # It follows the parameters.
    double = jax.tree.map(lambda x: 2 * x, mapped.network)
    assert mapped.with_network(double).report().rows[1]["clipped"] > row["clipped"]


def test_refusals_all_at_once():
    net = nj.Sequential(
        (1, 6),
        conv=nj.Conv1d(1, 4, 3, key=KEYS[1]),
        flat=nj.Flatten(),
        bias=linear(16, 8, bias=True),
        new=nj.CubaLIF(tau=5.0, tau_syn=5.0, v_min=-1.0),
        fc=linear(8, 8),
        delay=nj.Delay(2),
        lif=nj.LIF(tau=5.0),
        far=linear(8, 4),
        slow=bss2.LIF(dt=1e-3, tau_mem=1.0, tau_syn=1.0),
    )
    with pytest.raises(MappingError) as caught:
        bss2.map(net)
    text = str(caught.value)
    for what in (
        "'conv': a Conv1d layer",
        "'bias': it has a bias",
        "an input that spikes at a fixed time",
        "'new': order is \"new\"",
        "'new': v_min is -1",
        "'new': reset is \"subtract\"",
        "'delay': a Delay layer",
        "'lif': a LIF neuron",
        "'slow': its dt is 0.001 s",
    ):
        assert what in text, what


def test_capacity_and_calibration_are_checked():
    big = nj.Sequential((5,), fc=linear(5, 600), n=bss2.LIF())
    with pytest.raises(MappingError, match="needs 600 circuits"):
        bss2.map(big)
    with pytest.raises(MappingError, match="tau_mem is 1000 us"):
        bss2.map(one(bss2.LIF(tau_mem=1e-3)))
    with pytest.raises(MappingError, match="calibration target reset is"):
        bss2.map(one(bss2.LIF(reset=-1000.0)))
    with pytest.raises(ValueError, match="seconds > 0"):
        bss2.map(one(bss2.LIF()), dt=0.0)
    with pytest.raises(TypeError, match="within jit"):
        eqx.filter_jit(bss2.map)(one(bss2.LIF()))
    dead = eqx.tree_at(lambda n: n["fc"].weight, one(bss2.LIF()), jnp.zeros((6, 5)))
    assert "ALL WEIGHTS TO 'n' ARE 0" in str(bss2.map(dead).report())
    with pytest.raises(MappingError, match="no neurons"):
        bss2.map(nj.Sequential((5,), flat=nj.Flatten()))


def test_training_on_one_chip():
    """Few weight steps, and a chip with much mismatch: training finds its way around both."""
    labels = jnp.arange(64) % 2
    rates = jnp.where((jnp.arange(5) < 2) == labels[:, None, None], 0.5, 0.15)
    samples = jax.random.bernoulli(KEYS[4], rates, (64, 20, 5)).astype(jnp.float32)
    net = nj.Sequential(
        (5,),
        fc=linear(5, 16, KEYS[1], gain=3.0),
        hidden=bss2.LIF(tau_mem=6e-6, tau_syn=6e-6),
        out=linear(16, 2, KEYS[2]),
        readout=bss2.LI(tau_mem=6e-6, tau_syn=6e-6),
    )
    mapped = bss2.map(net, bits=4)
    chip = bss2.draw(KEYS[3], mapped, bss2.Magnitudes.mismatch().scaled(2.0))
    optimiser = optax.adam(1e-2)
    x = jnp.swapaxes(samples, 0, 1)

    @eqx.filter_jit
    def train(network):
        def loss(network):
            real = bss2.with_instance(mapped.with_network(network), chip)
            scores = nj.simulate(real, x).outputs.max(axis=0)
            return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean(), scores

        def step(carry, _):
            network, state = carry
            (_, scores), slope = eqx.filter_value_and_grad(loss, has_aux=True)(network)
            change, state = optimiser.update(slope, state)
            accuracy = (scores.argmax(axis=-1) == labels).mean()
            return (eqx.apply_updates(network, change), state), accuracy

        state = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
        (network, _), accuracy = jax.lax.scan(step, (network, state), None, 60)
        return network, accuracy

    network, accuracy = train(mapped.network)
    assert accuracy[:3].mean() < 0.7 and accuracy[-5:].mean() > 0.9
    whole = network["fc"].integers()
    assert np.abs(whole).max() <= 15 and (whole != mapped.network["fc"].integers()).any()


def test_layers_of_the_perceptron_mode_and_a_folded_bias_are_named_as_what_they_are():
    hagen = {"a": bss2.perceptron.Linear(5, 3, key=KEYS[1]), "b": bss2.perceptron.ReLU()}
    with pytest.raises(MappingError) as caught:
        bss2.map(nj.Sequential((5,), **hagen))
    named = [(p.layer, p.found) for p in caught.value.problems]
    assert ("a", "the perceptron mode's Linear") in named
    assert ("b", "the perceptron mode's ReLU") in named
    normed = nj.Sequential((5,), a=linear(5, 6, bias=False), norm=nj.BatchNorm(6), n=bss2.LIF())
    with pytest.raises(MappingError, match="'a': its batch norm gives it a bias"):
        bss2.map(normed)


def test_a_probability_is_at_most_one():
    with pytest.raises(ValueError, match="loss is 2; a probability is 0 to 1"):
        bss2.Magnitudes(loss=2.0)
