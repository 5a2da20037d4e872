"""Reading the JSON file of a configuration, which is believed only when checked.

{"format": "neurojax.dynapcnn", "version": 2, "device": ...,
 "network": {"inputs": ..., "outputs": ..., "edges": [...], "layers": [...]},  what only we know
 "vendor": {"cnn_layers": [...], "dvs_layer": {...}, ...}}                     what the device gets
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from neurojax.chips.dynapcnn import spec
from neurojax.hardware.dynapcnn._format import FORMAT, VERSION
from neurojax.hardware.dynapcnn._validate import validate
from neurojax.hardware.dynapcnn.configuration import Configuration


def load(path: str | Path) -> Configuration:
    """Read a configuration and check every field of it.

    Raises:
        OSError: The file can't be read.
        ValueError: It is cut off, is no such file, is of another version, or fields are missing,
            of a wrong type or out of range: all of them, each with its place and layer.
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
    """The reverse of `Configuration.as_json`, with every field checked."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = data.get("format") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"format is {found!r}, not '{FORMAT}': no configuration of this kind")
    version = data.get("version")
    if version != VERSION:
        older = type(version) is int and version < VERSION
        remedy = "configure and save the network again" if older else "update the library"
        raise ValueError(
            f"version is {version!r}, but this library reads version {VERSION}; {remedy}"
        )
    if not isinstance(data.get("device"), str):
        raise ValueError(f"device is {data.get('device')!r}; it must be the name of a device")
    chip = spec(data["device"])
    validate(data, chip)
    return Configuration(chip.name, data["network"], data["vendor"])
