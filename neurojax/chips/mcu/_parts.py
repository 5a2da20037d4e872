"""What a network is made of for the mapping: parts, each of which becomes one layer of code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from neurojax._layer import Layer
from neurojax.chips.mcu.spec import Format

Make = Callable[[Format, tuple[int, ...], str | None], Layer]
"""From format, q of the inputs and activation to the layer."""


@dataclass
class Part:
    """One layer of code, before its numbers are known."""

    name: str
    kind: str  # "affine", "neuron", "sum" (its range grows) or "move" (its range stays)
    sources: tuple[str, ...]
    make: Make
    activates: bool = False  # an activation can be fused into it
    activation: str | None = None
    made_of: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class Plan:
    """A network in parts, in the order in which they compute."""

    parts: dict[str, Part]
    input: str
    output: str
    notes: list[str]
