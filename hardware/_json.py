"""Reading the JSON file of a configuration, which is believed only when checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


def read(path: str | Path, from_json: Callable[[Any], T]) -> T:
    """What `from_json` makes of a file; it raises ValueError about data that are not valid.

    Raises:
        OSError: The file can't be read.
        ValueError: It is cut off, is no text, or `from_json` refuses it: with the path.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: no complete JSON (line {error.lineno}, column {error.colno}: {error.msg}); "
            "was the file cut off? Write it again with Configuration.save"
        ) from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deeply, so no configuration") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file, so no configuration") from None
    try:
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def check_header(data: Any, form: str, version: int) -> None:
    """Raise ValueError unless data are of a form and of the version that this library reads."""
    if not isinstance(data, dict) or data.get("format") != form:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"format is {found!r}, not '{form}': no configuration of this kind")
    found = data.get("version")
    if found != version:
        older = type(found) is int and found < version
        remedy = "configure and save the network again" if older else "update the library"
        raise ValueError(
            f"version is {found!r}, but this library reads version {version}; {remedy}"
        )
