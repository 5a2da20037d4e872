"""Reading the JSON file of a configuration, which is believed only when checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neurojax.hardware.bss2._format import FORMAT, VERSION
from neurojax.hardware.bss2._validate import validate
from neurojax.hardware.bss2.configuration import Configuration


def load(path: str | Path) -> Configuration:
    """Read a configuration and check every field of it.

    Raises:
        OSError: The file can't be read.
        ValueError: It is cut off, is no such file, is of another version, or fields are missing,
            of a wrong type, out of range, or don't fit one another: each with its place.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}: no complete JSON (line {error.lineno}, column {error.colno}: {error.msg}); "
            "was the file cut off? Write it again with Configuration.save"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a text file, so no configuration") from None
    try:
        return from_json(data)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def from_json(data: Any) -> Configuration:
    """The reverse of `Configuration.as_json`, with every field checked.

    Raises:
        ValueError: See `load`.
    """
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"format is {found!r}, not '{FORMAT}': no configuration of this kind")
    if data.get("version") != VERSION:
        raise ValueError(
            f"version is {data.get('version')!r}, but this library reads version {VERSION}; "
            "update the library, or configure the network again"
        )
    validate(data)
    return Configuration(data)
