"""Reading the JSON file of a configuration, which is believed only when checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurojax.hardware import _json
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
    return _json.read(path, from_json)


def from_json(data: Any) -> Configuration:
    """The reverse of `Configuration.as_json`, with every field checked.

    Raises:
        ValueError: See `load`.
    """
    _json.check_header(data, FORMAT, VERSION)
    validate(data)
    return Configuration(data)
