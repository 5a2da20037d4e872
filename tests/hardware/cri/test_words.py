"""Words bit by bit, against numbers that were worked out by hand from the machine's format."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, strategies as st

from neurojax.hardware.cri import packets, words
from neurojax.hardware.cri.words import NEURON_TYPE, NeuronType


def test_pointer() -> None:
    # Rows 6 to 9 of the synapses: three further rows in bits 31..23, 2^15 + 6 in bits 22..0.
    [word] = words.pointers(np.array([6]), np.array([9]))
    assert f"{word:032b}" == "000000011" + "00000001000000000000110"
    # 512 rows, the most that a pointer counts, at the end of memory.
    last = words.ROWS - words.SYNAPSES - 1
    [word] = words.pointers(np.array([last - 511]), np.array([last]))
    assert f"{word:032b}" == "111111111" + f"{2**23 - 512:023b}"
    assert [part.tolist() for part in words.pointed(np.array([word]))] == [[last - 511], [last]]


def test_synapse() -> None:
    # Neuron 50 is row 3 of group 2; -5 is 0xfffb.
    [word] = words.synapses(np.array([50]), np.array([-5]))
    assert f"{word:032b}" == "000" + "0000000000011" + "1111111111111011"
    # The last neuron of a full core, and the largest weight.
    [word] = words.synapses(np.array([131071]), np.array([32767]))
    assert word == 0x1FFF7FFF
    entry = words.entries(np.array([word]))
    assert (entry.opcode[0], entry.row[0], entry.weight[0]) == (0, 8191, 32767)


def test_spike_entry() -> None:
    [word] = words.spike_entries(np.array([100000]))
    assert f"{word:032b}" == "100" + "000000000000" + f"{100000:017b}"


def test_slots_of_a_pair() -> None:
    # First the row of groups 8..15, then that of 0..7; the lowest group in the top word, 7.
    assert words.place(np.array([8])) == 7
    assert words.place(np.array([15])) == 0
    assert words.place(np.array([0])) == 8 + 7
    assert words.place(np.array([7])) == 8


def test_neuron_type_word() -> None:
    kind = NeuronType(
        leak=3,
        shift=-17,
        model=2,
        threshold=-2,
        boundary=4,
        delay=9,
        refractory=5,
        dual_synapse=1,
        shadow=6,
        soft_reset=1,
        legacy_noise=0,
    )
    # One string of bits a field, from bit 83 on: -17 in six bits is 64 - 17 = 47.
    bits = ["000011", "101111", "10", "1" * 35 + "0", "0000000000100", "1001", "101", "1", "0110"]
    assert f"{kind.word:084b}" == "".join(bits) + "1" + "0" + "0000000"
    assert NeuronType.read(kind.word) == kind


@given(
    st.builds(
        NeuronType,
        **{name: st.integers(*field.range) for name, field in NEURON_TYPE.items()},
    )
)
def test_neuron_types_return(kind: NeuronType) -> None:
    assert NeuronType.read(kind.word) == kind
    assert kind.word >> 84 == 0 and kind.word & 0x7F == 0


def test_neuron_type_names_every_field_that_does_not_fit() -> None:
    kind = dataclasses.replace(NeuronType(), leak=64, threshold=1 << 35, refractory=8)
    with pytest.raises(ValueError, match=r"leak 64.*0 to 63.*threshold.*refractory 8"):
        _ = kind.word


def test_memory_packet() -> None:
    row = np.arange(1, 9, dtype=np.uint32) * 0x01020304
    [packet] = packets.rows(words.NEURON_POINTERS + 5, row[None], core=3)
    # As the host writes it: opcode, core, 27 zero bytes, address, words from the highest down.
    text = "02" + "18" + "00" * 27 + "804005" + "".join(f"{word:08x}" for word in row[::-1])
    assert packet.tobytes()[::-1].hex() == text


def test_input_packets() -> None:
    announce, first, second = packets.axons([0, 9, 255, 256], 300)
    assert announce.tobytes() == bytes(63) + b"\x01"
    assert first.tobytes() == bytes([1, 2] + [0] * 29 + [0x80] + [0] * 32)
    assert second.tobytes() == bytes([1] + [0] * 63)
    with pytest.raises(ValueError, match="axon 300; there are axons 0 to 299"):
        packets.axons([300], 300)


def test_clear_packets() -> None:
    cleared = packets.clear(33)
    assert len(cleared) == 48  # whole rows
    # Row 1 of group 2: bit 53 says write, bits 52..49 the group, 48..36 the row.
    word = int.from_bytes(cleared[18].tobytes(), "little")
    assert word == 3 << 504 | 1 << 53 | 2 << 49 | 1 << 36


def test_other_packets() -> None:
    assert packets.execute(core=31)[0].tobytes() == bytes(62) + bytes([31 << 3, 6])
    [sizes] = packets.sizes(5, 2)
    assert int.from_bytes(sizes.tobytes(), "little") == 4 << 504 | 2 << 17 | 5
    kind = NeuronType(threshold=7, boundary=2)
    [packet] = packets.neuron_type(kind, core=1)
    assert int.from_bytes(packet.tobytes(), "little") == 8 << 504 | 1 << 499 | kind.word
    with pytest.raises(ValueError, match="core 32"):
        packets.execute(core=32)


def test_replies() -> None:
    def packet(tag: int, rest: int) -> bytes:
        return (tag << 496 | rest).to_bytes(64, "little")

    events = [1 << 23 | 77, 0, 4 << 24 | 1 << 23 | 131071] + [0] * 11
    spikes = 12345
    for place, event in enumerate(events):  # the first in the most significant place
        spikes |= event << (32 * (14 - place))
    membrane = (1 << 35) - 9 | 3 << 36 | 2 << 49
    stream = packet(0xEEEE, spikes) + packet(0xCCCC, membrane) + packet(0xFFFF, 0)
    found = list(packets.replies(np.frombuffer(stream, np.uint8)))
    assert found[0] == packets.Reply("spikes", 12345, (77, 131071))
    assert (found[1].kind, found[1].place, found[1].membrane) == ("membrane", 50, -9)
    assert found[2].kind == "empty"
    with pytest.raises(ValueError, match="packet 0 has the unknown tag 0x1234"):
        list(packets.replies(np.frombuffer(packet(0x1234, 0), np.uint8)))
    with pytest.raises(ValueError, match="63 bytes"):
        list(packets.replies(np.zeros(63, np.uint8)))
