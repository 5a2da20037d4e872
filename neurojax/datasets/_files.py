"""Finding, downloading and checking data files.

A file is downloaded under another name and moved into place only when its length and checksum
are right, so that what is in the directory is whole.
"""

import hashlib
import os
import urllib.error
import urllib.request
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO

import numpy as np

from neurojax._files import written_whole


class DataFileError(RuntimeError):
    """A data file is missing, damaged, or not the one it should be."""


def data_directories() -> tuple[Path, ...]:
    """List the directories that are searched for data, in order; the last one is the cache.

    `$NEUROJAX_DATA` if set, then `$XDG_CACHE_HOME/neurojax` or `~/.cache/neurojax`.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neurojax"
    named = os.environ.get("NEUROJAX_DATA")
    return (Path(named).expanduser(), cache) if named else (cache,)


def locate(name: str, directory: str | os.PathLike | None) -> tuple[Path | None, Path]:
    """Find a file in `directory`, or else where `data_directories` says.

    Returns:
        Where the file is (None if nowhere) and where it should be put.
    """
    places = data_directories() if directory is None else (Path(directory),)
    found = next((place / name for place in places if (place / name).is_file()), None)
    return found, places[-1] / name


def sha256(path: Path) -> str:
    """Give a file's SHA-256 in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def download(url: str, path: Path, *, checksum: str | None, progress: bool = True) -> None:
    """Download a file, check it, and move it to `path`; nothing is left behind if that fails.

    Args:
        url: where from.
        path: where to; missing directories are made.
        checksum: SHA-256 in hexadecimal, or None if the caller checks the contents.
        progress: whether to show a progress bar (on standard error, if that is a terminal).

    Raises:
        DataFileError: if there's no connection, or the file comes short or with another checksum.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with written_whole(path) as part:
            with part.open("wb") as file:
                expected = _receive(url, file, path.name, progress)
            size = part.stat().st_size
            if expected is not None and size != expected:
                raise DataFileError(
                    f"{url}: the connection broke after {size} of {expected} bytes; try again."
                )
            if checksum is not None and (found := sha256(part)) != checksum:
                raise DataFileError(
                    f"{url}: the SHA-256 is {found}, not {checksum}; the file has been removed. "
                    "Someone changed it on the way, or the publisher did."
                )
    except (OSError, urllib.error.URLError) as error:
        raise DataFileError(f"{url}: {error}.") from error


def _receive(url: str, file: IO[bytes], name: str, progress: bool) -> int | None:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TransferSpeedColumn

    columns = ("{task.description}", BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    shown = progress and console.is_terminal
    with (
        urllib.request.urlopen(url, timeout=30) as response,
        Progress(*columns, console=console, transient=True, disable=not shown) as bar,
    ):
        length = response.headers.get("Content-Length")
        expected = int(length) if length else None
        task = bar.add_task(name, total=expected)
        while chunk := response.read(1 << 16):
            file.write(chunk)
            bar.advance(task, len(chunk))
    return expected


def save_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write a compressed .npz all at once or not at all."""
    with written_whole(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def load_npz(
    path: Path, layout: Mapping[str, Callable[[np.ndarray], bool]]
) -> dict[str, np.ndarray]:
    """Read named arrays from a .npz without unpickling anything, and check each of them.

    Args:
        path: the file.
        layout: for every array that must be there, whether its type and shape are right.

    Raises:
        DataFileError: says what is wrong with which array.
    """
    try:
        # np.load leaves a file open that turns out to be no archive, so it gets an open one.
        with open(path, "rb") as raw, np.load(raw, allow_pickle=False) as file:
            if missing := [name for name in layout if name not in file.files]:
                raise DataFileError(
                    f"{path}: has the arrays {', '.join(file.files) or '(none)'}, "
                    f"but lacks {', '.join(missing)}."
                )
            arrays = {name: file[name] for name in layout}
    except (OSError, ValueError, EOFError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        # TypeError: a .npy, which np.load gives as an array.
        raise DataFileError(f"{path}: not a readable .npz file ({error}).") from error
    for name, fits in layout.items():
        if not fits(arrays[name]):
            raise DataFileError(
                f"{path}: '{name}' is {arrays[name].dtype} of shape {arrays[name].shape}, "
                "which is not this data set's layout (see the documentation of the loader)."
            )
    return arrays
