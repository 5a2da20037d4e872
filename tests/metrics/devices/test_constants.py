"""Constants and estimates: ranges, units, provenance, the registry."""

import dataclasses

import hypothesis.strategies as st
import pytest
from hypothesis import given

from neurojax.metrics.devices import (
    Constant,
    Device,
    Estimate,
    device,
    names,
    register_device,
    unregister_device,
)

NUMBERS = st.one_of(st.just(0.0), st.floats(1e-15, 1e6))


@pytest.fixture
def mine():
    yield "mine"
    unregister_device("mine")


@given(NUMBERS, NUMBERS, NUMBERS)
def test_estimates_are_intervals(a, b, factor):
    """The sum and the product hold the sums and products of what the operands hold."""
    x, y = Estimate(a, a / 2, a * 2), Estimate(b, b, b * 3)
    both, scaled, squared = x + y, x * factor, x * y
    for share in (0.5, 1.0, 2.0):
        assert both.low <= a * share + b * 2 <= both.high * (1 + 1e-12)
        assert scaled.low <= a * share * factor <= scaled.high * (1 + 1e-12)
        assert squared.low <= a * share * b * 2 <= squared.high * (1 + 1e-12)


def test_unknown_stays_unknown_except_times_nothing():
    unknown = Estimate(None, 0.0, None)
    assert Estimate.exact(2.0) + unknown == Estimate(None, 2.0, None)
    assert unknown * 0.0 == Estimate(0.0, 0.0, 0.0)
    assert unknown * 5.0 == Estimate(None, 0.0, None)
    assert Estimate(1.0) + Estimate(2.0, 1.0, 3.0) == Estimate(3.0)


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate.exact(0.0), "0 J"),
        (Estimate.exact(1.27e-11), "12.7 pJ"),
        (Estimate.exact(999.96e-9), "1 µJ"),
        (Estimate(1e-6, 0.5e-6, 2e-6), "1 µJ (0.5 to 2)"),
        (Estimate(1e-6), "1 µJ (range unknown)"),
        (Estimate(1e-6, 1e-6, None), "at least 1 µJ"),
        (Estimate(2e-6, 1e-6, None), "2 µJ (from 1)"),
        (Estimate(1e-6, None, 1e-6), "at most 1 µJ"),
        (Estimate(1e-6, None, 3e-6), "1 µJ (to 3)"),
        (Estimate(None, 4e-3, None), "at least 4 mJ"),
        (Estimate(None), "unknown"),
        (Estimate.exact(52e6), "52,000,000 J"),
    ],
)
def test_texts(estimate, text):
    assert estimate.text("J") == text


def test_units():
    for unit, factor in (("pJ", 1e-12), ("nJ", 1e-9), ("us", 1e-6), ("µs", 1e-6), ("mW", 1e-3)):
        assert Constant(3.0, unit, "here").si == pytest.approx(3.0 * factor, rel=1e-15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": -1.0}, "value is -1.0"),
        ({"value": float("nan")}, "value is nan"),
        ({"unit": "pK"}, "unit is 'pK'"),
        ({"kind": "guessed"}, "kind is 'guessed'"),
        ({"source": ""}, "no source"),
        ({"uncertainty": (5.0, 6.0)}, "does not hold the value 4.0"),
        ({"uncertainty": (1.0, 3.0)}, "does not hold the value 4.0"),
        ({"uncertainty": 1.5}, "does not hold the value 4.0"),
    ],
)
def test_constants_are_checked(change, message):
    with pytest.raises(ValueError, match=message):
        Constant(**{"value": 4.0, "unit": "pJ", "source": "here"} | change)


def test_all_numbers_say_where_they_come_from():
    for name in names():
        found = device(name)
        assert bool(found.refusal) != bool(found.energies), name
        for constant in (*found.energies.values(), *found.times.values()):
            assert len(constant.source) > 10
            assert constant.source in str(found)
            assert constant.kind == "unknown" if constant.value is None else constant.kind


def test_published_values():
    """The table of Davies et al. 2018, the abstract of Frenkel et al. 2018, keras-spiking's
    constants; in picojoules."""
    energies = {
        ("loihi", "synaptic events"): 23.6,
        ("loihi", "neuron updates"): 52.0,
        ("loihi", "active updates"): 81.0 - 52.0,
        ("loihi", "spikes"): 1.7,
        ("loihi", "hops east-west"): 3.0,
        ("loihi", "hops north-south"): 4.0,
        ("loihi", "weight updates"): 120.0,
        ("truenorth", "synaptic events"): 26.0,
        ("odin", "synaptic events"): 12.7,
        ("spinnaker", "synaptic events"): 13300.0,
        ("spinnaker", "neuron updates"): 26000.0,
        ("spinnaker2", "synaptic events"): 450.0,
        ("spinnaker2", "neuron updates"): 2190.0,
        ("cpu", "connections"): 8600.0,
        ("gpu", "connections"): 300.0,
        ("arm", "connections"): 900.0,
        ("arm", "neuron updates"): 900.0,
    }
    for (name, what), pico in energies.items():
        assert device(name).energies[what].si == pytest.approx(pico * 1e-12), (name, what)


def test_registering(mine):
    register_device(mine, 2e-12, 3e-12, source="a paper of mine, 2024")
    found = device(mine)
    assert found.energies["synaptic events"].si == 2e-12 and "a paper of mine" in str(found)
    register_device(mine, 5e-9, 7e-9, False)
    assert set(device(mine).energies) == {"connections", "neuron updates"}
    register_device(mine, power=Constant(3.0, "mW", "my meter", kind="measured", uncertainty=0.1))
    assert device(mine).energies["seconds"].estimate.high == pytest.approx(3.3e-3)
    register_device(Device(mine, "Mine", energies={"spikes": Constant(1.0, "pJ", "my chip")}))
    assert device(mine).title == "Mine"


def test_a_device_without_numbers_gets_some():
    assert "Intel has published no energies" in str(device("loihi2"))
    try:
        register_device("loihi2", 4e-12, source="measured on my board")
        assert not device("loihi2").refusal
    finally:
        unregister_device("loihi2")
    assert device("loihi2").refusal


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: device("loihi3"), "did you mean 'loihi'?"),
        (lambda: register_device("x"), "give e_synop, e_neuron or power"),
        (lambda: register_device("", 1.0), "the name is empty"),
        (lambda: register_device("x", -1.0), "value is -1.0"),
        (
            lambda: Device("x", "X", energies={"hops": Constant(1.0, "pJ", "here")}),
            "what is counted is: synaptic events",
        ),
        (
            lambda: Device("x", "X", energies={"seconds": Constant(1.0, "pJ", "here")}),
            "'seconds' is in pJ; give it in W",
        ),
        (
            lambda: Device("x", "X", times={"time steps": Constant(1.0, "pJ", "here")}),
            "give it in s",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        call()
    assert "x" not in names()


def test_devices_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        device("odin").title = "other"
    with pytest.raises(TypeError):
        device("odin").energies["spikes"] = None
