"""Finding, downloading and checking files, against a server on this machine."""

import gzip
import hashlib
import io
import struct
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from neurojax import datasets
from neurojax.datasets import (
    DataFileError,
    _files as files,
    _mnist as mnist_module,
    _spoken_digits as fsdd_module,
)


@pytest.fixture
def server(monkeypatch):
    """A server of `pages`: path -> (bytes, Content-Length or None for the true one)."""
    pages = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            body, length = pages.get(self.path, (None, None))
            if body is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(length or len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/", pages
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def own_directories(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NEUROJAX_DATA", raising=False)


def digest(data):
    return hashlib.sha256(data).hexdigest()


def everything_in(directory):
    return [path for path in directory.rglob("*") if path.is_file()]


def test_download(server, tmp_path):
    url, pages = server
    body = bytes(range(256)) * 1000
    pages["/good"] = (body, None)
    files.download(url + "good", tmp_path / "new/file", checksum=digest(body))
    assert (tmp_path / "new/file").read_bytes() == body
    assert everything_in(tmp_path) == [tmp_path / "new/file"]


@pytest.mark.parametrize(
    ("page", "length", "checksum", "message"),
    [
        (b"altered", None, digest(b"original"), f"SHA-256 is {digest(b'altered')}, not"),
        (b"half of", 14, digest(b"half of it all"), "broke after 7 of 14 bytes"),
        (None, None, None, "404"),
    ],
)
def test_a_bad_download_leaves_nothing(server, tmp_path, page, length, checksum, message):
    url, pages = server
    pages["/bad"] = (page, length)
    (tmp_path / "file").write_bytes(b"before")
    with pytest.raises(DataFileError, match=message):
        files.download(url + "bad", tmp_path / "file", checksum=checksum)
    assert everything_in(tmp_path) == [tmp_path / "file"]
    assert (tmp_path / "file").read_bytes() == b"before"


def test_no_server(tmp_path):
    with pytest.raises(DataFileError, match="refused"):
        files.download("http://127.0.0.1:9/x", tmp_path / "file", checksum=None)
    assert everything_in(tmp_path) == []


def test_directories_in_order(monkeypatch, tmp_path):
    assert datasets.data_directories() == (tmp_path / "cache/neurojax",)
    monkeypatch.setenv("NEUROJAX_DATA", str(tmp_path / "mine"))
    assert datasets.data_directories() == (tmp_path / "mine", tmp_path / "cache/neurojax")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert datasets.data_directories()[1] == Path.home() / ".cache/neurojax"


def test_npz_is_checked_and_never_unpickled(tmp_path):
    path = tmp_path / "file.npz"
    layout = {"a": lambda array: array.shape == (2,)}

    def refused(message):
        with pytest.raises(DataFileError, match=message):
            files.load_npz(path, layout)

    path.write_bytes(b"no archive")
    refused("not a readable .npz")
    np.savez(path, b=np.zeros(2))
    refused("has the arrays b, but lacks a")
    np.savez(path, a=np.zeros(3))
    refused(r"'a' is float64 of shape \(3,\)")
    np.savez(path, a=np.array([print, 1], dtype=object))
    refused("not a readable .npz")
    path.write_bytes(path.read_bytes()[:-30])
    refused("not a readable .npz")
    np.save(tmp_path / "one.npy", np.zeros(2))
    path.write_bytes((tmp_path / "one.npy").read_bytes())
    refused("not a readable .npz")
    np.savez(path, a=np.arange(2))
    assert files.load_npz(path, layout)["a"].tolist() == [0, 1]


# MNIST, with a small stand-in


@pytest.fixture
def small_mnist(server, monkeypatch):
    """Four IDX files on the server: 5 training and 3 test images of 2 x 2."""
    url, pages = server
    random = np.random.default_rng(0)
    arrays, parts = {}, {}
    for name, part in mnist_module._PARTS.items():
        shape = (5 if "train" in name else 3, *((2, 2) if name[0] == "x" else ()))
        arrays[name] = random.integers(0, 256, shape).astype(np.uint8)
        magic = {3: 0x803, 1: 0x801}[len(shape)]
        idx = struct.pack(f">{1 + len(shape)}i", magic, *shape) + arrays[name].tobytes()
        packed = gzip.compress(idx)
        parts[name] = mnist_module._Part(part.file, digest(packed), digest(idx), shape)
        pages["/" + part.file] = (packed, None)
    monkeypatch.setattr(mnist_module, "_PARTS", parts)
    monkeypatch.setattr(mnist_module, "_URLS", (url + "missing/", url))
    return arrays, pages


def test_mnist_is_made_from_the_published_files(small_mnist, tmp_path):
    arrays, pages = small_mnist
    train, test = datasets.mnist()
    assert train.inputs.shape == (5, 1, 2, 2)
    assert train.inputs.dtype == np.float32
    assert (train.inputs[:, 0] == (arrays["x_train"] / np.float32(255))).all()
    assert (test.labels == arrays["y_test"]).all()
    assert train.description == "MNIST, train"
    # Only the result stays, and serves the next time without a connection.
    assert everything_in(tmp_path) == [tmp_path / "cache/neurojax/mnist.npz"]
    pages.clear()
    again, _ = datasets.mnist(fetch=False)
    assert (again.inputs == train.inputs).all()


def test_mnist_from_files_of_the_user(small_mnist, tmp_path):
    _, pages = small_mnist
    for name, (body, _) in pages.items():
        (tmp_path / name[1:]).write_bytes(body)
    assert len(datasets.mnist(directory=tmp_path, fetch=False)[1]) == 3
    assert len(everything_in(tmp_path)) == 5  # the user's four files stay


def test_mnist_is_compared_with_the_published_one(small_mnist, tmp_path, monkeypatch):
    arrays, _ = small_mnist
    arrays["x_train"][0, 0, 0] ^= 1  # known copies differ in the training images
    np.savez(tmp_path / "mnist.npz", **arrays)
    monkeypatch.setenv("NEUROJAX_DATA", str(tmp_path))
    assert "not byte for byte" in datasets.mnist()[0].description
    arrays["x_test"][0, 0, 0] ^= 1
    np.savez(tmp_path / "mnist.npz", **arrays)
    with pytest.raises(DataFileError, match="x_test differ from the published"):
        datasets.mnist()
    np.savez(tmp_path / "mnist.npz", **{**arrays, "y_test": arrays["y_test"].astype(float)})
    with pytest.raises(DataFileError, match="'y_test' is float64"):
        datasets.mnist()


def test_mnist_offline_says_what_to_put_where(small_mnist, tmp_path):
    _, pages = small_mnist
    pages.clear()
    with pytest.raises(DataFileError) as error:
        datasets.mnist()
    message = str(error.value)
    assert str(tmp_path / "cache/neurojax/mnist.npz") in message
    assert "404" in message
    assert all(f"{part.gz}  {part.file}" in message for part in mnist_module._PARTS.values())
    with pytest.raises(DataFileError, match="fetch=False"):
        datasets.mnist(fetch=False)
    assert everything_in(tmp_path) == []


def test_idx_files_are_checked(small_mnist, tmp_path):
    part = mnist_module._PARTS["y_test"]
    path = tmp_path / "idx.gz"
    for content, message in (
        (b"text", "not a gzip file"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x04abcd"), "not an IDX file"),
        (gzip.compress(b"\0\0\x08\x01\0\0\0\x03ab"), "not an IDX file"),
        (gzip.compress(bytes(1000))[:-9], "not a gzip file"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataFileError, match=message):
            mnist_module._read_idx(path, part)


# Spoken digits, with a small stand-in


@pytest.fixture
def small_fsdd(server, monkeypatch):
    """An archive with three recordings of 100, 250 and 40 samples."""
    url, pages = server
    random = np.random.default_rng(0)
    names = ["3_theo_0", "3_theo_12", "7_lucas_4"]
    sounds = [random.integers(-32768, 32768, n).astype(np.int16) for n in (100, 250, 40)]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("fsdd-1/README.md", "no sound")
        for name, sound in reversed(list(zip(names, sounds, strict=True))):
            wav = io.BytesIO()
            wavfile.write(wav, 8000, sound)
            archive.writestr(f"fsdd-1/recordings/{name}.wav", wav.getvalue())
    pages["/fsdd.zip"] = (packed.getvalue(), None)
    monkeypatch.setattr(fsdd_module, "_URL", url + "fsdd.zip")
    monkeypatch.setattr(fsdd_module, "_RECORDINGS", 3)
    monkeypatch.setattr(fsdd_module, "_SAMPLES_SHA256", digest(np.concatenate(sounds).tobytes()))
    return sounds, pages


def test_spoken_digits_are_made_from_the_archive(small_fsdd, tmp_path):
    sounds, pages = small_fsdd
    train, test = datasets.spoken_digits(length=120)
    assert train.labels.tolist() == [3]
    assert test.labels.tolist() == [3, 7]
    assert (train.inputs[0] * 32768 == sounds[1][:120]).all()
    assert (test.inputs[1, :40] * 32768 == sounds[2]).all()
    assert not test.inputs[1, 40:].any()
    assert everything_in(tmp_path) == [tmp_path / "cache/neurojax/fsdd.npz"]
    pages.clear()
    assert len(datasets.spoken_digits(fetch=False)[1]) == 2


def test_spoken_digits_refuse(small_fsdd, tmp_path, monkeypatch):
    _, pages = small_fsdd
    with pytest.raises(DataFileError, match="SHA-256"):
        datasets.spoken_digits(fetch=False)
    datasets.spoken_digits(directory=tmp_path)
    arrays = dict(np.load(tmp_path / "fsdd.npz"))
    for name, value, message in (
        ("samples", arrays["samples"] + 1, "'samples' differ from version"),
        ("offsets", arrays["offsets"][::-1], "'offsets' don't divide"),
        ("digit", arrays["digit"][:2], "'digit' is int8"),
    ):
        np.savez(tmp_path / "fsdd.npz", **{**arrays, name: value})
        with pytest.raises(DataFileError, match=message):
            datasets.spoken_digits(directory=tmp_path)
    monkeypatch.setattr(fsdd_module, "_RECORDINGS", 4)
    with pytest.raises(DataFileError, match=r"3 recordings, but version 1.0.10 has 4"):
        datasets.spoken_digits()
    pages["/fsdd.zip"] = (b"no zip", None)
    with pytest.raises(DataFileError, match="not a readable archive"):
        datasets.spoken_digits()
    with pytest.raises(ValueError, match="length is 0"):
        datasets.spoken_digits(length=0)


# The real files, where there are some


@pytest.fixture
def real(monkeypatch):
    """The search as the user has set it up."""
    monkeypatch.undo()


def test_real_mnist(real):
    if files.locate("mnist.npz", None)[0] is None:
        pytest.skip("mnist.npz is in neither $NEUROJAX_DATA nor the cache")
    train, test = datasets.mnist(fetch=False)
    assert (train.inputs.shape, test.inputs.shape) == ((60000, 1, 28, 28), (10000, 1, 28, 28))
    assert np.bincount(test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip


def test_real_spoken_digits(real):
    if files.locate("fsdd.npz", None)[0] is None:
        pytest.skip("fsdd.npz is in neither $NEUROJAX_DATA nor the cache")
    train, test = datasets.spoken_digits(fetch=False)
    assert (train.inputs.shape, test.inputs.shape) == ((2700, 8000), (300, 8000))
    assert np.bincount(test.labels).tolist() == [30] * 10
