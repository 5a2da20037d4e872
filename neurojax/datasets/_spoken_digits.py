"""The Free Spoken Digit Dataset: 3,000 recordings of the digits by six speakers."""

import hashlib
import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np

from ._dataset import Dataset
from ._files import DataFileError, download, load_npz, locate, save_npz

_URL = "https://github.com/Jakobovski/free-spoken-digit-dataset/archive/refs/tags/v1.0.10.zip"
# Of the decoded sound, all recordings end to end in the order of their file names. GitHub makes its
# archives on demand, so they have no fixed checksum.
_SAMPLES_SHA256 = "6f643a7422de89763625dfc9aa79427e69f7a690223a5bc5752a2f56db5af465"
_RECORDINGS = 3000
_TEST_TAKES = 5  # takes 0 to 4 of each speaker and digit are the customary test set
_NAME = re.compile(r".*/recordings/(\d)_([a-z]+)_(\d+)\.wav")


def spoken_digits(
    *,
    length: int = 8000,
    directory: str | os.PathLike | None = None,
    fetch: bool = True,
) -> tuple[Dataset, Dataset]:
    """Load spoken digits: 2,700 training and 300 test recordings, 8 kHz mono.

    The file is `fsdd.npz`: `samples` int16 (all recordings end to end), `offsets` int64 [3001],
    `digit` int8, `speaker` str, `take` int16. It's looked for in `$NEUROJAX_DATA`, then in the
    cache, else made from the published archive. Takes 0-4 are the test set, as the publishers
    propose.

    Args:
        length: samples per recording; longer ones (20 of them by default) are cut, shorter ones are
            followed by silence. `neurojax.encode.log_band_power` turns them into features.
        directory: look here, and nowhere else.
        fetch: whether to download what is missing.

    Returns:
        Training and test set: inputs `[recordings, length]` float32 in [-1, 1], labels int32.

    Raises:
        DataFileError: if the file is missing and can't be fetched (says what to put where),
            damaged, or another version.

    References:
        Jackson et al., Free Spoken Digit Dataset, v1.0.10, doi:10.5281/zenodo.1342401. CC BY-SA
        4.0.
    """
    if length < 1:
        raise ValueError(f"spoken_digits: length is {length}; it must be at least 1.")
    found, target = locate("fsdd.npz", directory)
    if found is None:
        _make(target, fetch)
        found = target
    arrays = load_npz(
        found,
        {
            "samples": lambda a: a.dtype == np.int16 and a.ndim == 1,
            "offsets": lambda a: a.dtype.kind == "i" and a.shape == (_RECORDINGS + 1,),
            "digit": lambda a: a.dtype.kind == "i" and a.shape == (_RECORDINGS,),
            "take": lambda a: a.dtype.kind == "i" and a.shape == (_RECORDINGS,),
        },
    )
    samples, offsets = arrays["samples"], arrays["offsets"]
    if offsets[0] != 0 or offsets[-1] != len(samples) or (np.diff(offsets) < 1).any():
        raise DataFileError(f"{found}: 'offsets' don't divide the {len(samples)} samples in order.")
    if hashlib.sha256(samples.tobytes()).hexdigest() != _SAMPLES_SHA256:
        raise DataFileError(
            f"{found}: 'samples' differ from version 1.0.10 of the data set; remove the file."
        )
    inputs = np.zeros((_RECORDINGS, length), np.float32)
    for row, first, end in zip(inputs, offsets[:-1], offsets[1:], strict=True):
        sound = samples[first : min(end, first + length)]
        row[: len(sound)] = sound / np.float32(32768)
    names = tuple(str(digit) for digit in range(10))
    whole = Dataset(inputs, arrays["digit"].astype(np.int32), names, "Free Spoken Digit Dataset")
    in_test = arrays["take"] < _TEST_TAKES
    return whole[~in_test], whole[in_test]


def _make(target: Path, fetch: bool) -> None:
    archive = target.with_name("fsdd.zip")
    there = archive.is_file()
    try:
        if not there:
            if not fetch:
                raise DataFileError("Not downloaded, because fetch=False.")
            download(_URL, archive, checksum=None)
    except DataFileError as error:
        raise DataFileError(
            f"The spoken digits aren't here and couldn't be downloaded.\n{error}\n"
            f"Put the archive\n  {_URL}\nat\n  {archive}\n(its sound is checked after decoding: "
            f"SHA-256 {_SAMPLES_SHA256}), or set NEUROJAX_DATA to a directory that has fsdd.npz."
        ) from error
    try:
        save_npz(target, _read_archive(archive))
    finally:
        if not there:  # else it's the user's
            archive.unlink()


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    from scipy.io import wavfile

    recordings = []
    try:
        with zipfile.ZipFile(path) as archive:
            names = {Path(name).name: name for name in archive.namelist() if _NAME.fullmatch(name)}
            for name in sorted(names):
                rate, sound = wavfile.read(io.BytesIO(archive.read(names[name])))
                if rate != 8000 or sound.dtype != np.int16 or sound.ndim != 1:
                    raise DataFileError(
                        f"{path}: {name} is {sound.dtype} of shape {sound.shape} at {rate} Hz, "
                        "not 16-bit mono at 8000 Hz."
                    )
                recordings.append((_NAME.fullmatch(names[name]).groups(), sound))  # type: ignore[union-attr]
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataFileError(f"{path}: not a readable archive ({error}).") from error
    if len(recordings) != _RECORDINGS:
        raise DataFileError(
            f"{path}: {len(recordings)} recordings, but version 1.0.10 has {_RECORDINGS}."
        )
    about = [who for who, _ in recordings]
    sounds = [sound for _, sound in recordings]
    return {
        "samples": np.concatenate(sounds),
        "offsets": np.cumsum([0, *map(len, sounds)], dtype=np.int64),
        "digit": np.array([int(digit) for digit, _, _ in about], np.int8),
        "speaker": np.array([speaker for _, speaker, _ in about]),
        "take": np.array([int(take) for _, _, take in about], np.int16),
    }
