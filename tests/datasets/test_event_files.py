"""Event files: a real N-MNIST recording, AEDAT written bit by bit from the format's description."""

import struct
import sys

import numpy as np
import pytest

from neurojax.datasets import DataFileError, events_to_raster, read_aedat, read_nmnist


def columns(events):
    return np.stack([events.t, events.x, events.y, events.polarity], axis=1).tolist()


# N-MNIST


def test_real_nmnist_recording(golden):
    path = golden / "data/nmnist_sample.bin"
    events = read_nmnist(path)
    # One event at a time, from the description: 40 bits, x (8), y (8), polarity (1), time (23).
    data = path.read_bytes()
    expected = []
    for at in range(0, len(data), 5):
        word = int.from_bytes(data[at : at + 5], "big")
        expected.append([word & (2**23 - 1), word >> 32, (word >> 24) & 255, (word >> 23) & 1])
    assert columns(events) == expected
    assert len(events) == 4325
    # Three saccades of 100 ms; a sensor of 34 x 34.
    assert (np.diff(events.t) >= 0).all()
    assert 300_000 < events.t[-1] < 320_000
    raster = events_to_raster(events, steps=32, dt=10e-3)
    assert raster.shape == (32, 2, 34, 34)
    assert raster.sum() == 4325
    assert raster[:, 1].sum() == events.polarity.sum()


def test_nmnist_overflow_and_damage(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(bytes([1, 2, 0x80, 0, 5, 0, 240, 0, 0, 0, 3, 4, 0x01, 0, 7]))
    assert columns(read_nmnist(path)) == [[5, 1, 2, 1], [65536 + 7 + 8192, 3, 4, 0]]
    path.write_bytes(bytes(12))
    with pytest.raises(DataFileError, match="12 bytes; N-MNIST has 5 an event"):
        read_nmnist(path)
    path.write_bytes(bytes([40, 2, 0, 0, 5]))
    with pytest.raises(DataFileError, match="event 0 is at x=40, y=2, outside"):
        read_nmnist(path)
    assert len(read_nmnist(path, size=None)) == 1
    path.write_bytes(b"")
    assert len(read_nmnist(path)) == 0


# AEDAT 2.0: big-endian pairs of address and time

CHIPS = {
    "DVS128": ("ch.unizh.ini.jaer.chip.retina.DVS128", (128, 128)),
    "DAVIS240": ("eu.seebetter.ini.chips.davis.DAVIS240C", (180, 240)),
    "DAVIS346": ("eu.seebetter.ini.chips.davis.Davis346blue", (260, 346)),
}


def address(camera, x, y, polarity):
    """An address as the camera sends it, for a pixel counted from the top left."""
    height, width = CHIPS[camera][1]
    x, y = width - 1 - x, height - 1 - y
    if camera == "DVS128":
        return y << 8 | x << 1 | (1 - polarity)
    return y << 22 | x << 12 | polarity << 11


def aedat2(camera, pairs, end=b""):
    header = f"#!AER-DAT2.0\r\n# This is a raw AE data file\r\n# AEChip: {CHIPS[camera][0]}\r\n"
    return header.encode() + end + b"".join(struct.pack(">II", *pair) for pair in pairs)


@pytest.mark.parametrize("camera", CHIPS)
@pytest.mark.parametrize("end", [b"", b"#End Of ASCII Header\r\n"])
def test_aedat2(tmp_path, camera, end):
    random = np.random.default_rng(0)
    height, width = CHIPS[camera][1]
    expected = [
        [int(t), int(random.integers(width)), int(random.integers(height)), int(random.integers(2))]
        for t in np.sort(random.integers(0, 10**6, 50))
    ]
    pairs = [(address(camera, *event[1:]), event[0]) for event in expected]
    # Things that are no polarity events: pictures or inertial samples, and external events.
    others = {"DVS128": [0x8000, 0x8000_0000]}.get(camera, [0x8000_0123, 0x400, 0x8000_0400])
    pairs[10:10] = [(other, 5) for other in others]
    path = tmp_path / "file.aedat"
    path.write_bytes(aedat2(camera, pairs, end))
    events = read_aedat(path)
    assert columns(events) == expected
    assert events.size == (height, width)


def test_aedat2_first_address_that_looks_like_a_header(tmp_path):
    # 0x23 is '#': rows 140 to 143 of a DAVIS346, counted from the bottom.
    word = 0x23400800
    assert word.to_bytes(4, "big")[:1] == b"#"
    path = tmp_path / "file.aedat"
    path.write_bytes(aedat2("DAVIS346", [(word, 10), (word, 11)]))
    assert read_aedat(path).t.tolist() == [10, 11]


def test_aedat2_clock_wraps_around(tmp_path):
    path = tmp_path / "file.aedat"
    times = [2**32 - 10, 5, 2**31 + 100, 4]
    path.write_bytes(aedat2("DVS128", [(0, t) for t in times]))
    assert read_aedat(path).t.tolist() == [
        2**32 - 10, 2**32 + 5, 2**32 + 2**31 + 100, 2 * 2**32 + 4,
    ]  # fmt: skip


def test_aedat2_camera(tmp_path):
    path = tmp_path / "file.aedat"
    path.write_bytes(b"#!AER-DAT2.0\r\n" + struct.pack(">II", address("DVS128", 1, 2, 1), 3))
    with pytest.raises(DataFileError, match="the header names no camera"):
        read_aedat(path)
    assert columns(read_aedat(path, camera="DVS128")) == [[3, 1, 2, 1]]
    with pytest.raises(DataFileError, match="'Prophesee' isn't known"):
        read_aedat(path, camera="Prophesee")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataFileError, match="7 bytes of events, 8 each"):
        read_aedat(path, camera="DVS128")
    path.write_bytes(aedat2("DAVIS240", [(address("DAVIS346", 0, 0, 1), 3)]))
    with pytest.raises(DataFileError, match="outside the sensor of 240 x 180"):
        read_aedat(path)


# AEDAT 3.1: little-endian packets


def packet(kind, events, *, overflow=0, size=8, time_at=4):
    """A packet of 28 bytes of header and (word, time) pairs."""
    header = struct.pack(
        "<HHIIIIII", kind, 1, size, time_at, overflow, len(events), len(events), len(events)
    )
    return header + b"".join(struct.pack("<Ii", *event) for event in events)


def word(x, y, polarity, valid=1):
    return x << 17 | y << 2 | polarity << 1 | valid


HEADER = (
    b"#!AER-DAT3.1\r\n#Format: RAW\r\n#Source 1: DVS128\r\n"
    b"#Start-Time: 2016-11-03 10:00:00 (TZ+0000)\r\n#!END-HEADER\r\n"
)


def test_aedat31(tmp_path):
    path = tmp_path / "file.aedat"
    path.write_bytes(
        HEADER
        + packet(1, [(word(0, 127, 1), 10), (word(5, 6, 0), 11), (word(9, 9, 1, valid=0), 12)])
        + packet(0, [(1, 10)])  # special events
        + packet(1, [])
        + packet(1, [(word(127, 0, 0), 2**31 - 1)], overflow=1)
    )
    events = read_aedat(path)
    assert columns(events) == [[10, 0, 127, 1], [11, 5, 6, 0], [2**32 - 1, 127, 0, 0]]
    assert events.size == (128, 128)
    path.write_bytes(HEADER)
    assert len(read_aedat(path)) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER[:-14], "the header has no end"),
        (HEADER.replace(b"RAW", b"PNG"), "format PNG"),
        (HEADER + packet(1, [(1, 1)])[:20], "cut off in a packet's header"),
        (HEADER + packet(1, [(1, 1)])[:-1], "claims 1 events of 8 bytes"),
        (HEADER + packet(1, [(1, 1)], time_at=0), "the time at 0"),
        (HEADER + packet(1, [(word(128, 0, 1), 1)]), "outside the sensor of 128 x 128"),
        (b"#!AER-DAT1.0\r\n", "AEDAT version 1.0"),
        (b"\x00\x01", "begins with"),
        (b"", "begins with b''"),
    ],
)
def test_aedat_damage(tmp_path, content, message):
    path = tmp_path / "file.aedat"
    path.write_bytes(content)
    with pytest.raises(DataFileError, match=message):
        read_aedat(path)


# AEDAT 4


def test_aedat4_written_by_dv_processing(golden):
    pytest.importorskip("aedat")
    events = read_aedat(golden / "data/dv_processing.aedat4")
    expected = np.loadtxt(golden / "data/dv_processing.csv", delimiter=",", dtype=np.int64)
    assert columns(events) == expected.tolist()
    assert events.size == (48, 64)


def test_aedat4_damage(golden, tmp_path):
    pytest.importorskip("aedat")
    path = tmp_path / "file.aedat4"
    path.write_bytes((golden / "data/dv_processing.aedat4").read_bytes()[:-1500])
    with pytest.raises(DataFileError, match="not a readable AEDAT 4 file"):
        read_aedat(path)


def test_aedat4_names_the_package(golden, monkeypatch):
    monkeypatch.setitem(sys.modules, "aedat", None)
    with pytest.raises(ImportError, match=r"neurojax\[events\]"):
        read_aedat(golden / "data/dv_processing.aedat4")
