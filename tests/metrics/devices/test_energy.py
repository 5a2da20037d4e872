"""Energies against formulas written out, over spikes that are counted in plain NumPy."""

import csv
import itertools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

import neurojax as nj
from neurojax import metrics

STEPS, SAMPLES = 12, 3
SIZES = (7, 5, 4)


def network(seed=0):
    random = np.random.default_rng(seed)
    layers = {}
    for number, (before, after) in enumerate(itertools.pairwise(SIZES)):
        weight = jnp.asarray(random.integers(-1, 3, (after, before)), jnp.float32)
        layers[f"fc{number}"] = nj.Linear.from_weights(weight)
        layers[f"spikes{number}"] = nj.IAF(threshold=2.0, reset="zero")
    return nj.Sequential(SIZES[:1], **layers)


def raster(seed=1, rate=0.4):
    random = np.random.default_rng(seed)
    return (random.random((STEPS, SAMPLES, SIZES[0])) < rate).astype(np.float32)


class Counts:
    """A second simulation, sample by sample and event by event."""

    def __init__(self, net, inputs):
        self.spikes = {name: 0 for name in ("input", "spikes0", "spikes1")}
        self.events = {name: 0 for name in ("fc0", "fc1")}
        self.active = 0
        for sample in inputs.swapaxes(0, 1):
            v = [np.zeros(n) for n in SIZES[1:]]
            for x in sample:
                self.spikes["input"] += int(x.sum())
                for layer in (0, 1):
                    weight = np.asarray(net[f"fc{layer}"].weight)
                    for source in np.flatnonzero(x):
                        for target in range(len(weight)):
                            self.events[f"fc{layer}"] += 1
                            v[layer][target] += weight[target, source]
                    x = (v[layer] >= 2.0).astype(float)
                    v[layer][x > 0] = 0.0
                    self.spikes[f"spikes{layer}"] += int(x.sum())
        self.updates = SAMPLES * STEPS * sum(SIZES[1:])


@pytest.fixture(scope="module")
def counted():
    net, inputs = network(), raster()
    return net, metrics.count_spikes(net, jnp.asarray(inputs)), Counts(net, inputs)


def test_work(counted):
    net, activity, own = counted
    done = metrics.work(net, activity)
    for name, events in own.events.items():
        assert done.layers[name].events * SAMPLES == events
    for name, spikes in own.spikes.items():
        assert done.layers[name].spikes * SAMPLES == spikes
    assert done.events * SAMPLES == sum(own.events.values())
    assert done.updates * SAMPLES == own.updates
    assert done.connections == 7 * 5 + 5 * 4
    assert done.neurons == 5 + 4


def test_loihi(counted):
    """E = 23.6 synops + 81 active + 52 inactive + spikes (1.7 + 3.0 hx + 4.0 hy) + 120 learning."""
    net, activity, own = counted
    energy = metrics.chip_energy(
        net, activity, "loihi", hops=(2.0, 1.0), weight_updates=10.0
    )  # all updates active: the guess
    spikes = sum(own.spikes.values())
    synops = sum(own.events.values())
    pico = 23.6 * synops + 81.0 * own.updates + spikes * (1.7 + 3.0 * 2.0 + 4.0 * 1.0)
    assert energy.total.value == pytest.approx(pico * 1e-12 / SAMPLES + 1200e-12)
    assert energy.total.high is None  # nobody knows how much learning takes at most
    alone = metrics.chip_energy(net, activity, "loihi", hops=(2.0, 1.0)).total
    fired = own.spikes["spikes0"] + own.spikes["spikes1"]
    low = 23.6 * synops + 51.2 * own.updates + 21.6 * fired + spikes * (1.7 + 6.0 + 4.0)
    high = 35.5 * synops + 81.0 * own.updates + spikes * (69.3 + 111.0 + 6.0 + 4.2)
    assert alone.low == pytest.approx(low * 1e-12 / SAMPLES)
    assert alone.high == pytest.approx(high * 1e-12 / SAMPLES)


def keras_spiking(activity, e_synop, e_neuron, *, spiking, dt=1e-3):
    """`ModelEnergy`: rates in hertz, and formal networks computed once."""
    joules = 0.0
    for source, before, after in (("input", 7, 5), ("spikes0", 5, 4)):
        rate_in = activity.rate(source) / dt if spiking else 1 / dt
        steps = STEPS if spiking else 1
        joules += e_synop * before * after * rate_in * dt * steps
        joules += e_neuron * after * steps
    return joules


@pytest.mark.parametrize(
    ("name", "e_synop", "e_neuron", "spiking"),
    [
        ("spinnaker", 13.3e-9, 26e-9, True),
        ("spinnaker2", 450e-12, 2.19e-9, True),
        ("cpu", 8.6e-9, 8.6e-9, False),
        ("gpu", 0.3e-9, 0.3e-9, False),
        ("arm", 0.9e-9, 0.9e-9, False),
        ("loihi of keras-spiking", 27.1e-12, 81e-12, True),
        ("a formal chip", 1e-12, 2e-12, False),
    ],
)
def test_keras_spiking(counted, name, e_synop, e_neuron, spiking):
    net, activity, _ = counted
    if name not in metrics.devices.names():
        metrics.register_device(name, e_synop, e_neuron, spiking)
    try:
        energy = metrics.chip_energy(net, activity, name)
    finally:
        metrics.devices.unregister_device(name)
    expected = keras_spiking(activity, e_synop, e_neuron, spiking=spiking)
    assert energy.total.value == pytest.approx(expected, rel=1e-12)


def test_a_processor_may_run_the_spiking_network(counted):
    net, activity, _ = counted
    once = metrics.chip_energy(net, activity, "cpu").total.value
    each = metrics.chip_energy(net, activity, "cpu", passes=STEPS).total.value
    assert each == pytest.approx(STEPS * once)


def test_speck(counted):
    """P t + e n, and a lower bound as long as e is not known."""
    net, activity, own = counted
    bound = metrics.chip_energy(net, activity, "speck", seconds=0.012)
    assert bound.total.value is None and bound.total.high is None
    assert bound.total.low == pytest.approx(0.42e-3 * 0.012)
    assert "at least 5.04 µJ" in str(bound) and "not published" in str(bound)
    synops = sum(own.events.values()) / SAMPLES
    given = metrics.chip_energy(net, activity, "speck", seconds=0.012, e_synop=30e-12)
    assert given.total.value == pytest.approx(0.42e-3 * 0.012 + 30e-12 * synops)
    ranged = metrics.Constant(30.0, "pJ", "my meter", kind="measured", uncertainty=0.5)
    total = metrics.chip_energy(net, activity, "speck", seconds=0.012, e_synop=ranged).total
    assert total.low == pytest.approx(0.42e-3 * 0.012 + 15e-12 * synops)
    assert total.high == pytest.approx(0.42e-3 * 0.012 + 45e-12 * synops)


def test_brainscales_takes_power(counted):
    net, activity, _ = counted
    total = metrics.chip_energy(net, activity, "bss2", seconds=276e-6).total
    assert total.high == pytest.approx(200e-3 * 276e-6) and total.low is None


def test_parts_add_up(counted):
    net, activity, _ = counted
    for name in metrics.devices.names():
        device = metrics.device(name)
        if device.refusal:
            continue
        energy = metrics.chip_energy(net, activity, name, seconds=1e-3)
        for split in (energy.by_layer(), energy.by_term()):
            numbers = [(e.value, e.low, e.high) for e in split.values()]
            total = (energy.total.value, energy.total.low, energy.total.high)
            for mine, whole in zip(zip(*numbers, strict=True), total, strict=True):
                assert (whole is None) == any(x is None for x in mine)
                assert whole is None or whole == pytest.approx(sum(mine))
                assert all(x is None or x >= 0 for x in mine)


WIDE = nj.Sequential(
    (2, 6, 6),
    conv=nj.Conv2d.from_weights(jnp.ones((3, 2, 3, 3)), stride=2, padding=1),
    spikes=nj.IAF(threshold=3.0),
    flatten=nj.Flatten(),
    fc=nj.Linear.from_weights(jnp.ones((4, 27))),
    out=nj.IAF(threshold=5.0),
)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**31), st.floats(0, 1), st.floats(0, 1))
def test_more_spikes_cost_more(seed, rate, more):
    """Excitatory neurons that are given more spikes spike more, and nothing gets cheaper."""
    random = np.random.default_rng(seed)
    few = random.random((4, 2, 2, 6, 6)) < rate
    many = few | (random.random(few.shape) < more)
    less, much = (metrics.count_spikes(WIDE, jnp.asarray(x, jnp.float32)) for x in (few, many))
    for name in ("loihi", "spinnaker", "truenorth", "45nm"):
        a = metrics.chip_energy(WIDE, less, name).total
        b = metrics.chip_energy(WIDE, much, name).total
        assert 0 <= a.value <= b.value * (1 + 1e-12)
        assert None in (a.low, b.low) or a.low <= b.low * (1 + 1e-12)


def test_on_a_chip():
    """A network that was mapped is one of cores, whose convolutions hold the neurons."""
    net = nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d.from_weights(jnp.ones((3, 2, 3, 3)), padding=1),
        spikes=nj.IAF(threshold=3.0, v_min=-1.0),
    )
    inputs = jax.random.bernoulli(jax.random.key(0), 0.3, (4, 2, 2, 6, 6)).astype(float)
    mapped = nj.chips.dynapcnn.map(net)
    before = metrics.work(net, metrics.count_spikes(net, inputs))
    after = metrics.work(mapped, metrics.count_spikes(mapped, inputs))
    assert (before.events, before.neurons) == (after.events, after.neurons)


def test_provenance_is_shown_and_written(counted, tmp_path):
    net, activity, _ = counted
    energy = metrics.chip_energy(net, activity, "loihi")
    assert "Davies et al. 2018, table 2" in str(energy) and "(simulated, 14 nm)" in str(energy)
    energy.to_csv(tmp_path / "energy.csv")
    with (tmp_path / "energy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(energy.parts)
    assert sum(float(row["energy_J"]) for row in rows) == pytest.approx(energy.total.value)
    assert all(row["source"] and row["kind"] == "simulated" for row in rows)


@pytest.mark.parametrize(
    ("device", "options", "message"),
    [
        ("loihi2", {}, "Intel has published no energies"),
        ("cri", {}, "no energies of HiAER-Spike"),
        ("dynapcnn", {}, "no energies of the DYNAP-CNN"),
        ("speck", {}, "say how long an inference takes"),
        ("bss2", {"seconds": -1.0}, "seconds is -1.0"),
        ("loihi", {"hops": (1.0, -1.0)}, "hops is -1.0"),
        ("loihi", {"weight_updates": -1.0}, "weight_updates is -1.0"),
        ("cpu", {"passes": -1}, "passes is -1"),
        ("speck", {"seconds": float("nan")}, "seconds is nan"),
        ("odin", {"weight_updates": 5.0}, "no energy of weight updates"),
        ("nothing", {}, "register_device"),
    ],
)
def test_refusals(counted, device, options, message):
    net, activity, _ = counted
    with pytest.raises(ValueError, match=message):
        metrics.chip_energy(net, activity, device, **options)


def test_refused_devices_take_a_number(counted):
    net, activity, own = counted
    energy = metrics.chip_energy(net, activity, "loihi2", e_synop=2e-12)
    assert energy.total.value == pytest.approx(2e-12 * sum(own.events.values()) / SAMPLES)
    assert "synaptic events alone" in str(energy)


def test_readouts_and_recurrence_have_neurons():
    feedback = nj.Linear.from_weights(jnp.ones((3, 3)))
    net = nj.Sequential(
        (3,),
        hidden=nj.Recurrent(nj.LIF(tau=5.0), feedback),
        fc=nj.Linear.from_weights(jnp.ones((2, 3))),
        late=nj.Delay(2),
        out=nj.LI(tau=5.0),
    )
    done = metrics.work(net, metrics.count_spikes(net, jnp.ones((4, 1, 3))))
    assert {name: layer.neurons for name, layer in done.layers.items()} == {
        "input": 0, "hidden": 3, "fc": 0, "late": 0, "out": 2,
    }  # fmt: skip
    assert done.layers["hidden"].events > 0
