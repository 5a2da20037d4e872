"""What the DYNAP-CNN and Speck chips can hold: every limit, written once, with its source.

A chip of this family is a set of cores that run concurrently. A core holds one convolution with
integrate-and-fire neurons and sends its spikes, pooled, to at most two other cores. The devices
differ in the number of cores, in their memories and in what the vendor's library calls them.

References:
    [datasheet] SynSense, "Speck Dev Kit Datasheet", August 2023.
    [overview] sinabs documentation, "Overview of the DYNAP-CNN hardware".
    [sinabs] sinabs 3.1.3, `sinabs.backend.dynapcnn` (memory tables of the configuration builders;
    2.0.0 for the devices that 3.0 dropped).
"""

from __future__ import annotations

from dataclasses import dataclass

from neurojax._graph import nearest

KI = 1024
"""Memories are counted in units of 1024 words."""

WEIGHT_BITS = 8
"""Width of a weight, signed [datasheet]."""

STATE_BITS = 16
"""Width of membranes, thresholds and biases, signed [datasheet]."""

LAST_THRESHOLD_LOW = -1
"""Largest usable lower bound of the membrane: the chips misbehave at 0 [overview]."""


@dataclass(frozen=True)
class CoreSpec:
    """Memory of one core, in words of their own width."""

    kernel_words: int  # weights, 8 bit each
    neuron_words: int  # membrane potentials, 16 bit each
    bias_words: int = KI  # biases ("leak"), 16 bit each


@dataclass(frozen=True)
class ChipSpec:
    """A device: its cores and its limits. All sizes are (height, width) alike.

    Attributes:
        name: The device's name, as in sinabs.
        cores: Memory of each core; the position is the core's number.
        vendor_module: Module of the vendor's library that configures the device.
        device_type: What the vendor's library calls the device; empty where it is not known.
        kill_bits: The configuration also marks each zero weight and bias (older chips).
    """

    name: str
    cores: tuple[CoreSpec, ...]
    vendor_module: str
    device_type: str
    kill_bits: bool = False
    max_input_size: int = 128  # [datasheet] input map of a core
    max_neuron_size: int = 64  # [datasheet] output map of a core, before pooling
    max_features: int = 1024  # [datasheet] in or out
    max_kernel: int = 16  # [datasheet, overview]; square; one page of the FAQ says < 16
    strides: tuple[int, ...] = (1, 2, 4, 8)  # [datasheet] x and y on their own
    max_padding: int = 7  # [datasheet] 3 bits; x and y on their own
    poolings: tuple[int, ...] = (
        1,
        2,
        4,
    )  # [datasheet] stride = size, per destination; square but for the camera's
    destinations: int = 2  # [datasheet] of a core, and of the camera's block
    address_bits: int = 18  # [sinabs] of a neuron: feature, row and column, each in whole bits
    dvs_size: int = 128  # [datasheet] pixels of the camera
    dvs_features: int = 2  # [datasheet] polarities
    weight_bits: int = WEIGHT_BITS
    state_bits: int = STATE_BITS
    bias_bits: int = STATE_BITS


# [sinabs] and [datasheet] agree on these tables.
_NINE = tuple(
    CoreSpec(kernel * KI, neuron * KI)
    for kernel, neuron in zip(
        (16, 16, 16, 32, 32, 64, 64, 16, 16), (64, 64, 64, 32, 32, 16, 16, 16, 16), strict=True
    )
)
_FIVE = tuple(
    CoreSpec(kernel * KI, neuron * KI, bias * KI)
    for kernel, neuron, bias in zip(
        (16, 32, 32, 64, 16), (64, 32, 32, 16, 16), (0, 0, 0, 1, 1), strict=True
    )
)

devices: dict[str, ChipSpec] = {
    chip.name: chip
    for chip in (
        ChipSpec("speck2fmodule", _NINE, "samna.speck2f", "Speck2fModuleDevKit"),
        ChipSpec("speck2fdevkit", _NINE, "samna.speck2f", "Speck2fDevKit"),
        ChipSpec("speck2e", _NINE, "samna.speck2e", "Speck2eTestBoard"),
        ChipSpec("speck2edevkit", _NINE, "samna.speck2e", "Speck2eDevKit"),
        ChipSpec("speck2b", _NINE, "samna.speck2b", "", kill_bits=True),
        # sinabs 2.0.0 builds 2b and 2btiny alike; a hardware test of it counts 5 cores here.
        ChipSpec("speck2btiny", _NINE, "samna.speck2b", "", kill_bits=True),
        ChipSpec("speck2cmini", _FIVE, "samna.speck2cMini", ""),
        ChipSpec("speck2dmini", _FIVE, "samna.speck2dMini", ""),
        ChipSpec("dynapcnndevkit", _NINE, "samna.dynapcnn", "DynapcnnDevKit", kill_bits=True),
    )
}
"""Every device, by name."""

ALIASES = {"speck2f": "speck2fmodule", "speck2fmoduledevkit": "speck2fmodule"}


def parse_device(device: str) -> tuple[str, int]:
    """Split `"name"` or `"name:index"` into the device's name and the index of the board.

    Raises:
        ValueError: The text is not of that form, or the name is unknown.

    Example:
        >>> from neurojax.chips import dynapcnn
        >>> dynapcnn.parse_device("speck2fmodule:1")
        ('speck2fmodule', 1)
    """
    name, *index = device.split(":")
    plain = name.strip().lower()
    plain = ALIASES.get(plain, plain)
    if plain not in devices:
        raise ValueError(f"no device '{name}'; {nearest(plain, [*devices, *ALIASES])}")
    if len(index) > 1 or not all(part.isdecimal() for part in index):
        raise ValueError(f"device '{device}' must be 'name' or 'name:index', such as '{plain}:0'")
    return plain, int(index[0]) if index else 0


def spec(device: str | ChipSpec) -> ChipSpec:
    """The description of a device.

    Args:
        device: `"name"`, `"name:index"`, or a `ChipSpec` (say, one of yours), which is returned
            as it is.

    Raises:
        ValueError: The name is unknown; the message says which one is nearest.

    Example:
        >>> from neurojax.chips import dynapcnn
        >>> len(dynapcnn.spec("speck2fmodule").cores)
        9
    """
    if isinstance(device, ChipSpec):
        return device
    return devices[parse_device(device)[0]]
