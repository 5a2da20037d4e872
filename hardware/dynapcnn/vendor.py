"""Loading a configuration into samna, the vendor's library, and onto a board.

samna is imported late, and only if it is the real one: the package of that name on PyPI is a stub
that runs pip when it is imported. Nothing here was tried on a board: the operations are those that
sinabs performs on samna's objects, and the tests perform them on objects of the same shape.

References:
    sinabs 3.1.3, `sinabs.backend.dynapcnn` (attributes and calls of samna);
    SynSense, "Speck Dev Kit Datasheet", 3.2.6 (the slow clock of the development kit).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from typing import Any

from neurojax.chips.dynapcnn import devices
from neurojax.hardware.dynapcnn.configuration import Configuration

INDEX = "https://gitlab.com/api/v4/projects/27423070/packages/pypi/simple"
"""The vendor's package index."""

_OBJECTS = {"dvs_layer", "dvs_filter", "readout", "factory_config"}
# Other dictionaries (dimensions, cut, origin, ...) are assigned whole, as sinabs does.


def apply(fields: Configuration | Mapping[str, Any], target: Any) -> None:
    """Write a configuration into the vendor's configuration object, attribute by attribute.

    Args:
        fields: The configuration, or `vendor_fields(configuration)`, changed or not.
        target: An object of the vendor's configuration class; what is not in `fields` keeps its
            value.

    Raises:
        AttributeError: The object has no attribute of that name; the message says where.
    """
    _apply(fields.vendor if isinstance(fields, Configuration) else fields, target, "")


def _apply(fields: Mapping[str, Any], target: Any, where: str) -> None:
    for name, value in fields.items():
        place = f"{where}.{name}" if where else name
        try:
            if name in _OBJECTS and isinstance(value, dict):
                _apply(value, getattr(target, name), place)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                entries = getattr(target, name)
                for i, entry in enumerate(value):  # samna's lists are only indexed by sinabs
                    _apply(entry, entries[i], f"{place}[{i}]")
            else:
                setattr(target, name, value)
        except AttributeError as error:
            if str(error).startswith("configuration object: "):
                raise
            raise AttributeError(
                f"configuration object: no attribute {place} ({error}); this version of the "
                "vendor's library, or this device, does not have it"
            ) from error


def import_samna() -> Any:
    """The vendor's library, if it is installed and is no stub.

    Raises:
        ImportError: It is not there, is the stub of PyPI, or can't be imported; with the remedy.
    """
    if "samna" in sys.modules:
        return sys.modules["samna"]
    remedy = f'install the vendor\'s: pip install samna --index-url "{INDEX}"'
    if importlib.util.find_spec("samna") is None:
        raise ImportError(f"samna is not installed; {remedy}")
    try:
        files = importlib.metadata.files("samna")
    except importlib.metadata.PackageNotFoundError:
        files = None
    if files and not any(file.suffix in (".so", ".pyd", ".dylib") for file in files):
        raise ImportError(
            f"this samna is the stub of PyPI, which runs pip when it is imported; {remedy}"
        )
    try:
        return importlib.import_module("samna")
    except Exception as error:  # a stub may raise anything
        raise ImportError(f"samna can't be imported ({error!r}); {remedy}") from error


def to_samna(configuration: Configuration, *, validate: bool = True) -> Any:
    """The configuration as an object of samna's class for the device.

    Args:
        configuration: What `configure` or `load` returned.
        validate: Ask samna whether the device can hold it.

    Returns:
        `samna.speck2f.configuration.SpeckConfiguration`, or what it is called for the device.

    Raises:
        ImportError: samna is not there, or does not know the device.
        AttributeError: The class lacks an attribute that the configuration sets.
        ValueError: samna refuses the configuration; with its message.

    Example:
        With samna installed: `to_samna(load("net.json"))`.
    """
    module = _device_module(import_samna(), configuration.device)
    name = "DynapcnnConfiguration" if module.__name__.endswith("dynapcnn") else "SpeckConfiguration"
    target = getattr(module.configuration, name)()
    apply(configuration, target)
    if validate:
        valid, message = module.validate_configuration(target)
        if not valid:
            raise ValueError(
                f"samna refuses the configuration for {configuration.device}: {message}"
            )
    return target


def deploy(
    configuration: Configuration, *, board: int = 0, slow_clock_hz: float | None = None
) -> Any:
    """Open a board and put the configuration on it.

    Args:
        configuration: What `configure` or `load` returned.
        board: Which one, if there are several of the kind.
        slow_clock_hz: Frequency of the board's clock for biases, camera filter and read-out.

    Returns:
        samna's object of the board; `samna.device.close_device` closes it.

    Raises:
        ImportError: samna is not there, or does not know the device.
        ValueError: samna refuses the configuration, or has no name for the board.
    """
    kind = devices[configuration.device].device_type
    if not kind:
        raise ValueError(
            f"samna's name for boards of {configuration.device} is not known; open the board "
            "yourself, and apply to_samna(configuration)"
        )
    samna, target = import_samna(), to_samna(configuration)
    opened = samna.device.open_device(f"{kind}:{board}")
    opened.get_model().apply_configuration(target)
    if slow_clock_hz is not None:
        clock = opened.get_io_module()
        clock.set_slow_clk(True)
        clock.set_slow_clk_rate(slow_clock_hz)
    return opened


def _device_module(samna: Any, device: str) -> Any:
    path = devices[device].vendor_module
    found = samna
    for part in path.split(".")[1:]:
        found = getattr(found, part, None)
    if found is None:
        raise ImportError(
            f"this samna has no module {path}, so it does not know {device}; older devices need "
            "samna < 0.46"
        )
    return found
