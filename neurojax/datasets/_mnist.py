"""MNIST: 70,000 handwritten digits of 28 x 28 pixels."""

import gzip
import hashlib
import os
import struct
import zlib
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ._dataset import Dataset
from ._files import DataFileError, download, load_npz, locate, save_npz, sha256


class _Part(NamedTuple):
    file: str  # IDX file as published, compressed with gzip
    gz: str  # SHA-256 of that file
    idx: str  # SHA-256 of the uncompressed IDX file
    shape: tuple[int, ...]


_URLS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
_PARTS = {
    "x_train": _Part(
        "train-images-idx3-ubyte.gz",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        (60000, 28, 28),
    ),
    "y_train": _Part(
        "train-labels-idx1-ubyte.gz",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        (60000,),
    ),
    "x_test": _Part(
        "t10k-images-idx3-ubyte.gz",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        (10000, 28, 28),
    ),
    "y_test": _Part(
        "t10k-labels-idx1-ubyte.gz",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        (10000,),
    ),
}


def mnist(
    *, directory: str | os.PathLike | None = None, fetch: bool = True
) -> tuple[Dataset, Dataset]:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits.

    The file is `mnist.npz` with uint8 arrays `x_train` [60000, 28, 28], `y_train`, `x_test`
    [10000, 28, 28], `y_test` (the layout Keras uses). It's looked for in `$NEUROJAX_DATA`, then
    in the cache; else it's made from the four published IDX files, which are downloaded unless
    they lie there already.

    Test images and all labels are compared with the published checksums. Training images are not:
    copies exist that went through another picture format and are one grey level off here and
    there. The description of the training set says which kind was found.

    Args:
        directory: look here, and nowhere else.
        fetch: whether to download what is missing.

    Returns:
        Training and test set: inputs `[samples, 1, 28, 28]` float32 in [0, 1] (190 MB), labels
        int32.

    Raises:
        DataFileError: if the file is missing and can't be fetched (says what to put where),
            damaged or not MNIST.

    References:
        LeCun, Cortes & Burges, The MNIST database of handwritten digits, 1998. CC BY-SA 3.0.
    """
    found, target = locate("mnist.npz", directory)
    if found is None:
        _make(target, fetch)
        found = target
    arrays = load_npz(
        found,
        {name: partial(_is_part, part) for name, part in _PARTS.items()},
    )
    exact = {name: _idx_sha256(arrays[name]) == part.idx for name, part in _PARTS.items()}
    if wrong := [name for name in ("y_train", "x_test", "y_test") if not exact[name]]:
        raise DataFileError(
            f"{found}: {', '.join(wrong)} differ from the published MNIST; remove the file."
        )
    note = "" if exact["x_train"] else ", training images not byte for byte the published ones"

    def dataset(part: str) -> Dataset:
        inputs = arrays["x_" + part][:, None].astype(np.float32)
        inputs /= 255
        names = tuple(str(digit) for digit in range(10))
        description = f"MNIST, {part}{note if part == 'train' else ''}"
        return Dataset(inputs, arrays["y_" + part].astype(np.int32), names, description)

    return dataset("train"), dataset("test")


def _is_part(part: _Part, array: np.ndarray) -> bool:
    return array.dtype == np.uint8 and array.shape == part.shape


def _make(target: Path, fetch: bool) -> None:
    paths = {name: target.parent / part.file for name, part in _PARTS.items()}
    missing = [
        name
        for name, path in paths.items()
        if not path.is_file() or sha256(path) != _PARTS[name].gz
    ]
    for name in missing:
        _get(_PARTS[name], paths[name], target, fetch)
    save_npz(target, {name: _read_idx(path, _PARTS[name]) for name, path in paths.items()})
    for name in missing:  # files that were there already are the user's
        paths[name].unlink()


def _get(part: _Part, path: Path, target: Path, fetch: bool) -> None:
    reasons = []
    for url in _URLS if fetch else ():
        try:
            return download(url + part.file, path, checksum=part.gz)
        except DataFileError as error:
            reasons.append(str(error))
    files = "\n".join(f"  {each.gz}  {each.file}" for each in _PARTS.values())
    because = "\n".join(reasons) if fetch else "Not downloaded, because fetch=False."
    raise DataFileError(
        f"MNIST isn't here and couldn't be downloaded.\n{because}\n"
        "Put mnist.npz (uint8 arrays x_train, y_train, x_test, y_test, as in Keras) at\n"
        f"  {target}\n"
        f"or the published files into {target.parent} (SHA-256, name):\n{files}\n"
        "or set NEUROJAX_DATA to a directory that has them."
    )


def _read_idx(path: Path, part: _Part) -> np.ndarray:
    try:
        data = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(f"{path}: not a gzip file ({error}).") from error
    header = _idx_header(part.shape)
    if data[: len(header)] != header or len(data) != len(header) + np.prod(part.shape):
        raise DataFileError(f"{path}: not an IDX file of bytes of shape {part.shape}.")
    return np.frombuffer(data, np.uint8, offset=len(header)).reshape(part.shape)


def _idx_header(shape: tuple[int, ...]) -> bytes:
    # Two zero bytes, type 8 (unsigned byte), the number of axes, then each length, big endian.
    return struct.pack(f">I{len(shape)}I", 0x0800 + len(shape), *shape)


def _idx_sha256(array: np.ndarray) -> str:
    return hashlib.sha256(_idx_header(array.shape) + array.tobytes()).hexdigest()
