"""Files of tensors: what they hold, and that nothing in them is ever executed."""

import io
import json
import os
import pickle
import struct
import zipfile

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from neurojax.converters._torch_file import load_state_dict

TENSORS = {
    "fc.weight": torch.arange(6, dtype=torch.float32).reshape(2, 3),
    "fc.bias": torch.tensor([1.0, -2.0]).bfloat16(),
    "count": torch.tensor(7),
}


def bytes_of(value, **options):
    buffer = io.BytesIO()
    torch.save(value, buffer, **options)
    return buffer.getvalue()


def safetensors_of(arrays):
    """A file as https://github.com/huggingface/safetensors describes it."""
    names = {"float32": "F32", "int64": "I64", "bfloat16": "BF16"}
    header, body = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        data = array.tobytes()
        header[name] = {
            "dtype": names[array.dtype.name],
            "shape": array.shape,
            "data_offsets": [len(body), len(body) + len(data)],
        }
        body += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + body


ARRAYS = {
    "fc.weight": np.arange(6, dtype=np.float32).reshape(2, 3),
    "fc.bias": np.array([1.0, -2.0]).astype(jnp.bfloat16),
    "count": np.array(7),
}


def npz_of(arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


PLAIN = {name: array for name, array in ARRAYS.items() if name != "fc.bias"}  # no bfloat16 in npz
GOOD = {
    "weights.pt": bytes_of(TENSORS),
    "old.pth": bytes_of(TENSORS, _use_new_zipfile_serialization=False),
    "checkpoint.ckpt": bytes_of({"epoch": 3, "name": "run", "model": {"state_dict": TENSORS}}),
    "weights.safetensors": safetensors_of(ARRAYS),
    "weights.bin": safetensors_of(ARRAYS),
    "weights.npz": npz_of(PLAIN),
    "numpy.bin": npz_of(PLAIN),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_in_a_file_comes_out(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(GOOD[name])
    found = load_state_dict(path)
    expected = PLAIN if npz_of(PLAIN) == GOOD[name] else ARRAYS
    assert list(found) == list(expected)
    for key, array in expected.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)


class Hostile:
    """Unpickling it would make a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (os.mkdir, (self.path,))


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle", "tar", "npz", "npy"])
def test_nothing_is_executed(form, tmp_path):
    mark = tmp_path / "executed"
    path = tmp_path / "weights.pt"
    evil = {"fc.weight": Hostile(mark)}
    if form in ("zip", "legacy"):
        path.write_bytes(bytes_of(evil, _use_new_zipfile_serialization=form == "zip"))
    elif form in ("pickle", "tar"):
        path.write_bytes(pickle.dumps(evil))
    elif form == "npz":
        path = tmp_path / "weights.npz"
        np.savez(path, weight=np.array([Hostile(mark)], dtype=object))
    else:
        path = tmp_path / "weights.npz"
        with path.open("wb") as file:
            np.save(file, np.array([Hostile(mark)], dtype=object))
    if form == "tar":  # the oldest format of all
        import tarfile

        inner = tmp_path / "pickle"
        inner.write_bytes(path.read_bytes())
        with tarfile.open(path, "w") as file:
            for name in ("storages", "tensors", "pickle"):
                file.add(inner, name)
    with pytest.raises(ValueError, match=str(path)):
        load_state_dict(path)
    assert not mark.exists()
    if form in ("zip", "legacy"):  # the test is one only if the file is hostile
        torch.load(path, weights_only=False)
        assert mark.exists()


class Net(torch.nn.Module):
    """What `torch.save(module)` pickles by reference to its code."""


def test_a_whole_module_gets_the_remedy(tmp_path):
    path = tmp_path / "module.pt"
    torch.save(Net(), path)
    with pytest.raises(ValueError, match=r"Python objects \(.*Net\).*save torch.save\(module.st"):
        load_state_dict(path)


def test_torchscript_gets_the_remedy(tmp_path):
    path = tmp_path / "script.pt"
    with zipfile.ZipFile(path, "w") as file:  # the two entries that tell such an archive
        file.writestr("script/constants.pkl", pickle.dumps(()))
        file.writestr("script/data.pkl", pickle.dumps({}))
        file.writestr("script/version", "3\n")
    with pytest.raises(ValueError, match="it is a TorchScript archive"):
        load_state_dict(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([torch.ones(2)], "it holds a list, not tensors by name"),
        ({"epoch": "third"}, "there are no tensors in it"),
        ({"a": torch.eye(2).to_sparse()}, "sparse, quantised or empty"),
        ({"a": torch.ones(2, device="meta")}, "sparse, quantised or empty"),
    ],
)
def test_files_of_other_things(value, message, tmp_path):
    path = tmp_path / "weights.pt"
    torch.save(value, path)
    with pytest.raises(ValueError, match=message) as caught:
        load_state_dict(path)
    assert caught.type is ValueError


def test_places_in_the_file_system(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such file"):
        load_state_dict(tmp_path / "none.pt")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        load_state_dict(tmp_path)
    (tmp_path / "empty.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="no file of tensors"):
        load_state_dict(tmp_path / "empty.pt")


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 800]}},
        {"a": {"dtype": "F32", "shape": [-2, -1], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}},
        {"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F33", "shape": [2], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [2]}},
        {"a": 3},
        [1, 2],
    ],
)
def test_safetensors_whose_header_lies(header, tmp_path):
    text = json.dumps(header).encode()
    path = tmp_path / "weights.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(ValueError, match=r"weights\.safetensors"):
        load_state_dict(path)
    path.write_bytes(struct.pack("<Q", 2**63) + text)
    with pytest.raises(ValueError, match="no safetensors file, or a truncated one"):
        load_state_dict(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@settings(max_examples=150)
@given(st.data())
def test_damaged_files_raise_one_kind_of_error(place, data):
    """Bytes changed, cut off or put in: tensors come out, or a ValueError that names the file."""
    name = data.draw(st.sampled_from(sorted(GOOD)))
    damaged = bytearray(GOOD[name])
    for _ in range(data.draw(st.integers(0, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del damaged[data.draw(st.integers(0, len(damaged))) :]
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(damaged)))
        damaged[at:at] = data.draw(st.binary(max_size=8))
    path = place / name
    path.write_bytes(damaged)
    try:
        found = load_state_dict(path)
    except ValueError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)
    else:
        assert all(isinstance(array, np.ndarray) for array in found.values())
