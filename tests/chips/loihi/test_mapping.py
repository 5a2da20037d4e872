"""Mapping onto Loihi: against 64-bit integers, against the network before, and refusals."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips._mapped import MappingError
from neurojax.chips._surrogate import InSteps
from neurojax.chips.loihi.adaptive_resonator import AdRF
from neurojax.chips.loihi.alif import ALIF
from neurojax.chips.loihi.complex_synapse import ComplexSynapse
from neurojax.chips.loihi.cuba import CUBA
from neurojax.chips.loihi.float import FloatLIF
from neurojax.chips.loihi.lif import LIF
from neurojax.chips.loihi.mapping import map as map_network, overflow
from neurojax.chips.loihi.norm import ShiftNorm
from neurojax.chips.loihi.quantise import quantise_8bit, quantised
from neurojax.chips.loihi.real import to_real, without_resting_potentials
from neurojax.chips.loihi.resonator import RF, RFIzhikevich
from neurojax.chips.loihi.spec import spec
from neurojax.chips.loihi.synapse import Synapse
from neurojax.layers import (
    Add,
    AvgPool1d,
    AvgPool2d,
    BatchNorm,
    Concat,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Delay,
    Dropout,
    Flatten,
    Identity,
    Linear,
    MaxPool2d,
    Recurrent,
    Reshape,
    Scale,
    SumPool2d,
)
from neurojax.neurons import IAF, LI, AdaptiveLIF, CubaIAF, CubaLI, CubaLIF
from neurojax.surrogate import Sigmoid
from tests.chips.loihi.network_oracle import oracle

ZERO = {"reset": "zero"}


def weights(rng, *shape, size=1.0):
    return (size * rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def spikes_in(steps=8, batch=2, shape=(5,), rate=0.4, seed=1):
    return (np.random.default_rng(seed).random((steps, batch, *shape)) < rate).astype(np.float32)


# --- 64-bit integers ----------------------------------------------------------------------------


def any_neuron(rng, shape):
    """Neurons of every kind, with parameters for all, or one a neuron."""
    pick = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    each = lambda *values: (  # noqa: E731
        pick(*values) if rng.random() < 0.7 else jnp.asarray(rng.choice(values, shape), jnp.float32)
    )
    options = {**ZERO, "threshold": each(0.3, 1.0, 2.5), "strict": pick(True, False)}
    if rng.random() < 0.2:
        options["refractory"] = pick(1, 3)
    match pick("lif", "iaf", "cuba", "cuba iaf", "float"):
        case "lif":
            normalize = pick(True, False)
            return nj.LIF(tau=pick(1.5, 4.0, 30.0), normalize_input=normalize, **options)
        case "iaf":
            return IAF(gain=pick(1.0, 0.4), **options)
        case "cuba":
            order = pick("new", "old", "jump_then_decay", "decay_input")
            order = order if order != "decay_input" else "new"
            return CubaLIF(tau=each(3.0, 20.0), tau_syn=each(2.0, 9.0), order=order, **options)
        case "cuba iaf":
            return CubaIAF(tau_syn=each(1.5, 4.0, 30.0), **options)
    low = pick(None, -0.7)
    return FloatLIF(du=pick(1.0, 0.1), dv=pick(0.0, 0.1), vth=0.9, vth_lo=low, bias=pick(0.0, 0.1))


def any_weights(rng, *shape):
    """Mixed, of one sign, sparse, or on a grid."""
    found = weights(rng, *shape, size=2)
    kind = rng.integers(8)
    if kind < 2:
        found = np.abs(found) * (1 if kind else -1)
    return [found * (rng.random(shape) < 0.2), np.rint(8 * found) / 8, found][min(kind % 5, 2)]


@st.composite
def networks(draw):
    """Convolutions of all kinds, pools, branches, feedback, delays, and at last dense neurons."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    layers, edges, last, shape = {}, [], "input", (2, 6, 5)

    def add(name, layer, *sources):
        nonlocal last, shape
        edges.extend((source, name) for source in sources or (last,))
        layers[name] = layer
        if isinstance(layer, Concat):
            shape = (2 * shape[0],)
        elif not isinstance(layer, Add):
            shape = layer.out_shape(shape)
        last = name

    stride, groups = int(rng.integers(1, 3)), int(rng.choice([1, 2]))
    if rng.random() < 0.7:
        bias = weights(rng, 4, size=0.3) if rng.random() < 0.3 else None
        kernel = any_weights(rng, 4, 2 // groups, 3, 2)
        add("s0", Conv2d.from_weights(kernel, bias, stride=stride, padding=1, groups=groups))
    else:
        kernel = any_weights(rng, 2, 4 // groups, 2, 3)
        add("s0", ConvTranspose2d.from_weights(kernel, stride=stride, padding=1, groups=groups))
    add("n0", any_neuron(rng, shape))
    if rng.random() < 0.5:
        add("pool", [AvgPool2d(2), SumPool2d(2, stride=1)][rng.integers(2)])
        if rng.random() < 0.5:
            add("n1", any_neuron(rng, shape))
    add("flat", Flatten())
    before, features = last, shape
    add("left", Linear.from_weights(any_weights(rng, 4, *features)))
    if rng.random() < 0.4 and "pool" not in layers:
        layers["right"] = Linear.from_weights(any_weights(rng, 4, *features))
        edges.append((before, "right"))
        add("sum", Add(), "left", "right")
    neuron = any_neuron(rng, shape)
    feedback = rng.random() < 0.4 and getattr(neuron, "order", "new") != "old"
    add(
        "n2", Recurrent(neuron, Linear.from_weights(any_weights(rng, 4, 4))) if feedback else neuron
    )
    if rng.random() < 0.6:
        add("wait", Delay(int(rng.integers(1, 4))))
        if rng.random() < 0.5:
            add("both", Concat(), "n2", "wait")
    add("fc", Linear.from_weights(any_weights(rng, 3, *shape)))
    add("end", [LI(tau=4.0), CubaLI(tau=4.0, tau_syn=2.0), IAF(**ZERO)][rng.integers(3)])
    return nj.Network(layers, edges, inputs=(2, 6, 5), outputs=["end"])


@settings(max_examples=12, deadline=None)
@given(networks(), st.sampled_from(["loihi1", "loihi2"]), st.sampled_from([8, 5]), st.booleans())
def test_a_mapped_network_computes_as_64_bit_integers(network, device, bits, late):
    timing = "chip" if late else "aligned"
    options = {"device": device, "weight_bits": bits, "timing": timing, "bias": "steady"}
    mapped = map_network(network, **options)
    x = spikes_in(6, 2, (2, 6, 5))
    found = nj.simulate(mapped.network, jnp.asarray(x)).outputs
    np.testing.assert_array_equal(np.asarray(found).astype(np.int64), oracle(mapped.network, x))


@settings(max_examples=12, deadline=None)
@given(networks(), st.sampled_from(["loihi1", "loihi2"]))
def test_real_numbers_are_mapped_to_the_same_integers(network, device):
    """There and back with the scales of the mapping, one a population."""
    mapped = map_network(network, device=device, bias="steady")
    try:
        real = to_real(mapped)
    except MappingError as error:  # biases and negative spikes that real neurons have not
        assert "real neurons have none" in str(error) or "a bias of neurons" in str(error)
        return
    real, biases = without_resting_potentials(real)
    scales = {origin.name: origin.scale for origin in mapped.origins}
    again = map_network(real, device=device, scale=scales).network
    for name in mapped.network.names:
        here, there = mapped.network[name], again[name]
        if isinstance(here, Synapse):
            there = there.integers() * 2.0**there.exponent
            np.testing.assert_array_equal(here.integers() * 2.0**here.exponent, there)
        elif isinstance(here, LIF) and name not in biases:
            for field in ("du", "dv", "vth"):
                found = there.integers().get(field)
                if field in here.integers():
                    np.testing.assert_array_equal(np.broadcast_to(found, np.shape(
                        here.integers()[field])), here.integers()[field])  # fmt: skip
            np.testing.assert_array_equal(here.bias() + 0 * there.bias(), there.bias())


def test_thresholds_that_no_scale_holds_are_refused():
    """A constant threshold far below the weights: one reason, not an error of the layer."""
    for neuron in (IAF(threshold=1e-6, **ZERO), FloatLIF(du=1.0, dv=0.5, vth=1e-6)):
        with pytest.raises(MappingError, match="weight steps at the scale"):
            map_network(dense(a=neuron))


@pytest.mark.parametrize("size", [1e-20, 1e15])
def test_very_small_and_very_large_numbers(size):
    """The scale takes them up: integers are those of ordinary numbers."""
    rng = np.random.default_rng(20)
    weight = weights(rng, 5, 6)
    net = lambda unit: nj.Sequential(  # noqa: E731
        (6,), fc=Linear.from_weights(weight * np.float32(unit)), a=nj.LIF(
            tau=5.0, threshold=0.5 * unit, **ZERO))  # fmt: skip
    mapped, usual = map_network(net(size)), map_network(net(1.0))
    assert mapped.origins[0].scale * size == pytest.approx(usual.origins[0].scale, rel=1e-6)
    off = mapped.network["fc"].integers() - usual.network["fc"].integers()
    assert np.abs(off).max() <= 2 and mapped.network["a"].vth == usual.network["a"].vth
    again = map_network(net(size), scale=mapped.origins[0].scale)
    np.testing.assert_array_equal(again.network["fc"].integers(), mapped.network["fc"].integers())


# --- the network before ------------------------------------------------------------------------


def compare(network, x, **options):
    mapped = map_network(network, **options)
    before = nj.simulate(network, jnp.asarray(x)).outputs
    after = nj.simulate(mapped.network, jnp.asarray(x)).outputs
    assert 0.02 < np.mean(np.asarray(before)) < 0.98
    np.testing.assert_array_equal(after, before)
    return mapped


def dyadic(rng, *shape, unit=32):
    return (rng.integers(-unit, 2 * unit, shape) / unit).astype(np.float32)


@pytest.mark.parametrize("strict", [True, False])
def test_unleaky_neurons_spike_as_before_however_long(strict):
    """Their membrane is a whole number of weight steps, so ties can be told."""
    rng = np.random.default_rng(0)
    net = nj.Sequential(
        (6,),
        fc=Linear.from_weights(dyadic(rng, 9, 6, unit=4)),
        a=IAF(strict=strict, **ZERO),
        fc2=Linear.from_weights(dyadic(rng, 5, 9, unit=4)),
        b=IAF(threshold=1.75, strict=strict, refractory=2, **ZERO),
    )
    mapped = compare(net, spikes_in(60, 3, (6,)))
    assert mapped.origins[0].error == 0 and not any(o.fires_later for o in mapped.origins)


def test_leaky_neurons_spike_as_before_while_states_are_exact():
    """A decay of 1 / 2 takes a bit a step, and there are six behind the point."""
    rng = np.random.default_rng(1)
    net = nj.Sequential(
        (8,),
        fc=Linear.from_weights(dyadic(rng, 20, 8)),
        a=CubaLIF(decay=0.5, decay_syn=1.0, threshold=2.0, strict=True, **ZERO),
        fc2=Linear.from_weights(dyadic(rng, 20, 20)),
        b=nj.LIF(decay=0.5, strict=True, **ZERO),
    )
    compare(net, spikes_in(6, 8, (8,)), scale=64)
    assert map_network(net, scale=64).network["a"].integers() == {
        "du": -1, "dv": 2048, "vth": 128, "bias_mant": 0, "bias_exp": 0,
    }  # fmt: skip


@pytest.mark.parametrize("order", ["new", "old", "jump_then_decay", "decay_input"])
def test_all_orders_of_current_and_membrane(order):
    rng = np.random.default_rng(2)
    net = nj.Sequential(
        (8,),
        fc=Linear.from_weights(dyadic(rng, 30, 8)),
        a=CubaLIF(decay=0.5, decay_syn=0.5, order=order, threshold=1.5, strict=True, **ZERO),
    )
    mapped = compare(net, spikes_in(5, 8, (8,)), scale=128)
    assert ("fc_delay" in mapped.network) == (order == "old")


def test_rest_gain_and_normalised_input_are_folded():
    rng = np.random.default_rng(3)
    net = nj.Sequential(
        (8,),
        half=Scale(0.5),
        fc=Linear.from_weights(dyadic(rng, 30, 8), dyadic(rng, 30)),
        twice=Scale(jnp.asarray(rng.choice([1.0, 2.0], 30), jnp.float32)),
        a=nj.LIF(
            decay=0.5, v_rest=-1.0, reset="value", reset_value=-1.0, threshold=0.25, strict=True,
            gain=jnp.asarray(rng.choice([0.5, 4.0], 30), jnp.float32), normalize_input=True,
        ),
    )  # fmt: skip
    mapped = compare(net, spikes_in(5, 8, (8,)), scale=256)
    np.testing.assert_array_equal(mapped.network["a"].integers()["vth"], 1.25 * 256)


def test_pools_go_into_the_weights_behind_them():
    rng = np.random.default_rng(4)
    image = (2, 8, 10)
    net = nj.Sequential(
        image,
        first=AvgPool2d(2, stride=1),
        conv=Conv2d.from_weights(dyadic(rng, 3, 2, 2, 3, unit=4), stride=(1, 2)),
        drop=Identity(),
        a=IAF(threshold=2.5, **ZERO),
        pool=AvgPool2d((1, 2)),
        pool2=SumPool2d(2),
        shape=Reshape((-1,)),
        fc=Linear.from_weights(dyadic(rng, 4, 9, unit=4)),
        b=IAF(threshold=3.0, **ZERO),
    )
    mapped = compare(net, spikes_in(20, 2, image, rate=0.2))
    assert mapped.network.names == ("conv", "a", "shape", "fc", "b")
    assert mapped.network["conv"].weight.shape == (3, 2, 3, 4)
    assert "pool + pool2 + shape" not in str(mapped) and "pool + pool2 + fc" in str(mapped)


def test_pools_before_neurons_are_synapses_with_one_weight():
    net = nj.Sequential(
        (3, 8, 8),
        conv=Conv2d.from_weights(dyadic(np.random.default_rng(5), 4, 3, 3, 3, unit=2)),
        a=IAF(threshold=2.0, **ZERO),
        pool=AvgPool2d(2),
        b=IAF(threshold=0.75, **ZERO),
        pool2=SumPool2d(3, padding=1),
        c=IAF(threshold=3.0, **ZERO),
    )
    mapped = compare(net, spikes_in(20, 2, (3, 8, 8)))
    assert mapped.network["pool"].weight.shape == (1, 1, 2, 2)
    assert len(np.unique(mapped.network["pool"].integers())) == 1
    row = nj.Sequential((2, 9), p=AvgPool1d(3), a=IAF(threshold=0.5, **ZERO))
    compare(row, spikes_in(10, 2, (2, 9)))


def test_transposed_and_one_dimensional_convolutions():
    rng = np.random.default_rng(6)
    net = nj.Sequential(
        (2, 3, 3),
        up=ConvTranspose2d.from_weights(dyadic(rng, 2, 2, 2, 2, unit=4), stride=2, groups=2),
        channels=Scale(jnp.asarray([1.0, 2.0, 0.5, 1.0]).reshape(4, 1, 1)),
        a=IAF(**ZERO),
        rows=Reshape((4, 36)),
        conv=Conv1d.from_weights(dyadic(rng, 2, 4, 3, unit=4), dilation=2),
        b=IAF(**ZERO),
    )
    compare(net, spikes_in(12, 2, (2, 3, 3)))


def test_branches_sums_and_recurrence():
    rng = np.random.default_rng(7)
    neuron = lambda: IAF(threshold=1.5, **ZERO)  # noqa: E731
    dense = lambda *shape: Linear.from_weights(dyadic(rng, *shape, unit=4))  # noqa: E731
    layers = {
        "left": dense(4, 5), "right": dense(4, 5), "sum": Add(), "a": neuron(),
        "back": dense(4, 4), "b_in": dense(3, 5), "b": neuron(), "both": Concat(),
        "late": Delay(2), "c_in": dense(6, 7), "c": Recurrent(neuron(), dense(6, 6)),
    }  # fmt: skip
    edges = [
        ("input", "left"), ("input", "right"), ("left", "sum"), ("right", "sum"), ("sum", "a"),
        ("a", "back", True), ("back", "a"), ("input", "b_in"), ("b_in", "b"), ("a", "both"),
        ("b", "both"), ("both", "late"), ("late", "c_in"), ("c_in", "c"),
    ]  # fmt: skip
    net = nj.Network(layers, edges, inputs=(5,), outputs=["c"])
    x = spikes_in(20, 3, (5,), rate=0.3)
    mapped = compare(net, x)
    assert set(mapped.network.names) == set(net.names)
    # On the chip a recurrent synapse has its one step of delay already.
    chip = map_network(net, timing="chip")
    np.testing.assert_array_equal(
        nj.simulate(chip.network, jnp.pad(x, ((0, 2), (0, 0), (0, 0)))).outputs[2:],
        nj.simulate(mapped.network, x).outputs,
    )
    assert "back_delay" not in chip.network and "2 steps later" in str(chip)


@pytest.mark.parametrize("graded", [False, True])
def test_slayers_neurons_keep_their_integers(graded):
    rng = np.random.default_rng(8)
    cuba = lambda **options: CUBA(  # noqa: E731
        current_decay=0.3, voltage_decay=jnp.asarray(rng.random(6), jnp.float32), **options
    )
    on_grid = lambda *shape: Linear.from_weights(  # noqa: E731
        quantise_8bit(weights(rng, *shape, size=2))
    )
    norm = ShiftNorm(jnp.asarray(rng.normal(size=6) / 4, jnp.float32))
    net = nj.Sequential(
        (5,),
        fc=on_grid(6, 5),
        a=cuba(threshold=0.61, norm=norm, graded=graded),
        fc2=quantised(Linear.from_weights(weights(rng, 6, 6, size=2))),
        b=cuba(threshold=0.4, epsilon=0.01 / 4096),
        fc3=on_grid(6, 6),
        c=cuba(threshold=None),
    )
    mapped = map_network(net)
    x = jnp.asarray(spikes_in(40, 3, (5,)))
    before = nj.simulate(net, x, probes=["b.v", "b.i"])
    after = nj.simulate(mapped.network, x, probes=["b.v", "b.u"])
    np.testing.assert_array_equal(after.outputs, 4096 * before.outputs)
    np.testing.assert_array_equal(after["b.v"], 4096 * before["b.v"])
    np.testing.assert_array_equal(after["b.u"], 4096 * before["b.i"])
    np.testing.assert_array_equal(mapped.network["fc3"].integers(), 64 * net["fc3"].weight)
    assert mapped.network["a"].integers()["vth"] == 39
    assert all(o.error == 0 or o.name == "a" for o in mapped.origins)


def test_alif_counts_in_weight_steps():
    rng = np.random.default_rng(9)
    neuron = ALIF(
        current_decay=0.4, voltage_decay=0.1, threshold_decay=0.2, refractory_decay=0.5,
        threshold=0.5, threshold_step=0.25,
    )  # fmt: skip
    net = nj.Sequential((5,), fc=Linear.from_weights(quantise_8bit(weights(rng, 6, 5))), a=neuron)
    mapped = compare(net, spikes_in(30, 3, (5,)))
    assert mapped.network["a"].threshold == 32 and "ALIF" in str(mapped)
    finer = compare(net, spikes_in(30, 3, (5,)), scale=128)
    assert finer.network["a"].threshold == 64 and finer.network["a"].threshold_step == 32


def test_the_chips_equations_in_real_numbers():
    rng = np.random.default_rng(15)
    bias = jnp.asarray(rng.integers(-8, 9, (4, 1, 1)) / 64, jnp.float32)
    net = nj.Sequential(
        (2, 3, 4),
        conv=Conv2d.from_weights(dyadic(rng, 4, 2, 2, 2, unit=8)),
        a=FloatLIF(du=0.5, dv=0.5, vth=1.0, vth_lo=-0.5, bias=bias, refractory=2),
        flat=Flatten(),
        fc=Linear.from_weights(dyadic(rng, 5, 24, unit=8)),
        b=FloatLIF(du=1.0, dv=0.0, vth=1.5, bias=0.25),
    )
    mapped = map_network(net, scale=64)
    x = jnp.asarray(spikes_in(5, 4, (2, 3, 4)))
    before, after = (nj.simulate(n, x, probes=["a.v"]) for n in (net, mapped.network))
    np.testing.assert_array_equal(after.outputs, before.outputs)
    np.testing.assert_array_equal(after["a.v"], 4096 * before["a.v"])
    assert mapped.network["a"].vth_lo == -32 and mapped.network["a"].bias_mant.shape == (4, 1, 1)
    assert (mapped.network["b"].bias_mant, mapped.network["b"].bias_exp) == (16, 6)


@pytest.mark.parametrize("kind", [RF, RFIzhikevich, AdRF])
def test_resonators_count_in_weight_steps(kind):
    rng = np.random.default_rng(14)
    half = lambda: quantised(Linear.from_weights(weights(rng, 6, 5, size=3)))  # noqa: E731
    adapts = {"threshold_decay": 0.1, "refractory_decay": 0.5, "threshold_step": 0.25}
    neuron = kind.from_period(5.0, 0.1, threshold=0.5, **(adapts if kind is AdRF else {}))
    net = nj.Sequential((5,), z=ComplexSynapse(half(), half()), a=neuron)
    x = spikes_in(40, 3, (5,))
    mapped = compare(net, x)
    assert mapped.network["a"].bits == 24 and "z.imag" in str(mapped)
    assert mapped.report().rows[0]["cores"] == 1
    late = map_network(net, timing="chip")
    assert late.network.names == ("z_delay", "z", "a")
    run = nj.simulate(late.network, jnp.pad(x, ((0, 1), (0, 0), (0, 0))))
    np.testing.assert_array_equal(run.outputs[1:], nj.simulate(mapped.network, x).outputs)
    loss = lambda n: jnp.sum(nj.simulate(n, jnp.asarray(x)).outputs * jnp.arange(6.0))  # noqa: E731
    gradients = eqx.filter_jit(eqx.filter_grad(loss))
    before, after = gradients(net), gradients(mapped.network)
    np.testing.assert_allclose(
        64 * after["z"].imag.synapse.weight, before["z"].imag.layer.weight, rtol=1e-3, atol=1e-3
    )


def test_biases_in_front_of_a_decaying_current_settle():
    net = nj.Sequential(
        (2,),
        fc=Linear.from_weights(jnp.zeros((3, 2)), jnp.asarray([0.1, -0.2, 0.05])),
        out=CubaLI(tau=10.0, tau_syn=3.0),
    )
    with pytest.raises(MappingError, match="bias='steady'"):
        map_network(net)
    mapped = map_network(net, bias="steady")
    x = jnp.zeros((150, 1, 2))
    before = nj.simulate(net, x).outputs
    after = nj.simulate(mapped.network, x).outputs / (64 * mapped.origins[0].scale)
    np.testing.assert_allclose(after[-1], before[-1], rtol=5e-3)
    assert np.abs(after - before).max() > 0.05  # the transient differs
    assert "ALL WEIGHTS OF 'fc' ARE 0" in str(mapped) and "settle" not in str(net)


def test_the_chips_timing_is_one_step_a_synapse():
    rng = np.random.default_rng(10)
    net = nj.Sequential(
        (4,),
        fc=Linear.from_weights(weights(rng, 8, 4, size=3)), a=nj.LIF(tau=3.0, **ZERO),
        old=Linear.from_weights(weights(rng, 8, 8, size=3)),
        b=CubaLIF(tau=3.0, tau_syn=2.0, order="old", **ZERO),
    )  # fmt: skip
    x = jnp.asarray(spikes_in(20, 2, (4,)))
    aligned = nj.simulate(map_network(net).network, x).outputs
    mapped = map_network(net, timing="chip")
    np.testing.assert_array_equal(nj.simulate(mapped.network, x).outputs[2:], aligned[:-2])
    assert mapped.network["fc_delay"].steps == 1 and mapped.network["old_delay"].steps == 2


# --- gradients ---------------------------------------------------------------------------------


def test_gradients_are_those_before_mapping():
    rng = np.random.default_rng(11)
    fc = Linear.from_weights(dyadic(rng, 6, 5))
    neuron = nj.LIF(
        decay=0.5, threshold=jnp.ones(6), strict=True, surrogate=Sigmoid(alpha=4.0), **ZERO
    )
    net = nj.Sequential((5,), fc=fc, a=neuron)
    mapped = map_network(net, scale=64)
    assert isinstance(mapped.network["a"].surrogate, InSteps)
    x = jnp.asarray(spikes_in(5, 3, (5,)))
    loss = lambda n: jnp.sum(nj.simulate(n, x).outputs * jnp.arange(6.0))  # noqa: E731
    gradients = eqx.filter_jit(eqx.filter_grad(loss))
    before, after = gradients(net), gradients(mapped.network)
    there = after["fc"].synapse.weight * 64
    np.testing.assert_allclose(there, before["fc"].weight, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(64 * after["a"].vth, before["a"].threshold, rtol=1e-4, atol=1e-4)


def test_training_goes_on_after_mapping():
    rng = np.random.default_rng(12)
    net = nj.Sequential(
        (8,),
        fc=Linear.from_weights(weights(rng, 12, 8, size=2)),
        a=CubaLIF(tau=4.0, tau_syn=2.0, **ZERO),
        out=Linear.from_weights(weights(rng, 3, 12)),
        v=LI(tau=8.0),
    )
    mapped = map_network(net, weight_bits=4)
    x = jnp.asarray(spikes_in(12, 30, (8,)))
    label = jnp.asarray(np.argmax(np.asarray(x).sum(0)[:, :3], axis=1))
    unit = 64 * mapped.origins[-1].scale

    @eqx.filter_value_and_grad
    def loss(network):
        logits = jnp.mean(nj.simulate(network, x).outputs, 0) / unit
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, label))

    step = eqx.filter_jit(loss)
    network, losses, optimiser = mapped.network, [], optax.adam(4.0)
    state = optimiser.init(eqx.filter(network, eqx.is_inexact_array))
    for _ in range(25):
        value, grads = step(network)
        update, state = optimiser.update(eqx.filter(grads, eqx.is_inexact_array), state)
        network = eqx.apply_updates(network, update)
        losses.append(float(value))
    assert losses[-1] < 0.7 * losses[0]
    trained = mapped.with_network(network)
    assert "mixed" in str(trained.report())
    assert set(np.unique(trained.network["fc"].integers() % 32)) == {0}  # 4 bits


# --- report ------------------------------------------------------------------------------------


def test_report_and_overflow():
    rng = np.random.default_rng(13)
    weight = np.abs(weights(rng, 6, 5))
    weight[0] = [1e-6, 5, 5, 5, 5]
    net = nj.Sequential(
        (5,), fc=Linear.from_weights(weight), a=nj.LIF(tau=1e6, **ZERO), drop=Dropout(0.1)
    )
    mapped = map_network(net, scale={"a": 100}, exponent=0)
    assert "ties: 'a'" in str(map_network(net.replace(a=nj.LIF(tau=5.0, **ZERO))))
    (row,) = mapped.report().rows
    held = np.clip(np.rint(weight * 100.0), 0, 255)
    off = held / 100 - weight
    assert row["sign"] == "excitatory" and row["scale"] == 100 and row["exponent"] == 0
    assert row["rms_error"] == pytest.approx(np.sqrt(np.mean(off**2) / np.mean(weight**2)))
    assert row["largest_error"] == pytest.approx(2.45, rel=1e-5)
    assert row["clipped"] == np.sum(weight * 100 > 255.5) and row["vanished"] >= 1
    assert row["du"] == 4095 and row["dv"] == 0 and math.isinf(row["voltage_error"])
    assert row["headroom"] == pytest.approx(np.log2(2**23 / (6400 * weight.sum(1).max())))
    text = str(mapped)
    for part in ("CLIPPED: 4 of 30", "became 0", "'drop'", "is another altogether"):
        assert part in text
    assert overflow(mapped, spikes_in(5, 2))["a"] == {"wrapped": 0, "saturated": 0, "of": 60}
    drowned = map_network(net.replace(a=CubaLIF(tau=5.0, tau_syn=1e9, **ZERO)), scale=50)
    counts = overflow(drowned, jnp.ones((400, 1, 5)))
    assert counts["a"]["wrapped"] > 0 and "leaves 24 bits" in str(drowned)
    eqx.filter_jit(lambda m: m.network["fc"].weight)(mapped)  # origins are hashable


def test_constants_stay_constants_and_arrays_arrays():
    net = lambda neuron: nj.Sequential(  # noqa: E731
        (2,), fc=Linear.from_weights(jnp.eye(2)), a=neuron
    )
    plain = map_network(net(nj.LIF(tau=3.0, **ZERO))).network["a"]
    assert not any(eqx.is_array(leaf) for leaf in jax.tree.leaves(plain))
    tau = jnp.asarray([3.0, 5.0])
    learnt = map_network(net(nj.LIF(tau=tau, threshold=jnp.ones(2), **ZERO))).network["a"]
    assert learnt.dv.shape == (2,) and learnt.vth.shape == (2,)
    assert not eqx.is_array(learnt.du)
    np.testing.assert_array_equal(
        learnt.integers()["dv"], np.rint(4096 * (1 - np.exp(-1 / np.asarray(tau, np.float64))))
    )


def test_batch_norm_is_folded():
    mean, var = jnp.asarray([0.5]), jnp.asarray([3.0])
    norm = BatchNorm.from_weights(None, None, mean, var, eps=1.0)
    net = nj.Sequential(
        (2, 4, 4),
        conv=Conv2d.from_weights(jnp.ones((1, 2, 1, 1))),
        norm=norm,
        a=IAF(**ZERO),
    )
    mapped = map_network(net, scale=64)
    np.testing.assert_array_equal(mapped.network["conv"].integers(), 32)
    assert mapped.network["a"].integers()["bias_mant"] == -16
    assert mapped.network["a"].bias_exp == 6 and "'norm'" in str(mapped)


# --- refusals ----------------------------------------------------------------------------------


def dense(*layers, n=2, **named):
    return nj.Sequential((n,), Linear.from_weights(jnp.eye(n)), *layers, **named)


CAN_NOT = [
    (nj.LIF(tau=3.0), "reset='subtract'"),
    (nj.LIF(tau=3.0, v_min=-1.0, **ZERO), "v_min"),
    (nj.LIF(tau=3.0, max_spikes=None, **ZERO), "max_spikes=None"),
    (nj.LIF(tau=3.0, v_rest=0.5, **ZERO), "a reset to 0 with v_rest 0.5"),
    (nj.LIF(tau=3.0, v_init=0.5, **ZERO), "v_init"),
    (nj.LIF(tau=3.0, reset_delay=True, **ZERO), "reset_delay=True"),
    (nj.LIF(tau=3.0, amplitude=2.0, **ZERO), "amplitude"),
    (nj.LIF(tau=3.0, winner_take_all=True, **ZERO), "winner_take_all"),
    (nj.LIF(tau=3.0, refractory=64, **ZERO), "refractory period of 64"),
    (nj.LIF(decay=-0.5, **ZERO), "-0.5 is left"),
    (nj.LIF(tau=3.0, threshold=-1.0, **ZERO), "a threshold of -1"),
    (nj.LIF(tau=3.0, threshold=1e-6, **ZERO), "weight steps at the scale"),
    (LI(tau=3.0, v_rest=1.0), "v_rest other than 0"),
    (CUBA(current_decay=0.5, voltage_decay=0.5, scale=100), "scale 100"),
    (AdaptiveLIF(tau=3.0, tau_adapt=5.0), "AdaptiveLIF"),
    (LIF(du=4095, dv=0, vth=64), "the chip's already"),
]


@pytest.mark.parametrize("neuron, found", CAN_NOT, ids=[found for _, found in CAN_NOT])
def test_refused_neurons(neuron, found):
    with pytest.raises(MappingError) as error:
        map_network(dense(a=neuron))
    assert found in str(error.value) and "layer 'a'" in str(error.value)


def test_all_reasons_at_once():
    net = nj.Sequential(
        (2, 8, 8),
        conv=Conv2d.from_weights(jnp.ones((2, 2, 3, 3))),
        max=MaxPool2d(2),
        a=nj.LIF(tau=2.0, v_min=0.0),
        flat=Flatten(),
        fc=Linear.from_weights(jnp.ones((3, 18))),
        fc2=Linear.from_weights(jnp.ones((3, 3))),
        wait=Delay(63),
        b=IAF(max_spikes=None, **ZERO),
        out=Linear.from_weights(jnp.ones((3, 3)), jnp.ones(3)),
    )
    with pytest.raises(MappingError) as error:
        map_network(net)
    who = [problem.layer for problem in error.value.problems]
    assert who.count("a") == 3 and {"max", "fc2", "wait", "b", "out"} <= set(who)
    overridden = nj.Sequential((2,), Linear.from_weights(jnp.eye(2)), a=nj.LIF(tau=2.0))
    assert "as you asked" in str(map_network(overridden, reset="zero"))


def test_refused_graphs_and_pools():
    image = jnp.ones((1, 1, 3, 3))
    for layers, found in (
        ({"c": Conv2d.from_weights(image), "p": AvgPool2d(2), "a": IAF(**ZERO)}, "pool of what"),
        ({"a": IAF(**ZERO)}, "without synapses"),
        ({"p": AvgPool2d(2), "f": Flatten(), "a": IAF(**ZERO)}, "but for a Flatten"),
        ({"p": AvgPool2d(2)}, "at the end of the network"),
        ({"p": AvgPool2d(3, stride=2), "c": Conv2d.from_weights(image, padding=1)}, "overlap"),
        ({"n": BatchNorm(1), "a": IAF(**ZERO)}, "can't fold"),
    ):
        with pytest.raises(MappingError, match=found):
            map_network(nj.Sequential((1, 8, 8), **layers))
    two = {"fc": Linear.from_weights(jnp.eye(2)), "a": IAF(**ZERO), "b": IAF(**ZERO)}
    edges = [("input", "fc"), ("fc", "a"), ("fc", "b")]
    with pytest.raises(MappingError, match="feed several layers"):
        map_network(nj.Network(two, edges, inputs=(2,)))


def test_layers_that_move_values_add_up_what_comes():
    rng = np.random.default_rng(16)
    dense = lambda: Linear.from_weights(dyadic(rng, 8, 5, unit=4))  # noqa: E731
    layers = {"l": dense(), "r": dense(), "wait": Delay(1), "a": IAF(threshold=1.5, **ZERO)}
    edges = [("input", "l"), ("input", "r"), ("l", "wait"), ("r", "wait"), ("wait", "a")]
    compare(nj.Network(layers, edges, inputs=(5,)), spikes_in(10, 2, (5,)))


def test_a_sum_that_the_mapping_makes_takes_no_other_layers_name():
    rng = np.random.default_rng(18)
    dense = lambda *shape: Linear.from_weights(dyadic(rng, *shape, unit=4))  # noqa: E731
    neuron = lambda: IAF(threshold=1.5, **ZERO)  # noqa: E731
    layers = {
        "l": dense(8, 5), "r": dense(8, 5), "wait": Delay(1), "a": neuron(),
        "next": dense(4, 8), "wait_sum": neuron(),
    }  # fmt: skip
    edges = [
        ("input", "l"), ("input", "r"), ("l", "wait"), ("r", "wait"), ("wait", "a"), ("a", "next"),
        ("next", "wait_sum"),
    ]  # fmt: skip
    mapped = compare(nj.Network(layers, edges, inputs=(5,)), spikes_in(10, 2, (5,)))
    assert "wait_sum_" in mapped.network


def test_refused_options_and_devices():
    net = dense(a=IAF(**ZERO))
    for options, found in (
        ({"weight_bits": 7, "device": "loihi1"}, "0, 1|have 1, 2, 3, 4, 5, 6, 8 bits"),
        ({"timing": "late"}, "'aligned' or 'chip'"),
        ({"scale": {"c": 64}}, "scale of 'c'"),
        ({"scale": {"linear1": 64}}, "populations have one: 'a'"),
        ({"scale": -1}, "must be a number > 0"),
        ({"exponent": 9}, "within -8..7"),
        ({"device": "loihi3"}, "loihi2"),
    ):
        with pytest.raises(ValueError, match=found):
            map_network(net, **options)
    with pytest.raises(TypeError, match="within jit"):
        eqx.filter_jit(map_network)(net)
    with pytest.raises(TypeError, match=r"what .* returned"):
        overflow(net, jnp.ones((1, 1, 2)))
    recurrent = dense(a=Recurrent(LIF(du=4095, dv=0, vth=64), Linear.from_weights(jnp.eye(2))))
    with pytest.raises(MappingError, match="the chip's already"):
        map_network(recurrent)
    with pytest.raises(MappingError, match="at most 131071"):
        map_network(dense(a=IAF(threshold=5000.0, **ZERO)), scale=64)
    narrow = dataclasses.replace(spec("loihi2"), name="mine", largest_threshold=100)
    assert map_network(net, device=narrow).network["a"].vth <= 100


def test_the_first_chips_registers():
    net = dense(
        a=CubaIAF(decay_syn=1.0, **ZERO), fc=Linear.from_weights(jnp.eye(2)), b=LI(decay=0.0)
    )
    first, second = map_network(net, device="loihi1"), map_network(net)
    assert (first.network["a"].du, first.network["b"].dv) == (0, 4095)
    assert (second.network["a"].du, second.network["b"].dv) == (-1, 4096)


def test_the_headroom_of_a_pool_does_not_depend_on_the_channels():
    def headroom(channels, pool, shape):
        network = nj.Sequential((channels, *shape), pool=pool, n=nj.IAF(reset="zero"))
        return map_network(network, exponent=0, scale=64).report().rows[0]["headroom"]

    for pool, shape in ((nj.layers.SumPool1d(2), (8,)), (nj.SumPool2d(2), (8, 8))):
        assert headroom(1, pool, shape) == headroom(16, pool, shape)
