"""From real networks to the code's: what is fused and dropped, where scales come from, refusals."""

import itertools
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import neurojax as nj
from neurojax import layers
from neurojax.chips import MappingError, mcu
from neurojax.chips.mcu._scales import scale_for

LONG = {"quantize": "int16", "rounding": "nearest"}


def linear(inputs, outputs, *, bias=False, size=1.0, seed=0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(0, size, (outputs, inputs)).astype(np.float32)
    return nj.Linear.from_weights(weight, weight[:, 0] if bias else None)


def conv(inputs, outputs, kernel, *, seed=0, **options):
    weight = np.random.default_rng(seed).normal(0, 0.3, (outputs, inputs, kernel, kernel))
    return nj.Conv2d.from_weights(weight.astype(np.float32), weight[:, 0, 0, 0], **options)


def inputs(*shape, seed=1):
    return jnp.asarray(np.random.default_rng(seed).normal(0, 1, shape), jnp.float32)


@pytest.fixture(scope="module")
def branched():
    """A network with all that is fused, dropped and inserted, and inputs for it."""
    norm = nj.BatchNorm.from_weights(
        [1.5, 0.5, -1.0], [0.1, 0.0, 0.2], [0.3, -0.2, 0.0], [0.5, 2.0, 1.0], inference=True
    )
    parts = {
        "conv": conv(2, 3, 3, padding=1),
        "norm": norm,
        "relu": layers.ReLU(),
        "drop": nj.Dropout(0.5, inference=True),
        "lif": nj.LIF(tau=3.0, threshold=0.5),
        "pool": nj.AvgPool2d(2),
        "main": conv(3, 3, 3, padding=1, seed=2),
        "skip": conv(3, 3, 1, seed=3),
        "joined": nj.IAF(threshold=0.5, reset="zero"),
        "flat": nj.Flatten(),
        "rectified": layers.ReLU(),
        "fc": linear(12, 4, bias=True),
    }
    edges = [("input", "conv"), ("conv", "norm"), ("norm", "relu"), ("relu", "drop")]
    edges += [("drop", "lif"), ("lif", "pool"), ("pool", "main"), ("pool", "skip")]
    edges += [("main", "joined"), ("skip", "joined"), ("joined", "flat")]
    edges += [("flat", "rectified"), ("rectified", "fc")]
    return nj.Network(parts, edges, inputs=(2, 4, 4)), inputs(6, 3, 2, 4, 4)


def test_floats_compute_what_the_network_does(branched):
    network, x = branched
    mapped = mcu.map(network, quantize="float32")
    assert mapped.network.names == (
        *("quantise", "conv", "lif", "pool", "main", "skip", "joined_sum", "joined", "flat", "fc"),
    )
    assert mapped.network["conv"].activation == "relu"
    assert {o.name: o.made_of for o in mapped.origins}["conv"] == ("conv", "relu", "drop")
    ours = nj.simulate(mapped.network, x, probes=["lif", "joined"])
    theirs = nj.simulate(network, x, probes=["lif", "joined"])
    assert np.array_equal(ours["lif"], theirs["lif"]) and ours["lif"].sum() > 0
    assert np.array_equal(ours["joined"], theirs["joined"]) and ours["joined"].sum() > 0
    np.testing.assert_allclose(ours.outputs, theirs.outputs, atol=1e-5)


def test_sixteen_bits_come_close(branched):
    network, x = branched
    mapped = mcu.map(network, calibration=x, **LONG)
    outputs = nj.simulate(mapped.network, x).outputs
    assert np.array_equal(outputs, np.round(outputs))
    real = mcu.values(mapped, outputs)
    np.testing.assert_allclose(real, nj.simulate(network, x).outputs, atol=2e-3)


def test_scales_follow_the_rule_of_the_recorded_quantiser(golden):
    """`fractional_bits` of qualia-core for arrays `a`, whose largest magnitude sets them."""
    cases = json.loads((golden / "qualia/quantizer.json").read_text())["cases"]
    with np.load(golden / "qualia/quantizer.npz") as arrays:
        known = [
            (case["fractional_bits"], scale_for(np.abs(a).max(), _number(case["bits"])))
            for case in cases
            if case["force_q"] is None and np.any(a := arrays[f"{case['index']}/a"])
        ]
    assert len(known) > 20
    assert [theirs for theirs, _ in known] == [ours for _, ours in known]


def _number(bits):
    return mcu.Number("of some width", bits, 32)


def test_each_scale_is_the_finest_that_holds_the_values(branched):
    network, x = branched
    plain = mcu.map(network, quantize="int16", calibration=x, compat="qualia")
    run = nj.simulate(network, x, probes=["relu", "lif", "lif.v", "main", "skip"])
    largest = {name: float(np.abs(value).max()) for name, value in run.traces.items()}

    def fits(q, value):
        return value * 2.0**q < 2**15 <= value * 2.0 ** (q + 1)

    formats = {name: plain.network[name].format for name in ("conv", "lif", "main", "skip")}
    assert fits(plain.network["quantise"].format.output_q, float(np.abs(x).max()))
    for name, seen in [("conv", "relu"), ("main", "main"), ("skip", "skip")]:
        weight = np.abs(plain.network[name].integers().weight)
        assert fits(formats[name].output_q, largest[seen])
        assert 2**14 <= weight.max() < 2**15
    held = [0.5, float(np.exp(-1 / 3)), 1 - float(np.exp(-1 / 3)), largest["lif.v"]]
    assert fits(formats["lif"].weights_q, max(h for h in held if h != np.exp(-1 / 3)))
    assert formats["lif"].output_q == 14 and plain.network["pool"].format.output_q == 14


def test_sums_that_were_seen_do_not_wrap():
    """30 inputs of 1 with weights of 1: 30 2^6 2^6 needs 17 bits, and sums have 16."""
    network = nj.Sequential((30,), fc=nj.Linear.from_weights(np.ones((1, 30), np.float32)))
    x = jnp.ones((1, 1, 30))
    plain = mcu.map(network, quantize="int8", calibration=x, compat="qualia")
    assert mcu.values(plain, nj.simulate(plain.network, x).outputs).item() != 30
    mapped = mcu.map(network, quantize="int8", calibration=x)
    assert mcu.values(mapped, nj.simulate(mapped.network, x).outputs).item() == 30
    (note,) = (note for note in mapped.report().notes if "less than they could" in note)
    assert note == (
        "'fc': weights have 3 bits less than they could, so that sums fit into 16 bits; "
        "long_width=32 avoids it"
    )


def test_spikes_need_no_fraction_unless_they_are_averaged():
    def mapped(pool):
        net = nj.Sequential((1, 4), nj.IAF(), pool, nj.Flatten(), linear(2, 1))
        return mcu.map(net, quantize="int8", calibration=inputs(5, 2, 1, 4)).network

    assert mapped(nj.AvgPool1d(2))["iaf1"].format.output_q == 6
    assert mapped(nj.MaxPool1d(2))["iaf1"].format.output_q == 0
    assert mapped(nj.SumPool1d(2))["iaf1"].format.output_q == 0


def test_a_membrane_far_below_its_threshold_saturates():
    network = nj.Sequential((1,), spikes=nj.IAF())
    x = jnp.full((300, 1, 1), -1.0)
    plain = mcu.map(network, quantize="int8", calibration=x, compat="qualia")
    assert plain.network["spikes"].integers().threshold == 0
    mapped = mcu.map(network, quantize="int8", calibration=x)
    assert mapped.network["spikes"].integers().threshold == 4
    assert any("reaches 300, but saturates at 32" in note for note in mapped.report().notes)
    assert nj.simulate(mapped.network, x, probes=["spikes.v"])["spikes.v"].min() == -128


def test_scales_that_sums_cannot_have_are_a_problem_of_their_layer():
    """Inputs of 1e-6 have q = 26, which does not matter where weights of 8e6 take it back."""
    network = nj.Sequential((2,), fc=nj.Linear.from_weights(np.full((1, 2), 8e6, np.float32)))
    options = {"quantize": "int8", "long_width": 8, "calibration": jnp.full((1, 1, 2), 1e-6)}
    assert mcu.map(network, **options).network["fc"].format.output_q == 2
    with pytest.raises(MappingError, match=r"'fc': Dense: .* shift by 8 bits; .*; use wider numb"):
        mcu.map(network, compat="qualia", **options)


def test_batch_norm_can_stay():
    norm = nj.BatchNorm.from_weights([2.0, 0.5], [1.0, 0.0], [0.5, 0.0], [3.0, 1.0], inference=True)
    network = nj.Sequential((2, 4, 4), conv=conv(2, 2, 3), norm=norm, relu=layers.ReLU())
    x = inputs(1, 4, 2, 4, 4)
    mapped = mcu.map(network, calibration=x, fold_batch_norm=False, **LONG)
    assert mapped.network.names == ("quantise", "conv", "norm")
    assert mapped.network["norm"].activation == "relu"
    real = mcu.values(mapped, nj.simulate(mapped.network, x).outputs)
    np.testing.assert_allclose(real, nj.simulate(network, x).outputs, atol=2e-3)
    behind = nj.Sequential((2, 4, 4), spikes=nj.IAF(), norm=norm)
    notes = mcu.map(behind, quantize="float32").report().notes
    assert notes[0].startswith("batch norm 'norm' stays a layer: can't fold")


def test_what_moves_values_stays_and_what_is_quantised_is_held():
    network = nj.Sequential(
        (2, 3, 4),
        up=layers.Upsample((2, 1)),
        turned=layers.Permute((0, 2, 1)),
        passed=nj.quantise.FakeQuantise(nj.quantise.Grid(16.0)),
        flat=layers.Reshape((-1,)),
        fc=linear(48, 3),
    )
    coarse = nj.quantise.quantise_weights(network, 3, layers=["fc"])
    mapped = mcu.map(coarse, calibration=inputs(2, 2, 2, 3, 4), **LONG)
    assert mapped.network.names == ("quantise", "up", "turned", "flat", "fc")
    assert len(np.unique(mapped.network["fc"].integers().weight)) <= 8
    x = inputs(2, 2, 2, 3, 4)
    floats = mcu.map(network, quantize="float32").network
    plain = network.replace(passed=layers.Identity())
    np.testing.assert_allclose(
        nj.simulate(floats, x).outputs, nj.simulate(plain, x).outputs, atol=1e-5
    )


def test_other_forms_of_the_same_neurons():
    """Gains, arrays of equal values and time constants come out as one number each."""
    x = inputs(30, 2, 3)
    for neuron in (
        nj.LIF(tau=4.0, method="euler", normalize_input=True, threshold=0.2),
        nj.LIF(decay=jnp.full(3, 0.75), gain=0.5, threshold=jnp.full(3, 0.4)),
        nj.LIF(tau=4.0, dt=2.0, gain=3.0, reset="value", reset_value=0.5, v_rest=0.5),
        nj.IAF(gain=2.0, threshold=1.5, reset="value", reset_value=-0.5),
    ):
        network = nj.Sequential((3,), n=neuron)
        ours = nj.simulate(mcu.map(network, quantize="float32").network, x).outputs
        theirs = nj.simulate(network, x).outputs
        assert np.array_equal(ours, theirs) and theirs.sum() > 0
    trained = mcu.map(nj.Sequential((3,), n=nj.LIF(decay=jnp.full(3, 0.75))), quantize="float32")
    assert eqx.is_array(trained.network["n"].rtau)
    assert not eqx.is_array(trained.network["n"].threshold)


def test_everything_that_does_not_fit_is_said_at_once():
    parts = {
        "fc": linear(4, 4),
        "strict": nj.IAF(strict=True, v_min=-1.0),
        "leak": nj.LIF(tau=2.0, v_rest=0.5),
        "many": nj.IAF(threshold=jnp.array([1.0, 2.0, 1.0, 1.0])),
        "current": nj.CubaLIF(tau_syn=2.0, tau=2.0),
        "delay": nj.Delay(2),
        "relu": layers.ReLU(),
        "quantise": layers.Reshape((2, 2)),
    }
    chain = ["input", *parts]
    edges = [nj.Edge(a, b) for a, b in itertools.pairwise(chain)]
    edges += [nj.Edge("leak", "fc", recurrent=True)]
    network = nj.Network(parts, edges, inputs=(4,), outputs=["quantise", "leak"])
    with pytest.raises(MappingError) as error:
        mcu.map(network, quantize="int8", calibration=inputs(2, 1, 4))
    assert [problem.layer for problem in error.value.problems] == [
        *("fc", "strict", "strict", "leak", "many", "current", "delay"),
        *("quantise", "quantise", "network"),
    ]
    text = str(error.value)
    for part in (
        "can't be mapped onto a microcontroller (int8) for 10 reasons",
        "layer 'fc': the recurrent edge leak ~> fc; the code has no feedback; leave it out",
        "layer 'strict': strict=True; neurons fire at v >= threshold; use strict=False",
        "layer 'leak': v_rest 0.5, and v_reset 0",
        "layer 'many': threshold differs between neurons; it is one number a layer",
        "network: 2 outputs; the code has one",
    ):
        assert part in text


def test_a_relu_beside_others_is_refused():
    parts = {"fc": linear(4, 4), "relu": layers.ReLU(), "add": nj.Add()}
    edges = [("input", "fc"), ("fc", "relu"), ("relu", "add"), ("fc", "add")]
    with pytest.raises(MappingError, match="layer 'relu': a ReLU of 'fc', whose values are used"):
        mcu.map(nj.Network(parts, edges, inputs=(4,)), quantize="float32")


def test_a_relu_of_a_sum_is_part_of_it():
    """Whether the edges meet in the ReLU, or in what only moves values, or in a pool before it."""
    x = inputs(3, 2, 2, 4)
    edges = [("input", "a"), ("input", "b"), ("a", "last"), ("b", "last")]
    for last, names in [
        (layers.ReLU(), ("last",)),
        (nj.Flatten(), ("last_sum", "last")),
        (nj.AvgPool1d(2), ("last_sum", "last")),
    ]:
        parts = {
            "a": nj.Conv1d.from_weights(np.float32([[[0.5], [1.0]], [[-1.0], [0.25]]])),
            "b": nj.Conv1d.from_weights(np.float32([[[0.7], [-0.4]], [[0.2], [0.9]]])),
            "last": last,
        }
        behind = [] if isinstance(last, layers.ReLU) else [("last", "relu")]
        if behind:
            parts["relu"] = layers.ReLU()
        network = nj.Network(parts, edges + behind, inputs=(2, 4))
        mapped = mcu.map(network, quantize="float32")
        assert mapped.network.names == ("quantise", "a", "b", *names)
        ours = nj.simulate(mapped.network, x).outputs
        np.testing.assert_allclose(ours, nj.simulate(network, x).outputs, atol=1e-6)


def test_a_largest_rate_is_part_of_the_layer_before_it():
    network = nj.Sequential((4,), a=linear(4, 6, size=9.0), b=nj.ReLU6(), c=nj.ReLU(), d=nj.ReLU6())
    x = inputs(1, 8, 4)
    mapped = mcu.map(network, calibration=x, **LONG)
    assert mapped.network.names == ("quantise", "a")
    assert mapped.network["a"].activation == "relu6"
    assert mapped.network["a"].format.output_q == 12  # 6 is held with three bits before the point
    real = mcu.values(mapped, nj.simulate(mapped.network, x).outputs)
    assert real.max() == 6
    np.testing.assert_allclose(real, nj.simulate(network, x).outputs, atol=2e-3)


def test_options_are_checked():
    network = nj.Sequential((4,), fc=linear(4, 2))
    with pytest.raises(ValueError, match=r"int8 needs scales; give calibration \(typical inputs\)"):
        mcu.map(network, quantize="int8")
    with pytest.raises(ValueError, match="not both"):
        mcu.map(network, calibration=inputs(1, 1, 4), ranges={})
    with pytest.raises(ValueError, match="rounding is 'up'; use one of floor, nearest"):
        mcu.map(network, rounding="up")
    with pytest.raises(ValueError, match="compat is 'torch'"):
        mcu.map(network, compat="torch")
    with pytest.raises(TypeError, match=r"mcu\.map takes a Network"):
        mcu.map("a file")
    with pytest.raises(TypeError, match="within jit"):
        jax.jit(lambda net: mcu.map(net, quantize="float32").network)(network)
    with pytest.raises(ValueError, match="must be"):
        mcu.map(network, calibration=inputs(1, 1, 5))
    with pytest.raises(TypeError, match="calibration is a list_iterator; it must be one array"):
        mcu.map(network, calibration=iter([inputs(1, 1, 4)]))
    half = mcu.map(network, calibration=inputs(1, 1, 4).astype(jnp.float16))
    assert half.network["quantise"].format.number.name == "int16"
    with pytest.raises(TypeError, match="ranges of layer 'fc' are a int; they must be a LayerR"):
        mcu.map(network, ranges={"fc": 3})
    with pytest.raises(ValueError, match=r"values of '.*' are NaN or infinite"):
        mcu.map(network, calibration=jnp.full((1, 1, 4), jnp.nan))
    relu = nj.Sequential((4,), layers.ReLU(), linear(4, 2))
    with pytest.raises(MappingError, match="layer 'relu1': a ReLU of the input"):
        mcu.map(relu, quantize="float32")


def test_the_report_counts(branched):
    network, x = branched
    mapped = mcu.map(network, quantize="int8", calibration=x)
    rows = {row["layer"]: row for row in mapped.report().rows}
    assert rows["conv"]["parameters"] == 3 * 2 * 9 + 3
    assert rows["conv"]["parameter_bytes"] == 57
    assert rows["conv"]["products"] == 3 * 16 * 2 * 9
    assert rows["lif"]["state_bytes"] == 3 * 16
    assert rows["fc"]["products"] == 48
    leaky = nj.Sequential((1,), n=nj.LIF(tau=20.0, method="euler", threshold=5.0))
    (note,) = (
        note
        for note in mcu.map(leaky, quantize="int8", calibration=x[:, :, :1, 0, 0]).report().notes
        if "leak" in note
    )
    assert note.startswith("'n': 1/tau 0.05 is held as 0, so that it does not leak")
    text = str(mapped.report())
    assert text.startswith("10 layers on a microcontroller (int8), sums of 16 bits:")
    assert "'rectified' is dropped: spikes are not negative" in text
    assert "'joined_sum' adds up the edges into 'joined'" in text
    moved = eqx.tree_at(lambda net: net["fc"].weight, mapped.network, replace_fn=lambda w: 99 * w)
    assert "weights are out of range" in str(mapped.with_network(moved).report())
