"""The image: a small one word by word, random ones against a packer in plain Python, and back."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.chips.cri.description import CRINetwork
from neurojax.chips.cri.models import ANN_neuron, IF_neuron, LIF_neuron
from neurojax.hardware.cri import _cores, configure, words
from neurojax.hardware.cri.image import build, read
from tests.hardware.cri._oracle import MODELS, networks, pack

LIF, ANN = LIF_neuron(9, -17, 3), ANN_neuron(5, -17)


def test_a_small_image_word_by_word() -> None:
    # "a" and "c" share a model and get places 0 and 1; "b", of the second one, place 32.
    network = CRINetwork(
        {"x": [("a", 1), ("b", -2), ("c", 3)], "y": []},
        {"a": ([("a", 7)], LIF), "b": ([("c", 5), ("a", 6)], ANN), "c": ([], LIF)},
        ["b"],
    )
    image = configure(network).cores[0].image
    # 16 axon pointers; "x" has two pairs: "a" and "b" are both of group 0.
    assert image.axon_pointers.shape == (2, 8)
    assert image.axon_pointers[0, 0] == 3 << 23 | 2**15
    assert image.axon_pointers[0, 1] == 1 << 23 | 2**15 + 4
    assert image.axon_pointers[1, 7] == 1 << 23 | 2**15 + 4 + 14 * 2
    # 64 places; that of "b" is word 0 of the fifth row of pointers.
    assert image.neuron_pointers.shape == (8, 8)
    start = 4 + 15 * 2  # rows before the neurons'
    assert image.neuron_pointers[4, 0] == 1 << 23 | 2**15 + start + 2 * 32
    rows = image.synapses
    assert rows.shape == (start + 2 * 64, 8)
    # Pair 0 of "x": group 0 in word 7 of the second row ("a": row 0), group 1 in word 6 ("c").
    assert rows[0].tolist() == [0] * 8
    assert rows[1].tolist() == [0, 0, 0, 0, 0, 0, 3, 1]
    # Pair 1: "b" is row 2 of group 0.
    assert rows[2].tolist() == [0] * 8
    assert rows[3].tolist() == [0] * 7 + [2 << 16 | 0xFFFE]
    # "b" reports its spikes: its first free slot is group 8, word 7 of its first row.
    assert rows[start + 64].tolist() == [0] * 7 + [4 << 29 | 32]
    assert rows[start + 65].tolist() == [0, 0, 0, 0, 0, 0, 5, 6]
    # Only these words are not 0, and that of "a" onto itself.
    assert rows[start + 1].tolist() == [0] * 7 + [7]
    assert np.count_nonzero(rows) == 3 + 1 + 2 + 1
    lif, ann = image.types
    assert (lif.boundary, lif.threshold, lif.leak, lif.model, lif.shift) == (2, 9, 3, 2, -17)
    assert (ann.boundary, ann.threshold, ann.model) == (4, 5, 0)
    memory = image.memory()
    assert np.array_equal(memory[:2], image.axon_pointers)
    assert np.array_equal(memory[2**14 : 2**14 + 8], image.neuron_pointers)
    assert np.array_equal(memory[2**15 :], rows) and np.count_nonzero(memory[8 : 2**14]) == 0


def test_a_full_pair_gets_another_one_for_the_spike() -> None:
    # Sixteen targets, one a group: no slot is free. So for neurons that report nothing, too.
    keys = list(range(32))
    every = [(key, 1) for key in range(16)]
    network = CRINetwork({"x": every}, {key: (every, LIF) for key in keys}, [5])
    image = configure(network).cores[0].image
    first, last = words.pointed(image.neuron_pointers.reshape(-1))
    assert np.all(last - first == 3)
    assert np.all(words.pointed(image.axon_pointers[0, :1])[1] == 1)
    at = int(first[5]) + 2
    assert image.synapses[at].tolist() == [0] * 7 + [4 << 29 | 5]


@given(networks(most=70), st.booleans())
def test_images_equal_those_of_a_plain_packer(network: CRINetwork, two: bool) -> None:
    held = _cores.tables(network)
    core_of = np.arange(len(held.neuron_keys)) % (1 + (two and len(held.neuron_keys) > 1))
    for core in _cores.on_cores(held, core_of):
        image = build(core, ())
        flat = image.synapses.reshape(-1)
        start, sources = 0, len(core.axons) + len(core.relays)
        sources += -sources % 16
        for synapses, count, neuron, pointers in (
            (core.axon_synapses, sources, False, image.axon_pointers),
            (core.neuron_synapses, len(core.neurons), True, image.neuron_pointers),
        ):
            assert pointers.size == count
            for source in range(count):
                mine = synapses.source == source
                targets = np.stack([synapses.target[mine], synapses.weight[mine]], 1).tolist()
                entries = []
                if neuron and source in core.reported:
                    entries.append(4 << 29 | source)
                if neuron and source in core.relayed:
                    entries.append(1 << 29 | source)
                expected = pack(targets, entries, neuron=neuron)
                assert flat[start : start + len(expected)].tolist() == expected
                pointer = int(pointers[source // 8, source % 8])
                assert pointer & (2**23 - 1) == 2**15 + start // 8
                assert pointer >> 23 == len(expected) // 8 - 1
                start += len(expected)
        assert start == len(flat)


@given(networks(), st.integers(1, 3))
def test_an_image_is_read_back(network: CRINetwork, cores: int) -> None:
    configuration = configure(network, cores=min(cores, len(network.connections)))
    again = configuration.network
    assert list(again.axons) == list(network.axons)
    assert list(again.connections) == list(network.connections)
    assert again.outputs == network.outputs
    for key, synapses in network.axons.items():
        assert sorted(again.axons[key], key=repr) == sorted(synapses, key=repr)
    for key, (synapses, model) in network.connections.items():
        assert sorted(again.connections[key][0], key=repr) == sorted(synapses, key=repr)
        assert again.connections[key][1] == model
    # The same image again: the order that is read is one that packs alike.
    for core, other in zip(
        configuration.cores,
        configure(again, cores=min(cores, len(network.connections))).cores,
        strict=True,
    ):
        if len(configuration.cores) == 1:  # relays of several cores mix the order
            for part, same in zip(core.image[:3], other.image[:3], strict=True):
                assert np.array_equal(part, same)


def test_decoding_finds_broken_words() -> None:
    network = CRINetwork({"x": [("a", 1)]}, {"a": ([("a", 7)], LIF)}, ["a"])
    image = configure(network).cores[0].image

    def broken(part: str, row: int, column: int, word: int) -> None:
        rows = getattr(image, part).copy()
        rows[row, column] = word
        read(image._replace(**{part: rows}), 1)

    with pytest.raises(ValueError, match="pointer 0, 0x01ffffff, points outside the 96 rows"):
        broken("axon_pointers", 0, 0, 0x01FFFFFF)
    with pytest.raises(ValueError, match=r"pointer 1.* points to rows of another pointer"):
        broken("axon_pointers", 0, 1, int(image.axon_pointers[0, 0]))
    with pytest.raises(ValueError, match="whole pairs"):
        broken("axon_pointers", 0, 0, 1 << 23 | 2**15 + 1)
    with pytest.raises(ValueError, match="synapse word 0, 0x00020001, is not at one of 32"):
        broken("synapses", 0, 0, 2 << 16 | 1)
    with pytest.raises(ValueError, match="unknown operation code"):
        broken("synapses", 0, 0, 7 << 29)
    with pytest.raises(ValueError, match="is not its neuron's spike"):
        broken("synapses", 0, 0, 4 << 29)  # an axon's
    with pytest.raises(ValueError, match="is not its neuron's spike"):
        broken("synapses", 32, 0, 4 << 29 | 1)  # of another neuron
    with pytest.raises(ValueError, match="has no source"):
        broken("synapses", 2, 0, 1)  # of an axon pointer that only fills up
    with pytest.raises(ValueError, match="16 axon pointers for 17 axons"):
        read(image, 17)


def test_a_million_synapses_take_seconds() -> None:
    rng = np.random.default_rng(0)
    neurons, fan_out = 10_000, 100
    targets = rng.integers(0, neurons, (neurons, fan_out))
    weights = rng.integers(-32768, 32768, targets.shape)
    flat = targets.reshape(-1), weights.reshape(-1)
    source = np.repeat(np.arange(neurons), fan_out)
    network = _cores.Tables(
        ("x",),
        tuple(range(neurons)),
        _cores.Synapses(*(np.zeros(0, np.int64) for _ in range(3))),
        _cores.Synapses(source, *flat),
        (LIF,),
        np.zeros(neurons, np.int32),
        np.arange(0, neurons, 7),
    )
    started = time.perf_counter()
    [core] = _cores.on_cores(network, np.zeros(neurons, np.int64))
    kind = configure(CRINetwork({"x": []}, {"a": ([], LIF)}, [])).cores[0].image.types[0]
    image = build(core, (kind.__class__(boundary=len(core.neurons) // 16),))
    contents = read(image, 1)
    assert time.perf_counter() - started < 20  # about one second
    key = [source * neurons + flat[0], flat[1]]
    order = np.lexsort(key[::-1])
    found = contents.neuron_synapses
    again = [found.source * neurons + found.target, found.weight]
    order_again = np.lexsort(again[::-1])
    for part, same in zip(key, again, strict=True):
        assert np.array_equal(part[order], same[order_again])
    assert np.array_equal(contents.reported, network.outputs)


def test_models_are_told_by_value() -> None:
    models = [LIF_neuron(9, -17, 3), LIF_neuron(9, -17, 3), IF_neuron(9)]
    network = CRINetwork({"x": []}, {i: ([], model) for i, model in enumerate(models)}, [])
    [core] = configure(network).cores
    assert len(core.image.types) == 2 and len(core.neurons) == 64
    assert core.neurons[[0, 1, 32]].tolist() == [0, 1, 2]
    assert len(set(MODELS)) == len(MODELS)
