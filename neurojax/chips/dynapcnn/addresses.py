"""Addresses of neurons within a core, for reading and writing their membranes.

An address has the bits of the row above those of the column above those of the feature, each as
wide as the core's map needs:

    address = y 2^(x bits + feature bits) + x 2^(feature bits) + feature

sinabs shifts the row by the *row's* number of bits instead, so that row and column overlap where a
map is wider than high, and different neurons have one address. How the silicon packs a map that is
not square isn't published; where width and height need equally many bits, both are the same.

References:
    sinabs 3.1.3, `backend.dynapcnn.io.calculate_neuron_address` and `neuron_address_to_cxy`.
"""

from __future__ import annotations

from typing import NamedTuple

from neurojax._layer import Shape

ADDRESS_BITS = 18
"""Width of an address [sinabs, `io.py`]."""

PACKINGS = ("apart", "overlapping")


class Place(NamedTuple):
    """A neuron in the map of a core."""

    feature: int
    x: int
    y: int


def neuron_address(x: int, y: int, feature: int, shape: Shape, *, packing: str = "apart") -> int:
    """Address of a neuron of a core.

    Args:
        x: Column.
        y: Row.
        feature: Feature.
        shape: (features, height, width) of the core's neurons, before pooling.
        packing: `"apart"`: every neuron has an address of its own. `"overlapping"`: as sinabs
            computes them, equal for several neurons of a map that is wider than high.

    Raises:
        ValueError: The neuron isn't in the map, or the map needs more than 18 bits.

    Example:
        >>> neuron_address(x=2, y=1, feature=3, shape=(4, 8, 8))
        43
    """
    x_bits, y_bits, feature_bits = _bits(shape, packing)
    sizes = zip(("feature", "y", "x"), (feature, y, x), shape, strict=True)
    for name, value, size in sizes:
        if not 0 <= value < size:
            raise ValueError(
                f"neuron_address: {name}={value}; a map of shape {shape} has 0 to {size - 1}"
            )
    above = x_bits if packing == "apart" else y_bits
    return (y << (above + feature_bits)) | (x << feature_bits) | feature


def neuron_place(address: int, shape: Shape, *, packing: str = "apart") -> Place:
    """The neuron that has an address: the inverse of `neuron_address`.

    Args:
        address: The address.
        shape: (features, height, width) of the core's neurons, before pooling.
        packing: As for `neuron_address`; with `"overlapping"` it may be another of the neurons
            that share the address, or none of the map.

    Raises:
        ValueError: No neuron of the map has that address, or the map needs more than 18 bits.

    Example:
        >>> neuron_place(43, (4, 8, 8))
        Place(feature=3, x=2, y=1)
    """
    x_bits, y_bits, feature_bits = _bits(shape, packing)
    above = x_bits if packing == "apart" else y_bits
    place = Place(
        feature=address & ((1 << feature_bits) - 1),
        x=(address >> feature_bits) & ((1 << x_bits) - 1),
        y=address >> (above + feature_bits),
    )
    features, height, width = shape
    inside = place.feature < features and place.x < width and 0 <= place.y < height
    if packing == "apart" and not inside:
        raise ValueError(f"neuron_place: no neuron of a map of shape {shape} has address {address}")
    return place


def _bits(shape: Shape, packing: str) -> tuple[int, int, int]:
    """Bits of the column, of the row and of the feature."""
    if packing not in PACKINGS:
        raise ValueError(f"packing={packing!r}; use one of {PACKINGS}")
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape={shape}; it must be (features, height, width)")
    feature_bits, y_bits, x_bits = ((size - 1).bit_length() for size in shape)
    if (bits := x_bits + y_bits + feature_bits) > ADDRESS_BITS:
        raise ValueError(
            f"a map of shape {shape} needs addresses of {x_bits} + {y_bits} + {feature_bits} = "
            f"{bits} bits, but the chip has {ADDRESS_BITS}"
        )
    return x_bits, y_bits, feature_bits
