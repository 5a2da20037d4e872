"""Neurons step by step against the oracle, to the bit."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import neurojax as nj
from neurojax.chips import mcu
from tests.chips.mcu import draw, oracle

STEPS, NEURONS = 4, 24


def started(layer, held, compat):
    """Where the membrane starts."""
    return 0 if held.v_reset is None or compat else held.v_reset


def check(layer, x, expected, *, decay_input, compat):
    """Runs a layer beside the oracle; `expected` are its integers."""
    form = layer.format
    assert layer.integers() == expected
    ready = layer.prepare(None)
    state = ready.init(x.shape[1:])
    v = [started(layer, expected, compat)] * x.shape[1]
    assert state.v.tolist() == v
    options = {"decay_input": decay_input, "compat": compat}
    for inputs in x:
        state, out = ready.step(state, draw.carried(inputs))
        steps = [
            oracle.neuron(one, int(charge), expected, form, layer.input_q, **options)
            for one, charge in zip(v, inputs, strict=True)
        ]
        v = [after for after, _ in steps]
        assert state.v.tolist() == v
        assert out.tolist() == [spike for _, spike in steps]


@given(
    draw.formats(),
    draw.seeds,
    st.sampled_from([None, "qualia"]),
    st.booleans(),
    st.sampled_from([None, True, False]),
    st.data(),
)
def test_a_neuron_computes_like_the_code(form, seed, compat, hard, decay_input, data):
    rng, number = np.random.default_rng(seed), form.number
    input_q = data.draw(st.integers(0, number.bits - 1))
    if number.long_bits == number.bits:
        input_q = min(input_q, number.bits // 2 - 1)
    threshold, v_reset, rtau = (int(n) for n in draw.integers(rng, 3, number))
    leaky = decay_input is not None
    expected = mcu.Parameters(threshold, v_reset if hard else None, rtau if leaky else None)
    options = {"decay_input": decay_input, "rtau": draw.real(rtau, form.weights_q)} if leaky else {}
    layer = (mcu.LIF if leaky else mcu.IF)(
        threshold=draw.real(threshold, form.weights_q),
        reset="value" if hard else "subtract",
        v_reset=draw.real(v_reset, form.weights_q) if hard else None,
        format=form,
        input_q=input_q,
        compat=compat,
        **options,
    )
    x = draw.integers(rng, (STEPS, NEURONS), number)
    check(layer, x, expected, decay_input=decay_input, compat=compat)


def test_the_leak_has_the_right_size_where_the_input_is_finer():
    """v += (x - v) / 2 from v = 0 with x = 1: 0.5, 0.75. Qualia's is too small by 2^(12 - 8)."""
    form = mcu.Format(mcu.number_of("int16"), weights_q=8, output_q=0)
    x = jnp.full((2, 1, 1), 2.0**12)
    seen = {}
    for compat in (None, "qualia"):
        layer = mcu.LIF(threshold=9.0, rtau=0.5, format=form, input_q=12, compat=compat)
        run = nj.simulate(nj.Sequential((1,), lif=layer), x, probes=["lif.v"])
        seen[compat] = (run["lif.v"].ravel() / 2**8).tolist()
    assert seen == {None: [0.5, 0.75], "qualia": [0.03125, 0.05859375]}


def test_a_spike_of_the_largest_scale_saturates():
    form = mcu.Format(mcu.number_of("int16"), weights_q=8, output_q=15)
    layer = mcu.IF(threshold=0.5, format=form, input_q=8)
    assert layer.one == 32767
    _, out = layer.step(layer.init((1,)), jnp.array([256.0]))
    assert out.tolist() == [32767.0]


def test_a_membrane_starts_at_the_integer_that_the_code_holds():
    """Also before `prepare`, which is when a run makes its states: -10.68 is held as -11."""
    form = mcu.Format(mcu.number_of("int8"), weights_q=0, output_q=0)
    for v_reset in (-10.68, jnp.array(-10.68)):
        layer = mcu.IF(threshold=9.0, reset="value", v_reset=v_reset, format=form)
        assert layer.init((1,)).v.item() == layer.integers().v_reset == -11
        run = nj.simulate(nj.Sequential((1,), n=layer), jnp.full((1, 1, 1), 2.0), probes=["n.v"])
        assert run["n.v"].item() == -9


def test_floats_are_those_of_the_core_neurons():
    form = mcu.Format(mcu.number_of("float32"))
    x = jnp.asarray(np.random.default_rng(0).normal(0.4, 1, (20, 1, 8)), jnp.float32)
    for hard, decay_input in itertools.product((False, True), (None, False, True)):
        reset = {"reset": "value", "v_reset": -0.25} if hard else {}
        core = {"reset": "value", "reset_value": -0.25} if hard else {}
        if decay_input is None:
            ours = mcu.IF(threshold=0.7, format=form, **reset)
            theirs = nj.IAF(threshold=0.7, **core)
        else:
            options = {"rtau": 0.25, "decay_input": decay_input}
            ours = mcu.LIF(threshold=0.7, format=form, **reset, **options)
            rest = -0.25 if hard else 0.0
            options = {"decay": 0.75, "normalize_input": decay_input, "v_rest": rest}
            theirs = nj.LIF(threshold=0.7, **core, **options)
        a, b = (
            nj.simulate(nj.Sequential((8,), n=layer), x, probes=["n.v"]) for layer in (ours, theirs)
        )
        assert np.array_equal(a.outputs, b.outputs)
        np.testing.assert_allclose(a["n.v"], b["n.v"], atol=1e-5)


def test_options_are_checked():
    form = mcu.Format(mcu.number_of("int8"))
    for options, message in [
        ({"reset": "zero"}, "reset is 'zero'"),
        ({"reset": "value"}, "give v_reset with reset='value'"),
        ({"v_reset": 0.0}, "give v_reset with reset='value'"),
        ({"compat": "sinabs"}, "compat is 'sinabs'"),
        ({"threshold": jnp.ones(3)}, r"threshold has shape \(3,\)"),
        ({"format": form._replace(output_q=-1)}, "output_q is -1"),
    ]:
        with pytest.raises(ValueError, match=message):
            mcu.IF(**{"format": form} | options)
    with pytest.raises(ValueError, match="weights_q is -1"):
        mcu.LIF(rtau=0.5, format=form._replace(weights_q=-1))
