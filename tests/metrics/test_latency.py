"""Times against what the sources say, and against sums by hand."""

import jax.numpy as jnp
import pytest

import neurojax as nj
from neurojax import metrics
from neurojax.chips import bss2, cri, dynapcnn, loihi

STEPS = 10


def deep(layers, size=4, **options):
    named = {}
    for number in range(layers):
        named[f"fc{number}"] = nj.Linear.from_weights(jnp.eye(size))
        named[f"spikes{number}"] = nj.IAF(reset="zero", **options)
    return nj.Sequential((size,), **named)


def counted(network, size=4):
    return metrics.count_spikes(network, jnp.ones((STEPS, 2, size)))


def test_speck_as_the_vendor_says():
    """3.36 us for an event through nine layers."""
    net = deep(9, v_min=-1.0)
    found = metrics.latency(net, counted(net), "speck")
    assert found.delay.value == pytest.approx(3.36e-6)
    assert found.duration.value is None and "give dt" in str(found)
    mapped = dynapcnn.map(deep(2, v_min=-1.0), device="speck2fmodule")
    found = metrics.latency(mapped, counted(mapped), "speck", dt=1e-3)
    assert found.delay.value == pytest.approx(3.36e-6 * 2 / 9)
    assert found.duration.value == pytest.approx(STEPS * 1e-3 + 3.36e-6 * 2 / 9)


def test_loihi_waits_for_its_slowest_population():
    """All four inputs spike, all four neurons of each population spike in every step: 16 events
    and 4 updates, of 3.5 and 8.4 ns, on one core; a barrier of 0.465 us."""
    net = deep(2)
    step = 16 * 3.5e-9 + 4 * 8.4e-9 + 0.465e-6
    found = metrics.latency(net, counted(net), "loihi")
    assert found.late_steps == 2
    assert found.duration.value == pytest.approx((STEPS + 2) * step)
    assert found.delay.value == pytest.approx(2 * step)
    assert found.duration.low <= found.duration.value <= found.duration.high
    shared = metrics.latency(net, counted(net), "loihi", cores={"spikes0": 2, "spikes1": 4})
    step = (16 * 3.5e-9 + 4 * 8.4e-9) / 2 + 0.465e-6
    assert shared.duration.value == pytest.approx((STEPS + 2) * step)
    slow = metrics.latency(net, counted(net), "loihi", dt=1e-3)
    assert slow.duration.value == pytest.approx((STEPS + 2) * 1e-3)


def test_loihi_with_the_timing_of_the_chip_is_late_already():
    net = deep(2)
    aligned, late = (loihi.map(net, device="loihi1", timing=t) for t in ("aligned", "chip"))
    assert metrics.latency(aligned, counted(aligned), "loihi").late_steps == 2
    assert metrics.latency(late, counted(late), "loihi").late_steps == 0


def test_branches_and_recurrence():
    """The longest way counts; edges of feedback don't."""
    net = nj.Network(
        {
            "a": nj.Linear.from_weights(jnp.eye(2)),
            "first": nj.IAF(),
            "b": nj.Linear.from_weights(jnp.eye(2)),
            "second": nj.IAF(),
            "back": nj.Linear.from_weights(jnp.eye(2)),
        },
        [
            nj.Edge("input", "a"),
            nj.Edge("a", "first"),
            nj.Edge("first", "b"),
            nj.Edge("b", "second"),
            nj.Edge("input", "second"),
            nj.Edge("second", "back"),
            nj.Edge("back", "first", recurrent=True),
        ],
        inputs=(2,),
        outputs=["second"],
    )
    found = metrics.latency(net, counted(net, 2), "speck")
    assert found.delay.value == pytest.approx(3.36e-6 * 2 / 9)


def test_brainscales_takes_the_simulated_time():
    net = nj.Sequential((4,), fc=nj.Linear.from_weights(jnp.eye(4)), out=bss2.LIF(dt=2e-6))
    mapped = bss2.map(net, dt=2e-6)
    found = metrics.latency(mapped, counted(mapped), "bss2", dt=1e-3)  # of other chips' inputs
    assert found.duration.value == pytest.approx(STEPS * 2e-6)
    unknown = metrics.latency(deep(1), counted(deep(1)), "bss2")
    assert unknown.duration.value is None and "give dt" in str(unknown)


def test_cri_counts_steps():
    mapped = cri.map(deep(3))
    found = metrics.latency(mapped, counted(mapped), "cri")
    assert (found.late_steps, found.steps, found.duration.value) == (3, STEPS, None)
    assert "3 until the output" in str(found)


def test_a_device_with_a_step_time():
    step = metrics.Constant(2.0, "us", "my clock", kind="measured", uncertainty=0.5)
    mine = metrics.Device("mine", "Mine", times={"time steps": step})
    found = metrics.latency(deep(1), counted(deep(1)), mine)
    assert found.duration == metrics.Estimate(
        pytest.approx(22e-6), pytest.approx(11e-6), pytest.approx(33e-6)
    )
    mapped = cri.map(deep(1))  # was simulated with its delay
    assert metrics.latency(mapped, counted(mapped), mine).duration.value == pytest.approx(20e-6)
    nothing = metrics.latency(deep(1), counted(deep(1)), "odin")
    assert nothing.duration.value is None and "no times are known" in str(nothing)


def test_steps_take_time():
    with pytest.raises(ValueError, match="dt is 0"):
        metrics.latency(deep(1), counted(deep(1)), "speck", dt=0.0)
