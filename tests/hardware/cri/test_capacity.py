"""What the machine can't hold is refused, with every reason, before anything is written."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from neurojax.chips.cri import NetworkError
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron
from neurojax.chips.cri.spec import spec
from neurojax.hardware.cri import configure

LIF = LIF_neuron(9, -17, 3)
SMALL = dataclasses.replace(
    spec(), rows=4, axons=3, axon_fan_out=5, axon_fan_in=2, neuron_fan_out=4, neuron_fan_in=3
)


def faults(network: CRINetwork, **options: object) -> list[str]:
    with pytest.raises(NetworkError) as error:
        configure(network, **options)  # type: ignore[arg-type]
    return [str(finding) for finding in error.value.findings]


def test_all_reasons_at_once() -> None:
    keys = list("abcdefgh")
    neurons = {key: ([("a", 1)], LIF) for key in keys}
    neurons["a"] = ([(key, 1) for key in keys], LIF)
    axons = {f"x{i}": [("b", 1)] for i in range(4)}
    axons["x0"] = [(key, 1) for key in keys]
    found = faults(CRINetwork(axons, neurons, []), chip=SMALL)
    assert [text.split(";")[0] for text in found] == [
        "network: 4 axons",
        "axon 'x0': 8 synapses",
        "neuron 'b': 4 synapses from axons",
        "neuron 'a': 8 synapses",
        "neuron 'a': 8 synapses from neurons",
    ]
    assert "at most 3" in found[0] and "more cores" in found[0]


def test_neurons_count_with_padding() -> None:
    # Two models of one neuron each take two blocks of 32; four rows of groups hold 64.
    two = CRINetwork({"x": []}, {0: ([], LIF), 1: ([], ANN_neuron(5))}, [])
    configure(two, chip=SMALL)
    three = CRINetwork({"x": []}, {0: ([], LIF), 1: ([], ANN_neuron(5)), 2: ([], IF_neuron(1))}, [])
    [found] = faults(three, cores=1, chip=SMALL)
    assert found.startswith("network: 96 neurons (models fill blocks of 32); at most 64")


def test_too_many_models() -> None:
    network = CRINetwork({"x": []}, {i: ([], LIF_neuron(i)) for i in range(17)}, [])
    [found] = faults(network, cores=1)
    assert found.startswith("network: 17 different neuron models; at most 16; use fewer")
    assert len(configure(network).cores) == 2


def test_targets_in_one_group() -> None:
    # 257 targets of group 0 need 257 pairs of rows; a pointer counts 256.
    neurons = {i: ([], LIF) for i in range(16 * 257)}
    network = CRINetwork({"x": [(16 * i, 1) for i in range(257)]}, neurons, [])
    [found] = faults(network)
    assert found.startswith("axon 'x': 257 pairs of rows") and "at most 256" in found
    configure(CRINetwork({"x": [(16 * i, 1) for i in range(256)]}, neurons, []))


def test_the_largest_fan_out_fits() -> None:
    neurons = {i: ([], LIF) for i in range(4097)}
    neurons[0] = ([(i, 1) for i in range(1, 4096)], LIF)
    network = CRINetwork({"x": [(i, 1) for i in range(4096)]}, neurons, [0])
    image = configure(network).cores[0].image
    assert image.axon_pointers[0, 0] >> 23 == 511
    assert image.neuron_pointers[0, 0] >> 23 == 511  # the spike entry is in the slot that is left
    # With a target on another core there is a second spike entry, and no slot for it.
    neurons[0][0].append((4096, 1))
    network = CRINetwork({"x": []}, neurons, [0])
    [found] = faults(network, cores={i: int(i == 4096) for i in range(4097)})
    assert found.startswith("core 0, neuron 0: 257 pairs of rows")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"order": "main"}, "order='main'"),
        ({"strict": False}, "strict=False"),
        ({"noise": "main", "shift": 0}, "the option shift"),
        ({"reset": "subtract"}, "the option reset"),
    ],
)
def test_only_what_the_machine_computes(options: dict[str, object], reason: str) -> None:
    network = CRINetwork({"x": []}, {"a": ([], LIF)}, [], **options)  # type: ignore[arg-type]
    found = faults(network)
    assert reason in found[0]


def test_models_that_contradict_themselves() -> None:
    model = LIF_neuron(9, refractory_max=2, legacy_noise_en=True)
    [found] = faults(CRINetwork({"x": []}, {"a": ([], model)}, []))
    assert "three of these bits" in found
    [found] = faults(CRINetwork({"x": []}, {"a": ([], LIF_neuron(9, dual_synapse_en=True))}, []))
    assert "delayed one by one" in found
    delaying = LIF_neuron(9, delay_value=3)
    [found] = faults(CRINetwork({"x": []}, {"a": ([("a", 1, True), ("a", 1)], delaying)}, []))
    assert found.startswith("network: 1 delayed synapses")


def test_each_core_has_limits_of_its_own() -> None:
    neurons = {i: ([(0, 1)], LIF) for i in range(8)}
    network = CRINetwork({"x": [(0, 1)]}, neurons, [])
    # On core 0 four neurons of core 1 arrive on axons, so the fan-in counts with the axons'.
    found = faults(network, cores=2, chip=SMALL)
    assert [text.split(";")[0] for text in found] == [
        "core 0: 5 axons",
        "core 0, neuron 0: 5 synapses from axons",
        "core 0, neuron 0: 4 synapses from neurons",
    ]


def test_cores_that_make_no_sense() -> None:
    network = CRINetwork({"x": []}, {"a": ([], LIF), "b": ([], LIF)}, [])
    for cores, reason in (
        (0, "from 1 to 2"),
        (3, "from 1 to 2"),
        ("many", "'auto'"),
        ({"a": 0}, "no core for 1 neurons, such as 'b'"),
        ({"a": 0, "b": 0, "c": 0}, "such as 'c'"),
        ({"a": 0, "b": -1}, "core -1 of 'b'"),
        ({"a": 0, "b": 2}, "without gaps"),
        ({"a": 0, "b": 10**9}, "without gaps"),
    ):
        with pytest.raises(ValueError, match=reason):
            configure(network, cores=cores)  # type: ignore[arg-type]


def test_large_networks_are_spread() -> None:
    chip = dataclasses.replace(spec(), rows=8)
    network = CRINetwork({"x": []}, {i: ([], LIF) for i in range(200)}, [])
    configuration = configure(network, chip=chip)
    assert len(configuration.cores) == 2
    assert max(len(core.neurons) for core in configuration.cores) <= 128
    assert np.array_equal(
        np.sort(np.concatenate([core.neurons[core.neurons >= 0] for core in configuration.cores])),
        np.arange(200),
    )
