"""One network on all chips: rows agree with what is computed one by one."""

import csv

import jax
import jax.numpy as jnp
import pytest

import neurojax as nj
from neurojax import metrics
from neurojax.chips import bss2, cri, dynapcnn, loihi, mcu

KEY = jax.random.key(0)
STEPS = 8
INPUTS = jax.random.bernoulli(KEY, 0.3, (STEPS, 3, 2, 6, 6)).astype(jnp.float32)


def network(**options):
    return nj.Sequential(
        (2, 6, 6),
        conv=nj.Conv2d(2, 4, 3, padding=1, key=KEY),
        spikes=nj.IAF(reset="zero", threshold=0.3, **options),
        flatten=nj.Flatten(),
        fc=nj.Linear(144, 3, key=KEY),
        out=nj.IAF(reset="zero", threshold=0.1, **options),
    )


@pytest.fixture(scope="module")
def networks():
    net = network()
    analog = nj.Sequential((72,), fc=nj.Linear(72, 3, key=KEY), out=bss2.LIF())
    return {
        "float": net,
        "Speck": dynapcnn.map(network(v_min=-1.0), device="speck2fmodule"),
        "Loihi": loihi.map(net, device="loihi1"),
        "Loihi 2": loihi.map(net, device="loihi2"),
        "CRI": cri.map(net),
        "BSS-2": bss2.map(analog),
        "C": mcu.map(net, quantize="int16", calibration=INPUTS),
    }


@pytest.fixture(scope="module")
def comparison(networks):
    flat = INPUTS.reshape(STEPS, 3, 72)
    return metrics.compare(
        networks,
        INPUTS,
        activities={"BSS-2": metrics.count_spikes(networks["BSS-2"], flat)}
        | dict.fromkeys(("Loihi", "Loihi 2"), metrics.count_spikes(networks["Loihi"], INPUTS)),
        accuracy={name: 0.25 + i / 8 for i, name in enumerate(networks)},
        dt=1e-3,
    )


def test_rows_agree_with_the_single_functions(networks, comparison):
    activity = metrics.count_spikes(networks["Loihi"], INPUTS)
    row = comparison["Loihi"]
    assert row.joules == metrics.chip_energy(networks["Loihi"], activity, "loihi").total
    assert row.seconds == metrics.latency(networks["Loihi"], activity, "loihi", dt=1e-3).duration
    assert row.spikes == activity.spikes() / 3
    found = metrics.synaptic_events(networks["Loihi"], activity)
    assert row.events == sum(float(e.events) for e in found.values()) / 3
    assert row.updates == STEPS * row.neurons == STEPS * (144 + 3)


def test_chips_say_what_they_can(comparison):
    assert [row.accuracy for row in comparison.rows] == [0.25 + i / 8 for i in range(7)]
    speck, loihi2, cri_row, analog = (
        comparison[name] for name in ("Speck", "Loihi 2", "CRI", "BSS-2")
    )
    assert speck.joules.value is None
    assert speck.joules.low == pytest.approx(0.42e-3 * speck.seconds.value)
    assert loihi2.energy is None and "Intel has published no energies" in loihi2.note
    assert cri_row.energy is None and cri_row.latency.late_steps == 2
    assert cri_row.latency.steps == STEPS + 2  # it ran on until its outputs had come
    assert analog.joules.high == pytest.approx(0.2 * STEPS * 1e-6)
    processor = comparison["C"]
    dense = STEPS * (comparison["float"].connections / STEPS + 147)
    assert processor.joules.value == pytest.approx(0.9e-9 * dense)
    assert processor.operations == processor.connections > processor.events
    assert "C: computes all connections in every step" in str(comparison)
    assert comparison["Loihi"].operations == comparison["Loihi"].events


def test_a_network_without_a_chip_is_a_circuit(networks, comparison):
    row = comparison["float"]
    activity = metrics.count_spikes(networks["float"], INPUTS)
    table = metrics.energy(
        networks["float"], activity, mem_width=32, fifo_size=1, sram_estimation_type="new"
    )
    assert row.joules.value == pytest.approx(table.total.total * 1e-12) and row.device is None
    assert "Lemaire et al. 2022" in str(comparison)
    assert row.title == "float (a circuit in 45 nm)" in str(comparison)


def test_sizes(comparison):
    weights = 4 * 2 * 9 + 144 * 3
    sizes = {row.name: (row.size.parameters, row.size.bits, row.size.cores) for row in
             comparison.rows}  # fmt: skip
    assert sizes == {
        "float": (weights, 32, None),
        "Speck": (weights, 8, 2),
        "Loihi": (weights, 8, 2),
        "Loihi 2": (weights, 8, 2),
        "CRI": (weights, 16, 1),
        "BSS-2": (72 * 3, 12, 1),
        "C": (weights, 16, None),
    }
    assert comparison["Speck"].size.bytes == weights
    assert comparison["BSS-2"].size.bytes == 72 * 3 * 12 // 8


def test_table_and_notes(comparison):
    text = str(comparison)
    assert "at least" in text and "at most" in text and "unknown" in text
    for word in ("Davies et al. 2018", "Yao et al. 2024", "Cramer et al. 2022", "HiAER-Spike"):
        assert word in text
    together = "1.7 pJ (1.7 to 180), hops north-south 4 pJ (4 to 4.2), synaptic events 23.6 pJ"
    assert together in text  # constants of the same source
    assert "power 420 µW (measured, Yao et al. 2024: at rest)" in text
    header, cells = comparison.table()
    assert all(len(row) == len(header) for row in cells)
    assert cells[0][1] == "25.0%"


def test_csv(comparison, tmp_path):
    comparison.to_csv(tmp_path / "costs.csv")
    with (tmp_path / "costs.csv").open() as file:
        rows = {row["network"]: row for row in csv.DictReader(file)}
    assert list(rows) == [row.name for row in comparison.rows]
    for row in comparison.rows:
        assert float(rows[row.name]["synaptic_events"]) == row.events
        assert int(rows[row.name]["weight_bytes"]) == row.size.bytes
        joules = rows[row.name]["energy_J"]
        assert (float(joules) if joules else None) == row.joules.value
    assert rows["CRI"]["energy_J"] == "" and rows["Speck"]["energy_low_J"]


def test_options(networks):
    few = {name: networks[name] for name in ("float", "Speck", "Loihi 2")}
    found = metrics.compare(
        few,
        [(INPUTS[:, :2], None), (INPUTS[:, 2:], None)],
        accuracy=lambda net: len(net) / 10,
        devices={"float": "cpu", "Loihi 2": "loihi"},
        dt={"Speck": 1e-3},
        e_synop={"Speck": 10e-12},
    )
    assert (
        found["float"].accuracy == 0.5 and found["Speck"].accuracy == len(few["Speck"].network) / 10
    )
    assert found["float"].joules.value == pytest.approx(
        STEPS * 8.6e-9 * (found["float"].connections / STEPS + 147)
    )
    speck = found["Speck"]
    assert speck.joules.value == pytest.approx(
        0.42e-3 * speck.seconds.value + 10e-12 * speck.events
    )
    assert found["Loihi 2"].energy.device.name == "loihi"
    assert found["Loihi 2"].title == "Loihi 2 (constants of Loihi 1)" in str(found)
    assert speck.title == "Speck" and found["float"].title == "float (constants of CPU)"
    without = metrics.compare({"Speck": few["Speck"]}, INPUTS)["Speck"]
    assert without.energy is None and "give dt" in without.note


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda nets: metrics.compare({}, INPUTS), "there are no networks"),
        (lambda nets: metrics.compare(nets), "'float' has neither inputs nor activities"),
        (
            lambda nets: metrics.compare(nets, INPUTS, devices={"flot": "cpu"}),
            "did you mean 'float'",
        ),
        (lambda nets: metrics.compare(nets, INPUTS, dt={"x": 1.0}), "dt of 'x'"),
    ],
)
def test_refusals(networks, call, message):
    with pytest.raises(ValueError, match=message):
        call({"float": networks["float"]})


def test_unknown_rows(comparison):
    with pytest.raises(KeyError, match="did you mean 'Speck'"):
        comparison["speck"]
