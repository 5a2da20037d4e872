"""hs_api's text files: as its own writer lays them out, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron
from neurojax.chips.cri.text_format import (
    read_connectivity,
    read_experiment,
    read_spikes,
    to_array,
    write_connectivity,
    write_experiment,
    write_spikes,
)

IF = IF_neuron(3)

# As `write_conn_file` of hs_api writes B = [[3, 0], [-2, 1]] and W = [[0, 5], [0, 0]].
CONNECTIVITY = """Axons
0: [(0, 3.0)]
1: [(0, -2.0), (1, 1.0)]
Neurons
0: [(1, 5.0)]
1: []
"""


def network() -> CRINetwork:
    return CRINetwork(
        {"x": [("p", 3), ("q", 0)], "y": [("q", 1), ("p", -2)]},
        {"p": ([("q", 5)], IF), "q": ([], IF)},
        ["q"],
    )


def read_as_hs_api(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Its reader's rule: split at all punctuation, then source, target, weight, target, ..."""
    import re

    found: dict[str, list[list[float]]] = {"Axons": [], "Neurons": []}
    section = ""
    for line in path.read_text().splitlines():
        if line in found:
            section = line
            continue
        source, *rest = [part for part in re.split(r"[:, \[\]()]", line) if part]
        for post, weight in zip(rest[::2], rest[1::2], strict=True):
            found[section].append([int(source), int(post), float(weight)])
    return np.array(found["Axons"]), np.array(found["Neurons"])


def test_written_as_hs_api_does(tmp_path: Path) -> None:
    path = tmp_path / "connectivity.txt"
    write_connectivity(network(), path)
    assert path.read_text() == CONNECTIVITY
    axons, neurons = read_as_hs_api(path)
    assert axons.tolist() == [[0, 0, 3], [1, 0, -2], [1, 1, 1]]
    assert neurons.tolist() == [[0, 1, 5]]


def test_read_back(tmp_path: Path) -> None:
    path = tmp_path / "connectivity.txt"
    # Comments, and sections by words, as `load_network` reads them.
    path.write_text("# made by hand\n" + CONNECTIVITY.replace("Axons", "the AXONS") + "\n")
    found = read_connectivity(path, LIF_neuron(9), outputs=[1])
    assert found.axons == {"a0": [("0", 3)], "a1": [("0", -2), ("1", 1)]}
    assert found.connections == {"0": ([("1", 5)], LIF_neuron(9)), "1": ([], LIF_neuron(9))}
    assert found.outputs == ["1"]
    assert read_connectivity(path, IF).outputs == ["0", "1"]


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 2**31))
def test_any_network_comes_back(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    neurons, axons = rng.integers(1, 9, 2)

    def sources(count: int, prefix: str) -> dict[str, list[tuple[str, int]]]:
        weights = rng.integers(-32768, 32768, (count, neurons)) * (
            rng.random((count, neurons)) < 0.5
        )
        return {
            f"{prefix}{n}": [(str(i), int(row[i])) for i in np.flatnonzero(row)]
            for n, row in enumerate(weights)
        }

    connections = {name: (found, IF) for name, found in sources(neurons, "").items()}
    net = CRINetwork(sources(axons, "a"), connections, list(connections))
    write_connectivity(net, tmp_path / "c.txt")
    assert read_connectivity(tmp_path / "c.txt", IF) == net
    steps = [rng.permutation(axons)[: rng.integers(0, axons + 1)].tolist() for _ in range(5)]
    write_spikes(steps, tmp_path / "i.txt")
    assert read_spikes(tmp_path / "i.txt") == steps
    active = to_array(steps, axons)
    assert [np.flatnonzero(row).tolist() for row in active] == [sorted(step) for step in steps]


def test_spikes_as_hs_api_writes_them(tmp_path: Path) -> None:
    write_spikes([[0, 2], [], [1]], tmp_path / "inputs.txt")
    assert (tmp_path / "inputs.txt").read_text() == "0: [0, 2]\n1: []\n2: [1]\n"


@pytest.mark.parametrize("kind", [LIF_neuron, IF_neuron, ANN_neuron])
def test_experiment(tmp_path: Path, kind: Any) -> None:
    net = network()
    model = kind(6)
    net = CRINetwork(net.axons, {k: (s, model) for k, (s, _) in net.connections.items()}, ["q"])
    inputs = [["x"], ["y", "x"], []]
    path = write_experiment(tmp_path / "run", net, inputs, [[], [1], []])
    found = read_experiment(path)
    assert found.inputs == [["a0"], ["a0", "a1"], []] or found.inputs == [["a0"], ["a1", "a0"], []]
    assert found.outputs == [[], [1], []]
    assert found.network.models() == [model, model]
    assert len(found.network.run(found.inputs)) == 3
    yaml = pytest.importorskip("yaml")
    data = yaml.safe_load(path.read_text())
    assert data["global_neuron_params"] == {"v_thr": 6}
    path.write_text(yaml.safe_dump(data))
    assert read_experiment(path).network == found.network
    path.write_text(yaml.safe_dump(data, default_flow_style=None))
    assert read_experiment(path).network == found.network


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0: []\n", r"line 1: entry 0, but no section yet"),
        ("Axons\n1: []\n", r"line 2: entry 1, but entry 0 of axons comes next"),
        ("Axons\n0: [(0, 1.0]\n", r"line 2: .* is no list"),
        ("Axons\n0: [0]\n", r"line 2: 0 is no pair"),
        ("Axons\nzero: []\n", r"line 2: .* is no 'number"),
        ("Axes\n", r"line 1: 'Axes' begins neither"),
        ("Axons\n0: [(0, 1.5)]\nNeurons\n0: []\n", r"weight 1\.5"),
        ("Axons\n0: [(3, 1.0)]\nNeurons\n0: []\n", r"to '3': no such neuron"),
        ("Axons\n0: __import__('os').getcwd()\n", r"line 2: .* is no list"),
    ],
)
def test_damaged_connectivity(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "c.txt"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_connectivity(path, IF)


def test_other_refusals(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text, message in (("1: []\n", "step 0 comes next"), ("0: [-1]\n", "no list of indices")):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_spikes(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no text file"):
        read_spikes(path)
    for text, message in (
        ("neuron_type: ANN\n", "connectivity_file and inputs_file and v_thr missing"),
        ("just words\n", "line 1: .* is no 'name: value'"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_experiment(path)
    config = write_experiment(tmp_path / "run", network(), [])
    for old, new, message in (("I&F", "QIF", "neuron_type is 'QIF'"), ("3\n", "x\n", "no integer")):
        path.write_text(config.read_text().replace(old, new))
        with pytest.raises(ValueError, match=message):
            read_experiment(path)
    delayed = CRINetwork({"i": []}, {"n": ([("n", 1, True)], IF)}, [])
    with pytest.raises(ValueError, match="delayed synapses"):
        write_connectivity(delayed, path)
    mixed = CRINetwork({"i": []}, {"n": ([], IF), "m": ([], IF_neuron(4))}, [])
    with pytest.raises(ValueError, match="2 different models"):
        write_experiment(tmp_path / "mixed", mixed, [])
