"""Files: what is saved is what is loaded; damaged and hostile files are refused; packets."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, LIF_neuron
from neurojax.hardware.cri import Configuration, SimulatedDevice, _file, configure, load
from tests.hardware.cri import _oracle
from tests.hardware.cri._oracle import networks

LIF = LIF_neuron(9, -17, 3)


def example(cores: int = 2) -> Configuration:
    neurons = {
        "a": ([("a", 7), (("b", 1), -5)], LIF),
        ("b", 1): ([("a", 0), (b"c", 32767)], ANN_neuron(5)),
        b"c": ([], LIF),
    }
    network = CRINetwork({1: [("a", 3), (b"c", -32768)], "y": []}, neurons, ["a", b"c"])
    return configure(network, cores=cores)


@settings(max_examples=15)
@given(networks(), st.integers(1, 3), st.integers(0, 1000))
def test_what_is_loaded_is_what_was_saved(
    tmp_path_factory: pytest.TempPathFactory, network: CRINetwork, cores: int, seed: int
) -> None:
    configuration = configure(network, cores=min(cores, len(network.connections)))
    path = tmp_path_factory.mktemp("cri") / "net.cri"
    configuration.save(path)
    again = load(path)
    assert again.axon_keys == configuration.axon_keys
    assert again.neuron_keys == configuration.neuron_keys
    assert again.options == configuration.options
    for core, other in zip(configuration.cores, again.cores, strict=True):
        for part, same in zip(core.image, other.image, strict=True):
            assert np.array_equal(part, same)
        for name in ("axons", "relays", "neurons"):
            assert np.array_equal(getattr(core, name), getattr(other, name))
    events = configuration.events(_oracle.events(network, 6, seed))[:, None]
    runs = [SimulatedDevice().run(c, events, membranes=True) for c in (configuration, again)]
    for part, same in zip(*runs, strict=True):
        assert np.array_equal(part, same)


def test_options_are_kept(tmp_path: Path) -> None:
    network = CRINetwork({"x": []}, {"a": ([], LIF)}, [], overflow="wrap", bits=32)
    configure(network).save(tmp_path / "net.cri")
    neuron = load(tmp_path / "net.cri").network.neuron()
    assert (neuron.overflow, neuron.bits) == ("wrap", 32)


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    example().save(tmp_path / "net.cri")
    data = bytearray((tmp_path / "net.cri").read_bytes())
    path = tmp_path / "broken.cri"
    for at in [*range(200), *range(200, len(data), len(data) // 150)]:
        changed = data.copy()
        changed[at] ^= 1
        path.write_bytes(changed)
        with pytest.raises(ValueError, match=r"broken\.cri: "):
            load(path)
    for length in (0, 7, 19, 100, len(data) - 1):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"broken\.cri: "):
            load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match="bytes, but its header describes"):
        load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "net.cri"
    example().save(path)
    before = path.read_bytes()
    other = configure(CRINetwork({object(): []}, {"a": ([], LIF)}, []))
    with pytest.raises(TypeError, match="use strings"):
        other.save(path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def rewritten(path: Path, change: Any) -> None:
    """The example with valid checksums around other contents."""
    example().save(path)
    description, arrays = _file.read(path)
    change(description, arrays)
    _file.write(path, description, arrays)


def put(name: str, at: Any, value: int) -> Any:
    def change(description: Any, arrays: Any) -> None:
        arrays[name][at] = value

    return change


def keys(text: str) -> Any:
    def change(description: Any, arrays: Any) -> None:
        arrays["keys"] = np.frombuffer(text.encode(), np.uint8)

    return change


def describe(**fields: Any) -> Any:
    def change(description: Any, arrays: Any) -> None:
        description.update(fields)

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("0.axon_pointers", (0, 0), 0), "points outside"),
        (put("0.synapses", (0, 0), 0xE0000000), "unknown operation code"),
        (put("0.neurons", 1, 0), "core 0: neurons names one twice"),
        (put("0.neurons", 0, 3), "beyond 0 to 2"),
        (put("0.neurons", 0, 2**62), "beyond 0 to 2"),
        (put("0.axons", 0, -1), "axons has indices"),
        (put("0.neurons", 0, -1), "place without neuron"),
        (put("0.types", (0, 0), 1), "neuron type"),
        (put("0.types", (0, 2), 1 << 31), "neuron type"),
        (put("0.types", (0, 0), 2 << 21 | 1 << 13), "delayed one by one"),
        (put("0.types", (0, 0), 128), "the neuron models end"),
        (put("0.silent", 0, 10**12), "silent"),
        (put("1.relays", 0, 2), "a relay of a neuron on the same core"),
        (lambda d, a: a.update({"1.relays": a["1.relays"][:0]}), "core 1: "),
        (lambda d, a: a.update({"0.silent": np.zeros((1, 1), "<i8")}), "it is <i8 with 1 axes"),
        (lambda d, a: a.pop("1.types"), "arrays missing or unknown"),
        (lambda d, a: a.update({"0.types": a["0.types"][:, :2]}), "three words"),
        (keys('{"axons": [1, "y"], "neurons": ["a", "a", "c"]}'), "a key stands there twice"),
        (keys('{"axons": [1, "y"], "neurons": ["a", {"x": 1}, "c"]}'), "keys are not valid"),
        (keys('{"axons": [1, "y"], "neurons": 3}'), "keys are not valid"),
        (keys("[" * 100_000), "keys are not valid"),
        (keys('{"axons": ["x", "y", "z"], "neurons": ["a", "b", "c"]}'), "an axon is on no core"),
        (keys('{"axons": [1, "y"], "neurons": ["a", "b", "c", "d"]}'), "not every neuron"),
        (describe(cores=3), "arrays missing"),
        (describe(cores=10**9), "1 to 32"),
        (describe(cores="2"), "1 to 32"),
        (describe(options={"bits": 35}), "options"),
        (describe(format="other"), "is no configuration"),
    ],
)
def test_valid_checksums_around_nonsense(tmp_path: Path, change: Any, reason: str) -> None:
    path = tmp_path / "net.cri"
    rewritten(path, change)
    with pytest.raises(ValueError, match=reason) as error:
        load(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "entry",
    [
        {"name": "keys", "type": "|O", "shape": [1], "sha256": ""},
        {"name": "keys", "type": "<u4", "shape": [-1], "sha256": ""},
        {"name": "keys", "type": "<u4", "shape": [1 << 39, 1 << 39], "sha256": ""},
        {"name": "keys", "type": "<u4", "shape": [True], "sha256": ""},
        {"name": "keys", "type": ["<u4"], "shape": [1], "sha256": ""},
        {"name": "keys"},
        None,
    ],
)
def test_hostile_headers(tmp_path: Path, entry: Any) -> None:
    header = json.dumps({"description": {}, "arrays": [entry]}).encode()
    head = struct.pack("<8sII", _file.MAGIC, _file.VERSION, len(header))
    path = tmp_path / "net.cri"
    path.write_bytes(head + struct.pack("<I", zlib.crc32(head + header)) + header)
    with pytest.raises(ValueError, match=r"net\.cri: has"):
        load(path)


def test_another_version_says_so(tmp_path: Path) -> None:
    path = tmp_path / "net.cri"
    example().save(path)
    data = bytearray(path.read_bytes())
    data[8] = 2
    path.write_bytes(data)
    with pytest.raises(ValueError, match="has version 2; this neurojax reads version 1"):
        load(path)


def test_the_file_is_what_its_description_says(tmp_path: Path) -> None:
    """Read by hand, from the format's description."""
    path = tmp_path / "net.cri"
    configuration = example(1)
    configuration.save(path)
    data = path.read_bytes()
    assert data[:8] == b"\xc7NJCRI\r\n"
    version, length, checksum = struct.unpack_from("<III", data, 8)
    assert version == 1 and checksum == zlib.crc32(data[:16] + data[20 : 20 + length])
    header = json.loads(data[20 : 20 + length])
    at = 20 + length
    for entry in header["arrays"]:
        at += -at % 64
        size = int(np.prod(entry["shape"])) * int(entry["type"][2])
        part = data[at : at + size]
        assert hashlib.sha256(part).hexdigest() == entry["sha256"]
        if entry["name"] == "0.synapses":
            assert part == configuration.cores[0].image.synapses.astype("<u4").tobytes()
        at += size
    assert at == len(data)


def test_packets_fill_the_memory() -> None:
    """Replayed into an empty memory, the packets give the image."""
    configuration = example()
    memories: dict[int, dict[int, bytes]] = {0: {}, 1: {}}
    types: dict[int, list[int]] = {0: [], 1: []}
    for block in configuration.packets():
        for packet in block:
            number = int.from_bytes(packet.tobytes(), "little")
            kind, core = number >> 504, number >> 499 & 31
            if kind == 2:
                assert number >> 279 & 1  # to be written
                memories[core][number >> 256 & (2**23 - 1)] = packet.tobytes()[:32]
            if kind == 8:
                types[core].append(number & (2**84 - 1))
    for number, core in enumerate(configuration.cores):
        memory = core.image.memory()
        for row, data in memories[number].items():
            assert np.array_equal(np.frombuffer(data, "<u4"), memory[row])
        assert sum(len(part) for _, part in core.image.segments()) == len(memories[number])
        assert types[number] == [kind.word for kind in core.image.types]


def test_the_report_counts() -> None:
    report = example().report()
    assert [row["neurons"] for row in report.rows] == [2, 1]
    assert [row["relays"] for row in report.rows] == [0, 1]
    assert [row["synapses"] for row in report.rows] == [4, 2]
    assert "operation code 1" in str(report)
