"""Reading the JSON file of a configuration, which is believed only when checked.

{"format": "neurojax.dynapcnn", "version": 2, "device": ...,
 "network": {"inputs": ..., "outputs": ..., "edges": [...], "layers": [...]},  what only we know
 "vendor": {"cnn_layers": [...], "dvs_layer": {...}, ...}}                     what the device gets
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from neurojax.chips.dynapcnn import spec
from neurojax.hardware import _json
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
    return _json.read(path, from_json)


def from_json(data: Any) -> Configuration:
    """The reverse of `Configuration.as_json`, with every field checked."""
    _json.check_header(data, FORMAT, VERSION)
    if not isinstance(data.get("device"), str):
        raise ValueError(f"device is {data.get('device')!r}; it must be the name of a device")
    chip = spec(data["device"])
    validate(data, chip)
    return Configuration(chip.name, data["network"], data["vendor"])
