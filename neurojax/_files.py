"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    If the block raises, the temporary file is removed, and whatever was at `path` is as before.

    Raises:
        OSError: There is no such folder, `path` is itself a folder, or it can't be written there.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> path = Path(mkdtemp()) / "numbers.txt"
        >>> with written_whole(path) as part:
        ...     _ = part.write_text("1 2 3")
        >>> path.read_text(), len(list(path.parent.iterdir()))
        ('1 2 3', 1)
    """
    path = Path(path)
    # The system's messages would name the temporary file, which nobody asked for.
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: folder {path.parent} does not exist; make it first")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        yield part
        with part.open("rb+") as file:  # a crash of the machine must not leave an empty file
            os.fsync(file.fileno())
        part.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner reads
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _umask() -> int:
    """The process's file mode mask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
