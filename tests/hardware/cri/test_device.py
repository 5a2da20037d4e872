"""Devices: the simulated one, one core or many, against plain Python and the dense engine."""

from __future__ import annotations

import dataclasses
import sys
import types
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import neurojax as nj
from neurojax.chips import cri
from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron
from neurojax.chips.cri.spec import spec
from neurojax.hardware.cri import BridgeDevice, Configuration, SimulatedDevice, configure
from tests.hardware.cri import _oracle
from tests.hardware.cri._oracle import Machine, networks


def events(configuration: Configuration, network: CRINetwork, seed: int) -> np.ndarray:
    """Two samples of ten steps."""
    samples = [configuration.events(_oracle.events(network, 10, seed + i)) for i in (0, 1)]
    return np.stack(samples, axis=1)


@given(networks(), st.integers(0, 1000))
def test_the_device_runs_the_words(network: CRINetwork, seed: int) -> None:
    """Against a machine in plain integers that knows nothing but the memory."""
    configuration = configure(network, cores=1)
    [core] = configuration.cores
    inputs = events(configuration, network, seed)
    run = SimulatedDevice().run(configuration, inputs, membranes=True)
    for sample in range(inputs.shape[1]):
        machine = Machine(
            core.image.memory(),
            [kind.word for kind in core.image.types],
            len(core.axons),
            core.image.neuron_pointers.size,
        )
        real = np.flatnonzero(core.neurons >= 0)
        for step in range(len(inputs)):
            places = machine.step(np.flatnonzero(inputs[step, sample]).tolist())
            fired = configuration.outputs[run.spikes[step, sample]]
            assert sorted(core.neurons[places]) == fired.tolist()
            held = np.zeros(len(real), np.int64)
            held[core.neurons[real]] = np.array(machine.v)[real]
            assert np.array_equal(held, run.membranes[step, sample])


@pytest.mark.parametrize("number", [0, 1, 2, 3])
@pytest.mark.parametrize("cores", [1, 3])
def test_recordings_of_hs_api(golden: Path, number: int, cores: int) -> None:
    """The simulator of the branch dev, which tests and leaks as the machine does."""
    with np.load(golden / "cri" / f"sim_det_{number}.npz") as file:
        data = dict(file)
    kinds = {0: ANN_neuron, 2: LIF_neuron}
    count = len(data["theta"])
    models = [
        kinds[int(kind)](int(theta), -17, int(leak))
        for kind, theta, leak in zip(data["kind"], data["theta"], data["leak"], strict=True)
    ]

    def synapses(weights: np.ndarray) -> list[tuple[int, int]]:
        return [(int(post), int(weights[post])) for post in np.flatnonzero(weights)]

    network = CRINetwork(
        {f"a{i}": synapses(row) for i, row in enumerate(data["W_axon"])},
        {i: (synapses(data["W_rec"][i]), models[i]) for i in range(count)},
        range(count),
    )
    many_models = dataclasses.replace(spec(), models=count)
    configuration = configure(network, cores=min(cores, count), chip=many_models)
    run = SimulatedDevice().run(configuration, data["X"][:, None], membranes=True)
    assert np.array_equal(run.membranes[:, 0], data["V_dev"])
    assert np.array_equal(run.spikes[:, 0], data["S_dev"])


@given(networks(), st.integers(0, 1000), st.integers(0, 1000), st.integers(2, 4))
def test_many_cores_compute_what_one_does(
    network: CRINetwork, seed: int, mix: int, count: int
) -> None:
    """Relays carry the network's weights: any partition gives the same integers."""
    keys = list(network.connections)
    order = np.random.default_rng(mix).permutation(len(keys)) % min(count, len(keys))
    one = configure(network, cores=1)
    many = configure(network, cores=dict(zip(keys, order.tolist(), strict=True)))
    inputs = events(one, network, seed)
    device = SimulatedDevice()
    expected, run = (device.run(c, inputs, membranes=True) for c in (one, many))
    assert np.array_equal(run.spikes, expected.spikes)
    assert np.array_equal(run.membranes, expected.membranes)
    assert sorted(map(repr, many.network.axons.items())) == sorted(
        repr((key, many.network.axons[key])) for key in network.axons
    )


@settings(max_examples=5)  # each one compiles
@given(networks(most=20), st.integers(0, 1000), st.integers(1, 2))
def test_what_is_decoded_simulates_the_same(network: CRINetwork, seed: int, count: int) -> None:
    """The dense engine with the network, with the one read from the words, and the device."""
    configuration = configure(network, cores=min(count, len(network.connections)))
    inputs = events(configuration, network, seed)
    spikes, membranes = _oracle.simulate(network, inputs)
    again = _oracle.simulate(configuration.network, inputs)
    assert np.array_equal(again[0], spikes) and np.array_equal(again[1], membranes)
    run = SimulatedDevice().run(configuration, inputs, membranes=True)
    assert np.array_equal(run.spikes, spikes) and np.array_equal(run.membranes, membranes)


def test_a_mapped_network_on_the_device() -> None:
    """Layers in, memory words out: the spikes of the mapped network, frame by frame."""
    key = jax.random.key(0)
    network = nj.Sequential(
        (1, 6, 6),
        conv=nj.Conv2d(1, 4, 3, stride=2, padding=1, bias=False, key=key),
        spikes=nj.IAF(threshold=0.5, reset="zero"),
        flatten=nj.Flatten(),
        fc=nj.Linear(36, 5, bias=False, key=key),
        out=nj.IAF(threshold=0.3, reset="zero"),
    )
    mapped = cri.map(network)
    configuration = configure(mapped)
    inputs = np.random.default_rng(0).random((12, 3, 1, 6, 6)) < 0.4
    expected = nj.simulate(mapped.network, inputs.astype(np.float32)).outputs
    run = SimulatedDevice().run(configuration, inputs.reshape(12, 3, 36))
    assert run.spikes.any() and np.array_equal(run.spikes, np.asarray(expected) != 0)


def test_wrapping_membranes() -> None:
    neurons = {"a": ([("a", 0)], IF_neuron(2**34, soft_reset_en=True)), "b": ([], ANN_neuron(0))}
    axons = {i: [("a", 32767)] for i in range(4)}
    network = CRINetwork(axons, neurons, ["a"], overflow="wrap", bits=22)
    configuration = configure(network)
    inputs = np.ones((20, 1, 4), np.uint8)
    run = SimulatedDevice().run(configuration, inputs, membranes=True)
    sums = 4 * 32767 * np.arange(1, 21)
    assert run.membranes[:, 0, 0].tolist() == ((sums + 2**21) % 2**22 - 2**21).tolist()
    spikes, membranes = _oracle.simulate(network, inputs)
    assert np.array_equal(run.membranes, membranes) and np.array_equal(run.spikes, spikes)


def test_noise_has_the_hardware_s_form() -> None:
    model = LIF_neuron(2**34, 2, 0)  # nothing stays but the noise of the step
    network = CRINetwork({"x": []}, {i: ([], model) for i in range(64)}, [])
    configuration = configure(network)
    inputs = np.zeros((400, 1, 1))
    with pytest.raises(ValueError, match="seed"):
        SimulatedDevice().run(configuration, inputs)
    run = SimulatedDevice(seed=3).run(configuration, inputs, membranes=True)
    drawn = run.membranes // 4
    assert np.all(run.membranes % 8 == 4) and np.abs(drawn).max() <= 65535  # odd magnitudes
    assert abs(drawn.mean()) < 1000 and abs(drawn.std() - 65536 / 3**0.5) < 500
    again = SimulatedDevice(seed=3).run(configuration, inputs, membranes=True)
    assert np.array_equal(again.membranes, run.membranes)


def test_noise_wraps_where_membranes_do() -> None:
    """Odd magnitudes times 2^31 in 35 bits: the odd multiples of 2^31 that these hold."""
    model = LIF_neuron(2**34, 31, 0)
    network = CRINetwork({"x": []}, {i: ([], model) for i in range(64)}, [], overflow="wrap")
    inputs = np.zeros((20, 1, 1))
    run = SimulatedDevice(seed=3).run(configure(network), inputs, membranes=True)
    assert set(run.membranes.ravel()) == {n * 2**31 for n in range(-7, 8, 2)}


# What the lab's tests of the machine assert


def membranes(network: CRINetwork, inputs: list[list[Hashable]]) -> tuple[list[Any], list[Any]]:
    """Of a network without noise: membranes and spikes of each step."""
    configuration = configure(network)
    run = SimulatedDevice().run(
        configuration, configuration.events(inputs)[:, None], membranes=True
    )
    return run.membranes[:, 0].tolist(), run.spikes[:, 0].astype(int).tolist()


@pytest.mark.parametrize("count", [1, 512, 513, 8191])
def test_an_ann_neuron_counts_axons(count: int) -> None:
    axons = {i: [("a", 1)] for i in range(count)}
    network = CRINetwork(axons, {"a": ([], ANN_neuron(0))}, ["a"])
    assert membranes(network, [list(axons), [], []]) == ([[count], [0], [0]], [[0], [1], [0]])


def test_the_threshold_must_be_exceeded() -> None:
    network = CRINetwork({"x": [("a", 1)]}, {"a": ([], ANN_neuron(1))}, ["a"])
    assert membranes(network, [["x"], []]) == ([[1], [0]], [[0], [0]])


def test_a_neuron_that_always_fires() -> None:
    neurons = {"a": ([("b", 1)], ANN_neuron(-1)), "b": ([], ANN_neuron(0))}
    network = CRINetwork({"x": []}, neurons, ["a", "b"])
    expected = ([[0, 1]] * 3, [[1, 0], [1, 1], [1, 1]])
    assert membranes(network, [[], [], []]) == expected


def test_leak_63_is_none() -> None:
    axons = {"-": [("a", -1)], "+": [("a", 1)]}
    network = CRINetwork(axons, {"a": ([], LIF_neuron(20, -17, 63))}, ["a"])
    found, _ = membranes(network, [[], ["-"], ["+"], [], []])
    assert found == [[0], [-1], [0], [0], [0]]


@pytest.mark.parametrize("period", [0, 1, 3, 7])
def test_refractory_periods(period: int) -> None:
    model = LIF_neuron(5, refractory_max=period)
    network = CRINetwork({"x": [("a", 9)]}, {"a": ([], model)}, ["a"])
    found, spikes = membranes(network, [["x"]] * 20)
    # The spike of step t loses what arrives in t .. t + period - 1.
    times = list(range(1, 20, period + 1))
    assert [step for step in range(20) if spikes[step] == [1]] == times
    lost = {t + i for t in times for i in range(period)}
    assert found == [[0] if step in lost else [9] for step in range(20)]


def test_rows_that_are_read() -> None:
    # One pair of rows for the axon, and one for the neuron that fires a step later.
    lif = LIF_neuron(2)
    neurons = {"a": ([("b", 3)], lif), "b": ([], lif)}
    configuration = configure(CRINetwork({"in": [("a", 3)]}, neurons, ["b"]))
    run = SimulatedDevice().run(configuration, configuration.events([["in"], [], [], []])[:, None])
    assert run.rows.ravel().tolist() == [2, 2, 2, 0]
    assert run.spikes.ravel().tolist() == [False, False, True, False]
    assert run.membranes is None and run.cycles is None


def test_inputs_of_another_shape() -> None:
    configuration = configure(CRINetwork({"x": []}, {"a": ([], LIF_neuron(1))}, []))
    with pytest.raises(ValueError, match=r"shape \(3, 1\); they must be \[time, batch, 1 axons\]"):
        SimulatedDevice().run(configuration, np.zeros((3, 1)))
    with pytest.raises(ValueError, match="step 1: no axon 'y'"):
        configuration.events([["x"], ["y"]])


# The machine, replaced by a stand-in for the host software


class FakeNetwork:
    """hs_api's network on hardware, as far as its interface is known."""

    def __init__(
        self,
        axons: dict[Hashable, Any],
        connections: dict[Hashable, Any],
        config: dict[str, Any],
        outputs: list[Hashable],
        target: str,
    ) -> None:
        assert target == "CRI" and set(config) == {"neuron_type", "global_neuron_params"}
        self.network = CRINetwork(axons, connections, outputs)

    def step(self, inputs: list[Hashable], membranePotential: bool = False) -> Any:
        membranes, spikes = self.network.step(inputs, membranePotential=True)
        answer = (spikes, 1000 + len(inputs), 2 * len(inputs))
        if not membranePotential:
            return answer
        raw = [(key, value % 2**35) for key, value in membranes]
        return [*raw, ("pad0", 0)], answer


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    cleared: list[Any] = []
    controller = types.ModuleType("hs_bridge.FPGA_Execution.fpga_controller")
    controller.clear = lambda *arguments: (  # type: ignore[attr-defined]
        cleared.append(arguments),
        [network.network.reset() for network in made],
    )
    made: list[FakeNetwork] = []
    api = types.ModuleType("hs_api.api")

    def create(
        axons: Any, connections: Any, config: Any, outputs: Any, target: Any = None
    ) -> FakeNetwork:
        made.append(FakeNetwork(axons, connections, config, outputs, target))
        return made[-1]

    api.CRI_network = create  # type: ignore[attr-defined]
    for name in ("hs_bridge", "hs_bridge.FPGA_Execution", "hs_api"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, controller.__name__, controller)
    monkeypatch.setitem(sys.modules, api.__name__, api)
    return cleared


def test_the_machine_is_run_through_its_host_software(host: list[Any]) -> None:
    neurons = {"a": ([("b", -3), ("a", 1)], LIF_neuron(2)), "b": ([], LIF_neuron(9))}
    network = CRINetwork({"in": [("a", 3)], "on": [("b", -7)]}, neurons, ["b", "a"])
    configuration = configure(network)
    inputs = np.zeros((3, 2, 2))
    inputs[0, 0, 0] = inputs[1, 1, 1] = 1
    device = BridgeDevice()
    run = device.run(configuration, inputs, membranes=True)
    expected = SimulatedDevice().run(configuration, inputs, membranes=True)
    assert np.array_equal(run.spikes, expected.spikes) and run.spikes.any()
    assert np.array_equal(run.membranes, expected.membranes) and (run.membranes < 0).any()
    assert run.cycles[0].tolist() == [1001, 1000] and run.rows[1].tolist() == [0, 2]
    assert len(host) == 2  # before each sample
    assert np.array_equal(device.run(configuration, inputs).spikes, run.spikes)


def test_the_machine_without_its_host_software() -> None:
    configuration = configure(CRINetwork({"x": []}, {"a": ([], LIF_neuron(1))}, []))
    with pytest.raises(ImportError, match="SimulatedDevice"):
        BridgeDevice().run(configuration, np.zeros((1, 1, 1)))


def test_the_host_software_loads_one_core(host: list[Any]) -> None:
    neurons = {key: ([], LIF_neuron(1)) for key in "ab"}
    configuration = configure(CRINetwork({"x": []}, neurons, []), cores=2)
    with pytest.raises(ValueError, match="on 2 cores; hs_api loads one"):
        BridgeDevice().run(configuration, np.zeros((1, 1, 1)))
    assert not host
